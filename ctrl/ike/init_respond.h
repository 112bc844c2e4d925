// SPDX-License-Identifier: Apache-2.0
// IKE_SA_INIT as responder.
#ifndef CTRL_IKE_INIT_RESPOND_H
#define CTRL_IKE_INIT_RESPOND_H

#include "ctrl/ike/message.h"
#include "ctrl/ike/room.h"

struct ike_sa;
void init_request(struct ike *ike, const struct net_path *path, const struct ike_header *h, struct slice d);
void init_early(struct ike_sa *sa, const struct net_path *path, struct slice d);

#endif
