# SPDX-License-Identifier: Apache-2.0
# Rekeying with peers that cannot be installed beside strongSwan.
$(BUILD)/tests/system_peers: $(BUILD)/obj/tests/system/test_peers.o $(BUILD)/obj/tests/system/pluto.o $(HARNESS) $(REKEY_LAB)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
$(PEERS)/no_esp_netlink.so: tests/system/peers/no_esp_netlink.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -shared -fPIC -o $@ $< -ldl

.PHONY: check-peers
check-peers: $(BUILD)/tests/system_peers $(PEERS)/no_esp_netlink.so programs ## rekeying with libreswan, in a folder of its own (root)
	@tests/need.sh lab
	@tests/system/peers/get.sh $(PEERS)
	@BUILD=$(BUILD) tests/run.sh "ESPALIER_PEERS=$(PEERS) tests/as_root.sh $(BUILD)/tests/system_peers"

.PHONY: check-intermediate
check-intermediate: $(BUILD)/tests/system_intermediate programs ## additional key exchanges with strongSwan 6 (CHARON_ROOT=a folder with that Debian; ESPALIER_ML_KEM=1 where both have ML-KEM)
	@tests/need.sh lab
	@[ -x "$(CHARON_ROOT)/usr/lib/ipsec/charon" ] || { echo "CHARON_ROOT names no folder with strongSwan 6" >&2; exit 3; }
	@BUILD=$(BUILD) tests/run.sh "ESPALIER_CHARON_ROOT=$(abspath $(CHARON_ROOT)) tests/as_root.sh $(BUILD)/tests/system_intermediate"
