// SPDX-License-Identifier: Apache-2.0
// Session resumption (RFC 5723) between two espalierd: the way between them is lost until both have given the
// other up; then the tunnel comes back by the ticket. The gateway's daemon, started anew, has none of its
// tickets any more.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;
static char settings[200];
static char *args[] = {"--card", "none", "--config", settings, NULL};

static int set_up(void **state)
{
    (void)state;
    if (!lab_up(&lab, "espres"))
        return -1;
    snprintf(settings, sizeof(settings), "%.150s/resume.conf", lab.dir);
    return sh("printf 'espalierd {\n  session_resumption = yes\n  retransmit_tries = 2\n"
              "  retransmit_timeout = 2.0\n  retransmit_base = 1\n}\n' >%s",
              settings);
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static const struct tunnel_options options = {.dpd_delay = "1"};

static void up(void)
{
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &options, args));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &options, args));
    assert_true(initiate(&lab.west));
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
    assert_true(logged(&lab.west, "received a ticket for resumption"));
}

// What it sends goes to nobody.
static void way(const struct site *s, const struct site *peer, bool there)
{
    assert_int_equal(sh(there ? "nsenter --net=%s ip neigh del %s dev outer"
                              : "nsenter --net=%s ip neigh replace %s lladdr 02:00:00:00:de:ad nud permanent "
                                "dev outer",
                        s->ns, peer->outer),
                     0);
}

static void ways(bool there)
{
    way(&lab.west, &lab.east, there);
    way(&lab.east, &lab.west, there);
}

static void test_a_tunnel_comes_back_by_its_ticket(void **state)
{
    char out[16384];
    (void)state;
    up();
    ways(false);
    assert_true(logged(&lab.west, "giving up after 2 retransmits"));
    assert_true(logged(&lab.east, "giving up after 2 retransmits"));
    ways(true);
    assert_true(initiate(&lab.west));
    assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
    assert_true(logged(&lab.west, "with its session ticket successful"));
    assert_true(logged(&lab.east, "10.10.0.1 is resuming an IKE_SA"));
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--list-sas --raw"), 0);
    const char *first = strstr(out, "ESTABLISHED");
    assert_true(first && !strstr(first + 1, "ESTABLISHED"));
}

static void test_a_gateway_started_anew_is_begun_with_in_full(void **state)
{
    (void)state;
    up();
    ways(false);
    assert_true(logged(&lab.west, "giving up after 2 retransmits"));
    assert_true(daemon_kill(&lab.east));
    ways(true);
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &options, args));
    assert_true(initiate(&lab.west));
    assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
    assert_true(logged(&lab.west, "is not resumed, beginning anew: received TICKET_NACK"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_tunnel_comes_back_by_its_ticket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_gateway_started_anew_is_begun_with_in_full, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
