// SPDX-License-Identifier: Apache-2.0
// Make before break: of several child SAs of a policy, which one sends, and that no packet is lost over the
// swap, whichever engines they are in and however late those answer.
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/unit/path_rig.h"

static uint32_t spi_sent(const struct rig *r, unsigned i)
{
    const uint8_t *p = r->sent[i].bytes + 28;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void expect_by(struct rig *r, uint32_t id, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(rig_opened(r), from + i);
        assert_int_equal(spi_sent(r, r->seen - 1), 0x2000 + id);
    }
    assert_int_equal(r->seen, r->sent_count);
}

static void install_after(struct rig *r, uint32_t id, uint32_t after, enum offload_mode mode)
{
    struct msg_CHILD c = rig_child(r, id);
    c.hw_offload = (uint8_t)mode;
    c.out_after = after;
    rig_must_install_child(r, &c);
}

// All numbers, each once: by the old SA up to some point, by the new one from there on.
static unsigned expect_handed_on(struct rig *r, uint32_t old, uint32_t new, uint32_t count)
{
    bool *seen = calloc(count, sizeof(*seen));
    uint32_t by_old = 0, n;
    assert_non_null(seen);
    while ((n = rig_opened(r)) != UINT32_MAX) {
        uint32_t by = spi_sent(r, r->seen - 1) - 0x2000;
        assert_true(n < count && !seen[n]);
        seen[n] = true;
        assert_true(by == old || by == new);
        by_old += by == old;
        assert_int_equal(by, n < by_old ? old : new);
    }
    for (uint32_t i = 0; i < count; i++)
        assert_true(seen[i]);
    free(seen);
    rig_unique(r);
    return by_old;
}

static void test_a_new_sa_takes_no_packet_before_it_is_in_place(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    r->card.hold_events = true;
    rig_install(r, 2, OFFLOAD_YES, 0);
    rig_out(r, 0, 5);
    expect_by(r, 1, 0, 5);
    r->card.hold_events = false;
    rig_turn(r);
    rig_out(r, 5, 5);
    expect_by(r, 2, 5, 5);
}

static void test_a_new_sa_that_is_refused_costs_no_packet(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    r->card.hold_events = true;
    r->card.refuse[ESP_OUT] = ESP_STATUS_BUCKET_FULL;
    rig_install(r, 2, OFFLOAD_YES, 0);
    rig_out(r, 0, 5);
    r->card.hold_events = false;
    rig_turn(r);
    rig_out(r, 5, 5);
    expect_by(r, 1, 0, 10);
}

static void test_the_responders_new_sa_sends_after_the_first_packet_that_it_opens(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    install_after(r, 2, 1, OFFLOAD_NO);
    rig_out(r, 0, 5);
    expect_by(r, 1, 0, 5);
    rig_in(r, 0x1001, "10.2.0.1", 1); // the old one still receives, which shows nothing
    assert_int_equal(rig_read(r), 1);
    rig_out(r, 5, 5);
    expect_by(r, 1, 5, 5);
    r->last_in[r->last_in_len - 1] ^= 1;
    r->last_in[2] = 0x10; // its SPI with an ICV that is not
    r->last_in[3] = 0x02;
    rig_datagram(r, r->last_in, r->last_in_len);
    rig_out(r, 10, 5);
    expect_by(r, 1, 10, 5);
    rig_in(r, 0x1002, "10.2.0.1", 2);
    assert_int_equal(rig_read(r), 2);
    rig_out(r, 15, 5);
    expect_by(r, 2, 15, 5);
    rig_in(r, 0x1001, "10.2.0.1", 3);
    assert_int_equal(rig_read(r), 3);
}

static bool ask_outbound_after(struct rig *r, uint32_t id, uint32_t after)
{
    uint8_t buf[8192];
    union msg m;
    (void)rig_events(r, 0);
    child_outbound(r->p, &(struct msg_CHILD_OUTBOUND){.req = 7, .child_id = id, .after = after});
    rig_turn(r);
    ssize_t n = recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT);
    assert_true(n > 0);
    assert_int_equal(msg_read(slice_of(buf, (size_t)n), &m), MSG_RESULT);
    assert_int_equal(m.RESULT.req, 7);
    return m.RESULT.ok;
}

static bool ask_outbound(struct rig *r, uint32_t id)
{
    return ask_outbound_after(r, id, 0);
}

static void test_the_new_sa_sends_when_ike_says_so(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    install_after(r, 2, 1, OFFLOAD_NO);
    rig_out(r, 0, 5);
    assert_false(ask_outbound(r, 3));
    rig_out(r, 5, 5);
    expect_by(r, 1, 0, 10);
    assert_true(ask_outbound(r, 2));
    rig_out(r, 10, 5);
    expect_by(r, 2, 10, 5);
}

// Both ends rekeyed at once: the newest is the one that goes, the one before it stays.
static void test_the_newest_sends_no_more_when_ike_takes_that_back(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    install_after(r, 2, 1, OFFLOAD_NO);
    install_after(r, 3, 0, OFFLOAD_NO);
    rig_out(r, 0, 5);
    expect_by(r, 3, 0, 5);
    assert_true(ask_outbound_after(r, 3, 2));
    rig_out(r, 5, 5);
    expect_by(r, 1, 5, 5);
    rig_in(r, 0x1003, "10.2.0.1", 1); // the peer has not heard of its end yet
    assert_int_equal(rig_read(r), 1);
    rig_out(r, 10, 5);
    expect_by(r, 1, 10, 5);
    assert_true(ask_outbound(r, 2));
    rig_out(r, 15, 5);
    expect_by(r, 2, 15, 5);
}

// What both ends have deleted lingers to receive: when its successor goes, nothing is sent by it.
static void test_one_that_sends_no_more_stays_silent_when_its_successor_goes(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    install_after(r, 2, 1, OFFLOAD_NO);
    assert_true(ask_outbound_after(r, 1, 1));
    rig_out(r, 0, 5);
    expect_by(r, 2, 0, 5);
    rig_in(r, 0x1001, "10.2.0.1", 1);
    assert_int_equal(rig_read(r), 1);
    sadb_delete(r->p, 2);
    rig_out(r, 5, 5);
    assert_int_equal(r->seen, r->sent_count);
}

// One that is only being added is not over: who waits for it waits for what it waits for itself.
static void test_a_link_that_is_not_in_place_yet_is_not_taken_for_one_that_is_over(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    r->card.hold_events = true;
    c = rig_child(r, 2);
    c.hw_offload = OFFLOAD_YES;
    c.out_after = 1;
    rig_install_child(r, &c);
    install_after(r, 3, 2, OFFLOAD_NO);
    rig_out(r, 0, 5);
    expect_by(r, 1, 0, 5);
    r->card.hold_events = false;
    rig_turn(r);
    rig_out(r, 5, 5);
    expect_by(r, 1, 5, 5);
    assert_true(ask_outbound(r, 2));
    rig_out(r, 10, 5);
    expect_by(r, 2, 10, 5);
}

static void test_each_link_of_a_chain_waits_for_the_one_before(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    install_after(r, 2, 1, OFFLOAD_NO);
    install_after(r, 3, 2, OFFLOAD_NO);
    rig_out(r, 0, 5);
    expect_by(r, 1, 0, 5);
    sadb_delete(r->p, 1);
    rig_out(r, 5, 5);
    expect_by(r, 2, 5, 5);
    rig_in(r, 0x1003, "10.2.0.1", 1);
    rig_out(r, 10, 5);
    expect_by(r, 3, 10, 5);
}

static void test_an_unknown_predecessor_is_not_waited_for(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    install_after(r, 2, 77, OFFLOAD_NO);
    rig_out(r, 0, 5);
    expect_by(r, 2, 0, 5);
}

// An SA whose selectors hold less than its successor's goes on with what it holds, and with no more.
static void test_a_predecessor_sends_what_lies_in_its_selectors(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = rig_child(r, 1);
    struct rig_packet k = {.src = "10.1.0.1", .dst = "10.2.0.1", .proto = 17, .sport = 9, .dport = 53};
    c.remote_ts = rig_list("10.2.0.0/24");
    rig_must_install_child(r, &c);
    install_after(r, 2, 1, OFFLOAD_NO);
    rig_out_packet(r, &k);
    assert_int_equal(spi_sent(r, 0), 0x2001);
    k.dst = "10.2.1.1";
    rig_out_packet(r, &k);
    assert_int_equal(spi_sent(r, 1), 0x2002);
    k.dst = "10.2.0.1";
    sadb_delete(r->p, 1);
    rig_out_packet(r, &k);
    assert_int_equal(spi_sent(r, 2), 0x2002);
}

// A narrow one still drains in its engine and holds its policy's instance: that takes no packet from another.
static void test_an_instance_without_an_sa_hides_no_other(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c[2] = {rig_child(r, 2), rig_child(r, 3)};
    struct rig_packet k = {.src = "10.1.0.1", .dst = "10.2.0.1", .proto = 17, .sport = 9, .dport = 53};
    rig_card(r);
    c[0].remote_ts = rig_list("10.2.0.0/24");
    c[1].remote_ts = rig_list("10.2.0.0/25");
    for (unsigned first = 0; first < 2; first++) { // whichever the look-up finds first
        struct msg_CHILD *a = &c[first], *b = &c[!first];
        unsigned sent = r->sent_count;
        a->hw_offload = OFFLOAD_YES;
        b->hw_offload = OFFLOAD_NO;
        rig_must_install_child(r, a);
        r->card.hold_jobs = true;
        rig_out_packet(r, &k);
        assert_int_equal(fake_jobs(&r->card), 1);
        rig_must_install_child(r, b);
        sadb_delete(r->p, a->child_id);
        rig_out_packet(r, &k);
        assert_int_equal(r->sent_count, sent + 1);
        assert_int_equal(spi_sent(r, sent), b->spi_out);
        r->card.hold_jobs = false;
        rig_turn(r);
        assert_int_equal(r->sent_count, sent + 2); // the one before has left too
        assert_int_equal(spi_sent(r, sent + 1), a->spi_out);
        sadb_delete(r->p, b->child_id);
        rig_turn(r);
        for (int i = 0; i < 2; i++)
            c[i].child_id += 2, c[i].spi_in += 2, c[i].spi_out += 2;
    }
}

// Its SA is draining when another one with these selectors comes.
static void test_an_instance_that_stepped_aside_comes_back_with_the_next_sa(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = rig_child(r, 2);
    struct rig_packet k = {.src = "10.1.0.1", .dst = "10.2.0.1", .proto = 17, .sport = 9, .dport = 53};
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    c.remote_ts = rig_list("10.2.0.0/24");
    c.hw_offload = OFFLOAD_YES;
    rig_must_install_child(r, &c);
    r->card.hold_jobs = true;
    rig_out_packet(r, &k);
    sadb_delete(r->p, 2);
    assert_int_equal(r->sent_count, 0);
    c.child_id = 3, c.spi_in = 0x1003, c.spi_out = 0x2003;
    c.hw_offload = OFFLOAD_NO;
    rig_must_install_child(r, &c);
    rig_out_packet(r, &k);
    assert_int_equal(r->sent_count, 1);
    assert_int_equal(spi_sent(r, 0), 0x2003);
    r->card.hold_jobs = false;
    rig_turn(r);
    rig_out_packet(r, &k);
    assert_int_equal(spi_sent(r, 2), 0x2003);
}

// ---- the old SA goes

static void swap(struct rig *r, enum offload_mode old, enum offload_mode new, bool told)
{
    uint32_t n = 0;
    rig_install(r, 1, old, 0);
    rig_turn(r);
    rig_out(r, n, 10);
    n += 10;
    r->card.hold_jobs = true; // the card gives nothing back from here on
    rig_out(r, n, 30);
    n += 30;
    install_after(r, 2, told ? 1 : 0, new);
    rig_out(r, n, 30);
    n += 30;
    sadb_delete(r->p, 1);
    rig_out(r, n, 30);
    n += 30;
    r->card.hold_jobs = false;
    rig_turn(r);
    rig_out(r, n, 10);
    n += 10;
    assert_int_equal(expect_handed_on(r, 1, 2, n), told ? 70 : 40);
    assert_ptr_equal(r->p->children->next, NULL);
}

static void test_nothing_is_lost_over_a_swap_of_engines_that_answer_late(void **state)
{
    struct rig *r = *state;
    const enum offload_mode m[] = {OFFLOAD_NO, OFFLOAD_YES};
    for (int i = 0; i < 8; i++) {
        if (i) {
            rig_down(state);
            rig_up(state);
            r = *state;
        }
        r->p->set.lease_min = 256;
        rig_card(r);
        swap(r, m[i & 1], m[i >> 1 & 1], i >> 2);
    }
}

static void test_what_waits_or_is_queued_goes_by_the_successor(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->p->set.lease_min = 4096;
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    r->card.hold_jobs = true;
    rig_out(r, 0, FAKE_JOBS + 100); // the card is full
    install_after(r, 2, 1, OFFLOAD_NO);
    sadb_delete(r->p, 1);
    rig_turn(r);
    expect_by(r, 2, FAKE_JOBS, 100);
    r->card.hold_jobs = false;
    rig_turn(r);
    expect_by(r, 1, 0, FAKE_JOBS);
    rig_unique(r);
}

static void test_what_waits_for_a_lease_goes_by_the_successor(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    r->card.lease_rc = -ENOMEM;
    rig_out(r, 0, 100);
    install_after(r, 2, 1, OFFLOAD_NO);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(expect_handed_on(r, 1, 2, 100), 64);
}

static void test_what_an_sa_without_successor_has_taken_leaves_before_its_keys_go(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    r->card.hold_jobs = true;
    rig_out(r, 0, FAKE_JOBS + 100); // a lease of 64: most wait
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(r->card.deletes, 1); // inbound
    r->card.hold_jobs = false;
    rig_turn(r);
    rig_expect(r, 0, FAKE_JOBS + 100);
    rig_unique(r);
    assert_null(r->p->children);
    assert_int_equal(fake_live(&r->card), 0);
}

static void test_a_card_that_fails_under_a_deleted_sa_loses_none_of_its_packets(void **state)
{
    struct rig *r = *state;
    for (int successor = 0; successor < 2; successor++) {
        if (successor) {
            rig_down(state);
            rig_up(state);
            r = *state;
        }
        rig_card(r);
        rig_must_install(r, 1, OFFLOAD_AUTO, "card");
        if (successor)
            install_after(r, 2, 1, OFFLOAD_NO);
        r->card.hold_jobs = true;
        rig_out(r, 0, 40);
        sadb_delete(r->p, 1);
        fake_fail(&r->card);
        rig_turn(r);
        assert_int_equal(expect_handed_on(r, 1, 2, 40), successor ? 0 : 40);
        assert_ptr_equal(successor ? r->p->children->next : r->p->children, NULL);
    }
}

static void test_past_its_hard_limit_the_older_or_newer_one_sends(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 2; i++) {
        struct msg_CHILD c = rig_child(r, 1);
        c.life_packets = 10;
        c.hw_offload = i ? OFFLOAD_YES : OFFLOAD_NO;
        if (i) {
            rig_down(state);
            rig_up(state);
            r = *state;
            c.local_port = r->own_port, c.remote_port = r->udp_port;
        }
        rig_card(r);
        rig_must_install_child(r, &c);
        install_after(r, 2, 1, OFFLOAD_NO);
        rig_out(r, 0, 40);
        assert_int_equal(expect_handed_on(r, 1, 2, 40), 10);
        assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 1);
    }
}

// While a newer SA takes what it cannot, an SA that has moved past its limit seals nothing more.
static void test_an_ended_sa_does_not_begin_again_in_another_engine(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = rig_child(r, 1);
    rig_card(r);
    c.life_packets = 10;
    c.hw_offload = OFFLOAD_AUTO;
    rig_must_install_child(r, &c);
    rig_out(r, 0, 12);
    rig_expect(r, 0, 10);
    fake_fail(&r->card);
    rig_turn(r);
    rig_out(r, 12, 5);
    assert_int_equal(r->sent_count, 10);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_new_sa_takes_no_packet_before_it_is_in_place),
        T(test_a_new_sa_that_is_refused_costs_no_packet),
        T(test_the_responders_new_sa_sends_after_the_first_packet_that_it_opens),
        T(test_the_new_sa_sends_when_ike_says_so),
        T(test_the_newest_sends_no_more_when_ike_takes_that_back),
        T(test_one_that_sends_no_more_stays_silent_when_its_successor_goes),
        T(test_a_link_that_is_not_in_place_yet_is_not_taken_for_one_that_is_over),
        T(test_each_link_of_a_chain_waits_for_the_one_before),
        T(test_an_unknown_predecessor_is_not_waited_for),
        T(test_a_predecessor_sends_what_lies_in_its_selectors),
        T(test_an_instance_without_an_sa_hides_no_other),
        T(test_an_instance_that_stepped_aside_comes_back_with_the_next_sa),
        T(test_nothing_is_lost_over_a_swap_of_engines_that_answer_late),
        T(test_what_waits_or_is_queued_goes_by_the_successor),
        T(test_what_waits_for_a_lease_goes_by_the_successor),
        T(test_what_an_sa_without_successor_has_taken_leaves_before_its_keys_go),
        T(test_a_card_that_fails_under_a_deleted_sa_loses_none_of_its_packets),
        T(test_past_its_hard_limit_the_older_or_newer_one_sends),
        T(test_an_ended_sa_does_not_begin_again_in_another_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
