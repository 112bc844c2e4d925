// SPDX-License-Identifier: Apache-2.0
// espalier card bind, unbind, info, selftest and reset: on a PCI tree of files with a kernel in small behind
// what is written into it, and on cards made of C. On a card that is one: tests/system/test_card.c, and with
// the real kernel's VFIO tests/system/test_guest_card.c.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "ctrl/cli/pci.h"
#include "tests/unit/cli_rig.h"
#include "tests/unit/drv_fake_card.h"

#define CARD  "0000:02:00.0"
#define OTHER "0000:03:00.0"

static char root[64], written[1024];
static struct {
    char override[32], native[32];
    bool vfio_refuses, unbind_fails;
} kernel;

__attribute__((format(printf, 1, 2))) static void shell(const char *fmt, ...)
{
    char cmd[1200], whole[1400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    snprintf(whole, sizeof(whole), "cd %s && %s", root, cmd);
    if (system(whole) != 0)
        fail_msg("%s", whole);
}

// ---- the kernel

static void take(const char *driver)
{
    shell("rm -f devices/" CARD "/driver");
    if (driver[0])
        shell("ln -s ../../drivers/%s devices/" CARD "/driver", driver);
}

// The kernel's word for no driver is this.
static void prefer(const char *driver)
{
    snprintf(kernel.override, sizeof(kernel.override), "%s", driver);
    shell("echo '%s' >devices/" CARD "/driver_override", driver[0] ? driver : "(null)");
}

static void probe(void)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/devices/" CARD "/driver", root);
    if (access(path, F_OK) == 0)
        return; // it has one
    if (kernel.override[0])
        take(kernel.vfio_refuses && strcmp(kernel.override, "vfio-pci") == 0 ? "" : kernel.override);
    else
        take(kernel.native);
}

int __wrap_pci_write(const char *path, const char *text);
int __wrap_pci_write(const char *path, const char *text)
{
    const char *name = path + strlen(root) + 1;
    snprintf(written + strlen(written), sizeof(written) - strlen(written), "%s=%s\n", name,
             text[0] == '\n' ? "" : text);
    if (strstr(name, "/driver_override"))
        prefer(text[0] == '\n' ? "" : text);
    else if (strstr(name, "/unbind") && kernel.unbind_fails)
        return -EPERM;
    else if (strstr(name, "/unbind"))
        take("");
    else if (strcmp(name, "drivers_probe") == 0)
        probe();
    return 0;
}

// ---- the tree

static void device(const char *name, const char *vendor, const char *id)
{
    shell("mkdir -p devices/%s && cd devices/%s && echo %s >vendor && echo %s >device && echo 0x100000 "
          ">class && "
          "echo 0 >irq && : >resource && head -c 64 /dev/zero >config",
          name, name, vendor, id);
}

static int begin(void **state)
{
    memset(&kernel, 0, sizeof(kernel));
    written[0] = 0;
    strcpy(root, "/tmp/espalier-pci-XXXXXX");
    if (cli_rig_begin(state) || !mkdtemp(root))
        return -1;
    device(CARD, "0x1234", "0xe5b0");
    device("0000:00:1f.0", "0x8086", "0x2918");
    shell("mkdir -p drivers/vfio-pci drivers/nic drivers/ahci groups/7/devices/" CARD);
    shell("ln -s ../../groups/7 devices/" CARD "/iommu_group");
    return 0;
}

static int end(void **state)
{
    char cmd[100];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
    return system(cmd) | cli_rig_end(state);
}

static int card(const char *action, const char *address, const char *option)
{
    char *argv[8] = {"espalier", "card", (char *)(uintptr_t)action};
    int argc = 3;
    if (address)
        argv[argc++] = (char *)(uintptr_t)address;
    if (option)
        argv[argc++] = (char *)(uintptr_t)option;
    argv[argc++] = "--pci-sysfs";
    argv[argc++] = root;
    return espalier_plain(argc, argv);
}

static void refused(const char *why)
{
    assert_int_equal(card("bind", NULL, NULL), CLI_FAILED);
    says(why);
    assert_string_equal(written, ""); // nothing was touched
}

// ---- bind and unbind

static void test_bind_hands_a_card_to_vfio_and_unbind_back(void **state)
{
    (void)state;
    strcpy(kernel.native, "nic");
    take("nic");
    assert_int_equal(card("bind", NULL, NULL), CLI_DONE);
    shows(CARD " is bound to vfio-pci (it was to nic): the daemon has it by /dev/vfio/7\n");
    assert_string_equal(written, "devices/" CARD "/driver_override=vfio-pci\ndrivers/nic/unbind=" CARD
                                 "\ndrivers_probe=" CARD "\n");
    written[0] = 0;
    assert_int_equal(card("bind", CARD, NULL), CLI_DONE);
    shows(CARD " is bound to vfio-pci already\n");
    assert_string_equal(written, "");
    assert_int_equal(card("list", NULL, NULL), CLI_DONE);
    shows("ready for the daemon");
    assert_int_equal(card("unbind", CARD, NULL), CLI_DONE);
    shows(CARD " is bound to nic\n");
    assert_string_equal(written, "devices/" CARD "/driver_override=\ndrivers/vfio-pci/unbind=" CARD
                                 "\ndrivers_probe=" CARD "\n");
    assert_int_equal(card("unbind", CARD, NULL), CLI_USAGE);
    says("it is bound to nic, not to vfio-pci");
}

static void test_bind_of_a_card_that_no_driver_has(void **state)
{
    (void)state;
    assert_int_equal(card("bind", NULL, "--json"), CLI_DONE);
    json_t *doc = json_loads(cli_out, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(doc, "address")), CARD);
    assert_string_equal(json_string_value(json_object_get(doc, "was")), "");
    json_decref(doc);
    assert_int_equal(card("unbind", NULL, NULL), CLI_DONE);
    shows(CARD " is bound to no driver\n");
}

// Of a tree that somebody has made.
static void test_names_command_no_terminal(void **state)
{
    (void)state;
    shell("mkdir \"drivers/$(printf 'n\\033[31mic')\" && printf '\\033[2J8.0 GT/s' >devices/" CARD
          "/current_link_speed && echo 4 >devices/" CARD "/current_link_width");
    shell("ln -s \"../../drivers/$(printf 'n\\033[31mic')\" devices/" CARD "/driver");
    assert_int_equal(card("info", NULL, NULL), CLI_DONE);
    shows("8.0 GT/s");
    assert_null(strchr(cli_out, '\033'));
    assert_int_equal(card("bind", NULL, NULL), CLI_DONE);
    shows("31mic");
    assert_null(strchr(cli_out, '\033'));
}

static void test_bind_refuses_what_vfio_would_not_give_out(void **state)
{
    (void)state;
    shell("rm -r drivers/vfio-pci");
    refused("the kernel has no driver vfio-pci: modprobe vfio-pci");
    shell(
        "mkdir drivers/vfio-pci groups/7/devices/0000:02:00.1 groups/7/devices/0000:00:01.0 && ln -s "
        "../../../../drivers/pcieport groups/7/devices/0000:00:01.0/driver && ln -s ../../../../drivers/ahci "
        "groups/7/devices/0000:02:00.1/driver");
    refused(CARD ": IOMMU group 7 is not viable: the kernel works with 0000:02:00.1 (ahci) of it, too; "
                 "unbind that or bind "
                 "it to vfio-pci");
    shell("ln -sfn ../../../../drivers/vfio-pci groups/7/devices/0000:02:00.1/driver");
    assert_int_equal(card("bind", NULL, NULL), CLI_DONE);
    take("");
    written[0] = 0;
    shell("rm devices/" CARD "/iommu_group");
    refused("it is in no IOMMU group: switch the IOMMU on");
}

// `lo` has an address in every network that is up; `none0` there is not.
static void test_bind_takes_no_network_device_in_use_unless_it_is_forced(void **state)
{
    (void)state;
    strcpy(kernel.native, "nic");
    take("nic");
    shell("mkdir -p devices/" CARD "/net/lo");
    refused("it is in use: lo has the address 127.0.0.1; --force takes it all the same");
    shell("rmdir devices/" CARD "/net/lo && mkdir devices/" CARD "/net/none0 && ln -s ../../../../net/br7 "
          "devices/" CARD "/net/none0/master");
    refused("it is in use: none0 is part of br7");
    assert_int_equal(card("bind", NULL, "--force"), CLI_DONE);
    take("nic");
    shell("rm devices/" CARD "/net/none0/master");
    assert_int_equal(card("bind", NULL, NULL), CLI_DONE);
}

static void test_bind_that_fails_is_taken_back(void **state)
{
    (void)state;
    strcpy(kernel.native, "nic");
    take("nic");
    kernel.vfio_refuses = true;
    assert_int_equal(card("bind", NULL, NULL), CLI_FAILED);
    says(CARD ": vfio-pci does not take it (dmesg says why); it is bound to nic");
    assert_string_equal(kernel.override, "");
    kernel.unbind_fails = true;
    assert_int_equal(card("bind", NULL, NULL), CLI_MISSING);
    says(CARD ": it cannot be bound to vfio-pci: Operation not permitted; it is bound to nic");
    assert_string_equal(kernel.override, "");
}

// The operator has it for another driver than the one that has it now; or for vfio-pci himself.
static void test_bind_and_unbind_that_fail_leave_the_operators_driver_override(void **state)
{
    (void)state;
    strcpy(kernel.native, "nic");
    take("nic");
    prefer("ahci");
    kernel.vfio_refuses = true;
    assert_int_equal(card("bind", NULL, NULL), CLI_FAILED);
    says(CARD ": vfio-pci does not take it (dmesg says why); it is bound to nic");
    assert_string_equal(kernel.override, "ahci");
    kernel.unbind_fails = true;
    assert_int_equal(card("bind", NULL, NULL), CLI_MISSING);
    assert_string_equal(kernel.override, "ahci");
    take("vfio-pci");
    prefer("vfio-pci");
    assert_int_equal(card("unbind", NULL, NULL), CLI_MISSING);
    says(CARD ": it cannot be taken from vfio-pci: Operation not permitted");
    assert_string_equal(kernel.override, "vfio-pci");
}

static void test_only_cards_of_ours_are_touched(void **state)
{
    (void)state;
    static const char *const actions[] = {"info", "bind", "unbind", "selftest", "reset"};
    device(OTHER, "0x1234", "0xe5b0");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(card(actions[i], "0000:00:1f.0", NULL), CLI_USAGE);
        says("0000:00:1f.0: the device is no card of ours");
        assert_int_equal(card(actions[i], "0000:09:00.0", NULL), CLI_MISSING);
        says("0000:09:00.0: there is no such device");
        assert_int_equal(card(actions[i], NULL, NULL), CLI_USAGE);
        says("there are 2 cards: name one");
    }
    shell("rm -r devices/" CARD " devices/" OTHER);
    assert_int_equal(card("info", NULL, NULL), CLI_MISSING);
    says("there is no card");
    assert_string_equal(written, "");
}

static void test_options_and_actions_that_do_not_go_together(void **state)
{
    (void)state;
    assert_int_equal(card("info", CARD, "--force"), CLI_USAGE);
    says("--force: has no meaning with `espalier card info`");
    assert_int_equal(card("counters", NULL, NULL), CLI_USAGE);
    says("--pci-sysfs: has no meaning with `espalier card counters`");
    assert_int_equal(card("list", CARD, NULL), CLI_USAGE);
    says(CARD ": more than `espalier card list` takes");
    assert_int_equal(card("lost", NULL, NULL), CLI_USAGE);
    says("'lost': expected list, info, bind, unbind, selftest, counters, reset, or nothing");
}

// ---- cards made of C

static int on_fake(const char *action, enum fake_fault fault)
{
    struct fake_options o = fake_default;
    struct fake_card *f = fake_card_start(&o);
    fake_card_fault(f, fault);
    int status = espalier_plain(5, (char *[]){"espalier", "card", (char *)(uintptr_t)action, "--pci-sysfs",
                                              (char *)(uintptr_t)fake_card_sysfs(f), NULL});
    fake_card_stop(f);
    return status;
}

static void test_info_shows_what_the_registers_say(void **state)
{
    (void)state;
    assert_int_equal(on_fake("info", FAKE_GOOD), CLI_DONE);
    shows("interface     2.0, build 00000000\nSAs           64 in each direction\n"
          "queues        2 for packets of up to 9,216 octets\nclock         250.000 MHz");
    shows("state         ready\n");
    assert_int_equal(on_fake("info", FAKE_FATAL), CLI_DONE);
    shows("state         FATAL\n");
    assert_int_equal(on_fake("info", FAKE_ALL_ONES), CLI_DONE);
    shows("registers     not read: MAGIC reads 0xffffffff, expected 0x4c505345\n");
}

static void test_reset_that_resets_nothing_is_found_out(void **state)
{
    (void)state;
    assert_int_equal(on_fake("reset", FAKE_GOOD), CLI_DONE);
    shows("0000:01:00.0 was reset; what SAs and keys it had are gone\n");
    assert_int_equal(on_fake("reset", FAKE_NO_RESET), CLI_FAILED);
    says("the reset was acknowledged, and the card was not reset");
    assert_int_equal(on_fake("bind", FAKE_GOOD), CLI_USAGE);
    says("a simulated card is bound to nothing");
    assert_int_equal(on_fake("unbind", FAKE_GOOD), CLI_USAGE);
    says("a simulated card is bound to nothing");
}

// What it seals it opens again, so the driver's own test finds nothing: but it is not ESP.
static void test_selftest_knows_the_answers(void **state)
{
    (void)state;
    assert_int_equal(on_fake("selftest", FAKE_GOOD), CLI_FAILED);
    shows("start             ok      reset, handshake, rings");
    shows("known answers     FAILED\n");
    says("the known answer for aes128gcm16: 53 octets came out, 96 were expected");
    assert_int_equal(on_fake("selftest", FAKE_HOLD), CLI_FAILED);
    shows("start             FAILED\n");
    says("the card hangs: queue 0 had no completion");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_bind_hands_a_card_to_vfio_and_unbind_back),
        T(test_bind_of_a_card_that_no_driver_has),
        T(test_names_command_no_terminal),
        T(test_bind_refuses_what_vfio_would_not_give_out),
        T(test_bind_takes_no_network_device_in_use_unless_it_is_forced),
        T(test_bind_that_fails_is_taken_back),
        T(test_bind_and_unbind_that_fail_leave_the_operators_driver_override),
        T(test_only_cards_of_ours_are_touched),
        T(test_options_and_actions_that_do_not_go_together),
        T(test_info_shows_what_the_registers_say),
        T(test_reset_that_resets_nothing_is_found_out),
        T(test_selftest_knows_the_answers),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
