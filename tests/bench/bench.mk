# SPDX-License-Identifier: Apache-2.0
# Measurements: not tests, no verdict.
$(BUILD)/tests/bench_esp: $(BUILD)/obj/tests/bench/bench_esp.o $(LIBESPALIER)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS)

.PHONY: bench-esp
bench-esp: $(BUILD)/tests/bench_esp ## CPU time per packet of the software engine, beside OpenSSL alone
	@$(BUILD)/tests/bench_esp
