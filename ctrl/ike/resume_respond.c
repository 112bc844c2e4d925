// SPDX-License-Identifier: Apache-2.0
// IKE_SESSION_RESUME as responder (RFC 5723 section 4.3.2): what it has of its own (first_request.h has the
// rest). What a ticket is worth keys says, for a bounded number at a time. Who has proven by it that he is
// the same peer has no other IKE SA than the one he makes.
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childless.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/first_request.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/redirect.h"
#include "ctrl/ike/resume.h"
#include "ctrl/ike/resume_session.h"
#include "ctrl/ike/resume_ticket.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/pki/pki.h"

enum {
    RESPONSE_MAX = 1024,
    WAITING_MAX = 256,
    WAITING_FREE = 8 // more are asked for cookies
};

struct resume_wait { // a request whose ticket keys is asked about
    struct resume_wait *next;
    uint32_t number;
    struct net_path path;
    struct ike_header h;
    size_t len;
    uint8_t data[];
};

static void nack(struct ike *ike, const struct net_path *path, const struct ike_header *h, const char *why)
{
    COUNT(ike, tickets_refused);
    LOGF(IKE, 1, "not resuming an IKE_SA: %s, sending TICKET_NACK", why);
    first_request_answer(ike, path, h, N_TICKET_NACK, slice_of(NULL, 0));
}

// --- the request ---

static bool read_request(struct first_request *f, struct slice *ticket, struct refusal *r)
{
    struct notify n;
    if (!first_request_read(f, r))
        return false;
    const struct payload *no = payload_find(&f->pl, PL_NONCE);
    if (!no || payload_count(&f->pl, PL_NONCE) != 1 || no->body.len < PEER_NONCE_MIN ||
        no->body.len > PEER_NONCE_MAX || !notify_find(&f->pl, N_TICKET_OPAQUE, &n)) {
        refuse(r, N_INVALID_SYNTAX, "IKE_SESSION_RESUME",
               "one nonce of 16 to 256 octets and a ticket are needed (RFC 5723 4.3.2)");
        return false;
    }
    f->nonce = no->body;
    *ticket = n.data;
    return true;
}

static unsigned waiting(const struct ike *ike)
{
    unsigned n = 0;
    for (const struct resume_wait *w = ike->resumes; w; w = w->next)
        n++;
    return n;
}

static bool may_wait(const struct ike *ike, const struct net_path *path, const struct ike_header *h)
{
    for (const struct resume_wait *w = ike->resumes; w; w = w->next)
        if (w->h.spi_i == h->spi_i && addr_eq(&w->path.remote, &path->remote))
            return false; // it came again
    return waiting(ike) < WAITING_MAX;
}

static struct resume_wait *take_waiting(struct ike *ike, uint32_t number)
{
    for (struct resume_wait **at = &ike->resumes; *at; at = &(*at)->next) {
        struct resume_wait *w = *at;
        if (w->number != number)
            continue;
        *at = w->next;
        return w;
    }
    return NULL;
}

static void opened(struct ike *ike, uint32_t number, enum msg_type type, const union msg *m);

static void ask_about(struct ike *ike, const struct first_request *f, struct slice ticket)
{
    size_t len = f->datagram.len;
    struct resume_wait *w = may_wait(ike, f->path, f->h) ? malloc(sizeof(*w) + len) : NULL;
    if (!w) {
        COUNT(ike, dropped_limit);
        return;
    }
    *w = (struct resume_wait){
        .next = ike->resumes, .number = ++ike->next_resume, .path = *f->path, .h = *f->h, .len = len};
    memcpy(w->data, f->datagram.p, len);
    ike->resumes = w;
    struct msg_TICKET_OPEN q = {.req = ask_new_room(ike, w->number, opened), .ticket = ticket};
    if (q.req)
        ask(ike, ROOM_KEYS, q.req, MSG_TICKET_OPEN, &q);
    else
        free(take_waiting(ike, w->number));
}

void resume_request(struct ike *ike, const struct net_path *path, const struct ike_header *h, struct slice d)
{
    struct first_request f;
    struct slice ticket;
    struct refusal r = {0};
    first_request_begin(&f, path, h, d);
    if (!first_request_is_new(ike, &f))
        return;
    if (!read_request(&f, &ticket, &r)) {
        first_request_refuse(ike, &f, &r);
        return;
    }
    exchange_log("parsed", EX_SESSION_RESUME, false, 0, &f.pl);
    if (first_request_cookie(ike, &f, waiting(ike) >= WAITING_FREE))
        ask_about(ike, &f, ticket);
}

// --- the IKE SA ---

static void respond(struct ike_sa *sa)
{
    uint8_t buf[RESPONSE_MAX];
    struct handshake *hs = sa->hs;
    struct pb b = pb_of(buf, sizeof(buf));
    struct ike_header h = {sa->spi_i,         sa->spi_r,     PL_NONCE, IKE_VERSION,
                           EX_SESSION_RESUME, FLAG_RESPONSE, 0,        0};
    header_write(&b.w, &h);
    pb_payload(&b, PL_NONCE, slice_of(hs->kex.nonce, NONCE_LEN));
    init_put_nat(&b, sa, &sa->path);
    init_put_fragmentation(&b, sa);
    childless_put(&b, sa);
    LOGF(ENC, 1, "generating IKE_SESSION_RESUME response 0 [ No N(NATD_S_IP) N(NATD_D_IP) ]");
    first_request_respond(sa, &b, &h);
}

static void got_keys(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    struct ike_header h = {.spi_i = sa->spi_i};
    sa->passive = NULL;
    task_free(t);
    if (init_take_keys(sa, type, m)) {
        respond(sa);
        return;
    }
    nack(sa->ike, &sa->path, &h, sa_reason(sa));
    sa_destroy(sa);
}

static void ask_keys(struct task *t, struct slice ticket)
{
    struct ike_sa *sa = t->sa;
    const struct suite *s = sa->suite;
    struct kex *kex = &sa->hs->kex;
    struct msg_IKE_RESUME q = {.req = ask_new(t, got_keys),
                               .ike_id = sa->id,
                               .ticket = ticket,
                               .encr = s->encr.id,
                               .encr_bits = s->encr.key_bits,
                               .integ = s->integ.id,
                               .prf = s->prf.id,
                               .ni = ike_kex_ni(kex, false),
                               .nr = ike_kex_nr(kex, false),
                               .spi_i = sa->spi_i,
                               .spi_r = sa->spi_r};
    ask(sa->ike, ROOM_KEYS, q.req, MSG_IKE_RESUME, &q);
}

// Takes s.
static void accept_request(struct ike *ike, const struct first_request *f, struct slice ticket,
                           struct conn *c, struct session *s)
{
    char a[64];
    struct ike_sa *sa = sa_new(ike, c, false, f->path);
    if (!sa || !sa_room(sa)) {
        session_free(s);
        if (sa)
            sa_destroy(sa);
        return;
    }
    sa->spi_i = f->h->spi_i;
    sa->hs->later->resumption = s;
    log_set_context(c->cfg.name, sa->id);
    LOGF(IKE, 0, "%s is resuming an IKE_SA", addr_print(&f->path->remote, a, sizeof(a)));
    sa->passive = task_new(sa, TASK_RESUME, 0);
    if (!sa->passive || !suite_keep(&ike->shared, &sa->suite, &s->suite) || !first_request_keep(sa, f)) {
        sa_destroy(sa);
        return;
    }
    first_request_half_open(sa);
    init_read_nat(sa, &f->pl, 0);
    init_read_fragmentation(sa, &f->pl);
    redirect_read(sa, &f->pl);
    ask_keys(sa->passive, ticket);
    log_set_context("", 0);
}

// We are closing it, and the peer's answer has not come yet.
static bool is_closing(struct ike *ike, const struct session *s)
{
    const struct ike_sa *old = sa_by_spi(ike, s->own_spi);
    return old && old->state == SA_DELETING;
}

// NULL: why says why not.
static struct conn *choose(struct ike *ike, const struct resume_wait *w, struct session *s, uint32_t standing,
                           char *why, size_t size)
{
    if (!ticket_standing(ike, standing, s->standing)) {
        snprintf(why, size, "what proved the peer is not known any more");
        return NULL;
    }
    struct conn *c = session_conn(ike, s, why, size);
    if (c && is_closing(ike, s)) {
        snprintf(why, size, "it is being closed");
        return NULL;
    }
    if (!c || conn_is_for(c, &w->path))
        return c;
    snprintf(why, size, "its connection is not for these addresses");
    return NULL;
}

static void opened(struct ike *ike, uint32_t number, enum msg_type type, const union msg *m)
{
    struct resume_wait *w = take_waiting(ike, number);
    struct refusal r = {0};
    struct slice ticket;
    char why[200] = "no memory";
    uint32_t standing = 0;
    if (!w)
        return;
    struct first_request f = {.path = &w->path, .h = &w->h, .datagram = slice_of(w->data, w->len)};
    struct session *s = type == MSG_TICKET_STATE ? session_read(m->TICKET_STATE.state, &standing) : NULL;
    if (type != MSG_TICKET_STATE)
        snprintf(why, sizeof(why), "%.190s", answer_text(type, m));
    struct conn *c = s ? choose(ike, w, s, standing, why, sizeof(why)) : NULL;
    log_limit_begin(&ike->log_limit, &w->path.remote);
    if (!c || ike->stopping || !read_request(&f, &ticket, &r)) {
        nack(ike, &w->path, &w->h, why);
        session_free(s);
    } else if (!first_request_within_limits(ike, &w->path)) { // others have been let in meanwhile
        session_free(s);
    } else {
        accept_request(ike, &f, ticket, c, s);
    }
    log_limit_end(&ike->log_limit);
    free(w);
}

void resume_free(struct ike *ike)
{
    while (ike->resumes)
        free(take_waiting(ike, ike->resumes->number));
}

// --- IKE_AUTH ---

const char *resume_fault(struct ike_sa *sa, const struct identity *idi, const struct identity *idr)
{
    const struct session *s = sa->hs->later->resumption;
    char why[200];
    if (!identity_eq(idi, s->said) || (idr && !identity_eq(idr, s->local)))
        return "the peer resumes an IKE SA under another name than it had (RFC 5723 4.3.3)";
    if (session_conn(sa->ike, s, why, sizeof(why)) != sa->conn || is_closing(sa->ike, s))
        return "what the peer resumes has ended since it asked";
    session_ids(sa, s);
    return NULL;
}

// Of the peer's old one it has nothing any more: it goes without a word (RFC 5723 4.3.2).
void resume_proven(struct ike_sa *sa)
{
    const struct session *s = sa->hs->later->resumption;
    struct ike_sa *old = s ? sa_by_spi(sa->ike, s->own_spi) : NULL;
    if (!s)
        return;
    session_inherit(sa, s);
    if (!old || old == sa || !identity_eq(old->remote_id, sa->remote_id) ||
        !identity_eq(old->local_id, sa->local_id))
        return;
    LOGF(IKE, 0, "IKE_SA %s resumes [%u], which ends", sa_label(sa), old->id);
    sa_why(old, "replaced: its peer resumed it");
    sa->ike->events->sa_replaced(old);
    sa_destroy(old);
}
