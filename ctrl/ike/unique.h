// SPDX-License-Identifier: Apache-2.0
// One IKE SA between two identities.
#ifndef CTRL_IKE_UNIQUE_H
#define CTRL_IKE_UNIQUE_H

#include <stdbool.h>

struct child_config;
struct child_sa;
struct ike_sa;
void sa_unique(struct ike_sa *sa, bool initial_contact); // replaces older SAs between the same identities
void unique_address(struct ike_sa *sa);                  // as the one whom the peer has given it
bool sa_first_to_peer(const struct ike_sa *sa);
bool sa_only_one(const struct ike_sa *sa); // likewise, as the one that answers: nor is another on its way
// What another IKE SA between the same two ends, with the peer at the same address, has for a child; or NULL.
struct child_sa *sa_served_already(const struct child_sa *of);
void unique_step_aside(struct ike_sa *sa); // it goes: nothing goes out by what another IKE SA has too
void unique_child_up(struct child_sa *c);  // likewise, for the sake of this one
void unique_child_closes(struct child_sa *c);
void unique_child_made(struct child_sa *c); // by a request of the peer, which has been answered
bool unique_goes(const struct ike_sa *sa);  // another one replaces it, and it waits for its end
void unique_deleted(struct ike_sa *sa);     // the peer has answered our DELETE

#endif
