// SPDX-License-Identifier: Apache-2.0
// The kernel's objects over a run of path: opened at the start, where what an earlier run has left is
// adopted; repaired when somebody else removes some; swept of what is not configured any more; let go of at
// the end.
#ifndef CTRL_PATH_KERNEL_WATCH_H
#define CTRL_PATH_KERNEL_WATCH_H

#include "ctrl/lib/loop.h"
#include "espalier/error.h"

struct path;
struct kernel_watch {
    struct loop_fd fd;
    struct timer repair, moved, sweep;
    bool tun_down; // somebody has set it down
    bool swept;
    uint64_t logged_at, repaired;
};

int kernel_watch_open(struct path *p, struct esp_error *err); // and brings the TUN up
// A connection's policies are in force: when no more come for a while, what an earlier run has left and
// nobody has asked for again goes. Until then it stays, closed.
void kernel_watch_loaded(struct path *p);
void kernel_watch_close(struct path *p);

#endif
