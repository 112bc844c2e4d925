// SPDX-License-Identifier: Apache-2.0
// Public and private keys for signatures: what they are is read from the DER before OpenSSL has them, so that
// a refusal can say what was given; sizes are bounded before a key is used.
#include "ctrl/crypto/key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/x509.h>

enum {
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192, // a verification takes under a millisecond
    RSA_E_BITS_MAX = 64,
    KEY_DER_MAX = 16 * 1024,
};

static const struct {
    const char *group;
    unsigned bits;
} curves[] = {{"prime256v1", 256}, {"secp384r1", 384}, {"secp521r1", 521}};

static const char WANTED[] =
    "RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, Ed25519 and Ed448 are taken";

const char *cr_key_type_name(enum cr_key_type type)
{
    switch (type) {
    case CR_KEY_RSA: return "RSA";
    case CR_KEY_ECDSA: return "ECDSA";
    case CR_KEY_ED25519: return "ED25519";
    case CR_KEY_ED448: return "ED448";
    }
    return "?";
}

static int check_rsa(struct cr_key *k, struct esp_error *err)
{
    BIGNUM *e = NULL;
    int e_bits = EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 ? BN_num_bits(e) : 0;
    bool odd = e && BN_is_odd(e);
    BN_free(e);
    k->type = CR_KEY_RSA;
    if (k->bits < RSA_BITS_MIN || k->bits > RSA_BITS_MAX)
        return esp_fail(err, -ENOTSUP, "key", "RSA of %u bits: %d to %d are taken", k->bits, RSA_BITS_MIN,
                        RSA_BITS_MAX);
    if (e_bits < 2 || e_bits > RSA_E_BITS_MAX || !odd)
        return esp_fail(err, -ENOTSUP, "key",
                        "RSA with a public exponent of %d bits%s: an odd one of 2 to %d is taken", e_bits,
                        odd ? "" : ", even", RSA_E_BITS_MAX);
    return 0;
}

static int check_ec(struct cr_key *k, struct esp_error *err)
{
    char name[64] = "";
    EVP_PKEY_get_group_name(k->pkey, name, sizeof(name), NULL);
    k->type = CR_KEY_ECDSA;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (strcmp(curves[i].group, name) == 0) {
            k->bits = curves[i].bits;
            return 0;
        }
    }
    return esp_fail(err, -ENOTSUP, "key", "ECDSA on the curve %s: P-256, P-384 and P-521 are taken",
                    name[0] ? name : "of its own parameters");
}

// The kind and size of k->pkey.
static int check_kind(struct cr_key *k, struct esp_error *err)
{
    int bits = EVP_PKEY_get_bits(k->pkey);
    k->bits = bits > 0 ? (unsigned)bits : 0;
    switch (EVP_PKEY_get_base_id(k->pkey)) {
    case EVP_PKEY_RSA: return check_rsa(k, err);
    case EVP_PKEY_EC: return check_ec(k, err);
    case EVP_PKEY_ED25519: k->type = CR_KEY_ED25519; return 0;
    case EVP_PKEY_ED448: k->type = CR_KEY_ED448; return 0;
    case EVP_PKEY_RSA_PSS:
        return esp_fail(err, -ENOTSUP, "key",
                        "an RSA key that is bound to PSS (id-RSASSA-PSS): rsaEncryption is taken");
    default: {
        const char *name = EVP_PKEY_get0_type_name(k->pkey);
        return esp_fail(err, -ENOTSUP, "key", "a key for %s: %s", name ? name : "something else", WANTED);
    }
    }
}

static int set_ids(struct cr_key *k, X509_PUBKEY *pub, const uint8_t *spki, size_t len)
{
    const unsigned char *bits = NULL;
    int n = 0;
    if (X509_PUBKEY_get0_param(NULL, &bits, &n, NULL, pub) != 1 || n < 0)
        return -EINVAL;
    int rc = cr_sha1(NULL, &(struct cr_slice){bits, (size_t)n}, 1, k->id);
    return rc ? rc : cr_sha1(NULL, &(struct cr_slice){spki, len}, 1, k->info_id);
}

// A curve is named or it is none of ours: parameters of one's own can make a curve of a good name a weak one.
static int check_algorithm(X509_PUBKEY *pub, struct esp_error *err)
{
    X509_ALGOR *alg = NULL;
    const ASN1_OBJECT *oid = NULL;
    int ptype = V_ASN1_UNDEF;
    char name[80];
    if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &alg, pub) != 1)
        return esp_fail(err, -EINVAL, "key", "SubjectPublicKeyInfo without an algorithm");
    X509_ALGOR_get0(&oid, &ptype, NULL, alg);
    switch (OBJ_obj2nid(oid)) {
    case NID_X9_62_id_ecPublicKey:
        if (ptype != V_ASN1_OBJECT)
            return esp_fail(
                err, -ENOTSUP, "key",
                "ECDSA on a curve of its own parameters: P-256, P-384 and P-521 by name are taken");
        return 0;
    case NID_rsaEncryption:
    case NID_rsassaPss:
    case NID_ED25519:
    case NID_ED448: return 0;
    default:
        OBJ_obj2txt(name, sizeof(name), oid, 0);
        return esp_fail(err, -ENOTSUP, "key", "a key for %s: %s", name, WANTED);
    }
}

static int take_public(struct cr_key *k, X509_PUBKEY *pub, const uint8_t *spki, size_t len,
                       struct esp_error *err)
{
    int rc = check_algorithm(pub, err);
    if (rc == 0) {
        k->pkey = X509_PUBKEY_get(pub);
        rc = k->pkey ? check_kind(k, err)
                     : esp_fail(err, -EINVAL, "key", "its public key's octets are no key of that algorithm");
    }
    if (rc == 0 && set_ids(k, pub, spki, len))
        rc = esp_fail(err, -EIO, "key", "SHA-1 of its public key cannot be made");
    ERR_clear_error();
    return rc;
}

int cr_key_of(X509_PUBKEY *pub, const uint8_t *spki, size_t len, struct cr_key **out, struct esp_error *err)
{
    struct cr_key *k = calloc(1, sizeof(*k));
    *out = NULL;
    int rc = len > KEY_DER_MAX ? esp_fail(err, -EINVAL, "key", "of more than %d octets", KEY_DER_MAX)
             : k               ? take_public(k, pub, spki, len, err)
                               : esp_fail(err, -ENOMEM, "key", "no memory");
    if (rc == 0)
        *out = k;
    else
        cr_key_free(k);
    return rc;
}

int cr_key_public(const uint8_t *spki, size_t len, struct cr_key **out, struct esp_error *err)
{
    const unsigned char *p = spki;
    X509_PUBKEY *pub = len <= KEY_DER_MAX ? d2i_X509_PUBKEY(NULL, &p, (long)len) : NULL;
    int rc = pub && p == spki + len
                 ? cr_key_of(pub, spki, len, out, err)
                 : esp_fail(err, -EINVAL, "key", "not a DER SubjectPublicKeyInfo of at most %d octets",
                            KEY_DER_MAX);
    if (rc)
        *out = NULL;
    X509_PUBKEY_free(pub);
    ERR_clear_error();
    return rc;
}

// ---- private keys

enum { DER_INTEGER = 0x02, DER_BITS = 0x03, DER_OCTETS = 0x04, DER_SEQUENCE = 0x30 };

// Takes one element off the front: its tag, or 0 where there is none. *in is its content.
static int der_next(struct cr_slice *from, struct cr_slice *in)
{
    const uint8_t *p = from->data;
    size_t left = from->len, n;
    if (left < 2)
        return 0;
    int tag = p[0];
    n = p[1];
    p += 2, left -= 2;
    if (n & 0x80) {
        size_t count = n & 0x7f;
        if (count < 1 || count > 3 || count > left)
            return 0;
        for (n = 0; count; count--, left--)
            n = n << 8 | *p++;
    }
    if (n > left)
        return 0;
    *in = (struct cr_slice){p, n};
    *from = (struct cr_slice){p + n, left - n};
    return tag;
}

enum der_kind {
    IS_PKCS8,
    IS_PKCS1,
    IS_SEC1,
    IS_ENCRYPTED,
    IS_PUBLIC,
    IS_CERTIFICATE,
    IS_PKCS8_V2,
    IS_UNKNOWN
};
static const char *const kind_names[] = {
    [IS_PKCS8] = "PKCS#8",
    [IS_PKCS1] = "PKCS#1",
    [IS_SEC1] = "SEC 1",
    [IS_ENCRYPTED] = "an encrypted PKCS#8 key (openssl pkcs8 opens it)",
    [IS_PUBLIC] = "a public key",
    [IS_CERTIFICATE] = "a certificate",
    [IS_PKCS8_V2] = "a PKCS#8 key of version 2 (RFC 5958)",
    [IS_UNKNOWN] = "not a DER private key",
};

static enum der_kind kind_of(const uint8_t *der, size_t len)
{
    struct cr_slice all = {der, len}, body = {0}, first = {0}, second = {0};
    if (der_next(&all, &body) != DER_SEQUENCE || all.len)
        return IS_UNKNOWN;
    int a = der_next(&body, &first), b = der_next(&body, &second);
    unsigned version = first.len == 1 && a == DER_INTEGER ? *(const uint8_t *)first.data : 99;
    if (a == DER_INTEGER && b == DER_SEQUENCE)
        return version == 0 ? IS_PKCS8 : version == 1 ? IS_PKCS8_V2 : IS_UNKNOWN;
    if (a == DER_INTEGER && b == DER_INTEGER)
        return body.len ? IS_PKCS1 : IS_UNKNOWN;
    if (a == DER_INTEGER && b == DER_OCTETS)
        return version == 1 ? IS_SEC1 : IS_UNKNOWN;
    if (a != DER_SEQUENCE)
        return IS_UNKNOWN;
    return b == DER_OCTETS     ? IS_ENCRYPTED
           : b == DER_BITS     ? IS_PUBLIC
           : b == DER_SEQUENCE ? IS_CERTIFICATE
                               : IS_UNKNOWN;
}

static EVP_PKEY *read_pkcs8(const uint8_t *der, size_t len)
{
    const unsigned char *p = der;
    EVP_PKEY *key = NULL;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)len);
    if (info && p == der + len)
        key = EVP_PKCS82PKEY(info);
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

static EVP_PKEY *read_traditional(int type, const uint8_t *der, size_t len)
{
    const unsigned char *p = der;
    EVP_PKEY *key = d2i_PrivateKey(type, NULL, &p, (long)len);
    if (key && p != der + len) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

// A key whose halves do not belong together gives signatures that nobody takes, and with RSA some that give
// it away.
static int check_halves(const struct cr_key *k, struct esp_error *err)
{
    static const char said[] = "the two halves of a key";
    const struct cr_slice part = {said, sizeof(said)};
    uint32_t schemes = cr_schemes_default();
    uint8_t sig[CR_SIG_MAX];
    size_t len = 0;
    int rc = cr_sign(k, schemes, CR_METHOD_SIGNATURE, &part, 1, sig, sizeof(sig), &len, NULL);
    if (rc == 0)
        rc = cr_verify(k, schemes, CR_METHOD_SIGNATURE, sig, len, &part, 1, NULL);
    OPENSSL_cleanse(sig, sizeof(sig));
    return rc ? esp_fail(err, -EINVAL, "key", "the private half of this %s key does not fit its public half",
                         cr_key_type_name(k->type))
              : 0;
}

static int public_ids(struct cr_key *k)
{
    unsigned char *der = NULL;
    const unsigned char *p;
    int n = i2d_PUBKEY(k->pkey, &der), rc = -ENOMEM;
    X509_PUBKEY *pub = NULL;
    if (n > 0) {
        p = der;
        pub = d2i_X509_PUBKEY(NULL, &p, n);
    }
    if (pub)
        rc = set_ids(k, pub, der, (size_t)n);
    X509_PUBKEY_free(pub);
    OPENSSL_free(der);
    return rc;
}

static int read_private(struct cr_key *k, const uint8_t *der, size_t len, struct esp_error *err)
{
    enum der_kind kind = len <= KEY_DER_MAX ? kind_of(der, len) : IS_UNKNOWN;
    switch (kind) {
    case IS_PKCS8: k->pkey = read_pkcs8(der, len); break;
    case IS_PKCS1: k->pkey = read_traditional(EVP_PKEY_RSA, der, len); break;
    case IS_SEC1: k->pkey = read_traditional(EVP_PKEY_EC, der, len); break;
    default:
        return esp_fail(err, -EINVAL, "key",
                        "%s: expected is an unencrypted private key in PKCS#8, PKCS#1 or SEC 1",
                        kind_names[kind]);
    }
    if (!k->pkey)
        return esp_fail(err, -EINVAL, "key", "this %s private key cannot be read: %s", kind_names[kind],
                        WANTED);
    k->is_private = true;
    int rc = check_kind(k, err);
    if (rc == 0)
        rc = check_halves(k, err);
    if (rc == 0 && (rc = public_ids(k)) != 0)
        esp_fail(err, rc, "key", "its public half cannot be written: %s", strerror(-rc));
    return rc;
}

int cr_key_private(const uint8_t *der, size_t len, struct cr_key **out, struct esp_error *err)
{
    struct cr_key *k = calloc(1, sizeof(*k));
    *out = NULL;
    int rc = k ? read_private(k, der, len, err) : esp_fail(err, -ENOMEM, "key", "no memory");
    if (rc == 0)
        *out = k;
    else
        cr_key_free(k);
    ERR_clear_error();
    return rc;
}

void cr_key_free(struct cr_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey); // OpenSSL wipes the private values
    free(k);
}

int cr_key_id(const struct cr_key *k, uint8_t out[20])
{
    memcpy(out, k->id, sizeof(k->id));
    return 0;
}

int cr_key_info_id(const struct cr_key *k, uint8_t out[20])
{
    memcpy(out, k->info_id, sizeof(k->info_id));
    return 0;
}

enum cr_key_type cr_key_type(const struct cr_key *k)
{
    return k->type;
}

unsigned cr_key_bits(const struct cr_key *k)
{
    return k->bits;
}

int cr_key_spki(const struct cr_key *k, uint8_t *out, size_t cap, size_t *len)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(k->pkey, &der), rc = 0;
    if (n <= 0)
        rc = -ENOMEM;
    else if ((size_t)n > cap)
        rc = -ENOSPC;
    else
        memcpy(out, der, *len = (size_t)n);
    OPENSSL_free(der);
    return rc;
}
