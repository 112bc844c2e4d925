// SPDX-License-Identifier: Apache-2.0
// One integrity key of the software engine: HMAC-SHA (RFC 2404, RFC 4868), whose ICV is cut, and AES-GMAC
// (RFC 4543). An OpenSSL context is keyed once, when the SA is added.
#ifndef ESPALIER_SOFT_MAC_H
#define ESPALIER_SOFT_MAC_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "espalier/engine.h"

struct mac {
    EVP_MAC_CTX *hmac;    // one of the two
    EVP_CIPHER_CTX *gmac; // AES-GCM of nothing, with all of it as AAD
    uint8_t salt[4], icv; // icv: octets
};
struct mac_part {
    const void *p;
    size_t n;
};

// key: as in esp_sa_params' integ_key.
int mac_init(struct mac *m, enum esp_integ integ, const uint8_t *key, struct esp_error *err);
void mac_free(struct mac *m); // zeroises the key
// iv: of GMAC, 8 octets. Writes m->icv octets; 0 or -EIO.
int mac_make(struct mac *m, const uint8_t *iv, const struct mac_part *parts, unsigned n,
             uint8_t icv[ESP_MAX_ICV]);
// In constant time: 0, -EBADMSG or -EIO.
int mac_check(struct mac *m, const uint8_t *iv, const struct mac_part *parts, unsigned n, const uint8_t *icv);

#endif
