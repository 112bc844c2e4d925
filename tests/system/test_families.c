// SPDX-License-Identifier: Apache-2.0
// IPv4 and IPv6, inside and outside, and transport mode, through real daemons: hosts behind two gateways
// speak to each other, and the link between the gateways is captured. Nothing of theirs is on it in clear,
// with no SA, with one, and after the daemon was killed. And both gateways behind NATs of their own.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;
static struct site hosts[2]; // behind west and east
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    (void)state;
    memset(hosts, 0, sizeof(hosts));
    return lab_up(&lab, "espfam") && lab_ipv6(&lab) && host_up(&lab.west, &hosts[0], 1) &&
                   host_up(&lab.east, &hosts[1], 2)
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    stop(&hosts[0].keeper, SIGKILL, 1000);
    stop(&hosts[1].keeper, SIGKILL, 1000);
    lab_down(&lab);
    return 0;
}

static void addresses(int outer, int inner)
{
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        struct site *s = both[i];
        snprintf(s->outer, sizeof(s->outer), outer == 6 ? "fd10::%d" : "10.10.0.%d", i + 1);
        snprintf(s->subnet, sizeof(s->subnet), inner == 6 ? "fd0%d::/64" : "10.%d.0.0/16", i + 1);
        snprintf(hosts[i].inner, sizeof(hosts[i].inner), inner == 6 ? "fd0%d::9:5" : "10.%d.9.5", i + 1);
    }
}

static bool up(struct site *s)
{
    char out[16384];
    if (swanctl(s, out, sizeof(out), "--initiate --child net --timeout 20"))
        return complain("%s", out);
    return true;
}

static bool hosts_speak(void *ctx)
{
    (void)ctx;
    return answered(&hosts[0], &hosts[1], 1) && answered(&hosts[1], &hosts[0], 1);
}

static void one_mix(int outer, int inner, bool charon)
{
    char pcap[200];
    struct tunnel_options o = {0};
    addresses(outer, inner);
    assert_true(wait_for(hosts_speak, NULL, PATIENCE_MS)); // in clear, once the links know each other
    assert_true(charon ? charon_start(&lab, &lab.east, &lab.west, &o)
                       : espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_false(answered(&hosts[0], &hosts[1], 1)); // a policy without an SA
    assert_true(up(&lab.west));
    assert_true(ping(&lab, &hosts[0], &hosts[1], 10) && ping(&lab, &hosts[1], &hosts[0], 10));
    assert_true(daemon_kill(&lab.west));
    assert_false(answered(&hosts[0], &hosts[1], 2));
    only_esp(&lab, pcap, 40);
}

static void test_ipv4_in_ipv4_between_hosts(void **state)
{
    (void)state;
    one_mix(4, 4, false);
}

static void test_ipv6_in_ipv4_between_hosts(void **state)
{
    (void)state;
    one_mix(4, 6, false);
}

static void test_ipv4_in_ipv6_between_hosts(void **state)
{
    (void)state;
    one_mix(6, 4, false);
}

static void test_ipv6_in_ipv6_between_hosts(void **state)
{
    (void)state;
    one_mix(6, 6, false);
}

static bool long_ping(const struct site *from, const struct site *to)
{
    char out[4096];
    return sh_read(out, sizeof(out), "nsenter --net=%s ping -6 -c 3 -i 0.2 -W 5 -s 1232 -M do -I %s %s 2>&1",
                   from->ns, from->inner, to->inner) == 0 &&
           strstr(out, " 3 received");
}

// What every IPv6 link takes crosses one that takes no more, with ESP around it.
static void test_ipv6_of_1280_octets_crosses_a_path_of_1280(void **state)
{
    const char *const encap[] = {"no", "yes"};
    (void)state;
    addresses(6, 6);
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++)
        assert_int_equal(sh("nsenter --net=%s ip link set outer mtu 1280", both[i]->ns), 0);
    for (int i = 0; i < 2; i++) {
        struct tunnel_options o = {.encap = i};
        assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
        assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
        assert_true(up(&lab.west));
        if (!long_ping(&hosts[0], &hosts[1]) || !long_ping(&hosts[1], &hosts[0]))
            fail_msg("encap = %s: what is 1280 octets long does not come", encap[i]);
        assert_true(transfer(&lab, &hosts[0], &hosts[1], 1 << 20, 30000, NULL, NULL));
        assert_true(stop(&lab.west.daemon, SIGTERM, PATIENCE_MS) &&
                    stop(&lab.east.daemon, SIGTERM, PATIENCE_MS));
    }
}

static void test_strongswan_ipv6_in_ipv4_between_hosts(void **state)
{
    (void)state;
    needs_strongswan();
    one_mix(4, 6, true);
}

// Programs of the gateways themselves, bound to their protected address or to none, to the other gateway's
// and to a host behind it. Before there is an SA, with one, after kill -9 and with a new daemon.
static void own_programs(int outer, int inner)
{
    char pcap[200];
    struct tunnel_options o = {0};
    struct site own[2] = {lab.west, lab.east}, unbound;
    addresses(outer, inner);
    for (int i = 0; i < 2; i++)
        snprintf(own[i].inner, sizeof(own[i].inner), inner == 6 ? "fd0%d::9:1" : "10.%d.9.1", i + 1);
    unbound = own[0];
    unbound.inner[0] = 0;
    assert_true(wait_for(hosts_speak, NULL, PATIENCE_MS));
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_false(answered(&own[0], &own[1], 1));
    assert_false(answered(&own[1], &own[0], 1));
    assert_false(answered(&unbound, &own[1], 1));
    assert_true(up(&lab.west));
    assert_true(ping(&lab, &own[0], &own[1], 5) && ping(&lab, &own[1], &own[0], 5));
    assert_true(ping(&lab, &own[0], &hosts[1], 5) && ping(&lab, &hosts[1], &own[0], 5));
    assert_true(ping(&lab, &unbound, &own[1], 5));
    assert_true(transfer(&lab, &own[0], &own[1], 1 << 20, 30000, NULL, NULL));
    assert_true(transfer(&lab, &own[1], &own[0], 1 << 20, 30000, NULL, NULL));
    assert_true(transfer(&lab, &unbound, &own[1], 1 << 20, 30000, NULL, NULL));
    assert_true(daemon_kill(&lab.west));
    assert_false(answered(&own[0], &own[1], 2));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    assert_false(answered(&own[0], &own[1], 1));
    assert_true(up(&lab.west));
    assert_true(ping(&lab, &own[0], &own[1], 5) && ping(&lab, &own[1], &own[0], 5));
    only_esp(&lab, pcap, 2000);
}

static void test_ipv4_of_the_gateways_own_programs(void **state)
{
    (void)state;
    own_programs(4, 4);
}

static void test_ipv6_of_the_gateways_own_programs(void **state)
{
    (void)state;
    own_programs(4, 6);
}

static void test_ipv6_of_the_gateways_own_programs_over_ipv6(void **state)
{
    (void)state;
    own_programs(6, 6);
}

// What the gateways themselves say to each other by their outer addresses, and their IKE beside it.
static void transport(int family)
{
    char pcap[200], out[16384];
    struct tunnel_options o = {.child = "rekey_time = 0\n        mode = transport"};
    struct site *both[] = {&lab.west, &lab.east};
    addresses(family, family);
    for (int i = 0; i < 2; i++) {
        snprintf(both[i]->inner, sizeof(both[i]->inner), "%s", both[i]->outer);
        snprintf(both[i]->subnet, sizeof(both[i]->subnet), "dynamic");
    }
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    assert_true(up(&lab.west));
    swanctl(&lab.west, out, sizeof(out), "--list-sas");
    assert_non_null(strstr(out, "TRANSPORT"));
    assert_true(ping(&lab, &lab.west, &lab.east, 10) && ping(&lab, &lab.east, &lab.west, 10));
    assert_true(transfer(&lab, &lab.west, &lab.east, 1 << 20, 30000, NULL, NULL));
    assert_true(daemon_kill(&lab.west));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 2));
    only_esp(&lab, pcap, 700);
}

static void test_transport_mode_between_gateways(void **state)
{
    (void)state;
    transport(4);
}

static void test_transport_mode_between_gateways_by_ipv6(void **state)
{
    (void)state;
    transport(6);
}

// A host's own address to everywhere, where the next hop has a global address: neighbours know one another by
// what is of one link, and nothing else is on it.
static void test_ipv6_of_a_host_to_everywhere_over_a_next_hop_with_a_global_address(void **state)
{
    char pcap[200];
    struct tunnel_options west = {.child =
                                      "rekey_time = 0\n        local_ts = dynamic\n        remote_ts = ::/0"},
                          east = {.child =
                                      "rekey_time = 0\n        local_ts = ::/0\n        remote_ts = dynamic"};
    struct site *both[] = {&lab.west, &lab.east};
    (void)state;
    addresses(6, 6);
    snprintf(lab.west.inner, sizeof(lab.west.inner), "%s", lab.west.outer);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sh("nsenter --net=%s ip -6 addr flush dev outer scope link", both[i]->ns), 0);
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &east, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &west, no_card));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(unanswered(&lab, &lab.west, &hosts[1], 1));
    assert_true(up(&lab.west));
    assert_true(ping(&lab, &lab.west, &hosts[1], 10) && ping(&lab, &hosts[1], &lab.west, 10));
    for (int i = 0; i < 2; i++)
        assert_int_equal(sh("nsenter --net=%s ip -6 neigh flush all", both[i]->ns), 0);
    assert_true(ping(&lab, &lab.west, &hosts[1], 5));
    assert_true(transfer(&lab, &lab.west, &hosts[1], 1 << 20, 30000, NULL, NULL));
    assert_true(daemon_kill(&lab.west));
    assert_true(unanswered(&lab, &lab.west, &hosts[1], 2));
    only_esp(&lab, pcap, 700);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
// As two home routers would, each with the same network behind it: the link's addresses are the routers',
// which pass IKE on to east and give west's datagrams ports of their own.
static void behind_nats(void)
{
    const char *const rules[] = {
        "add chain ip homes out { type nat hook postrouting priority 100; }; add rule ip homes out ip saddr "
        "192.168.77.1 ip protocol udp snat to 10.10.0.1:30000-40000",
        "add chain ip homes in { type nat hook prerouting priority -100; }; add rule ip homes in ip daddr "
        "10.10.0.2 udp dport { 500, 4500 } dnat to 192.168.77.1"};
    const struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            sh("nsenter --net=%s sh -c 'ip addr add 192.168.77.1/32 dev lo && nft \"add table ip "
               "homes; %s\"'",
               both[i]->ns, rules[i]),
            0);
}

static void two_nats(bool we_begin)
{
    char pcap[200], out[16384];
    struct tunnel_options client = {.own_addrs = "192.168.77.1"}, gateway = client;
    struct site *ours = we_begin ? &lab.west : &lab.east, *its = we_begin ? &lab.east : &lab.west;
    gateway.peer_addr = "%any";
    addresses(4, 4);
    behind_nats();
    assert_true(charon_start(&lab, its, ours, we_begin ? &gateway : &client));
    assert_true(espalierd_start(&lab, ours, its, we_begin ? &client : &gateway, no_card));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(up(&lab.west));
    assert_true(ping(&lab, &hosts[0], &hosts[1], 5) && ping(&lab, &hosts[1], &hosts[0], 5));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(swanctl(i ? its : ours, out, sizeof(out), "--rekey --ike site"), 0);
        assert_int_equal(swanctl(i ? ours : its, out, sizeof(out), "--rekey --child net"), 0);
        assert_true(ping(&lab, &hosts[0], &hosts[1], 5) && ping(&lab, &hosts[1], &hosts[0], 5));
    }
    assert_int_equal(swanctl(ours, out, sizeof(out), "--list-sas --raw"), 0);
    assert_non_null(strstr(out, "nat-local=yes"));
    assert_non_null(strstr(out, "nat-remote=yes"));
    only_esp(&lab, pcap, 20);
}

static void test_both_ends_behind_nats_when_we_begin(void **state)
{
    (void)state;
    needs_strongswan();
    two_nats(true);
}

static void test_both_ends_behind_nats_when_strongswan_begins(void **state)
{
    (void)state;
    needs_strongswan();
    two_nats(false);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_ipv4_in_ipv4_between_hosts),
        T(test_ipv6_in_ipv4_between_hosts),
        T(test_ipv4_in_ipv6_between_hosts),
        T(test_ipv6_in_ipv6_between_hosts),
        T(test_ipv6_of_1280_octets_crosses_a_path_of_1280),
        T(test_strongswan_ipv6_in_ipv4_between_hosts),
        T(test_ipv4_of_the_gateways_own_programs),
        T(test_ipv6_of_the_gateways_own_programs),
        T(test_ipv6_of_the_gateways_own_programs_over_ipv6),
        T(test_transport_mode_between_gateways),
        T(test_transport_mode_between_gateways_by_ipv6),
        T(test_ipv6_of_a_host_to_everywhere_over_a_next_hop_with_a_global_address),
        T(test_both_ends_behind_nats_when_we_begin),
        T(test_both_ends_behind_nats_when_strongswan_begins),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("families and modes", tests, NULL, NULL);
}
