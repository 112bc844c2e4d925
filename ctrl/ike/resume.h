// SPDX-License-Identifier: Apache-2.0
// IKE_SESSION_RESUME (RFC 5723 section 4.3): an IKE SA that ended in silence begins anew from its ticket,
// without a key exchange and without certificates, secrets or EAP; or in full where that is not to be.
#ifndef CTRL_IKE_RESUME_H
#define CTRL_IKE_RESUME_H

#include "ctrl/ike/message.h"
#include "ctrl/ike/room.h"

struct identity;
struct ike;
struct ike_sa;
struct task;

// --- as initiator ---

bool resume_begin(struct ike_sa *sa); // there is a ticket: TASK_RESUME is how it begins
// Its AUTH was refused. What it covers libreswan understands otherwise than the RFC (ctrl/keys/derive.h):
// the next one is of the other form.
void resume_refused(struct ike_sa *sa);
// A resumption that failed: true, it begins anew in full.
bool resume_falls_back(struct ike_sa *sa);

// --- as responder ---

void resume_request(struct ike *ike, const struct net_path *path, const struct ike_header *h, struct slice d);
// Of the IKE_AUTH request of a peer that resumes: NULL, or what is wrong with who it says to be.
const char *resume_fault(struct ike_sa *sa, const struct identity *idi, const struct identity *idr);
void resume_proven(struct ike_sa *sa); // of any IKE SA whose peer has proven itself
void resume_free(struct ike *ike);

#endif
