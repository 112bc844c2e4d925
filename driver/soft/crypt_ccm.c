// SPDX-License-Identifier: Apache-2.0
// AES-CCM in ESP (RFC 4309): a nonce of salt (3 octets) and IV (8), a length field of 4. OpenSSL takes a CCM
// message in one piece, so payload and tail are put together in the result and encrypted there.
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "driver/common/bytes.h"
#include "driver/common/params.h"
#include "driver/soft/crypt.h"

enum { SALT = 3, IV = 8, NONCE = SALT + IV };

static int init(struct crypt *c, const struct esp_sa_params *p, struct esp_error *err)
{
    const EVP_CIPHER *cipher[] = {EVP_aes_128_ccm(), EVP_aes_192_ccm(), EVP_aes_256_ccm()};
    int enc = p->dir == ESP_OUT;

    c->ctx = EVP_CIPHER_CTX_new();
    if (c->ctx &&
        EVP_CipherInit_ex(c->ctx, cipher[alg_key_octets(p->alg) / 8 - 2], NULL, NULL, NULL, enc) == 1 &&
        EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_IVLEN, NONCE, NULL) == 1 &&
        EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, c->icv, NULL) == 1 &&
        EVP_CipherInit_ex(c->ctx, NULL, NULL, p->key, NULL, enc) == 1)
        return 0;
    return esp_fail(err, -ENOMEM, "alg", "OpenSSL cannot set up %s", esp_alg_name(p->alg));
}

static void nonce_of(const struct crypt *c, const uint8_t *iv, uint8_t nonce[NONCE])
{
    memcpy(nonce, c->salt, SALT);
    memcpy(nonce + SALT, iv, IV);
}

static int seal(struct crypt *c, const struct crypt_seal *s)
{
    uint8_t nonce[NONCE], aad[12], *iv = s->esp + ESP_HEADER, *text = iv + IV;
    uint32_t len = s->payload_len + s->tail_len;
    int n, ok;

    put_be64(iv, s->seq);
    nonce_of(c, iv, nonce);
    memmove(text, s->payload, s->payload_len);
    memcpy(text + s->payload_len, s->tail, s->tail_len);
    ok = EVP_EncryptInit_ex(c->ctx, NULL, NULL, NULL, nonce) == 1 &&
         EVP_EncryptUpdate(c->ctx, NULL, &n, NULL, (int)len) == 1 &&
         EVP_EncryptUpdate(c->ctx, NULL, &n, aad, crypt_aad(c, s->esp, s->seq, aad)) == 1 &&
         EVP_EncryptUpdate(c->ctx, text, &n, text, (int)len) == 1 &&
         EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, c->icv, text + len) == 1;
    if (ok)
        return 0;
    OPENSSL_cleanse(text, len + c->icv);
    return -EIO;
}

static int open_(struct crypt *c, const uint8_t *esp, uint32_t len, uint64_t seq, uint8_t *plain)
{
    uint8_t nonce[NONCE], aad[12], tag[ESP_MAX_ICV];
    const uint8_t *iv = esp + ESP_HEADER, *text = iv + IV;
    int n, ok;

    nonce_of(c, iv, nonce);
    memcpy(tag, text + len, c->icv);
    ok = EVP_DecryptInit_ex(c->ctx, NULL, NULL, NULL, nonce) == 1 &&
         EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, c->icv, tag) == 1 &&
         EVP_DecryptUpdate(c->ctx, NULL, &n, NULL, (int)len) == 1 &&
         EVP_DecryptUpdate(c->ctx, NULL, &n, aad, crypt_aad(c, esp, seq, aad)) == 1 &&
         EVP_DecryptUpdate(c->ctx, plain, &n, text, (int)len) == 1; // it is CCM's last word
    if (ok)
        return 0;
    OPENSSL_cleanse(plain, len);
    return -EBADMSG;
}

const struct crypt_ops crypt_ccm = {init, seal, open_};
