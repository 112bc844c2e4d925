# SPDX-License-Identifier: Apache-2.0
# What the newest peers alone have: additional key exchanges with ML-KEM, EAP-TLS by TLS 1.3, session resumption and PPKs in
# IKE_INTERMEDIATE; and swanctl 6.1 as the client. They are those of a younger Debian, and this daemon is built there, for its OpenSSL.
NEWEST_TESTS := $(addprefix $(BUILD)/tests/system_,newest intermediate eap swanctl)
$(BUILD)/tests/system_newest: $(BUILD)/obj/tests/system/test_newest.o $(BUILD)/obj/tests/system/pluto.o $(BUILD)/obj/tests/system/steps.o $(HARNESS) $(REKEY_LAB)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

.PHONY: check-newest check-newest-here
check-newest: ## what only the newest peers have (ML-KEM, session resumption …): Debian forky's strongSwan and libreswan, the daemon built there (root or sudo, debootstrap)
	@tests/deps.sh roots
	@BUILD=$(BUILD) tests/debian.sh forky check-newest-here
check-newest-here: # in that Debian
	@tests/deps.sh newest
	@tests/need.sh lab
	@tests/system/peers/get.sh $(PEERS) libreswan
	@$(AGAIN) $(BUILD)/bin/espalierd $(NEWEST_TESTS) $(PEERS)/no_esp_netlink.so
	@ESPALIER_CHARON_ROOT=/ ESPALIER_ML_KEM=1 ESPALIER_PEERS=$(PEERS) BUILD=$(BUILD) REVIEWED_SKIPS=tests/system/newest.skips tests/run.sh $(foreach t,$(NEWEST_TESTS),"tests/as_root.sh $(t)")
