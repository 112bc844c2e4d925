# SPDX-License-Identifier: Apache-2.0
# Virtual machines (emulated: no KVM): a guest whose kernel has ESP and AH as the peer, and the simulated card in a guest,
# beside a device of QEMU's own.
# Not part of `make check`. What they take is unpacked below $(GUEST) by guest/get.sh.
GUEST := $(abspath $(BUILD))/guest
GUEST_OBJS := $(BUILD)/obj/tests/system/guest.o
GUEST_LAB_OBJS := $(patsubst %,$(BUILD)/obj/tests/system/%.o,guest guest_lab middle steps)
# the kernel's algorithms, by name, since nothing in a guest loads a module that is asked for
GUEST_CRYPTO := drbg gcm ccm ctr cbc ecb cmac hmac md5 sha1_generic sha256_generic sha512_generic crypto_null ghash-generic \
    chacha_generic poly1305_generic chacha20poly1305 authenc authencesn seqiv echainiv
GUEST_NET := virtio_pci virtio_net xfrm_user esp4 esp6 ah4 ah6 tunnel4 tunnel6
GUEST_MODULES := $(addprefix --module ,$(GUEST_CRYPTO) $(GUEST_NET))
# what espalierd asks of a kernel, and the card's way to it
GUEST_DAEMON := $(addprefix --module ,virtio_net xfrm_user tun crc32c_generic nf_tables nft_socket nft_fib_inet nft_fib_ipv4 nft_fib_ipv6 vfio_iommu_type1 vfio_pci) \
    --module e1000e --program $(abspath $(BUILD))/bin/espalierd --program $(abspath $(BUILD))/bin/espalier --program swanctl --program setpriv \
    --program $(abspath $(BUILD))/tests/vfio_guest
GUEST_STRONGSWAN := --program /usr/lib/ipsec/charon --program swanctl --folder /usr/lib/ipsec/plugins

$(BUILD)/tests/card_guest $(BUILD)/tests/vfio_guest $(BUILD)/tests/kernel_guest: $(BUILD)/tests/%: $(BUILD)/obj/tests/system/%.o $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS)
$(BUILD)/tests/guest_encap: $(BUILD)/obj/tests/system/guest_encap.o
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^
$(BUILD)/tests/guest_kernel: $(BUILD)/obj/tests/system/guest_kernel.o $(GUEST_OBJS) $(HARNESS) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS)
$(BUILD)/tests/guest_esp: $(BUILD)/obj/tests/system/guest_esp.o $(BUILD)/obj/tests/system/guest_xfrm.o $(GUEST_OBJS) $(HARNESS) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS)
$(BUILD)/tests/system_guest_ike $(BUILD)/tests/system_guest_card $(BUILD)/tests/system_guest_kernel_esp: $(BUILD)/tests/system_guest_%: $(BUILD)/obj/tests/system/test_guest_%.o $(GUEST_LAB_OBJS) $(HARNESS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

# Images: what is in them is taken from this machine, so each run makes them anew (2 s).
GUEST_ENV = ESPALIER_GUEST=$(GUEST) ESPALIER_REPORT=$(abspath $(BUILD))/report ESPALIER_GUEST_IMAGE=$(GUEST)
GUEST_IMAGE = tests/system/guest/image.sh $(GUEST) $(GUEST)/$(1).img tests/system/guest/init.sh --program ip --program ping $(2)

.PHONY: check-qemu
check-qemu: $(BUILD)/bin/espalier-card $(BUILD)/tests/card_guest $(BUILD)/tests/vfio_guest $(BUILD)/tests/guest_encap $(BUILD)/tests/guest_esp $(BUILD)/tests/kernel_guest $(BUILD)/tests/guest_kernel $(BUILD)/tests/system_guest_ike $(BUILD)/tests/system_guest_card $(BUILD)/tests/system_guest_kernel_esp programs ## a guest's kernel as the peer (ESP, AH, with strongSwan), the card in stock QEMU; fetches QEMU 11.1 and a kernel (300 MB)
	@tests/deps.sh qemu
	@tests/need.sh lab
	@mkdir -p $(BUILD)/report
	@tests/system/guest/get.sh $(GUEST)
	@$(call GUEST_IMAGE,kernel,$(GUEST_MODULES) --program $(abspath $(BUILD)/tests/guest_encap) --program $(abspath $(BUILD)/tests/kernel_guest))
	@$(call GUEST_IMAGE,card,$(GUEST_DAEMON))
	@$(call GUEST_IMAGE,daemon,$(GUEST_MODULES) $(GUEST_DAEMON))
	@$(call GUEST_IMAGE,strongswan,$(GUEST_MODULES) $(GUEST_STRONGSWAN))
	@BUILD=$(BUILD) tests/run.sh "$(GUEST_ENV)/kernel.img $(BUILD)/tests/guest_kernel" "$(GUEST_ENV)/kernel.img $(BUILD)/tests/guest_esp" \
	    "ESPALIER_ENGINE=card $(GUEST_ENV)/kernel.img $(BUILD)/tests/guest_esp" \
	    "$(GUEST_ENV)/strongswan.img tests/as_root.sh $(BUILD)/tests/system_guest_ike" \
	    "$(GUEST_ENV)/card.img tests/as_root.sh $(BUILD)/tests/system_guest_card" \
	    "$(GUEST_ENV)/daemon.img tests/as_root.sh $(BUILD)/tests/system_guest_kernel_esp" \
	    "tests/system/qemu.sh $(BUILD) $(GUEST)"
