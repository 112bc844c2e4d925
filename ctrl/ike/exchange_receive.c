// SPDX-License-Identifier: Apache-2.0
// Protected messages of one IKE SA: RFC 7296 sections 2.1 (a request that comes again), 2.2 and 2.3 (message
// IDs, a window of one), 2.5 (critical payloads), 2.21 (what is wrong with one) and 3.14 (SK). What a message
// means is its task's business.
#include "ctrl/ike/exchange_receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/fragments.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/intermediate.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

static void count_request(struct ike *ike, uint8_t exchange)
{
    switch (exchange) {
    case EX_AUTH: COUNT(ike, ike_auth_in_req); break;
    case EX_CREATE_CHILD: COUNT(ike, create_child_in_req); break;
    case EX_INTERMEDIATE:
    case EX_FOLLOWUP_KE: break;
    default: COUNT(ike, info_in_req); break;
    }
}

static enum task_kind responder(const struct ike *ike, const struct inmsg *m)
{
    enum task_kind kind = 0;
    for (; kind < TASK_COUNT; kind++) {
        const struct task_ops *ops = ike->exchanges[kind];
        if (ops->request && ops->exchange == m->h.exchange && (!ops->takes || ops->takes(m)))
            break;
    }
    return kind;
}

static void on_request(struct ike_sa *sa, struct inmsg *m)
{
    enum task_kind kind = responder(sa->ike, m); // request_allowed lets in none that nobody answers
    struct task *t = kind < TASK_COUNT ? task_new(sa, kind, 0) : NULL;
    count_request(sa->ike, m->h.exchange);
    if (!t) { // the peer asks again
        free(m);
        return;
    }
    t->msg = m;
    sa->passive = t;
    t->ops->request(t);
}

// Whether a request of this kind may come now (every exchange in every state; CVE-2014-2338 and its kin).
static bool request_allowed(const struct ike_sa *sa, const struct ike_header *h)
{
    if (sa->state == SA_CONNECTING)
        return !sa->initiator && sa->hs && h->exchange == intermediate_expected(sa) &&
               (sa->hs->later->eap || sa->hs->later->rounds ? h->exchange == EX_AUTH
                                                            : h->mid == 1u + sa->hs->intermediates);
    return (sa->state == SA_ESTABLISHED || sa->state == SA_REKEYED || sa->state == SA_DELETING) &&
           (h->exchange == EX_CREATE_CHILD || h->exchange == EX_FOLLOWUP_KE ||
            h->exchange == EX_INFORMATIONAL);
}

static void bad_request(struct ike_sa *sa, struct inmsg *m, const struct refusal *r)
{
    LOGF(ENC, 1, "%s request with message ID %u refused: %s", exchange_name(m->h.exchange), m->h.mid,
         r->why.text);
    bool fatal = r->notify == N_INVALID_SYNTAX || sa->state == SA_CONNECTING;
    exchange_reply_notify(sa, m->h.exchange, r->notify, slice_of(r->data, r->data_len));
    free(m);
    if (fatal) { // 2.21.3: INVALID_SYNTAX ends the IKE SA
        sa_why(sa, "%s", r->why.text);
        if (sa->state == SA_CONNECTING)
            sa_refused(sa);
        else
            sa_destroy(sa);
    }
}

static struct inmsg *decrypt(struct ike_sa *sa, const struct ike_header *h, const struct net_path *path,
                             struct slice d)
{
    struct reader r = reader_of(d);
    struct inmsg *m = inmsg_new(d.len);
    if (!m)
        return NULL;
    rd_bytes(&r, IKE_HEADER_LEN);
    uint8_t first = rd_u8(&r);
    rd_u8(&r);
    uint16_t len = rd_u16(&r);
    int rc = -EBADMSG;
    if (h->next == PL_SK && !r.bad && len == PAYLOAD_HEADER_LEN + r.left)
        rc = cr_sk_open(sa->sk_in, d.p, IKE_HEADER_LEN + PAYLOAD_HEADER_LEN, d.len, m->data, &m->len);
    if (rc) {
        COUNT(sa->ike, dropped_integrity);
        LOGF(ENC, 1,
             "message ID %u dropped: its SK payload is malformed or its integrity check failed (RFC 7296 "
             "3.14)",
             h->mid);
        free(m);
        return NULL;
    }
    struct cr_slice whole = {d.p, d.len};
    if (!(h->flags & FLAG_RESPONSE) && cr_sha256(sa->ike->algs, &whole, 1, m->hash) != 0)
        memset(m->hash, 0, sizeof(m->hash));
    m->h = *h;
    m->h.next = first;
    m->path = *path;
    return m;
}

static void on_response(struct ike_sa *sa, struct inmsg *m)
{
    struct task *t = sa->active;
    if (m->h.exchange != sa->request[18]) { // the exchange type's place in our own request
        COUNT(sa->ike, dropped_state);
        LOGF(ENC, 1, "response with exchange type %u dropped: the request was another", m->h.exchange);
        free(m);
        return;
    }
    if (sa->later->tries)
        sa_alert(sa, ALERT_CLEARED);
    timer_stop(sa->ike->loop, &sa->later->retransmit);
    free(sa->request);
    sa->request = NULL;
    sa->out_mid++;
    if (!t->ops->response(t, m)) // may end the SA
        free(m);
}

// A response's shape is checked like a request's; what is wrong with it is not answered.
static bool check_payloads(struct inmsg *m, struct refusal *r)
{
    int rc = payloads_read(m->h.next, slice_of(m->data, m->len), &m->pl, r);
    if (!rc && (payload_find(&m->pl, PL_SK) || payload_find(&m->pl, PL_SKF)))
        rc = refuse(r, N_INVALID_SYNTAX, "SK", "an SK payload inside an SK payload (RFC 7296 3.14)");
    return !rc && payloads_validate(&m->pl, r) == 0;
}

static bool is_last_request(const struct ike_sa *sa, const struct ike_header *h)
{
    return sa->reply && h->mid + 1 == sa->in_mid && !sa->passive;
}

// The request that was answered last, octet by octet (2.1): a mere header with its numbers, from anywhere,
// must not call forth a whole response. Of a message in fragments that is its first one, and none but that
// (RFC 7383 2.6.1). A sender may also divide it anew, or no more: then its octets are others, and the check
// value tells that they are the peer's.
static bool is_repeat(struct ike_sa *sa, const struct ike_header *h, struct slice d)
{
    struct cr_slice part = {d.p, d.len};
    uint8_t hash[32];
    if (!is_last_request(sa, h) || cr_sha256(sa->ike->algs, &part, 1, hash) != 0)
        return false;
    if (memcmp(hash, sa->later->in_hash, sizeof(hash)) == 0)
        return true;
    if (h->next == PL_SKF)
        return fragments_first(sa, d);
    struct inmsg *m = sa->in_fragmented ? decrypt(sa, h, &sa->later->in_path, d) : NULL;
    free(m);
    return m != NULL;
}

static void repeat_reply(struct ike_sa *sa, const struct net_path *path, const struct ike_header *h)
{
    COUNT(sa->ike, repeats);
    LOGF(IKE, 1, "received retransmit of request with ID %u, retransmitting response", h->mid);
    sa_alert(sa, ALERT_REPEATED);
    exchange_repeat(sa, path);
}

void exchange_protected(struct ike_sa *sa, const struct ike_header *h, const struct net_path *path,
                        struct slice d)
{
    bool response = h->flags & FLAG_RESPONSE;
    struct refusal r = {0};
    if (response ? !(sa->request && h->mid == sa->out_mid)
                 : h->mid != sa->in_mid || sa->passive || !request_allowed(sa, h)) {
        if (!response && is_repeat(sa, h, d)) {
            repeat_reply(sa, path, h);
            return;
        }
        if (!response && h->next == PL_SKF && is_last_request(sa, h))
            return; // its other fragments are for nobody any more
        COUNT(sa->ike, dropped_state);
        LOGF(IKE, 1, "%s %s with message ID %u dropped: expected %u%s (RFC 7296 2.3)",
             exchange_name(h->exchange), response ? "response" : "request", h->mid,
             response ? sa->out_mid : sa->in_mid, sa->passive ? ", still at work on one" : "");
        return;
    }
    struct inmsg *m = h->next == PL_SKF ? fragments_take(sa, h, path, d) : decrypt(sa, h, path, d);
    if (!m)
        return;
    fragments_forget(sa, response); // of what came whole meanwhile
    if (!sa->half_open)             // the peer has proved who it is; before that anyone gets this far
        log_limit_pardon(&sa->ike->log_limit);
    if (!response) {
        memcpy(sa->later->in_hash, m->hash, sizeof(sa->later->in_hash));
        sa->in_fragmented = m->fragmented;
        sa->later->in_path = *path;
    }
    sa_alive(sa);
    if (sa->later->mobike.on)
        mobike_heard(sa, path, response);
    else if (sa_moved(sa, path))
        expiry_moved(sa);
    bool good = check_payloads(m, &r);
    exchange_log("parsed", h->exchange, response, h->mid, &m->pl);
    if (good && response) {
        on_response(sa, m);
    } else if (good) {
        on_request(sa, m);
    } else if (!response) {
        bad_request(sa, m, &r);
    } else {
        // 2.21: an error in a response is not answered; the exchange cannot succeed any more
        LOGF(ENC, 1, "%s response refused: %s", exchange_name(h->exchange), r.why.text);
        sa_why(sa, "%s", r.why.text);
        free(m);
        sa_destroy(sa);
    }
}
