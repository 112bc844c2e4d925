// SPDX-License-Identifier: Apache-2.0
// See resume_ticket.h. The gateway keeps nothing of a ticket but, where certificates proved the peer, what it
// takes to see that one of them was revoked since: without that the ticket is refused.
#include "ctrl/ike/resume_ticket.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/conns.h"
#include "ctrl/ike/creds.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/resume_session.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"

enum {
    TICKET_LEAST_S = 60,     // a shorter one is not given
    TICKET_MOST_S = 86400,   // a longer one is taken for that long
    TICKET_LEN_MAX = 4096,   // of another one's
    STORED_MAX = 4096,       // of clients
    STANDINGS_MAX = 1 << 16, // of gateways
    TICKET_MESSAGE_MAX = 4096
};

struct ticket_answer {
    void (*then)(struct task *t);
    uint32_t lifetime; // 0: TICKET_NACK
    size_t len;
    uint8_t data[];
};
struct standing { // in the order of their making
    struct table_node node;
    struct standing *next;
    uint64_t until;
    struct pki_standing *of[2];
};
struct tickets {
    struct session *stored; // the newest first
    unsigned stored_count;
    uint32_t next_id, next_standing;
    struct table standings;
    struct standing *oldest, *newest;
};

static struct tickets *room(struct ike *ike)
{
    if (!ike->tickets)
        ike->tickets = calloc(1, sizeof(*ike->tickets));
    return ike->tickets;
}

static bool serves(const struct ike_sa *sa)
{
    return sa->ike->set.session_resumption && !rounds_of(sa->conn);
}

static void put(struct pb *b, uint16_t type)
{
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), type, slice_of(NULL, 0));
}

// --- as the client: what is stored ---

static struct session *unlink_stored(struct tickets *k, struct session **at)
{
    struct session *s = *at;
    *at = s->next;
    s->next = NULL;
    k->stored_count--;
    return s;
}

static void stored_over(struct timer *t)
{
    struct session *s = t->ctx;
    struct tickets *k = s->ike->tickets;
    for (struct session **at = &k->stored; *at; at = &(*at)->next)
        if (*at == s) {
            session_free(unlink_stored(k, at));
            return;
        }
}

static void drop_oldest(struct tickets *k)
{
    struct session **at = &k->stored;
    while (*at && (*at)->next)
        at = &(*at)->next;
    if (*at)
        session_free(unlink_stored(k, at));
}

void ticket_store(struct ike *ike, struct session *s)
{
    struct tickets *k = room(ike);
    if (!k || ike->stopping || s->until <= loop_now(ike->loop)) {
        session_free(s);
        return;
    }
    if (k->stored_count == STORED_MAX)
        drop_oldest(k);
    s->next = k->stored;
    k->stored = s;
    k->stored_count++;
    s->timer.fire = stored_over;
    s->timer.ctx = s;
    timer_set(ike->loop, &s->timer, s->until);
}

struct session *ticket_for(struct ike *ike, const struct conn *c, const struct net_path *path)
{
    struct tickets *k = ike->tickets;
    char why[120];
    for (struct session **at = k ? &k->stored : NULL; at && *at;) {
        struct session *s = *at;
        if (strcmp(s->conn, c->cfg.name) != 0 || !addr_eq(&s->gateway, &path->remote)) {
            at = &s->next;
            continue;
        }
        unlink_stored(k, at);
        timer_stop(ike->loop, &s->timer);
        if (ike->set.session_resumption && session_conn(ike, s, why, sizeof(why)) == c)
            return s;
        LOGF(IKE, 1, "a ticket of %s is not used: %s", c->cfg.name, why);
        session_free(s);
    }
    return NULL;
}

// --- as the client: asking ---

void ticket_request(struct pb *b, const struct ike_sa *sa)
{
    if (serves(sa))
        put(b, N_TICKET_REQUEST);
}

// None has taken its place in time.
static void too_old(struct timer *t)
{
    const struct ike_sa *sa = t->ctx;
    ipc_send(sa->ike->chan[ROOM_KEYS], MSG_TICKET_FORGET,
             &(struct msg_TICKET_FORGET){.ticket_id = sa->later->session->id});
}

static void ask_again(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    t->fire = too_old;
    timer_set(sa->ike->loop, t, sa->later->session->until);
    log_set_context(sa->conn->cfg.name, sa->id);
    if (sa->state == SA_ESTABLISHED && !task_is_asked(sa, TASK_TICKET, 0))
        exchange_queue(sa, TASK_TICKET, 0);
    log_set_context("", 0);
}

static bool keep(struct ike_sa *sa, uint32_t lifetime, struct slice ticket)
{
    struct ike *ike = sa->ike;
    struct tickets *k = room(ike);
    struct session *s = k ? session_of(sa, NULL) : NULL;
    uint64_t now = loop_now(ike->loop),
             ms = 1000u * (uint64_t)(lifetime < TICKET_MOST_S ? lifetime : TICKET_MOST_S);
    if (s)
        s->ticket = malloc(ticket.len);
    if (!s || !s->ticket) {
        session_free(s);
        return false;
    }
    memcpy(s->ticket, ticket.p, ticket.len);
    s->ticket_len = ticket.len;
    s->gateway = sa->path.remote;
    s->until = now + ms;
    s->ike = ike;
    s->id = ++k->next_id ? k->next_id : ++k->next_id;
    session_free(sa->later->session);
    sa->later->session = s;
    struct msg_TICKET_KEEP q = {.ike_id = sa->id, .ticket_id = s->id, .lifetime_s = (uint32_t)(ms / 1000)};
    ipc_send(ike->chan[ROOM_KEYS], MSG_TICKET_KEEP, &q);
    s->timer.fire = ask_again;
    s->timer.ctx = sa;
    timer_set(ike->loop, &s->timer, now + ms / 10 * 8);
    return true;
}

void ticket_take(struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    if (!serves(sa))
        return;
    if (notify_find(pl, N_TICKET_ACK, &n) && !task_is(sa->active, TASK_TICKET)) {
        LOGF(IKE, 1, "the peer gives tickets when asked again");
        exchange_queue(sa, TASK_TICKET, 0);
        return;
    }
    if (!notify_find(pl, N_TICKET_LT_OPAQUE, &n)) {
        LOGF(IKE, 1, "the peer gives no ticket for resumption");
        return;
    }
    struct reader r = reader_of(n.data);
    uint32_t lifetime = rd_u32(&r);
    struct slice ticket = rd_bytes(&r, r.left);
    if (r.bad || !lifetime || !ticket.len || ticket.len > TICKET_LEN_MAX)
        LOGF(IKE, 1, "TICKET_LT_OPAQUE of %zu octets ignored: expected a lifetime and a ticket of 1 to %d",
             n.data.len, TICKET_LEN_MAX);
    else if (keep(sa, lifetime, ticket))
        LOGF(IKE, 1, "received a ticket for resumption, good for %u s", lifetime);
    else
        LOGF(IKE, 1, "no memory for the peer's ticket");
}

void ticket_rekeyed(struct ike_sa *old, struct ike_sa *next)
{
    bool had = old->later->session != NULL;
    session_free(old->later->session);
    old->later->session = NULL;
    if (had && serves(next) && next->client && !task_is_asked(next, TASK_TICKET, 0))
        exchange_queue(next, TASK_TICKET, 0);
}

void ticket_lost(struct ike_sa *sa)
{
    struct session *s = sa->later->session;
    if (sa->state != SA_ESTABLISHED)
        return;
    sa->lost = true;
    sa->later->session = NULL;
    if (s)
        ticket_store(sa->ike, s);
}

static void ask_start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    uint8_t buf[32];
    struct pb b = pb_of(buf, sizeof(buf));
    if (sa->state != SA_ESTABLISHED) {
        exchange_done(sa);
        return;
    }
    put(&b, N_TICKET_REQUEST);
    COUNT(sa->ike, info_out_req);
    exchange_send_inner(sa, EX_INFORMATIONAL, &b);
}

static bool ask_response(struct task *t, struct inmsg *m)
{
    ticket_take(t->sa, &m->pl);
    exchange_done(t->sa);
    return false;
}

const struct task_ops task_ticket = {.name = "ticket", .start = ask_start, .response = ask_response};

// --- as the gateway ---

static void free_standing(struct standing *x)
{
    for (unsigned i = 0; i < 2; i++)
        pki_standing_unref(x->of[i]);
    free(x);
}

static void forget_standings(struct tickets *k, uint64_t now)
{
    while (k->oldest && k->oldest->until <= now) {
        struct standing *x = k->oldest;
        k->oldest = x->next;
        if (!k->oldest)
            k->newest = NULL;
        table_del(&k->standings, &x->node);
        free_standing(x);
    }
}

// 0 where nothing can be revoked. False: no room.
static bool note_standing(struct ike_sa *sa, uint64_t until, uint32_t *number)
{
    struct tickets *k = room(sa->ike);
    *number = 0;
    if (!sa->later->standing[0] && !sa->later->standing[1])
        return true;
    if (!k)
        return false;
    forget_standings(k, loop_now(sa->ike->loop));
    struct standing *x = table_count(&k->standings) < STANDINGS_MAX ? calloc(1, sizeof(*x)) : NULL;
    do {
        *number = ++k->next_standing;
    } while (!*number || table_find(&k->standings, *number));
    if (!x || !table_add(&k->standings, &x->node, *number)) {
        free(x);
        return false;
    }
    x->until = until;
    for (unsigned i = 0; i < 2; i++)
        x->of[i] = pki_standing_ref(sa->later->standing[i]);
    if (k->newest)
        k->newest->next = x;
    else
        k->oldest = x;
    k->newest = x;
    return true;
}

bool ticket_standing(struct ike *ike, uint32_t number, struct pki_standing *out[2])
{
    struct tickets *k = ike->tickets;
    const struct standing *x =
        k && number ? (struct standing *)(void *)table_find(&k->standings, number) : NULL;
    for (unsigned i = 0; i < 2 && x; i++)
        out[i] = pki_standing_ref(x->of[i]);
    return !number || x;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// RFC 5723 6.2: no longer than the IKE SA, and until the peer must prove itself again. 0: none.
static uint32_t lifetime(const struct ike_sa *sa)
{
    uint64_t now = loop_now(sa->ike->loop), ms = (uint64_t)sa->ike->set.ticket_lifetime * 1000;
    const uint64_t ends[] = {sa->later->reauth_at, sa->later->over_at};
    if (sa->conn->cfg.reauth_time && !sa->later->reauth_at)
        return 0; // it must do so now
    for (unsigned i = 0; i < 2; i++)
        if (ends[i])
            ms = least(ms, ends[i] > now ? ends[i] - now : 0);
    int64_t left = sa->later->proven_until - creds_now(sa->ike);
    if (sa->later->proven_until)
        ms = least(ms, left > 0 ? (uint64_t)left * 1000 : 0);
    return ms / 1000 < TICKET_LEAST_S ? 0 : (uint32_t)(ms / 1000);
}

// False: there is none to be had.
static bool ask_seal(struct task *t, const struct identity *said, uint32_t seconds, reply_fn fn)
{
    struct ike_sa *sa = t->sa;
    uint8_t state[SESSION_STATE_MAX];
    struct writer w = writer_of(state, sizeof(state));
    uint32_t standing;
    struct session *s = seconds && serves(sa) && !sa->client ? session_of(sa, said) : NULL;
    if (!s || !note_standing(sa, loop_now(sa->ike->loop) + (uint64_t)seconds * 1000, &standing)) {
        session_free(s);
        return false;
    }
    session_write(&w, s, standing);
    session_free(s);
    if (w.bad)
        return false;
    struct msg_TICKET_SEAL q = {
        .req = ask_new(t, fn), .ike_id = sa->id, .lifetime_s = seconds, .state = wr_written(&w)};
    ask(sa->ike, ROOM_KEYS, q.req, MSG_TICKET_SEAL, &q);
    return true;
}

static struct ticket_answer *answer_new(uint32_t seconds, struct slice ticket)
{
    struct ticket_answer *a = calloc(1, sizeof(*a) + ticket.len);
    if (!a)
        return NULL;
    a->lifetime = ticket.len ? seconds : 0;
    a->len = ticket.len;
    if (ticket.len)
        memcpy(a->data, ticket.p, ticket.len);
    return a;
}

static struct slice given(const struct ike_sa *sa, enum msg_type type, const union msg *m)
{
    if (type == MSG_TICKET_IS)
        return m->TICKET_IS.ticket;
    LOGF(IKE, 1, "no ticket for IKE_SA %s: %.150s", sa_label(sa), answer_text(type, m));
    return slice_of(NULL, 0);
}

static void put_answer(struct pb *b, const struct ticket_answer *a)
{
    uint8_t buf[TICKET_MESSAGE_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    if (!a)
        return;
    wr_u32(&w, a->lifetime);
    wr_bytes(&w, a->data, a->len);
    if (a->lifetime && !w.bad)
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_TICKET_LT_OPAQUE, wr_written(&w));
    else
        put(b, N_TICKET_NACK);
}

void ticket_answer_free(struct ticket_answer *a)
{
    free(a);
}

static void sealed(struct task *t, enum msg_type type, const union msg *m)
{
    struct handshake *hs = t->sa->hs;
    void (*then)(struct task *) = hs->later->ticket->then;
    uint32_t seconds = hs->later->ticket->lifetime;
    ticket_answer_free(hs->later->ticket);
    hs->later->ticket = answer_new(seconds, given(t->sa, type, m));
    then(t);
}

void ticket_give(struct task *t, void (*then)(struct task *t))
{
    struct ike_sa *sa = t->sa;
    struct handshake *hs = sa->hs;
    const struct payload *pi = payload_find(&t->msg->pl, PL_IDI);
    struct notify n;
    struct identity said;
    bool asked =
        serves(sa) && pi && identity_read(pi->body, &said) && notify_find(&t->msg->pl, N_TICKET_REQUEST, &n);
    hs->later->ticket = asked ? answer_new(0, slice_of(NULL, 0)) : NULL;
    if (hs->later->ticket) {
        hs->later->ticket->then = then;
        hs->later->ticket->lifetime = lifetime(sa);
        if (ask_seal(t, &said, hs->later->ticket->lifetime, sealed))
            return;
        hs->later->ticket->lifetime = 0;
    }
    then(t);
}

void ticket_put(struct pb *b, const struct ike_sa *sa)
{
    put_answer(b, sa->hs->later->ticket);
}

// --- the same in INFORMATIONAL ---

void ticket_put_later(struct pb *b, const struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    if (serves(sa) && notify_find(pl, N_TICKET_REQUEST, &n))
        put(b, N_TICKET_ACK);
}

bool ticket_is_asked(const struct inmsg *m)
{
    struct notify n;
    return m->pl.count == 1 && notify_find(&m->pl, N_TICKET_REQUEST, &n);
}

static void reply(struct ike_sa *sa, const struct ticket_answer *a)
{
    uint8_t buf[TICKET_MESSAGE_MAX];
    struct pb b = pb_of(buf, sizeof(buf));
    put_answer(&b, a);
    exchange_reply(sa, EX_INFORMATIONAL, &b);
}

static void sealed_later(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    const uint32_t *seconds = t->data;
    struct ticket_answer *a = answer_new(*seconds, given(sa, type, m));
    if (a)
        reply(sa, a);
    else
        exchange_drop_request(sa); // the peer asks again
    ticket_answer_free(a);
}

static void request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    uint32_t *seconds = malloc(sizeof(*seconds));
    static const struct ticket_answer nack = {0};
    const struct identity *said = sa->remote_id; // of a client with EAP its own name is not known any more
    t->data = seconds;
    if (seconds)
        *seconds = sa->state == SA_ESTABLISHED && serves(sa) && sa->conn->cfg.remote.auth != AUTH_EAP
                       ? lifetime(sa)
                       : 0;
    if (!seconds || !ask_seal(t, said, *seconds, sealed_later))
        reply(sa, serves(sa) ? &nack : NULL);
}

static void undo(struct task *t)
{
    free(t->data);
    t->data = NULL;
}

const struct task_ops task_ticket_respond = {.name = "ticket",
                                             .exchange = EX_INFORMATIONAL,
                                             .takes = ticket_is_asked,
                                             .request = request,
                                             .undo = undo};

void tickets_free(struct ike *ike)
{
    struct tickets *k = ike->tickets;
    if (!k)
        return;
    while (k->stored)
        session_free(unlink_stored(k, &k->stored));
    forget_standings(k, UINT64_MAX);
    table_free(&k->standings);
    free(k);
    ike->tickets = NULL;
}
