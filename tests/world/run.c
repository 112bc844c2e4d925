// SPDX-License-Identifier: Apache-2.0
// A world from its beginning to its end: made from a seed, stepped from event to event, calmed and judged.
// Its trace: two numbers of each event go into a hash, and where somebody reads, words into a ring.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/world/world.h"

struct world *the_world;
struct site *the_site;

// ---- trace

void world_mix(struct world *w, uint64_t a, uint64_t b)
{
    w->hash = (w->hash ^ a) * 0x9e3779b97f4a7c15u;
    w->hash = (w->hash ^ b ^ w->now) * 0xbf58476d1ce4e5b9u;
    w->hash ^= w->hash >> 31;
}

void world_say(struct world *w, const char *fmt, ...)
{
    char line[600];
    va_list ap;
    int n = snprintf(line, sizeof(line), "%9.6f ", (double)w->now / 1e6);
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n = n < (int)sizeof(line) - 1 ? n : (int)sizeof(line) - 2;
    line[n++] = '\n';
    if (w->o.trace)
        fwrite(line, 1, (size_t)n, stdout);
    for (int i = 0; i < n; i++)
        w->tail[w->tail_at++ % TAIL] = line[i];
}

void world_fail(struct world *w, const char *invariant, const char *fmt, ...)
{
    va_list ap;
    if (w->failed || (w->o.ignore && !strcmp(w->o.ignore, invariant)))
        return;
    w->failed = invariant;
    va_start(ap, fmt);
    vsnprintf(w->why, sizeof(w->why), fmt, ap);
    va_end(ap);
    if (w->tail)
        world_say(w, "INVARIANT %s: %s", invariant, w->why);
}

// ---- one world

static void make_sites(struct world *w)
{
    const struct plain *plain = w->o.plain;
    w->sites = plain ? 2 : rng_chance(&w->rng, 250) ? 3 : 2;
    for (unsigned i = 0; i < w->sites; i++) {
        struct site *s = &w->site[i];
        s->w = w;
        s->index = i;
        s->letter = (char)('a' + i);
        s->wan = 192u << 24 | 2 << 8 | (i + 1);
        s->lan = 10u << 24 | (i + 1) << 16;
        s->kernel = kernel_model_new(s);
        s->d.site = s;
        s->d.gate = -1;
        s->d.offset = s->d.booted = rng_between(&w->rng, 1, 1000) * SECOND;
        s->op.fd = -1;
        if (plain ? plain->card[i] : rng_chance(&w->rng, 500))
            s->card = site_card_new(s, !plain         ? (unsigned)rng_between(&w->rng, 2, 64)
                                       : plain->slots ? plain->slots
                                                      : 64);
    }
    if (plain ? plain->nat : rng_chance(&w->rng, 250)) {
        struct site *s = &w->site[0];
        s->nat =
            (struct nat){.on = true, .outside = 198u << 24 | 51 << 16 | 100 << 8 | 7, .next_port = 20000};
        s->wan = 192u << 24 | 168 << 16 | 1;
    }
}

// Some worlds carry much, so that what a rekeying does to packets under way is seen in random ones too; by
// dice of their own, so that the others stay what they are.
static void plan_traffic(struct world *w)
{
    struct rng dice;
    rng_seed(&dice, w->o.seed ^ 0x62757379);
    w->renews = w->o.traffic || (!w->o.plain && rng_chance(&dice, BUSY_PER_MILLE));
    w->traffic = w->o.traffic ? w->o.traffic : w->renews ? BUSY : 1000;
}

void world_begin(struct world *w, const struct options *o, bool trace)
{
    memset(w, 0, sizeof(*w));
    w->o = *o;
    w->now = MINUTE;
    w->tail = trace ? calloc(1, TAIL) : NULL;
    rng_seed(&w->rng, o->seed);
    rng_seed(&w->entropy, ~o->seed);
    entropy_install(&w->entropy);
    the_world = w;
    network_clear();
    plan_traffic(w);
    w->short_retry = !w->o.plain && rng_chance(&w->rng, 400);
    make_sites(w);
    roam_make(w);
    warriors_make(w);
    certs_make(w);
    plans_make(w);
    certs_plan(w);
    for (unsigned i = 0; i < w->sites; i++)
        daemon_start(&w->site[i]);
    hosts_start(w);
    warriors_start(w);
    disk_start(w);
    certs_start(w);
    if (!w->o.plain)
        service_start(w);
    else
        w->calm = true;
}

// The earliest of the agenda and all timers; false: nothing until `until`.
static bool world_step(struct world *w, uint64_t until)
{
    uint64_t at = w->agenda.count ? w->agenda.heap[0].at : UINT64_MAX;
    struct site *s = NULL;
    for (unsigned i = 0; i < w->sites; i++) {
        uint64_t t = daemon_next_timer(&w->site[i]);
        if (t < at) {
            at = t;
            s = &w->site[i];
        }
    }
    if (at > until) {
        w->now = until;
        return false;
    }
    if (at > w->now)
        w->now = at;
    w->steps++;
    if (s) {
        daemon_run_timers(s);
    } else {
        struct event e;
        agenda_next(w, &e);
        e.fn(w, e.ctx, e.arg);
    }
    return true;
}

void world_run_until(struct world *w, uint64_t until)
{
    while (!w->failed && (!w->o.steps || w->steps < w->o.steps) && world_step(w, until))
        ;
}

void world_end(struct world *w)
{
    for (unsigned i = 0; i < w->sites; i++) {
        daemon_free(&w->site[i]);
        kernel_model_free(w->site[i].kernel);
        site_card_free(w->site[i].card);
    }
    struct event e;
    while (agenda_next(w, &e))
        network_forget(&e);
    agenda_free(&w->agenda);
    check_free(&w->ledger);
    warriors_free(w);
    certs_free(w);
    free(w->tail);
}

// ---- the end of a run: calm, the same plans at both ends, and time to settle

void settle_plans(struct world *w)
{
    for (unsigned i = 0; i < w->pairs; i++) {
        for (int k = 0; k < 2;
             k++) { // a load starts what is down: where there is no need, it comes up by itself
            struct site *s = &w->site[k ? w->pair[i].b : w->pair[i].a];
            if (s->op.want[i].twice)
                operator_order(s, CMD_UNLOAD_FORMER, i, 0, 0);
            if (s->op.want[i].variant != 0 || s->op.want[i].pending >= 0)
                operator_order(s, CMD_LOAD, i, 0, 0);
        }
    }
}

static void bring_up(struct world *w)
{
    for (unsigned i = 0; i < w->pairs; i++) {
        const struct child_plan *c = &w->pair[i].variant[0].child[0];
        if (w->pair[i].taken_down || (c->start[0] == START_NONE && c->start[1] == START_NONE))
            operator_order(&w->site[w->pair[i].a], CMD_INITIATE, i, 0, 0);
    }
}

static void list_all(struct world *w)
{
    for (unsigned i = 0; i < w->sites; i++) {
        w->site[i].op.listed = false;
        operator_order(&w->site[i], CMD_LIST, 0, 0, 0);
    }
}

static bool probe(struct world *w, unsigned pair, bool back)
{
    const struct pair *p = &w->pair[pair];
    size_t id = w->ledger.count;
    host_send(w, back ? p->b : p->a, back ? p->a : p->b, 0, true);
    world_run_until(w, w->now + 2 * SECOND);
    return w->failed || w->ledger.sent[id].delivered;
}

static bool probe_own(struct world *w, unsigned pair, bool back)
{
    const struct pair *p = &w->pair[pair];
    size_t id = w->ledger.count;
    if (!p->own.trap || !own_send(w, back ? p->b : p->a, back ? p->a : p->b, true))
        return true;
    world_run_until(w, w->now + 2 * SECOND);
    return w->failed || w->ledger.sent[id].delivered;
}

static bool carries(struct world *w, unsigned pair)
{
    bool forth = probe(w, pair, false) || probe(w, pair, false),
         back = probe(w, pair, true) || probe(w, pair, true);
    return forth && back;
}

// Where the two ends had been told different things, what they agreed on then stays as narrow as that: their
// operators have to begin anew, once.
static void begin_anew(struct world *w)
{
    bool any = false;
    for (unsigned i = 0; i < w->pairs && !w->failed; i++) {
        if (w->pair[i].variants < 2 || carries(w, i))
            continue;
        TRACE(w, 85, i, "%s was narrowed, it begins anew", w->pair[i].name);
        operator_order(&w->site[w->pair[i].a], CMD_TERMINATE, i, 0, 0);
        operator_order(&w->site[w->pair[i].a], CMD_INITIATE, i, 0, 0);
        any = true;
    }
    if (any)
        world_run_until(w, w->now + MINUTE);
}

static void check_up(struct world *w)
{
    for (unsigned i = 0; i < w->pairs && !w->failed; i++) {
        for (int back = 0; back < 2; back++) {
            bool up = probe(w, i, back) || probe(w, i, back),
                 own = probe_own(w, i, back) || probe_own(w, i, back);
            if ((!up || !own) && !w->failed)
                world_fail(w, "up", "%s does not carry packets%s %s, minutes after all is well",
                           w->pair[i].name, up ? " of the gateways' own" : "", back ? "back" : "forth");
        }
    }
}

enum { TRIES = 12 };
void world_conclude(struct world *w)
{
    char first[sizeof(w->why)] = "";
    faults_end(w);
    world_run_until(w, w->now + 30 * SECOND);
    certs_outlive(w);
    certs_settle(w);
    settle_plans(w);
    world_run_until(w, w->now + 4 * MINUTE);
    bring_up(w);
    warriors_settle(w);
    world_run_until(w, w->now + MINUTE);
    w->asked = true;
    for (int i = 0; i < TRIES && !w->failed; i++) { // what is under way just then is no disagreement
        list_all(w);
        world_run_until(w, w->now + 10 * SECOND);
        if (w->failed)
            return;
        check_agreement(w);
        if (!w->failed)
            break;
        if (i + 1 < TRIES) {
            snprintf(first, sizeof(first), "%s", w->why);
            w->failed = NULL;
            world_run_until(w, w->now + 35 * SECOND);
        }
    }
    if (!w->failed)
        begin_anew(w);
    if (!w->failed)
        check_up(w);
    if (!w->failed)
        warriors_check_up(w);
    w->silent = true;
    world_run_until(w, w->now + 5 * SECOND);
    if (!w->failed)
        check_leaks(w);
}
