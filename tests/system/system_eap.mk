# SPDX-License-Identifier: Apache-2.0
# EAP-MSCHAPv2, with charon as the client and as the server.
SYSTEM_TESTS += $(BUILD)/tests/system_eap
