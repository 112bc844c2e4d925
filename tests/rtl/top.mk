# SPDX-License-Identifier: Apache-2.0
# Tests of the whole card at its bus, over the libraries of sim/card_model.mk.
TOP_TEST_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,tests/rtl/top_host.c tests/rtl/top_esp.c)

define top_test
RTL_TESTS += $$(BUILD)/tests/$(1)
$$(BUILD)/tests/$(1): $$(BUILD)/obj/tests/rtl/$(1).o $$(TOP_TEST_OBJS) $(2)
	@mkdir -p $$(@D)
	@echo "  LD      $$@"
	@$$(CXX) $$(LDFLAGS) -o $$@ $$^ -lcmocka -lcrypto $$(CARD_MODEL_LIBS)
endef
$(eval $(call top_test,test_top,$(BUILD)/lib/libcard_l1.a))
$(eval $(call top_test,test_top_load,$(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a))
