// SPDX-License-Identifier: Apache-2.0
// IKE SAs that begin without a CHILD SA (RFC 6023).
#ifndef CTRL_IKE_CHILDLESS_H
#define CTRL_IKE_CHILDLESS_H

#include <stdbool.h>
#include <stdint.h>

struct ike_sa;
struct payloads;
struct pb;
struct task;

// --- as initiator ---

void childless_read(struct ike_sa *sa, const struct payloads *pl); // of the IKE_SA_INIT response
const char *
childless_fault(const struct ike_sa *sa);       // why such a one cannot be had; NULL: it can, or need not
bool childless_wanted(const struct ike_sa *sa); // IKE_AUTH asks for no CHILD SA
void childless_up(struct task *t); // IKE_AUTH is over: the CHILD SA that is wanted is asked for now

// --- as responder ---

void childless_put(struct pb *b, const struct ike_sa *sa); // in the IKE_SA_INIT response
// The notify that a CHILD SA in IKE_AUTH, or none, is refused with; 0: it is not.
uint16_t childless_refuses_none(const struct ike_sa *sa);
uint16_t childless_refuses_one(const struct ike_sa *sa);

#endif
