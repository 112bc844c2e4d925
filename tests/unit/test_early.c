// SPDX-License-Identifier: Apache-2.0
// Packets that are quicker than their SA: what its peer sends by it before it is there (ctrl/path/early.c).
#include "tests/unit/path_rig.h"

#include <unistd.h>

#include "ctrl/path/io.h"

enum { KEPT = 256, KEPT_MS = 1000 };

static uint64_t dropped(const struct rig *r)
{
    return r->p->worker->drop_in[ESP_STATUS_NO_SA];
}

static void come(struct rig *r, uint32_t spi, uint32_t from, uint32_t count)
{
    for (uint32_t n = from; n < from + count; n++)
        rig_in(r, spi, "10.2.0.1", n);
}

static void expect_inside(struct rig *r, uint32_t from, uint32_t count)
{
    for (uint32_t n = from; n < from + count; n++)
        assert_int_equal(rig_read(r), n);
    assert_int_equal(rig_read(r), UINT32_MAX);
}

static void test_what_comes_before_an_sa_that_is_expected_waits_for_it(void **state)
{
    struct rig *r = *state;
    early_expect(r->p, 0x1001);
    come(r, 0x1001, 1, 20);
    expect_inside(r, 0, 0);
    rig_events(r, 0);
    assert_int_equal(dropped(r) + r->unknowns, 0);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    expect_inside(r, 1, 20);
    come(r, 0x1001, 21, 2);
    expect_inside(r, 21, 2);
    assert_int_equal(r->p->children->in.packets, 22);
    assert_int_equal(dropped(r), 0);
}

static void test_what_came_before_its_sa_goes_before_what_came_while_the_card_took_it(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->card.hold_events = true;
    early_expect(r->p, 0x1001);
    come(r, 0x1001, 1, 3);
    rig_install(r, 1, OFFLOAD_AUTO, 0);
    come(r, 0x1001, 4, 3);
    expect_inside(r, 0, 0);
    r->card.hold_events = false;
    rig_turn(r);
    expect_inside(r, 1, 6);
}

static void test_what_another_key_has_sealed_is_let_in_by_no_sa(void **state)
{
    struct rig *r = *state;
    early_expect(r->p, 0x1001);
    rig_seal(r, 0x1002, "10.2.0.1", 7);
    r->last_in[3] = 1; // says 0x1001
    rig_datagram(r, r->last_in, r->last_in_len);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    expect_inside(r, 0, 0);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_ICV_FAIL], 1);
}

static void test_what_is_not_expected_is_dropped_at_once(void **state)
{
    struct rig *r = *state;
    early_expect(r->p, 0x1001);
    early_expect(r->p, 0x1001 + PATH_EXPECTED); // in its place
    come(r, 0x1001, 1, 1);
    come(r, 0x1002, 2, 1);
    assert_int_equal(dropped(r), 2);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    sadb_delete(r->p, 1);
    rig_turn(r);
    come(r, 0x1001, 3, 1); // it is gone, and not to come
    assert_int_equal(dropped(r), 3);
}

static void test_the_wait_for_an_sa_has_an_end(void **state)
{
    struct rig *r = *state;
    early_expect(r->p, 0x1001);
    come(r, 0x1001, 1, 2);
    rig_pass(r, KEPT_MS - 1);
    assert_int_equal(dropped(r), 0);
    rig_pass(r, 1);
    rig_events(r, 0);
    assert_int_equal(dropped(r), 2);
    assert_int_equal(r->unknowns, 2);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    expect_inside(r, 0, 0);
}

static void test_packets_of_an_sa_that_does_not_come_about_go_at_once(void **state)
{
    struct rig *r = *state;
    early_expect(r->p, 0x1001);
    early_expect(r->p, 0x1002);
    come(r, 0x1001, 1, 2);
    come(r, 0x1002, 3, 1);
    early_over(r->p, 0x1001);
    assert_int_equal(dropped(r), 2);
    come(r, 0x1001, 4, 1);
    assert_int_equal(dropped(r), 3);
    early_over(r->p, 0x1001); // not to come any more
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    expect_inside(r, 3, 1);
}

static void test_of_one_sa_no_more_wait_than_leaves_room_for_others(void **state)
{
    struct rig *r = *state;
    early_expect(r->p, 0x1001);
    early_expect(r->p, 0x1002);
    come(r, 0x1002, 1, 5);
    come(r, 0x1001, 6, KEPT);
    assert_int_equal(dropped(r), KEPT / 2);
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    expect_inside(r, 1, 5);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    expect_inside(r, 6, KEPT / 2);
}

static void test_of_too_many_the_newest_wait(void **state)
{
    struct rig *r = *state;
    for (uint32_t id = 1; id <= 3; id++) {
        early_expect(r->p, 0x1000 + id);
        come(r, 0x1000 + id, 1000 * id, 100);
    }
    assert_int_equal(dropped(r), 300 - KEPT);
    for (uint32_t id = 1; id <= 3; id++) {
        uint32_t gone = id == 1 ? 300 - KEPT : 0;
        rig_must_install(r, id, OFFLOAD_NO, "software");
        expect_inside(r, 1000 * id + gone, 100 - gone);
    }
    assert_int_equal(dropped(r), 300 - KEPT);
}

static void test_what_came_early_to_another_worker_is_handed_over(void **state)
{
    struct rig *r = *state;
    uint8_t pkt[256];
    early_expect(r->p, 0x1001); // the second one's
    come(r, 0x1001, 1, 20);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    assert_int_equal(r->p->children->w->index, 1);
    for (uint32_t n = 1; n <= 20; n++) {
        ssize_t len = read(r->tun_of[1], pkt, sizeof(pkt));
        assert_true(len >= 24);
        uint32_t number;
        memcpy(&number, pkt + len - 4, sizeof(number));
        assert_int_equal(number, n);
    }
    assert_int_equal(r->p->worker->handed_over, 20);
}

int main(void)
{
#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
    const struct CMUnitTest tests[] = {
        WITH(test_what_comes_before_an_sa_that_is_expected_waits_for_it),
        WITH(test_what_came_before_its_sa_goes_before_what_came_while_the_card_took_it),
        WITH(test_what_another_key_has_sealed_is_let_in_by_no_sa),
        WITH(test_what_is_not_expected_is_dropped_at_once),
        WITH(test_the_wait_for_an_sa_has_an_end),
        WITH(test_packets_of_an_sa_that_does_not_come_about_go_at_once),
        WITH(test_of_one_sa_no_more_wait_than_leaves_room_for_others),
        WITH(test_of_too_many_the_newest_wait),
        cmocka_unit_test_setup_teardown(test_what_came_early_to_another_worker_is_handed_over, rig_up_two,
                                        rig_down),
    };
    return cmocka_run_group_tests_name("packets before their SA", tests, NULL, NULL);
}
