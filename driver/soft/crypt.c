// SPDX-License-Identifier: Apache-2.0
// Which of the kinds an algorithm is, and AEADs whose nonce is salt and IV. See crypt.h.
#include "driver/soft/crypt.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "driver/common/bytes.h"
#include "driver/common/params.h"

static const struct crypt_ops *ops_of(enum esp_alg alg, const struct mb *mb)
{
    switch (alg) {
    case ESP_ALG_CHACHA20_POLY1305: return &crypt_aead;
    case ESP_ALG_AES128_CCM8:
    case ESP_ALG_AES192_CCM8:
    case ESP_ALG_AES256_CCM8:
    case ESP_ALG_AES128_CCM12:
    case ESP_ALG_AES192_CCM12:
    case ESP_ALG_AES256_CCM12:
    case ESP_ALG_AES128_CCM16:
    case ESP_ALG_AES192_CCM16:
    case ESP_ALG_AES256_CCM16: return &crypt_ccm;
    case ESP_ALG_AES128_GMAC:
    case ESP_ALG_AES192_GMAC:
    case ESP_ALG_AES256_GMAC: return &crypt_gmac;
    default: return !alg_sizes(alg).icv ? &crypt_encr_integ : mb ? &crypt_mb : &crypt_aead;
    }
}

int crypt_init(struct crypt *c, const struct esp_sa_params *p, struct mb *mb, struct esp_error *err)
{
    struct alg_sizes s = alg_sizes(p->alg);
    int rc;

    *c = (struct crypt){.ops = ops_of(p->alg, mb),
                        .iv = s.iv,
                        .icv = s.icv ? s.icv : integ_sizes(p->integ).icv,
                        .align = s.align,
                        .esn = p->esn};
    memcpy(c->salt, p->salt, s.salt);
    if (c->ops == &crypt_mb)
        c->gcm.mb = mb;
    rc = c->ops->init(c, p, err);
    if (rc)
        crypt_free(c);
    return rc;
}

void crypt_free(struct crypt *c)
{
    if (c->ops == &crypt_mb) {
        mb_gcm_free(&c->gcm);
    } else {
        aead_free(&c->aead);
        EVP_CIPHER_CTX_free(c->ctx); // OpenSSL cleanses the key schedule
        mac_free(&c->mac);
        crypt_ivs_free(c);
        c->ctx = NULL;
    }
    OPENSSL_cleanse(c->salt, sizeof(c->salt));
}

int crypt_aad(const struct crypt *c, const uint8_t *esp, uint64_t seq, uint8_t aad[12])
{
    memcpy(aad, esp, 8);
    if (!c->esn)
        return 8;
    put_be64(aad + 4, seq);
    return 12;
}

// ---- GCM, ChaCha20-Poly1305

static int init(struct crypt *c, const struct esp_sa_params *p, struct esp_error *err)
{
    return aead_init(&c->aead, p->alg, p->dir, p->key, err);
}

static int seal(struct crypt *c, const struct crypt_seal *s)
{
    uint8_t nonce[AEAD_NONCE], aad[12], *iv = s->esp + ESP_HEADER;

    memcpy(nonce, c->salt, 4);
    put_be64(nonce + 4, s->seq);
    put_be64(iv, s->seq);
    return aead_seal(&c->aead, nonce, aad, crypt_aad(c, s->esp, s->seq, aad), s->payload, s->payload_len,
                     s->tail, s->tail_len, iv + 8);
}

static int open_(struct crypt *c, const uint8_t *esp, uint32_t len, uint64_t seq, uint8_t *plain)
{
    uint8_t nonce[AEAD_NONCE], aad[12];
    const uint8_t *iv = esp + ESP_HEADER;

    memcpy(nonce, c->salt, 4);
    memcpy(nonce + 4, iv, 8);
    return aead_open(&c->aead, nonce, aad, crypt_aad(c, esp, seq, aad), iv + 8, len, plain);
}

const struct crypt_ops crypt_aead = {init, seal, open_};
