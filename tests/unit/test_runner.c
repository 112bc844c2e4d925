// SPDX-License-Identifier: Apache-2.0
// tests/run.sh and tests/check.sh with stubs in place of tests and of make: exit statuses, and that what ran
// nothing has not passed.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/script_rig.h"

static void script(const char *name, const char *body)
{
    char text[512];
    assert_true(snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", body) < (int)sizeof(text));
    put(name, text);
}

static int run(const char *cmd)
{
    char whole[640];
    snprintf(whole, sizeof(whole), "D=%s; export D; BUILD=$D ESPALIER_NEED=$D/need %s", dir, cmd);
    return command(whole);
}

static int setup(void **state)
{
    (void)state;
    dir_make("runner");
    dir_folder("tests");
    script("good", "echo '[  PASSED  ] 3 test(s).'");
    script("bad", "echo the last words; exit 1");
    script("empty", "echo '[  PASSED  ] 0 test(s).'; echo '[  SKIPPED ] 1 test(s), listed below:'");
    script("unable", "echo needs a thing >&2; exit 3");
    script("need", "[ ! -e $D/nothing ] || { echo 'missing: everything' >&2; exit 3; }");
    script("make", "echo \"$*\" >>$D/made; case \"$*\" in *\"$(cat $D/fails 2>/dev/null || echo nothing)\"*)"
                   " cat $D/says; exit 2 ;; esac");
    script("tests/demo", "echo Result");
    return 0;
}

static void test_run_all_good_is_0(void **state)
{
    (void)state;
    assert_int_equal(run("JOBS=2 tests/run.sh $D/good \"env X=1 $D/good\""), 0);
    must_say("2 passed, 0 failed");
}

static void test_run_failure_shows_the_last_lines_and_is_1(void **state)
{
    (void)state;
    assert_int_equal(run("tests/run.sh $D/bad $D/good $D/unable"), 1);
    must_say("FAILED  bad: exit 1");
    must_say("the last words");
    must_say("1 passed, 1 failed, 1 lacked a right");
}

static void test_run_test_that_ran_nothing_is_1(void **state)
{
    (void)state;
    assert_int_equal(run("tests/run.sh $D/good $D/empty"), 1);
    must_say("empty exited 0 but ran no test");
    script("silent", "true");
    assert_int_equal(run("tests/run.sh $D/silent"), 1);
    script("none", "echo '0 passed, 0 failed'");
    assert_int_equal(run("tests/run.sh $D/good $D/none"), 1);
    must_say("none exited 0 but ran no test");
    script("some", "echo '12 passed, 0 failed'");
    assert_int_equal(run("tests/run.sh $D/some"), 0);
    assert_int_equal(run("tests/run.sh"), 1);
}

// A list of what may be skipped names the peer's own line, which the test itself has to show.
static void test_run_skip_that_was_not_reviewed_is_1(void **state)
{
    (void)state;
    script("leaves",
           "echo '[ RUN      ] test_a'; echo \"skip: the peer says: $A\"; echo '[  SKIPPED ] test_a'\n"
           "echo '[ RUN      ] test_b'; echo '[       OK ] test_b'; echo '[  PASSED  ] 1 test(s).'");
    put("list", "# what may be skipped\ntest_a\tno such thing\n");
    assert_int_equal(run("A='there is no such thing here' REVIEWED_SKIPS=$D/list tests/run.sh $D/leaves"), 0);
    assert_int_equal(run("A='not today' REVIEWED_SKIPS=$D/list tests/run.sh $D/leaves"), 1);
    must_say("test_a was skipped, and that it may be is not shown: skip: the peer says: not today");
    put("list", "test_b\tno such thing\n");
    assert_int_equal(run("A='no such thing' REVIEWED_SKIPS=$D/list tests/run.sh $D/leaves"), 1);
    must_say("test_a was skipped");
    put("list", "test_a\tno such thing\n1\tx\n2\tx\n3\tx\n4\tx\n5\tx\n");
    assert_int_equal(run("A='no such thing' REVIEWED_SKIPS=$D/list tests/run.sh $D/leaves"), 1);
    must_say("more than five lines");
    assert_int_equal(run("A='not today' tests/run.sh $D/leaves"), 0);
}

static void test_planted_defects_that_are_none_are_1(void **state)
{
    (void)state;
    static const char *const folders[] = {"some", "some/mutants", "none", "none/mutants"};
    for (unsigned i = 0; i < 4; i++)
        dir_folder(folders[i]);
    put("some/mutants/a.patch",
        "--- a/CONTRIBUTING.md\n+++ b/CONTRIBUTING.md\n@@ -1,2 +1,3 @@\n # Contributing\n+a line\n \n");
    assert_int_equal(run("tests/mutants_apply.sh $D/some"), 0);
    must_say("1 mutants");
    assert_int_equal(run("tests/mutants_apply.sh $D/some $D/none"), 1);
    must_say("0 mutants");
    assert_int_equal(run("tests/mutants_apply.sh"), 1);
}

static void test_fuzz_target_that_ran_nothing_is_1(void **state)
{
    (void)state;
    dir_folder("bin");
    script("bin/fuzz_some", "echo 'stat::number_of_executed_units: 12'");
    script("bin/fuzz_none", "echo 'stat::number_of_executed_units: 0'");
    assert_int_equal(run("tests/fuzz/run.sh $D 1 some"), 0);
    must_say("12 runs, nothing found");
    assert_int_equal(run("tests/fuzz/run.sh $D 1 none some"), 1);
    must_say("FAILED: it ran nothing");
    assert_int_equal(run("tests/fuzz/run.sh $D 1"), 1);
}

static void test_run_missing_right_is_3(void **state)
{
    (void)state;
    assert_int_equal(run("tests/run.sh $D/good $D/unable"), 3);
    must_say("needs a thing");
}

static void test_long_check_goes_on_without_what_cannot_be_fetched(void **state)
{
    (void)state;
    script("part", "echo \"$*\" >>$D/ran; [ -z \"$LACKS\" ] || echo \"$LACKS\" >>$ESPALIER_LACKS; exit $RC");
    assert_int_equal(run("TMPDIR=$D RC=2 LACKS='no mirror answers' tests/or_skip.sh $D/part -s check-guest"),
                     0);
    must_say("check-long: skip: make check-guest, because no mirror answers\n");
    assert_int_equal(run("cat $D/ran"), 0);
    must_say("-s check-guest\n");
    assert_int_equal(run("TMPDIR=$D RC=2 tests/or_skip.sh $D/part check-guest"), 2);
    assert_string_equal(output, "");
    assert_int_equal(run("TMPDIR=$D RC=0 LACKS='a part of it' tests/or_skip.sh $D/part check-guest"), 0);
    assert_string_equal(output, "");
    assert_int_equal(run("ls $D | grep -c lacks"), 1); // it leaves nothing
}

static void test_guest_that_cannot_be_fetched_is_named_with_what_was_tried(void **state)
{
    (void)state;
    script("apt-get", "echo 'W: Failed to fetch http://nowhere.example/InRelease  No route'; exit 100");
    assert_int_equal(run("PATH=$D:$PATH DEBIAN_MIRROR=http://nowhere.example TMPDIR=$D tests/or_skip.sh "
                         "tests/system/guest/get.sh $D/guest"),
                     0);
    must_say(
        "because QEMU, a kernel and busybox cannot be fetched from http://nowhere.example (apt-get said: "
        "W: Failed to fetch http://nowhere.example/InRelease  No route; the whole in ");
    assert_int_equal(run("PATH=$D:$PATH tests/system/guest/get.sh $D/guest"), 3);
}

// Where git reads nothing (a tarball, a tree of another user's) what there is is looked at.
static void test_lint_without_git_looks_at_all_files(void **state)
{
    static const char *const what[] = {"FORMAT", "CLANG", "SHELL"};
    unsigned with[3], without[3];
    (void)state;
    for (int git = 1; git >= 0; git--) {
        const char *hide = git ? "" : "GIT_DIR=/nonexistent";
        char cmd[300];
        snprintf(cmd, sizeof(cmd),
                 "{ env -u MAKEFLAGS -u MAKELEVEL %s make -n lint-format lint-clang lint-shell | grep -aoE "
                 "'(FORMAT|CLANG|SHELL) +[0-9]+ files'; }",
                 hide);
        assert_int_equal(command(cmd), 0);
        for (int i = 0; i < 3; i++) {
            const char *at = strstr(output, what[i]);
            assert_non_null(at);
            assert_int_equal(sscanf(at + strlen(what[i]), " %u files", git ? &with[i] : &without[i]), 1);
        }
    }
    for (int i = 0; i < 3; i++)
        assert_true(without[i] > 20 && without[i] >= with[i]);
}

// cmocka's status is the number of tests that failed, which may be three.
static void test_run_three_failures_are_no_missing_right(void **state)
{
    (void)state;
    script("three", "echo '[  PASSED  ] 4 test(s).'; echo '[  FAILED  ] test_x'; exit 3");
    assert_int_equal(run("tests/run.sh $D/good $D/three"), 1);
    must_say("FAILED  three: exit 3");
}

static void test_check_runs_every_stage_and_is_0(void **state)
{
    (void)state;
    assert_int_equal(run("tests/check.sh $D/make -j2"), 0);
    must_say("14 passed, 0 failed, 0 lacked a right");
    assert_int_equal(run("cat $D/made"), 0);
    must_say("-j2 check-regs\n");
    must_say("check-system\n");
    must_say("check-fuzz\n");
}

static void test_check_failed_stage_is_1_and_what_builds_on_it_is_not_run(void **state)
{
    (void)state;
    script("fails", "");
    assert_int_equal(
        run("sh -c 'echo rtl-tests >$D/fails; echo make: no such gate >$D/says; tests/check.sh $D/make'"), 1);
    must_say("FAILED   build-rtl");
    must_say("make: no such gate");
    must_say("not run  system");
    must_say("not run  demo");
    must_say("ok       unit");
}

static void test_check_missing_right_is_3(void **state)
{
    (void)state;
    assert_int_equal(run("sh -c 'echo check-rootless >$D/fails; echo \"make: *** [x] Error 3\" >$D/says; "
                         "tests/check.sh $D/make'"),
                     3);
    must_say("skipped  rootless");
    must_say("ok       demo");
    assert_int_equal(run("sh -c '>$D/nothing; rm $D/made; tests/check.sh $D/make'"), 3);
    must_say("missing: everything");
    assert_int_equal(run("test -e $D/made"), 1); // before anything was started
}

// The command waits for the line itself, so that no time is guessed here; for a minute at most.
static void until_said(const char *name, const char *prefix, const char *line, const char *suffix)
{
    char body[512];
    snprintf(
        body, sizeof(body),
        "%s n=0; until grep -qE '%s' $D/said; do n=$((n + 1)); [ $n -lt 600 ] || exit 9; sleep 0.1; done %s",
        prefix, line, suffix);
    script(name, body);
}

static void test_progress_says_how_long_of_how_long(void **state)
{
    (void)state;
    until_said("long", "", "^  built: 0:[0-9]+ of about 5:00$", "; exit 7");
    assert_int_equal(run("sh -c 'ESPALIER_TICK=1 tests/progress.sh built 300 $D/long >$D/said'"), 7);
    assert_int_equal(run("sh -c 'mkdir -p $D/log && echo built 42 >>$D/log/seconds'"), 0); // the last time
    until_said("long", "", "^  built: 0:[0-9]+ of about 0:42$", "");
    assert_int_equal(run("sh -c 'ESPALIER_TICK=1 tests/progress.sh built 300 $D/long >$D/said'"), 0);
}

static void test_check_says_what_runs_and_how_long_is_to_go(void **state)
{
    (void)state;
    until_said("make", "case \"$*\" in *check-unit*) ",
               "^  [0-9]+:[0-9]+, about [0-9]+:[0-9]+ to go; running:.* unit \\(0:[0-9]+ of 2:30\\)",
               ";; esac");
    assert_int_equal(run("sh -c 'ESPALIER_TICK=0 tests/check.sh $D/make >$D/said'"), 0);
}

static void test_need_without_tun_is_3_and_names_it(void **state)
{
    (void)state;
    if (run("unshare -Urnm sh -c 'mount -t tmpfs none /dev/net'") != 0) {
        print_message("skip: no user namespace here to hide /dev/net/tun in\n");
        skip();
    }
    assert_int_equal(run("unshare -Urnm sh -c 'mount -t tmpfs none /dev/net; tests/need.sh lab'"), 3);
    must_say("missing: /dev/net/tun");
    assert_int_equal(
        run("env -u ESPALIER_NEED unshare -Urnm sh -c 'mount -t tmpfs none /dev/net; rm -f $D/made; "
            "tests/check.sh $D/make'"),
        3);
    must_say("nothing was started");
    assert_int_equal(run("test -e $D/made"), 1);
}

static void test_need_of_rootless_without_user_namespaces_is_3_and_names_what_gives_them(void **state)
{
    (void)state;
    script("unshare", "exit 1");
    assert_int_equal(run("sh -c 'chmod 755 $D; PATH=$D:$PATH tests/need.sh rootless'"), 3);
    must_say("missing: user namespaces for an unprivileged user");
    must_say("user.max_user_namespaces");
    script("unshare", "while [ \"${1#-}\" != \"$1\" ]; do shift; done; exec \"$@\"");
    script("ip", "[ \"$*\" != 'tuntap add dev esp2 mode tun' ]");
    assert_int_equal(run("sh -c 'chmod 755 $D; PATH=$D:$PATH tests/need.sh rootless'"), 3);
    must_say("/dev/net/tun"); // the right to use it, or the device
    script("ip", "exit 0");
    if (access("/dev/net/tun", F_OK) == 0)
        assert_int_equal(run("sh -c 'chmod 755 $D; PATH=$D:$PATH tests/need.sh rootless'"), 0);
}

// The environment that a test or a bench is told things by gets through sudo, and nothing else does.
static void test_as_root_by_sudo_keeps_what_tests_are_told(void **state)
{
    (void)state;
    script("id", "echo 1000");
    put("sudo", sudo_stub);
    script("shown", "env");
    assert_int_equal(run("env PATH=$D:$PATH SECRET=x ESPALIER_SEED=7 ESPALIER_STEPS=1 'KINDS=a b' "
                         "tests/as_root.sh $D/shown"),
                     0);
    must_say("ROOT=1\n");
    must_say("ESPALIER_SEED=7\n");
    must_say("ESPALIER_STEPS=1\n");
    must_say("KINDS=a b\n");
    assert_null(strstr(output, "SECRET"));
    script("each", "for v in $(grep -hoE 'getenv..ESPALIER_[A-Z_]+' tests/system/*.c | grep -oE 'ESPALIER.*' "
                   "| sort -u); "
                   "do env PATH=$D:$PATH $v=1 tests/as_root.sh $D/shown | grep -qx $v=1 || echo lost: $v; "
                   "echo $v; done");
    assert_int_equal(run("$D/each"), 0);
    must_say("ESPALIER_SEED\n");
    assert_null(strstr(output, "lost: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_run_all_good_is_0, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_run_failure_shows_the_last_lines_and_is_1, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_run_test_that_ran_nothing_is_1, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_run_skip_that_was_not_reviewed_is_1, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_lint_without_git_looks_at_all_files, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_planted_defects_that_are_none_are_1, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_fuzz_target_that_ran_nothing_is_1, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_run_missing_right_is_3, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_long_check_goes_on_without_what_cannot_be_fetched, setup,
                                        dir_remove),
        cmocka_unit_test_setup_teardown(test_guest_that_cannot_be_fetched_is_named_with_what_was_tried, setup,
                                        dir_remove),
        cmocka_unit_test_setup_teardown(test_run_three_failures_are_no_missing_right, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_check_runs_every_stage_and_is_0, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_check_failed_stage_is_1_and_what_builds_on_it_is_not_run, setup,
                                        dir_remove),
        cmocka_unit_test_setup_teardown(test_check_missing_right_is_3, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_progress_says_how_long_of_how_long, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_check_says_what_runs_and_how_long_is_to_go, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_need_without_tun_is_3_and_names_it, setup, dir_remove),
        cmocka_unit_test_setup_teardown(
            test_need_of_rootless_without_user_namespaces_is_3_and_names_what_gives_them, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_as_root_by_sudo_keeps_what_tests_are_told, setup, dir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
