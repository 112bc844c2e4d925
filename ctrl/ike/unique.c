// SPDX-License-Identifier: Apache-2.0
// One IKE SA between two identities (RFC 7296 section 2.4): who is the first to a peer, which of two goes,
// and when.
#include "ctrl/ike/unique.h"

#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"
#include "ctrl/lib/log.h"

// An established one with the same name of ours at that address: it may be with the same peer.
static bool host_is_known(const struct ike_sa *sa)
{
    for (struct ike_sa *o = NULL; (o = sa_at_host(sa->ike, &sa->path.remote, o)) != NULL;)
        if (o != sa && identity_eq(&o->local_id, &sa->local_id))
            return true;
    return false;
}

bool sa_first_to_peer(const struct ike_sa *sa)
{
    if (sa->remote_id.type == ID_ANY && host_is_known(sa))
        return false; // 2.4: it is not said of whom we know not
    return sa->conn->cfg.unique != UNIQUE_NEVER && !sa_twin(sa, NULL);
}

struct child_sa *sa_served_already(const struct ike_sa *sa, const struct child_config *cfg)
{
    for (struct ike_sa *o = NULL; (o = sa_twin(sa, o)) != NULL;) {
        if (o->replaced || !addr_eq(&o->path.remote, &sa->path.remote))
            continue;
        for (struct child_sa *c = o->children; c; c = c->next)
            if (child_is_up(c) && conn_same_child(o->conn, c->cfg, sa->conn, cfg))
                return c;
    }
    return NULL;
}

// Both ends initiated before either was done: each would take its own for the newer one (2.8.1 has the like
// for CHILD SAs). Both know both SPIs, and come to the same end; but one of them sees the first established
// an exchange and its repetitions earlier than the other, so whatever is close counts as crossing.
enum { CLOSE_MS = 2000 };
static bool crossing(const struct ike_sa *a, const struct ike_sa *b)
{
    return a->initiator != b->initiator && a->began_at <= b->established_at + CLOSE_MS &&
           b->began_at <= a->established_at + CLOSE_MS;
}

static bool survives(const struct ike_sa *a, const struct ike_sa *b)
{
    return a->spi_i < b->spi_i;
}

enum { SUCCESSION_MS = 10000 };

static void replaced_late(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    sa_why(sa, "replaced by a newer IKE_SA");
    sa_delete(sa);
}

// A peer that reauthenticates makes the CHILD SAs one after another on the new IKE SA, and ends the old one
// itself.
static bool wait_for_successors(struct ike_sa *sa, struct ike_sa *old)
{
    unsigned up = 0;
    for (const struct child_sa *c = old->children; c; c = c->next)
        up += child_is_up(c);
    if (sa->initiator || up < 2 || !addr_eq(&sa->path.remote, &old->path.remote))
        return false;
    old->life.fire = replaced_late;
    old->life.ctx = old;
    timer_set(sa->ike->loop, &old->life, loop_now(sa->ike->loop) + SUCCESSION_MS);
    return true;
}

static void end_duplicate(struct ike_sa *sa, struct ike_sa *old, bool initial_contact)
{
    char id[ID_TEXT_MAX];
    identity_print(&sa->remote_id, id, sizeof(id));
    if (initial_contact) {
        LOGF(IKE, 0, "destroying duplicate IKE_SA for peer '%s', received INITIAL_CONTACT", id);
        sa_why(old, "replaced: the peer sent INITIAL_CONTACT");
        sa_destroy(old);
    } else if (!wait_for_successors(sa, old)) {
        LOGF(IKE, 0, "deleting duplicate IKE_SA for peer '%s' due to uniqueness policy", id);
        sa_why(old, "replaced by a newer IKE_SA");
        sa_delete(old);
    }
}

void sa_unique(struct ike_sa *sa, bool initial_contact)
{
    uint8_t mode = sa->conn->cfg.unique;
    struct ike_sa *next;
    if (mode == UNIQUE_NEVER)
        return;
    for (struct ike_sa *o = sa_twin(sa, NULL); o; o = next) {
        // INITIAL_CONTACT may have been said before the peer had this one: of what came about since its SA
        // began it says nothing (2.4), and ending that in silence would leave the peer sending into it.
        bool said = initial_contact && sa->began_at > o->established_at, both = !said && crossing(sa, o);
        next = sa_twin(sa, o);
        if (o->id == sa->replaces && !said)
            continue; // it goes when all of its CHILD SAs have a successor
        // Whatever is allowed beside another: nobody asked for two by one connection.
        if (mode != UNIQUE_REPLACE && !said && !(both && strcmp(sa->conn->cfg.name, o->conn->cfg.name) == 0))
            continue;
        if (both && survives(o, sa)) {
            LOGF(IKE, 0, "both ends initiated at once: deleting IKE_SA %s, the peer keeps the other one, too",
                 sa_label(sa));
            sa_why(sa, "replaced: both ends initiated at once");
            sa_delete(sa);
            return;
        }
        end_duplicate(sa, o, said);
    }
}
