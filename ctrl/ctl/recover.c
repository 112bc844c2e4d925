// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ctl/recover.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/ctl/ctl.h"
#include "ctrl/ctl/replay.h"
#include "ctrl/lib/log.h"

static void ask_pools(struct ctl *c, uint64_t from);
static void ask_conns(struct ctl *c, uint64_t from);

static void end(struct ctl *c, const char *fault)
{
    c->recover.done(c, fault);
}

// NULL: too many, and it has ended.
static struct pending *question(struct ctl *c)
{
    struct pending *p = ctl_ask(c, NULL, CTL_ANSWER_MS);
    if (!p)
        end(c, "no memory for a question");
    return p;
}

// ---- connections

static void take_conn(struct pending *p, enum msg_type t, const union msg *m)
{
    struct ctl *c = p->ctl;
    if (t == MSG_CONN_IS && !ctl_conn_is(c, &m->CONN_IS))
        c->recover.fault = "a connection that ike has cannot be read, or no memory for it";
}

static void again(struct timer *t)
{
    ask_conns(t->ctx, 0);
}

static void conns_told(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    if (ok && c->recover.fault)
        end(c, c->recover.fault);
    else if (ok && p->more)
        ask_conns(c, p->more);
    else if (ok)
        ask_pools(c, 0);
    else if (strcmp(text, CONN_LIST_BUSY) == 0)
        timer_set(c->loop, &c->recover.again, loop_now(c->loop) + RECOVER_AGAIN_MS);
    else
        end(c, text);
}

static void ask_conns(struct ctl *c, uint64_t from)
{
    struct pending *p = question(c);
    if (!p)
        return;
    p->message = take_conn;
    p->done = conns_told;
    ctl_send(p, ROOM_IKE, MSG_CONN_LIST, &(struct msg_CONN_LIST){.req = p->req, .from = from});
}

// ---- pools

// A page that goes on in the middle of a pool does not name it again: LEASE_IS is of the POOL_IS before.
static void take_pool(struct pending *p, enum msg_type t, const union msg *m)
{
    struct ctl *c = p->ctl;
    if (t == MSG_POOL_IS) {
        snprintf(c->recover.pool, sizeof(c->recover.pool), "%s", m->POOL_IS.name);
        if (!replay_leases(c, c->recover.pool)) // what ike was not told of any more
            replay_pool(c, c->recover.pool, "no memory to tell of them");
    } else if (t == MSG_LEASE_IS) {
        struct msg_LEASE l = {.address = m->LEASE_IS.address, .identity = m->LEASE_IS.id};
        snprintf(l.pool, sizeof(l.pool), "%s", c->recover.pool);
        ctl_lease(c, &l); // and we were not
    }
}

static void pools_told(struct pending *p, bool ok, const char *text)
{
    if (ok && p->more)
        ask_pools(p->ctl, p->more);
    else
        end(p->ctl, ok ? NULL : text);
}

static void ask_pools(struct ctl *c, uint64_t from)
{
    struct pending *p = question(c);
    if (!p)
        return;
    p->message = take_pool;
    p->done = pools_told;
    ctl_send(p, ROOM_IKE, MSG_POOL_LIST, &(struct msg_POOL_LIST){.req = p->req, .leases = 1, .from = from});
}

void recover_begin(struct ctl *c, void (*done)(struct ctl *c, const char *fault))
{
    c->recover.done = done;
    c->recover.again = (struct timer){.fire = again, .ctx = c};
    ask_conns(c, 0);
}
