# SPDX-License-Identifier: Apache-2.0
# Measurements: not tests, no verdict.
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

.PHONY: bench-lookup
bench-lookup: $(BUILD)/tests/bench_lookup ## cost of a look-up with 10 to 100,000 policies and SAs
	@mkdir -p $(BUILD)/report
	@$(BUILD)/tests/bench_lookup $(BUILD)/report/bench-lookup.json

.PHONY: bench-gateway
bench-gateway: programs ## TCP, CPU per packet and ping through two gateways, beside kernel-libipsec, wireguard-go and no IPsec (iperf3)
	@tests/as_root.sh tests/bench/gateway.sh $(BUILD)/bin

.PHONY: bench-ike
bench-ike: $(BUILD)/bin/espalierd $(BUILD)/bin/espalier-load ## CPU and memory per handshake, cookie, junk, SA and connection, beside charon
	@mkdir -p $(BUILD)/report
	@tests/as_root.sh tests/bench/ike.sh $(BUILD)/bin $(BUILD)/report/bench-ike.json
