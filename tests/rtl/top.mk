# SPDX-License-Identifier: Apache-2.0
# Tests of the whole card at its bus, over the libraries of sim/card_model.mk.
TOP_TEST_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,tests/rtl/top_host.c tests/rtl/top_esp.c)
TOP_RIG := $(BUILD)/obj/tests/rtl/top_rig.o

define top_test
RTL_TESTS += $$(BUILD)/tests/$(1)
$$(BUILD)/tests/$(1): $$(BUILD)/obj/tests/rtl/$(1).o $$(TOP_TEST_OBJS) $(2)
	@mkdir -p $$(@D)
	@echo "  LD      $$@"
	@$$(CXX) $$(LDFLAGS) -o $$@ $$^ -lcmocka -lcrypto $$(CARD_MODEL_LIBS)
endef
$(eval $(call top_test,test_top,$(TOP_RIG) $(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a))
$(eval $(call top_test,test_top_errors,$(TOP_RIG) $(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a))
$(eval $(call top_test,test_top_sas,$(TOP_RIG) $(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a))
$(eval $(call top_test,test_top_reset,$(TOP_RIG) $(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a))
$(eval $(call top_test,test_top_queues,$(TOP_RIG) $(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a))
$(eval $(call top_test,test_top_load,$(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a))
$(eval $(call top_test,test_top_churn,$(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a))
.PHONY: check-churn
check-churn: $(BUILD)/tests/test_top_churn ## 10,000 SAs added and deleted beside a flow of others', in the Verilated card
	@$(BUILD)/tests/test_top_churn 20000

# Yosys reads the sources once; each width is elaborated from that.
YOSYS_WIDTHS = $(foreach l,1 2 4,design -load read; chparam -set LANES $(l) espalier_top; hierarchy -check -top espalier_top; proc; check -assert;)
.PHONY: lint-rtl-card
lint-rtl-card: ## Verilator -Wall and Yosys over the whole card at every width
	@for l in 1 2 4; do $(VERILATOR) --lint-only -Wall $(CARD_INCLUDES) -GLANES=$$l --top-module espalier_top $(CARD_RTL) || exit 1; done
	@yosys -q -w 'Replacing memory' -p "read_verilog $(CARD_INCLUDES) $(CARD_RTL); design -save read; $(YOSYS_WIDTHS)" > $(BUILD)/lint-rtl-card.log 2>&1 \
	    || { tail -20 $(BUILD)/lint-rtl-card.log; exit 1; }
CHECKS += lint-rtl-card

.PHONY: lint-rtl-parameters
lint-rtl-parameters: ## a width that does not exist is refused by name, by every reader and at every level
	@for top in espalier_top esp_pipe esp_tx esp_rx gcm_core; do \
	    $(VERILATOR) --lint-only -Wno-lint $(CARD_INCLUDES) -GLANES=3 --top-module $$top $(CARD_RTL) 2>&1 \
	        | grep -q "module: 'LANES_is_1_2_or_4'" || { echo "Verilator, $$top, LANES 3: not refused by name" >&2; exit 1; }; \
	    yosys -p "read_verilog $(CARD_INCLUDES) $(CARD_RTL); chparam -set LANES 3 $$top; hierarchy -check -top $$top" 2>&1 \
	        | grep -q 'ERROR: Module .*LANES_is_1_2_or_4' || { echo "Yosys, $$top, LANES 3: not refused by name" >&2; exit 1; }; \
	done
CHECKS += lint-rtl-parameters
