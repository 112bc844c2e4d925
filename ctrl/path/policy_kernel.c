// SPDX-License-Identifier: Apache-2.0
// What the kernel holds for policies: block policies behind every protected selector, routes into the TUN.
#include "ctrl/path/path.h"

static bool usable(const struct ts *l, const struct ts *r)
{
    return l->family && l->family == r->family;
}

struct search {
    const struct policy *except;
    const struct ts *local, *remote; // local NULL: any, a route goes by its destination alone
};

static bool has(const struct policy *pol, const struct search *s)
{
    for (unsigned a = 0; pol != s->except && a < pol->local_count; a++) {
        for (unsigned b = 0; b < pol->remote_count; b++) {
            if ((!s->local || ts_eq(&pol->local[a], s->local)) && ts_eq(&pol->remote[b], s->remote))
                return true;
        }
    }
    return false;
}

static bool elsewhere(struct path *p, struct search s)
{
    const struct hash *both[] = {&p->spd.by_id, &p->spd.instances};
    for (int i = 0; i < 2; i++) {
        for (struct hash_node *n = hash_each(both[i], NULL); n; n = hash_each(both[i], n)) {
            if (has((struct policy *)n, &s))
                return true;
        }
    }
    return false;
}

static int one(struct path *p, const struct policy *pol, bool add, struct esp_error *err)
{
    int rc = 0;
    for (unsigned a = 0; a < pol->local_count && pol->action != POLICY_BYPASS; a++) {
        for (unsigned b = 0; b < pol->remote_count && rc == 0; b++) {
            const struct ts *l = &pol->local[a], *r = &pol->remote[b];
            if (!usable(l, r) || (!add && elsewhere(p, (struct search){pol, l, r})))
                continue;
            rc = netlink_block(p->nl, add, l, r, err);
            if (rc == 0 && pol->action == POLICY_PROTECT && p->env->settings->install_routes &&
                (add || !elsewhere(p, (struct search){pol, NULL, r})))
                rc = netlink_routes(p->nl, add, l, r, p->tun_index, p->env->settings->routing_table, err);
        }
    }
    return rc;
}

int policy_kernel(struct path *p, struct policies drop, struct policies take, struct esp_error *err)
{
    struct esp_error ignored;
    int rc = 0;
    unsigned done = 0;
    while (done < take.count && rc == 0)
        rc = one(p, take.p[done++], true, err);
    for (unsigned i = 0; rc < 0 && i < done; i++)
        one(p, take.p[i], false, &ignored);
    for (unsigned i = 0; rc == 0 && i < drop.count; i++)
        one(p, drop.p[i], false, &ignored);
    return rc;
}
