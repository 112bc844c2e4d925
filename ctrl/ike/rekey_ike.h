// SPDX-License-Identifier: Apache-2.0
// Rekeying an IKE SA (RFC 7296 section 1.3.2).
#ifndef CTRL_IKE_REKEY_IKE_H
#define CTRL_IKE_REKEY_IKE_H

#include <stdbool.h>

struct ike_sa;
struct inmsg;
bool rekey_ike_asked(const struct inmsg *m); // by a CREATE_CHILD_SA request
void rekey_ike(struct ike_sa *sa);
// The peer asks something on sa: of two that both ends' rekeying made it is the one that stays.
// Of any it says that the peer has its keys: what waits for that begins.
void rekey_ike_used(struct ike_sa *sa);
void rekey_ike_heir(struct ike_sa *old); // old ends, or is ended: the peer has the keys of what replaced it
// The peer ends it: what its own rekeying made takes over, if it did, or ends with it where we end it, too.
void rekey_ike_concede(struct ike_sa *sa);
// We end it: what the peer's own rekeying made does not wait for the peer's DELETE, nor at_once for ours.
void rekey_ike_forgo(const struct ike_sa *sa, bool at_once);

#endif
