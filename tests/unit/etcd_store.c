// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/etcd_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the store

// The first that is not before it.
static size_t place_of(const struct etcd_model *m, const char *name)
{
    size_t lo = 0, hi = m->keys;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (strcmp(m->key[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct key *store_find(const struct etcd_model *m, const char *name)
{
    size_t at = place_of(m, name);
    return at < m->keys && strcmp(m->key[at].name, name) == 0 ? (struct key *)&m->key[at] : NULL;
}

void store_compact(struct etcd_model *m, uint64_t revision)
{
    size_t n = 0;
    while (n < m->events && m->event[n].key.changed <= revision)
        free(m->event[n++].key.value);
    memmove(m->event, m->event + n, (m->events - n) * sizeof(m->event[0]));
    m->events -= n;
    m->compacted = revision;
}

static void note(struct etcd_model *m, bool deleted, const struct key *k)
{
    if (m->events == EVENTS)
        store_compact(m, m->event[EVENTS / 2].key.changed);
    struct event *e = &m->event[m->events++];
    *e = (struct event){deleted, *k};
    e->key.value = malloc(k->len + 1);
    memcpy(e->key.value, k->value, k->len + 1);
    model_wake(m);
}

void store_put(struct etcd_model *m, const char *name, const void *value, size_t len, uint64_t lease)
{
    struct key *k = store_find(m, name);
    if (!k) {
        size_t at = place_of(m, name);
        if (m->keys == KEYS)
            abort();
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

bool store_begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

void store_delete(struct etcd_model *m, const char *name, bool prefix)
{
    for (size_t i = m->keys; i-- > 0;)
        if (prefix ? store_begins(m->key[i].name, name) : strcmp(m->key[i].name, name) == 0)
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

void store_arm(struct etcd_model *m)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < m->leases; i++)
        first = m->lease[i].end < first ? m->lease[i].end : first;
    timer_stop(m->loop, &m->expiry);
    if (first != UINT64_MAX)
        timer_set(m->loop, &m->expiry, first);
}

void store_expire(struct timer *t)
{
    struct etcd_model *m = t->ctx;
    for (size_t i = m->leases; i-- > 0;)
        if (m->lease[i].end <= loop_now(m->loop))
            end_lease(m, &m->lease[i]);
    store_arm(m);
}

// ---- answers

static void refuse(struct etcd_answer *a, int error, const char *text)
{
    a->error = error;
    snprintf(a->text, sizeof(a->text), "etcd refuses it: %s", text);
}

void store_range(struct etcd_model *m, const struct etcd_question *q, struct etcd_answer *a)
{
    static struct etcd_kv kv[KEYS];
    if (q->revision && q->revision < m->compacted) {
        refuse(a, -ESTALE, "required revision has been compacted");
        return;
    }
    a->kv = kv;
    m->ranges++;
    for (size_t i = m->broken ? 0 : place_of(m, q->after ? q->after : q->key); i < m->keys; i++) {
        const struct key *k = &m->key[i];
        if (!m->broken && !store_begins(k->name, q->key))
            return;
        if (m->broken) {
            a->more = true;
            kv[a->count++] = (struct etcd_kv){
                .key = k->name, .value = (uint8_t *)k->value, .len = k->len, .changed = k->changed};
            continue;
        }
        if (q->after && strcmp(k->name, q->after) <= 0)
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
    const struct key *k = store_find(m, c->key);
    return (k ? c->creation ? k->created : k->changed : 0) == c->revision;
}

void store_txn(struct etcd_model *m, const struct etcd_question *q, struct etcd_answer *a)
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
            store_put(m, op->key, op->value, op->len, op->lease);
        else
            store_delete(m, op->key, op->change == ETCD_DELETE_PREFIX);
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

void store_lease(struct etcd_model *m, const struct etcd_question *q, struct etcd_answer *a)
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
        if (l && !m->stale)
            l->end = loop_now(m->loop) + l->ttl * 1000ull;
    } else if (l) {
        end_lease(m, l);
    } else {
        refuse(a, -ENOENT, "etcdserver: requested lease not found");
    }
    store_arm(m);
}
