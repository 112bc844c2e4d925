// SPDX-License-Identifier: Apache-2.0
// Postquantum preshared keys in IKE_INTERMEDIATE (RFC 9867), where they protect the IKE SA from IKE_AUTH on:
// what goes with the last of these exchanges. Off unless the settings say so.
#ifndef CTRL_IKE_PPK_INT_H
#define CTRL_IKE_PPK_INT_H

#include <stdbool.h>

#include "ctrl/ike/identity.h"
#include "ctrl/ike/message.h"

struct ike_sa;
struct task;
enum { PPK_INT_ROOM = 8 + 1 + ID_DATA_MAX + 8 }; // octets of its notify

bool ppk_int_offers(const struct ike_sa *sa); // as initiator
bool ppk_int_due(const struct ike_sa *sa);    // it goes with the exchange that comes next

// As initiator: puts PPK_IDENTITY_KEY behind b, when keys has answered, and goes on.
typedef void (*ppk_int_fn)(struct task *t);
void ppk_int_put_request(struct task *t, struct pb *b, ppk_int_fn fn);
// What it is answered with. False: sa->why.
bool ppk_int_take_answer(struct ike_sa *sa, const struct payloads *pl);

// As responder, of t->msg: which of those that the peer has we have too, and PPK_IDENTITY behind b.
void ppk_int_answer(struct task *t, struct pb *b, ppk_int_fn fn);

// Whether one goes in, and which.
bool ppk_int_used(const struct ike_sa *sa, struct identity *id);
struct slice ppk_int_id(const struct ike_sa *sa); // its octets, for keys; empty: none
void ppk_int_done(struct ike_sa *sa);             // the keys are there
struct ppk_int;
void ppk_int_free(struct ppk_int *x);

#endif
