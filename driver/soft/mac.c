// SPDX-License-Identifier: Apache-2.0
// See mac.h.
#include "driver/soft/mac.h"

#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include "driver/common/params.h"

static const EVP_CIPHER *gcm_of(enum esp_integ integ)
{
    switch (integ) {
    case ESP_INTEG_AES128_GMAC: return EVP_aes_128_gcm();
    case ESP_INTEG_AES192_GMAC: return EVP_aes_192_gcm();
    case ESP_INTEG_AES256_GMAC: return EVP_aes_256_gcm();
    default: return NULL;
    }
}

static const char *hash_of(enum esp_integ integ)
{
    switch (integ) {
    case ESP_INTEG_HMAC_SHA1_96: return "SHA1";
    case ESP_INTEG_HMAC_SHA256_128: return "SHA256";
    case ESP_INTEG_HMAC_SHA384_192: return "SHA384";
    case ESP_INTEG_HMAC_SHA512_256: return "SHA512";
    default: return NULL;
    }
}

static bool init_hmac(struct mac *m, const char *hash, const uint8_t *key, size_t len)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)hash,
                                                             0), // it is only read
                            OSSL_PARAM_construct_end()};

    m->hmac = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac); // the context holds it
    return m->hmac && EVP_MAC_init(m->hmac, key, len, params) == 1;
}

static bool init_gmac(struct mac *m, const EVP_CIPHER *gcm, const uint8_t *key)
{
    m->gmac = EVP_CIPHER_CTX_new();
    return m->gmac && EVP_EncryptInit_ex(m->gmac, gcm, NULL, key, NULL) == 1;
}

int mac_init(struct mac *m, enum esp_integ integ, const uint8_t *key, struct esp_error *err)
{
    struct alg_sizes s = integ_sizes(integ);
    bool ok;

    *m = (struct mac){.icv = s.icv};
    memcpy(m->salt, key + s.key, s.salt);
    ok = hash_of(integ)  ? init_hmac(m, hash_of(integ), key, s.key)
         : gcm_of(integ) ? init_gmac(m, gcm_of(integ), key)
                         : false;
    if (ok)
        return 0;
    mac_free(m);
    return esp_fail(err, -ENOMEM, "integ", "OpenSSL cannot set up %s", esp_integ_name(integ));
}

void mac_free(struct mac *m)
{
    EVP_MAC_CTX_free(m->hmac); // OpenSSL cleanses both
    EVP_CIPHER_CTX_free(m->gmac);
    OPENSSL_cleanse(m, sizeof(*m));
}

static bool make_hmac(struct mac *m, const struct mac_part *parts, unsigned n, uint8_t icv[ESP_MAX_ICV])
{
    uint8_t whole[64];
    size_t len;
    bool ok = EVP_MAC_init(m->hmac, NULL, 0, NULL) == 1; // the same key again

    for (unsigned i = 0; i < n; i++)
        ok = ok && EVP_MAC_update(m->hmac, parts[i].p, parts[i].n) == 1;
    ok = ok && EVP_MAC_final(m->hmac, whole, &len, sizeof(whole)) == 1;
    if (ok)
        memcpy(icv, whole, m->icv);
    return ok;
}

static bool make_gmac(struct mac *m, const uint8_t *iv, const struct mac_part *parts, unsigned n,
                      uint8_t icv[ESP_MAX_ICV])
{
    uint8_t nonce[12], none[16];
    int len;
    bool ok;

    memcpy(nonce, m->salt, 4);
    memcpy(nonce + 4, iv, 8);
    ok = EVP_EncryptInit_ex(m->gmac, NULL, NULL, NULL, nonce) == 1;
    for (unsigned i = 0; i < n; i++)
        ok = ok && (!parts[i].n || EVP_EncryptUpdate(m->gmac, NULL, &len, parts[i].p, (int)parts[i].n) == 1);
    ok = ok && EVP_EncryptFinal_ex(m->gmac, none, &len) == 1;
    return ok && EVP_CIPHER_CTX_ctrl(m->gmac, EVP_CTRL_AEAD_GET_TAG, m->icv, icv) == 1;
}

int mac_make(struct mac *m, const uint8_t *iv, const struct mac_part *parts, unsigned n,
             uint8_t icv[ESP_MAX_ICV])
{
    return (m->hmac ? make_hmac(m, parts, n, icv) : make_gmac(m, iv, parts, n, icv)) ? 0 : -EIO;
}

int mac_check(struct mac *m, const uint8_t *iv, const struct mac_part *parts, unsigned n, const uint8_t *icv)
{
    uint8_t own[ESP_MAX_ICV];

    if (mac_make(m, iv, parts, n, own))
        return -EIO;
    return CRYPTO_memcmp(own, icv, m->icv) ? -EBADMSG : 0;
}
