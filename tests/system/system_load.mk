# SPDX-License-Identifier: Apache-2.0
# espalier-load toward both daemons.
SYSTEM_TESTS += $(BUILD)/tests/system_load
