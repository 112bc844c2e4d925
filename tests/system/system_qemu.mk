# SPDX-License-Identifier: Apache-2.0
# The simulated card in a virtual machine; not part of `make check`. QEMU, QEMU_KERNEL, QEMU_MODULES, QEMU_BUSYBOX: see qemu.sh.
$(BUILD)/tests/card_guest: $(BUILD)/obj/tests/system/card_guest.o $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS)

.PHONY: check-qemu
check-qemu: $(BUILD)/bin/espalier-card $(BUILD)/tests/card_guest ## the card in stock QEMU 11.1: lspci, registers, FLR, VFIO, reboot (QEMU=, QEMU_KERNEL=; skips without)
	@QEMU="$(QEMU)" QEMU_KERNEL="$(QEMU_KERNEL)" QEMU_MODULES="$(QEMU_MODULES)" QEMU_BUSYBOX="$(QEMU_BUSYBOX)" \
	    tests/system/qemu.sh $(BUILD)
