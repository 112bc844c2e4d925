// SPDX-License-Identifier: Apache-2.0
// AES-CBC (RFC 3602), AES-CTR (RFC 3686) and NULL (RFC 2410) with HMAC beside them: encrypted, then
// authenticated; on the way in authenticated before anything is decrypted. With ESN the high half of the
// sequence number is authenticated behind the ciphertext (RFC 4303 section 2.2.1). IVs of CBC come from
// AES-CTR under a random key of their own, so that no two are alike and none can be foretold.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "driver/common/bytes.h"
#include "driver/common/params.h"
#include "driver/soft/crypt.h"

enum { BLOCK = 16, IVS_AT_ONCE = 64 };

// ---- IVs of CBC

struct iv_source {
    EVP_CIPHER_CTX *ctx;
    unsigned left;
    uint8_t iv[IVS_AT_ONCE][BLOCK];
};

int crypt_ivs_init(struct crypt *c)
{
    uint8_t key[32], start[BLOCK];
    bool ok;

    c->ivs = calloc(1, sizeof(*c->ivs));
    if (!c->ivs)
        return -ENOMEM;
    c->ivs->ctx = EVP_CIPHER_CTX_new();
    ok = c->ivs->ctx && RAND_priv_bytes(key, sizeof(key)) == 1 &&
         RAND_priv_bytes(start, sizeof(start)) == 1 &&
         EVP_EncryptInit_ex(c->ivs->ctx, EVP_aes_256_ctr(), NULL, key, start) == 1;
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(start, sizeof(start));
    return ok ? 0 : -EIO;
}

void crypt_ivs_free(struct crypt *c)
{
    if (!c->ivs)
        return;
    EVP_CIPHER_CTX_free(c->ivs->ctx);
    OPENSSL_cleanse(c->ivs, sizeof(*c->ivs));
    free(c->ivs);
    c->ivs = NULL;
}

int crypt_next_iv(struct crypt *c, uint8_t iv[CRYPT_MAX_IV])
{
    static const uint8_t zeros[IVS_AT_ONCE * BLOCK];
    struct iv_source *s = c->ivs;
    int n;

    if (!s->left) {
        if (EVP_EncryptUpdate(s->ctx, s->iv[0], &n, zeros, sizeof(zeros)) != 1)
            return -EIO;
        s->left = IVS_AT_ONCE;
    }
    memcpy(iv, s->iv[--s->left], BLOCK);
    return 0;
}

// ---- ciphers

static const EVP_CIPHER *cipher_of(enum esp_alg alg)
{
    switch (alg) {
    case ESP_ALG_AES128_CBC: return EVP_aes_128_cbc();
    case ESP_ALG_AES192_CBC: return EVP_aes_192_cbc();
    case ESP_ALG_AES256_CBC: return EVP_aes_256_cbc();
    case ESP_ALG_AES128_CTR: return EVP_aes_128_ctr();
    case ESP_ALG_AES192_CTR: return EVP_aes_192_ctr();
    case ESP_ALG_AES256_CTR: return EVP_aes_256_ctr();
    default: return NULL; // NULL
    }
}

static bool is_cbc(const struct crypt *c)
{
    return c->iv == BLOCK;
}

static int init(struct crypt *c, const struct esp_sa_params *p, struct esp_error *err)
{
    const EVP_CIPHER *cipher = cipher_of(p->alg);
    int rc = mac_init(&c->mac, p->integ, p->integ_key, err);

    if (rc)
        return rc;
    if (cipher) {
        c->ctx = EVP_CIPHER_CTX_new();
        if (!c->ctx || EVP_CipherInit_ex(c->ctx, cipher, NULL, p->key, NULL, p->dir == ESP_OUT) != 1 ||
            EVP_CIPHER_CTX_set_padding(c->ctx, 0) != 1)
            return esp_fail(err, -ENOMEM, "alg", "OpenSSL cannot set up %s", esp_alg_name(p->alg));
    }
    if (is_cbc(c) && p->dir == ESP_OUT && crypt_ivs_init(c))
        return esp_fail(err, -ENOMEM, "alg", "OpenSSL gives no random octets");
    return 0;
}

// What the cipher starts with: the IV, or the first counter block (RFC 3686 section 4).
static bool start(struct crypt *c, const uint8_t *iv)
{
    uint8_t counter[BLOCK] = {0};

    if (is_cbc(c))
        return EVP_CipherInit_ex(c->ctx, NULL, NULL, NULL, iv, -1) == 1;
    memcpy(counter, c->salt, 4);
    memcpy(counter + 4, iv, 8);
    counter[15] = 1;
    return EVP_CipherInit_ex(c->ctx, NULL, NULL, NULL, counter, -1) == 1;
}

// Whole blocks go straight to the result, the odd end with the tail behind them.
static bool encrypt(struct crypt *c, const struct crypt_seal *s, const uint8_t *iv, uint8_t *text)
{
    uint32_t body = c->ctx ? s->payload_len / BLOCK * BLOCK : s->payload_len, rest = s->payload_len - body;
    uint8_t end[BLOCK + CRYPT_MAX_TAIL];
    int n;

    memcpy(end, s->payload + body, rest);
    memcpy(end + rest, s->tail, s->tail_len);
    if (c->ctx)
        return start(c, iv) && (!body || EVP_CipherUpdate(c->ctx, text, &n, s->payload, (int)body) == 1) &&
               EVP_CipherUpdate(c->ctx, text + body, &n, end, (int)(rest + s->tail_len)) == 1;
    memmove(text, s->payload, body);
    memcpy(text + body, end, rest + s->tail_len);
    return true;
}

// ---- packets

static unsigned parts_of(const struct crypt *c, const uint8_t *esp, uint32_t len, uint64_t seq,
                         uint8_t high[4], struct mac_part parts[2])
{
    put_be32(high, (uint32_t)(seq >> 32));
    parts[0] = (struct mac_part){esp, ESP_HEADER + c->iv + len};
    parts[1] = (struct mac_part){high, 4};
    return c->esn ? 2 : 1;
}

static bool write_iv(struct crypt *c, uint8_t *iv, uint64_t seq)
{
    if (is_cbc(c))
        return crypt_next_iv(c, iv) == 0;
    if (c->iv)
        put_be64(iv, seq);
    return true;
}

static int seal(struct crypt *c, const struct crypt_seal *s)
{
    uint8_t high[4], icv[ESP_MAX_ICV], *iv = s->esp + ESP_HEADER, *text = iv + c->iv;
    uint32_t len = s->payload_len + s->tail_len;
    struct mac_part parts[2];

    if (write_iv(c, iv, s->seq) && encrypt(c, s, iv, text) &&
        mac_make(&c->mac, NULL, parts, parts_of(c, s->esp, len, s->seq, high, parts), icv) == 0) {
        memcpy(text + len, icv, c->icv);
        return 0;
    }
    OPENSSL_cleanse(text, len + c->icv);
    return -EIO;
}

static int open_(struct crypt *c, const uint8_t *esp, uint32_t len, uint64_t seq, uint8_t *plain)
{
    const uint8_t *iv = esp + ESP_HEADER, *text = iv + c->iv;
    struct mac_part parts[2];
    uint8_t high[4];
    int n;

    if (mac_check(&c->mac, NULL, parts, parts_of(c, esp, len, seq, high, parts), text + len))
        return -EBADMSG;
    if (!c->ctx) {
        memcpy(plain, text, len);
        return 0;
    }
    if (start(c, iv) && EVP_CipherUpdate(c->ctx, plain, &n, text, (int)len) == 1)
        return 0;
    OPENSSL_cleanse(plain, len);
    return -EBADMSG;
}

const struct crypt_ops crypt_encr_integ = {init, seal, open_};
