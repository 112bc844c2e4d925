# SPDX-License-Identifier: Apache-2.0
# Policies against the kernel itself, in namespaces of the tests' own.
POLICY_GATEWAY := $(patsubst %,$(BUILD)/tests/policy_%,own answers routers)
POLICY_ON_KERNEL := $(patsubst %,$(BUILD)/tests/policy_%,kernel groups) $(POLICY_GATEWAY)
SYSTEM_TESTS += $(POLICY_ON_KERNEL)
$(POLICY_GATEWAY): $(BUILD)/obj/tests/system/gateway_lab.o
$(BUILD)/tests/policy_routers: $(patsubst %,$(BUILD)/obj/ctrl/super/%.o,sockets metrics_socket)
POLICY_KERNEL_SRCS := tests/system/kernel_lab.c tests/unit/kset_pol.c $(wildcard ctrl/path/kset*.c) $(wildcard ctrl/path/netlink*.c) \
    $(wildcard ctrl/lib/*.c)
$(POLICY_ON_KERNEL): $(BUILD)/tests/policy_%: $(BUILD)/obj/tests/system/test_policy_%.o \
    $(patsubst %.c,$(BUILD)/obj/%.o,$(POLICY_KERNEL_SRCS)) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $(filter-out %.a,$^) $(LIBESPALIER) $(LIBESPALIER_LIBS) -lm -lcmocka

# The world's model of the kernel against the kernel: the same changes into both, the same packets through both.
SYSTEM_TESTS += $(BUILD)/tests/kernel_twin $(BUILD)/tests/policy_twin
KERNEL_TWIN_SRCS := tests/system/kernel_twin_lab.c tests/world/rng.c tests/world/packet.c tests/world/places.c $(wildcard ctrl/path/kset*.c) \
    $(wildcard ctrl/path/netlink*.c) $(wildcard ctrl/lib/*.c)
$(BUILD)/tests/policy_twin: $(patsubst %,$(BUILD)/obj/tests/system/%.o,policy_naive policy_packets)
$(BUILD)/obj/tests/system/kernel_twin_model.o: tests/world/kernel_model.c tests/world/world.h
	@mkdir -p $(@D)
	@echo "  CC      $< (beside the real one)"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -Dnetlink_kernel_open=model_kernel_open -c -o $@ $<
$(BUILD)/tests/kernel_twin $(BUILD)/tests/policy_twin: $(BUILD)/tests/%: $(BUILD)/obj/tests/system/%.o $(patsubst %.c,$(BUILD)/obj/%.o,$(KERNEL_TWIN_SRCS)) $(BUILD)/obj/tests/system/kernel_twin_model.o $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $(filter-out %.a,$^) $(LIBESPALIER) $(LIBESPALIER_LIBS) -lm

# TCP segments, cut and put together, against the kernel's own.
SYSTEM_TESTS += $(BUILD)/tests/kernel_gso
$(BUILD)/tests/kernel_gso: $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/test_gso.c tests/unit/segments.c ctrl/path/gso.c ctrl/path/gso_sum.c ctrl/path/gro.c)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

# Datagrams that come by a link, put together by the kernel.
SYSTEM_TESTS += $(BUILD)/tests/kernel_gro
$(BUILD)/tests/kernel_gro: $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/test_gro.c ctrl/super/sockets.c ctrl/super/metrics_socket.c ctrl/path/net_receive.c \
    $(wildcard ctrl/lib/*.c))
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lm -lcmocka
