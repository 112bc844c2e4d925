// SPDX-License-Identifier: Apache-2.0
// A process of espalierd that is killed, and what of the daemon is left then.
#ifndef TESTS_DEATH_H
#define TESTS_DEATH_H

#include "tests/system/harness.h"

struct death {
    char rooms[64]; // pids
    int status;     // of the supervisor
};
pid_t death_of(const struct site *s, const char *name); // whom to kill: a room, or the supervisor
// Kills it, and waits until all of the daemon's processes are gone. False: some are not.
bool death_takes_all(struct site *s, const char *name, struct death *d);
unsigned death_blocks(const struct site *s); // policies in the kernel that keep closed

#endif
