# SPDX-License-Identifier: Apache-2.0
# Transport mode through a NAT.
SYSTEM_TESTS += $(BUILD)/tests/system_transport
$(BUILD)/tests/system_transport: $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/test_transport.c tests/system/steps.c tests/system/middle.c) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
