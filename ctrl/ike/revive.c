// SPDX-License-Identifier: Apache-2.0
// What brings CHILD SAs up and back: the one owner of start_action, close_action, dpd_action, trap acquires,
// keyingtries and of what a limit ended. An entry says that somebody wants this child of this connection up;
// it retries with exponential back-off and jitter, for ever where that was asked for, and never beside an SA
// that is there already or on its way. It outlives the success for a while, so that a peer which accepts and
// closes at once is backed off from too.
#include "ctrl/ike/revive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/create_child.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/initiate.h"
#include "ctrl/ike/jobs.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/load.h"
#include "ctrl/ike/sa.h"
#include "ctrl/lib/log.h"

enum {
    BASE_MS = 1000,
    LIMIT_MS = 60 * 1000,
    STABLE_MS = 60 * 1000,
    CHILDLESS_MS = 3000,
    GRACE_MS = 2000,
    RETIRE_MS = 500,
    BESIDE_MOST = 10
};

enum revive_why { REVIVE_START, REVIVE_ACQUIRE, REVIVE_CLOSED, REVIVE_DEAD, REVIVE_LIMIT, REVIVE_REPLACE };
struct revive {
    struct table_node node; // key: mix of both names
    struct revive *next;    // of all
    struct ike *ike;
    char conn[NAME_MAX_LEN], child[NAME_MAX_LEN];
    enum revive_why why;
    unsigned failures;    // in a row
    uint32_t tries;       // attempts that are allowed, 0: for ever
    uint64_t up_at;       // 0: not up
    uint64_t quiet_until; // acquires before that are not followed
    uint32_t replaces;    // REVIVE_REPLACE: the IKE SA
    uint32_t put_off;     // the IKE SA whose peer was busy, 0: none
    uint32_t still;       // the IKE SA that it was on and that was replaced, 0: it has been asked for since
    bool trying, crossed; // crossed: begun anew at once, and not up since
    bool no_way;          // what it failed for last
    uint8_t beside;       // how often it has been looked whether another connection still serves it
    struct timer timer;
};

static uint64_t names_key(const struct ike *ike, const char *conn, const char *child)
{
    uint64_t h = ike->peer_salt;
    for (; *conn; conn++)
        h = (h ^ (uint8_t)*conn) * 0x100000001b3u;
    h = (h ^ 0xff) * 0x100000001b3u;
    for (; *child; child++)
        h = (h ^ (uint8_t)*child) * 0x100000001b3u;
    return h;
}

static struct revive *find(struct ike *ike, const char *conn, const char *child)
{
    uint64_t key = names_key(ike, conn, child);
    for (struct table_node *n = table_find(&ike->revives, key); n; n = table_next(n)) {
        struct revive *r = (struct revive *)(void *)n;
        if (strcmp(r->conn, conn) == 0 && strcmp(r->child, child) == 0)
            return r;
    }
    return NULL;
}

struct revive_state revive_state(struct ike *ike, const char *conn, const char *child)
{
    const struct revive *r = find(ike, conn, child);
    uint64_t now = loop_now(ike->loop);
    struct revive_state s = {0, UINT32_MAX};
    if (!r || r->up_at)
        return s;
    s.failures = r->failures;
    if (r->timer.armed && !r->trying)
        s.next_ms = r->timer.at > now ? (uint32_t)(r->timer.at - now) : 0;
    return s;
}

static void drop(struct revive *r)
{
    timer_stop(r->ike->loop, &r->timer);
    table_del(&r->ike->revives, &r->node);
    free(r);
}

// From half of it to all of it, so that many ends that lost the same peer do not come at once.
static uint64_t jittered(uint64_t ms)
{
    uint32_t r = 0;
    cr_random(&r, sizeof(r));
    return ms / 2 + (ms - ms / 2) * r / UINT32_MAX;
}

static uint64_t back_off(unsigned failures)
{
    uint64_t ms = failures ? BASE_MS : 0;
    for (unsigned i = 1; i < failures && ms < LIMIT_MS; i++)
        ms *= 2;
    return jittered(ms > LIMIT_MS ? LIMIT_MS : ms);
}

static void attempt(struct timer *t);

static struct revive *get(struct ike *ike, const char *conn, const char *child)
{
    struct revive *r = find(ike, conn, child);
    if (r)
        return r;
    r = calloc(1, sizeof(*r));
    if (!r || !table_add(&ike->revives, &r->node, names_key(ike, conn, child))) {
        LOGF(IKE, 0, "no memory to bring %s up", child);
        free(r);
        return NULL;
    }
    r->ike = ike;
    r->timer.ctx = r;
    snprintf(r->conn, sizeof(r->conn), "%s", conn);
    snprintf(r->child, sizeof(r->child), "%s", child);
    return r;
}

static void arm(struct revive *r, uint64_t ms)
{
    r->timer.fire = attempt;
    timer_set(r->ike->loop, &r->timer, loop_now(r->ike->loop) + ms);
}

static bool asked_for_ever(const struct revive *r)
{
    return r->why == REVIVE_CLOSED || r->why == REVIVE_DEAD || r->why == REVIVE_LIMIT || r->tries == 0;
}

static void over(struct timer *t)
{
    drop(t->ctx);
}

static void failed(struct revive *r, const char *why)
{
    r->trying = false;
    r->up_at = 0;
    if (r->failures < 31)
        r->failures++;
    uint64_t wait = back_off(r->failures);
    if (r->why == REVIVE_ACQUIRE) { // the next packet asks again, not before
        r->quiet_until = loop_now(r->ike->loop) + wait;
        r->timer.fire = over;
        timer_set(r->ike->loop, &r->timer, loop_now(r->ike->loop) + STABLE_MS + LIMIT_MS);
        return;
    }
    if (!asked_for_ever(r) && r->failures >= r->tries) {
        LOGF(IKE, 1, "%s/%s is not tried again after %u attempts (keyingtries = %u)", r->conn, r->child,
             r->failures, r->tries);
        drop(r);
        return;
    }
    LOGF(IKE, 1, "%s/%s is tried again in %llu.%llu s: %s", r->conn, r->child,
         (unsigned long long)(wait / 1000), (unsigned long long)(wait % 1000 / 100), why);
    arm(r, wait);
}

static bool asked_for(const struct ike_sa *sa, const char *child)
{
    return (sa->hs && sa->initiator && sa->hs->later->child &&
            strcmp(sa->hs->later->child->name, child) == 0) ||
           create_child_on_its_way(sa, child);
}

// On its way without us: if that fails it is still wanted.
static bool on_its_way(struct ike *ike, const struct conn *c, const struct child_config *child)
{
    for (struct ike_sa *sa = NULL; (sa = sa_of_conn(ike, c->cfg.name, sa));)
        if (sa->state != SA_DELETING && sa->state != SA_REFUSED && asked_for(sa, child->name))
            return true;
    return false;
}

static bool is_up(struct ike *ike, const struct conn *c, const struct child_config *child)
{
    for (struct ike_sa *sa = NULL; (sa = sa_of_conn(ike, c->cfg.name, sa));)
        for (const struct child_sa *k = sa->children; k; k = k->next)
            if (sa->state == SA_ESTABLISHED && child_is_up(k) && strcmp(k->cfg->name, child->name) == 0)
                return true;
    return false;
}

// Up, or on its way without us.
static bool provided(struct ike *ike, const struct conn *c, const struct child_config *child)
{
    for (struct ike_sa *sa = NULL; (sa = sa_of_conn(ike, c->cfg.name, sa));) {
        if (sa->state == SA_DELETING || sa->state == SA_REFUSED)
            continue;
        if (sa->hs && sa->initiator && sa->hs->later->child &&
            conn_same_child(sa->conn, sa->hs->later->child, c, child))
            return true;
        if (create_child_makes(sa, c, child))
            return true;
        for (struct child_sa *k = sa->children; k; k = k->next)
            if ((child_is_up(k) || k->state == CHILD_CREATED || k->state == CHILD_INSTALLING) &&
                edition_serves(k, c, child))
                return true;
    }
    return false;
}

// Those without a CHILD SA that cannot be used do not stay beside the new one.
static void end_childless(struct ike *ike, const struct conn *c)
{
    for (struct ike_sa *sa = sa_of_conn(ike, c->cfg.name, NULL), *next; sa; sa = next) {
        next = sa_of_conn(ike, c->cfg.name, sa);
        if (sa->state == SA_ESTABLISHED && !sa->children && !sa->hs && sa->conn != c) {
            sa_why(sa, "it had no CHILD_SA");
            sa_delete(sa);
        }
    }
}

// It has it, or is about to; not where that is to go.
static bool has(const struct ike_sa *sa, const char *child)
{
    for (const struct child_sa *k = sa->children; k; k = k->next)
        if (((child_is_up(k) && !child_is_to_go(k)) || k->state == CHILD_CREATED ||
             k->state == CHILD_INSTALLING) &&
            strcmp(k->cfg->name, child) == 0)
            return true;
    return false;
}

// What is to have a successor by c; NULL: nothing.
static const struct child_config *to_succeed(const struct child_sa *k, const struct conn *c)
{
    bool stays = child_is_up(k) && !child_is_to_go(k);
    const struct child_config *child = stays ? edition_child(c, k) : NULL;
    return child && child->action == POLICY_PROTECT ? child : NULL;
}

// The first of these, other than that one.
static const struct child_config *another(const struct ike_sa *old, const struct conn *c,
                                          const struct child_sa *but)
{
    const struct child_config *child = NULL;
    for (const struct child_sa *k = old->children; k && !child; k = k->next)
        child = k == but ? NULL : to_succeed(k, c);
    return child;
}

// It was due, and has failed: there may be time left for another try. Not at once, as the peer may have made
// one meanwhile, and ends this one.
static void reauth_again(struct ike_sa *sa)
{
    struct ike_sa_later *l = sa->later;
    uint64_t now = loop_now(sa->ike->loop), wait = back_off(1u + l->reauths);
    if (!l->reauths || sa->ike->stopping || sa->state != SA_ESTABLISHED || sa->retired || !l->over_at ||
        (l->reauth_at && l->reauth_at <= l->over_at))
        return;
    bool time_left = now + wait < l->over_at;
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 1, "reauthentication of IKE_SA %s failed, %s %llu.%llu s", sa_label(sa),
         time_left ? "and is tried again in"
                   : "and there is no time for another try before its hard limit in",
         (unsigned long long)((time_left ? wait : l->over_at - now) / 1000),
         (unsigned long long)((time_left ? wait : l->over_at - now) % 1000 / 100));
    log_set_context("", 0);
    l->reauth_at = time_left ? now + wait : 0;
    lifetime_ike_arm(sa);
}

static void replace(struct revive *r, struct conn *c, const struct child_config *child)
{
    struct ike_sa *old = sa_by_id(r->ike, r->replaces), *sa;
    struct ike *ike = r->ike;
    uint32_t id = r->replaces;
    drop(r);
    if (!old || old->state != SA_ESTABLISHED)
        return;
    if (!has(old, child->name)) // it was closed meanwhile
        child = another(old, c, NULL);
    uint32_t next = ike->next_id + 1;
    bool begun = child && initiate_anew(ike, c, child, NULL) == 0;
    sa = begun ? sa_by_id(ike, next) : NULL;
    if (!sa) {
        reauth_again(old);
        return;
    }
    sa->replaces = id;
    old->wanted_new = true;
}

// Its DELETE ends its CHILD SAs at the peer at once, so what was on the way on them comes first: ours, and
// what the peer sent before it had heard of the new ones.
static void retire(struct ike_sa *old)
{
    LOGF(IKE, 1, "IKE_SA %s is replaced by this one and ends in %d ms", sa_label(old), RETIRE_MS);
    lifetime_ike_retire(old, loop_now(old->ike->loop) + RETIRE_MS);
}

static bool has_successor(const struct ike_sa *sa, const struct child_config *child)
{
    for (const struct child_sa *n = sa->children; n; n = n->next)
        if (child_is_up(n) && edition_serves(n, sa->conn, child))
            return true;
    return false;
}

// True: k, of the SA that is replaced, is waited for.
static bool step(struct ike_sa *sa, struct child_sa *k, const char *failed)
{
    const struct child_config *child = to_succeed(k, sa->conn);
    if (!child || has_successor(sa, child))
        return false;
    if (create_child_on_its_way(sa, child->name))
        return true;
    k->refused = k->refused || (failed && strcmp(child->name, failed) == 0);
    return !k->refused && create_child_begin(sa, sa->conn, child);
}

// Make before break: the SA that this one was made for ends only when each of its CHILD SAs has a successor
// here, or cannot have one. What is refused is passed over, and the others are made all the same.
void revive_step(struct ike_sa *sa, const char *failed)
{
    struct ike_sa *old = sa->replaces ? sa_by_id(sa->ike, sa->replaces) : NULL;
    if (!old || old->state != SA_ESTABLISHED) {
        sa->replaces = 0;
        return;
    }
    for (struct child_sa *k = old->children; k; k = k->next)
        if (step(sa, k, failed))
            return;
    sa->replaces = 0;
    retire(old);
}

// Renamed, it is loaded by its new name before it is unloaded by the former one, and goes on by the IKE SA
// that it has. Where nobody unloads that, it comes up beside it after a while.
static bool is_being_renamed(struct revive *r, const struct conn *c, const struct child_config *child)
{
    return r->why == REVIVE_START && r->beside < BESIDE_MOST && edition_is_served(r->ike, c, child) &&
           ++r->beside;
}

// Where that is on an IKE SA that another one is to replace, and the peer was busy when it was asked for
// there: it is asked again.
static void up_already(struct revive *r, const struct conn *c)
{
    struct ike *ike = r->ike;
    struct ike_sa *next, *sa = r->put_off ? sa_of_conn(ike, c->cfg.name, NULL) : NULL;
    drop(r);
    for (; sa; sa = next) {
        next = sa_of_conn(ike, c->cfg.name, sa);
        if (sa->replaces && sa->state == SA_ESTABLISHED && !sa->hs)
            revive_step(sa, NULL);
    }
}

static void attempt(struct timer *t)
{
    struct revive *r = t->ctx;
    struct ike *ike = r->ike;
    struct conn *c = conn_find(ike, r->conn);
    const struct child_config *child = c ? conn_child(c, r->child) : NULL;
    struct esp_error err = {0};
    if (!child || child->action != POLICY_PROTECT || ike->stopping) {
        struct ike_sa *old = r->why == REVIVE_REPLACE ? sa_by_id(ike, r->replaces) : NULL;
        drop(r);
        if (old)
            reauth_again(old);
        return;
    }
    if (r->why == REVIVE_REPLACE) {
        replace(r, c, child);
        return;
    }
    if (provided(ike, c, child)) {
        if (r->why == REVIVE_LIMIT)
            arm(r, BASE_MS); // the one at its limit, whose DELETE waits for another exchange
        else if (is_up(ike, c, child))
            up_already(r, c);
        else if (on_its_way(ike, c, child))
            r->trying = true; // with whoever began it
        else
            arm(r, BASE_MS); // the peer has begun it
        return;
    }
    if (is_being_renamed(r, c, child)) {
        arm(r, BASE_MS);
        return;
    }
    end_childless(ike, c);
    r->put_off = 0;
    r->trying = true;
    int rc = initiate_child(ike, c, child, &err);
    r = find(ike, c->cfg.name, child->name); // what fails at once may have been the last try
    if (r)
        r->no_way = rc == -ENETUNREACH;
    if (!r || rc == 0)
        return;
    LOGF(IKE, 0, "%s/%s cannot be initiated: %s", r->conn, r->child, err.text);
    if (err.code == -EINVAL) // it names no peer: nothing will change by waiting
        drop(r);
    else if (r->tries && ike->set.retry_initiate_interval)
        arm(r, (uint64_t)ike->set.retry_initiate_interval * 1000);
    else
        failed(r, err.text);
}

static void want(struct ike *ike, const struct conn *c, const struct child_config *child, enum revive_why why,
                 uint64_t delay);

static void look_for_missed(struct timer *t)
{
    struct ike *ike = t->ctx;
    for (const struct conn *c = ike->conns; c && !ike->stopping; c = c->next)
        for (unsigned i = 0; i < c->cfg.child_count; i++) {
            uint8_t why = c->numbers[i].missed;
            c->numbers[i].missed = 0;
            if (why && !provided(ike, c, &c->cfg.children[i]))
                want(ike, c, &c->cfg.children[i], (enum revive_why)(why - 1), 0);
        }
}

// Without memory for an entry the child itself says that it is wanted, until there is some.
static void note_missed(struct ike *ike, const struct conn *c, const struct child_config *child,
                        enum revive_why why)
{
    c->numbers[child - c->cfg.children].missed = (uint8_t)(1 + why);
    ike->missed.fire = look_for_missed;
    ike->missed.ctx = ike;
    timer_set(ike->loop, &ike->missed, loop_now(ike->loop) + BASE_MS);
}

// child: of c, which is loaded.
static void want(struct ike *ike, const struct conn *c, const struct child_config *child, enum revive_why why,
                 uint64_t delay)
{
    struct revive *r = ike->stopping ? NULL : get(ike, c->cfg.name, child->name);
    if (!r && !ike->stopping)
        note_missed(ike, c, child, why);
    if (!r || r->trying || (r->timer.armed && r->timer.fire == attempt))
        return;
    // What did not stay up for long failed, however it looked.
    if (r->up_at && loop_now(ike->loop) - r->up_at < STABLE_MS && why != REVIVE_START)
        r->failures++;
    else if (r->up_at)
        r->failures = 0;
    r->up_at = 0;
    r->why = why;
    r->still = 0;
    r->beside = 0;
    r->tries = c->cfg.keyingtries;
    uint64_t wait = back_off(r->failures);
    arm(r, wait > delay ? wait : delay);
}

// --- what happens ---

void revive_loaded(struct ike *ike, struct conn *c)
{
    for (unsigned i = 0; i < c->cfg.child_count; i++) {
        const struct child_config *child = &c->cfg.children[i];
        if (child->start_action & ACTION_START && child->action == POLICY_PROTECT &&
            !(provided(ike, c, child) && is_up(ike, c, child)))
            want(ike, c, child, REVIVE_START, 0);
    }
}

static bool another_of_conn(const struct ike_sa *sa)
{
    for (struct ike_sa *o = NULL; (o = sa_of_conn(sa->ike, sa->conn->cfg.name, o));)
        if (o != sa && o->state != SA_DELETING && o->state != SA_REFUSED)
            return true;
    return false;
}

// It is being made there with the IKE SA itself, and was closed meanwhile.
static bool is_unwanted(const struct ike_sa *sa, const char *child)
{
    return sa->hs && sa->hs->later->unwanted && sa->hs->later->child &&
           strcmp(sa->hs->later->child->name, child) == 0;
}

static bool waits(const struct revive *r)
{
    return r->timer.armed && r->timer.fire == attempt;
}

// What was wanted for any reason is wanted still, for that reason. What is being tried goes on until it is
// up, or fails.
static void want_still(const struct ike_sa *sa, const struct conn *live, const struct child_config *child)
{
    struct revive *r = find(sa->ike, live->cfg.name, child->name);
    if ((r && r->trying) || is_unwanted(sa, child->name) ||
        !(has(sa, child->name) || asked_for(sa, child->name)))
        return;
    if (r && r->why == REVIVE_REPLACE && r->replaces == sa->id)
        r->why = REVIVE_START;
    enum revive_why why = r ? r->why : REVIVE_START;
    bool before = r && waits(r);
    bool ours = another_of_conn(sa); // not where another connection's IKE SA is in its place
    if ((child->start_action & ACTION_START) || (ours && (sa->crossed || (r && r->up_at))))
        want(sa->ike, live, child, REVIVE_START, BASE_MS);
    if (r)
        r->why = why;
    r = find(sa->ike, live->cfg.name, child->name);
    if (r && !before && waits(r))
        r->still = sa->id;
}

// In a moment, when the successor has what it was made for.
void revive_replaced(struct ike_sa *sa)
{
    const struct conn *live = conn_find(sa->ike, sa->conn->cfg.name);
    for (unsigned i = 0; live && i < live->cfg.child_count; i++)
        if (live->cfg.children[i].action == POLICY_PROTECT)
            want_still(sa, live, &live->cfg.children[i]);
}

// It waits for a moment, not as the peer has refused it or was busy, nor for the end that is to go first.
static bool may_come_now(const struct revive *r)
{
    return waits(r) && !r->trying && !r->failures && !r->put_off && r->why != REVIVE_LIMIT &&
           r->why != REVIVE_REPLACE && loop_now(r->ike->loop) >= r->quiet_until;
}

void revive_acquire(struct ike *ike, struct conn *c, const struct child_config *child)
{
    struct revive *r = provided(ike, c, child) ? NULL : get(ike, c->cfg.name, child->name);
    if (r && may_come_now(r)) {
        r->beside = BESIDE_MOST; // packets meet its policy: nothing serves that
        r->still = 0;
        arm(r, 0);
    }
    if (!r || r->trying || (r->timer.armed && r->timer.fire == attempt) ||
        loop_now(ike->loop) < r->quiet_until)
        return;
    LOGF(KNL, 1, "creating acquire job for policy of %s/%s", c->cfg.name, child->name);
    uint64_t now = loop_now(ike->loop), lasted = r->up_at ? now - r->up_at : BASE_MS;
    if (lasted >= STABLE_MS)
        r->failures = 0;
    if (lasted < BASE_MS) // a peer that takes it and closes it each time is asked once a second
        r->quiet_until = r->up_at + BASE_MS;
    r->up_at = 0;
    r->why = REVIVE_ACQUIRE;
    r->tries = 1;
    arm(r, lasted < BASE_MS ? BASE_MS - lasted : 0);
}

// The loaded connection decides: an unloaded one stays away, and an edited one goes by what it says now.
void revive_lost(struct ike *ike, const struct conn *was, const char *child, enum lost_why why)
{
    struct conn *c = conn_find(ike, was->cfg.name);
    const struct child_config *k = c ? conn_child(c, child) : NULL;
    if (!k || ike->stopping)
        return;
    bool closed = why == LOST_CLOSED;
    if (closed ? k->close_action & ACTION_TRAP : k->dpd_action == DPD_TRAP)
        conn_trap(ike, c, k);
    if (closed ? k->close_action & ACTION_START : k->dpd_action == DPD_START)
        want(ike, c, k, closed ? REVIVE_CLOSED : REVIVE_DEAD, 0);
}

// The successor of c, on an IKE SA that is made in the place of its own.
static void forgo(struct ike_sa *sa, struct child_sa *c)
{
    const struct child_config *child = edition_child(sa->conn, c), *other;
    bool by_auth =
        child && sa->hs && sa->hs->later->child && strcmp(sa->hs->later->child->name, child->name) == 0;
    if (!child)
        return;
    create_child_want(sa, child->name, false);
    if (!by_auth)
        return;
    // Where IKE_AUTH has not named it yet that names another one.
    if (sa->state == SA_CONNECTING && !sa->hs->later->pending && !job_waits(sa->ike, sa->id) &&
        (other = another(c->sa, sa->conn, c)) != NULL)
        sa->hs->later->child = other;
    else
        sa->hs->later->unwanted = true;
}

// by: the peer who closes it, NULL: we do.
static void forgo_successors(struct child_sa *c, const struct addr *by)
{
    struct ike *ike = c->sa->ike;
    struct ike_sa *old = c->sa->replaces ? sa_by_id(ike, c->sa->replaces) : NULL;
    for (struct ike_sa *sa = c->sa->wanted_new ? ike->sas : NULL; sa; sa = sa->next)
        if (sa->replaces == c->sa->id && sa->state != SA_DELETING && sa->state != SA_REFUSED &&
            (!by || addr_eq(by, &sa->path.remote)))
            forgo(sa, c);
    // The other way round: what it came in the place of gets no other one, and ends with its IKE SA.
    for (struct child_sa *k = old ? old->children : NULL; k; k = k->next)
        k->refused = k->refused || edition_child(c->sa->conn, k) == c->cfg;
}

void revive_unwanted(struct child_sa *c)
{
    forgo_successors(c, NULL);
}

bool revive_comes_back(const struct ike_sa *sa, const struct child_config *child)
{
    const struct conn *live = child ? conn_find(sa->ike, sa->conn->cfg.name) : NULL;
    const struct child_config *k = live ? conn_child(live, child->name) : NULL;
    return k && k->close_action & ACTION_START;
}

// It was to come up where it had been on its way, on an IKE SA of ours that has gone as the peer's stays;
// this end had not heard that it was closed.
static void forgo_still(struct child_sa *c)
{
    struct revive *r = find(c->sa->ike, c->sa->conn->cfg.name, c->cfg->name);
    if (r && r->still && r->still != c->sa->id && !r->failures && waits(r))
        drop(r);
}

// Another gateway, to which this one has sent us, is to have it all the same (RFC 5685).
void revive_closed(struct child_sa *c)
{
    if (revive_comes_back(c->sa, c->cfg))
        return;
    forgo_successors(c, &c->sa->path.remote);
    forgo_still(c);
}

void revive_wanted(struct ike_sa *sa, const char *child)
{
    create_child_want(sa, child, true);
    if (sa->hs && sa->hs->later->child && strcmp(sa->hs->later->child->name, child) == 0)
        sa->hs->later->unwanted = false;
}

void revive_limit(struct child_sa *c)
{
    // The end that initiated goes first; the other one only where that does not come.
    struct conn *live = conn_find(c->sa->ike, c->sa->conn->cfg.name);
    const struct child_config *k = live ? conn_child(live, c->cfg->name) : NULL;
    if (k)
        want(c->sa->ike, live, k, REVIVE_LIMIT, c->sa->initiator ? 0 : GRACE_MS + jittered(GRACE_MS));
}

// What sa is to be made anew by. One child of a connection has one place for that: another IKE SA that waits
// there has its turn now.
static struct revive *place_for(struct ike_sa *sa, const struct conn *live, const char *child)
{
    struct revive *r = get(sa->ike, live->cfg.name, child);
    if (!r || !waits(r) || r->why != REVIVE_REPLACE || r->replaces == sa->id)
        return r;
    attempt(&r->timer);
    log_set_context(sa->conn->cfg.name, sa->id);
    return get(sa->ike, live->cfg.name, child);
}

void revive_replace(struct child_sa *c, uint64_t within)
{
    struct ike *ike = c->sa->ike;
    struct conn *live = conn_find(ike, c->sa->conn->cfg.name);
    bool ours = c->sa->initiator && live && conn_child(live, c->cfg->name) && c->sa->state == SA_ESTABLISHED;
    LOGF_SA(KNL, 1, c, "CHILD_SA %s{%u} should be replaced, %s", c->cfg->name, c->id,
            ours ? "another one is made" : "waiting for the peer, which initiated, to do it");
    struct revive *r = ours && !ike->stopping ? place_for(c->sa, live, c->cfg->name) : NULL;
    // A look whether it is still up, or a try that waits, comes now; but not for one at its limit.
    if (!r || r->trying || (waits(r) && r->why == REVIVE_LIMIT))
        return;
    r->why = REVIVE_REPLACE;
    r->replaces = c->sa->id;
    arm(r, jittered(within));
}

static bool reauthenticate(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    struct conn *live = conn_find(ike, sa->conn->cfg.name);
    struct child_sa *c = sa->children;
    while (c && !(child_is_up(c) && !child_is_to_go(c) && live && conn_child(live, c->cfg->name)))
        c = c->next;
    struct revive *r = c && !ike->stopping ? place_for(sa, live, c->cfg->name) : NULL;
    if (!r || r->trying || (waits(r) && r->why == REVIVE_LIMIT)) // likewise
        return false;
    LOGF(IKE, 0, "reauthenticating IKE_SA %s", sa_label(sa));
    r->why = REVIVE_REPLACE;
    r->replaces = sa->id;
    arm(r, 0);
    return true;
}

void revive_reauthenticate(struct ike_sa *sa)
{
    (void)reauthenticate(sa);
}

void revive_reauth_due(struct ike_sa *sa)
{
    if (conn_names_a_peer(&sa->conn->cfg)) // else each try fails like the first, for each of all its peers
        sa->later->reauths += sa->later->reauths < 31;
    if (!reauthenticate(sa))
        reauth_again(sa);
}

void revive_later(struct ike_sa *sa, const char *child)
{
    struct ike *ike = sa->ike;
    struct revive *r = ike->stopping ? NULL : get(ike, sa->conn->cfg.name, child);
    if (!r || (r->timer.armed && r->timer.fire == attempt))
        return;
    if (!r->trying) { // nobody's but an operator's
        r->why = REVIVE_START;
        r->tries = 1;
    }
    r->trying = false;
    r->put_off = sa->id;
    arm(r, jittered(2 * BASE_MS));
}

// What it was to replace stays, where nothing else is to.
void revive_sa_over(struct ike_sa *sa)
{
    struct ike_sa *old = sa->replaces ? sa_by_id(sa->ike, sa->replaces) : NULL;
    for (const struct ike_sa *o = old ? sa->ike->sas : NULL; o; o = o->next)
        if (o->replaces == old->id)
            return;
    if (!old)
        return;
    old->wanted_new = false;
    for (struct child_sa *k = old->children; k; k = k->next)
        k->refused = false;
    reauth_again(old);
}

// What was on its way there, or put off as the peer was busy with just that, has crossed the DELETE (RFC 7296
// 2.25.2): it was not refused, and there is nothing left to wait for. Once; a peer that does it again is
// backed off from.
void revive_sa_deleted(struct ike_sa *sa)
{
    const struct conn *live = conn_find(sa->ike, sa->conn->cfg.name);
    for (unsigned i = 0; live && i < live->cfg.child_count; i++) {
        const char *child = live->cfg.children[i].name;
        struct revive *r = find(sa->ike, live->cfg.name, child);
        bool put_off = r && r->put_off == sa->id && waits(r);
        if (!r || r->crossed || (!put_off && !(r->trying && create_child_on_its_way(sa, child))))
            continue;
        LOGF(IKE, 1, "%s/%s begins anew: the peer deleted the IKE_SA meanwhile", r->conn, r->child);
        r->trying = false;
        r->crossed = true;
        arm(r, 0);
    }
}

void revive_failed(struct ike_sa *sa, const char *child)
{
    struct revive *r = find(sa->ike, sa->conn->cfg.name, child);
    if (r && r->trying)
        failed(r, sa_reason(sa)[0] ? sa_reason(sa) : "it was closed");
}

void revive_sa_ends(struct ike_sa *sa)
{
    if (sa->initiator && sa->hs && sa->hs->later->child)
        revive_failed(sa, sa->hs->later->child->name);
    create_child_each(sa, revive_failed);
}

// There may be a way now: what waited for one does not wait any longer, and a packet may ask again.
void revive_addrs_changed(struct ike *ike)
{
    for (struct hash_node *n = NULL; (n = hash_each(&ike->revives.hash, n)) != NULL;) {
        struct revive *r = (struct revive *)(void *)table_node_of(n);
        if (r->no_way && r->timer.armed && r->timer.fire == attempt)
            arm(r, 0);
        if (r->no_way)
            r->quiet_until = 0;
        r->no_way = false;
    }
}

void revive_up(struct ike_sa *sa, const char *child)
{
    struct revive *r = find(sa->ike, sa->conn->cfg.name, child);
    if (r &&
        r->why == REVIVE_LIMIT) // it is past its limit; what brings it back from here on waits for no DELETE
        r->why = REVIVE_DEAD;
    if (r && sa->state == SA_DELETING) { // and goes again with its IKE SA
        if (r->trying)
            arm(r, BASE_MS);
        r->trying = false;
        return;
    }
    if (!r)
        return;
    r->trying = r->crossed = false;
    r->still = 0;
    r->up_at = loop_now(sa->ike->loop) ? loop_now(sa->ike->loop) : 1;
    r->quiet_until = 0;
    r->timer.fire = over;
    timer_set(sa->ike->loop, &r->timer, loop_now(sa->ike->loop) + STABLE_MS);
}

static void rename_wish(struct ike *ike, const char *from, const char *to, const char *child)
{
    struct revive *r = find(ike, from, child), *own = find(ike, to, child);
    if (!r || (own && own->trying))
        return;
    if (own)
        drop(own);
    table_del(&ike->revives, &r->node);
    snprintf(r->conn, sizeof(r->conn), "%s", to);
    if (!table_add(&ike->revives, &r->node, names_key(ike, to, child)))
        drop(r);
}

// What is on its way by the former name has nobody any more who hears how it ends: whether it is wanted is
// looked at anew, where anything is loaded by that name.
static void let_go(struct ike *ike, const char *conn, const char *child)
{
    struct revive *r = find(ike, conn, child);
    if (!r || !r->trying)
        return;
    r->trying = false;
    arm(r, BASE_MS);
}

// Nobody asked for two by one connection: the one that was begun by its new name stays.
void revive_renamed(struct ike_sa *sa, const struct conn *was, struct ike_sa *other)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    for (unsigned i = 0; i < cfg->child_count; i++)
        rename_wish(sa->ike, was->cfg.name, cfg->name, cfg->children[i].name);
    for (unsigned i = 0; i < was->cfg.child_count; i++)
        let_go(sa->ike, was->cfg.name, was->cfg.children[i].name);
    if (!other || !other->initiator || other->replaces)
        return;
    other->replaces = sa->id;
    sa->wanted_new = true;
    if (other->state == SA_ESTABLISHED && !other->hs)
        revive_step(other, NULL);
}

void revive_forget(struct ike *ike, const char *conn, const char *child)
{
    struct revive *r = find(ike, conn, child);
    struct ike_sa *replaced = r && r->why == REVIVE_REPLACE && waits(r) ? sa_by_id(ike, r->replaces) : NULL;
    if (r)
        drop(r);
    if (replaced && replaced->state == SA_ESTABLISHED && !replaced->job)
        revive_reauthenticate(replaced); // by what else it has
}

void revive_free(struct ike *ike)
{
    struct table_node *n;
    timer_stop(ike->loop, &ike->missed);
    while ((n = table_pop(&ike->revives)) != NULL) {
        struct revive *r = (struct revive *)(void *)n;
        timer_stop(ike->loop, &r->timer);
        free(r);
    }
}

// --- IKE SAs without a CHILD SA ---

static void childless(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    if (sa->state != SA_ESTABLISHED || sa->children || sa->queue || sa->active || sa->alone)
        return;
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 1, "IKE_SA %s has had no CHILD_SA for %d s, closing it", sa_label(sa), CHILDLESS_MS / 1000);
    sa_why(sa, "it had no CHILD_SA");
    sa_delete(sa);
    log_set_context("", 0);
}

void revive_watch(struct ike_sa *sa)
{
    if (sa->state != SA_ESTABLISHED || sa->children || sa->hs || sa->alone)
        return;
    if (sa->life.armed && sa->life.fire != childless)
        return; // it ends for another reason
    sa->life.fire = childless;
    sa->life.ctx = sa;
    timer_set(sa->ike->loop, &sa->life, loop_now(sa->ike->loop) + CHILDLESS_MS);
}
