// SPDX-License-Identifier: Apache-2.0
// HMAC as a PRF and prf+ (RFC 7296 2.13, RFC 4868, 2104), SHA-1 for NAT detection (RFC 7296 2.23), and random
// octets.
#include "ctrl/crypto/algs.h"

#include <errno.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

enum { PRF_HMAC_SHA1 = 2, PRF_HMAC_SHA2_256 = 5, PRF_HMAC_SHA2_384 = 6, PRF_HMAC_SHA2_512 = 7 };

static const struct cr_prf PRFS[CR_PRFS] = {
    {PRF_HMAC_SHA1, 20, "SHA1", EVP_sha1, NULL},
    {PRF_HMAC_SHA2_256, 32, "SHA256", EVP_sha256, NULL},
    {PRF_HMAC_SHA2_384, 48, "SHA384", EVP_sha384, NULL},
    {PRF_HMAC_SHA2_512, 64, "SHA512", EVP_sha512, NULL},
};

static const struct cr_prf *listed(uint16_t id)
{
    for (size_t i = 0; i < CR_PRFS; i++)
        if (PRFS[i].id == id)
            return &PRFS[i];
    return NULL;
}

size_t cr_prf_len(uint16_t prf)
{
    const struct cr_prf *p = listed(prf);
    return p ? p->len : 0;
}

uint16_t cr_prf_id(const struct cr_prf *p)
{
    return p->id;
}

const struct cr_prf *cr_prf_find(struct cr_algs *a, uint16_t prf)
{
    const struct cr_prf *p = listed(prf);
    if (!p || !a)
        return p;
    struct cr_prf *own = &a->prf[p - PRFS];
    if (!own->id) {
        EVP_MD *md = EVP_MD_fetch(NULL, p->digest, NULL);
        if (!md)
            return NULL;
        *own = *p;
        own->kept = md;
    }
    return own;
}

static const EVP_MD *md_of(const struct cr_prf *p)
{
    return p->kept ? p->kept : p->unfetched();
}

enum { BLOCK_MAX = 128 }; // of SHA-512

// HMAC under one key, any number of times: the digest, and the key as it fills a block (RFC 2104).
struct hmac {
    const EVP_MD *md;
    EVP_MD_CTX *ctx;
    size_t len, block_len;
    uint8_t key[BLOCK_MAX];
};

static bool add(EVP_MD_CTX *ctx, const struct cr_slice *parts, size_t nparts)
{
    bool ok = true;
    for (size_t i = 0; i < nparts && ok; i++)
        ok = !parts[i].len || EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) == 1;
    return ok;
}

static int hmac_begin(struct hmac *h, const struct cr_prf *p, const void *key, size_t key_len)
{
    h->md = md_of(p);
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx)
        return -ENOMEM;
    h->len = p->len;
    h->block_len = (size_t)EVP_MD_get_block_size(h->md);
    memset(h->key, 0, sizeof(h->key));
    if (key_len <= h->block_len) {
        if (key_len)
            memcpy(h->key, key, key_len);
        return 0;
    }
    struct cr_slice part = {key, key_len};
    return EVP_DigestInit_ex2(h->ctx, h->md, NULL) == 1 && add(h->ctx, &part, 1) &&
                   EVP_DigestFinal_ex(h->ctx, h->key, NULL) == 1
               ? 0
               : -EIO;
}

static void hmac_end(struct hmac *h)
{
    EVP_MD_CTX_free(h->ctx); // wipes what the key has made of it
    OPENSSL_cleanse(h->key, sizeof(h->key));
}

// The beginning of the inner hash, or of the outer one.
static bool keyed(const struct hmac *h, uint8_t pad)
{
    uint8_t block[BLOCK_MAX];
    for (size_t i = 0; i < h->block_len; i++)
        block[i] = h->key[i] ^ pad;
    bool ok =
        EVP_DigestInit_ex2(h->ctx, h->md, NULL) == 1 && EVP_DigestUpdate(h->ctx, block, h->block_len) == 1;
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}

static bool hmac(const struct hmac *h, const struct cr_slice *parts, size_t nparts, uint8_t *out)
{
    enum { INNER = 0x36, OUTER = 0x5c };
    uint8_t inner[CR_PRF_MAX];
    bool ok = keyed(h, INNER) && add(h->ctx, parts, nparts) && EVP_DigestFinal_ex(h->ctx, inner, NULL) == 1 &&
              keyed(h, OUTER) && EVP_DigestUpdate(h->ctx, inner, h->len) == 1 &&
              EVP_DigestFinal_ex(h->ctx, out, NULL) == 1;
    OPENSSL_cleanse(inner, sizeof(inner));
    return ok;
}

int cr_prf(const struct cr_prf *prf, const void *key, size_t key_len, const struct cr_slice *parts,
           size_t nparts, uint8_t *out)
{
    struct hmac h;
    if (!prf)
        return -EOPNOTSUPP;
    int rc = hmac_begin(&h, prf, key, key_len);
    if (!rc && !hmac(&h, parts, nparts, out))
        rc = -EIO;
    hmac_end(&h);
    return rc;
}

static int chain(const struct hmac *h, const struct cr_slice *parts, size_t nparts, uint8_t *out, size_t len)
{
    enum { PARTS_MAX = 16 };
    uint8_t block[CR_PRF_MAX], count = 1;
    struct cr_slice all[PARTS_MAX + 2] = {{block, 0}}; // T(n - 1), what was given, n
    bool ok = nparts <= PARTS_MAX;
    for (size_t i = 0; i < nparts && ok; i++)
        all[i + 1] = parts[i];
    if (ok)
        all[nparts + 1] = (struct cr_slice){&count, 1};
    for (size_t done = 0; done < len && ok; done += h->len, count++) {
        ok = hmac(h, all, nparts + 2, block);
        all[0].len = h->len;
        if (ok)
            memcpy(out + done, block, len - done < h->len ? len - done : h->len);
    }
    OPENSSL_cleanse(block, sizeof(block));
    return ok ? 0 : -EIO;
}

int cr_prf_plus(const struct cr_prf *prf, const void *key, size_t key_len, const struct cr_slice *parts,
                size_t nparts, uint8_t *out, size_t out_len)
{
    struct hmac h;
    if (!prf)
        return -EOPNOTSUPP;
    if (out_len > 255u * prf->len)
        return -ERANGE;
    int rc = hmac_begin(&h, prf, key, key_len);
    if (!rc)
        rc = chain(&h, parts, nparts, out, out_len);
    hmac_end(&h);
    if (rc)
        OPENSSL_cleanse(out, out_len);
    return rc;
}

static int digest(struct cr_algs *a, uint16_t prf, const struct cr_slice *parts, size_t nparts, uint8_t *out)
{
    const struct cr_prf *p = cr_prf_find(a, prf);
    EVP_MD_CTX *ctx = p ? EVP_MD_CTX_new() : NULL;
    if (!ctx)
        return -ENOMEM;
    bool ok = EVP_DigestInit_ex2(ctx, md_of(p), NULL) == 1 && add(ctx, parts, nparts) &&
              EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : -EIO;
}

int cr_sha1(struct cr_algs *a, const struct cr_slice *parts, size_t nparts, uint8_t out[20])
{
    return digest(a, PRF_HMAC_SHA1, parts, nparts, out);
}

int cr_sha256(struct cr_algs *a, const struct cr_slice *parts, size_t nparts, uint8_t out[32])
{
    return digest(a, PRF_HMAC_SHA2_256, parts, nparts, out);
}

int cr_random(void *out, size_t len)
{
    return RAND_bytes(out, (int)len) == 1 ? 0 : -EIO;
}
