// SPDX-License-Identifier: Apache-2.0
// Requests and responses: RFC 7296 sections 2.1 (retransmission), 2.2 and 2.3 (message IDs, a window of
// one), 2.5 (versions and critical payloads) and 3.14 (SK). What a message means is its task's business.
#include "ctrl/ike/ike.h"

#include <errno.h>
#include <stdio.h>

static const char *exchange_name(uint8_t x)
{
    switch (x) {
    case EX_SA_INIT: return "IKE_SA_INIT";
    case EX_AUTH: return "IKE_AUTH";
    case EX_CREATE_CHILD: return "CREATE_CHILD_SA";
    case EX_INFORMATIONAL: return "INFORMATIONAL";
    default: return "EXCHANGE";
    }
}

static void log_parsed(const char *verb, uint8_t x, bool response, uint32_t mid, const struct payloads *pl)
{
    char list[800];
    payloads_print(pl, list, sizeof(list));
    LOGF(ENC, 1, "%s %s %s %u %s", verb, exchange_name(x), response ? "response" : "request", mid, list);
}

static void log_generated(uint8_t x, bool response, uint32_t mid, const struct pb *b)
{
    struct payloads pl;
    struct refusal r = {0};
    if (payloads_read(b->first, wr_written(&b->w), &pl, &r) == 0)
        log_parsed("generating", x, response, mid, &pl);
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
            init_restart(sa);
            return;
        }
        LOGF(IKE, 1, "establishing IKE_SA failed, peer not responding");
    }
    for (struct child_sa *c = sa->children; c && sa->state == SA_ESTABLISHED; c = c->next)
        if (child_is_up(c))
            revive_lost(sa->ike, sa->conn, c->cfg->name, REVIVE_DEAD);
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

void exchange_queue_task(struct ike_sa *sa, struct task *t)
{
    struct task **end = &sa->queue;
    while (*end)
        end = &(*end)->next;
    *end = t;
    exchange_next(sa);
}

void exchange_queue(struct ike_sa *sa, const struct task_ops *ops, uint32_t child_id)
{
    struct task *t = task_new(sa, ops, child_id);
    if (t)
        exchange_queue_task(sa, t);
}

void exchange_first(struct ike_sa *sa, const struct task_ops *ops, uint32_t child_id)
{
    struct task *t = task_new(sa, ops, child_id);
    if (!t)
        return;
    t->next = sa->queue;
    sa->queue = t;
    exchange_next(sa);
}

void exchange_next(struct ike_sa *sa)
{
    struct task *t = sa->queue;
    if (!t || sa->active || sa->state == SA_DEAD)
        return;
    sa->queue = t->next;
    sa->active = t;
    t->next = NULL;
    t->ops->start(t);
}

void exchange_done(struct ike_sa *sa)
{
    struct task *t = sa->active;
    timer_stop(sa->ike->loop, &sa->retransmit);
    free(sa->request);
    sa->request = NULL;
    sa->active = NULL;
    task_free(t);
    exchange_next(sa);
}

void exchange_clear(struct ike_sa *sa)
{
    timer_stop(sa->ike->loop, &sa->retransmit);
    task_drop_all(sa);
    free(sa->request);
    free(sa->reply);
    sa->request = sa->reply = NULL;
}

// --- requests of the peer ---

static void passive_over(struct ike_sa *sa)
{
    struct task *t = sa->passive;
    sa->passive = NULL;
    task_free(t);
}

void exchange_drop_request(struct ike_sa *sa)
{
    passive_over(sa);
}

bool exchange_reply(struct ike_sa *sa, uint8_t exchange, const struct pb *b)
{
    uint8_t *msg;
    size_t len;
    int rc = seal(sa, exchange, true, sa->in_mid, b, &msg, &len);
    if (rc) {
        LOGF(IKE, 0, "building the %s response failed: %s", exchange_name(exchange), strerror(-rc));
        passive_over(sa); // the peer asks again
        return false;
    }
    free(sa->reply);
    sa->reply = msg;
    sa->reply_len = len;
    sa->in_mid++;
    passive_over(sa);
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

static const struct task_ops *responder(struct ike *ike, const struct inmsg *m)
{
    switch (m->h.exchange) {
    case EX_AUTH: COUNT(ike, ike_auth_in_req); return &task_auth_respond;
    case EX_CREATE_CHILD: COUNT(ike, create_child_in_req); return create_child_responder(m);
    default: COUNT(ike, info_in_req); return &task_info;
    }
}

static void on_request(struct ike_sa *sa, struct inmsg *m)
{
    struct task *t = task_new(sa, responder(sa->ike, m), 0);
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
        return !sa->initiator && h->exchange == EX_AUTH && h->mid == 1;
    return (sa->state == SA_ESTABLISHED || sa->state == SA_REKEYED || sa->state == SA_DELETING) &&
           (h->exchange == EX_CREATE_CHILD || h->exchange == EX_INFORMATIONAL);
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
    struct inmsg *m = malloc(sizeof(*m) + d.len);
    if (!m)
        return NULL;
    memset(m, 0, sizeof(*m));
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
    timer_stop(sa->ike->loop, &sa->retransmit);
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
    if (!rc && payload_find(&m->pl, PL_SK))
        rc = refuse(r, N_INVALID_SYNTAX, "SK", "an SK payload inside an SK payload (RFC 7296 3.14)");
    return !rc && payloads_validate(&m->pl, r) == 0;
}

// The request that was answered last, octet by octet (2.1): a mere header with its numbers, from anywhere,
// must not call forth a whole response.
static bool is_repeat(const struct ike_sa *sa, const struct ike_header *h, struct slice d)
{
    struct cr_slice part = {d.p, d.len};
    uint8_t hash[32];
    return sa->reply && h->mid + 1 == sa->in_mid && !sa->passive && cr_sha256(&part, 1, hash) == 0 &&
           memcmp(hash, sa->in_hash, sizeof(hash)) == 0;
}

static void repeat_reply(struct ike_sa *sa, const struct net_path *path, const struct ike_header *h)
{
    COUNT(sa->ike, repeats);
    LOGF(IKE, 1, "received retransmit of request with ID %u, retransmitting response", h->mid);
    transmit(sa, path, sa->reply, sa->reply_len);
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
        COUNT(sa->ike, dropped_state);
        LOGF(IKE, 1, "%s %s with message ID %u dropped: expected %u%s (RFC 7296 2.3)",
             exchange_name(h->exchange), response ? "response" : "request", h->mid,
             response ? sa->out_mid : sa->in_mid, sa->passive ? ", still at work on one" : "");
        return;
    }
    struct inmsg *m = decrypt(sa, h, path, d);
    if (!m)
        return;
    if (!sa->half_open) // the peer has proved who it is; before that anyone gets this far
        log_limit_pardon(&sa->ike->log_limit);
    struct cr_slice whole = {d.p, d.len};
    if (!response && cr_sha256(&whole, 1, sa->in_hash) != 0)
        memset(sa->in_hash, 0, sizeof(sa->in_hash));
    if (!response)
        sa->in_path = *path;
    sa_alive(sa);
    sa_moved(sa, path);
    bool good = check_payloads(m, &r);
    log_parsed("parsed", h->exchange, response, h->mid, &m->pl);
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

// --- datagrams ---

enum { COMPLAINTS_A_SECOND = 2 }; // to one address

// Answers to anyone at all are at most ten a second; nobody alone uses them up.
bool may_complain(struct ike *ike, const struct addr *a)
{
    uint64_t now = loop_now(ike->loop);
    if (!may_answer(ike, a, COMPLAINTS_A_SECOND))
        return false;
    if (now - ike->error_at >= 1000) {
        ike->error_at = now;
        ike->error_count = 0;
    }
    return ike->error_count++ < 10;
}

enum { VERSIONS_A_SECOND = 1 }; // to one address

static void complain_version(struct ike *ike, const struct net_path *path, const struct ike_header *h)
{
    uint8_t buf[64];
    char a[64];
    struct writer w = writer_of(buf, sizeof(buf));
    if (((h->version >> 4) > 1 && (h->flags & FLAG_RESPONSE)) ||
        !may_answer(ike, &path->remote, VERSIONS_A_SECOND) || !may_complain(ike, &path->remote))
        return; // neither an answer nor a line for whoever sends many
    LOGF(ENC, 1, "received IKE version %u.%u from %s, sending INVALID_MAJOR_VERSION (RFC 7296 2.5)%s",
         h->version >> 4, h->version & 15, addr_print(&path->remote, a, sizeof(a)),
         (h->version >> 4) == 1
             ? ": set the peer to IKEv2 (keyexchange = ikev2, version = 2), there is no IKEv1 here"
             : "");
    struct ike_header out = {h->spi_i,    h->spi_r, PL_NOTIFY, IKE_VERSION,
                             h->exchange, 0,        h->mid,    IKE_HEADER_LEN + 8};
    out.flags = (uint8_t)(FLAG_RESPONSE | (h->flags & FLAG_INITIATOR ? 0 : FLAG_INITIATOR));
    header_write(&w, &out);
    struct pb b = {.w = w, .next_at = SIZE_MAX};
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_INVALID_MAJOR_VERSION, slice_of(NULL, 0));
    ike->net.send(ike->net.ctx, path, wr_written(&b.w), true);
}

static void to_sa(struct ike *ike, const struct net_path *path, const struct ike_header *h, struct slice d)
{
    bool from_initiator = h->flags & FLAG_INITIATOR;
    uint64_t own = from_initiator ? h->spi_r : h->spi_i, theirs = from_initiator ? h->spi_i : h->spi_r;
    struct ike_sa *sa = sa_by_spi(ike, own);
    if (!sa || sa->initiator == from_initiator || theirs != (sa->initiator ? sa->spi_r : sa->spi_i)) {
        COUNT(ike, dropped_unknown);
        LOGF(IKE, 1,
             "%s %s for an IKE SA that is not known, SPIs %016llx_i %016llx_r, dropped (RFC 7296 2.21.4)",
             exchange_name(h->exchange), h->flags & FLAG_RESPONSE ? "response" : "request",
             (unsigned long long)h->spi_i, (unsigned long long)h->spi_r);
        return;
    }
    log_set_context(sa->conn->cfg.name, sa->id);
    if (sa->sk_in)
        exchange_protected(sa, h, path, d);
    else if (h->exchange == EX_AUTH && !sa->initiator && !(h->flags & FLAG_RESPONSE) && h->mid == 1)
        init_early(sa, path, d);
    else
        COUNT(ike, dropped_state);
    log_set_context("", 0);
}

static void sa_init_response(struct ike *ike, const struct net_path *path, const struct ike_header *h,
                             struct slice d)
{
    struct ike_sa *sa = sa_by_spi(ike, h->spi_i);
    struct refusal r = {0};
    if (!sa || !sa->initiator || sa->sk_in || h->mid || !sa->request || !sa->active ||
        sa->active->ops != &task_init || (h->flags & FLAG_INITIATOR)) {
        COUNT(ike, dropped_state);
        return;
    }
    struct inmsg *m = malloc(sizeof(*m) + d.len);
    if (!m)
        return;
    memset(m, 0, sizeof(*m));
    m->h = *h;
    m->path = *path;
    m->len = d.len;
    memcpy(m->data, d.p, d.len);
    log_set_context(sa->conn->cfg.name, sa->id);
    struct slice body = slice_of(m->data + IKE_HEADER_LEN, d.len - IKE_HEADER_LEN);
    if (payloads_read(h->next, body, &m->pl, &r) == 0 && payloads_validate(&m->pl, &r) == 0) {
        log_parsed("parsed", EX_SA_INIT, true, 0, &m->pl);
        if (sa->active->ops->response(sa->active, m))
            m = NULL;
    } else { // anyone can send this: wait for a good one
        COUNT(ike, dropped_malformed);
        LOGF(ENC, 1, "IKE_SA_INIT response dropped: %s", r.why.text);
    }
    free(m);
    log_set_context("", 0);
}

static void take_datagram(struct ike *ike, const struct net_path *path, struct slice d)
{
    struct ike_header h;
    char a[64], b[64];
    LOGF(NET, 1, "received packet: from %s[%u] to %s[%u] (%zu bytes)",
         addr_print(&path->remote, a, sizeof(a)), path->remote_port, addr_print(&path->local, b, sizeof(b)),
         path->local_port, d.len);
    if (!header_read(d, &h) || h.spi_i == 0) {
        COUNT(ike, dropped_malformed);
        LOGF(NET, 1, "datagram dropped: no IKE header with the datagram's length of %zu (RFC 7296 3.1)",
             d.len);
    } else if (h.version >> 4 != 2) {
        COUNT(ike, dropped_malformed);
        complain_version(ike, path, &h);
    } else if (h.exchange == EX_SA_INIT && (h.flags & FLAG_RESPONSE)) {
        sa_init_response(ike, path, &h, d);
    } else if (h.exchange == EX_SA_INIT) {
        COUNT(ike, ike_init_in_req);
        init_request(ike, path, &h, d);
    } else {
        to_sa(ike, path, &h, d);
    }
}

void exchange_datagram(struct ike *ike, const struct net_path *path, struct slice d)
{
    log_limit_begin(&ike->log_limit, &path->remote);
    take_datagram(ike, path, d);
    log_limit_end(&ike->log_limit);
}
