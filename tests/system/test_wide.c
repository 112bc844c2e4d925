// SPDX-License-Identifier: Apache-2.0
// 0.0.0.0/0 as a selector, on the kernel itself: what it protects goes through the tunnel or nowhere, and the
// networks that the gateway stands in live on, without an SA and with one. What the kernel itself says about
// packets that came out of the tunnel, which quotes them, goes back into it or nowhere.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;
static struct site host; // behind west: in 10.1.9.0/24, and as a guest in 10.7.9.0/24
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espwide") && host_up(&lab.west, &host, 1) &&
                   sh("nsenter --net=%s ip addr add 10.7.9.1/24 dev behind && nsenter --net=%s ip addr add "
                      "10.7.9.5/24 dev eth",
                      lab.west.ns, host.ns) == 0
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    stop(&host.keeper, 9, 5000);
    lab_down(&lab);
    return 0;
}

static bool reaches(const struct site *s, const char *from, const char *to, const char *patience)
{
    return sh("nsenter --net=%s ping -n -q -c 2 -i 0.2 -W %s -I %s %s", s->ns, patience, from, to) == 0;
}

static void alive(const struct site *s, const char *from, const char *to, const char *when)
{
    if (!reaches(s, from, to, "10"))
        fail_msg("%s: %s does not reach %s", when, from, to);
}

static void silent(const struct site *s, const char *from, const char *to, const char *when)
{
    if (reaches(s, from, to, "0.5"))
        fail_msg("%s: %s reaches %s", when, from, to);
}

static void start(const char *west_child, const char *east_child, const char *own)
{
    struct tunnel_options west = {.child = west_child, .sections = own}, east = {.child = east_child};
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &east, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &west, no_card));
}

// The gateway itself, and whoever stands behind it, in the network of its own.
static void own_network_lives(const char *when)
{
    alive(&host, "10.1.9.5", "10.1.9.1", when);
    alive(&lab.west, "10.1.9.1", "10.1.9.5", when);
}

static void nobody_else_is_concerned(const char *when)
{
    own_network_lives(when);
    alive(&lab.west, "10.10.0.1", "10.10.0.2", when);
    alive(&host, "10.7.9.5", "10.7.9.1", when);
    alive(&lab.west, "10.7.9.1", "10.7.9.5", when);
}

static void test_everything_for_one_network_concerns_no_other_one(void **state)
{
    char pcap[160];
    (void)state;
    start("rekey_time = 0\n        local_ts = 10.1.9.0/24\n        remote_ts = 0.0.0.0/0",
          "rekey_time = 0\n        local_ts = 0.0.0.0/0\n        remote_ts = 10.1.9.0/24", NULL);
    nobody_else_is_concerned("loaded");
    silent(&host, "10.1.9.5", "10.2.0.1", "loaded");
    assert_true(initiate(&lab.west));
    nobody_else_is_concerned("up");
    start_capture(&lab, pcap, sizeof(pcap));
    alive(&host, "10.1.9.5", "10.2.0.1", "up");
    alive(&lab.east, "10.2.0.1", "10.1.9.5", "up");
    silent(&host, "10.1.9.5", "198.51.100.7", "up"); // nobody has it: it leaves by the tunnel all the same
    only_esp(&lab, pcap, 10);
}

// Neighbours know each other by what is of one link alone.
static void test_everything_for_one_network_of_ipv6_leaves_that_network_alive(void **state)
{
    (void)state;
    start("rekey_time = 0\n        local_ts = fd01::9:0/112\n        remote_ts = ::/0",
          "rekey_time = 0\n        local_ts = ::/0\n        remote_ts = fd01::9:0/112", NULL);
    for (int up = 0; up < 2; up++) {
        const char *when = up ? "up" : "loaded";
        assert_int_equal(
            sh("nsenter --net=%s ip -6 neigh flush all && nsenter --net=%s ip -6 neigh flush all",
               lab.west.ns, host.ns),
            0);
        alive(&lab.west, "fd01::9:1", "fd01::9:5", when);
        alive(&host, "fd01::9:5", "fd01::9:1", when);
        if (!up)
            assert_true(initiate(&lab.west));
    }
}

// For all that is behind a gateway, and for itself. (For whoever there is on both sides: refused,
// test_config_conn.)
static void test_everything_for_everybody_leaves_what_bypass_names(void **state)
{
    static const char west[] =
        "rekey_time = 0\n        local_ts = 10.1.0.0/16,10.10.0.1/32\n        remote_ts = 0.0.0.0/0";
    static const char east[] =
        "rekey_time = 0\n        local_ts = 0.0.0.0/0\n        remote_ts = 10.1.0.0/16,10.10.0.1/32";
    static const char own[] = "connections {\n  own {\n    children {\n"
                              "      own {\n        mode = pass\n        local_ts = 10.1.9.0/24,10.7.9.0/24\n"
                              "        remote_ts = 10.1.9.0/24,10.7.9.0/24\n        start_action = trap\n"
                              "      }\n    }\n  }\n}\n";
    char pcap[160];
    (void)state;
    start(west, east, own);
    own_network_lives("loaded");
    silent(&lab.west, "10.1.0.1", "10.2.0.1", "loaded");
    silent(&lab.west, "10.10.0.1", "10.10.0.2", "loaded");
    silent(&host, "10.1.9.5", "10.2.0.1", "loaded");
    assert_true(initiate(&lab.west));
    own_network_lives("up");
    start_capture(&lab, pcap, sizeof(pcap));
    alive(&lab.west, "10.1.0.1", "10.2.0.1", "up");
    alive(&lab.east, "10.2.0.1", "10.1.0.1", "up");
    alive(&lab.west, "10.10.0.1", "10.10.0.2", "up"); // the gateways themselves, through their own tunnel
    alive(&host, "10.1.9.5", "10.2.0.1", "up");
    only_esp(&lab, pcap, 12);
}

// ---- what the kernel says

// East asks for an address behind west, and hears what `about` is in (or nothing at all).
static bool is_told_of(const char *about, const char *from, const char *to, const char *options)
{
    char out[2000];
    sh_read(out, sizeof(out), "nsenter --net=%s ping -n -c 1 -p 536563726574 %s -I %s %s 2>&1", lab.east.ns,
            options, from, to);
    return strstr(out, about) != NULL;
}

static bool is_told(const char *from, const char *to, const char *options)
{
    return is_told_of(" errors", from, to, options);
}

static void unlimited(void)
{
    if (sh("nsenter --net=%s sh -c 'echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 "
           ">/proc/sys/net/ipv6/icmp/ratelimit; ip link set behind mtu 1280; ip route add 10.5.5.0/24 via "
           "10.1.9.5; ip -6 route add fd05::/64 via fd01::9:5'",
           lab.west.ns))
        fail_msg("cannot let west say all that it has to say");
}

static const char none[] = "-W 4", expires[] = "-W 1 -t 1", too_long[] = "-W 1 -M do -s 1300";

// Narrow and wide, with an address of west's in the selector: the errors come by the tunnel.
static void errors_come_by_the_tunnel(const char *remote, const char *when)
{
    char pcap[160], west[200], east[200];
    snprintf(west, sizeof(west), "rekey_time = 0\n        local_ts = 10.1.9.0/24\n        remote_ts = %s",
             remote);
    snprintf(east, sizeof(east), "rekey_time = 0\n        local_ts = %s\n        remote_ts = 10.1.9.0/24",
             remote);
    start(west, east, NULL);
    unlimited();
    assert_true(initiate(&lab.west));
    start_capture(&lab, pcap, sizeof(pcap));
    if (!is_told("10.2.0.1", "10.1.9.77", none))
        fail_msg("%s: nothing said about a host that is not there", when);
    if (!is_told("10.2.0.1", "10.1.9.5", expires))
        fail_msg("%s: nothing said about what has come too far", when);
    if (!is_told("10.2.0.1", "10.1.9.5", too_long))
        fail_msg("%s: nothing said about what is too long", when);
    only_esp(&lab, pcap, 6);
}

static void test_errors_about_what_a_tunnel_to_everywhere_brought_go_back_by_it(void **state)
{
    (void)state;
    errors_come_by_the_tunnel("0.0.0.0/0", "to everywhere");
}

static void test_errors_about_what_a_tunnel_to_a_network_brought_go_back_by_it(void **state)
{
    (void)state;
    errors_come_by_the_tunnel("10.2.0.0/16", "to a network");
}

// West's address in the selector is the one that speaks, of IPv6 too, and says what it is to say.
static void errors_of_ipv6_come_by_the_tunnel(const char *remote, const char *when)
{
    char pcap[160], west[200], east[200];
    snprintf(west, sizeof(west), "rekey_time = 0\n        local_ts = fd01::9:0/112\n        remote_ts = %s",
             remote);
    snprintf(east, sizeof(east), "rekey_time = 0\n        local_ts = %s\n        remote_ts = fd01::9:0/112",
             remote);
    assert_true(lab_ipv6(&lab));
    assert_int_equal(sh("nsenter --net=%s ip -6 addr add fd02::1/128 dev lo nodad", lab.east.ns), 0);
    start(west, east, NULL);
    unlimited();
    assert_true(initiate(&lab.west));
    start_capture(&lab, pcap, sizeof(pcap));
    if (!is_told_of("From fd01::9:1 icmp_seq=1 Destination unreachable: Address unreachable", "fd02::1",
                    "fd01::9:77", none))
        fail_msg("%s: nothing said about a host that is not there", when);
    if (!is_told_of("From fd01::9:1 icmp_seq=1 Time exceeded: Hop limit", "fd02::1", "fd01::9:5", expires))
        fail_msg("%s: nothing said about what has come too far", when);
    if (!is_told_of("From fd01::9:1 icmp_seq=1 Packet too big: mtu=1280", "fd02::1", "fd01::9:5", too_long))
        fail_msg("%s: nothing said about what is too long", when);
    assert_int_equal(sh("nsenter --net=%s ip link set eth mtu 1280", host.ns), 0);
    alive(&lab.east, "fd02::1", "fd01::9:5 -s 1300", when); // now it is known
    alive(&host, "fd01::9:5", "fd02::1 -s 1200", when);
    only_esp(&lab, pcap, 10);
}

static void test_errors_of_ipv6_about_what_a_tunnel_to_everywhere_brought_go_back_by_it(void **state)
{
    (void)state;
    errors_of_ipv6_come_by_the_tunnel("::/0", "to everywhere");
}

static void test_errors_of_ipv6_about_what_a_tunnel_to_a_network_brought_go_back_by_it(void **state)
{
    (void)state;
    errors_of_ipv6_come_by_the_tunnel("fd02::/64", "to a network");
}

// West has no address that the policy names: nobody is told, and nothing is in clear.
static void errors_stay_here(const char *local, const char *remote, const char *from, const char *to,
                             const char *kind)
{
    char pcap[160], west[240], east[240];
    snprintf(west, sizeof(west), "rekey_time = 0\n        local_ts = %s%s\n        remote_ts = %s%s", local,
             kind, remote, kind);
    snprintf(east, sizeof(east), "rekey_time = 0\n        local_ts = %s%s\n        remote_ts = %s%s", remote,
             kind, local, kind);
    start(west, east, NULL);
    unlimited();
    assert_true(initiate(&lab.west));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_false(is_told(from, to, expires));
    assert_false(is_told(from, to, too_long));
    only_esp(&lab, pcap, 2);
}

static void test_errors_that_a_wide_policy_cannot_name_are_blocked(void **state)
{
    (void)state;
    errors_stay_here("10.5.5.0/24", "0.0.0.0/0", "10.2.0.1", "10.5.5.5", "");
}

static void test_errors_that_a_narrow_policy_cannot_name_are_blocked(void **state)
{
    (void)state;
    errors_stay_here("10.5.5.0/24", "10.2.0.0/16", "10.2.0.1", "10.5.5.5", "");
}

static void test_errors_that_a_policy_of_ipv6_cannot_name_are_blocked(void **state)
{
    (void)state;
    assert_true(lab_ipv6(&lab));
    assert_int_equal(sh("nsenter --net=%s ip -6 addr add fd02::1/128 dev lo nodad", lab.east.ns), 0);
    errors_stay_here("fd05::/64", "::/0", "fd02::1", "fd05::5", "");
}

// Echo requests alone are protected: what the errors would be sent by names no error.
static void test_errors_that_a_policy_of_one_type_does_not_name_are_blocked(void **state)
{
    (void)state;
    errors_stay_here("10.1.9.0/24", "0.0.0.0/0", "10.2.0.1", "10.1.9.5", "[icmp/8]");
}

// A guest network of the same gateway, which no policy names.
static void test_errors_about_what_nothing_protects_go_on(void **state)
{
    (void)state;
    start("rekey_time = 0\n        local_ts = 10.1.9.0/24\n        remote_ts = 0.0.0.0/0",
          "rekey_time = 0\n        local_ts = 0.0.0.0/0\n        remote_ts = 10.1.9.0/24", NULL);
    unlimited();
    assert_true(initiate(&lab.west));
    assert_int_equal(sh("nsenter --net=%s ip route add 10.7.9.0/24 via 10.10.0.1", lab.east.ns), 0);
    assert_true(is_told("10.10.0.2", "10.7.9.77", none));
    assert_true(is_told("10.10.0.2", "10.7.9.5", expires));
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_everything_for_one_network_concerns_no_other_one),
        T(test_everything_for_one_network_of_ipv6_leaves_that_network_alive),
        T(test_everything_for_everybody_leaves_what_bypass_names),
        T(test_errors_about_what_a_tunnel_to_everywhere_brought_go_back_by_it),
        T(test_errors_about_what_a_tunnel_to_a_network_brought_go_back_by_it),
        T(test_errors_of_ipv6_about_what_a_tunnel_to_everywhere_brought_go_back_by_it),
        T(test_errors_of_ipv6_about_what_a_tunnel_to_a_network_brought_go_back_by_it),
        T(test_errors_that_a_wide_policy_cannot_name_are_blocked),
        T(test_errors_that_a_narrow_policy_cannot_name_are_blocked),
        T(test_errors_that_a_policy_of_ipv6_cannot_name_are_blocked),
        T(test_errors_that_a_policy_of_one_type_does_not_name_are_blocked),
        T(test_errors_about_what_nothing_protects_go_on),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("0.0.0.0/0 on the kernel itself", tests, NULL, NULL);
}
