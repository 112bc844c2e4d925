// SPDX-License-Identifier: Apache-2.0
// More SAs than a card has room for: the busiest go there, number by number and each packet once, and do not
// change places without reason.
#include "tests/unit/path_rig.h"

#include <errno.h>

static uint32_t number; // of the next packet

// So many packets come by an SA; each is there, once.
static void carry(struct rig *r, uint32_t id, unsigned packets)
{
    for (unsigned i = 0; i < packets; i++) {
        rig_in(r, 0x1000 + id, "10.2.0.1", number);
        rig_turn(r);
        assert_int_equal(rig_read(r), number);
        number++;
    }
}

// Half a second in which these SAs carry so much; path looks at its end.
static void half_a_second(struct rig *r, unsigned by_1, unsigned by_2)
{
    carry(r, 1, by_1);
    carry(r, 2, by_2);
    rig_pass(r, 500);
    card_scan(r->p);
    rig_turn(r);
}

static void seconds(struct rig *r, unsigned s, unsigned by_1, unsigned by_2)
{
    for (unsigned i = 0; i < 2 * s; i++)
        half_a_second(r, by_1, by_2);
}

static void is_in(struct rig *r, uint32_t id, const char *where)
{
    assert_string_equal(child_offload(sadb_by_id(r->p, id)), where);
}

static void one_slot(struct rig *r)
{
    rig_card(r);
    r->card.slots = 1;
    rig_pass(r, 0);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_must_install(r, 2, OFFLOAD_AUTO, "software");
    assert_non_null(strstr(child_reason(sadb_by_id(r->p, 2)), "all 1 SA slots"));
}

static uint64_t moves(const struct rig *r)
{
    return r->p->busiest_in + r->p->idlest_out;
}

static void test_the_busiest_takes_the_idlests_place_without_loss(void **state)
{
    struct rig *r = *state;
    uint8_t first[2600];
    one_slot(r);
    carry(r, 2, 1);
    size_t first_len = r->last_in_len;
    memcpy(first, r->last_in, first_len);
    rig_out(r, 0, 20);
    for (unsigned i = 0; i < 30 && !r->p->busiest_in; i++) {
        for (uint32_t n = 0; n < 10; n++) // while they move, too
            assert_true(rig_write(r, 20 + 10 * i + n));
        half_a_second(r, 1, 30);
        rig_expect(r, i ? 20 + 10 * i : 0, i ? 10 : 30);
        assert_int_equal(r->p->worker->queue_full, 0);
    }
    rig_turn(r);
    is_in(r, 1, "software");
    is_in(r, 2, "card");
    assert_string_equal(child_reason(sadb_by_id(r->p, 1)), "busier SAs have the card's slots");
    assert_string_equal(child_reason(sadb_by_id(r->p, 2)), "");
    assert_int_equal(moves(r), 2);
    assert_int_equal(fake_live(&r->card), 2);
    rig_datagram(r, first, first_len); // the window has come along
    assert_int_equal(rig_read(r), UINT32_MAX);
    rig_unique(r);
    seconds(r, 30, 1, 30);
    assert_int_equal(moves(r), 2);
}

static void one_rekey(struct rig *r, uint32_t old, uint32_t new)
{
    uint64_t was = moves(r);
    rig_must_install(r, new, OFFLOAD_AUTO, "software");
    sadb_delete(r->p, old);
    rig_turn(r);
    for (unsigned half = 0; half < 6; half++) { // 3 s
        carry(r, new, 40);
        half_a_second(r, 0, 0);
    }
    is_in(r, new, "card");
    is_in(r, 2, "software");
    assert_int_equal(moves(r) - was, 1);
}

// An idle one in software has waited longer than it.
static void test_the_successor_of_a_busy_one_is_on_the_card_at_once(void **state)
{
    struct rig *r = *state;
    one_slot(r);
    seconds(r, 15, 40, 0);
    is_in(r, 1, "card");
    one_rekey(r, 1, 3);
    one_rekey(r, 3, 4); // who has come a moment ago has a successor too
    rig_unique(r);
}

static void test_two_that_carry_about_the_same_stay_where_they_are(void **state)
{
    struct rig *r = *state;
    one_slot(r);
    seconds(r, 30, 30, 30);
    seconds(r, 30, 30, 50);
    seconds(r, 30, 0, 2); // and next to nothing is no reason
    assert_int_equal(moves(r), 0);
    is_in(r, 1, "card");
}

// Each stays for 10 s, whatever comes.
static void test_loads_that_alternate_move_nobody_all_the_time(void **state)
{
    struct rig *r = *state;
    one_slot(r);
    for (unsigned i = 0; i < 30; i++) // a minute and a half
        seconds(r, 3, i & 1 ? 1 : 40, i & 1 ? 40 : 1);
    assert_in_range(moves(r), 1, 2 * 90 / 10);
    rig_unique(r);
}

static void test_a_slot_that_is_free_again_goes_to_one_in_software(void **state)
{
    struct rig *r = *state;
    one_slot(r);
    seconds(r, 11, 10, 0);
    is_in(r, 2, "software");
    sadb_delete(r->p, 1);
    rig_turn(r);
    for (unsigned i = 0; i < 4; i++)
        half_a_second(r, 0, 1);
    is_in(r, 2, "card");
    assert_int_equal(r->p->idlest_out, 0);
}

static void test_one_that_must_be_on_the_card_is_not_moved_for_another(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->card.slots = 1;
    rig_pass(r, 0);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    rig_must_install(r, 2, OFFLOAD_AUTO, "software");
    seconds(r, 30, 0, 50);
    assert_int_equal(moves(r), 0);
    is_in(r, 1, "card");
}

static void rekeys(struct rig *r, uint32_t old, uint32_t new)
{
    rig_must_install(r, new, OFFLOAD_YES, "card");
    sadb_delete(r->p, old);
    rig_turn(r);
}

static void test_one_that_must_be_on_the_card_finds_a_slot_for_its_successor(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->card.slots = 2;
    rig_pass(r, 0);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    rig_must_install(r, 2, OFFLOAD_AUTO, "software");
    assert_string_equal(child_reason(sadb_by_id(r->p, 2)), CARD_KEEPS_LAST);
    seconds(r, 30, 0, 50);
    rekeys(r, 1, 3);
    for (unsigned i = 0; i < 30; i++)
        half_a_second(r, 0, 0); // nor does it go there while it carries nothing
    is_in(r, 2, "software");
    rekeys(r, 3, 4);
}

// Those that are there before it make room.
static void test_one_that_must_be_on_the_card_gets_a_slot_for_its_successor_back(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->card.slots = 3;
    rig_pass(r, 0);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_must_install(r, 2, OFFLOAD_AUTO, "card");
    rig_must_install(r, 3, OFFLOAD_YES, "card");
    seconds(r, 15, 20, 1);
    is_in(r, 1, "card");
    is_in(r, 2, "software");
    assert_int_equal(moves(r), 1);
    rekeys(r, 3, 4);
}

// Whatever the others carry, and in whatever order they have come.
static void test_one_that_must_be_on_the_card_comes_back_before_the_others(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_pass(r, 0);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    rig_must_install(r, 2, OFFLOAD_AUTO, "card");
    rig_must_install(r, 3, OFFLOAD_AUTO, "card");
    fake_fail(&r->card);
    rig_turn(r);
    is_in(r, 1, "software");
    r->now_us = (r->p->engines[PATH_CARD].retry_at + 1) * 1000;
    fake_init(&r->card);
    r->card.slots = 2;
    fake_plug(&r->card);
    card_scan(r->p);
    rig_turn(r);
    is_in(r, 1, "card");
    seconds(r, 30, 0, 15);
    is_in(r, 1, "card");
    assert_int_equal(fake_live(&r->card), 2); // its successor's slot is free
}

// By its configuration as it is now; however many in software carry more.
static void test_one_that_must_be_on_the_card_takes_the_idlests_place(void **state)
{
    enum { ALL = 12 };
    struct rig *r = *state;
    rig_card(r);
    r->card.slots = 1;
    rig_pass(r, 0);
    r->p->set.offload_default = OFFLOAD_AUTO;
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_must_install(r, 2, OFFLOAD_DEFAULT, "software");
    for (uint32_t id = 3; id <= ALL; id++)
        rig_must_install(r, id, OFFLOAD_AUTO, "software");
    r->p->set.offload_default = OFFLOAD_YES;
    for (unsigned i = 0; i < 30; i++) {
        for (uint32_t id = 3; id <= ALL; id++)
            carry(r, id, 10);
        half_a_second(r, 30, 0);
    }
    is_in(r, 1, "software");
    is_in(r, 2, "card");
    assert_int_equal(moves(r), 2);
}

// Nor is one that must not be there brought to it.
static void test_one_that_wants_no_card_gets_none(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->card.slots = 1;
    rig_pass(r, 0);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    seconds(r, 30, 0, 50);
    sadb_delete(r->p, 1);
    rig_turn(r);
    for (unsigned i = 0; i < 40; i++)
        half_a_second(r, 0, 20);
    assert_int_equal(moves(r), 0);
    is_in(r, 2, "software");
}

static void test_one_that_the_card_has_refused_is_not_tried_again(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_pass(r, 0);
    r->card.refuse[ESP_IN] = r->card.refuse[ESP_OUT] = ESP_STATUS_BUCKET_FULL;
    rig_must_install(r, 2, OFFLOAD_AUTO, "software");
    for (unsigned i = 0; i < 60; i++)
        half_a_second(r, 0, 20);
    assert_int_equal(moves(r), 0);
    assert_int_equal(r->card.sa_count, 2);
}

// The other half does not stay there alone: it would keep a slot that nobody gets back.
static void half_is_refused(struct rig *r, enum esp_dir dir)
{
    one_slot(r);
    seconds(r, 11, 10, 0);
    r->card.refuse[dir] = ESP_STATUS_BUCKET_FULL;
    sadb_delete(r->p, 1);
    rig_turn(r);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(rig_write(r, 100 + i)); // its packets go on
        half_a_second(r, 0, 1);
        rig_expect(r, 100 + i, 1);
    }
    struct child *c = sadb_by_id(r->p, 2);
    assert_ptr_equal(c->in.engine, path_soft(r->p));
    assert_ptr_equal(c->out.engine, path_soft(r->p));
    assert_int_equal(c->in.state, HALF_READY);
    assert_int_equal(c->out.state, HALF_READY);
    is_in(r, 2, "software");
    assert_int_equal(fake_live(&r->card), 0);
    r->card.refuse[dir] = 0;
    rig_must_install(r, 3, OFFLOAD_AUTO, "card");
    rig_unique(r);
}

static void test_one_whose_inbound_half_the_card_refuses_leaves_as_a_whole(void **state)
{
    half_is_refused(*state, ESP_IN);
}

static void test_one_whose_outbound_half_the_card_refuses_leaves_as_a_whole(void **state)
{
    half_is_refused(*state, ESP_OUT);
}

static void test_one_that_the_card_cannot_do_stays_in_software(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_pass(r, 0);
    r->card.capable_rc = -EOPNOTSUPP;
    rig_must_install(r, 2, OFFLOAD_AUTO, "software");
    for (unsigned i = 0; i < 60; i++)
        half_a_second(r, 0, 20);
    assert_int_equal(moves(r), 0);
    assert_int_equal(r->card.sa_count, 0);
}

// They wait until it is well again, whatever they carry.
static void test_nobody_goes_to_a_card_that_flaps(void **state)
{
    struct rig *r = *state;
    struct path_engine *en = &r->p->engines[PATH_CARD];
    one_slot(r);
    for (unsigned i = 0; i < 5; i++) {
        fake_fail(&r->card);
        rig_turn(r);
        r->now_us = (en->retry_at + 1) * 1000;
        rig_card(r);
        r->card.slots = 1;
    }
    assert_int_equal(en->backoff, 8000);
    seconds(r, 40, 20, 40);
    assert_int_equal(fake_live(&r->card), 0);
    seconds(r, 65, 20, 50);
    assert_int_equal(fake_live(&r->card), 2);
    is_in(r, 2, "card"); // of those that come back the busiest is there in the end
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_the_busiest_takes_the_idlests_place_without_loss),
        WITH(test_the_successor_of_a_busy_one_is_on_the_card_at_once),
        WITH(test_two_that_carry_about_the_same_stay_where_they_are),
        WITH(test_loads_that_alternate_move_nobody_all_the_time),
        WITH(test_a_slot_that_is_free_again_goes_to_one_in_software),
        WITH(test_one_that_must_be_on_the_card_is_not_moved_for_another),
        WITH(test_one_that_must_be_on_the_card_finds_a_slot_for_its_successor),
        WITH(test_one_that_must_be_on_the_card_gets_a_slot_for_its_successor_back),
        WITH(test_one_that_must_be_on_the_card_comes_back_before_the_others),
        WITH(test_one_that_must_be_on_the_card_takes_the_idlests_place),
        WITH(test_one_that_wants_no_card_gets_none),
        WITH(test_one_that_the_card_has_refused_is_not_tried_again),
        WITH(test_one_whose_inbound_half_the_card_refuses_leaves_as_a_whole),
        WITH(test_one_whose_outbound_half_the_card_refuses_leaves_as_a_whole),
        WITH(test_one_that_the_card_cannot_do_stays_in_software),
        WITH(test_nobody_goes_to_a_card_that_flaps),
    };
    return cmocka_run_group_tests_name("more SAs than the card has room for", tests, NULL, NULL);
}
