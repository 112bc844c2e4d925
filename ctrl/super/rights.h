// SPDX-License-Identifier: Apache-2.0
// What a room keeps of the rights that the daemon was started with: a user of its own, that no account has,
// so that it can neither signal, trace nor look into another one, and of root's capabilities those of its
// job.
#ifndef CTRL_SUPER_RIGHTS_H
#define CTRL_SUPER_RIGHTS_H

#include <sys/types.h>

#include "ctrl/lib/child.h"

// The user of a room where uids begin at `base`; 0: it stays who it is.
uid_t rights_uid(uint32_t base, enum room room);

// Whether this process may become all of them: as root, where the user namespace has them. NULL, or why not.
const char *rights_apart(uint32_t base);

// In a room, once, before it does anything: all but its own rights are gone when this returns 0. parent: who
// must still be there. apart: the rooms have users of their own. 0 or -errno.
int rights_keep(enum room room, const struct settings *s, bool apart, pid_t parent);

#endif
