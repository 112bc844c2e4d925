// SPDX-License-Identifier: Apache-2.0
// What `metrics` asks for: pages of counters, one question at a time. ctl passes the question on to those who
// count, and of their answers what is for everybody's eyes; nothing of a list stays here.
#ifndef CTRL_CTL_FEED_H
#define CTRL_CTL_FEED_H

#include "ctrl/ipc/ipc.h"

enum {
    FEED_ANSWER_MS = 5000,
    FEED_A_SECOND = 2000, // questions; more are refused, and cost the other rooms nothing
};

struct ctl;
struct feed {
    bool busy;
    uint64_t second;
    unsigned count;     // of questions in that second
    uint64_t last_conn; // the last connection of the list that is being told: one that is unloaded and loaded
                        // again meanwhile is in it once
};
void feed_ask(struct ctl *c, const struct msg_METRICS_LIST *m); // it is answered, now or later

#endif
