// SPDX-License-Identifier: Apache-2.0
// Files of credentials, and private keys as they stand in them.
#ifndef CTRL_CONFIG_CRED_FILE_H
#define CTRL_CONFIG_CRED_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "espalier/error.h"

enum { CRED_MAX = 65535 }; // octets: a VICI value holds no more

// The whole of a plain file, allocated; 0, or a negative errno that says why not. cred_free wipes.
int cred_read(const char *path, uint8_t **data, size_t *len, struct esp_error *err);
void cred_free(uint8_t *data, size_t len);

// A private key out of PEM (its first block that is one) or DER, decrypted by `password` where it is
// encrypted and that is not NULL: DER in PKCS#8, PKCS#1 or SEC 1, allocated, for cred_free. -EKEYREJECTED: it
// is encrypted and the password is none or wrong; -EINVAL: what it is instead.
int cred_key(const uint8_t *data, size_t len, const char *password, uint8_t **der, size_t *der_len,
             struct esp_error *err);

#endif
