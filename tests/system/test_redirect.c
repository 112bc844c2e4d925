// SPDX-License-Identifier: Apache-2.0
// Redirection (RFC 5685) with strongSwan in either role: the client goes to the gateway's other address when
// the gateway's operator says so, and the tunnel is there.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espred") &&
                   sh("nsenter --net=%s ip addr add 10.10.0.3/24 dev outer", lab.east.ns) == 0
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static bool is_there(void *ctx)
{
    char out[16384];
    (void)ctx;
    if (swanctl(&lab.west, out, sizeof(out), "--list-sas --raw") != 0)
        return false;
    const char *first = strstr(out, "remote-host=");
    return first && strncmp(first, "remote-host=10.10.0.3", 21) == 0 && strstr(out, "INSTALLED") &&
           !strstr(out, "remote-host=10.10.0.2");
}

static void redirects(bool charon_is_the_gateway)
{
    static char *const no_card[] = {"--card", "none", NULL};
    struct tunnel_options east = {.own_addrs = "%any", .peer_addr = "%any"}, west = {0};
    char out[16384];
    needs_strongswan();
    assert_true(charon_is_the_gateway ? charon_start(&lab, &lab.east, &lab.west, &east)
                                      : espalierd_start(&lab, &lab.east, &lab.west, &east, no_card));
    assert_true(charon_is_the_gateway ? espalierd_start(&lab, &lab.west, &lab.east, &west, no_card)
                                      : charon_start(&lab, &lab.west, &lab.east, &west));
    assert_true(initiate(&lab.west));
    assert_true(ping(&lab, &lab.west, &lab.east, 2));
    if (swanctl(&lab.east, out, sizeof(out), "--redirect --peer-ip 10.10.0.1 --gateway 10.10.0.3")) {
        print_error("--redirect: %s\n", out);
        fail();
    }
    assert_true(wait_for(is_there, NULL, PATIENCE_MS));
    assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
}

static void test_espalierd_as_client_goes_where_strongswan_sends_it(void **state)
{
    (void)state;
    redirects(true);
}

static void test_espalierd_as_gateway_sends_strongswan_elsewhere(void **state)
{
    (void)state;
    redirects(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_espalierd_as_client_goes_where_strongswan_sends_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_espalierd_as_gateway_sends_strongswan_elsewhere, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
