# SPDX-License-Identifier: Apache-2.0
# Postquantum preshared keys, with charon.
SYSTEM_TESTS += $(BUILD)/tests/system_ppk
