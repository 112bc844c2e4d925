// SPDX-License-Identifier: Apache-2.0
// What the two halves of the VICI server share: client.c moves octets of one connection, server.c gives them
// their meaning. Nobody else includes this.
#ifndef CTRL_CTL_CLIENT_H
#define CTRL_CTL_CLIENT_H

#include "ctrl/ctl/server.h"

struct queued {
    struct queued *next;
    size_t len;
    uint8_t bytes[];
};

struct client {
    struct server *server;
    struct client *next;
    unsigned id;
    struct loop_fd watch;
    struct timer timer; // a frame that does not end, a reader that does not read
    uint8_t *in;        // the frame that comes in, length field included
    size_t in_len, in_cap;
    struct queued *head, **tail;
    size_t queued, sent; // octets waiting; octets of head already gone
    unsigned events;     // bit per enum vici_event
    uint64_t dropped;    // events, since the last one that fitted
    struct command *busy;
    bool loads; // it has begun to load a configuration
    bool gone;  // disconnected; freed by the reaper, so that nobody who looks at it is surprised
};

struct server {
    struct loop *loop;
    const struct server_ops *ops;
    void *ctx;
    struct loop_fd listener;
    struct timer reaper;
    struct timer again; // listening, after there was no room for a client
    bool listening;
    struct client *clients;
    struct command *commands;
    unsigned next_id;
    struct server_counts counts;
};

// ---- client.c
void client_drop(struct client *c, const char *why); // why: for the log, where somebody is at fault
void client_free(struct client *c);
void client_rearm(struct client *c); // after what it waits for has changed
void client_send(struct client *c, const uint8_t *data, size_t len);

// ---- server.c
// One whole frame that the client sent; it may have gone afterwards.
void server_frame(struct client *c, const uint8_t *data, size_t len);
void server_resume(struct command *cmd);

#endif
