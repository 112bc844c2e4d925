// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/etcd_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_wake(struct etcd_model *m)
{
    for (struct client *c = m->clients; c; c = c->next) {
        int ms = m->delay && c->watching ? m->delay(m->delay_ctx, &c->base, MODEL_NEWS) : ANSWER_MS;
        if (c->watching && !c->watch.armed)
            timer_set(m->loop, &c->watch, loop_now(m->loop) + (ms < 0 ? 0 : (uint64_t)ms));
    }
}

static void forget(struct asked *q)
{
    struct asked **at = &q->client->asked;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    for (size_t i = 0; i < q->q.compares; i++)
        free((void *)(uintptr_t)q->compare[i].key);
    for (size_t i = 0; i < q->q.ops; i++) {
        free((void *)(uintptr_t)q->op[i].key);
        free((void *)(uintptr_t)q->op[i].value);
    }
    timer_stop(q->client->m->loop, &q->timer);
    free(q->compare);
    free(q->op);
    free(q->key);
    free(q->after);
    free(q);
}

static void free_late(struct late *l)
{
    struct late **at = &l->client->late;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    timer_stop(l->client->m->loop, &l->timer);
    for (size_t i = 0; i < l->a.count; i++) {
        free((void *)(uintptr_t)l->a.kv[i].key);
        free((void *)(uintptr_t)l->a.kv[i].value);
    }
    free(l->a.kv);
    free(l);
}

static void nobody_answered(struct etcd_answer *a)
{
    *a = (struct etcd_answer){.error = -ETIMEDOUT};
    snprintf(a->text, sizeof(a->text), "the model: nobody answered");
}

static void say_late(struct timer *t)
{
    struct late *l = t->ctx;
    struct etcd_model *m = l->client->m;
    struct etcd_answer lost;
    if (l->client->frozen) {
        timer_set(m->loop, t, loop_now(m->loop) + FROZEN_MS);
        return;
    }
    nobody_answered(&lost);
    l->fn(l->ctx, m->away || l->client->away ? &lost : &l->a);
    free_late(l);
}

static void copy_keys(struct etcd_answer *a)
{
    const struct etcd_kv *from = a->kv;
    a->kv = a->count ? malloc(a->count * sizeof(*a->kv)) : NULL;
    for (size_t i = 0; i < a->count; i++) {
        a->kv[i] = from[i];
        a->kv[i].key = strdup(from[i].key);
        uint8_t *value = calloc(1, from[i].len + 1);
        if (from[i].value)
            memcpy(value, from[i].value, from[i].len);
        a->kv[i].value = value;
    }
}

// Carried out, and heard of later; as it was then.
static void answer_late(struct client *c, const struct etcd_answer *a, uint32_t ms, etcd_answer_fn *fn,
                        void *ctx)
{
    struct late *l = calloc(1, sizeof(*l));
    *l = (struct late){.next = c->late, .client = c, .a = *a, .fn = fn, .ctx = ctx};
    copy_keys(&l->a);
    l->timer = (struct timer){.fire = say_late, .ctx = l};
    c->late = l;
    timer_set(c->m->loop, &l->timer, loop_now(c->m->loop) + ms);
}

static void carry_out(struct etcd_model *m, const struct asked *q, struct etcd_answer *a)
{
    if (q->lost || m->away || q->client->away)
        nobody_answered(a);
    else if (q->q.kind == ETCD_RANGE)
        store_range(m, &q->q, a);
    else if (q->q.kind == ETCD_TXN)
        store_txn(m, &q->q, a);
    else
        store_lease(m, &q->q, a);
}

static void answer(struct timer *t)
{
    struct asked *q = t->ctx;
    struct etcd_model *m = q->client->m;
    struct etcd_answer a = {.revision = m->revision};
    etcd_answer_fn *fn = q->fn;
    void *ctx = q->ctx;
    struct client *c = q->client;
    carry_out(m, q, &a);
    int back = m->delay ? m->delay(m->delay_ctx, &c->base, MODEL_BACK) : 0;
    if (back < 0 && a.error != -ETIMEDOUT) { // who asked does not hear that it was
        nobody_answered(&a);
        back = SILENT_MS;
    }
    if (m->slow_ms && q->q.kind == ETCD_TXN)
        back = (int)m->slow_ms;
    forget(q);
    if (back > 0 || c->frozen)
        answer_late(c, &a, (uint32_t)(back > 0 ? back : 0), fn, ctx);
    else
        fn(ctx, &a);
}

static int ask(struct etcd *e, const struct etcd_question *q, etcd_answer_fn *fn, void *ctx)
{
    struct client *c = (struct client *)e;
    struct asked *a = calloc(1, sizeof(*a));
    *a = (struct asked){.next = c->asked, .client = c, .q = *q, .fn = fn, .ctx = ctx};
    c->asked = a;
    a->q.key = a->key = q->key ? strdup(q->key) : NULL;
    a->q.after = a->after = q->after ? strdup(q->after) : NULL;
    a->q.compare = a->compare = calloc(q->compares + 1, sizeof(*a->compare));
    a->q.op = a->op = calloc(q->ops + 1, sizeof(*a->op));
    for (size_t i = 0; i < q->compares; i++) {
        a->compare[i] = q->compare[i];
        a->compare[i].key = strdup(q->compare[i].key);
    }
    for (size_t i = 0; i < q->ops; i++) {
        a->op[i] = q->op[i];
        a->op[i].key = strdup(q->op[i].key);
        a->op[i].value = memcpy(malloc(q->op[i].len + 1), q->op[i].value ? q->op[i].value : "", q->op[i].len);
    }
    a->timer = (struct timer){.fire = answer, .ctx = a};
    int there = c->m->delay ? c->m->delay(c->m->delay_ctx, e, MODEL_THERE) : ANSWER_MS;
    a->lost = there < 0 || c->away || c->m->away;
    c->questions++;
    timer_set(c->m->loop, &a->timer,
              loop_now(c->m->loop) + (a->lost ? (uint64_t)SILENT_MS : (uint64_t)there));
    return 0;
}

// ---- watches

static void tell(struct client *c, const struct etcd_news *n)
{
    if (n->error)
        c->watching = false;
    c->news(c->ctx, n);
}

static size_t first_event(const struct etcd_model *m, uint64_t from)
{
    size_t lo = 0, hi = m->events;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (m->event[mid].key.changed < from)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

// True: its connection has ended instead.
static bool ends_instead(struct client *c)
{
    struct etcd_news n = {.error = -EHOSTUNREACH, .text = "the model: the watch's connection has ended"};
    if (!c->m->delay || c->m->delay(c->m->delay_ctx, &c->base, MODEL_NEWS) >= 0)
        return false;
    tell(c, &n);
    return true;
}

static void look(struct timer *t)
{
    struct client *c = t->ctx;
    struct etcd_model *m = c->m;
    static struct etcd_event list[EVENTS];
    struct etcd_news n = {.revision = m->revision, .event = list};
    if (!c->watching || c->away || c->deaf || m->away)
        return; // looked at again when it is back
    if (c->frozen) {
        timer_set(m->loop, t, loop_now(m->loop) + FROZEN_MS);
        return;
    }
    if (ends_instead(c))
        return;
    if (c->from <= m->compacted) {
        n.error = -ESTALE;
        n.compacted = m->compacted + 1;
        snprintf(n.text, sizeof(n.text), "the watch began at a revision that is compacted");
        tell(c, &n);
        return;
    }
    for (size_t i = first_event(m, c->from); i < m->events; i++) {
        const struct key *k = &m->event[i].key;
        if (store_begins(k->name, c->prefix))
            list[n.count++] =
                (struct etcd_event){m->event[i].deleted,
                                    {k->name, (uint8_t *)k->value, k->len, k->created, k->changed, k->lease}};
    }
    c->from = m->revision + 1;
    if (n.count)
        tell(c, &n);
}

static int watch(struct etcd *e, const char *prefix, uint64_t from, etcd_news_fn *fn, void *ctx)
{
    struct client *c = (struct client *)e;
    c->watching = true;
    snprintf(c->prefix, sizeof(c->prefix), "%s", prefix);
    c->from = from;
    c->news = fn;
    c->ctx = ctx;
    timer_set(c->m->loop, &c->watch, loop_now(c->m->loop) + ANSWER_MS);
    return 0;
}

static void unwatch(struct etcd *e)
{
    ((struct client *)e)->watching = false;
}

// ---- life

static void client_free(struct etcd *e)
{
    struct client *c = (struct client *)e, **at = &c->m->clients;
    while (c->asked)
        forget(c->asked);
    while (c->late)
        free_late(c->late);
    timer_stop(c->m->loop, &c->watch);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    free(c);
}

struct etcd *model_client(struct etcd_model *m)
{
    static const struct etcd_ops ops = {ask, watch, unwatch, client_free};
    struct client *c = calloc(1, sizeof(*c));
    c->base.ops = &ops;
    c->m = m;
    c->watch = (struct timer){.fire = look, .ctx = c};
    c->next = m->clients;
    m->clients = c;
    return &c->base;
}

void model_client_away(struct etcd *e, bool away)
{
    struct client *c = (struct client *)e;
    c->away = away;
    model_wake(c->m);
}

void model_client_deaf(struct etcd *e, bool deaf)
{
    struct client *c = (struct client *)e;
    c->deaf = deaf;
    model_wake(c->m);
}

void model_away(struct etcd_model *m, bool away)
{
    m->away = away;
    model_wake(m);
}

void model_broken(struct etcd_model *m, bool broken)
{
    m->broken = broken;
}

void model_ttl_said(struct etcd_model *m, uint32_t ttl)
{
    m->ttl_said = ttl;
}

void model_lease_said(struct etcd_model *m, uint64_t lease)
{
    m->lease_said = lease;
}

void model_network(struct etcd_model *m, model_delay_fn *delay, void *ctx)
{
    m->delay = delay;
    m->delay_ctx = ctx;
}

void model_stale(struct etcd_model *m, bool stale)
{
    for (size_t i = 0; i < m->leases && stale; i++)
        m->lease[i].end = loop_now(m->loop) + m->lease[i].ttl * 1000ull;
    m->stale = stale;
    store_arm(m);
}

void model_client_frozen(struct etcd *e, bool frozen)
{
    struct client *c = (struct client *)e;
    c->frozen = frozen;
    for (struct late *l = c->late; l && !frozen; l = l->next)
        timer_set(c->m->loop, &l->timer, loop_now(c->m->loop));
}

unsigned model_asked(const struct etcd *e)
{
    return ((const struct client *)e)->questions;
}

void model_slow(struct etcd_model *m, uint32_t ms)
{
    m->slow_ms = ms;
}

unsigned model_ranges(const struct etcd_model *m)
{
    return m->ranges;
}

void model_compact(struct etcd_model *m)
{
    store_compact(m, m->revision);
}

void model_put(struct etcd_model *m, const char *key, const char *value)
{
    m->revision++;
    store_put(m, key, value, strlen(value), 0);
}

void model_delete(struct etcd_model *m, const char *key)
{
    m->revision++;
    store_delete(m, key, false);
}

const char *model_get(const struct etcd_model *m, const char *key)
{
    const struct key *k = store_find(m, key);
    return k ? k->value : NULL;
}

uint64_t model_revision(const struct etcd_model *m)
{
    return m->revision;
}

struct etcd_model *model_new(struct loop *l)
{
    struct etcd_model *m = calloc(1, sizeof(*m));
    m->loop = l;
    m->revision = 1;
    m->expiry = (struct timer){.fire = store_expire, .ctx = m};
    return m;
}

void model_free(struct etcd_model *m)
{
    store_compact(m, UINT64_MAX);
    timer_stop(m->loop, &m->expiry);
    for (size_t i = 0; i < m->keys; i++)
        free(m->key[i].value);
    free(m);
}
