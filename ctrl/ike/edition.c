// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ike/edition.h"

#include <stddef.h>
#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/create_child.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/load.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

// What is being negotiated is negotiated by what it was begun with.
bool sa_follows(struct ike_sa *sa, struct conn *c)
{
    if (sa->conn == c)
        return true;
    if (sa->hs || sa->state == SA_CONNECTING || !conn_same_ike(sa->conn, c))
        return false;
    sa_set_conn(sa, c);
    return true;
}

// Of what is equal nothing of the former edition has to be kept. Equal as they are written, its dynamic
// selectors may stand for other addresses by now: a CHILD SA of the former ones stays what it is.
static void child_follow(struct child_sa *k, struct conn *c)
{
    const struct child_config *cfg = conn_child(c, k->cfg->name);
    struct conn *was = k->conn;
    if (was == c || !cfg || !conn_child_eq(k->cfg, cfg) ||
        !(conn_same_child(was, k->cfg, c, cfg) || conn_takes(c, cfg, k)))
        return;
    k->cfg = cfg;
    k->conn = c;
    c->refs++;
    conn_unref(was);
}

// --- renamed ---

static bool same_selectors(const struct child_config *a, const struct child_config *b)
{
    return a->action == b->action && a->mode == b->mode && a->if_id == b->if_id &&
           ts_lists_eq(a->local_ts, b->local_ts) && ts_lists_eq(a->remote_ts, b->remote_ts);
}

static const struct child_config *for_the_same(const struct conn *c, const struct child_config *child)
{
    for (unsigned i = 0; i < c->cfg.child_count; i++)
        if (same_selectors(&c->cfg.children[i], child))
            return &c->cfg.children[i];
    return NULL;
}

const struct child_config *edition_child(const struct conn *c, const struct child_sa *k)
{
    const struct child_config *named = conn_child(c, k->cfg->name);
    return named ? named : for_the_same(c, k->cfg);
}

bool edition_serves(const struct child_sa *k, const struct conn *c, const struct child_config *child)
{
    return conn_same_child(k->conn, k->cfg, c, child) ||
           (strcmp(k->cfg->name, child->name) == 0 && k->cfg->priority == child->priority &&
            k->conn->peer == c->peer && conn_takes(c, child, k));
}

// Another one of c with its peer, or on its way to it. One for anybody has thousands, which are all the
// peers': those of that peer are found by its address, and it begins none.
static struct ike_sa *another(const struct ike_sa *sa, const struct conn *c)
{
    const struct addr *peer = &sa->path.remote;
    struct ike_sa *o = NULL;
    while ((o = sa_at_host(sa->ike, peer, o)) != NULL)
        if (o != sa && !o->retired && strcmp(o->conn->cfg.name, c->cfg.name) == 0)
            return o;
    while (conn_names_a_peer(&c->cfg) && (o = sa_of_conn(sa->ike, c->cfg.name, o)) != NULL)
        if (o != sa && o->state == SA_CONNECTING && o->initiator && !o->successor &&
            addr_eq(&o->path.remote, peer))
            break;
    return o;
}

struct heir { // of the connection of an IKE SA
    const struct ike_sa *sa;
    struct conn *conn;
    unsigned alike; // so many of its CHILD SAs; where it has none, children
};

static unsigned children_alike(const struct conn *a, const struct conn *b)
{
    unsigned n = 0;
    for (unsigned i = 0; i < a->cfg.child_count; i++)
        n += for_the_same(b, &a->cfg.children[i]) != NULL;
    return n;
}

static void look_at(void *ctx, struct conn *c)
{
    struct heir *h = ctx;
    unsigned up = 0, alike = 0;
    if (c->leaving || strcmp(c->cfg.name, h->sa->conn->cfg.name) == 0)
        return;
    for (const struct child_sa *k = h->sa->children; k; k = k->next) {
        up += child_is_up(k);
        alike += child_is_up(k) && for_the_same(c, k->cfg) != NULL;
    }
    if (!up && !another(h->sa, c))
        alike = children_alike(h->sa->conn, c);
    if (alike > h->alike) {
        h->conn = c;
        h->alike = alike;
    }
}

static void go_on_as(struct ike_sa *sa, struct conn *c)
{
    struct conn *was = sa->conn;
    struct ike_sa *other = another(sa, c);
    LOGF(IKE, 1, "IKE_SA %s is of connection '%s' from now on: that is the same by another name",
         sa_label(sa), c->cfg.name);
    was->refs++;
    sa_set_conn(sa, c);
    counts_children_follow(sa, was->counts);
    for (struct child_sa *k = sa->children; k; k = k->next)
        child_follow(k, c);
    create_child_follow(sa, c);
    sa->ike->events->sa_renamed(sa, was, other);
    conn_unref(was);
}

// What is being negotiated comes to rest first.
void edition_look(struct ike_sa *sa)
{
    const struct conn *live = conn_find(sa->ike, sa->conn->cfg.name);
    struct heir h = {.sa = sa};
    if ((live && !live->leaving) || sa->hs || sa->state != SA_ESTABLISHED)
        return;
    conn_each_alike(sa->ike, sa->conn, look_at, &h);
    if (h.conn)
        go_on_as(sa, h.conn);
}

// As long as it has SAs, which hold it. Without memory it is not found when the connection comes back.
static void note_stray(struct ike *ike, struct conn *c)
{
    if (!c->stray && table_add(&ike->strays, &c->by_name, c->ike_part))
        c->stray = &ike->strays;
}

static void all_look(struct ike *ike, const struct conn *was, bool note)
{
    for (struct ike_sa *sa = sa_of_conn(ike, was->cfg.name, NULL), *next; sa; sa = next) {
        next = sa_of_conn(ike, was->cfg.name, sa);
        edition_look(sa);
        if (note && strcmp(sa->conn->cfg.name, was->cfg.name) == 0)
            note_stray(ike, sa->conn);
    }
}

void edition_removed(struct ike *ike, const struct conn *c)
{
    all_look(ike, c, true);
}

static struct conn *stray_of(struct table_node *n)
{
    struct conn *c = n ? (struct conn *)(void *)((char *)n - offsetof(struct conn, by_name)) : NULL;
    if (c)
        c->refs++;
    return c;
}

// With the last SA that goes on under c its own connection goes, and the one behind it may: both are held.
static void gather(struct ike *ike, const struct conn *c)
{
    struct conn *was = stray_of(table_find(&ike->strays, c->ike_part)), *next;
    for (; was; was = next) {
        next = stray_of(table_next(&was->by_name));
        all_look(ike, was, false);
        conn_unref(was);
    }
}

struct service {
    struct ike *ike;
    const struct conn *conn;
    const struct child_config *child;
    bool found;
};

// Of another priority its policy stands at another place: packets may meet that of s->child first.
static void look_whether_served(void *ctx, struct conn *c)
{
    struct service *s = ctx;
    for (struct ike_sa *sa = NULL; c != s->conn && (sa = sa_of_conn(s->ike, c->cfg.name, sa)) != NULL;)
        for (const struct child_sa *k = sa->children; k && sa->state == SA_ESTABLISHED; k = k->next)
            s->found = s->found || (child_is_up(k) && same_selectors(s->child, k->cfg) &&
                                    s->child->priority == k->cfg->priority);
}

bool edition_is_served(struct ike *ike, const struct conn *c, const struct child_config *child)
{
    struct service s = {ike, c, child, false};
    conn_each_alike(ike, c, look_whether_served, &s);
    return s.found;
}

// --- loaded again ---

void edition_follow(struct ike *ike, struct conn *c)
{
    for (struct ike_sa *sa = sa_of_conn(ike, c->cfg.name, NULL), *next; sa; sa = next) {
        next = sa_of_conn(ike, c->cfg.name, sa);
        if (!sa_follows(sa, c))
            continue;
        for (struct child_sa *k = sa->children; k; k = k->next)
            child_follow(k, c);
    }
    gather(ike, c);
}

static bool is_loaded(const struct child_sa *c)
{
    const struct conn *live = conn_find(c->sa->ike, c->sa->conn->cfg.name);
    const struct child_config *child = live ? conn_child(live, c->cfg->name) : NULL;
    return child && (conn_same_child(c->conn, c->cfg, live, child) ||
                     (live->peer == c->conn->peer && conn_takes(live, child, c)));
}

// Edited, or renamed and about the same.
static bool in_place_of(const struct child_sa *c, const struct child_sa *old)
{
    return strcmp(c->cfg->name, old->cfg->name) == 0 ||
           (ts_lists_eq(c->local_ts, old->local_ts) && ts_lists_eq(c->remote_ts, old->remote_ts));
}

// The DELETE ends it at the peer at once: what was on the way on it comes first, ours and the peer's.
enum { DRAIN_MS = 500 };

static bool is_as_it_is_to_be(const struct child_sa *c)
{
    return is_loaded(c) && !c->outdated;
}

static void closes_soon(struct child_sa *c)
{
    c->rekey_at = loop_now(c->sa->ike->loop) + DRAIN_MS; // which then is none (expiry_rekey)
    lifetime_child_arm(c);
}

void edition_child_up(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    if (!is_loaded(c))
        return;
    for (struct child_sa *k = sa->children; k; k = k->next) {
        if (k == c || !child_is_up(k) || is_as_it_is_to_be(k) || !in_place_of(c, k))
            continue;
        LOGF_SA(IKE, 1, k,
                "CHILD_SA %s{%u} is of what is not loaded any more, %s{%u} is there: closing it soon",
                k->cfg->name, k->id, c->cfg->name, c->id);
        closes_soon(k);
    }
}

void edition_child_rekeyed(struct child_sa *c)
{
    if (edition_is_over(c))
        closes_soon(c);
}

bool edition_is_over(const struct child_sa *c)
{
    if (is_as_it_is_to_be(c))
        return false;
    for (const struct child_sa *k = c->sa->children; k; k = k->next)
        if (k != c && child_is_up(k) && is_as_it_is_to_be(k) && in_place_of(k, c))
            return true;
    return false;
}

// --- what goes on as it was made, though it has been edited ---

static struct conn *loaded_now(const struct ike_sa *sa)
{
    struct conn *live = conn_find(sa->ike, sa->conn->cfg.name);
    return live && !live->leaving ? live : NULL;
}

static bool has_a_child_of(const struct ike_sa *sa, const struct conn *live)
{
    for (const struct child_sa *k = sa->children; k; k = k->next) {
        const struct child_config *child = conn_child(live, k->cfg->name);
        if (child && child->action == POLICY_PROTECT && child_is_up(k) && !child_is_to_go(k))
            return true;
    }
    return false;
}

enum sa_edition edition_of_sa(const struct ike_sa *sa)
{
    const struct conn *live = loaded_now(sa);
    if (sa->state != SA_ESTABLISHED || sa->hs || sa->retired || sa->wanted_new || sa->successor)
        return SA_AS_LOADED;
    if (!live)
        return SA_NOT_LOADED;
    if (live == sa->conn || conn_same_ike(sa->conn, live))
        return SA_AS_LOADED;
    if (!has_a_child_of(sa, live))
        return SA_NO_CHILD;
    return conn_names_a_peer(&live->cfg) ? SA_EDITED : SA_PEER_BEGINS;
}

// Perhaps by one that is called otherwise now.
static bool is_being_replaced(const struct child_sa *c, const struct conn *live)
{
    const struct child_config *child = edition_child(live, c);
    return c->outdated && child && create_child_on_its_way(c->sa, child->name);
}

enum sa_edition edition_of_child(const struct child_sa *c)
{
    const struct conn *live = loaded_now(c->sa);
    bool goes_on = c->sa->state == SA_ESTABLISHED && !c->sa->hs && !c->sa->retired && !c->sa->wanted_new &&
                   child_is_up(c) && !child_is_to_go(c);
    if (!live || !goes_on || !conn_same_ike(c->sa->conn, live) || edition_is_over(c) ||
        is_being_replaced(c, live))
        return SA_AS_LOADED;
    const struct child_config *child = edition_child(live, c);
    if (!child || child->action != POLICY_PROTECT)
        return SA_NOT_LOADED;
    return conn_child_eq(c->cfg, child) && is_loaded(c) ? SA_AS_LOADED : SA_EDITED;
}

bool edition_apply(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    struct conn *live = loaded_now(sa);
    if (edition_of_child(c) != SA_EDITED || !sa_follows(sa, live))
        return false;
    const struct child_config *child = edition_child(live, c);
    LOGF_SA(IKE, 1, c,
            "CHILD_SA %s{%u} was made by what is not loaded any more: another one is made, then it is closed",
            c->cfg->name, c->id);
    c->outdated = true;
    if (!create_child_makes(sa, live, child) && !create_child_begin(sa, live, child))
        c->outdated = false;
    return c->outdated;
}

// Which it was to replace its name does not say, where that was another one. What is asked for once too often
// costs less than what is closed though nothing has come.
void edition_child_failed(struct ike_sa *sa)
{
    for (struct child_sa *k = sa->children; k; k = k->next)
        k->outdated = false;
}
