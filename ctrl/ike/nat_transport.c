// SPDX-License-Identifier: Apache-2.0
// In transport mode a packet's addresses are those outside, which a NAT changes; what the checksums inside
// were made with is mended by the engine (RFC 3948 section 3.1.2).
#include "ctrl/ike/nat_transport.h"

#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/sa.h"
#include "ctrl/lib/log.h"

// 2.23.1: one address, in as many selectors as there are ports.
static bool substitute(struct ts_list *l, const struct addr *with)
{
    for (unsigned i = 0; i < l->count; i++) {
        const struct ts *t = &l->t[i];
        if (t->family != with->family || memcmp(t->lo, t->hi, sizeof(t->lo)) != 0 ||
            memcmp(t->lo, l->t[0].lo, sizeof(t->lo)) != 0)
            return false;
    }
    for (unsigned i = 0; i < l->count; i++) {
        memcpy(l->t[i].lo, with->a, sizeof(l->t[i].lo));
        memcpy(l->t[i].hi, with->a, sizeof(l->t[i].hi));
    }
    return l->count > 0;
}

bool nat_transport_take(const struct ike_sa *sa, struct ts_list *local, struct ts_list *remote)
{
    return (!sa->nat.local || substitute(local, &sa->path.local)) &&
           (!sa->nat.remote || substitute(remote, &sa->path.remote));
}

static bool meet(const struct ts_list *a, const struct ts_list *b)
{
    struct ts common;
    for (unsigned i = 0; i < a->count; i++)
        for (unsigned k = 0; k < b->count; k++)
            if (ts_intersect(&a->t[i], &b->t[k], &common))
                return true;
    return false;
}

bool nat_transport_taken(const struct ike_sa *sa, const struct ts_list *local, const struct ts_list *remote)
{
    char name[ID_TEXT_MAX];
    if (!sa->nat.remote)
        return false;
    for (struct ike_sa *other = NULL; (other = sa_at_host(sa->ike, &sa->path.remote, other));) {
        if (identity_eq(other->remote_id, sa->remote_id)) // it comes anew
            continue;
        for (const struct child_sa *c = other->children; c; c = c->next) {
            if (c->cfg->mode != MODE_TRANSPORT || !c->local_ts || !c->remote_ts ||
                !meet(c->local_ts, local) || !meet(c->remote_ts, remote))
                continue;
            LOGF_SA(IKE, 1, c,
                    "CHILD_SA %s{%u} of '%s' behind the same NAT has these selectors (RFC 3948 5.2)",
                    c->cfg->name, c->id, identity_print(other->remote_id, name, sizeof(name)));
            return true;
        }
    }
    return false;
}
