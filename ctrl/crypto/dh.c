// SPDX-License-Identifier: Apache-2.0
// The key exchange groups: X25519 and X448 (RFC 7748, 8031), ECP-256/384/521 (RFC 5903: x and y without a
// prefix octet, the shared secret is x alone), MODP (RFC 3526: both padded to the modulus) and ML-KEM (FIPS
// 203, draft-ietf-ipsecme-ikev2-mlkem: the answer is a ciphertext), where OpenSSL has it. A length off the
// wire is compared with the group's own before anything is copied.
#include "ctrl/crypto/algs.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/dh.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/rand.h>

enum dh_kind { KIND_MODP, KIND_ECP, KIND_X, KIND_KEM };

static const struct dh_group {
    uint16_t id;
    enum dh_kind kind;
    uint16_t public_len, shared_len;
    int nid;
    const char *name;
    uint16_t answer_len; // 0: as public_len
} GROUPS[] = {
    {14, KIND_MODP, 256, 256, 0, "modp_2048", 0},
    {15, KIND_MODP, 384, 384, 0, "modp_3072", 0},
    {16, KIND_MODP, 512, 512, 0, "modp_4096", 0},
    {17, KIND_MODP, 768, 768, 0, "modp_6144", 0},
    {18, KIND_MODP, 1024, 1024, 0, "modp_8192", 0},
    {19, KIND_ECP, 64, 32, NID_X9_62_prime256v1, "P-256", 0},
    {20, KIND_ECP, 96, 48, NID_secp384r1, "P-384", 0},
    {21, KIND_ECP, 132, 66, NID_secp521r1, "P-521", 0},
    {31, KIND_X, 32, 32, EVP_PKEY_X25519, "X25519", 0},
    {32, KIND_X, 56, 56, EVP_PKEY_X448, "X448", 0},
    {35, KIND_KEM, 800, 32, 0, "ML-KEM-512", 768},
    {36, KIND_KEM, 1184, 32, 0, "ML-KEM-768", 1088},
    {37, KIND_KEM, 1568, 32, 0, "ML-KEM-1024", 1568},
};

enum { X_MAX = 56 }; // octets of a value of X448

struct cr_dh { // of X25519 and X448 it ends with x
    const struct dh_group *group;
    union {
        EVP_PKEY *key;
        // Of X25519 and X448 the private value and behind it the public one instead: half-open IKE SAs have
        // them each, and a key object of OpenSSL takes hundreds of octets.
        uint8_t x[2 * X_MAX];
    };
};

static const struct dh_group *listed(uint16_t id)
{
    for (size_t i = 0; i < sizeof(GROUPS) / sizeof(GROUPS[0]); i++)
        if (GROUPS[i].id == id)
            return &GROUPS[i];
    return NULL;
}

static bool openssl_has(const char *name)
{
    EVP_KEYMGMT *m = EVP_KEYMGMT_fetch(NULL, name, NULL);
    EVP_KEYMGMT_free(m);
    ERR_clear_error();
    return m != NULL;
}

static const struct dh_group *find_group(uint16_t id)
{
    const struct dh_group *g = listed(id);
    return g && (g->kind != KIND_KEM || openssl_has(g->name)) ? g : NULL;
}

bool cr_dh_is_kem(uint16_t group)
{
    const struct dh_group *g = listed(group);
    return g && g->kind == KIND_KEM;
}

size_t cr_dh_public_len(uint16_t group)
{
    const struct dh_group *g = find_group(group);
    return g ? g->public_len : 0;
}

static size_t answer_len(const struct dh_group *g)
{
    return g->answer_len ? g->answer_len : g->public_len;
}

size_t cr_dh_answer_len(uint16_t group)
{
    const struct dh_group *g = find_group(group);
    return g ? answer_len(g) : 0;
}

static EVP_PKEY *from_params(const char *type, int selection, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params && ctx && EVP_PKEY_fromdata_init(ctx) == 1)
        EVP_PKEY_fromdata(ctx, &key, selection, params);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

// --- X25519 and X448: the public value is the scalar times the base point by the very function that makes
// the secret. OpenSSL has another one for X25519, made for signatures, which takes longer. ---

static int x_multiply(struct cr_algs *a, const struct dh_group *g, const uint8_t *scalar,
                      const uint8_t *point, uint8_t *out)
{
    struct x_curve unkept = {0}, *x = a ? &a->x[g->nid == EVP_PKEY_X448] : &unkept;
    int rc = x->exchange ? 0 : x_curve_open(x, g->name);
    if (!rc)
        rc = x_curve_multiply(x, scalar, point, g->shared_len, out);
    x_curve_close(&unkept);
    return rc;
}

static int x_new(struct cr_algs *a, const struct dh_group *g, const uint8_t *priv, struct cr_dh **out)
{
    const uint8_t base[X_MAX] = {g->nid == EVP_PKEY_X448 ? 5 : 9};
    struct cr_dh *dh = calloc(1, offsetof(struct cr_dh, x) + 2 * (size_t)g->public_len);
    if (!dh)
        return -ENOMEM;
    dh->group = g;
    memcpy(dh->x, priv, g->public_len);
    int rc = x_multiply(a, g, priv, base, dh->x + g->public_len);
    if (rc)
        cr_dh_free(dh);
    else
        *out = dh;
    return rc ? -EIO : 0;
}

static int x_generate(struct cr_algs *a, const struct dh_group *g, struct cr_dh **out)
{
    uint8_t priv[X_MAX];
    int rc = RAND_priv_bytes(priv, g->public_len) == 1 ? x_new(a, g, priv, out) : -EIO;
    OPENSSL_cleanse(priv, sizeof(priv));
    return rc;
}

static EVP_PKEY *generate(const struct dh_group *g)
{
    if (g->kind == KIND_KEM)
        return EVP_PKEY_Q_keygen(NULL, NULL, g->name);
    if (g->kind == KIND_ECP)
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", g->name);
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)g->name, 0),
        OSSL_PARAM_construct_end(),
    };
    if (ctx && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_params(ctx, params) == 1)
        EVP_PKEY_generate(ctx, &key);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

// The peer's value as a key of the group, or NULL where OpenSSL does not take it (off the curve, for one).
static EVP_PKEY *peer_key(const struct dh_group *g, const uint8_t *pub)
{
    if (g->kind == KIND_KEM)
        return EVP_PKEY_new_raw_public_key_ex(NULL, g->name, NULL, pub, g->public_len);
    EVP_PKEY *key = NULL;
    BIGNUM *y = NULL;
    uint8_t point[1 + 132];
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (!bld || !OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, g->name, 0))
        goto out;
    if (g->kind == KIND_ECP) {
        point[0] = POINT_CONVERSION_UNCOMPRESSED;
        memcpy(point + 1, pub, g->public_len);
        if (OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1u + g->public_len))
            key = from_params("EC", EVP_PKEY_PUBLIC_KEY, bld);
    } else {
        y = BN_bin2bn(pub, g->public_len, NULL);
        if (y && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PUB_KEY, y))
            key = from_params("DH", EVP_PKEY_PUBLIC_KEY, bld);
    }
out:
    BN_free(y);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

static EVP_PKEY *ecp_from_private(const struct dh_group *g, const uint8_t *priv, size_t len)
{
    EVP_PKEY *key = NULL;
    uint8_t pub[1 + 132];
    BIGNUM *d = BN_secure_new();
    EC_GROUP *curve = EC_GROUP_new_by_curve_name(g->nid);
    EC_POINT *q = curve ? EC_POINT_new(curve) : NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (d && q && bld && BN_bin2bn(priv, (int)len, d) && EC_POINT_mul(curve, q, d, NULL, NULL, NULL) == 1) {
        size_t n = EC_POINT_point2oct(curve, q, POINT_CONVERSION_UNCOMPRESSED, pub, sizeof(pub), NULL);
        if (n && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, g->name, 0) &&
            OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, pub, n) &&
            OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d))
            key = from_params("EC", EVP_PKEY_KEYPAIR, bld);
    }
    OSSL_PARAM_BLD_free(bld);
    EC_POINT_free(q);
    EC_GROUP_free(curve);
    BN_clear_free(d);
    return key;
}

static EVP_PKEY *modp_from_private(const struct dh_group *g, const uint8_t *priv, size_t len)
{
    EVP_PKEY *key = NULL;
    BIGNUM *x = BN_bin2bn(priv, (int)len, NULL);
    BIGNUM *y = BN_new(), *two = BN_new(), *p = NULL;
    BN_CTX *ctx = BN_CTX_new();
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    switch (g->id) {
    case 14: p = BN_get_rfc3526_prime_2048(NULL); break;
    case 15: p = BN_get_rfc3526_prime_3072(NULL); break;
    case 16: p = BN_get_rfc3526_prime_4096(NULL); break;
    case 17: p = BN_get_rfc3526_prime_6144(NULL); break;
    default: p = BN_get_rfc3526_prime_8192(NULL); break;
    }
    if (x && y && two && p && ctx && bld && BN_set_word(two, 2) && BN_mod_exp(y, two, x, p, ctx) == 1 &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, g->name, 0) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PUB_KEY, y) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, x))
        key = from_params("DH", EVP_PKEY_KEYPAIR, bld);
    OSSL_PARAM_BLD_free(bld);
    BN_CTX_free(ctx);
    BN_free(p);
    BN_free(two);
    BN_free(y);
    BN_clear_free(x);
    return key;
}

static int wrap(const struct dh_group *g, EVP_PKEY *key, struct cr_dh **out)
{
    struct cr_dh *dh = key ? calloc(1, sizeof(*dh)) : NULL;
    if (!dh) {
        EVP_PKEY_free(key);
        return key ? -ENOMEM : -EIO;
    }
    dh->group = g;
    dh->key = key;
    *out = dh;
    return 0;
}

int cr_dh_new(struct cr_algs *a, uint16_t group, struct cr_dh **out)
{
    const struct dh_group *g = find_group(group);
    if (!g)
        return -EOPNOTSUPP;
    return g->kind == KIND_X ? x_generate(a, g, out) : wrap(g, generate(g), out);
}

int cr_dh_from_private(struct cr_algs *a, uint16_t group, const uint8_t *priv, size_t len, struct cr_dh **out)
{
    const struct dh_group *g = find_group(group);
    if (!g || g->kind == KIND_KEM)
        return -EOPNOTSUPP;
    if (g->kind == KIND_X)
        return len == g->public_len ? x_new(a, g, priv, out) : -EIO;
    return wrap(g, g->kind == KIND_ECP ? ecp_from_private(g, priv, len) : modp_from_private(g, priv, len),
                out);
}

int cr_dh_public(const struct cr_dh *dh, uint8_t *out, size_t cap, size_t *len)
{
    const struct dh_group *g = dh->group;
    if (cap < g->public_len)
        return -ENOSPC;
    *len = g->public_len;
    if (g->kind == KIND_X) {
        memcpy(out, dh->x + g->public_len, g->public_len);
        return 0;
    }
    if (g->kind == KIND_KEM)
        return EVP_PKEY_get_raw_public_key(dh->key, out, len) == 1 && *len == g->public_len ? 0 : -EIO;
    if (g->kind == KIND_ECP) {
        uint8_t point[1 + 132];
        size_t n = 0;
        if (EVP_PKEY_get_octet_string_param(dh->key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) !=
                1 ||
            n != 1u + g->public_len || point[0] != POINT_CONVERSION_UNCOMPRESSED)
            return -EIO;
        memcpy(out, point + 1, g->public_len);
        return 0;
    }
    BIGNUM *y = NULL;
    int ok = EVP_PKEY_get_bn_param(dh->key, OSSL_PKEY_PARAM_PUB_KEY, &y) == 1 &&
             BN_bn2binpad(y, out, g->public_len) == g->public_len;
    BN_free(y);
    return ok ? 0 : -EIO;
}

// The secret in the initiator's hands. A ciphertext that was changed gives another secret, not an error (FIPS
// 203 6.3).
static int decapsulate(const struct cr_dh *dh, const uint8_t *text, uint8_t *out, size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, dh->key, NULL);
    size_t n = dh->group->shared_len;
    bool ok = ctx && EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
              EVP_PKEY_decapsulate(ctx, out, &n, text, answer_len(dh->group)) == 1 &&
              n == dh->group->shared_len;
    EVP_PKEY_CTX_free(ctx);
    *len = n;
    return ok ? 0 : -EBADMSG;
}

static int encapsulate(const struct dh_group *g, const uint8_t *peer, uint8_t *value, size_t *value_len,
                       uint8_t *secret, size_t *secret_len)
{
    EVP_PKEY *pk = peer_key(g, peer); // checks the modulus of every coefficient (FIPS 203 7.2)
    EVP_PKEY_CTX *ctx = pk ? EVP_PKEY_CTX_new_from_pkey(NULL, pk, NULL) : NULL;
    *value_len = answer_len(g);
    *secret_len = g->shared_len;
    bool ok = ctx && EVP_PKEY_encapsulate_init(ctx, NULL) == 1 &&
              EVP_PKEY_encapsulate(ctx, value, value_len, secret, secret_len) == 1 &&
              *value_len == answer_len(g) && *secret_len == g->shared_len;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pk);
    return ok ? 0 : -EBADMSG;
}

int cr_dh_respond(struct cr_algs *a, uint16_t group, const uint8_t *peer, size_t peer_len,
                  uint8_t value[CR_DH_MAX], size_t *value_len, uint8_t secret[CR_SHARED_MAX],
                  size_t *secret_len)
{
    const struct dh_group *g = find_group(group);
    struct cr_dh *dh = NULL;
    if (!g)
        return -EOPNOTSUPP;
    if (peer_len != g->public_len)
        return -EBADMSG;
    if (g->kind == KIND_KEM)
        return encapsulate(g, peer, value, value_len, secret, secret_len);
    int rc = cr_dh_new(a, group, &dh);
    if (!rc)
        rc = cr_dh_public(dh, value, CR_DH_MAX, value_len);
    if (!rc)
        rc = cr_dh_shared(a, dh, peer, peer_len, secret, CR_SHARED_MAX, secret_len);
    cr_dh_free(dh);
    return rc;
}

int cr_dh_shared(struct cr_algs *a, const struct cr_dh *dh, const uint8_t *peer, size_t peer_len,
                 uint8_t *out, size_t cap, size_t *len)
{
    const struct dh_group *g = dh->group;
    if (peer_len != answer_len(g))
        return -EBADMSG;
    if (cap < g->shared_len)
        return -ENOSPC;
    if (g->kind == KIND_KEM)
        return decapsulate(dh, peer, out, len);
    if (g->kind == KIND_X) {
        *len = g->shared_len;
        return x_multiply(a, g, dh->x, peer, out);
    }
    int rc = -EBADMSG;
    size_t n = cap;
    EVP_PKEY *pk = peer_key(g, peer);
    EVP_PKEY_CTX *check = pk ? EVP_PKEY_CTX_new_from_pkey(NULL, pk, NULL) : NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, dh->key, NULL);
    if (!pk || !check || !ctx)
        goto out;
    if (EVP_PKEY_public_check_quick(check) != 1)
        goto out;
    if (EVP_PKEY_derive_init(ctx) != 1)
        goto out;
    if (g->kind == KIND_MODP && EVP_PKEY_CTX_set_dh_pad(ctx, 1) != 1)
        goto out;
    if (EVP_PKEY_derive_set_peer(ctx, pk) != 1 || EVP_PKEY_derive(ctx, out, &n) != 1 || n != g->shared_len)
        goto out;
    *len = n;
    rc = 0;
out:
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_free(pk);
    return rc;
}

void cr_dh_free(struct cr_dh *dh)
{
    if (!dh)
        return;
    if (dh->group->kind == KIND_X)
        OPENSSL_cleanse(dh->x, dh->group->public_len);
    else
        EVP_PKEY_free(dh->key); // OpenSSL wipes the private value
    free(dh);
}
