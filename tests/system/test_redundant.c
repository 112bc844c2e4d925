// SPDX-License-Identifier: Apache-2.0
// Two tunnels between the same two networks, kept by the daemons themselves: the children's `route_metric`
// says which is preferred, their `probe` whether one carries. What is lost, and for how long, where an SA
// goes and where the path under a tunnel falls silent, and the way back; with nothing that carries everything
// is closed. Nothing of the networks behind is on the link in clear at any time.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

enum { RATE_US = 2000, TURN_MS = 30000 };

static struct lab lab;
static struct site hosts[2]; // behind west and east
static char *const no_card[] = {"--card", "none", NULL};

// The laboratory's own route to the network behind the other gateway, in clear and with metric 0, stays.
static int set_up(void **state)
{
    struct site *both[] = {&lab.west, &lab.east};
    (void)state;
    memset(hosts, 0, sizeof(hosts));
    if (!lab_up(&lab, "esptwo") || !host_up(&lab.west, &hosts[0], 1) || !host_up(&lab.east, &hosts[1], 2))
        return -1;
    for (int i = 0; i < 2; i++) {
        snprintf(hosts[i].inner, sizeof(hosts[i].inner), "10.%d.9.5", i + 1);
        if (sh("nsenter --net=%s sh -c 'ip addr add 10.10.0.1%d/24 dev outer; echo 1 "
               ">/proc/sys/net/ipv6/conf/all/disable_ipv6'",
               both[i]->ns, i + 1))
            return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stop(&hosts[0].keeper, SIGKILL, 1000);
    stop(&hosts[1].keeper, SIGKILL, 1000);
    lab_down(&lab);
    return 0;
}

// ---- two tunnels from one file; nobody sets a route

// 10.x.255.N is the end inside tunnel N, which no interface has.
static const char *child_lines(char *buf, size_t size, int own, int tunnel, const char *more)
{
    snprintf(buf, size,
             "rekey_time = 0\n        route_metric = %d0\n        probe = 10.%d.255.%d\n        probe_from = "
             "10.%d.255.%d\n        %s",
             tunnel, 3 - own, tunnel, own, tunnel, more);
    return buf;
}

static void daemon_up(int i, const char *more)
{
    struct site *both[] = {&lab.west, &lab.east};
    char first[300], second[300], two[2000];
    int own = i + 1, far = 2 - i;
    struct tunnel_options o = {.conn = "if_id_in = 1\n    if_id_out = 1\n    keyingtries = 0",
                               .start_action = i ? "none" : "start",
                               .sections = two,
                               .child = child_lines(first, sizeof(first), own, 1, more)};
    snprintf(
        two, sizeof(two),
        "connections {\n  two {\n    local_addrs = 10.10.0.1%d\n    remote_addrs = 10.10.0.1%d\n"
        "    if_id_in = 2\n    if_id_out = 2\n    keyingtries = 0\n    local {\n      auth = psk\n      id "
        "= %s\n    }\n    remote {\n      auth = psk\n      id = %s\n    }\n    children {\n      net2 {\n"
        "        local_ts = 10.%d.0.0/16\n        remote_ts = 10.%d.0.0/16\n        %s\n"
        "        start_action = %s\n      }\n    }\n  }\n}\n",
        own, far, both[i]->id, both[!i]->id, own, far, child_lines(second, sizeof(second), own, 2, more),
        i ? "none" : "start");
    assert_true(espalierd_start(&lab, both[i], both[!i], &o, no_card));
}

struct route_text {
    const char *child, *want;
};

static bool has_text(void *ctx)
{
    const struct route_text *t = ctx;
    char out[16384], *at;
    swanctl(&lab.west, out, sizeof(out), "--list-sas --raw");
    at = strstr(out, t->child);
    at = at ? strstr(at, " route=") : NULL;
    return at && strncmp(at + 7, t->want, strlen(t->want)) == 0;
}

static void route_is(const char *child, const char *want)
{
    struct route_text t = {child, want};
    if (!wait_for(has_text, &t, TURN_MS))
        fail_msg("%s is not listed with the route \"%s\"", child, want);
}

// ---- the link

// What comes from the peer's end of the first tunnel, or of both, is lost at both ends.
static void cut(const char *west_hears_not, const char *east_hears_not)
{
    const struct site *both[] = {&lab.west, &lab.east};
    const char *from[] = {west_hears_not, east_hears_not};
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            sh("nsenter --net=%s nft 'table ip cut { chain c { type filter hook prerouting priority "
               "-400; ip saddr { %s } drop; }; }'",
               both[i]->ns, from[i]),
            0);
}

static void heal(void)
{
    assert_int_equal(sh("nsenter --net=%s nft delete table ip cut", lab.west.ns), 0);
    assert_int_equal(sh("nsenter --net=%s nft delete table ip cut", lab.east.ns), 0);
}

// ---- figures

static struct probe stream;

static void stream_starts(void)
{
    assert_true(probe_start(&lab, &stream, &hosts[0], &hosts[1], RATE_US));
    assert_true(probe_hears(500));
}

static struct probe_result stream_ends(const char *what, double turned_s)
{
    struct probe_result r;
    assert_true(probe_stop(&stream, &r));
    print_message("  %-44s %6.2f s until routes lead there, longest gap %7.1f ms, %llu of %llu lost\n", what,
                  turned_s, (double)r.max_gap_us / 1e3, (unsigned long long)(r.sent - r.received),
                  (unsigned long long)r.sent);
    assert_int_equal(r.repeated, 0);
    return r;
}

static void test_the_preferred_tunnel_that_carries_is_used_and_again_when_it_is_back(void **state)
{
    char pcap[200], out[16384];
    struct probe_result r;
    (void)state;
    start_capture(&lab, pcap, sizeof(pcap));
    daemon_up(1, "");
    assert_false(answered(&hosts[1], &hosts[0], 2)); // closed from the load on, without an SA
    daemon_up(0, "");
    await_way(&lab, " dev ipsec1 ", TURN_MS);
    route_is("name=net ", "metric 10");
    route_is("name=net2 ", "metric 20");
    assert_int_equal(
        sh_read(out, sizeof(out), "%s/espalier sas --uri unix://%s/vici", bin_dir(), lab.west.dir), 0);
    assert_non_null(strstr(out, "by ipsec1 (metric 10)"));
    assert_int_equal(sh_read(out, sizeof(out), "nsenter --net=%s ip route show proto 91", lab.west.ns), 0);
    print_message("%s", out);

    stream_starts();
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--terminate --ike site --timeout 5"), 0);
    double s = await_way(&lab, " dev ipsec2 ", TURN_MS);
    assert_true(probe_hears(1500));
    r = stream_ends("the first tunnel's SA ends: the second", s);
    assert_true(r.max_gap_us < 1000000);

    stream_starts();
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--initiate --child net --timeout 20"), 0);
    s = await_way(&lab, " dev ipsec1 ", TURN_MS);
    assert_true(probe_hears(1500));
    r = stream_ends("it is there again: back", s);
    assert_int_equal(r.received, r.sent);

    stream_starts();
    cut("10.10.0.2", "10.10.0.1");
    s = await_way(&lab, " dev ipsec2 ", TURN_MS);
    assert_true(probe_hears(1500));
    r = stream_ends("the path of the first falls silent: the second", s);
    assert_true(r.max_gap_us < 6000000);
    route_is("name=net ", "last resort: 10.2.255.1 does not answer");

    stream_starts();
    heal();
    s = await_way(&lab, " dev ipsec1 ", TURN_MS);
    assert_true(probe_hears(1500));
    r = stream_ends("it answers again: back", s);
    assert_int_equal(r.received, r.sent);

    cut("10.10.0.2, 10.10.0.12", "10.10.0.1, 10.10.0.11");
    route_is("name=net2 ", "last resort: 10.2.255.2 does not answer");
    assert_false(answered(&hosts[0], &hosts[1], 2));
    heal();
    await_way(&lab, " dev ipsec1 ", TURN_MS);
    only_esp(&lab, pcap, 2000);
}

// With the address that is their source Linux takes IPv4 routes away, which nobody puts back now.
static void stays_closed_without_its_address(void)
{
    char out[512];
    assert_int_equal(
        sh_read(out, sizeof(out),
                "nsenter --net=%s sh -c 'set -- $(ip -o -4 addr show to 10.1.0.0/16); ip addr del $4 "
                "dev $2; ip route get 10.2.9.5 from 10.10.0.1; ip addr add $4 dev $2'",
                lab.west.ns),
        0);
    assert_non_null(strstr(out, " dev ipsec"));
}

static void test_routes_go_with_the_connection_and_stay_closed_over_a_kill(void **state)
{
    char pcap[200], out[4096];
    (void)state;
    daemon_up(1, "");
    daemon_up(0, "");
    await_way(&lab, " dev ipsec1 ", TURN_MS);
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(daemon_kill(&lab.west));
    assert_false(answered(&hosts[0], &hosts[1], 2));
    stays_closed_without_its_address();
    daemon_up(0, "");
    await_way(&lab, " dev ipsec1 ", TURN_MS);
    assert_true(answered(&hosts[0], &hosts[1], 3));
    assert_true(capture_stop(&lab.west));
    struct wire w;
    assert_true(wire_check(pcap, &w));
    assert_int_equal(w.plaintext, 0);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--terminate --ike two --timeout 5"), 0);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--terminate --ike site --timeout 5"), 0);
    struct tunnel_options plain = {.conn =
                                       "if_id_in = 1\n    if_id_out = 1"}; // whose routes are the operator's
    assert_true(site_load(&lab.west, &lab.east, &plain));
    assert_int_equal(sh_read(out, sizeof(out), "nsenter --net=%s ip route show proto 91", lab.west.ns), 0);
    assert_string_equal(out, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_preferred_tunnel_that_carries_is_used_and_again_when_it_is_back),
        TEST(test_routes_go_with_the_connection_and_stay_closed_over_a_kill),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("two tunnels to the same networks", tests, NULL, NULL);
}
