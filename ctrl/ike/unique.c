// SPDX-License-Identifier: Apache-2.0
// One IKE SA between two identities (RFC 7296 section 2.4): who is the first to a peer, which of two goes,
// and when.
#include "ctrl/ike/unique.h"

#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

// An established one with the same name of ours at that address: it may be with the same peer.
static bool host_is_known(const struct ike_sa *sa, const struct identity *own)
{
    for (struct ike_sa *o = NULL; (o = sa_at_host(sa->ike, &sa->path.remote, o)) != NULL;)
        if (o != sa && identity_eq(o->local_id, own))
            return true;
    return false;
}

bool sa_first_to_peer(const struct ike_sa *sa)
{
    struct identity own, peer;
    rounds_last_ids(sa, &own, &peer);
    if (peer.type == ID_ANY && host_is_known(sa, &own))
        return false; // 2.4: it is not said of whom we know not
    return sa->conn->cfg.unique != UNIQUE_NEVER && !sa_is_between(&own, &peer, sa);
}

// One that we have begun may be there for the peer before it is for us. Of a connection that names no peer we
// begin none, and it may have a hundred thousand.
bool sa_only_one(const struct ike_sa *sa)
{
    struct ike_sa *o = NULL;
    while (conn_names_a_peer(&sa->conn->cfg) && (o = sa_of_conn(sa->ike, sa->conn->cfg.name, o)) != NULL)
        if (o->initiator && o->state == SA_CONNECTING)
            return false;
    return sa_first_to_peer(sa);
}

static bool serves(const struct child_sa *c, const struct child_sa *of)
{
    bool outlived = c->successor && child_by_id(c->sa->ike, c->successor);
    return child_is_up(c) && !outlived && conn_same_child(c->conn, c->cfg, of->conn, of->cfg);
}

static struct child_sa *served_by(const struct child_sa *of, const struct child_sa *but)
{
    const struct ike_sa *sa = of->sa;
    for (struct ike_sa *o = NULL; (o = sa_twin(sa, o)) != NULL;) {
        if (o->replaced || !addr_eq(&o->path.remote, &sa->path.remote))
            continue;
        struct child_sa *newest = NULL; // of two: an earlier one goes, and the other takes over from that
        for (struct child_sa *c = o->children; c; c = c->next)
            if (c != but && serves(c, of))
                newest = c;
        if (newest)
            return newest;
    }
    return NULL;
}

struct child_sa *sa_served_already(const struct child_sa *of)
{
    return served_by(of, NULL);
}

// Both ends initiated before either was done: each would take its own for the newer one (2.8.1 has the like
// for CHILD SAs). Both know both SPIs and come to the same end, but only the one that began an SA knows what
// it knew by then: that end alone deletes it. Where it had its reasons (it reauthenticates), it keeps it. Who
// has rekeyed the earlier one meanwhile, and when, has initiated nothing.
static bool crossing(const struct ike_sa *sa, const struct ike_sa *earlier)
{
    return sa->initiator != earlier->line_ours && sa->began_at <= earlier->later->line_at;
}

// The peer began so soon after our own was up that its request may have been lost once on its way.
enum { CLOSE_MS = 2000 };
static bool perhaps_crossing(const struct ike_sa *sa, const struct ike_sa *earlier)
{
    return !sa->initiator && earlier->line_ours && sa->began_at <= earlier->later->line_at + CLOSE_MS;
}

static bool survives(const struct ike_sa *a, const struct ike_sa *b)
{
    return a->spi_i < b->spi_i;
}

// SUCCESSION: for as many CHILD SAs as the old one had. OVERLAP: until our packets go by the newer one, which
// they do when the peer's come by it, or in two seconds (auth_respond.c).
enum { SUCCESSION_MS = 10000, OVERLAP_MS = 3000 };

static void replaced_late(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    if (!sa_twin(sa, NULL)) { // what was to replace it is gone
        sa->crossed = false;
        sa->ike->events->sa_at_rest(sa);
        return;
    }
    log_set_context(sa->conn->cfg.name, sa->id);
    sa_why(sa, "replaced by another IKE_SA");
    sa->ike->events->sa_replaced(sa);
    sa_delete(sa);
    log_set_context("", 0);
}

bool unique_goes(const struct ike_sa *sa)
{
    return sa->life.armed && sa->life.fire == replaced_late;
}

static void end_in(struct ike_sa *sa, uint64_t ms)
{
    sa->life.fire = replaced_late;
    sa->life.ctx = sa;
    timer_set(sa->ike->loop, &sa->life, loop_now(sa->ike->loop) + ms);
}

// Its end is the peer's to bring about; if that does not, it ends all the same.
static void leave_to_peer(struct ike_sa *sa)
{
    end_in(sa, SUCCESSION_MS);
}

static unsigned children_up(const struct ike_sa *sa)
{
    unsigned up = 0;
    for (const struct child_sa *c = sa->children; c; c = c->next)
        up += child_is_up(c);
    return up;
}

static bool is_served(const struct ike_sa *sa)
{
    unsigned served = 0, up = children_up(sa);
    for (const struct child_sa *c = sa->children; c; c = c->next)
        served += child_is_up(c) && sa_served_already(c);
    return up && served == up;
}

// A peer that reauthenticates makes the CHILD SAs one after another on the new IKE SA, and ends the old one
// itself. The only one that is left may not be that which it has made first.
static bool wait_for_successors(struct ike_sa *sa, struct ike_sa *old)
{
    unsigned up = children_up(old);
    if (sa->initiator || !up || !addr_eq(&sa->path.remote, &old->path.remote))
        return false;
    end_in(old, up < 2 && is_served(old) ? OVERLAP_MS : SUCCESSION_MS);
    return true;
}

static void end_duplicate(struct ike_sa *sa, struct ike_sa *old, bool initial_contact)
{
    char id[ID_TEXT_MAX];
    identity_print(sa->remote_id, id, sizeof(id));
    sa_alert(old, ALERT_REPLACED);
    if (initial_contact) {
        LOGF(IKE, 0, "destroying duplicate IKE_SA for peer '%s', received INITIAL_CONTACT", id);
        sa_why(old, "replaced: the peer sent INITIAL_CONTACT");
        sa->ike->events->sa_replaced(old);
        sa_destroy(old);
    } else if (!wait_for_successors(sa, old)) {
        LOGF(IKE, 0, "deleting duplicate IKE_SA for peer '%s' due to uniqueness policy", id);
        sa_why(old, "replaced by a newer IKE_SA");
        sa->ike->events->sa_replaced(old);
        sa_delete(old);
    }
}

// False: sa itself is the one that goes. Its predecessor carries what goes out until the peer's is in use.
static bool end_crossing(struct ike_sa *sa, struct ike_sa *o)
{
    struct ike_sa *loser = survives(o, sa) ? sa : o,
                  *old = sa->replaces ? sa_by_id(sa->ike, sa->replaces) : NULL;
    loser->crossed = loser->initiator;
    if (!loser->initiator) {
        leave_to_peer(loser);
    } else if (loser == o) {
        end_duplicate(sa, o, false);
    } else {
        LOGF(IKE, 0, "both ends initiated at once: deleting IKE_SA %s, the peer's stays", sa_label(sa));
        sa->replaces = 0;
        if (old && old->state == SA_ESTABLISHED)
            leave_to_peer(old);
        sa_why(sa, "replaced: both ends initiated at once");
        sa->ike->events->sa_replaced(sa);
        sa_delete(sa);
    }
    return loser != sa;
}

// INITIAL_CONTACT says nothing of what came about since sa began: it may have been said before the peer had
// that (2.4), and to end it in silence would leave the peer sending into it. In an answer it says nothing of
// other gateways, which may have the same name: each knows of its own.
static bool is_said_of(const struct ike_sa *sa, const struct ike_sa *o)
{
    const struct net_path *a = &sa->path, *b = &o->path;
    const struct mobike *m = &o->later->mobike;
    bool there = !sa->initiator || (addr_eq(&a->remote, &b->remote) && a->remote_port == b->remote_port);
    for (unsigned i = 0; i < m->count && !there; i++)
        there = addr_eq(&m->others[i], &a->remote);
    return there && sa->began_at > o->established_at;
}

// The peer has forgotten those too that wait for it to answer their DELETE, which it never will.
static void end_what_was_ending(struct ike_sa *sa)
{
    struct ike_sa *next;
    for (struct ike_sa *o = sa_twin_in(SA_DELETING, sa, NULL); o; o = next) {
        next = sa_twin_in(SA_DELETING, sa, o);
        if (is_said_of(sa, o))
            end_duplicate(sa, o, true);
    }
}

void sa_unique(struct ike_sa *sa, bool initial_contact)
{
    uint8_t mode = sa->conn->cfg.unique;
    struct ike_sa *next;
    if (mode == UNIQUE_NEVER)
        return;
    if (initial_contact)
        end_what_was_ending(sa);
    for (struct ike_sa *o = sa_twin(sa, NULL); o; o = next) {
        bool said = initial_contact && is_said_of(sa, o);
        bool both = !said && crossing(sa, o), perhaps = !said && !both && perhaps_crossing(sa, o);
        next = sa_twin(sa, o);
        if (o->id == sa->replaces)
            continue; // it goes when all of its CHILD SAs have a successor
        // Whatever is allowed beside another: nobody asked for two by one connection.
        bool one = (both || perhaps) && strcmp(sa->conn->cfg.name, o->conn->cfg.name) == 0;
        if (mode != UNIQUE_REPLACE && !said && !one)
            continue;
        if (perhaps) {
            o->crossed = true;
            leave_to_peer(o);
        } else if (!both) {
            end_duplicate(sa, o, said);
        } else if (!end_crossing(sa, o)) {
            return;
        }
    }
}

static bool shares_address(const struct ike_sa *a, const struct ike_sa *b)
{
    for (unsigned i = 0; i < a->local_vip_count; i++)
        for (unsigned k = 0; k < b->local_vip_count; k++)
            if (addr_eq(&a->vips->local[i].a, &b->vips->local[k].a))
                return true;
    return false;
}

// The peer has given an address of its pools to another name of ours than it had before: it knows nothing of
// that one any more, by which what comes from the address would go on going out.
void unique_address(struct ike_sa *sa)
{
    for (struct ike_sa *o = sa->local_vip_count ? sa_at_host(sa->ike, &sa->path.remote, NULL) : NULL, *next;
         o; o = next) {
        next = sa_at_host(sa->ike, &sa->path.remote, o);
        if (o == sa || !shares_address(sa, o) || sa->began_at <= o->established_at ||
            identity_eq(o->local_id, sa->local_id) || !identity_eq(o->remote_id, sa->remote_id))
            continue;
        LOGF(IKE, 0, "IKE_SA %s ends: the peer has given its virtual IP to this one", sa_label(o));
        sa_why(o, "replaced: the peer has given its virtual IP away");
        sa->ike->events->sa_replaced(o);
        sa_destroy(o);
    }
}

// --- the one that goes ---

void unique_step_aside(struct ike_sa *sa)
{
    for (struct child_sa *c = sa->children; c; c = c->next) {
        struct child_sa *other = child_is_up(c) ? sa_served_already(c) : NULL;
        if (other)
            child_step_aside(c, other);
    }
}

void unique_child_up(struct child_sa *c)
{
    if (c->sa->state == SA_DELETING) {
        unique_step_aside(c->sa);
        return;
    }
    for (struct ike_sa *o = NULL; (o = sa_twin_in(SA_DELETING, c->sa, o)) != NULL;)
        for (struct child_sa *k = o->children; k; k = k->next)
            if (child_is_up(k) && conn_same_child(k->conn, k->cfg, c->conn, c->cfg))
                child_step_aside(k, c);
}

// What the peer has made anew on another IKE SA waits for it to take that up, and goes on in what has c's
// place.
void unique_child_closes(struct child_sa *c)
{
    for (struct ike_sa *o = NULL; (o = sa_twin(c->sa, o)) != NULL;)
        for (struct child_sa *k = o->children; k; k = k->next) {
            struct child_sa *other = child_is_up(k) && k->out_after == c->id ? served_by(k, c) : NULL;
            if (other)
                child_step_aside(k, other);
        }
}

static bool closes(const struct ike_sa *sa, const struct child_sa *like)
{
    for (const struct child_sa *k = sa->children; k; k = k->next)
        if (k->unwanted && !k->replaced && conn_same_child(k->conn, k->cfg, like->conn, like->cfg))
            return true;
    const struct task *all[] = {sa->active, sa->queue}; // by force
    for (unsigned i = 0; i < 2; i++)
        for (const struct task *t = all[i]; t; t = t->next)
            if (t->kind == TASK_DELETE_CHILD && t->spi && t->reqid == like->reqid)
                return true;
    return false;
}

// The peer reauthenticates, and what it has made anew is being closed here: it had not heard of that yet.
// Another host of that name has not asked for what goes there.
void unique_child_made(struct child_sa *c)
{
    struct ike_sa *o = NULL;
    while ((o = sa_twin(c->sa, o)) != NULL &&
           !(addr_eq(&o->path.remote, &c->sa->path.remote) && closes(o, c)))
        ;
    if (!o)
        return;
    LOGF_SA(IKE, 1, c,
            "CHILD_SA %s{%u} is made by the peer as that of IKE_SA %s is being closed: it goes, too",
            c->cfg->name, c->id, sa_label(o));
    exchange_queue(c->sa, TASK_DELETE_CHILD, c->id);
}

static void lingered(struct timer *t)
{
    sa_destroy(t->ctx);
}

// Where another one has all of its traffic, what the peer sent by this one's CHILD SAs until it had our
// DELETE may still be on its way, behind the answer too. Nobody begins an exchange on it any more: the last
// one is at work.
enum { LINGER_MS = 500 };

void unique_deleted(struct ike_sa *sa)
{
    if (sa->job || !is_served(sa)) {
        sa_destroy(sa);
        return;
    }
    sa_stop_work(sa);
    for (struct child_sa *c = sa->children; c; c = c->next)
        child_send_no_more(c);
    sa->life.fire = lingered;
    sa->life.ctx = sa;
    timer_set(sa->ike->loop, &sa->life, loop_now(sa->ike->loop) + LINGER_MS);
}
