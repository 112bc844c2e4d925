// SPDX-License-Identifier: Apache-2.0
// The loaded connections and how they are found: by name, by the peer's address, and among those that take
// anyone by what they have in common (own addresses and proposals), so that a stranger's request costs the
// same however many there are.
#include "ctrl/ike/conns.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/counts.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/jobs.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/shared.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/lib/fence.h"

struct conn_ref {
    struct conn_ref *next, *prev;
    struct conn_refs *list;
    struct conn *conn;
    struct conn_ref *more; // of the same connection
};
struct addr_entry { // the connections that name this peer
    struct table_node node;
    struct addr addr;
    struct conn_refs refs;
};
struct conn_class { // equal proposals
    struct conn_class *next;
    unsigned refs, count;
    uint64_t tried;     // the last request that was matched against them
    struct proposal *p; // shared
};
struct conn_group { // connections that take any peer, with equal proposals and own addresses
    struct conn_group *next;
    struct conn_class *class;
    uint8_t local_count;
    struct addr local[ADDRS_MAX];
    struct conn_refs refs;
    uint64_t order;
};

struct spare { // memory that waits for what is as large
    struct spare *next;
    size_t size;
};
_Static_assert(sizeof(struct conn_ref) >= sizeof(struct spare), "the least that is kept");

static bool put_by(struct conn *c, size_t size)
{
    struct spare *s = malloc(size);
    if (!s)
        return false;
    *s = (struct spare){c->spare, size};
    c->spare = s;
    return true;
}

// Zeroed; NULL: no memory.
static void *take(struct conn *c, size_t size)
{
    struct spare **at = &c->spare;
    while (*at && (*at)->size != size)
        at = &(*at)->next;
    struct spare *s = *at;
    if (!s)
        return calloc(1, size);
    *at = s->next;
    return memset(s, 0, size);
}

static void free_spare(struct conn *c)
{
    while (c->spare) {
        struct spare *s = c->spare;
        c->spare = s->next;
        free(s);
    }
}

static struct proposal **proposals_of(struct conn_config *cfg, unsigned i, unsigned *count)
{
    struct child_config *k = i ? &cfg->children[i - 1] : NULL;
    *count = k ? k->proposal_count : cfg->proposal_count;
    return k ? &k->proposals : &cfg->proposals;
}

int conn_share(struct ike *ike, struct conn *c)
{
    for (; c->shared <= c->cfg.child_count; c->shared++) {
        unsigned count;
        struct proposal **p = proposals_of(&c->cfg, c->shared, &count);
        struct proposal *one = count ? shared_get(&ike->shared, *p, proposals_octets(*p, count)) : NULL;
        if (count && !one)
            return -ENOMEM;
        free(*p);
        *p = one;
    }
    return 0;
}

static void drop_shared(struct conn *c)
{
    while (c->shared) {
        unsigned count;
        struct proposal **p = proposals_of(&c->cfg, --c->shared, &count);
        shared_put(*p);
        *p = NULL;
    }
}

void conn_unref(struct conn *c)
{
    if (c && --c->refs == 0) {
        if (c->stray)
            table_del(c->stray, &c->by_name);
        free_spare(c);
        counts_put(c->counts);
        free(c->pending_ids);
        free(c->policies);
        free(c->pending);
        free(c->numbers);
        free(c->local_id);
        free(c->remote_id);
        free(c->sources);
        free(c->vips);
        drop_shared(c);
        conn_clear(&c->cfg);
        free(c);
    }
}

static uint64_t name_key(const struct ike *ike, const char *name)
{
    uint64_t h = ike->peer_salt;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return h;
}

struct conn *conn_find(struct ike *ike, const char *name)
{
    uint64_t key = name_key(ike, name);
    for (struct table_node *n = table_find(&ike->conn_names, key); n; n = table_next(n)) {
        struct conn *c = (struct conn *)(void *)((char *)n - offsetof(struct conn, by_name));
        if (strcmp(c->cfg.name, name) == 0)
            return c;
    }
    return NULL;
}

const struct child_config *conn_child(const struct conn *c, const char *name)
{
    for (unsigned i = 0; i < c->cfg.child_count; i++)
        if (strcmp(c->cfg.children[i].name, name) == 0)
            return &c->cfg.children[i];
    return NULL;
}

struct child_numbers *conn_numbers(struct ike *ike, struct conn *c, const struct child_config *child)
{
    struct conn *live = conn_find(ike, c->cfg.name);
    const struct child_config *k = live ? conn_child(live, child->name) : NULL;
    return k ? &live->numbers[k - live->cfg.children] : &c->numbers[child - c->cfg.children];
}

// Of one name and one policy: an edit of its selectors, action, mode or priority makes another child of it.
bool conn_same_child(const struct conn *a, const struct child_config *x, const struct conn *b,
                     const struct child_config *y)
{
    return strcmp(x->name, y->name) == 0 &&
           (x == y || a->numbers[x - a->cfg.children].policy_id == b->numbers[y - b->cfg.children].policy_id);
}

bool conn_same_ike(const struct conn *a, const struct conn *b)
{
    return a->ike_part == b->ike_part && strcmp(a->cfg.name, b->cfg.name) == 0;
}

uint32_t conn_reqid(struct ike *ike, struct conn *c, const struct child_config *child)
{
    struct child_numbers *n = conn_numbers(ike, c, child);
    if (child->reqid)
        return child->reqid;
    if (!n->reqid)
        n->reqid = ++ike->next_reqid;
    return n->reqid;
}

// --- the indexes ---

static bool takes_anyone(const struct conn_config *c)
{
    bool any = c->remote_count == 0;
    for (unsigned i = 0; i < c->remote_count; i++)
        any = any || c->remote_addrs[i].family == 0;
    return any;
}

static int ref_add(struct conn_refs *list, struct conn *c)
{
    struct conn_ref *r = take(c, sizeof(*r));
    if (!r)
        return -ENOMEM;
    *r = (struct conn_ref){.prev = list->last, .list = list, .conn = c, .more = c->in};
    *(list->last ? &list->last->next : &list->first) = r;
    list->last = r;
    c->in = r;
    return 0;
}

static void refs_del(struct conn *c)
{
    for (struct conn_ref *r; (r = c->in);) {
        c->in = r->more;
        *(r->prev ? &r->prev->next : &r->list->first) = r->next;
        *(r->next ? &r->next->prev : &r->list->last) = r->prev;
        free(r);
    }
}

static struct addr_entry *addr_find(struct ike *ike, const struct addr *a)
{
    uint64_t key = peer_key(ike, 0, a);
    for (struct table_node *n = table_find(&ike->conn_addrs, key); n; n = table_next(n)) {
        struct addr_entry *e = (struct addr_entry *)(void *)n;
        if (addr_eq(&e->addr, a))
            return e;
    }
    return NULL;
}

static int addr_add(struct ike *ike, const struct addr *a, struct conn *c)
{
    struct addr_entry *e = addr_find(ike, a);
    if (!e) {
        e = take(c, sizeof(*e));
        if (!e || !table_add(&ike->conn_addrs, &e->node, peer_key(ike, 0, a))) {
            free(e);
            return -ENOMEM;
        }
        e->addr = *a;
    }
    return ref_add(&e->refs, c);
}

static void addr_leave(struct ike *ike, const struct addr *a) // where nobody is there any more
{
    struct addr_entry *e = addr_find(ike, a);
    if (e && !e->refs.first) {
        table_del(&ike->conn_addrs, &e->node);
        free(e);
    }
}

static struct conn_class *class_get(struct ike *ike, struct conn *c)
{
    const struct conn_config *cfg = &c->cfg;
    struct conn_class *k = ike->classes;
    while (k && (k->p != cfg->proposals || k->count != cfg->proposal_count))
        k = k->next;
    if (!k) {
        k = take(c, sizeof(*k));
        if (!k)
            return NULL;
        k->count = cfg->proposal_count;
        k->p = shared_ref(cfg->proposals);
        k->next = ike->classes;
        ike->classes = k;
        ike->class_proposals += k->count;
    }
    k->refs++;
    return k;
}

static void class_put(struct ike *ike, struct conn_class *k)
{
    if (!k || --k->refs)
        return;
    struct conn_class **at = &ike->classes;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    ike->class_proposals -= k->count;
    shared_put(k->p);
    free(k);
}

static bool same_addrs(const struct addr *a, const struct addr *b, unsigned count)
{
    return !count || memcmp(a, b, count * sizeof(*a)) == 0;
}

static struct conn_group **group_find(struct ike *ike, const struct conn *c)
{
    struct conn_group **at = &ike->groups;
    while (*at && ((*at)->class != c->class || (*at)->local_count != c->cfg.local_count ||
                   !same_addrs((*at)->local, c->cfg.local_addrs, c->cfg.local_count)))
        at = &(*at)->next;
    return at;
}

static int group_add(struct ike *ike, struct conn *c)
{
    struct conn_group **at = group_find(ike, c), *g = *at;
    if (!g) {
        g = take(c, sizeof(*g));
        if (!g)
            return -ENOMEM;
        g->class = c->class;
        g->local_count = c->cfg.local_count;
        for (unsigned i = 0; i < g->local_count; i++)
            g->local[i] = c->cfg.local_addrs[i];
        g->order = c->order;
        *at = g;
    }
    c->group_order = g->order;
    return ref_add(&g->refs, c);
}

static int claim_add(struct ike *ike, struct conn *c)
{
    if (identity_is_pattern(c->remote_id))
        return ref_add(&ike->patterns, c);
    return hash_add(&ike->claims, &c->by_claim, identity_key(c->remote_id));
}

static void group_leave(struct ike *ike, const struct conn *c)
{
    struct conn_group **at = group_find(ike, c), *g = *at;
    if (g && !g->refs.first) {
        *at = g->next;
        free(g);
    }
}

static bool by_pubkey(const struct conn_config *cfg)
{
    return conn_round_by(cfg, false, AUTH_PUBKEY);
}

void conn_remove(struct ike *ike, struct conn *c)
{
    ike->pubkey_conns -= by_pubkey(&c->cfg);
    ike->round_conns -= rounds_of(c);
    ike->ppk_conns -= c->cfg.ppk_id[0] != 0;
    ike->eap_conns -= c->cfg.remote.auth == AUTH_EAP;
    refs_del(c);
    hash_del(&ike->claims, &c->by_claim);
    for (unsigned i = 0; i < c->cfg.remote_count; i++)
        if (c->cfg.remote_addrs[i].family)
            addr_leave(ike, &c->cfg.remote_addrs[i]);
    group_leave(ike, c);
    class_put(ike, c->class);
    c->class = NULL;
    table_del(&ike->conn_names, &c->by_name);
    *(c->prev ? &c->prev->next : &ike->conns) = c->next;
    *(c->next ? &c->next->prev : &ike->last_conn) = c->prev;
    c->next = c->prev = NULL;
}

// With those that wait for path, which have their places already.
static bool room_in_tables(struct ike *ike, const struct conn *c)
{
    size_t names = 1, addrs = c->cfg.remote_count;
    for (const struct job *j = ike->jobs; j; j = j->next)
        if (j->conn && j->conn->spare) {
            names++;
            addrs += j->conn->cfg.remote_count;
        }
    return table_room(&ike->conn_names, names) && table_room(&ike->conn_addrs, addrs) &&
           hash_room(&ike->claims, names) == 0;
}

int conn_reserve(struct ike *ike, struct conn *c)
{
    bool got = put_by(c, sizeof(struct conn_class)) && put_by(c, sizeof(struct conn_group)) &&
               put_by(c, sizeof(struct conn_ref)) && put_by(c, sizeof(struct conn_ref)) &&
               room_in_tables(ike, c);
    for (unsigned i = 0; i < c->cfg.remote_count && got; i++)
        got = put_by(c, sizeof(struct addr_entry)) && put_by(c, sizeof(struct conn_ref));
    return got ? 0 : -ENOMEM;
}

int conn_add(struct ike *ike, struct conn *c)
{
    int rc = 0;
    c->order = ++ike->conn_order;
    c->prev = ike->last_conn;
    *(c->prev ? &c->prev->next : &ike->conns) = c;
    ike->last_conn = c;
    ike->pubkey_conns += by_pubkey(&c->cfg);
    ike->round_conns += rounds_of(c);
    ike->ppk_conns += c->cfg.ppk_id[0] != 0;
    ike->eap_conns += c->cfg.remote.auth == AUTH_EAP;
    if (!(c->class = class_get(ike, c)) ||
        !table_add(&ike->conn_names, &c->by_name, name_key(ike, c->cfg.name)))
        rc = -ENOMEM;
    bool peers = !conn_only_policies(&c->cfg);
    for (unsigned i = 0; i < c->cfg.remote_count && peers && !rc; i++)
        if (c->cfg.remote_addrs[i].family)
            rc = addr_add(ike, &c->cfg.remote_addrs[i], c);
    if (!rc && peers && takes_anyone(&c->cfg))
        rc = group_add(ike, c);
    if (!rc && peers && takes_anyone(&c->cfg))
        rc = claim_add(ike, c);
    if (rc)
        conn_remove(ike, c);
    free_spare(c);
    return rc;
}

// --- choosing ---

// 1: the list names the address, 0: it takes any (as an empty one does), -1: neither.
static int addr_fits(const struct addr *list, unsigned count, const struct addr *a)
{
    int fits = count ? -1 : 0;
    for (unsigned i = 0; i < count && fits < 1; i++)
        fits = addr_eq(&list[i], a) ? 1 : list[i].family == 0 ? 0 : fits;
    return fits;
}

static bool class_tried(struct conn_class *k, uint64_t request)
{
    bool tried = k->tried == request;
    k->tried = request;
    return tried;
}

// Another node of the fleet has it, or nobody.
bool conn_is_closed(const struct ike *ike, const struct conn *c)
{
    return !fence_open(ike->fence, c->cfg.fence);
}

static struct conn *first_open(const struct ike *ike, const struct conn_group *g)
{
    for (const struct conn_ref *r = g->refs.first; r; r = r->next)
        if (!conn_is_closed(ike, r->conn))
            return r->conn;
    return NULL;
}

// Those that name the peer's address come before those that take anyone, and those that name our own before
// those that do not.
struct conn *conn_for_offers(struct ike *ike, const struct net_path *path,
                             bool (*fits)(void *ctx, const struct proposal *p, unsigned count), void *ctx)
{
    const struct addr_entry *e = addr_find(ike, &path->remote);
    uint64_t request = ++ike->requests;
    for (int local = 1; local >= 0; local--) {
        for (const struct conn_ref *r = e ? e->refs.first : NULL; r; r = r->next) {
            const struct conn_config *c = &r->conn->cfg;
            if (addr_fits(c->local_addrs, c->local_count, &path->local) == local &&
                !conn_is_closed(ike, r->conn) && !class_tried(r->conn->class, request) &&
                fits(ctx, c->proposals, c->proposal_count))
                return r->conn;
        }
    }
    for (int local = 1; local >= 0; local--) {
        for (const struct conn_group *g = ike->groups; g; g = g->next) {
            struct conn *c = first_open(ike, g);
            if (c && addr_fits(g->local, g->local_count, &path->local) == local &&
                !class_tried(g->class, request) && fits(ctx, g->class->p, g->class->count))
                return c;
        }
    }
    return NULL;
}

struct best {
    const struct ike *ike;
    const struct conn_claim *claim;
    struct conn *conn;
    int score;
};

static bool excluded(const struct conn_claim *q, const struct conn *c)
{
    // As responder we prove ourselves by EAP to whom that is enough: a mere client's connection answers
    // nobody.
    bool out = (c->cfg.local.auth == AUTH_EAP && !(conn_eap_only(&c->cfg) && q->eap_only)) ||
               (q->auth != AUTH_NONE && q->auth != c->cfg.remote.auth) ||
               q->another != (c->cfg.remote_more != NULL) || (c->cfg.local_more && !q->rounds);
    for (unsigned i = 0; i < q->not_count && !out; i++)
        out = q->not_these[i] == c;
    return out;
}

// Of equal ones the first that was loaded; of those that do not name the peer's address, the first of the
// first group.
static bool stands_before(const struct conn *a, const struct conn *b, bool named)
{
    return named || a->group_order == b->group_order ? a->order < b->order : a->group_order < b->group_order;
}

static void look_at(struct best *b, struct conn *c)
{
    const struct conn_claim *q = b->claim;
    struct identity mine;
    int here = addr_fits(c->cfg.local_addrs, c->cfg.local_count, &q->path->local),
        there = addr_fits(c->cfg.remote_addrs, c->cfg.remote_count, &q->path->remote);
    if (here < 0 || there < 0 || excluded(q, c) || conn_is_closed(b->ike, c))
        return;
    identity_copy(&mine, c->local_id);
    if (mine.type == ID_ANY)
        identity_of_addr(&q->path->local, &mine);
    int l = q->local ? identity_match(q->local, &mine) : MATCH_ANY,
        p = identity_match(q->remote, c->remote_id);
    int score = 4 * (1 + p * (MATCH_PERFECT + 1) + l) + 2 * (there > 0) + here;
    bool better = score > b->score || (b->conn && score == b->score && stands_before(c, b->conn, there > 0));
    if (l && p && better && suite_allowed(q->suite, c->cfg.proposals, c->cfg.proposal_count, true)) {
        b->conn = c;
        b->score = score;
    }
}

bool conn_is_for(const struct conn *c, const struct net_path *path)
{
    return addr_fits(c->cfg.local_addrs, c->cfg.local_count, &path->local) >= 0 &&
           addr_fits(c->cfg.remote_addrs, c->cfg.remote_count, &path->remote) >= 0;
}

struct conn *conn_for_claim(struct ike *ike, const struct conn_claim *claim)
{
    struct best b = {.ike = ike, .claim = claim};
    const struct addr_entry *e = addr_find(ike, &claim->path->remote);
    for (const struct conn_ref *r = e ? e->refs.first : NULL; r; r = r->next)
        look_at(&b, r->conn);
    for (struct hash_node *n = hash_first(&ike->claims, identity_key(claim->remote)); n; n = hash_next(n))
        look_at(&b, (struct conn *)(void *)((char *)n - offsetof(struct conn, by_claim)));
    for (const struct conn_ref *r = ike->patterns.first; r; r = r->next)
        look_at(&b, r->conn);
    return b.conn;
}

static void tell_alike(const struct conn_ref *r, const struct conn *as, void (*fn)(void *ctx, struct conn *c),
                       void *ctx)
{
    for (; r; r = r->next)
        if (r->conn->ike_part == as->ike_part)
            fn(ctx, r->conn);
}

// They name the same addresses, or else take anyone of the same identity.
void conn_each_alike(struct ike *ike, const struct conn *as, void (*fn)(void *ctx, struct conn *c), void *ctx)
{
    const struct addr *named = NULL;
    for (unsigned i = 0; i < as->cfg.remote_count && !named; i++)
        named = as->cfg.remote_addrs[i].family ? &as->cfg.remote_addrs[i] : NULL;
    if (named) {
        const struct addr_entry *e = addr_find(ike, named);
        tell_alike(e ? e->refs.first : NULL, as, fn, ctx);
        return;
    }
    tell_alike(ike->patterns.first, as, fn, ctx);
    for (struct hash_node *n = hash_first(&ike->claims, identity_key(as->remote_id)); n; n = hash_next(n)) {
        struct conn *c = (struct conn *)(void *)((char *)n - offsetof(struct conn, by_claim));
        if (c->ike_part == as->ike_part)
            fn(ctx, c);
    }
}

// --- by itself ---

bool conn_eap_only(const struct conn_config *cfg)
{
    return cfg->local.auth == AUTH_EAP && cfg->remote.auth == AUTH_EAP;
}

bool conn_only_policies(const struct conn_config *cfg)
{
    for (unsigned i = 0; i < cfg->child_count; i++)
        if (cfg->children[i].action == POLICY_PROTECT)
            return false;
    return cfg->child_count > 0;
}

bool conn_can_send(const struct ike *ike, const struct addr *from, const struct addr *to)
{
    const struct net *net = &ike->net;
    struct addr a;
    if (from->family != to->family)
        return false;
    if (net->can_send)
        return net->can_send(net->ctx, from, to);
    return net->source_for(net->ctx, to, &a) && addr_eq(&a, from);
}

// Of those that it names the first that is there and has a way to it; where none has, one of its family.
static void named_address(const struct ike *ike, const struct conn_config *c, const struct addr *to,
                          struct addr *out)
{
    const struct addr *of_family = NULL, *any = NULL;
    for (unsigned i = 0; i < c->local_count; i++) {
        const struct addr *a = &c->local_addrs[i];
        bool alike = a->family && a->family == to->family;
        if (alike && c->local_count > 1 && conn_can_send(ike, a, to)) {
            *out = *a;
            return;
        }
        of_family = alike && !of_family ? a : of_family;
        any = a->family && !any ? a : any;
    }
    if (of_family || any)
        *out = of_family ? *of_family : *any;
}

bool conn_names_a_peer(const struct conn_config *c)
{
    for (unsigned i = 0; i < c->remote_count; i++)
        if (c->remote_addrs[i].family)
            return true;
    return false;
}

// The first of the peer's addresses that there is a way to; where there is none, the first.
int conn_path(struct ike *ike, const struct conn_config *c, struct net_path *p, struct esp_error *err)
{
    const struct addr *first = NULL;
    for (unsigned i = 0; i < c->remote_count; i++) {
        const struct addr *a = &c->remote_addrs[i];
        if (!a->family)
            continue;
        first = first ? first : a;
        if (c->remote_count > 1 && conn_path_to(ike, c, a, p, NULL) == 0 && conn_can_send(ike, &p->local, a))
            return 0;
    }
    if (first)
        return conn_path_to(ike, c, first, p, err);
    return esp_fail(err, -EINVAL, "remote_addrs", "connection '%s' names no peer address to initiate to",
                    c->name);
}

int conn_path_to(struct ike *ike, const struct conn_config *c, const struct addr *remote, struct net_path *p,
                 struct esp_error *err)
{
    char a[64];
    memset(p, 0, sizeof(*p));
    p->remote = *remote;
    named_address(ike, c, remote, &p->local);
    if (!p->local.family && !ike->net.source_for(ike->net.ctx, &p->remote, &p->local))
        return esp_fail(err, -ENETUNREACH, "remote_addrs", "no route to %s",
                        addr_print(&p->remote, a, sizeof(a)));
    p->remote_port = c->remote_port ? c->remote_port : IKE_PORT;
    // A port that is not 500 is one where the marker is expected from the first message on (2.23).
    p->nat_t = p->remote_port != IKE_PORT;
    p->local_port = p->nat_t ? ike->set.port_nat_t : ike->set.port;
    return 0;
}
