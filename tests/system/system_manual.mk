# SPDX-License-Identifier: Apache-2.0
# The manual's examples as a reader meets them.
MANUAL_LAB := $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/manual_lab.c tests/system/pluto.c tests/system/steps.c tests/unit/manual_pages.c) $(HARNESS)
SYSTEM_TESTS += $(BUILD)/tests/system_manual
$(BUILD)/tests/system_manual: $(BUILD)/obj/tests/system/test_manual.o $(MANUAL_LAB)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

# A routing daemon with the configuration of one of its pages; not in `make check`, as Debian's bird2 need not be there.
$(BUILD)/tests/system_routing: $(BUILD)/obj/tests/unit/manual_pages.o

.PHONY: check-manual check-routing
check-routing: $(BUILD)/tests/system_routing programs ## BGP, by Debian's bird2 where it is installed, among two route-based tunnels (root)
	@tests/need.sh lab
	@BUILD=$(BUILD) tests/run.sh "tests/as_root.sh $(BUILD)/tests/system_routing"
check-manual: $(BUILD)/tests/system_manual $(PEERS)/no_esp_netlink.so programs ## every example of the manual, from its own text; the transcript is in build/log
	@tests/need.sh lab
	@tests/system/peers/get.sh $(PEERS) || echo "check-manual: skip: the page about libreswan"
	@BUILD=$(BUILD) tests/run.sh "$$([ ! -e $(PEERS)/.done ] || echo ESPALIER_PEERS=$(PEERS)) tests/as_root.sh $(BUILD)/tests/system_manual all"
