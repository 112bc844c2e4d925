// SPDX-License-Identifier: Apache-2.0
// Requests and responses on their way out: sealed (RFC 7296 section 3.14), sent, and requests sent again
// until they are answered (2.1, 2.4).
#include "ctrl/ike/exchange_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/lib/log.h"

static void log_generated(uint8_t x, bool response, uint32_t mid, const struct pb *b)
{
    struct payloads pl;
    struct refusal r = {0};
    if (payloads_read(b->first, wr_written(&b->w), &pl, &r) == 0)
        exchange_log("generating", x, response, mid, &pl);
}

static void transmit(struct ike_sa *sa, const struct net_path *path, const uint8_t *msg, size_t len)
{
    char a[64], b[64];
    LOGF(NET, 1, "sending packet: from %s[%u] to %s[%u] (%zu bytes)", addr_print(&path->local, a, sizeof(a)),
         path->local_port, addr_print(&path->remote, b, sizeof(b)), path->remote_port, len);
    sa->last_out = loop_now(sa->ike->loop);
    sa->ike->net.send(sa->ike->net.ctx, path, slice_of(msg, len), true);
}

int seal(struct ike_sa *sa, uint8_t exchange, bool response, uint32_t mid, const struct pb *b, uint8_t **out,
         size_t *len)
{
    size_t head = IKE_HEADER_LEN + PAYLOAD_HEADER_LEN;
    struct slice inner = wr_written(&b->w);
    if (b->w.bad)
        return -EMSGSIZE;
    log_generated(exchange, response, mid, b);
    size_t sealed = cr_sk_sealed_len(sa->sk_out, inner.len), total = head + sealed;
    if (sealed + PAYLOAD_HEADER_LEN > UINT16_MAX || total > MAX_MESSAGE)
        return -EMSGSIZE;
    uint8_t *msg = malloc(total);
    if (!msg)
        return -ENOMEM;
    struct writer w = writer_of(msg, total);
    struct ike_header h = {sa->spi_i, sa->spi_r, PL_SK, IKE_VERSION, exchange, 0, mid, (uint32_t)total};
    h.flags = (uint8_t)((sa->initiator ? FLAG_INITIATOR : 0) | (response ? FLAG_RESPONSE : 0));
    header_write(&w, &h);
    wr_u8(&w, inner.len ? b->first : PL_NONE);
    wr_u8(&w, 0);
    wr_u16(&w, (uint16_t)(PAYLOAD_HEADER_LEN + sealed));
    int rc = cr_sk_seal(sa->sk_out, msg, head, inner.p, inner.len, total);
    if (rc) {
        free(msg);
        return rc;
    }
    *out = msg;
    *len = total;
    return 0;
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
    if (sa->state == SA_CONNECTING && sa->initiator) {
        uint32_t tries = sa->conn->cfg.keyingtries;
        if (!sa->ike->stopping && (tries == 0 || sa->attempt + 1 < tries)) {
            sa->attempt++;
            LOGF(IKE, 1, "peer not responding, trying again (%u/%u)", sa->attempt + 1, tries);
            sa->active->ops->restart(sa);
            return;
        }
        LOGF(IKE, 1, "establishing IKE_SA failed, peer not responding");
    }
    for (struct child_sa *c = sa->children; c && sa->state == SA_ESTABLISHED; c = c->next)
        if (child_is_up(c))
            sa->ike->events->child_lost(sa->ike, sa->conn, c->cfg->name, LOST_DEAD);
    sa_destroy(sa);
}

static void retransmit(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    struct ike *ike = sa->ike;
    log_set_context(sa->conn->cfg.name, sa->id);
    if (sa->tries >= ike->set.retransmit_tries) {
        give_up(sa);
    } else {
        sa->tries++;
        COUNT(ike, retransmits);
        LOGF(IKE, 1, "retransmit %u of request with message ID %u", sa->tries, sa->out_mid);
        transmit(sa, &sa->path, sa->request, sa->request_len);
        timer_set(ike->loop, t, loop_now(ike->loop) + retransmit_delay(&ike->set, sa->tries));
    }
    log_set_context("", 0);
}

void exchange_send(struct ike_sa *sa, uint8_t *msg, size_t len)
{
    free(sa->request);
    sa->request = msg;
    sa->request_len = len;
    sa->tries = 0;
    sa->retransmit.fire = retransmit;
    sa->retransmit.ctx = sa;
    transmit(sa, &sa->path, msg, len);
    timer_set(sa->ike->loop, &sa->retransmit, loop_now(sa->ike->loop) + retransmit_delay(&sa->ike->set, 0));
}

void exchange_send_inner(struct ike_sa *sa, uint8_t exchange, const struct pb *b)
{
    uint8_t *msg;
    size_t len;
    int rc = seal(sa, exchange, false, sa->out_mid, b, &msg, &len);
    if (rc) {
        sa_why(sa, "building the %s request failed: %s", exchange_name(exchange), strerror(-rc));
        LOGF(IKE, 0, "%s", sa->why);
        sa_destroy(sa);
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
    transmit(sa, &sa->in_path, msg, len);
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
