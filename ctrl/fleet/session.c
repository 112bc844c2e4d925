// SPDX-License-Identifier: Apache-2.0
// The lease: granted, bound to the node's name, kept alive. Its end by the local clock counts from when the
// question that extended it was sent, so that etcd's own comes later, by the margin at least.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <jansson.h>

#include "ctrl/fleet/internal.h"
#include "ctrl/lib/log.h"

enum { MARGIN_LEAST_MS = 500, KEEP_AGAIN_MS = 300, REVOKE_MS = 500 };

uint64_t fleet_margin_ms(uint32_t ttl)
{
    uint64_t fifth = (uint64_t)ttl * 200;
    return fifth > MARGIN_LEAST_MS ? fifth : MARGIN_LEAST_MS;
}

uint64_t fleet_jitter(const struct fleet *f, uint64_t most)
{
    uint32_t r = 0;
    if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
        r = (uint32_t)loop_now_us(f->loop);
    return most ? r % (most + 1) : 0;
}

bool session_open(const struct fleet *f)
{
    return f->phase == FLEET_IN && fence_open_at(f->page, f->page->number, loop_now(f->loop));
}

static uint64_t deadline_of(const struct fleet *f, uint32_t ttl)
{
    uint64_t ms = (uint64_t)ttl * 1000, margin = fleet_margin_ms(ttl);
    return f->sent + (ms > margin ? ms - margin : 0);
}

static void keep_soon(struct fleet *f, uint64_t ms)
{
    timer_set(f->loop, &f->keep, loop_now(f->loop) + ms);
}

static void begin_again(struct fleet *f, uint64_t ms)
{
    f->phase = FLEET_AWAY;
    timer_set(f->loop, &f->begin, loop_now(f->loop) + ms + fleet_jitter(f, f->cfg.jitter_ms));
}

static void say_silent(struct fleet *f, const char *why)
{
    uint64_t now = loop_now(f->loop), end = f->page->deadline;
    if (f->silent)
        return;
    f->silent = true;
    if (session_open(f))
        LOGF(CFG, 0, "fleet: etcd gives no answer: %s; what this node has goes on for %" PRIu64 " ms", why,
             end - now);
    else
        LOGF(CFG, 0, "fleet: etcd gives no answer: %s; what is the fleet's stays closed here", why);
}

static void answers(struct fleet *f)
{
    if (f->silent)
        LOGF(CFG, 0, "fleet: etcd answers again");
    f->silent = false;
}

// ---- the end

void session_lost(struct fleet *f, const char *why)
{
    unsigned n = 0;
    fence_close(f->page);
    timer_stop(f->loop, &f->deadline);
    timer_stop(f->loop, &f->keep);
    for (struct item *i = f->items; i; i = i->next) {
        n += i->ours;
        i->ours = false;
        i->claim_at = 0;
    }
    if (f->phase == FLEET_IN)
        LOGF(CFG, 0, "fleet: %s: %u connections are closed here, and no packet of theirs is sent any more",
             why, n);
    f->lapsed = f->lease; // in etcd it may live yet, as after a start of etcd's
    f->session = f->lease = 0;
    begin_again(f, 0);
    owners_kick(f, 0);
}

static void over(struct timer *t)
{
    session_lost(t->ctx, "the lease is over by this node's clock");
}

static uint32_t bounded(uint32_t ttl)
{
    return ttl < FLEET_TTL_MOST ? ttl : FLEET_TTL_MOST;
}

static void extend(struct fleet *f, uint32_t ttl)
{
    fence_extend(f->page, deadline_of(f, ttl));
    timer_set(f->loop, &f->deadline, f->page->deadline);
    keep_soon(f, (uint64_t)ttl * 1000 / 3);
}

static void begins(struct fleet *f, uint64_t session)
{
    f->phase = FLEET_IN;
    f->session = session;
    f->in_since = loop_now(f->loop);
    f->settled = false;
}

// ---- while it lasts

static char *node_value(const struct fleet *f, bool settled)
{
    json_t *o = json_pack("{s:s, s:I, s:I, s:b}", "node", f->cfg.node, "since", (json_int_t)time(NULL), "ttl",
                          (json_int_t)f->cfg.ttl, "settled", settled);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static void told_settled(void *ctx, const struct etcd_answer *a)
{
    struct fleet *f = ctx;
    f->settled = f->settled || (!a->error && a->succeeded);
}

// Who comes then and finds a connection without a key asks itself whether somebody has deleted it, and this
// node does not know.
static void say_settled(struct fleet *f)
{
    char key[FLEET_KEY_LEN], *value = node_value(f, true);
    fleet_key(f, key, "nodes/", f->cfg.node);
    const struct etcd_compare same = {.key = key, .creation = true, .revision = f->session};
    const struct etcd_op put = {.change = ETCD_PUT,
                                .key = key,
                                .value = value ? value : "",
                                .len = value ? strlen(value) : 0,
                                .lease = f->lease};
    struct etcd_question q = {.kind = ETCD_TXN, .compare = &same, .compares = 1, .op = &put, .ops = 1};
    if (value)
        etcd_ask(f->etcd, &q, told_settled, f);
    free(value);
}

// NULL: that is what etcd says of this lease, which has ended where it has no time.
static const char *not_extended(const struct fleet *f, const struct etcd_answer *a)
{
    if (a->error)
        return a->error == -ENOENT ? NULL : a->text;
    return a->lease == f->lease ? NULL : "it speaks of another lease than it was asked about";
}

static void try_again_soon(struct fleet *f, const char *why)
{
    f->keeping = false;
    if (why)
        say_silent(f, why);
    keep_soon(f, KEEP_AGAIN_MS + fleet_jitter(f, KEEP_AGAIN_MS));
}

static struct item *item_of_key(struct fleet *f, const char *key)
{
    char owners[FLEET_KEY_LEN];
    fleet_key(f, owners, "owners/", "");
    size_t n = strlen(owners);
    return strncmp(key, owners, n) == 0 ? state_item(f, key + n, false) : NULL;
}

// Ours without a key: somebody has deleted it or put another in its place, and the watch has not said so.
static bool take_leased(struct fleet *f, const struct etcd_answer *a)
{
    bool missed = false;
    struct item *i;
    for (i = f->items; i; i = i->next)
        i->leased = false;
    for (size_t k = 0; k < a->count; k++)
        if ((i = item_of_key(f, a->kv[k].key)) != NULL)
            i->leased = true;
    for (i = f->items; i; i = i->next) {
        if (!i->ours || i->leased || i->ours_at + FLEET_SURE_MS > f->asked_at)
            continue;
        state_no_owner(i, i->owner_as_of);
        missed = true;
    }
    return missed;
}

// By an answer about it that is this session's; where it does not, what follows from that is done.
static bool lease_lives(struct fleet *f, const struct etcd_answer *a)
{
    f->keeping = false;
    if (f->kept != f->session || f->phase != FLEET_IN || f->ending)
        return false;
    const char *why = not_extended(f, a);
    if (why)
        try_again_soon(f, why);
    else if (!a->ttl)
        session_lost(f, "etcd has ended the lease");
    return !why && a->ttl;
}

// What this node may go on for begins with a keepalive, and goes by what etcd has of its lease since: not by
// the watch, which may be silent without anybody knowing. While ctl has anything open that is not in there
// the time that was left goes by, and then everything is closed.
static void leased(void *ctx, const struct etcd_answer *a)
{
    struct fleet *f = ctx;
    if (!lease_lives(f, a))
        return;
    answers(f);
    if (take_leased(f, a)) {
        state_read(f);
        owners_kick(f, 0);
    }
    if (owners_open_of_others(f))
        try_again_soon(f, NULL);
    else
        extend(f, f->extends);
    if (!f->settled && loop_now(f->loop) - f->in_since >= (uint64_t)f->cfg.ttl * 1000)
        say_settled(f);
}

static void ask_what_it_has(struct fleet *f)
{
    struct etcd_question q = {.kind = ETCD_LEASED, .lease = f->lease};
    f->asked_at = loop_now(f->loop);
    f->keeping = etcd_ask(f->etcd, &q, leased, f) == 0;
    if (!f->keeping)
        try_again_soon(f, "no memory");
}

static void kept(void *ctx, const struct etcd_answer *a)
{
    struct fleet *f = ctx;
    if (!lease_lives(f, a))
        return;
    f->extends = bounded(a->ttl);
    ask_what_it_has(f);
}

static void keep(struct timer *t)
{
    struct fleet *f = t->ctx;
    struct etcd_question q = {.kind = ETCD_KEEPALIVE, .lease = f->lease};
    if (f->keeping) {
        keep_soon(f, KEEP_AGAIN_MS);
        return;
    }
    f->sent = loop_now(f->loop);
    f->kept = f->session;
    f->keeping = etcd_ask(f->etcd, &q, kept, f) == 0;
    if (!f->keeping)
        keep_soon(f, KEEP_AGAIN_MS);
}

// ---- the beginning

static void in(struct fleet *f, uint64_t session, uint32_t ttl)
{
    begins(f, session);
    f->taken = false;
    answers(f);
    fence_begin(f->page, session, f->lease, deadline_of(f, ttl));
    timer_set(f->loop, &f->deadline, f->page->deadline);
    keep_soon(f, (uint64_t)ttl * 1000 / 3);
    LOGF(CFG, 1, "fleet: node %s is in, by lease %" PRIx64 " of %u s, session %" PRIu64, f->cfg.node,
         f->lease, ttl, session);
    state_read(f);
}

static void nobody_hears(void *ctx, const struct etcd_answer *a)
{
    (void)ctx, (void)a;
}

static void give_back(struct fleet *f)
{
    struct etcd_question q = {.kind = ETCD_REVOKE, .lease = f->lease};
    etcd_ask(f->etcd, &q, nobody_hears, f);
    f->lease = 0;
}

static void registered(void *ctx, const struct etcd_answer *a)
{
    struct fleet *f = ctx;
    if (f->ending)
        return;
    if (a->error) {
        say_silent(f, a->text);
        begin_again(f, FLEET_AGAIN_MS);
    } else if (!a->succeeded) {
        answers(f);
        if (!f->taken)
            LOGF(CFG, 0,
                 "fleet: another node is named %s, or what this one was before has its lease still: "
                 "waiting for that to end",
                 f->cfg.node);
        f->taken = true;
        give_back(f);
        begin_again(f, FLEET_AGAIN_MS);
    } else {
        in(f, a->revision, f->cfg.ttl);
    }
}

static void granted(void *ctx, const struct etcd_answer *a)
{
    struct fleet *f = ctx;
    char key[FLEET_KEY_LEN], *value;
    if (f->ending)
        return;
    if (a->error) {
        say_silent(f, a->text);
        begin_again(f, FLEET_AGAIN_MS);
        return;
    }
    f->lease = a->lease;
    f->cfg.ttl = bounded(a->ttl); // etcd has a least one
    value = node_value(f, false);
    fleet_key(f, key, "nodes/", f->cfg.node);
    const struct etcd_compare none = {.key = key, .creation = true};
    const struct etcd_op put = {.change = ETCD_PUT,
                                .key = key,
                                .value = value ? value : "",
                                .len = value ? strlen(value) : 0,
                                .lease = f->lease};
    struct etcd_question q = {.kind = ETCD_TXN, .compare = &none, .compares = 1, .op = &put, .ops = 1};
    if (etcd_ask(f->etcd, &q, registered, f) < 0)
        begin_again(f, FLEET_AGAIN_MS);
    free(value);
}

static void grant(struct fleet *f)
{
    struct etcd_question q = {.kind = ETCD_GRANT, .ttl = f->cfg.ttl};
    f->sent = loop_now(f->loop);
    if (etcd_ask(f->etcd, &q, granted, f) < 0)
        begin_again(f, FLEET_AGAIN_MS);
}

// The one before this process died; its lease may live.
static void taken_over(void *ctx, const struct etcd_answer *a)
{
    struct fleet *f = ctx;
    if (f->ending)
        return;
    uint64_t session = f->page->session;
    if (not_extended(f, a) || !a->ttl || !fence_open_at(f->page, f->page->number, loop_now(f->loop))) {
        fence_close(f->page);
        grant(f);
        return;
    }
    begins(f, session);
    answers(f);
    LOGF(CFG, 1, "fleet: node %s goes on with session %" PRIu64, f->cfg.node, session);
    extend(f, bounded(a->ttl));
    state_read(f);
}

static void lapsed_is_gone(void *ctx, const struct etcd_answer *a)
{
    struct fleet *f = ctx;
    if (f->ending)
        return;
    if (a->error && a->error != -ENOENT) {
        say_silent(f, a->text);
        begin_again(f, FLEET_AGAIN_MS);
        return;
    }
    f->lapsed = 0;
    grant(f);
}

// Nothing is sent by it any more: nobody need wait for its end, nor for the name.
static void revoke_lapsed(struct fleet *f)
{
    struct etcd_question q = {.kind = ETCD_REVOKE, .lease = f->lapsed};
    if (etcd_ask(f->etcd, &q, lapsed_is_gone, f) < 0)
        begin_again(f, FLEET_AGAIN_MS);
}

static void begin(struct timer *t)
{
    struct fleet *f = t->ctx;
    f->phase = FLEET_JOINING;
    if (f->lapsed) {
        revoke_lapsed(f);
        return;
    }
    if (!f->page->number || !fence_open_at(f->page, f->page->number, loop_now(f->loop))) {
        fence_close(f->page);
        grant(f);
        return;
    }
    f->lease = f->page->lease;
    struct etcd_question q = {.kind = ETCD_KEEPALIVE, .lease = f->lease};
    f->sent = loop_now(f->loop);
    if (etcd_ask(f->etcd, &q, taken_over, f) < 0)
        begin_again(f, FLEET_AGAIN_MS);
}

void session_start(struct fleet *f)
{
    f->begin = (struct timer){.fire = begin, .ctx = f};
    f->keep = (struct timer){.fire = keep, .ctx = f};
    f->deadline = (struct timer){.fire = over, .ctx = f};
    timer_set(f->loop, &f->begin, loop_now(f->loop));
}

void session_stop(struct fleet *f)
{
    timer_stop(f->loop, &f->begin);
    timer_stop(f->loop, &f->keep);
    timer_stop(f->loop, &f->deadline);
    timer_stop(f->loop, &f->end);
}

// ---- an orderly end: the others need not wait for the lease to run out

static void revoked(void *ctx, const struct etcd_answer *a)
{
    struct fleet *f = ctx;
    (void)a;
    loop_stop(f->loop);
}

static void revoke_overdue(struct timer *t)
{
    struct fleet *f = t->ctx;
    loop_stop(f->loop);
}

void session_revoke(struct fleet *f)
{
    struct etcd_question q = {.kind = ETCD_REVOKE, .lease = f->lease};
    f->ending = true;
    fence_close(f->page);
    f->end = (struct timer){.fire = revoke_overdue, .ctx = f};
    timer_set(f->loop, &f->end, loop_now(f->loop) + REVOKE_MS);
    if (!f->lease || etcd_ask(f->etcd, &q, revoked, f) < 0)
        loop_stop(f->loop);
}
