// SPDX-License-Identifier: Apache-2.0
// Private keys by their keyid, the SHA-1 of the public key's bits, which is how certificates and charon name
// them. OpenSSL holds the private values in its secure heap (ctrl/keys/main.c) and wipes them when a key
// goes.
#ifndef CTRL_KEYS_PRIVATE_H
#define CTRL_KEYS_PRIVATE_H

#include "ctrl/crypto/signature.h"
#include "ctrl/lib/slice.h"

enum { PRIVATE_ID = 20, PRIVATE_KEYS_MAX = 1024, PRIVATE_DER_MAX = 16384 };

struct private_store;
struct private_store *private_store_new(void);
void private_store_free(struct private_store *s);
// type: rsa, ecdsa, or any other for whatever it is. One that is there already stays as it is.
int private_load(struct private_store *s, const char *type, struct slice der, uint8_t id[PRIVATE_ID],
                 struct esp_error *err);
bool private_unload(struct private_store *s, struct slice id);
void private_clear(struct private_store *s);
const struct cr_key *private_find(const struct private_store *s, struct slice id); // NULL: none
// Calls f for each key from that serial number on, in the order of loading, until it says false. Returns the
// serial number of the one that it said so for; 0: that was all.
uint32_t private_list(const struct private_store *s, uint32_t from,
                      bool (*f)(void *ctx, const uint8_t id[PRIVATE_ID], enum cr_key_type type), void *ctx);

#endif
