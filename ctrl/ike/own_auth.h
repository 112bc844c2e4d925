// SPDX-License-Identifier: Apache-2.0
// How we prove who we are: by a shared secret, or by a private key with its certificates. Both roles use it.
#ifndef CTRL_IKE_OWN_AUTH_H
#define CTRL_IKE_OWN_AUTH_H

#include "ctrl/ike/creds.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/lib/auth_side.h"

struct conn;
struct ike_sa;
struct own_auth {
    uint8_t method; // of the AUTH payload
    uint32_t schemes;
    uint8_t key_id[CREDS_KEY_ID];
    uint8_t encoding;   // of the first entry of chain
    struct blobs chain; // our certificate or raw key, then the intermediates
};
// What a connection says about our end: whether its certificates can be used, and the identity where none is
// given.
int own_auth_check(struct conn *c, struct esp_error *err);
// Chooses for the SA's connection and peer, and asks `keys` for AUTH. False: why says what is missing.
bool own_auth_make(struct task *t, reply_fn fn, char *why, size_t size);
// The certificates and the key alone, for another handshake; hs->later->own. False: why.
bool own_auth_certs(struct ike_sa *sa, char *why, size_t size);
void own_auth_log(const struct ike_sa *sa, struct slice auth);
void pb_own_certs(struct pb *b, const struct ike_sa *sa); // where the connection sends them
void pb_own_auth(struct pb *b, const struct ike_sa *sa, struct slice auth);
void own_auth_free(struct own_auth *o);
// "pre-shared key", "RSA_EMSA_PSS_SHA2_256_SALT_32": as charon names them.
const char *auth_print(uint8_t method, struct slice auth);

#endif
