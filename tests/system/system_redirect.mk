# SPDX-License-Identifier: Apache-2.0
# Redirection, with charon as the gateway and as the client.
SYSTEM_TESTS += $(BUILD)/tests/system_redirect
