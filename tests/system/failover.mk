# SPDX-License-Identifier: Apache-2.0
# The card failing in every way under numbered traffic (a few of them in `make check`, all in check-failover, long.mk), two SAs on a card with room for one, and where keys are.
SYSTEM_TESTS += $(BUILD)/tests/system_matrix
$(BUILD)/tests/system_matrix: $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/taps.c tests/system/stream.c)
SYSTEM_TESTS += $(BUILD)/tests/system_busiest $(BUILD)/tests/system_keys_gone
$(BUILD)/tests/system_busiest: $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/taps.c tests/system/stream.c)
