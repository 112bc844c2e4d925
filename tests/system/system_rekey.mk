# SPDX-License-Identifier: Apache-2.0
# Rekeying under numbered traffic: the laboratory, its own test, and what is run in it.
REKEY_LAB := $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/rekey_lab.c tests/system/ledger.c tests/system/stream.c \
    tests/system/middle.c tests/system/vici_client.c)
REKEY_TESTS := $(addprefix $(BUILD)/tests/system_,rekey_lab rekey rekey_pair)
SYSTEM_TESTS += $(BUILD)/tests/system_rekey_lab
$(REKEY_TESTS): $(BUILD)/tests/system_%: $(BUILD)/obj/tests/system/test_%.o $(HARNESS) $(REKEY_LAB)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
