// SPDX-License-Identifier: Apache-2.0
// Limits and idle time of child SAs: ike is told once, at the right packet, in either direction, whichever
// engine has the SA and however often it changes.
#include <sys/socket.h>

#include "tests/unit/path_rig.h"

#define INNER 24 // octets of the rig's packets

struct limit {
    uint64_t soft_packets, hard_packets, soft_bytes, hard_bytes;
    unsigned soft_at, hard_at; // the packet that reaches it; the first that is refused
};
static const struct limit limits[] = {
    {3, 0, 0, 0, 3, 0},
    {0, 5, 0, 0, 0, 6},
    {3, 5, 0, 0, 3, 6},
    {0, 0, 3 * INNER, 0, 3, 0},
    {0, 0, 3 * INNER - 1, 0, 3, 0},
    {0, 0, 2 * INNER + 1, 5 * INNER, 3, 6},
    {0, 0, 0, 5 * INNER - 1, 0, 5},
    {4, 6, 3 * INNER, 5 * INNER, 3, 6},
    {1, 1, 0, 0, 1, 2},
};
enum { LIMITS = sizeof(limits) / sizeof(limits[0]) };

static void install(struct rig *r, const struct limit *l, enum offload_mode mode)
{
    struct msg_CHILD c = rig_child(r, 1);
    c.hw_offload = (uint8_t)mode;
    c.rekey_packets = l->soft_packets;
    c.life_packets = l->hard_packets;
    c.rekey_bytes = l->soft_bytes;
    c.life_bytes = l->hard_bytes;
    rig_must_install_child(r, &c);
}

static bool passes(struct rig *r, bool in, uint32_t n)
{
    if (in) {
        rig_in(r, 0x1001, "10.2.0.1", n);
        return rig_read(r) == n;
    }
    rig_out(r, n, 1);
    return rig_opened(r) == n;
}

struct told {
    unsigned soft, hard, moved, idle;
};
static struct told told(struct rig *r)
{
    uint8_t buf[8192];
    union msg m;
    struct told t = {0};
    ssize_t n;
    path_pump(r->p);
    while ((n = recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
        if (msg_read(slice_of(buf, (size_t)n), &m) != MSG_CHILD_EVENT)
            continue;
        t.soft += m.CHILD_EVENT.event == CHILD_EVENT_SOFT_LIMIT;
        t.hard += m.CHILD_EVENT.event == CHILD_EVENT_HARD_LIMIT;
        t.moved += m.CHILD_EVENT.event == CHILD_EVENT_MOVED;
        t.idle += m.CHILD_EVENT.event == CHILD_EVENT_IDLE;
    }
    return t;
}

static void again(void **state, struct rig **r)
{
    rig_down(state);
    rig_up(state);
    *r = *state;
}

// The card goes away after `moves_after` packets; -1: never.
static void count(struct rig *r, const struct limit *l, bool in, int moves_after)
{
    for (unsigned n = 1; n < 10; n++) {
        if ((int)n == moves_after + 1) {
            fake_fail(&r->card);
            rig_turn(r);
            assert_int_equal(told(r).moved, 1);
        }
        assert_int_equal(passes(r, in, n), !l->hard_at || n < l->hard_at);
        struct told t = told(r);
        assert_int_equal(t.soft, n == l->soft_at);
        assert_int_equal(t.hard, n == l->hard_at);
    }
}

static void test_each_limit_is_told_once_at_its_packet_in_each_engine(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < 4 * LIMITS; i++) {
        bool in = i & 1, card = i & 2;
        if (i)
            again(state, &r);
        rig_card(r);
        install(r, &limits[i / 4], card ? OFFLOAD_YES : OFFLOAD_NO);
        count(r, &limits[i / 4], in, -1);
    }
}

static void test_a_limit_is_as_exact_when_the_engine_changes_after_any_packet(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < 2 * LIMITS; i++) {
        for (int after = 0; after < 8; after++) {
            if (i || after)
                again(state, &r);
            rig_card(r);
            install(r, &limits[i / 2], OFFLOAD_AUTO);
            count(r, &limits[i / 2], i & 1, after);
        }
    }
}

// A card appears after `home` packets and takes the SA over from software, and goes away after `away`.
static void count_there_and_back(struct rig *r, const struct limit *l, bool in, unsigned home, unsigned away)
{
    for (unsigned n = 1; n < 10; n++) {
        if (n == home + 1) {
            rig_card(r);
            card_scan(r->p);
            rig_turn(r);
            assert_string_equal(child_offload(r->p->children), "card");
        }
        if (n == away + 1) {
            fake_fail(&r->card);
            rig_turn(r);
            assert_string_equal(child_offload(r->p->children), "software");
        }
        assert_int_equal(passes(r, in, n), !l->hard_at || n < l->hard_at);
        struct told t = told(r);
        assert_int_equal(t.soft, n == l->soft_at);
        assert_int_equal(t.hard, n == l->hard_at);
    }
}

static void test_a_limit_is_as_exact_on_the_way_to_a_card_and_back(void **state)
{
    struct rig *r = *state;
    bool first = true;
    for (unsigned i = 0; i < 2 * LIMITS; i++) {
        for (unsigned home = 0; home < 8; home++) {
            for (unsigned away = home; away < 9; away += 3) {
                if (!first)
                    again(state, &r);
                first = false;
                install(r, &limits[i / 2], OFFLOAD_AUTO);
                count_there_and_back(r, &limits[i / 2], i & 1, home, away);
            }
        }
    }
}

static void test_what_the_policy_refuses_counts_against_a_limit_that_moves(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    install(r, &(struct limit){.hard_packets = 5}, OFFLOAD_AUTO);
    for (uint32_t i = 0; i < 3; i++)
        rig_in(r, 0x1001, "10.9.0.1", i); // authentic, and from elsewhere
    fake_fail(&r->card);
    rig_turn(r);
    assert_true(passes(r, true, 3) && passes(r, true, 4));
    assert_int_equal(told(r).hard, 0);
    assert_false(passes(r, true, 5));
    assert_int_equal(told(r).hard, 1);
}

// ---- the last sequence numbers

// The SA is in software with `next` as its next number.
static void install_at(struct rig *r, uint64_t next, bool esn)
{
    struct msg_CHILD c = rig_child(r, 1);
    c.hw_offload = OFFLOAD_AUTO;
    c.esn = esn;
    rig_card(r);
    r->card.hold_events = true;
    rig_ask_for_child(r, &c);
    rig_turn(r);
    r->p->children->out.seq = next; // one that is being added starts where its parameters say
    fake_lose_events(&r->card);
    fake_fail(&r->card);
    r->card.hold_events = false;
    rig_turn(r);
    (void)told(r);
    assert_true(r->p->children->installed);
}

static uint64_t sent_with(struct rig *r)
{
    return r->p->children->out.last_seq;
}

static void test_without_esn_an_sa_is_followed_in_time_and_ends_before_its_numbers_wrap(void **state)
{
    struct rig *r = *state;
    install_at(r, (1ull << 32) - (1ull << 28) - 2, false);
    rig_out(r, 0, 2);
    assert_int_equal(told(r).soft, 0);
    assert_true(sent_with(r) == (1ull << 32) - (1ull << 28) - 1);
    rig_out(r, 2, 3);
    assert_int_equal(told(r).soft, 1);
    again(state, &r);
    install_at(r, UINT32_MAX - 1, false);
    rig_out(r, 0, 2);
    assert_int_equal(r->sent_count, 2);
    assert_true(sent_with(r) == UINT32_MAX);
    assert_int_equal(told(r).hard, 0);
    rig_out(r, 2, 3);
    assert_int_equal(r->sent_count, 2);
    assert_int_equal(told(r).hard, 1);
}

static void test_on_a_card_the_lease_ends_with_the_last_number(void **state)
{
    struct rig *r = *state;
    static struct fake_card second;
    install_at(r, UINT32_MAX - 9, false);
    fake_init(&second);
    fake_plug(&second);
    rig_pass(r, 100000);
    card_scan(r->p);
    rig_pass(r, 100000);
    card_scan(r->p);
    rig_turn(r);
    assert_string_equal(child_offload(r->p->children), "card");
    rig_out(r, 0, 10);
    assert_int_equal(r->sent_count, 10);
    assert_true(sent_with(r) == UINT32_MAX);
    assert_int_equal(told(r).hard, 0);
    rig_out(r, 10, 3);
    assert_int_equal(r->sent_count, 10);
    assert_int_equal(told(r).hard, 1);
}

static void test_with_esn_the_number_goes_on_past_32_bits(void **state)
{
    struct rig *r = *state;
    install_at(r, UINT32_MAX - 1, true);
    rig_out(r, 0, 5);
    assert_int_equal(r->sent_count, 5);
    assert_true(sent_with(r) == UINT32_MAX + 3ull);
    struct told t = told(r);
    assert_int_equal(t.soft + t.hard, 0);
}

// ---- what one key may do

static void test_a_key_is_followed_and_ends_by_the_blocks_that_it_has_sealed_or_opened(void **state)
{
    struct rig *r = *state;
    for (int in = 0; in < 2; in++) {
        if (in)
            again(state, &r);
        install(r, &(struct limit){0}, OFFLOAD_NO);
        struct half *h = in ? &r->p->children->in : &r->p->children->out;
        h->used.blocks = (1ull << 35) - 4; // a packet of the rig has three
        assert_true(passes(r, in, 1));
        assert_int_equal(told(r).soft, 0);
        assert_true(passes(r, in, 2) && passes(r, in, 3));
        assert_int_equal(told(r).soft, 1);
        h->used.blocks = (1ull << 36) - ((uint64_t)PATH_JOBS << 12) - 1;
        assert_true(passes(r, in, 4));
        assert_int_equal(told(r).hard, 1);
        assert_false(passes(r, in, 5));
        assert_int_equal(told(r).hard, 0);
    }
}

// Blocks of one key at which each kind of cipher is followed, as a power of two; 64: never. The birthday
// bound at 2^-59; AES-CCM asks its cipher twice for each block; nothing is encrypted by NULL and AH.
static unsigned followed_at(enum esp_alg alg)
{
    const char *name = esp_alg_name(alg);
    if (alg == ESP_ALG_NONE || alg == ESP_ALG_NULL || alg == ESP_ALG_CHACHA20_POLY1305)
        return 64;
    return strstr(name, "ccm") ? 34 : 35;
}

static void test_every_algorithm_has_a_limit_of_its_own_or_none(void **state)
{
    struct rig *r = *state;
    for (int alg = ESP_ALG_NONE; alg < ESP_ALG_COUNT; alg++) {
        unsigned at = followed_at((enum esp_alg)alg);
        if (alg)
            again(state, &r);
        install(r, &(struct limit){0}, OFFLOAD_NO);
        told(r);
        struct half *h = &r->p->children->out;
        h->child->alg = (uint8_t)alg;
        limit_count(h, 16, 1);
        limit_forged(h, 1);
        h->used.blocks = (at == 64 ? 1ull << 62 : 1ull << at) - 100;
        limit_count(h, 16, 2);
        struct told t = told(r);
        if (t.soft || t.hard)
            fail_msg("%s: told after %llu blocks", esp_alg_name((enum esp_alg)alg),
                     (unsigned long long)h->used.blocks);
        h->used.blocks += 100;
        limit_count(h, 16, 3);
        t = told(r);
        assert_int_equal(t.soft, at < 64);
        assert_int_equal(t.hard, 0);
    }
}

static void forge(struct rig *r)
{
    rig_in(r, 0x1001, "10.2.0.1", 7);
    assert_int_equal(rig_read(r), 7);
    r->last_in[7] += 100; // another sequence number
    rig_datagram(r, r->last_in, r->last_in_len);
    assert_int_equal(rig_read(r), UINT32_MAX);
}

static void test_forgeries_end_a_key_before_one_is_likely_to_succeed(void **state)
{
    struct rig *r = *state;
    install(r, &(struct limit){0}, OFFLOAD_NO);
    struct half *h = &r->p->children->in;
    forge(r);
    assert_int_equal(h->used.forged, 1);
    h->used.forged = (1ull << 51) - 2;
    forge(r);
    assert_int_equal(told(r).soft, 0);
    forge(r);
    assert_int_equal(told(r).soft, 1);
    h->used.forged = (1ull << 52) - 1;
    forge(r);
    assert_int_equal(told(r).hard, 1);
    rig_in(r, 0x1001, "10.2.0.1", 8); // the key is not used any more
    assert_int_equal(rig_read(r), UINT32_MAX);
}

static void test_a_card_that_fails_moves_each_sa_and_tells_of_each(void **state)
{
    struct rig *r = *state;
    uint8_t buf[8192], told_of[6] = {0};
    union msg m;
    ssize_t n;
    rig_card(r);
    for (uint32_t i = 1; i < 6; i++)
        rig_must_install(r, i, i == 4 ? OFFLOAD_NO : OFFLOAD_AUTO, i == 4 ? "software" : "card");
    sadb_delete(r->p, 2);
    rig_turn(r);
    fake_fail(&r->card);
    rig_turn(r);
    while ((n = recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        if (msg_read(slice_of(buf, (size_t)n), &m) == MSG_CHILD_EVENT &&
            m.CHILD_EVENT.event == CHILD_EVENT_MOVED && m.CHILD_EVENT.child_id < 6)
            told_of[m.CHILD_EVENT.child_id]++;
    assert_memory_equal(told_of, ((uint8_t[]){0, 1, 0, 1, 0, 1}), 6);
}

// ---- idle

static void install_idle(struct rig *r, uint32_t id, uint32_t idle_s, enum offload_mode mode)
{
    struct msg_CHILD c = rig_child(r, id);
    c.idle_s = idle_s;
    c.hw_offload = (uint8_t)mode;
    rig_must_install_child(r, &c);
}

static void expect_idle_after(struct rig *r, uint64_t ms)
{
    rig_pass(r, ms - 1);
    assert_int_equal(told(r).idle, 0);
    rig_pass(r, 1);
    assert_int_equal(told(r).idle, 1);
}

static void test_an_idle_sa_is_told_of_to_the_second_in_each_engine(void **state)
{
    struct rig *r = *state;
    for (int card = 0; card < 2; card++) {
        if (card)
            again(state, &r);
        rig_pass(r, 0);
        rig_card(r);
        install_idle(r, 1, 10, card ? OFFLOAD_YES : OFFLOAD_NO);
        expect_idle_after(r, 10000);
        rig_pass(r, 60000);
        assert_int_equal(told(r).idle, 0); // once
        assert_true(passes(r, false, 1));
        rig_pass(r, 7000);
        assert_true(passes(r, true, 2)); // either direction
        expect_idle_after(r, 10000);
        for (uint32_t i = 0; i < 50; i++) {
            assert_true(passes(r, i & 1, i));
            rig_pass(r, 9999);
            assert_int_equal(told(r).idle, 0);
        }
        expect_idle_after(r, 1);
    }
}

static void test_packets_wake_no_timer(void **state)
{
    struct rig *r = *state;
    rig_pass(r, 0);
    install_idle(r, 1, 10, OFFLOAD_NO);
    uint64_t due = child_idle(r->p->children)->timer.at;
    rig_pass(r, 5000);
    rig_out(r, 0, 100);
    assert_true(child_idle(r->p->children)->timer.armed && child_idle(r->p->children)->timer.at == due);
    expect_idle_after(r, 10000);
}

static void test_what_is_forged_is_no_traffic(void **state)
{
    struct rig *r = *state;
    rig_pass(r, 0);
    install_idle(r, 1, 10, OFFLOAD_NO);
    forge(r);
    rig_pass(r, 9000);
    r->last_in[7] += 100;
    rig_datagram(r, r->last_in, r->last_in_len);
    expect_idle_after(r, 1000);
}

static void test_a_successor_goes_on_with_the_idle_time(void **state)
{
    struct rig *r = *state;
    rig_pass(r, 0);
    install_idle(r, 1, 0, OFFLOAD_NO); // nobody asks of this one
    rig_pass(r, 2000);
    assert_true(passes(r, false, 1));
    rig_pass(r, 6000);
    install_idle(r, 2, 10, OFFLOAD_NO);
    rig_pass(r, 1000);
    sadb_delete(r->p, 1);
    expect_idle_after(r, 3000);
    install_idle(r, 3, 10, OFFLOAD_NO); // begins anew: the other one has been idle for too long
    expect_idle_after(r, 10000);
}

static void test_what_the_predecessor_still_carries_is_traffic(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = rig_child(r, 2);
    rig_pass(r, 0);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    c.idle_s = 10;
    c.out_after = 1;
    rig_must_install_child(r, &c);
    rig_pass(r, 8000);
    assert_true(passes(r, false, 1));
    expect_idle_after(r, 10000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_each_limit_is_told_once_at_its_packet_in_each_engine),
        T(test_a_limit_is_as_exact_when_the_engine_changes_after_any_packet),
        T(test_a_limit_is_as_exact_on_the_way_to_a_card_and_back),
        T(test_what_the_policy_refuses_counts_against_a_limit_that_moves),
        T(test_without_esn_an_sa_is_followed_in_time_and_ends_before_its_numbers_wrap),
        T(test_on_a_card_the_lease_ends_with_the_last_number),
        T(test_with_esn_the_number_goes_on_past_32_bits),
        T(test_a_key_is_followed_and_ends_by_the_blocks_that_it_has_sealed_or_opened),
        T(test_every_algorithm_has_a_limit_of_its_own_or_none),
        T(test_forgeries_end_a_key_before_one_is_likely_to_succeed),
        T(test_a_card_that_fails_moves_each_sa_and_tells_of_each),
        T(test_an_idle_sa_is_told_of_to_the_second_in_each_engine),
        T(test_packets_wake_no_timer),
        T(test_what_is_forged_is_no_traffic),
        T(test_a_successor_goes_on_with_the_idle_time),
        T(test_what_the_predecessor_still_carries_is_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
