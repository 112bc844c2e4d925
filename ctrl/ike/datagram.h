// SPDX-License-Identifier: Apache-2.0
// Datagrams as they come in, to the IKE SA or the exchange that they are for.
#ifndef CTRL_IKE_DATAGRAM_H
#define CTRL_IKE_DATAGRAM_H

#include "ctrl/ike/room.h"

void exchange_datagram(struct ike *ike, const struct net_path *path, struct slice d);

#endif
