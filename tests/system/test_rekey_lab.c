// SPDX-License-Identifier: Apache-2.0
// The laboratory of the rekeying tests, tested: what is planted, between two stock strongSwan, must be found,
// counted and laid at the right door; and where nothing is planted, nothing must be found.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/rekey_lab.h"

static struct rig rig;
static struct flow_report flow;

static int tear_down(void **state)
{
    (void)state;
    rig_down(&rig);
    return 0;
}

// What a charon's socket holds is little: at this pace its process may stand still for a third of a second.
enum { RATE = 250, ENOUGH = 250, TRIES = 5 };

static void start(bool between)
{
    struct rig_options o = {.between = between};
    assert_true(rig_up(&rig, "esplab", &o));
    assert_true(rig_flow_start(&rig, RATE, 300));
}

static bool is_enough(void *stream)
{
    return stream_came(stream) >= ENOUGH;
}

static void let_enough_come(int stream)
{
    assert_true(wait_for(is_enough, &rig.stream[stream], PATIENCE_MS));
}

// What the kernel dropped because a charon was not given a processor in time was not planted: once more.
static bool to_be_repeated(unsigned *tries)
{
    assert_true(rig_flow_stop(&rig, &flow));
    if (!flow.full[WEST] && !flow.full[EAST])
        return false;
    if (++*tries == TRIES)
        fail_msg("a charon's socket was full each of %u times", TRIES);
    print_message("  a charon's socket was full: once more\n");
    rig_down(&rig);
    return true;
}

static void test_quiet_tunnel_shows_no_loss_and_no_rekey(void **state)
{
    unsigned tries = 0;
    (void)state;
    do {
        start(false);
        let_enough_come(0);
        let_enough_come(1);
    } while (to_be_repeated(&tries));
    flow_print("quiet", &flow);
    assert_true(flow_is_clean(&flow));
    assert_int_equal(flow.spis[WEST], 1);
    assert_int_equal(flow.spis[EAST], 1);
    assert_int_equal(flow.create_child, 0);
    assert_true(rig_at_rest(&rig, NULL));
}

static bool all_is_planted(void *ctx)
{
    const struct middle_control *c = ctx;
    return !c->esp_drop[0] && !c->esp_spoil[0] && !c->esp_twice[0] && !c->clear;
}

static void await_the_plants(void)
{
    assert_true(wait_for(all_is_planted, rig.middle.control, PATIENCE_MS));
}

// Each plant in one direction only: the other must stay without loss.
static void test_planted_losses_are_found_and_laid_at_the_right_door(void **state)
{
    unsigned tries = 0;
    (void)state;
    do {
        start(true);
        let_enough_come(0);
        struct middle_control *c = rig.middle.control;
        c->esp_drop[0] = 50;   // the link's
        c->esp_spoil[0] = 100; // east's: it came, and was not delivered
        await_the_plants();
        c->esp_drop[0] = 1; // a second one
        c->clear = 3;
        await_the_plants();
    } while (to_be_repeated(&tries));
    flow_print("planted", &flow);
    assert_int_equal(flow.lost, 3);
    assert_int_equal(flow.blame[WEST].link, 2);
    assert_int_equal(flow.blame[WEST].receiver, 1);
    assert_int_equal(flow.blame[WEST].sender + flow.blame[WEST].early, 0);
    const struct ledger_losses *e = &flow.blame[EAST];
    assert_int_equal(e->link + e->receiver + e->sender + e->early, 0);
    assert_int_equal(flow.clear[WEST], 3);
    assert_int_equal(flow.clear[EAST], 0);
    assert_false(flow_is_clean(&flow));
}

static void test_number_that_never_left_is_the_senders(void **state)
{
    unsigned tries = 0;
    (void)state;
    do {
        start(false);
        // its number is known to the processes only at their start
        stream_free(&rig.stream[1]);
        rig.stream[1].skip = ENOUGH - 50;
        assert_true(stream_start(&rig.stream[1]));
        let_enough_come(1);
    } while (to_be_repeated(&tries));
    assert_int_equal(flow.lost, 1);
    assert_int_equal(flow.blame[EAST].sender, 1);
}

// ESP's replay protection keeps the second one away; it is seen on the wire all the same.
static void test_packet_sent_twice_is_delivered_once(void **state)
{
    unsigned tries = 0;
    (void)state;
    do {
        start(true);
        let_enough_come(0);
        rig.middle.control->esp_twice[0] = 1;
        await_the_plants();
    } while (to_be_repeated(&tries));
    assert_int_equal(flow.lost, 0);
    assert_int_equal(flow.repeated, 0);
    assert_true(flow_is_clean(&flow)); // at west's end it was sent once
}

// ---- whose doing it is that a packet of a young SA is lost

enum { LOST = 3, PACKETS = 8 };

// West sends numbers by an SA whose exchange one of the ends has answered 1 ms before its first packet, or
// nobody; one of them does not come.
static void young(bool answered, bool by_east, struct ledger_losses *l)
{
    static struct site west = {.name = "west"}, east = {.name = "east"};
    static struct stream_slot slots[PACKETS];
    struct stream s = {
        .from = &west, .to = &east, .count = 1, .per_second = 1000, .capacity = PACKETS, .slots = slots};
    struct ledger_esp esp[PACKETS];
    struct ledger_ike ike = {
        .t_us = 999000, .exchange = EXCHANGE_AUTH, .response = true, .from_east = by_east};
    struct capture_log ends[2];
    for (unsigned i = 0; i < PACKETS; i++) {
        uint64_t t = 1000000 + 1000 * i;
        slots[i] = (struct stream_slot){.sent_us = t, .came_us = t, .copies = i != LOST};
        esp[i] = (struct ledger_esp){
            .t_us = t, .spi = 7, .seq = i + 1, .size = (uint16_t)(stream_size(&s, i) + 8 + 8 + 28 + 4 + 16)};
    }
    for (int i = 0; i < 2; i++)
        ends[i] = (struct capture_log){
            .site = i ? &east : &west, .esp = esp, .esp_count = PACKETS, .ike = &ike, .ike_count = answered};
    assert_true(ledger_attribute(&s, ends, l));
}

static void test_packet_of_a_young_sa_is_early_but_where_its_receiver_has_answered(void **state)
{
    struct ledger_losses l;
    (void)state;
    young(false, false, &l);
    assert_int_equal(l.early, 1);
    assert_int_equal(l.receiver, 0);
    young(true, false, &l); // the sender has answered
    assert_int_equal(l.early, 1);
    assert_int_equal(l.receiver, 0);
    young(true, true, &l);
    assert_int_equal(l.early, 0);
    assert_int_equal(l.receiver, 1);
}

static const char *peer_kind(void)
{
    return have_strongswan() ? "charon" : "espalierd";
}

// East's charon had no SA to send by: its doing, unless west let any of it in; and never west's.
static void test_clear_text_of_charons_is_its_own_doing_where_none_of_it_is_let_in(void **state)
{
    struct flow_report f = {
        .sent = 100, .lost = 10, .blame[EAST] = {.sender = 8, .early = 2}, .clear = {0, 10}};
    (void)state;
    setenv("ESPALIER_REKEY_WEST", "espalierd", 1);
    setenv("ESPALIER_REKEY_EAST", "charon", 1);
    bool excused = flow_is_clean(&f);
    f.clear[EAST] = 11;
    bool let_in = flow_is_clean(&f);
    f.clear[EAST] = 9;
    bool lost_beside = flow_is_clean(&f);
    f.clear[EAST] = 10;
    f.clear[WEST] = 1;
    bool ours = flow_is_clean(&f);
    setenv("ESPALIER_REKEY_WEST", peer_kind(), 1);
    setenv("ESPALIER_REKEY_EAST", peer_kind(), 1);
    assert_true(excused);
    assert_false(let_in);
    assert_false(lost_beside);
    assert_false(ours);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packet_of_a_young_sa_is_early_but_where_its_receiver_has_answered),
        cmocka_unit_test(test_clear_text_of_charons_is_its_own_doing_where_none_of_it_is_let_in),
        cmocka_unit_test_teardown(test_quiet_tunnel_shows_no_loss_and_no_rekey, tear_down),
        cmocka_unit_test_teardown(test_planted_losses_are_found_and_laid_at_the_right_door, tear_down),
        cmocka_unit_test_teardown(test_number_that_never_left_is_the_senders, tear_down),
        cmocka_unit_test_teardown(test_packet_sent_twice_is_delivered_once, tear_down),
    };
    setenv("ESPALIER_REKEY_WEST", peer_kind(), 1);
    setenv("ESPALIER_REKEY_EAST", peer_kind(), 1);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("the laboratory of the rekeying tests", tests, NULL, NULL);
}
