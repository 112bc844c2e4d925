# SPDX-License-Identifier: Apache-2.0
# The daemon's supervisor and VICI, with stock swanctl as the client.
SYSTEM_TESTS += $(BUILD)/tests/system_vici $(BUILD)/tests/system_install
