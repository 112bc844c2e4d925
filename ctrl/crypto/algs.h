// SPDX-License-Identifier: Apache-2.0
// What a room keeps of OpenSSL's. Filled as it is asked for.
#ifndef ESPALIER_CTRL_CRYPTO_ALGS_H
#define ESPALIER_CTRL_CRYPTO_ALGS_H

#include <openssl/evp.h>

#include "ctrl/crypto/crypto.h"

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
    EVP_PKEY_CTX *x[CR_XS];  // what makes keys of X25519 and X448 out of given values; it holds none
    EVP_PKEY *x_peer[CR_XS]; // the last peer's value: setting another one takes a tenth of making another key
};

#endif
