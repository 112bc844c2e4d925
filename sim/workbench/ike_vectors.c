// SPDX-License-Identifier: Apache-2.0
// `espalier-sim ike-vectors`: recorded IKEv2 exchanges (JSON: algorithms, IKE SAs with shared secret and
// keys, messages with their decrypted payloads, CHILD SA keys, AUTH) through the daemon's own message and key
// code, which is the one part of ctrl that the workbench links. An IKE SA, a message, a CHILD SA and an AUTH
// value are a vector each. RFC 7296 sections 2.14, 2.15, 2.17, 2.18 and 3; RFC 7427. What a certificate is
// worth is none of it: AUTH is by its key.
#include "sim/workbench/vectors.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/signature.h"
#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/message.h"
#include "ctrl/keys/derive.h"
#include "sim/workbench/util.h"

enum { MAX_IKE_SAS = 64, MAX_OCTETS = 65536, KINDS_OF_CHILD_KEY = 4 };

struct octets { // of one file, freed with it
    struct octets *next;
    uint8_t *data;
    size_t len;
};

struct ike_file {
    const char *path;
    json_t *root;
    struct octets *kept;
    struct cr_sk_alg alg;
    uint16_t prf;
    struct ike_secrets keys[MAX_IKE_SAS];
    bool known[MAX_IKE_SAS]; // derived, and as the file has them
    struct wb_tally *tally;
    struct esp_error *err;
    int ret; // the first thing wrong with the file itself
};

static void malformed(struct ike_file *f, const char *what, size_t i, const char *name)
{
    if (f->ret == 0)
        f->ret = esp_fail(f->err, -EINVAL, f->path, "%s %zu: \"%s\" is missing or malformed", what, i, name);
}

// Octets of a hexadecimal member; absent and null are no octets.
static struct slice octets(struct ike_file *f, const json_t *o, const char *name, const char *what, size_t i)
{
    const json_t *member = json_object_get(o, name);
    const char *hex = !member || json_is_null(member) ? "" : json_string_value(member);
    struct octets *k = calloc(1, sizeof(*k));

    if (k && hex && strlen(hex) <= 2 * MAX_OCTETS)
        k->data = wb_hex_dup(hex, &k->len);
    if (!k || !k->data) {
        free(k);
        malformed(f, what, i, name);
        return slice_of(NULL, 0);
    }
    k->next = f->kept;
    f->kept = k;
    return slice_of(k->data, k->len);
}

static uint16_t algorithm(const struct ike_file *f, const char *type, size_t i)
{
    const json_t *a = json_object_get(json_object_get(f->root, "algs"), type);

    return (uint16_t)json_integer_value(json_array_get(a, i));
}

static bool judge(struct ike_file *f, const char *what, size_t i, const char *wrong)
{
    if (f->ret != 0) // the file is at fault
        return false;
    if (wrong)
        fprintf(stderr, "FAILED %s: %s %zu: %s\n", f->path, what, i, wrong);
    *(wrong ? &f->tally->failed : &f->tally->passed) += 1;
    return !wrong;
}

// The secrets of the IKE SA that a member names; NULL where it names none that was derived.
static const struct ike_secrets *secrets_of(const struct ike_file *f, const json_t *o, const char *name)
{
    const json_t *n = json_object_get(o, name);
    json_int_t i = json_integer_value(n);

    return json_is_integer(n) && i >= 0 && i < MAX_IKE_SAS && f->known[i] ? &f->keys[i] : NULL;
}

// ---- IKE SAs
static const char *compare_secrets(struct ike_file *f, const json_t *o, size_t i)
{
    const struct ike_secrets *k = &f->keys[i];
    const struct {
        const char *name, *wrong;
        const uint8_t *octets;
        size_t len;
    } all[] = {
        {"sk_d", "another SK_d", k->sk_d, k->prf_len},    {"sk_ai", "another SK_ai", k->sk_ai, k->ka_len},
        {"sk_ar", "another SK_ar", k->sk_ar, k->ka_len},  {"sk_ei", "another SK_ei", k->sk_ei, k->ke_len},
        {"sk_er", "another SK_er", k->sk_er, k->ke_len},  {"sk_pi", "another SK_pi", k->sk_pi, k->prf_len},
        {"sk_pr", "another SK_pr", k->sk_pr, k->prf_len},
    };

    for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++)
        if (!slice_eq(octets(f, o, all[n].name, "IKE SA", i), slice_of(all[n].octets, all[n].len)))
            return all[n].wrong;
    return NULL;
}

static uint64_t spi(struct ike_file *f, const json_t *o, const char *name, size_t i)
{
    struct slice s = octets(f, o, name, "IKE SA", i);

    if (s.len != 8)
        malformed(f, "IKE SA", i, name);
    return s.len == 8 ? wb_get64(s.p) : 0;
}

static void check_ike_sa(struct ike_file *f, const json_t *o, size_t i)
{
    bool rekeyed = json_is_integer(json_object_get(o, "from_ike_sa"));
    const struct ike_secrets *old = secrets_of(f, o, "from_ike_sa");
    struct slice gir = octets(f, o, "gir", "IKE SA", i), ni = octets(f, o, "ni", "IKE SA", i),
                 nr = octets(f, o, "nr", "IKE SA", i);
    uint64_t spi_i = spi(f, o, "spi_i", i), spi_r = spi(f, o, "spi_r", i);

    if (i >= MAX_IKE_SAS || (rekeyed && !old)) {
        malformed(f, "IKE SA", i, "from_ike_sa");
        return;
    }
    if (f->ret != 0)
        return;
    if (derive_ike(&f->alg, cr_prf_find(NULL, f->prf), &gir, 1, ni, nr, spi_i, spi_r, old, &f->keys[i]) != 0)
        judge(f, "IKE SA", i, "no keys can be derived");
    else
        f->known[i] = judge(f, "IKE SA", i, compare_secrets(f, o, i));
}

// ---- messages
static bool opens_when_changed(struct cr_sk *sk, struct slice msg, uint8_t *out)
{
    uint8_t *copy = malloc(msg.len);
    bool opens = true;
    size_t len;

    if (copy) {
        memcpy(copy, msg.p, msg.len);
        copy[msg.len - 1] ^= 1;
        opens = cr_sk_open(sk, copy, IKE_HEADER_LEN + 4, msg.len, out, &len) != -EBADMSG;
    }
    free(copy);
    return opens;
}

static const char *open_message(const struct ike_file *f, const struct ike_secrets *k,
                                const struct ike_header *h, struct slice msg, struct slice plain,
                                uint8_t first)
{
    bool ini = h->flags & FLAG_INITIATOR;
    const char *wrong = NULL;
    struct refusal r = {0};
    struct payloads inside;
    uint8_t *out = malloc(msg.len);
    struct cr_sk *sk = NULL;
    size_t len;

    if (!out || cr_sk_new(NULL, &f->alg, ini ? k->sk_ei : k->sk_er, k->ke_len, ini ? k->sk_ai : k->sk_ar,
                          k->ka_len, &sk))
        wrong = "no cipher for its keys";
    else if (cr_sk_open(sk, msg.p, IKE_HEADER_LEN + 4, msg.len, out, &len) != 0)
        wrong = "cannot be opened";
    else if (!slice_eq(slice_of(out, len), plain))
        wrong = "other payloads inside";
    else if (payloads_read(first, slice_of(out, len), &inside, &r) != 0 ||
             payloads_validate(&inside, &r) != 0)
        wrong = "its payloads are refused";
    if (!wrong && opens_when_changed(sk, msg, out))
        wrong = "can be opened although its last octet was changed";
    if (sk)
        cr_sk_free(sk);
    free(out);
    return wrong;
}

static const char *check_message(struct ike_file *f, const json_t *o, size_t i)
{
    struct slice msg = octets(f, o, "msg", "message", i), plain = octets(f, o, "plaintext", "message", i);
    struct refusal r = {0};
    struct ike_header h;
    struct payloads pl;
    const struct ike_secrets *k;

    if (!header_read(msg, &h))
        return "its header is refused";
    if (payloads_read(h.next, slice_of(msg.p + IKE_HEADER_LEN, msg.len - IKE_HEADER_LEN), &pl, &r) != 0 ||
        payloads_validate(&pl, &r) != 0)
        return "its payloads are refused";
    if (!json_is_string(json_object_get(o, "plaintext")))
        return NULL;
    k = secrets_of(f, o, "key");
    if (!k || pl.count == 0)
        return "no IKE SA has its key";
    return open_message(f, k, &h, msg, plain, pl.p[pl.count - 1].next);
}

// ---- CHILD SAs
static void check_child(struct ike_file *f, const json_t *o, size_t i)
{
    static const char *const names[KINDS_OF_CHILD_KEY] = {"encr_i", "integ_i", "encr_r", "integ_r"};
    struct slice want[KINDS_OF_CHILD_KEY], gir = octets(f, o, "gir", "CHILD SA", i);
    struct slice ni = octets(f, o, "ni", "CHILD SA", i), nr = octets(f, o, "nr", "CHILD SA", i);
    const struct ike_secrets *k = secrets_of(f, o, "ike_sa");
    uint8_t keymat[1024];
    size_t total = 0, at = 0;
    const char *wrong = NULL;

    for (int n = 0; n < KINDS_OF_CHILD_KEY; n++) {
        want[n] = octets(f, o, names[n], "CHILD SA", i);
        total += want[n].len;
    }
    if (!k || total == 0 || total > sizeof(keymat))
        wrong = "no IKE SA has its keys";
    else if (derive_child(k, &gir, 1, ni, nr, keymat, total) != 0)
        wrong = "no keys can be derived";
    for (int n = 0; n < KINDS_OF_CHILD_KEY && !wrong; n++) {
        if (!slice_eq(slice_of(keymat + at, want[n].len), want[n]))
            wrong = "another key";
        at += want[n].len;
    }
    OPENSSL_cleanse(keymat, sizeof(keymat));
    judge(f, "CHILD SA", i, wrong);
}

// ---- AUTH
struct auth_side {
    struct slice first; // the last IKE_SA_INIT that this end sent
    struct slice nonce; // its own
};

static const char *check_secret(const struct ike_file *f, const struct auth_side side[2], int me,
                                const char *psk, struct slice id, const struct auth *auth)
{
    uint8_t out[CR_PRF_MAX];

    if (derive_psk_auth(&f->keys[0], me == 0, slice_str(psk), side[me].first, side[1 - me].nonce, id, out) !=
        0)
        return "no AUTH can be made";
    return slice_eq(slice_of(out, f->keys[0].prf_len), auth->value) ? NULL : "another AUTH";
}

// The key of the first certificate that the message has; NULL: there is none that can be read.
static struct cr_key *key_of(const struct payloads *pl)
{
    const struct payload *cert = payload_find(pl, PL_CERT);
    bool x509 = cert && cert->body.len > 1 && cert->body.p[0] == CERT_X509;
    const uint8_t *der = x509 ? cert->body.p + 1 : NULL;
    X509 *x = der ? d2i_X509(NULL, &der, (long)cert->body.len - 1) : NULL;
    uint8_t *spki = NULL;
    int len = x ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki) : 0;
    struct cr_key *key = NULL;
    struct esp_error err = {0};

    if (len > 0 && cr_key_public(spki, (size_t)len, &key, &err) != 0)
        key = NULL;
    OPENSSL_free(spki);
    X509_free(x);
    return key;
}

static const char *check_signature(const struct ike_file *f, const struct auth_side side[2], int me,
                                   const struct payloads *pl, struct slice id, const struct auth *auth)
{
    struct cr_key *key = key_of(pl);
    uint8_t maced_id[CR_PRF_MAX];
    struct esp_error err = {0};
    const char *wrong = NULL;

    if (!key)
        return "no certificate whose key can be read";
    if (derive_maced_id(&f->keys[0], me == 0, id, maced_id) != 0)
        wrong = "no AUTH can be made";
    struct cr_slice covered[] = {{side[me].first.p, side[me].first.len},
                                 {side[1 - me].nonce.p, side[1 - me].nonce.len},
                                 {maced_id, f->keys[0].prf_len}};
    if (!wrong && cr_verify(key, cr_schemes_default(), auth->method, auth->value.p, auth->value.len, covered,
                            3, &err) != 0)
        wrong = "not signed by its certificate's key";
    cr_key_free(key);
    return wrong;
}

static const char *check_auth(struct ike_file *f, const json_t *o, size_t i, const struct auth_side side[2],
                              int me, const char *how)
{
    const json_t *first = json_object_get(o, "first_payload");
    struct slice plain = octets(f, o, "plaintext", "message", i);
    const struct payload *id, *ap;
    struct refusal r = {0};
    struct payloads pl;
    struct auth auth;

    if (payloads_read((uint8_t)json_integer_value(first), plain, &pl, &r) != 0)
        return "its payloads are refused";
    id = payload_find(&pl, me ? PL_IDR : PL_IDI);
    ap = payload_find(&pl, PL_AUTH);
    if (!id || !ap || !auth_read(ap->body, &auth))
        return "has no ID or no AUTH";
    if (!f->known[0])
        return "no AUTH can be made";
    return strncmp(how, "psk:", 4) == 0 ? check_secret(f, side, me, how + 4, id->body, &auth)
                                        : check_signature(f, side, me, &pl, id->body, &auth);
}

static void check_auths(struct ike_file *f)
{
    const json_t *sa = json_array_get(json_object_get(f->root, "ike_sas"), 0), *o;
    struct auth_side side[2] = {{.nonce = octets(f, sa, "ni", "IKE SA", 0)},
                                {.nonce = octets(f, sa, "nr", "IKE SA", 0)}};
    size_t i, seen = 0;

    json_array_foreach(json_object_get(f->root, "messages"), i, o)
    {
        const char *dir = json_string_value(json_object_get(o, "dir")), *how;
        int me = dir && strcmp(dir, "a") == 0 ? 0 : 1;
        json_int_t exchange = json_integer_value(json_object_get(o, "exch"));

        if (exchange == EX_SA_INIT)
            side[me].first = octets(f, o, "msg", "message", i);
        if (exchange != EX_AUTH)
            continue;
        how = json_string_value(
            json_object_get(json_array_get(json_object_get(f->root, "auth"), seen++), "verified"));
        if (how)
            judge(f, "AUTH in message", i, check_auth(f, o, i, side, me, how));
        else
            wb_skip(f->tally, "AUTH: \"verified\" does not say by what");
    }
}

static void check_all(struct ike_file *f)
{
    const json_t *o;
    size_t i;

    f->alg = (struct cr_sk_alg){algorithm(f, "1", 1), algorithm(f, "1", 2), algorithm(f, "3", 1)};
    f->prf = algorithm(f, "2", 1);
    if (cr_sk_check(&f->alg) != 0)
        malformed(f, "algorithm", 1, "algs");
    json_array_foreach(json_object_get(f->root, "ike_sas"), i, o) check_ike_sa(f, o, i);
    json_array_foreach(json_object_get(f->root, "messages"), i, o) if (f->ret == 0)
        judge(f, "message", i, check_message(f, o, i));
    json_array_foreach(json_object_get(f->root, "child_sas"), i, o) if (f->ret == 0) check_child(f, o, i);
    if (f->ret == 0)
        check_auths(f);
}

static int run_file(const char *path, struct wb_tally *tally, struct esp_error *err)
{
    struct ike_file *f = calloc(1, sizeof(*f));
    json_error_t where;
    size_t len;
    char *text = f ? wb_read_file(path, &len, err) : NULL;
    int ret;

    if (!f)
        return esp_fail(err, -ENOMEM, path, "out of memory");
    if (!text) {
        free(f);
        return err->code;
    }
    *f =
        (struct ike_file){.path = path, .tally = tally, .err = err, .root = json_loadb(text, len, 0, &where)};
    if (!f->root)
        f->ret = esp_fail(err, -EINVAL, path, "line %d: %s", where.line, where.text);
    else if (json_array_size(json_object_get(f->root, "ike_sas")) == 0)
        f->ret = esp_fail(err, -EINVAL, path, "no \"ike_sas\", expected a recorded IKEv2 exchange");
    else
        check_all(f);
    ret = f->ret;
    while (f->kept) {
        struct octets *k = f->kept;
        f->kept = k->next;
        OPENSSL_cleanse(k->data, k->len);
        free(k->data);
        free(k);
    }
    json_decref(f->root);
    free(text);
    OPENSSL_cleanse(f, sizeof(*f));
    free(f);
    return ret;
}

int wb_ike_vectors(int n_files, char **files)
{
    struct wb_tally tally = {0};
    struct esp_error err = {0};
    int ret = 0;

    for (int i = 0; i < n_files && ret == 0; i++)
        ret = run_file(files[i], &tally, &err);
    return ret ? wb_report(&err) : wb_tally_print(&tally);
}
