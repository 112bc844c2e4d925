// SPDX-License-Identifier: Apache-2.0
// CHILD SAs whose `ike` has died. The next one knows nothing of them, and nobody can rekey them any more; but
// both ends have their keys, so they carry traffic until each has a successor. As a loaded policy is applied
// anew, an SA for it is asked for as a packet would. Once its policy has a newer one it stays for what is on
// its way, and ends; that the peer lets go of it as well INITIAL_CONTACT sees to. Where there is no way to
// the peer (a road warrior, who has to come by himself) they end after SURVIVE_MS: until then he has found by
// DPD that his IKE SA is gone. Events of theirs go to an ike that does not know the number, and passes over.
#include "ctrl/path/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/sadb.h"

enum { SURVIVE_MS = 300 * 1000, OVERLAP_MS = 3000 };

// NULL: it is of no single host.
static const struct ts *host_of(const struct child *c)
{
    struct selectors s = c->policy ? policy_remote(c->policy) : (struct selectors){0};
    const struct ts *t = s.t;
    size_t octets = s.count == 1 && t->family == 4 ? 4 : 16;
    return s.count == 1 && t->family && memcmp(t->lo, t->hi, octets) == 0 ? t : NULL;
}

struct survivor_at { // where one is found by its host; it may have gone meanwhile
    struct hash_node node;
    uint32_t child_id;
};

static uint64_t host_key(const struct ts *at)
{
    return hash_bytes(at->family, at->lo, sizeof(at->lo));
}

static void list(struct path *p, const struct child *c)
{
    const struct ts *at = host_of(c);
    struct survivor_at *s = at ? calloc(1, sizeof(*s)) : NULL;
    if (s)
        s->child_id = c->c.child_id;
    if (!at || (s && hash_add(&p->survivor_hosts, &s->node, host_key(at)) == 0))
        return;
    free(s);
    p->survivors_unlisted = true;
}

void survivors_forget(struct path *p)
{
    for (struct hash_node *n; (n = hash_pop(&p->survivor_hosts)) != NULL;)
        free(n);
    hash_free(&p->survivor_hosts);
    p->survivors_unlisted = false;
}

// Each has its time from the first death on: an ike that dies again and again prolongs none.
void survivors_late(struct path *p)
{
    uint32_t to = (uint32_t)(loop_now(p->loop) + SURVIVE_MS);
    for (struct child *c = p->children; c; c = c->next) {
        if (c->dying || c->survivor)
            continue;
        p->survivors++;
        c->survivor = true;
        c->c.survives_to = to;
        list(p, c);
    }
}

static bool has_local(const struct child *c, const struct addr *a)
{
    struct selectors s = c->policy ? policy_local(c->policy) : (struct selectors){0};
    size_t octets = a->family == 4 ? 4 : 16;
    for (unsigned i = 0; i < s.count; i++)
        if (s.t[i].family == a->family && memcmp(s.t[i].lo, a->a, octets) <= 0 &&
            memcmp(a->a, s.t[i].hi, octets) <= 0)
            return true;
    return false;
}

static bool goes_with(void *ctx, const struct addr *a)
{
    return has_local(ctx, a);
}

void survivors_goes(struct path *p, struct child *c)
{
    if (p->virtual_held)
        virtual_drop(p, goes_with, c);
}

static bool nobody_has(void *ctx, const struct addr *a)
{
    const struct path *p = ctx;
    for (const struct child *c = p->children; c; c = c->next)
        if (c->survivor && !c->dying && has_local(c, a))
            return false;
    return true;
}

// An address that none of them has is nobody's: the next ike applies no policy for it.
void survivors_begin(struct path *p)
{
    survivors_late(p);
    p->virtual_held = true;
    virtual_hold(p);
    virtual_drop(p, nobody_has, p);
    if (p->survivors)
        LOGF(ESP, 1, "%u CHILD SAs go on without the ike process that made them", p->survivors);
}

void survivors_ask(struct path *p, const char *conn)
{
    if (!p->survivors)
        return;
    for (const struct policy *i = spd_first_of_conn(&p->spd, conn); i; i = spd_next_of_conn(i)) {
        struct msg_ACQUIRE m = {.policy_id = i->id};
        if (!i->loaded || i->action != POLICY_PROTECT || !i->sa_count)
            continue;
        snprintf(m.conn, sizeof(m.conn), "%s", policy_conn(i));
        snprintf(m.child, sizeof(m.child), "%s", policy_child(i));
        ipc_send(p->ike, MSG_ACQUIRE, &m);
    }
}

// What packets meet has a newer one, which sends.
static bool has_successor(const struct path *p, const struct child *c)
{
    const struct policy *pol = c->policy ? policy_now(c->policy) : NULL;
    for (const struct child *n = pol ? pol->sas : NULL; n; n = n->serves_next)
        if (!n->survivor && n->installed && !n->dying && loop_now(p->loop) - n->installed_at >= OVERLAP_MS)
            return true;
    return false;
}

static uint64_t peer_of(const struct child *c)
{
    return policy_peer(c->policy->of ? c->policy->of : c->policy);
}

// As far as is known here: by its connection and where it is.
static bool same_peer(const struct child *a, const struct child *b)
{
    return peer_of(a) == peer_of(b) && addr_eq(&a->c.remote, &b->c.remote) &&
           a->c.remote_port == b->c.remote_port;
}

static void make_way(struct path *p, struct child *s, const struct child *c, const struct ts *at)
{
    const struct ts *had = s && s->survivor && !s->dying ? host_of(s) : NULL;
    if (!had || had->family != at->family || memcmp(had->lo, at->lo, sizeof(at->lo)) != 0 || same_peer(s, c))
        return;
    LOGF_SA(1, s, "child %s{%u} ends: another peer has its address", s->c.name, s->c.child_id);
    sadb_begin_delete(p, s);
}

void survivors_make_way(struct path *p, const struct child *c)
{
    const struct ts *at = p->survivors ? host_of(c) : NULL;
    for (struct child *s = at && p->survivors_unlisted ? p->children : NULL, *next; s; s = next) {
        next = s->next;
        make_way(p, s, c, at);
    }
    for (struct hash_node *n = at ? hash_first(&p->survivor_hosts, host_key(at)) : NULL; n; n = hash_next(n))
        make_way(p, sadb_by_id(p, ((struct survivor_at *)(void *)n)->child_id), c, at);
}

static bool is_meant(const struct child *c, const struct msg_SURVIVORS_END *m)
{
    return (!m->conn[0] || (c->policy && strcmp(policy_conn(c->policy), m->conn) == 0)) &&
           (!m->child[0] || strcmp(c->c.name, m->child) == 0) &&
           (!m->child_id || c->c.child_id == m->child_id);
}

void survivors_end(struct path *p, const struct msg_SURVIVORS_END *m)
{
    unsigned n = 0;
    for (struct child *c = p->survivors ? p->children : NULL, *next; c; c = next) {
        next = c->next;
        if (!c->survivor || c->dying || !is_meant(c, m))
            continue;
        LOGF_SA(1, c, "child %s{%u} ends: terminated", c->c.name, c->c.child_id);
        sadb_begin_delete(p, c);
        n++;
    }
    ipc_result(p->ike, m->req, true, "%u", n);
}

// ---- a list of them, for ctl

static void tell(struct path *p, uint32_t req, const struct child *c)
{
    uint64_t now = loop_now(p->loop);
    int32_t left = (int32_t)(c->c.survives_to - (uint32_t)now);
    struct msg_SURVIVOR_IS m = {.req = req,
                                .id = c->c.child_id,
                                .spi_in = c->c.spi_in,
                                .spi_out = c->c.spi_out,
                                .encr = c->c.encr,
                                .encr_bits = c->c.encr_bits,
                                .integ = c->c.integ,
                                .esn = c->c.esn,
                                .udp_encap = c->c.udp_encap,
                                .mode = c->c.mode,
                                .local = c->c.local,
                                .local_port = c->c.local_port,
                                .remote = c->c.remote,
                                .remote_port = c->c.remote_port,
                                .install_s = (uint32_t)((now - c->installed_at) / 1000),
                                .left_s = left > 0 ? ((uint32_t)left + 999) / 1000 : 1};
    snprintf(m.conn, sizeof(m.conn), "%s", c->policy ? policy_conn(c->policy) : "");
    snprintf(m.child, sizeof(m.child), "%s", c->c.name);
    if (c->policy) {
        selectors_copy(&m.local_ts, policy_local(c->policy));
        selectors_copy(&m.remote_ts, policy_remote(c->policy));
    }
    ipc_send(p->ctl, MSG_SURVIVOR_IS, &m);
    stats_sa(p, req, c);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = (*(struct child *const *)a)->c.child_id, y = (*(struct child *const *)b)->c.child_id;
    return x < y ? -1 : x > y;
}

// The first ones from some number on: a heap whose greatest is on top, so that a page of a hundred thousand
// sorts no more than it has.
struct first {
    size_t count, most;
    struct child *at[LIST_PAGE_MAX + 1];
};

static bool is_behind(const struct child *a, const struct child *b)
{
    return a->c.child_id > b->c.child_id;
}

static void sink(struct first *f, struct child *c)
{
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < f->count; i = k) {
        k += k + 1 < f->count && is_behind(f->at[k + 1], f->at[k]);
        if (!is_behind(f->at[k], c))
            break;
        f->at[i] = f->at[k];
    }
    f->at[i] = c;
}

static void rise(struct first *f, struct child *c)
{
    size_t i = f->count++;
    for (; i && is_behind(c, f->at[(i - 1) / 2]); i = (i - 1) / 2)
        f->at[i] = f->at[(i - 1) / 2];
    f->at[i] = c;
}

// In their order: what comes or goes between two pages moves none of the others.
static void collect(const struct path *p, uint64_t from, struct first *f)
{
    for (struct child *c = p->survivors ? p->children : NULL; c; c = c->next) {
        if (!c->survivor || c->dying || c->c.child_id < from)
            continue;
        if (f->count < f->most)
            rise(f, c);
        else if (f->count && is_behind(f->at[0], c))
            sink(f, c);
    }
    qsort(f->at, f->count, sizeof(struct child *), by_number);
}

void survivors_list(struct path *p, const struct msg_SURVIVOR_LIST *m)
{
    unsigned page = ipc_page(m->most), i = 0;
    struct first f;
    f.count = 0;
    f.most = page + 1u; // the last one says where the next page begins
    collect(p, m->from, &f);
    for (; i < f.count && i < page && ipc_has_room(p->ctl); i++)
        tell(p, m->req, f.at[i]);
    if (i < f.count)
        ipc_send(p->ctl, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = f.at[i]->c.child_id});
    else
        ipc_result(p->ctl, m->req, true, "%s", "");
}

// NULL: it goes on. One that has come to a hard limit sends no more, and no ike ends it: without it the next
// packet asks for another.
static const char *why_it_ends(const struct path *p, const struct child *c)
{
    if ((int32_t)((uint32_t)loop_now(p->loop) - c->c.survives_to) >= 0)
        return "the ike process that made it is gone";
    if (c->limit_event == CHILD_EVENT_HARD_LIMIT)
        return "it has come to its limit";
    return has_successor(p, c) ? "it has a successor" : NULL;
}

void survivors_look(struct path *p)
{
    for (struct child *c = p->survivors ? p->children : NULL, *next; c; c = next) {
        next = c->next;
        const char *why = c->survivor && !c->dying ? why_it_ends(p, c) : NULL;
        if (!why)
            continue;
        LOGF_SA(1, c, "child %s{%u} ends: %s", c->c.name, c->c.child_id, why);
        sadb_begin_delete(p, c);
    }
    if (!p->survivors && p->virtual_held) {
        p->virtual_held = false;
        survivors_forget(p);
        virtual_let_go(p);
    }
}
