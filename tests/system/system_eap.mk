# SPDX-License-Identifier: Apache-2.0
# EAP-MSCHAPv2, with charon as the client and as the server.
SYSTEM_TESTS += $(BUILD)/tests/system_eap

# TLS 1.3 (RFC 9190), which strongSwan has from 6.0 on.
.PHONY: check-eap-tls
check-eap-tls: $(BUILD)/tests/system_eap programs ## EAP-TLS by TLS 1.3 with strongSwan 6 in both roles (CHARON_ROOT=a folder with that Debian)
	@tests/need.sh lab
	@[ -x "$(CHARON_ROOT)/usr/lib/ipsec/charon" ] || { echo "CHARON_ROOT names no folder with strongSwan 6" >&2; exit 3; }
	@BUILD=$(BUILD) tests/run.sh "ESPALIER_CHARON_ROOT=$(abspath $(CHARON_ROOT)) tests/as_root.sh $(BUILD)/tests/system_eap"
