// SPDX-License-Identifier: Apache-2.0
// Questions to `keys` and `path` that have not been answered. An answer finds the task that asked by number,
// so one that comes after the task or its SA has gone is dropped here.
#include "ctrl/ike/pending.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/ike.h"
#include "ctrl/ike/load.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"

struct question {
    struct table_node node;  // key: req
    uint32_t req, task, arg; // task 0: of the room itself, with arg
    uint32_t child_id;       // the CHILD SA that is being installed, or 0
    bool of_path, held;      // path was asked, or will be when it is there again
    reply_fn fn;
    room_fn room;
};

static uint32_t add(struct ike *ike, struct question what)
{
    struct question *q = malloc(sizeof(*q));
    if (!++ike->next_req)
        ++ike->next_req; // 0 is no request
    if (!q)
        return 0;
    *q = what;
    q->req = ike->next_req;
    if (!table_add(&ike->pending, &q->node, ike->next_req)) {
        free(q);
        return 0;
    }
    return ike->next_req;
}

static uint32_t add_of(struct task *t, struct question what)
{
    uint32_t req = add(t->sa->ike, what);
    if (!req)
        sa_out_of_memory(t->sa);
    return req;
}

uint32_t ask_new(struct task *t, reply_fn fn)
{
    return add_of(t, (struct question){.task = t->number, .fn = fn});
}

uint32_t ask_new_child(struct task *t, uint32_t child_id, reply_fn fn)
{
    return add_of(t, (struct question){.task = t->number, .child_id = child_id, .fn = fn});
}

uint32_t ask_new_room(struct ike *ike, uint32_t arg, room_fn fn)
{
    return add(ike, (struct question){.arg = arg, .room = fn});
}

// Hands the answer on; q has left the table.
static void give(struct ike *ike, struct question *q, enum msg_type t, const union msg *m)
{
    struct task *asker = q->task ? task_by_number(ike, q->task) : NULL;
    if (asker)
        log_set_context(asker->sa->conn->cfg.name, asker->sa->id);
    bool stranger = asker && asker->sa->half_open && t != MSG_AUTH_PROVEN;
    if (stranger)
        log_limit_begin(&ike->log_limit, &asker->sa->path.remote);
    if (asker)
        q->fn(asker, t, m);
    else if (q->room)
        q->room(ike, q->arg, t, m);
    if (stranger)
        log_limit_end(&ike->log_limit);
    // A CHILD SA that was given up while keys and path were at work: our CHILD_DELETE may have overtaken it.
    if (q->child_id && answer_ok(t, m) && !table_get(&ike->children, q->child_id))
        ipc_send(ike->chan[ROOM_PATH], MSG_CHILD_DELETE,
                 &(struct msg_CHILD_DELETE){.req = ++ike->next_req, .child_id = q->child_id});
    log_set_context("", 0);
    free(q);
}

static void fail(struct ike *ike, struct question *q, const char *why)
{
    union msg m;
    memset(&m, 0, sizeof(m));
    m.RESULT.req = q->req;
    snprintf(m.RESULT.text, sizeof(m.RESULT.text), "%s", why);
    give(ike, q, MSG_RESULT, &m);
}

static struct question *take(struct ike *ike, uint32_t req)
{
    struct question *q = (struct question *)(void *)table_find(&ike->pending, req);
    if (q)
        table_del(&ike->pending, &q->node);
    return q;
}

// The channel may not have told it yet.
static bool keys_died(const struct ike *ike, int rc)
{
    bool broken = rc == -EPIPE || rc == -ECONNRESET || rc == -ENOTCONN;
    return ike->keyless || (broken && ike->chan[ROOM_KEYS] && !ike->stopping);
}

static bool path_died(const struct ike *ike, int rc)
{
    bool broken = rc == -EPIPE || rc == -ECONNRESET;
    return !ike->stopping && broken && ike->chan[ROOM_PATH];
}

// What keys is asked to install waits for it, too. False: it does not wait.
static bool waits_for_path(struct ike *ike, enum room to, struct question *q, enum msg_type t, const void *m)
{
    bool meant = to == ROOM_PATH || t == MSG_CHILD_DERIVE;
    if (!q || !meant || !ike->again.away || ike->again.busy || ike->stopping ||
        path_again_hold(ike, to, t, m) != 0)
        return false;
    q->held = true;
    return true;
}

void ask(struct ike *ike, enum room to, uint32_t req, enum msg_type t, const void *m)
{
    struct question *asked = req ? (struct question *)(void *)table_find(&ike->pending, req) : NULL;
    if (asked)
        asked->of_path = to == ROOM_PATH;
    if (waits_for_path(ike, to, asked, t, m))
        return;
    int rc = req ? ipc_send(ike->chan[to], t, m) : -ENOMEM;
    if (rc && asked && to == ROOM_PATH && path_died(ike, rc) && path_again_hold(ike, to, t, m) == 0) {
        asked->held = true; // the channel has not told it yet
        return;
    }
    if (rc && req && to == ROOM_KEYS && keys_died(ike, rc))
        return;
    struct question *q = rc ? take(ike, req) : NULL;
    if (q)
        fail(ike, q, to == ROOM_KEYS ? KEYS_GONE : PATH_GONE);
    else if (rc)
        LOGF(DMN, 0, "no memory to ask for %s", msg_name(t));
}

void ask_answer(struct ike *ike, uint32_t req, enum msg_type t, const union msg *m)
{
    struct question *q = take(ike, req);
    if (q)
        give(ike, q, t, m);
}

void ask_fail_all(struct ike *ike, const char *why)
{
    struct table_node *n;
    while ((n = table_pop(&ike->pending)) != NULL)
        fail(ike, (struct question *)(void *)n, why);
}

static struct question *next_of_path(struct ike *ike)
{
    for (struct hash_node *n = NULL; (n = hash_each(&ike->pending.hash, n)) != NULL;) {
        struct question *q = (struct question *)(void *)table_node_of(n);
        if (q->of_path && !q->held)
            return q;
    }
    return NULL;
}

void ask_fail_path(struct ike *ike)
{
    for (struct question *q; (q = next_of_path(ike)) != NULL;) {
        table_del(&ike->pending, &q->node);
        if (q->room && conn_asks_again(ike, q->arg))
            free(q);
        else
            fail(ike, q, PATH_GONE);
    }
}

bool ask_waits(struct ike *ike, uint32_t req)
{
    const struct question *q = (struct question *)(void *)table_find(&ike->pending, req);
    return q && q->held;
}

void ask_held_sent(struct ike *ike)
{
    for (struct hash_node *n = NULL; (n = hash_each(&ike->pending.hash, n)) != NULL;)
        ((struct question *)(void *)table_node_of(n))->held = false;
}

bool answer_is_path_gone(enum msg_type t, const union msg *m)
{
    return t == MSG_RESULT && !m->RESULT.ok && strcmp(m->RESULT.text, PATH_GONE) == 0;
}

bool answer_ok(enum msg_type t, const union msg *m)
{
    return (t == MSG_RESULT && m->RESULT.ok) || t == MSG_AUTH_PROVEN;
}

const char *answer_text(enum msg_type t, const union msg *m)
{
    return t == MSG_RESULT ? m->RESULT.text : "an answer that was not expected";
}
