# SPDX-License-Identifier: Apache-2.0
# espalier, the operator's command: a client of VICI, with the daemon's own message code and reader of swanctl.conf, and the driver.
CLI_SRCS := $(sort $(filter-out ctrl/cli/main.c,$(wildcard ctrl/cli/*.c)))
CLI_PARTS := $(CLI_SRCS) $(filter-out %/main.c %/room.c %/session.c %/state.c %/owners.c,$(FLEET_SRCS)) ctrl/ctl/vici_msg.c $(CONFIG_SRCS) $(CTRL_LIB_SRCS) $(LIBESPALIER)
CLI_LIBS := -lcurl -ljansson -lmnl $(LIBESPALIER_LIBS) -lm

PROGRAMS += $(BUILD)/bin/espalier
$(BUILD)/bin/espalier: $(patsubst %.c,$(BUILD)/obj/%.o,$(sort ctrl/cli/main.c $(filter %.c,$(CLI_PARTS)))) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(CLI_LIBS)
