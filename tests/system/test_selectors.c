// SPDX-License-Identifier: Apache-2.0
// Selectors of protocols, ports, and types and codes of ICMP with stock strongSwan: both ends write the same
// ones of what was negotiated, whichever begins, and a ping goes by those of its type and by no others.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espsel") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

struct row {        // of either end's subnet, in brackets
    const char *to; // as both take it
    const char *written;
};

static void selectors(char *out, size_t size, const struct row *rows, unsigned n, const char *own,
                      const char *peer)
{
    size_t at = (size_t)snprintf(out, size, "rekey_time = 0\n        local_ts = ");
    for (unsigned i = 0; i < n; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s[%s]", i ? "," : "", own, rows[i].to);
    at += (size_t)snprintf(out + at, size - at, "\n        remote_ts = ");
    for (unsigned i = 0; i < n; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s[%s]", i ? "," : "", peer, rows[i].to);
}

static void start(const struct row *rows, unsigned n)
{
    char theirs_text[2048], ours_text[2048];
    selectors(theirs_text, sizeof(theirs_text), rows, n, lab.east.subnet, lab.west.subnet);
    selectors(ours_text, sizeof(ours_text), rows, n, lab.west.subnet, lab.east.subnet);
    struct tunnel_options theirs = {.child = theirs_text}, ours = {.child = ours_text};
    assert_true(charon_start(&lab, &lab.east, &lab.west, &theirs));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &ours, no_card));
}

static void test_both_ends_write_what_was_negotiated_alike(void **state)
{
    static const struct row rows[] = {{"icmp/8", "icmp/8"},
                                      {"icmp/0", "icmp/0"},
                                      {"icmp/769", "icmp/3(1)"},
                                      {"icmp/772-775", "icmp/3(4)-3(7)"},
                                      {"tcp/1000-2000", "tcp/1000-2000"},
                                      {"udp/40001", "udp/40001"},
                                      {"tcp/opaque", "tcp/OPAQUE"}};
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    char ours[16384], theirs[16384], want[100];
    (void)state;
    needs_strongswan();
    start(rows, ROWS);
    for (int i = 0; i < 2; i++) {
        assert_true(initiate(i ? &lab.west : &lab.east));
        assert_int_equal(swanctl(&lab.west, ours, sizeof(ours), "--list-sas --raw"), 0);
        assert_int_equal(swanctl(&lab.east, theirs, sizeof(theirs), "--list-sas --raw"), 0);
        for (unsigned k = 0; k < ROWS; k++) {
            const char *subnets[] = {lab.west.subnet, lab.east.subnet};
            for (int s = 0; s < 2; s++) {
                snprintf(want, sizeof(want), "%s[%s]", subnets[s], rows[k].written);
                if (!strstr(ours, want) || !strstr(theirs, want))
                    fail_msg("%s is not written by both:\n%s\n%s", want, ours, theirs);
            }
        }
        assert_int_equal(swanctl(&lab.west, ours, sizeof(ours), "--terminate --ike site --timeout 10"), 0);
    }
}

// Looked up by a process whose system calls are filtered.
static void test_names_are_those_of_the_machines_files(void **state)
{
    static const struct row rows[] = {{"tcp/https", "tcp/443"}, {"udp/ntp", "udp/123"}, {"egp", "8"}};
    char text[2048], out[16384], want[100];
    struct tunnel_options ours = {.child = text};
    (void)state;
    selectors(text, sizeof(text), rows, 3, lab.west.subnet, lab.east.subnet);
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &ours, no_card));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--list-conns"), 0);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(want, sizeof(want), "%s[%s]", lab.west.subnet, rows[i].written);
        if (!strstr(out, want))
            fail_msg("no %s in:\n%s", want, out);
    }
}

static void test_ping_goes_by_its_types(void **state)
{
    static const struct row both[] = {{"icmp/8", ""}, {"icmp/0", ""}};
    (void)state;
    needs_strongswan();
    start(both, 2);
    assert_true(initiate(&lab.east));
    assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
}

static void test_ping_does_not_go_by_another_type(void **state)
{
    static const struct row other[] = {{"icmp/13", ""}, {"icmp/14", ""}};
    (void)state;
    needs_strongswan();
    start(other, 2);
    assert_true(initiate(&lab.east));
    assert_false(answered(&lab.west, &lab.east, 1)); // and no policy is about it
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_both_ends_write_what_was_negotiated_alike),
        T(test_names_are_those_of_the_machines_files),
        T(test_ping_goes_by_its_types),
        T(test_ping_does_not_go_by_another_type),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("selectors", tests, NULL, NULL);
}
