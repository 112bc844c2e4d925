// SPDX-License-Identifier: Apache-2.0
// AES-GCM and ChaCha20-Poly1305 by OpenSSL's EVP; per packet only the nonce is set. RFC 4106, RFC 7634.
#include "driver/soft/aead.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "driver/common/params.h"

static const EVP_CIPHER *cipher_of(enum esp_alg alg)
{
    switch (alg) {
    case ESP_ALG_AES128_GCM8:
    case ESP_ALG_AES128_GCM12:
    case ESP_ALG_AES128_GCM16: return EVP_aes_128_gcm();
    case ESP_ALG_AES192_GCM8:
    case ESP_ALG_AES192_GCM12:
    case ESP_ALG_AES192_GCM16: return EVP_aes_192_gcm();
    case ESP_ALG_AES256_GCM8:
    case ESP_ALG_AES256_GCM12:
    case ESP_ALG_AES256_GCM16: return EVP_aes_256_gcm();
    case ESP_ALG_CHACHA20_POLY1305: return EVP_chacha20_poly1305();
    default: return NULL;
    }
}

int aead_init(struct aead *a, enum esp_alg alg, enum esp_dir dir, const uint8_t *key, struct esp_error *err)
{
    const EVP_CIPHER *cipher = cipher_of(alg);

    a->tag = alg_sizes(alg).icv;
    a->ctx = cipher ? EVP_CIPHER_CTX_new() : NULL;
    if (!a->ctx || EVP_CipherInit_ex(a->ctx, cipher, NULL, key, NULL, dir == ESP_OUT) != 1) {
        aead_free(a);
        return esp_fail(err, -ENOMEM, "alg", "OpenSSL cannot set up %s", esp_alg_name(alg));
    }
    return 0;
}

void aead_free(struct aead *a)
{
    EVP_CIPHER_CTX_free(a->ctx); // OpenSSL cleanses the key schedule
    a->ctx = NULL;
}

int aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, int aad_len,
              const uint8_t *in, size_t in_len, const uint8_t *tail, size_t tail_len, uint8_t *out)
{
    // Put together in the result and encrypted there: another call of EVP costs more than the copy.
    size_t len = in_len + tail_len;
    uint8_t end[16];
    int n, ok;

    memmove(out, in, in_len);
    memcpy(out + in_len, tail, tail_len);
    ok = EVP_EncryptInit_ex(a->ctx, NULL, NULL, NULL, nonce) == 1;
    ok = ok && EVP_EncryptUpdate(a->ctx, NULL, &n, aad, aad_len) == 1;
    ok = ok && EVP_EncryptUpdate(a->ctx, out, &n, out, (int)len) == 1;
    ok = ok && EVP_EncryptFinal_ex(a->ctx, end, &n) == 1;
    ok = ok && EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_GET_TAG, a->tag, out + len) == 1;
    if (!ok) { // nothing of the packet, in clear or half done, stays behind
        OPENSSL_cleanse(out, len + (size_t)a->tag);
        return -EIO;
    }
    return 0;
}

int aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, int aad_len,
              const uint8_t *in, size_t len, uint8_t *out)
{
    uint8_t tag[AEAD_TAG], end[16];
    int n, ok;

    memcpy(tag, in + len, (size_t)a->tag);
    ok = EVP_DecryptInit_ex(a->ctx, NULL, NULL, NULL, nonce) == 1;
    ok = ok && EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, a->tag, tag) == 1;
    ok = ok && EVP_DecryptUpdate(a->ctx, NULL, &n, aad, aad_len) == 1;
    ok = ok && EVP_DecryptUpdate(a->ctx, out, &n, in, (int)len) == 1;
    ok = ok && EVP_DecryptFinal_ex(a->ctx, end, &n) == 1;
    if (!ok) {
        OPENSSL_cleanse(out, len);
        return -EBADMSG;
    }
    return 0;
}
