// SPDX-License-Identifier: Apache-2.0
// How the peer proves who it is (RFC 7296 2.15), whichever role it has. A shared secret is checked by `keys`.
// A signature is checked here: the certificates first, under the rules of the SA's connection; then the
// signature, once; then, where the rules ask for it, whether a certificate was revoked; and only then `keys`
// hears that the peer is proven.
#ifndef CTRL_IKE_PROOF_H
#define CTRL_IKE_PROOF_H

#include <stdbool.h>

#include "ctrl/ike/identity.h"
#include "ctrl/ike/message.h"

struct conn;
struct ike_sa;
struct task;
enum proof {
    PROOF_GOOD,
    PROOF_NOT_HERE, // the certificates do not do for this connection: another one may be tried
    PROOF_BAD,      // the peer's one try is over
};
typedef void (*proof_fn)(struct task *t, enum proof how, const char *why);
// pl, auth and id (the body exactly as it came, since AUTH covers it) must stay until fn is called, now or
// later.
void proof_begin(struct task *t, const struct payloads *pl, const struct auth *auth, struct slice id,
                 proof_fn fn);
// Certificates that came with another handshake (EAP-TLS): whether they are that identity's and good under
// the connection's rules, revocation too. Nothing is said to `keys`. certs and id may go after the call.
struct peer_certs;
void proof_judge(struct task *t, const struct peer_certs *certs, const struct identity *id, proof_fn fn);
struct proof_state;
void proof_free(struct proof_state *p);

uint8_t proof_kind(uint8_t method); // enum auth_method; AUTH_NONE: none that is supported

// Asks for the peer's certificates where the connection does (RFC 7296 3.7); false: it does not.
bool pb_ask_certs(struct pb *b, const struct ike_sa *sa);

// What a connection says about the peer: whether its certificates and keys can be read, and whether it says
// enough.
int proof_check_conn(const struct conn *c, struct esp_error *err);

#endif
