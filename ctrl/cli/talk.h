// SPDX-License-Identifier: Apache-2.0
// The client's end of VICI: one connection to a daemon, one command at a time, the events that come
// meanwhile.
#ifndef CTRL_CLI_TALK_H
#define CTRL_CLI_TALK_H

#include <sys/types.h>

#include "ctrl/ctl/vici_msg.h"

enum {
    TALK_ANSWER_MS = 60 * 1000, // for an answer to what asks no peer
    TALK_FOREVER = -1,
};

struct talk;

// unix:///PATH or tcp://ADDRESS:PORT. 0; -EINVAL: no such address; else why nobody is reached there, and what
// to do.
int talk_open(struct talk **out, const char *uri, struct esp_error *err);
pid_t talk_pid(const struct talk *t); // of who listens on a unix socket, or 0
void talk_close(struct talk *t);      // NULL is none
// Nothing more can be asked: the daemon has gone, has not answered in time, or has answered nonsense.
bool talk_is_over(const struct talk *t);

// An event's name and message. Not 0: what waits for more ends with that.
typedef int talk_event_fn(void *ctx, const char *name, const struct vici_node *root);

// Sends the request (begun by vici_out_begin with VICI_CMD_REQUEST; freed here in any case) and takes its
// answer; *reply is to be freed where this is 0, which it is for an answer of failure too. -ENOSYS: the
// daemon has no such command.
int talk_ask(struct talk *t, struct vici_out *request, talk_event_fn *event, void *ctx,
             struct vici_msg *reply, int timeout_ms, struct esp_error *err);
// The same where the answer says no more than whether: -EREMOTEIO with the daemon's own words, the whole of
// which talk_refusal has until the next refusal.
int talk_do(struct talk *t, struct vici_out *request, talk_event_fn *event, void *ctx, int timeout_ms,
            struct esp_error *err);
// The answer itself, where it is not one of failure: *reply is to be freed where this is 0.
int talk_ask_ok(struct talk *t, struct vici_out *request, struct vici_msg *reply, struct esp_error *err);
// Its halves: what goes out before the answer to the one before has come is not waited for between them. The
// answers are in the order of the requests, which is espalierd's; not every daemon's.
int talk_begin(struct talk *t, struct vici_out *request, struct esp_error *err);
int talk_end(struct talk *t, struct vici_msg *reply, struct esp_error *err);
// The same, for as long as it takes.
int talk_ask_while(struct talk *t, struct vici_out *request, talk_event_fn *event, void *ctx,
                   struct vici_msg *reply, struct esp_error *err);
const char *talk_refusal(const struct talk *t);
// -ENOSYS: the daemon has no such event.
int talk_register(struct talk *t, const char *event, struct esp_error *err);
// Events as they come, until `event` returns something else than 0.
int talk_listen(struct talk *t, talk_event_fn *event, void *ctx, struct esp_error *err);

#endif
