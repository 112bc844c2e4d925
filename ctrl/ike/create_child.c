// SPDX-License-Identifier: Apache-2.0
// CREATE_CHILD_SA for CHILD SAs, in both roles: further ones (RFC 7296 section 1.3.1) and new ones in the
// place of old ones (1.3.3), with or without a key exchange of their own. What crosses another exchange is
// answered as section 2.25 asks; simultaneous rekeying (2.8.1) is settled in childsa.c.
#include "ctrl/ike/create_child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/child_payloads.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/followup.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/kex.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/rekey_ike.h"
#include "ctrl/ike/resources.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/unique.h"
#include "ctrl/lib/log.h"

enum {
    CREATE_MAX = 16384,
    CHILDREN_PER_SA = 1024, // what one peer may hold
    MAX_KE_RETRIES = 4,
    LAST_WAIT_MS = 2000, // the old one may be gone without a word
    GONE_MAX = 4
};

struct create {
    struct ike *ike;
    struct kex kex;
    uint32_t made;     // the new CHILD SA until it is installed or given up, 0: none
    struct conn *conn; // the edition that cfg is of
    const struct child_config *cfg;
    unsigned retries;
    struct rekey_race race;  // as initiator: what the peer's own rekeying made meanwhile
    uint32_t gone[GONE_MAX]; // likewise: what the peer has deleted meanwhile and we never had
    unsigned gone_count;
    bool unwanted; // as initiator: what it is made in the place of is to go, and so is what is made
};

void create_child_gone(struct ike_sa *sa, uint32_t spi_out)
{
    const struct task *t = sa->active;
    struct create *x = task_is(t, TASK_CREATE_CHILD) || task_is(t, TASK_REKEY_CHILD) ? t->data : NULL;
    if (x)
        x->gone[x->gone_count++ % GONE_MAX] = spi_out;
}

uint64_t create_child_heard(const struct ike_sa *sa)
{
    const struct task *t = sa->active;
    const struct create *x = task_is(t, TASK_CREATE_CHILD) || task_is(t, TASK_REKEY_CHILD) ? t->data : NULL;
    uint64_t sum = x ? x->retries * 2 + x->unwanted : 0;
    for (unsigned i = 0; x && i < x->gone_count && i < GONE_MAX; i++)
        sum += (uint64_t)x->gone[i] << 8;
    return sum;
}

static bool is_gone(const struct create *x, uint32_t spi_out)
{
    bool gone = false;
    for (unsigned i = 0; i < x->gone_count && i < GONE_MAX; i++)
        gone = gone || x->gone[i] == spi_out;
    return gone;
}

struct rekey_race *create_child_race(const struct ike_sa *sa, uint32_t old)
{
    const struct task *t = sa->active;
    bool rekeying = task_is(t, TASK_REKEY_CHILD) && t->child_id == old && t->data;
    return rekeying ? &((struct create *)t->data)->race : NULL;
}

void create_child_taken_back(struct ike_sa *sa, uint32_t id)
{
    struct create *x = task_is(sa->active, TASK_REKEY_CHILD) ? sa->active->data : NULL;
    if (x && x->race.child_id == id)
        x->race = (struct rekey_race){.taken_back = true};
}

// What came in the place of another one, 0: nothing did. Where that is to go, so is this.
static void succeeded(struct ike *ike, uint32_t id, bool unwanted)
{
    struct child_sa *c = id ? child_by_id(ike, id) : NULL;
    if (!c || !child_is_up(c) || child_is_to_go(c))
        return;
    c->unwanted = unwanted;
    if (unwanted)
        exchange_queue(c->sa, TASK_DELETE_CHILD, id);
    else
        edition_child_rekeyed(c);
}

void create_child_unwanted(struct ike_sa *sa, uint32_t old)
{
    const struct task *t = sa->active;
    struct create *x = task_is(t, TASK_REKEY_CHILD) && t->child_id == old ? t->data : NULL;
    if (!x)
        return;
    x->unwanted = true;
    succeeded(sa->ike, x->race.child_id, true); // by the peer's own rekeying
}

void create_child_want(struct ike_sa *sa, const char *child, bool wanted)
{
    struct task *const all[] = {sa->active, sa->queue};
    for (unsigned i = 0; i < 2; i++)
        for (struct task *t = all[i]; t; t = t->next)
            if (t->kind == TASK_CREATE_CHILD && t->data &&
                strcmp(((struct create *)t->data)->cfg->name, child) == 0)
                ((struct create *)t->data)->unwanted = !wanted;
}

static struct create *data_new(struct task *t)
{
    struct create *x = calloc(1, sizeof(*x));
    if (!x || cr_random(x->kex.nonce, NONCE_LEN) != 0) {
        free(x);
        return NULL;
    }
    x->ike = t->sa->ike;
    t->data = x;
    return x;
}

static void make(struct create *x, struct conn *conn, const struct child_config *cfg)
{
    conn->refs++;
    conn_unref(x->conn);
    x->conn = conn;
    x->cfg = cfg;
}

// What did not come to its end leaves no trace; the old one goes on.
static void undo(struct task *t)
{
    struct create *x = t->data;
    struct child_sa *c;
    if (!x)
        return;
    t->data = NULL;
    ike_kex_forget(x->ike, &x->kex);
    c = x->made ? child_by_id(x->ike, x->made) : NULL;
    if (c)
        child_destroy(c);
    c = t->child_id && t->kind == TASK_REKEY_CHILD ? child_by_id(x->ike, t->child_id) : NULL;
    if (c && c->state == CHILD_REKEYING)
        c->state = CHILD_INSTALLED;
    conn_unref(x->conn);
    free(x);
}

// --- as initiator ---

static bool is_rekey(const struct task *t)
{
    return t->kind == TASK_REKEY_CHILD;
}

static void gave_up(struct task *t, const char *why)
{
    struct ike_sa *sa = t->sa;
    struct create *x = t->data;
    bool rekey = is_rekey(t);
    struct child_sa *old = rekey ? child_by_id(sa->ike, t->child_id) : NULL;
    char name[NAME_MAX_LEN];
    snprintf(name, sizeof(name), "%s", x->cfg->name);
    COUNT(sa->ike, child_failed);
    counts_child_failed(sa, name);
    LOGF_CHILD(IKE, 1, name, old ? old->id : 0,
               rekey ? "CHILD_SA %s rekeying failed: %s" : "failed to establish CHILD_SA %s: %s", name, why);
    if (old && x->race.child_id)
        child_rekeyed_by_peer(old, child_by_id(sa->ike, x->race.child_id));
    else if (old && old->state == CHILD_REKEYING)
        child_retry_rekey(old);
    succeeded(sa->ike, x->race.child_id, x->unwanted);
    char text[200];
    snprintf(text, sizeof(text), "%s", why); // it may be the task's
    exchange_done(sa);
    if (!rekey)
        sa->ike->events->child_failed(sa, name, text);
    sa->ike->events->sa_at_rest(sa);
}

static void send_request(struct task *t)
{
    uint8_t buf[CREATE_MAX];
    struct ike_sa *sa = t->sa;
    struct create *x = t->data;
    struct child_sa *old = is_rekey(t) ? child_by_id(sa->ike, t->child_id) : NULL;
    struct child_sa *c = child_by_id(sa->ike, x->made);
    struct pb b = pb_of(buf, sizeof(buf));
    uint8_t spi[4];
    struct writer w = writer_of(spi, sizeof(spi));
    if (!c || (is_rekey(t) && !old)) {
        gave_up(t, "it was closed meanwhile");
        return;
    }
    if (old) {
        wr_u32(&w, old->spi_in);
        pb_notify(&b, child_protocol(old), wr_written(&w), N_REKEY_SA, slice_of(NULL, 0));
    }
    child_put_request(&b, c, true, &x->kex);
    COUNT(sa->ike, create_child_out_req);
    exchange_send_inner(sa, EX_CREATE_CHILD, &b);
}

static void got_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct create *x = t->data;
    if (!ike_kex_public(&x->kex, type, m)) {
        gave_up(t, answer_text(type, m));
        return;
    }
    send_request(t);
}

static void begin(struct task *t, uint16_t group)
{
    struct create *x = t->data;
    x->kex.first.group = group;
    if (group)
        ike_kex_generate(t, &x->kex.first, group, got_public);
    else
        send_request(t);
}

static uint16_t first_group(const struct child_config *cfg)
{
    for (unsigned i = 0; i < cfg->proposal_count; i++)
        for (unsigned k = 0; k < cfg->proposals[i].count; k++)
            if (cfg->proposals[i].t[k].type == TR_KE && cfg->proposals[i].t[k].id)
                return cfg->proposals[i].t[k].id;
    return 0;
}

static bool begin_child(struct task *t, struct conn *conn, const struct child_config *cfg,
                        struct child_sa *old)
{
    struct create *x = t->data ? t->data : data_new(t);
    struct child_sa *c = x ? child_new(t->sa, conn, cfg) : NULL;
    if (!c)
        return false;
    make(x, conn, cfg);
    x->made = c->id;
    if (old)
        c->reqid = old->reqid;
    begin(t, old && old->suite->ke.id ? old->suite->ke.id : first_group(cfg));
    return true;
}

static void rekey_start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct child_sa *old = child_by_id(sa->ike, t->child_id);
    if (!old || old->state != CHILD_INSTALLED || child_is_to_go(old) || sa->state != SA_ESTABLISHED) {
        exchange_done(sa); // replaced, or on its way out
        return;
    }
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF_SA(IKE, 0, old, "rekeying CHILD_SA %s{%u}", old->cfg->name, old->id);
    old->state = CHILD_REKEYING;
    if (!begin_child(t, old->conn, old->cfg, old)) {
        child_retry_rekey(old);
        exchange_done(sa);
    }
}

// It has been edited since it was asked for: its packets pass, or are dropped.
static bool is_policy_by_now(const struct ike_sa *sa, const char *child)
{
    const struct conn *live = conn_find(sa->ike, sa->conn->cfg.name);
    const struct child_config *cfg = live ? conn_child(live, child) : NULL;
    return cfg && cfg->action != POLICY_PROTECT;
}

static void create_start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct create *x = t->data;
    if (sa->state != SA_ESTABLISHED) {
        exchange_done(sa);
        return;
    }
    log_set_context(sa->conn->cfg.name, sa->id);
    if (is_policy_by_now(sa, x->cfg->name)) {
        gave_up(t, "it is a policy that does not protect by now");
        return;
    }
    if (x->unwanted) {
        gave_up(t, "it was closed meanwhile");
        return;
    }
    LOGF(CHD, 1, "establishing CHILD_SA %s", x->cfg->name);
    if (!begin_child(t, x->conn, x->cfg, NULL))
        gave_up(t, "no memory");
}

bool create_child_begin(struct ike_sa *sa, struct conn *conn, const struct child_config *cfg)
{
    struct task *t = task_new(sa, TASK_CREATE_CHILD, 0);
    struct create *x = t ? data_new(t) : NULL;
    if (!x) {
        task_free(t);
        return false;
    }
    make(x, conn, cfg);
    exchange_queue_task(sa, t);
    return true;
}

bool create_child_on_its_way(const struct ike_sa *sa, const char *child)
{
    const struct task *all[] = {sa->active, sa->queue};
    for (unsigned i = 0; i < 2; i++)
        for (const struct task *t = all[i]; t; t = t->next)
            if (t->kind == TASK_CREATE_CHILD && t->data &&
                strcmp(((struct create *)t->data)->cfg->name, child) == 0)
                return true;
    return false;
}

bool create_child_makes(const struct ike_sa *sa, const struct conn *conn, const struct child_config *cfg)
{
    const struct task *all[] = {sa->active, sa->queue};
    for (unsigned i = 0; i < 2; i++) {
        for (const struct task *t = all[i]; t; t = t->next) {
            const struct create *x = t->kind == TASK_CREATE_CHILD ? t->data : NULL;
            if (x && conn_same_child(x->conn, x->cfg, conn, cfg))
                return true;
        }
    }
    return false;
}

void create_child_each(struct ike_sa *sa, void (*fn)(struct ike_sa *sa, const char *child))
{
    const struct task *all[] = {sa->active, sa->queue};
    for (unsigned i = 0; i < 2; i++)
        for (const struct task *t = all[i]; t; t = t->next)
            if (t->kind == TASK_CREATE_CHILD && t->data)
                fn(sa, ((struct create *)t->data)->cfg->name);
}

void create_child_follow(struct ike_sa *sa, struct conn *c)
{
    const struct task *all[] = {sa->active, sa->queue};
    for (unsigned i = 0; i < 2; i++) {
        for (const struct task *t = all[i]; t; t = t->next) {
            struct create *x = t->kind == TASK_CREATE_CHILD ? t->data : NULL;
            const struct child_config *cfg = x ? conn_child(c, x->cfg->name) : NULL;
            // What has not begun goes by what is loaded, where that is to be made at all.
            if (cfg && cfg->action == POLICY_PROTECT && (!x->made || conn_child_eq(x->cfg, cfg)))
                make(x, c, cfg);
        }
    }
}

// The peer has one that we cannot use: it must go there, too.
static void refuse_made(struct task *t, const char *why)
{
    struct create *x = t->data;
    uint32_t made = x->made;
    x->made = 0;
    exchange_queue(t->sa, TASK_DELETE_CHILD, made);
    gave_up(t, why);
}

static void installed(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    struct create *x = t->data;
    uint32_t made = x->made;
    struct child_sa *c = child_by_id(sa->ike, made), *old;
    struct nonce lowest;
    char why[200];
    if (!c && !is_rekey(t))
        sa->ike->events->child_lost(sa->ike, sa->conn, x->cfg->name,
                                    LOST_CLOSED); // the peer closed it already
    if (!answer_ok(type, m) || !c) {
        sa_alert(sa, ALERT_INSTALL);
        snprintf(why, sizeof(why), "installing it failed: %.150s",
                 c ? answer_text(type, m) : "it was closed meanwhile");
        refuse_made(t, why);
        return;
    }
    x->made = 0;
    ike_kex_lowest(&x->kex, &lowest);
    old = is_rekey(t) ? child_by_id(sa->ike, t->child_id) : NULL;
    child_installed(c, is_rekey(t) ? t->child_id : 0);
    if (is_rekey(t)) {
        child_rekeyed(c, old, &lowest, &x->race);
        succeeded(sa->ike, made, x->unwanted);
        succeeded(sa->ike, x->race.child_id, x->unwanted);
    } else if (x->unwanted) {
        succeeded(sa->ike, made, true);
    } else {
        edition_child_up(c);
    }
    exchange_done(sa);
}

// Another group, at most MAX_KE_RETRIES times; true: the request goes out again.
static bool try_group(struct task *t, struct slice data, char *why, size_t size)
{
    struct create *x = t->data;
    struct reader r = reader_of(data);
    uint16_t group = rd_u16(&r);
    bool ours = false;
    for (unsigned i = 0; i < x->cfg->proposal_count; i++)
        ours = ours || proposal_has(&x->cfg->proposals[i], TR_KE, group);
    if (!rd_done(&r) || !ours || group == x->kex.first.group || ++x->retries > MAX_KE_RETRIES) {
        snprintf(why, size, "the peer asked for key exchange group %u, which was %s (RFC 7296 1.3)", group,
                 !ours ? "not offered" : "sent");
        return false;
    }
    LOGF(IKE, 1, "peer didn't accept key exchange method %s, it requested %s",
         transform_name((struct transform){TR_KE, x->kex.first.group, 0}),
         transform_name((struct transform){TR_KE, group, 0}));
    begin(t, group);
    return true;
}

// The peer does not know the old one any more (2.25.1): it goes here without a word, and a new one is made,
// where this one was not to go.
static void old_is_unknown(struct task *t, struct child_sa *old)
{
    struct ike_sa *sa = t->sa;
    bool unwanted = ((struct create *)t->data)->unwanted;
    LOGF(IKE, 1, "the peer knows no such CHILD_SA%s (RFC 7296 2.25.1)", unwanted ? "" : ", making a new one");
    if (!unwanted)
        create_child_begin(sa, old->conn, old->cfg);
    child_destroy(old);
    exchange_done(sa);
    sa->ike->events->sa_at_rest(sa);
}

static void on_error(struct task *t, const struct notify *n, bool followup)
{
    struct ike_sa *sa = t->sa;
    struct create *x = t->data;
    struct child_sa *old = is_rekey(t) ? child_by_id(sa->ike, t->child_id) : NULL;
    char why[200];
    LOGF(IKE, 1, "received %s notify error", notify_name(n->type));
    if (n->type == N_INVALID_KE_PAYLOAD && !followup && try_group(t, n->data, why, sizeof(why)))
        return;
    if (n->type != N_INVALID_KE_PAYLOAD || followup)
        snprintf(why, sizeof(why), "received %s notify error", notify_name(n->type));
    if (n->type == N_CHILD_SA_NOT_FOUND && old && !old->replaced && !x->race.child_id) {
        old_is_unknown(t, old);
        return;
    }
    bool again = n->type == N_TEMPORARY_FAILURE || n->type == N_STATE_NOT_FOUND; // RFC 9370 2.2.4
    if (again && !is_rekey(t) && !x->unwanted) { // 2.25: it is asked again, by whoever wanted it
        sa->ike->events->child_later(sa, x->cfg);
        exchange_done(sa);
        return;
    }
    // A peer without further CHILD SAs: the whole IKE SA is made anew, and the old one ends behind it.
    if (n->type == N_NO_ADDITIONAL_SAS && old && !x->race.child_id && !x->unwanted)
        sa->ike->events->child_cannot_rekey(old);
    counts_child_notify(sa, n->type);
    child_alert(sa, n->type);
    gave_up(t, why);
}

// What the peer's own rekeying of the same child has made, or is about to make, at this end; 0: nothing.
static uint32_t peers_successor(const struct ike_sa *sa, const struct child_sa *ours, uint32_t old)
{
    for (const struct child_sa *c = sa->children; c; c = c->next)
        if (c != ours && c->out_after == old && c->state != CHILD_DELETED)
            return c->id;
    return 0;
}

static void follow_up(struct task *t, struct child_sa *c, const struct payloads *pl);

static void followup_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct create *x = t->data;
    if (!followup_send(t, &x->kex, type, m))
        gave_up(t, answer_text(type, m));
}

static void followed_response(struct task *t, struct child_sa *c, const struct payloads *pl)
{
    struct create *x = t->data;
    struct refusal r = {0};
    bool last = !suite_addke(c->suite, x->kex.added + 1);
    if (followup_take(&x->kex, c->suite, pl, &r) == 0)
        follow_up(t, c, pl);
    else if (last)
        refuse_made(t, r.why.text);
    else
        gave_up(t, r.why.text);
}

// On to the next additional key exchange, or all are done.
static void follow_up(struct task *t, struct child_sa *c, const struct payloads *pl)
{
    struct create *x = t->data;
    struct refusal r = {0};
    struct nonce lowest;
    int rc = followup_begin(t, &x->kex, c->suite, pl, followup_public, &r);
    if (rc < 0)
        gave_up(t, r.why.text);
    if (rc)
        return;
    ike_kex_lowest(&x->kex, &lowest);
    if (is_rekey(t) && (!x->race.child_id || nonce_lower(&lowest, &x->race.lowest)))
        c->out_after = peers_successor(t->sa, c, t->child_id); // it may go again, and the peer's stay
    child_install(c, t, true, &x->kex, installed);
}

static bool response(struct task *t, struct inmsg *m)
{
    struct ike_sa *sa = t->sa;
    struct create *x = t->data;
    struct child_sa *c = child_by_id(sa->ike, x->made);
    struct refusal r = {0};
    struct notify n;
    char why[200];
    bool followup = m->h.exchange == EX_FOLLOWUP_KE;
    if (notify_unknown_error(&m->pl, &n)) {
        snprintf(why, sizeof(why), "received error notify %u, which is not known (RFC 7296 3.10.1)", n.type);
        if (payload_find(&m->pl, followup ? PL_KE : PL_SA) && c)
            refuse_made(t, why); // the peer may have it
        else
            gave_up(t, why);
        return false;
    }
    if (!payload_find(&m->pl, followup ? PL_KE : PL_SA) && notify_first_error(&m->pl, &n)) {
        on_error(t, &n, followup);
        return false;
    }
    if (!c) {
        gave_up(t, "it was closed meanwhile");
        return false;
    }
    if (followup) {
        followed_response(t, c, &m->pl);
        return false;
    }
    if (!child_take_answer(c, &m->pl, true, why, sizeof(why))) {
        refuse_made(t, why);
        return false;
    }
    if (is_gone(x, c->spi_out)) { // its DELETE was quicker than the answer, or the answer was lost at first
        if (!is_rekey(t))
            sa->ike->events->child_lost(sa->ike, sa->conn, x->cfg->name, LOST_CLOSED);
        gave_up(t, "the peer closed it already");
        return false;
    }
    uint16_t group = c->suite->ke.id;
    if (group && group != x->kex.first.group) {
        refuse_made(t, "the peer chose a group for which no value was sent (RFC 7296 1.3)");
        return false;
    }
    if (ike_kex_take(&x->kex, &m->pl, group, true, &r) != 0)
        refuse_made(t, r.why.text);
    else
        follow_up(t, c, &m->pl);
    return false;
}

// --- as responder ---

static void decline(struct task *t, uint16_t type, struct slice spi, struct slice data, const char *why)
{
    uint8_t buf[64];
    struct pb b = pb_of(buf, sizeof(buf));
    struct notify n;
    bool ah = notify_find(&t->msg->pl, N_REKEY_SA, &n) && n.protocol == PROTO_AH;
    LOGF(IKE, 1, "%s, sending %s", why, notify_name(type));
    pb_notify(&b, !spi.len ? PROTO_NONE : ah ? PROTO_AH : PROTO_ESP, spi, type, data);
    exchange_reply(t->sa, t->msg->h.exchange, &b);
}

static void decline_plain(struct task *t, uint16_t type, const char *why)
{
    decline(t, type, slice_of(NULL, 0), slice_of(NULL, 0), why);
}

// 2.25: what cannot be answered well while another exchange is at work.
static const char *busy(const struct ike_sa *sa, const struct child_sa *old)
{
    if (sa->state != SA_ESTABLISHED || sa->retired)
        return "the IKE_SA is being replaced or deleted";
    if (task_is(sa->active, TASK_REKEY_IKE))
        return "the IKE_SA is being rekeyed";
    if (old && old->state != CHILD_INSTALLED && old->state != CHILD_REKEYING)
        return "the CHILD_SA is being made, replaced or deleted";
    if (old && child_is_to_go(old))
        return "the CHILD_SA is about to be deleted";
    return NULL;
}

static void put_answer(struct pb *b, struct task *t, const struct child_sa *c)
{
    struct create *x = t->data;
    if (t->msg->h.exchange == EX_FOLLOWUP_KE)
        followup_put(b, &x->kex);
    else
        child_put_answer(b, c, &x->kex);
}

// The answer goes first: what follows here may begin an exchange, and that may end the IKE SA at once. c: may
// be NULL.
static void not_made(struct task *t, const struct child_sa *c, uint16_t notify, const char *said,
                     const char *why)
{
    struct ike_sa *sa = t->sa;
    char child[NAME_MAX_LEN], text[200];
    bool waited_for = c && !t->child_id; // somebody here may wait for it
    snprintf(child, sizeof(child), "%s", waited_for ? c->cfg->name : "");
    snprintf(text, sizeof(text), "%s", why);
    decline_plain(t, notify, said);
    if (waited_for)
        sa->ike->events->child_failed(sa, child, text);
}

static void answered(struct task *t, enum msg_type type, const union msg *m)
{
    uint8_t buf[CREATE_MAX];
    struct ike_sa *sa = t->sa;
    struct create *x = t->data;
    struct child_sa *c = child_by_id(sa->ike, x->made), *old = child_by_id(sa->ike, t->child_id);
    struct pb b = pb_of(buf, sizeof(buf));
    uint32_t old_id = t->child_id;
    struct rekey_race made = {.child_id = x->made};
    if (!c || !answer_ok(type, m)) {
        COUNT(sa->ike, child_failed);
        if (c)
            counts_child_failed(sa, c->cfg->name);
        sa_alert(sa, ALERT_INSTALL);
        LOGF_CHILD(IKE, 1, c ? c->cfg->name : "", x->made, "installing the CHILD_SA failed: %s",
                   c ? answer_text(type, m) : "it was closed meanwhile");
        bool soon = answer_is_path_gone(type, m); // it is asked again, as by a peer that is busy
        not_made(t, c, soon ? N_TEMPORARY_FAILURE : N_NO_PROPOSAL_CHOSEN, "no CHILD_SA was made",
                 answer_text(type, m));
        return;
    }
    const char *why = busy(sa, old);
    if (why || (old_id && !old)) { // our own request was answered while we were at work on the peer's
        why = why ? why : "the CHILD_SA was closed meanwhile";
        not_made(t, c, N_TEMPORARY_FAILURE, why, why);
        return;
    }
    ike_kex_lowest(&x->kex, &made.lowest);
    put_answer(&b, t, c);
    x->made = 0;
    if (!exchange_reply(sa, t->msg->h.exchange, &b)) {
        child_destroy(c);
        return;
    }
    child_installed(c, old_id);
    c = child_by_id(sa->ike, made.child_id); // without memory for what follows from it all has gone
    old = child_by_id(sa->ike, old_id);
    struct rekey_race *race = old_id ? create_child_race(sa, old_id) : NULL;
    if (race)
        *race = made;
    else if (old)
        child_rekeyed_by_peer(old, c);
    if (!race && old)
        succeeded(sa->ike, made.child_id, false);
    if (!old_id && c)
        unique_child_made(c);
}

// The answer asks for the next additional key exchange; nothing is installed before the last.
static void wait_for_more(struct task *t, const struct child_sa *c)
{
    uint8_t buf[CREATE_MAX];
    struct create *x = t->data;
    struct pb b = pb_of(buf, sizeof(buf));
    if (!followup_room(t->sa)) {
        decline_plain(t, N_TEMPORARY_FAILURE, "as many exchanges as may be wait for an IKE_FOLLOWUP_KE");
        return;
    }
    put_answer(&b, t, c);
    followup_put_link(&b, t, &x->kex);
    followup_wait(t, &b);
}

static void respond_install(struct task *t)
{
    struct create *x = t->data;
    struct child_sa *c = child_by_id(t->sa->ike, x->made);
    if (c && suite_addke(c->suite, x->kex.added))
        wait_for_more(t, c);
    else if (c)
        child_install(c, t, false, &x->kex, answered);
    else
        decline_plain(t, N_TEMPORARY_FAILURE, "the CHILD_SA was closed meanwhile");
}

static void respond_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct create *x = t->data;
    if (ike_kex_public(&x->kex, type, m))
        respond_install(t);
    else
        decline_plain(t, N_NO_PROPOSAL_CHOSEN, answer_text(type, m));
}

static void followed_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct create *x = t->data;
    struct child_sa *c = child_by_id(t->sa->ike, x->made);
    if (!c || followup_answered(&x->kex, c->suite, type, m))
        respond_install(t);
    else
        decline_plain(t, N_NO_PROPOSAL_CHOSEN, answer_text(type, m));
}

// What has changed since the exchange before is as if it had been so then.
static void followed(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct create *x = t->data;
    struct child_sa *c = child_by_id(sa->ike, x->made),
                    *old = t->child_id ? child_by_id(sa->ike, t->child_id) : NULL;
    struct refusal r = {0};
    const char *why = !c || (t->child_id && !old) ? "the CHILD_SA was closed meanwhile" : busy(sa, old);
    if (why)
        decline_plain(t, N_TEMPORARY_FAILURE, why);
    else if (followup_answer(t, &x->kex, c->suite, followed_public, &r) != 0)
        decline(t, r.notify, slice_of(NULL, 0), slice_of(r.data, r.data_len), r.why.text);
}

static bool making_one(const struct ike_sa *sa)
{
    return task_is(sa->active, TASK_CREATE_CHILD) || task_is(sa->active, TASK_REKEY_CHILD);
}

// We have none of that SPI any more, but the DELETE of it has not been answered.
static bool is_closed_by_force(const struct ike_sa *sa, uint32_t spi)
{
    const struct task *all[] = {sa->active, sa->queue};
    for (unsigned i = 0; i < 2; i++)
        for (const struct task *t = all[i]; t; t = t->next)
            if (t->kind == TASK_DELETE_CHILD && t->spi && t->peer_spi == spi)
                return true;
    return false;
}

static struct child_sa *rekeyed_one(struct task *t, bool *answered_already)
{
    struct notify n;
    struct ike_sa *sa = t->sa;
    bool rekey = notify_find(&t->msg->pl, N_REKEY_SA, &n);
    *answered_already = false;
    if (!rekey)
        return NULL;
    struct reader r = reader_of(n.spi);
    uint32_t spi = rd_u32(&r);
    struct child_sa *old = rd_done(&r) ? child_by_spi_out(sa, spi) : NULL;
    if (old && child_protocol(old) != n.protocol)
        old = NULL;
    if (!old) {
        char why[100];
        snprintf(why, sizeof(why), "the peer rekeys CHILD_SA with SPI %08x, which is not known", spi);
        *answered_already = true;
        // It may be what the peer made of our request, whose answer was lost; or it goes (2.25.1).
        if (making_one(sa) || is_closed_by_force(sa, spi))
            decline_plain(t, N_TEMPORARY_FAILURE, why);
        else
            decline(t, N_CHILD_SA_NOT_FOUND, n.spi.len == 4 ? n.spi : slice_of(NULL, 0), slice_of(NULL, 0),
                    why);
    }
    return old;
}

static unsigned child_count(const struct ike_sa *sa)
{
    unsigned n = 0;
    for (const struct child_sa *c = sa->children; c; c = c->next)
        n++;
    return n;
}

static void choose_and_install(struct task *t, const struct child_wish *w, struct child_sa *old)
{
    struct create *x = t->data;
    struct refusal r = {0};
    uint16_t notify = 0;
    struct child_sa *c = child_choose(t->sa, w, old, true, &notify);
    if (!c) {
        COUNT(t->sa->ike, child_failed);
        decline_plain(t, notify, "no CHILD_SA can be made of the request");
        return;
    }
    x->made = c->id;
    if (!old && resources_full(c, &t->msg->pl)) {
        decline_plain(t, N_TS_MAX_QUEUE, "the peer has as many CHILD_SAs of these selectors as it may have");
        return;
    }
    if (old)
        c->reqid = old->reqid;
    c->out_after = old ? old->id : 0;
    // A peer that reauthenticates has the new one only when the answer has come, as in IKE_AUTH.
    const struct child_sa *served = old ? NULL : sa_served_already(c);
    if (served) {
        c->out_after = served->id;
        c->out_at = loop_now(t->sa->ike->loop) + LAST_WAIT_MS;
    }
    if (ike_kex_take(&x->kex, &t->msg->pl, c->suite->ke.id, false, &r) != 0) {
        decline(t, r.notify, slice_of(NULL, 0), slice_of(r.data, r.data_len), r.why.text);
        return;
    }
    if (c->suite->ke.id)
        ike_kex_respond(t, &x->kex.first, c->suite->ke.id, respond_public);
    else
        respond_install(t);
}

static void request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct refusal r = {0};
    bool over = false;
    rekey_ike_used(sa);
    if (sa->state == SA_DEAD) // with what it has replaced: nothing is left to answer by
        return;
    struct child_sa *old = sa->state == SA_ESTABLISHED ? rekeyed_one(t, &over) : NULL;
    const char *why = over ? NULL : busy(sa, old);
    if (over)
        return;
    if (why) {
        decline_plain(t, N_TEMPORARY_FAILURE, why);
        return;
    }
    if (child_count(sa) >= CHILDREN_PER_SA) {
        decline_plain(t, N_NO_ADDITIONAL_SAS, "the IKE_SA has as many CHILD_SAs as one may have");
        return;
    }
    t->child_id = old ? old->id : 0;
    struct child_wish *w = malloc(sizeof(*w));
    if (!w || !data_new(t))
        decline_plain(t, N_TEMPORARY_FAILURE, "no memory");
    else if (child_wish_read(&t->msg->pl, w, &r) != 0 || !w->offers.count)
        decline_plain(t, N_INVALID_SYNTAX,
                      r.why.text[0] ? r.why.text : "a CREATE_CHILD_SA request without SA payload");
    else
        choose_and_install(t, w, old);
    free(w);
}

static bool takes(const struct inmsg *m)
{
    return !rekey_ike_asked(m);
}

const struct task_ops task_create_child = {
    .name = "CREATE_CHILD_SA", .start = create_start, .response = response, .undo = undo};
const struct task_ops task_rekey_child = {
    .name = "rekeying of a CHILD_SA", .start = rekey_start, .response = response, .undo = undo};
const struct task_ops task_create_child_respond = {.name = "CREATE_CHILD_SA",
                                                   .exchange = EX_CREATE_CHILD,
                                                   .takes = takes,
                                                   .request = request,
                                                   .followed = followed,
                                                   .undo = undo};
