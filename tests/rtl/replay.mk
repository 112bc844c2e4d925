# SPDX-License-Identifier: Apache-2.0
# The workbench end to end: the program itself, on both engines, against an independent model (replay_oracle.py).
REPLAY_TESTS := test_replay test_replay_files test_replay_words test_sim_vectors
$(patsubst %,$(BUILD)/obj/tests/rtl/%.o,$(REPLAY_TESTS) replay_rig): CPPFLAGS += -DESPALIER_SIM='"$(BUILD)/bin/espalier-sim"'
$(patsubst %,$(BUILD)/tests/%,$(REPLAY_TESTS)): $(BUILD)/tests/%: $(BUILD)/obj/tests/rtl/%.o $(BUILD)/obj/tests/rtl/replay_rig.o \
    | $(BUILD)/bin/espalier-sim
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka -ljansson

RTL_TESTS += $(patsubst %,$(BUILD)/tests/%,$(REPLAY_TESTS))
