// SPDX-License-Identifier: Apache-2.0
// When datagrams are fetched as they come, and when they are polled for, and how often.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "ctrl/ike/pace.h"

static unsigned woken(struct pace *p, uint64_t us, unsigned all, unsigned refused)
{
    return pace_woken(p, us, &(struct pace_got){.all = all, .refused = refused});
}

static unsigned polled(struct pace *p, unsigned all, unsigned refused)
{
    return pace_polled(p, &(struct pace_got){.all = all, .refused = refused});
}

// Whether it comes to polling within a second of wake-ups, each for so many datagrams, so far apart; of
// `of` wake-ups in a row the first few bring what is turned away.
static bool polls_where(uint64_t apart_us, unsigned each, unsigned refused, unsigned of)
{
    struct pace p = {0};
    bool polls = false;
    unsigned n = 0;
    for (uint64_t us = 5000000; us < 6000000 && !polls; us += apart_us, n++)
        polls = woken(&p, us, each, n % of < refused ? each : 0) > 0;
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
    assert_int_equal(woken(&p, 1000000, 3, 1), 0); // a wake-up is as most of what it brought
    assert_int_equal(p.woken, 0);
    assert_int_equal(woken(&p, 1000000, 3, 2), 0);
    assert_int_equal(p.woken, 1);
}

static void test_a_few_clients_at_once_are_answered_as_they_come(void **state)
{
    struct pace p = {0};
    (void)state;
    for (uint64_t burst = 1; burst < 100; burst++) // twelve in a millisecond, ten times a second
        for (unsigned i = 0; i < 12; i++)
            assert_int_equal(woken(&p, burst * 100000 + i * 80, 1, 1), 0);
}

struct flood {
    unsigned a_second, let_in, idle; // datagrams; in a thousand of them
};

// Seconds of a flood that is polled for, in milliseconds; what they are fetched every at the end, 0: as they
// come. What is not there yet when they are fetched is there the next time.
static unsigned ends_at(struct pace *p, const struct flood *f, unsigned ms, unsigned *longest)
{
    uint64_t now = 0, came = 0, in = 0, idle = 0;
    p->ms = p->ms ? p->ms : PACE_BEGIN_MS;
    *longest = 0;
    while (p->ms && now < ms) {
        uint64_t all, let_in, nobody;
        now += p->ms;
        all = now * f->a_second / 1000 - came;
        struct pace_got g = {.all = all > 256 ? 256 : (unsigned)all, .full = all >= 256};
        came += g.all;
        let_in = came * f->let_in / 1000 - in;
        nobody = came * f->idle / 1000 - idle;
        in += let_in;
        idle += nobody;
        g.refused = g.all - (unsigned)let_in;
        g.idle = (unsigned)nobody;
        if (pace_polled(p, &g) > *longest)
            *longest = p->ms;
    }
    return p->ms;
}

static void test_a_flood_is_fetched_more_seldom_the_less_of_it_can_be_a_client(void **state)
{
    struct pace p = {0};
    unsigned longest;
    (void)state;
    assert_int_equal(ends_at(&p, &(struct flood){4000, 0, 0}, 3000, &longest), PACE_MOST_MS);
    assert_int_equal(longest, PACE_MOST_MS);
    p = (struct pace){0};
    assert_int_equal(ends_at(&p, &(struct flood){4000, 0, 1000}, 3000, &longest), PACE_IDLE_MS);
    p = (struct pace){0};
    assert_int_equal(ends_at(&p, &(struct flood){1000, 0, 1000}, 3000, &longest), PACE_IDLE_MS);
    assert_in_range(polled(&p, 16, 16), 1, PACE_MOST_MS); // a cookie among the junk
    p = (struct pace){0};
    assert_in_range(ends_at(&p, &(struct flood){40000, 0, 1000}, 3000, &longest), 1, 2);
    p = (struct pace){0};
    assert_int_equal(ends_at(&p, &(struct flood){200000, 0, 0}, 3000, &longest), 0);
}

static void test_who_is_let_in_waits_a_millisecond_for_the_next_datagram(void **state)
{
    struct pace p = {0};
    unsigned longest;
    (void)state;
    assert_int_equal(ends_at(&p, &(struct flood){3000, 0, 0}, 3000, &longest), PACE_MOST_MS);
    assert_int_equal(polled(&p, 12, 11), PACE_LEAST_MS);
    assert_int_equal(polled(&p, 3, 3), PACE_LEAST_MS);
    for (unsigned i = 0; i < 100; i++)
        polled(&p, 3, 3);
    assert_int_equal(p.ms, PACE_MOST_MS);
}

static void test_polling_ends_where_there_are_few_or_most_are_let_in(void **state)
{
    struct pace p = {0};
    unsigned longest;
    (void)state;
    assert_int_not_equal(ends_at(&p, &(struct flood){600, 0, 0}, 3000, &longest), 0);
    assert_int_equal(ends_at(&p, &(struct flood){250, 0, 0}, 200, &longest), 0);
    p = (struct pace){0};
    assert_int_equal(ends_at(&p, &(struct flood){0, 0, 0}, 200, &longest), 0);
    p = (struct pace){0};
    assert_int_not_equal(ends_at(&p, &(struct flood){4000, 450, 0}, 3000, &longest), 0);
    assert_int_equal(ends_at(&p, &(struct flood){4000, 600, 0}, 200, &longest), 0); // behind the flood
}

static void test_what_was_counted_before_counts_no_more(void **state)
{
    struct pace p = {0};
    uint64_t us = 1000000;
    (void)state;
    while (!woken(&p, us, 1, 1))
        us += 100;
    while (polled(&p, 0, 0))
        us += 2000;
    unsigned wakes = 1;
    for (; !woken(&p, us, 1, 1); wakes++)
        us += 100;
    assert_in_range(wakes, 10, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fast_datagrams_one_by_one_are_polled_for_and_others_are_not),
        cmocka_unit_test(test_clients_who_are_let_in_wait_for_no_poll_however_fast_they_come),
        cmocka_unit_test(test_a_few_clients_at_once_are_answered_as_they_come),
        cmocka_unit_test(test_a_flood_is_fetched_more_seldom_the_less_of_it_can_be_a_client),
        cmocka_unit_test(test_who_is_let_in_waits_a_millisecond_for_the_next_datagram),
        cmocka_unit_test(test_polling_ends_where_there_are_few_or_most_are_let_in),
        cmocka_unit_test(test_what_was_counted_before_counts_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
