# SPDX-License-Identifier: Apache-2.0
# Rekeying with peers that cannot be installed beside strongSwan.
PEERS := $(abspath $(BUILD))/peers
$(BUILD)/tests/system_peers: $(BUILD)/obj/tests/system/test_peers.o $(HARNESS) $(REKEY_LAB)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
$(PEERS)/no_esp_netlink.so: tests/system/peers/no_esp_netlink.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -shared -fPIC -o $@ $< -ldl

# OpenIKED on Linux has only AES-CBC with HMAC for CHILD SAs, which espalierd does not: named, until it does.
.PHONY: check-peers
check-peers: $(BUILD)/tests/system_peers $(PEERS)/no_esp_netlink.so programs ## rekeying with libreswan, in a folder of its own (root)
	@tests/need.sh lab
	@tests/system/peers/get.sh $(PEERS)
	@echo "check-peers: skip: OpenIKED, because on Linux it offers only AES-CBC with HMAC for CHILD SAs"
	@BUILD=$(BUILD) tests/run.sh "ESPALIER_PEERS=$(PEERS) tests/as_root.sh $(BUILD)/tests/system_peers"
