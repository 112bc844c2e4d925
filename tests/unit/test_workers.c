// SPDX-License-Identifier: Apache-2.0
// Two workers in one thread (ctrl/path/hand.h): whichever of them a packet comes to, it leaves by its SA,
// with the numbers in the order in which packets came by each queue; none is lost but where that is counted,
// and no number is used twice.
#include "tests/unit/path_rig.h"

#include <stdlib.h>
#include <unistd.h>

#include "ctrl/path/io.h"

enum { FIRST, SECOND };

// SPIs of odd numbers are the second worker's.
static void install(struct rig *r, uint32_t id, unsigned owner)
{
    rig_must_install(r, id, OFFLOAD_NO, "software");
    assert_int_equal(sadb_by_id(r->p, id)->w->index, owner);
}

static uint64_t sequence(const struct rig *r, unsigned i)
{
    const uint8_t *p = r->sent[i].bytes + 20 + 8 + 4;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// All that was sent went by one SA, its numbers one after the other.
static void expect_numbers_in_order(const struct rig *r, uint64_t from)
{
    for (unsigned i = 0; i < r->sent_count; i++)
        assert_int_equal(sequence(r, i), from + i);
}

// What came by the first queue is even, by the second odd: each in its order.
static unsigned expect_queues_in_order(struct rig *r)
{
    uint32_t last[2] = {0, 0}, n;
    unsigned count = 0;
    for (; (n = rig_opened(r)) != UINT32_MAX; count++) {
        assert_true(n > last[n & 1]);
        last[n & 1] = n;
    }
    return count;
}

static void offer(struct rig *r, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int tun = (from + i) & 1 ? r->tun_of[1] : r->tun;
        while (!rig_write_to(tun, from + i))
            rig_turn(r);
        if (i % 97 == 0)
            rig_turn(r);
    }
    rig_turn(r);
}

static void test_packets_of_both_queues_leave_by_one_sa_in_order(void **state)
{
    struct rig *r = *state;
    for (uint32_t id = 1; id <= 2; id++) {
        install(r, id, id & 1 ? SECOND : FIRST);
        offer(r, 2, 2000);
        assert_int_equal(r->sent_count, 2000);
        expect_numbers_in_order(r, 1);
        assert_int_equal(expect_queues_in_order(r), 2000);
        assert_int_equal(r->p->worker[id & 1 ? FIRST : SECOND].handed_over, 1000);
        assert_int_equal(r->p->worker[id & 1 ? SECOND : FIRST].count[PATH_SOFT].packets_out, 2000);
        sadb_delete(r->p, id);
        rig_turn(r);
        r->sent_count = r->seen = 0;
    }
}

static uint32_t read_from(int tun)
{
    uint8_t pkt[256];
    ssize_t n = read(tun, pkt, sizeof(pkt));
    uint32_t number = UINT32_MAX;
    if (n >= 24)
        memcpy(&number, pkt + n - 4, 4);
    return number;
}

static void test_what_comes_in_is_opened_where_its_sa_is(void **state)
{
    struct rig *r = *state;
    install(r, 1, SECOND);
    install(r, 2, FIRST);
    for (uint32_t i = 0; i < 50; i++) {
        rig_in(r, 0x1001, "10.2.0.1", i);
        rig_in(r, 0x1002, "10.2.0.1", 1000 + i);
    }
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(read_from(r->tun_of[1]), i);
        assert_int_equal(read_from(r->tun), 1000 + i);
    }
    assert_int_equal(r->p->worker[FIRST].handed_over, 50);
    rig_in(r, 0x1777, "10.2.0.1", 1); // nobody's
    assert_int_equal(r->p->worker[FIRST].drop_in[ESP_STATUS_NO_SA], 1);
    assert_int_equal(sadb_by_id(r->p, 1)->in.packets, 50);
}

// The other one does not get to it: what finds no room is dropped and counted, the rest goes on in order.
static void test_full_ring_drops_and_counts(void **state)
{
    enum { OVER = 250 };
    struct rig *r = *state;
    struct worker *w = &r->p->worker[FIRST];
    install(r, 1, SECOND);
    for (uint32_t i = 0; i < HANDS + OVER; i++) {
        while (!rig_write_to(r->tun, 2 * i + 2))
            out_ready(&w->tun_fd, 0);
        if (i % 50 == 49)
            out_ready(&w->tun_fd, 0);
    }
    out_ready(&w->tun_fd, 0);
    assert_int_equal(r->sent_count, 0);
    assert_int_equal(w->handed_over, HANDS);
    assert_int_equal(w->hand_full, OVER);
    rig_turn(r);
    assert_int_equal(r->sent_count, HANDS);
    expect_numbers_in_order(r, 1);
    assert_int_equal(expect_queues_in_order(r), HANDS);
}

static void test_sa_that_goes_while_its_packets_are_handed_over(void **state)
{
    struct rig *r = *state;
    struct worker *w = &r->p->worker[FIRST];
    install(r, 1, SECOND);
    for (uint32_t i = 0; i < 20; i++)
        assert_true(rig_write_to(r->tun, 2 * i + 2));
    out_ready(&w->tun_fd, 0);
    assert_int_equal(w->handed_over, 20);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_null(r->p->children);
    assert_int_equal(r->sent_count, 0);
    rig_gives_up(r);
    assert_int_equal(r->p->worker[SECOND].no_sa_out, 20);
}

// Packets that have no number yet go to the SA that follows, which is another worker's.
static void test_packets_follow_the_sa_to_the_other_worker(void **state)
{
    struct rig *r = *state;
    install(r, 1, SECOND);
    offer(r, 2, 10);
    sadb_by_id(r->p, 1)->out.state = HALF_MOVING; // they wait
    offer(r, 12, 30);
    assert_int_equal(sadb_by_id(r->p, 1)->out.waiting.count, 30);
    sadb_by_id(r->p, 1)->out.state = HALF_READY;
    install(r, 2, FIRST);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(r->sent_count, 40);
    assert_int_equal(expect_queues_in_order(r), 40);
    assert_int_equal(sadb_by_id(r->p, 2)->out.packets, 30);
    assert_int_equal(r->p->worker[SECOND].waiting, 0);
    rig_unique(r);
}

// ---- fragments

static void build_fragment(struct rig_packet *k, uint32_t id, bool first)
{
    *k = (struct rig_packet){.src = "10.1.0.1",
                             .dst = "10.2.0.1",
                             .proto = 17,
                             .sport = 1000,
                             .dport = 53,
                             .offset = first ? 0 : 8,
                             .id = id,
                             .number = id,
                             .more = first};
}

static void put_fragment(int tun, uint32_t id, bool first)
{
    struct rig_packet k;
    uint8_t p[64];
    build_fragment(&k, id, first);
    uint32_t len = rig_build(p, &k);
    assert_int_equal(write(tun, p, len), len);
}

static struct msg_CHILD child_for_dns(struct rig *r)
{
    struct msg_CHILD c = rig_child(r, 1);
    c.policy_id = 7;
    c.local_ts = rig_list("10.1.0.0/16[17]");
    c.remote_ts = rig_list("10.2.0.0/16[17/53]");
    return c;
}

// The policy asks for ports, and the two come by different queues, either first.
static void test_fragments_of_one_packet_meet_whichever_queue_they_come_by(void **state)
{
    struct rig *r = *state;
    struct policy_spec dns = rig_spec(7, "dns", "10.1.0.0/16[17]", "10.2.0.0/16[17/53]");
    struct msg_CHILD c = child_for_dns(r);
    rig_must_apply(r, "dns", &dns, 1);
    rig_must_install_child(r, &c);
    for (uint32_t id = 1; id <= 40; id++) {
        bool first = id & 1;
        put_fragment(id & 2 ? r->tun : r->tun_of[1], id, first);
        rig_turn(r);
        put_fragment(id & 2 ? r->tun_of[1] : r->tun, id, !first);
        rig_turn(r);
    }
    assert_int_equal(r->sent_count, 80);
    expect_numbers_in_order(r, 1);
    assert_int_equal(r->p->worker[FIRST].orphans.count + r->p->worker[SECOND].orphans.count, 0);
}

// What the first one has shown is known to the fragments' worker alone.
static void test_later_fragments_find_their_sa_when_the_first_one_found_none(void **state)
{
    struct rig *r = *state;
    struct policy_spec dns = rig_spec(7, "dns", "10.1.0.0/16[17]", "10.2.0.0/16[17/53]");
    struct msg_CHILD c = child_for_dns(r);
    rig_must_apply(r, "dns", &dns, 1);
    for (uint32_t id = 1; id <= 20; id++) {
        put_fragment(id & 1 ? r->tun : r->tun_of[1], id, true);
        rig_turn(r);
    }
    rig_gives_up(r);
    assert_int_equal(r->p->worker[FIRST].no_sa_out + r->p->worker[SECOND].no_sa_out, 20);
    assert_true(r->p->worker[FIRST].no_sa_out > 0);
    rig_must_install_child(r, &c);
    for (uint32_t id = 1; id <= 20; id++) {
        put_fragment(r->tun, id, false);
        rig_turn(r);
    }
    assert_int_equal(r->sent_count, 20);
    expect_numbers_in_order(r, 1);
}

// ---- a card

static void test_cards_sas_are_the_first_workers_and_stay_when_it_fails(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    assert_int_equal(sadb_by_id(r->p, 1)->w->index, FIRST);
    offer(r, 2, 300);
    assert_int_equal(r->sent_count, 300);
    r->card.hold_jobs = true;
    offer(r, 302, 100);
    fake_fail(&r->card);
    offer(r, 402, 300);
    assert_int_equal(r->sent_count, 700);
    assert_string_equal(child_offload(r->p->children), "software");
    assert_int_equal(expect_queues_in_order(r), 700);
    rig_unique(r);
    assert_int_equal(r->p->worker[SECOND].handed_over, 350);
}

static void test_sa_of_the_second_worker_stays_in_software_when_a_card_comes(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_AUTO, "software");
    rig_must_install(r, 2, OFFLOAD_AUTO, "software");
    rig_card(r);
    for (int i = 0; i < 40; i++) {
        rig_pass(r, 500);
        card_scan(r->p);
    }
    rig_turn(r);
    assert_false(sadb_by_id(r->p, 1)->on_card);
    assert_true(sadb_by_id(r->p, 2)->on_card);
    offer(r, 2, 100);
    assert_int_equal(r->sent_count, 100);
}

// Whoever gave all of its packets away could take none from the others, who may wait for the same of it.
static void test_half_of_a_workers_packets_are_never_in_rings(void **state)
{
    struct rig *r = *state;
    struct worker *w = &r->p->worker[SECOND];
    unsigned given = 0, left = 0;
    for (unsigned i = 0; i < PATH_WORKERS; i++) {
        uint64_t full = w->hand_full;
        for (; i != w->index && w->hand_full == full; given++) {
            struct packet *pkt = packet_get(w);
            assert_non_null(pkt);
            pkt->job.op = ESP_DECAP;
            pkt->job.in_len = 0;
            hand_over(w, &r->p->worker[i], pkt, NULL);
        }
    }
    for (const struct packet *pkt = w->free; pkt; pkt = pkt->next)
        left++;
    assert_true(left >= PATH_JOBS / 2);
    assert_true(given > PATH_JOBS / 3); // and yet it is of use
    rig_turn(r);
    assert_int_equal(w->handed_over, given - (PATH_WORKERS - 1));
}

int main(void)
{
#define TWO(f) cmocka_unit_test_setup_teardown(f, rig_up_two, rig_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_half_of_a_workers_packets_are_never_in_rings, rig_up_many,
                                        rig_down),
        TWO(test_packets_of_both_queues_leave_by_one_sa_in_order),
        TWO(test_what_comes_in_is_opened_where_its_sa_is),
        TWO(test_full_ring_drops_and_counts),
        TWO(test_sa_that_goes_while_its_packets_are_handed_over),
        TWO(test_packets_follow_the_sa_to_the_other_worker),
        TWO(test_fragments_of_one_packet_meet_whichever_queue_they_come_by),
        TWO(test_later_fragments_find_their_sa_when_the_first_one_found_none),
        TWO(test_cards_sas_are_the_first_workers_and_stay_when_it_fails),
        TWO(test_sa_of_the_second_worker_stays_in_software_when_a_card_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
