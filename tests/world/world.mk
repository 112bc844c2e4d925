# SPDX-License-Identifier: Apache-2.0
# The world in one process (tests/world/world.h): whole daemons under one virtual clock and one seed.
WORLD_SRCS := $(wildcard tests/world/*.c) \
    $(filter-out %/main.c ctrl/path/netlink%.c,$(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS) $(IKE_SRCS) $(KEYS_SRCS) $(CRYPTO_SRCS) $(PATH_SRCS))
WORLD_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(WORLD_SRCS)))
WORLD := $(BUILD)/tests/world
$(WORLD): $(WORLD_OBJS) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -Wl,--wrap=sadb_install,--wrap=bus_open,--wrap=esp_soft_open -o $@ $^ $(LIBESPALIER_LIBS) -lcrypto -lpci -lm

N ?= 200
.PHONY: world
world: $(WORLD) ## N random worlds (default 200): daemons, network, operators and faults from one seed each
	@$(WORLD) $(or $(SEED),1) --count $(N)
.PHONY: world-mutants
world-mutants: $(WORLD) ## plant old defects again: random seeds must find each within five CPU minutes
	@BUILD=$(BUILD) tests/world/mutants.sh
