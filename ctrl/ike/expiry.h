// SPDX-License-Identifier: Apache-2.0
// What is done with CHILD and IKE SAs that are due.
#ifndef CTRL_IKE_EXPIRY_H
#define CTRL_IKE_EXPIRY_H

#include "ctrl/ike/task.h"

struct child_sa;
struct ike_sa;
void expiry_child(struct child_sa *c); // its timer
void expiry_ike(struct ike_sa *sa);    // likewise
void expiry_rekey(struct child_sa *c); // at once
// The peer has another address: what was agreed upon for the former one alone is agreed upon again.
void expiry_moved(struct ike_sa *sa);
void expiry_limit(struct child_sa *c, const char *what);
void expiry_unwanted(
    struct child_sa *c); // it is about to be closed: neither is what it came for, nor what comes
void expiry_close(struct child_sa *c); // for good
// There was no memory for a task of an established IKE SA: what nobody else would ask for again is asked for
// by the timers of what it is about.
void expiry_unasked(struct ike_sa *sa, enum task_kind kind, uint32_t child_id);

#endif
