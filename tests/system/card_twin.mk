# SPDX-License-Identifier: Apache-2.0
# espalier-card against the software engine, and its sudden end; needs no rights.
$(BUILD)/tests/card_twin: $(BUILD)/obj/tests/system/card_twin.o $(LIBESPALIER) | $(BUILD)/bin/espalier-card
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS) -lcmocka
RTL_TESTS += $(BUILD)/tests/card_twin
