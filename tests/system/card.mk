# SPDX-License-Identifier: Apache-2.0
# espalier-card under the driver's card engine; needs no rights.
$(BUILD)/tests/card_engine: $(BUILD)/obj/tests/system/card_engine.o $(LIBESPALIER) | $(BUILD)/bin/espalier-card
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS) -lcmocka
RTL_TESTS += $(BUILD)/tests/card_engine
