// SPDX-License-Identifier: Apache-2.0
// See pools.h. Of a pool the addresses that nobody has had are given out first, in their order, then those
// that have been free for longest.
#include "ctrl/ike/pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/conns.h"
#include "ctrl/ike/cp.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/load.h"
#include "ctrl/lib/hash.h"
#include "ctrl/lib/log.h"

struct lease {
    struct hash_node by_id, by_number;
    struct pool *pool;
    struct lease *older, *newer; // of those that nobody uses
    uint64_t number;             // of the address, in the pool
    unsigned index, online;      // index: in the pool's list; online: IKE SAs that have it
    struct identity *id;         // as long as it is, behind the lease
};
struct pool {
    struct pool *next;
    uint32_t id;
    struct pool_config cfg;
    struct hash by_id, by_number;
    struct lease **leases;
    unsigned count, room, online;
    struct lease *oldest, *newest; // free ones
    uint64_t fresh;                // nobody has had those from here on, but for what a file brought
    bool some_lost;                // of those that ctl told of: there was no memory
};
struct pools {
    struct pool *first; // in the order of loading
    unsigned count, leases;
    uint32_t last_id;
};

static struct lease *lease_of_id(struct hash_node *n)
{
    return (struct lease *)(void *)n; // the first member
}

static struct lease *lease_of_number(struct hash_node *n)
{
    return n ? (struct lease *)(void *)((char *)n - offsetof(struct lease, by_number)) : NULL;
}

static uint64_t id_hash(const struct ike *ike, const struct identity *id)
{
    return hash_bytes(ike->peer_salt ^ id->type, id->data, id->len);
}

static struct pool **find(struct pools *p, const char *name)
{
    struct pool **at = &p->first;
    while (*at && strcmp((*at)->cfg.name, name) != 0)
        at = &(*at)->next;
    return at;
}

static const struct pool *find_loaded(const struct pools *p, const char *name)
{
    const struct pool *at = p->first;
    while (at && strcmp(at->cfg.name, name) != 0)
        at = at->next;
    return at;
}

// --- leases ---

static struct lease *at_number(const struct pool *p, uint64_t number)
{
    return lease_of_number(hash_first(&p->by_number, hash_u64(number)));
}

static void now_free(struct lease *l)
{
    struct pool *p = l->pool;
    l->older = p->newest;
    l->newer = NULL;
    *(p->newest ? &p->newest->newer : &p->oldest) = l;
    p->newest = l;
}

static void not_free(struct lease *l)
{
    struct pool *p = l->pool;
    *(l->older ? &l->older->newer : &p->oldest) = l->newer;
    *(l->newer ? &l->newer->older : &p->newest) = l->older;
    l->older = l->newer = NULL;
}

static void forget(struct lease *l) // its place in the list stays
{
    if (!l->online)
        not_free(l);
    hash_del(&l->pool->by_id, &l->by_id);
    hash_del(&l->pool->by_number, &l->by_number);
    free(l);
}

static bool room(struct pool *p)
{
    unsigned more = p->room ? 2 * p->room : 16;
    if (p->count < p->room)
        return true;
    struct lease **list = realloc(p->leases, more * sizeof(struct lease *));
    if (!list)
        return false;
    p->leases = list;
    p->room = more;
    return true;
}

// A free one at that place of the list, count: behind its end.
static struct lease *make(struct ike *ike, struct pool *p, unsigned index, uint64_t number,
                          const struct identity *id)
{
    size_t size = offsetof(struct identity, data) + id->len;
    struct lease *l = room(p) ? calloc(1, sizeof(*l) + size) : NULL;
    if (!l)
        return NULL;
    l->pool = p;
    l->number = number;
    l->index = index;
    l->id = (struct identity *)(void *)(l + 1);
    memcpy(l->id, id, size);
    if (hash_add(&p->by_id, &l->by_id, id_hash(ike, id)) != 0) {
        free(l);
        return NULL;
    }
    if (hash_add(&p->by_number, &l->by_number, hash_u64(number)) != 0) {
        hash_del(&p->by_id, &l->by_id);
        free(l);
        return NULL;
    }
    p->leases[index] = l;
    if (index == p->count) {
        p->count++;
        ike->pools->leases++;
    }
    now_free(l);
    return l;
}

static bool same_id(const struct lease *l, const struct identity *id)
{
    return l->id->type == id->type &&
           slice_eq(slice_of(l->id->data, l->id->len), slice_of(id->data, id->len));
}

// One that the identity has had, or has: the wished one before others.
static struct lease *of_identity(struct ike *ike, struct pool *p, const struct identity *id,
                                 const struct addr *wish, bool again)
{
    uint64_t number = 0;
    bool wished = !addr_is_zero(wish) && pool_number(&p->cfg, wish, &number);
    struct lease *was = NULL, *has = NULL;
    for (struct hash_node *n = hash_first(&p->by_id, id_hash(ike, id)); n; n = hash_next(n)) {
        struct lease *l = lease_of_id(n);
        if (!same_id(l, id))
            continue;
        if (wished && l->number == number)
            return l;
        *(l->online ? &has : &was) = l;
    }
    return again && has ? has : was;
}

static void keep(struct ike *ike, const struct lease *l)
{
    uint8_t id[4 + ID_DATA_MAX];
    struct writer w = writer_of(id, sizeof(id));
    struct msg_LEASE m = {0};
    identity_write(&w, l->id);
    snprintf(m.pool, sizeof(m.pool), "%s", l->pool->cfg.name);
    pools_address(l, &m.address);
    m.identity = wr_written(&w);
    ipc_send(ike->chan[ROOM_CTL], MSG_LEASE, &m);
}

static struct lease *new_one(struct ike *ike, struct pool *p, const struct identity *id)
{
    unsigned index = p->count;
    while (p->fresh < p->cfg.size && at_number(p, p->fresh))
        p->fresh++;
    uint64_t number = p->fresh;
    if (p->fresh == p->cfg.size || ike->pools->leases >= LEASES_MAX) {
        if (!p->oldest)
            return NULL;
        number = p->oldest->number;
        index = p->oldest->index;
        forget(p->oldest);
        p->leases[index] = NULL;
    }
    struct lease *l = make(ike, p, index, number, id);
    if (l)
        keep(ike, l);
    return l;
}

struct lease *pools_take(struct ike *ike, const struct conn_config *cfg, const struct identity *id,
                         const struct addr *wish, bool again)
{
    struct lease *l = NULL;
    for (int fresh = 0; fresh < 2 && !l; fresh++) { // its own in any of them before a new one
        for (unsigned i = 0; i < cfg->pool_count && !l; i++) {
            struct pool *p = *find(ike->pools, cfg->pools[i]);
            if (!p || p->cfg.base.family != wish->family)
                continue;
            l = fresh ? new_one(ike, p, id) : of_identity(ike, p, id, wish, again);
        }
    }
    if (l && !l->online++) {
        not_free(l);
        l->pool->online++;
    }
    return l;
}

void pools_address(const struct lease *l, struct addr *out)
{
    pool_address(&l->pool->cfg, l->number, out);
}

void pools_release(struct ike *ike, struct lease *l)
{
    (void)ike;
    if (--l->online)
        return;
    l->pool->online--;
    now_free(l);
}

void pools_attributes(const struct pools *p, const struct conn_config *cfg,
                      void (*f)(void *ctx, struct slice attrs), void *ctx)
{
    for (unsigned i = 0; i < cfg->pool_count; i++) {
        const struct pool *at = find_loaded(p, cfg->pools[i]);
        if (at)
            f(ctx, slice_of(at->cfg.attrs, at->cfg.attrs_len));
    }
}

bool pools_range(const struct pools *p, const char *name, struct ts *out)
{
    const struct pool *at = find_loaded(p, name);
    if (at)
        *out = at->cfg.range;
    return at != NULL;
}

// --- load and unload ---

static void drop(struct pools *all, struct pool *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->leases[i])
            forget(p->leases[i]);
    all->leases -= p->count;
    all->count--;
    hash_free(&p->by_id);
    hash_free(&p->by_number);
    free(p->leases);
    free(p);
}

struct pools *pools_new(void)
{
    return calloc(1, sizeof(struct pools));
}

void pools_free(struct pools *all)
{
    while (all && all->first) {
        struct pool *p = all->first;
        all->first = p->next;
        drop(all, p);
    }
    free(all);
}

static bool names(const struct conn *c, const void *name)
{
    for (unsigned i = 0; i < c->cfg.pool_count; i++)
        if (strcmp(c->cfg.pools[i], name) == 0)
            return true;
    return false;
}

// The policies of connections that name it are written out anew.
static void renew(struct ike *ike, const char *name)
{
    conn_first_loads(ike, names, name);
    for (struct conn *c = ike->conns, *next; c; c = next) {
        next = c->next;
        if (names(c, name))
            conn_renew(ike, c);
    }
}

static const char *put(struct pools *all, const struct pool_config *cfg)
{
    struct pool **at = find(all, cfg->name), *p = *at;
    bool same = p && addr_eq(&p->cfg.base, &cfg->base) && p->cfg.size == cfg->size;
    if (p && !same && p->online)
        return "it has addresses in use, and others cannot take their place";
    if (p && !same) {
        *at = p->next;
        drop(all, p);
        at = find(all, cfg->name);
        p = NULL;
    }
    if (p) {
        p->cfg = *cfg;
        return NULL;
    }
    if (all->count == POOLS_LOADED_MAX)
        return "there are too many";
    p = calloc(1, sizeof(*p));
    if (!p)
        return "no memory";
    p->id = ++all->last_id;
    p->cfg = *cfg;
    all->count++;
    *at = p;
    return NULL;
}

static void load(struct ike *ike, const struct msg_POOL_LOAD *m)
{
    struct pool_config *cfg = malloc(sizeof(*cfg));
    struct reader r = reader_of(m->pool);
    const char *wrong = !cfg                                ? "no memory"
                        : pool_read(&r, cfg) && rd_done(&r) ? put(ike->pools, cfg)
                                                            : "malformed";
    if (!wrong)
        renew(ike, cfg->name);
    ipc_result(ike->chan[ROOM_CTL], m->req, !wrong, "%s", wrong ? wrong : "");
    free(cfg);
}

static void unload(struct ike *ike, const struct msg_POOL_UNLOAD *m)
{
    struct pool **at = find(ike->pools, m->name), *p = *at;
    if (!p || p->online) {
        ipc_result(ike->chan[ROOM_CTL], m->req, false,
                   p ? "pool '%.100s' has %u addresses in use" : "pool '%.100s' not found", m->name,
                   p ? p->online : 0);
        return;
    }
    *at = p->next;
    drop(ike->pools, p);
    renew(ike, m->name);
    ipc_result(ike->chan[ROOM_CTL], m->req, true, "%s", "");
}

static void kept_addr(struct reader *r, struct addr *a)
{
    memset(a, 0, sizeof(*a));
    a->family = rd_u8(r);
    struct slice s = rd_bytes(r, 16);
    if (s.len == 16)
        memcpy(a->a, s.p, 16);
}

// Those that it has already, or has no address for, are left out.
static void leases(struct ike *ike, const struct msg_POOL_LEASES *m)
{
    struct pool *p = *find(ike->pools, m->name);
    struct reader r = reader_of(m->leases);
    while (p && r.left && !r.bad) {
        struct addr a;
        struct identity id;
        uint64_t number;
        kept_addr(&r, &a);
        bool good = identity_read(rd_slice16(&r), &id);
        if (r.bad || !good || !pool_number(&p->cfg, &a, &number) || at_number(p, number) ||
            ike->pools->leases >= LEASES_MAX)
            continue;
        p->some_lost = p->some_lost || !make(ike, p, p->count, number, &id);
    }
    if (!m->req)
        return;
    bool lost = p && p->some_lost;
    if (lost)
        p->some_lost = false;
    ipc_result(ike->chan[ROOM_CTL], m->req, !lost, "%s", lost ? "no memory for all leases" : "");
}

// --- listing ---

static bool full(struct ike *ike, const struct msg_POOL_LIST *m, unsigned *left, uint64_t next)
{
    if (*left && ipc_has_room(ike->chan[ROOM_CTL])) {
        --*left;
        return false;
    }
    ipc_send(ike->chan[ROOM_CTL], MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = next});
    return true;
}

static void send_pool(struct ike *ike, const struct pool *p, uint32_t req)
{
    struct msg_POOL_IS m = {.req = req,
                            .base = p->cfg.base,
                            .size = p->cfg.size,
                            .online = p->online,
                            .offline = p->count - p->online};
    snprintf(m.name, sizeof(m.name), "%s", p->cfg.name);
    ipc_send(ike->chan[ROOM_CTL], MSG_POOL_IS, &m);
}

static void send_lease(struct ike *ike, const struct lease *l, uint32_t req)
{
    struct msg_LEASE_IS m = {.req = req, .online = l->online != 0};
    uint8_t id[4 + ID_DATA_MAX];
    struct writer w = writer_of(id, sizeof(id));
    identity_write(&w, l->id);
    m.id = wr_written(&w);
    pools_address(l, &m.address);
    identity_print(l->id, m.identity, sizeof(m.identity));
    ipc_send(ike->chan[ROOM_CTL], MSG_LEASE_IS, &m);
}

// A cursor is the pool's number and how many of its entries, itself the first, have been sent.
static void list(struct ike *ike, const struct msg_POOL_LIST *m)
{
    unsigned left = ipc_page(m->most);
    uint32_t id = (uint32_t)(m->from >> 32);
    for (const struct pool *p = ike->pools->first; p; p = p->next) {
        unsigned sent = p->id == id ? (uint32_t)m->from : 0, all = m->leases ? p->count + 1 : 1;
        if (p->id < id || (m->name[0] && strcmp(m->name, p->cfg.name) != 0))
            continue;
        for (; sent < all; sent++) {
            if (full(ike, m, &left, (uint64_t)p->id << 32 | sent))
                return;
            if (!sent)
                send_pool(ike, p, m->req);
            else if (p->leases[sent - 1])
                send_lease(ike, p->leases[sent - 1], m->req);
        }
    }
    ipc_result(ike->chan[ROOM_CTL], m->req, true, "%s", "");
}

void pools_message(struct ike *ike, enum msg_type t, const union msg *m)
{
    switch (t) {
    case MSG_POOL_LOAD: load(ike, &m->POOL_LOAD); break;
    case MSG_POOL_UNLOAD: unload(ike, &m->POOL_UNLOAD); break;
    case MSG_POOL_LEASES: leases(ike, &m->POOL_LEASES); break;
    case MSG_POOL_LIST: list(ike, &m->POOL_LIST); break;
    default: break;
    }
}
