# SPDX-License-Identifier: Apache-2.0
# The interoperability matrices. INTEROP="--method PSK --feature rekey" takes some cells alone.
INTEROP_OBJS := $(patsubst %,$(BUILD)/obj/tests/system/%.o,interop_auth interop_table steps ledger stream middle vici_client)
$(BUILD)/tests/interop: $(BUILD)/obj/tests/system/interop.o $(INTEROP_OBJS) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
$(BUILD)/tests/interop_libreswan: $(BUILD)/obj/tests/system/interop_libreswan.o $(BUILD)/obj/tests/system/pluto.o $(INTEROP_OBJS) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

.PHONY: check-interop
check-interop: $(BUILD)/tests/interop $(BUILD)/tests/interop_libreswan $(PEERS)/no_esp_netlink.so programs ## every way to authenticate by every feature with strongSwan and libreswan, in both roles: tables in build/report (INTEROP="--method PSK")
	@tests/need.sh lab
	@mkdir -p $(BUILD)/report
	@tests/system/peers/get.sh $(PEERS)
	@ok=0; tests/as_root.sh $(BUILD)/tests/interop --report $(BUILD)/report/interop-strongswan.md $(INTEROP) || ok=1; \
	tests/as_root.sh $(BUILD)/tests/interop_libreswan --peers $(PEERS) --report $(BUILD)/report/interop-libreswan.md $(INTEROP) || ok=1; exit $$ok
