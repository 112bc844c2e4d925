# SPDX-License-Identifier: Apache-2.0
# Every program's --help and exit statuses, and what the documents say there is.
$(BUILD)/tests/test_programs: $(patsubst %,$(BUILD)/obj/tests/%.o,rtl/test_programs unit/script_rig) | $(PROGRAMS) $(BUILD)/bin/espalier-load
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
RTL_TESTS += $(BUILD)/tests/test_programs
