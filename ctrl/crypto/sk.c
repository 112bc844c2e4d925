// SPDX-License-Identifier: Apache-2.0
// The cipher of the SK payload: AES-GCM (RFC 5282), ChaCha20-Poly1305 (RFC 7634), and AES-CBC or AES-CTR with
// HMAC (RFC 3602, 5930, 4868, 2404). The IV of an AEAD and of AES-CTR is a counter per key; a CBC IV is
// random, never the last block.
#include "ctrl/crypto/algs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>

enum {
    ENCR_AES_CBC = 12,
    ENCR_AES_CTR = 13,
    ENCR_GCM_8 = 18,
    ENCR_GCM_12 = 19,
    ENCR_GCM_16 = 20,
    ENCR_CHAPOLY = 28
};
enum { SALT_LEN = 4, COUNTED_IV_LEN = 8, AES_BLOCK = 16 };

static const struct integ_info {
    uint16_t id, key_len, icv_len, prf;
} INTEGS[] = {
    {2, 20, 12, 2},  // AUTH_HMAC_SHA1_96
    {12, 32, 16, 5}, // AUTH_HMAC_SHA2_256_128
    {13, 48, 24, 6}, // AUTH_HMAC_SHA2_384_192
    {14, 64, 32, 7}, // AUTH_HMAC_SHA2_512_256
};

struct cr_sk {
    const EVP_CIPHER *cipher;
    const struct cr_prf *mac; // NULL with an AEAD
    uint64_t next_iv;
    uint8_t salt[SALT_LEN];
    uint8_t iv_len, icv_len, block, ke_len, ka_len;
    uint8_t keys[]; // the cipher's, then the integrity key: thousands of these lie about for years
};

static const struct integ_info *find_integ(uint16_t id)
{
    for (size_t i = 0; i < sizeof(INTEGS) / sizeof(INTEGS[0]); i++)
        if (INTEGS[i].id == id)
            return &INTEGS[i];
    return NULL;
}

bool cr_encr_is_aead(uint16_t encr)
{
    return (encr >= ENCR_GCM_8 && encr <= ENCR_GCM_16) || encr == ENCR_CHAPOLY;
}

size_t cr_encr_key_len(uint16_t encr, uint16_t key_bits)
{
    if (encr == ENCR_CHAPOLY)
        return key_bits == 0 || key_bits == 256 ? 32 + SALT_LEN : 0;
    if (key_bits != 128 && key_bits != 192 && key_bits != 256)
        return 0;
    if (encr == ENCR_AES_CBC)
        return key_bits / 8;
    if (encr == ENCR_AES_CTR)
        return key_bits / 8u + SALT_LEN; // RFC 5930 2.2
    return cr_encr_is_aead(encr) ? key_bits / 8u + SALT_LEN : 0;
}

size_t cr_integ_key_len(uint16_t integ)
{
    const struct integ_info *i = find_integ(integ);
    return i ? i->key_len : 0;
}

int cr_sk_check(const struct cr_sk_alg *alg)
{
    if (!cr_encr_key_len(alg->encr, alg->key_bits))
        return -EINVAL;
    if (cr_encr_is_aead(alg->encr))
        return alg->integ == 0 ? 0 : -EINVAL;
    return find_integ(alg->integ) ? 0 : -EINVAL;
}

static const EVP_CIPHER *cipher_of(struct cr_algs *a, const struct cr_sk_alg *alg)
{
    static const struct {
        const char *name;
        const EVP_CIPHER *(*unfetched)(void);
    } all[CR_CIPHERS] = {{"AES-128-GCM", EVP_aes_128_gcm}, {"AES-192-GCM", EVP_aes_192_gcm},
                         {"AES-256-GCM", EVP_aes_256_gcm}, {"AES-128-CBC", EVP_aes_128_cbc},
                         {"AES-192-CBC", EVP_aes_192_cbc}, {"AES-256-CBC", EVP_aes_256_cbc},
                         {"AES-128-CTR", EVP_aes_128_ctr}, {"AES-192-CTR", EVP_aes_192_ctr},
                         {"AES-256-CTR", EVP_aes_256_ctr}, {"ChaCha20-Poly1305", EVP_chacha20_poly1305}};
    int size = alg->key_bits == 128 ? 0 : alg->key_bits == 192 ? 1 : 2;
    int i = alg->encr == ENCR_CHAPOLY   ? CR_CIPHERS - 1
            : alg->encr == ENCR_AES_CBC ? 3 + size
            : alg->encr == ENCR_AES_CTR ? 6 + size
                                        : size;
    if (!a)
        return all[i].unfetched();
    if (!a->cipher[i])
        a->cipher[i] = EVP_CIPHER_fetch(NULL, all[i].name, NULL);
    return a->cipher[i];
}

static size_t icv_of(uint16_t encr)
{
    return encr == ENCR_GCM_8 ? 8 : encr == ENCR_GCM_12 ? 12 : 16;
}

int cr_sk_new(struct cr_algs *a, const struct cr_sk_alg *alg, const uint8_t *ke, size_t ke_len,
              const uint8_t *ka, size_t ka_len, struct cr_sk **out)
{
    int rc = cr_sk_check(alg);
    if (rc)
        return rc;
    const struct integ_info *integ = find_integ(alg->integ);
    if (ke_len != cr_encr_key_len(alg->encr, alg->key_bits) || ka_len != (integ ? integ->key_len : 0u))
        return -EINVAL;
    const EVP_CIPHER *c = cipher_of(a, alg);
    const struct cr_prf *mac = integ ? cr_prf_find(a, integ->prf) : NULL;
    if (!c || (integ && !mac))
        return -EOPNOTSUPP;
    struct cr_sk *sk = calloc(1, sizeof(*sk) + ke_len + ka_len);
    if (!sk)
        return -ENOMEM;
    sk->cipher = c;
    sk->mac = mac;
    sk->block = 1;
    sk->icv_len = (uint8_t)(integ ? integ->icv_len : icv_of(alg->encr));
    if (alg->encr == ENCR_AES_CBC) {
        sk->iv_len = sk->block = AES_BLOCK;
    } else {
        sk->iv_len = COUNTED_IV_LEN;
        ke_len -= SALT_LEN;
        memcpy(sk->salt, ke + ke_len, SALT_LEN);
    }
    sk->ke_len = (uint8_t)ke_len;
    sk->ka_len = (uint8_t)ka_len;
    memcpy(sk->keys, ke, ke_len);
    if (ka_len)
        memcpy(sk->keys + ke_len, ka, ka_len);
    *out = sk;
    return 0;
}

void cr_sk_free(struct cr_sk *sk)
{
    if (!sk)
        return;
    OPENSSL_cleanse(sk, sizeof(*sk) + sk->ke_len + sk->ka_len);
    free(sk);
}

static size_t padded(const struct cr_sk *sk, size_t plain_len)
{
    size_t n = plain_len + 1; // the pad length octet
    return (n + sk->block - 1) / sk->block * sk->block;
}

size_t cr_sk_sealed_len(const struct cr_sk *sk, size_t plain_len)
{
    return sk->iv_len + padded(sk, plain_len) + sk->icv_len;
}

// One pass of the AEAD. For opening, tag is what the message says; for sealing it is written.
static int aead(struct cr_sk *sk, int enc, const uint8_t *iv, const uint8_t *aad, size_t aad_len,
                const uint8_t *in, size_t len, uint8_t *out, uint8_t *tag)
{
    uint8_t nonce[SALT_LEN + COUNTED_IV_LEN];
    int n = 0, rc = -EIO, tag_len = (int)sk->icv_len;
    memcpy(nonce, sk->salt, SALT_LEN);
    memcpy(nonce + SALT_LEN, iv, COUNTED_IV_LEN);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return -ENOMEM;
    if (EVP_CipherInit_ex2(ctx, sk->cipher, sk->keys, nonce, enc, NULL) != 1)
        goto out;
    if (!enc && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, tag_len, tag) != 1)
        goto out;
    if (EVP_CipherUpdate(ctx, NULL, &n, aad, (int)aad_len) != 1 ||
        EVP_CipherUpdate(ctx, out, &n, in, (int)len) != 1)
        goto out;
    if (EVP_CipherFinal_ex(ctx, out + n, &n) != 1) {
        rc = -EBADMSG;
        goto out;
    }
    if (enc && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, tag_len, tag) != 1)
        goto out;
    rc = 0;
out:
    EVP_CIPHER_CTX_free(ctx);
    OPENSSL_cleanse(nonce, sizeof(nonce));
    return rc;
}

// A cipher without integrity of its own: CBC, or CTR, whose first block is salt, IV and 1 (RFC 5930 2.3).
static int cipher(struct cr_sk *sk, int enc, const uint8_t *iv, const uint8_t *in, size_t len, uint8_t *out)
{
    uint8_t first[AES_BLOCK] = {0};
    int n = 0, m = 0;
    if (sk->iv_len == AES_BLOCK) {
        memcpy(first, iv, AES_BLOCK);
    } else {
        memcpy(first, sk->salt, SALT_LEN);
        memcpy(first + SALT_LEN, iv, COUNTED_IV_LEN);
        first[AES_BLOCK - 1] = 1;
    }
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return -ENOMEM;
    int ok = EVP_CipherInit_ex2(ctx, sk->cipher, sk->keys, first, enc, NULL) == 1 &&
             EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 && EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1 &&
             EVP_CipherFinal_ex(ctx, out + n, &m) == 1;
    EVP_CIPHER_CTX_free(ctx);
    OPENSSL_cleanse(first, sizeof(first));
    return ok ? 0 : -EIO;
}

static int mac(struct cr_sk *sk, const uint8_t *msg, size_t len, uint8_t *out)
{
    struct cr_slice part = {msg, len};
    return cr_prf(sk->mac, sk->keys + sk->ke_len, sk->ka_len, &part, 1, out);
}

// A counter where the same IV twice under one key would give both texts away, random octets for CBC.
static int next_iv(struct cr_sk *sk, uint8_t *iv)
{
    if (sk->iv_len != COUNTED_IV_LEN)
        return cr_random(iv, sk->iv_len);
    if (sk->next_iv == UINT64_MAX)
        return -EOVERFLOW;
    for (int i = 0; i < COUNTED_IV_LEN; i++)
        iv[i] = (uint8_t)(sk->next_iv >> (56 - 8 * i));
    sk->next_iv++;
    return 0;
}

int cr_sk_seal(struct cr_sk *sk, uint8_t *msg, size_t head_len, const uint8_t *inner, size_t inner_len,
               size_t cap)
{
    size_t body = padded(sk, inner_len), total = head_len + cr_sk_sealed_len(sk, inner_len);
    if (cap < total)
        return -ENOSPC;
    uint8_t *iv = msg + head_len, *text = iv + sk->iv_len, *tag = text + body;
    uint8_t full[CR_PRF_MAX];
    memset(text, 0, body);
    if (inner_len)
        memcpy(text, inner, inner_len);
    text[body - 1] = (uint8_t)(body - inner_len - 1);
    int rc = next_iv(sk, iv);
    if (!rc && !sk->mac)
        return aead(sk, 1, iv, msg, head_len, text, body, text, tag);
    if (!rc)
        rc = cipher(sk, 1, iv, text, body, text);
    if (!rc)
        rc = mac(sk, msg, total - sk->icv_len, full);
    if (!rc)
        memcpy(tag, full, sk->icv_len);
    return rc;
}

int cr_sk_open(struct cr_sk *sk, const uint8_t *msg, size_t head_len, size_t len, uint8_t *out,
               size_t *out_len)
{
    if (len < head_len + sk->iv_len + sk->block + sk->icv_len)
        return -EBADMSG;
    size_t body = len - head_len - sk->iv_len - sk->icv_len;
    if (body % sk->block)
        return -EBADMSG;
    const uint8_t *iv = msg + head_len, *text = iv + sk->iv_len;
    uint8_t tag[CR_PRF_MAX];
    int rc;
    if (sk->mac) {
        rc = mac(sk, msg, len - sk->icv_len, tag);
        if (!rc && CRYPTO_memcmp(tag, text + body, sk->icv_len) != 0)
            rc = -EBADMSG;
        if (!rc)
            rc = cipher(sk, 0, iv, text, body, out);
    } else {
        memcpy(tag, text + body, sk->icv_len);
        rc = aead(sk, 0, iv, msg, head_len, text, body, out, tag);
    }
    if (rc)
        return rc;
    size_t pad = out[body - 1];
    if (pad + 1 > body)
        return -EBADMSG;
    *out_len = body - pad - 1;
    return 0;
}
