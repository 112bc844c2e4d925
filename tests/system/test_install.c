// SPDX-License-Identifier: Apache-2.0
// swanctl --install and --uninstall, as stock swanctl sends them: a packet of a policy that is installed by
// hand brings its SA up, also behind another load and an `ike` that was killed; without, nothing does, and
// nothing leaves in clear.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/harness.h"

static struct lab lab;
static char out[65536];
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espinst") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static void client(int status, const char *args)
{
    int rc = swanctl(&lab.west, out, sizeof(out), "%s", args);
    if (rc != status)
        fail_msg("swanctl %s: status %d, expected %d:\n%s", args, rc, status, out);
}

static void start(const struct tunnel_options *o)
{
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, o, no_card));
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &(struct tunnel_options){0}, no_card));
}

static bool passes(void *unused)
{
    (void)unused;
    return answered(&lab.west, &lab.east, 1);
}

// An SA is asked for once a second at most.
static void brings_it_up(void)
{
    assert_true(wait_for(passes, NULL, PATIENCE_MS));
    client(0, "--list-sas");
    assert_non_null(strstr(out, "INSTALLED"));
    client(0, "--terminate --ike site");
}

static bool ike_is_another(void *was)
{
    pid_t now = room_pid(&lab.west, "ike");
    return now && now != *(pid_t *)was && swanctl(&lab.west, out, sizeof(out), "--list-conns") == 0;
}

static void test_a_policy_installed_by_hand_asks_for_its_sa(void **state)
{
    (void)state;
    start(&(struct tunnel_options){0});
    client(0, "--list-pols --trap");
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    client(0, "--install --child net");
    assert_non_null(strstr(out, "install completed successfully"));
    client(0, "--list-pols --trap");
    assert_non_null(strstr(out, "site/net, TUNNEL"));
    client(0, "--list-pols --drop"); // of another kind it is not
    assert_null(strstr(out, "site/net"));
    assert_true(ping(&lab, &lab.west, &lab.east, 1)); // the first one waits for the SA
    brings_it_up();
    client(0, "--load-all");
    brings_it_up();
    pid_t ike = room_pid(&lab.west, "ike");
    kill(ike, SIGKILL);
    assert_true(wait_for(ike_is_another, &ike, PATIENCE_MS));
    brings_it_up();
    client(0, "--uninstall --child net");
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    client(1, "--uninstall --child net");
    assert_non_null(strstr(out, "policy 'net' not found"));
    client(1, "--install --child nonesuch");
    assert_non_null(strstr(out, "'nonesuch' not found"));
}

static void test_a_configured_trap_is_uninstalled_by_hand(void **state)
{
    (void)state;
    start(&(struct tunnel_options){.start_action = "trap"});
    client(0, "--uninstall --child net");
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    client(0, "--load-all"); // as it was loaded: what was said by hand holds
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    client(0, "--install --child net");
    brings_it_up();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_policy_installed_by_hand_asks_for_its_sa, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_configured_trap_is_uninstalled_by_hand, set_up, tear_down),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("policies installed by hand", tests, NULL, NULL);
}
