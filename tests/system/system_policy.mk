# SPDX-License-Identifier: Apache-2.0
# Random sequences against real daemons: a minute of one seed here, ten minutes in check-long.
SYSTEM_TESTS += $(BUILD)/tests/policy_property
$(BUILD)/tests/policy_property: $(BUILD)/obj/tests/system/test_policy_property.o $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^)
