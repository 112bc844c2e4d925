// SPDX-License-Identifier: Apache-2.0
// Questions to `keys` and `path`. A number is returned, 0: no memory; the answer comes to the function that
// was named, if who asked is still there.
#ifndef CTRL_IKE_PENDING_H
#define CTRL_IKE_PENDING_H

#include "ctrl/ipc/ipc.h"

struct ike;
struct task;
typedef void (*reply_fn)(struct task *t, enum msg_type type, const union msg *m);
typedef void (*room_fn)(struct ike *ike, uint32_t arg, enum msg_type t, const union msg *m);

// What `keys` dies with has no answer, lest a peer be refused for it: either the daemon ends, and all fails
// as we say goodbye (control_shutdown), or we are ended, and another ike hears what comes again
// (ctrl/super/supervise.c).
#define KEYS_GONE "the keys process is gone"
uint32_t ask_new(struct task *t, reply_fn fn);
uint32_t ask_new_child(struct task *t, uint32_t child_id, reply_fn fn); // one that is being installed
uint32_t ask_new_room(struct ike *ike, uint32_t arg, room_fn fn);       // about no SA
void ask(struct ike *ike, enum room to, uint32_t req, enum msg_type t,
         const void *m); // a failure is answered at once
void ask_answer(struct ike *ike, uint32_t req, enum msg_type t, const union msg *m);
void ask_fail_all(struct ike *ike, const char *why);
const char *answer_text(enum msg_type t, const union msg *m);
bool answer_ok(enum msg_type t, const union msg *m); // a RESULT that says so
bool answer_is_path_gone(enum msg_type t, const union msg *m);
// Path has died: what it was asked fails, but for what it will be asked once more: by this, and what of its
// own is to be loaded (conn_ask_again).
void ask_fail_path(struct ike *ike);
bool ask_waits(struct ike *ike, uint32_t req); // for path, until it is there again
void ask_held_sent(struct ike *ike);           // what was held is on its way

#endif
