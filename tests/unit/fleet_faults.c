// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fleet_world_parts.h"

#include <stdio.h>

uint64_t in_ms(struct world *w, uint64_t least, uint64_t most)
{
    return w->now_us + 1000 * rng_between(&w->rng, least, most);
}

int delay(void *ctx, struct etcd *e, enum model_way way)
{
    struct world *w = ctx;
    (void)e;
    if (!w->fair && rng_chance(&w->rng, way == MODEL_NEWS ? w->lose / 4 : w->lose))
        return -1;
    if (!w->fair && rng_chance(&w->rng, 10))
        return (int)rng_between(&w->rng, 20, 1500);
    return (int)rng_between(&w->rng, 1, 5);
}

// While each node that is there has been for a lease: who comes where none has cannot tell a key that has
// gone from one that there never was.
static bool all_are_settled(const struct world *w)
{
    for (unsigned i = 0; i < w->o->nodes; i++)
        if (w->node[i].fleet && !w->node[i].fleet->settled && w->node[i].fleet->phase != FLEET_AWAY)
            return false;
    return true;
}

static void a_key_is_deleted(struct world *w)
{
    char key[80];
    if (!all_are_settled(w))
        return;
    snprintf(key, sizeof(key), "/espalier/owners/c%05u", (unsigned)rng_below(&w->rng, w->o->conns));
    model_delete(w->model, key);
}

static void a_process_dies(struct world *w, struct node *n)
{
    if (rng_chance(&w->rng, 500)) {
        fleet_goes(n);
        n->fleet_at = in_ms(w, 100, 1000 * TTL);
    } else {
        ctl_goes(n);
        n->ctl_at = in_ms(w, 100, 5000);
    }
}

static void ctl_is_ill(struct world *w, struct node *n)
{
    n->refuses = rng_chance(&w->rng, 500);
    n->slow_ms = n->refuses ? 0 : (unsigned)rng_between(&w->rng, 100, 4000);
    n->heals_at = in_ms(w, 1000, 30000);
}

static void of_node(struct world *w, struct node *n)
{
    switch (rng_below(&w->rng, 8)) {
    case 0:
        if (n->etcd)
            model_client_away(n->etcd, true);
        n->near_at = in_ms(w, 500, 4000 * TTL);
        break;
    case 1:
        if (n->etcd)
            model_client_deaf(n->etcd, true);
        n->hears_at = in_ms(w, 500, 4000 * TTL);
        break;
    case 2:
        n->frozen = true;
        if (n->etcd)
            model_client_frozen(n->etcd, true);
        n->wakes_at = in_ms(w, 100, 4000 * TTL);
        break;
    case 3:
        host_dies(n);
        n->back_at = in_ms(w, 500, 4000 * TTL);
        break;
    case 4: a_process_dies(w, n); break;
    case 5: ctl_is_ill(w, n); break;
    default: a_key_is_deleted(w);
    }
}

static void drain(struct world *w, bool begins)
{
    char key[80];
    snprintf(key, sizeof(key), "/espalier/drain/node%u", (unsigned)rng_below(&w->rng, w->o->nodes));
    if (begins)
        model_put(w->model, key, "{}");
    for (unsigned i = 0; i < w->o->nodes && !begins; i++) {
        snprintf(key, sizeof(key), "/espalier/drain/node%u", i);
        model_delete(w->model, key);
    }
}

void a_fault(struct world *w)
{
    w->fault_at = in_ms(w, 100, 6000);
    w->lose = rng_chance(&w->rng, 300) ? (unsigned)rng_below(&w->rng, 300) : 0;
    switch (rng_below(&w->rng, 16)) {
    case 0:
        model_away(w->model, true);
        w->etcd_at = in_ms(w, 500, 3000 * TTL);
        break;
    case 1: model_compact(w->model); break;
    case 2: load(w, (unsigned)rng_between(&w->rng, w->o->conns / 2, w->o->conns)); break;
    case 3: drain(w, true); break;
    case 4: drain(w, false); break;
    case 5:
        model_stale(w->model, true);
        w->stale_until = in_ms(w, 50, 300);
        break;
    default: {
        struct node *n = &w->node[rng_below(&w->rng, w->o->nodes)];
        if (!n->dead && !n->frozen)
            of_node(w, n);
    }
    }
}

static void ends_of(struct world *w, struct node *n)
{
    if (n->wakes_at && n->wakes_at <= w->now_us)
        wakes(n);
    if (n->back_at && n->back_at <= w->now_us)
        host_comes(n);
    if (n->frozen)
        return;
    if (n->fleet_at && n->fleet_at <= w->now_us)
        fleet_comes(n);
    if (n->ctl_at && n->ctl_at <= w->now_us)
        ctl_comes(n);
    if (n->heals_at && n->heals_at <= w->now_us)
        heals(n);
    if (n->near_at && n->near_at <= w->now_us && n->etcd) {
        n->near_at = 0;
        model_client_away(n->etcd, false);
    }
    if (n->hears_at && n->hears_at <= w->now_us && n->etcd) {
        n->hears_at = 0;
        model_client_deaf(n->etcd, false);
    }
}

static void etcd_is_well(struct world *w)
{
    model_away(w->model, false);
    model_stale(w->model, false);
    w->etcd_at = w->stale_until = 0;
}

void ends(struct world *w)
{
    if (w->etcd_at && w->etcd_at <= w->now_us) {
        w->etcd_at = 0;
        model_away(w->model, false);
    }
    if (w->stale_until && w->stale_until <= w->now_us) {
        w->stale_until = 0;
        model_stale(w->model, false);
    }
    for (unsigned i = 0; i < w->o->nodes; i++)
        ends_of(w, &w->node[i]);
}

void fair(struct world *w)
{
    w->fair = true;
    w->fault_at = UINT64_MAX;
    w->fair_since_us = w->now_us;
    etcd_is_well(w);
    drain(w, false);
    for (unsigned i = 0; i < w->o->nodes; i++) {
        struct node *n = &w->node[i];
        if (n->frozen)
            wakes(n);
        if (n->dead)
            host_comes(n);
        fleet_comes(n);
        ctl_comes(n);
        heals(n);
        model_client_away(n->etcd, false);
        model_client_deaf(n->etcd, false);
    }
}
