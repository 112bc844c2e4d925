// SPDX-License-Identifier: Apache-2.0
#include "ctrl/crypto/mschapv2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "ctrl/crypto/crypto.h"

struct mschap {
    OSSL_LIB_CTX *ctx;
    OSSL_PROVIDER *legacy;
    EVP_MD *md4;
    EVP_CIPHER *des;
    struct cr_algs *algs;
};

void mschap_free(struct mschap *m)
{
    if (!m)
        return;
    EVP_MD_free(m->md4);
    EVP_CIPHER_free(m->des);
    if (m->legacy)
        OSSL_PROVIDER_unload(m->legacy);
    OSSL_LIB_CTX_free(m->ctx);
    free(m);
}

struct mschap *mschap_new(struct cr_algs *algs)
{
    struct mschap *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->algs = algs;
    m->ctx = OSSL_LIB_CTX_new();
    m->legacy = m->ctx ? OSSL_PROVIDER_load(m->ctx, "legacy") : NULL;
    m->md4 = m->legacy ? EVP_MD_fetch(m->ctx, "MD4", NULL) : NULL;
    m->des = m->legacy ? EVP_CIPHER_fetch(m->ctx, "DES-ECB", NULL) : NULL;
    if (m->md4 && m->des)
        return m;
    mschap_free(m);
    return NULL;
}

static int md4(const struct mschap *m, const void *data, size_t len, uint8_t out[16])
{
    return EVP_Digest(data, len, out, NULL, m->md4, NULL) == 1 ? 0 : -EIO;
}

// --- the password, as UTF-16 with the low octet first ---

// Octets of the character at s, at most len; 0: no UTF-8.
static size_t utf8_next(const uint8_t *s, size_t len, uint32_t *c)
{
    size_t n = s[0] < 0x80             ? 1
               : (s[0] & 0xe0) == 0xc0 ? 2
               : (s[0] & 0xf0) == 0xe0 ? 3
               : (s[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (!n || n > len)
        return 0;
    *c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *c = *c << 6 | (s[i] & 0x3f);
    }
    return *c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff) ? 0 : n;
}

static size_t put_unit(uint8_t *out, size_t at, uint32_t unit)
{
    out[at] = (uint8_t)unit;
    out[at + 1] = (uint8_t)(unit >> 8);
    return at + 2;
}

int mschap_nt_hash(const struct mschap *m, const void *password, size_t len, uint8_t out[MSCHAP_NT_HASH])
{
    uint8_t wide[2 * MSCHAP_PASSWORD_MAX];
    const uint8_t *s = password;
    size_t n = 0;
    if (len > MSCHAP_PASSWORD_MAX)
        return -EINVAL;
    for (size_t at = 0, step; at < len; at += step) {
        uint32_t c = 0;
        step = utf8_next(s + at, len - at, &c);
        if (!step) {
            OPENSSL_cleanse(wide, sizeof(wide));
            return -EINVAL;
        }
        if (c >= 0x10000) {
            n = put_unit(wide, n, 0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        n = put_unit(wide, n, c);
    }
    int rc = md4(m, wide, n, out);
    OPENSSL_cleanse(wide, sizeof(wide));
    return rc;
}

// --- the response ---

// RFC 2759 8.6: 56 bits spread over eight octets; DES does not look at the parity.
static int des(const struct mschap *m, const uint8_t clear[8], const uint8_t key[7], uint8_t out[8])
{
    uint8_t k[8];
    int n = 0;
    uint64_t bits = 0;
    for (int i = 0; i < 7; i++)
        bits = bits << 8 | key[i];
    for (int i = 0; i < 8; i++)
        k[i] = (uint8_t)((bits >> (49 - 7 * i) & 0x7f) << 1);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool good = c && EVP_EncryptInit_ex2(c, m->des, k, NULL, NULL) == 1 &&
                EVP_CIPHER_CTX_set_padding(c, 0) == 1 && EVP_EncryptUpdate(c, out, &n, clear, 8) == 1 &&
                n == 8;
    EVP_CIPHER_CTX_free(c);
    OPENSSL_cleanse(k, sizeof(k));
    OPENSSL_cleanse(&bits, sizeof(bits));
    return good ? 0 : -EIO;
}

static int challenge_hash(const struct mschap *m, const struct mschap_exchange *x, uint8_t out[20])
{
    const struct cr_slice parts[] = {{x->peer_challenge, MSCHAP_CHALLENGE},
                                     {x->authenticator_challenge, MSCHAP_CHALLENGE},
                                     {x->user, x->user_len}};
    return cr_sha1(m->algs, parts, 3, out);
}

int mschap_response(const struct mschap *m, const struct mschap_exchange *x,
                    const uint8_t nt_hash[MSCHAP_NT_HASH], uint8_t out[MSCHAP_RESPONSE])
{
    uint8_t challenge[20], key[21] = {0};
    memcpy(key, nt_hash, MSCHAP_NT_HASH);
    int rc = challenge_hash(m, x, challenge);
    for (int i = 0; i < 3 && !rc; i++)
        rc = des(m, challenge, key + 7 * i, out + 8 * i);
    OPENSSL_cleanse(key, sizeof(key));
    return rc;
}

int mschap_authenticator(const struct mschap *m, const struct mschap_exchange *x,
                         const uint8_t nt_hash[MSCHAP_NT_HASH], const uint8_t response[MSCHAP_RESPONSE],
                         uint8_t out[MSCHAP_AUTHENTICATOR])
{
    static const char magic1[] = "Magic server to client signing constant",
                      magic2[] = "Pad to make it do more than one iteration";
    uint8_t hash_hash[16], challenge[20], digest[20];
    int rc = md4(m, nt_hash, MSCHAP_NT_HASH, hash_hash);
    const struct cr_slice first[] = {
        {hash_hash, 16}, {response, MSCHAP_RESPONSE}, {magic1, sizeof(magic1) - 1}};
    if (!rc)
        rc = cr_sha1(m->algs, first, 3, digest);
    if (!rc)
        rc = challenge_hash(m, x, challenge);
    const struct cr_slice second[] = {{digest, 20}, {challenge, 8}, {magic2, sizeof(magic2) - 1}};
    if (!rc)
        rc = cr_sha1(m->algs, second, 3, out);
    OPENSSL_cleanse(hash_hash, sizeof(hash_hash));
    OPENSSL_cleanse(digest, sizeof(digest));
    return rc;
}

// --- keys ---

static int start_key(const struct mschap *m, const uint8_t master[16], const char *magic, uint8_t out[16])
{
    uint8_t pad1[40] = {0}, pad2[40], digest[20];
    memset(pad2, 0xf2, sizeof(pad2));
    const struct cr_slice parts[] = {{master, 16}, {pad1, 40}, {magic, strlen(magic)}, {pad2, 40}};
    int rc = cr_sha1(m->algs, parts, 4, digest);
    memcpy(out, digest, 16);
    OPENSSL_cleanse(digest, sizeof(digest));
    return rc;
}

int mschap_msk(const struct mschap *m, const uint8_t nt_hash[MSCHAP_NT_HASH],
               const uint8_t response[MSCHAP_RESPONSE], uint8_t out[MSCHAP_MSK])
{
    static const char magic1[] = "This is the MPPE Master Key";
    uint8_t hash_hash[16], master[20];
    int rc = md4(m, nt_hash, MSCHAP_NT_HASH, hash_hash);
    const struct cr_slice parts[] = {
        {hash_hash, 16}, {response, MSCHAP_RESPONSE}, {magic1, sizeof(magic1) - 1}};
    if (!rc)
        rc = cr_sha1(m->algs, parts, 3, master);
    memset(out, 0, MSCHAP_MSK);
    if (!rc)
        rc = start_key(m, master,
                       "On the client side, this is the send key; on the server side, it is the receive key.",
                       out);
    if (!rc)
        rc = start_key(m, master,
                       "On the client side, this is the receive key; on the server side, it is the send key.",
                       out + 16);
    OPENSSL_cleanse(hash_hash, sizeof(hash_hash));
    OPENSSL_cleanse(master, sizeof(master));
    return rc;
}
