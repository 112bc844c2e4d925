# SPDX-License-Identifier: Apache-2.0
# The decapsulation pipeline's tests: three Verilated models (LANES 1, 2, 4), one bench, three C programs.
RX_FILES := $(RTL_GCM) rtl/esp/esp_rx.f
RX_TB_SRCS := $(foreach f,$(RX_FILES),$(call rtl_sources,$(f)))
RX_TB_FLAGS := $(foreach f,$(RX_FILES),$(call rtl_includes,$(f)))
RX_TB_LIBS := $(foreach l,1 2 4,$(BUILD)/vl/esp_rx_l$(l)/libesp_rx_l$(l).a)
$(foreach l,1 2 4,$(eval $(call verilated,esp_rx_l$(l),esp_rx,$(RX_TB_SRCS),$(RX_TB_FLAGS) -GLANES=$(l) -GLOG2_SA=7)))

$(BUILD)/obj/tests/rtl/rx_shim.o: tests/rtl/rx_shim.cpp tests/rtl/rx_shim.h $(RX_TB_LIBS)
	@mkdir -p $(@D)
	@echo "  CXX     $<"
	@$(CXX) $(RTL_CXXFLAGS) $(foreach l,1 2 4,-isystem $(BUILD)/vl/esp_rx_l$(l)) -Itests/rtl -c -o $@ $<

RX_TESTS := $(BUILD)/tests/test_esp_rx $(BUILD)/tests/test_esp_rx_slots $(BUILD)/tests/test_esp_rx_epochs
$(RX_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/rtl/%.o $(BUILD)/obj/tests/rtl/rx_bench.o \
    $(BUILD)/obj/tests/rtl/rx_shim.o $(ZEROED_NEW) $(RX_TB_LIBS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CXX) $(LDFLAGS) -o $@ $^ $(BUILD)/vl/esp_rx_l1/libverilated.a -lcmocka -lcrypto -lpthread

RTL_TESTS += $(RX_TESTS)

.PHONY: lint-rtl-rx
lint-rtl-rx: ## Verilator -Wall over the decapsulation pipeline at every width
	@for l in 1 2 4; do $(VERILATOR) --lint-only -Wall $(addprefix -f ,$(RX_FILES)) --top-module esp_rx -GLANES=$$l || exit 1; done
CHECKS += lint-rtl-rx
# Yosys reads every module of the blocks in the whole card too (lint-rtl-card); by themselves: lint-rtl-blocks
.PHONY: lint-yosys-rx
lint-yosys-rx:
	@for l in 1 2 4; do yosys -q -w 'Replacing memory' -p "read_verilog $(RX_TB_FLAGS) $(RX_TB_SRCS); chparam -set LANES $$l esp_rx; \
	    hierarchy -check -top esp_rx; proc; check -assert" || exit 1; done
YOSYS_BLOCKS += lint-yosys-rx
