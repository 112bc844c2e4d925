// SPDX-License-Identifier: Apache-2.0
// 0.0.0.0/0 as a selector, on the kernel itself: what it protects goes through the tunnel or nowhere, and the
// networks that the gateway stands in live on, without an SA and with one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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

static void test_everything_for_everybody_leaves_what_bypass_names(void **state)
{
    static const char all[] = "rekey_time = 0\n        local_ts = 0.0.0.0/0\n        remote_ts = 0.0.0.0/0";
    static const char own[] = "connections {\n  own {\n    children {\n"
                              "      own {\n        mode = pass\n        local_ts = 10.1.9.0/24,10.7.9.0/24\n"
                              "        remote_ts = 10.1.9.0/24,10.7.9.0/24\n        start_action = trap\n"
                              "      }\n    }\n  }\n}\n";
    char pcap[160];
    (void)state;
    start(all, all, own);
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
    silent(&host, "10.1.9.5", "10.2.0.1", "up");      // README: nobody forwards between equal sides
    only_esp(&lab, pcap, 12);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_everything_for_one_network_concerns_no_other_one),
        T(test_everything_for_everybody_leaves_what_bypass_names),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("0.0.0.0/0 on the kernel itself", tests, NULL, NULL);
}
