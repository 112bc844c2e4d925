// SPDX-License-Identifier: Apache-2.0
// A TLS handshake (1.2 and 1.3) for EAP-TLS, by OpenSSL over memory. Two things are not OpenSSL's: our
// signature is made elsewhere, so that no private key is in this process, and the peer's certificates are
// handed out to be judged by ctrl/pki; until they are, nothing is proven. What the handshake makes is the MSK
// (RFC 5216 section 2.3, RFC 9190 section 2.3).
#ifndef CTRL_IKE_TLS_H
#define CTRL_IKE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctrl/crypto/signature.h"
#include "ctrl/lib/slice.h"
#include "espalier/error.h"

enum {
    TLS_SESSIONS_MAX = 256,     // at once
    TLS_PEER_CERTS_MAX = 16,    // that a peer sends,
    TLS_PEER_OCTETS = 64 << 10, // and their octets
    TLS_MSK_LEN = 64,
};

struct tls_room; // what the sessions of a process share; made with the first one
struct tls_room *tls_room_new(void);
void tls_room_free(struct tls_room *r); // after its sessions

struct tls;
// chain: ours, DER, the end entity's first. NULL: err says why.
struct tls *tls_new(struct tls_room *r, bool server, const struct slice *chain, size_t count,
                    struct esp_error *err);
void tls_free(struct tls *t);

enum tls_step {
    TLS_WAITS,  // for the peer, once what tls_take gives has been sent
    TLS_SIGNS,  // tls_to_sign wants a signature: tls_signed
    TLS_DONE,   // what is left in tls_take is to be sent
    TLS_FAILED, // err says why; tls_take may have an alert
};
bool tls_feed(struct tls *t, struct slice in); // octets of the peer; false: no memory
enum tls_step tls_step(struct tls *t, struct slice in, struct esp_error *err);
// What is to be signed and how (a bit of enum cr_scheme_bit).
struct slice tls_to_sign(const struct tls *t, uint32_t *scheme);
enum tls_step tls_signed(struct tls *t, struct slice signature, struct esp_error *err);
size_t tls_take(struct tls *t, uint8_t *out, size_t cap); // octets for the peer; 0: no more
size_t tls_output(const struct tls *t);                   // octets that tls_take has

// The peer's certificates, its own first; they come before anything is to be signed by a client, and before
// TLS_DONE of a server.
size_t tls_peer_certs(const struct tls *t, struct slice out[TLS_PEER_CERTS_MAX]);
const char *tls_version(const struct tls *t); // "TLSv1.3"
bool tls_is_13(const struct tls *t);
bool tls_say_done(struct tls *t);   // the server's octet behind the handshake (RFC 9190 2.5)
bool tls_heard_done(struct tls *t); // whether it has come
bool tls_msk(struct tls *t, uint8_t out[TLS_MSK_LEN]);

#endif
