# SPDX-License-Identifier: Apache-2.0
# espalierd: one program, which executes itself once for each process. Each room lists its own sources in a .mk where it needs more
# than all the .c files of its folder.
-include ctrl/ike/ike.mk
-include ctrl/path/path.mk

CTRL_LIB_SRCS := $(wildcard ctrl/lib/*.c) $(wildcard ctrl/ipc/*.c)
CTL_SRCS := $(wildcard ctrl/ctl/*.c)
SUPER_SRCS := $(wildcard ctrl/super/*.c)
IKE_SRCS ?= $(wildcard ctrl/ike/*.c)
KEYS_SRCS ?= $(wildcard ctrl/keys/*.c)
CRYPTO_SRCS ?= $(wildcard ctrl/crypto/*.c)
PKI_SRCS := $(sort $(wildcard ctrl/pki/*.c))
FETCH_SRCS := $(sort $(wildcard ctrl/fetch/*.c))
METRICS_SRCS := $(sort $(wildcard ctrl/metrics/*.c))
FLEET_SRCS := $(sort $(wildcard ctrl/fleet/*.c))
# What is configured may be certificates: they are read by the same code that judges them later.
CONFIG_SRCS := $(wildcard ctrl/config/*.c) $(PKI_SRCS) $(CRYPTO_SRCS)

ESPALIERD_SRCS := $(SUPER_SRCS) $(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS) $(IKE_SRCS) $(KEYS_SRCS) $(CRYPTO_SRCS) $(PKI_SRCS) $(FETCH_SRCS) $(METRICS_SRCS) $(FLEET_SRCS) $(PATH_SRCS)
PROGRAMS += $(BUILD)/bin/espalierd

.PHONY: espalierd
espalierd: $(BUILD)/bin/espalierd ## the IKE daemon alone
$(BUILD)/bin/espalierd: $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(ESPALIERD_SRCS))) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS) $(PATH_LIBS) -lcurl -ljansson -lmicrohttpd -lseccomp -lcap-ng -lssl -lcrypto -lpci -lm

-include ctrl/cli/cli.mk

# The tables of swanctl.conf's keys in ctrl/config/README.md and the manual; test_config_keys fails when they are not these.
CONFIG_TABLE_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,ctrl/config/gen/main.c ctrl/config/gen/table.c $(CONFIG_SRCS) ctrl/ctl/vici_msg.c $(CTRL_LIB_SRCS))
$(BUILD)/tools/config-table: $(CONFIG_TABLE_OBJS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcrypto -lm
.PHONY: config-table
config-table: $(BUILD)/tools/config-table ## write the tables of keys in ctrl/config/README.md and the manual from the list in swanctl_keys.h
	@for f in ctrl/config/README.md ctrl/manual/strongswan.md; do $< $$f >$(BUILD)/README.new && cat $(BUILD)/README.new >$$f || exit 1; done
