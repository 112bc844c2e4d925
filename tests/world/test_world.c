// SPDX-License-Identifier: Apache-2.0
// Scenarios: worlds in which one thing happens, of which it is known what must come of it. Each runs from
// several seeds, which place it differently among the packets. Those of the card are test_world_card's, and
// the random worlds build/tests/world's.
#include <stdio.h>
#include <stdlib.h>

#include "ctrl/path/path.h"
#include "tests/world/scenario.h"

// A CHILD SA that is wanted while one of two IKE SAs waits for its end is made on the other, and stays.
static void test_a_child_begun_while_two_ike_sas_cross_outlives_the_one_that_goes(void **state)
{
    static const struct plain both = {.start = {START_NONE, START_START}, .unique = "replace", .own = true};
    (void)state;
    for (uint64_t seed = 1; seed <= 8 * SEEDS; seed++) {
        begin(seed, &both);
        up();
        operator_order(&w.site[1], CMD_TERMINATE, 0, 0, 0);
        run(SECOND / 10);
        operator_order(&w.site[1], CMD_INITIATE, 0, 0, 0);
        run(rng_below(&w.rng, 14000));
        operator_order(&w.site[0], CMD_INITIATE, 0, 0, 0);
        run(SECOND / 2);
        own_send(&w, seed & 1, !(seed & 1), true); // brings its child up
        run(SECOND / 2);
        size_t from = w.ledger.count;
        for (int i = 0; i < 60; i++) {
            own_send(&w, i & 1, !(i & 1), true);
            run(SECOND / 10);
        }
        run(3 * SECOND);
        for (size_t i = from; i < w.ledger.count; i++)
            if (w.ledger.sent[i].own && !w.ledger.sent[i].delivered &&
                w.ledger.sent[i].at + 3 * SECOND < w.now)
                fail_msg("seed %llu: a packet of the gateways' own is lost", (unsigned long long)seed);
        finish();
    }
}

// ---- families

static void test_every_mix_of_families_inside_and_outside_loses_no_packet(void **state)
{
    static const uint8_t inner[] = {IN4, IN6, IN4 | IN6};
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        const struct plain mix = {.start = {START_START, START_TRAP},
                                  .inner = inner[i % 3],
                                  .outer6 = i / 3 & 1,
                                  .encap = i / 6,
                                  .card = {i & 1, !(i & 1)}};
        begin(i + 1, &mix);
        size_t from = up();
        run(10 * SECOND);
        assert_int_equal(lost(from), 0);
        finish();
    }
}

// Between the gateways themselves: to a program of the other one.
static void test_transport_and_tunnel_between_the_gateways_lose_no_packet(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        const struct plain own = {
            .start = {START_START, START_TRAP}, .own = true, .transport = i & 1, .outer6 = i >> 1};
        begin(i + 1, &own);
        up();
        own_send(&w, 0, 1, true); // brings the child up, and is dropped
        run(SECOND);
        for (int k = 0; k < 50; k++) {
            size_t id = w.ledger.count;
            own_send(&w, k & 1, !(k & 1), true);
            run(SECOND / 10);
            assert_true(w.ledger.sent[id].delivered);
            assert_false(w.ledger.sent[id].seen);
        }
        finish();
    }
}

// The NAT is one of IPv4: by IPv6 there is none.
static void test_a_nat_between_does_not_concern_ipv6(void **state)
{
    static const struct plain beside = {
        .nat = true, .inner = IN4 | IN6, .outer6 = true, .start = {START_TRAP, START_START}};
    (void)state;
    begin(1, &beside);
    up();
    nat_rebind(&w.site[0]);
    size_t from = w.ledger.count;
    run(10 * SECOND);
    assert_int_equal(lost(from), 0);
    finish();
}

// ---- rooms and daemons

static void test_any_room_killed_and_started_again_is_up_again(void **state)
{
    static const int rooms[] = {ROOM_SUPER, ROOM_CTL};
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) { // each with cards and without
        struct site *s;
        begin(seed, seed > 5 ? &cards : &no_cards);
        up();
        s = &w.site[seed & 1];
        daemon_kill(s, rooms[seed % 2]);
        run(3 * SECOND);
        assert_int_equal(s->d.life, DOWN);
        daemon_start(s);
        run(60 * SECOND);
        finish();
    }
}

// The others go on: what it had of the configuration it has again, and SAs that it made carry traffic until
// each has a successor.
static void killed_is_started_again_and_packets_go_on(int room, uint64_t seeds)
{
    for (uint64_t seed = 1; seed <= 2 * seeds; seed++) {
        begin(seed, seed > seeds ? &cards : &no_cards);
        size_t from = up();
        struct site *s = &w.site[seed & 1];
        daemon_kill(s, room);
        run(SECOND / 10);
        print_message("  seed %llu: %u lost while there is none\n", (unsigned long long)seed, lost(from));
        assert_int_equal(lost(from), 0);
        run(20 * SECOND);
        print_message("  seed %llu: %u lost in all\n", (unsigned long long)seed, lost(from));
        assert_int_equal(s->d.life, UP);
        assert_int_equal(s->d.lives, 1);
        run(40 * SECOND);
        finish();
    }
}

static void test_ike_killed_is_started_again_and_packets_go_on(void **state)
{
    (void)state;
    killed_is_started_again_and_packets_go_on(ROOM_IKE, SEEDS);
}

// Its secrets outlive it; the keys of IKE SAs do not, and ike goes with it.
static void test_keys_killed_is_started_again_and_packets_go_on(void **state)
{
    (void)state;
    killed_is_started_again_and_packets_go_on(ROOM_KEYS, 2);
}

static uint64_t inits_of(const struct site *s)
{
    return ike_counted(s->d.ike, "ike_init_out_req") + ike_counted(s->d.ike, "ike_init_in_req");
}

// Its keys are gone, and what it had of packets; IKE SAs live on, on which each CHILD SA is made anew:
// nothing of another IKE SA is begun, and within a second packets go both ways.
static void test_path_killed_is_started_again_and_child_sas_are_made_anew(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        begin(seed, seed > SEEDS ? &cards : &no_cards);
        up();
        struct site *s = &w.site[seed & 1];
        uint64_t inits = inits_of(s);
        for (unsigned times = 0; times < 3; times++) {
            daemon_kill(s, ROOM_PATH);
            run(SECOND);
            size_t from = w.ledger.count;
            run(9 * SECOND);
            print_message("  seed %llu: %u lost after a second\n", (unsigned long long)seed, lost(from));
            assert_int_equal(lost(from), 0);
            assert_int_equal(s->d.life, UP);
            assert_int_equal(s->d.path_lives, times + 1);
        }
        assert_int_equal(inits_of(s), inits);
        run(40 * SECOND);
        finish();
    }
}

static void test_path_and_ike_killed_together_are_up_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, seed & 2 ? &cards : &no_cards);
        up();
        struct site *s = &w.site[seed & 1];
        daemon_kill(s, seed & 4 ? ROOM_IKE : ROOM_PATH);
        run(rng_below(&w.rng, SECOND / 5));
        daemon_kill(s, seed & 4 ? ROOM_PATH : ROOM_IKE);
        run(60 * SECOND);
        assert_int_equal(s->d.life, UP);
        finish();
    }
}

// What was configured is swept away where it is not any more. The next ike, which has nothing of it yet, is
// not the one to say so, whatever comes first when the rooms get a processor again.
static void test_path_that_dies_before_the_next_ike_has_anything_lets_nothing_by(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
        begin(seed, &no_cards);
        up();
        run(20 * SECOND); // what an earlier run has left is swept
        struct site *s = &w.site[seed & 1];
        daemon_kill(s, seed % 3 ? ROOM_IKE : ROOM_KEYS);
        daemon_freeze(s, 2 * SECOND);
        run(SECOND / 5 + rng_below(&w.rng, SECOND / 10));
        daemon_kill(s, ROOM_PATH);
        run(60 * SECOND);
        assert_int_equal(s->d.life, UP);
        finish();
    }
}

// Likewise, without memory for what it is given: nothing is let by that it lacks.
static void test_path_that_dies_while_ike_lacks_connections_lets_nothing_by(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
        begin(seed, &no_cards);
        up();
        run(20 * SECOND);
        struct site *s = &w.site[seed & 1];
        memory_scarce(s, 300, 4 * SECOND);
        daemon_kill(s, ROOM_IKE);
        run(SECOND + rng_below(&w.rng, SECOND));
        daemon_kill(s, ROOM_PATH);
        run(120 * SECOND);
        if (s->d.life != UP) // one end is not enough to say what it lacks
            daemon_start(s);
        run(60 * SECOND);
        finish();
    }
}

static void test_daemon_stopped_in_order_and_started_again_is_up_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &no_cards);
        up();
        daemon_stop(&w.site[seed & 1]);
        run(3 * SECOND);
        assert_int_equal(w.site[seed & 1].d.life, DOWN);
        daemon_start(&w.site[seed & 1]);
        run(60 * SECOND);
        finish();
    }
}

// ---- both at once

static unsigned sas_of(struct site *s)
{
    s->op.listed = false;
    operator_order(s, CMD_LIST, 0, 0, 0);
    run(SECOND);
    assert_true(s->op.listed);
    unsigned n = 0;
    for (unsigned i = 0; i < s->op.ikes; i++)
        n += !strcmp(s->op.ike[i].state, "ESTABLISHED");
    return n;
}

static void test_crossing_initiations_end_with_one_sa_at_both_ends(void **state)
{
    static const struct plain both = {.start = {START_START, START_START}, .unique = "replace"};
    (void)state;
    for (uint64_t seed = 1; seed <= 8 * SEEDS; seed++) { // both start in one instant
        begin(seed, &both);
        w.jitter = (unsigned)rng_below(&w.rng, 120);
        w.loss = seed % 3 ? 0 : 200;
        run(60 * SECOND);
        w.loss = w.jitter = 0;
        run(5 * MINUTE);
        for (int i = 0; i < 2; i++)
            if (sas_of(&w.site[i]) != 1)
                fail_msg("seed %llu: %c has %u IKE_SAs, expected 1", (unsigned long long)seed,
                         w.site[i].letter, sas_of(&w.site[i]));
        finish();
    }
}

static void test_initiations_that_cross_after_a_termination_leave_one_sa(void **state)
{
    static const struct plain both = {.start = {START_NONE, START_START}, .unique = "replace"};
    (void)state;
    for (uint64_t seed = 1; seed <= 4 * SEEDS; seed++) {
        begin(seed, &both);
        up();
        w.jitter = seed & 1 ? (unsigned)rng_below(&w.rng, 20) : 0;
        operator_order(&w.site[0], CMD_TERMINATE, 0, 0, 0); // close_action = start at the other end
        operator_order(&w.site[0], CMD_INITIATE, 0, 0, 0);
        run(20 * SECOND);
        w.jitter = 0;
        size_t from = w.ledger.count;
        run(10 * SECOND);
        assert_int_equal(lost(from), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(sas_of(&w.site[i]), 1);
        finish();
    }
}

// Only the end that began an SA ends it where two have crossed. Where its daemon goes before that, the other
// end waits for it in vain for a while, as for its answers: nobody is at rest.
static void test_end_of_crossing_sas_that_goes_leaves_two_to_the_other_for_a_while(void **state)
{
    static const struct plain none = {.unique = "replace"};
    unsigned seen = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        begin(seed, &none);
        run(5 * SECOND);
        operator_order(&w.site[1], CMD_INITIATE, 0, 0, 0);
        run(rng_below(&w.rng, 12000));
        operator_order(&w.site[0], CMD_INITIATE, 0, 0, 0);
        run(SECOND);
        daemon_kill(&w.site[1], ROOM_SUPER);
        if (sas_of(&w.site[0]) == 2) {
            seen++;
            w.pair[0].up_from = UINT64_MAX, w.pair[0].begins = 1;
            check_one(&w);
            hold("one end has gone");
            w.pair[0].begins = 2;
            check_one(&w);
            assert_string_equal(w.failed, "one");
            w.failed = NULL;
        }
        fault_restart(&w.site[1], SECOND);
        finish();
    }
    assert_true(seen);
}

static void test_an_edit_of_the_selectors_gets_an_sa_of_its_own(void **state)
{
    static const struct plain edit = {.start = {START_START, START_TRAP}, .edit = true};
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        begin(seed, &edit);
        up();
        for (unsigned form = 2; form--;) { // narrower, and back
            operator_order(&w.site[seed & 1], CMD_LOAD, 0, form, 0);
            run(rng_below(&w.rng, 3 * SECOND));
            operator_order(&w.site[!(seed & 1)], CMD_LOAD, 0, form, 0);
            run(90 * SECOND);
            size_t from = w.ledger.count;
            for (int i = 0; i < 20; i++)
                host_send(&w, i & 1, !(i & 1), 0, true);
            run(5 * SECOND);
            for (size_t i = from; i < from + 20; i++)
                if (!w.ledger.sent[i].delivered)
                    fail_msg("seed %llu: a packet of form %u is not carried", (unsigned long long)seed, form);
        }
        finish();
    }
}

static void test_crossing_terminations_agree(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        begin(seed, &no_cards);
        up();
        w.jitter = (unsigned)rng_below(&w.rng, 60);
        operator_order(&w.site[0], CMD_TERMINATE, 0, 0, 0);
        run(rng_below(&w.rng, 8000));
        operator_order(&w.site[1], CMD_TERMINATE, 0, 0, 0);
        run(30 * SECOND);
        operator_order(&w.site[0], CMD_INITIATE, 0, 0, 0);
        run(30 * SECOND);
        finish();
    }
}

// ---- dummies

static uint64_t dummies_of(unsigned site)
{
    const struct path *p = w.site[site].d.path;
    return p ? p->worker->dummies : 0;
}

// Both ends fill their silence, while packets come and go, while ike dies and comes again, and the SA is
// rekeyed, closed and made anew: no packet is lost for it, no number is used twice, and nothing goes into an
// SA that the peer has let go of.
static void test_dummies_fill_the_silence_of_whatever_sa_there_is(void **state)
{
    static const struct plain filled = {.start = {START_START, START_TRAP}, .dummies = 20};
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        begin(seed, &filled);
        size_t from = up();
        uint64_t before = dummies_of(0);
        run(10 * SECOND);
        assert_in_range(dummies_of(0) - before, 100,
                        200); // 20 a second, less those with a packet of the hosts
        operator_order(&w.site[seed & 1], CMD_REKEY, 0, 0, 1);
        run(10 * SECOND);
        daemon_kill(&w.site[seed & 1], ROOM_IKE);
        run(20 * SECOND);
        assert_int_equal(lost(from), 0);
        operator_order(&w.site[0], CMD_TERMINATE, 0, 0, 0);
        run(10 * SECOND);
        before = dummies_of(0);
        operator_order(&w.site[0], CMD_INITIATE, 0, 0, 0);
        run(30 * SECOND);
        assert_in_range(dummies_of(0) - before, 300, 600);
        finish();
    }
}

// ---- other names

// The policies of the new names have the SAs of the old ones, on the card too, and in software when it dies;
// and back again.
static void test_renamed_under_traffic_goes_on_in_its_sas_through_the_cards_death(void **state)
{
    static const struct plain traps = {.card = {true, true}, .start = {START_TRAP, START_NONE}};
    (void)state;
    for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
        begin(seed, &traps);
        size_t from = up();
        struct site *s = &w.site[seed & 1];
        for (unsigned round = 0; round < 2; round++) {
            unsigned before = s->op.want[0].named, ikes = counted(s->index, "established");
            operator_rename(s, 0);
            run(rng_between(&w.rng, SECOND, 3 * SECOND));
            assert_int_not_equal(s->op.want[0].named, before);
            assert_false(s->op.want[0].twice);
            assert_int_equal(site_card_sas(s->card), 2);
            assert_int_equal(counted(s->index, "established"), ikes);
            assert_int_equal(lost(from), 0);
        }
        site_card_fault(s->card, CARD_KILLED);
        run(4 * SECOND);
        assert_int_equal(lost(from), 0);
        finish();
    }
}

// ---- addresses that change

static const struct plain roaming = {.roam = true, .start = {START_START, START_NONE}};

// Whatever it has then is all in one place, and there for more than what a move takes.
static void settled(void)
{
    while (w.site[0].roam.moving)
        run(SECOND / 100);
    run(SECOND / 4);
}

static void test_tunnel_goes_where_its_gateway_goes_and_is_back_in_a_quarter_of_a_second(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8 * SEEDS; seed++) {
        struct plain p = roaming;
        p.nat = seed % 3 == 0, p.card[seed & 1] = seed % 4 == 0, p.encap = seed % 5 == 0,
        p.outer6 = seed % 7 == 0;
        begin(seed, &p);
        up();
        assert_int_equal(sas_of(&w.site[0]), 1);
        uint64_t first = w.site[0].op.ike[0].spi_i;
        for (int i = 0; i < 8; i++) {
            roam_move(&w.site[0]);
            settled();
            size_t from = w.ledger.count;
            run(3 * SECOND);
            if (lost(from))
                fail_msg("seed %llu, move %d: %u packets are lost", (unsigned long long)seed, i, lost(from));
        }
        assert_int_equal(sas_of(&w.site[0]), 1);
        assert_true(w.site[0].op.ike[0].spi_i == first); // it is the same one
        finish();
    }
}

// What it has begun with is lost, and before it is repeated the address goes that it was sent from.
static void test_ike_sa_whose_address_goes_while_it_is_made_begins_anew_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8 * SEEDS; seed++) {
        begin(seed, &roaming);
        up();
        w.loss = 1000; // nothing of the peer's comes back
        operator_hurry(&w.site[0], CMD_TERMINATE, 0, FORCED);
        run(SECOND / 10);
        operator_hurry(&w.site[0], CMD_INITIATE, 0, DETACHED);
        run(rng_below(&w.rng, SECOND / 10));
        unsigned before = w.site[0].roam.place;
        w.loss = 0;
        while (w.site[0].roam.place == before) {
            roam_move(&w.site[0]);
            settled();
        }
        size_t from = w.ledger.count;
        run(3 * SECOND);
        if (lost(from))
            fail_msg("seed %llu: it is not back: %u packets lost", (unsigned long long)seed, lost(from));
        finish();
    }
}

// The tunnel is ended while there is no address, and what is to bring it back finds no way.
static void test_what_found_no_way_is_tried_again_as_soon_as_there_is_one(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4 * SEEDS; seed++) {
        begin(seed, &roaming);
        up();
        w.site[0].roam.here[0] = w.site[0].roam.here[1] = 0;
        kernel_model_moved(w.site[0].kernel);
        run(SECOND);
        daemon_kill(&w.site[0], ROOM_SUPER);
        daemon_start(&w.site[0]);
        run(40 * SECOND + rng_below(&w.rng, 20 * SECOND)); // it is tried each minute by now, or half of one
        roam_settle(&w, &w.site[0], 0);
        run(SECOND / 4);
        size_t from = w.ledger.count;
        run(3 * SECOND);
        if (lost(from))
            fail_msg("seed %llu: it is not back: %u packets lost", (unsigned long long)seed, lost(from));
        finish();
    }
}

// ---- certificates

static unsigned by_certificate(const struct site *s)
{
    return s->taken;
}

// By secret no more than without: packets arrive, and each end has looked at the other's certificate and its
// CRLs.
static void test_tunnel_by_certificates_comes_up_with_its_crls(void **state)
{
    static const struct plain p = {.start = {START_START, START_TRAP}, .certs = true};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &p);
        up();
        assert_true(by_certificate(&w.site[0]) > 0 && by_certificate(&w.site[1]) > 0);
        finish();
    }
}

// Where revocation has to be known (strict) a revoked certificate is no way in, with the next one it is.
static void test_revoked_certificate_is_not_taken_and_the_next_one_is(void **state)
{
    static const struct plain p = {.start = {START_START, START_TRAP}, .certs = true};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &p);
        up();
        struct site *s = &w.site[seed & 1], *peer = &w.site[!(seed & 1)];
        w.certs.issued[w.certs.now[s->index]].revoked = true;
        daemon_kill(peer, ROOM_SUPER);
        daemon_start(peer);
        unsigned taken = by_certificate(peer);
        size_t from = w.ledger.count;
        run(30 * SECOND);
        assert_int_equal(by_certificate(peer), taken);
        assert_true(lost(from) > 0);
        certs_settle(&w);
        run(3 * MINUTE);
        assert_true(by_certificate(peer) > taken);
        finish();
    }
}

// What it was asked for has no answer; the supervisor starts it again, and what is up stays.
static void test_fetch_that_dies_costs_no_packet_and_comes_again(void **state)
{
    static const struct plain p = {.start = {START_START, START_TRAP}, .certs = true};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &p);
        size_t from = up();
        for (int i = 0; i < 2; i++)
            daemon_kill(&w.site[i], ROOM_FETCH);
        run(5 * SECOND);
        assert_int_equal(lost(from), 0);
        assert_non_null(w.site[0].d.fetch);
        daemon_kill(&w.site[seed & 1], ROOM_SUPER); // which asks for all of it again
        daemon_start(&w.site[seed & 1]);
        daemon_kill(&w.site[seed & 1], ROOM_FETCH);
        run(2 * MINUTE);
        finish();
    }
}

// ---- road warriors

// Three programs want an address of one, two or three, by a connection each: as many have one as can, each
// its own, and keep it over the death of their gateway's daemon and their own.
static void test_road_warriors_share_a_pool_over_deaths_of_the_daemons(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
        const struct plain p = {
            .start = {START_START, START_NONE}, .warriors = 3, .pool = 1 + (unsigned)seed % 3};
        begin(seed, &p);
        run(20 * SECOND);
        warriors_check_up(&w);
        hold("before anything happens");
        daemon_kill(&w.site[seed & 1], ROOM_SUPER);
        run(rng_below(&w.rng, 5 * SECOND));
        daemon_start(&w.site[seed & 1]);
        run(4 * MINUTE); // who outlived it has to give up first
        warriors_check_up(&w);
        hold("behind it");
        finish();
    }
}

// Their gateway's disk is full while they come, and again, and it dies now and then: nothing of that is lost
// but the file's keeping of what found no room (kept.c judges the file).
static void test_leases_that_found_no_room_on_the_disk_are_written_with_the_next_one(void **state)
{
    uint64_t refused = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
        const struct plain p = {
            .start = {START_START, START_NONE}, .warriors = 3, .pool = 1 + (unsigned)seed % 3};
        begin(seed, &p);
        disk_full(&w.site[1], (uint64_t)seed % 15 * SECOND);
        run(20 * SECOND);
        warriors_check_up(&w);
        hold("with a full disk");
        size_t from = up();
        disk_full(&w.site[1], 15 * SECOND);
        for (int i = 0; i < 3; i++) { // leases are given anew
            operator_order(&w.site[1], CMD_WARRIOR_TERMINATE, (unsigned)i, 0, 0);
            run(4 * SECOND);
        }
        assert_int_equal(lost(from), 0);
        refused += w.site[1].disk.refused;
        run(rng_below(&w.rng, 8 * SECOND));
        daemon_kill(&w.site[1], ROOM_SUPER);
        daemon_start(&w.site[1]);
        run(4 * MINUTE);
        warriors_check_up(&w);
        hold("behind it");
        finish();
    }
    assert_true(refused > 10 * SEEDS);
}

// Its CHILD SA is closed at one end, and when the other, which wants it back, has just asked for another one
// that end closes the IKE SA. What has crossed is no refusal: the next IKE SA begins at once.
static void test_child_wanted_while_the_peer_deletes_the_ike_sa_begins_anew_at_once(void **state)
{
    static const struct plain one = {.start = {START_START, START_NONE}};
    (void)state;
    for (uint64_t seed = 1; seed <= 4 * SEEDS; seed++) {
        begin(seed, &one);
        up();
        operator_order(&w.site[1], CMD_TERMINATE, 0, 0, 1);
        run(SECOND / 10);
        for (uint64_t said = w.datagrams; w.datagrams == said;)
            run(SECOND / 1000);
        operator_order(&w.site[1], CMD_TERMINATE, 0, 0, 0);
        run(SECOND / 10);
        size_t from = w.ledger.count;
        host_send(&w, 0, 1, 0, true);
        run(3 * SECOND);
        if (!w.ledger.sent[from].delivered)
            fail_msg("seed %llu: a tenth of a second later it is not back", (unsigned long long)seed);
        finish();
    }
}

static void test_nat_that_rebinds_is_followed(void **state)
{
    static const struct plain kinds[] = {{.nat = true, .start = {START_START, START_NONE}},
                                         {.nat = true, .encap = true, .start = {START_START, START_NONE}}};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &kinds[seed & 1]); // encap = yes pretends a NAT at the other end, too
        up();
        nat_rebind(&w.site[0]);
        run(30 * SECOND);
        size_t from = w.ledger.count;
        run(10 * SECOND);
        if (lost(from))
            fail_msg("seed %llu: %u packets are lost half a minute after the NAT has rebound",
                     (unsigned long long)seed, lost(from));
        finish();
    }
}

// ---- sessions that are resumed

static const struct plain resuming = {.resume = true, .start = {START_START, START_NONE}};

// The way between the two is gone until the one that began has given the other up.
static void way_lost_until_given_up(void)
{
    w.link_down[0][1] = w.link_down[1][0] = true;
    for (int i = 0; i < 400 && sas_of(&w.site[0]); i++)
        run(SECOND);
    assert_int_equal(sas_of(&w.site[0]), 0);
}

static void way_is_there(void)
{
    w.link_down[0][1] = w.link_down[1][0] = false;
}

static void test_peer_that_was_silent_is_resumed_whatever_is_lost_or_doubled(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6 * SEEDS; seed++) {
        struct plain p = resuming;
        p.nat = seed % 3 == 0, p.card[seed & 1] = seed % 4 == 0, p.outer6 = seed % 5 == 0,
        p.unique = seed % 2 ? "replace" : NULL;
        begin(seed, &p);
        up();
        unsigned before = counted(0, "ike_init_out_req");
        way_lost_until_given_up();
        way_is_there();
        w.loss = seed % 3 == 1 ? 150 : 0;
        w.dup = seed % 3 == 2 ? 300 : 0;
        run(20 * SECOND);
        w.loss = w.dup = 0;
        run(60 * SECOND);
        for (unsigned i = 0; i < 2; i++) {
            if (sas_of(&w.site[i]) != 1)
                fail_msg("seed %llu: %c has %u IKE_SAs, expected 1", (unsigned long long)seed,
                         w.site[i].letter, sas_of(&w.site[i]));
            if (seed % 3 != 1)
                assert_int_equal(counted(i, "resumed"), 1);
        }
        if (seed % 3 != 1)
            assert_int_equal(counted(0, "ike_init_out_req"), before);
        size_t from = w.ledger.count;
        run(5 * SECOND);
        assert_int_equal(lost(from), 0);
        finish();
    }
}

// Its tickets have gone with it.
static void test_gateway_that_died_meanwhile_is_begun_with_in_full(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        begin(seed, &resuming);
        up();
        daemon_kill(&w.site[1], ROOM_SUPER);
        way_lost_until_given_up();
        daemon_start(&w.site[1]);
        way_is_there();
        run(60 * SECOND);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(sas_of(&w.site[i]), 1);
            assert_int_equal(counted(i, "resumed"), 0);
        }
        assert_int_equal(counted(1, "tickets_refused"), 1);
        size_t from = w.ledger.count;
        run(5 * SECOND);
        assert_int_equal(lost(from), 0);
        finish();
    }
}

// ---- what a machine runs out of

// Packets need none: each arrives while not one allocation succeeds.
static void test_packets_go_on_where_there_is_no_memory_at_all(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, &no_cards);
        size_t from = up();
        for (int i = 0; i < 2; i++)
            memory_scarce(&w.site[i], 1000, 3 * SECOND);
        run(3 * SECOND);
        size_t until = w.ledger.count;
        run(3 * SECOND);
        assert_true(until > from + 4);
        assert_int_equal(lost(from), 0);
        finish();
    }
}

// A load is refused, and what stood before stands.
static void test_load_where_there_is_no_memory_changes_nothing(void **state)
{
    static const struct plain edit = {.start = {START_START, START_TRAP}, .edit = true};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct site *s;
        begin(seed, &edit);
        size_t from = up();
        s = &w.site[seed & 1];
        memory_scarce(s, 1000, 3 * SECOND);
        operator_order(s, CMD_LOAD, 0, 1, 0);
        run(2 * SECOND);
        assert_true(s->op.refused);
        assert_int_equal(s->op.want[0].variant, 0);
        run(8 * SECOND);
        assert_int_equal(lost(from), 0); // the form before carries more than the one that was refused
        finish();
    }
}

// Whatever was under way: the daemon is at rest again, with nothing but what it is asked for.
static void test_whatever_meets_no_memory_is_up_again_afterwards(void **state)
{
    static const unsigned share[] = {20, 300, 1000};
    (void)state;
    for (uint64_t seed = 1; seed <= 6 * SEEDS; seed++) {
        struct site *s;
        begin(seed, seed & 1 ? &cards : &no_cards);
        up();
        s = &w.site[seed >> 1 & 1];
        memory_scarce(s, share[seed % 3], 8 * SECOND);
        operator_order(s, CMD_TERMINATE, 0, 0, seed % 4 == 3);
        operator_order(&w.site[0], CMD_INITIATE, 0, 0, 0);
        operator_order(s, CMD_LIST, 0, 0, 0);
        run(60 * SECOND);
        finish();
    }
}

// Packets and commands go on, and who reads on knows how many lines are missing.
static void test_log_that_nobody_reads_delays_nothing_and_its_gaps_are_told(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct site *s;
        begin(seed, &no_cards);
        size_t from = up();
        s = &w.site[seed & 1];
        readers_silent(s, 15 * SECOND);
        run(SECOND);
        assert_int_equal(lost(from), 0);
        for (int i = 0; i < 40; i++) { // some lines
            operator_order(s, CMD_TERMINATE, 0, 0, 0);
            operator_order(s, CMD_INITIATE, 0, 0, 0);
        }
        operator_order(s, CMD_LIST, 0, 0, 0);
        s->op.listed = false;
        run(10 * SECOND);
        assert_true(s->op.listed); // each order has been answered
        from = w.ledger.count;
        run(10 * SECOND);
        assert_int_equal(lost(from), 0);
        assert_int_equal(s->silences, 1);
        assert_true(s->silent_dropped > 20);
        finish();
    }
}

// A seed is a whole world: what it prints is all that somebody else needs to see the same.
static void test_two_runs_of_one_seed_are_the_same_to_the_octet(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const struct options o = {.seed = seed, .minutes = 3};
        uint64_t hash[2], steps[2];
        for (int i = 0; i < 2; i++) {
            world_begin(&w, &o, i == 1); // with and without words
            world_run_until(&w, w.now + o.minutes * MINUTE);
            hash[i] = w.hash;
            steps[i] = w.steps;
            world_end(&w);
        }
        assert_true(steps[0] > 1000);
        assert_int_equal(steps[0], steps[1]);
        assert_true(hash[0] == hash[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_runs_of_one_seed_are_the_same_to_the_octet),
        cmocka_unit_test(test_a_child_begun_while_two_ike_sas_cross_outlives_the_one_that_goes),
        cmocka_unit_test(test_every_mix_of_families_inside_and_outside_loses_no_packet),
        cmocka_unit_test(test_transport_and_tunnel_between_the_gateways_lose_no_packet),
        cmocka_unit_test(test_a_nat_between_does_not_concern_ipv6),
        cmocka_unit_test(test_any_room_killed_and_started_again_is_up_again),
        cmocka_unit_test(test_ike_killed_is_started_again_and_packets_go_on),
        cmocka_unit_test(test_keys_killed_is_started_again_and_packets_go_on),
        cmocka_unit_test(test_path_killed_is_started_again_and_child_sas_are_made_anew),
        cmocka_unit_test(test_path_and_ike_killed_together_are_up_again),
        cmocka_unit_test(test_path_that_dies_before_the_next_ike_has_anything_lets_nothing_by),
        cmocka_unit_test(test_path_that_dies_while_ike_lacks_connections_lets_nothing_by),
        cmocka_unit_test(test_daemon_stopped_in_order_and_started_again_is_up_again),
        cmocka_unit_test(test_crossing_initiations_end_with_one_sa_at_both_ends),
        cmocka_unit_test(test_initiations_that_cross_after_a_termination_leave_one_sa),
        cmocka_unit_test(test_end_of_crossing_sas_that_goes_leaves_two_to_the_other_for_a_while),
        cmocka_unit_test(test_an_edit_of_the_selectors_gets_an_sa_of_its_own),
        cmocka_unit_test(test_renamed_under_traffic_goes_on_in_its_sas_through_the_cards_death),
        cmocka_unit_test(test_crossing_terminations_agree),
        cmocka_unit_test(test_dummies_fill_the_silence_of_whatever_sa_there_is),
        cmocka_unit_test(test_nat_that_rebinds_is_followed),
        cmocka_unit_test(test_tunnel_goes_where_its_gateway_goes_and_is_back_in_a_quarter_of_a_second),
        cmocka_unit_test(test_ike_sa_whose_address_goes_while_it_is_made_begins_anew_at_once),
        cmocka_unit_test(test_what_found_no_way_is_tried_again_as_soon_as_there_is_one),
        cmocka_unit_test(test_peer_that_was_silent_is_resumed_whatever_is_lost_or_doubled),
        cmocka_unit_test(test_gateway_that_died_meanwhile_is_begun_with_in_full),
        cmocka_unit_test(test_packets_go_on_where_there_is_no_memory_at_all),
        cmocka_unit_test(test_load_where_there_is_no_memory_changes_nothing),
        cmocka_unit_test(test_whatever_meets_no_memory_is_up_again_afterwards),
        cmocka_unit_test(test_log_that_nobody_reads_delays_nothing_and_its_gaps_are_told),
        cmocka_unit_test(test_tunnel_by_certificates_comes_up_with_its_crls),
        cmocka_unit_test(test_revoked_certificate_is_not_taken_and_the_next_one_is),
        cmocka_unit_test(test_fetch_that_dies_costs_no_packet_and_comes_again),
        cmocka_unit_test(test_road_warriors_share_a_pool_over_deaths_of_the_daemons),
        cmocka_unit_test(test_leases_that_found_no_room_on_the_disk_are_written_with_the_next_one),
        cmocka_unit_test(test_child_wanted_while_the_peer_deletes_the_ike_sa_begins_anew_at_once),
    };
    cmocka_set_test_filter(getenv("WORLD_TEST")); // a pattern
    return cmocka_run_group_tests(tests, NULL, NULL);
}
