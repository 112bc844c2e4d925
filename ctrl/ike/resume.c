// SPDX-License-Identifier: Apache-2.0
// IKE_SESSION_RESUME as initiator (RFC 5723 sections 4.3.1, 4.3.2). Whatever comes in clear but a nonce and
// an SPI, anyone can have sent: it costs no more than the full exchange that follows. So does silence, and
// then the ticket waits for the next time.
#include "ctrl/ike/resume.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childless.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/intermediate.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/redirect.h"
#include "ctrl/ike/resume_session.h"
#include "ctrl/ike/resume_ticket.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"

enum { RESUME_MAX = 8192 };

bool resume_begin(struct ike_sa *sa)
{
    if (sa->hs->later->resumption)
        return true;
    sa->hs->later->resumption = ticket_for(sa->ike, sa->conn, &sa->path);
    return sa->hs->later->resumption != NULL;
}

void resume_refused(struct ike_sa *sa)
{
    if (sa->hs && sa->hs->later->resumption)
        sa->conn->resumes_alone = !sa->conn->resumes_alone;
}

bool resume_falls_back(struct ike_sa *sa)
{
    if (!sa->initiator || sa->state != SA_CONNECTING || !sa->hs || !sa->hs->later->resumption)
        return false;
    LOGF(IKE, 0, "IKE_SA %s is not resumed, beginning anew: %s", sa_label(sa), sa_reason(sa));
    init_restart(sa);
    return true;
}

static void build(struct ike_sa *sa)
{
    uint8_t buf[RESUME_MAX];
    struct handshake *hs = sa->hs;
    const struct session *s = hs->later->resumption;
    struct pb b = pb_of(buf, sizeof(buf));
    struct ike_header h = {
        .spi_i = sa->spi_i, .version = IKE_VERSION, .exchange = EX_SESSION_RESUME, .flags = FLAG_INITIATOR};
    header_write(&b.w, &h);
    if (hs->later->cookie_len)
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_COOKIE,
                  slice_of(hs->later->cookie, hs->later->cookie_len));
    pb_payload(&b, PL_NONCE, slice_of(hs->kex.nonce, NONCE_LEN));
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_TICKET_OPAQUE, slice_of(s->ticket, s->ticket_len));
    init_put_nat(&b, sa, &sa->path);
    init_put_fragmentation(&b, sa);
    redirect_put(&b, sa);
    LOGF(ENC, 1,
         "generating IKE_SESSION_RESUME request 0 [ %sNo N(TICKET_OPAQUE) N(NATD_S_IP) N(NATD_D_IP) ]",
         hs->later->cookie_len ? "N(COOKIE) " : "");
    if (init_send(sa, &b, &h))
        return;
    sa_why(sa, "building the IKE_SESSION_RESUME request failed");
    resume_falls_back(sa);
}

static void start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    char a[64];
    LOGF(IKE, 0, "resuming an IKE_SA as %s to %s", sa_label(sa), addr_print(&sa->path.remote, a, sizeof(a)));
    if (cr_random(sa->hs->kex.nonce, NONCE_LEN) == 0) {
        build(sa);
        return;
    }
    sa_why(sa, "no random octets");
    resume_falls_back(sa);
}

static void on_cookie(struct ike_sa *sa, struct slice cookie)
{
    if (cookie.len == 0 || cookie.len > COOKIE_MAX || ++sa->hs->later->restarts > MAX_RESTARTS) {
        LOGF(IKE, 1, "COOKIE of %zu octets ignored, expected 1 to %d, at most %d times", cookie.len,
             COOKIE_MAX, MAX_RESTARTS);
        return;
    }
    if (init_keep_cookie(sa, cookie))
        build(sa); // with the same nonce and ticket (RFC 7296 2.6)
}

static void got_keys(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    if (!init_take_keys(sa, type, m)) {
        resume_falls_back(sa);
        return;
    }
    sa->out_mid = 1;
    intermediate_next(sa); // IKE_AUTH
    exchange_done(sa);
}

static void ask_keys(struct task *t)
{
    struct ike_sa *sa = t->sa;
    const struct suite *s = sa->suite;
    struct kex *kex = &sa->hs->kex;
    struct msg_IKE_RESUME q = {.req = ask_new(t, got_keys),
                               .ike_id = sa->id,
                               .ticket_id = sa->hs->later->resumption->id,
                               .encr = s->encr.id,
                               .encr_bits = s->encr.key_bits,
                               .integ = s->integ.id,
                               .prf = s->prf.id,
                               .ni = ike_kex_ni(kex, true),
                               .nr = ike_kex_nr(kex, true),
                               .spi_i = sa->spi_i,
                               .spi_r = sa->spi_r,
                               .initiator = true,
                               .message_alone = sa->conn->resumes_alone};
    ask(sa->ike, ROOM_KEYS, q.req, MSG_IKE_RESUME, &q);
}

static const char *take_answer(struct ike_sa *sa, const struct inmsg *m)
{
    struct handshake *hs = sa->hs;
    const struct payload *no = payload_find(&m->pl, PL_NONCE);
    if (!m->h.spi_r || payload_count(&m->pl, PL_NONCE) != 1 || no->body.len < PEER_NONCE_MIN ||
        no->body.len > PEER_NONCE_MAX)
        return "the IKE_SESSION_RESUME response has no SPI, or not one nonce of 16 to 256 octets";
    hs->peer_init = malloc(m->len);
    if (!hs->peer_init || !suite_keep(&sa->ike->shared, &sa->suite, &hs->later->resumption->suite))
        return "no memory";
    memcpy(hs->peer_init, m->data, m->len);
    hs->peer_init_len = (uint32_t)m->len;
    hs->kex.peer_nonce = slice_of(hs->peer_init + (no->body.p - m->data), no->body.len);
    sa->spi_r = m->h.spi_r;
    childless_read(sa, &m->pl);
    return childless_fault(sa);
}

static bool response(struct task *t, struct inmsg *m)
{
    struct ike_sa *sa = t->sa;
    struct notify n;
    bool refused = !payload_find(&m->pl, PL_NONCE);
    if (refused && notify_find(&m->pl, N_COOKIE, &n)) {
        on_cookie(sa, n.data);
        return false;
    }
    bool known = notify_find(&m->pl, N_TICKET_NACK, &n) || notify_find(&m->pl, N_REDIRECT, &n) ||
                 notify_first_error(&m->pl, &n);
    if (refused && !known)
        return false; // the answer may still come
    timer_stop(sa->ike->loop, &sa->later->retransmit);
    free(sa->request);
    sa->request = NULL;
    const char *no = refused ? NULL : take_answer(sa, m);
    if (refused || no) {
        sa_why(sa, "%s%s", refused ? "received " : no, refused ? notify_name(n.type) : "");
        resume_falls_back(sa);
        return false;
    }
    sa_alive(sa);
    sa->path.local = m->path.local;
    init_read_nat(sa, &m->pl, sa->spi_r);
    init_read_fragmentation(sa, &m->pl);
    init_float_ports(sa);
    ask_keys(t);
    return false;
}

// No answer came: it may be the way, and the ticket is as good as before.
static void restart(struct ike_sa *sa)
{
    struct session *s = sa->hs->later->resumption;
    sa->hs->later->resumption = NULL;
    ticket_store(sa->ike, s);
    init_restart(sa);
}

const struct task_ops task_resume = {
    .name = "IKE_SESSION_RESUME", .start = start, .response = response, .restart = restart, .tries = 2};
