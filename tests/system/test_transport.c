// SPDX-License-Identifier: Apache-2.0
// Transport mode between two daemons. Through a NAT (RFC 7296 section 2.23.1, RFC 3948 section 3.1.2): what
// the gateways' own programs say to each other arrives, with checksums that their kernels take, before and
// after the CHILD SA was rekeyed by either end, and when the NAT has got another address; without an SA it is
// not answered. Without one, where the address to speak by is the system's choice. (strongSwan's
// kernel-libipsec has no transport mode.)
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/middle.h"
#include "tests/system/steps.h"

static struct lab lab;
static struct middle middle;
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    struct middle_control first = {.nat = 20000};
    (void)state;
    return lab_up(&lab, "espnat") && middle_start(&lab, &middle, &first) ? 0 : -1;
}

static int set_up_wire(void **state)
{
    (void)state;
    return lab_up(&lab, "espnat") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    if (middle.pid)
        middle_stop(&middle);
    lab_down(&lab);
    return 0;
}

// Both gateways speak by their outer addresses.
static void speak_by_outer_addresses(void)
{
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        snprintf(both[i]->inner, sizeof(both[i]->inner), "%s", both[i]->outer);
        snprintf(both[i]->subnet, sizeof(both[i]->subnet), "dynamic");
    }
}

// West is MIDDLE_NAT_ADDRESS to east.
static void start(void)
{
    struct tunnel_options west = {.child = "rekey_time = 0\n        mode = transport"}, east = west;
    speak_by_outer_addresses();
    east.peer_addr = "%any";
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &east, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &west, no_card));
}

static void test_programs_behind_a_nat_speak_to_the_gateway(void **state)
{
    char out[16384];
    (void)state;
    start();
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    assert_true(initiate(&lab.west));
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--list-sas --raw"), 0);
    assert_non_null(strstr(out, "mode=TRANSPORT"));
    assert_non_null(strstr(out, "remote-port=24500"));
    assert_non_null(strstr(out, "remote-ts=[" MIDDLE_NAT_ADDRESS "/32]"));
    for (int i = 0; i < 3; i++) {
        assert_true(ping(&lab, &lab.west, &lab.east, 3));
        assert_true(transfer(&lab, &lab.west, &lab.east, 1 << 18, 30000, NULL, NULL)); // TCP
        if (i == 2)
            break;
        assert_int_equal(swanctl(i ? &lab.west : &lab.east, out, sizeof(out), "--rekey --child net"), 0);
        assert_true(logged(&lab.west, i ? "CHILD_SA net{3} established" : "CHILD_SA net{2} established"));
    }
    assert_true(daemon_kill(&lab.west));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

static bool arrives(void *ctx)
{
    (void)ctx;
    return ping(&lab, &lab.west, &lab.east, 1);
}

// IKE follows, and the CHILD SA's selectors are of the former address.
static void test_nat_that_gets_another_address_is_followed(void **state)
{
    char out[16384];
    (void)state;
    start();
    assert_true(initiate(&lab.west));
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
    assert_int_equal(sh("nsenter --net=%s ip neigh replace 10.10.0.78 lladdr 02:00:00:00:00:01 dev outer nud "
                        "permanent",
                        lab.east.ns),
                     0);
    middle.control->nat_host = 78;
    assert_true(wait_for(arrives, NULL, 8000));
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--list-sas --raw"), 0);
    assert_non_null(strstr(out, "remote-ts=[10.10.0.78/32]"));
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
}

// The policy is about the very packets that go to the peer: the question for the way to it is none of them.
static void speaks_by_what_the_system_chooses(const char *mode)
{
    char child[100], out[4096];
    snprintf(child, sizeof(child), "rekey_time = 0\n        mode = %s", mode);
    const struct tunnel_options o = {.child = child, .own_addrs = "%any"};
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    for (int i = 0; i < 2; i++) {
        struct site *s = i ? &lab.east : &lab.west;
        assert_true(initiate(s));
        assert_true(ping(&lab, &lab.west, &lab.east, 2));
        assert_int_equal(swanctl(s, out, sizeof(out), "--terminate --ike site"), 0);
        assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    }
    // what the last run has left blocked is in the way of nothing either
    assert_true(daemon_kill(&lab.west));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    assert_true(initiate(&lab.west));
    assert_true(ping(&lab, &lab.west, &lab.east, 2));
    assert_true(stop(&lab.west.daemon, SIGTERM, PATIENCE_MS));
    assert_true(stop(&lab.east.daemon, SIGTERM, PATIENCE_MS));
}

static void test_hosts_that_leave_their_address_to_the_system(void **state)
{
    (void)state;
    speak_by_outer_addresses();
    speaks_by_what_the_system_chooses("transport");
    speaks_by_what_the_system_chooses("tunnel");
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_programs_behind_a_nat_speak_to_the_gateway),
        T(test_nat_that_gets_another_address_is_followed),
        cmocka_unit_test_setup_teardown(test_hosts_that_leave_their_address_to_the_system, set_up_wire,
                                        tear_down),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("transport mode", tests, NULL, NULL);
}
