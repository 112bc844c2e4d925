// SPDX-License-Identifier: Apache-2.0
// See first_request.h. RFC 7296 sections 2.1 (a request that comes again), 2.6 (cookies) and 2.21.1 (errors
// outside of an IKE SA), which section 4.3.2 of RFC 5723 takes over.
#include "ctrl/ike/first_request.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/cookie.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/lib/log.h"

// To one address: what an honest peer meets with as well, and what it does not.
enum { ANSWERS_A_SECOND = 1000, ERRORS_A_SECOND = 50 };

void first_request_begin(struct first_request *f, const struct net_path *path, const struct ike_header *h,
                         struct slice datagram)
{
    f->path = path;
    f->h = h;
    f->datagram = datagram;
    f->pl.count = 0;
    f->nonce = slice_of(NULL, 0);
}

static bool well_formed(struct ike *ike, const struct first_request *f)
{
    const struct ike_header *h = f->h;
    if (f->datagram.len > FIRST_REQUEST_MAX)
        LOGF(ENC, 1, "%s request of %zu octets dropped, at most %d are taken", exchange_name(h->exchange),
             f->datagram.len, FIRST_REQUEST_MAX);
    else if (h->spi_r || h->mid || !(h->flags & FLAG_INITIATOR))
        LOGF(ENC, 1, "%s request dropped: responder SPI and message ID must be 0 (RFC 7296 3.1)",
             exchange_name(h->exchange));
    else
        return true;
    COUNT(ike, dropped_malformed);
    return false;
}

static void came_again(struct ike *ike, const struct ike_sa *sa, const struct first_request *f)
{
    const struct handshake *hs = sa->hs;
    if (!hs || !hs->own_init || sa->in_mid != 1 || sa->passive ||
        !slice_eq(slice_of(hs->peer_init, hs->peer_init_len), f->datagram)) {
        COUNT(ike, dropped_state);
        return;
    }
    COUNT(ike, repeats);
    if (!exchange_may_send(sa))
        return;
    LOGF(IKE, 1, "received retransmit of request with ID 0, retransmitting response");
    ike->net.send(ike->net.ctx, f->path, slice_of(hs->own_init, hs->own_init_len), true);
}

bool first_request_is_new(struct ike *ike, const struct first_request *f)
{
    if (!well_formed(ike, f))
        return false;
    const struct ike_sa *sa = sa_by_peer(ike, f->h->spi_i, f->path);
    if (sa)
        came_again(ike, sa, f);
    return !sa && !ike->stopping && first_request_within_limits(ike, f->path);
}

bool first_request_within_limits(struct ike *ike, const struct net_path *path)
{
    const struct settings *s = &ike->set;
    unsigned from = half_open_from(ike, &path->remote);
    if (s->block_threshold && from >= s->block_threshold)
        LOGF(NET, 1,
             "beginning of an IKE_SA dropped: %u half-open IKE_SAs with that peer, block_threshold is %u",
             from, s->block_threshold);
    else if (s->ikesa_limit && ike->sa_count >= s->ikesa_limit)
        LOGF(NET, 1, "beginning of an IKE_SA dropped: %u IKE_SAs, ikesa_limit is %u", ike->sa_count,
             s->ikesa_limit);
    else
        return true;
    COUNT(ike, dropped_limit);
    return false;
}

bool first_request_read(struct first_request *f, struct refusal *r)
{
    struct slice body = slice_of(f->datagram.p + IKE_HEADER_LEN, f->datagram.len - IKE_HEADER_LEN);
    return payloads_read(f->h->next, body, &f->pl, r) == 0 && payloads_validate(&f->pl, r) == 0;
}

void first_request_refuse(struct ike *ike, const struct first_request *f, const struct refusal *r)
{
    COUNT(ike, dropped_malformed);
    LOGF(ENC, 1, "%s request refused: %s", exchange_name(f->h->exchange), r->why.text);
    if (may_complain(ike, &f->path->remote))
        first_request_answer(ike, f->path, f->h, r->notify, slice_of(r->data, r->data_len));
}

void first_request_answer(struct ike *ike, const struct net_path *path, const struct ike_header *in,
                          uint16_t type, struct slice data)
{
    uint8_t buf[IKE_HEADER_LEN + 8 + 64];
    struct pb b = pb_of(buf, sizeof(buf));
    struct ike_header h = {.spi_i = in->spi_i,
                           .next = PL_NOTIFY,
                           .version = IKE_VERSION,
                           .exchange = in->exchange,
                           .flags = FLAG_RESPONSE};
    h.length = (uint32_t)(IKE_HEADER_LEN + 8 + data.len);
    header_write(&b.w, &h);
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), type, data);
    if (!may_answer(ike, &path->remote,
                    type == N_COOKIE || type == N_TICKET_NACK ? ANSWERS_A_SECOND : ERRORS_A_SECOND)) {
        COUNT(ike, dropped_limit);
        return;
    }
    LOGF(ENC, 1, "generating %s response 0 [ N(%s) ]", exchange_name(h.exchange), notify_name(type));
    if (ike->net.answer)
        ike->net.answer(ike->net.ctx, path, wr_written(&b.w));
    else
        ike->net.send(ike->net.ctx, path, wr_written(&b.w), true);
}

bool first_request_cookie(struct ike *ike, const struct first_request *f, bool busy)
{
    struct notify n;
    uint8_t cookie[COOKIE_LEN];
    const struct addr *a = &f->path->remote;
    if ((!busy && !cookie_needed(ike, f->path)) ||
        (notify_find(&f->pl, N_COOKIE, &n) && cookie_check(ike, n.data, f->nonce, a, f->h->spi_i)))
        return true;
    COUNT(ike, cookies_sent);
    if (cookie_make(ike, cookie_version(ike), f->nonce, a, f->h->spi_i, cookie))
        first_request_answer(ike, f->path, f->h, N_COOKIE, slice_of(cookie, sizeof(cookie)));
    return false;
}

// --- the IKE SA ---

bool first_request_keep(struct ike_sa *sa, const struct first_request *f)
{
    struct handshake *hs = sa->hs;
    hs->peer_init = malloc(f->datagram.len);
    if (!hs->peer_init || cr_random(hs->kex.nonce, NONCE_LEN) != 0 || !sa_add_peer(sa))
        return false;
    memcpy(hs->peer_init, f->datagram.p, f->datagram.len);
    hs->peer_init_len = (uint32_t)f->datagram.len;
    hs->kex.peer_nonce = slice_of(hs->peer_init + (f->nonce.p - f->datagram.p), f->nonce.len);
    return true;
}

static void half_open_over(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    struct ike *ike = sa->ike;
    log_limit_begin(&ike->log_limit, &sa->path.remote);
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 1, "deleting half open IKE_SA with %s after timeout", sa_label(sa));
    sa_why(sa, "half-open time-out");
    sa->failure = IKE_FAILURE_NO_ANSWER;
    sa_alert(sa, ALERT_HALF_OPEN);
    sa_destroy(sa);
    log_set_context("", 0);
    log_limit_end(&ike->log_limit);
}

void first_request_half_open(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    sa_set_half_open(sa, true);
    sa->life.fire = half_open_over;
    sa->life.ctx = sa;
    if (ike->set.half_open_timeout)
        timer_set(ike->loop, &sa->life, loop_now(ike->loop) + (uint64_t)ike->set.half_open_timeout * 1000);
}

void first_request_respond(struct ike_sa *sa, struct pb *b, struct ike_header *h)
{
    struct ike *ike = sa->ike;
    if (!init_finish(sa, b, h)) {
        sa_why(sa, "building the %s response failed", exchange_name(h->exchange));
        sa_destroy(sa);
        return;
    }
    sa->in_mid = 1;
    if (!exchange_may_send(sa)) // the lease has ended while `keys` was at work
        return;
    sa->last_out = loop_now(ike->loop);
    ike->net.send(ike->net.ctx, &sa->path, slice_of(sa->hs->own_init, sa->hs->own_init_len), true);
}
