// SPDX-License-Identifier: Apache-2.0
// Which way the kernel would take to an address, for what carries our own mark: asked over rtnetlink
// (RTM_GETROUTE), which takes no capability, and which no IPsec policy of ours answers for.
#ifndef CTRL_IKE_ROUTE_QUERY_H
#define CTRL_IKE_ROUTE_QUERY_H

#include <stdbool.h>

#include "ctrl/lib/conn.h"

// from: has to be the source, NULL: whatever the kernel takes. source: what it takes; may be NULL. False: no
// way, or nothing to ask by.
bool route_query(const struct addr *from, const struct addr *to, struct addr *source);

#endif
