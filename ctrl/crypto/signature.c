// SPDX-License-Identifier: Apache-2.0
// Signing and checking the AUTH payload's value: which scheme, its AlgorithmIdentifier (RFC 7427 appendix A,
// RFC 4055, RFC 8410), and the form of an ECDSA signature, which differs between method 14 (DER) and methods
// 9 to 11 (r | s).
#include "ctrl/crypto/signature.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "ctrl/crypto/key.h"

static const struct cr_scheme schemes_list[CR_SCHEME_COUNT] = {
#define X(sym, name, type, hash, pss) {name, CR_KEY_##type, CR_HASH_##hash, pss},
    CR_SCHEME_LIST(X)
#undef X
};

const struct cr_scheme *cr_scheme(enum cr_scheme_index i)
{
    return (unsigned)i < CR_SCHEME_COUNT ? &schemes_list[i] : NULL;
}

uint32_t cr_schemes_default(void)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < CR_SCHEME_COUNT; i++)
        set |= schemes_list[i].hash == CR_HASH_SHA1 ? 0 : 1u << i;
    return set;
}

uint32_t cr_schemes_with_hashes(const uint16_t *hashes, size_t n)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < CR_SCHEME_COUNT; i++)
        for (size_t h = 0; h < n; h++)
            set |= schemes_list[i].hash == hashes[h] ? 1u << i : 0;
    return set;
}

uint32_t cr_schemes_of_type(enum cr_key_type type)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < CR_SCHEME_COUNT; i++)
        set |= schemes_list[i].key_type == type ? 1u << i : 0;
    return set;
}

char *cr_schemes_print(uint32_t schemes, char *buf, size_t size)
{
    size_t at = 0;
    snprintf(buf, size, "none");
    for (unsigned i = 0; i < CR_SCHEME_COUNT && at < size; i++)
        if (schemes & 1u << i)
            at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? ", " : "", schemes_list[i].name);
    return buf;
}

static const EVP_MD *hash_md(uint8_t hash)
{
    switch (hash) {
    case CR_HASH_SHA1: return EVP_sha1();
    case CR_HASH_SHA256: return EVP_sha256();
    case CR_HASH_SHA384: return EVP_sha384();
    case CR_HASH_SHA512: return EVP_sha512();
    default: return NULL; // identity: the scheme hashes by itself
    }
}

// The hash that is as strong as the key (NIST SP 800-57 part 1, table 2).
static uint8_t hash_for(const struct cr_key *k)
{
    if (k->type == CR_KEY_RSA)
        return k->bits <= 3072 ? CR_HASH_SHA256 : k->bits <= 7680 ? CR_HASH_SHA384 : CR_HASH_SHA512;
    return k->bits <= 256 ? CR_HASH_SHA256 : k->bits <= 384 ? CR_HASH_SHA384 : CR_HASH_SHA512;
}

// Lower is better: the hash's distance, those that are too weak behind all others, PSS before PKCS#1.
static unsigned distance(const struct cr_scheme *s, uint8_t want)
{
    unsigned d = s->hash >= want ? (unsigned)(s->hash - want) : 16u + (unsigned)(want - s->hash);
    return 2 * d + (s->pss ? 0 : 1);
}

int cr_scheme_choose(const struct cr_key *k, uint32_t schemes, enum cr_scheme_index *out)
{
    uint8_t want = hash_for(k);
    int best = -1;
    for (int i = 0; i < CR_SCHEME_COUNT; i++) {
        const struct cr_scheme *s = &schemes_list[i];
        if (s->key_type != k->type || !(schemes & 1u << i))
            continue;
        if (best < 0 || distance(s, want) < distance(&schemes_list[best], want))
            best = i;
    }
    if (best < 0)
        return -EACCES;
    *out = (enum cr_scheme_index)best;
    return 0;
}

static uint8_t ecdsa_method(const struct cr_key *k)
{
    return k->bits == 256 ? CR_METHOD_ECDSA_256 : k->bits == 384 ? CR_METHOD_ECDSA_384 : CR_METHOD_ECDSA_521;
}

uint8_t cr_method_for(const struct cr_key *k, bool peer_has_hashes)
{
    if (peer_has_hashes)
        return CR_METHOD_SIGNATURE;
    return k->type == CR_KEY_ECDSA ? ecdsa_method(k) : k->type == CR_KEY_RSA ? CR_METHOD_RSA : 0;
}

// ---- which scheme a method means

// Methods other than 14 have one scheme each, which needs a key of one kind.
static int fixed_scheme(uint8_t method, const struct cr_key *k, enum cr_scheme_index *out,
                        struct esp_error *err)
{
    static const struct {
        uint8_t method;
        enum cr_scheme_index scheme;
        const char *wants;
    } fixed[] = {
        {CR_METHOD_RSA, CR_SCHEME_INDEX_RSA_SHA1, "an RSA key"},
        {CR_METHOD_ECDSA_256, CR_SCHEME_INDEX_ECDSA_SHA256, "an ECDSA key on P-256"},
        {CR_METHOD_ECDSA_384, CR_SCHEME_INDEX_ECDSA_SHA384, "an ECDSA key on P-384"},
        {CR_METHOD_ECDSA_521, CR_SCHEME_INDEX_ECDSA_SHA512, "an ECDSA key on P-521"},
    };
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (fixed[i].method != method)
            continue;
        bool fits = method == CR_METHOD_RSA ? k->type == CR_KEY_RSA
                                            : k->type == CR_KEY_ECDSA && ecdsa_method(k) == method;
        if (!fits)
            return esp_fail(err, -EBADMSG, "AUTH", "method %u wants %s, this one is %s of %u bits", method,
                            fixed[i].wants, cr_key_type_name(k->type), k->bits);
        *out = fixed[i].scheme;
        return 0;
    }
    return esp_fail(err, -EBADMSG, "AUTH",
                    "method %u is no signature that is known here (1, 9, 10, 11 and 14 are)", method);
}

static int not_allowed(const struct cr_key *k, uint32_t schemes, const char *name, struct esp_error *err)
{
    char list[120];
    return esp_fail(err, -EACCES, "AUTH", "%s is not allowed here for this %s key (allowed: %s)", name,
                    cr_key_type_name(k->type),
                    cr_schemes_print(schemes & cr_schemes_of_type(k->type), list, sizeof(list)));
}

// ---- AlgorithmIdentifier

static int pss_nid(const struct cr_scheme *s)
{
    return s->pss ? NID_rsassaPss : 0;
}

static int scheme_nid(const struct cr_scheme *s)
{
    static const int rsa[] = {[CR_HASH_SHA1] = NID_sha1WithRSAEncryption,
                              [CR_HASH_SHA256] = NID_sha256WithRSAEncryption,
                              [CR_HASH_SHA384] = NID_sha384WithRSAEncryption,
                              [CR_HASH_SHA512] = NID_sha512WithRSAEncryption};
    static const int ecdsa[] = {[CR_HASH_SHA256] = NID_ecdsa_with_SHA256,
                                [CR_HASH_SHA384] = NID_ecdsa_with_SHA384,
                                [CR_HASH_SHA512] = NID_ecdsa_with_SHA512};
    switch (s->key_type) {
    case CR_KEY_RSA: return s->pss ? pss_nid(s) : rsa[s->hash];
    case CR_KEY_ECDSA: return ecdsa[s->hash];
    case CR_KEY_ED25519: return NID_ED25519;
    default: return NID_ED448;
    }
}

static X509_ALGOR *hash_algor(uint8_t hash)
{
    X509_ALGOR *a = X509_ALGOR_new();
    if (a && X509_ALGOR_set0(a, OBJ_nid2obj(EVP_MD_get_type(hash_md(hash))), V_ASN1_NULL, NULL) != 1) {
        X509_ALGOR_free(a);
        a = NULL;
    }
    return a;
}

// RSASSA-PSS-params (RFC 4055 3.1) with MGF1 of the same hash and a salt as long as the hash.
static ASN1_STRING *pss_params(uint8_t hash)
{
    ASN1_STRING *packed = NULL, *inner = NULL, *result = NULL;
    X509_ALGOR *mgf_hash = hash_algor(hash);
    RSA_PSS_PARAMS *p = RSA_PSS_PARAMS_new();
    if (!p || !mgf_hash || !(p->hashAlgorithm = hash_algor(hash)) ||
        !(p->maskGenAlgorithm = X509_ALGOR_new()) || !(p->saltLength = ASN1_INTEGER_new()) ||
        !ASN1_item_pack(mgf_hash, ASN1_ITEM_rptr(X509_ALGOR), &inner))
        goto out;
    if (X509_ALGOR_set0(p->maskGenAlgorithm, OBJ_nid2obj(NID_mgf1), V_ASN1_SEQUENCE, inner) != 1)
        goto out;
    inner = NULL;
    if (ASN1_INTEGER_set(p->saltLength, EVP_MD_get_size(hash_md(hash))) == 1 &&
        ASN1_item_pack(p, ASN1_ITEM_rptr(RSA_PSS_PARAMS), &packed))
        result = packed;
out:
    ASN1_STRING_free(inner);
    X509_ALGOR_free(mgf_hash);
    RSA_PSS_PARAMS_free(p);
    return result;
}

// The scheme's AlgorithmIdentifier into out; its length, or 0.
static size_t write_algorithm(const struct cr_scheme *s, uint8_t *out, size_t cap)
{
    X509_ALGOR *a = X509_ALGOR_new();
    unsigned char *der = NULL;
    ASN1_STRING *params = s->pss ? pss_params(s->hash) : NULL;
    int ptype = s->pss ? V_ASN1_SEQUENCE : s->key_type == CR_KEY_RSA ? V_ASN1_NULL : V_ASN1_UNDEF;
    int n = 0;
    if (a && (params || !s->pss) && X509_ALGOR_set0(a, OBJ_nid2obj(scheme_nid(s)), ptype, params) == 1) {
        params = NULL;
        n = i2d_X509_ALGOR(a, &der);
    }
    if (n > 0 && (size_t)n <= cap)
        memcpy(out, der, (size_t)n);
    else
        n = 0;
    OPENSSL_free(der);
    ASN1_STRING_free(params);
    X509_ALGOR_free(a);
    return (size_t)n;
}

static uint8_t hash_of_algor(const X509_ALGOR *a)
{
    const ASN1_OBJECT *oid;
    int ptype;
    if (!a)
        return CR_HASH_SHA1; // RFC 4055: the default
    X509_ALGOR_get0(&oid, &ptype, NULL, a);
    if (ptype != V_ASN1_NULL && ptype != V_ASN1_UNDEF)
        return 0;
    for (uint8_t h = CR_HASH_SHA1; h <= CR_HASH_SHA512; h++)
        if (EVP_MD_get_type(hash_md(h)) == OBJ_obj2nid(oid))
            return h;
    return 0;
}

static bool mgf_has_hash(const X509_ALGOR *mgf, uint8_t hash)
{
    const ASN1_OBJECT *oid;
    const void *value;
    int ptype;
    if (!mgf)
        return hash == CR_HASH_SHA1;
    X509_ALGOR_get0(&oid, &ptype, &value, mgf);
    if (OBJ_obj2nid(oid) != NID_mgf1 || ptype != V_ASN1_SEQUENCE)
        return false;
    X509_ALGOR *inner = ASN1_item_unpack(value, ASN1_ITEM_rptr(X509_ALGOR));
    bool same = inner && hash_of_algor(inner) == hash;
    X509_ALGOR_free(inner);
    return same;
}

// RSASSA-PSS-params as a scheme and its salt's length; false: a combination that is not taken.
static bool read_pss(const ASN1_STRING *value, uint8_t *hash, int *salt)
{
    RSA_PSS_PARAMS *p = ASN1_item_unpack(value, ASN1_ITEM_rptr(RSA_PSS_PARAMS));
    bool ok = false;
    if (p) {
        long n = p->saltLength ? ASN1_INTEGER_get(p->saltLength) : 20;
        long trailer = p->trailerField ? ASN1_INTEGER_get(p->trailerField) : 1;
        *hash = hash_of_algor(p->hashAlgorithm);
        *salt = (int)n;
        ok = *hash && n >= 0 && n <= CR_SIG_MAX && trailer == 1 && mgf_has_hash(p->maskGenAlgorithm, *hash);
    }
    RSA_PSS_PARAMS_free(p);
    return ok;
}

static int find_scheme(int nid, uint8_t pss_hash)
{
    for (int i = 0; i < CR_SCHEME_COUNT; i++)
        if (scheme_nid(&schemes_list[i]) == nid && (!schemes_list[i].pss || schemes_list[i].hash == pss_hash))
            return i;
    return -1;
}

// The AlgorithmIdentifier in front of a method-14 signature.
static int read_algorithm(const uint8_t *der, size_t len, enum cr_scheme_index *out, int *salt,
                          struct esp_error *err)
{
    const unsigned char *p = der;
    const ASN1_OBJECT *oid;
    const void *value;
    char name[80] = "an unreadable algorithm";
    int ptype, found = -1;
    uint8_t hash = 0;
    X509_ALGOR *a = d2i_X509_ALGOR(NULL, &p, (long)len);
    if (a && p == der + len) {
        X509_ALGOR_get0(&oid, &ptype, &value, a);
        OBJ_obj2txt(name, sizeof(name), oid, 0);
        int nid = OBJ_obj2nid(oid);
        if (nid == NID_rsassaPss)
            found = ptype == V_ASN1_SEQUENCE && read_pss(value, &hash, salt) ? find_scheme(nid, hash) : -1;
        else if (ptype == V_ASN1_UNDEF || ptype == V_ASN1_NULL)
            found = nid == NID_undef ? -1 : find_scheme(nid, 0);
    }
    X509_ALGOR_free(a);
    ERR_clear_error();
    if (found < 0)
        return esp_fail(err, -EACCES, "AUTH", "the peer signed with %s%s, which is not taken", name,
                        hash ? " of an unusual hash, mask or salt" : "");
    *out = (enum cr_scheme_index)found;
    return 0;
}

// ---- ECDSA's two forms

static int ecdsa_to_raw(const uint8_t *der, size_t len, size_t half, uint8_t *out)
{
    const unsigned char *p = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
    int ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)half) == (int)half &&
             BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, (int)half) == (int)half;
    ECDSA_SIG_free(sig);
    return ok ? 0 : -EIO;
}

static int ecdsa_from_raw(const uint8_t *raw, size_t half, uint8_t *out, size_t cap, size_t *len)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)half, NULL), *s = BN_bin2bn(raw + half, (int)half, NULL);
    unsigned char *der = NULL;
    int n = 0;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL;
        n = i2d_ECDSA_SIG(sig, &der);
    }
    if (n > 0 && (size_t)n <= cap)
        memcpy(out, der, *len = (size_t)n);
    OPENSSL_free(der);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return n > 0 && (size_t)n <= cap ? 0 : -ENOMEM;
}

static size_t half_of(const struct cr_key *k)
{
    return (k->bits + 7) / 8;
}

// ---- the signature itself

// EdDSA takes its message in one piece.
static uint8_t *join(const struct cr_slice *parts, size_t n, size_t *len)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].len > CR_SIGNED_MAX - total)
            return NULL;
        total += parts[i].len;
    }
    uint8_t *all = malloc(total ? total : 1);
    for (size_t i = 0, at = 0; all && i < n; at += parts[i].len, i++)
        if (parts[i].len)
            memcpy(all + at, parts[i].data, parts[i].len);
    *len = total;
    return all;
}

static bool set_padding(const struct cr_scheme *s, EVP_PKEY_CTX *pctx, int salt)
{
    if (s->key_type != CR_KEY_RSA)
        return true;
    if (!s->pss)
        return EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PADDING) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(pctx, hash_md(s->hash)) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt) == 1;
}

// 0 with the signature in out.
static int sign_raw(const struct cr_key *k, const struct cr_scheme *s, const uint8_t *all, size_t all_len,
                    uint8_t *out, size_t cap, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    const EVP_MD *md = hash_md(s->hash);
    *len = cap;
    int ok = ctx && EVP_DigestSignInit(ctx, &pctx, md, NULL, k->pkey) == 1 &&
             set_padding(s, pctx, md ? EVP_MD_get_size(md) : 0) &&
             EVP_DigestSign(ctx, out, len, all, all_len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok ? 0 : -EIO;
}

static bool verify_raw(const struct cr_key *k, const struct cr_scheme *s, int salt, const uint8_t *sig,
                       size_t sig_len, const uint8_t *all, size_t all_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool ok = ctx && EVP_DigestVerifyInit(ctx, &pctx, hash_md(s->hash), NULL, k->pkey) == 1 &&
              set_padding(s, pctx, salt) && EVP_DigestVerify(ctx, sig, sig_len, all, all_len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static int sign_as(const struct cr_key *k, const struct cr_scheme *s, uint8_t method, const uint8_t *all,
                   size_t all_len, uint8_t *out, size_t cap, size_t *len)
{
    uint8_t sig[CR_SIG_MAX], alg[128];
    size_t sig_len, alg_len = 0, half = half_of(k);
    int rc = sign_raw(k, s, all, all_len, sig, sizeof(sig), &sig_len);
    if (rc)
        return rc;
    if (method >= CR_METHOD_ECDSA_256 && method <= CR_METHOD_ECDSA_521) {
        *len = 2 * half;
        return cap < *len ? -ENOSPC : ecdsa_to_raw(sig, sig_len, half, out);
    }
    if (method == CR_METHOD_SIGNATURE && (alg_len = write_algorithm(s, alg, sizeof(alg))) == 0)
        return -ENOMEM;
    size_t head = alg_len ? 1 + alg_len : 0;
    if (cap < head + sig_len)
        return -ENOSPC;
    if (head) {
        out[0] = (uint8_t)alg_len;
        memcpy(out + 1, alg, alg_len);
    }
    memcpy(out + head, sig, sig_len);
    *len = head + sig_len;
    return 0;
}

static int choose(const struct cr_key *k, uint32_t schemes, uint8_t method, enum cr_scheme_index *out,
                  struct esp_error *err)
{
    char name[40];
    if (method == CR_METHOD_SIGNATURE) {
        snprintf(name, sizeof(name), "any signature");
        return cr_scheme_choose(k, schemes, out) ? not_allowed(k, schemes, name, err) : 0;
    }
    int rc = fixed_scheme(method, k, out, err);
    if (rc == 0 && !(schemes & 1u << *out)) {
        snprintf(name, sizeof(name), "method %u (%s)", method, cr_scheme(*out)->name);
        rc = not_allowed(k, schemes, name, err);
    }
    return rc;
}

int cr_sign(const struct cr_key *k, uint32_t schemes, uint8_t method, const struct cr_slice *parts, size_t n,
            uint8_t *out, size_t cap, size_t *len, struct esp_error *err)
{
    enum cr_scheme_index i;
    size_t all_len = 0;
    if (!k->is_private)
        return esp_fail(err, -EINVAL, "key", "a public key does not sign");
    int rc = choose(k, schemes, method, &i, err);
    if (rc)
        return rc;
    uint8_t *all = join(parts, n, &all_len);
    if (!all)
        return esp_fail(err, -ENOMEM, "AUTH", "no memory, or more than %d octets to sign", CR_SIGNED_MAX);
    rc = sign_as(k, cr_scheme(i), method, all, all_len, out, cap, len);
    OPENSSL_cleanse(all, all_len);
    free(all);
    return rc ? esp_fail(err, rc, "AUTH", "signing with %s: %s", cr_scheme(i)->name, strerror(-rc)) : 0;
}

int cr_auth_scheme(const uint8_t *auth, size_t len, enum cr_scheme_index *out)
{
    struct esp_error err = {0};
    int salt = 0;
    if (len < 1 || (size_t)auth[0] + 1 >= len)
        return -EBADMSG;
    return read_algorithm(auth + 1, auth[0], out, &salt, &err);
}

// What is to be checked, taken out of the AUTH value.
struct claim {
    enum cr_scheme_index scheme;
    int salt;
    const uint8_t *sig;
    size_t len;
    uint8_t der[160]; // of r | s
};

static int read_raw_ecdsa(const struct cr_key *k, struct claim *c, struct esp_error *err)
{
    size_t half = half_of(k), n = 0;
    if (c->len != 2 * half)
        return esp_fail(err, -EBADMSG, "AUTH", "a signature of %zu octets: %s on this curve has %zu", c->len,
                        cr_scheme(c->scheme)->name, 2 * half);
    int rc = ecdsa_from_raw(c->sig, half, c->der, sizeof(c->der), &n);
    c->sig = c->der;
    c->len = n;
    return rc ? esp_fail(err, rc, "AUTH", "no memory") : 0;
}

static int read_claim(const struct cr_key *k, uint8_t method, const uint8_t *auth, size_t len,
                      struct claim *c, struct esp_error *err)
{
    int rc;
    c->sig = auth;
    c->len = len;
    c->salt = 0;
    if (method != CR_METHOD_SIGNATURE) {
        if ((rc = fixed_scheme(method, k, &c->scheme, err)) != 0)
            return rc;
        return k->type == CR_KEY_ECDSA ? read_raw_ecdsa(k, c, err) : 0;
    }
    if (len < 1 || (size_t)auth[0] + 1 >= len)
        return esp_fail(err, -EBADMSG, "AUTH", "%zu octets are no AlgorithmIdentifier and signature", len);
    if ((rc = read_algorithm(auth + 1, auth[0], &c->scheme, &c->salt, err)) != 0)
        return rc;
    c->sig += 1 + auth[0];
    c->len -= 1u + auth[0];
    if (cr_scheme(c->scheme)->key_type != k->type)
        return esp_fail(err, -EBADMSG, "AUTH", "the peer signed with %s, its key is %s",
                        cr_scheme(c->scheme)->name, cr_key_type_name(k->type));
    return 0;
}

int cr_verify(const struct cr_key *k, uint32_t schemes, uint8_t method, const uint8_t *auth, size_t auth_len,
              const struct cr_slice *parts, size_t n, struct esp_error *err)
{
    struct claim c = {0};
    size_t all_len = 0;
    int rc = read_claim(k, method, auth, auth_len, &c, err);
    if (rc)
        return rc;
    const struct cr_scheme *s = cr_scheme(c.scheme);
    if (!(schemes & 1u << c.scheme))
        return not_allowed(k, schemes, s->name, err);
    uint8_t *all = join(parts, n, &all_len);
    if (!all)
        return esp_fail(err, -ENOMEM, "AUTH", "no memory, or more than %d octets are signed", CR_SIGNED_MAX);
    bool ok = verify_raw(k, s, c.salt, c.sig, c.len, all, all_len);
    OPENSSL_cleanse(all, all_len);
    free(all);
    return ok ? 0
              : esp_fail(err, -EBADMSG, "AUTH", "the signature (%s) is not this key's over this exchange",
                         s->name);
}
