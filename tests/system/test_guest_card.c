// SPDX-License-Identifier: Apache-2.0
// espalierd in a virtual machine, with the simulated card on that machine's PCI bus: stock QEMU's
// vfio-user-pci below, the guest kernel's VFIO behind its IOMMU above. Every packet of an SA with the site
// outside goes through the RTL, both ways, also after it was rekeyed; the card dies below it; a device is
// pulled out; and `espalier card` does there what it does on a machine with a card.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/guest_lab.h"
#include "tests/system/steps.h"

enum { FILE_OCTETS = 40000 };

static struct guest_lab g;
static struct lab *const lab = &g.lab;
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    (void)state;
    return guest_lab_up(&g, "espgca", true) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    guest_lab_down(&g);
    g.neighbour = false;
    return 0;
}

static int set_up_with_neighbour(void **state)
{
    g.neighbour = true;
    return set_up(state);
}

// ---- espalier card

// Its exit status and what it says, on either stream.
static void card_says(int status, const char *action, const char *text)
{
    char out[6000];
    int rc = guest_run(&g.guest, out, sizeof(out), "espalier card %s 2>&1", action);
    if (rc != status || !strstr(out, text))
        fail_msg("espalier card %s: %d, expected %d and \"%s\":\n%s", action, rc, status, text, out);
}

static uint64_t counter(const char *name)
{
    char out[16384];
    guest_run(&g.guest, out, sizeof(out), "swanctl --counters --all --raw");
    return number_after(out, name, 0);
}

static bool has_card(void *ctx)
{
    (void)ctx;
    return counter("card_present") == 1;
}

static void start_in_guest(void)
{
    static const char conf[] =
        "connections {\n  site {\n    version = 2\n    local_addrs = 10.10.0.2\n    remote_addrs = "
        "10.10.0.1\n"
        "    proposals = aes256gcm16-prfsha384-x25519\n    mobike = no\n    dpd_delay = 0\n"
        "    local {\n      auth = psk\n      id = east.example\n    }\n"
        "    remote {\n      auth = psk\n      id = west.example\n    }\n"
        "    children {\n      net {\n        local_ts = 10.2.0.0/16\n        remote_ts = 10.1.0.0/16\n"
        "        esp_proposals = aes256gcm16-esn\n        rekey_time = 0\n        hw_offload = auto\n      "
        "}\n"
        "    }\n  }\n}\nsecrets {\n  ike-1 {\n    id-1 = west.example\n    id-2 = east.example\n"
        "    secret = \"a shared secret of the lab\"\n  }\n}\n";
    assert_true(guest_put(&g.guest, "/etc/swanctl/swanctl.conf", conf));
    assert_true(guest_put(&g.guest, "/etc/strongswan.conf", "swanctl { }\n"));
    assert_true(in_guest(&g, "(espalierd >/run/espalierd.log 2>&1 &); i=0; "
                             "until swanctl --stats >/dev/null 2>&1; do [ $((i += 1)) -lt 300 ] || "
                             "{ tail -n 20 /run/espalierd.log; exit 1; }; sleep 0.2; done; "
                             "swanctl --load-all --noprompt 2>&1"));
    assert_true(wait_for(has_card, NULL, GUEST_PATIENCE_MS));
}

static void speaks(void)
{
    char out[6000];
    if (guest_pings(&g, 10) && guest_files(&g, FILE_OCTETS))
        return;
    guest_run(&g.guest, out, sizeof(out), "tail -n 40 /run/espalierd.log; swanctl --counters --all --raw");
    fail_msg("no traffic through the card: %s", out);
}

// The card bound, espalierd in the guest with it and outside without, and what goes between them captured.
static void start_both(char *pcap, size_t size)
{
    const struct tunnel_options o = {.esp = "aes256gcm16-esn"};
    card_says(0, "bind",
              GUEST_CARD " is bound to vfio-pci (it was to no driver): the daemon has it by /dev/vfio/");
    start_in_guest();
    assert_true(espalierd_start(lab, &lab->west, &lab->east, &o, no_card));
    start_capture(lab, pcap, size);
}

static void test_espalierd_in_a_guest_has_its_traffic_through_the_card(void **state)
{
    char pcap[200], out[16384];
    (void)state;
    start_both(pcap, sizeof(pcap));
    assert_true(unanswered(lab, &lab->west, &lab->east, 1));
    assert_true(initiate(&lab->west));
    speaks();
    guest_run(&g.guest, out, sizeof(out), "swanctl --list-sas --raw");
    if (!strstr(out, "offload=card"))
        fail_msg("it is not on the card: %s", out);
    assert_true(in_guest(&g, "swanctl --rekey --child net 2>&1"));
    assert_true(logged(&lab->west, "CHILD_SA net{2} established"));
    speaks();
    only_esp(lab, pcap, 200);
    assert_true(counter("card_packets_out") >= 100);
    assert_true(counter("card_packets_in") >= 100);
    assert_int_equal(counter("software_packets_out"), 0);
    assert_int_equal(counter("software_packets_in"), 0);
    assert_true(in_guest(&g, "! grep 'no nf_tables' /run/espalierd.log")); // the guest has all it asks for
}

static bool goes_on(void *ctx)
{
    (void)ctx;
    return guest_pings(&g, 1);
}

// In software, and nothing of it in clear meanwhile.
static void goes_on_in_software(const char *pcap)
{
    char out[16384];
    bool ok = wait_for(goes_on, NULL, PATIENCE_MS);
    guest_run(&g.guest, out, sizeof(out),
              "tail -n 40 /run/espalierd.log; swanctl --list-sas --raw; swanctl --counters --all --raw");
    if (!ok)
        fprintf(stderr, "%s", out);
    assert_true(ok);
    assert_true(guest_pings(&g, 10));
    only_esp(lab, pcap, 60);
}

static void begin_on_the_card(char *pcap, size_t size)
{
    start_both(pcap, size);
    assert_true(initiate(&lab->west));
    assert_true(guest_pings(&g, 10));
    assert_true(counter("card_packets_out") >= 20);
}

// The process that is the card dies; of the machine's PCI device nothing answers any more. The kernel then
// waits for a minute with a reset of it, the traffic does not.
static void test_card_that_dies_below_a_guest(void **state)
{
    char pcap[200];
    (void)state;
    begin_on_the_card(pcap, sizeof(pcap));
    assert_true(stop(&lab->card, SIGKILL, 5000));
    goes_on_in_software(pcap);
}

static bool let_go(void *ctx)
{
    (void)ctx;
    return guest_run(&g.guest, NULL, 0, "! pidof espalierd") == 0;
}

// The driver's bus layer on a device that this project has not made, and back.
static void bus_layer_on(const char *device)
{
    char order[500];
    snprintf(order, sizeof(order),
             "d=/sys/bus/pci/devices/%s; echo vfio-pci >$d/driver_override && echo %s "
             ">/sys/bus/pci/drivers_probe && "
             "vfio_guest %s && echo %s >/sys/bus/pci/drivers/vfio-pci/unbind && echo >$d/driver_override",
             device, device, device, device);
    assert_true(in_guest(&g, order));
}

static void test_card_commands_on_the_kernel_s_vfio(void **state)
{
    (void)state;
    static const char neighbour[] = "0000:01:00.1";
    char order[300];
    card_says(0, "list", "bound to no driver");
    card_says(1, "bind", "is not viable: the kernel works with 0000:01:00.1 (e1000e) of it, too");
    snprintf(order, sizeof(order), "echo %s >/sys/bus/pci/drivers/e1000e/unbind", neighbour);
    assert_true(in_guest(&g, order));
    card_says(0, "bind", "is bound to vfio-pci (it was to no driver)");
    card_says(0, "selftest", GUEST_CARD " works\n");
    card_says(0, "info", "state         ready");
    card_says(0, "reset", GUEST_CARD " was reset");
    assert_int_equal(
        guest_run(&g.guest, NULL, 0,
                  "setpriv --bounding-set=-ipc_lock sh -c 'ulimit -l 64; espalier card selftest' 2>&1 | "
                  "grep 'RLIMIT_MEMLOCK is 64 KiB, and all that a card may reach is locked'"),
        0);
    bus_layer_on(neighbour);
    snprintf(order, sizeof(order), "echo %s >/sys/bus/pci/drivers/e1000e/bind", neighbour);
    assert_true(in_guest(&g, order));
    card_says(3, "reset", "another device of IOMMU group");
    snprintf(order, sizeof(order), "echo %s >/sys/bus/pci/drivers/e1000e/unbind", neighbour);
    assert_true(in_guest(&g, order));
    start_in_guest();
    card_says(1, "reset", GUEST_CARD ": espalierd: path (");
    card_says(1, "selftest", GUEST_CARD ": espalierd: path (");
    card_says(1, "unbind", "has it, and has to let go of it first");
    card_says(0, "info", "registers     not read: espalierd: path (");
    card_says(0, "counters", "ENC_PACKETS");
    assert_true(in_guest(&g, "kill $(pidof espalierd | tr ' ' '\\n' | sort -n | head -n 1)"));
    assert_true(wait_for(let_go, NULL, GUEST_PATIENCE_MS));
    card_says(0, "unbind", GUEST_CARD " is bound to no driver");
    card_says(0, "info", "registers     not read: there is no /dev/vfio/");
}

static bool is_out(void *ctx)
{
    (void)ctx;
    return guest_run(&g.guest, NULL, 0, "[ ! -e /sys/bus/pci/devices/" GUEST_PULLED " ]") == 0;
}

// Of a device that this project has not made: QEMU 11.1 ends by an assertion of its own where a vfio-user-pci
// is taken out. The kernel asks for it, and takes it out when its user has let go of it, not before.
static void test_device_that_is_pulled_out_of_a_guest(void **state)
{
    char out[4000];
    (void)state;
    assert_true(in_guest(&g, "d=/sys/bus/pci/devices/" GUEST_PULLED "; echo " GUEST_PULLED
                             " >$d/driver/unbind; echo vfio-pci >$d/driver_override && echo " GUEST_PULLED
                             " >/sys/bus/pci/drivers_probe && (vfio_guest " GUEST_PULLED
                             " wait >/run/pulled 2>&1 &) && i=0; until grep waits /run/pulled; do "
                             "[ $((i += 1)) -lt 300 ] || { cat /run/pulled; exit 1; }; sleep 0.2; done"));
    assert_true(guest_monitor(&g.guest, "device_del pulled"));
    bool ok = wait_for(is_out, NULL, GUEST_PATIENCE_MS);
    guest_run(&g.guest, out, sizeof(out), "cat /run/pulled; dmesg | tail -n 5");
    if (!ok ||
        !strstr(out, "vfio: notice: the card is being removed: the kernel wants it back\nvfio: let go\n"))
        fail_msg("the device is %s: %s", ok ? "out" : "still there", out);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_espalierd_in_a_guest_has_its_traffic_through_the_card, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_card_that_dies_below_a_guest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_that_is_pulled_out_of_a_guest, set_up_with_neighbour,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_card_commands_on_the_kernel_s_vfio, set_up_with_neighbour,
                                        tear_down),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
