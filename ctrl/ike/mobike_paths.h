// SPDX-License-Identifier: Apache-2.0
// The ways between the addresses that both ends of a MOBIKE SA have.
#ifndef CTRL_IKE_MOBIKE_PATHS_H
#define CTRL_IKE_MOBIKE_PATHS_H

#include "ctrl/ike/room.h"

struct ike_sa;
// The way that it has where that can still be gone; otherwise the first one that can. False: there is none.
bool mobike_best(const struct ike_sa *sa, struct net_path *to);
bool path_eq(const struct net_path *a, const struct net_path *b);
bool mobike_names_addresses(const struct ike_sa *sa);                  // of ours, by its connection
bool mobike_is_way(const struct ike_sa *sa, const struct net_path *p); // one of ours to one of the peer's

#endif
