// SPDX-License-Identifier: Apache-2.0
// What key.c and signature.c share: a key as it lies in memory; and a certificate's.
#ifndef ESPALIER_CTRL_CRYPTO_KEY_H
#define ESPALIER_CTRL_CRYPTO_KEY_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "ctrl/crypto/signature.h"

struct cr_key {
    EVP_PKEY *pkey;
    enum cr_key_type type;
    unsigned bits;
    bool is_private;
    uint8_t id[20], info_id[20];
};

// As cr_key_public, of one that OpenSSL has read already, with its DER.
int cr_key_of(X509_PUBKEY *pub, const uint8_t *spki, size_t len, struct cr_key **out, struct esp_error *err);

#endif
