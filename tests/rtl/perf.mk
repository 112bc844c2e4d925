# SPDX-License-Identifier: Apache-2.0
# Cycles of the pipelines (test_perf.c), over the workbench's models; a slower pipeline fails check-rtl.
PERF_MODELS := $(foreach l,1 2 4,$(BUILD)/obj/sim/pipe_model_l$(l).o)
$(BUILD)/tests/test_perf: $(BUILD)/obj/tests/rtl/test_perf.o $(PERF_MODELS) $(foreach l,1 2 4,$(WB_VL)/pipe_l$(l)/libpipe_l$(l).a) $(WB_RUNTIME)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CXX) $(LDFLAGS) -o $@ $^ -ljansson -lz -lpthread
RTL_TESTS += $(BUILD)/tests/test_perf

PERF_JSON := $(BUILD)/report/perf.json
.PHONY: perf perf-accept
perf: $(BUILD)/tests/test_perf ## cycles per packet by size, SAs, direction and LANES as text, JSON and SVG; fails where they are more than accepted
	@mkdir -p $(BUILD)/report
	@rm -f $(PERF_JSON)
	@$(BUILD)/tests/test_perf rtl/perf.json $(PERF_JSON); rc=$$?; \
	    [ ! -e $(PERF_JSON) ] || $(PYTHON) tests/rtl/perf.py $(PERF_JSON) --report $(BUILD)/report || exit 1; exit $$rc
perf-accept: $(BUILD)/tests/test_perf ## take the cycles of `make perf` as the new measure: rtl/perf.json, rtl/perf.svg and the tables of rtl/README.md
	@mkdir -p $(BUILD)/report
	@rm -f $(PERF_JSON)
	@$(BUILD)/tests/test_perf rtl/perf.json $(PERF_JSON) || [ -e $(PERF_JSON) ]
	@$(PYTHON) tests/rtl/perf.py $(PERF_JSON) --report $(BUILD)/report --accept
# what is checked in was made of one measurement
.PHONY: lint-perf
lint-perf: ## rtl/perf.svg and the tables of rtl/README.md are what rtl/perf.json says
	@$(PYTHON) tests/rtl/perf.py rtl/perf.json --check
CHECKS += lint-perf
