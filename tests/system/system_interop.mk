# SPDX-License-Identifier: Apache-2.0
# The interoperability matrices. INTEROP="--method PSK --feature rekey" takes some cells alone.
# What peers/get.sh has unpacked, and what makes it run here.
PEERS := $(abspath $(BUILD))/peers
INTEROP_OBJS := $(patsubst %,$(BUILD)/obj/tests/system/%.o,interop_auth interop_table steps ledger stream middle vici_client)
$(BUILD)/tests/interop: $(BUILD)/obj/tests/system/interop.o $(INTEROP_OBJS) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
$(BUILD)/tests/interop_libreswan: $(BUILD)/obj/tests/system/interop_libreswan.o $(BUILD)/obj/tests/system/interop_silent.o $(BUILD)/obj/tests/system/pluto.o $(INTEROP_OBJS) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
$(BUILD)/tests/interop_openiked: $(BUILD)/obj/tests/system/interop_openiked.o $(BUILD)/obj/tests/system/interop_silent.o $(INTEROP_OBJS) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
$(PEERS)/no_pfkey.so: tests/system/peers/no_pfkey.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -shared -fPIC -o $@ $< -ldl

.PHONY: check-interop
check-interop: $(BUILD)/tests/interop $(BUILD)/tests/interop_libreswan $(BUILD)/tests/interop_openiked $(PEERS)/no_esp_netlink.so $(PEERS)/no_pfkey.so programs ## every way to authenticate by every feature with strongSwan, libreswan and OpenIKED, in both roles: tables in build/report (INTEROP="--method PSK")
	@tests/need.sh lab
	@mkdir -p $(BUILD)/report
	@tests/system/peers/get.sh $(PEERS)
	@ok=0; tests/as_root.sh $(BUILD)/tests/interop --report $(BUILD)/report/interop-strongswan.md $(INTEROP) || ok=1; \
	for p in libreswan openiked; do tests/as_root.sh $(BUILD)/tests/interop_$$p --peers $(PEERS) --report $(BUILD)/report/interop-$$p.md $(INTEROP) || ok=1; done; exit $$ok
