// SPDX-License-Identifier: Apache-2.0
// What a room keeps of OpenSSL's. Filled as it is asked for.
#ifndef ESPALIER_CTRL_CRYPTO_ALGS_H
#define ESPALIER_CTRL_CRYPTO_ALGS_H

#include <openssl/evp.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/crypto/x_curve.h"

struct cr_prf { // HMAC with this digest
    uint16_t id, len;
    const char *digest;
    const EVP_MD *(*unfetched)(void); // OpenSSL fetches it each time that it is used
    EVP_MD *kept;                     // NULL: that one is used
};
enum { CR_PRFS = 4, CR_CIPHERS = 10, CR_XS = 2 };
struct cr_algs {
    struct cr_prf prf[CR_PRFS]; // id 0: not asked for yet
    EVP_CIPHER *cipher[CR_CIPHERS];
    struct x_curve x[CR_XS]; // X25519, X448
};

#endif
