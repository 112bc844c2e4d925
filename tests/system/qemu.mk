# SPDX-License-Identifier: Apache-2.0
# The simulated card in a virtual machine; not part of `make check`. QEMU, QEMU_KERNEL, QEMU_BUSYBOX: see qemu.sh.
.PHONY: check-qemu
check-qemu: $(BUILD)/bin/espalier-card ## the card in stock QEMU 11.1: lspci, registers, FLR, reboot (QEMU=, QEMU_KERNEL=; skips without)
	@QEMU="$(QEMU)" QEMU_KERNEL="$(QEMU_KERNEL)" QEMU_BUSYBOX="$(QEMU_BUSYBOX)" tests/system/qemu.sh $(BUILD)
