// SPDX-License-Identifier: Apache-2.0
// What strangers may write into the log: so much each, so much together, and one line a second about the
// rest.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctrl/lib/log.h"
#include "ctrl/lib/log_limit.h"

static struct loop *loop;
static struct log_limit limit;
static uint64_t now;   // ms
static unsigned asked; // for the time
static unsigned lines, summaries;
static unsigned long long told;

static uint64_t clock_us(void *ctx)
{
    (void)ctx;
    asked++;
    return now * 1000;
}

static void sink(void *ctx, enum log_subsys s, int level, const char *name, unsigned id, const char *text)
{
    (void)ctx;
    (void)s;
    (void)level;
    (void)name;
    (void)id;
    if (strstr(text, "left out")) {
        summaries++;
        told += strtoull(text, NULL, 10);
    } else {
        lines++;
    }
}

static int set_up(void **state)
{
    (void)state;
    now = 0;
    lines = summaries = 0;
    told = 0;
    loop = loop_new();
    loop_set_clock(loop, (struct clock){clock_us, NULL});
    log_set_output(-1);
    log_set_all(1);
    log_set_sink(sink, NULL);
    log_limit_init(&limit, loop, 0x1234567890abcdef);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_limit_free(&limit);
    log_set_sink(NULL, NULL);
    loop_free(loop);
    return 0;
}

static struct addr v4(unsigned n)
{
    return (struct addr){4, {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 1}};
}

static void datagram(const struct addr *from, unsigned n)
{
    log_limit_begin(&limit, from);
    for (unsigned i = 0; i < n; i++)
        LOGF(NET, 1, "line");
    log_limit_end(&limit);
}

static void pass(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 100) {
        now += 100;
        loop_run_timers(loop);
    }
}

static void test_one_source_has_a_burst_and_then_its_rate(void **state)
{
    (void)state;
    struct addr a = v4(1);
    datagram(&a, 1000);
    assert_int_equal(lines, LOG_LIMIT_SOURCE_BURST);
    for (int i = 0; i < 60; i++) {
        pass(1000);
        datagram(&a, 1000);
    }
    assert_in_range(lines, LOG_LIMIT_SOURCE_BURST + 60 * LOG_LIMIT_SOURCE_RATE - 1,
                    LOG_LIMIT_SOURCE_BURST + 60 * LOG_LIMIT_SOURCE_RATE);
    pass(1000 * 1000);
    lines = 0;
    datagram(&a, 1000);
    assert_int_equal(lines, LOG_LIMIT_SOURCE_BURST); // not what it did not use in all that time
}

static void test_neighbours_are_one_source_and_others_are_not_touched(void **state)
{
    (void)state;
    struct addr one = v4(1), near = one, other = v4(2), x = {6, {0x20, 1, 0xd, 0xb8}}, y = x, z = x;
    near.a[3] = 200;
    y.a[15] = 9; // of the same /56
    z.a[6] = 1;
    datagram(&one, 1000);
    datagram(&near, 1000);
    assert_int_equal(lines, LOG_LIMIT_SOURCE_BURST);
    datagram(&other, 1000);
    assert_int_equal(lines, 2 * LOG_LIMIT_SOURCE_BURST);
    datagram(&x, 1000);
    datagram(&y, 1000);
    assert_int_equal(lines, 3 * LOG_LIMIT_SOURCE_BURST);
    datagram(&z, 1000);
    assert_int_equal(lines, 4 * LOG_LIMIT_SOURCE_BURST);
}

static void test_all_sources_together_are_bounded_and_the_rest_is_told_once_a_second(void **state)
{
    (void)state;
    unsigned sent = 0;
    for (int tick = 0; tick < 600; tick++) { // a minute
        for (unsigned i = 0; i < 200; i++, sent += 2) {
            struct addr a = v4((unsigned)tick * 200 + i);
            datagram(&a, 2);
        }
        pass(100);
    }
    assert_in_range(lines, LOG_LIMIT_BURST + 59 * LOG_LIMIT_RATE, LOG_LIMIT_BURST + 60 * LOG_LIMIT_RATE);
    assert_in_range(summaries, 50, 60);
    pass(2000);
    assert_int_equal(lines + told, sent); // none is lost without a word
    assert_int_equal(limit.left_out, told);
    unsigned before = summaries;
    pass(60000);
    assert_int_equal(summaries, before); // nothing to tell
}

static void test_who_proves_himself_is_no_stranger(void **state)
{
    (void)state;
    struct addr a = v4(1);
    for (int i = 0; i < 1000; i++) {
        log_limit_begin(&limit, &a);
        LOGF(NET, 1, "line");
        log_limit_pardon(&limit);
        for (int k = 0; k < 9; k++)
            LOGF(NET, 1, "line");
        log_limit_end(&limit);
    }
    assert_int_equal(lines, 10000);
    datagram(&a, 1000); // nor has it cost him anything
    assert_int_equal(lines, 10000 + LOG_LIMIT_SOURCE_BURST);
}

static void test_lines_of_a_datagram_behind_one_that_was_left_out_are_left_out_unasked(void **state)
{
    (void)state;
    struct addr a = v4(1);
    for (unsigned i = 0; i < LOG_LIMIT_SOURCE_BURST; i++)
        datagram(&a, 1);
    assert_int_equal(lines, LOG_LIMIT_SOURCE_BURST);
    asked = 0;
    datagram(&a, 5);
    assert_int_equal(limit.left_out, 5); // each counts
    assert_int_equal(asked, 1);
    now += 1000;
    datagram(&a, 1); // the next one has tokens again
    assert_int_equal(lines, LOG_LIMIT_SOURCE_BURST + 1);
}

static void test_inner_scope_leaves_the_outer_one(void **state)
{
    (void)state;
    struct addr a = v4(1), other = v4(2);
    log_limit_begin(&limit, &a);
    datagram(&other, 50);
    for (int i = 0; i < 1000; i++)
        LOGF(NET, 1, "line");
    log_limit_end(&limit);
    assert_int_equal(lines, LOG_LIMIT_SOURCE_BURST);
    LOGF(NET, 1, "line");
    assert_int_equal(lines, LOG_LIMIT_SOURCE_BURST + 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_one_source_has_a_burst_and_then_its_rate),
        T(test_neighbours_are_one_source_and_others_are_not_touched),
        T(test_all_sources_together_are_bounded_and_the_rest_is_told_once_a_second),
        T(test_who_proves_himself_is_no_stranger),
        T(test_lines_of_a_datagram_behind_one_that_was_left_out_are_left_out_unasked),
        T(test_inner_scope_leaves_the_outer_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
