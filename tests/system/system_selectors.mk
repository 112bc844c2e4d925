# SPDX-License-Identifier: Apache-2.0
# Selectors of protocols, ports and types of ICMP, with charon.
SYSTEM_TESTS += $(BUILD)/tests/system_selectors
