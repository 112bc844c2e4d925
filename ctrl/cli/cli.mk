# SPDX-License-Identifier: Apache-2.0
# espalier, the operator's command: a client of VICI, with the daemon's own message code and reader of swanctl.conf.
CLI_SRCS := $(sort $(filter-out ctrl/cli/main.c,$(wildcard ctrl/cli/*.c)))
CLI_PARTS := $(CLI_SRCS) driver/bus/pci_scan.c ctrl/ctl/vici_msg.c $(CONFIG_SRCS) $(CTRL_LIB_SRCS)
CLI_LIBS := -ljansson -lpci -lmnl -lcrypto -lm

PROGRAMS += $(BUILD)/bin/espalier
$(BUILD)/bin/espalier: $(patsubst %.c,$(BUILD)/obj/%.o,$(sort ctrl/cli/main.c $(CLI_PARTS)))
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(CLI_LIBS)
