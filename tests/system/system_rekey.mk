# SPDX-License-Identifier: Apache-2.0
# Rekeying under numbered traffic: the laboratory, its own test, and what is run in it.
REKEY_LAB := $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/rekey_lab.c tests/system/ledger.c tests/system/stream.c \
    tests/system/middle.c tests/system/vici_client.c tests/system/death.c)
REKEY_TESTS := $(addprefix $(BUILD)/tests/system_,rekey_lab rekey rekey_pair rekey_own faults kill workers)
SYSTEM_TESTS += $(REKEY_TESTS)
$(REKEY_TESTS): $(BUILD)/tests/system_%: $(BUILD)/obj/tests/system/test_%.o $(HARNESS) $(REKEY_LAB)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

# A folder with another Debian whose charon is the peer, too: CHARON_ROOT=FOLDER
CHARON_ROOT ?=
REKEY_LONG := "ESPALIER_REKEY=long tests/as_root.sh $(BUILD)/tests/system_rekey" \
    $(if $(CHARON_ROOT),"ESPALIER_REKEY=long ESPALIER_CHARON_ROOT=$(abspath $(CHARON_ROOT)) tests/as_root.sh $(BUILD)/tests/system_rekey") \
    "ESPALIER_REKEY=long ESPALIER_ROUNDS=20 ESPALIER_REKEY_WEST=charon tests/as_root.sh $(BUILD)/tests/system_rekey" \
    "ESPALIER_SECONDS=60 tests/as_root.sh $(BUILD)/tests/system_rekey_pair" \
    "ESPALIER_ROUNDS=100 tests/as_root.sh $(BUILD)/tests/system_rekey_own"

.PHONY: check-rekey check-day
check-rekey: $(REKEY_TESTS) programs ## a hundred rekeys of each kind by each end, two strongSwan beside it, collisions by the thousand, reauthentication, reload, the card going (CHARON_ROOT=)
	@tests/need.sh lab
	@BUILD=$(BUILD) tests/run.sh $(REKEY_LONG)
	@$(if $(CHARON_ROOT),true,echo "check-rekey: skip: another strongSwan, because CHARON_ROOT is not set")

check-day: $(REKEY_TESTS) programs ## a day in an hour: all lifetimes divided by 24, both ends rekeying (ESPALIER_SECONDS=3600)
	@tests/need.sh lab
	@BUILD=$(BUILD) tests/run.sh "ESPALIER_REKEY=day tests/as_root.sh $(BUILD)/tests/system_rekey"
