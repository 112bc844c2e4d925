// SPDX-License-Identifier: Apache-2.0
// Scenarios of the card: whatever one does that can be shown silent, each packet of a host arrives, once, and
// no number is used twice.
#include <stdio.h>
#include <stdlib.h>

#include "ctrl/path/path.h"
#include "tests/world/scenario.h"

// Whatever a card that can be shown silent does, each packet of a host arrives, once, and no number is used
// twice.
static void fails_without_loss(enum card_fault f)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &cards);
        size_t from = up();
        run(rng_below(&w.rng, SECOND));
        assert_int_equal(site_card_sas(w.site[seed & 1].card), 2);
        site_card_fault(w.site[seed & 1].card, f);
        run(4 * SECOND); // some seconds later ike replaces the SA whose numbers have jumped
        if (lost(from))
            fail_msg("seed %llu: %u packets are lost", (unsigned long long)seed, lost(from));
        run(20 * SECOND);
        finish();
    }
}

static void test_card_killed_under_traffic_loses_no_packet(void **state)
{
    (void)state;
    fails_without_loss(CARD_KILLED);
}

static void test_card_that_hangs_loses_no_packet_and_repeats_no_number(void **state)
{
    (void)state;
    fails_without_loss(CARD_HUNG);
}

static void test_card_that_hangs_with_its_clock_loses_no_packet(void **state)
{
    (void)state;
    fails_without_loss(CARD_FROZEN);
}

static void test_card_reset_behind_the_drivers_back_loses_no_packet(void **state)
{
    (void)state;
    fails_without_loss(CARD_RESET);
}

static void test_card_that_is_fatal_loses_no_packet(void **state)
{
    (void)state;
    fails_without_loss(CARD_FATAL);
}

static void test_card_that_reads_all_ones_loses_no_packet(void **state)
{
    (void)state;
    fails_without_loss(CARD_ALL_ONES);
}

static void test_card_that_says_nonsense_is_left(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &cards);
        up();
        assert_int_equal(site_card_sas(w.site[seed & 1].card), 2);
        site_card_fault(w.site[seed & 1].card, CARD_NONSENSE);
        run(20 * SECOND);
        size_t from = w.ledger.count;
        run(10 * SECOND);
        assert_int_equal(lost(from), 0);
        finish();
    }
}

static void test_card_that_does_not_answer_ends_its_sas_and_they_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &cards);
        up();
        assert_int_equal(site_card_sas(w.site[seed & 1].card), 2);
        site_card_fault(w.site[seed & 1].card, CARD_MUTE);
        run(60 * SECOND);
        finish();
    }
}

static void test_card_that_refuses_half_of_all_sas_loses_no_packet(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &cards);
        site_card_habits(w.site[0].card, 500, 2000, 0);
        site_card_habits(w.site[1].card, 500, 2000, 0);
        up();
        run(30 * SECOND);
        finish();
    }
}

static void test_lost_interrupts_delay_and_lose_no_packet(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &cards);
        size_t from = up();
        site_card_habits(w.site[0].card, 0, 0, 700);
        site_card_habits(w.site[1].card, 0, 0, 700);
        run(20 * SECOND);
        assert_int_equal(lost(from), 0);
        finish();
    }
}

static void test_tiny_leases_under_bursts_lose_no_packet(void **state)
{
    static const struct plain tiny = {
        .card = {true, true}, .start = {START_START, START_TRAP}, .slots = 2, .lease = 4};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &tiny);
        size_t from = up();
        for (int i = 0; i < 40; i++) {
            for (int k = 0; k < 60; k++)
                host_send(&w, i & 1, !(i & 1), 0, true);
            run(50000);
        }
        run(5 * SECOND);
        assert_int_equal(lost(from), 0);
        finish();
    }
}

static void test_card_killed_under_bursts_and_tiny_leases_loses_no_packet(void **state)
{
    static const struct plain tiny = {.card = {true, true}, .start = {START_START, START_TRAP}, .lease = 4};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &tiny);
        size_t from = up();
        for (int i = 0; i < 20; i++) {
            for (int k = 0; k < 60; k++)
                host_send(&w, i & 1, !(i & 1), 0, true);
            if (i == 10)
                site_card_fault(w.site[seed & 1].card, CARD_KILLED);
            run(50000);
        }
        run(5 * SECOND);
        assert_int_equal(lost(from), 0);
        run(20 * SECOND);
        finish();
    }
}

static uint64_t carried(const struct child *c)
{
    return c->in.packets + c->out.packets;
}

// The gateway's card has one slot, and four SAs want it: the one that carries most is there in the end, and
// no packet is lost on the ways in and out.
static void test_more_sas_than_slots_lose_no_packet_and_the_busiest_is_on_the_card(void **state)
{
    static const struct plain p = {
        .card = {false, true}, .start = {START_NONE, START_NONE}, .warriors = 3, .pool = 3, .slots = 1};
    uint64_t moved = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 4 * SEEDS; seed++) {
        begin(seed, &p);
        struct site *s = &w.site[1];
        run(20 * SECOND);
        warriors_check_up(&w);
        hold("before they move");
        operator_order(&w.site[0], CMD_INITIATE, 0, 0, 0);
        size_t from = up();
        for (int i = 0; i < 400; i++) {
            for (int k = 0; k < 10; k++)
                host_send(&w, i & 1, !(i & 1), 0, true);
            run(100000);
        }
        run(5 * SECOND);
        assert_int_equal(lost(from), 0);
        assert_int_equal(site_card_sas(s->card), 2);
        const struct child *most = s->d.path->children, *on = NULL;
        for (const struct child *c = most; c; c = c->next) {
            most = carried(c) > carried(most) ? c : most;
            on = c->on_card ? c : on;
        }
        assert_ptr_equal(on, most);
        assert_true(s->d.path->busiest_in <= 2);
        moved += s->d.path->busiest_in;
        finish();
    }
    assert_true(moved > 0);
}

static bool adds(const struct site *s)
{
    for (const struct child *c = s->d.path ? s->d.path->children : NULL; c; c = c->next)
        if (c->out.state == HALF_ADDING || c->in.state == HALF_ADDING)
            return true;
    return false;
}

static void test_card_killed_while_it_takes_an_sa_is_survived(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        struct site *s;
        begin(seed, &cards);
        s = &w.site[seed & 1];
        site_card_habits(s->card, 0, 5000, 0);
        for (uint64_t until = w.now + 10 * SECOND; !adds(s) && w.now < until;)
            run(100);
        assert_true(adds(s));
        run(rng_below(&w.rng, 2000));
        site_card_fault(s->card, CARD_KILLED);
        up();
        run(20 * SECOND);
        finish();
    }
}

static void test_card_that_is_silent_from_the_start_delays_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct site *s;
        begin(seed, &cards);
        s = &w.site[seed & 1];
        site_card_fault(s->card, CARD_MUTE);
        up();
        assert_int_equal(site_card_sas(s->card), 0);
        assert_int_equal(site_card_sas(w.site[!(seed & 1)].card), 2);
        finish();
    }
}

// It gets its SAs, or their successors, when it has been well for long enough, under traffic.
static void test_card_that_comes_back_gets_the_sas_without_loss(void **state)
{
    static const enum card_fault faults[] = {CARD_KILLED, CARD_HUNG, CARD_FATAL, CARD_ALL_ONES};
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        struct site *s;
        begin(seed, &cards);
        size_t from = up();
        s = &w.site[seed & 1];
        site_card_fault(s->card, faults[seed % 4]);
        run(4 * SECOND);
        assert_int_equal(lost(from), 0);
        from = w.ledger.count;
        site_card_fault(s->card, CARD_WELL);
        run(60 * SECOND);
        assert_int_equal(lost(from), 0);
        assert_int_equal(site_card_sas(s->card), 2);
        finish();
    }
}

// The card's clock passes the deadline of its SAs meanwhile. They go on in software; what waited in the
// sockets is older than the time that lost() gives a packet, so it is not counted.
static void test_host_that_is_silent_past_the_cards_deadline_goes_on_without_loss(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        struct site *s;
        begin(seed, &cards);
        up();
        s = &w.site[seed & 1];
        assert_int_equal(site_card_sas(s->card), 2);
        daemon_freeze(s, 11 * SECOND);
        run(11 * SECOND);
        size_t from = w.ledger.count;
        run(10 * SECOND);
        assert_int_equal(lost(from), 0);
        assert_int_equal(site_card_sas(s->card), 1); // the outbound one has left it
        finish();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_card_killed_under_traffic_loses_no_packet),
        cmocka_unit_test(test_card_that_hangs_loses_no_packet_and_repeats_no_number),
        cmocka_unit_test(test_card_that_hangs_with_its_clock_loses_no_packet),
        cmocka_unit_test(test_card_reset_behind_the_drivers_back_loses_no_packet),
        cmocka_unit_test(test_card_that_is_fatal_loses_no_packet),
        cmocka_unit_test(test_card_that_reads_all_ones_loses_no_packet),
        cmocka_unit_test(test_card_that_says_nonsense_is_left),
        cmocka_unit_test(test_card_that_does_not_answer_ends_its_sas_and_they_come_back),
        cmocka_unit_test(test_card_that_refuses_half_of_all_sas_loses_no_packet),
        cmocka_unit_test(test_lost_interrupts_delay_and_lose_no_packet),
        cmocka_unit_test(test_tiny_leases_under_bursts_lose_no_packet),
        cmocka_unit_test(test_card_killed_under_bursts_and_tiny_leases_loses_no_packet),
        cmocka_unit_test(test_more_sas_than_slots_lose_no_packet_and_the_busiest_is_on_the_card),
        cmocka_unit_test(test_card_killed_while_it_takes_an_sa_is_survived),
        cmocka_unit_test(test_card_that_is_silent_from_the_start_delays_nobody),
        cmocka_unit_test(test_card_that_comes_back_gets_the_sas_without_loss),
        cmocka_unit_test(test_host_that_is_silent_past_the_cards_deadline_goes_on_without_loss),
    };
    cmocka_set_test_filter(getenv("WORLD_TEST")); // a pattern
    return cmocka_run_group_tests(tests, NULL, NULL);
}
