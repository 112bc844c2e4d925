# SPDX-License-Identifier: Apache-2.0
# Addresses that change, with stock strongSwan in both roles.
SYSTEM_TESTS += $(BUILD)/tests/system_mobike
$(BUILD)/tests/system_mobike: $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/test_mobike.c tests/system/steps.c tests/system/middle.c) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
