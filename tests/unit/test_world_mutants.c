// SPDX-License-Identifier: Apache-2.0
// tests/world/mutants.sh with stubs in place of worlds: what counts as a find, and what fails the whole.
#include <stdio.h>
#include <string.h>

#include "tests/unit/script_rig.h"

// fails: "INVARIANT:SEED ...", ascending.
static void world(const char *name, const char *fails)
{
    char text[2048];
    snprintf(
        text, sizeof(text),
        "#!/bin/sh\n"
        "echo %s >>%s/ran\n"
        "from=$1 count=1 quiet='' rc=0 n=0; shift\n"
        "while [ $# -gt 0 ]; do case $1 in --quiet) quiet=1 ;; --count) count=$2; shift ;; --cpu) shift ;; "
        "esac; shift; done\n"
        "[ $count -gt 1000 ] && count=1000\n"
        "for one in %s; do\n"
        "  n=${one#*:}\n"
        "  [ $n -ge $from ] && [ $n -lt $((from + count)) ] || continue\n"
        "  rc=1; echo \"seed $n: invariant ${one%%:*} does not hold: so it is\"\n"
        "  [ -n \"$quiet\" ] || break\n"
        "done\n"
        "echo \"$count worlds PASSED, $rc failed: in 1 CPU s\"\n"
        "exit $rc\n",
        name, dir, fails);
    put(name, text);
}

static int run(const char *environment)
{
    char cmd[512];
    snprintf(cmd, sizeof(cmd), "%s BUILD=%s PROGRAMS=%s LIST=%s/LIST tests/world/mutants.sh", environment,
             dir, dir, dir);
    return command(cmd);
}

static int setup(void **state)
{
    (void)state;
    dir_make("mutants");
    put("LIST", "# a comment\nplanted clear,clear-in what is planted\n");
    world("unmutated", "");
    return 0;
}

static void test_invariant_that_is_named_is_a_find(void **state)
{
    (void)state;
    world("planted", "clear:4 clear-in:100002");
    assert_int_equal(run("RUNS=2"), 0);
    must_say("  2/2 ");
    must_say("clear:4 clear-in:100002");
    must_say("the unmutated build on the same 6 seeds: clean");
}

static void test_another_invariant_is_looked_past(void **state)
{
    (void)state;
    world("planted", "proof:4 clear:9");
    assert_int_equal(run("RUNS=1"), 0);
    must_say("  1/1 ");
    must_say(" clear:9 ");
    must_say("(looked past: proof:4)");
    world("planted", "crash:4 lost:9");
    assert_int_equal(run("RUNS=1"), 1);
    must_say("  0/1 ");
    must_say("(looked past: crash:4,lost:9)");
}

static void test_invariant_is_the_one_named_and_not_its_beginning(void **state)
{
    (void)state;
    world("planted", "clea:4 in:9");
    assert_int_equal(run("RUNS=1"), 1);
    must_say("  0/1 ");
}

static void test_seed_that_fails_unmutated_is_no_find_and_fails_the_whole(void **state)
{
    (void)state;
    world("planted", "clear:4");
    world("unmutated", "clear:4");
    assert_int_equal(run("RUNS=1"), 1);
    must_say("  0/1 ");
    must_say("FAILS:  4");
    world("planted", "clear:4 clear:7");
    assert_int_equal(run("RUNS=1"), 1);
    must_say("  1/1 ");
    must_say(" clear:7 ");
    must_say("FAILS:  4");
}

// It fails on a seed that the mutated build passed.
static void test_unmutated_build_is_held_against_all_seeds_that_were_looked_at(void **state)
{
    (void)state;
    world("planted", "clear:9");
    world("unmutated", "void:3 lost:7 one:20");
    assert_int_equal(run("RUNS=1"), 1);
    must_say("  1/1 ");
    must_say("FAILS:  void:3 lost:7");
    assert_null(strstr(output, "one:20"));
}

static void test_found_by_half_of_the_runs_is_not_found(void **state)
{
    (void)state;
    world("planted", "clear:4");
    assert_int_equal(run("RUNS=2"), 1);
    must_say("  1/2 ");
}

static unsigned lines(const char *name)
{
    char path[128], line[64];
    unsigned n = 0;
    snprintf(path, sizeof(path), "%s/ran", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        n += !strncmp(line, name, strlen(name));
    fclose(f);
    return n;
}

static void test_what_the_same_programs_have_found_is_not_looked_for_again(void **state)
{
    (void)state;
    world("planted", "clear:4");
    assert_int_equal(run("RUNS=1"), 0);
    assert_int_equal(run("RUNS=1 RESUME=1"), 0);
    assert_int_equal(lines("planted"), 1);
    must_say(" clear:4 ");
    world("unmutated", "clear:4"); // another program: nothing of it is known
    assert_int_equal(run("RUNS=1 RESUME=1"), 1);
    assert_int_equal(lines("planted"), 3);
    assert_int_equal(run("RUNS=1"), 1);
    assert_int_equal(lines("planted"), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_invariant_that_is_named_is_a_find, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_another_invariant_is_looked_past, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_invariant_is_the_one_named_and_not_its_beginning, setup,
                                        dir_remove),
        cmocka_unit_test_setup_teardown(test_seed_that_fails_unmutated_is_no_find_and_fails_the_whole, setup,
                                        dir_remove),
        cmocka_unit_test_setup_teardown(test_unmutated_build_is_held_against_all_seeds_that_were_looked_at,
                                        setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_found_by_half_of_the_runs_is_not_found, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_what_the_same_programs_have_found_is_not_looked_for_again, setup,
                                        dir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
