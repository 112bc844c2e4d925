// SPDX-License-Identifier: Apache-2.0
// Child SAs that carry nothing (swanctl's inactivity). A timer runs to where the SA would have been idle for
// long enough, looks when it was last used, and runs on from there: packets wake nobody. What another SA of
// the same policy carries counts too, so that a rekey does not begin the time anew.
#include "ctrl/path/path.h"

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t last_use(const struct child *c)
{
    uint64_t at = child_idle(c) ? child_idle(c)->from : 0;
    for (const struct child *s = c->policy ? policy_now(c->policy)->sas : NULL; s; s = s->serves_next)
        at = later(at, later(s->out.used_at, s->in.used_at));
    return at;
}

static void look(struct timer *t)
{
    struct child *c = t->ctx;
    struct path *p = c->w->p;
    uint64_t now = loop_now(p->loop), at = last_use(c), due = at + 1000ull * c->c.idle_s;
    if (now >= due && at != child_idle(c)->told) { // once, until it is used again
        child_idle(c)->told = at;
        ipc_send(p->ike, MSG_CHILD_EVENT,
                 &(struct msg_CHILD_EVENT){.child_id = c->c.child_id, .event = CHILD_EVENT_IDLE});
    }
    timer_set(p->loop, t, now >= due ? now + 1000ull * c->c.idle_s : due);
}

void idle_start(struct path *p, struct child *c)
{
    uint64_t now = loop_now(p->loop), from = 0;
    if (!child_idle(c))
        return;
    for (const struct child *s = policy_now(c->policy)->sas; s; s = s->serves_next)
        if (s != c && s->installed)
            from = later(from, last_use(s));
    child_idle(c)->from = from && now - from < 1000ull * c->c.idle_s ? from : now;
    child_idle(c)->timer = (struct timer){.fire = look, .ctx = c};
    timer_set(p->loop, &child_idle(c)->timer, child_idle(c)->from + 1000ull * c->c.idle_s);
}

void idle_stop(struct path *p, struct child *c)
{
    if (child_idle(c))
        timer_stop(p->loop, &child_idle(c)->timer);
}
