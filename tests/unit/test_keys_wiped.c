// SPDX-License-Identifier: Apache-2.0
// What proofs are made with goes with the last proof, CHILD SA or none: SK_p, IntAuth and what EAP made are
// then nowhere in the process, however both ends were proven, and SK_d stands in one place. All of memory but
// the stack, where the test has its own, is searched.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/crypto/mschapv2.h"
#include "ctrl/crypto/signature.h"
#include "ctrl/keys/room.h"
#include "ctrl/keys/vault.h"
#include "tests/unit/keys_rig.h"
#include "tests/unit/memory_search.h"

static const uint8_t PEER[16] = {0x21, 0x40, 0x23};
static const struct cr_sk_alg ALG = {20, 256, 0};

// --- memory that runs out ---

static bool none_left;

void *__real_vault_get(struct vault *v, size_t size);
void *__wrap_vault_get(struct vault *v, size_t size);

void *__wrap_vault_get(struct vault *v, size_t size)
{
    return none_left ? NULL : __real_vault_get(v, size);
}

// --- the search ---

static unsigned count(const uint8_t *secret, size_t len)
{
    uint8_t complement[64];
    assert_true(len >= 16 && len <= sizeof(complement));
    for (size_t i = 0; i < len; i++)
        complement[i] = (uint8_t)~secret[i];
    return memory_count(complement, len);
}

static void assert_waits(const struct ike_secrets *s)
{
    assert_true(count(s->sk_pi, s->prf_len) && count(s->sk_pr, s->prf_len));
}

static void assert_gone(uint32_t id, const struct ike_secrets *s)
{
    const struct ike_entry *e = keys_find_ike(b->keys, id);
    assert_true(e && e->settled);
    assert_int_equal(count(s->sk_pi, s->prf_len), 0);
    assert_int_equal(count(s->sk_pr, s->prf_len), 0);
    assert_int_equal(count(s->sk_d, s->prf_len), 1);
    assert_int_equal(b->installs, 0);
}

// --- proofs ---

static bool make(uint32_t id, struct slice key_id, bool more)
{
    uint8_t x[100], y[100];
    struct msg_AUTH_MAKE m = {.req = ++req,
                              .ike_id = id,
                              .method = key_id.len ? CR_METHOD_SIGNATURE : CR_METHOD_PSK,
                              .message = slice_str("mine"),
                              .peer_nonce = slice_of(NR, 32),
                              .id_body = id_body("b.test", x),
                              .peer_id_body = id_body("a.test", y),
                              .key_id = key_id,
                              .schemes = key_id.len ? cr_schemes_default() : 0,
                              .more = more};
    return say(b->ike, MSG_AUTH_MAKE, &m);
}

static bool make_by_secret(uint32_t id)
{
    return make(id, slice_of(NULL, 0), false);
}

static void load_key(uint8_t id[20])
{
    static const uint8_t der[48] = {0x30, 0x2e, 2,    1, 0,    0x30, 5,    6, 3,
                                    0x2b, 0x65, 0x70, 4, 0x22, 4,    0x20, 1};
    struct msg_KEY_LOAD l = {.req = ++req, .type = "any", .data = slice_of(der, sizeof(der))};
    assert_true(say(b->ctl, MSG_KEY_LOAD, &l) && b->len == 20);
    memcpy(id, b->data, 20);
}

static void sign(uint32_t id)
{
    uint8_t key[20];
    load_key(key);
    assert_true(make(id, slice_of(key, 20), false));
}

static void peer_signed(uint32_t id)
{
    uint8_t x[100];
    struct msg_AUTH_OCTETS o = {.req = ++req, .ike_id = id, .id_body = id_body("a.test", x)};
    assert_true(say(b->ike, MSG_AUTH_OCTETS, &o));
    say(b->ike, MSG_AUTH_VERIFIED, &(struct msg_AUTH_VERIFIED){.ike_id = id});
}

// The peer shows that it knows the secret.
static bool check(uint32_t id, const struct ike_secrets *s, bool of_initiator, struct slice secret)
{
    uint8_t x[100], y[100], auth[64];
    struct slice nonce = of_initiator ? slice_of(NR, 32) : slice_of(NI, 32);
    derive_psk_auth(s, of_initiator, secret, slice_str("theirs"), nonce, id_body("a.test", y), auth);
    struct msg_AUTH_CHECK m = {.req = ++req,
                               .ike_id = id,
                               .method = CR_METHOD_PSK,
                               .message = slice_str("theirs"),
                               .own_nonce = nonce,
                               .id_body = id_body("b.test", x),
                               .peer_id_body = id_body("a.test", y),
                               .auth = slice_of(auth, s->prf_len)};
    return say(b->ike, MSG_AUTH_CHECK, &m);
}

static void test_secret_or_signature_of_either_end(void **state)
{
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    for (uint32_t i = 0; i < 8; i++) {
        bool initiator = i & 1, signs = i & 2, peer_signs = i & 4;
        struct ike_secrets s = {0};
        assert_true(derive(i + 1, initiator, &s));
        assert_waits(&s);
        for (unsigned turn = 0; turn < 2; turn++) {
            if (turn)
                assert_waits(&s);
            if (turn == (initiator ? 0 : 1) && signs)
                sign(i + 1);
            else if (turn == (initiator ? 0 : 1))
                assert_true(make_by_secret(i + 1));
            else if (peer_signs)
                peer_signed(i + 1);
            else
                assert_true(check(i + 1, &s, !initiator, slice_str("secret")));
        }
        assert_gone(i + 1, &s);
    }
}

static void test_without_memory_too(void **state)
{
    struct ike_secrets s = {0};
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s) && check(1, &s, true, slice_str("secret")));
    none_left = true;
    assert_true(make_by_secret(1));
    none_left = false;
    assert_gone(1, &s);
    assert_true(install(1, 1));
}

// --- two rounds (RFC 4739) ---

static void test_second_round_is_waited_for_and_what_follows_waits_too(void **state)
{
    struct ike_secrets s = {0};
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s) && check(1, &s, true, slice_str("secret")));
    assert_true(make(1, slice_of(NULL, 0), true));
    assert_waits(&s);
    assert_false(install(1, 1)); // the peer has half proven itself
    struct msg_TICKET_SEAL seal = {.req = ++req, .ike_id = 1, .lifetime_s = 100};
    assert_false(say(b->ike, MSG_TICKET_SEAL, &seal));
    say(b->ike, MSG_AUTH_ROUND, &(struct msg_AUTH_ROUND){.ike_id = 1, .own = 1, .peer = 1});
    assert_true(check(1, &s, true, slice_str("secret")));
    assert_waits(&s);
    assert_true(make_by_secret(1));
    assert_gone(1, &s);
    say(b->ike, MSG_AUTH_ROUND, &(struct msg_AUTH_ROUND){.ike_id = 1, .own = 1, .peer = 1});
    assert_true(install(1, 1)); // there is no third one
}

// Four rounds, of which one end has but two: nothing goes before the last proof, and there is no fifth.
static void test_keys_stay_until_the_last_of_several_rounds(void **state)
{
    struct ike_secrets s = {0};
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s) && check(1, &s, true, slice_str("secret")));
    assert_true(make(1, slice_of(NULL, 0), true));
    for (uint8_t round = 1; round < ROUNDS_MAX; round++) {
        bool own = round == 1, more = round + 1 < ROUNDS_MAX;
        assert_waits(&s);
        assert_false(install(1, 1));
        say(b->ike, MSG_AUTH_ROUND,
            &(struct msg_AUTH_ROUND){.ike_id = 1, .own = own, .peer = 1, .more = more});
        assert_true(check(1, &s, true, slice_str("secret")));
        assert_int_equal(make(1, slice_of(NULL, 0), more), own);
    }
    assert_gone(1, &s);
    say(b->ike, MSG_AUTH_ROUND, &(struct msg_AUTH_ROUND){.ike_id = 1, .own = 1, .peer = 1, .more = 1});
    assert_true(install(1, 1));
}

// A peer that is never done is: no connection has five.
static void test_there_is_no_fifth_round(void **state)
{
    struct ike_secrets s = {0};
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s) && check(1, &s, true, slice_str("secret")));
    assert_true(make(1, slice_of(NULL, 0), true));
    for (unsigned round = 1; round <= ROUNDS_MAX; round++) {
        say(b->ike, MSG_AUTH_ROUND, &(struct msg_AUTH_ROUND){.ike_id = 1, .own = 0, .peer = 1, .more = 1});
        assert_int_equal(check(1, &s, true, slice_str("secret")), round < ROUNDS_MAX);
    }
    assert_false(install(1, 1));
}

static void test_round_that_was_not_announced_is_none(void **state)
{
    struct ike_secrets s = {0};
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s) && check(1, &s, true, slice_str("secret")) && make_by_secret(1));
    say(b->ike, MSG_AUTH_ROUND, &(struct msg_AUTH_ROUND){.ike_id = 1, .own = 1, .peer = 1});
    assert_gone(1, &s);
    assert_false(check(1, &s, true, slice_str("secret")));
    assert_true(install(1, 1));
}

// Nothing that is asked of it gets at what was there.
static void test_no_other_proof_begins(void **state)
{
    struct ike_secrets s = {0};
    uint8_t x[100];
    (void)state;
    assert_true(load("x", "secret", NULL, NULL) && load("p", "ppk", NULL, NULL));
    for (uint32_t i = 1; i <= 2; i++) {
        assert_true(derive(i, i == 1, &s));
        if (i == 1)
            assert_true(make(i, slice_of(NULL, 0), true));
        assert_true(check(i, &s, i != 1, slice_str("secret")));
        if (i == 2)
            assert_true(make(i, slice_of(NULL, 0), true));
        say(b->ike, MSG_AUTH_ROUND, &(struct msg_AUTH_ROUND){.ike_id = i, .own = 1, .peer = 1});
        if (i == 1)
            assert_true(make_by_secret(i));
        assert_true(check(i, &s, i != 1, slice_str("secret")));
        if (i == 2)
            assert_true(make_by_secret(i));
        assert_gone(i, &s);
        assert_false(make_by_secret(i) || check(i, &s, i != 1, slice_str("secret")));
        assert_false(say(b->ike, MSG_AUTH_OCTETS,
                         &(struct msg_AUTH_OCTETS){.req = ++req, .ike_id = i, .id_body = id_body("x", x)}));
        for (uint8_t only = 0; only < 2; only++)
            assert_false(say(b->ike, MSG_EAP_TLS_BEGIN,
                             &(struct msg_EAP_TLS_BEGIN){.req = ++req, .ike_id = i, .only = only}));
        assert_false(say(b->ike, MSG_EAP_BEGIN, &(struct msg_EAP_BEGIN){.req = ++req, .ike_id = i}));
        assert_false(say(b->ike, MSG_PPK_SELECT,
                         &(struct msg_PPK_SELECT){.req = ++req, .ike_id = i, .ppk_id = slice_str("p")}));
        assert_true(install(i, i));
        b->installs = 0;
    }
}

// --- EAP ---

static void load_eap(void)
{
    uint8_t buf[100];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_cstr(&w, "alice");
    struct msg_SECRET_LOAD m = {
        .req = ++req, .id = "e", .type = "eap", .data = slice_str("password"), .owners = wr_written(&w)};
    assert_true(say(b->ctl, MSG_SECRET_LOAD, &m));
}

// What the password makes of both challenges.
static void mschap(const uint8_t *server, const uint8_t *client, uint8_t response[24],
                   uint8_t authenticator[20], uint8_t msk[64])
{
    struct mschap *m = mschap_new(NULL);
    uint8_t hash[16];
    struct mschap_exchange x = {server, client, "alice", 5};
    assert_true(mschap_nt_hash(m, "password", 8, hash) == 0 && mschap_response(m, &x, hash, response) == 0);
    assert_true(mschap_authenticator(m, &x, hash, response, authenticator) == 0);
    assert_int_equal(mschap_msk(m, hash, response, msk), 0);
    mschap_free(m);
}

static void test_eap_as_the_server(void **state)
{
    (void)state;
    load_eap();
    for (uint32_t right = 0; right < 2; right++) {
        struct ike_secrets s = {0};
        uint8_t response[24] = {0}, authenticator[20] = {0}, msk[64] = {0};
        assert_true(derive(1, false, &s));
        assert_true(say(b->ike, MSG_EAP_BEGIN, &(struct msg_EAP_BEGIN){.req = ++req, .ike_id = 1}));
        mschap(b->data, PEER, response, authenticator, msk);
        response[0] ^= !right;
        sign(1);
        struct msg_EAP_MSCHAP m = {.req = ++req,
                                   .ike_id = 1,
                                   .user = slice_str("alice"),
                                   .account = slice_str("alice"),
                                   .peer_challenge = slice_of(PEER, 16),
                                   .response = slice_of(response, 24)};
        assert_int_equal(say(b->ike, MSG_EAP_MSCHAP, &m), right);
        assert_int_equal(count(msk, 32), right); // the second half is zero; a wrong password made none
        if (!right)
            continue;
        assert_true(check(1, &s, true, slice_of(msk, 64)));
        assert_waits(&s);
        assert_true(make_by_secret(1));
        assert_gone(1, &s);
        assert_int_equal(count(msk, 32), 0);
        assert_false(make_by_secret(1) || check(1, &s, true, slice_of(msk, 64)));
        assert_true(install(1, 1));
    }
}

static void test_eap_as_the_client(void **state)
{
    static const uint8_t challenge[16] = {9, 8, 7};
    (void)state;
    load_eap();
    for (uint32_t right = 0; right < 2; right++) {
        struct ike_secrets s = {0};
        uint8_t response[24] = {0}, authenticator[20] = {0}, msk[64] = {0};
        assert_true(derive(1, true, &s));
        peer_signed(1);
        struct msg_EAP_ANSWER a = {.req = ++req,
                                   .ike_id = 1,
                                   .user = slice_str("alice"),
                                   .account = slice_str("alice"),
                                   .challenge = slice_of(challenge, 16)};
        assert_true(say(b->ike, MSG_EAP_ANSWER, &a));
        mschap(challenge, b->data, response, authenticator, msk);
        assert_int_equal(count(msk, 32), 1);
        authenticator[0] ^= !right;
        struct msg_EAP_SERVER m = {
            .req = ++req, .ike_id = 1, .authenticator = slice_of(authenticator, sizeof(authenticator))};
        assert_int_equal(say(b->ike, MSG_EAP_SERVER, &m), right);
        assert_int_equal(count(msk, 32), right);
        if (!right)
            continue;
        assert_true(make_by_secret(1));
        assert_waits(&s);
        assert_true(check(1, &s, false, slice_of(msk, 64)));
        assert_gone(1, &s);
        assert_int_equal(count(msk, 32), 0);
        assert_true(install(1, 1));
    }
}

static void test_eap_tls_alone(void **state)
{
    struct ike_secrets s = {0};
    uint8_t key[20], data[64 + 34 + 32], msk[64];
    (void)state;
    load_key(key);
    memset(data, ' ', sizeof(data));
    memcpy(data + 64, "TLS 1.3, server CertificateVerify", 34);
    for (uint8_t i = 0; i < sizeof(msk); i++)
        msk[i] = (uint8_t)(i * 37 + 11);
    assert_true(derive(1, false, &s));
    assert_true(
        say(b->ike, MSG_EAP_TLS_BEGIN, &(struct msg_EAP_TLS_BEGIN){.req = ++req, .ike_id = 1, .only = 1}));
    struct msg_EAP_TLS_SIGN sig = {.req = ++req,
                                   .ike_id = 1,
                                   .key_id = slice_of(key, 20),
                                   .scheme = CR_SCHEME_ED25519,
                                   .data = slice_of(data, sizeof(data))};
    assert_true(say(b->ike, MSG_EAP_TLS_SIGN, &sig));
    struct msg_EAP_TLS_MSK m = {.req = ++req, .ike_id = 1, .msk = slice_of(msk, 64)};
    assert_true(say(b->ike, MSG_EAP_TLS_MSK, &m));
    assert_int_equal(count(msk, 64), 1);
    assert_true(check(1, &s, true, slice_of(msk, 64)) && make_by_secret(1));
    assert_gone(1, &s);
    assert_int_equal(count(msk, 64), 0);
}

// --- PPK, IKE_INTERMEDIATE ---

static const uint8_t PPK[32] = {0x70, 0x71};

static void load_ppk(void)
{
    uint8_t buf[100];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_cstr(&w, "p");
    struct msg_SECRET_LOAD m = {
        .req = ++req, .id = "p", .type = "ppk", .data = slice_of(PPK, 32), .owners = wr_written(&w)};
    assert_true(say(b->ctl, MSG_SECRET_LOAD, &m) && load("x", "secret", NULL, NULL));
}

static void test_with_a_ppk_and_without_it_as_the_peer_has_it(void **state)
{
    (void)state;
    load_ppk();
    for (uint32_t used = 0; used < 2; used++) {
        struct ike_secrets s = {0}, with = {0};
        assert_true(derive(1, true, &s) && derive_ppk(&s, slice_of(PPK, 32), &with) == 0);
        struct msg_PPK_SELECT m = {.req = ++req, .ike_id = 1, .ppk_id = slice_str("p")};
        assert_true(say(b->ike, MSG_PPK_SELECT, &m) && make_by_secret(1));
        assert_waits(&s);
        assert_waits(&with);
        say(b->ike, MSG_PPK_SETTLE, &(struct msg_PPK_SETTLE){.ike_id = 1, .used = (uint8_t)used});
        const struct ike_secrets *stays = used ? &with : &s, *goes = used ? &s : &with;
        assert_int_equal(count(goes->sk_pi, 32) + count(goes->sk_d, 32), 0);
        assert_true(check(1, stays, false, slice_str("secret")));
        assert_gone(1, stays);
        say(b->ike, MSG_IKE_FORGET, &(struct msg_IKE_FORGET){.ike_id = 1});
        assert_int_equal(count(stays->sk_d, 32), 0);
    }
}

static void test_what_intermediate_exchanges_added(void **state)
{
    struct ike_secrets s = {0}, next = {0};
    (void)state;
    load_ppk();
    assert_true(derive(1, true, &s));
    assert_int_equal(derive_intermediate(&ALG, slice_of(NULL, 0), slice_of(PPK, 32), slice_of(NI, 32),
                                         slice_of(NR, 32), 3, 4, slice_str("req"), slice_str("res"), &s,
                                         &next),
                     0);
    struct msg_IKE_UPDATE m = {.req = ++req,
                               .ike_id = 1,
                               .encr = 20,
                               .encr_bits = 256,
                               .ni = slice_of(NI, 32),
                               .nr = slice_of(NR, 32),
                               .spi_i = 3,
                               .spi_r = 4,
                               .request = slice_str("req"),
                               .response = slice_str("res"),
                               .ppk_id = slice_str("p")};
    assert_true(say(b->ike, MSG_IKE_UPDATE, &m));
    assert_int_equal(count(s.sk_pi, 32) + count(s.sk_d, 32), 0);
    assert_int_equal(count(next.int_i, 32), 1);
    assert_int_equal(count(next.int_r, 32), 1);
    assert_true(make_by_secret(1) && check(1, &next, false, slice_str("secret")));
    assert_gone(1, &next);
    assert_int_equal(count(next.int_i, 32) + count(next.int_r, 32), 0);
}

// --- IKE SAs that come out of others ---

static void test_one_that_is_resumed(void **state)
{
    struct ike_secrets s = {0}, next = {0};
    uint8_t x[100], auth[64];
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s) && check(1, &s, true, slice_str("secret")) && make_by_secret(1));
    struct msg_TICKET_SEAL seal = {
        .req = ++req, .ike_id = 1, .lifetime_s = 100, .state = slice_str("its state")};
    assert_true(say(b->ike, MSG_TICKET_SEAL, &seal) && b->len);
    say(b->ike, MSG_IKE_FORGET, &(struct msg_IKE_FORGET){.ike_id = 1, .lost = 1});
    assert_int_equal(count(s.sk_d, 32), 0);
    struct msg_IKE_RESUME m = {.req = ++req,
                               .ike_id = 2,
                               .ticket = slice_of(b->data, b->len),
                               .encr = 20,
                               .encr_bits = 256,
                               .prf = 5,
                               .ni = slice_of(NR, 32),
                               .nr = slice_of(NI, 32),
                               .spi_i = 5,
                               .spi_r = 6};
    assert_true(say(b->ike, MSG_IKE_RESUME, &m));
    assert_int_equal(
        derive_resumed(&ALG, cr_prf_find(NULL, 5), slice_of(s.sk_d, 32), m.ni, m.nr, 5, 6, &next), 0);
    assert_waits(&next);
    derive_resumed_auth(&next, true, false, slice_str("theirs"), slice_of(NR, 32), id_body("a.test", x),
                        auth);
    struct msg_AUTH_CHECK a = {.req = ++req,
                               .ike_id = 2,
                               .method = CR_METHOD_PSK,
                               .message = slice_str("theirs"),
                               .own_nonce = slice_of(NR, 32),
                               .id_body = id_body("a.test", x),
                               .peer_id_body = id_body("a.test", x),
                               .auth = slice_of(auth, 32)};
    assert_true(say(b->ike, MSG_AUTH_CHECK, &a));
    assert_waits(&next);
    assert_true(make_by_secret(2));
    assert_gone(2, &next);
    assert_int_equal(count(s.sk_d, 32), 0);
}

// A rekeyed one has been proven by the one before (RFC 7296 2.18).
static void test_one_that_is_rekeyed_never_has_them(void **state)
{
    struct ike_secrets s = {0}, next = {0};
    uint8_t peer[32], shared[32];
    struct slice secret = slice_of(shared, 32);
    struct cr_dh *dh;
    size_t n;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s) && check(1, &s, true, slice_str("secret")) && make_by_secret(1));
    assert_int_equal(cr_dh_new(NULL, 31, &dh), 0);
    assert_int_equal(cr_dh_public(dh, peer, sizeof(peer), &n), 0);
    struct msg_KE_RESPOND k = {.req = ++req, .ke_id = 6, .group = 31, .peer_public = slice_of(peer, 32)};
    assert_true(say(b->ike, MSG_KE_RESPOND, &k));
    assert_int_equal(cr_dh_shared(NULL, dh, b->data, 32, shared, sizeof(shared), &n), 0);
    cr_dh_free(dh);
    assert_int_equal(derive_ike(&ALG, cr_prf_find(NULL, 5), &secret, 1, slice_of(NR, 32), slice_of(NI, 32), 5,
                                6, &s, &next),
                     0);
    struct msg_IKE_DERIVE m = {.req = ++req,
                               .ike_id = 2,
                               .ke_id = 6,
                               .encr = 20,
                               .encr_bits = 256,
                               .prf = 5,
                               .ni = slice_of(NR, 32),
                               .nr = slice_of(NI, 32),
                               .spi_i = 5,
                               .spi_r = 6,
                               .old_ike_id = 1};
    assert_true(say(b->ike, MSG_IKE_DERIVE, &m));
    assert_gone(2, &next);
    assert_gone(1, &s);
}

// --- what they are made with ---

static void test_private_value_of_an_exchange_and_key_of_a_prf(void **state)
{
    static const uint16_t prfs[] = {2, 5, 6, 7};
    struct cr_algs *algs = cr_algs_new(); // what is kept holds none either
    (void)state;
    for (unsigned x448 = 0; x448 < 2; x448++) {
        uint8_t priv[56], peer[56], secret[CR_SHARED_MAX];
        struct cr_dh *dh;
        size_t n, len = x448 ? 56 : 32;
        for (uint8_t i = 0; i < sizeof(priv); i++)
            priv[i] = (uint8_t)(i * 29 + 7 + x448);
        assert_int_equal(cr_dh_from_private(algs, x448 ? 32 : 31, priv, len, &dh), 0);
        assert_int_equal(count(priv, len), 1);
        assert_int_equal(cr_dh_public(dh, peer, sizeof(peer), &n), 0);
        assert_int_equal(cr_dh_shared(algs, dh, peer, len, secret, sizeof(secret), &n), 0);
        assert_int_equal(count(priv, len), 1);
        assert_int_equal(count(secret, len), 0);
        cr_dh_free(dh);
        assert_int_equal(count(priv, len), 0);
    }
    for (unsigned i = 0; i < sizeof(prfs) / sizeof(prfs[0]); i++) {
        uint8_t key[64], out[200], padded[64];
        struct cr_slice part = {"data", 4};
        for (uint8_t k = 0; k < sizeof(key); k++)
            key[k] = (uint8_t)(k * 41 + 3 + i);
        assert_int_equal(cr_prf(cr_prf_find(algs, prfs[i]), key, sizeof(key), &part, 1, out), 0);
        assert_int_equal(
            cr_prf_plus(cr_prf_find(algs, prfs[i]), key, sizeof(key), &part, 1, out, sizeof(out)), 0);
        assert_int_equal(count(key, sizeof(key)) + count(out, 20), 0);
        for (unsigned outer = 0; outer < 2; outer++) { // as HMAC hashes it
            for (unsigned k = 0; k < sizeof(key); k++)
                padded[k] = key[k] ^ (outer ? 0x5c : 0x36);
            assert_int_equal(count(padded, sizeof(padded)), 0);
        }
    }
    cr_algs_free(algs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_secret_or_signature_of_either_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_memory_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_round_is_waited_for_and_what_follows_waits_too, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_keys_stay_until_the_last_of_several_rounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_there_is_no_fifth_round, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_that_was_not_announced_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_other_proof_begins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eap_as_the_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eap_as_the_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eap_tls_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_with_a_ppk_and_without_it_as_the_peer_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_intermediate_exchanges_added, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_is_resumed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_is_rekeyed_never_has_them, setup, teardown),
        cmocka_unit_test(test_private_value_of_an_exchange_and_key_of_a_prf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
