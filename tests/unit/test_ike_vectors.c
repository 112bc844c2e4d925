// SPDX-License-Identifier: Apache-2.0
// Recorded exchanges between other implementations (tests/vectors/ikev2): SKEYSEED and SK_*, every SK payload
// opened, CHILD SA keys, and AUTH with a shared secret.
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <jansson.h>

#include "ctrl/ike/identity.h"
#include "ctrl/ike/message.h"
#include "ctrl/keys/derive.h"

static const char DIR_NAME[] = "tests/vectors/ikev2";

struct bytes {
    uint8_t p[8192];
    size_t len;
};

static struct slice hex(struct bytes *b, const char *s)
{
    memset(b, 0, sizeof(*b));
    for (; s && s[0] && s[1]; s += 2) {
        unsigned v;
        assert_int_equal(sscanf(s, "%2x", &v), 1);
        assert_true(b->len < sizeof(b->p));
        b->p[b->len++] = (uint8_t)v;
    }
    return slice_of(b->p, b->len);
}

static struct slice field(struct bytes *b, json_t *o, const char *name)
{
    json_t *v = json_object_get(o, name);
    return hex(b, json_is_string(v) ? json_string_value(v) : "");
}

static uint16_t alg(json_t *root, const char *type, unsigned i)
{
    json_t *a = json_object_get(json_object_get(root, "algs"), type);
    json_t *v = json_array_get(a, i);
    return json_is_integer(v) ? (uint16_t)json_integer_value(v) : 0;
}

static struct cr_sk_alg suite_of(json_t *root)
{
    return (struct cr_sk_alg){alg(root, "1", 1), alg(root, "1", 2), alg(root, "3", 1)};
}

static void expect(const char *file, const char *what, struct slice got, struct slice want)
{
    if (!slice_eq(got, want))
        fail_msg("%s: %s differs (%zu octets, expected %zu)", file, what, got.len, want.len);
}

static uint64_t spi_of(json_t *o, const char *name)
{
    struct bytes b;
    struct reader r = reader_of(field(&b, o, name));
    return rd_u64(&r);
}

static unsigned check_keys(const char *file, json_t *root, struct ike_secrets *out, unsigned max)
{
    json_t *list = json_object_get(root, "ike_sas"), *o;
    struct cr_sk_alg s = suite_of(root);
    size_t i;
    json_array_foreach(list, i, o)
    {
        struct bytes gir, ni, nr, want;
        json_t *from = json_object_get(o, "from_ike_sa");
        assert_true(i < max);
        struct ike_secrets *k = &out[i];
        const struct ike_secrets *old = json_is_integer(from) ? &out[json_integer_value(from)] : NULL;
        struct slice shared = field(&gir, o, "gir");
        assert_int_equal(derive_ike(&s, cr_prf_find(NULL, alg(root, "2", 1)), &shared, 1, field(&ni, o, "ni"),
                                    field(&nr, o, "nr"), spi_of(o, "spi_i"), spi_of(o, "spi_r"), old, k),
                         0);
        expect(file, "SK_d", slice_of(k->sk_d, k->prf_len), field(&want, o, "sk_d"));
        expect(file, "SK_ei", slice_of(k->sk_ei, k->ke_len), field(&want, o, "sk_ei"));
        expect(file, "SK_er", slice_of(k->sk_er, k->ke_len), field(&want, o, "sk_er"));
        expect(file, "SK_pi", slice_of(k->sk_pi, k->prf_len), field(&want, o, "sk_pi"));
        expect(file, "SK_pr", slice_of(k->sk_pr, k->prf_len), field(&want, o, "sk_pr"));
    }
    return (unsigned)json_array_size(list);
}

static unsigned check_messages(const char *file, json_t *root, const struct ike_secrets *keys)
{
    json_t *list = json_object_get(root, "messages"), *o;
    struct cr_sk_alg s = suite_of(root);
    unsigned opened = 0;
    size_t i;
    json_array_foreach(list, i, o)
    {
        struct bytes msg, plain;
        struct ike_header h;
        struct payloads pl;
        struct refusal r = {0};
        struct slice d = field(&msg, o, "msg");
        assert_true(header_read(d, &h));
        assert_int_equal(
            payloads_read(h.next, slice_of(d.p + IKE_HEADER_LEN, d.len - IKE_HEADER_LEN), &pl, &r), 0);
        assert_int_equal(payloads_validate(&pl, &r), 0);
        if (!json_is_string(json_object_get(o, "plaintext")))
            continue;
        const struct ike_secrets *k = &keys[json_integer_value(json_object_get(o, "key"))];
        bool ini = h.flags & FLAG_INITIATOR;
        struct cr_sk *sk;
        uint8_t out[8192];
        size_t len;
        assert_int_equal(cr_sk_new(NULL, &s, ini ? k->sk_ei : k->sk_er, k->ke_len, ini ? k->sk_ai : k->sk_ar,
                                   k->ka_len, &sk),
                         0);
        assert_int_equal(cr_sk_open(sk, d.p, IKE_HEADER_LEN + 4, d.len, out, &len), 0);
        expect(file, "an opened message", slice_of(out, len), field(&plain, o, "plaintext"));
        assert_int_equal(payloads_read(pl.p[0].next, slice_of(out, len), &pl, &r), 0);
        assert_int_equal(payloads_validate(&pl, &r), 0);
        msg.p[d.len - 1] ^= 1;
        assert_int_equal(cr_sk_open(sk, d.p, IKE_HEADER_LEN + 4, d.len, out, &len), -EBADMSG);
        cr_sk_free(sk);
        opened++;
    }
    return opened;
}

static unsigned check_children(const char *file, json_t *root, const struct ike_secrets *keys)
{
    json_t *list = json_object_get(root, "child_sas"), *o;
    size_t i;
    json_array_foreach(list, i, o)
    {
        static const char *const parts[] = {"encr_i", "integ_i", "encr_r", "integ_r"};
        struct bytes gir, ni, nr, want[4];
        uint8_t mat[512];
        size_t total = 0, at = 0;
        for (int k = 0; k < 4; k++)
            total += field(&want[k], o, parts[k]).len;
        const struct ike_secrets *s = &keys[json_integer_value(json_object_get(o, "ike_sa"))];
        struct slice shared = field(&gir, o, "gir");
        assert_int_equal(derive_child(s, &shared, 1, field(&ni, o, "ni"), field(&nr, o, "nr"), mat, total),
                         0);
        for (int k = 0; k < 4; k++) {
            expect(file, parts[k], slice_of(mat + at, want[k].len), slice_of(want[k].p, want[k].len));
            at += want[k].len;
        }
    }
    return (unsigned)json_array_size(list);
}

// The first two IKE_AUTH messages' ID and AUTH payloads over the last IKE_SA_INIT of each end.
static unsigned check_auth(const char *file, json_t *root, const struct ike_secrets *keys)
{
    json_t *list = json_object_get(root, "messages"), *o,
           *sa = json_array_get(json_object_get(root, "ike_sas"), 0);
    static struct bytes init[2], nonce[2], plain;
    json_t *a = json_string("a");
    unsigned checked = 0;
    size_t i;
    field(&nonce[0], sa, "ni");
    field(&nonce[1], sa, "nr");
    json_array_foreach(list, i, o)
    {
        int side = json_equal(json_object_get(o, "dir"), a) ? 0 : 1;
        json_int_t exchange = json_integer_value(json_object_get(o, "exch"));
        if (exchange == EX_SA_INIT)
            field(&init[side], o, "msg");
        if (exchange != EX_AUTH)
            continue;
        const char *how = json_string_value(
            json_object_get(json_array_get(json_object_get(root, "auth"), checked), "verified"));
        struct payloads pl;
        struct refusal r = {0};
        struct auth auth;
        uint8_t first = (uint8_t)json_integer_value(json_object_get(o, "first_payload")), out[CR_PRF_MAX];
        assert_int_equal(payloads_read(first, field(&plain, o, "plaintext"), &pl, &r), 0);
        const struct payload *id = payload_find(&pl, side ? PL_IDR : PL_IDI),
                             *ap = payload_find(&pl, PL_AUTH);
        if (!id || !ap || !auth_read(ap->body, &auth)) {
            fail_msg("%s: an IKE_AUTH message without ID or AUTH", file);
            return 0;
        }
        if (!how || strncmp(how, "psk:", 4) != 0)
            continue;
        assert_int_equal(derive_psk_auth(&keys[0], side == 0, slice_str(how + 4),
                                         slice_of(init[side].p, init[side].len),
                                         slice_of(nonce[1 - side].p, nonce[1 - side].len), id->body, out),
                         0);
        expect(file, "AUTH", slice_of(out, keys[0].prf_len), auth.value);
        checked++;
    }
    json_decref(a);
    return checked;
}

static void test_recorded_exchanges_are_understood(void **state)
{
    unsigned files = 0, sas = 0, opened = 0, children = 0, auths = 0;
    DIR *d = opendir(DIR_NAME);
    struct dirent *e;
    (void)state;
    if (!d) {
        fail_msg("cannot open %s (the test runs in the root of the source tree)", DIR_NAME);
        return;
    }
    while ((e = readdir(d)) != NULL) {
        char path[512];
        struct ike_secrets keys[8] = {0};
        json_error_t err;
        if (!strstr(e->d_name, ".json"))
            continue;
        snprintf(path, sizeof(path), "%s/%s", DIR_NAME, e->d_name);
        json_t *root = json_load_file(path, 0, &err);
        if (!root)
            fail_msg("%s: %s", path, err.text);
        sas += check_keys(e->d_name, root, keys, 8);
        opened += check_messages(e->d_name, root, keys);
        children += check_children(e->d_name, root, keys);
        auths += check_auth(e->d_name, root, keys);
        json_decref(root);
        files++;
    }
    closedir(d);
    printf("%u exchanges: %u IKE SAs, %u messages opened, %u CHILD SAs, %u AUTH values\n", files, sas, opened,
           children, auths);
    assert_int_equal(files, 5);
    assert_int_equal(opened, 36);
    assert_int_equal(auths, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recorded_exchanges_are_understood)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
