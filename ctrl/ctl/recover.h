// SPDX-License-Identifier: Apache-2.0
// Before ctl serves it asks the other rooms for what VICI clients have loaded: nothing at the start of the
// daemon, all of it where this ctl takes the place of one that died. `ike` has the last word on connections,
// so that what it has is what is loaded, a load that was under way included, whole or not at all; it has the
// pools and who has which address. Secrets are never here. The rest is in kept.h, and for ike in
// configured.h.
#ifndef CTRL_CTL_RECOVER_H
#define CTRL_CTL_RECOVER_H

enum { RECOVER_AGAIN_MS = 20 }; // while a load of the last one's is under way

struct ctl;
// done: once, with what went wrong, or NULL.
void recover_begin(struct ctl *c, void (*done)(struct ctl *c, const char *fault));

#endif
