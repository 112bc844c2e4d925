// SPDX-License-Identifier: Apache-2.0
// HMAC as a PRF and prf+ (RFC 7296 2.13, RFC 4868, 2104), SHA-1 for NAT detection (RFC 7296 2.23), and random
// octets. The fetched algorithms are kept, as fetching costs more than a whole HMAC.
#include "ctrl/crypto/crypto.h"

#include <errno.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
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

static EVP_MD *md_of(const struct prf_info *p)
{
    static EVP_MD *kept[sizeof(PRFS) / sizeof(PRFS[0])];
    EVP_MD **md = &kept[p - PRFS];
    if (!*md)
        *md = EVP_MD_fetch(NULL, p->digest, NULL);
    return *md;
}

enum { BLOCK_MAX = 128 }; // of SHA-512

// HMAC under one key, any number of times: the digest, and the key as it fills a block (RFC 2104).
struct hmac {
    EVP_MD *md;
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

static int hmac_begin(struct hmac *h, const struct prf_info *p, const void *key, size_t key_len)
{
    h->md = md_of(p);
    h->ctx = h->md ? EVP_MD_CTX_new() : NULL;
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

int cr_prf(uint16_t prf, const void *key, size_t key_len, const struct cr_slice *parts, size_t nparts,
           uint8_t *out)
{
    const struct prf_info *p = find_prf(prf);
    struct hmac h;
    if (!p)
        return -EOPNOTSUPP;
    int rc = hmac_begin(&h, p, key, key_len);
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

int cr_prf_plus(uint16_t prf, const void *key, size_t key_len, const struct cr_slice *parts, size_t nparts,
                uint8_t *out, size_t out_len)
{
    const struct prf_info *p = find_prf(prf);
    struct hmac h;
    if (!p)
        return -EOPNOTSUPP;
    if (out_len > 255u * p->len)
        return -ERANGE;
    int rc = hmac_begin(&h, p, key, key_len);
    if (!rc)
        rc = chain(&h, parts, nparts, out, out_len);
    hmac_end(&h);
    if (rc)
        OPENSSL_cleanse(out, out_len);
    return rc;
}

static int digest(EVP_MD *md, const struct cr_slice *parts, size_t nparts, uint8_t *out)
{
    EVP_MD_CTX *ctx = md ? EVP_MD_CTX_new() : NULL;
    if (!ctx)
        return -ENOMEM;
    bool ok = EVP_DigestInit_ex2(ctx, md, NULL) == 1 && add(ctx, parts, nparts) &&
              EVP_DigestFinal_ex(ctx, out, NULL) == 1;
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
