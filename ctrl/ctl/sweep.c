// SPDX-License-Identifier: Apache-2.0
// When path may sweep the kernel of what an earlier run left there: once the whole configuration has been
// taken. VICI has no command that says so. It is taken when nothing has been loaded for a while, no load is
// under way, and each connection that an earlier run had (names.h), or that was refused, has been loaded or
// unloaded since: what it protected before the restart would go out in clear, although the configuration may
// still name it. They are listed among the loaded ones (get-conns), of which swanctl unloads whatever its
// file does not name, and nothing that the file names and that it cannot load.
#include "ctrl/ctl/ctl.h"
#include "ctrl/ctl/names.h"
#include "ctrl/ctl/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct awaited {
    struct hash_node node; // first
    bool refused;          // in this run
    char name[];
};

static struct awaited *find(const struct sweep *s, const char *name)
{
    for (struct hash_node *n = hash_first(&s->awaited, hash_str(0, name)); n; n = hash_next(n))
        if (strcmp(((struct awaited *)n)->name, name) == 0)
            return (struct awaited *)n;
    return NULL;
}

static bool add(struct sweep *s, const char *name, bool refused) // false: no memory
{
    size_t len = strlen(name) + 1;
    struct awaited *r = calloc(1, sizeof(*r) + len);
    if (r) {
        memcpy(r->name, name, len);
        r->refused = refused;
    }
    if (r && hash_add(&s->awaited, &r->node, hash_str(0, name)) < 0) {
        free(r);
        r = NULL;
    }
    s->refused += r && refused;
    return r != NULL;
}

// What keeps it from happening; "": nothing.
static const char *what_holds(const struct ctl *c)
{
    const struct sweep *s = &c->sweep;
    const struct awaited *r = (const struct awaited *)hash_each(&s->awaited, NULL);
    return r                  ? (r->name[0] ? r->name : "without a name")
           : c->kept->half    ? "a client went away while it loaded"
           : c->kept->crowded ? "more connections were refused than are kept count of"
           : s->blind         ? s->blind
                              : "";
}

static void quiet(struct timer *t)
{
    struct ctl *c = t->ctx;
    struct sweep *s = &c->sweep;
    struct msg_SWEEP m = {.awaited = (uint32_t)s->awaited.count};
    snprintf(m.held, sizeof(m.held), "%s", what_holds(c));
    if (ipc_send(c->chan[ROOM_PATH], MSG_SWEEP, &m) == 0) // or the next ctl tells it
        c->kept->swept = !m.held[0];
}

void ctl_sweep_again(struct ctl *c)
{
    if (c->kept->swept)
        ipc_send(c->chan[ROOM_PATH], MSG_SWEEP, &(struct msg_SWEEP){.awaited = 0});
}

static void settle(struct ctl *c)
{
    struct sweep *s = &c->sweep;
    s->after.fire = quiet;
    s->after.ctx = c;
    if (!c->kept->swept && !s->under_way)
        timer_set(c->loop, &s->after, loop_now(c->loop) + CTL_SWEEP_MS);
}

void ctl_sweep_load(struct ctl *c, const struct command *cmd)
{
    unsigned id = server_client_loads(cmd);
    if (id > c->sweep.last) {
        c->sweep.last = id;
        c->kept->half = false;
    }
    ctl_sweep_clients(c);
}

// It may die at any moment: whether anybody loads is known to the next one.
void ctl_sweep_clients(struct ctl *c)
{
    if (c->kept) // or it ends before it has begun
        c->kept->loading = server_loaders(c->server);
}

void ctl_sweep_begins(struct ctl *c, const char *name)
{
    names_keep(c->names, name);
    c->sweep.under_way++;
    timer_stop(c->loop, &c->sweep.after);
}

void ctl_sweep_ends(struct ctl *c, const struct command *cmd)
{
    c->sweep.under_way--;
    if (cmd && !cmd->client)
        c->kept->half = true;
    settle(c);
}

void ctl_sweep_refused(struct ctl *c, const char *name)
{
    struct sweep *s = &c->sweep;
    bool done = c->kept->swept;
    if (done && !find(s, name) && !ctl_find_conn(c, name) && !ctl_under_way(c, name)) // path has none of it
        names_drop(c->names, name);
    if (!done)
        names_keep(c->names, name);
    if (!done && !find(s, name) && (s->refused >= CTL_MAX_REFUSED || !add(s, name, true)))
        c->kept->crowded = true;
    settle(c);
}

void ctl_sweep_taken(struct ctl *c, const char *name)
{
    struct awaited *r = find(&c->sweep, name);
    if (r) {
        c->sweep.refused -= r->refused;
        hash_del(&c->sweep.awaited, &r->node);
        free(r);
        replay_settled(c);
    }
    settle(c);
}

void ctl_sweep_unloaded(struct ctl *c, const char *name)
{
    names_drop(c->names, name);
    ctl_sweep_taken(c, name);
}

// The unload of a name that was never heard of says nothing of the configuration.
bool ctl_sweep_given_up(struct ctl *c, const char *name)
{
    bool awaited = find(&c->sweep, name) != NULL;
    if (awaited)
        ctl_sweep_unloaded(c, name);
    return awaited;
}

bool ctl_sweep_knows(const struct ctl *c, const char *name)
{
    return find(&c->sweep, name) != NULL;
}

bool ctl_sweep_awaits(const struct ctl *c)
{
    return c->sweep.blind || c->sweep.awaited.count > c->sweep.refused;
}

void ctl_sweep_cut(void *ctl)
{
    ((struct ctl *)ctl)->kept->half = true;
}

void ctl_sweep_names(const struct ctl *c, void (*each)(void *ctx, const char *name), void *ctx)
{
    bool any = !c->kept->swept || ctl_sweep_awaits(c);
    for (const struct hash_node *n = NULL; any && (n = hash_each(&c->sweep.awaited, n));)
        each(ctx, ((const struct awaited *)n)->name);
}

static void await(void *ctx, const char *name)
{
    struct sweep *s = ctx;
    if (!add(s, name, false))
        s->blind = "no memory for the names of an earlier run's connections";
}

int ctl_sweep_open(struct ctl *c, const char *path)
{
    struct sweep *s = &c->sweep;
    if (!(c->names = names_open(path)))
        return -errno;
    names_each(c->names, await, s);
    if (!names_whole(c->names))
        s->blind = "not all names of an earlier run's connections are known; to go on by those that are, "
                   "remove their file while the daemon is down (see the log of its start)";
    return 0;
}

void ctl_sweep_free(struct ctl *c)
{
    struct hash_node *n;
    timer_stop(c->loop, &c->sweep.after);
    while ((n = hash_pop(&c->sweep.awaited)))
        free(n);
    hash_free(&c->sweep.awaited);
    names_close(c->names);
}
