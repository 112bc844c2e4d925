# SPDX-License-Identifier: Apache-2.0
# Several rounds of authentication, with charon as the client and as the server.
SYSTEM_TESTS += $(BUILD)/tests/system_rounds
