// SPDX-License-Identifier: Apache-2.0
// world SEED [--trace] [--minutes N] [--count N]: runs the world of a seed, or of N seeds from it on. 0:
// every invariant held; 1: one did not (its name, the end of the trace and the command to replay it are
// printed).
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    w->sites = rng_chance(&w->rng, 250) ? 3 : 2;
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
        s->d.offset = rng_between(&w->rng, 1, 1000) * SECOND;
        s->op.fd = -1;
        if (rng_chance(&w->rng, 500))
            s->card = card_model_new(s, (unsigned)rng_between(&w->rng, 2, 64));
    }
    if (rng_chance(&w->rng, 250)) {
        struct site *s = &w->site[0];
        s->nat =
            (struct nat){.on = true, .outside = 198u << 24 | 51 << 16 | 100 << 8 | 7, .next_port = 20000};
        s->wan = 192u << 24 | 168 << 16 | 1;
    }
}

static void world_begin(struct world *w, const struct options *o, bool trace)
{
    memset(w, 0, sizeof(*w));
    w->o = *o;
    w->now = MINUTE;
    w->tail = trace ? calloc(1, TAIL) : NULL;
    rng_seed(&w->rng, o->seed);
    rng_seed(&w->entropy, ~o->seed);
    entropy_install(&w->entropy);
    the_world = w;
    make_sites(w);
    plans_make(w);
    for (unsigned i = 0; i < w->sites; i++)
        daemon_start(&w->site[i]);
    hosts_start(w);
    faults_start(w);
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

static void run_until(struct world *w, uint64_t until)
{
    while (!w->failed && (!w->o.steps || w->steps < w->o.steps) && world_step(w, until))
        ;
}

static void world_end(struct world *w)
{
    for (unsigned i = 0; i < w->sites; i++) {
        daemon_free(&w->site[i]);
        kernel_model_free(w->site[i].kernel);
        card_model_free(w->site[i].card);
    }
    struct event e;
    while (agenda_next(w, &e))
        network_forget(&e);
    agenda_free(&w->agenda);
    check_free(&w->ledger);
    free(w->tail);
}

// ---- the end of a run: calm, the same plans at both ends, and time to settle

static void settle_plans(struct world *w)
{
    for (unsigned i = 0; i < w->pairs; i++) {
        operator_order(&w->site[w->pair[i].a], CMD_LOAD, i, 0, 0);
        operator_order(&w->site[w->pair[i].b], CMD_LOAD, i, 0, 0);
    }
}

static void bring_up(struct world *w)
{
    for (unsigned i = 0; i < w->pairs; i++) {
        const struct child_plan *c = &w->pair[i].variant[0].child[0];
        if (c->start[0] == START_NONE && c->start[1] == START_NONE)
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
    run_until(w, w->now + 2 * SECOND);
    return w->failed || w->ledger.sent[id].delivered;
}

static void check_up(struct world *w)
{
    for (unsigned i = 0; i < w->pairs && !w->failed; i++) {
        for (int back = 0; back < 2; back++) {
            if (probe(w, i, back) || probe(w, i, back) || w->failed)
                continue;
            world_fail(w, "up", "%s does not carry packets %s, minutes after all is well", w->pair[i].name,
                       back ? "back" : "forth");
        }
    }
}

enum { TRIES = 12 };
static void conclude(struct world *w)
{
    char first[sizeof(w->why)] = "";
    faults_end(w);
    run_until(w, w->now + 30 * SECOND);
    settle_plans(w);
    run_until(w, w->now + 4 * MINUTE);
    bring_up(w);
    run_until(w, w->now + MINUTE);
    for (int i = 0; i < TRIES && !w->failed; i++) { // what is under way just then is no disagreement
        list_all(w);
        run_until(w, w->now + 10 * SECOND);
        if (w->failed)
            return;
        check_agreement(w);
        if (!w->failed)
            break;
        if (i + 1 < TRIES) {
            snprintf(first, sizeof(first), "%s", w->why);
            w->failed = NULL;
            run_until(w, w->now + 35 * SECOND);
        }
    }
    if (!w->failed)
        check_up(w);
}

static uint64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct totals {
    uint64_t worlds, steps, virtual_us, packets, through, datagrams, cpu;
};

// hash: of the trace, where somebody wants it.
static bool run(const struct options *o, bool trace, struct totals *t, uint64_t *hash)
{
    static struct world w;
    uint64_t began = cpu_us();
    world_begin(&w, o, trace);
    uint64_t from = w.now;
    run_until(&w, w.now + o->minutes * MINUTE);
    if (!w.failed)
        conclude(&w);
    if (w.failed && trace && !o->quiet) {
        size_t n = w.tail_at < TAIL ? w.tail_at : TAIL;
        for (size_t i = w.tail_at - n; !o->trace && i < w.tail_at; i++)
            putchar(w.tail[i % TAIL]);
    }
    if (w.failed && trace)
        printf("seed %llu: invariant %s does not hold: %s\nreplay: build/tests/world %llu --minutes %u "
               "--trace\n",
               (unsigned long long)o->seed, w.failed, w.why, (unsigned long long)o->seed, o->minutes);
    bool ok = !w.failed;
    t->worlds++;
    t->steps += w.steps;
    t->virtual_us += w.now - from;
    t->packets += w.ledger.count;
    t->through += w.packets_through;
    t->datagrams += w.exchanges;
    if (o->trace || trace)
        printf("trace %016llx\n", (unsigned long long)w.hash);
    if (hash)
        *hash = w.hash;
    t->cpu += cpu_us() - began;
    world_end(&w);
    return ok;
}

static int usage(void)
{
    fputs("usage: world SEED [--trace] [--minutes N] [--count N] [--steps N] [--twice] [--quiet] [--cpu "
          "SECONDS]\n"
          "       [--ignore INVARIANT]\n"
          "  Runs the world of SEED (or of N seeds from it on): N minutes of faults, then calm.\n"
          "  --twice: only whether two runs of a seed are the same to the octet.\n"
          "  --cpu: no further seed after so many seconds of CPU time.\n"
          "  --ignore: goes on past that one, to see what else there is.\n"
          "  --quiet: all seeds, one line for each that fails.\n",
          stderr);
    return 2;
}

static bool parse(int argc, char **argv, struct options *o, uint64_t *count)
{
    *o = (struct options){.minutes = 5};
    *count = 1;
    if (argc < 2)
        return false;
    o->seed = strtoull(argv[1], NULL, 0);
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--trace"))
            o->trace = true;
        else if (!strcmp(argv[i], "--twice"))
            o->twice = true;
        else if (!strcmp(argv[i], "--quiet"))
            o->quiet = true;
        else if (!strcmp(argv[i], "--cpu"))
            o->cpu_s = strtoull(value, NULL, 0), i++;
        else if (!strcmp(argv[i], "--ignore"))
            o->ignore = value, i++;
        else if (!strcmp(argv[i], "--minutes"))
            o->minutes = (unsigned)strtoul(value, NULL, 0), i++;
        else if (!strcmp(argv[i], "--count"))
            *count = strtoull(value, NULL, 0), i++;
        else if (!strcmp(argv[i], "--steps"))
            o->steps = strtoull(value, NULL, 0), i++;
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options o;
    struct totals t = {0};
    uint64_t count, failed = 0;
    if (!parse(argc, argv, &o, &count))
        return usage();
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    for (uint64_t i = 0; i < count && (!o.cpu_s || t.cpu < o.cpu_s * 1000000); i++, o.seed++) {
        uint64_t hash, again;
        bool ok = run(&o, o.trace, &t, &hash);
        if (o.twice && (run(&o, false, &t, &again) != ok || again != hash)) {
            printf("seed %llu: two runs differ: traces %016llx and %016llx\n", (unsigned long long)o.seed,
                   (unsigned long long)hash, (unsigned long long)again);
            failed++;
            continue;
        }
        if (ok || o.twice)
            continue;
        failed++;
        if (!o.trace)
            run(&o, true, &t, NULL); // the same again, with words
        if (!o.quiet)
            break;
    }
    double v = (double)t.virtual_us / 1e6, c = (double)t.cpu / 1e6;
    printf("%llu worlds PASSED, %llu failed: %.0f virtual minutes in %.1f CPU s (%.0f x real time), %.0f "
           "events a CPU "
           "second; %llu packets sent, %llu through tunnels, %llu IKE datagrams\n",
           (unsigned long long)(t.worlds - failed), (unsigned long long)failed, v / 60, c, v / c,
           (double)t.steps / c, (unsigned long long)t.packets, (unsigned long long)t.through,
           (unsigned long long)t.datagrams);
    return failed ? 1 : 0;
}
