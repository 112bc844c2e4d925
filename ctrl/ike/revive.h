// SPDX-License-Identifier: Apache-2.0
// What brings CHILD SAs up and back.
#ifndef CTRL_IKE_REVIVE_H
#define CTRL_IKE_REVIVE_H

#include "ctrl/ike/events.h"

struct conn;
struct child_config;
void revive_loaded(struct ike *ike, struct conn *c); // start_action
void revive_replaced(struct ike_sa *sa);             // what it had and is to be up, and its successor has not
void revive_acquire(struct ike *ike, struct conn *c, const struct child_config *child);
void revive_lost(struct ike *ike, const struct conn *was, const char *child, enum lost_why why);
// It is to go, for good: nor does it come up again on the IKE SA that is made in the place of its own.
void revive_unwanted(struct child_sa *c);
void revive_closed(struct child_sa *c); // by the peer: likewise, where it is not to come back
bool revive_comes_back(const struct ike_sa *sa, const struct child_config *child); // when the peer closes it
void revive_wanted(struct ike_sa *sa,
                   const char *child); // what is being made there: an operator waits for it
void revive_limit(struct child_sa *c); // it ends now
void revive_replace(struct child_sa *c, uint64_t within); // ms: another one takes its place, then it ends
void revive_reauthenticate(struct ike_sa *sa);            // a new IKE SA from scratch, then this one ends
// Likewise, and again while it has not reached its hard limit, where its connection names the peer.
void revive_reauth_due(struct ike_sa *sa);
void revive_failed(struct ike_sa *sa, const char *child);
// It is going, with all that was on its way.
void revive_sa_ends(struct ike_sa *sa);
void revive_sa_over(struct ike_sa *sa);     // it is no more
void revive_sa_deleted(struct ike_sa *sa);  // by the peer, before that
void revive_addrs_changed(struct ike *ike); // the machine's
void revive_up(struct ike_sa *sa, const char *child);
void revive_later(struct ike_sa *sa, const char *child); // in a moment, without counting as a failure
// One that replaces another has made a CHILD SA, or not made that one; NULL: it has.
void revive_step(struct ike_sa *sa, const char *failed);
void revive_forget(struct ike *ike, const char *conn, const char *child); // the operator has the last word
// What was wanted by the former name is wanted by that which its IKE SA goes by now. other: of that name too.
void revive_renamed(struct ike_sa *sa, const struct conn *was, struct ike_sa *other);
void revive_watch(struct ike_sa *sa); // one that has lost its last CHILD SA
// Of one that is to be up and is not: how often in a row that has failed, and in how many ms it is tried
// again; UINT32_MAX: it is on its way, or nothing is due.
struct revive_state {
    uint32_t failures, next_ms;
};
struct revive_state revive_state(struct ike *ike, const char *conn, const char *child);
void revive_free(struct ike *ike);

#endif
