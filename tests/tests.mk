# SPDX-License-Identifier: Apache-2.0
# Each tests/unit/<room>.mk declares its programs with:
#   $(eval $(call unit_test,NAME,SOURCES,LIBS))     builds $(BUILD)/tests/NAME from SOURCES (.c) and runs it in check-unit
# and each tests/rtl/*.mk appends finished programs to RTL_TESTS.
define unit_test
UNIT_TESTS += $$(BUILD)/tests/$(1)
$$(BUILD)/tests/$(1): $$(patsubst %.c,$$(BUILD)/obj/%.o,$(filter %.c,$(2))) $(filter-out %.c,$(2))
	@mkdir -p $$(@D)
	@echo "  LD      $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$^ $(3) -lcmocka -Wl,--as-needed -lssl -lcrypto
endef

-include $(wildcard tests/unit/*.mk)
-include $(wildcard tests/rtl/*.mk)
-include $(wildcard tests/system/*.mk)
-include tests/load/load.mk
-include $(wildcard tests/bench/*.mk)
-include tests/world/world.mk
-include tests/orders/orders.mk
-include tests/fuzz/fuzz.mk
-include tests/formal/formal.mk

.PHONY: unit-tests rtl-tests system-tests check-unit check-rtl
unit-tests: $(UNIT_TESTS)
rtl-tests: $(RTL_TESTS)
system-tests: $(SYSTEM_TESTS) $(BUILD)/tests/demo
RUN_TESTS = BUILD=$(BUILD) JOBS=$(JOBS) tests/run.sh
check-unit: $(UNIT_TESTS) ## run the unit tests
	@$(RUN_TESTS) $(UNIT_TESTS)
check-rtl: $(RTL_TESTS) ## run the RTL tests
	@$(RUN_TESTS) $(RTL_TESTS)
