# SPDX-License-Identifier: Apache-2.0
# What the RTL tests reach of rtl/ (README.md here): the same tests over models of an instrumented copy of the project.
COVER := $(BUILD)/coverage
# Of decapsulation and the AES-GCM core so far. Any other of RTL_TESTS may be named beside them, its models are built then.
COVER_TESTS ?= test_esp_rx test_esp_rx_slots
COVER_OBJS := $(patsubst %,$(COVER)/%.o,cover verilated_cov verilated_dpi)
$(COVER)/%.o: $(VERILATOR_ROOT)/include/%.cpp
	@mkdir -p $(@D)
	@echo "  CXX     $(notdir $<)"
	@$(RTL_OBJCACHE) $(CXX) -std=c++17 $(RTL_CXXFLAGS) -DVM_COVERAGE=1 -c -o $@ $<
$(COVER)/cover.o: tests/coverage/cover.cpp
	@mkdir -p $(@D)
	@echo "  CXX     $<"
	@$(RTL_OBJCACHE) $(CXX) -std=c++17 $(RTL_CXXFLAGS) -Wextra -Werror -c -o $@ $<
COVER_MAKE = $(MAKE) --no-print-directory -s -C $(COVER)/tree -j$(JOBS) BUILD=build RTL_OPT=-O1 VERILATOR="$(VERILATOR) --coverage-line" \
    LDFLAGS="$(abspath $(COVER_OBJS))" $(patsubst %,build/tests/%,$(COVER_TESTS))

.PHONY: coverage coverage-accept
coverage: $(COVER_OBJS) $(SLANG_VENV)/.done ## what the RTL tests reach: lines and bits of each module, packets by reason, direction, size and width
	@$(SLANG_VENV)/bin/python -B tests/coverage/instrument.py $(COVER)/tree
	@BUILD=$(BUILD) tests/progress.sh coverage-build 300 $(COVER_MAKE)
	@rm -rf $(COVER)/seen && mkdir -p $(COVER)/seen
	@cd $(COVER)/tree && ESPALIER_COVERAGE=$(abspath $(COVER))/seen BUILD=build JOBS=$(JOBS) tests/progress.sh coverage-run 300 tests/run.sh \
	    $(patsubst %,build/tests/%,$(COVER_TESTS))
	@$(PYTHON) tests/coverage/coverage.py $(COVER)/seen --report $(BUILD)/report
coverage-accept: ## take what the last `make coverage` reached, where it is more, as what has to be reached
	@$(PYTHON) tests/coverage/coverage.py $(COVER)/seen --report $(BUILD)/report --accept

# What mistakes in rtl/ the RTL tests see (mutate.py): all of a sample are in one copy of the RTL, and each run makes one of them.
MUTATE := $(BUILD)/mutate
MUTATE_MAKE = $(MAKE) --no-print-directory -s -j$(JOBS) BUILD=build RTL_OPT=-O1 \
    VERILATOR='$(VERILATOR) -CFLAGS -include$(CURDIR)/tests/coverage/mutant.h'
.PHONY: mutate
mutate: $(SLANG_VENV)/.done ## N mistakes drawn by SEED from all of rtl/: the RTL tests find each, or it changes nothing; ONLY=REGEX of files
	@$(SLANG_VENV)/bin/python -B tests/coverage/mutate.py --seed $(or $(SEED),1) --n $(or $(N),40) --only "$(ONLY)" --make "$(MUTATE_MAKE)" --yosys "$(YOSYS)" \
	    --jobs $(JOBS) --build $(MUTATE) --report $(BUILD)/report
