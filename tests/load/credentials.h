// SPDX-License-Identifier: Apache-2.0
// What the clients prove themselves by: a shared secret, or one certificate and its key for all of them.
#ifndef TESTS_LOAD_CREDENTIALS_H
#define TESTS_LOAD_CREDENTIALS_H

#include "ctrl/crypto/signature.h"
#include "ctrl/lib/slice.h"
#include "espalier/error.h"

struct credentials {
    struct cr_key *key;
    uint8_t *cert; // DER
    size_t cert_len;
};
int credentials_load(const char *cert, const char *key, struct credentials **out, struct esp_error *err);
void credentials_free(struct credentials *c);
// The peer's AUTH by the certificate that it sent. Whether anybody should trust that one is not asked: these
// clients carry nobody's packets.
int credentials_check(struct slice cert_der, uint8_t method, struct slice auth, const struct cr_slice *parts,
                      size_t count, struct esp_error *err);

#endif
