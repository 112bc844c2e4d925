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

// --- with a PPK and a virtual address ---

static bool load_text(struct site *s, const char *text)
{
    char path[200], out[4096];
    snprintf(path, sizeof(path), "%s/swanctl/swanctl.conf", s->dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return complain("cannot write %s", path);
    fputs(text, f);
    fclose(f);
    return swanctl(s, out, sizeof(out), "--load-all --noprompt") == 0 || complain("%s", out);
}

#define CONNECTION                                                                                           \
    "version = 2\n mobike = no\n proposals = aes256gcm16-prfsha384-x25519\n ppk_id = both.example\n"         \
    " ppk_required = yes\n unique = never\n dpd_delay = 1\n"
#define ESP "esp_proposals = aes256gcm16\n rekey_time = 0\n"
#define SECRETS                                                                                              \
    "secrets { ike-1 { secret = \"of a road warrior\"\n }\n ppk-1 { id = both.example\n secret = "           \
    "0x2a2b2c2d\n } }\n"

static void warrior_up(void)
{
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &options, args));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &options, args));
    assert_true(load_text(&lab.east, "connections { rw { " CONNECTION
                                     " local_addrs = 10.10.0.2\n remote_addrs = %any\n pools = v4\n"
                                     " local { auth = psk\n id = east.example\n }\n"
                                     " remote { auth = psk\n id = rw.example\n }\n"
                                     " children { net { local_ts = 10.2.0.0/16\n " ESP " } } } }\n" SECRETS
                                     "pools { v4 { addrs = 10.3.0.7-10.3.0.7\n } }\n"));
    assert_true(load_text(&lab.west,
                          "connections { rw { " CONNECTION
                          " local_addrs = 10.10.0.1\n remote_addrs = 10.10.0.2\n vips = 0.0.0.0\n"
                          " local { auth = psk\n id = rw.example\n }\n"
                          " remote { auth = psk\n id = east.example\n }\n"
                          " children { net { remote_ts = 10.2.0.0/16\n " ESP " } } } }\n" SECRETS));
    assert_true(initiate(&lab.west));
    assert_true(logged(&lab.west, "received a ticket for resumption"));
}

static void assert_warrior(void)
{
    char out[16384];
    assert_int_equal(sh("nsenter --net=%s ping -c 3 -i 0.2 -W 2 -I 10.3.0.7 10.2.0.1", lab.west.ns), 0);
    assert_int_equal(sh("nsenter --net=%s ping -c 3 -i 0.2 -W 2 -I 10.2.0.1 10.3.0.7", lab.east.ns), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(swanctl(i ? &lab.east : &lab.west, out, sizeof(out), "--list-sas --raw"), 0);
        assert_non_null(strstr(out, "ppk=yes"));
        assert_non_null(strstr(out, i ? "remote-vips=[10.3.0.7]" : "local-vips=[10.3.0.7]"));
    }
}

static void test_a_road_warrior_with_a_ppk_has_the_same_address_again(void **state)
{
    (void)state;
    warrior_up();
    assert_warrior();
    way(&lab.east, &lab.west, false); // the gateway does not know of it
    assert_true(logged(&lab.west, "giving up after 2 retransmits"));
    way(&lab.east, &lab.west, true);
    assert_true(initiate(&lab.west));
    assert_warrior();
    assert_true(logged(&lab.west, "with its session ticket successful"));
    assert_true(logged(&lab.east, "10.10.0.1 is resuming an IKE_SA"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_tunnel_comes_back_by_its_ticket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_gateway_started_anew_is_begun_with_in_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_road_warrior_with_a_ppk_has_the_same_address_again, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
