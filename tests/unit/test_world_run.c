// SPDX-License-Identifier: Apache-2.0
// What build/tests/world leaves of a seed that fails: the end of its trace, and a command that runs the same
// world again; and that build/tests/world and build/tests/orders have not passed where they did nothing.
#include <stdio.h>
#include <string.h>

#include "tests/unit/script_rig.h"

static int in_shell(const char *cmd)
{
    char whole[800];
    assert_true(snprintf(whole, sizeof(whole),
                         "D=%s W=${BUILD:-build}/tests/world O=${BUILD:-build}/tests/orders sh -c '%s'", dir,
                         cmd) < (int)sizeof(whole));
    return command(whole);
}

static int setup(void **state)
{
    (void)state;
    dir_make("world");
    return 0;
}

// With what makes it another world than the seed alone would be.
static void test_failing_seed_prints_the_end_of_its_trace_and_the_command_to_replay_it(void **state)
{
    (void)state;
    assert_int_equal(in_shell("$W 3 --count 2 --minutes 1 --traffic 3000 --ignore leak --trip 45 >$D/said"),
                     1);
    assert_int_equal(in_shell("sed \"/^seed 3: invariant tripped does not hold/,\\$d\" $D/said >$D/tail && "
                              "test $(wc -l <$D/tail) -ge 20"),
                     0);
    assert_int_equal(in_shell("$(sed -n \"s,^replay: build/tests/world,$W,p\" $D/said) >$D/again"), 1);
    assert_int_equal(in_shell("grep \"^seed \" $D/said >$D/a && grep \"^seed \" $D/again | diff $D/a - && "
                              "grep \"^trace \" $D/said >$D/a && grep \"^trace \" $D/again | diff $D/a -"),
                     0);
    assert_int_equal(in_shell("sed \"/^seed 3: /,\\$d\" $D/again | tail -n 20 >$D/a && "
                              "tail -n 20 $D/tail | diff $D/a -"),
                     0);
}

static void test_the_same_seed_without_what_was_asked_for_is_another_world(void **state)
{
    (void)state;
    assert_int_equal(
        in_shell("$W 3 --minutes 1 --trace >$D/a; $W 3 --minutes 1 --traffic 3000 --trace >$D/b; "
                 "grep \"^trace \" $D/a >$D/c && ! grep \"^trace \" $D/b | diff $D/c -"),
        0);
}

static void test_no_world_has_not_passed(void **state)
{
    (void)state;
    assert_int_equal(in_shell("$W 3 --count 0"), 1);
    must_say("0 worlds PASSED");
}

static void test_no_order_has_not_passed(void **state)
{
    (void)state;
    assert_int_equal(in_shell("$O c/ --losses 0 --copies 0"), 0);
    must_say("1 pairs of lists");
    assert_int_equal(in_shell("$O --acts 1 --only _"), 1);
    must_say("0 pairs of lists");
    assert_int_equal(in_shell("echo \"# none\" >$D/kept; $O --kept $D/kept"), 1);
    for (int i = 0; i < 2; i++) { // what was done before counts
        assert_int_equal(in_shell("$O --acts 1 --only c --losses 0 --copies 0 --record $D/done"), 0);
        must_say("1 pairs of lists");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_failing_seed_prints_the_end_of_its_trace_and_the_command_to_replay_it, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_the_same_seed_without_what_was_asked_for_is_another_world, setup,
                                        dir_remove),
        cmocka_unit_test_setup_teardown(test_no_world_has_not_passed, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_no_order_has_not_passed, setup, dir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
