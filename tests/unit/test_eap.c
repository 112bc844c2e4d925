// SPDX-License-Identifier: Apache-2.0
// EAP-MSCHAPv2: the vectors of RFC 2759 section 9.2 and RFC 3079 section 3.5.3, packets whose lengths lie,
// and `keys` asked out of order: nothing is proven but by the password, once.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "ctrl/crypto/mschapv2.h"
#include "ctrl/crypto/signature.h"
#include "ctrl/ike/eap.h"
#include "tests/unit/keys_rig.h"

static const uint8_t CHALLENGE[16] = {0x5B, 0x5D, 0x7C, 0x7D, 0x7B, 0x3F, 0x2F, 0x3E,
                                      0x3C, 0x2C, 0x60, 0x21, 0x32, 0x26, 0x26, 0x28};
static const uint8_t PEER[16] = {0x21, 0x40, 0x23, 0x24, 0x25, 0x5E, 0x26, 0x2A,
                                 0x28, 0x29, 0x5F, 0x2B, 0x3A, 0x33, 0x7C, 0x7E};

static void test_vectors_of_rfc_2759_and_3079(void **state)
{
    static const uint8_t nt[16] = {0x44, 0xEB, 0xBA, 0x8D, 0x53, 0x12, 0xB8, 0xD6,
                                   0x11, 0x47, 0x44, 0x11, 0xF5, 0x69, 0x89, 0xAE},
                         response[24] = {0x82, 0x30, 0x9E, 0xCD, 0x8D, 0x70, 0x8B, 0x5E,
                                         0xA0, 0x8F, 0xAA, 0x39, 0x81, 0xCD, 0x83, 0x54,
                                         0x42, 0x33, 0x11, 0x4A, 0x3D, 0x85, 0xD6, 0xDF},
                         authenticator[20] = {0x40, 0x7A, 0x55, 0x89, 0x11, 0x5F, 0xD0, 0xD6, 0x20, 0x9F,
                                              0x51, 0x0F, 0xE9, 0xC0, 0x45, 0x66, 0x93, 0x2C, 0xDA, 0x56},
                         send_key[16] = {0x8B, 0x7C, 0xDC, 0x14, 0x9B, 0x99, 0x3A, 0x1B,
                                         0xA1, 0x18, 0xCB, 0x15, 0x3F, 0x56, 0xDC, 0xCB},
                         none[32] = {0};
    struct mschap_exchange x = {CHALLENGE, PEER, "User", 4};
    struct mschap *m = mschap_new(NULL);
    uint8_t hash[16], got[24], auth[20], msk[64];
    (void)state;
    assert_non_null(m);
    assert_int_equal(mschap_nt_hash(m, "clientPass", 10, hash), 0);
    assert_memory_equal(hash, nt, 16);
    assert_int_equal(mschap_response(m, &x, hash, got), 0);
    assert_memory_equal(got, response, 24);
    assert_int_equal(mschap_authenticator(m, &x, hash, got, auth), 0);
    assert_memory_equal(auth, authenticator, 20);
    assert_int_equal(mschap_msk(m, hash, got, msk), 0);
    assert_memory_equal(msk + 16, send_key, 16);
    assert_memory_equal(msk + 32, none, 32);
    static const char *const bad[] = {"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "a\xe2\x82"};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_not_equal(mschap_nt_hash(m, bad[i], strlen(bad[i]), hash), 0);
    char longer[300] = {0};
    assert_int_not_equal(mschap_nt_hash(m, longer, 257, hash), 0);
    mschap_free(m);
}

static void test_packets_whose_lengths_lie_are_refused(void **state)
{
    uint8_t good[4 + 1 + 54 + 4] = {2, 7, 0, sizeof(good), 26, 2, 7, 0, 58, 49};
    struct eap_packet p;
    struct mschap_reply r = {0};
    (void)state;
    memcpy(good + sizeof(good) - 4, "User", 4);
    assert_true(eap_read(slice_of(good, sizeof(good)), &p));
    assert_true(p.type == 26 && p.id == 7 && mschap_read_reply(p.data, 7, &r));
    assert_true(slice_eq(r.name, slice_str("User")));
    for (size_t n = 0; n < sizeof(good); n++) { // cut anywhere, with the length as it was or cut too
        uint8_t copy[sizeof(good)];
        memcpy(copy, good, sizeof(good));
        assert_false(eap_read(slice_of(copy, n), &p));
        copy[3] = (uint8_t)n;
        if (n >= 4 && eap_read(slice_of(copy, n), &p))
            assert_false(mschap_read_reply(p.data, 7, &r));
    }
    static const uint8_t places[] = {0, 3, 5, 6, 8, 9};
    for (unsigned i = 0; i < sizeof(places); i++) {
        for (unsigned v = 0; v < 256; v++) {
            uint8_t copy[sizeof(good)];
            memcpy(copy, good, sizeof(good));
            copy[places[i]] = (uint8_t)v;
            if (v != good[places[i]] && !(places[i] == 0 && v == EAP_CODE_REQUEST))
                assert_false(eap_read(slice_of(copy, sizeof(copy)), &p) && mschap_read_reply(p.data, 7, &r));
        }
    }
    static const uint8_t untyped[] = {2, 7, 0, 4}, zero[] = {2, 7, 0, 5, 0}, success[] = {3, 7, 0, 4},
                         longer[] = {3, 7, 0, 5, 0};
    assert_false(eap_read(slice_of(untyped, 4), &p) || eap_read(slice_of(zero, 5), &p));
    assert_true(eap_read(slice_of(success, 4), &p) && !eap_read(slice_of(longer, 5), &p));
}

static void test_servers_packets_whose_lengths_lie_are_refused(void **state)
{
    uint8_t challenge[5 + 16 + 3] = {1, 9, 0, sizeof(challenge), 16},
                               success[4 + 42 + 5] = {3, 9, 0, sizeof(success)}, auth[20];
    struct mschap_challenge c;
    (void)state;
    memcpy(success + 4, "S=407A5589115FD0D6209F510FE9c04566932cda56 M=OK", 47);
    assert_true(mschap_read_challenge(slice_of(challenge, sizeof(challenge)), &c));
    assert_true(c.id == 9 && c.challenge.p == challenge + 5 && c.challenge.len == 16);
    assert_true(mschap_read_success(slice_of(success, sizeof(success)), auth));
    assert_true(auth[0] == 0x40 && auth[1] == 0x7a && auth[15] == 0x66 && auth[19] == 0x56);
    for (size_t n = 0; n < sizeof(success); n++) { // cut anywhere, with the length as it was or cut too
        uint8_t copy[sizeof(success)];
        memcpy(copy, success, sizeof(success));
        assert_false(mschap_read_success(slice_of(copy, n), auth));
        copy[3] = (uint8_t)n;
        assert_int_equal(mschap_read_success(slice_of(copy, n), auth), n >= 46);
        if (n >= sizeof(challenge))
            continue;
        memcpy(copy, challenge, sizeof(challenge));
        assert_false(mschap_read_challenge(slice_of(copy, n), &c));
        copy[3] = (uint8_t)n;
        assert_int_equal(mschap_read_challenge(slice_of(copy, n), &c), n >= 21);
    }
    static const uint8_t places[] = {0, 3, 4, 5, 6, 45, 46};
    for (unsigned i = 0; i < sizeof(places); i++) {
        uint8_t copy[sizeof(success)];
        memcpy(copy, success, sizeof(success));
        copy[places[i]] = 'x';
        assert_false(mschap_read_success(slice_of(copy, sizeof(copy)), auth));
    }
    challenge[4] = 17;
    assert_false(mschap_read_challenge(slice_of(challenge, sizeof(challenge)), &c));
}

// --- the keys room ---

static bool load_eap(const char *password, const char *owner)
{
    uint8_t buf[100];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_cstr(&w, owner);
    struct msg_SECRET_LOAD m = {
        .req = ++req, .type = "eap", .data = slice_str(password), .owners = wr_written(&w)};
    snprintf(m.id, sizeof(m.id), "of-%s", owner);
    return say(b->ctl, MSG_SECRET_LOAD, &m);
}

static bool begin_of(uint32_t ike_id)
{
    return say(b->ike, MSG_EAP_BEGIN, &(struct msg_EAP_BEGIN){.req = ++req, .ike_id = ike_id});
}

static bool begin(void)
{
    return begin_of(1);
}

static bool show_of(uint32_t ike_id, const char *user, struct slice response)
{
    struct msg_EAP_MSCHAP m = {.req = ++req,
                               .ike_id = ike_id,
                               .user = slice_str(user),
                               .account = slice_str(user),
                               .peer_challenge = slice_of(PEER, 16),
                               .response = response};
    return say(b->ike, MSG_EAP_MSCHAP, &m);
}

static bool show(const char *user, size_t response_len)
{
    static const uint8_t zero[24];
    return show_of(1, user, slice_of(zero, response_len));
}

// A private key of this test, whose public half stays here.
static EVP_PKEY *make_key(uint8_t id[20])
{
    uint8_t der[200], *end = der;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    int n = i2d_PrivateKey(key, &end);
    struct msg_KEY_LOAD l = {.req = ++req, .type = "any", .data = slice_of(der, (size_t)n)};
    assert_true(say(b->ctl, MSG_KEY_LOAD, &l) && b->len == 20);
    memcpy(id, b->data, 20);
    return key;
}

// Our own AUTH.
static void sign_ours(uint32_t ike_id)
{
    uint8_t id[20], x[100], y[100];
    EVP_PKEY_free(make_key(id));
    assert_true(say(b->ike, MSG_AUTH_MAKE,
                    &(struct msg_AUTH_MAKE){.req = ++req,
                                            .ike_id = ike_id,
                                            .method = CR_METHOD_SIGNATURE,
                                            .message = slice_str("mine"),
                                            .peer_nonce = slice_of(NR, 32),
                                            .id_body = id_body("b.test", x),
                                            .peer_id_body = id_body("a.test", y),
                                            .key_id = slice_of(id, 20),
                                            .schemes = cr_schemes_default()}));
}

// What whoever knows the password answers to the challenge.
static void answer_of(const char *user, const char *password, const uint8_t challenge[16], uint8_t out[24])
{
    struct mschap *m = mschap_new(NULL);
    uint8_t hash[16];
    struct mschap_exchange x = {challenge, PEER, user, strlen(user)};
    assert_int_equal(mschap_nt_hash(m, password, strlen(password), hash), 0);
    assert_int_equal(mschap_response(m, &x, hash, out), 0);
    mschap_free(m);
}

static void test_one_answer_is_taken_and_it_is_the_passwords(void **state)
{
    (void)state;
    assert_true(load_eap("password", "alice") && load_eap("other", "bob"));
    for (uint32_t i = 1; i <= 3; i++) {
        struct ike_secrets s;
        uint8_t challenge[16], right[24], wrong[24];
        assert_true(derive(i, false, &s) && begin_of(i) && b->len == 16);
        memcpy(challenge, b->data, 16);
        sign_ours(i);
        answer_of("alice", "password", challenge, right);
        answer_of("alice", i == 2 ? "other" : "passwork", challenge, wrong);
        if (i == 3) {
            assert_true(show_of(i, "alice", slice_of(right, 24)) && b->type == MSG_EAP_MSCHAP_IS);
        } else {
            assert_false(show_of(i, "alice", slice_of(wrong, 24)));
            assert_string_equal(b->text, "wrong password");
        }
        assert_false(show_of(i, "alice", slice_of(right, 24))); // another try
        assert_non_null(strstr(b->text, "no EAP exchange waits"));
        assert_false(install(i, i)); // no AUTH has come
    }
}

static void test_without_an_eap_secret_there_is_no_eap(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL) && derive(1, false, &s));
    assert_false(begin());
    assert_non_null(strstr(b->text, "no EAP secret is loaded"));
    assert_false(make_auth(1, "b.test", "a.test"));
}

static void test_eap_that_has_begun_is_ended_by_no_other_proof(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL) && load_eap("password", "alice") && derive(1, false, &s));
    begin();
    assert_false(make_auth(1, "b.test", "a.test")); // by a shared secret, to whoever asks
    assert_non_null(strstr(b->text, "a signature"));
    assert_false(check_auth(1, &s, true, "b.test", "a.test", "secret"));
    assert_non_null(strstr(b->text, "has not shown its password"));
    uint8_t x[100];
    struct msg_AUTH_OCTETS o = {.req = ++req, .ike_id = 1, .id_body = id_body("a.test", x)};
    assert_false(say(b->ike, MSG_AUTH_OCTETS, &o));
    assert_non_null(strstr(b->text, "authenticates by EAP"));
    assert_false(show("alice", 24)); // our AUTH has not been made
    assert_false(install(1, 1));
    assert_false(load_eap("x", "alice") && make_auth(1, "b.test", "a.test"));
}

// --- as the client ---

static bool answer_to(uint32_t ike_id, const char *user)
{
    struct msg_EAP_ANSWER m = {.req = ++req,
                               .ike_id = ike_id,
                               .user = slice_str(user),
                               .account = slice_str(user),
                               .challenge = slice_of(CHALLENGE, 16)};
    return say(b->ike, MSG_EAP_ANSWER, &m);
}

static bool server_says(uint32_t ike_id, const uint8_t *authenticator, size_t len)
{
    struct msg_EAP_SERVER m = {.req = ++req, .ike_id = ike_id, .authenticator = slice_of(authenticator, len)};
    return say(b->ike, MSG_EAP_SERVER, &m);
}

// ike says that the server's signature is right.
static void server_signed(uint32_t ike_id)
{
    uint8_t x[100];
    struct msg_AUTH_OCTETS o = {.req = ++req, .ike_id = ike_id, .id_body = id_body("b.test", x)};
    assert_true(say(b->ike, MSG_AUTH_OCTETS, &o));
    say(b->ike, MSG_AUTH_VERIFIED, &(struct msg_AUTH_VERIFIED){.ike_id = ike_id});
}

// What a server that knows the password says, and the MSK, from what the client answered.
static void server_of(const char *user, const char *password, uint8_t out[20], uint8_t msk[64])
{
    struct mschap *m = mschap_new(NULL);
    uint8_t hash[16], response[24];
    struct mschap_exchange x = {CHALLENGE, b->data, user, strlen(user)};
    assert_int_equal(mschap_nt_hash(m, password, strlen(password), hash), 0);
    assert_int_equal(mschap_response(m, &x, hash, response), 0);
    assert_memory_equal(b->data + 16, response, 24); // the client's own
    assert_int_equal(mschap_authenticator(m, &x, hash, response, out), 0);
    assert_int_equal(mschap_msk(m, hash, response, msk), 0);
    mschap_free(m);
}

static void test_password_answers_a_server_that_has_signed_and_once(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load_eap("password", "alice") && derive(1, true, &s));
    assert_false(answer_to(1, "alice"));
    assert_non_null(strstr(b->text, "the server has not been authenticated yet"));
    server_signed(1);
    assert_false(answer_to(1, "bob"));
    assert_non_null(strstr(b->text, "no EAP secret of that identity"));
    assert_true(answer_to(1, "alice") && b->type == MSG_EAP_ANSWER_IS);
    assert_false(answer_to(1, "alice")); // to another challenge
    assert_non_null(strstr(b->text, "EAP has begun"));
    assert_false(make_auth(1, "a.test", "b.test")); // the server has said nothing yet
    assert_non_null(strstr(b->text, "the EAP method is not over"));
    assert_false(install(1, 1));
    assert_true(derive(2, false, &s));
    assert_false(answer_to(2, "alice"));
    assert_non_null(strstr(b->text, "it is the initiator who answers"));
}

static void test_server_that_does_not_know_the_password_is_refused(void **state)
{
    struct ike_secrets s;
    uint8_t right[20], msk[64];
    (void)state;
    assert_true(load_eap("password", "alice") && load("x", "secret", NULL, NULL));
    for (uint32_t i = 1; i <= 2; i++) {
        assert_true(derive(i, true, &s));
        server_signed(i);
        assert_false(server_says(i, right, 20)); // before our answer
        assert_true(answer_to(i, "alice"));
        server_of("alice", "password", right, msk);
        assert_false(server_says(i, right, i == 1 ? 19 : (right[19] ^= 1, 20)));
        assert_non_null(strstr(b->text, "the server does not know the password"));
        right[19] ^= i == 2;
        assert_false(server_says(i, right, 20)); // one try
        assert_false(make_auth(i, "a.test", "b.test"));
        assert_false(install(i, i));
    }
}

// Traffic keys come after both AUTHs by the MSK; that of a shared secret is no proof.
static void test_client_has_keys_after_both_proofs_by_the_msk(void **state)
{
    (void)state;
    assert_true(load_eap("password", "alice") && load("x", "secret", NULL, NULL));
    for (uint32_t i = 1; i <= 2; i++) {
        struct ike_secrets s;
        uint8_t right[20], msk[64], x[100], y[100], auth[64];
        assert_true(derive(i, true, &s));
        server_signed(i);
        assert_true(answer_to(i, "alice"));
        server_of("alice", "password", right, msk);
        assert_true(server_says(i, right, 20) && make_auth(i, "a.test", "b.test"));
        assert_false(install(i, i));
        derive_psk_auth(&s, true, slice_of(msk, 64), slice_str("mine"), slice_of(NR, 32),
                        id_body("a.test", x), auth);
        assert_memory_equal(b->data, auth, 32);
        derive_psk_auth(&s, false, i == 1 ? slice_of(msk, 64) : slice_str("secret"), slice_str("theirs"),
                        slice_of(NI, 32), id_body("b.test", y), auth);
        struct msg_AUTH_CHECK m = {.req = ++req,
                                   .ike_id = i,
                                   .method = 2,
                                   .message = slice_str("theirs"),
                                   .own_nonce = slice_of(NI, 32),
                                   .id_body = id_body("a.test", x),
                                   .peer_id_body = id_body("b.test", y),
                                   .auth = slice_of(auth, 32)};
        assert_int_equal(say(b->ike, MSG_AUTH_CHECK, &m), i == 1);
        assert_int_equal(install(i, i), i == 1);
    }
}

// --- EAP-TLS ---

static bool tls_begin_as(uint32_t ike_id, bool only)
{
    struct msg_EAP_TLS_BEGIN m = {.req = ++req, .ike_id = ike_id, .only = only};
    return say(b->ike, MSG_EAP_TLS_BEGIN, &m);
}

static bool tls_begin(uint32_t ike_id)
{
    return tls_begin_as(ike_id, false);
}

static bool tls_sign(uint32_t ike_id, const uint8_t *id, uint32_t scheme, const void *data, size_t len)
{
    struct msg_EAP_TLS_SIGN m = {.req = ++req,
                                 .ike_id = ike_id,
                                 .key_id = slice_of(id, 20),
                                 .scheme = scheme,
                                 .data = slice_of(data, len)};
    return say(b->ike, MSG_EAP_TLS_SIGN, &m);
}

static bool tls_key(uint32_t ike_id, size_t len)
{
    static const uint8_t msk[65] = {7};
    struct msg_EAP_TLS_MSK m = {.req = ++req, .ike_id = ike_id, .msk = slice_of(msk, len)};
    return say(b->ike, MSG_EAP_TLS_MSK, &m);
}

// What a TLS 1.3 end signs (RFC 8446 4.4.3).
static size_t verify_of(uint8_t *out, const char *who)
{
    return (size_t)sprintf((char *)out, "%64sTLS 1.3, %s CertificateVerify", "", who) + 1 + 32;
}

static void test_one_signature_of_a_tls_handshake_and_of_nothing_else(void **state)
{
    struct ike_secrets s;
    uint8_t id[20], data[300] = {0}, hello[60] = {1, 0, 0, 56, 3, 3}, random[200] = {0};
    (void)state;
    EVP_PKEY *key = make_key(id);
    size_t n = verify_of(data, "client");
    assert_true(derive(1, true, &s));
    assert_false(tls_begin(1));
    assert_non_null(strstr(b->text, "the server has not been authenticated yet"));
    assert_false(tls_sign(1, id, CR_SCHEME_ED25519, data, n));
    assert_non_null(strstr(b->text, "no TLS handshake"));
    server_signed(1);
    assert_true(tls_begin(1));
    assert_false(tls_begin(1));
    assert_false(tls_key(1, 64)); // without our signature
    assert_false(server_says(1, random, 20));
    assert_false(tls_sign(1, id, CR_SCHEME_ED25519 | CR_SCHEME_ED448, data, n));
    assert_false(tls_sign(1, id, CR_SCHEME_RSA_SHA1, data, n));
    assert_false(tls_sign(1, id, CR_SCHEME_ECDSA_SHA256, data, n)); // not by this key
    static const char ike[] =
        "an IKE message, a nonce, and prf(SK_p, ID), which proves us to anybody at all, for long";
    assert_false(tls_sign(1, id, CR_SCHEME_ED25519, ike, sizeof(ike)));
    assert_non_null(strstr(b->text, "is no handshake's"));
    for (size_t i = 0; i < n - 32; i++) { // each octet of its form
        data[i] ^= 1;
        assert_false(tls_sign(1, id, CR_SCHEME_ED25519, data, n));
        data[i] ^= 1;
    }
    assert_false(tls_sign(1, id, CR_SCHEME_ED25519, data, n - 1));
    verify_of(data, "server");
    assert_false(tls_sign(1, id, CR_SCHEME_ED25519, data, n)); // that of the other end
    verify_of(data, "client");
    assert_true(tls_sign(1, id, CR_SCHEME_ED25519, data, n) && b->type == MSG_EAP_TLS_SIGNED);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(c, NULL, NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(c, b->data, b->len, data, n), 1);
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(key);
    assert_false(tls_sign(1, id, CR_SCHEME_ED25519, data, n));
    assert_non_null(strstr(b->text, "one signature has been made"));
    assert_false(install(1, 1));
    assert_true(!tls_key(1, 63) && !tls_key(1, 65) && tls_key(1, 64));
    assert_false(tls_key(1, 64));
    assert_false(install(1, 1)); // both AUTHs are still to come
    assert_true(make_auth(1, "a.test", "b.test"));
    assert_true(derive(2, true, &s));
    server_signed(2);
    assert_true(tls_begin(2) && tls_sign(2, id, CR_SCHEME_ED25519, hello, sizeof(hello))); // TLS 1.2
}

static void test_server_signs_tls_behind_its_own_auth(void **state)
{
    struct ike_secrets s;
    uint8_t id[20], data[300] = {0}, params[64 + 4 + 32] = {0};
    (void)state;
    EVP_PKEY_free(make_key(id));
    size_t n = verify_of(data, "server");
    params[64] = 3;
    params[67] = 32;
    assert_true(derive(1, false, &s) && tls_begin(1));
    assert_false(tls_sign(1, id, CR_SCHEME_ED25519, data, n));
    sign_ours(1);
    assert_false(show_of(1, "alice", slice_of(data, 24))); // the other method's
    params[67] = 31;
    assert_false(tls_sign(1, id, CR_SCHEME_ED25519, params, sizeof(params)));
    params[67] = 32;
    assert_true(tls_sign(1, id, CR_SCHEME_ED25519, params, sizeof(params)));
    assert_false(make_auth(1, "b.test", "a.test")); // nobody is proven
    assert_true(tls_key(1, 64));
    assert_false(install(1, 1));
}

// RFC 5998: no signature of IKE's comes, and none may come any more; AUTH by the MSK is all there is.
static void test_eap_alone_takes_no_other_proof(void **state)
{
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    for (int initiator = 0; initiator < 2; initiator++) {
        struct ike_secrets s;
        uint8_t id[20], data[300] = {0}, x[100];
        uint32_t i = 1u + (uint32_t)initiator;
        EVP_PKEY_free(make_key(id));
        size_t n = verify_of(data, initiator ? "client" : "server");
        assert_true(derive(i, initiator, &s) && tls_begin_as(i, true));
        assert_false(make_auth(i, "a.test", "b.test"));
        assert_non_null(strstr(b->text, "the EAP method is not over"));
        assert_false(check_auth(i, &s, !initiator, "a.test", "b.test", "secret"));
        struct msg_AUTH_OCTETS o = {.req = ++req, .ike_id = i, .id_body = id_body("b.test", x)};
        assert_false(say(b->ike, MSG_AUTH_OCTETS, &o));
        assert_true(tls_sign(i, id, CR_SCHEME_ED25519, data, n) && tls_key(i, 64));
        if (!initiator) {
            assert_false(make_auth(i, "a.test", "b.test")); // nobody is proven
            assert_non_null(strstr(b->text, "has not been authenticated yet"));
        }
        assert_false(install(i, i));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_of_rfc_2759_and_3079),
        cmocka_unit_test(test_packets_whose_lengths_lie_are_refused),
        cmocka_unit_test_setup_teardown(test_one_signature_of_a_tls_handshake_and_of_nothing_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_server_signs_tls_behind_its_own_auth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eap_alone_takes_no_other_proof, setup, teardown),
        cmocka_unit_test(test_servers_packets_whose_lengths_lie_are_refused),
        cmocka_unit_test_setup_teardown(test_password_answers_a_server_that_has_signed_and_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_server_that_does_not_know_the_password_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_client_has_keys_after_both_proofs_by_the_msk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_an_eap_secret_there_is_no_eap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_answer_is_taken_and_it_is_the_passwords, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eap_that_has_begun_is_ended_by_no_other_proof, setup, teardown),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("EAP", tests, NULL, NULL);
}
