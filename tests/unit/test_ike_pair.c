// SPDX-License-Identifier: Apache-2.0
// Two daemons against each other, message by message: the good case, each message lost or doubled, every
// refusal by name, and the ends of SAs. IKE_LOG=1 in the environment shows both daemons' log.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/control.h"
#include "ctrl/ike/cookie.h"
#include "ctrl/ike/initiate.h"
#include "tests/unit/ike_pair.h"

static void test_psk_handshake_gives_matching_child_sas(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    pair_simple(p);
    uint32_t req = pair_initiate(p, 0, "c");
    pair_result(p, 0, req, true);
    assert_int_equal(p->sent, 4);
    assert_int_equal(pair_live(&p->s[0]), 1);
    assert_true(pair_agree(p));
    assert_int_equal(pair_sa(&p->s[0], 0)->key_len, 36);
    assert_int_equal(p->s[0].ike_up, 1);
    assert_int_equal(p->s[1].child_up, 1);
    assert_false(pair_sa(&p->s[0], 0)->child.udp_encap);
    assert_int_equal(pair_sa(&p->s[0], 0)->child.replay_window, p->set.replay_window);
    pair_free(p);
}

static void test_every_suite_gives_matching_child_sas(void **state)
{
    static const char *const ike[] = {
        "aes128gcm16 prfsha256 ecp256",      "aes256gcm16 prfsha384 ecp384",
        "aes192gcm16 prfsha512 ecp521",      "chacha20poly1305 prfsha256 curve448",
        "aes128 sha256 prfsha256 modp2048",  "aes256 sha384 prfsha384 modp3072",
        "aes192 sha512 prfsha512 curve25519"};
    static const char *const esp[] = {"aes128gcm16",   "aes256gcm16",   "aes192gcm16",    "chacha20poly1305",
                                      "aes128 sha256", "aes256 sha384", "aes256gcm16 esn"};
    (void)state;
    for (unsigned i = 0; i < sizeof(ike) / sizeof(ike[0]); i++) {
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        for (int side = 0; side < 2; side++) {
            pair_default_conn(&c, side);
            pair_proposal(&c.proposals[0], PROTO_IKE, ike[i]);
            pair_proposal(&c.children[0].proposals[0], PROTO_ESP, esp[i]);
            pair_load(p, side, &c);
            pair_psk(p, side, "a secret of both", NULL, NULL);
        }
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
        assert_int_equal(pair_sa(&p->s[0], 0)->child.esn, strstr(esp[i], "esn") != NULL);
        pair_free(p);
    }
}

static int lose_one(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    return number == *(unsigned *)p->ctx ? 0 : 1;
}

static void test_each_message_lost_once_is_made_up_for(void **state)
{
    (void)state;
    for (unsigned lost = 0; lost < 4; lost++) {
        struct pair *p = pair_new(NULL);
        pair_simple(p);
        p->filter = lose_one;
        p->ctx = &lost;
        uint32_t req = pair_initiate(p, 0, "c");
        pair_wait(p, 5000);
        pair_result(p, 0, req, true);
        assert_true(pair_agree(p));
        assert_int_equal(pair_live(&p->s[1]), 1);
        pair_free(p);
    }
}

static int twice(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    (void)d;
    return 2;
}

static void test_every_message_doubled_changes_nothing(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    pair_simple(p);
    p->filter = twice;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_wait(p, 10000);
    assert_true(pair_agree(p));
    assert_int_equal(pair_live(&p->s[0]), 1);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_int_equal(p->s[1].ike->sa_count, 1);
    pair_terminate(p, 1, NULL, false);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    pair_free(p);
}

static void test_invalid_ke_is_retried_with_the_group_that_the_peer_wants(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 0);
    pair_proposal(&c.proposals[0], PROTO_IKE, "aes256gcm16 prfsha256 modp2048 ecp384");
    pair_load(p, 0, &c);
    pair_default_conn(&c, 1);
    pair_proposal(&c.proposals[0], PROTO_IKE, "aes256gcm16 prfsha256 ecp384");
    pair_load(p, 1, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(p->sent, 6);
    assert_true(pair_agree(p));
    assert_int_equal(p->s[0].ike->sas->suite->ke.id, TRID_ECP_384);
    pair_free(p);
}

static int give_spi_early(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    if (number == 1)
        d->data[15] = 7; // libreswan sends INVALID_KE_PAYLOAD under its own SPI
    return 1;
}

static void test_invalid_ke_under_a_responder_spi_is_retried_all_the_same(void **state)
{
    struct conn_config c;
    (void)state;
    struct pair *p = pair_new(NULL);
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, i);
        pair_proposal(&c.proposals[0], PROTO_IKE,
                      i ? "aes256gcm16 prfsha256 x25519" : "aes256gcm16 prfsha256 ecp256 x25519");
        pair_load(p, i, &c);
        pair_psk(p, i, "a secret of both", "a.test", "b.test");
    }
    p->filter = give_spi_early;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
    pair_free(p);
}

static void test_no_common_proposal_is_refused(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 1);
    pair_proposal(&c.proposals[0], PROTO_IKE, "aes128gcm16 prfsha256 x25519");
    pair_load(p, 1, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "NO_PROPOSAL_CHOSEN"));
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    pair_free(p);
}

static void cookies_from_the_first(struct settings *s)
{
    s->cookie_threshold = 1;
}

static int hold_back(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)d;
    return number != 1; // the first answer never arrives: one half-open SA stays
}

static void test_cookie_is_asked_for_and_brought(void **state)
{
    (void)state;
    struct pair *p = pair_new(cookies_from_the_first);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 0);
    c.name = "second";
    c.children[0].name = "d";
    pair_load(p, 0, &c);
    p->filter = hold_back;
    pair_initiate(p, 0, "c");
    assert_int_equal(table_count(&p->s[1].ike->half_open), 1);
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    assert_int_equal(p->s[1].ike->counters[CNT_cookies_sent], 1);
    assert_int_equal(p->sent, 2 + 6);
    pair_free(p);
}

static struct {
    struct pair *p;
    unsigned count;
} gathered;

static void gather(void *ctx, const struct net_path *path, struct slice d)
{
    struct ike *ike = gathered.p->s[1].ike;
    assert_ptr_equal(ctx, ike->net.ctx);
    gathered.count++;
    ike->net.send(ctx, path, d, true);
}

static void test_answers_to_strangers_gather_and_those_that_are_lost_fill_no_log(void **state)
{
    (void)state;
    struct pair *p = gathered.p = pair_new(cookies_from_the_first);
    struct ike *ike = p->s[1].ike;
    struct sockaddr_storage to;
    struct addr a;
    pair_simple(p);
    gathered.count = 0;
    ike->net.answer = gather;
    p->filter = hold_back;
    pair_initiate(p, 0, "c");
    pair_wait(p, 20000); // the same request again, which has no cookie: its answer is no stranger's
    assert_int_equal(gathered.count, 0);
    p->filter = NULL;
    pair_terminate(p, 0, NULL, false);
    ike->half_open_count += 10;
    pair_initiate(p, 0, "c");
    pair_run(p);
    assert_int_equal(gathered.count, 1); // the cookie
    ike->half_open_count -= 10;
    addr_parse("10.0.0.9", &a);
    addr_to_sockaddr(&a, 500, &to);
    uint64_t before = ike->log_limit.left_out;
    log_set_output(-1);
    log_set_level(LOG_NET, 1);
    for (unsigned i = 0; i < 2 * LOG_LIMIT_SOURCE_BURST; i++)
        ike_answer_lost(ike, &to, ENETUNREACH);
    log_set_level(LOG_NET, -1);
    log_set_output(2);
    assert_in_range(ike->log_limit.left_out - before, LOG_LIMIT_SOURCE_BURST, 2 * LOG_LIMIT_SOURCE_BURST - 1);
    pair_free(p);
}

static void test_who_does_not_listen_is_told_of_no_sa_and_lists_them_all_the_same(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    ipc_send(p->s[0].ctl_ike, MSG_LISTEN, &(struct msg_LISTEN){.logs = 1});
    pair_run(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    rekey_ike(p->s[0].ike->sas);
    pair_wait(p, 20000);
    assert_int_equal(p->s[0].ike_up + p->s[0].child_up + p->s[0].ike_infos + p->s[0].child_infos, 0);
    assert_int_equal(p->s[1].ike_up, 1);
    assert_int_equal(p->s[1].child_up, 1);
    ipc_send(p->s[0].ctl_ike, MSG_IKE_LIST, &(struct msg_IKE_LIST){.req = 4300});
    pair_run(p);
    pair_result(p, 0, 4300, true);
    assert_int_equal(p->s[0].ike_infos, 1);
    assert_int_equal(p->s[0].child_infos, 1);
    pair_terminate(p, 0, NULL, false);
    assert_int_equal(p->s[0].ike_down + p->s[0].child_down, 0);
    assert_int_equal(p->s[1].ike_down, 1);
    pair_free(p);
}

static void test_wrong_cookie_leaves_no_state(void **state)
{
    (void)state;
    struct pair *p = pair_new(cookies_from_the_first);
    uint8_t good[COOKIE_LEN], nonce[32] = {1};
    struct addr a, b;
    struct ike *ike = p->s[1].ike;
    addr_parse("10.0.0.1", &a);
    addr_parse("10.0.0.3", &b);
    uint8_t v = cookie_version(ike);
    assert_true(cookie_make(ike, v, slice_of(nonce, 32), &a, 7, good));
    assert_true(cookie_check(ike, slice_of(good, COOKIE_LEN), slice_of(nonce, 32), &a, 7));
    assert_false(cookie_check(ike, slice_of(good, COOKIE_LEN), slice_of(nonce, 32), &b, 7));
    assert_false(cookie_check(ike, slice_of(good, COOKIE_LEN), slice_of(nonce, 32), &a, 8));
    assert_false(cookie_check(ike, slice_of(good, COOKIE_LEN), slice_of(nonce, 31), &a, 7));
    for (size_t n = 0; n < COOKIE_LEN; n++)
        assert_false(cookie_check(ike, slice_of(good, n), slice_of(nonce, 32), &a, 7));
    for (size_t n = 0; n < COOKIE_LEN; n++) {
        good[n] ^= 0x10;
        assert_false(cookie_check(ike, slice_of(good, COOKIE_LEN), slice_of(nonce, 32), &a, 7));
        good[n] ^= 0x10;
    }
    for (size_t n = 0; n < 32; n++) {
        nonce[n] ^= 0x80;
        assert_false(cookie_check(ike, slice_of(good, COOKIE_LEN), slice_of(nonce, 32), &a, 7));
        nonce[n] ^= 0x80;
    }
    pair_clock += 61000; // one change of the secret: still good; two: not any more
    assert_true(cookie_check(ike, slice_of(good, COOKIE_LEN), slice_of(nonce, 32), &a, 7));
    pair_clock += 61000;
    assert_false(cookie_check(ike, slice_of(good, COOKIE_LEN), slice_of(nonce, 32), &a, 7));
    pair_free(p);
}

static void test_wrong_secret_fails_at_both_ends_and_installs_nothing(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, i);
        pair_load(p, i, &c);
        pair_psk(p, i, i ? "one secret" : "another", "a.test", "b.test");
    }
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "AUTHENTICATION_FAILED"));
    assert_int_equal(p->s[0].sa_count + p->s[1].sa_count, 0);
    pair_wait(p, 6000);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    assert_int_equal(p->s[1].ike_up, 0);
    pair_free(p);
}

static void test_refusal_that_is_lost_is_repeated_from_the_cache(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    unsigned lost = 3;
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, i);
        pair_load(p, i, &c);
        pair_psk(p, i, i ? "one secret" : "another", "a.test", "b.test");
    }
    p->filter = lose_one;
    p->ctx = &lost;
    uint32_t req = pair_initiate(p, 0, "c");
    pair_wait(p, 4100);
    pair_result(p, 0, req, false);
    assert_non_null(strstr(p->s[0].last_text, "AUTHENTICATION_FAILED"));
    assert_int_equal(p->s[1].ike->counters[CNT_ike_auth_in_req], 1);
    assert_int_equal(p->s[1].ike->counters[CNT_auth_failed], 1);
    pair_wait(p, 2000);
    assert_int_equal(p->s[1].ike->sa_count + table_count(&p->s[1].ike->half_open), 0);
    pair_free(p);
}

static void test_secret_missing_at_the_responder_is_authentication_failed(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, i);
        pair_load(p, i, &c);
    }
    pair_psk(p, 0, "only here", NULL, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    pair_wait(p, 6000);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    pair_free(p);
}

// Side 0 says that it is admin@corp, with a secret that the gateway has for an address: the guest's, whose
// connection is beside, or the gateway's own.
static void test_secret_of_an_address_lets_no_other_identity_in(void **state)
{
    (void)state;
    static const struct {
        const char *owner, *admins;
        bool in;
    } cases[] = {{"10.0.0.1", NULL, false},
                 {"10.0.0.1", "another secret", false},
                 {"10.0.0.2", NULL, false},
                 {"10.0.0.1", "the guest's secret", true}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        pair_default_conn(&c, 1);
        c.name = "admin";
        c.remote.id = "admin@corp";
        pair_load(p, 1, &c);
        pair_default_conn(&c, 1);
        c.name = "guest";
        c.remote.id = "10.0.0.1";
        c.children[0].local_ts->t[0].lo[1] = c.children[0].local_ts->t[0].hi[1] = 77;
        pair_load(p, 1, &c);
        pair_psk(p, 1, "the guest's secret", cases[i].owner, NULL);
        if (cases[i].admins)
            pair_psk(p, 1, cases[i].admins, "admin@corp", NULL);
        pair_default_conn(&c, 0);
        c.local.id = "admin@corp";
        pair_load(p, 0, &c);
        pair_psk(p, 0, "the guest's secret", NULL, NULL);
        pair_result(p, 0, pair_initiate(p, 0, "c"), cases[i].in);
        if (!cases[i].in && !strstr(p->s[0].last_text, "AUTHENTICATION_FAILED"))
            fail_msg("case %u: %s", i, p->s[0].last_text);
        assert_int_equal(pair_live(&p->s[1]), cases[i].in);
        pair_free(p);
    }
}

static void test_unknown_identity_is_authentication_failed(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 0);
    c.local.id = "mallory.test";
    pair_load(p, 0, &c);
    pair_psk(p, 0, "a secret of both", NULL, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    pair_wait(p, 6000);
    assert_int_equal(p->s[1].ike->sa_count, 0);
    pair_free(p);
}

static void test_every_kind_of_identity_authenticates(void **state)
{
    static const char *const ids[] = {"10.0.0.1", "fec0::1", "user@a.test", "@#0a0b0c", "@fqdn.a.test", ""};
    (void)state;
    for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        pair_default_conn(&c, 0);
        c.local.id = ids[i];
        pair_load(p, 0, &c);
        pair_default_conn(&c, 1);
        c.remote.id = ids[i][0] ? ids[i] : "10.0.0.1";
        pair_load(p, 1, &c);
        for (int s = 0; s < 2; s++)
            pair_psk(p, s, "shared", ids[i][0] ? ids[i] : "10.0.0.1", "b.test");
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_free(p);
    }
}

static void test_unacceptable_selectors_keep_the_ike_sa_without_a_child(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 1);
    c.children[0].local_ts->t[0].lo[1] = c.children[0].local_ts->t[0].hi[1] = 77;
    pair_load(p, 1, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "TS_UNACCEPTABLE"));
    assert_int_equal(p->s[0].ike->sas->state, SA_ESTABLISHED);
    assert_int_equal(p->s[0].sa_count + p->s[1].sa_count, 0);
    pair_free(p);
}

static void test_selectors_are_narrowed_to_what_both_want(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 1);
    c.children[0].local_ts->t[0].hi[2] = 127; // 10.2.0.0/17
    pair_load(p, 1, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_agree(p));
    assert_int_equal(pair_sa(&p->s[0], 0)->child.remote_ts.t[0].hi[2], 127);
    pair_free(p);
}

static void test_no_common_esp_proposal_keeps_the_ike_sa(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 1);
    pair_proposal(&c.children[0].proposals[0], PROTO_ESP, "aes128gcm16");
    pair_load(p, 1, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "NO_PROPOSAL_CHOSEN"));
    assert_int_equal(p->s[1].ike->sas->state, SA_ESTABLISHED);
    pair_free(p);
}

static void test_refused_installation_is_rolled_back_at_both_ends(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_new(NULL);
        pair_simple(p);
        p->s[side].refuse_install = true;
        pair_result(p, 0, pair_initiate(p, 0, "c"), false);
        pair_wait(p, 1000);
        assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
        assert_null(p->s[0].ike->sas->children);
        assert_null(p->s[1].ike->sas->children);
        pair_free(p);
    }
}

static void test_silent_peer_is_given_up_after_the_retransmissions(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    pair_simple(p);
    p->filter = pair_lose_all;
    uint32_t req = pair_initiate(p, 0, "c");
    pair_wait(p, 164000);
    assert_int_not_equal(p->s[0].last_req, req);
    assert_int_equal(p->sent, 6);
    pair_wait(p, 3000); // 4 (1 + 1.8 + ... + 1.8^5) s = 165 s
    pair_result(p, 0, req, false);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    pair_free(p);
}

static void test_keyingtries_starts_over_with_a_new_spi(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 0);
    c.keyingtries = 2;
    pair_load(p, 0, &c);
    p->filter = pair_lose_all;
    uint32_t req = pair_initiate(p, 0, "c");
    uint64_t spi = p->s[0].ike->sas->spi_i;
    pair_wait(p, 166000);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_true(p->s[0].ike->sas->spi_i != spi);
    p->filter = NULL;
    pair_wait(p, 5000);
    pair_result(p, 0, req, true);
    assert_true(pair_agree(p));
    pair_free(p);
}

static void test_half_open_sa_goes_after_its_time(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    pair_simple(p);
    unsigned lost = 1;
    p->filter = lose_one;
    p->ctx = &lost;
    pair_initiate(p, 0, "c");
    assert_int_equal(table_count(&p->s[1].ike->half_open), 1);
    p->filter = pair_lose_all;
    pair_wait(p, 29000);
    assert_int_equal(p->s[1].ike->sa_count, 1);
    pair_wait(p, 2000);
    assert_int_equal(p->s[1].ike->sa_count, 0);
    assert_int_equal(table_count(&p->s[1].ike->half_open), 0);
    assert_int_equal(table_count(&p->s[1].ike->half_open), 0);
    pair_free(p);
}

static struct pair *established(uint32_t dpd_delay)
{
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 0);
    c.dpd_delay = dpd_delay;
    pair_load(p, 0, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    return p;
}

static void test_liveness_check_is_answered_and_the_sa_stays(void **state)
{
    (void)state;
    struct pair *p = established(10);
    pair_wait(p, 35000);
    assert_int_equal(p->s[0].ike->counters[CNT_dpd_sent], 3);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_int_equal(p->sent, 4 + 6);
    pair_free(p);
}

static void test_dead_peer_is_found_by_liveness_and_its_child_removed(void **state)
{
    (void)state;
    struct pair *p = established(10);
    p->filter = pair_lose_all;
    pair_wait(p, 10000 + 166000);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    assert_int_equal(pair_live(&p->s[0]), 0);
    assert_int_equal(p->s[0].ike_down, 1);
    assert_int_equal(p->s[0].child_down, 1);
    pair_free(p);
}

static void test_delete_from_either_end_removes_both(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = established(0);
        pair_terminate(p, side, NULL, false);
        assert_true(p->s[side].last_ok);
        assert_string_equal(p->s[side].last_text, "1");
        for (int i = 0; i < 2; i++) {
            assert_int_equal(p->s[i].ike->sa_count, 0);
            assert_int_equal(pair_live(&p->s[i]), 0);
            assert_int_equal(table_count(&p->s[i].ike->children) + table_count(&p->s[i].ike->spis), 0);
        }
        pair_free(p);
    }
}

static void test_delete_from_both_ends_at_once_removes_both(void **state)
{
    (void)state;
    struct pair *p = established(0);
    struct msg_TERMINATE m = {.req = 1, .conn = "t"};
    ipc_send(p->s[0].ctl_ike, MSG_TERMINATE, &m);
    ipc_send(p->s[1].ctl_ike, MSG_TERMINATE, &m);
    pair_run(p);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    assert_true(p->s[0].last_ok && p->s[1].last_ok);
    pair_free(p);
}

static void test_child_is_deleted_and_the_ike_sa_stays(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = established(0);
        pair_terminate(p, side, "c", false);
        assert_true(p->s[side].last_ok);
        assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
        assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 2);
        pair_free(p);
    }
}

static void test_lost_delete_answer_ends_by_retransmission(void **state)
{
    (void)state;
    struct pair *p = established(0);
    unsigned lost = 5;
    p->filter = lose_one;
    p->ctx = &lost;
    pair_terminate(p, 0, "c", false);
    assert_int_equal(pair_live(&p->s[0]), 1);
    pair_wait(p, 5000);
    assert_int_equal(pair_live(&p->s[0]), 0);
    assert_true(p->s[0].last_ok);
    pair_free(p);
}

static void test_initial_contact_replaces_what_the_peer_forgot(void **state)
{
    (void)state;
    struct pair *p = established(0);
    p->filter = pair_lose_all;
    pair_terminate(p, 0, NULL, true); // gone here, without a word to the peer
    assert_int_equal(p->s[0].ike->sa_count, 0);
    p->filter = NULL;
    pair_wait(p, 10); // of an SA of the same instant it could not have known
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(p->s[1].ike->sa_count, 1);
    assert_true(pair_agree(p));
    pair_free(p);
}

static void begin_another(struct pair *p)
{
    struct ike *ike = p->s[0].ike;
    struct conn *c = conn_find(ike, "t");
    assert_int_equal(initiate_anew(ike, c, conn_child(c, "c"), NULL), 0);
    pair_run(p);
}

// The other way round: the answer of who has forgotten the one before says so (2.4), and nothing is sent by
// that any more.
static void test_initial_contact_of_the_answer_replaces_what_the_peer_forgot(void **state)
{
    (void)state;
    for (uint8_t unique = UNIQUE_NO; unique <= UNIQUE_KEEP; unique++) {
        struct pair *p = pair_established(unique, NULL);
        uint32_t old = p->s[0].ike->sas->id;
        pair_wait(p, 10);
        sa_destroy(p->s[1].ike->sas);
        pair_run(p);
        begin_another(p);
        if (unique == UNIQUE_NEVER) { // nothing is said, and nothing would count
            assert_int_equal(p->s[0].ike->sa_count, 2);
        } else {
            pair_assert_one(p);
            assert_int_not_equal(p->s[0].ike->sas->id, old);
        }
        pair_free(p);
    }
}

// Another gateway of that name knows of no IKE SA, and says so: that of the first one is none of its
// business.
static void test_initial_contact_of_the_answer_of_another_gateway_ends_nothing(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    struct ike_sa *old = p->s[0].ike->sas;
    pair_wait(p, 10);
    sa_destroy(p->s[1].ike->sas);
    pair_run(p);
    addr_parse("10.0.0.9", &old->path.remote); // that is where it was
    begin_another(p);
    assert_int_equal(p->s[0].ike->sa_count, 2);
    assert_int_equal(p->s[1].ike->sa_count, 1);
    pair_free(p);
}

static void test_answer_beside_another_ike_sa_says_nothing_of_it(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    pair_wait(p, 10);
    begin_another(p);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p->s[i].ike->sa_count, 2);
    pair_free(p);
}

static int lose_answer_to_east(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->to != 1 || d->data[18] != EX_AUTH || !(d->data[19] & FLAG_RESPONSE);
}

// Whoever answers has begun one himself, which his peer may have already: its answer is not here yet.
static void test_answer_beside_one_that_is_on_its_way_says_nothing_of_it(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    p->filter = lose_answer_to_east;
    pair_initiate(p, 1, "c");
    pair_run(p);
    assert_int_equal(p->s[0].ike->sas->state, SA_ESTABLISHED);
    assert_int_equal(p->s[1].ike->sas->state, SA_CONNECTING);
    pair_wait(p, 10);
    begin_another(p);
    assert_int_equal(p->s[0].ike->sa_count, 2);
    p->filter = NULL;
    pair_wait(p, 60000);
    for (int i = 0; i < 2; i++)
        assert_true(p->s[i].ike->sa_count >= 1);
    assert_true(pair_agree(p));
    pair_free(p);
}

static void test_initial_contact_replaces_what_waits_for_the_answer_to_its_delete(void **state)
{
    (void)state;
    struct pair *p = established(0);
    p->filter = pair_lose_all;
    pair_terminate(p, 0, NULL, true); // gone here, without a word to the peer
    pair_terminate(p, 1, NULL, false);
    assert_int_equal(p->s[1].ike->sa_count, 1); // its DELETE is lost
    p->filter = NULL;
    pair_wait(p, 10);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(p->s[1].ike->sa_count, 1);
    assert_true(pair_agree(p));
    pair_free(p);
}

static void test_forced_encapsulation_uses_port_4500_and_udp(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        pair_simple(p);
        pair_default_conn(&c, side);
        c.encap = 1;
        pair_load(p, side, &c);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_true(pair_agree(p));
        for (int i = 0; i < 2; i++) {
            assert_true(pair_sa(&p->s[i], 0)->child.udp_encap);
            assert_int_equal(pair_sa(&p->s[i], 0)->child.remote_port, 4500);
            assert_int_equal(pair_sa(&p->s[i], 0)->child.local_port, 4500);
        }
        pair_free(p);
    }
}

static void test_nat_in_between_is_detected_and_answers_go_back_through_it(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p);
    pair_default_conn(&c, 1);
    c.remote_count = 0;
    pair_load(p, 1, &c);
    p->nat = true;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(p->s[0].ike->sas->nat.local);
    assert_true(p->s[1].ike->sas->nat.remote);
    assert_int_equal(p->s[1].ike->sas->path.remote_port, 14500);
    assert_int_equal(pair_sa(&p->s[1], 0)->child.remote_port, 14500);
    assert_true(pair_agree(p));
    pair_free(p);
}

static void test_shutdown_deletes_at_all_peers(void **state)
{
    (void)state;
    struct pair *p = established(0);
    control_shutdown(p->s[0].ike);
    pair_run(p);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    assert_int_equal(pair_live(&p->s[1]), 0);
    pair_free(p);
}

struct keys_end {
    bool asked; // it dies with the question
    unsigned answers;
};

static int keys_die(struct pair *p, unsigned number, struct datagram *d)
{
    struct keys_end *e = p->ctx;
    struct side *s = &p->s[0];
    (void)number;
    e->answers += d->to == 1;
    if (d->to == 1 || !s->keys)
        return 1;
    if (e->asked)
        ike_receive(s->ike, &d->path, slice_of(d->data, d->len));
    keys_free(s->keys);
    s->keys = NULL;
    return !e->asked;
}

// It is ended with keys, or the daemon ends: until it hears which nobody is refused, neither a stranger nor
// whom it knows.
static void keys_die_as_is_asked(bool asked, bool known)
{
    struct pair *p = known ? established(0) : pair_new(NULL);
    struct keys_end e = {.asked = asked};
    if (!known)
        pair_simple(p);
    p->ctx = &e;
    p->filter = keys_die;
    if (known)
        rekey_ike(p->s[1].ike->sas);
    else
        pair_initiate(p, 1, "c");
    pair_wait(p, 1000);
    assert_null(p->s[0].keys);
    assert_int_equal(e.answers, 0);
    control_shutdown(p->s[0].ike);
    pair_run(p);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    if (known)
        assert_int_equal(pair_live(&p->s[1]), 0);
    pair_free(p);
}

static void test_keys_process_gone_refuses_nobody_until_the_daemon_is_told_to_end(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        keys_die_as_is_asked(i & 1, i & 2);
}

// It lives, and said what is not its to say: ike ends, so that the next one has a channel again.
static void test_channel_that_is_lost_alone_ends_ike(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct pair *p = established(0);
        struct side *s = &p->s[0];
        ipc_send(i ? s->path_ike : keys_channel(s->keys, ROOM_IKE), MSG_RELOAD, &(struct msg_RELOAD){0});
        pair_wait(p, 1000);
        assert_null(ike_channel(s->ike, i ? ROOM_PATH : ROOM_KEYS));
        assert_false(loop_stopped(p->loop));
        pair_wait(p, 1500);
        assert_true(loop_stopped(p->loop));
        pair_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_psk_handshake_gives_matching_child_sas),
        cmocka_unit_test(test_every_suite_gives_matching_child_sas),
        cmocka_unit_test(test_each_message_lost_once_is_made_up_for),
        cmocka_unit_test(test_every_message_doubled_changes_nothing),
        cmocka_unit_test(test_invalid_ke_is_retried_with_the_group_that_the_peer_wants),
        cmocka_unit_test(test_invalid_ke_under_a_responder_spi_is_retried_all_the_same),
        cmocka_unit_test(test_no_common_proposal_is_refused),
        cmocka_unit_test(test_cookie_is_asked_for_and_brought),
        cmocka_unit_test(test_answers_to_strangers_gather_and_those_that_are_lost_fill_no_log),
        cmocka_unit_test(test_who_does_not_listen_is_told_of_no_sa_and_lists_them_all_the_same),
        cmocka_unit_test(test_wrong_cookie_leaves_no_state),
        cmocka_unit_test(test_wrong_secret_fails_at_both_ends_and_installs_nothing),
        cmocka_unit_test(test_refusal_that_is_lost_is_repeated_from_the_cache),
        cmocka_unit_test(test_secret_missing_at_the_responder_is_authentication_failed),
        cmocka_unit_test(test_secret_of_an_address_lets_no_other_identity_in),
        cmocka_unit_test(test_unknown_identity_is_authentication_failed),
        cmocka_unit_test(test_every_kind_of_identity_authenticates),
        cmocka_unit_test(test_unacceptable_selectors_keep_the_ike_sa_without_a_child),
        cmocka_unit_test(test_selectors_are_narrowed_to_what_both_want),
        cmocka_unit_test(test_no_common_esp_proposal_keeps_the_ike_sa),
        cmocka_unit_test(test_refused_installation_is_rolled_back_at_both_ends),
        cmocka_unit_test(test_silent_peer_is_given_up_after_the_retransmissions),
        cmocka_unit_test(test_keyingtries_starts_over_with_a_new_spi),
        cmocka_unit_test(test_half_open_sa_goes_after_its_time),
        cmocka_unit_test(test_liveness_check_is_answered_and_the_sa_stays),
        cmocka_unit_test(test_dead_peer_is_found_by_liveness_and_its_child_removed),
        cmocka_unit_test(test_delete_from_either_end_removes_both),
        cmocka_unit_test(test_delete_from_both_ends_at_once_removes_both),
        cmocka_unit_test(test_child_is_deleted_and_the_ike_sa_stays),
        cmocka_unit_test(test_lost_delete_answer_ends_by_retransmission),
        cmocka_unit_test(test_initial_contact_replaces_what_the_peer_forgot),
        cmocka_unit_test(test_initial_contact_of_the_answer_replaces_what_the_peer_forgot),
        cmocka_unit_test(test_initial_contact_of_the_answer_of_another_gateway_ends_nothing),
        cmocka_unit_test(test_answer_beside_another_ike_sa_says_nothing_of_it),
        cmocka_unit_test(test_answer_beside_one_that_is_on_its_way_says_nothing_of_it),
        cmocka_unit_test(test_initial_contact_replaces_what_waits_for_the_answer_to_its_delete),
        cmocka_unit_test(test_forced_encapsulation_uses_port_4500_and_udp),
        cmocka_unit_test(test_nat_in_between_is_detected_and_answers_go_back_through_it),
        cmocka_unit_test(test_shutdown_deletes_at_all_peers),
        cmocka_unit_test(test_keys_process_gone_refuses_nobody_until_the_daemon_is_told_to_end),
        cmocka_unit_test(test_channel_that_is_lost_alone_ends_ike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
