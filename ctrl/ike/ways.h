// SPDX-License-Identifier: Apache-2.0
// The way of an IKE SA that we are making, when the machine's addresses change meanwhile.
#ifndef CTRL_IKE_WAYS_H
#define CTRL_IKE_WAYS_H

#include <stdbool.h>

struct ike;
struct ike_sa;
struct net_path;
bool way_again(const struct ike_sa *sa, struct net_path *path); // for another attempt; false: there is none
// One that cannot be answered, as the address is gone that it began from, begins anew from another one.
// False: it does not have to, or there is no way just now.
bool way_begin_anew(struct ike_sa *sa);
void ways_addrs_changed(struct ike *ike);

#endif
