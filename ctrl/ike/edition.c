// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ike/edition.h"

#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/ike.h"
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

// Of an edition that is equal nothing has to be kept.
static void child_follow(struct child_sa *k, struct conn *c)
{
    struct conn *was = k->conn;
    if (was == c || memcmp(was->digest, c->digest, sizeof(c->digest)) != 0)
        return;
    k->cfg = &c->cfg.children[k->cfg - was->cfg.children];
    k->conn = c;
    c->refs++;
    conn_unref(was);
}

void edition_follow(struct ike *ike, struct conn *c)
{
    for (struct ike_sa *sa = sa_of_conn(ike, c->cfg.name, NULL), *next; sa; sa = next) {
        next = sa_of_conn(ike, c->cfg.name, sa);
        if (!sa_follows(sa, c))
            continue;
        for (struct child_sa *k = sa->children; k; k = k->next)
            child_follow(k, c);
    }
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

void edition_child_up(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    if (!is_loaded(c))
        return;
    for (struct child_sa *k = sa->children; k; k = k->next) {
        if (k == c || !child_is_up(k) || is_loaded(k) || !in_place_of(c, k))
            continue;
        LOGF(IKE, 1, "CHILD_SA %s{%u} is of what is not loaded any more, %s{%u} is there: closing it",
             k->cfg->name, k->id, c->cfg->name, c->id);
        exchange_queue(sa, TASK_DELETE_CHILD, k->id);
    }
}

bool edition_is_over(const struct child_sa *c)
{
    if (is_loaded(c))
        return false;
    for (const struct child_sa *k = c->sa->children; k; k = k->next)
        if (k != c && child_is_up(k) && is_loaded(k) && in_place_of(k, c))
            return true;
    return false;
}
