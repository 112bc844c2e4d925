// SPDX-License-Identifier: Apache-2.0
// What follows for each connection from what etcd says and what `ctl` has: closed or open there, claimed or
// given away in etcd. A connection that is closed is loaded all the same: what it protects stays blocked at
// every node that does not have it. It is claimed only where it has been closed here, and given away only
// once it is.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "ctrl/fleet/internal.h"
#include "ctrl/lib/log.h"

void owners_kick(struct fleet *f, uint64_t ms)
{
    uint64_t at = loop_now(f->loop) + ms;
    if (!f->turn.armed || f->turn.at > at)
        timer_set(f->loop, &f->turn, at);
}

// ---- what ctl is asked

bool owners_open_of_others(const struct fleet *f)
{
    uint32_t fence = f->page->number;
    for (const struct item *i = f->items; i; i = i->next)
        if (!i->ours && (i->told_fence == fence || (i->req && i->asked_fence == fence)))
            return true;
    return false;
}

// Not for good: ctl may have been short of memory, or `ike` not there.
static bool is_refused(const struct item *i)
{
    return i->version && i->refused == i->version && loop_now(i->fleet->loop) < i->refused_until;
}

static bool is_open(const struct item *i) // there
{
    return i->told_fence != FENCE_NONE && i->told_fence != FENCE_CLOSED;
}

// What is open is closed by the message that ctl has taken: it may refuse the one that is desired now.
static bool by_last(const struct item *i, uint32_t fence)
{
    return fence == FENCE_CLOSED && is_open(i) && i->last && i->told_version != i->version;
}

static int send_conn(struct fleet *f, const struct item *i, uint32_t fence)
{
    struct msg_FLEET_CONN m = {.req = i->req, .fence = fence};
    snprintf(m.name, sizeof(m.name), "%s", i->name);
    m.conn = by_last(i, fence) ? slice_of(i->last, i->last_len) : slice_of(i->message, i->len);
    return ipc_send(f->chan[ROOM_CTL], MSG_FLEET_CONN, &m);
}

static bool ask_ctl(struct fleet *f, struct item *i, uint32_t fence)
{
    int rc;
    if (!f->chan[ROOM_CTL] || f->asked >= FLEET_ASKED || !ipc_has_room(f->chan[ROOM_CTL]))
        return false;
    i->req = ++f->last_req ? f->last_req : ++f->last_req;
    i->asked_fence = fence;
    i->asked_version = by_last(i, fence) ? i->told_version : i->version;
    if (fence == FENCE_NONE) {
        struct msg_FLEET_UNLOAD m = {.req = i->req};
        snprintf(m.conn, sizeof(m.conn), "%s", i->name);
        rc = ipc_send(f->chan[ROOM_CTL], MSG_FLEET_UNLOAD, &m);
    } else {
        rc = send_conn(f, i, fence);
    }
    if (rc < 0)
        i->req = 0;
    else
        f->asked++;
    return rc == 0;
}

// Whether what was to be opened is open then is not known, as where ctl had no answer in time: it counts as
// open, and is given away only when it has been closed.
static void refused(struct fleet *f, struct item *i, const char *text)
{
    LOGF(CFG, i->asked_version == i->refused ? 1 : 0, "fleet: connection %s is refused here: %s", i->name,
         text);
    if (i->asked_fence != FENCE_NONE && i->asked_version == i->version)
        i->refused = i->version;
    i->refused_until = loop_now(f->loop) + FLEET_REFUSED_MS;
    if (i->asked_fence != FENCE_NONE && i->asked_fence != FENCE_CLOSED)
        i->told_fence = i->asked_fence;
    i->ask_at = loop_now(f->loop) + FLEET_AGAIN_MS;
}

// ---- what ctl has, of an earlier `fleet` perhaps, that is desired no more

static void ask_list(struct fleet *f, uint64_t from)
{
    f->list_req = ++f->last_req ? f->last_req : ++f->last_req;
    struct msg_FLEET_LIST m = {.req = f->list_req, .from = from};
    if (ipc_send(f->chan[ROOM_CTL], MSG_FLEET_LIST, &m) < 0)
        f->list_req = 0;
}

// What is to be unloaded is known once it has been read what is desired.
static void consider_list(struct fleet *f)
{
    if (f->known && f->desired && !f->listed && !f->list_req && f->chan[ROOM_CTL] &&
        ipc_has_room(f->chan[ROOM_CTL]))
        ask_list(f, 0);
}

void owners_has(struct fleet *f, const struct msg_FLEET_HAS *m)
{
    if (m->req == f->list_req && f->list_req)
        state_item(f, m->conn, true);
}

void owners_more(struct fleet *f, const struct msg_LIST_MORE *m)
{
    if (m->req == f->list_req && f->list_req)
        ask_list(f, m->next);
}

static void list_ends(struct fleet *f, bool ok)
{
    f->list_req = 0;
    f->listed = ok;
    owners_kick(f, ok ? 0 : FLEET_AGAIN_MS);
}

void owners_answer(struct fleet *f, const struct msg_RESULT *m)
{
    if (m->req == f->list_req && f->list_req) {
        list_ends(f, m->ok);
        return;
    }
    struct item *i = f->items;
    while (i && i->req != m->req)
        i = i->next;
    if (!i)
        return;
    f->asked--;
    i->req = 0;
    if (m->ok) {
        i->told_fence = i->asked_fence;
        i->told_version = i->asked_version;
        i->sure = true;
    } else {
        refused(f, i, m->text);
    }
    owners_kick(f, 0);
}

void owners_without_ctl(struct fleet *f)
{
    f->asked = f->list_req = 0;
    f->listed = false;
    for (struct item *i = f->items; i; i = i->next) {
        i->req = 0;
        i->told_fence = FENCE_NONE;
        i->sure = false;
        i->refused = i->ask_at = 0;
    }
    owners_kick(f, 0);
}

// ---- what etcd is asked

// A connection that etcd is asked about is not forgotten before it has answered. What the watch has said
// meanwhile may be later than the answer: somebody else may have it by then.
static void etcd_said(struct item *i, const struct etcd_answer *a, bool ours)
{
    struct fleet *f = i->fleet;
    f->claims--;
    i->asking_etcd = false;
    // in vain: the watch says why, or whoever has it has no name
    i->claim_at = a->succeeded ? 0 : loop_now(f->loop) + FLEET_AGAIN_MS + fleet_jitter(f, f->cfg.jitter_ms);
    if (!a->error && a->succeeded && a->revision > i->owner_as_of) {
        i->owner_as_of = a->revision;
        i->ours = ours;
        i->ours_at = loop_now(f->loop);
        i->former[0] = 0;
        i->held_until = 0;
        i->owner_revision = a->revision;
        snprintf(i->owner, sizeof(i->owner), "%s", ours ? f->cfg.node : "");
        LOGF(CFG, 1, "fleet: connection %s %s, epoch %" PRIu64, i->name,
             ours ? "is this node's" : "is given away", a->revision);
    }
    owners_kick(f, a->error ? FLEET_AGAIN_MS : 0);
}

static void claimed(void *ctx, const struct etcd_answer *a)
{
    struct item *i = ctx;
    struct fleet *f = i->fleet;
    // one of a session that has ended meanwhile ends with its lease
    bool in = f->phase == FLEET_IN && !f->ending && i->asked_session == f->session;
    if (in && a->error == -ENOENT)
        session_lost(f, "etcd has ended the lease");
    etcd_said(i, a, in && session_open(f));
}

static void released(void *ctx, const struct etcd_answer *a)
{
    etcd_said(ctx, a, false);
}

static char *owner_value(const struct fleet *f)
{
    json_t *o = json_pack("{s:s, s:I}", "node", f->cfg.node, "since", (json_int_t)time(NULL));
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static bool ask_etcd(struct fleet *f, struct item *i, const struct etcd_question *txn, etcd_answer_fn *fn)
{
    i->asked_session = f->session;
    if (f->claims >= FLEET_ASKED || etcd_ask(f->etcd, txn, fn, i) < 0)
        return false;
    f->claims++;
    return i->asking_etcd = true;
}

// By nobody's, and while this node's own key is that of this session.
static void claim(struct fleet *f, struct item *i)
{
    char key[FLEET_KEY_LEN], me[FLEET_KEY_LEN], *value = owner_value(f);
    fleet_key(f, key, "owners/", i->name);
    fleet_key(f, me, "nodes/", f->cfg.node);
    const struct etcd_compare compare[] = {{.key = key, .creation = true},
                                           {.key = me, .creation = true, .revision = f->session}};
    const struct etcd_op put = {.change = ETCD_PUT,
                                .key = key,
                                .value = value ? value : "",
                                .len = value ? strlen(value) : 0,
                                .lease = f->lease};
    struct etcd_question q = {.kind = ETCD_TXN, .compare = compare, .compares = 2, .op = &put, .ops = 1};
    if (value && !ask_etcd(f, i, &q, claimed))
        owners_kick(f, FLEET_AGAIN_MS);
    free(value);
}

// Whoever hears that it is given away need not wait.
static void release(struct fleet *f, struct item *i)
{
    char key[FLEET_KEY_LEN], given[FLEET_KEY_LEN];
    fleet_key(f, key, "owners/", i->name);
    fleet_key(f, given, "given/", f->cfg.node);
    const struct etcd_compare compare = {.key = key, .revision = i->owner_revision};
    const struct etcd_op op[] = {
        {.change = ETCD_PUT, .key = given, .value = i->name, .len = strlen(i->name), .lease = f->lease},
        {.change = ETCD_DELETE, .key = key}};
    struct etcd_question q = {.kind = ETCD_TXN, .compare = &compare, .compares = 1, .op = op, .ops = 2};
    if (!ask_etcd(f, i, &q, released))
        owners_kick(f, FLEET_AGAIN_MS);
}

// How many nodes stand before this one for it (rendezvous hashing: when one goes, what it had is spread over
// all others, and nothing else moves).
static unsigned rank(struct fleet *f, const struct item *i)
{
    uint64_t mine = hash_u64(hash_str(hash_str(0, i->name), f->cfg.node));
    unsigned n = 0;
    for (const struct peer *p = f->peers; p; p = p->next)
        n += p->present && !p->draining && hash_u64(hash_str(hash_str(0, i->name), p->name)) > mine;
    return n;
}

// ---- one look

static uint32_t fence_for(const struct fleet *f, const struct item *i, bool draining)
{
    return i->ours && i->wanted && !draining && !is_refused(i) && session_open(f) ? f->page->number
                                                                                  : FENCE_CLOSED;
}

// Until then; 0: not at all.
static uint64_t held(struct fleet *f, const struct item *i)
{
    const struct peer *p = i->former[0] ? state_peer(f, i->former, false) : NULL;
    if (!i->former[0])
        return i->held_until;
    return p && p->present && p->session == i->former_session ? i->held_until : 0;
}

static void consider_claim(struct fleet *f, struct item *i, bool draining)
{
    uint64_t now = loop_now(f->loop);
    if (i->owner[0] || i->asking_etcd || draining || is_refused(i) || !f->known || !session_open(f))
        return;
    if (held(f, i) > now) {
        owners_kick(f, held(f, i) - now);
        return;
    }
    if (!i->claim_at)
        i->claim_at = now + rank(f, i) * (uint64_t)FLEET_RANK_MS + fleet_jitter(f, f->cfg.jitter_ms);
    if (i->claim_at <= now)
        claim(f, i);
    else
        owners_kick(f, i->claim_at - now);
}

// Without a message that ctl has taken it is unloaded, as it would not be loaded at a start either.
static void close_it(struct fleet *f, struct item *i)
{
    ask_ctl(f, i, i->told_version == i->version || i->last || !is_refused(i) ? FENCE_CLOSED : FENCE_NONE);
}

// What is desired no more: closed, then unloaded, then given away, then forgotten. The `fleet` before this
// one may have left it loaded.
static void settle_unwanted(struct fleet *f, struct item *i)
{
    if (is_open(i) && i->message)
        close_it(f, i);
    else if (i->told_fence != FENCE_NONE || !i->sure)
        ask_ctl(f, i, FENCE_NONE);
    else if (i->ours && !i->asking_etcd)
        release(f, i);
    else if (!i->asking_etcd && !i->owner[0])
        state_forget(f, i);
}

static void settle(struct fleet *f, struct item *i, bool draining)
{
    uint32_t fence = fence_for(f, i, draining);
    bool refused = is_refused(i);
    if (refused)
        owners_kick(f, i->refused_until - loop_now(f->loop));
    if (i->req)
        return;
    if (i->ask_at > loop_now(f->loop)) {
        owners_kick(f, i->ask_at - loop_now(f->loop));
        return;
    }
    if (!i->wanted)
        settle_unwanted(f, i);
    else if (i->told_fence != fence && is_open(i))
        close_it(f, i); // also on the way to another session: nothing of the old one is left
    else if (!refused && (i->told_fence != fence || i->told_version != i->version))
        ask_ctl(f, i, fence);
    else if (i->ours && !i->sure)
        ask_ctl(f, i, FENCE_NONE); // it refuses it: what it has of an earlier `fleet` goes
    else if (i->ours && fence == FENCE_CLOSED && !i->asking_etcd)
        release(f, i);
    else if (!i->ours)
        consider_claim(f, i, draining);
}

static void turn(struct timer *t)
{
    struct fleet *f = t->ctx;
    bool draining = state_draining(f);
    if (f->ending)
        return;
    for (struct item *i = f->items, *next; i; i = next) {
        next = i->next;
        settle(f, i, draining);
    }
    consider_list(f);
}

void owners_init(struct fleet *f)
{
    f->turn = (struct timer){.fire = turn, .ctx = f};
}
