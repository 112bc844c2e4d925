// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/etcd_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 4096, EVENTS = 8192, LEASES = 256, ANSWER_MS = 2, SILENT_MS = 2000, KEY_LEN = 512 };

struct key {
    char name[KEY_LEN];
    char *value;
    size_t len;
    uint64_t created, changed, lease;
};
struct event {
    bool deleted;
    struct key key;
};
struct lease {
    uint64_t id, end;
    uint32_t ttl;
};
struct client;
struct etcd_model {
    struct loop *loop;
    struct key key[KEYS]; // in their order
    size_t keys;
    struct event event[EVENTS];
    size_t events;
    uint64_t revision, compacted, last_lease;
    struct lease lease[LEASES];
    size_t leases;
    struct timer expiry;
    struct client *clients;
    bool away, broken;
    unsigned ranges;
    uint32_t ttl_said, slow_ms;
    uint64_t lease_said;
};
struct asked {
    struct asked *next;
    struct client *client;
    struct timer timer;
    struct etcd_question q;
    char *key, *after;
    struct etcd_compare *compare;
    struct etcd_op *op;
    etcd_answer_fn *fn;
    void *ctx;
};
struct late {
    struct late *next;
    struct client *client;
    struct timer timer;
    struct etcd_answer a;
    etcd_answer_fn *fn;
    void *ctx;
};
struct client {
    struct etcd base;
    struct client *next;
    struct etcd_model *m;
    bool away, deaf;
    struct asked *asked;
    struct late *late;
    // its watch
    bool watching;
    char prefix[KEY_LEN];
    uint64_t from;
    struct timer watch;
    etcd_news_fn *news;
    void *ctx;
};

// ---- the store

static struct key *find(const struct etcd_model *m, const char *name)
{
    for (size_t i = 0; i < m->keys; i++)
        if (strcmp(m->key[i].name, name) == 0)
            return (struct key *)&m->key[i];
    return NULL;
}

static void wake_watches(struct etcd_model *m)
{
    for (struct client *c = m->clients; c; c = c->next)
        if (c->watching)
            timer_set(m->loop, &c->watch, loop_now(m->loop) + ANSWER_MS);
}

static void note(struct etcd_model *m, bool deleted, const struct key *k)
{
    if (m->events == EVENTS)
        abort(); // a test that is longer than this
    struct event *e = &m->event[m->events++];
    *e = (struct event){deleted, *k};
    e->key.value = malloc(k->len + 1);
    memcpy(e->key.value, k->value, k->len + 1);
    wake_watches(m);
}

static void put(struct etcd_model *m, const char *name, const void *value, size_t len, uint64_t lease)
{
    struct key *k = find(m, name);
    if (!k) {
        size_t at = 0;
        if (m->keys == KEYS)
            abort();
        while (at < m->keys && strcmp(m->key[at].name, name) < 0)
            at++;
        memmove(&m->key[at + 1], &m->key[at], (m->keys - at) * sizeof(m->key[0]));
        m->keys++;
        k = &m->key[at];
        *k = (struct key){.created = m->revision};
        snprintf(k->name, sizeof(k->name), "%s", name);
    }
    free(k->value);
    k->value = malloc(len + 1);
    memcpy(k->value, value, len);
    k->value[len] = 0;
    k->len = len;
    k->changed = m->revision;
    k->lease = lease;
    note(m, false, k);
}

static void delete_at(struct etcd_model *m, size_t at)
{
    struct key gone = m->key[at];
    memmove(&m->key[at], &m->key[at + 1], (m->keys - at - 1) * sizeof(m->key[0]));
    m->keys--;
    gone.changed = m->revision;
    note(m, true, &gone);
    free(gone.value);
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static void delete_keys(struct etcd_model *m, const char *name, bool prefix)
{
    for (size_t i = m->keys; i-- > 0;)
        if (prefix ? begins(m->key[i].name, name) : strcmp(m->key[i].name, name) == 0)
            delete_at(m, i);
}

// ---- leases

static struct lease *lease_of(struct etcd_model *m, uint64_t id)
{
    for (size_t i = 0; i < m->leases; i++)
        if (m->lease[i].id == id)
            return &m->lease[i];
    return NULL;
}

static void end_lease(struct etcd_model *m, struct lease *l)
{
    uint64_t id = l->id;
    bool any = false;
    *l = m->lease[--m->leases];
    for (size_t i = 0; i < m->keys; i++)
        any |= m->key[i].lease == id;
    if (any)
        m->revision++;
    for (size_t i = m->keys; i-- > 0;)
        if (m->key[i].lease == id)
            delete_at(m, i);
}

static void arm_expiry(struct etcd_model *m)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < m->leases; i++)
        first = m->lease[i].end < first ? m->lease[i].end : first;
    timer_stop(m->loop, &m->expiry);
    if (first != UINT64_MAX)
        timer_set(m->loop, &m->expiry, first);
}

static void expire(struct timer *t)
{
    struct etcd_model *m = t->ctx;
    for (size_t i = m->leases; i-- > 0;)
        if (m->lease[i].end <= loop_now(m->loop))
            end_lease(m, &m->lease[i]);
    arm_expiry(m);
}

// ---- answers

static void refuse(struct etcd_answer *a, int error, const char *text)
{
    a->error = error;
    snprintf(a->text, sizeof(a->text), "etcd refuses it: %s", text);
}

static void range(struct etcd_model *m, const struct etcd_question *q, struct etcd_answer *a)
{
    static struct etcd_kv kv[KEYS];
    if (q->revision && q->revision < m->compacted) {
        refuse(a, -ESTALE, "required revision has been compacted");
        return;
    }
    a->kv = kv;
    m->ranges++;
    for (size_t i = 0; i < m->keys; i++) {
        const struct key *k = &m->key[i];
        if (m->broken) {
            a->more = true;
            kv[a->count++] = (struct etcd_kv){
                .key = k->name, .value = (uint8_t *)k->value, .len = k->len, .changed = k->changed};
            continue;
        }
        if (!begins(k->name, q->key) || (q->after && strcmp(k->name, q->after) <= 0))
            continue;
        if (q->most && a->count == q->most) {
            a->more = true;
            return;
        }
        kv[a->count++] = (struct etcd_kv){k->name,    (uint8_t *)k->value, q->keys_only ? 0 : k->len,
                                          k->created, k->changed,          k->lease};
    }
}

static bool holds(const struct etcd_model *m, const struct etcd_compare *c)
{
    const struct key *k = find(m, c->key);
    return (k ? c->creation ? k->created : k->changed : 0) == c->revision;
}

static void txn(struct etcd_model *m, const struct etcd_question *q, struct etcd_answer *a)
{
    a->succeeded = true;
    for (size_t i = 0; i < q->compares; i++)
        a->succeeded &= holds(m, &q->compare[i]);
    for (size_t i = 0; i < q->ops && a->succeeded; i++)
        if (q->op[i].change == ETCD_PUT && q->op[i].lease && !lease_of(m, q->op[i].lease)) {
            refuse(a, -ENOENT, "etcdserver: requested lease not found");
            return;
        }
    if (!a->succeeded || !q->ops)
        return;
    a->revision = ++m->revision;
    for (size_t i = 0; i < q->ops; i++) {
        const struct etcd_op *op = &q->op[i];
        if (op->change == ETCD_PUT)
            put(m, op->key, op->value, op->len, op->lease);
        else
            delete_keys(m, op->key, op->change == ETCD_DELETE_PREFIX);
    }
}

static void leased(struct etcd_model *m, uint64_t lease, struct etcd_answer *a)
{
    static struct etcd_kv kv[KEYS];
    a->kv = kv;
    for (size_t i = 0; i < m->keys; i++)
        if (m->key[i].lease == lease)
            kv[a->count++] = (struct etcd_kv){.key = m->key[i].name};
}

static void of_lease(struct etcd_model *m, const struct etcd_question *q, struct etcd_answer *a)
{
    struct lease *l = lease_of(m, q->lease);
    if (q->kind == ETCD_GRANT) {
        a->lease = ++m->last_lease;
        a->ttl = q->ttl;
        m->lease[m->leases++] = (struct lease){a->lease, loop_now(m->loop) + q->ttl * 1000ull, q->ttl};
    } else if (q->kind == ETCD_LEASED) {
        a->lease = q->lease;
        a->ttl = l ? l->ttl : 0;
        leased(m, q->lease, a);
    } else if (q->kind == ETCD_KEEPALIVE) {
        a->lease = m->lease_said ? m->lease_said : q->lease;
        a->ttl = !l ? 0 : m->ttl_said ? m->ttl_said : l->ttl;
        if (l)
            l->end = loop_now(m->loop) + l->ttl * 1000ull;
    } else if (l) {
        end_lease(m, l);
    } else {
        refuse(a, -ENOENT, "etcdserver: requested lease not found");
    }
    arm_expiry(m);
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

static void say_late(struct timer *t)
{
    struct late *l = t->ctx;
    struct late **at = &l->client->late;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    l->fn(l->ctx, &l->a);
    free(l);
}

// Carried out, and heard of later than the watch's news of it.
static void answer_late(struct client *c, const struct etcd_answer *a, etcd_answer_fn *fn, void *ctx)
{
    struct late *l = calloc(1, sizeof(*l));
    *l = (struct late){.next = c->late, .client = c, .a = *a, .fn = fn, .ctx = ctx};
    l->timer = (struct timer){.fire = say_late, .ctx = l};
    c->late = l;
    timer_set(c->m->loop, &l->timer, loop_now(c->m->loop) + c->m->slow_ms);
}

// It is carried out when it has come, and heard by then at once: in a test nothing lies between.
static void answer(struct timer *t)
{
    struct asked *q = t->ctx;
    struct etcd_model *m = q->client->m;
    struct etcd_answer a = {.revision = m->revision};
    if (m->away || q->client->away) {
        a.error = -ETIMEDOUT;
        snprintf(a.text, sizeof(a.text), "the model: nobody answered");
    } else if (q->q.kind == ETCD_RANGE) {
        range(m, &q->q, &a);
    } else if (q->q.kind == ETCD_TXN) {
        txn(m, &q->q, &a);
    } else {
        of_lease(m, &q->q, &a);
    }
    etcd_answer_fn *fn = q->fn;
    void *ctx = q->ctx;
    struct client *c = q->client;
    bool late = m->slow_ms && q->q.kind == ETCD_TXN;
    forget(q);
    if (late)
        answer_late(c, &a, fn, ctx);
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
    timer_set(c->m->loop, &a->timer,
              loop_now(c->m->loop) + (c->away || c->m->away ? (uint64_t)SILENT_MS : (uint64_t)ANSWER_MS));
    return 0;
}

// ---- watches

static void tell(struct client *c, const struct etcd_news *n)
{
    if (n->error)
        c->watching = false;
    c->news(c->ctx, n);
}

static void look(struct timer *t)
{
    struct client *c = t->ctx;
    struct etcd_model *m = c->m;
    static struct etcd_event list[EVENTS];
    struct etcd_news n = {.revision = m->revision, .event = list};
    if (!c->watching || c->away || c->deaf || m->away)
        return; // looked at again when it is back
    if (c->from <= m->compacted) {
        n.error = -ESTALE;
        n.compacted = m->compacted + 1;
        snprintf(n.text, sizeof(n.text), "the watch began at a revision that is compacted");
        tell(c, &n);
        return;
    }
    for (size_t i = 0; i < m->events; i++) {
        const struct key *k = &m->event[i].key;
        if (k->changed >= c->from && begins(k->name, c->prefix))
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
    for (struct late *l = c->late, *next; l; l = next) {
        next = l->next;
        timer_stop(c->m->loop, &l->timer);
        free(l);
    }
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
    wake_watches(c->m);
}

void model_client_deaf(struct etcd *e, bool deaf)
{
    struct client *c = (struct client *)e;
    c->deaf = deaf;
    wake_watches(c->m);
}

void model_away(struct etcd_model *m, bool away)
{
    m->away = away;
    wake_watches(m);
}

static void forget_events(struct etcd_model *m)
{
    for (size_t i = 0; i < m->events; i++)
        free(m->event[i].key.value);
    m->events = 0;
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
    m->compacted = m->revision;
    forget_events(m);
}

void model_put(struct etcd_model *m, const char *key, const char *value)
{
    m->revision++;
    put(m, key, value, strlen(value), 0);
}

void model_delete(struct etcd_model *m, const char *key)
{
    m->revision++;
    delete_keys(m, key, false);
}

const char *model_get(const struct etcd_model *m, const char *key)
{
    const struct key *k = find(m, key);
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
    m->expiry = (struct timer){.fire = expire, .ctx = m};
    return m;
}

void model_free(struct etcd_model *m)
{
    forget_events(m);
    timer_stop(m->loop, &m->expiry);
    for (size_t i = 0; i < m->keys; i++)
        free(m->key[i].value);
    free(m);
}
