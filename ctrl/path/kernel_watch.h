// SPDX-License-Identifier: Apache-2.0
// The kernel's objects over a run of path: opened at the start, where what an earlier run has left is
// adopted; repaired when somebody else removes some; swept of what is not configured any more; let go of at
// the end.
#ifndef CTRL_PATH_KERNEL_WATCH_H
#define CTRL_PATH_KERNEL_WATCH_H

#include "ctrl/lib/loop.h"
#include "espalier/error.h"

struct path;
struct msg_SWEEP;
struct kernel_watch {
    struct loop_fd fd;
    struct timer repair, moved;
    struct timer sweep; // once all is known that is loaded
    bool tun_down;      // somebody has set it down
    bool tun_lost;      // whether it is up is to be asked, as notices were lost
    bool later_told;    // it stays as not all is known of what is loaded, and that was said
    bool held_told;     // what an earlier run left stays, and that was said
    bool sweep_due;     // ctl has said so, before all policies are there
    uint64_t logged_at, repaired;
    uint64_t rest_until; // from the addresses' last change
};

int kernel_watch_open(struct path *p, struct esp_error *err); // and brings the TUN up
// The set has been changed: what the kernel did not do is tried again, whether it says anything or not.
void kernel_watch_changed(struct path *p);
// What an earlier run has left and nobody has asked for again goes when ctl says that the whole configuration
// is taken. Until then it stays, closed.
void kernel_watch_sweep(struct path *p, const struct msg_SWEEP *m);
void kernel_watch_whole(struct path *p); // all policies are there: what was to be swept is
// What is loaded is not what the last path had: while policies are missing, what that let by in clear is let
// by only where it is asked for.
void kernel_watch_edited(struct path *p);
void kernel_watch_close(struct path *p);

#endif
