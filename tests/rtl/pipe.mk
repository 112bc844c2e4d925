# SPDX-License-Identifier: Apache-2.0
# Tests at the ports of esp_pipe: two Verilated models (LANES 1 and 4, 64 SA slots), one shim for all programs.
RTL_ESP := rtl/gcm/gcm.f rtl/esp/esp.f rtl/esp/esp_rx.f
PIPE_TB_SRCS := $(sort $(call rtl_sources,$(RTL_ESP)))
PIPE_TB_FLAGS := $(sort $(call rtl_includes,$(RTL_ESP)) -I.)
PIPE_TB_LIBS := $(foreach l,1 4,$(BUILD)/vl/esp_pipe_l$(l)/libesp_pipe_l$(l).a)
$(foreach l,1 4,$(eval $(call verilated,esp_pipe_l$(l),esp_pipe,$(PIPE_TB_SRCS),$(PIPE_TB_FLAGS) -GLANES=$(l) -GLOG2_SA=6)))

PIPE_SHIM := $(BUILD)/obj/tests/rtl/pipe_shim.o
$(PIPE_SHIM): tests/rtl/pipe_shim.cpp tests/rtl/pipe_shim.h $(PIPE_TB_LIBS)
	@mkdir -p $(@D)
	@echo "  CXX     $<"
	@$(CXX) $(RTL_CXXFLAGS) $(foreach l,1 4,-isystem $(BUILD)/vl/esp_pipe_l$(l)) -Itests/rtl -c -o $@ $<

# $(eval $(call pipe_test,NAME,SOURCES)): a test program over the shim
define pipe_test
$$(BUILD)/tests/$(1): $(patsubst %.c,$(BUILD)/obj/%.o,$(2)) $(PIPE_SHIM) $(ZEROED_NEW) $(PIPE_TB_LIBS)
	@mkdir -p $$(@D)
	@echo "  LD      $$@"
	@$$(CXX) $$(LDFLAGS) -o $$@ $$^ $$(BUILD)/vl/esp_pipe_l1/libverilated.a -lcmocka -lcrypto -lpthread
RTL_TESTS += $$(BUILD)/tests/$(1)
endef

$(eval $(call pipe_test,test_tx,tests/rtl/test_tx.c tests/rtl/tx_expect.c tests/rtl/pipe_model.c))
$(eval $(call pipe_test,test_sa,tests/rtl/test_sa.c tests/rtl/tx_expect.c tests/rtl/pipe_model.c))
$(eval $(call pipe_test,test_pipe,tests/rtl/test_pipe.c tests/rtl/pipe_model.c))

.PHONY: lint-rtl-esp
lint-rtl-esp: ## Verilator -Wall over the ESP pipelines at every width
	@for l in 1 2 4; do \
	    $(VERILATOR) --lint-only -Wall $(PIPE_TB_FLAGS) --top-module esp_pipe -GLANES=$$l $(PIPE_TB_SRCS) || exit 1; done
CHECKS += lint-rtl-esp
.PHONY: lint-yosys-esp
lint-yosys-esp:
	@for l in 1 2 4; do yosys -q -w 'Replacing memory' -p "read_verilog $(PIPE_TB_FLAGS) $(PIPE_TB_SRCS); \
	    chparam -set LANES $$l -set LOG2_SA 6 esp_pipe; hierarchy -check -top esp_pipe; proc; check -assert" || exit 1; done
YOSYS_BLOCKS += lint-yosys-esp
