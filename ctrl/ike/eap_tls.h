// SPDX-License-Identifier: Apache-2.0
// EAP-TLS (RFC 5216, and RFC 9190 with TLS 1.3) of either end, between EAP packets and TLS: fragments, our
// signature asked of `keys`, the peer's certificates judged as those of IKE are, and the MSK handed to
// `keys`.
#ifndef CTRL_IKE_EAP_TLS_H
#define CTRL_IKE_EAP_TLS_H

#include <stdbool.h>

#include "ctrl/ike/identity.h"
#include "ctrl/ike/message.h"

struct eap_tls;
struct ike_sa;
struct task;
enum eap_tls_next {
    EAP_TLS_SEND,   // eap_tls_packet has the next one for the peer
    EAP_TLS_OVER,   // `keys` has the MSK
    EAP_TLS_FAILED, // why
};
typedef void (*eap_tls_fn)(struct task *t, enum eap_tls_next next, const char *why);

// The handshake with our own certificates (sa->hs->later->own), by which the peer must show to be `peer`. fn
// is for all that follows. NULL: why. The server's first packet is there.
struct eap_tls *eap_tls_new(struct ike_sa *sa, bool server, const struct identity *peer, eap_tls_fn fn,
                            char *why, size_t size);
void eap_tls_free(struct eap_tls *e);
// What the peer sent (sa->hs->later->eap_tls), behind the type octet. fn is called, now or later.
void eap_tls_input(struct task *t, struct slice data);
void eap_tls_packet(struct eap_tls *e, struct writer *w); // at most EAP_TLS_PACKET_MAX octets
enum { EAP_TLS_FRAGMENT = 1024, EAP_TLS_PACKET_MAX = EAP_TLS_FRAGMENT + 5 };
void eap_tls_success(struct task *t); // the client: the server says success. fn is called

#endif
