// SPDX-License-Identifier: Apache-2.0
// What a room that strangers talk to takes off: its user, its groups, its capabilities. What is left can open
// sockets and read what everybody can.
#ifndef CTRL_NOBODY_H
#define CTRL_NOBODY_H

#include <sys/types.h>

// parent: who must still be there. 0 or -errno.
int nobody_become(pid_t parent);

#endif
