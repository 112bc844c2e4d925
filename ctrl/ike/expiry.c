// SPDX-License-Identifier: Apache-2.0
// What is done with CHILD and IKE SAs that are due: what can be is rekeyed, a hard limit ends what was not
// replaced in time, and what lingered after its DELETE goes.
#include "ctrl/ike/expiry.h"

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/create_child.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/rekey_ike.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

// --- CHILD SAs ---

// What c took the place of goes too, where its maker has not deleted it yet: with c gone it would go on.
void expiry_unwanted(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    c->unwanted = true;
    create_child_unwanted(sa, c->id);
    revive_unwanted(c);
    for (struct child_sa *k = sa->children; k; k = k->next)
        if (k->state == CHILD_REKEYED && k->successor == c->id &&
            !task_is_asked(sa, TASK_DELETE_CHILD, k->id))
            exchange_queue(sa, TASK_DELETE_CHILD, k->id);
}

// Unlike a limit, for which what our rekeying makes meanwhile comes just in time.
void expiry_close(struct child_sa *c)
{
    expiry_unwanted(c);
    exchange_queue(c->sa, TASK_DELETE_CHILD, c->id);
}

// What is of a connection that is loaded no more path takes nothing for, once its own policy has died with
// the SA that needed it.
static bool is_over(const struct child_sa *c)
{
    const struct conn *live = conn_find(c->sa->ike, c->sa->conn->cfg.name);
    return edition_is_over(c) || (c->lost && (!live || live->leaving));
}

enum { LOST_AGAIN_MS = 1000 };

void expiry_rekey(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    c->rekey_at = 0;
    if (child_is_to_go(c)) // and nothing is to come in its place
        return;
    if (child_is_up(c) && is_over(c) && sa->state == SA_ESTABLISHED) {
        expiry_close(c);
        return;
    }
    if (c->state == CHILD_INSTALLED && !c->replaced && sa->state == SA_ESTABLISHED &&
        !task_is_asked(sa, TASK_REKEY_CHILD, c->id))
        exchange_queue(sa, TASK_REKEY_CHILD, c->id);
    else if (c->lost && child_is_up(c)) // it is at work, or its IKE SA is: it must come to it
        c->rekey_at = loop_now(sa->ike->loop) + LOST_AGAIN_MS;
}

// In transport mode the selectors are the addresses of the ends, as the NAT shows them (RFC 3948
// section 3.1.2).
void expiry_moved(struct ike_sa *sa)
{
    for (struct child_sa *c = sa->children; c; c = c->next)
        if (c->cfg->mode == MODE_TRANSPORT)
            expiry_rekey(c);
}

void expiry_limit(struct child_sa *c, const char *what)
{
    struct ike_sa *sa = c->sa;
    if (c->state != CHILD_INSTALLED && c->state != CHILD_REKEYING)
        return;
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF_SA(KNL, 0, c, "CHILD_SA %s{%u} reached its hard limit%s, closing it", c->cfg->name, c->id, what);
    c->life_at = 0;
    revive_limit(c);
    exchange_queue(sa, TASK_DELETE_CHILD, c->id);
    log_set_context("", 0);
}

void expiry_child(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    uint64_t now = loop_now(sa->ike->loop);
    log_set_context(sa->conn->cfg.name, sa->id);
    if (c->state == CHILD_DELETED) {
        child_destroy(c);
        revive_watch(sa);
    } else if (c->undeleted) {
        c->undeleted = false;
        exchange_queue(sa, TASK_DELETE_CHILD, c->id);
    } else if (c->state == CHILD_REKEYED) {
        if (!c->loser)
            LOGF_SA(IKE, 1, c, "the peer does not delete the replaced CHILD_SA %s{%u}, closing it",
                    c->cfg->name, c->id);
        exchange_queue(sa, TASK_DELETE_CHILD, c->id);
    } else if (c->life_at && now >= c->life_at) {
        expiry_limit(c, " of time");
    } else {
        if (c->out_at && now >= c->out_at) {
            c->out_at = 0;
            child_use_outbound(c);
        }
        if (c->rekey_at && now >= c->rekey_at)
            expiry_rekey(c);
        if (sa->state != SA_DEAD)
            lifetime_child_arm(c);
    }
    log_set_context("", 0);
}

// --- IKE SAs ---

void expiry_unasked(struct ike_sa *sa, enum task_kind kind, uint32_t child_id)
{
    struct child_sa *c = child_id ? child_by_id(sa->ike, child_id) : NULL;
    if (kind == TASK_REKEY_IKE) {
        lifetime_ike_retry(sa, MEMORY_MS);
    } else if (kind == TASK_MOBIKE) {
        sa->later->mobike.unasked = true;
        lifetime_ike_arm(sa);
    } else if (c && kind == TASK_REKEY_CHILD) {
        child_retry_rekey(c);
    } else if (c && kind == TASK_DELETE_CHILD && c->state != CHILD_DELETING && c->state != CHILD_DELETED) {
        c->undeleted = true;
        lifetime_child_arm(c);
    }
}

static void over(struct ike_sa *sa)
{
    if (sa->retired) {
        sa_why(sa, "replaced by a newer IKE_SA");
        sa->ike->events->sa_replaced(sa);
        sa_delete(sa);
        return;
    }
    LOGF(IKE, 0, "IKE_SA %s reached its hard limit of time, closing it", sa_label(sa));
    sa_alert(sa, ALERT_EXPIRED);
    for (struct child_sa *c = sa->children; c; c = c->next)
        if (child_is_up(c))
            revive_limit(c);
    sa_why(sa, "it reached its hard limit");
    sa_delete(sa);
}

void expiry_ike(struct ike_sa *sa)
{
    uint64_t now = loop_now(sa->ike->loop);
    if (sa->state != SA_ESTABLISHED)
        return;
    log_set_context(sa->conn->cfg.name, sa->id);
    if (sa->later->over_at && now >= sa->later->over_at) {
        over(sa);
    } else {
        if (sa->later->rekey_at && now >= sa->later->rekey_at) {
            sa->later->rekey_at = 0;
            rekey_ike(sa);
        }
        if (sa->later->reauth_at && now >= sa->later->reauth_at) {
            sa->later->reauth_at = 0;
            revive_reauth_due(sa);
        }
        if (sa->state == SA_ESTABLISHED && sa->later->mobike.unasked)
            mobike_ask(sa);
        if (sa->state == SA_ESTABLISHED)
            lifetime_ike_arm(sa);
    }
    log_set_context("", 0);
}
