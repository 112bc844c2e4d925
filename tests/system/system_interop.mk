# SPDX-License-Identifier: Apache-2.0
# The interoperability matrix.
$(BUILD)/tests/interop: $(patsubst %.c,$(BUILD)/obj/%.o,$(addprefix tests/system/,interop.c interop_auth.c steps.c ledger.c stream.c middle.c vici_client.c)) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

.PHONY: check-interop
check-interop: $(BUILD)/tests/interop programs ## every way to authenticate by every feature with strongSwan, in both roles: a table in build/report (INTEROP="--method PSK")
	@tests/need.sh lab
	@mkdir -p $(BUILD)/report
	@tests/as_root.sh $(BUILD)/tests/interop --report $(BUILD)/report/interop-strongswan.md $(INTEROP)
