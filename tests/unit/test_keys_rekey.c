// SPDX-License-Identifier: Apache-2.0
// Keys of CREATE_CHILD_SA: rekeyed IKE SAs (RFC 7296 2.18) and CHILD SAs with and without a key exchange of
// their own (2.17), asked of the whole room and compared with what OpenSSL's HMAC makes of the RFC's formulas
// here; and the derivations against answers that the openssl command has made (tests/vectors/ikev2_rekey.sh).
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>
#include <openssl/hmac.h>

#include "ctrl/keys/kex.h"
#include "tests/unit/keys_rig.h"

// ---- the formulas, by OpenSSL's one-shot HMAC

struct octets {
    uint8_t p[2048];
    size_t len;
};

static void put(struct octets *o, const void *p, size_t len)
{
    assert_true(o->len + len <= sizeof(o->p));
    if (len)
        memcpy(o->p + o->len, p, len);
    o->len += len;
}

static size_t hmac(uint16_t prf, const uint8_t *key, size_t key_len, const struct octets *in, uint8_t *out)
{
    const EVP_MD *md = prf == 5 ? EVP_sha256() : prf == 6 ? EVP_sha384() : EVP_sha512();
    unsigned n = 0;
    assert_non_null(HMAC(md, key, (int)key_len, in->p, in->len, out, &n));
    return n;
}

static void prf_plus(uint16_t prf, const uint8_t *key, size_t key_len, const struct octets *seed,
                     struct octets *out, size_t want)
{
    uint8_t t[64];
    size_t n = 0;
    for (uint8_t i = 1; out->len < want; i++) {
        struct octets in = {.len = 0};
        put(&in, t, n);
        put(&in, seed->p, seed->len);
        put(&in, &i, 1);
        n = hmac(prf, key, key_len, &in, t);
        put(out, t, n);
    }
}

// ---- the peer, with a private value of its own

struct peer {
    struct cr_dh *dh;
    uint8_t value[CR_DH_MAX], secret[CR_DH_MAX];
    size_t value_len, secret_len;
};

static void peer_begin(struct peer *p, uint16_t group)
{
    *p = (struct peer){0};
    assert_int_equal(cr_dh_new(NULL, group, &p->dh), 0);
    assert_int_equal(cr_dh_public(p->dh, p->value, sizeof(p->value), &p->value_len), 0);
}

static void peer_end(struct peer *p) // with the room's value, in b->data
{
    assert_int_equal(cr_dh_shared(NULL, p->dh, b->data, b->len, p->secret, sizeof(p->secret), &p->secret_len),
                     0);
    cr_dh_free(p->dh);
}

static struct slice value_of(const struct peer *p)
{
    return slice_of(p->value, p->value_len);
}

static bool respond(uint32_t ke_id, uint16_t group, struct slice value)
{
    return say(b->ike, MSG_KE_RESPOND,
               &(struct msg_KE_RESPOND){
                   .req = ++req, .ke_id = ke_id, .group = group, .peer_public = value}) &&
           b->type == MSG_KE_PUBLIC;
}

static bool generate(uint32_t ke_id, uint16_t group)
{
    return say(b->ike, MSG_KE_GENERATE,
               &(struct msg_KE_GENERATE){.req = ++req, .ke_id = ke_id, .group = group}) &&
           b->type == MSG_KE_PUBLIC;
}

// The room's half of a key exchange; what the derivation has to be given as the peer's value.
static struct slice exchange(struct peer *p, uint32_t ke_id, uint16_t group, bool initiator)
{
    peer_begin(p, group);
    assert_true(initiator ? generate(ke_id, group) : respond(ke_id, group, value_of(p)));
    peer_end(p);
    return initiator ? value_of(p) : slice_of(NULL, 0);
}

static void authenticated(uint32_t ike_id, struct ike_secrets *s)
{
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(ike_id, true, s));
    assert_true(make_auth(ike_id, "a.test", "b.test"));
    assert_true(check_auth(ike_id, s, false, "a.test", "b.test", "secret"));
}

// ---- rekeyed IKE SAs

static const uint8_t NI2[32] = {3}, NR2[48] = {4};

struct rekey {
    uint32_t old, new;
    uint16_t prf;
    bool initiator; // of this exchange
    bool cbc;
};

static bool ask_rekey(const struct rekey *r, uint32_t ke_id, struct slice peer, struct slice more)
{
    struct msg_IKE_DERIVE m = {.req = ++req,
                               .ike_id = r->new,
                               .old_ike_id = r->old,
                               .ke_id = ke_id,
                               .peer_public = peer,
                               .encr = r->cbc ? 12 : 20,
                               .encr_bits = 256,
                               .integ = r->cbc ? 12 : 0,
                               .prf = r->prf,
                               .ni = slice_of(NI2, sizeof(NI2)),
                               .nr = slice_of(NR2, sizeof(NR2)),
                               .spi_i = 0x1122334455667788,
                               .spi_r = 0x99aabbccddeeff00,
                               .initiator = r->initiator,
                               .more = more};
    return say(b->ike, MSG_IKE_DERIVE, &m) && b->type == MSG_IKE_KEYS;
}

// SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr [| additional]) by the old PRF; the rest by the new one.
static void expected_ike(const struct ike_secrets *old, const struct rekey *r, const struct peer *p,
                         unsigned count, struct octets *out)
{
    static const uint8_t spis[] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                                   0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0};
    struct octets in = {.len = 0}, seed = {.len = 0};
    uint8_t skeyseed[64];
    put(&in, p[0].secret, p[0].secret_len);
    put(&in, NI2, sizeof(NI2));
    put(&in, NR2, sizeof(NR2));
    for (unsigned i = 1; i < count; i++)
        put(&in, p[i].secret, p[i].secret_len);
    size_t n = hmac(cr_prf_id(old->prf), old->sk_d, old->prf_len, &in, skeyseed);
    put(&seed, NI2, sizeof(NI2));
    put(&seed, NR2, sizeof(NR2));
    put(&seed, spis, sizeof(spis));
    prf_plus(r->prf, skeyseed, n, &seed, out, 3 * 64 + 4 * 36);
}

// SK_ai, SK_ar, SK_ei and SK_er as ike has got them; SK_d is left in `sk_d`.
static void check_ike_keys(const struct rekey *r, const struct octets *want, struct ike_secrets *new)
{
    size_t at = r->prf == 5 ? 32 : 64,
           len[] = {r->cbc ? 32 : 0, r->cbc ? 32 : 0, r->cbc ? 32 : 36, r->cbc ? 32 : 36};
    new->prf = cr_prf_find(NULL, r->prf);
    new->prf_len = (uint8_t)at;
    memcpy(new->sk_d, want->p, at);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(b->sk_len[i], len[i]);
        assert_memory_equal(b->sk[i], want->p + at, len[i]);
        at += len[i];
    }
}

static bool child(uint32_t ike_id, bool initiator, uint32_t ke_id, struct slice peer, uint8_t nonce)
{
    uint8_t buf[4096], ni[32] = {nonce, 1}, nr[32] = {nonce, 2};
    struct writer w = writer_of(buf, sizeof(buf));
    struct msg_CHILD description = {.child_id = 1, .ike_id = ike_id, .encr = 20, .encr_bits = 256};
    msg_write(&w, MSG_CHILD, &description);
    struct msg_CHILD_DERIVE m = {.req = ++req,
                                 .ike_id = ike_id,
                                 .ke_id = ke_id,
                                 .peer_public = peer,
                                 .ni = slice_of(ni, 32),
                                 .nr = slice_of(nr, 32),
                                 .initiator = initiator,
                                 .child = wr_written(&w)};
    return say(b->ike, MSG_CHILD_DERIVE, &m);
}

// KEYMAT = prf+(SK_d, g^ir (new) | Ni | Nr); its first half protects what the exchange's initiator sends.
static void check_child_keys(const struct ike_secrets *s, bool initiator, const struct peer *p, uint8_t nonce)
{
    uint8_t ni[32] = {nonce, 1}, nr[32] = {nonce, 2};
    struct octets seed = {.len = 0}, mat = {.len = 0};
    if (p)
        put(&seed, p->secret, p->secret_len);
    put(&seed, ni, 32);
    put(&seed, nr, 32);
    prf_plus(cr_prf_id(s->prf), s->sk_d, s->prf_len, &seed, &mat, 72);
    assert_memory_equal(initiator ? b->key_out : b->key_in, mat.p, 36);
    assert_memory_equal(initiator ? b->key_in : b->key_out, mat.p + 36, 36);
}

// The end that was the responder of the first exchange may begin this one: only its own roles count.
static void test_rekeyed_ike_sa_has_the_keys_of_the_rfc_in_both_roles(void **state)
{
    static const struct rekey cases[] = {
        {1, 2, 5, true, false}, {1, 2, 5, false, false}, {1, 2, 7, true, false}, {1, 2, 7, false, true}};
    struct ike_secrets old, new;
    (void)state;
    authenticated(1, &old);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct rekey *r = &cases[i];
        struct peer p;
        struct octets want = {.len = 0};
        struct slice value = exchange(&p, 9, i % 2 ? 31 : 19, r->initiator);
        assert_true(ask_rekey(r, 9, value, slice_of(NULL, 0)));
        expected_ike(&old, r, &p, 1, &want);
        check_ike_keys(r, &want, &new);
        assert_true(child(2, !r->initiator, 0, slice_of(NULL, 0), 1)); // SK_d of the new one
        check_child_keys(&new, !r->initiator, NULL, 1);
    }
}

static void test_ike_sa_rekeyed_twice_goes_on_from_the_second(void **state)
{
    const struct rekey first = {1, 2, 7, true, false}, second = {2, 3, 5, false, false};
    struct ike_secrets a, c, d;
    struct peer p;
    struct octets want = {.len = 0}, then = {.len = 0};
    (void)state;
    authenticated(1, &a);
    struct slice value = exchange(&p, 9, 31, true);
    assert_true(ask_rekey(&first, 9, value, slice_of(NULL, 0)));
    expected_ike(&a, &first, &p, 1, &want);
    check_ike_keys(&first, &want, &c);
    value = exchange(&p, 9, 31, false);
    assert_true(ask_rekey(&second, 9, value, slice_of(NULL, 0)));
    expected_ike(&c, &second, &p, 1, &then);
    check_ike_keys(&second, &then, &d);
}

static void test_additional_key_exchanges_follow_the_nonces(void **state)
{
    const struct rekey r = {1, 2, 5, false, false};
    struct ike_secrets old, new;
    struct peer p[3];
    struct octets want = {.len = 0};
    uint8_t buf[200];
    struct writer w = writer_of(buf, sizeof(buf));
    (void)state;
    authenticated(1, &old);
    for (unsigned i = 0; i < 3; i++) {
        struct slice value =
            exchange(&p[i], 20 + i, i == 1 ? 19 : 31, i == 2); // answered, answered, generated
        if (i)
            wr_u32(&w, 20 + i);
        if (i)
            wr_slice16(&w, value);
    }
    assert_true(ask_rekey(&r, 20, slice_of(NULL, 0), wr_written(&w)));
    expected_ike(&old, &r, p, 3, &want);
    check_ike_keys(&r, &want, &new);
    assert_false(ask_rekey(&r, 20, slice_of(NULL, 0), slice_of(NULL, 0))); // all of them are used up
    assert_false(ask_rekey(&r, 22, value_of(&p[2]), slice_of(NULL, 0)));
}

static void test_additional_key_exchanges_are_for_rekeys_and_need_a_first(void **state)
{
    struct ike_secrets old;
    struct rekey r = {0, 2, 5, true, false};
    struct peer p[2];
    uint8_t buf[200];
    struct writer w = writer_of(buf, sizeof(buf));
    (void)state;
    authenticated(1, &old);
    struct slice first = exchange(&p[0], 20, 31, true), second = exchange(&p[1], 21, 31, true);
    wr_u32(&w, 21);
    wr_slice16(&w, second);
    assert_false(ask_rekey(&r, 20, first, wr_written(&w))); // those of a new IKE SA come by IKE_INTERMEDIATE
    r.old = 1;
    exchange(&p[1], 21, 31, true);
    assert_false(ask_rekey(&r, 0, slice_of(NULL, 0), wr_written(&w)));
    first = exchange(&p[0], 20, 31, true);
    assert_false(ask_rekey(&r, 20, first, slice_of(buf, 5))); // a list that ends in the middle
}

static void test_old_and_new_ike_sa_live_and_end_apart(void **state)
{
    struct ike_secrets old;
    struct peer p;
    (void)state;
    authenticated(1, &old);
    for (uint32_t id = 2; id <= 3; id++) {
        struct rekey r = {1, id, 5, true, false};
        struct slice value = exchange(&p, 9, 31, true);
        assert_true(ask_rekey(&r, 9, value, slice_of(NULL, 0)));
    }
    assert_true(child(1, true, 0, slice_of(NULL, 0), 1));
    check_child_keys(&old, true, NULL, 1);
    say(b->ike, MSG_IKE_FORGET, &(struct msg_IKE_FORGET){.ike_id = 2});
    assert_false(child(2, true, 0, slice_of(NULL, 0), 2));
    assert_true(child(1, true, 0, slice_of(NULL, 0), 2)); // the new one's end is not the old one's
    say(b->ike, MSG_IKE_FORGET, &(struct msg_IKE_FORGET){.ike_id = 1});
    assert_false(child(1, true, 0, slice_of(NULL, 0), 3));
    assert_true(child(3, true, 0, slice_of(NULL, 0), 3)); // nor the other way round
}

static void test_rekey_of_what_is_not_authenticated_or_itself_is_refused(void **state)
{
    struct ike_secrets s;
    struct rekey r = {1, 2, 5, true, false};
    struct peer p;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, true, &s));
    struct slice value = exchange(&p, 9, 31, true);
    assert_false(ask_rekey(&r, 9, value, slice_of(NULL, 0)));
    assert_true(make_auth(1, "a.test", "b.test"));
    value = exchange(&p, 9, 31, true);
    assert_false(ask_rekey(&r, 9, value, slice_of(NULL, 0))); // one half is not enough
    assert_true(check_auth(1, &s, false, "a.test", "b.test", "secret"));
    r.new = 1;
    value = exchange(&p, 9, 31, true);
    assert_false(ask_rekey(&r, 9, value, slice_of(NULL, 0)));
    assert_true(child(1, true, 0, slice_of(NULL, 0), 1)); // it is as it was
    check_child_keys(&s, true, NULL, 1);
}

// ---- CHILD SAs

static void test_child_with_its_own_key_exchange_in_both_roles(void **state)
{
    static const uint16_t groups[] = {31, 19, 14};
    struct ike_secrets s;
    (void)state;
    authenticated(1, &s);
    for (unsigned i = 0; i < 6; i++) {
        bool initiator = i % 2;
        struct peer p;
        struct slice value = exchange(&p, 9, groups[i / 2], initiator);
        assert_true(child(1, initiator, 9, value, (uint8_t)i));
        check_child_keys(&s, initiator, &p, (uint8_t)i);
        assert_false(child(1, initiator, 9, value, (uint8_t)(i + 100))); // used up
        assert_true(child(1, initiator, 0, slice_of(NULL, 0), (uint8_t)(i + 50)));
        check_child_keys(&s, initiator, NULL, (uint8_t)(i + 50));
    }
}

// ---- the answer to an initiator's value

static void test_bad_values_are_answered_by_a_refusal(void **state)
{
    uint8_t zero[32] = {0};
    struct peer p;
    (void)state;
    peer_begin(&p, 31);
    cr_dh_free(p.dh);
    assert_false(respond(9, 31, slice_of(zero, 32))); // of small order
    assert_non_null(strstr(b->text, "not valid"));
    assert_false(respond(9, 31, slice_of(p.value, 31)));
    assert_false(respond(9, 19, value_of(&p)));
    assert_false(respond(9, 1025, value_of(&p)));
    assert_non_null(strstr(b->text, "1025"));
    assert_false(respond(0, 31, value_of(&p)));
    assert_true(respond(9, 31, value_of(&p)));
}

// What was answered is not derived a second time with another value.
static void test_answered_exchange_takes_no_other_value(void **state)
{
    struct ike_secrets s;
    struct peer p;
    (void)state;
    authenticated(1, &s);
    exchange(&p, 9, 31, false);
    assert_false(child(1, false, 9, value_of(&p), 1));
}

static void test_key_exchanges_that_wait_are_bounded(void **state)
{
    static const uint8_t none[1];
    struct kex_store k = {0};
    struct kex_secrets out = {0};
    uint8_t value[CR_DH_MAX];
    size_t len;
    (void)state;
    for (uint32_t id = 1; id <= KEX_MAX; id++) // a table of that many entries without the cost of making them
        assert_true(table_put(&k.entries, calloc(1, sizeof(struct table_one) + 48), id));
    assert_int_equal(kex_generate(&k, KEX_MAX + 1, 31, value, &len), -ENOBUFS);
    assert_int_equal(kex_respond(&k, KEX_MAX + 1, 31, slice_of(none, 1), value, &len), -ENOBUFS);
    kex_forget(&k, 7);
    assert_int_equal(kex_generate(&k, KEX_MAX + 1, 31, value, &len), 0);
    assert_int_equal(kex_take(&k, 7, slice_of(none, 0), &out), -ENOENT);
    kex_forget_all(&k);
}

// ---- answers by the openssl command

static struct slice hex(struct octets *o, const char *text)
{
    o->len = 0;
    for (unsigned v; text[0] && text[1]; text += 2) {
        assert_int_equal(sscanf(text, "%2x", &v), 1);
        put(o, &(uint8_t){(uint8_t)v}, 1);
    }
    return slice_of(o->p, o->len);
}

static struct slice field(json_t *o, const char *name, struct octets *out)
{
    const char *text = json_string_value(json_object_get(o, name));
    assert_non_null(text);
    return hex(out, text);
}

static uint16_t number(json_t *o, const char *name)
{
    return (uint16_t)json_integer_value(json_object_get(o, name));
}

static unsigned secrets_of(json_t *o, struct octets store[KEX_LIST], struct slice out[KEX_LIST])
{
    json_t *list = json_object_get(o, "shared"), *one;
    size_t i;
    assert_true(json_array_size(list) <= KEX_LIST);
    json_array_foreach(list, i, one) out[i] = hex(&store[i], json_string_value(one));
    return (unsigned)json_array_size(list);
}

static void check(json_t *o, const char *what, const uint8_t *got, size_t len)
{
    struct octets want;
    if (!slice_eq(field(o, what, &want), slice_of(got, len)))
        fail_msg("%s: %s differs", json_string_value(json_object_get(o, "name")), what);
}

static void check_rekey_vector(json_t *o)
{
    const struct cr_sk_alg alg = {20, 256, 0};
    static struct octets store[KEX_LIST], ni, nr, spis;
    struct slice shared[KEX_LIST];
    struct ike_secrets old = {.prf = cr_prf_find(NULL, number(o, "old_prf"))}, new;
    struct octets d;
    field(o, "old_sk_d", &d);
    memcpy(old.sk_d, d.p, d.len);
    old.prf_len = (uint8_t)d.len;
    unsigned count = secrets_of(o, store, shared);
    struct reader r = reader_of(field(o, "spis", &spis));
    uint64_t i = rd_u64(&r), j = rd_u64(&r);
    assert_int_equal(derive_ike(&alg, cr_prf_find(NULL, number(o, "prf")), shared, count, field(o, "ni", &ni),
                                field(o, "nr", &nr), i, j, &old, &new),
                     0);
    check(o, "sk_d", new.sk_d, new.prf_len);
    check(o, "sk_ei", new.sk_ei, new.ke_len);
    check(o, "sk_er", new.sk_er, new.ke_len);
    check(o, "sk_pi", new.sk_pi, new.prf_len);
    check(o, "sk_pr", new.sk_pr, new.prf_len);
}

static void check_child_vector(json_t *o)
{
    static struct octets store[KEX_LIST], ni, nr;
    struct slice shared[KEX_LIST];
    struct ike_secrets s = {.prf = cr_prf_find(NULL, number(o, "prf"))};
    struct octets d;
    uint8_t mat[192];
    field(o, "sk_d", &d);
    memcpy(s.sk_d, d.p, d.len);
    s.prf_len = (uint8_t)d.len;
    unsigned count = secrets_of(o, store, shared);
    assert_int_equal(
        derive_child(&s, shared, count, field(o, "ni", &ni), field(o, "nr", &nr), mat, sizeof(mat)), 0);
    check(o, "keymat", mat, sizeof(mat));
}

static void test_derivations_give_what_the_openssl_command_gives(void **state)
{
    json_error_t err;
    json_t *root = json_load_file("tests/vectors/ikev2_rekey.json", 0, &err), *o;
    size_t i;
    (void)state;
    if (!root) {
        fail_msg("tests/vectors/ikev2_rekey.json: %s (the test runs in the root of the source tree)",
                 err.text);
        return;
    }
    assert_int_equal(json_array_size(json_object_get(root, "ike_sas")), 4);
    assert_int_equal(json_array_size(json_object_get(root, "child_sas")), 2);
    json_array_foreach(json_object_get(root, "ike_sas"), i, o) check_rekey_vector(o);
    json_array_foreach(json_object_get(root, "child_sas"), i, o) check_child_vector(o);
    json_decref(root);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_rekeyed_ike_sa_has_the_keys_of_the_rfc_in_both_roles),
        T(test_ike_sa_rekeyed_twice_goes_on_from_the_second),
        T(test_additional_key_exchanges_follow_the_nonces),
        T(test_additional_key_exchanges_are_for_rekeys_and_need_a_first),
        T(test_old_and_new_ike_sa_live_and_end_apart),
        T(test_rekey_of_what_is_not_authenticated_or_itself_is_refused),
        T(test_child_with_its_own_key_exchange_in_both_roles),
        T(test_bad_values_are_answered_by_a_refusal),
        T(test_answered_exchange_takes_no_other_value),
        cmocka_unit_test(test_key_exchanges_that_wait_are_bounded),
        cmocka_unit_test(test_derivations_give_what_the_openssl_command_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
