# SPDX-License-Identifier: Apache-2.0
# Every order of two ends' exchanges (tests/orders/README.md).
ORDERS := $(BUILD)/tests/orders
ORDERS_SRCS := $(wildcard tests/orders/*.c) tests/unit/ike_pair.c tests/world/rng.c $(IKE_ROOM_SRCS)
$(ORDERS): $(patsubst %.c,$(BUILD)/obj/%.o,$(ORDERS_SRCS))
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -Wl,--wrap=madvise,--wrap=cr_sk_seal,-z,now -lcmocka -Wl,-Bstatic -lssl -lcrypto -Wl,-Bdynamic -lm
unit-tests: $(ORDERS)

# Lists of one act, some with a loss; orders and pairs of lists of two that have failed once; orders at random beyond.
.PHONY: check-orders-short
check-orders-short: $(ORDERS)
	@$(ORDERS) --acts 1 --losses 0 --copies 0
	@$(ORDERS) --acts 1 --stride 4 --slice $(or $(ORDERS_SEED),1) $(if $(ORDERS_SEED),--seed $(ORDERS_SEED))
	@$(ORDERS) --kept tests/orders/KEPT
	@for lists in i/i m/l r/d; do for how in "" --by-ends; do \
	    $(ORDERS) $$lists $$how | sed "s/ends judged.*//" | tail -n 1 | sed 's/, [0-9]* $$//'; done | uniq -c | \
	    awk -v l=$$lists '$$1 != 2 {print "FAILED " l ": by the ends themselves there is another number of states:" $$0; bad = 1} END {exit bad || NR != 1}' || exit 1; done
	@$(ORDERS) --only cd --losses 0 --copies 0
	@for lists in ic/nd lc/cc xc/c xc/i c/z cf/c f/c cd/cx cz/cx rd/ r/d r/f r/i r/n r/r r/cd; do $(ORDERS) $$lists --losses 0 --copies 0 || exit 1; done
	@$(ORDERS) --acts 3 --losses 2 --copies 2 --walks 1000 $(if $(ORDERS_SEED),--seed $(ORDERS_SEED))
# What is done of it is written down, and the next run of the same program goes on from there; several machines: a slice each.
ORDERS_SLICES ?= 1
ORDERS_SLICE ?= 0
ORDERS_ALL = $(ORDERS) --acts 2 --verbose --stride $(ORDERS_SLICES) --slice $(ORDERS_SLICE) $(if $(ORDERS_CPU),--cpu $(ORDERS_CPU)) \
	--record $(BUILD)/report/orders-$$(sha256sum <$(ORDERS) | cut -c 1-12)
.PHONY: check-orders
check-orders: $(ORDERS) ## every order of two exchanges a side with a loss and a copy anywhere (ORDERS_CPU=SECONDS, ORDERS_SLICES=N ORDERS_SLICE=I)
	@mkdir -p $(BUILD)/report
	@$(ORDERS) --acts 1
	@$(ORDERS) --acts 3 --losses 2 --copies 2 --walks 20000
	@$(ORDERS_ALL)
.PHONY: orders-mutants
orders-mutants: $(ORDERS) ## plant a bug in each rule of collision: every one must be found (NAMES="...", LIMIT=SECONDS)
	@BUILD=$(BUILD) tests/orders/mutants.sh $(NAMES)
