# SPDX-License-Identifier: Apache-2.0
# espalier, the operator's command, with espalierd and with strongSwan's charon.
SYSTEM_TESTS += $(BUILD)/tests/system_cli
$(BUILD)/tests/system_cli: $(BUILD)/obj/tests/system/test_cli.o $(HARNESS)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka -ljansson

SYSTEM_TESTS += $(BUILD)/tests/system_doctor
$(BUILD)/tests/system_doctor: $(BUILD)/obj/tests/system/test_doctor.o $(HARNESS)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka -ljansson
