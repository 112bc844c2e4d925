# SPDX-License-Identifier: Apache-2.0
# Selectors of protocols, ports and types of ICMP, with charon.
SYSTEM_TESTS += $(BUILD)/tests/system_selectors

# 0.0.0.0/0 between two espalierd, and the networks beside it.
SYSTEM_TESTS += $(BUILD)/tests/system_wide
