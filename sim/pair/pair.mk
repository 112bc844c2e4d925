# SPDX-License-Identifier: Apache-2.0
# espalier-sim's command pair, and the same as a program of its own, which needs nothing of the RTL.
PAIR_SRCS := $(addprefix sim/pair/,pair.c lab.c traffic.c watch.c report.c)

PROGRAMS += $(BUILD)/bin/espalier-pair
$(BUILD)/bin/espalier-pair: $(patsubst %.c,$(BUILD)/obj/%.o,sim/pair/main.c $(PAIR_SRCS))
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -ljansson

.PHONY: software
software: ## espalierd, espalier and espalier-pair (two gateways and a verdict, for CI): eleven packages, no Verilog
	@tests/deps.sh software
	@$(AGAIN) $(BUILD)/bin/espalierd $(BUILD)/bin/espalier $(BUILD)/bin/espalier-pair
