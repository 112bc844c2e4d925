# SPDX-License-Identifier: Apache-2.0
# Random sequences against real daemons: a minute of one seed here, ten minutes in check-long.
SYSTEM_TESTS += $(BUILD)/tests/policy_property
POLICY_PROPERTY := $(patsubst %,$(BUILD)/obj/tests/%.o,system/test_policy_property system/policy_lab system/policy_steps \
    system/policy_probes system/policy_packets system/policy_naive system/policy_set \
    system/policy_kernel system/vici_client world/rng)
$(BUILD)/tests/policy_property: $(POLICY_PROPERTY) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -lcrypto
