// SPDX-License-Identifier: Apache-2.0
// What key.c and signature.c share: a key as it lies in memory.
#ifndef ESPALIER_CTRL_CRYPTO_KEY_H
#define ESPALIER_CTRL_CRYPTO_KEY_H

#include <openssl/evp.h>

#include "ctrl/crypto/signature.h"

struct cr_key {
    EVP_PKEY *pkey;
    enum cr_key_type type;
    unsigned bits;
    bool is_private;
    uint8_t id[20], info_id[20];
};

#endif
