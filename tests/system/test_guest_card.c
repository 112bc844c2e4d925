// SPDX-License-Identifier: Apache-2.0
// espalierd in a virtual machine, with the simulated card on that machine's PCI bus: stock QEMU's
// vfio-user-pci below, the guest kernel's VFIO behind its IOMMU above. Every packet of an SA with the site
// outside goes through the RTL, both ways, also after it was rekeyed.
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
    return 0;
}

// As a person would hand the card to VFIO.
static void bind_card(void)
{
    assert_true(in_guest(&g, "for d in /sys/bus/pci/devices/*; do "
                             "[ \"$(cat $d/vendor)$(cat $d/device)\" = 0x12340xe5b0 ] || continue; "
                             "echo vfio-pci >$d/driver_override; echo ${d##*/} >/sys/bus/pci/drivers_probe; "
                             "readlink $d/driver | grep -q vfio-pci && exit 0; done; "
                             "dmesg | tail -n 20; exit 1"));
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

// The guest has the card; what goes between the sites is captured.
static void start_both(char *pcap, size_t n)
{
    const struct tunnel_options o = {.esp = "aes256gcm16-esn"};
    bind_card();
    start_in_guest();
    assert_true(espalierd_start(lab, &lab->west, &lab->east, &o, no_card));
    start_capture(lab, pcap, n);
}

static void speaks(void)
{
    char out[6000];
    if (guest_pings(&g, 10) && guest_files(&g, FILE_OCTETS))
        return;
    guest_run(&g.guest, out, sizeof(out), "tail -n 40 /run/espalierd.log; swanctl --counters --all --raw");
    fail_msg("no traffic through the card: %s", out);
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

// The process that is the card dies; of the machine's PCI device nothing answers any more. The kernel then
// waits for a minute with a reset of it, the traffic does not.
static void test_card_that_dies_below_a_guest(void **state)
{
    char pcap[200], out[16384];
    (void)state;
    start_both(pcap, sizeof(pcap));
    assert_true(initiate(&lab->west));
    assert_true(guest_pings(&g, 10));
    assert_true(counter("card_packets_out") >= 20);
    assert_true(stop(&lab->card, SIGKILL, 5000));
    bool ok = wait_for(goes_on, NULL, PATIENCE_MS);
    guest_run(&g.guest, out, sizeof(out),
              "tail -n 40 /run/espalierd.log; swanctl --list-sas --raw; swanctl --counters --all --raw");
    if (!ok)
        fprintf(stderr, "%s", out);
    assert_true(ok);
    assert_true(guest_pings(&g, 10));
    only_esp(lab, pcap, 60);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_espalierd_in_a_guest_has_its_traffic_through_the_card, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_card_that_dies_below_a_guest, set_up, tear_down),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
