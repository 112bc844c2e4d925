# SPDX-License-Identifier: Apache-2.0
# The world in one process (tests/world/world.h): whole daemons under one virtual clock and one seed.
WORLD_ROOM_SRCS := $(filter-out %/main.c %/route_query.c ctrl/path/netlink%.c,$(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS) $(IKE_SRCS) $(KEYS_SRCS) \
    $(CRYPTO_SRCS) $(PKI_SRCS) $(FETCH_SRCS) $(PATH_SRCS))
WORLD_SRCS := $(filter-out %/main.c %/scenario.c $(wildcard tests/world/test_*.c),$(wildcard tests/world/*.c)) $(WORLD_ROOM_SRCS) sim/card_model.c
WORLD_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(WORLD_SRCS)))
# Memory runs out for the daemons alone, not for the world (memory.c).
WORLD_MEMORY := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=strdup,--wrap=strndup
$(filter-out $(BUILD)/obj/tests/world/fast_%,$(filter $(BUILD)/obj/tests/world/%,$(WORLD_OBJS))): CPPFLAGS += -include tests/world/plenty.h
WORLD_DISK := -Wl,--wrap=open,--wrap=write,--wrap=rename,--wrap=fsync,--wrap=leases_open,--wrap=leases_keep,--wrap=pools_take
WORLD_DISK += -Wl,--wrap=pki_check_standing,--wrap=pki_check_fetched
WORLD_LIBS := -Wl,--wrap=sadb_install,--wrap=bus_open,--wrap=esp_soft_open,--wrap=esp_soft_open_queues $(WORLD_MEMORY) $(WORLD_DISK) $(LIBESPALIER_LIBS) -lssl -lcrypto -lpci -lm
WORLD := $(BUILD)/tests/world
$(WORLD): $(BUILD)/obj/tests/world/main.o $(WORLD_OBJS) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(WORLD_LIBS)
# The same with the Verilated card in it, for --card verilated.
$(WORLD)_verilated: $(BUILD)/obj/tests/world/main.o $(WORLD_OBJS) $(BUILD)/lib/libcard_l1.a $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CXX) $(LDFLAGS) -Wl,--undefined=card_model_l1_new -o $@ $^ $(WORLD_LIBS) $(CARD_MODEL_LIBS)
SCENARIOS := $(BUILD)/tests/test_world $(BUILD)/tests/test_world_card
UNIT_TESTS += $(SCENARIOS)
$(SCENARIOS): $(BUILD)/tests/%: $(BUILD)/obj/tests/world/%.o $(BUILD)/obj/tests/world/scenario.o $(WORLD_OBJS) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(WORLD_LIBS) -lcmocka

N ?= 200
unit-tests: $(WORLD)
.PHONY: world
world: $(WORLD) ## N random worlds (default 200): daemons, network, operators and faults from one seed each
	@$(WORLD) $(or $(SEED),1) --count $(N)
.PHONY: check-world
check-world: check-mutants check-orders-short $(WORLD) ## a couple of hundred random worlds within a minute of CPU time, and how fast they are; WORLD_SEED picks the first
	@$(WORLD) 7 --count 3 --twice
	@$(WORLD) $(or $(WORLD_SEED),1) --count 200 --cpu 60 --fast
	@$(WORLD) 1001 --count 10 --traffic 4500 --fast --busy
	@$(WORLD) 3 --count 20 --cpu 8 --workers 2
	@$(WORLD) 1 --count 50 --cpu 15 --deaths

.PHONY: check-mutants
check-mutants: ## does each planted defect still apply to the source
	@tests/mutants_apply.sh tests/world tests/orders tests/unit tests/fuzz tests/formal
.PHONY: world-mutants
world-mutants: $(WORLD) ## plant old defects again: random seeds must find each within five CPU minutes
	@BUILD=$(BUILD) tests/world/mutants.sh
