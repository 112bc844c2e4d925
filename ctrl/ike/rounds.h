// SPDX-License-Identifier: Apache-2.0
// Several rounds of authentication of one end or of both (RFC 4739): whether the peer takes them, which round
// an end is at, and by what it proves itself there. Of the first round everything but AUTH is the last
// round's too: what is asked for in the first request is answered in the last response.
#ifndef CTRL_IKE_ROUNDS_H
#define CTRL_IKE_ROUNDS_H

#include <stdbool.h>

#include "ctrl/ike/identity.h"
#include "ctrl/ike/message.h"
#include "ctrl/lib/auth_side.h"
#include "espalier/error.h"

struct conn;
struct ike_sa;
struct inmsg;
struct rounds;
struct task;

bool rounds_of(const struct conn *c); // it has more than one
int rounds_check(const struct conn *c, struct esp_error *err);
unsigned rounds_at(const struct ike_sa *sa);  // the one that is at work, from 0 on
bool rounds_own_has(const struct ike_sa *sa); // that end has so many
bool rounds_peer_has(const struct ike_sa *sa);
// How that end proves itself in the round that is at work; where it has not so many, in its last one.
const struct auth_side *rounds_own(const struct ike_sa *sa);
const struct auth_side *rounds_peer(const struct ike_sa *sa);
// Who that end is in it. The peer's may be a pattern.
void rounds_own_id(const struct ike_sa *sa, struct identity *out);
void rounds_peer_id(const struct ike_sa *sa, struct identity *out);
// Who the ends will be when all rounds are over, as the connection says; a peer that it has no name of is
// ID_ANY.
void rounds_last_ids(const struct ike_sa *sa, struct identity *own, struct identity *peer);
// Whether that end proves itself in the round that is at work otherwise than by EAP.
bool rounds_own_signs(const struct ike_sa *sa);
bool rounds_peer_signs(const struct ike_sa *sa);

// MULTIPLE_AUTH_SUPPORTED: of the responder in IKE_SA_INIT, of the initiator in its first IKE_AUTH.
void rounds_put_supported(struct pb *b, const struct ike_sa *sa);
void rounds_read_supported(struct ike_sa *sa, const struct payloads *pl);
// ANOTHER_AUTH_FOLLOWS, where the end that builds the message has another round.
void rounds_put_follows(struct pb *b, const struct ike_sa *sa);
// Whether the peer's message says of its rounds what is due; NULL: it does.
const char *rounds_fault(const struct ike_sa *sa, const struct payloads *pl);
bool rounds_more(const struct ike_sa *sa); // the round that is at work is not the last one

// To the next round: m, by which the peer proved itself in this one, is taken. False: no memory.
bool rounds_next(struct ike_sa *sa, struct inmsg *m);
struct slice
rounds_last_idr(const struct ike_sa *sa); // as initiator: the last body that came in the rounds before
void rounds_first_again(struct task *t);  // as responder: t->msg is the first request from here on
void rounds_free(struct rounds *r);

#endif
