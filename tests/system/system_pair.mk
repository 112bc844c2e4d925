# SPDX-License-Identifier: Apache-2.0
SYSTEM_TESTS += $(BUILD)/tests/system_pair
$(BUILD)/tests/system_pair: | $(BUILD)/bin/espalier-pair $(BUILD)/bin/espalierd $(BUILD)/bin/espalier $(BUILD)/bin/espalier-card
