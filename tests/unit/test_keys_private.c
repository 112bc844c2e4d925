// SPDX-License-Identifier: Apache-2.0
// Private keys in the keys room: loaded, listed and unloaded by ctl, used by ike, who sees none of them. The
// room signs for a verified peer alone, once, and takes ike's word for a signing peer only in the right
// order.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/crypto/signature.h"
#include "tests/unit/keys_rig.h"
#include "tests/unit/pki_files.h"

static const char *const kinds[] = {"RSA -pkeyopt rsa_keygen_bits:2048",
                                    "EC -pkeyopt ec_paramgen_curve:P-256",
                                    "EC -pkeyopt ec_paramgen_curve:P-521", "ED25519", "ED448"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
static struct slice privates[KINDS], publics[KINDS];

static int make_files(void **state)
{
    (void)state;
    pki_files_begin();
    for (unsigned i = 0; i < KINDS; i++) {
        char name[20];
        pki_run("openssl genpkey -algorithm %s -outform DER -out key%u.der", kinds[i], i);
        pki_run("openssl pkey -inform DER -in key%u.der -pubout -outform DER -out pub%u.der", i, i);
        snprintf(name, sizeof(name), "key%u.der", i);
        privates[i] = pki_read(name);
        snprintf(name, sizeof(name), "pub%u.der", i);
        publics[i] = pki_read(name);
    }
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

static bool load_key(const char *type, struct slice der)
{
    struct msg_KEY_LOAD m = {.req = ++req, .data = der};
    snprintf(m.type, sizeof(m.type), "%s", type);
    return say(b->ctl, MSG_KEY_LOAD, &m) && b->type == MSG_KEY_LOADED;
}

static bool sign(uint32_t ike_id, uint8_t method, uint32_t schemes, const uint8_t id[20])
{
    uint8_t x[100], y[100];
    struct msg_AUTH_MAKE m = {.req = ++req,
                              .ike_id = ike_id,
                              .method = method,
                              .message = slice_str("mine"),
                              .peer_nonce = slice_of(NR, 32),
                              .id_body = id_body("a.test", x),
                              .peer_id_body = id_body("b.test", y),
                              .key_id = slice_of(id, id ? 20 : 0),
                              .schemes = schemes};
    return say(b->ike, MSG_AUTH_MAKE, &m) && b->type == MSG_AUTH_IS;
}

static bool octets(uint32_t ike_id, const char *peer)
{
    uint8_t x[100];
    struct msg_AUTH_OCTETS m = {.req = ++req, .ike_id = ike_id, .id_body = id_body(peer, x)};
    return say(b->ike, MSG_AUTH_OCTETS, &m) && b->type == MSG_AUTH_OCTETS_IS;
}

static void verified(uint32_t ike_id)
{
    say(b->ike, MSG_AUTH_VERIFIED, &(struct msg_AUTH_VERIFIED){.ike_id = ike_id});
}

static void test_every_kind_of_key_signs_what_its_public_half_verifies(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        struct ike_secrets s;
        uint8_t id[20], want[20], x[100], maced[CR_PRF_MAX];
        struct cr_key *pub = NULL;
        struct esp_error err = {0};
        assert_true(load_key("any", privates[i]));
        assert_int_equal(b->len, 20);
        memcpy(id, b->data, 20);
        assert_int_equal(cr_key_public(publics[i].p, publics[i].len, &pub, &err), 0);
        assert_int_equal(cr_key_id(pub, want), 0);
        assert_memory_equal(id, want, 20);
        assert_true(derive(i + 1, true, &s));
        assert_true(sign(i + 1, CR_METHOD_SIGNATURE, cr_schemes_default(), id));
        struct slice body = id_body("a.test", x);
        assert_int_equal(derive_maced_id(&s, true, body, maced), 0);
        struct cr_slice parts[] = {{"mine", 4}, {NR, 32}, {maced, s.prf_len}};
        assert_int_equal(
            cr_verify(pub, cr_schemes_default(), CR_METHOD_SIGNATURE, b->data, b->len, parts, 3, &err), 0);
        b->data[b->len - 1] ^= 1;
        assert_int_not_equal(
            cr_verify(pub, cr_schemes_default(), CR_METHOD_SIGNATURE, b->data, b->len, parts, 3, &err), 0);
        cr_key_free(pub);
    }
    assert_int_equal(b->have, KINDS);
}

static void test_what_is_no_key_is_refused_by_name(void **state)
{
    uint8_t huge[17000] = {0x30};
    (void)state;
    assert_false(load_key("any", slice_str("not a key")));
    assert_int_not_equal(b->text[0], 0);
    assert_false(load_key("any", publics[0]));
    assert_false(load_key("ecdsa", privates[0]));
    assert_non_null(strstr(b->text, "RSA"));
    assert_false(load_key("any", slice_of(huge, sizeof(huge))));
    assert_non_null(strstr(b->text, "17000"));
    assert_false(load_key("any", slice_of(NULL, 0)));
    assert_int_equal(b->have, 0);
}

static void test_keys_are_listed_unloaded_and_cleared_with_the_secrets(void **state)
{
    uint8_t id[20];
    (void)state;
    for (unsigned i = 0; i < KINDS; i++)
        assert_true(load_key("any", privates[i]));
    memcpy(id, b->data, 20);                   // the last one's
    assert_true(load_key("any", privates[0])); // again: it stays one
    say(b->ctl, MSG_KEY_LIST, &(struct msg_KEY_LIST){.req = ++req, .most = 2});
    assert_int_equal(b->listed, 2);
    assert_int_equal(b->type, MSG_LIST_MORE);
    say(b->ctl, MSG_KEY_LIST, &(struct msg_KEY_LIST){.req = ++req, .from = b->next});
    assert_int_equal(b->listed, KINDS);
    assert_int_equal(b->type, MSG_RESULT);
    assert_true(say(b->ctl, MSG_KEY_UNLOAD, &(struct msg_KEY_UNLOAD){.req = ++req, .id = slice_of(id, 20)}));
    assert_int_equal(b->gone, 1);
    assert_false(say(b->ctl, MSG_KEY_UNLOAD, &(struct msg_KEY_UNLOAD){.req = ++req, .id = slice_of(id, 20)}));
    assert_int_equal(b->gone, 1);
    assert_true(say(b->ctl, MSG_SECRETS_CLEAR, &(struct msg_SECRETS_CLEAR){.req = ++req}));
    assert_int_equal(b->gone, 2);
    b->listed = 0;
    say(b->ctl, MSG_KEY_LIST, &(struct msg_KEY_LIST){.req = ++req});
    assert_int_equal(b->listed, 0);
}

static void test_another_ike_hears_which_keys_there_are(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++)
        assert_true(load_key("any", privates[i]));
    b->have = 0;
    another_ike();
    assert_int_equal(b->have, KINDS);
}

static void test_responder_signs_only_for_a_verified_peer(void **state)
{
    struct ike_secrets s;
    uint8_t id[20];
    (void)state; // CVE-2015-4171
    assert_true(load_key("any", privates[3]));
    memcpy(id, b->data, 20);
    assert_true(derive(1, false, &s));
    assert_false(sign(1, CR_METHOD_SIGNATURE, cr_schemes_default(), id));
    verified(1); // of a signature that nobody could have checked
    assert_false(sign(1, CR_METHOD_SIGNATURE, cr_schemes_default(), id));
    assert_true(octets(1, "a.test"));
    assert_false(sign(1, CR_METHOD_SIGNATURE, cr_schemes_default(), id));
    assert_false(install(1, 1));
    verified(1);
    assert_false(install(1, 1));
    assert_true(sign(1, CR_METHOD_SIGNATURE, cr_schemes_default(), id));
    assert_false(sign(1, CR_METHOD_SIGNATURE, cr_schemes_default(), id));
    assert_true(install(1, 1));
}

static void test_what_a_peer_signs_is_told_once_and_not_beside_a_secret(void **state)
{
    struct ike_secrets s;
    uint8_t x[100], maced[CR_PRF_MAX];
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_false(octets(1, "b.test"));
    assert_true(derive(1, true, &s));
    assert_true(octets(1, "b.test"));
    assert_int_equal(derive_maced_id(&s, false, id_body("b.test", x), maced), 0);
    assert_int_equal(b->len, s.prf_len);
    assert_memory_equal(b->data, maced, s.prf_len);
    assert_false(octets(1, "c.test"));
    assert_false(check_auth(1, &s, false, "a.test", "b.test", "secret"));
    assert_non_null(strstr(b->text, "to sign"));
    assert_true(derive(2, true, &s));
    assert_true(check_auth(2, &s, false, "a.test", "b.test", "secret"));
    assert_false(octets(2, "b.test"));
}

static void test_either_end_may_sign_and_the_other_know_a_secret(void **state)
{
    struct ike_secrets s;
    uint8_t id[20];
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(load_key("any", privates[1]));
    memcpy(id, b->data, 20);
    assert_true(derive(1, false, &s)); // the peer signs, we know a secret
    assert_true(octets(1, "a.test"));
    verified(1);
    assert_true(make_auth(1, "b.test", "a.test"));
    assert_true(install(1, 1));
    assert_true(derive(2, false, &s)); // and the other way round
    assert_true(check_auth(2, &s, true, "b.test", "a.test", "secret"));
    assert_true(sign(2, CR_METHOD_SIGNATURE, cr_schemes_default(), id));
    assert_true(install(2, 2));
}

static void test_method_and_key_must_go_together(void **state)
{
    struct ike_secrets s;
    uint8_t id[20], other[20] = {1};
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(load_key("any", privates[1])); // P-256
    memcpy(id, b->data, 20);
    assert_true(derive(1, true, &s));
    assert_false(sign(1, CR_METHOD_PSK, cr_schemes_default(), id));
    assert_false(sign(1, CR_METHOD_SIGNATURE, cr_schemes_default(), NULL));
    assert_false(sign(1, CR_METHOD_SIGNATURE, cr_schemes_default(), other));
    assert_non_null(strstr(b->text, "not loaded"));
    assert_false(sign(1, CR_METHOD_ECDSA_384, cr_schemes_default(), id));
    assert_false(sign(1, CR_METHOD_RSA, cr_schemes_default(), id));
    assert_false(sign(1, CR_METHOD_SIGNATURE, CR_SCHEME_ED25519, id));
    assert_false(sign(1, 3, cr_schemes_default(), id));
    assert_false(sign(1, 0, cr_schemes_default(), NULL));
    assert_true(sign(1, CR_METHOD_ECDSA_256, cr_schemes_default(), id));
    assert_int_equal(b->len, 64);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_every_kind_of_key_signs_what_its_public_half_verifies),
        T(test_what_is_no_key_is_refused_by_name),
        T(test_keys_are_listed_unloaded_and_cleared_with_the_secrets),
        T(test_responder_signs_only_for_a_verified_peer),
        T(test_what_a_peer_signs_is_told_once_and_not_beside_a_secret),
        T(test_another_ike_hears_which_keys_there_are),
        T(test_either_end_may_sign_and_the_other_know_a_secret),
        T(test_method_and_key_must_go_together),
    };
    return cmocka_run_group_tests(tests, make_files, drop_files);
}
