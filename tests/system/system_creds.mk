# SPDX-License-Identifier: Apache-2.0
# Credentials by stock swanctl, beside charon.
SYSTEM_TESTS += $(BUILD)/tests/system_creds
$(BUILD)/tests/system_creds: $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/test_creds.c tests/unit/cred_dir.c tests/unit/pki_files.c) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
