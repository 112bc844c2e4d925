// SPDX-License-Identifier: Apache-2.0
// HTTP, by libmicrohttpd, in this room's loop: GET /metrics. A snapshot serves everybody for a second; who
// asks for a newer one waits until it is there, all for the same. Whoever is slow, or sends nothing, is hung
// up on after a while, and first of all where there are too many.
#ifndef CTRL_METRICS_SERVE_H
#define CTRL_METRICS_SERVE_H

#include "ctrl/lib/loop.h"
#include "ctrl/metrics/exposition.h"

enum {
    SERVE_FRESH_MS = 1000,
    SERVE_CLIENT_MS = 15000, // from the connection until the last octet of its answer
    SERVE_CLIENTS = 16,      // of more the oldest one goes
};

struct serve;
// fd listens, and is closed. wanted: a snapshot, which serve_snapshot brings, now or later.
struct serve *serve_new(struct loop *l, int fd, void (*wanted)(void *ctx), void *ctx); // NULL: errno says why
// What was wanted; it takes the exposition over. fault NULL: it is whole.
void serve_snapshot(struct serve *s, struct exposition *e, const char *fault);
void serve_free(struct serve *s);

#endif
