# SPDX-License-Identifier: Apache-2.0
# Measurements, without a verdict but for bench_lookup.
$(BUILD)/tests/bench_esp: $(BUILD)/obj/tests/bench/bench_esp.o $(LIBESPALIER)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS)

$(BUILD)/tests/bench_queues: $(BUILD)/obj/tests/bench/bench_queues.o $(LIBESPALIER)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS)

.PHONY: bench-esp
bench-esp: $(BUILD)/tests/bench_esp $(BUILD)/tests/bench_queues ## CPU time per packet of the software engine, beside OpenSSL alone
	@$(BUILD)/tests/bench_esp
	@$(BUILD)/tests/bench_queues

LOOKUP_SRCS := tests/bench/bench_lookup.c $(filter-out ctrl/path/policy_kernel.c,$(PATH_ROOM_SRCS)) $(wildcard ctrl/lib/*.c ctrl/ipc/*.c)
$(BUILD)/tests/bench_lookup: $(patsubst %.c,$(BUILD)/obj/%.o,$(LOOKUP_SRCS)) $(LIBESPALIER)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS) -lm

# The same, and what a look-up runs through counts its basic blocks.
COUNTED_SRCS := $(filter $(addprefix ctrl/path/,class%.c spd%.c look_up.c fields.c flow.c sadb.c inbound.c outbound.c) ctrl/lib/hash.c,$(LOOKUP_SRCS))
$(BUILD)/obj/counted/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $< (counted)"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize-coverage=trace-pc -MMD -MP -c -o $@ $<

UNIT_TESTS += $(BUILD)/tests/lookup_cost
$(BUILD)/tests/lookup_cost: $(patsubst %.c,$(BUILD)/obj/counted/%.o,$(COUNTED_SRCS)) $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out $(COUNTED_SRCS),$(LOOKUP_SRCS))) $(LIBESPALIER)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS) -lm

.PHONY: bench-lookup
bench-lookup: $(BUILD)/tests/bench_lookup ## cost of a look-up with 10 to 100,000 policies and SAs; fails where it grows too much
	@mkdir -p $(BUILD)/report
	@$(BUILD)/tests/bench_lookup $(BUILD)/report/bench-lookup.json

$(BUILD)/tests/pass_on: $(BUILD)/obj/tests/bench/pass_on.o
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^

.PHONY: bench-gateway
bench-gateway: programs $(BUILD)/tests/pass_on ## TCP, CPU per packet and ping through two gateways, beside kernel-libipsec, wireguard-go, what the kernel alone costs, and no IPsec (iperf3)
	@tests/as_root.sh tests/bench/gateway.sh $(BUILD)/bin

.PHONY: bench-ike
bench-ike: $(BUILD)/bin/espalierd $(BUILD)/bin/espalier-load ## CPU and memory per handshake, cookie, junk, SA and connection, beside charon
	@mkdir -p $(BUILD)/report
	@tests/as_root.sh tests/bench/ike.sh $(BUILD)/bin $(BUILD)/report/bench-ike.json

.PHONY: bench-flashcrowd
bench-flashcrowd: $(BUILD)/bin/espalierd $(BUILD)/bin/espalier-load ## 100,000 devices come back at once while forged requests come; beside charon
	@mkdir -p $(BUILD)/report
	@tests/as_root.sh tests/bench/crowd.sh $(BUILD)/bin $(BUILD)/report/bench-flashcrowd.json
