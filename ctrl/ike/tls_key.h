// SPDX-License-Identifier: Apache-2.0
// A private key for OpenSSL that is not there: a provider whose signatures are asked for and waited for.
#ifndef CTRL_IKE_TLS_KEY_H
#define CTRL_IKE_TLS_KEY_H

#include <openssl/core.h>
#include <openssl/evp.h>

#include "ctrl/crypto/signature.h"
#include "ctrl/lib/slice.h"

struct tls_signer {   // of one handshake
    EVP_PKEY *public; // of our certificate
    uint8_t *data;    // what is to be signed; NULL: nothing
    size_t len;
    uint32_t scheme;
    bool pending; // the handshake stands still until it goes on with signature, or is given up
    uint8_t signature[CR_SIG_MAX];
    size_t signature_len; // 0: there is none
};
OSSL_provider_init_fn tls_key_provider;
#define TLS_KEY_PROVIDER "espalier-keys"
EVP_PKEY *tls_key_new(OSSL_LIB_CTX *ctx, struct tls_signer *s); // NULL: a kind of key that TLS here has not

#endif
