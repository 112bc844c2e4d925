// SPDX-License-Identifier: Apache-2.0
// IKE SAs that begin without a CHILD SA (RFC 6023): the responder says in IKE_SA_INIT that it takes them, and
// IKE_AUTH then leaves the CHILD SA's payloads out. What is wanted follows by CREATE_CHILD_SA, with a key
// exchange of its own where its proposal has one.
#include "ctrl/ike/childless.h"

#include "ctrl/ike/conns.h"
#include "ctrl/ike/create_child.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

void childless_read(struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    sa->hs->peer_childless = notify_find(pl, N_CHILDLESS_IKEV2_SUPPORTED, &n);
}

static bool must(const struct ike_sa *sa)
{
    return !sa->hs->later->child || sa->conn->cfg.childless == CHILDLESS_FORCE;
}

const char *childless_fault(const struct ike_sa *sa)
{
    return must(sa) && !sa->hs->peer_childless
               ? "the peer takes no IKE_SA without a CHILD_SA, which is asked for (RFC 6023)"
               : NULL;
}

bool childless_wanted(const struct ike_sa *sa)
{
    return must(sa) || (sa->hs->peer_childless && sa->conn->cfg.childless == CHILDLESS_PREFER);
}

void childless_up(struct task *t)
{
    struct ike_sa *sa = t->sa;
    const struct child_config *child = sa->hs->later->child;
    bool unwanted = sa->hs->later->unwanted;
    handshake_free(sa);
    sa->alone = !child;
    if (!child)
        sa->ike->events->sa_alone(sa);
    else if (unwanted)
        sa->ike->events->child_failed(sa, child->name, "it was closed meanwhile");
    else if (!create_child_begin(sa, sa->conn, child))
        sa->ike->events->child_failed(sa, child->name, "no memory");
    exchange_done(sa);
}

void childless_put(struct pb *b, const struct ike_sa *sa)
{
    if (sa->conn->cfg.childless != CHILDLESS_NEVER)
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_CHILDLESS_IKEV2_SUPPORTED, slice_of(NULL, 0));
}

uint16_t childless_refuses_none(const struct ike_sa *sa)
{
    return sa->conn->cfg.childless == CHILDLESS_NEVER ? N_INVALID_SYNTAX : 0;
}

uint16_t childless_refuses_one(const struct ike_sa *sa)
{
    if (sa->conn->cfg.childless != CHILDLESS_FORCE)
        return 0;
    LOGF(IKE, 1, "the peer asks for a CHILD_SA in IKE_AUTH, and childless is force");
    return N_NO_ADDITIONAL_SAS;
}
