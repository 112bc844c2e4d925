# SPDX-License-Identifier: Apache-2.0
# The simulated card: the Verilated models (card_model.mk, workbench.mk) and espalier-card around one of them.
-include sim/card_model.mk
-include sim/pair/pair.mk
-include sim/workbench.mk

VFIO_USER_SRCS := $(addprefix sim/vfio_user/,wire.c dma.c irq.c server.c)
CARD_SRCS := $(addprefix sim/card/,pci_config.c device.c spoil.c trouble.c tree.c stats.c control.c options.c process.c)
CARD_LIBS := -ljansson

$(BUILD)/bin/espalier-card: $(patsubst %.c,$(BUILD)/obj/%.o,sim/card/main.c $(CARD_SRCS) $(VFIO_USER_SRCS)) \
    $(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CXX) $(LDFLAGS) -o $@ $^ $(CARD_LIBS) $(CARD_MODEL_LIBS)

PROGRAMS += $(BUILD)/bin/espalier-card
