// SPDX-License-Identifier: Apache-2.0
// What `ike` has been given of the configuration and nobody else holds: certificates, authorities and pools,
// each as the message that it came by, in the order of their coming (connections are in ctl.h, leases in a
// file). The next `ike` gets them again where one dies (replay.h). They are in a memory file of the
// supervisor's, which that maps nowhere, so that a `ctl` that is started again has them too. No secret is in
// it, and it holds no more than it can, whoever writes: what a `ctl` that was broken into has put there stays
// behind that. They are at most so many: whatever was written there, the next ctl has the memory to read it.
#ifndef CTRL_CTL_CONFIGURED_H
#define CTRL_CTL_CONFIGURED_H

#include "ctrl/ipc/ipc.h"

enum { CONFIGURED_BYTES_MAX = 256 << 20, CONFIGURED_MOST = 1 << 15 };

int configured_new(void); // the file: a descriptor, or -errno. Close-on-exec

struct configured;
// Takes the descriptor. NULL: errno says why.
struct configured *configured_open(int fd);
void configured_close(struct configured *c);
bool configured_keeps(enum msg_type t); // changes by it are kept here
// ike has taken such a message, as msg_write has written it. 0 or -errno: it will not be there again.
int configured_take(struct configured *c, struct slice message);
// The first one behind `after` (0: the first of all), in m, which holds until the next call; missing: of
// those that ike has not. Its number, or 0: there is none.
uint64_t configured_next(struct configured *c, uint64_t after, bool missing, enum msg_type *t, union msg *m);
// Whether ike has that one; before. One that has gone since, or is another one now, is not missing.
bool configured_is_missing(struct configured *c, uint64_t number, bool missing);
uint64_t configured_pool(const struct configured *c, const char *name); // the pool's number, 0: none

#endif
