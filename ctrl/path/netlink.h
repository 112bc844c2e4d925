// SPDX-License-Identifier: Apache-2.0
// What path asks of the kernel: routes into the TUN, and XFRM block policies that stand behind every
// protected selector, so that nothing leaves or enters in clear when the TUN, a tunnel or the daemon is gone
// (RFC 4301 section 5).
#ifndef CTRL_PATH_NETLINK_H
#define CTRL_PATH_NETLINK_H

#include "ctrl/lib/conn.h"
#include "espalier/error.h"

struct netlink; // one NETLINK_ROUTE and one NETLINK_XFRM socket

int netlink_open(struct netlink **n, struct esp_error *err);
void netlink_close(struct netlink *n);

// Brings the interface up with this MTU and exempts it from the block policies. Returns its index or -errno.
int netlink_tun_up(struct netlink *n, const char *name, uint32_t mtu, struct esp_error *err);
// "Everything without our mark looks in this table first"; idempotent. mark 0xe59 keeps our own sockets out
// of the tunnel.
int netlink_rule(struct netlink *n, uint32_t table, uint32_t priority, uint32_t mark, struct esp_error *err);
// Routes every prefix of remote into ifindex, preferring a local address inside local as source; add = false
// removes.
int netlink_routes(struct netlink *n, bool add, const struct ts *local, const struct ts *remote, int ifindex,
                   uint32_t table, struct esp_error *err);
// Blocks local -> remote (out, fwd) and remote -> local (in, fwd) for all interfaces that are not exempt;
// idempotent.
int netlink_block(struct netlink *n, bool add, const struct ts *local, const struct ts *remote,
                  struct esp_error *err);

#endif
