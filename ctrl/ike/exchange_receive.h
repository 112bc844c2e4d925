// SPDX-License-Identifier: Apache-2.0
// Protected messages of one IKE SA: which may come now, and whose business they are.
#ifndef CTRL_IKE_EXCHANGE_RECEIVE_H
#define CTRL_IKE_EXCHANGE_RECEIVE_H

#include "ctrl/ike/message.h"
#include "ctrl/ike/room.h"

struct ike_sa;
void exchange_protected(struct ike_sa *sa, const struct ike_header *h, const struct net_path *path,
                        struct slice d);

#endif
