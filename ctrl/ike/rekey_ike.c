// SPDX-License-Identifier: Apache-2.0
// CREATE_CHILD_SA for the IKE SA itself (RFC 7296 sections 1.3.2, 2.8, 2.18), in both roles. The successor is
// an IKE SA of its own that takes over the CHILD SAs and all that waits; the old one is deleted by whoever
// made it. Where both ends rekey at once (2.8.2), what the lowest of the four nonces made goes, and the other
// one takes over.
#include "ctrl/ike/rekey_ike.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/followup.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/kex.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/resume_ticket.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/virtual.h"
#include "ctrl/lib/log.h"
#include "ctrl/pki/pki.h"

enum { REKEY_MAX = 16384, MAX_KE_RETRIES = 4, RETRY_MS = 2000, DELETE_WAIT_MS = 60000 };

struct rekey {
    struct ike *ike;
    struct kex kex;
    uint32_t made; // the successor until it has taken over, 0: none
    uint8_t number;
    unsigned retries;
    struct rekey_race race; // as initiator: what the peer's own rekeying made meanwhile
};

static struct ike_sa *made(const struct task *t)
{
    struct rekey *x = t->data;
    return x->made ? sa_by_id(x->ike, x->made) : NULL;
}

static bool begin_data(struct task *t, bool initiator)
{
    struct ike_sa *sa = t->sa;
    struct rekey *x = calloc(1, sizeof(*x));
    struct ike_sa *next = x ? sa_new(sa->ike, sa->conn, initiator, &sa->path) : NULL;
    if (!next || !sa_room(next) || cr_random(x->kex.nonce, NONCE_LEN) != 0) {
        if (next)
            sa_destroy(next);
        free(x);
        return false;
    }
    handshake_free(next);
    next->fence = sa->fence;
    next->successor = true;
    next->fragmentation = sa->fragmentation;
    next->later->proven_until = sa->later->proven_until;
    for (unsigned i = 0; i < ROUNDS_MAX; i++)
        next->later->standing[i] = pki_standing_ref(sa->later->standing[i]);
    identity_copy(next->local_id, sa->local_id);
    next->ppk = sa->ppk;
    next->client = sa->client;
    next->redirects = sa->redirects;
    next->later->redirection = sa->later->redirection;
    identity_copy(next->remote_id, sa->remote_id);
    x->ike = sa->ike;
    x->made = next->id;
    t->data = x;
    return true;
}

static void undo(struct task *t)
{
    struct rekey *x = t->data;
    if (!x)
        return;
    struct ike_sa *next = made(t);
    ike_kex_forget(x->ike, &x->kex);
    if (next)
        sa_destroy(next);
    t->data = NULL;
    free(x);
}

static void tried(struct ike_sa *sa)
{
    if (!sa->untried)
        return;
    sa->untried = false;
    exchange_next(sa);
}

// Who rekeys deletes the old one, and by then has the new one's keys (RFC 7296 2.8). What comes to it before
// that it passes over, as it cannot read it, and hears it again only when it is sent again.
void rekey_ike_heir(struct ike_sa *old)
{
    if (!old->later->heir) // nor is there room for one yet, maybe (sa_room)
        return;
    struct ike_sa *next = sa_by_id(old->ike, old->later->heir);
    old->later->heir = 0;
    if (next)
        tried(next);
}

// Waits for the DELETE of whoever made the other one; says it itself where that does not come.
static void delete_late(struct timer *timer)
{
    struct ike_sa *sa = timer->ctx;
    bool never_in_force = !sa->established_at;
    rekey_ike_heir(sa);
    sa_delete(sa);
    if (never_in_force)
        sa_destroy(sa); // one DELETE goes out, nobody waits for the answer
}

static void stand_back(struct ike_sa *sa)
{
    sa->replaced = true;
    sa->state = SA_REKEYED;
    sa->life.fire = delete_late;
    sa->life.ctx = sa;
    timer_set(sa->ike->loop, &sa->life, loop_now(sa->ike->loop) + DELETE_WAIT_MS);
}

// What was to end for another's sake, or as its peer was sent elsewhere, is not kept by being rekeyed.
static void keep_end(const struct ike_sa *old, struct ike_sa *next)
{
    if (!old->life.armed)
        return;
    next->life.fire = old->life.fire;
    next->life.ctx = next;
    timer_set(next->ike->loop, &next->life, old->life.at);
}

static void take_over(struct ike_sa *old, struct ike_sa *next)
{
    struct ike *ike = old->ike;
    char ida[ID_TEXT_MAX], idb[ID_TEXT_MAX];
    if (!next->successor)
        return; // it has done so: the peer used it before our own rekeying came to its end
    timer_stop(ike->loop, &next->life);
    next->replaced = false;
    next->successor = false;
    next->untried = !next->initiator;
    old->later->heir = next->id;
    next->later->waits_for = 0;
    next->path = old->path;
    next->nat = old->nat;
    mobike_inherit(next, old);
    next->replaces = old->replaces;
    next->alone = old->alone;
    next->later->line_at = old->later->line_at;
    next->line_ours = old->line_ours;
    next->crossed = old->crossed;
    if (next->conn != old->conn)
        sa_set_conn(next, old->conn);
    next->children = old->children;
    old->children = NULL;
    for (struct child_sa *c = next->children; c; c = c->next)
        c->sa = next;
    virtual_move(old, next);
    task_move_queue(old, next);
    keep_end(old, next);
    sa_stop_work(old);
    stand_back(old);
    sa_up(next);
    lifetime_ike_inherit(next, old);
    COUNT(ike, ike_rekeyed);
    counts_sa_rekeyed(next);
    LOGF(IKE, 0, "IKE_SA %s[%u] rekeyed between %s...%s, replaces [%u]", next->conn->cfg.name, next->id,
         identity_print(next->local_id, ida, sizeof(ida)), identity_print(next->remote_id, idb, sizeof(idb)),
         old->id);
    ike->events->sa_rekeyed(old, next);
    exchange_next(next);
    ike->events->sa_at_rest(next);
}

static void ask_keys(struct task *t, struct ike_sa *next, reply_fn fn)
{
    struct rekey *x = t->data;
    const struct suite *s = next->suite;
    uint8_t more[KEX_MORE_MAX];
    struct msg_IKE_DERIVE q = {.req = ask_new(t, fn),
                               .ike_id = next->id,
                               .ke_id = x->kex.first.ke_id,
                               .peer_public = x->kex.first.peer,
                               .encr = s->encr.id,
                               .encr_bits = s->encr.key_bits,
                               .integ = s->integ.id,
                               .prf = s->prf.id,
                               .ni = ike_kex_ni(&x->kex, next->initiator),
                               .nr = ike_kex_nr(&x->kex, next->initiator),
                               .spi_i = next->spi_i,
                               .spi_r = next->spi_r,
                               .initiator = next->initiator,
                               .old_ike_id = t->sa->id,
                               .more = ike_kex_more(&x->kex, more)};
    ike_kex_used(&x->kex);
    ask(x->ike, ROOM_KEYS, q.req, MSG_IKE_DERIVE, &q);
}

// --- as initiator ---

static struct ike_sa *peers_one(const struct rekey *x)
{
    return x->race.ike_id ? sa_by_id(x->ike, x->race.ike_id) : NULL;
}

static void gave_up(struct task *t, const char *why)
{
    struct ike_sa *sa = t->sa, *other = peers_one(t->data);
    LOGF(IKE, 1, "rekeying of IKE_SA %s failed: %s", sa_label(sa), why);
    if (other)
        take_over(sa, other);
    else
        lifetime_ike_retry(sa, RETRY_MS);
    exchange_done(sa);
}

static void send_request(struct task *t, struct ike_sa *next)
{
    uint8_t buf[REKEY_MAX];
    struct ike_sa *sa = t->sa;
    struct rekey *x = t->data;
    const struct conn_config *cfg = &sa->conn->cfg;
    struct pb b = pb_of(buf, sizeof(buf));
    pb_offer(&b, cfg->proposals, cfg->proposal_count, true, next->spi_i, 8);
    ike_kex_put(&b, &x->kex);
    COUNT(sa->ike, create_child_out_req);
    exchange_send_inner(sa, EX_CREATE_CHILD, &b);
}

static void got_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct rekey *x = t->data;
    struct ike_sa *next = made(t);
    if (next && ike_kex_public(&x->kex, type, m))
        send_request(t, next);
    else
        gave_up(t, answer_text(type, m));
}

static void start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    if (sa->state != SA_ESTABLISHED) {
        exchange_done(sa);
        return;
    }
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 0, "initiating rekeying of IKE_SA %s", sa_label(sa));
    if (!begin_data(t, true)) {
        lifetime_ike_retry(sa, RETRY_MS);
        exchange_done(sa);
        return;
    }
    struct rekey *x = t->data;
    ike_kex_generate(t, &x->kex.first, sa->suite->ke.id, got_public);
}

void rekey_ike(struct ike_sa *sa)
{
    if (sa->state == SA_ESTABLISHED && !task_is_asked(sa, TASK_REKEY_IKE, 0))
        exchange_queue(sa, TASK_REKEY_IKE, 0);
}

static struct ike_sa *peers_one_of(const struct ike_sa *sa)
{
    const struct task *t = sa->active;
    return task_is(t, TASK_REKEY_IKE) && t->data ? peers_one(t->data) : NULL;
}

void rekey_ike_forgo(const struct ike_sa *sa, bool at_once)
{
    struct ike_sa *other = peers_one_of(sa);
    if (!other || other->later->waits_for != sa->id)
        return;
    sa_delete(other);
    if (at_once)
        sa_destroy(other);
}

// Our own is there; the peer's too where both asked at once.
static void settle(struct task *t, struct ike_sa *next)
{
    struct ike_sa *sa = t->sa, *other = peers_one(t->data);
    struct rekey *x = t->data;
    struct nonce lowest;
    ike_kex_lowest(&x->kex, &lowest);
    x->made = 0;
    if (sa->state != SA_ESTABLISHED) { // it ends, and with it what was to take its place
        stand_back(next);
        sa_delete(next);
        rekey_ike_forgo(sa, false);
        exchange_done(sa);
        return;
    }
    if (x->race.ike_id && nonce_lower(&lowest, &x->race.lowest)) {
        LOGF(IKE, 1, "both ends rekeyed at once: IKE_SA [%u] goes, [%u] stays", next->id, x->race.ike_id);
        stand_back(next);
        sa_delete(next);
        if (other)
            take_over(sa, other);
        else // the peer took it back
            sa_delete(sa);
        exchange_done(sa);
        return;
    }
    take_over(sa, next);
    sa_delete(sa);
    exchange_done(sa);
}

void rekey_ike_concede(struct ike_sa *sa)
{
    struct ike_sa *other = peers_one_of(sa);
    if (other && sa->state == SA_ESTABLISHED)
        take_over(sa, other);
    else
        rekey_ike_forgo(sa, false);
}

void rekey_ike_used(struct ike_sa *sa)
{
    struct ike_sa *old = sa->later->waits_for ? sa_by_id(sa->ike, sa->later->waits_for) : NULL;
    if (sa->state == SA_REKEYED && old && old->state == SA_ESTABLISHED)
        take_over(old, sa);
    tried(sa);
}

static void got_keys(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *next = made(t);
    if (!next || !init_take_keys(next, type, m)) {
        gave_up(t, next ? next->why : "no memory");
        return;
    }
    settle(t, next);
}

static bool try_group(struct task *t, struct slice data)
{
    struct rekey *x = t->data;
    struct reader r = reader_of(data);
    uint16_t group = rd_u16(&r);
    const struct conn_config *cfg = &t->sa->conn->cfg;
    bool ours = false;
    for (unsigned i = 0; i < cfg->proposal_count; i++)
        ours = ours || proposal_has(&cfg->proposals[i], TR_KE, group);
    if (!rd_done(&r) || !ours || group == x->kex.first.group || ++x->retries > MAX_KE_RETRIES)
        return false;
    LOGF(IKE, 1, "peer didn't accept key exchange method %s, it requested %s",
         transform_name((struct transform){TR_KE, x->kex.first.group, 0}),
         transform_name((struct transform){TR_KE, group, 0}));
    ike_kex_generate(t, &x->kex.first, group, got_public);
    return true;
}

static bool take_answer(struct task *t, const struct payloads *pl, struct ike_sa *next, struct refusal *r)
{
    struct rekey *x = t->data;
    const struct payload *s = payload_find(pl, PL_SA);
    const struct conn_config *cfg = &t->sa->conn->cfg;
    struct suite suite;
    uint64_t spi;
    if (!s)
        return refuse(r, N_INVALID_SYNTAX, "SA", "the response lacks SA (RFC 7296 1.3.2)") == 0;
    if (answer_read(s->body, cfg->proposals, cfg->proposal_count, true, PROTO_IKE, 8, &suite, &spi, r) != 0)
        return false;
    if (!suite_keep(&next->ike->shared, &next->suite, &suite))
        return refuse(r, N_TEMPORARY_FAILURE, "SA", "no memory") == 0;
    if (!spi || next->suite->ke.id != x->kex.first.group)
        return refuse(r, N_INVALID_SYNTAX, "SA", "the response names no SPI, or a group that was not sent") ==
               0;
    if (ike_kex_take(&x->kex, pl, next->suite->ke.id, true, r) != 0)
        return false;
    next->spi_r = spi;
    return true;
}

static void followup_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct rekey *x = t->data;
    if (!made(t) || !followup_send(t, &x->kex, type, m))
        gave_up(t, answer_text(type, m));
}

// On to the next additional key exchange, or all are done.
static void follow_up(struct task *t, struct ike_sa *next, const struct payloads *pl)
{
    struct rekey *x = t->data;
    struct refusal r = {0};
    int rc = followup_begin(t, &x->kex, next->suite, pl, followup_public, &r);
    if (rc < 0)
        gave_up(t, r.why.text);
    else if (!rc)
        ask_keys(t, next, got_keys);
}

static bool response(struct task *t, struct inmsg *m)
{
    struct ike_sa *next = made(t);
    struct refusal r = {0};
    struct notify n;
    char why[200];
    bool followup = m->h.exchange == EX_FOLLOWUP_KE;
    if (notify_unknown_error(&m->pl, &n)) {
        snprintf(why, sizeof(why), "received error notify %u, which is not known (RFC 7296 3.10.1)", n.type);
        if (payload_find(&m->pl, PL_SA)) // the peer may have one that we do not have
            t->sa->ike->events->sa_cannot_rekey(t->sa);
        gave_up(t, why);
        return false;
    }
    if (!payload_find(&m->pl, followup ? PL_KE : PL_SA) && notify_first_error(&m->pl, &n)) {
        LOGF(IKE, 1, "received %s notify error", notify_name(n.type));
        if (n.type == N_INVALID_KE_PAYLOAD && !followup && try_group(t, n.data))
            return false;
        snprintf(why, sizeof(why), "received %s notify error", notify_name(n.type));
        // A peer that cannot rekey gets a new IKE SA beside this one, which ends behind it.
        if (n.type == N_NO_ADDITIONAL_SAS)
            t->sa->ike->events->sa_cannot_rekey(t->sa);
        gave_up(t, why);
        return false;
    }
    struct rekey *x = t->data;
    bool good = next && (followup ? followup_take(&x->kex, next->suite, &m->pl, &r) == 0
                                  : take_answer(t, &m->pl, next, &r));
    if (good)
        follow_up(t, next, &m->pl);
    else
        gave_up(t, next ? r.why.text : "no memory");
    return false;
}

// --- as responder ---

static void decline(struct task *t, uint16_t type, struct slice data, const char *why)
{
    LOGF(IKE, 1, "%s, sending %s", why, notify_name(type));
    exchange_reply_notify(t->sa, t->msg->h.exchange, type, data);
}

static void put_answer(struct pb *b, struct task *t, const struct ike_sa *next)
{
    struct rekey *x = t->data;
    if (t->msg->h.exchange == EX_FOLLOWUP_KE) {
        followup_put(b, &x->kex);
        return;
    }
    pb_chosen(b, next->suite, x->number, PROTO_IKE, next->spi_r, 8);
    ike_kex_put(b, &x->kex);
    ticket_put_later(b, t->sa, &t->msg->pl);
}

static void answered(struct task *t, enum msg_type type, const union msg *m)
{
    uint8_t buf[REKEY_MAX];
    struct ike_sa *sa = t->sa, *next = made(t);
    struct rekey *x = t->data;
    struct pb b = pb_of(buf, sizeof(buf));
    struct rekey_race race = {.ike_id = x->made};
    if (!next || !init_take_keys(next, type, m)) {
        decline(t, N_TEMPORARY_FAILURE, slice_of(NULL, 0), next ? next->why : "no memory");
        return;
    }
    if (sa->state != SA_ESTABLISHED) { // our own request was answered while we were at work on the peer's
        decline(t, N_TEMPORARY_FAILURE, slice_of(NULL, 0), "the IKE_SA is being replaced or deleted");
        return;
    }
    ike_kex_lowest(&x->kex, &race.lowest);
    put_answer(&b, t, next);
    x->made = 0;
    if (!exchange_reply(sa, t->msg->h.exchange, &b)) {
        sa_destroy(next);
        return;
    }
    if (task_is(sa->active, TASK_REKEY_IKE) && sa->active->data) {
        stand_back(next); // until our own request is answered
        next->later->waits_for = sa->id;
        ((struct rekey *)sa->active->data)->race = race;
    } else {
        take_over(sa, next);
    }
}

// An answer that asks for the next additional key exchange, or the keys.
static void go_on(struct task *t, struct ike_sa *next)
{
    uint8_t buf[REKEY_MAX];
    struct rekey *x = t->data;
    struct pb b = pb_of(buf, sizeof(buf));
    if (!suite_addke(next->suite, x->kex.added)) {
        ask_keys(t, next, answered);
    } else if (followup_room(t->sa)) {
        put_answer(&b, t, next);
        followup_put_link(&b, t, &x->kex);
        followup_wait(t, &b);
    } else {
        decline(t, N_TEMPORARY_FAILURE, slice_of(NULL, 0),
                "as many exchanges as may be wait for an IKE_FOLLOWUP_KE");
    }
}

static void respond_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct rekey *x = t->data;
    struct ike_sa *next = made(t);
    if (next && ike_kex_public(&x->kex, type, m))
        go_on(t, next);
    else
        decline(t, N_TEMPORARY_FAILURE, slice_of(NULL, 0), answer_text(type, m));
}

// 2.25.2: not while one of its CHILD SAs is being made, replaced or deleted by us.
static const char *busy(const struct ike_sa *sa)
{
    const struct task *at = sa->active;
    if (sa->state != SA_ESTABLISHED)
        return "the IKE_SA is being replaced or deleted";
    if (task_is(at, TASK_CREATE_CHILD) || task_is(at, TASK_REKEY_CHILD) || task_is(at, TASK_DELETE_CHILD))
        return "a CHILD_SA is being made, replaced or deleted";
    return NULL;
}

static bool choose(struct task *t, struct ike_sa *next, struct refusal *r)
{
    struct rekey *x = t->data;
    const struct conn_config *cfg = &t->sa->conn->cfg;
    struct offers *offers = calloc(1, sizeof(*offers));
    const struct offer *chosen;
    struct suite suite;
    bool ok = false;
    if (!offers)
        refuse(r, N_TEMPORARY_FAILURE, "SA", "no memory");
    else if (offers_read(payload_find(&t->msg->pl, PL_SA)->body, offers, r) != 0)
        ok = false;
    else if (!offers_choose(offers, cfg->proposals, cfg->proposal_count, true, &suite, &chosen))
        refuse(r, N_NO_PROPOSAL_CHOSEN, "SA", "no acceptable proposal for the IKE_SA (RFC 7296 2.7)");
    else if (chosen->spi_len != 8 || !chosen->spi)
        refuse(r, N_INVALID_SYNTAX, "SA", "the SPI of an IKE_SA has 8 octets and is not 0 (RFC 7296 1.3.2)");
    else if (!suite_keep(&next->ike->shared, &next->suite, &suite))
        refuse(r, N_TEMPORARY_FAILURE, "SA", "no memory");
    else
        ok = true;
    if (ok) {
        next->spi_i = chosen->spi;
        x->number = chosen->number;
    }
    free(offers);
    return ok && ike_kex_take(&x->kex, &t->msg->pl, next->suite->ke.id, false, r) == 0;
}

static void request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct refusal r = {0};
    char text[300];
    rekey_ike_used(sa);
    if (sa->state == SA_DEAD) // with what it has replaced: nothing is left to answer by
        return;
    const char *why = busy(sa);
    if (why || !begin_data(t, false)) {
        decline(t, N_TEMPORARY_FAILURE, slice_of(NULL, 0), why ? why : "no memory");
        return;
    }
    struct rekey *x = t->data;
    struct ike_sa *next = made(t);
    if (!choose(t, next, &r)) {
        decline(t, r.notify, slice_of(r.data, r.data_len), r.why.text);
        return;
    }
    LOGF(IKE, 0, "the peer is rekeying IKE_SA %s", sa_label(sa));
    suite_print(next->suite, PROTO_IKE, text, sizeof(text));
    LOGF(CFG, 1, "selected proposal: %s", text);
    ike_kex_respond(t, &x->kex.first, next->suite->ke.id, respond_public);
}

static void followed_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct rekey *x = t->data;
    struct ike_sa *next = made(t);
    if (next && followup_answered(&x->kex, next->suite, type, m))
        go_on(t, next);
    else
        decline(t, N_TEMPORARY_FAILURE, slice_of(NULL, 0), answer_text(type, m));
}

static void followed(struct task *t)
{
    struct rekey *x = t->data;
    struct ike_sa *next = made(t);
    struct refusal r = {0};
    const char *why = next ? busy(t->sa) : "no memory";
    if (why)
        decline(t, N_TEMPORARY_FAILURE, slice_of(NULL, 0), why);
    else if (followup_answer(t, &x->kex, next->suite, followed_public, &r) != 0)
        decline(t, r.notify, slice_of(r.data, r.data_len), r.why.text);
}

// The first proposal's protocol ID (3.3.1): one of an IKE SA can only be that SA's successor (1.3.2).
bool rekey_ike_asked(const struct inmsg *m)
{
    const struct payload *s = payload_find(&m->pl, PL_SA);
    return s && s->body.len > 5 && s->body.p[5] == PROTO_IKE;
}

const struct task_ops task_rekey_ike = {
    .name = "rekeying of the IKE_SA", .start = start, .response = response, .undo = undo};
const struct task_ops task_rekey_ike_respond = {.name = "rekeying of the IKE_SA",
                                                .exchange = EX_CREATE_CHILD,
                                                .takes = rekey_ike_asked,
                                                .request = request,
                                                .followed = followed,
                                                .undo = undo};
