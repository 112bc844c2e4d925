// SPDX-License-Identifier: Apache-2.0
// The store of tickets (RFC 5723) by itself, its clock in the test's hands: what is sealed comes out again
// once and as it was, keys that roll over by age and by number, when the old ones go, and octets that are
// changed, cut or made up.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "ctrl/keys/ticket_store.h"

enum { DAY_MS = 24 * 3600 * 1000, HOUR_MS = 3600 * 1000, START = 5000 };

struct ticket {
    uint8_t data[TICKET_MAX];
    size_t len;
    struct ticket_ref ref;
};

static struct ticket_store store;

static int set_up(void **state)
{
    (void)state;
    memset(&store, 0, sizeof(store));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ticket_forget_all(&store);
    return 0;
}

static struct ticket_secrets secrets(uint64_t until)
{
    struct ticket_secrets s = {.until = until, .prf = 5, .len = 32};
    for (uint8_t i = 0; i < 32; i++)
        s.sk_d[i] = (uint8_t)(i + until);
    return s;
}

static int try_seal(uint64_t now, uint64_t until, struct slice state, struct ticket *t)
{
    struct ticket_secrets s = secrets(until);
    return ticket_seal(&store, now, &s, state, t->data, &t->len, &t->ref);
}

static struct ticket seal(uint64_t now, uint64_t until)
{
    struct ticket t;
    assert_int_equal(try_seal(now, until, slice_str("state"), &t), 0);
    return t;
}

static int open_octets(uint64_t now, struct slice octets)
{
    static uint8_t buf[TICKET_MAX];
    struct ticket_secrets s = {0};
    struct ticket_ref ref;
    struct slice state;
    return ticket_open(&store, now, octets, &s, buf, &state, &ref);
}

static int try_open(uint64_t now, const struct ticket *t)
{
    return open_octets(now, slice_of(t->data, t->len));
}

static void test_what_is_sealed_comes_out_as_it_was(void **state)
{
    uint8_t buf[TICKET_MAX];
    struct ticket_secrets s = {0}, want = secrets(START + HOUR_MS);
    struct ticket_ref ref;
    struct slice inner;
    (void)state;
    struct ticket t = seal(START, START + HOUR_MS);
    for (int i = 0; i < 2; i++) { // opening is not using
        assert_int_equal(ticket_open(&store, START + 1, slice_of(t.data, t.len), &s, buf, &inner, &ref), 0);
        assert_true(slice_eq(inner, slice_str("state")));
        assert_int_equal(s.until, want.until);
        assert_int_equal(s.prf, 5);
        assert_int_equal(s.len, 32);
        assert_memory_equal(s.sk_d, want.sk_d, 32);
        assert_int_equal(ref.key, t.ref.key);
        assert_int_equal(ref.number, t.ref.number);
    }
}

static void test_a_ticket_is_good_once_and_its_neighbours_stay_so(void **state)
{
    struct ticket t[20];
    (void)state;
    for (int i = 0; i < 20; i++)
        t[i] = seal(START, START + HOUR_MS);
    for (int i = 0; i < 20; i += 3)
        ticket_use_up(&store, t[i].ref);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ticket_is_good(&store, t[i].ref), i % 3 != 0);
        assert_int_equal(try_open(START, &t[i]), i % 3 ? 0 : -EALREADY);
    }
}

static void test_it_ends_in_the_very_millisecond(void **state)
{
    (void)state;
    struct ticket t = seal(START, START + HOUR_MS);
    assert_int_equal(try_open(START + HOUR_MS - 1, &t), 0);
    assert_int_equal(try_open(START + HOUR_MS, &t), -ETIME);
    ticket_use_up(&store, t.ref); // that it is used up is what is said first
    assert_int_equal(try_open(START + HOUR_MS, &t), -EALREADY);
}

// --- keys ---

static void test_a_key_seals_for_a_day_and_the_one_before_stays_good(void **state)
{
    (void)state;
    struct ticket first = seal(START, START + 3 * (uint64_t)DAY_MS);
    struct ticket same = seal(START + DAY_MS - 1, START + 3 * (uint64_t)DAY_MS);
    assert_true(same.ref.key == first.ref.key);
    assert_int_equal(same.ref.number, 1);
    struct ticket next = seal(START + DAY_MS, START + 3 * (uint64_t)DAY_MS);
    assert_true(next.ref.key != first.ref.key);
    assert_int_equal(next.ref.number, 0);
    const struct ticket *all[] = {&first, &same, &next};
    for (int i = 0; i < 3; i++)
        assert_int_equal(try_open(START + DAY_MS, all[i]), 0);
    ticket_use_up(&store, same.ref); // of the one before too
    assert_int_equal(try_open(START + DAY_MS, &same), -EALREADY);
    assert_int_equal(try_open(START + DAY_MS, &first), 0);
    // a third key takes the first one's place
    struct ticket third = seal(START + 2 * (uint64_t)DAY_MS, START + 3 * (uint64_t)DAY_MS);
    assert_true(third.ref.key != next.ref.key);
    assert_int_equal(try_open(START + 2 * (uint64_t)DAY_MS, &first), -EBADMSG);
    assert_int_equal(try_open(START + 2 * (uint64_t)DAY_MS, &next), 0);
    assert_false(ticket_is_good(&store, first.ref));
}

// Two days after it was made no ticket of it can be good: it goes though nothing is sealed any more.
static void test_a_key_goes_after_two_days_whatever_happens(void **state)
{
    (void)state;
    struct ticket first = seal(START, START + 9 * (uint64_t)DAY_MS);
    struct ticket next = seal(START + DAY_MS, START + 9 * (uint64_t)DAY_MS);
    uint64_t end = START + 2 * (uint64_t)DAY_MS;
    assert_int_equal(try_open(end - 1, &first), 0);
    assert_int_equal(try_open(end, &first), -EBADMSG);
    assert_false(ticket_is_good(&store, first.ref));
    assert_int_equal(store.before.id, 0);
    assert_null(store.before.sk);
    assert_int_equal(try_open(end + DAY_MS - 1, &next), 0);
    assert_int_equal(try_open(end + DAY_MS, &next), -EBADMSG);
    assert_int_equal(store.now.id, 0);
    assert_null(store.now.sk);
    assert_null(store.now.used);
    struct ticket again = seal(end + DAY_MS, end + 2 * (uint64_t)DAY_MS);
    assert_true(again.ref.key != next.ref.key);
    assert_int_equal(try_open(end + DAY_MS, &again), 0);
}

// When somebody is to come by again, so that a key goes though nothing is asked for.
static void test_who_looks_after_keys_is_told_when(void **state)
{
    uint64_t two_days = 2 * (uint64_t)DAY_MS;
    (void)state;
    assert_int_equal(ticket_age(&store, START), 0);
    seal(START, START + HOUR_MS);
    assert_int_equal(ticket_age(&store, START), START + two_days);
    seal(START + DAY_MS + 7, START + DAY_MS + HOUR_MS);
    assert_int_equal(ticket_age(&store, START + DAY_MS + 7), START + two_days);
    assert_int_equal(ticket_age(&store, START + two_days - 1), START + two_days);
    assert_int_not_equal(store.before.id, 0);
    assert_int_equal(ticket_age(&store, START + two_days), START + DAY_MS + 7 + two_days);
    assert_int_equal(store.before.id, 0);
    assert_null(store.before.sk);
    assert_int_equal(ticket_age(&store, START + DAY_MS + 7 + two_days), 0);
    assert_int_equal(store.now.id, 0);
    assert_null(store.now.sk);
}

static void test_a_key_seals_so_many_and_no_more(void **state)
{
    struct ticket t;
    (void)state;
    struct ticket first = seal(START, START + HOUR_MS);
    for (uint32_t i = 1; i < TICKETS_OF_KEY; i++)
        t = seal(START, START + HOUR_MS);
    assert_true(t.ref.key == first.ref.key);
    assert_int_equal(t.ref.number, TICKETS_OF_KEY - 1);
    assert_int_equal(store.now.room, TICKETS_OF_KEY / 8); // a bit each
    struct ticket next = seal(START, START + HOUR_MS);
    assert_true(next.ref.key != first.ref.key);
    ticket_use_up(&store, t.ref); // the last bit
    assert_int_equal(try_open(START, &t), -EALREADY);
    assert_int_equal(try_open(START, &first), 0);
    assert_int_equal(try_open(START, &next), 0);
}

static void test_forgotten_is_forgotten(void **state)
{
    (void)state;
    struct ticket before = seal(START, START + 3 * (uint64_t)DAY_MS),
                  now = seal(START + DAY_MS, START + 3 * (uint64_t)DAY_MS);
    ticket_forget_all(&store);
    assert_int_equal(try_open(START + DAY_MS, &before), -EBADMSG);
    assert_int_equal(try_open(START + DAY_MS, &now), -EBADMSG);
    assert_false(ticket_is_good(&store, now.ref));
    ticket_use_up(&store, now.ref); // of nobody: nothing happens
    struct ticket next = seal(START + DAY_MS, START + 3 * (uint64_t)DAY_MS);
    assert_int_equal(next.ref.number, 0);
    assert_int_equal(try_open(START + DAY_MS, &now), -EBADMSG);
    assert_int_equal(try_open(START + DAY_MS, &next), 0);
}

// --- what is none ---

static void test_each_octet_counts(void **state)
{
    (void)state;
    struct ticket t = seal(START, START + HOUR_MS);
    for (size_t i = 0; i < t.len; i++) {
        t.data[i] ^= 1;
        assert_int_equal(try_open(START, &t), -EBADMSG);
        t.data[i] ^= 1;
    }
    for (size_t n = 0; n < t.len; n++)
        assert_int_equal(open_octets(START, slice_of(t.data, n)), -EBADMSG);
    t.data[t.len] = 0;
    assert_int_equal(open_octets(START, slice_of(t.data, t.len + 1)), -EBADMSG);
    assert_int_equal(try_open(START, &t), 0);
}

static void test_nobody_has_the_key_zero(void **state)
{
    uint8_t none[64] = {1};
    struct ticket_ref zero = {0};
    (void)state;
    assert_int_equal(open_octets(START, slice_of(none, sizeof(none))), -EBADMSG);
    assert_false(ticket_is_good(&store, zero));
    ticket_use_up(&store, zero);
}

static void test_as_much_as_a_ticket_may_hold(void **state)
{
    static uint8_t much[TICKET_STATE_MAX + 1];
    struct ticket t;
    (void)state;
    assert_int_equal(try_seal(START, START + HOUR_MS, slice_of(much, TICKET_STATE_MAX + 1), &t), -EMSGSIZE);
    assert_int_equal(store.now.id, 0); // no key was made for it
    assert_int_equal(try_seal(START, START + HOUR_MS, slice_of(much, TICKET_STATE_MAX), &t), 0);
    assert_in_range(t.len, TICKET_STATE_MAX, TICKET_MAX);
    assert_int_equal(try_open(START, &t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_what_is_sealed_comes_out_as_it_was),
        TEST(test_a_ticket_is_good_once_and_its_neighbours_stay_so),
        TEST(test_it_ends_in_the_very_millisecond),
        TEST(test_a_key_seals_for_a_day_and_the_one_before_stays_good),
        TEST(test_a_key_goes_after_two_days_whatever_happens),
        TEST(test_who_looks_after_keys_is_told_when),
        TEST(test_a_key_seals_so_many_and_no_more),
        TEST(test_forgotten_is_forgotten),
        TEST(test_each_octet_counts),
        TEST(test_nobody_has_the_key_zero),
        TEST(test_as_much_as_a_ticket_may_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
