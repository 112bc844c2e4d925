// SPDX-License-Identifier: Apache-2.0
// Transport mode through a NAT (RFC 7296 section 2.23.1, RFC 3948 section 3.1.2) between two daemons: what
// the gateways' own programs say to each other arrives, with checksums that their kernels take, before and
// after the CHILD SA was rekeyed by either end; without an SA it is not answered. (strongSwan's
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

static int tear_down(void **state)
{
    (void)state;
    middle_stop(&middle);
    lab_down(&lab);
    return 0;
}

// Both gateways speak by their outer addresses; west is MIDDLE_NAT_ADDRESS to east.
static void start(void)
{
    struct tunnel_options west = {.child = "rekey_time = 0\n        mode = transport"}, east = west;
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        snprintf(both[i]->inner, sizeof(both[i]->inner), "%s", both[i]->outer);
        snprintf(both[i]->subnet, sizeof(both[i]->subnet), "dynamic");
    }
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

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_programs_behind_a_nat_speak_to_the_gateway),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("transport mode through a NAT", tests, NULL, NULL);
}
