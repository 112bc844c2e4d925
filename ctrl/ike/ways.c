// SPDX-License-Identifier: Apache-2.0
// See ways.h. What is established moves by MOBIKE (mobike.c); what is being made has nothing to lose yet.
#include "ctrl/ike/ways.h"

#include "ctrl/ike/conns.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"

// A gateway that another one has sent us to is still the one.
bool way_again(const struct ike_sa *sa, struct net_path *path)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    bool redirected = sa->later->redirection.count && sa->active->kind == TASK_INIT;
    int rc = redirected ? conn_path_to(sa->ike, cfg, &sa->path.remote, path, NULL)
                        : conn_path(sa->ike, cfg, path, NULL);
    return rc == 0;
}

static bool gone(const struct ike_sa *sa)
{
    return sa->state == SA_CONNECTING && sa->initiator && sa->request && sa->active &&
           !conn_can_send(sa->ike, &sa->path.local, &sa->path.remote);
}

bool way_begin_anew(struct ike_sa *sa)
{
    struct net_path path;
    char a[64], b[64];
    if (!gone(sa) || !way_again(sa, &path) || !conn_can_send(sa->ike, &path.local, &path.remote))
        return false;
    LOGF(IKE, 1, "%s is gone: IKE_SA %s begins anew from %s", addr_print(&sa->path.local, a, sizeof(a)),
         sa_label(sa), addr_print(&path.local, b, sizeof(b)));
    sa->active->ops->restart(sa);
    return true;
}

void ways_addrs_changed(struct ike *ike)
{
    for (struct ike_sa *sa = ike->sas, *next; sa; sa = next) {
        next = sa->next;
        log_set_context(sa->conn->cfg.name, sa->id);
        if (!way_begin_anew(sa))
            exchange_hurry(sa);
        log_set_context("", 0);
    }
}
