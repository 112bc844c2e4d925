// SPDX-License-Identifier: Apache-2.0
// Redirection (RFC 5685) between two daemons, of which one is every gateway: in INFORMATIONAL with each
// message lost or doubled, in IKE_SA_INIT and IKE_AUTH as another gateway would say it, what is not followed,
// and that it ends.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/child_payloads.h"
#include "ctrl/ike/redirect.h"
#include "ctrl/ike/revive.h"
#include "ctrl/lib/log.h"
#include "tests/unit/ike_pair.h"

enum { REST = 400000 };

static void tune(struct conn_config *c, int side)
{
    if (side == 1)
        c->local_count = 0; // it has every address
}

static struct addr address(const char *text)
{
    struct addr a;
    assert_true(addr_parse(text, &a));
    return a;
}

static void send_away(struct pair *p, const char *to, bool ok)
{
    struct msg_REDIRECT m = {.req = 99, .gateway = address(to)};
    snprintf(m.peer_id, sizeof(m.peer_id), "a.test");
    ipc_send(p->s[1].ctl_ike, MSG_REDIRECT, &m);
    for (int i = 0; i < 20 && p->s[1].last_req != 99; i++)
        loop_once(p->loop, 0);
    pair_result(p, 1, 99, ok);
}

static bool is_at(struct pair *p, const char *gateway)
{
    struct addr a = address(gateway);
    return addr_eq(&p->s[0].ike->sas->path.remote, &a);
}

static int lose_or_double(struct pair *p, unsigned number, struct datagram *d)
{
    unsigned n = *(unsigned *)p->ctx;
    (void)d;
    return number != n / 2 ? 1 : n % 2 ? 2 : 0;
}

static void test_a_client_is_sent_to_another_gateway_whatever_is_lost(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 24; i++) {
        struct pair *p = pair_established(UNIQUE_REPLACE, tune);
        unsigned at = 2 * p->sent + i;
        p->filter = lose_or_double;
        p->ctx = &at;
        send_away(p, "10.0.0.3", true);
        pair_wait(p, REST);
        pair_assert_one(p);
        assert_true(is_at(p, "10.0.0.3"));
        assert_int_equal(p->s[0].ike->sas->later->redirection.count, 1);
        pair_free(p);
    }
}

static void test_a_client_stays_one_over_a_rekeying(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune);
    rekey_ike(p->s[1].ike->sas); // who is the client does not change with it
    pair_wait(p, 60000);
    assert_false(p->s[0].ike->sas->initiator);
    send_away(p, "10.0.0.3", true);
    pair_wait(p, REST);
    pair_assert_one(p);
    assert_true(is_at(p, "10.0.0.3"));
    pair_free(p);
}

static void test_who_cannot_or_stays_is_told_of_or_closed(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune);
    send_away(p, "127.0.0.1", true); // the client does not go there
    pair_wait(p, 20000);
    pair_assert_one(p);
    pair_wait(p, 20000);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    pair_free(p);
    p = pair_established(UNIQUE_REPLACE, tune);
    p->s[1].ike->sas->redirects = false; // as if the client had not said it
    send_away(p, "10.0.0.3", false);
    pair_run(p);
    pair_assert_one(p);
    assert_true(is_at(p, "10.0.0.2"));
    pair_free(p);
}

static void test_who_stays_and_rekeys_is_closed_as_soon(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune);
    send_away(p, "127.0.0.1", true);
    pair_wait(p, 20000);
    rekey_ike(p->s[0].ike->sas);
    pair_wait(p, 20000);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    pair_free(p);
}

// --- IKE_SA_INIT ---

static struct {
    unsigned inits, from_seen;
    const char *to[8]; // of each response; NULL: it comes as it is
    bool bad_nonce, name;
    uint8_t nonce[NONCE_LEN];
} gw;

static void note_request(const struct datagram *d)
{
    static struct payloads pl;
    struct refusal r = {0};
    struct notify n;
    const struct payload *no;
    assert_int_equal(
        payloads_read(d->data[16], slice_of(d->data + IKE_HEADER_LEN, d->len - IKE_HEADER_LEN), &pl, &r), 0);
    no = payload_find(&pl, PL_NONCE);
    memcpy(gw.nonce, no->body.p, NONCE_LEN);
    if (gw.inits == 0)
        assert_true(notify_find(&pl, N_REDIRECT_SUPPORTED, &n));
    else if (notify_find(&pl, N_REDIRECTED_FROM, &n))
        gw.from_seen++;
}

static void forge(struct datagram *d, const char *to)
{
    uint8_t data[64], buf[200];
    struct writer w = writer_of(data, sizeof(data));
    struct addr a = address(to);
    struct ike_header h;
    struct pb b = pb_of(buf, sizeof(buf));
    assert_true(header_read(slice_of(d->data, d->len), &h));
    wr_u8(&w, gw.name ? 3 : 1);
    wr_u8(&w, 4);
    wr_bytes(&w, a.a, 4);
    gw.nonce[5] ^= gw.bad_nonce;
    wr_bytes(&w, gw.nonce, NONCE_LEN);
    h.spi_r = 0;
    h.next = PL_NOTIFY;
    h.length = IKE_HEADER_LEN + 8 + (uint32_t)w.len;
    header_write(&b.w, &h);
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_REDIRECT, wr_written(&w));
    assert_true(b.w.len <= d->len);
    memcpy(d->data, buf, b.w.len);
    d->len = b.w.len;
}

static int gateway(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    if (d->data[18] != EX_SA_INIT)
        return 1;
    if (d->to == 1) {
        note_request(d);
        return 1;
    }
    const char *to = gw.to[gw.inits % 8];
    gw.inits++;
    if (to)
        forge(d, to);
    return 1;
}

static struct pair *loaded(void (*set)(struct settings *s))
{
    struct pair *p = pair_new(set);
    struct conn_config c;
    memset(&gw, 0, sizeof(gw));
    for (int i = 1; i >= 0; i--) {
        pair_psk(p, i, "secret", NULL, NULL);
        pair_default_conn(&c, i);
        tune(&c, i);
        pair_load(p, i, &c);
    }
    p->filter = gateway;
    return p;
}

static void test_redirect_in_ike_sa_init_is_followed_with_our_nonce_alone(void **state)
{
    (void)state;
    for (int bad = 0; bad < 2; bad++) {
        struct pair *p = loaded(NULL);
        gw.to[0] = "10.0.0.3";
        gw.bad_nonce = bad;
        uint32_t req = pair_initiate(p, 0, "c");
        pair_wait(p, 10000); // with a wrong one: until the request goes out once more
        pair_result(p, 0, req, true);
        assert_true(is_at(p, bad ? "10.0.0.2" : "10.0.0.3"));
        assert_int_equal(gw.from_seen, !bad);
        assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
        pair_free(p);
    }
}

static void without_cookies(struct settings *s)
{
    s->cookie_threshold_ip = s->block_threshold = 0;
}

static void test_a_ring_of_gateways_ends_after_five(void **state)
{
    (void)state;
    struct pair *p = loaded(without_cookies);
    for (int i = 0; i < 8; i++)
        gw.to[i] = i % 2 ? "10.0.0.4" : "10.0.0.3";
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "more than 5"));
    assert_int_equal(gw.inits, REDIRECTS_MAX + 1);
    pair_free(p);
}

static void test_what_is_not_followed_is_named(void **state)
{
    (void)state;
    struct pair *p = loaded(NULL);
    gw.to[0] = "10.0.0.3";
    gw.name = true;
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "names are not looked up"));
    pair_free(p);
    p = loaded(NULL);
    gw.to[0] = "10.0.0.2"; // itself
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "REDIRECT to 10.0.0.2 is not followed: it leads to"));
    pair_free(p);
}

static void test_what_is_not_followed_is_named_where_no_line_is_written(void **state)
{
    (void)state;
    struct pair *p = loaded(NULL);
    gw.to[0] = "10.0.0.2";
    log_set_all(-1);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    log_set_all(0);
    assert_non_null(strstr(p->s[0].last_text, "REDIRECT to 10.0.0.2 is not followed: it leads to"));
    pair_free(p);
}

static void not_follow(struct settings *s)
{
    s->follow_redirects = false;
}

static int no_word_of_it(struct pair *p, unsigned number, struct datagram *d)
{
    static struct payloads pl;
    struct refusal r = {0};
    struct notify n;
    (void)p;
    if (number == 0) {
        payloads_read(d->data[16], slice_of(d->data + IKE_HEADER_LEN, d->len - IKE_HEADER_LEN), &pl, &r);
        assert_false(notify_find(&pl, N_REDIRECT_SUPPORTED, &n));
    } else if (number == 1) {
        forge(d, "10.0.0.3");
    }
    return 1;
}

static void test_who_follows_none_says_so(void **state)
{
    (void)state;
    struct pair *p = loaded(not_follow);
    p->filter = no_word_of_it;
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_int_equal(p->sent, 2);
    pair_free(p);
}

// --- IKE_AUTH: the CHILD SA's place is the notify's ---

static const char *instead;
void __real_child_put_answer(struct pb *b, const struct child_sa *c, const struct kex *k);
void __wrap_child_put_answer(struct pb *b, const struct child_sa *c, const struct kex *k);
void __wrap_child_put_answer(struct pb *b, const struct child_sa *c, const struct kex *k)
{
    uint8_t data[6] = {1, 4};
    struct addr a;
    if (!instead) {
        __real_child_put_answer(b, c, k);
        return;
    }
    a = address(instead);
    memcpy(data + 2, a.a, 4);
    instead = NULL;
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_REDIRECT, slice_of(data, sizeof(data)));
}

static void test_redirect_in_ike_auth_is_followed(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, tune);
    instead = "10.0.0.3";
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_wait(p, 10000);
    pair_assert_one(p);
    assert_true(is_at(p, "10.0.0.3"));
    pair_free(p);
}

// What it was made to replace goes, when the one with the other gateway is there.
static void test_reauthentication_that_is_redirected_replaces_all_the_same(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, tune);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    instead = "10.0.0.3";
    revive_reauthenticate(p->s[0].ike->sas);
    pair_wait(p, REST);
    assert_true(!instead);
    pair_assert_one(p);
    assert_true(is_at(p, "10.0.0.3"));
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_is_sent_to_another_gateway_whatever_is_lost),
        cmocka_unit_test(test_a_client_stays_one_over_a_rekeying),
        cmocka_unit_test(test_who_cannot_or_stays_is_told_of_or_closed),
        cmocka_unit_test(test_who_stays_and_rekeys_is_closed_as_soon),
        cmocka_unit_test(test_redirect_in_ike_sa_init_is_followed_with_our_nonce_alone),
        cmocka_unit_test(test_a_ring_of_gateways_ends_after_five),
        cmocka_unit_test(test_what_is_not_followed_is_named),
        cmocka_unit_test(test_what_is_not_followed_is_named_where_no_line_is_written),
        cmocka_unit_test(test_who_follows_none_says_so),
        cmocka_unit_test(test_redirect_in_ike_auth_is_followed),
        cmocka_unit_test(test_reauthentication_that_is_redirected_replaces_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
