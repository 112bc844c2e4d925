// SPDX-License-Identifier: Apache-2.0
// Additional key exchanges behind CREATE_CHILD_SA by IKE_FOLLOWUP_KE, in both roles.
#ifndef CTRL_IKE_FOLLOWUP_H
#define CTRL_IKE_FOLLOWUP_H

#include "ctrl/ike/kex.h"

struct ike_sa;
struct suite;

// As initiator, behind a response: 1: another exchange is begun, whose value comes to fn; 0: none is left;
// negative: r says what is wrong with the response.
int followup_begin(struct task *t, struct kex *k, const struct suite *s, const struct payloads *pl, kex_fn fn,
                   struct refusal *r);
bool followup_send(struct task *t, struct kex *k, enum msg_type type,
                   const union msg *m); // fn's: false: none
// Its response: the exchange is done. Negative: r says why it is not.
int followup_take(struct kex *k, const struct suite *s, const struct payloads *pl, struct refusal *r);

// As responder: whether one more task of the peer's may wait for its IKE_FOLLOWUP_KE.
bool followup_room(const struct ike_sa *sa);
// The payloads of an answer that ends an additional exchange, and the notify that asks for the next one.
void followup_put(struct pb *b, const struct kex *k);
void followup_put_link(struct pb *b, struct task *t, const struct kex *k);
// Answers, and the task waits until its ops' `followed` is called with the next request in t->msg.
void followup_wait(struct task *t, const struct pb *b);
// The linked key exchange of t->msg is the next one of s: its value is taken, and ours comes to fn.
int followup_answer(struct task *t, struct kex *k, const struct suite *s, kex_fn fn, struct refusal *r);
// fn's: ours is there, and the exchange done but for its answer. False: there is none.
bool followup_answered(struct kex *k, const struct suite *s, enum msg_type type, const union msg *m);

#endif
