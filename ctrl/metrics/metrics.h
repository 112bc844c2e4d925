// SPDX-License-Identifier: Apache-2.0
// The metrics process: it answers who asks for metrics, with what `ctl` tells it of counters. Strangers talk
// to it, so it is nobody, without capabilities, and has no channel but those to `ctl`, which gives it
// counters and takes no command from it, and to the supervisor; no secret and no packet ever comes here.
#ifndef CTRL_METRICS_METRICS_H
#define CTRL_METRICS_METRICS_H

#include "ctrl/ipc/ipc.h"

struct metrics;
// listen_fd is closed. NULL: errno says why.
struct metrics *metrics_new(struct loop *l, const struct settings *st, const pid_t pid[ROOM_COUNT],
                            int listen_fd);
int metrics_attach(struct metrics *m, enum room peer, int fd); // to ctl, to the supervisor
struct ipc_chan *metrics_channel(struct metrics *m, enum room peer);
void metrics_free(struct metrics *m);

#endif
