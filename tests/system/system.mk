# SPDX-License-Identifier: Apache-2.0
# The demo and the tests with real daemons in network namespaces.
HARNESS := $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/harness.c tests/system/traffic.c tests/system/wire.c tests/system/memory_scan.c tests/system/recorder.c)
SYSTEM_TESTS += $(BUILD)/tests/system_tunnel $(BUILD)/tests/system_card $(BUILD)/tests/system_families $(BUILD)/tests/system_fragments $(BUILD)/tests/system_algorithms $(BUILD)/tests/system_ah $(BUILD)/tests/system_outer $(BUILD)/tests/system_try_next $(BUILD)/tests/system_route_based $(BUILD)/tests/system_redundant

$(BUILD)/tests/demo: $(BUILD)/obj/tests/system/demo.o $(HARNESS)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^
$(BUILD)/tests/system_%: $(BUILD)/obj/tests/system/test_%.o $(BUILD)/obj/tests/system/steps.o $(HARNESS)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
$(BUILD)/tests/system_try_next: | $(BUILD)/tests/demo
