// SPDX-License-Identifier: Apache-2.0
// espalierd in a virtual machine whose kernel has ESP, and does it for espalierd there (kernel_esp = yes),
// with espalierd outside, in software: traffic both ways, rekeyed by either end and by limits, the counters
// of both ends the same; policies that come into its way; path, or all of espalierd, killed: nothing in clear
// on the link.
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

enum { FILE_OCTETS = 200000 };

static struct guest_lab g;
static struct lab *const lab = &g.lab;
static char *const no_card[] = {"--card", "none", "-o", "block_on_exit=no", NULL};

static int group_up(void **state)
{
    (void)state;
    return guest_lab_up(&g, "espgke", false) ? 0 : -1;
}

static int group_down(void **state)
{
    (void)state;
    guest_lab_down(&g);
    return 0;
}

// ---- both ends

static void configure(const char *child, const char *more)
{
    char conf[3000];
    snprintf(conf, sizeof(conf),
             "connections {\n  site {\n    version = 2\n    local_addrs = 10.10.0.2\n    remote_addrs = "
             "10.10.0.1\n"
             "    proposals = aes256gcm16-prfsha384-x25519\n    mobike = no\n    dpd_delay = 0\n"
             "    local {\n      auth = psk\n      id = east.example\n    }\n"
             "    remote {\n      auth = psk\n      id = west.example\n    }\n"
             "    children {\n      net {\n        local_ts = 10.2.0.0/16\n        remote_ts = 10.1.0.0/16\n"
             "        esp_proposals = aes256gcm16-esn\n        rekey_time = 0\n%s      }\n    }\n  }\n%s}\n"
             "secrets {\n  ike-1 {\n    id-1 = west.example\n    id-2 = east.example\n"
             "    secret = \"a shared secret of the lab\"\n  }\n}\n",
             child, more);
    assert_true(guest_put(&g.guest, "/etc/swanctl/swanctl.conf", conf));
    assert_true(guest_put(&g.guest, "/etc/strongswan.conf", "swanctl { }\n"));
}

static void start_in_guest(void)
{
    assert_true(in_guest(
        &g,
        "(espalierd --card none -o kernel_esp=yes >>/run/espalierd.log 2>&1 &); i=0; "
        "until swanctl --stats >/dev/null 2>&1; do [ $((i += 1)) -lt 300 ] || "
        "{ tail -n 20 /run/espalierd.log; exit 1; }; sleep 0.2; done; swanctl --load-all --noprompt 2>&1"));
}

static void begin(const char *child, char *pcap, size_t size)
{
    const struct tunnel_options o = {.esp = "aes256gcm16-esn"};
    configure(child, "");
    start_in_guest();
    assert_true(espalierd_start(lab, &lab->west, &lab->east, &o, no_card));
    start_capture(lab, pcap, size);
    assert_true(unanswered(lab, &lab->west, &lab->east, 1));
}

static void show(void)
{
    char out[16384];
    guest_run(&g.guest, out, sizeof(out),
              "tail -n 40 /run/espalierd.log; ip -s xfrm state; ip xfrm policy; ip rule; ip route show table "
              "all; cat /proc/net/xfrm_stat; swanctl --list-sas --raw");
    fprintf(stderr, "%s\n", out);
}

static void speaks(void)
{
    if (guest_pings(&g, 5))
        return;
    show();
    fail_msg("no answers");
}

static void is_there(const char *what)
{
    char out[16384];
    guest_run(&g.guest, out, sizeof(out), "swanctl --list-sas --raw");
    if (strstr(out, what))
        return;
    show();
    fail_msg("no %s: %s", what, out);
}

static void unanswered_from_guest(void)
{
    char out[2000];
    if (guest_run(&g.guest, out, sizeof(out), "ping -q -c 2 -W 2 -I 10.2.0.1 10.1.0.1") == 0)
        fail_msg("answered: %s", out);
}

static uint64_t counter(const char *name)
{
    char out[16384];
    guest_run(&g.guest, out, sizeof(out), "swanctl --counters --all --raw");
    return number_after(out, name, 0);
}

static int over(void **state)
{
    (void)state;
    if (lab->west.capture)
        capture_stop(&lab->west);
    stop(&lab->west.daemon, SIGTERM, 20000);
    guest_run(&g.guest, NULL, 0,
              "killall espalierd; i=0; while pidof espalierd >/dev/null && [ $((i += 1)) -lt 100 ]; do sleep "
              "0.2; done; killall -9 espalierd; espalier down --purge >/dev/null 2>&1; ip xfrm state flush; "
              "ip xfrm policy flush; rm -f /run/espalierd.log");
    sh("rm -f %s/wire.pcap %s/west/daemon.log %s/west/vici", lab->dir, lab->dir, lab->dir);
    return 0;
}

// ---- tests

// What one end has sent by an SA the other one has received, in packets and in octets of what is inside.
static void both_count_the_same(void)
{
    char there[16384], here[16384];
    guest_run(&g.guest, there, sizeof(there), "swanctl --list-sas --raw");
    assert_int_equal(swanctl(&lab->west, here, sizeof(here), "--list-sas --raw"), 0);
    assert_int_equal(number_after(there, "packets-out", 0), number_after(here, "packets-in", 1));
    assert_int_equal(number_after(there, "packets-in", 0), number_after(here, "packets-out", 1));
    assert_int_equal(number_after(there, "bytes-out", 0), number_after(here, "bytes-in", 1));
    assert_int_equal(number_after(there, "bytes-in", 0), number_after(here, "bytes-out", 1));
}

static void test_traffic_both_ways_and_rekeyed_by_either_end(void **state)
{
    char pcap[200], out[4000];
    (void)state;
    begin("", pcap, sizeof(pcap));
    unanswered_from_guest();
    assert_true(initiate(&lab->west));
    speaks();
    is_there("offload=kernel");
    if (!guest_files(&g, FILE_OCTETS)) {
        show();
        fail_msg("no TCP");
    }
    both_count_the_same();
    assert_true(in_guest(&g, "swanctl --rekey --child net 2>&1"));
    speaks();
    assert_int_equal(swanctl(&lab->west, out, sizeof(out), "--rekey --child net"), 0);
    speaks();
    assert_true(logged(&lab->west, "CHILD_SA net{3} established"));
    is_there("offload=kernel");
    assert_true(counter("kernel_packets_out") >= 15);
    assert_true(counter("kernel_packets_in") >= 15);
    assert_int_equal(counter("software_packets_out"), 0);
    assert_int_equal(counter("software_packets_in"), 0);
    assert_true(in_guest(&g, "! grep 'were not as they have to be' /run/espalierd.log"));
    assert_int_equal(swanctl(&lab->west, out, sizeof(out), "--terminate --child net"), 0);
    assert_true(unanswered(lab, &lab->west, &lab->east, 1));
    unanswered_from_guest();
    only_esp(lab, pcap, 200);
}

static bool is_in_kernel(void *ctx)
{
    char out[16384];
    guest_run(&g.guest, out, sizeof(out), "swanctl --list-sas --raw");
    return strstr(out, ctx) && strstr(out, "offload=kernel") && guest_pings(&g, 1);
}

static void comes_to_be_there(char *child)
{
    if (wait_for(is_in_kernel, child, GUEST_PATIENCE_MS))
        return;
    show();
    fail_msg("%s is not in the kernel, or does not answer", child);
}

// By the kernel's own count.
static void test_limits_are_the_kernels(void **state)
{
    char pcap[200], out[16384];
    (void)state;
    begin("        rekey_bytes = 100000\n        life_bytes = 2000000\n        rand_bytes = 0\n", pcap,
          sizeof(pcap));
    assert_true(initiate(&lab->west));
    speaks();
    assert_true(guest_files(&g, FILE_OCTETS));
    comes_to_be_there("net-2");
    guest_run(&g.guest, out, sizeof(out), "ip -s xfrm state");
    if (!strstr(out, "soft 100000(bytes), hard 2000000(bytes)"))
        fail_msg("the kernel has other limits: %s", out);
    speaks();
    only_esp(lab, pcap, 200);
}

// Which of two policies that overlap comes first espalierd's data base says, and no route.
static void test_a_policy_that_comes_into_the_way_sends_them_to_software(void **state)
{
    static const char other[] =
        "  other {\n    version = 2\n    local_addrs = 10.10.0.2\n    remote_addrs = 10.10.0.7\n"
        "    local {\n      auth = psk\n      id = east.example\n    }\n"
        "    remote {\n      auth = psk\n      id = other.example\n    }\n"
        "    children {\n      wide {\n        local_ts = 10.2.0.0/16\n        remote_ts = 10.0.0.0/15\n"
        "      }\n    }\n  }\n";
    char pcap[200];
    (void)state;
    begin("", pcap, sizeof(pcap));
    assert_true(initiate(&lab->west));
    speaks();
    is_there("offload=kernel");
    configure("", other);
    assert_true(in_guest(&g, "swanctl --load-all --noprompt 2>&1"));
    assert_true(in_guest(&g, "i=0; until swanctl --list-sas --raw | grep -q 'net-2.*offload=software'; do "
                             "[ $((i += 1)) -lt 100 ] || exit 1; sleep 0.2; done"));
    is_there("another policy overlaps with its: other/wide");
    speaks();
    configure("", "");
    assert_true(in_guest(&g, "swanctl --load-all --noprompt 2>&1 && swanctl --rekey --child net 2>&1"));
    comes_to_be_there("net-3");
    speaks();
    only_esp(lab, pcap, 40);
}

// That the kernel has made, whether they have left or not.
static uint64_t errors_made(void)
{
    char out[64];
    guest_run(
        &g.guest, out, sizeof(out),
        "awk '/^Icmp:/ { if (c) print $c; else for (i = 1; i <= NF; i++) if ($i == \"OutDestUnreachs\") "
        "c = i }' /proc/net/snmp");
    return strtoull(out, NULL, 10);
}

// An ICMP error about what came out of an SA quotes it, and its source is no address that the policy names.
static void test_what_the_kernel_says_about_such_packets_does_not_leave(void **state)
{
    char pcap[200], out[200];
    (void)state;
    begin("", pcap, sizeof(pcap));
    assert_true(initiate(&lab->west));
    speaks();
    uint64_t before = errors_made();
    assert_true(in_guest(&g, "echo 1 >/proc/sys/net/ipv4/ip_forward; ip addr del 10.2.0.1/32 dev lo; "
                             "ip route add unreachable 10.2.0.0/16; ip route add 10.1.0.0/16 via 10.10.0.1"));
    assert_true(unanswered(lab, &lab->west, &lab->east, 3));
    assert_true(errors_made() > before);
    assert_true(in_guest(&g, "ip route del unreachable 10.2.0.0/16; ip addr add 10.2.0.1/32 dev lo; ip route "
                             "replace 10.1.0.0/16 via 10.10.0.1 src 10.2.0.1"));
    speaks();
    assert_true(capture_stop(&lab->west));
    sh_read(out, sizeof(out), "tshark -n -r %s -Y icmp 2>/dev/null | wc -l", pcap);
    assert_int_equal(strtoul(out, NULL, 10), 0);
}

// There what has no SA would leave in clear.
static void test_an_interface_that_passes_xfrm_over_is_no_way(void **state)
{
    char pcap[200];
    (void)state;
    begin("", pcap, sizeof(pcap));
    assert_true(in_guest(&g, "echo 1 >/proc/sys/net/ipv4/conf/eth0/disable_xfrm"));
    assert_true(initiate(&lab->west));
    is_there("passes XFRM over (disable_xfrm is 1)");
    speaks();
    assert_true(
        in_guest(&g, "echo 0 >/proc/sys/net/ipv4/conf/eth0/disable_xfrm; swanctl --rekey --child net"));
    comes_to_be_there("net-2");
    only_esp(lab, pcap, 10);
}

// Another IPsec program that is started does so. What is sent in that moment has its route past the TUN.
static void test_policies_that_somebody_flushes_let_nothing_out(void **state)
{
    char pcap[200];
    (void)state;
    begin("", pcap, sizeof(pcap));
    assert_true(initiate(&lab->west));
    speaks();
    is_there("offload=kernel");
    assert_true(in_guest(&g, "killall -STOP espalierd; ip xfrm policy flush; "
                             "ping -q -c 3 -i 0.2 -W 1 -I 10.2.0.1 10.1.0.1; killall -CONT espalierd; true"));
    comes_to_be_there("net");
    assert_true(in_guest(&g, "killall -STOP espalierd; echo 1 >/proc/sys/net/ipv4/conf/eth0/disable_xfrm; "
                             "ping -q -c 3 -i 0.2 -W 1 -I 10.2.0.1 10.1.0.1; "
                             "echo 0 >/proc/sys/net/ipv4/conf/eth0/disable_xfrm; killall -CONT espalierd; "
                             "true"));
    comes_to_be_there("net");
    only_esp(lab, pcap, 10);
}

static void killed(const char *room)
{
    char order[200];
    snprintf(order, sizeof(order), "kill -9 $(ps | sed -n 's/^ *\\([0-9]*\\) .*[e]spalierd: %s.*/\\1/p')",
             room);
    assert_true(in_guest(&g, order));
}

// The kernel goes on until the next path is there, which makes others; with no process left it goes on still,
// and nothing goes once its SAs are gone.
static void test_who_dies_leaves_it_closed(void **state)
{
    char pcap[200];
    (void)state;
    begin("", pcap, sizeof(pcap));
    assert_true(initiate(&lab->west));
    speaks();
    killed("path");
    comes_to_be_there("net-2");
    speaks();
    killed("ike");
    comes_to_be_there("net");
    assert_true(in_guest(&g, "killall -9 espalierd; sleep 1; ! pidof espalierd"));
    assert_true(in_guest(&g, "ping -q -c 3 -W 5 -I 10.2.0.1 10.1.0.1"));
    assert_true(in_guest(&g, "ip xfrm state flush"));
    unanswered_from_guest();
    assert_true(unanswered(lab, &lab->west, &lab->east, 1));
    only_esp(lab, pcap, 20);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_teardown(name, over)
    const struct CMUnitTest tests[] = {
        T(test_traffic_both_ways_and_rekeyed_by_either_end),
        T(test_limits_are_the_kernels),
        T(test_a_policy_that_comes_into_the_way_sends_them_to_software),
        T(test_what_the_kernel_says_about_such_packets_does_not_leave),
        T(test_an_interface_that_passes_xfrm_over_is_no_way),
        T(test_policies_that_somebody_flushes_let_nothing_out),
        T(test_who_dies_leaves_it_closed),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_up, group_down);
}
