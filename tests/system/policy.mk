# SPDX-License-Identifier: Apache-2.0
# Policies against the kernel itself, in namespaces of the tests' own.
SYSTEM_TESTS += $(BUILD)/tests/policy_kernel
POLICY_KERNEL_SRCS := tests/system/test_policy_kernel.c ctrl/path/kset.c ctrl/path/kset_entries.c ctrl/path/kset_objects.c \
    $(wildcard ctrl/path/netlink*.c) $(wildcard ctrl/lib/*.c)
$(BUILD)/tests/policy_kernel: $(patsubst %.c,$(BUILD)/obj/%.o,$(POLICY_KERNEL_SRCS))
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lmnl -lm -lcmocka
