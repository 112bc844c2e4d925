// SPDX-License-Identifier: Apache-2.0
// Shared secrets by name, postquantum ones and passwords of EAP among them, and which of them serve for two
// identities (charon's rules: the best owner match wins).
#ifndef CTRL_KEYS_PSK_H
#define CTRL_KEYS_PSK_H

#include "ctrl/ike/identity.h"
#include "espalier/error.h"

enum { PSK_MAX = 512, PSK_OWNERS_MAX = 256, PSK_TRIES = 8, PSK_SECRETS_MAX = 1 << 20 };

enum secret_kind {
    SECRET_IKE,
    SECRET_PPK, // postquantum preshared keys (RFC 8784)
    SECRET_EAP, // passwords, of which the store has the NT hash: psk_load is given that
};
int secret_kind(const char *type); // -1: not supported
struct psk_store;
struct psk_match {
    uint32_t serial; // of no other secret, before or after
    struct slice data;
    const char *name;
    const struct identity *owner; // that the peer matches; NULL: the secret names none, or ourselves alone
};
struct vault;
struct psk_store *psk_store_new(struct vault *v); // which outlives it
void psk_store_free(struct psk_store *s);
// type: ike, ppk, eap. Replaces a secret of the same name. owners: slice16 each, in charon's identity syntax.
int psk_load(struct psk_store *s, const char *name, const char *type, struct slice data, struct slice owners,
             struct esp_error *err);
// Whether there is one of that name, of other octets or owners.
bool psk_replaces(const struct psk_store *s, const char *name, const char *type, struct slice data,
                  struct slice owners);
bool psk_unload(struct psk_store *s, const char *name);
void psk_clear(struct psk_store *s);
// Calls f for each secret from that serial number on, in the order of loading, until it says false. Returns
// the serial number of the one that it said so for; 0: that was all.
uint32_t psk_names(const struct psk_store *s, uint32_t from, bool (*f)(void *ctx, const char *name),
                   void *ctx);
// The secret of another kind one of whose identities has just these octets. name may be NULL.
bool psk_find_named(const struct psk_store *s, enum secret_kind kind, struct slice id, struct slice *out,
                    const char **name);
// Up to PSK_TRIES secrets for the pair, best match first. An identity that no secret names has none: one that
// names the peer's address must not prove whatever name comes from there.
unsigned psk_find(const struct psk_store *s, const struct identity *me, const struct identity *peer,
                  struct psk_match out[PSK_TRIES]);

#endif
