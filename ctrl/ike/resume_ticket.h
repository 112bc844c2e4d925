// SPDX-License-Identifier: Apache-2.0
// Tickets (RFC 5723 sections 4.1, 4.2, 6.2): asked for and given in IKE_AUTH and in INFORMATIONAL, and kept
// by the client until its IKE SA has ended in silence and is to be resumed.
#ifndef CTRL_IKE_RESUME_TICKET_H
#define CTRL_IKE_RESUME_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/lib/slice.h"

struct conn;
struct ike;
struct ike_sa;
struct inmsg;
struct net_path;
struct payloads;
struct pb;
struct pki_standing;
struct session;
struct task;
struct ticket_answer;

// --- as the client ---

void ticket_request(struct pb *b, const struct ike_sa *sa); // in IKE_AUTH
void ticket_take(struct ike_sa *sa, const struct payloads *pl);
void ticket_rekeyed(struct ike_sa *old, struct ike_sa *next); // its ticket is void
void ticket_lost(struct ike_sa *sa);                          // its peer fell silent: it may be resumed
void ticket_store(struct ike *ike, struct session *s);        // takes it
struct session *ticket_for(struct ike *ike, const struct conn *c, const struct net_path *path); // NULL: none

// --- as the gateway ---

// Where the request of t asks for a ticket keys is asked for it first; then, or at once, `then` goes on.
void ticket_give(struct task *t, void (*then)(struct task *t));
void ticket_put(struct pb *b, const struct ike_sa *sa); // in the IKE_AUTH response
// In the answer to a rekeying: it is given in INFORMATIONAL, when asked for there.
void ticket_put_later(struct pb *b, const struct ike_sa *sa, const struct payloads *pl);
bool ticket_is_asked(const struct inmsg *m); // an INFORMATIONAL that asks for one alone
// What may be revoked of the peer's proof, by the number in its ticket. False: it is not known any more.
bool ticket_standing(struct ike *ike, uint32_t number, struct pki_standing *out[2]);

void ticket_answer_free(struct ticket_answer *a);
void tickets_free(struct ike *ike);

#endif
