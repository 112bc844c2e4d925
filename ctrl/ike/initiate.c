// SPDX-License-Identifier: Apache-2.0
// Beginning CHILD SAs of a connection: on the IKE SA that there is (RFC 7296 section 1.3.1), or on a new one.
#include "ctrl/ike/initiate.h"

#include <errno.h>
#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/create_child.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/resume.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/unique.h"
#include "ctrl/lib/log.h"

// An SA whose only CHILD SA is what this child was before it was edited: 0, or the SA's number. It goes when
// the new one is there.
static uint32_t outdated(struct ike *ike, const struct conn *c, const struct child_config *child)
{
    for (struct ike_sa *sa = NULL; (sa = sa_of_conn(ike, c->cfg.name, sa));) {
        const struct child_sa *k = sa->children;
        if (child && sa->state == SA_ESTABLISHED && k && !k->next && strcmp(k->cfg->name, child->name) == 0 &&
            !edition_serves(k, c, child))
            return sa->id;
    }
    return 0;
}

struct ike_sa *initiate_to(struct ike *ike, struct conn *c, const struct child_config *child,
                           const struct net_path *path, const struct redirection *redirected)
{
    struct ike_sa *sa = ike->stopping || conn_is_closed(ike, c) ? NULL : sa_new(ike, c, true, path);
    if (!sa)
        return NULL;
    sa->hs->later->child = child;
    sa->replaces = outdated(ike, c, child);
    if (redirected)
        sa->later->redirection = *redirected;
    log_set_context(c->cfg.name, sa->id);
    exchange_queue(sa, resume_begin(sa) ? TASK_RESUME : TASK_INIT, 0);
    log_set_context("", 0);
    return sa;
}

int initiate_anew(struct ike *ike, struct conn *c, const struct child_config *child, struct esp_error *err)
{
    struct net_path path;
    struct esp_error local = {0};
    int rc = conn_path(ike, &c->cfg, &path, err ? err : &local);
    if (rc) {
        if (!err)
            LOGF(IKE, 0, "initiating %s: %s", c->cfg.name, local.text);
        return rc;
    }
    if (ike->stopping)
        return esp_fail(err, -ESHUTDOWN, "", "the daemon is shutting down");
    if (conn_is_closed(ike, c))
        return esp_fail(err, -EPERM, "",
                        "connection '%.100s' is the fleet's, and not this node's: see espalier fleet status",
                        c->cfg.name);
    return initiate_to(ike, c, child, &path, NULL) ? 0 : esp_fail(err, -ENOMEM, "", "no memory");
}

// We are making it, with a CHILD SA of its own: what else is wanted of it waits until it is there.
static bool being_made(const struct ike_sa *sa)
{
    return sa->state == SA_CONNECTING && sa->initiator && sa->hs && sa->hs->later->child;
}

// An IKE SA of the connection as it is loaded now: a further CHILD SA is made there (RFC 7296 1.3.1). Rather
// not on one that is about to end for another's sake: its children would go with it. Nor on one without the
// virtual addresses that the connection asks for: they come with IKE_AUTH alone (RFC 7296 2.19).
static struct ike_sa *reusable(struct ike *ike, struct conn *c)
{
    struct ike_sa *going = NULL, *coming = NULL;
    for (struct ike_sa *sa = NULL; (sa = sa_of_conn(ike, c->cfg.name, sa));) {
        if (conn_same_ike(sa->conn, c) && being_made(sa))
            coming = sa;
        if (sa->state != SA_ESTABLISHED || !sa_follows(sa, c) || sa->wanted_new || sa->hs ||
            (c->cfg.vip_count && !sa->local_vip_count))
            continue;
        if (!unique_goes(sa))
            return sa;
        going = sa;
    }
    return coming ? coming : going;
}

struct ike_sa *initiate_on(struct ike *ike, struct conn *c, const struct child_config *child)
{
    return outdated(ike, c, child) ? NULL : reusable(ike, c);
}

int initiate_child(struct ike *ike, struct conn *c, const struct child_config *child, struct esp_error *err)
{
    struct ike_sa *sa = ike->stopping ? NULL : initiate_on(ike, c, child);
    if (!sa)
        return initiate_anew(ike, c, child, err);
    log_set_context(c->cfg.name, sa->id);
    bool ok = create_child_begin(sa, c, child);
    log_set_context("", 0);
    return ok ? 0 : esp_fail(err, -ENOMEM, "", "no memory");
}
