// SPDX-License-Identifier: Apache-2.0
// Lifetimes (RFC 7296 section 2.8): each end has its own, with jitter, so that both rarely rekey at once.
// What is reached first by time, octets or packets counts; a hard limit ends what was not replaced in time.
#include "ctrl/ike/ike.h"

#include <stdio.h>

static uint64_t jitter(uint64_t ms)
{
    uint32_t r = 0;
    cr_random(&r, sizeof(r));
    return ms * r / UINT32_MAX;
}

// --- CHILD SAs ---

void lifetime_rekey(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    c->rekey_at = 0;
    if (c->state == CHILD_INSTALLED && !c->replaced && sa->state == SA_ESTABLISHED &&
        !task_is_asked(sa, &task_rekey_child, c->id))
        exchange_queue(sa, &task_rekey_child, c->id);
}

void lifetime_expired(struct child_sa *c, const char *what)
{
    struct ike_sa *sa = c->sa;
    if (c->state != CHILD_INSTALLED && c->state != CHILD_REKEYING)
        return;
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(KNL, 0, "CHILD_SA %s{%u} reached its hard limit%s, closing it", c->cfg->name, c->id, what);
    c->life_at = 0;
    revive_limit(c);
    exchange_queue(sa, &task_delete_child, c->id);
    log_set_context("", 0);
}

static void child_due(struct timer *t)
{
    struct child_sa *c = t->ctx;
    struct ike_sa *sa = c->sa;
    uint64_t now = loop_now(sa->ike->loop);
    log_set_context(sa->conn->cfg.name, sa->id);
    if (c->state == CHILD_DELETED) {
        child_destroy(c);
        revive_watch(sa);
    } else if (c->state == CHILD_REKEYED) {
        LOGF(IKE, 1, "the peer does not delete the replaced CHILD_SA %s{%u}, closing it", c->cfg->name,
             c->id);
        exchange_queue(sa, &task_delete_child, c->id);
    } else if (c->life_at && now >= c->life_at) {
        lifetime_expired(c, " of time");
    } else {
        if (c->out_at && now >= c->out_at) {
            c->out_at = 0;
            child_use_outbound(c);
        }
        if (c->rekey_at && now >= c->rekey_at)
            lifetime_rekey(c);
        if (sa->state != SA_DEAD)
            lifetime_child_arm(c);
    }
    log_set_context("", 0);
}

void lifetime_child_arm(struct child_sa *c)
{
    struct loop *l = c->sa->ike->loop;
    uint64_t at = c->rekey_at && c->state != CHILD_REKEYED ? c->rekey_at : c->life_at;
    if (c->life_at && c->life_at < at)
        at = c->life_at;
    if (c->state == CHILD_REKEYED)
        c->out_at = 0; // its successor sends, or is about to
    if (c->out_at && (!at || c->out_at < at))
        at = c->out_at;
    c->timer.fire = child_due;
    c->timer.ctx = c;
    if (at)
        timer_set(l, &c->timer, at);
    else
        timer_stop(l, &c->timer);
}

// At `at` less a random part of `spread`, but not at once.
static uint64_t early(uint64_t at, uint64_t spread)
{
    return at - jitter(spread < at ? spread : at - 1);
}

void lifetime_child(struct child_sa *c)
{
    const struct child_config *cfg = c->cfg;
    uint64_t now = loop_now(c->sa->ike->loop);
    if (cfg->rekey_time)
        c->rekey_at = now + early((uint64_t)cfg->rekey_time * 1000, (uint64_t)cfg->rand_time * 1000);
    if (cfg->life_time)
        c->life_at = now + (uint64_t)cfg->life_time * 1000;
    lifetime_child_arm(c);
}

uint64_t lifetime_volume(uint64_t limit, uint64_t spread)
{
    return limit ? early(limit, spread) : 0;
}

// --- IKE SAs ---

static void arm_ike(struct ike_sa *sa);

static void over(struct ike_sa *sa)
{
    LOGF(IKE, 0, "IKE_SA %s reached its hard limit of time, closing it", sa_label(sa));
    for (struct child_sa *c = sa->children; c; c = c->next)
        if (child_is_up(c))
            revive_limit(c);
    sa_why(sa, "it reached its hard limit");
    sa_delete(sa);
}

static void ike_due(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    uint64_t now = loop_now(sa->ike->loop);
    if (sa->state != SA_ESTABLISHED)
        return;
    log_set_context(sa->conn->cfg.name, sa->id);
    if (sa->over_at && now >= sa->over_at) {
        over(sa);
    } else {
        if (sa->rekey_at && now >= sa->rekey_at) {
            sa->rekey_at = 0;
            rekey_ike(sa);
        }
        if (sa->reauth_at && now >= sa->reauth_at) {
            sa->reauth_at = 0;
            revive_reauthenticate(sa);
        }
        if (sa->state == SA_ESTABLISHED)
            arm_ike(sa);
    }
    log_set_context("", 0);
}

static void arm_ike(struct ike_sa *sa)
{
    const uint64_t all[] = {sa->rekey_at, sa->reauth_at, sa->over_at};
    uint64_t at = 0;
    for (unsigned i = 0; i < 3; i++)
        if (all[i] && (!at || all[i] < at))
            at = all[i];
    sa->aging.fire = ike_due;
    sa->aging.ctx = sa;
    if (at)
        timer_set(sa->ike->loop, &sa->aging, at);
}

void lifetime_ike_retry(struct ike_sa *sa, uint64_t ms)
{
    sa->rekey_at = loop_now(sa->ike->loop) + ms + jitter(2 * ms);
    arm_ike(sa);
}

void lifetime_ike(struct ike_sa *sa)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    uint64_t now = loop_now(sa->ike->loop), rekey = (uint64_t)cfg->rekey_time * 1000,
             reauth = (uint64_t)cfg->reauth_time * 1000, extra = (uint64_t)cfg->over_time * 1000,
             spread = (uint64_t)cfg->rand_time * 1000;
    uint64_t first = rekey && (!reauth || rekey < reauth) ? rekey : reauth;
    if (rekey)
        sa->rekey_at = now + early(rekey, spread);
    if (reauth)
        sa->reauth_at = now + early(reauth, spread);
    if (first)
        sa->over_at = now + first + extra;
    arm_ike(sa);
}
