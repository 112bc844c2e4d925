# SPDX-License-Identifier: Apache-2.0
# gcc -Werror is the build itself; here clang, clang-format, clang-tidy, Verilator -Wall, Yosys and shellcheck look at the same sources.
# $(call lint_files,PATTERN...): what git knows, or, where git reads nothing (a tarball, another user's tree), what is there
lint_files = $(or $(shell git ls-files $(foreach p,$(1),'$(p)') 2>/dev/null),$(shell find ctrl driver hw sim tests -type f \( -false $(foreach p,$(1),-o -name '$(p)') \)))
LINT_C = $(call lint_files,*.c)
LINT_SH = $(call lint_files,*.sh) .ci/run
LINT_FLAGS := -std=c11 -D_GNU_SOURCE -I. -Idriver/include

LINT_FORMAT = $(filter-out %/status.h hw/regs/gen/%,$(call lint_files,*.c *.h))

# clang-format, clang-tidy and shellcheck of another version judge otherwise: they speak where the version is ours (Debian
# 12's) and are skipped by name elsewhere. LINT_LLVM=19 tries another.
LINT_LLVM ?= 14
LINT_SHELLCHECK ?= 0.9.0
# $(call lint_if,PROGRAM,VERSION): shell condition: the program is there in that version; says so where it is not
lint_if = v="$$($(1) --version 2>/dev/null | grep -oE '[0-9]+[.][0-9.]+' | head -n 1)"; case "$$v" in $(2)|$(2).*) true ;; \
    "") echo "$(1) is not installed (make deps)" >&2; exit 1 ;; *) echo "  skip: $(1) $$v, because the sources are held to version $(2)"; false ;; esac

.PHONY: lint lint-c lint-verilog lint-clang lint-format lint-tidy lint-shell
lint: lint-format lint-shell lint-c lint-verilog ## gcc and clang -Werror, clang-format, clang-tidy, Verilator -Wall, Icarus, slang, Yosys, shellcheck
	@echo "lint: clean"
LINT_WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
lint-c: lint-tidy
lint-clang:
	@echo "  CLANG   $(words $(LINT_C)) files"
	@clang $(LINT_FLAGS) -fsyntax-only $(LINT_WARN) -Werror $(LINT_C)
# clang-tidy says clang's own warnings too, of sources and headers (clang-diagnostic-*): one reading instead of two.
# $(call tidy,FILES,OPTION...)
tidy = printf '%s\n' $(1) | xargs -P $(JOBS) -n 8 sh -c 'clang-tidy --quiet --warnings-as-errors="*" $(2) "$$@" -- $(LINT_FLAGS) $(LINT_WARN) 2>/dev/null' sh
LINT_TESTS = $(filter tests/%,$(LINT_C))
lint-tidy:
	@echo "  TIDY    $(words $(LINT_C)) files"
	@if $(call lint_if,clang-tidy,$(LINT_LLVM)); then $(call tidy,$(filter-out tests/%,$(LINT_C))) && $(call tidy,$(LINT_TESTS),--checks=-clang-analyzer-*); \
	else $(MAKE) --no-print-directory -s lint-clang; fi
# The analyzer walks the ways through a test for as long as through what is tested, so that is in check-long.
.PHONY: lint-tests
lint-tests: ## clang-tidy's static analyzer over the tests
	@echo "  TIDY    $(words $(LINT_TESTS)) files of tests"
	@if $(call lint_if,clang-tidy,$(LINT_LLVM)); then $(call tidy,$(LINT_TESTS)); fi
lint-format:
	@echo "  FORMAT  $(words $(LINT_FORMAT)) files"
	@if $(call lint_if,clang-format,$(LINT_LLVM)); then clang-format --dry-run -Werror $(LINT_FORMAT); fi
# Two more readers of plain Verilog-2005. slang is the one that refuses a name used before its declaration; its one
# waiver: ring_sa shifts by a parameter that equals the word at LANES 4, which Verilog defines as 0.
SLANG_VENV := $(BUILD)/slang-venv
$(SLANG_VENV)/.done:
	@echo "  VENV    pyslang"
	@$(PYTHON) -m venv $(SLANG_VENV)
	@$(SLANG_VENV)/bin/pip install -q --retries 1 --disable-pip-version-check pyslang==12.1.0 2>$(SLANG_VENV)/log
	@touch $@

.PHONY: lint-readers
lint-readers: ## Icarus Verilog and slang over the whole card at every width
	@for l in 1 2 4; do iverilog -g2005 -Wall -Wno-sensitivity-entire-array -t null $(CARD_INCLUDES) -Pespalier_top.LANES=$$l \
	    -s espalier_top $(CARD_RTL) || exit 1; done
	@if $(MAKE) --no-print-directory -s $(SLANG_VENV)/.done 2>/dev/null; then for l in 1 2 4; do \
	    $(SLANG_VENV)/bin/python tests/rtl/slang.py --std 1364-2005 -Werror -Wno-shift-count-overflow $(CARD_INCLUDES) \
	        -G LANES=$$l --top espalier_top $(CARD_RTL) || exit 1; done; \
	else echo "lint-readers: skip: slang, because pyslang cannot be installed from PyPI here"; fi
CHECKS += lint-readers

lint-shell:
	@echo "  SHELL   $(words $(LINT_SH)) files"
	@if $(call lint_if,shellcheck,$(LINT_SHELLCHECK)); then shellcheck -x $(LINT_SH); fi

STATE_OBJS = $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(ESPALIERD_SRCS) $(CLI_SRCS) $(LIBESPALIER_SRC)))
.PHONY: lint-state
lint-state: $(STATE_OBJS) ## no writable state at file scope in ctrl/ and driver/, but for what tests/state.allow explains
	@echo "  STATE   $(words $(STATE_OBJS)) objects"
	@tests/state.sh $(BUILD)/obj $(STATE_OBJS)
lint-c: lint-state

lint-verilog: $(filter lint-%,$(CHECKS)) # all that stand in CHECKS by now
.PHONY: lint-rtl-blocks
lint-rtl-blocks: $(YOSYS_BLOCKS) ## Yosys over each block by itself; lint-rtl-card has them as parts of the card
