# SPDX-License-Identifier: Apache-2.0
# Virtual addresses and their pools, with strongSwan in both roles.
SYSTEM_TESTS += $(BUILD)/tests/system_pools
