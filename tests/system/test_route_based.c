// SPDX-License-Identifier: Apache-2.0
// Route-based tunnels between two daemons: two connections whose children protect everything to everything,
// each with a TUN of its own (if_id_in, if_id_out), and routes that say which of them a packet takes. The
// devices are there from the load on, over a kill and a restart, and go when their connection does; what is
// routed into one leaves as ESP or not at all; routes move under traffic and nothing is lost; the gateways'
// own IKE and ESP goes into neither, wherever routes lead.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;
static struct site hosts[2]; // behind west and east
static char *const no_card[] = {"--card", "none", NULL};
static const char *workers_given; // for all of them
static const char *const devices[] = {"ipsec5", "ipsec6"};

static int set_up(void **state)
{
    struct site *both[] = {&lab.west, &lab.east};
    (void)state;
    memset(hosts, 0, sizeof(hosts));
    if (!lab_up(&lab, "esproute") || !host_up(&lab.west, &hosts[0], 1) || !host_up(&lab.east, &hosts[1], 2))
        return -1;
    for (int i = 0; i < 2; i++) {
        snprintf(both[i]->subnet, sizeof(both[i]->subnet), "0.0.0.0/0, ::/0");
        snprintf(hosts[i].inner, sizeof(hosts[i].inner), "10.%d.9.5", i + 1);
        if (sh("nsenter --net=%s sh -c 'ip addr add 10.10.0.1%d/24 dev outer; echo 1 "
               ">/proc/sys/net/ipv6/conf/outer/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'",
               both[i]->ns, i + 1))
            return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (workers_given)
        setenv("ESPALIER_WORKERS", workers_given, 1);
    else
        unsetenv("ESPALIER_WORKERS");
    stop(&hosts[0].keeper, SIGKILL, 1000);
    stop(&hosts[1].keeper, SIGKILL, 1000);
    lab_down(&lab);
    return 0;
}

// The second connection is between other addresses of the same two.
static void load(struct site *s, bool first)
{
    static char two[2000];
    bool west = s == &lab.west;
    struct tunnel_options o = {.conn = "if_id_in = 5\n    if_id_out = 5", .sections = two};
    snprintf(
        two, sizeof(two),
        "connections {\n  two {\n    local_addrs = 10.10.0.1%d\n    remote_addrs = 10.10.0.1%d\n"
        "    local {\n      auth = psk\n      id = %s\n    }\n    remote {\n      auth = psk\n      id = "
        "%s\n    }\n"
        "    children {\n      net2 {\n        local_ts = 0.0.0.0/0, ::/0\n        remote_ts = "
        "0.0.0.0/0, ::/0\n        if_id_in = 6\n        if_id_out = 6\n        rekey_time = 0\n      }\n "
        "   }\n  }\n}\n",
        west ? 1 : 2, west ? 2 : 1, west ? "west.example" : "east.example",
        west ? "east.example" : "west.example");
    assert_true(first ? espalierd_start(&lab, s, west ? &lab.east : &lab.west, &o, no_card)
                      : site_load(s, west ? &lab.east : &lab.west, &o));
}

static void start(void)
{
    load(&lab.east, true);
    load(&lab.west, true);
}

static bool initiate_both(void)
{
    char out[16384];
    return initiate(&lab.west) &&
           swanctl(&lab.west, out, sizeof(out), "--initiate --child net2 --timeout 20") == 0;
}

static bool has(const struct site *s, const char *device)
{
    return sh("nsenter --net=%s ip link show dev %s up", s->ns, device) == 0;
}

// What the gateway itself sends to the host behind the other one, seen where it would leave in clear.
static bool closed(int count)
{
    struct site gateway = lab.west;
    snprintf(gateway.inner, sizeof(gateway.inner), "10.1.9.1");
    return unanswered(&lab, &gateway, &hosts[1], count);
}

static bool six(int count)
{
    struct site far[2] = {hosts[0], hosts[1]};
    for (int i = 0; i < 2; i++)
        snprintf(far[i].inner, sizeof(far[i].inner), "fd0%d::9:5", i + 1);
    return ping(&lab, &far[0], &far[1], count);
}

// In one step, or it would be somewhere else in between.
static void lead(const struct site *s, const char *net, const char *device)
{
    assert_int_equal(sh("nsenter --net=%s ip route replace %s dev %s", s->ns, net, device), 0);
}

static void lead_both(const char *device)
{
    lead(&lab.west, "10.2.0.0/16", device);
    lead(&lab.east, "10.1.0.0/16", device);
    lead(&lab.west, "fd02::/64", device);
    lead(&lab.east, "fd01::/64", device);
}

static uint64_t counter(struct site *s, const char *name)
{
    char out[16384];
    sh_read(out, sizeof(out), "%s/espalier counters --json --uri unix://%s/vici", bin_dir(), s->dir);
    return number_after(out, name, 0);
}

// Packets that a child of it has sealed.
static uint64_t packets_out(struct site *s, const char *child)
{
    char out[16384], *at;
    swanctl(s, out, sizeof(out), "--list-sas --raw");
    at = strstr(out, child);
    return at ? number_after(at, "packets-out", 0) : 0;
}

// Each child's number and device, as charon's client and ours show them.
static void shows_devices(void)
{
    char out[16384];
    swanctl(&lab.west, out, sizeof(out), "--list-sas --raw");
    for (int i = 0; i < 2; i++) {
        char *at = strstr(out, i ? "name=net2 " : "name=net "), text[80];
        assert_non_null(at);
        snprintf(text, sizeof(text), "if-id-in=%08x if-id-out=%08x interface=%s ", 5 + i, 5 + i, devices[i]);
        if (!(at = strstr(at, " if-id-in=")) || strncmp(at + 1, text, strlen(text)) != 0)
            fail_msg("expected \"%s\" in:\n%s", text, out);
    }
    assert_int_equal(
        sh_read(out, sizeof(out), "%s/espalier sas --uri unix://%s/vici", bin_dir(), lab.west.dir), 0);
    assert_non_null(strstr(out, "] by ipsec5 "));
    assert_non_null(strstr(out, "] by ipsec6 "));
}

static void routes_choose(void)
{
    char pcap[200];
    struct probe p;
    struct probe_result r;
    start();
    for (int i = 0; i < 2; i++) {
        assert_true(has(&lab.west, devices[i]) && has(&lab.east, devices[i])); // before there is an SA
        lead_both(devices[i]);
    }
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(closed(2));
    assert_true(counter(&lab.west, "protected_without_sa") >= 2);
    assert_true(initiate_both());
    shows_devices();
    enum { PINGS = 20 };
    assert_true(ping(&lab, &hosts[0], &hosts[1], PINGS)); // by the second
    assert_true(packets_out(&lab.west, "name=net2 ") >= PINGS);
    // By the first, which has ::/0 too, at most what the kernel itself says by any interface that has IPv6
    // (multicast listener reports, router solicitations): some packets a few seconds apart.
    assert_in_range(packets_out(&lab.west, "name=net "), 0, PINGS / 2);
    assert_true(six(3));
    assert_true(probe_start(&lab, &p, &hosts[0], &hosts[1], 1000));
    for (unsigned i = 0; i < 20; i++) {
        assert_true(probe_hears(100 * (i + 1)));
        lead(&lab.west, "10.2.0.0/16", devices[i & 1]);
        lead(&lab.east, "10.1.0.0/16", devices[i >> 1 & 1]); // they need not agree
    }
    assert_true(probe_stop(&p, &r));
    assert_int_equal(r.received, r.sent);
    assert_int_equal(r.repeated, 0);
    assert_true(packets_out(&lab.west, "name=net ") >= 500 && packets_out(&lab.west, "name=net2 ") >= 500);
    only_esp(&lab, pcap, 2000);
}

static void test_routes_choose_between_two_tunnels_with_equal_selectors(void **state)
{
    (void)state;
    routes_choose();
}

// Each has a queue of either device, and control none.
static void test_routes_choose_where_several_workers_carry_packets(void **state)
{
    char out[200] = "";
    (void)state;
    setenv("ESPALIER_WORKERS", "2", 1); // the harness passes it on
    routes_choose();
    sh_read(out, sizeof(out), "nsenter --net=%s ip -d link show ipsec6 | grep -o 'numqueues [0-9]*'",
            lab.west.ns);
    assert_string_equal(out, "numqueues 2\n");
}

static bool there_again(void *ctx)
{
    (void)ctx;
    return answered(&hosts[0], &hosts[1], 1);
}

// While a gateway is dead its kernel answers ESP (of multicast reports into the tunnel, say) by ICMP.
static void nothing_in_clear(const char *pcap, uint64_t least)
{
    struct wire w;
    assert_true(capture_stop(&lab.west));
    assert_true(wire_check(pcap, &w));
    assert_true(w.esp >= least);
    assert_int_equal(w.plaintext, 0);
    assert_int_equal(w.repeated, 0);
}

static void test_devices_outlive_a_kill_and_go_with_their_connection(void **state)
{
    char pcap[200], out[16384];
    struct tunnel_options without = {.conn = "if_id_in = 5\n    if_id_out = 5"};
    (void)state;
    start();
    lead_both("ipsec5");
    assert_true(initiate_both());
    assert_true(ping(&lab, &hosts[0], &hosts[1], 3));
    assert_true(site_load(&lab.east, &lab.west, &without));
    assert_true(has(&lab.east, "ipsec6")); // its SA is there yet
    swanctl(&lab.east, out, sizeof(out), "--terminate --ike two --timeout 5");
    assert_false(has(&lab.east, "ipsec6"));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(daemon_kill(&lab.west));
    assert_true(has(&lab.west, "ipsec5") && has(&lab.west, "ipsec6"));
    assert_true(closed(2));
    load(&lab.west, true); // which finds the devices, and their routes
    assert_true(initiate(&lab.west));
    assert_true(wait_for(there_again, NULL, PATIENCE_MS));
    nothing_in_clear(pcap, 2);
    assert_true(site_load(&lab.west, &lab.east, &without));
    assert_false(has(&lab.west, "ipsec6")); // it had no SA in this run
    assert_true(has(&lab.west, "ipsec5"));
    assert_true(ping(&lab, &hosts[0], &hosts[1], 3));
    assert_true(stop(&lab.west.daemon, SIGTERM, 5000)); // in order, and what it has protected stays closed
    assert_true(has(&lab.west, "ipsec5"));
    assert_true(closed(1));
}

// Routes would go with the device, and what they lead into it would leave in clear.
static void test_routes_stay_when_the_next_run_has_other_workers_or_cannot_load(void **state)
{
    static char *const two_workers[] = {"--card", "none", "-o", "workers=2", NULL};
    static char *const one_worker[] = {"--card", "none", "-o", "workers=1", NULL};
    const struct tunnel_options o = {.conn = "if_id_in = 5\n    if_id_out = 5"};
    const struct tunnel_options fails = {
        .conn = o.conn,
        .child = "rekey_time = 0\n      }\n      more {\n        local_ts = 0.0.0.0/0\n        remote_ts = "
                 "0.0.0.0/0\n        if_id_in = 9\n        if_id_out = 9"};
    char out[4096];
    (void)state;
    assert_int_equal(sh("nsenter --net=%s ip tuntap add dev ipsec9 mode tun", lab.west.ns), 0);
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, one_worker));
    lead_both("ipsec5");
    assert_true(stop(&lab.west.daemon, SIGTERM, 5000));
    assert_false(espalierd_start(&lab, &lab.west, &lab.east, &fails, one_worker));
    assert_int_equal(sh_read(out, sizeof(out), "nsenter --net=%s ip route show 10.2.0.0/16", lab.west.ns), 0);
    assert_non_null(strstr(out, "dev ipsec5"));
    assert_true(stop(&lab.west.daemon, SIGKILL, 5000));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, two_workers));
    assert_int_equal(sh_read(out, sizeof(out), "nsenter --net=%s ip route show 10.2.0.0/16", lab.west.ns), 0);
    assert_non_null(strstr(out, "dev ipsec5"));
    assert_true(initiate(&lab.west));
    assert_true(ping(&lab, &hosts[0], &hosts[1], 3));
}

static void test_an_interface_of_another_is_refused_by_name(void **state)
{
    char out[16384];
    (void)state;
    assert_int_equal(sh("nsenter --net=%s ip tuntap add dev ipsec6 mode tun", lab.west.ns), 0);
    load(&lab.east, true);
    struct tunnel_options first = {.conn = "if_id_in = 5\n    if_id_out = 5"},
                          taken = {.conn = "if_id_in = 6\n    if_id_out = 6"};
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &first, no_card));
    assert_false(site_load(&lab.west, &lab.east, &taken));
    assert_true(logged(&lab.west, "ipsec6: there is an interface of that name already"));
    assert_int_equal(sh_read(out, sizeof(out), "nsenter --net=%s ip link show dev ipsec6", lab.west.ns), 0);
    assert_null(strstr(out, "alias")); // untouched
    assert_null(strstr(out, ",UP"));
    lead_both("ipsec5");
    assert_true(initiate(&lab.west)); // what was loaded before still is
    assert_true(ping(&lab, &hosts[0], &hosts[1], 1));
}

static bool no_more(void *ctx)
{
    return !there_again(ctx);
}

// Whatever leads into a tunnel: everything, by a better default route or by halves of it, and the very peers.
static void test_our_own_packets_go_around_the_tunnels(void **state)
{
    static const char *const nets[] = {"default", "0.0.0.0/1", "10.10.0.0/25", "10.10.0.2/32"};
    (void)state;
    start();
    for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++)
        lead(&lab.west, nets[i], devices[i & 1]);
    lead(&lab.east, "10.10.0.1/32", "ipsec5");
    lead_both("ipsec5");
    assert_true(initiate(&lab.west));
    assert_true(ping(&lab, &hosts[0], &hosts[1], 3));
    assert_int_equal(
        sh("nsenter --net=%s sh -c 'ip -6 route replace default dev ipsec5; ip route flush table "
           "main root 10.10.0.0/24 proto kernel'",
           lab.west.ns),
        0); // now nothing but the tunnel leads there
    // Our table follows a moment later.
    assert_true(wait_for(no_more, NULL, PATIENCE_MS));
    assert_int_equal(counter(&lab.west, "vti_own_traffic"), 0);
    assert_int_equal(sh("nsenter --net=%s ip route replace 10.10.0.0/24 dev outer", lab.west.ns), 0);
    assert_true(wait_for(there_again, NULL, PATIENCE_MS));
    assert_int_equal(counter(&lab.west, "vti_own_traffic"), 0);
    assert_true(stop(&lab.west.daemon, SIGTERM, 5000));
}

struct route_seen {
    const char *of, *with;
};

static bool route_is(void *ctx)
{
    const struct route_seen *r = ctx;
    char out[4096];
    return sh_read(out, sizeof(out), "nsenter --net=%s ip -6 route show %s table all proto 90", lab.west.ns,
                   r->of) == 0 &&
           strstr(out, r->with);
}

// Of IPv6 the kernel tells no route from another with other metrics.
static void test_a_hidden_route_that_changes_is_followed(void **state)
{
    struct route_seen first = {"2001:db8::/48", "mtu 1400"}, second = {"2001:db8::/48", "mtu 1300"};
    (void)state;
    load(&lab.west, true);
    assert_int_equal(sh("nsenter --net=%s sh -c 'ip -6 route add 2001:db8::/48 via fd01::9:5 mtu 1400 && "
                        "ip -6 route add 2001:db8:0:1::/64 dev ipsec5'",
                        lab.west.ns),
                     0);
    assert_true(wait_for(route_is, &first, PATIENCE_MS));
    assert_int_equal(
        sh("nsenter --net=%s ip -6 route replace 2001:db8::/48 via fd01::9:5 mtu 1300", lab.west.ns), 0);
    assert_true(wait_for(route_is, &second, PATIENCE_MS));
}

// ---- several daemons

#define AROUND "nsenter --net=%s sh -c 'ip rule; ip -6 rule; ip route show table all proto 90'"

struct third { // a daemon beside the west's, in its namespace
    struct site s, peer;
};

static void start_third(struct third *t)
{
    static char *const extra[] = {"--card",    "none", "--listen",         "10.10.0.11", "--tun",
                                  "espalier1", "-o",   "block_on_exit=no", NULL};
    const struct tunnel_options o = {
        .name = "two",
        .child_name = "net2",
        .conn = "if_id_in = 6\n    if_id_out = 6\n    unique = never"}; // the west's is of the same ends
    t->s = lab.west;
    t->peer = lab.east;
    t->s.daemon = 0;
    snprintf(t->s.name, sizeof(t->s.name), "third");
    snprintf(t->s.dir, sizeof(t->s.dir), "%.90s/third", lab.dir);
    snprintf(t->s.outer, sizeof(t->s.outer), "10.10.0.11");
    snprintf(t->peer.outer, sizeof(t->peer.outer), "10.10.0.12");
    assert_int_equal(sh("mkdir -p %s", t->s.dir), 0);
    assert_true(espalierd_start(&lab, &t->s, &t->peer, &o, extra));
}

static bool rule_is_back(void *ctx)
{
    (void)ctx;
    return sh("nsenter --net=%s ip rule show pref 32763 | grep -q suppress_ifgroup", lab.west.ns) == 0 &&
           sh("nsenter --net=%s ip -6 rule show pref 32765 | grep -q unreachable", lab.west.ns) == 0;
}

static bool no_address_comes(void *ctx)
{
    (void)ctx;
    return sh("nsenter --net=%s ip -6 -o addr show tentative | grep -q .", lab.west.ns) == 1;
}

// When this is there, nothing is on its way that came before it.
static bool table_follows(void *ctx)
{
    (void)ctx;
    return sh("nsenter --net=%s ip route show table all proto 90 | grep -q 192.0.2.0/24", lab.west.ns) == 0;
}

static pid_t watch_rules(char *path, size_t size)
{
    char *argv[] = {"ip", "monitor", "rule", NULL};
    snprintf(path, size, "%s/rules", lab.dir);
    return spawn(path, lab.west.ns, argv);
}

static bool no_tunnel_in_table(void *ctx)
{
    char out[8192];
    return sh_read(out, sizeof(out), "nsenter --net=%s ip route show table all proto 90", lab.west.ns) == 0 &&
           strstr(out, "10.10.0.0/24") && !strstr(out, ctx);
}

static void test_two_daemons_of_one_namespace_lead_around_each_others_tunnels(void **state)
{
    static char *const extra[] = {"--card", "none", "--listen", "10.10.0.1", "-o", "block_on_exit=no", NULL};
    const struct tunnel_options o = {.conn = "if_id_in = 5\n    if_id_out = 5"};
    struct third third;
    char before[8192], after[8192], out[8192], rules[200];
    (void)state;
    assert_int_equal(sh_read(before, sizeof(before), AROUND, lab.west.ns), 0);
    load(&lab.east, true);
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, extra));
    start_third(&third);
    assert_true(has(&lab.west, "ipsec5") && has(&lab.west, "ipsec6"));
    lead(&lab.west, "default", "ipsec6"); // which is the other one's
    lead(&lab.west, "10.10.0.2/32", "ipsec6");
    lead(&lab.west, "10.10.0.12/32", "ipsec5");
    lead_both("ipsec5");
    assert_true(wait_for(no_tunnel_in_table, "dev ipsec", PATIENCE_MS));
    assert_true(initiate(&lab.west));
    assert_int_equal(swanctl(&third.s, out, sizeof(out), "--initiate --child net2 --timeout 20"), 0);
    assert_true(ping(&lab, &hosts[0], &hosts[1], 3));
    lead_both("ipsec6");
    assert_true(ping(&lab, &hosts[0], &hosts[1], 3));
    lead_both("ipsec5");
    pid_t watch = watch_rules(rules, sizeof(rules));
    assert_int_equal(
        sh("until nsenter --net=%s ip rule add pref 9 lookup 9 && nsenter --net=%s ip rule del pref "
           "9 && grep -q 'Deleted 9:' %s; do :; done",
           lab.west.ns, lab.west.ns, rules),
        0);
    assert_true(stop(&third.s.daemon, SIGTERM, 5000));
    assert_false(has(&lab.west, "ipsec6"));
    assert_true(rule_is_back(NULL));
    assert_true(stop(&watch, SIGTERM, 1000));
    assert_int_equal(sh("grep -q 'Deleted 32764:' %s", rules), 0);
    assert_int_equal(sh("grep 'Deleted 3276[35]:' %s", rules), 1); // with the last one's, and not before
    lead(&lab.west, "10.10.0.2/32", "ipsec5");
    assert_true(ping(&lab, &hosts[0], &hosts[1], 3));
    assert_int_equal(counter(&lab.west, "vti_own_traffic"), 0);
    assert_true(wait_for(no_address_comes, NULL, PATIENCE_MS));
    lead(&lab.west, "192.0.2.0/24", "outer");
    lead(&lab.west, "192.0.2.0/25", "ipsec5");
    assert_true(wait_for(table_follows, NULL, PATIENCE_MS));
    assert_int_equal(
        sh("nsenter --net=%s sh -c 'ip rule del pref 32763; ip -6 rule del pref 32765'", lab.west.ns),
        0); // others' hands
    assert_true(wait_for(rule_is_back, NULL, PATIENCE_MS));
    assert_true(stop(&lab.west.daemon, SIGTERM, 5000));
    assert_int_equal(sh_read(after, sizeof(after), AROUND, lab.west.ns), 0);
    assert_string_equal(before, after);
}

// ---- what stays

#define EVERYTHING                                                                                           \
    "nsenter --net=%s sh -c 'PATH=$PATH:/usr/sbin:/sbin; ip rule; ip -6 rule; (ip route show table all; ip " \
    "-6 "                                                                                                    \
    "route show table all) | grep -v \"proto kernel\"; ip -o link; ip xfrm policy; cat "                     \
    "/proc/sys/net/ipv4/fwmark_reflect /proc/sys/net/ipv6/fwmark_reflect; ! command -v nft >/dev/null || "   \
    "nft list tables'"

static int purge(const char *options, char *out, size_t size)
{
    return sh_read(out, size, "nsenter --net=%s %s/espalier down --purge --run-dir %s/run %s 2>&1",
                   lab.west.ns, bin_dir(), lab.west.dir, options);
}

static void says(const char *text, const char *expected)
{
    if (!strstr(text, expected))
        fail_msg("expected \"%s\" in:\n%s", expected, text);
}

// Says where they differ.
static void is_same(const char *before, const char *after)
{
    size_t at = 0;
    while (before[at] && before[at] == after[at])
        at++;
    if (before[at] == after[at])
        return;
    while (at && before[at - 1] != '\n')
        at--;
    fail_msg("it was:\n%.200s\n... and is:\n%.200s", before + at, after + at);
}

// Of what is somebody else's there is one of each kind.
static void test_purge_removes_what_runs_have_left_and_nothing_else(void **state)
{
    const struct tunnel_options o = {
        .child = "rekey_time = 0\n        if_id_in = 5\n        if_id_out = 5\n      }\n      more {\n"
                 "        local_ts = 10.1.0.0/16, fd01::/64\n        remote_ts = 10.2.0.0/16, fd02::/64"};
    static char before[65536], during[65536], after[65536], out[4096];
    (void)state;
    assert_int_equal(
        sh("nsenter --net=%s sh -c 'PATH=$PATH:/usr/sbin:/sbin; ip tuntap add dev ipsec77 mode tun; ip rule "
           "add fwmark 7 "
           "lookup 100 pref 5000; ip route add 192.0.2.0/24 dev outer table 100; ip xfrm policy add src "
           "10.1.0.9 dst 10.2.0.9 dir out action block; ! command -v nft || nft add table ip "
           "others'",
           lab.west.ns),
        0);
    assert_int_equal(sh_read(before, sizeof(before), EVERYTHING, lab.west.ns), 0);
    assert_int_equal(purge("", out, sizeof(out)), 0);
    says(out, "nothing is left of a run with ");
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    lead(&lab.west, "203.0.113.0/24", "ipsec5");
    assert_int_equal(sh_read(during, sizeof(during), EVERYTHING, lab.west.ns), 0);
    assert_int_equal(purge("", out, sizeof(out)), 1);
    says(out, ": the run directory is used by process ");
    assert_int_equal(sh_read(after, sizeof(after), EVERYTHING, lab.west.ns), 0);
    is_same(during, after);
    kill(room_pid(&lab.west, "path"), SIGSTOP); // or it begins to put away what it has
    assert_true(daemon_kill(&lab.west));
    assert_true(closed(1));
    assert_int_equal(purge("", out, sizeof(out)), 0);
    says(out, "TUN device ipsec5 removed\n");
    says(out, " routing rules removed\n");
    says(out, " routes removed\n");
    says(out, " block policies (XFRM) removed\n");
    says(out, "in clear from now on");
    assert_int_equal(sh_read(after, sizeof(after), EVERYTHING, lab.west.ns), 0);
    is_same(before, after);
    assert_int_equal(purge("--json", out, sizeof(out)), 0);
    says(out, "nothing is left of a run with ");
    says(out, "\"success\": true");
    assert_int_equal(purge("net", out, sizeof(out)), 2);
    says(out, "--purge: takes no name");
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card)); // and the next run does as ever
    assert_true(has(&lab.west, "ipsec5"));
}

static void test_nothing_stays_where_nothing_is_to_stay_closed(void **state)
{
    static char *const opens[] = {"--card", "none", "-o", "block_on_exit=no", NULL};
    const struct tunnel_options o = {.conn = "if_id_in = 5\n    if_id_out = 5"};
    char before[8192], during[8192], after[8192];
    (void)state;
    assert_int_equal(sh_read(before, sizeof(before), AROUND, lab.west.ns), 0);
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, opens));
    assert_int_equal(sh_read(during, sizeof(during), AROUND, lab.west.ns), 0);
    assert_non_null(strstr(during, "10.10.0.0/24"));
    assert_true(stop(&lab.west.daemon, SIGTERM, 5000));
    assert_false(has(&lab.west, "ipsec5"));
    assert_int_equal(sh_read(after, sizeof(after), AROUND, lab.west.ns), 0);
    assert_string_equal(before, after);
}

// Each gateway's address is the other one's selector, and the way to the peer.
static void test_host_to_host_in_transport_mode(void **state)
{
    char pcap[200], out[16384];
    struct tunnel_options o = {.child = "rekey_time = 0\n        mode = transport\n        if_id_in = 5\n"
                                        "        if_id_out = 5"};
    struct site *both[] = {&lab.west, &lab.east};
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(both[i]->subnet, sizeof(both[i]->subnet), "dynamic");
        snprintf(both[i]->inner, sizeof(both[i]->inner), "%s", both[i]->outer);
    }
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    for (int i = 0; i < 2; i++)
        assert_int_equal(sh("nsenter --net=%s ip route replace %s/32 dev ipsec5 src %s", both[i]->ns,
                            both[!i]->outer, both[i]->outer),
                         0);
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(initiate(&lab.west));
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--list-sas --raw"), 0);
    assert_non_null(strstr(out, "mode=TRANSPORT"));
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
    only_esp(&lab, pcap, 6);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_routes_choose_between_two_tunnels_with_equal_selectors),
        TEST(test_routes_choose_where_several_workers_carry_packets),
        TEST(test_devices_outlive_a_kill_and_go_with_their_connection),
        TEST(test_routes_stay_when_the_next_run_has_other_workers_or_cannot_load),
        TEST(test_an_interface_of_another_is_refused_by_name),
        TEST(test_our_own_packets_go_around_the_tunnels),
        TEST(test_a_hidden_route_that_changes_is_followed),
        TEST(test_two_daemons_of_one_namespace_lead_around_each_others_tunnels),
        TEST(test_purge_removes_what_runs_have_left_and_nothing_else),
        TEST(test_nothing_stays_where_nothing_is_to_stay_closed),
        TEST(test_host_to_host_in_transport_mode),
    };
    const char *given = getenv("ESPALIER_WORKERS");
    workers_given = given ? strdup(given) : NULL;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
