# SPDX-License-Identifier: Apache-2.0
# gcc -Werror is the build itself; here clang, clang-format, clang-tidy, Verilator -Wall, Yosys and shellcheck look at the same sources.
LINT_C = $(shell git ls-files '*.c' 2>/dev/null || find driver ctrl sim tests -name '*.c')
LINT_SH = $(shell git ls-files '*.sh' 2>/dev/null) .ci/run
LINT_FLAGS := -std=c11 -D_GNU_SOURCE -I. -Idriver/include

LINT_FORMAT = $(filter-out %/status.h hw/regs/gen/%,$(shell git ls-files '*.c' '*.h' 2>/dev/null))

.PHONY: lint lint-clang lint-format lint-tidy lint-shell
lint: lint-format lint-clang lint-tidy lint-shell $(filter lint-%,$(CHECKS)) ## gcc and clang -Werror, clang-format, clang-tidy, Verilator -Wall, shellcheck
	@echo "lint: clean"
lint-clang:
	@echo "  CLANG   $(words $(LINT_C)) files"
	@clang $(LINT_FLAGS) -fsyntax-only -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(LINT_C)
lint-tidy:
	@echo "  TIDY    $(words $(LINT_C)) files"
	@printf '%s\n' $(LINT_C) | xargs -P $(JOBS) -n 8 sh -c 'clang-tidy --quiet --warnings-as-errors="*" "$$@" -- $(LINT_FLAGS) 2>/dev/null' sh
lint-format:
	@echo "  FORMAT  $(words $(LINT_FORMAT)) files"
	@clang-format --dry-run -Werror $(LINT_FORMAT)
lint-shell:
	@echo "  SHELL   $(words $(LINT_SH)) files"
	@shellcheck $(LINT_SH)
