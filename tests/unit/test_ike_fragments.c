// SPDX-License-Identifier: Apache-2.0
// IKE fragmentation (RFC 7383): what goes in fragments and what does not, lost, doubled and late fragments,
// repetitions, and fragments that nobody honest sends.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/fragments.h"
#include "ctrl/ike/seal.h"
#include "ctrl/ike/strangers.h"
#include "tests/unit/ike_pair.h"

enum { SMALL = 256, HEADS = 28, NEXT_AT = 16, FIRST_AT = 28, NUMBER_AT = 32, TOTAL_AT = 34, IV_AT = 36 };

struct seen { // on the wire, from each side
    unsigned whole[2], parts[2], large[2];
    bool said[2];            // IKEV2_FRAGMENTATION_SUPPORTED in IKE_SA_INIT
    unsigned lose;           // this one of all, from 1; 0: none
    unsigned copies;         // of each
    bool late_first;         // each first fragment comes after the others
    uint8_t kept[40][SMALL]; // side 0's last fragments
    size_t kept_len[40];
    unsigned kept_count;
};

static struct ike_sa *only(struct pair *p, int side)
{
    return p->s[side].ike->sas;
}

static uint64_t count(struct pair *p, int side, enum counter c)
{
    return p->s[side].ike->counters[c];
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void small(struct settings *s)
{
    s->fragment_size = SMALL;
}

static struct net_path toward(struct ike_sa *from)
{
    struct net_path p = from->path;
    struct addr a = p.local;
    uint16_t port = p.local_port;
    p.local = p.remote;
    p.local_port = p.remote_port;
    p.remote = a;
    p.remote_port = port;
    return p;
}

static void see_init(struct seen *s, int from, const struct datagram *d)
{
    struct payloads pl;
    struct refusal r = {0};
    struct notify n;
    struct slice body = slice_of(d->data + IKE_HEADER_LEN, d->len - IKE_HEADER_LEN);
    assert_int_equal(payloads_read(d->data[NEXT_AT], body, &pl, &r), 0);
    s->said[from] = notify_find(&pl, N_IKEV2_FRAGMENTATION_SUPPORTED, &n);
}

// Every fragment says its number, and the first payload's type if it is number 1 alone (2.5).
static void see_part(struct seen *s, int from, const struct datagram *d)
{
    unsigned number = get16(d->data + NUMBER_AT), total = get16(d->data + TOTAL_AT);
    s->parts[from]++;
    assert_true(number >= 1 && number <= total);
    assert_int_equal(d->data[FIRST_AT] != 0, number == 1);
    assert_int_equal(get16(d->data + FIRST_AT + 2), d->len - IKE_HEADER_LEN);
    if (from)
        return;
    if (number == 1)
        s->kept_count = 0;
    for (unsigned i = 0; i < s->kept_count; i++) // no initialization vector twice
        assert_memory_not_equal(s->kept[i] + IV_AT, d->data + IV_AT, 8);
    assert_true(s->kept_count < 40 && d->len <= SMALL);
    memcpy(s->kept[s->kept_count], d->data, d->len);
    s->kept_len[s->kept_count++] = d->len;
}

static int watch(struct pair *p, unsigned number, struct datagram *d)
{
    struct seen *s = p->ctx;
    int from = 1 - d->to;
    size_t size = d->len + HEADS + (d->path.nat_t ? 4 : 0);
    if (d->data[18] == EX_SA_INIT) {
        see_init(s, from, d);
        assert_int_not_equal(d->data[NEXT_AT], PL_SKF); // never in IKE_SA_INIT
    } else if (d->data[NEXT_AT] == PL_SKF) {
        see_part(s, from, d);
        assert_true(size <= SMALL);
    } else {
        s->whole[from]++;
        s->large[from] += size > SMALL;
    }
    if (number + 1 == s->lose)
        return 0;
    if (s->late_first && d->data[NEXT_AT] == PL_SKF && get16(d->data + NUMBER_AT) == 1)
        return -1;
    return s->copies ? (int)s->copies : 1;
}

// Names so long that the messages of IKE_AUTH do not fit one datagram.
static const char *long_name(int side)
{
    static char name[2][160];
    memset(name[side], 'a' + side, 150);
    memcpy(name[side] + 150, ".test", 6);
    return name[side];
}

static struct pair *with_modes(struct seen *s, uint8_t mode0, uint8_t mode1)
{
    struct pair *p = pair_new(small);
    memset(s, 0, sizeof(*s));
    p->filter = watch;
    p->ctx = s;
    for (int i = 0; i < 2; i++) {
        struct conn_config c;
        pair_default_conn(&c, i);
        c.fragmentation = i ? mode1 : mode0;
        c.local.id = long_name(i);
        c.remote.id = long_name(1 - i);
        pair_load(p, i, &c);
        pair_psk(p, i, "a secret of both", long_name(0), long_name(1));
    }
    return p;
}

static struct pair *up(struct seen *s)
{
    struct pair *p = with_modes(s, FRAGMENTATION_YES, FRAGMENTATION_YES);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    return p;
}

// --- between two of ours ---

static void test_messages_larger_than_a_datagram_go_in_fragments(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
    for (int i = 0; i < 2; i++) {
        assert_true(s.parts[i] >= 2);
        assert_int_equal(s.large[i], 0);
        assert_int_equal(count(p, i, CNT_fragmented_out), 1);
        assert_int_equal(count(p, i, CNT_fragmented_in), 1);
        assert_int_equal(count(p, i, CNT_fragments_in), s.parts[1 - i]);
        assert_int_equal(count(p, i, CNT_fragments_dropped), 0);
        assert_int_equal(count(p, i, CNT_retransmits),
                         0); // those behind the first one wait for the keys, too
        assert_int_equal(p->s[i].ike->fragments[0].bytes + p->s[i].ike->fragments[1].bytes, 0);
    }
    pair_terminate(p, 0, NULL, false); // fits one datagram, and goes in one
    assert_true(s.whole[0] == 1 && s.whole[1] == 1 && s.large[0] == 0);
    pair_free(p);
}

static void test_fragments_are_sent_only_where_both_ends_can_and_the_sender_will(void **state)
{
    (void)state;
    for (uint8_t mode0 = FRAGMENTATION_NO; mode0 <= FRAGMENTATION_YES; mode0++) {
        for (uint8_t mode1 = FRAGMENTATION_NO; mode1 <= FRAGMENTATION_YES; mode1++) {
            struct seen s;
            struct pair *p = with_modes(&s, mode0, mode1);
            bool both = mode0 != FRAGMENTATION_NO && mode1 != FRAGMENTATION_NO;
            pair_result(p, 0, pair_initiate(p, 0, "c"), true);
            assert_true(pair_agree(p));
            assert_int_equal(s.said[0], mode0 != FRAGMENTATION_NO);
            assert_int_equal(s.said[1], both); // the responder answers what was said (2.3)
            assert_int_equal(s.parts[0] > 0, both && mode0 == FRAGMENTATION_YES);
            assert_int_equal(s.parts[1] > 0, both && mode1 == FRAGMENTATION_YES);
            assert_int_equal(s.large[0] > 0, !(both && mode0 == FRAGMENTATION_YES));
            pair_free(p);
        }
    }
}

static void test_a_successor_of_the_ike_sa_fragments_too(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    exchange_queue(only(p, 0), TASK_REKEY_IKE, 0);
    pair_wait(p, 1000);
    assert_int_equal(count(p, 0, CNT_ike_rekeyed), 1);
    assert_true(only(p, 0)->fragmentation && only(p, 1)->fragmentation);
    unsigned before = s.parts[0];
    p->s[0].ike->set.fragment_size = 140; // small enough for the messages of CREATE_CHILD_SA
    expiry_rekey(only(p, 0)->children);
    pair_wait(p, 1000);
    assert_true(s.parts[0] > before && s.large[0] == 0);
    assert_int_equal(count(p, 1, CNT_child_rekeyed), 1);
    pair_free(p);
}

static void test_any_fragment_may_be_lost(void **state)
{
    (void)state;
    for (unsigned lose = 1; lose < 12; lose++) {
        struct seen s;
        struct pair *p = with_modes(&s, FRAGMENTATION_YES, FRAGMENTATION_YES);
        s.lose = lose;
        uint32_t req = pair_initiate(p, 0, "c");
        bool lost = p->sent >= lose;
        pair_wait(p, 10000);
        pair_result(p, 0, req, true);
        assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
        assert_int_equal(count(p, 0, CNT_retransmits), lost);
        pair_free(p);
        if (!lost)
            return;
    }
    fail_msg("more datagrams than were counted on");
}

static void test_fragments_come_twice_and_in_any_order(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = with_modes(&s, FRAGMENTATION_YES, FRAGMENTATION_YES);
    s.copies = 2;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1 && pair_live(&p->s[1]) == 1);
    pair_free(p);
    p = with_modes(&s, FRAGMENTATION_YES, FRAGMENTATION_YES);
    s.late_first = true;
    uint32_t req = pair_initiate(p, 0, "c");
    pair_wait(p, 20000);
    pair_result(p, 0, req, true);
    assert_true(pair_agree(p));
    pair_free(p);
}

// --- repetitions (2.6.1) ---

static void again(struct pair *p, struct seen *s, unsigned number)
{
    struct net_path path = toward(only(p, 0));
    pair_inject(p, 1, &path, s->kept[number - 1], s->kept_len[number - 1]);
}

static void test_a_request_that_comes_again_is_known_by_its_first_fragment_alone(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    unsigned answer = s.parts[1], n = s.kept_count;
    assert_true(n >= 2 && answer >= 2);
    for (unsigned i = 2; i <= n; i++)
        again(p, &s, i);
    assert_int_equal(s.parts[1], answer);
    assert_int_equal(count(p, 1, CNT_repeats), 0);
    again(p, &s, 1);
    assert_int_equal(s.parts[1], 2 * answer); // all of it, once
    assert_int_equal(count(p, 1, CNT_repeats), 1);
    s.kept[0][s.kept_len[0] - 1] ^= 1;
    again(p, &s, 1);
    assert_int_equal(s.parts[1], 2 * answer);
    pair_free(p);
}

// The request of message ID 1, with other octets: in smaller fragments, or whole.
static void ask_again(struct pair *p, bool whole, bool tampered)
{
    struct ike_sa *sa = only(p, 0);
    struct net_path path = toward(sa);
    static const uint8_t text[400];
    uint8_t buf[600], *msg;
    size_t len;
    struct pb b = pb_of(buf, sizeof(buf));
    pb_payload(&b, PL_VENDOR, slice_of(text, sizeof(text)));
    sa->fragmentation = !whole;
    assert_int_equal(seal(sa, EX_AUTH, false, 1, &b, &msg, &len), 0);
    sa->fragmentation = true;
    struct slice rest = slice_of(msg, len), first = datagrams_next(&rest);
    msg[first.len - 1] ^= tampered;
    pair_inject(p, 1, &path, first.p, first.len);
    free(msg);
}

static void test_a_request_that_is_divided_anew_is_answered_again(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    unsigned answer = s.parts[1];
    for (int whole = 0; whole < 2; whole++) {
        ask_again(p, whole, true);
        assert_int_equal(s.parts[1], answer * (1u + (unsigned)whole));
        ask_again(p, whole, false);
        assert_int_equal(s.parts[1], answer * (2u + (unsigned)whole));
    }
    pair_free(p);
}

// --- fragments that nobody honest sends ---

struct made { // one fragment
    uint8_t exchange, first;
    bool response;
    uint32_t mid;
    unsigned number, total;
    size_t text;
    bool tampered;
};

static size_t make(struct ike_sa *sa, const struct made *m, uint8_t *out, size_t cap)
{
    static uint8_t text[2048];
    size_t head = IV_AT, len = head + cr_sk_sealed_len(sa->sk_out, m->text);
    struct writer w = writer_of(out, cap);
    struct ike_header h = {sa->spi_i, sa->spi_r, PL_SKF, IKE_VERSION, m->exchange, 0, m->mid, (uint32_t)len};
    h.flags = (uint8_t)((sa->initiator ? FLAG_INITIATOR : 0) | (m->response ? FLAG_RESPONSE : 0));
    header_write(&w, &h);
    wr_u8(&w, m->number == 1 ? m->first : 0);
    wr_u8(&w, 0);
    wr_u16(&w, (uint16_t)(len - IKE_HEADER_LEN));
    wr_u16(&w, (uint16_t)m->number);
    wr_u16(&w, (uint16_t)m->total);
    assert_int_equal(cr_sk_seal(sa->sk_out, out, head, text, m->text, cap), 0);
    out[len - 1] ^= m->tampered;
    return len;
}

static void send_made(struct pair *p, int side, const struct made *m)
{
    struct ike_sa *sa = only(p, side);
    struct net_path path = toward(sa);
    uint8_t buf[4096];
    pair_inject(p, 1 - side, &path, buf, make(sa, m, buf, sizeof(buf)));
}

// Of the next request of side 0, which has no payload.
static struct made info(struct pair *p, unsigned number, unsigned total)
{
    return (struct made){
        .exchange = EX_INFORMATIONAL, .mid = only(p, 1)->in_mid, .number = number, .total = total};
}

static void send_info(struct pair *p, unsigned number, unsigned total)
{
    struct made m = info(p, number, total);
    send_made(p, 0, &m);
}

static size_t held(struct pair *p, int side)
{
    return p->s[side].ike->fragments[0].bytes + p->s[side].ike->fragments[1].bytes;
}

static void test_fragments_with_impossible_numbers_are_dropped(void **state)
{
    (void)state;
    static const struct {
        unsigned number, total;
    } bad[] = {{0, 2},         {0, 0},         {1, 0},     {3, 2},
               {65535, 65534}, {65535, 65535}, {1, 65535}, {1, FRAGMENTS_MAX + 1}};
    struct seen s;
    struct pair *p = up(&s);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        send_info(p, bad[i].number, bad[i].total);
        assert_int_equal(count(p, 1, CNT_fragments_dropped), i + 1);
        assert_int_equal(held(p, 1), 0);
    }
    assert_int_equal(count(p, 1, CNT_dropped_integrity), 0); // nothing was opened for them
    assert_int_equal(only(p, 1)->state, SA_ESTABLISHED);
    send_info(p, 1, 1);
    assert_int_equal(s.whole[1], 1); // answered: a message may be one fragment
    pair_free(p);
}

static void test_a_fragment_is_kept_only_when_it_is_the_peers(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    struct made m = info(p, 1, 2);
    m.tampered = true;
    send_made(p, 0, &m);
    assert_int_equal(held(p, 1), 0);
    assert_int_equal(count(p, 1, CNT_dropped_integrity), 1);
    send_info(p, 1, 2);
    m = info(p, 2, 2);
    m.tampered = true;
    send_made(p, 0, &m); // does not take the place of the true one
    assert_int_equal(s.whole[1], 0);
    send_info(p, 2, 2);
    assert_int_equal(s.whole[1], 1);
    assert_int_equal(held(p, 1), 0);
    pair_free(p);
}

static void test_more_fragments_count_and_fewer_are_dropped(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    send_info(p, 1, 2);
    send_info(p, 3, 3); // a smaller division begins anew
    send_info(p, 2, 2); // would have made the first one whole
    assert_int_equal(s.whole[1], 0);
    assert_int_equal(count(p, 1, CNT_fragments_dropped), 1);
    struct made m = info(p, 2, 3);
    m.exchange = EX_CREATE_CHILD; // mixed with another exchange's
    send_made(p, 0, &m);
    send_info(p, 1, 3);
    assert_int_equal(s.whole[1], 0);
    send_info(p, 1, 3); // doubled
    assert_int_equal(count(p, 1, CNT_fragments_dropped), 3);
    send_info(p, 2, 3);
    assert_int_equal(s.whole[1], 1);
    assert_int_equal(held(p, 1), 0);
    pair_free(p);
}

static void test_a_whole_message_ends_what_was_half_made(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    send_info(p, 1, 2);
    assert_true(held(p, 1) > 0);
    exchange_queue(only(p, 0), TASK_LIVENESS, 0); // the same message ID, whole
    pair_run(p);
    assert_int_equal(s.whole[1], 1);
    assert_int_equal(held(p, 1), 0);
    send_info(p, 1, 2);
    assert_true(held(p, 1) > 0);
    pair_terminate(p, 1, NULL, true); // and so does the SA's end
    assert_int_equal(held(p, 1), 0);
    pair_free(p);
}

static void test_fragments_that_were_not_agreed_on_are_dropped(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = with_modes(&s, FRAGMENTATION_YES, FRAGMENTATION_NO);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    send_info(p, 1, 1);
    assert_int_equal(s.parts[1] + s.whole[1], 1); // the IKE_AUTH response alone
    assert_int_equal(count(p, 1, CNT_fragments_dropped), 1);
    pair_free(p);
}

static void test_a_message_in_fragments_is_no_larger_than_one_in_a_datagram(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    unsigned i = 1;
    for (; i <= 60; i++) {
        struct made m = info(p, i, 60);
        m.text = 1500;
        size_t before = held(p, 1);
        send_made(p, 0, &m);
        if (held(p, 1) < before)
            break;
    }
    assert_int_equal(i, 44); // 43 of 1500 octets are fewer than 65536
    assert_int_equal(held(p, 1), 0);
    assert_int_equal(only(p, 1)->state, SA_ESTABLISHED);
    pair_free(p);
}

static void test_ike_sa_init_in_fragments_reaches_nothing(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    struct net_path path = toward(only(p, 0));
    struct made m = {.exchange = EX_SA_INIT, .number = 1, .total = 1, .text = 100};
    uint8_t buf[400];
    size_t len = make(only(p, 0), &m, buf, sizeof(buf));
    memset(buf + 8, 0, 8); // no responder SPI yet
    buf[0] ^= 1;
    uint64_t before = count(p, 1, CNT_fragments_in), bad = count(p, 1, CNT_dropped_malformed);
    pair_inject(p, 1, &path, buf, len);
    assert_int_equal(p->s[1].ike->sa_count, 1);
    assert_int_equal(count(p, 1, CNT_fragments_in), before);
    assert_int_equal(count(p, 1, CNT_dropped_malformed), bad + 1);
    pair_free(p);
}

// --- memory ---

enum { PEERS = 10000, TEXT = 1200 };

// One that stands for a peer of its own; its own messages come back to it.
static struct ike_sa *one_of_many(struct pair *p, struct conn *c, bool stranger)
{
    static const uint8_t key[36] = {1};
    const struct cr_sk_alg alg = {TRID_AES256_GCM16, 256, 0};
    struct ike_sa *sa = sa_new(p->s[1].ike, c, false, &only(p, 1)->path);
    assert_non_null(sa);
    assert_true(sa_room(sa));
    assert_int_equal(cr_sk_new(NULL, &alg, key, sizeof(key), NULL, 0, &sa->sk_in), 0);
    assert_int_equal(cr_sk_new(NULL, &alg, key, sizeof(key), NULL, 0, &sa->sk_out), 0);
    sa->fragmentation = true;
    sa_set_half_open(sa, stranger);
    return sa;
}

static void half_a_message(struct ike_sa *sa)
{
    struct made m = {.exchange = EX_AUTH, .mid = 1, .number = 2, .total = 3, .text = TEXT};
    uint8_t buf[2048];
    struct ike_header h;
    struct slice d = slice_of(buf, make(sa, &m, buf, sizeof(buf)));
    assert_true(header_read(d, &h));
    assert_null(fragments_take(sa, &h, &sa->path, d));
}

static void test_a_message_that_stays_half_made_is_given_up_in_time(void **state)
{
    (void)state;
    struct seen s;
    struct pair *p = up(&s);
    struct ike *ike = p->s[1].ike;
    struct ike_sa *first = one_of_many(p, ike->conns, false), *later = one_of_many(p, ike->conns, false);
    half_a_message(first);
    pair_wait(p, FRAGMENTS_MS / 2);
    half_a_message(later);
    pair_wait(p, FRAGMENTS_MS / 2 - 1000);
    assert_non_null(first->later->parts[0]);
    pair_wait(p, 2000);
    assert_null(first->later->parts[0]);
    assert_non_null(later->later->parts[0]); // each has its own time
    assert_int_equal(ike->counters[CNT_fragments_overdue], 1);
    half_a_message(first); // what comes behind begins anew
    assert_non_null(first->later->parts[0]);
    pair_wait(p, FRAGMENTS_MS / 2);
    assert_null(later->later->parts[0]);
    pair_wait(p, FRAGMENTS_MS);
    assert_int_equal(held(p, 1), 0);
    assert_int_equal(ike->counters[CNT_fragments_overdue], 3);
    sa_destroy(later);
    sa_destroy(first);
    pair_free(p);
}

static void test_ten_thousand_half_made_messages_hold_bounded_memory(void **state)
{
    (void)state;
    static struct ike_sa *all[PEERS];
    struct seen s;
    struct pair *p = up(&s);
    struct ike *ike = p->s[1].ike;
    struct ike_sa *known = one_of_many(p, ike->conns, false);
    half_a_message(known);
    size_t one = ike->fragments[0].bytes;
    assert_true(one > TEXT && one < 2 * TEXT);
    for (unsigned i = 0; i < PEERS; i++) {
        all[i] = one_of_many(p, ike->conns, true);
        half_a_message(all[i]);
        assert_true(ike->fragments[1].bytes <= FRAGMENTS_STRANGERS);
    }
    uint64_t kept = PEERS - ike->counters[CNT_fragments_evicted];
    assert_int_equal(kept, FRAGMENTS_STRANGERS / one);
    assert_int_equal(ike->fragments[1].bytes, kept * one);
    assert_null(all[0]->later->parts[0]); // the ones that began first made room
    assert_non_null(all[PEERS - 1]->later->parts[0]);
    assert_non_null(known->later->parts[0]); // strangers take nothing from a peer
    for (unsigned i = 0; i < PEERS; i++)
        sa_destroy(all[i]);
    assert_int_equal(ike->fragments[1].bytes, 0);
    assert_null(ike->fragments[1].first);
    assert_null(ike->fragments[1].last);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_larger_than_a_datagram_go_in_fragments),
        cmocka_unit_test(test_fragments_are_sent_only_where_both_ends_can_and_the_sender_will),
        cmocka_unit_test(test_a_successor_of_the_ike_sa_fragments_too),
        cmocka_unit_test(test_any_fragment_may_be_lost),
        cmocka_unit_test(test_fragments_come_twice_and_in_any_order),
        cmocka_unit_test(test_a_request_that_comes_again_is_known_by_its_first_fragment_alone),
        cmocka_unit_test(test_a_request_that_is_divided_anew_is_answered_again),
        cmocka_unit_test(test_fragments_with_impossible_numbers_are_dropped),
        cmocka_unit_test(test_a_fragment_is_kept_only_when_it_is_the_peers),
        cmocka_unit_test(test_more_fragments_count_and_fewer_are_dropped),
        cmocka_unit_test(test_a_whole_message_ends_what_was_half_made),
        cmocka_unit_test(test_fragments_that_were_not_agreed_on_are_dropped),
        cmocka_unit_test(test_a_message_in_fragments_is_no_larger_than_one_in_a_datagram),
        cmocka_unit_test(test_ike_sa_init_in_fragments_reaches_nothing),
        cmocka_unit_test(test_a_message_that_stays_half_made_is_given_up_in_time),
        cmocka_unit_test(test_ten_thousand_half_made_messages_hold_bounded_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
