// SPDX-License-Identifier: Apache-2.0
// The hooks by what each is for (see netlink_hooks.c, netlink_turn.c, netlink_asked.c, netlink_groups.c).
// Inside netlink_*.c alone.
#ifndef CTRL_PATH_NETLINK_HOOKS_H
#define CTRL_PATH_NETLINK_HOOKS_H

#include "ctrl/path/netlink_nft.h"

void netlink_turn_chains(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun);
unsigned netlink_turn_rules(const struct netlink_kernel *n, uint8_t family); // 4, 6
// unknown: who has asked is not known any more.
void netlink_asked_chains(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun,
                          bool unknown);
unsigned netlink_asked_rules(const struct netlink_kernel *n, uint8_t family); // 4, 6

int netlink_group_change(struct netlink_kernel *n, const struct kobj *o, bool add);
bool netlink_group_of(const struct netlink_kernel *n, const char *name,
                      struct kobj *out); // by its table's name
int netlink_group_dump(struct netlink_kernel *n, void (*each)(void *ctx, const struct kobj *o), void *ctx);

#endif
