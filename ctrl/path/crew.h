// SPDX-License-Identifier: Apache-2.0
// Workers in threads of their own, and how control changes what they look at: while they stand between two
// bursts (README.md). The first worker stays control's: it has no TUN and no socket then, and does what a
// card has to do, whose SAs and events are control's business.
#ifndef CTRL_PATH_CREW_H
#define CTRL_PATH_CREW_H

#include <pthread.h>
#include <stdatomic.h>

#include "ctrl/lib/child.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/loop.h"
#include "espalier/error.h"

struct path;
struct worker;
struct crew {       // all zero: there is none
    bool apart;     // there is one
    unsigned stops; // how often control has stopped it and not yet let go
    atomic_bool stop;
    pthread_mutex_t lock; // for whoever has to wait
    pthread_cond_t change;
};
// Of a worker: what its thread has beside it.
struct crew_member {
    bool apart;
    struct loop *loop;
    struct log *log;      // its lines are notes, which control writes
    struct child_env env; // from the second on: with its own queue and sockets
    struct timer tick;
    struct loop_fd bell, queue;  // rung by others: look around; its queue in the software engine
    atomic_bool rung, busy;      // rung and not yet heard; in a burst
    atomic_bool starved;         // no packet is free: who takes one of its rings
    uint32_t gave;               // to these workers, since they were last rung for; a bit each
    bool noted, farewells, gone; // control has to look: at notes, at SAs that may go, at a TUN that is gone
    pthread_t thread;
    bool runs;
    atomic_bool ends; // it shall
};

// After path_set_workers, which says how many with control's own; before anything is opened. 0 or a negative
// errno.
int crew_open(struct path *p, struct esp_error *err);
int crew_start(struct path *p, struct esp_error *err); // all is open: the threads run
void crew_end(struct path *p);                         // ... and run no more; control has everything
void crew_close(struct path *p);

// Control's, in pairs, one inside the other as it likes; its loop does so around all that it calls.
void crew_stop(struct path *p);
void crew_go(struct path *p);

void crew_ring(struct worker *w); // from any thread
void crew_tell(struct worker *w); // after a burst: who has to know of it is rung for
struct loop *crew_loop(const struct worker *w);

#endif
