// SPDX-License-Identifier: Apache-2.0
// When path may sweep the kernel of what an earlier run left there: once the whole configuration has been
// taken. VICI has no command that says so. It is taken when nothing has been loaded for a while, no load is
// under way, and none was refused whose name has not been loaded or unloaded since: what such a connection
// protected before the restart would go out in clear, although the configuration still names it.
#include "ctrl/ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct refused {
    struct hash_node node; // first
    char name[];
};

static struct refused *find(const struct sweep *s, const char *name)
{
    for (struct hash_node *n = hash_first(&s->refused, hash_str(0, name)); n; n = hash_next(n))
        if (strcmp(((struct refused *)n)->name, name) == 0)
            return (struct refused *)n;
    return NULL;
}

static bool add(struct sweep *s, const char *name) // false: no memory
{
    size_t len = strlen(name) + 1;
    struct refused *r = calloc(1, sizeof(*r) + len);
    if (r)
        memcpy(r->name, name, len);
    if (r && hash_add(&s->refused, &r->node, hash_str(0, name)) < 0) {
        free(r);
        r = NULL;
    }
    return r != NULL;
}

// What keeps it from happening; "": nothing.
static const char *what_holds(const struct sweep *s)
{
    const struct refused *r = (const struct refused *)hash_each(&s->refused, NULL);
    return r          ? (r->name[0] ? r->name : "without a name")
           : s->half  ? "a client went away while it loaded"
           : s->blind ? "more connections were refused than are kept count of"
                      : "";
}

static void quiet(struct timer *t)
{
    struct ctl *c = t->ctx;
    struct sweep *s = &c->sweep;
    struct msg_SWEEP m = {.refused = (uint32_t)s->refused.count};
    snprintf(m.held, sizeof(m.held), "%s", what_holds(s));
    s->done = !m.held[0];
    ipc_send(c->chan[ROOM_PATH], MSG_SWEEP, &m);
}

static void settle(struct ctl *c)
{
    struct sweep *s = &c->sweep;
    s->after.fire = quiet;
    s->after.ctx = c;
    if (!s->done && !s->under_way)
        timer_set(c->loop, &s->after, loop_now(c->loop) + CTL_SWEEP_MS);
}

void ctl_sweep_load(struct ctl *c, const struct command *cmd)
{
    unsigned id = server_client_loads(cmd);
    if (id > c->sweep.last) {
        c->sweep.last = id;
        c->sweep.half = false;
    }
}

void ctl_sweep_begins(struct ctl *c)
{
    c->sweep.under_way++;
    timer_stop(c->loop, &c->sweep.after);
}

void ctl_sweep_ends(struct ctl *c, const struct command *cmd)
{
    c->sweep.under_way--;
    if (cmd && !cmd->client)
        c->sweep.half = true;
    settle(c);
}

void ctl_sweep_refused(struct ctl *c, const char *name)
{
    struct sweep *s = &c->sweep;
    if (!s->done && !find(s, name) && (s->refused.count >= CTL_MAX_REFUSED || !add(s, name)))
        s->blind = true;
    settle(c);
}

void ctl_sweep_taken(struct ctl *c, const char *name)
{
    struct refused *r = find(&c->sweep, name);
    if (r) {
        hash_del(&c->sweep.refused, &r->node);
        free(r);
    }
    settle(c);
}

// The unload of a name that was never heard of says nothing of the configuration.
bool ctl_sweep_given_up(struct ctl *c, const char *name)
{
    bool refused = find(&c->sweep, name) != NULL;
    if (refused)
        ctl_sweep_taken(c, name);
    return refused;
}

void ctl_sweep_cut(void *ctl)
{
    ((struct ctl *)ctl)->sweep.half = true;
}

void ctl_sweep_names(const struct ctl *c, void (*each)(void *ctx, const char *name), void *ctx)
{
    for (const struct hash_node *n = NULL; !c->sweep.done && (n = hash_each(&c->sweep.refused, n));)
        each(ctx, ((const struct refused *)n)->name);
}

void ctl_sweep_free(struct ctl *c)
{
    struct hash_node *n;
    timer_stop(c->loop, &c->sweep.after);
    while ((n = hash_pop(&c->sweep.refused)))
        free(n);
    hash_free(&c->sweep.refused);
}
