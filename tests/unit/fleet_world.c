// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fleet_world_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ctrl/lib/log.h"

static void failed(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void failed(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (w->r->failed[0])
        return;
    int n = snprintf(w->r->failed, sizeof(w->r->failed), "at %.3f s: ", (double)w->now_us / 1e6);
    va_start(ap, fmt);
    vsnprintf(w->r->failed + n, sizeof(w->r->failed) - (size_t)n, fmt, ap);
    va_end(ap);
}

// ---- chance: all of it is the seed's

static struct rng *chance;

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
    uint8_t *p = to;
    (void)flags;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)rng_next(chance);
    return (ssize_t)len;
}

// ---- clocks

static uint64_t etcd_us(void *ctx)
{
    return ((const struct world *)ctx)->now_us;
}

static uint64_t node_us(void *ctx)
{
    const struct node *n = ctx;
    return n->base_us + (uint64_t)((int64_t)n->w->now_us + (int64_t)n->w->now_us / 1000000 * n->ppm);
}

// The world's time at which the node's clock shows that, or a little later.
static uint64_t world_us(const struct node *n, uint64_t at_ms)
{
    double us = ((double)at_ms * 1000 - (double)n->base_us) / (1 + (double)n->ppm / 1e6);
    return us <= 0 ? 0 : (uint64_t)us + 1000;
}

// ---- what may be sent

static bool is_open(struct node *n, unsigned conn)
{
    uint32_t fence = n->told[conn];
    return !n->dead && !n->frozen && fence != FENCE_NONE && fence_open_at(&n->page, fence, node_us(n) / 1000);
}

static void look_at(struct world *w, unsigned conn)
{
    int first = -1;
    for (unsigned i = 0; i < w->o->nodes; i++) {
        if (!is_open(&w->node[i], conn))
            continue;
        if (first >= 0)
            failed(w, "invariant one: c%u may be sent by node%d and node%u at one time", conn, first, i);
        first = (int)i;
    }
}

static void look_at_node(struct node *n)
{
    if (n->page.number == n->number && n->page.deadline == n->deadline)
        return;
    n->number = n->page.number;
    n->deadline = n->page.deadline;
    for (unsigned c = 0; c < n->w->o->conns; c++)
        if (is_open(n, c))
            look_at(n->w, c);
}

static void look_at_all(struct world *w)
{
    for (unsigned c = 0; c < w->o->conns; c++)
        look_at(w, c);
}

// ---- ctl

static void work_soon(struct node *n)
{
    if (n->jobs && !n->work.armed)
        timer_set(n->loop, &n->work, loop_now(n->loop) + n->slow_ms + rng_below(&n->w->rng, 4));
}

static void work(struct timer *t)
{
    struct node *n = t->ctx;
    struct job j = n->job[0];
    memmove(n->job, n->job + 1, --n->jobs * sizeof(n->job[0]));
    bool refused = n->refuses && j.fence != FENCE_NONE && j.fence != FENCE_CLOSED;
    if (!refused) {
        n->w->r->opened += j.fence != FENCE_NONE && j.fence != FENCE_CLOSED && n->told[j.conn] != j.fence;
        n->told[j.conn] = j.fence;
        look_at(n->w, j.conn);
    }
    if (n->ctl)
        ipc_result(n->ctl, j.req, !refused, "%s", refused ? "not here" : "");
    work_soon(n);
}

static void list(struct node *n, uint32_t req)
{
    struct msg_FLEET_HAS has = {.req = req};
    for (unsigned i = 0; i < n->w->o->conns && !n->jobs; i++) {
        snprintf(has.conn, sizeof(has.conn), "c%05u", i);
        if (n->told[i] != FENCE_NONE)
            ipc_send(n->ctl, MSG_FLEET_HAS, &has);
    }
    ipc_result(n->ctl, req, !n->jobs, "%s", "");
}

static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct node *n = ctx;
    struct job j = {0};
    (void)c;
    if (t == MSG_FLEET_LIST) {
        list(n, m->FLEET_LIST.req);
        return;
    }
    if (t == MSG_FLEET_CONN)
        j = (struct job){m->FLEET_CONN.req, m->FLEET_CONN.fence, (unsigned)atoi(m->FLEET_CONN.name + 1)};
    else if (t == MSG_FLEET_UNLOAD)
        j = (struct job){m->FLEET_UNLOAD.req, FENCE_NONE, (unsigned)atoi(m->FLEET_UNLOAD.conn + 1)};
    else
        return;
    if (n->jobs == JOBS || j.conn >= n->w->o->conns)
        failed(n->w, "invariant few: node%u asks its ctl for more than %d at once", n->index, JOBS);
    else
        n->job[n->jobs++] = j;
    work_soon(n);
}

static void on_closed(void *ctx, struct ipc_chan *c)
{
    ((struct node *)ctx)->ctl = NULL;
    ipc_close(c);
}

void ctl_comes(struct node *n)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    int pair[2];
    n->ctl_at = 0;
    if (!n->fleet || n->ctl)
        return;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
        fleet_attach(n->fleet, ROOM_CTL, pair[0]) < 0)
        abort();
    n->ctl = ipc_open(n->loop, pair[1], ROOM_CTL, ROOM_FLEET, &handler, n);
    owners_without_ctl(n->fleet);
}

// What it had told `ike` and `path` is so yet.
void ctl_goes(struct node *n)
{
    ipc_close(n->ctl);
    n->ctl = NULL;
    n->jobs = 0;
    timer_stop(n->loop, &n->work);
}

// ---- nodes

void fleet_comes(struct node *n)
{
    struct fleet_config c = {.prefix = "/espalier/", .ttl = TTL, .jitter_ms = 500};
    n->fleet_at = 0;
    if (n->fleet || n->dead)
        return;
    snprintf(c.node, sizeof(c.node), "node%u", n->index);
    n->etcd = model_client(n->w->model);
    n->fleet = fleet_new(n->loop, &c, n->etcd, &n->page);
    n->starts++;
    ctl_comes(n);
}

void fleet_goes(struct node *n)
{
    if (!n->fleet)
        return;
    n->asked += model_asked(n->etcd);
    fleet_free(n->fleet);
    n->fleet = NULL;
    n->etcd = NULL;
    n->near_at = n->hears_at = 0;
    ctl_goes(n);
}

void host_dies(struct node *n)
{
    fleet_goes(n);
    n->dead = true;
    n->frozen = false;
    n->page = (struct fence_page){0};
    memset(n->told, 0, n->w->o->conns * sizeof(n->told[0]));
    n->wakes_at = n->fleet_at = n->ctl_at = 0;
}

void host_comes(struct node *n)
{
    n->back_at = 0;
    n->dead = false;
    fleet_comes(n);
}

static void step_node(struct node *n);

void wakes(struct node *n)
{
    n->wakes_at = 0;
    n->frozen = false;
    if (rng_chance(&n->w->rng, 500)) // its timers or what has come for it: who knows what is first
        step_node(n);
    if (n->etcd)
        model_client_frozen(n->etcd, false);
}

void heals(struct node *n)
{
    n->heals_at = 0;
    n->refuses = false;
    n->slow_ms = 0;
}

// ---- what is desired

void load(struct world *w, unsigned conns)
{
    char key[80], value[120];
    for (unsigned i = 0; i < w->wanted; i++) {
        snprintf(key, sizeof(key), "/espalier/conns/g%u/c%05u", w->generation, i);
        model_delete(w->model, key);
    }
    w->generation++;
    w->wanted = conns;
    for (unsigned i = 0; i < conns; i++) {
        snprintf(key, sizeof(key), "/espalier/conns/g%u/c%05u", w->generation, i);
        snprintf(value, sizeof(value), "c%05u of %u", i, w->generation);
        model_put(w->model, key, value);
    }
    snprintf(value, sizeof(value), "{\"schema\":1,\"generation\":\"g%u\",\"connections\":%u}", w->generation,
             conns);
    model_put(w->model, "/espalier/current", value);
}

// ---- time

// All of it is looked at so often; what changes is looked at when it does.
static uint64_t look_us(const struct world *w)
{
    return w->o->nodes * w->o->conns > 10000 ? 20 * LOOK_US : LOOK_US;
}

static uint64_t next_us(const struct world *w)
{
    uint64_t next = w->looked_us + look_us(w), at = loop_next_timer(w->loop);
    if (at != UINT64_MAX && at * 1000 < next)
        next = at * 1000;
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const struct node *n = &w->node[i];
        at = n->frozen ? UINT64_MAX : loop_next_timer(n->loop);
        uint64_t us = at == UINT64_MAX ? at : world_us(n, at);
        next = us < next ? us : next;
    }
    return next > w->now_us ? next : w->now_us + 100;
}

static void step_node(struct node *n)
{
    uint64_t due = loop_next_timer(n->loop);
    if (n->frozen || due > loop_now(n->loop))
        return;
    while (loop_step(n->loop))
        ;
    look_at_node(n);
}

static void step(struct world *w)
{
    w->now_us = next_us(w);
    ends(w);
    if (w->now_us >= w->fault_at)
        a_fault(w);
    if (loop_next_timer(w->loop) <= w->now_us / 1000)
        while (loop_step(w->loop))
            ;
    for (unsigned i = 0; i < w->o->nodes; i++)
        step_node(&w->node[i]);
    if (w->now_us >= w->looked_us + look_us(w)) {
        w->looked_us = w->now_us;
        look_at_all(w);
    }
}

static void until(struct world *w, uint64_t us)
{
    while (w->now_us < us && !w->r->failed[0])
        step(w);
}

// ---- fair weather

static unsigned open_at(struct world *w, unsigned conn)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w->o->nodes; i++)
        n += is_open(&w->node[i], conn);
    return n;
}

static bool all_open(struct world *w)
{
    for (unsigned c = 0; c < w->wanted; c++)
        if (open_at(w, c) != 1)
            return false;
    return true;
}

static void is_settled(struct world *w)
{
    for (unsigned c = 0; c < w->o->conns; c++) {
        unsigned n = open_at(w, c);
        if (n != (c < w->wanted))
            failed(w, "invariant owned: c%u is open at %u nodes, %u wanted, after %d ms of fair weather", c,
                   n, w->wanted, SETTLED_MS);
        for (unsigned i = 0; i < w->o->nodes; i++)
            if (!w->node[i].dead && (w->node[i].told[c] != FENCE_NONE) != (c < w->wanted))
                failed(w, "invariant blocked: c%u is %sloaded at node%u", c, c < w->wanted ? "not " : "", i);
    }
}

static uint64_t asked(const struct world *w)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < w->o->nodes; i++)
        n += w->node[i].asked + (w->node[i].etcd ? model_asked(w->node[i].etcd) : 0);
    return n;
}

// A minute in which nothing happens: a keepalive and what goes with it, three times a lease.
static void is_quiet(struct world *w)
{
    uint64_t before = asked(w), most = w->o->nodes * (60 / TTL * 4 * 2 + 4);
    until(w, w->now_us + 60000000);
    if (asked(w) - before > most)
        failed(
            w,
            "invariant quiet: etcd was asked %llu times in a minute of fair weather, expected at most %llu",
            (unsigned long long)(asked(w) - before), (unsigned long long)most);
}

// ---- the two stories

static void any_faults(struct world *w)
{
    for (unsigned m = 0; m < w->o->minutes && !w->r->failed[0]; m++) {
        w->fair = false;
        w->fault_at = in_ms(w, 0, 5000);
        until(w, w->now_us + 60000000);
        if (m % 2 == 0 && m + 1 < w->o->minutes)
            continue;
        fair(w);
        until(w, w->now_us + SETTLED_MS * 1000ull);
        is_settled(w);
    }
    is_quiet(w);
}

static void many_die(struct world *w)
{
    until(w, w->now_us + SETTLED_MS * 1000ull);
    is_settled(w);
    uint64_t before = asked(w);
    for (unsigned i = 0; i < w->o->nodes * w->o->kill / 100; i++)
        host_dies(&w->node[i]);
    uint64_t at = w->now_us;
    while (!all_open(w) && w->now_us < at + SETTLED_MS * 1000ull && !w->r->failed[0])
        until(w, w->now_us + 100000);
    w->r->back_ms = (w->now_us - at) / 1000;
    until(w, at + SETTLED_MS * 1000ull);
    is_settled(w);
    // each of theirs is claimed by the first in its order, and now and then by the next one too
    uint64_t most = w->o->conns + w->o->nodes * (SETTLED_MS / 1000 / TTL * 4 * 2 + 4);
    if (asked(w) - before > most)
        failed(w, "invariant herd: %llu questions were asked when %u%% died, expected at most %llu",
               (unsigned long long)(asked(w) - before), w->o->kill, (unsigned long long)most);
    is_quiet(w);
}

static void begin(struct world *w)
{
    rng_seed(&w->rng, w->o->seed);
    chance = &w->rng;
    w->now_us = 1000000000;
    w->fault_at = UINT64_MAX;
    w->fair = true;
    w->loop = loop_new();
    loop_set_clock(w->loop, (struct clock){etcd_us, w});
    w->model = model_new(w->loop);
    model_network(w->model, delay, w);
    w->node = calloc(w->o->nodes, sizeof(*w->node));
    for (unsigned i = 0; i < w->o->nodes; i++) {
        struct node *n = &w->node[i];
        *n = (struct node){
            .w = w, .index = i, .loop = loop_new(), .told = calloc(w->o->conns, sizeof(*n->told))};
        n->base_us = rng_below(&w->rng, 1000000000000);
        n->ppm = (int64_t)rng_below(&w->rng, 2 * w->o->drift_ppm + 1) - w->o->drift_ppm;
        n->work = (struct timer){.fire = work, .ctx = n};
        loop_set_clock(n->loop, (struct clock){node_us, n});
        fleet_comes(n);
    }
    load(w, w->o->conns);
}

static void end(struct world *w)
{
    for (unsigned i = 0; i < w->o->nodes; i++) {
        fleet_goes(&w->node[i]);
        w->r->asked += w->node[i].asked;
        timer_stop(w->node[i].loop, &w->node[i].work);
        loop_free(w->node[i].loop);
        free(w->node[i].told);
    }
    model_free(w->model);
    loop_free(w->loop);
    free(w->node);
}

void fleet_world_run(const struct fleet_world_options *o, struct fleet_world_result *r)
{
    struct world w = {.o = o, .r = r};
    *r = (struct fleet_world_result){0};
    begin(&w);
    uint64_t from = w.now_us;
    if (o->kill)
        many_die(&w);
    else
        any_faults(&w);
    r->virtual_minutes = (double)(w.now_us - from) / 60e6;
    end(&w);
}
