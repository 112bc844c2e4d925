// SPDX-License-Identifier: Apache-2.0
// HMAC as a PRF and prf+ (RFC 7296 2.13, RFC 4868, 2104), SHA-1 for NAT detection (RFC 7296 2.23), and random
// octets. The fetched algorithms are kept, as fetching costs more than a whole HMAC.
#include "ctrl/crypto/crypto.h"

#include <errno.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

static const struct prf_info {
    uint16_t id;
    uint16_t len;
    const char *digest;
} PRFS[] = {
    {2, 20, "SHA1"},   // PRF_HMAC_SHA1
    {5, 32, "SHA256"}, // PRF_HMAC_SHA2_256
    {6, 48, "SHA384"}, // PRF_HMAC_SHA2_384
    {7, 64, "SHA512"}, // PRF_HMAC_SHA2_512
};

static const struct prf_info *find_prf(uint16_t id)
{
    for (size_t i = 0; i < sizeof(PRFS) / sizeof(PRFS[0]); i++)
        if (PRFS[i].id == id)
            return &PRFS[i];
    return NULL;
}

size_t cr_prf_len(uint16_t prf)
{
    const struct prf_info *p = find_prf(prf);
    return p ? p->len : 0;
}

static EVP_MAC *hmac_alg(void)
{
    static EVP_MAC *mac;
    if (!mac)
        mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    return mac;
}

// A context keyed once; every block of prf+ starts from a copy of its keyed state.
static EVP_MAC_CTX *keyed(const struct prf_info *p, const void *key, size_t key_len)
{
    static const uint8_t empty[1];
    EVP_MAC *mac = hmac_alg();
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    if (!ctx)
        return NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)p->digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_MAC_init(ctx, key_len ? key : empty, key_len, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

int cr_prf(uint16_t prf, const void *key, size_t key_len, const struct cr_slice *parts, size_t nparts,
           uint8_t *out)
{
    const struct prf_info *p = find_prf(prf);
    if (!p)
        return -EOPNOTSUPP;
    EVP_MAC_CTX *ctx = keyed(p, key, key_len);
    if (!ctx)
        return -ENOMEM;
    int ok = 1;
    for (size_t i = 0; i < nparts && ok; i++)
        ok = !parts[i].len || EVP_MAC_update(ctx, parts[i].data, parts[i].len) == 1;
    size_t n = 0;
    ok = ok && EVP_MAC_final(ctx, out, &n, p->len) == 1 && n == p->len;
    EVP_MAC_CTX_free(ctx);
    return ok ? 0 : -EIO;
}

int cr_prf_plus(uint16_t prf, const void *key, size_t key_len, const struct cr_slice *parts, size_t nparts,
                uint8_t *out, size_t out_len)
{
    const struct prf_info *p = find_prf(prf);
    if (!p)
        return -EOPNOTSUPP;
    if (out_len > 255u * p->len)
        return -ERANGE;
    EVP_MAC_CTX *base = keyed(p, key, key_len);
    if (!base)
        return -ENOMEM;
    uint8_t block[CR_PRF_MAX];
    int ok = 1;
    size_t done = 0;
    for (uint8_t count = 1; done < out_len && ok; count++) {
        size_t n = 0;
        EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(base);
        ok = ctx != NULL && (count == 1 || EVP_MAC_update(ctx, block, p->len) == 1);
        for (size_t i = 0; i < nparts && ok; i++)
            ok = !parts[i].len || EVP_MAC_update(ctx, parts[i].data, parts[i].len) == 1;
        ok = ok && EVP_MAC_update(ctx, &count, 1) == 1 && EVP_MAC_final(ctx, block, &n, sizeof(block)) == 1;
        EVP_MAC_CTX_free(ctx);
        if (!ok)
            break;
        size_t take = out_len - done < p->len ? out_len - done : p->len;
        memcpy(out + done, block, take);
        done += take;
    }
    EVP_MAC_CTX_free(base);
    OPENSSL_cleanse(block, sizeof(block));
    if (!ok)
        OPENSSL_cleanse(out, out_len);
    return ok ? 0 : -EIO;
}

static int digest(EVP_MD *md, const struct cr_slice *parts, size_t nparts, uint8_t *out)
{
    EVP_MD_CTX *ctx = md ? EVP_MD_CTX_new() : NULL;
    if (!ctx)
        return -ENOMEM;
    int ok = EVP_DigestInit_ex2(ctx, md, NULL) == 1;
    for (size_t i = 0; i < nparts && ok; i++)
        ok = !parts[i].len || EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) == 1;
    ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : -EIO;
}

int cr_sha1(const struct cr_slice *parts, size_t nparts, uint8_t out[20])
{
    static EVP_MD *md;
    if (!md)
        md = EVP_MD_fetch(NULL, "SHA1", NULL);
    return digest(md, parts, nparts, out);
}

int cr_sha256(const struct cr_slice *parts, size_t nparts, uint8_t out[32])
{
    static EVP_MD *md;
    if (!md)
        md = EVP_MD_fetch(NULL, "SHA256", NULL);
    return digest(md, parts, nparts, out);
}

int cr_random(void *out, size_t len)
{
    return RAND_bytes(out, (int)len) == 1 ? 0 : -EIO;
}
