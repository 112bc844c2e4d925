// SPDX-License-Identifier: Apache-2.0
// Scalar multiplication on Curve25519 and Curve448 (RFC 7748 section 5), by OpenSSL's own code.
#ifndef ESPALIER_CTRL_CRYPTO_X_CURVE_H
#define ESPALIER_CTRL_CRYPTO_X_CURVE_H

#include <stdint.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

struct x_curve {           // all zero: not opened yet
    EVP_KEYEXCH *exchange; // holds the provider whose functions the others are
    void *provider;
    OSSL_FUNC_keymgmt_new_fn *key_new;
    OSSL_FUNC_keymgmt_free_fn *key_free;
    OSSL_FUNC_keymgmt_import_fn *key_import;
    OSSL_FUNC_keyexch_newctx_fn *ctx_new;
    OSSL_FUNC_keyexch_freectx_fn *ctx_free;
    OSSL_FUNC_keyexch_init_fn *init;
    OSSL_FUNC_keyexch_set_peer_fn *set_peer;
    OSSL_FUNC_keyexch_derive_fn *derive;
};

// name: X25519 or X448. 0, or -EOPNOTSUPP.
int x_curve_open(struct x_curve *x, const char *name);
void x_curve_close(struct x_curve *x); // one that is all zero too
// scalar, point and out have len octets, as RFC 7748 writes them. -EBADMSG: the result is all zeros
// (6.1, 6.2).
int x_curve_multiply(const struct x_curve *x, const uint8_t *scalar, const uint8_t *point, size_t len,
                     uint8_t *out);

#endif
