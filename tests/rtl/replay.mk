# SPDX-License-Identifier: Apache-2.0
# The workbench end to end: the program itself, on both engines, against an independent model (replay_oracle.py).
$(BUILD)/obj/tests/rtl/test_replay.o: CPPFLAGS += -DESPALIER_SIM='"$(BUILD)/bin/espalier-sim"'
$(BUILD)/tests/test_replay: $(BUILD)/obj/tests/rtl/test_replay.o | $(BUILD)/bin/espalier-sim
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka -ljansson

RTL_TESTS += $(BUILD)/tests/test_replay
