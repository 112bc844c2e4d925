// SPDX-License-Identifier: Apache-2.0
// espalier-pair, which is espalier-sim's command pair: that it passes with the daemons of this build, as root
// and as nobody, and with stubs in their place that it says what is wrong, each in its step.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/harness.h"

static char dir[64]; // what stands there is beside the program
static char said[65536];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/espalier-test-pair-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    chmod(dir, 0755);
    return sh("cp %s/espalier-pair %s/", bin_dir(), dir);
}

static int tear_down(void **state)
{
    (void)state;
    return sh("rm -rf %s", dir);
}

static void real(const char *program)
{
    assert_int_equal(sh("cp %s/%s %s/", bin_dir(), program, dir), 0);
}

static void stub(const char *program, const char *body)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, program);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", body);
    fclose(f);
    chmod(path, 0755);
}

static void must_say(const char *text)
{
    if (!strstr(said, text))
        fail_msg("expected \"%s\" in:\n%s", text, said);
}

static void ends_with(int status, const char *before, const char *arguments)
{
    int rc = sh_read(said, sizeof(said), "%s %s/espalier-pair %s 2>&1", before, dir, arguments);
    if (rc != status)
        fail_msg("exit status %d, expected %d:\n%s", rc, status, said);
}

// A daemon that serves nothing and protects nothing, and ends when it is asked to.
static void stub_daemon(void)
{
    stub("espalierd", "while [ $# -gt 0 ]; do [ \"$1\" != --vici ] || : >\"${2#unix://}\"; shift; done\n"
                      "trap 'kill $!; exit 0' TERM\nsleep 100 & wait");
}

// ---- with the daemons

static void test_two_of_ours_pass(void **state)
{
    (void)state;
    real("espalierd");
    real("espalier");
    ends_with(0, "", "");
    must_say("ok     before the tunnel: 0 of 3 datagrams came back, 0 packets in clear");
    must_say("ok     datagrams: 200 of 200 there and back, 0 wrong");
    must_say("ok     stream west to east: 4194304 of 4194304 octets");
    must_say("ok     stream east to west: 4194304 of 4194304 octets");
    must_say(" 0 in clear, 0 numbers twice");
    must_say("pair: traffic passed, nothing in clear");
}

// Somebody who may make no namespace but one of users. In one of those there is no second user.
static const char *as_nobody(void)
{
    if (geteuid())
        return "";
    return sh("setpriv --reuid=65534 --clear-groups true")
               ? "setpriv --inh-caps=-all --bounding-set=-sys_admin"
               : "setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all";
}

static void test_nobody_passes_in_a_user_namespace(void **state)
{
    char junit[128];
    (void)state;
    real("espalierd");
    real("espalier");
    chmod(dir, 0777);
    snprintf(junit, sizeof(junit), "--junit %s/junit.xml", dir);
    ends_with(0, as_nobody(), junit);
    must_say("two namespaces in a user namespace");
    assert_int_equal(sh_read(said, sizeof(said), "cat %s/junit.xml", dir), 0);
    must_say("tests=\"10\" failures=\"0\" errors=\"0\" skipped=\"0\"");
    must_say("name=\"the link\"");
}

// As in a container with what a gateway needs, and nothing else of what root may.
static void gateways_with(const char *rights)
{
    char body[300];
    real("espalier");
    snprintf(body, sizeof(body), "exec setpriv --inh-caps=-all --bounding-set=-all,%s %s/espalierd \"$@\"",
             rights, bin_dir());
    stub("espalierd", body);
}

static void test_a_gateway_of_root_needs_five_rights(void **state)
{
    (void)state;
    gateways_with("+net_admin,+net_raw,+net_bind_service,+setuid,+setgid");
    ends_with(0, "", "");
    must_say("ok     datagrams: 200 of 200");
}

// $4 is its run directory.
static void test_a_gateway_of_a_user_needs_three_rights(void **state)
{
    char body[600];
    (void)state;
    if (geteuid() || sh("setpriv --reuid=65534 --clear-groups true"))
        skip(); // in a user namespace there is no second user
    real("espalier");
    snprintf(body, sizeof(body),
             "d=${4%%/run}; chmod a+x ${d%%/*}; chown 65534 $d\n"
             "rights=-all,+net_admin,+net_raw,+net_bind_service\n"
             "exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=$rights "
             "--ambient-caps=$rights --bounding-set=$rights %s/espalierd \"$@\"",
             bin_dir());
    stub("espalierd", body);
    ends_with(0, "", "");
    must_say("ok     datagrams: 200 of 200");
}

static void test_a_right_that_is_missing_is_named(void **state)
{
    (void)state;
    gateways_with("+net_raw,+net_bind_service");
    ends_with(1, "", "");
    must_say("CAP_NET_ADMIN");
    gateways_with("+net_admin,+net_bind_service");
    ends_with(1, "", "");
    must_say("CAP_NET_RAW");
    gateways_with("+net_admin,+net_raw");
    ends_with(1, "", "");
    must_say("UDP port 500: binding: not permitted; a port below 1024 needs CAP_NET_BIND_SERVICE");
}

static void test_one_passes_by_the_card(void **state)
{
    (void)state;
    real("espalierd");
    real("espalier");
    real("espalier-card");
    ends_with(0, "", "--card --json");
    must_say("\"engine\": \"card\"");
    must_say("\"verdict\": \"passed\"");
    must_say("1 of 1 CHILD SA is on the card");
}

// ---- what goes wrong

static void test_what_is_not_blocked_before_the_tunnel_fails(void **state)
{
    (void)state;
    stub_daemon();
    stub("espalier", "exit 0");
    ends_with(1, "", "");
    must_say("FAILED before the tunnel: 3 of 3 datagrams came back, 6 packets in clear");
    must_say("pair: FAILED");
}

static void test_traffic_in_clear_fails_although_it_passes(void **state)
{
    (void)state;
    stub_daemon();
    stub("espalier", "case \"$*\" in\n"
                     "load*/west/*) ip xfrm policy add dir out action block ;;\n"
                     "up*) ip xfrm policy flush ;;\nesac");
    ends_with(1, "", "");
    must_say("ok     datagrams: 200 of 200");
    must_say("FAILED the link: 0 ESP packets, ");
}

static void test_a_tunnel_that_is_refused_fails_with_the_reason(void **state)
{
    char body[200], junit[128];
    (void)state;
    real("espalierd");
    snprintf(body, sizeof(body),
             "[ $1 != up ] || { echo 'no & \"proposal\"'; exit 1; }\nexec %s/espalier \"$@\"", bin_dir());
    stub("espalier", body);
    snprintf(junit, sizeof(junit), "--junit %s/junit.xml", dir);
    ends_with(1, "", junit);
    must_say("FAILED tunnel: west: espalier up: no & \"proposal\"");
    must_say("-- the end of "); // what the daemons said
    assert_int_equal(sh_read(said, sizeof(said), "cat %s/junit.xml", dir), 0);
    must_say("<failure message=\"west: espalier up: no &amp; &quot;proposal&quot;\"/>");
}

static void test_a_daemon_that_does_not_start_fails(void **state)
{
    (void)state;
    stub("espalierd", "exit 1");
    stub("espalier", "exit 0");
    ends_with(1, "", "");
    must_say("FAILED gateways: espalierd does not start");
}

static void test_a_daemon_that_does_not_end_well_fails(void **state)
{
    (void)state;
    real("espalier");
    stub("espalierd", "trap 'kill -TERM $!; wait; exit 5' TERM\n"
                      "REAL \"$@\" & wait");
    assert_int_equal(sh("sed -i s,REAL,%s/espalierd, %s/espalierd", bin_dir(), dir), 0);
    ends_with(1, "", "");
    must_say("ok     datagrams: 200 of 200");
    must_say("FAILED the end: ");
}

// In the middle of a run, by each signal with which CI and people do it.
static void test_what_is_ended_leaves_nothing(void **state)
{
    static const char *const signals[] = {"INT", "TERM", "HUP"};
    (void)state;
    stub_daemon();
    stub("espalier", "sleep 100");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sh("mkdir -p %s/tmp", dir), 0);
        int rc = sh_read(said, sizeof(said),
                         "cd %s; TMPDIR=%s/tmp setsid sh -c 'echo $$ >pid; exec env --default-signal "
                         "./espalier-pair' >/dev/null & "
                         "until [ -e %s/tmp/*/west/swanctl.conf ]; do sleep 0.05; done; sleep 0.2; "
                         "kill -%s $(cat %s/pid); wait $!; echo $? $(ls %s/tmp)",
                         dir, dir, dir, signals[i], dir, dir);
        assert_int_equal(rc, 0);
        assert_string_equal(said, i == 0 ? "130\n" : i == 1 ? "143\n" : "129\n");
    }
}

static void test_what_is_missing_is_named(void **state)
{
    (void)state;
    stub("espalierd", "exit 0");
    ends_with(3, "", "");
    must_say("/espalier: No such file or directory (`make software` builds it)");
    stub("espalier", "exit 0");
    ends_with(3, "", "--card");
    must_say("/espalier-card: No such file or directory (`make programs` builds it)");
    ends_with(3, "", "--card --json");
    must_say("\"verdict\": \"not run\"");
    ends_with(3,
              "unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv "
              "--bounding-set=-all --inh-caps=-all \"$@\"' sh",
              "");
    must_say("missing: no network namespace: ");
}

static void test_usage_is_2(void **state)
{
    (void)state;
    ends_with(2, "", "--cards");
    ends_with(2, "", "card");
    must_say("takes no such argument: \"card\"");
    ends_with(0, "", "--help");
    must_say("--junit FILE");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_of_ours_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_passes_in_a_user_namespace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_gateway_of_root_needs_five_rights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_gateway_of_a_user_needs_three_rights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_right_that_is_missing_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_passes_by_the_card, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_blocked_before_the_tunnel_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_traffic_in_clear_fails_although_it_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_tunnel_that_is_refused_fails_with_the_reason, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_daemon_that_does_not_start_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_daemon_that_does_not_end_well_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_ended_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_missing_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_usage_is_2, set_up, tear_down),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("espalier-pair", tests, NULL, NULL);
}
