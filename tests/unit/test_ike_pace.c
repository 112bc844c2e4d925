// SPDX-License-Identifier: Apache-2.0
// When datagrams are fetched as they come, and when they are polled for.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "ctrl/ike/pace.h"

// Whether it comes to polling within a second of wake-ups, each for so many datagrams, so far apart; of
// `of` wake-ups in a row the first few bring what is turned away.
static bool polls_where(uint64_t apart_us, unsigned each, unsigned refused, unsigned of)
{
    struct pace p = {0};
    bool polls = false;
    unsigned n = 0;
    for (uint64_t us = 5000000; us < 6000000 && !polls; us += apart_us, n++)
        polls = pace_woken(&p, us, each, n % of < refused ? each : 0);
    return polls;
}

static bool polls_at(uint64_t apart_us, unsigned each)
{
    return polls_where(apart_us, each, 1, 1);
}

static void test_fast_datagrams_one_by_one_are_polled_for_and_others_are_not(void **state)
{
    (void)state;
    assert_true(polls_at(250, 1)); // a flood of 4,000 a second
    assert_true(polls_at(20, 2));
    assert_false(polls_at(1000, 1)); // to be woken for these costs no more than to look
    assert_false(polls_at(20, 8));   // several at once: no wake-up is to be saved
    assert_false(polls_at(250, 64));
}

static void test_clients_who_are_let_in_wait_for_no_poll_however_fast_they_come(void **state)
{
    (void)state;
    assert_false(polls_where(100, 1, 0, 1)); // 10,000 datagrams a second, none turned away
    assert_false(polls_where(100, 3, 0, 1));
    assert_true(polls_where(100, 1, 1, 2)); // 5,000 a second that are, between them
    struct pace p = {0};
    assert_false(pace_woken(&p, 1000000, 3, 1)); // a wake-up is as most of what it brought
    assert_int_equal(p.woken, 0);
    assert_false(pace_woken(&p, 1000000, 3, 2));
    assert_int_equal(p.woken, 1);
}

static void test_a_few_clients_at_once_are_answered_as_they_come(void **state)
{
    struct pace p = {0};
    (void)state;
    for (uint64_t burst = 1; burst < 100; burst++) // twelve in a millisecond, ten times a second
        for (unsigned i = 0; i < 12; i++)
            assert_false(pace_woken(&p, burst * 100000 + i * 80, 1, 1));
}

// How many polls it goes on for, of so many datagrams each, so many of them turned away.
static unsigned polls_with(unsigned each, unsigned refused, bool full)
{
    struct pace p = {0};
    unsigned n = 1;
    while (n < 1000 && pace_polled(&p, each, refused, full))
        n++;
    return n;
}

static unsigned polls_of(unsigned each, bool full)
{
    return polls_with(each, each, full);
}

static void test_polling_ends_where_there_are_few_or_more_than_one_fetching_takes(void **state)
{
    (void)state;
    assert_int_equal(polls_of(8, false), 1000); // 4,000 a second
    assert_int_equal(polls_of(1, false), 1000);
    assert_in_range(polls_of(0, false), 2, 20);
    assert_int_equal(polls_of(64, true), 1);
    struct pace p = {0};
    unsigned n = 0;
    while (n < 1000 && pace_polled(&p, n % 2, n % 2, false)) // 250 a second
        n++;
    assert_in_range(n, 2, 20);
}

static void test_polling_ends_where_most_are_let_in(void **state)
{
    (void)state;
    assert_int_equal(polls_with(8, 4, false), 1000); // as many clients as are turned away
    assert_in_range(polls_with(8, 3, false), 2, 20);
    assert_in_range(polls_with(8, 0, false), 2, 20);
    struct pace p = {0}; // behind a flood come others: it takes no longer for what was there before
    for (unsigned n = 0; n < 100; n++)
        assert_true(pace_polled(&p, 8, 8, false));
    unsigned n = 1;
    while (n < 1000 && pace_polled(&p, 8, 0, false))
        n++;
    assert_in_range(n, 2, 36);
}

static void test_what_was_counted_before_counts_no_more(void **state)
{
    struct pace p = {0};
    uint64_t us = 1000000;
    (void)state;
    while (!pace_woken(&p, us, 1, 1))
        us += 100;
    while (pace_polled(&p, 0, 0, false))
        us += 1000 * PACE_MS;
    unsigned wakes = 1;
    for (; !pace_woken(&p, us, 1, 1); wakes++)
        us += 100;
    assert_in_range(wakes, 10, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fast_datagrams_one_by_one_are_polled_for_and_others_are_not),
        cmocka_unit_test(test_clients_who_are_let_in_wait_for_no_poll_however_fast_they_come),
        cmocka_unit_test(test_a_few_clients_at_once_are_answered_as_they_come),
        cmocka_unit_test(test_polling_ends_where_there_are_few_or_more_than_one_fetching_takes),
        cmocka_unit_test(test_polling_ends_where_most_are_let_in),
        cmocka_unit_test(test_what_was_counted_before_counts_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
