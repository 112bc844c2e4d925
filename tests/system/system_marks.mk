# SPDX-License-Identifier: Apache-2.0
# Outer fields, and what becomes of marks that packets get on the way.
SYSTEM_TESTS += $(BUILD)/tests/system_marks
$(BUILD)/tests/system_marks: $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/test_marks.c tests/system/steps.c tests/system/middle.c) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
