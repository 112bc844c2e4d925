# SPDX-License-Identifier: Apache-2.0
# espalier-card against the software engine, and its sudden end; needs no rights.
$(BUILD)/tests/card_twin: $(BUILD)/obj/tests/system/card_twin.o $(BUILD)/obj/tests/system/card_process.o $(LIBESPALIER) | $(BUILD)/bin/espalier-card
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS) -lcmocka
RTL_TESTS += $(BUILD)/tests/card_twin

# The card in C of the world against the Verilated one.
MODEL_TWIN_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/card_model_twin.c tests/system/model_twin.c \
    tests/system/twin_packets.c tests/world/fast_card.c tests/world/fast_sa.c)
$(BUILD)/tests/card_model_twin: $(MODEL_TWIN_OBJS) $(BUILD)/lib/libcard_l1.a $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CXX) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS) -lcrypto -lcmocka $(CARD_MODEL_LIBS)
RTL_TESTS += $(BUILD)/tests/card_model_twin

# SAs from their beginning to their end, moved between the two engines.
$(BUILD)/tests/card_lives: $(BUILD)/obj/tests/system/card_lives.o $(BUILD)/obj/tests/system/card_process.o $(LIBESPALIER) | $(BUILD)/bin/espalier-card
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS) -lcmocka
RTL_TESTS += $(BUILD)/tests/card_lives
