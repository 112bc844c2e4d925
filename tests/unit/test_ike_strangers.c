// SPDX-License-Identifier: Apache-2.0
// What strangers may send: IKE_SA_INIT in every broken shape, floods, answers nobody asked for, repeats from
// elsewhere. Nothing crashes, little is kept, and little is answered.
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/strangers.h"
#include "tests/unit/ike_pair.h"

static struct ike_sa *only(struct pair *p, int side)
{
    return p->s[side].ike->sas;
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

static struct pb empty(void)
{
    static uint8_t buf[4096];
    return pb_of(buf, sizeof(buf));
}

static struct pair *established(void)
{
    struct pair *p = pair_new(NULL);
    pair_simple(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    return p;
}

static size_t init_request_of(struct pair *p, uint8_t *out, size_t cap)
{
    struct ike_sa *sa = only(p, 0);
    assert_true(sa->hs->own_init_len <= cap);
    memcpy(out, sa->hs->own_init, sa->hs->own_init_len);
    return sa->hs->own_init_len;
}

static struct pair *with_request(uint8_t *msg, size_t *len, void (*tune)(struct settings *))
{
    struct pair *p = pair_new(tune);
    pair_simple(p);
    p->filter = pair_lose_all;
    pair_initiate(p, 0, "c");
    *len = init_request_of(p, msg, 4096);
    return p;
}

static void test_every_octet_of_ike_sa_init_changed_or_cut_is_survived(void **state)
{
    uint8_t good[4096], msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(good, &len, NULL);
    struct net_path path = toward(only(p, 0));
    p->s[1].ike->set.block_threshold = p->s[1].ike->set.cookie_threshold =
        p->s[1].ike->set.cookie_threshold_ip = 0;
    for (size_t at = 0; at < len; at++) {
        for (unsigned v = 0; v < 256; v += at < 120 ? 1 : 15) {
            memcpy(msg, good, len);
            msg[at] = (uint8_t)v;
            msg[7] ^= (uint8_t)at; // another SPI, another SA
            ike_receive(p->s[1].ike, &path, slice_of(msg, len));
            if (p->s[1].ike->sa_count > 300)
                pair_wait(p, 31000);
        }
    }
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *m = malloc(cut + 1);
        memcpy(m, good, cut);
        if (cut >= 28)
            m[26] = (uint8_t)(cut >> 8), m[27] = (uint8_t)cut;
        ike_receive(p->s[1].ike, &path, slice_of(m, cut));
        free(m);
    }
    pair_wait(p, 40000);
    assert_int_equal(p->s[1].ike->sa_count, 0);
    assert_int_equal(p->s[1].ike->half_open_count + table_count(&p->s[1].ike->half_open), 0);
    pair_free(p);
}

static unsigned answers;
static int count_answers(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    (void)p;
    answers += d->to == 0;
    return 0;
}

static void test_other_major_versions_are_answered_ten_times_a_second_at_most(void **state)
{
    uint8_t msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(msg, &len, NULL);
    struct net_path path = toward(only(p, 0));
    p->filter = count_answers;
    answers = 0;
    msg[17] = 0x30;
    for (int i = 0; i < 100; i++) {
        path.remote.a[3] =
            (uint8_t)(100 + i); // each address has a budget of its own, and there is one for all
        pair_inject(p, 1, &path, msg, len);
    }
    assert_int_equal(answers, 10);
    assert_int_equal(p->s[1].ike->sa_count, 0);
    pair_free(p);
}

static void test_complaints_to_one_address_leave_some_for_the_others(void **state)
{
    uint8_t msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(msg, &len, NULL);
    struct net_path path = toward(only(p, 0));
    p->filter = count_answers;
    answers = 0;
    msg[32] = 0xff; // the first payload's length
    for (int i = 0; i < 100; i++)
        pair_inject(p, 1, &path, msg, len);
    assert_in_range(answers, 1, 2);
    unsigned before = answers;
    path.remote.a[3] = 77;
    pair_inject(p, 1, &path, msg, len);
    assert_int_equal(answers, before + 1);
    pair_free(p);
}

static unsigned lines, summaries, known;
static void count_lines(void *ctx, enum log_subsys s, int level, const char *name, unsigned id,
                        const char *text)
{
    (void)ctx;
    (void)s;
    (void)level;
    (void)name;
    (void)id;
    lines++;
    summaries += strstr(text, "left out") != NULL;
    known += strstr(text, "parsed INFORMATIONAL request") != NULL;
}

static void count_log(bool on)
{
    lines = summaries = known = 0;
    log_set_output(on ? -1 : 2);
    log_set_all(on ? 1 : -1);
    log_set_sink(on ? count_lines : NULL, NULL);
}

// Whatever they send: noise, requests that are answered with cookies, half handshakes, messages to the SPIs
// of others.
static void flood(struct pair *p, struct net_path path, const uint8_t *good, size_t len, unsigned n,
                  bool spoofed)
{
    uint8_t msg[4096], auth[28 + 80] = {0};
    const struct ike_sa *sa = p->s[1].ike->sas;
    for (unsigned i = 0; i < n; i++) {
        if (spoofed)
            path.remote = (struct addr){4, {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 9}};
        memcpy(msg, good, len);
        memcpy(msg, &i, 4);
        msg[32] = i % 3 ? good[32] : 0xff;
        ike_receive(p->s[1].ike, &path, slice_of(msg, i % 4 ? len : i % len));
        memcpy(auth, msg, 8);
        if (sa && i % 2)
            memcpy(auth, &sa->spi_i, 8), memcpy(auth + 8, &sa->spi_r, 8);
        auth[17] = 0x20;
        auth[18] = i % 2 ? 37 : 35;
        auth[27] = sizeof(auth);
        ike_receive(p->s[1].ike, &path, slice_of(auth, sizeof(auth)));
        if (i % 100 == 0)
            pair_run(p);
    }
    pair_run(p);
}

static void test_strangers_fill_no_log_from_one_address_or_from_many(void **state)
{
    uint8_t msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(msg, &len, NULL);
    struct net_path path = toward(only(p, 0));
    count_log(true);
    flood(p, path, msg, len, 20000, false);
    assert_in_range(lines, 10, LOG_LIMIT_SOURCE_BURST);
    lines = 0;
    flood(p, path, msg, len, 20000, true);
    assert_in_range(lines, 10, LOG_LIMIT_BURST);
    pair_wait(p, 1000);
    assert_true(summaries >= 1);
    assert_true(p->s[1].ike->log_limit.left_out > 20000);
    pair_wait(p, 40000); // the half-open ones end
    assert_in_range(lines, 10, LOG_LIMIT_BURST + 41 * (LOG_LIMIT_RATE + 1));
    count_log(false);
    pair_free(p);
}

// A known peer's lines are written in the middle of a flood, even of one that names its address and its SPIs.
static void test_flood_takes_no_line_from_a_peer_that_is_known(void **state)
{
    uint8_t msg[4096];
    size_t len;
    (void)state;
    struct pair *other = with_request(msg, &len, NULL);
    struct pair *p = established();
    struct net_path path = toward(only(p, 0));
    count_log(true);
    for (unsigned i = 0; i < 20; i++) {
        flood(p, path, msg, len, 500, false);
        exchange_queue(only(p, 0), TASK_LIVENESS, 0);
        pair_run(p);
    }
    assert_int_equal(known, 20);
    count_log(false);
    pair_free(p);
    pair_free(other);
}

static void test_one_address_holds_a_limited_number_of_half_open_sas(void **state)
{
    uint8_t msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(msg, &len, NULL);
    struct net_path path = toward(only(p, 0));
    p->filter = count_answers;
    p->s[1].ike->set.cookie_threshold = p->s[1].ike->set.cookie_threshold_ip = 0;
    answers = 0;
    for (int i = 0; i < 100; i++) {
        msg[0] = (uint8_t)i;
        pair_inject(p, 1, &path, msg, len);
    }
    assert_int_equal(p->s[1].ike->sa_count, p->set.block_threshold);
    assert_int_equal(answers, p->set.block_threshold);
    pair_free(p);
}

// To each half-open one of side 1 an IKE_AUTH request that nobody has sealed.
static void claim_auth(struct pair *p)
{
    for (const struct ike_sa *sa = p->s[1].ike->sas; sa; sa = sa->next) {
        uint8_t msg[64] = {0};
        struct ike_header h = {sa->spi_i, sa->spi_r,      PL_SK, IKE_VERSION,
                               EX_AUTH,   FLAG_INITIATOR, 1,     sizeof(msg)};
        struct writer w = writer_of(msg, sizeof(msg));
        header_write(&w, &h);
        wr_u16(&w, 0);
        wr_u16(&w, sizeof(msg) - IKE_HEADER_LEN);
        pair_inject(p, 1, &sa->path, msg, sizeof(msg));
    }
}

// Of ike and keys together, beside request and answer; and where an IKE_AUTH request has come that is none.
static void test_a_half_open_sa_is_small(void **state)
{
    enum { FIRST = 200, SOME = 1000, MOST_OCTETS = 1024, MOST_MORE = 2048 };
    uint8_t msg[4096];
    size_t len, before = 0;
    (void)state;
    struct pair *p = with_request(msg, &len, NULL);
    struct net_path path = toward(only(p, 0));
    struct conn_config c;
    pair_default_conn(&c, 1);
    c.remote_count = 0; // anyone
    pair_load(p, 1, &c);
    p->s[1].ike->set.cookie_threshold = p->s[1].ike->set.cookie_threshold_ip = 0;
    for (unsigned i = 0; i < FIRST + SOME; i++) {
        if (i == FIRST)
            before = mallinfo2().uordblks + mallinfo2().hblkhd;
        path.remote = (struct addr){4, {1, (uint8_t)(i >> 8), (uint8_t)i, 9}};
        pair_inject(p, 1, &path, msg, len);
    }
    assert_int_equal(p->s[1].ike->half_open_count, FIRST + SOME);
    size_t octets = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    size_t messages = len + p->s[1].ike->sas->hs->own_init_len;
    printf("%zu octets a half-open IKE SA beside %zu of request and answer\n", octets / SOME - messages,
           messages);
    assert_true(octets <= SOME * (MOST_OCTETS + messages));
    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    claim_auth(p);
    for (const struct ike_sa *sa = p->s[1].ike->sas; sa; sa = sa->next)
        assert_non_null(sa->sk_in);
    assert_int_equal(p->s[1].ike->half_open_count, FIRST + SOME);
    octets = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("%zu more behind what claims to be IKE_AUTH\n", octets / (FIRST + SOME));
    assert_true(octets <= (FIRST + SOME) * MOST_MORE);
    pair_free(p);
}

static void test_ike_sa_init_answers_nobody_can_use_do_not_stop_the_true_one(void **state)
{
    uint8_t msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(msg, &len, NULL);
    struct ike_sa *sa = only(p, 0);
    struct net_path path = sa->path;
    for (size_t n = 28; n < 60; n++) { // cut and lying answers
        uint8_t out[64] = {0};
        struct ike_header h = {sa->spi_i,     1, PL_NOTIFY,  IKE_VERSION, EX_SA_INIT,
                               FLAG_RESPONSE, 0, (uint32_t)n};
        struct writer w = writer_of(out, sizeof(out));
        header_write(&w, &h);
        out[31] = (uint8_t)(n + 7);
        pair_inject(p, 0, &path, out, n);
    }
    for (size_t n = 0; n < 70; n += 69) { // COOKIEs of no length and of too many octets
        uint8_t out[128], cookie[70] = {0};
        struct ike_header h = {sa->spi_i,     0, PL_NOTIFY,         IKE_VERSION, EX_SA_INIT,
                               FLAG_RESPONSE, 0, (uint32_t)(36 + n)};
        struct pb b = pb_of(out, sizeof(out));
        header_write(&b.w, &h);
        pb_notify(&b, 0, slice_of(NULL, 0), N_COOKIE, slice_of(cookie, n));
        pair_inject(p, 0, &path, out, b.w.len);
    }
    assert_int_equal(p->s[0].ike->sa_count, 1);
    p->filter = NULL;
    pair_wait(p, 6000);
    assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
    pair_free(p);
}

static void test_endless_cookies_and_invalid_ke_come_to_an_end(void **state)
{
    uint8_t msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(msg, &len, NULL);
    for (int i = 0; i < 20 && p->s[0].ike->sas; i++) {
        uint8_t out[128], cookie[8] = {(uint8_t)i};
        struct ike_header h = {only(p, 0)->spi_i, 0, PL_NOTIFY, IKE_VERSION, EX_SA_INIT,
                               FLAG_RESPONSE,     0, 44};
        struct pb b = pb_of(out, sizeof(out));
        struct net_path path = only(p, 0)->path;
        header_write(&b.w, &h);
        pb_notify(&b, 0, slice_of(NULL, 0), N_COOKIE, slice_of(cookie, 8));
        pair_inject(p, 0, &path, out, b.w.len);
        assert_true(i < MAX_RESTARTS || !p->s[0].ike->sas);
    }
    pair_free(p);
}

static void test_a_moved_source_address_alone_changes_nothing(void **state)
{
    (void)state; // OpenIKED baf0c8e: a forged or replayed datagram from elsewhere
    struct pair *p = established();
    struct ike_sa *sa = only(p, 1);
    struct net_path path = toward(only(p, 0)), was = sa->path;
    struct pb b = empty();
    uint8_t *msg;
    size_t len;
    assert_int_equal(seal(only(p, 0), EX_INFORMATIONAL, false, 2, &b, &msg, &len), 0);
    addr_parse("198.51.100.7", &path.remote);
    msg[len - 1] ^= 1;
    pair_inject(p, 1, &path, msg, len);
    assert_true(addr_eq(&sa->path.remote, &was.remote));
    msg[len - 1] ^= 1;
    pair_inject(p, 1, &path, msg, len);
    assert_true(addr_eq(&sa->path.remote, &was.remote));
    free(msg);
    pair_free(p);
}

static void test_a_header_alone_does_not_call_forth_the_last_answer(void **state)
{
    (void)state; // amplification: 28 octets in, a whole response out, to an address of the sender's choice
    struct pair *p = established();
    struct ike_sa *sa = only(p, 0);
    struct net_path path = toward(sa);
    uint8_t msg[28];
    struct writer w = writer_of(msg, sizeof(msg));
    struct ike_header h = {sa->spi_i, sa->spi_r, PL_SK, IKE_VERSION, EX_AUTH, FLAG_INITIATOR, 1, sizeof(msg)};
    header_write(&w, &h);
    addr_parse("198.51.100.7", &path.remote);
    p->filter = count_answers;
    answers = 0;
    pair_inject(p, 1, &path, msg, sizeof(msg));
    h.exchange = EX_INFORMATIONAL;
    h.mid = 0;
    w = writer_of(msg, sizeof(msg));
    header_write(&w, &h);
    pair_inject(p, 1, &path, msg, sizeof(msg));
    assert_int_equal(answers, 0);
    pair_free(p);
}

static int move_ike_auth(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    if (number == 2) // the first IKE_AUTH request
        addr_parse("198.51.100.7", &d->path.remote);
    return 1;
}

static void test_a_failed_proof_counts_against_the_address_that_began(void **state)
{
    struct conn_config c;
    struct addr began, elsewhere;
    (void)state;
    struct pair *p = pair_new(NULL);
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, i);
        c.remote_count = i ? 0 : c.remote_count;
        pair_load(p, i, &c);
        pair_psk(p, i, i ? "right" : "wrong", "a.test", "b.test");
    }
    p->filter = move_ike_auth;
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    addr_parse("10.0.0.1", &began);
    addr_parse("198.51.100.7", &elsewhere);
    assert_int_equal(half_open_from(p->s[1].ike, &elsewhere), 0);
    assert_int_equal(half_open_from(p->s[1].ike, &began), 1);
    pair_wait(p, 6000);
    assert_int_equal(table_count(&p->s[1].ike->half_open), 0);
    pair_free(p);
}

static void test_errors_to_one_address_are_limited_and_others_get_theirs(void **state)
{
    uint8_t msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(msg, &len, NULL);
    struct net_path path = toward(only(p, 0));
    p->filter = count_answers;
    p->s[1].ike->set.cookie_threshold = p->s[1].ike->set.cookie_threshold_ip = 0;
    p->s[1].ike->conns->cfg.proposal_count = 0; // nothing in common: NO_PROPOSAL_CHOSEN
    answers = 0;
    for (int i = 0; i < 200; i++)
        pair_inject(p, 1, &path, msg, len);
    assert_int_equal(answers, 50);
    unsigned remote_count = p->s[1].ike->conns->cfg.remote_count;
    p->s[1].ike->conns->cfg.remote_count = 0;
    addr_parse("198.51.100.7", &path.remote);
    pair_inject(p, 1, &path, msg, len);
    assert_int_equal(answers, 51);
    p->s[1].ike->conns->cfg.remote_count = remote_count; // by which it is taken out of the index again
    pair_clock += 1000;
    addr_parse("10.0.0.1", &path.remote);
    pair_inject(p, 1, &path, msg, len);
    assert_int_equal(answers, 52);
    pair_free(p);
}

// The notify that answers, in front of what was asked.
static int ask_with_cookie(struct pair *p, unsigned number, struct datagram *d)
{
    static const size_t header = 28;
    uint8_t *msg = p->ctx, asked[4096];
    (void)number;
    assert_int_equal(d->data[16], PL_NOTIFY);
    size_t len = (size_t)msg[26] << 8 | msg[27], more = d->len - header;
    assert_true(len + more <= sizeof(asked));
    memcpy(asked, msg, len);
    memcpy(msg + header, d->data + header, more);
    memcpy(msg + header + more, asked + header, len - header);
    msg[header] = msg[16];
    msg[16] = PL_NOTIFY;
    len += more;
    msg[26] = (uint8_t)(len >> 8), msg[27] = (uint8_t)len;
    return 0;
}

static size_t with_cookie(struct pair *p, const struct net_path *path, uint8_t *msg, size_t len)
{
    p->filter = ask_with_cookie;
    p->ctx = msg;
    pair_inject(p, 1, path, msg, len);
    p->filter = pair_lose_all;
    assert_true(msg[16] == PL_NOTIFY && ((size_t)msg[26] << 8 | msg[27]) > len);
    return (size_t)msg[26] << 8 | msg[27];
}

// One cookie, over and over, where a comparison costs much and nothing is in common.
static void test_costly_requests_with_one_cookie_are_limited_and_others_get_theirs(void **state)
{
    enum { LONG = 1 << 20 };
    uint8_t good[4096], msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(good, &len, NULL);
    struct ike *ike = p->s[1].ike;
    struct net_path path = toward(only(p, 0));
    unsigned proposals = ike->conns->cfg.proposal_count;
    ike->conns->cfg.proposal_count = 0; // nothing in common: NO_PROPOSAL_CHOSEN
    ike->class_proposals += LONG;
    for (int i = 0; i < 100; i++) // in the name of the same address, without one
        pair_inject(p, 1, &path, good, len);
    assert_int_equal(ike->requests, 0);
    memcpy(msg, good, len);
    size_t n = with_cookie(p, &path, msg, len);
    for (int i = 0; i < 1000; i++)
        pair_inject(p, 1, &path, msg, n);
    assert_int_equal(ike->requests, CHOICES_A_SECOND);
    struct net_path other = path;
    addr_parse("10.0.0.9", &other.remote);
    memcpy(msg, good, len);
    n = with_cookie(p, &other, msg, len);
    pair_inject(p, 1, &other, msg, n);
    assert_int_equal(ike->requests, CHOICES_A_SECOND + 1);
    ike->conns->cfg.proposal_count = proposals;
    pair_clock += 1000;
    p->filter = NULL;
    pair_wait(p, 6000); // the true one comes again
    assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
    ike->class_proposals -= LONG;
    pair_free(p);
}

static void test_a_huge_ike_sa_init_is_not_kept(void **state)
{
    static uint8_t big[60000];
    uint8_t msg[4096];
    size_t len;
    (void)state;
    struct pair *p = with_request(msg, &len, NULL);
    struct net_path path = toward(only(p, 0));
    memcpy(big, msg, len);
    // one vendor ID payload more, of almost 60,000 octets, in front
    memmove(big + sizeof(big) - (len - 28), msg + 28, len - 28);
    size_t vendor = sizeof(big) - len;
    memset(big + 28, 0, vendor);
    big[28] = msg[16];
    big[30] = (uint8_t)(vendor >> 8);
    big[31] = (uint8_t)vendor;
    big[16] = PL_VENDOR;
    big[26] = (uint8_t)(sizeof(big) >> 8);
    big[27] = (uint8_t)sizeof(big);
    big[24] = big[25] = 0;
    p->filter = count_answers;
    answers = 0;
    pair_inject(p, 1, &path, big, sizeof(big));
    assert_int_equal(p->s[1].ike->sa_count, 0);
    assert_int_equal(answers, 0);
    pair_free(p);
}

static unsigned versions;
static int count_versions(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    versions += d->len == 36 && d->data[16] == PL_NOTIFY && d->data[17] == IKE_VERSION &&
                d->data[35] == N_INVALID_MAJOR_VERSION;
    return 0;
}

static void test_ikev1_is_answered_by_its_version_once_a_second(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct net_path path = {.local_port = 500, .remote_port = 500};
    uint8_t msg[28];
    struct writer w = writer_of(msg, sizeof(msg));
    struct ike_header h = {.spi_i = 5, .next = 1, .version = 0x10, .exchange = 2, .length = 28}; // Main Mode
    header_write(&w, &h);
    addr_parse("10.0.0.2", &path.local);
    addr_parse("10.0.0.1", &path.remote);
    p->filter = count_versions;
    versions = 0;
    for (int i = 0; i < 100; i++)
        pair_inject(p, 1, &path, msg, sizeof(msg));
    assert_int_equal(versions, 1);
    pair_clock += 1000;
    pair_inject(p, 1, &path, msg, sizeof(msg));
    assert_int_equal(versions, 2);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_octet_of_ike_sa_init_changed_or_cut_is_survived),
        cmocka_unit_test(test_other_major_versions_are_answered_ten_times_a_second_at_most),
        cmocka_unit_test(test_complaints_to_one_address_leave_some_for_the_others),
        cmocka_unit_test(test_strangers_fill_no_log_from_one_address_or_from_many),
        cmocka_unit_test(test_flood_takes_no_line_from_a_peer_that_is_known),
        cmocka_unit_test(test_one_address_holds_a_limited_number_of_half_open_sas),
        cmocka_unit_test(test_a_half_open_sa_is_small),
        cmocka_unit_test(test_ike_sa_init_answers_nobody_can_use_do_not_stop_the_true_one),
        cmocka_unit_test(test_endless_cookies_and_invalid_ke_come_to_an_end),
        cmocka_unit_test(test_a_moved_source_address_alone_changes_nothing),
        cmocka_unit_test(test_a_header_alone_does_not_call_forth_the_last_answer),
        cmocka_unit_test(test_a_failed_proof_counts_against_the_address_that_began),
        cmocka_unit_test(test_errors_to_one_address_are_limited_and_others_get_theirs),
        cmocka_unit_test(test_costly_requests_with_one_cookie_are_limited_and_others_get_theirs),
        cmocka_unit_test(test_a_huge_ike_sa_init_is_not_kept),
        cmocka_unit_test(test_ikev1_is_answered_by_its_version_once_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
