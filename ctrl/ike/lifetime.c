// SPDX-License-Identifier: Apache-2.0
// Lifetimes (RFC 7296 section 2.8): each end has its own, with jitter, so that both rarely rekey at once.
// What is reached first by time, octets or packets counts; a hard limit ends what was not replaced in time.
#include "ctrl/ike/lifetime.h"

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/creds.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"

static uint64_t jitter(uint64_t ms)
{
    uint32_t r = 0;
    cr_random(&r, sizeof(r));
    return ms * r / UINT32_MAX;
}

// --- CHILD SAs ---

static void child_due(struct timer *t)
{
    struct child_sa *c = t->ctx;
    c->sa->ike->events->child_due(c);
}

void lifetime_child_arm(struct child_sa *c)
{
    struct loop *l = c->sa->ike->loop;
    if (c->state == CHILD_DELETED) // its timer says how long it lingers
        return;
    uint64_t at = c->rekey_at && c->state != CHILD_REKEYED ? c->rekey_at : c->life_at;
    if (c->life_at && c->life_at < at)
        at = c->life_at;
    if (c->state == CHILD_REKEYED)
        c->out_at = 0; // its successor sends, or is about to
    if (c->out_at && (!at || c->out_at < at))
        at = c->out_at;
    if (c->undeleted)
        at = loop_now(l) + MEMORY_MS;
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

static void ike_due(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    sa->ike->events->sa_due(sa);
}

void lifetime_ike_arm(struct ike_sa *sa)
{
    const uint64_t tell_at = sa->later->mobike.unasked ? loop_now(sa->ike->loop) + MEMORY_MS : 0;
    const uint64_t all[] = {sa->later->rekey_at, sa->later->reauth_at, sa->later->over_at, tell_at};
    uint64_t at = 0;
    for (unsigned i = 0; i < 4; i++)
        if (all[i] && (!at || all[i] < at))
            at = all[i];
    sa->later->aging.fire = ike_due;
    sa->later->aging.ctx = sa;
    if (at)
        timer_set(sa->ike->loop, &sa->later->aging, at);
}

void lifetime_ike_retry(struct ike_sa *sa, uint64_t ms)
{
    sa->later->rekey_at = loop_now(sa->ike->loop) + ms + jitter(2 * ms);
    lifetime_ike_arm(sa);
}

void lifetime_ike_retire(struct ike_sa *sa, uint64_t at)
{
    sa->retired = true;
    sa->later->rekey_at = sa->later->reauth_at = 0;
    sa->later->over_at = at;
    lifetime_ike_arm(sa);
}

static void no_later(uint64_t *at, uint64_t limit)
{
    if (!*at || limit < *at)
        *at = limit;
}

// What the peer's certificate said of it ends: it must prove itself again, with what it has by then. Not all
// peers at once, as many may go by one CRL; and what it cannot prove ends the IKE SA soon.
static void proof_ends(struct ike_sa *sa)
{
    uint64_t now = loop_now(sa->ike->loop);
    int64_t left = sa->later->proven_until - creds_now(sa->ike);
    uint64_t end = now + 1000 * (uint64_t)(left > PROOF_LEAST_S ? left : PROOF_LEAST_S);
    no_later(&sa->later->reauth_at, end + jitter(PROOF_SPREAD_MS));
    no_later(&sa->later->proof_over_at, end + PROOF_OVER_MS);
    no_later(&sa->later->over_at, sa->later->proof_over_at);
}

void lifetime_ike_reauth(struct ike_sa *sa, uint64_t at)
{
    no_later(&sa->later->reauth_at, at);
    no_later(&sa->later->over_at, at + (uint64_t)sa->conn->cfg.over_time * 1000);
    lifetime_ike_arm(sa);
}

void lifetime_ike(struct ike_sa *sa)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    uint64_t now = loop_now(sa->ike->loop), rekey = (uint64_t)cfg->rekey_time * 1000,
             reauth = (uint64_t)cfg->reauth_time * 1000, extra = (uint64_t)cfg->over_time * 1000,
             spread = (uint64_t)cfg->rand_time * 1000;
    if (sa->retired) // by what replaced its predecessor
        return;
    uint64_t first = rekey && (!reauth || rekey < reauth) ? rekey : reauth;
    if (rekey)
        sa->later->rekey_at = now + early(rekey, spread);
    if (reauth)
        sa->later->reauth_at = now + early(reauth, spread);
    if (first)
        sa->later->over_at = now + first + extra;
    if (sa->later->proven_until)
        proof_ends(sa);
    lifetime_ike_arm(sa);
}

void lifetime_ike_inherit(struct ike_sa *next, const struct ike_sa *old)
{
    if (old->later->reauth_at)
        no_later(&next->later->reauth_at, old->later->reauth_at);
    else if (old->conn->cfg.reauth_time && old->later->over_at) // it is overdue
        no_later(&next->later->over_at, old->later->over_at);
    next->later->reauths = old->later->reauths;
    if (old->later->proof_over_at) {
        next->later->proof_over_at = old->later->proof_over_at;
        no_later(&next->later->over_at, old->later->proof_over_at);
    }
    lifetime_ike_arm(next);
}

// Where it was set back they end later than was reckoned; to have the peer prove itself too early does no
// harm.
void lifetime_clock_set(struct ike_sa *sa)
{
    if (!sa->later->proven_until)
        return;
    proof_ends(sa);
    lifetime_ike_arm(sa);
}
