// SPDX-License-Identifier: Apache-2.0
// Requests and responses on their way out, each one datagram or a list of them: sent, and requests sent again
// until they are answered (RFC 7296 sections 2.1 and 2.4; all fragments of one, RFC 7383 section 2.6.1).
#include "ctrl/ike/exchange_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/resume_ticket.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/ways.h"
#include "ctrl/ike/seal.h"
#include "ctrl/lib/fence.h"
#include "ctrl/lib/log.h"

bool exchange_may_send(const struct ike_sa *sa)
{
    bool open = fence_open(sa->ike->fence, sa->fence);
    if (!open)
        LOGF(NET, 2, "not sent: what this node had of the fleet in session %u is not its own any more",
             sa->fence);
    return open;
}

static void transmit(struct ike_sa *sa, const struct net_path *path, const uint8_t *msg, size_t len)
{
    struct slice rest = slice_of(msg, len);
    char a[64], b[64];
    if (!exchange_may_send(sa))
        return;
    sa->last_out = loop_now(sa->ike->loop);
    while (rest.len) {
        struct slice d = datagrams_next(&rest);
        LOGF(NET, 1, "sending packet: from %s[%u] to %s[%u] (%zu bytes)",
             addr_print(&path->local, a, sizeof(a)), path->local_port,
             addr_print(&path->remote, b, sizeof(b)), path->remote_port, d.len);
        sa->ike->net.send(sa->ike->net.ctx, path, d, true);
    }
}

// --- requests of ours ---

static uint64_t retransmit_delay(const struct settings *s, unsigned tries)
{
    double d = s->retransmit_timeout;
    for (unsigned i = 0; i < tries; i++)
        d *= s->retransmit_base;
    if (s->retransmit_limit && d > s->retransmit_limit)
        d = s->retransmit_limit;
    if (s->retransmit_jitter) {
        uint32_t r = 0;
        cr_random(&r, sizeof(r));
        d -= d * (s->retransmit_jitter > 20 ? 20 : s->retransmit_jitter) / 100.0 * (r / 4294967296.0);
    }
    return (uint64_t)(d * 1000.0);
}

static void give_up(struct ike_sa *sa)
{
    LOGF(IKE, 1, "giving up after %u retransmits", sa->ike->set.retransmit_tries);
    sa_why(sa, "the peer did not answer");
    sa->failure = IKE_FAILURE_NO_ANSWER;
    sa_alert(sa, ALERT_TIMEOUT);
    if (sa->state == SA_CONNECTING && sa->initiator) {
        sa_alert(sa, ALERT_UNREACHABLE);
        uint32_t tries = sa->conn->cfg.keyingtries;
        if (!sa->ike->stopping && (tries == 0 || sa->attempt + 1 < tries)) {
            sa->attempt++;
            counts_attempt_failed(sa);
            LOGF(IKE, 1, "peer not responding, trying again (%u/%u)", sa->attempt + 1, tries);
            sa->active->ops->restart(sa);
            return;
        }
        LOGF(IKE, 1, "establishing IKE_SA failed, peer not responding");
    }
    ticket_lost(sa);
    for (struct child_sa *c = sa->children; c && sa->state == SA_ESTABLISHED; c = c->next)
        if (child_is_up(c))
            sa->ike->events->child_lost(sa->ike, sa->conn, c->cfg->name, LOST_DEAD);
    sa_destroy(sa);
}

bool exchange_tried_enough(const struct ike_sa *sa)
{
    unsigned most = sa->active ? sa->active->ops->tries : 0, all = sa->ike->set.retransmit_tries;
    return sa->later->tries >= (most && most < all ? most : all);
}

static void retransmit(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    struct ike *ike = sa->ike;
    log_set_context(sa->conn->cfg.name, sa->id);
    if (sa->active && sa->active->ops->tries && exchange_tried_enough(sa)) {
        sa->active->ops->restart(sa);
    } else if (exchange_tried_enough(sa)) {
        give_up(sa);
    } else if (!way_begin_anew(sa)) {
        sa->later->tries++;
        COUNT(ike, retransmits);
        LOGF(IKE, 1, "retransmit %u of request with message ID %u", sa->later->tries, sa->out_mid);
        sa_alert(sa, ALERT_RETRANSMIT);
        struct net_path way = mobike_way(sa);
        transmit(sa, &way, sa->request, sa->request_len);
        timer_set(ike->loop, t, loop_now(ike->loop) + retransmit_delay(&ike->set, sa->later->tries));
    }
    log_set_context("", 0);
}

void exchange_send(struct ike_sa *sa, uint8_t *msg, size_t len)
{
    free(sa->request);
    sa->request = msg;
    sa->request_len = len;
    sa->later->tries = sa->later->hurried = 0;
    sa->later->retransmit.fire = retransmit;
    sa->later->retransmit.ctx = sa;
    struct net_path way = mobike_way(sa);
    transmit(sa, &way, msg, len);
    timer_set(sa->ike->loop, &sa->later->retransmit,
              loop_now(sa->ike->loop) + retransmit_delay(&sa->ike->set, 0));
}

void exchange_again(struct ike_sa *sa)
{
    if (!sa->request)
        return;
    sa->later->tries = 0;
    struct net_path way = mobike_way(sa);
    transmit(sa, &way, sa->request, sa->request_len);
    timer_set(sa->ike->loop, &sa->later->retransmit,
              loop_now(sa->ike->loop) + retransmit_delay(&sa->ike->set, 0));
}

void exchange_hurry(struct ike_sa *sa)
{
    if (!sa->request || sa->later->hurried == sa->later->tries + 1 || sa->last_out == loop_now(sa->ike->loop))
        return;
    sa->later->hurried = sa->later->tries + 1;
    struct net_path way = sa->later->mobike.decides ? sa->path : mobike_way(sa);
    transmit(sa, &way, sa->request, sa->request_len);
}

void exchange_send_inner(struct ike_sa *sa, uint8_t exchange, const struct pb *b)
{
    uint8_t *msg;
    size_t len;
    int rc = seal(sa, exchange, false, sa->out_mid, b, &msg, &len);
    if (rc) {
        sa_why(sa, "building the %s request failed: %s", exchange_name(exchange), strerror(-rc));
        LOGF(IKE, 0, "%s", sa_reason(sa));
        sa_end_soon(sa);
        return;
    }
    exchange_send(sa, msg, len);
}

void send_once(struct ike_sa *sa, uint8_t exchange, const struct pb *b)
{
    uint8_t *msg;
    size_t len;
    if (seal(sa, exchange, false, sa->out_mid, b, &msg, &len) == 0) {
        transmit(sa, &sa->path, msg, len);
        free(msg);
    }
}

// --- requests of the peer ---

bool exchange_reply(struct ike_sa *sa, uint8_t exchange, const struct pb *b)
{
    uint8_t *msg;
    size_t len;
    int rc = seal(sa, exchange, true, sa->in_mid, b, &msg, &len);
    if (rc) {
        LOGF(IKE, 0, "building the %s response failed: %s", exchange_name(exchange), strerror(-rc));
        exchange_drop_request(sa); // the peer asks again
        return false;
    }
    free(sa->reply);
    sa->reply = msg;
    sa->reply_len = len;
    sa->in_mid++;
    exchange_drop_request(sa);
    transmit(sa, &sa->later->in_path, msg, len);
    return true;
}

void exchange_reply_notify(struct ike_sa *sa, uint8_t exchange, uint16_t type, struct slice data)
{
    uint8_t buf[64];
    struct pb b = pb_of(buf, sizeof(buf));
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), type, data);
    exchange_reply(sa, exchange, &b);
}

void exchange_repeat(struct ike_sa *sa, const struct net_path *path)
{
    transmit(sa, path, sa->reply, sa->reply_len);
}
