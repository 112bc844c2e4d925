// SPDX-License-Identifier: Apache-2.0
// One snapshot: asked of `ctl` page by page, whole or not at all. A list ends at its bound; that is told too.
#ifndef CTRL_METRICS_COLLECT_H
#define CTRL_METRICS_COLLECT_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/metrics/exposition.h"

enum {
    METRICS_MOST_CONNS = 10000, // as many as can be loaded
    METRICS_MOST_CHILDREN = 20000,
    METRICS_MOST_CERTS = 1000,
    METRICS_MOST_SAS = 10000, // IKE and CHILD SAs together
    METRICS_COLLECT_MS = 8000,
};

struct collect {
    struct loop *loop;
    bool busy;
    void (*done)(void *ctx, const char *fault); // NULL: it is whole, and the taker's to clear
    void *ctx;
    struct exposition e;
    // of the one that is busy
    struct ipc_chan *ctl;
    uint32_t req;
    enum metrics_what what;
    bool per_sa;
    uint64_t began_us;
    unsigned conns, children, certs, sas, left_out[METRICS_WHAT_COUNT];
    char conn[NAME_MAX_LEN]; // of the IKE SA that was told last, and its number
    uint32_t ike_sa;
    struct timer deadline;
};

void collect_init(struct collect *c, struct loop *l, void (*done)(void *ctx, const char *fault), void *ctx);
void collect_begin(struct collect *c, struct ipc_chan *ctl, bool per_sa, const pid_t pid[ROOM_COUNT]);
void collect_message(struct collect *c, enum msg_type t, const union msg *m); // of ctl
void collect_fail(struct collect *c, const char *fault);                      // where one is under way
void collect_stop(struct collect *c);

#endif
