// SPDX-License-Identifier: Apache-2.0
// Packets: reads bursts from the TUN and the sockets into pool buffers, gives them to the SA's engine, and
// sends what comes back. Nothing is allocated here; when no packet is free the descriptors are not watched
// until one is.
#include "ctrl/path/path.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/outer.h"

void list_init(struct packet_list *l)
{
    l->head = NULL;
    l->tail = &l->head;
    l->count = 0;
    l->newest = 0;
}

void list_push(struct packet_list *l, struct packet *pkt)
{
    pkt->next = NULL;
    *l->tail = pkt;
    l->tail = &pkt->next;
    l->count++;
    if (pkt->stamp > l->newest)
        l->newest = pkt->stamp;
}

// What comes back from an engine is older than what has arrived since.
void list_insert(struct packet_list *l, struct packet *pkt)
{
    struct packet **at = &l->head;
    if (!l->head || pkt->stamp >= l->newest) {
        list_push(l, pkt);
        return;
    }
    while (*at && (*at)->stamp <= pkt->stamp)
        at = &(*at)->next;
    pkt->next = *at;
    *at = pkt;
    if (!pkt->next)
        l->tail = &pkt->next;
    l->count++;
}

struct packet *list_pop(struct packet_list *l)
{
    struct packet *pkt = l->head;
    if (pkt) {
        l->head = pkt->next;
        if (!l->head)
            list_init(l);
        else
            l->count--;
    }
    return pkt;
}

// ---- packets

static void watch(struct worker *w, bool on)
{
    if (w->reading == on)
        return;
    w->reading = on;
    struct loop_fd *all[] = {&w->tun_fd, &w->udp_fd, &w->raw_fd, &w->udp6_fd, &w->raw6_fd};
    for (int i = 0; i < 5; i++) {
        if (all[i]->fd >= 0) {
            all[i]->events = on ? EPOLLIN : 0;
            loop_modify(w->p->loop, all[i]);
        }
    }
}

static struct packet *get(struct worker *w)
{
    struct packet *pkt = w->free;
    if (!pkt) {
        watch(w, false);
        return NULL;
    }
    w->free = pkt->next;
    pkt->stamp = ++w->stamp;
    pkt->runs = 0;
    return pkt;
}

static void off_card(struct worker *w, struct packet *pkt)
{
    w->on_card -= pkt->on_card;
    pkt->on_card = false;
}

// What a card may write to, at any time and wherever it likes, is only ever lent to it: the packet is copied
// there, and the result back once, before it is looked at.
static bool lend(struct worker *w, struct packet *pkt)
{
    if (pkt->lent)
        return true;
    uint8_t *in = esp_pool_get(w->dma), *out = esp_pool_get(w->dma);
    if (!out) {
        if (in)
            esp_pool_put(w->dma, in);
        return false;
    }
    memcpy(in, pkt->in, pkt->job.in_len);
    pkt->job.in = in;
    pkt->job.out = out;
    pkt->lent = true;
    return true;
}

static void take_back(struct worker *w, struct packet *pkt)
{
    if (!pkt->lent)
        return;
    esp_pool_put(w->dma, pkt->job.in);
    esp_pool_put(w->dma, pkt->job.out);
    pkt->job.in = pkt->in;
    pkt->job.out = pkt->out;
    pkt->lent = false;
}

static void copy_result(struct worker *w, struct packet *pkt)
{
    struct esp_job *j = &pkt->job;
    if (!pkt->lent)
        return;
    if (j->out_len > w->buffer)
        j->status = ESP_STATUS_DMA_ERROR;
    if (j->status == ESP_STATUS_OK)
        memcpy(pkt->out, j->out, j->out_len);
    take_back(w, pkt);
}

static void release(struct worker *w, struct packet *pkt)
{
    struct child *c = pkt->child;
    pkt->child = NULL;
    off_card(w, pkt);
    take_back(w, pkt);
    pkt->next = w->free;
    w->free = pkt;
    watch(w, true);
    if (c) {
        c->in_flight--;
        sadb_maybe_free(w->p, c);
    }
}

void io_drop(struct worker *w, struct packet *pkt, enum esp_status why)
{
    uint64_t *count = pkt->job.op == ESP_ENCAP ? w->drop_out : w->drop_in;
    if (why < ESP_STATUS_BAD_OPCODE)
        count[why]++;
    if (pkt->child)
        pkt->child->out.drops++;
    release(w, pkt);
}

static uint32_t be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

// The inbound SA's child by the packet's SPI.
static struct child *owner_of(struct worker *w, const struct packet *pkt)
{
    return sadb_by_spi(w->p, pkt->spi);
}

static struct packet_list *backlog_of(struct worker *w, const struct esp_engine *e)
{
    return e == path_card(w->p) ? &w->backlog[PATH_CARD] : &w->backlog[PATH_SOFT];
}

static void enqueue(struct worker *w, struct packet *pkt);

// The SA that a packet was queued for may have left the engine since: the handle is taken when it goes.
static bool still_there(const struct packet *pkt, const struct esp_engine *e)
{
    if (pkt->job.op != ESP_ENCAP)
        return true;
    return pkt->child->out.state == HALF_READY && pkt->child->out.engine == e;
}

// Jobs of one engine go in the order in which they came: what a full engine did not take goes before anything
// newer.
static void drain_backlog(struct worker *w, struct esp_engine *e)
{
    struct packet_list *l = backlog_of(w, e);
    bool card = e == path_card(w->p);
    while (l->head) {
        struct esp_job *jobs[PATH_BURST];
        unsigned n = 0;
        while (l->head && !still_there(l->head, e))
            enqueue(w, list_pop(l));
        for (struct packet *i = l->head; i && n < PATH_BURST && still_there(i, e); i = i->next) {
            if (card && !lend(w, i))
                break;
            i->job.sa = i->job.op == ESP_ENCAP ? i->child->out.sa : NULL;
            jobs[n++] = &i->job;
        }
        unsigned taken = n ? esp_submit(e, jobs, n) : 0;
        for (unsigned i = 0; i < taken; i++)
            list_pop(l);
        if (taken < n || n == 0)
            return;
    }
}

// New to this process: it may find a queue full. What an engine gave back is never lost so.
static bool is_new(const struct worker *w, const struct packet *pkt)
{
    return pkt->stamp == w->stamp && !pkt->runs;
}

static void queue_full(struct worker *w, struct packet *pkt)
{
    w->queue_full++;
    release(w, pkt);
}

static void wait_for(struct worker *w, struct half *h, struct packet *pkt)
{
    off_card(w, pkt);
    if (is_new(w, pkt) && (w->waiting >= PATH_WAITING || h->waiting.count >= PATH_WAITING - w->waiting)) {
        queue_full(w, pkt);
    } else {
        list_insert(&h->waiting, pkt);
        w->waiting++;
    }
}

static void give_to(struct worker *w, struct half *h, struct packet *pkt)
{
    off_card(w, pkt);
    if (h->engine == path_card(w->p)) {
        if (is_new(w, pkt) && w->on_card >= PATH_ON_CARD) {
            queue_full(w, pkt);
            return;
        }
        pkt->on_card = true;
        w->on_card++;
    }
    list_push(backlog_of(w, h->engine), pkt);
}

static void give_child(struct worker *w, struct packet *pkt, struct child *c)
{
    struct child *old = pkt->child;
    pkt->child = c;
    c->in_flight++;
    pkt->runs++;
    old->in_flight--;
    sadb_maybe_free(w->p, old);
}

// It has no sequence number: it may leave by another SA of its policy.
static bool hand_on(struct worker *w, struct packet *pkt)
{
    struct child *c = pkt->runs < PATH_RUNS ? outbound_other(w, pkt) : NULL;
    if (c)
        give_child(w, pkt, c);
    return c != NULL;
}

// Of an SA that is being deleted: what came for it before goes to its successor, or by itself.
static bool takes(const struct child *c, const struct packet *pkt)
{
    return !c->dying || (pkt->job.op == ESP_ENCAP && c->installed);
}

// Queues a packet to the engine that holds its SA; drain_backlog submits. An SA that moves keeps its packets
// waiting.
static void enqueue(struct worker *w, struct packet *pkt)
{
    struct half *h;
    take_back(w, pkt);
    if (pkt->job.op == ESP_ENCAP) {
        if (pkt->child->dying || pkt->child->out.ended)
            (void)hand_on(w, pkt);
        h = &pkt->child->out;
    } else {
        struct child *c = owner_of(w, pkt);
        if (!c) {
            io_drop(w, pkt, ESP_STATUS_NO_SA);
            return;
        }
        h = &c->in;
    }
    bool waits =
        h->state == HALF_ADDING || h->state == HALF_MOVING || (h->state == HALF_READY && h->waiting.count);
    if (h->ended) {
        io_drop(w, pkt, ESP_STATUS_HARD_LIMIT);
    } else if (waits && takes(h->child, pkt)) {
        wait_for(w, h, pkt);
    } else if (h->state == HALF_READY && takes(h->child, pkt)) {
        give_to(w, h, pkt);
    } else {
        io_drop(w, pkt, ESP_STATUS_SA_INVALID);
    }
}

void io_flush_waiting(struct worker *w, struct half *h)
{
    struct packet *pkt = h->waiting.head;
    struct esp_engine *e = h->engine;
    w->waiting -= h->waiting.count;
    list_init(&h->waiting);
    for (struct packet *next; pkt; pkt = next) { // from here on h may be gone with its last packet
        next = pkt->next;
        enqueue(w, pkt);
    }
    if (e)
        drain_backlog(w, e);
}

static void move_list(struct packet_list *from, const struct child *c, struct packet_list *to)
{
    struct packet_list rest;
    struct packet *pkt;
    list_init(&rest);
    while ((pkt = list_pop(from)))
        if (pkt->child == c)
            list_insert(to, pkt);
        else
            list_push(&rest, pkt);
    while ((pkt = list_pop(&rest)))
        list_push(from, pkt);
}

void io_move_on(struct worker *w, struct child *c)
{
    struct packet_list mine;
    struct packet *pkt;
    list_init(&mine);
    w->waiting -= c->out.waiting.count;
    move_list(&c->out.waiting, c, &mine);
    for (int i = 0; i < PATH_ENGINES; i++)
        move_list(&w->backlog[i], c, &mine);
    while ((pkt = list_pop(&mine)))
        enqueue(w, pkt);
}

// ---- out

static void note_acquire(struct worker *w, struct policy *pol, const struct fields *f)
{
    uint64_t now = loop_now(w->p->loop);
    struct policy *base = policy_base(pol);
    if (!base->trap || (base->acquired_at && now - base->acquired_at < 1000))
        return;
    base->acquired_at = now;
    struct msg_ACQUIRE m = {.policy_id = base->id};
    fields_selectors(f, &m.local_ts, &m.remote_ts);
    snprintf(m.conn, sizeof(m.conn), "%s", base->conn);
    snprintf(m.child, sizeof(m.child), "%s", base->child);
    ipc_send(w->p->ike, MSG_ACQUIRE, &m);
}

static void protect(struct worker *w, struct packet *pkt, struct policy *pol, const struct fields *f)
{
    struct child *c = outbound_sa(w->p, pol, f);
    if (!c) {
        note_acquire(w, pol, f);
        w->no_sa_out++;
        io_drop(w, pkt, ESP_STATUS_POLICY);
        return;
    }
    pkt->child = c;
    c->in_flight++;
    pkt->inner_len = pkt->job.in_len;
    enqueue(w, pkt);
}

static void outbound(struct worker *w, struct packet *pkt)
{
    struct fields f;
    struct policy *pol;
    pkt->job.op = ESP_ENCAP;
    if (!fields_parse(pkt->job.in, pkt->job.in_len, &f)) {
        io_drop(w, pkt, ESP_STATUS_BAD_IP);
        return;
    }
    enum spd_verdict v = spd_look_up(w, &f, false, &pol);
    if (f.first && f.ports)
        fragment_keep(&w->flows, &f, false, loop_now(w->p->loop));
    if (v == SPD_FOUND && pol->action == POLICY_PROTECT) {
        protect(w, pkt, pol, &f);
    } else if (v == SPD_NONE || (v == SPD_FOUND && pol->action == POLICY_BYPASS)) {
        past_us(w, pkt->job.in, pkt->job.in_len);
        release(w, pkt);
    } else {
        io_drop(w, pkt, ESP_STATUS_POLICY);
    }
}

static void tun_gone(struct worker *w)
{
    LOGF(NET, 0, "the TUN device is gone; what is protected stays blocked");
    w->p->status = 1;
    loop_stop(w->p->loop);
}

static void tun_ready(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    for (int i = 0; i < PATH_BURST; i++) {
        struct packet *pkt = get(w);
        if (!pkt)
            break;
        int n = w->net.tun_read(w->net.ctx, pkt->job.in, w->buffer);
        if (n <= 0) {
            release(w, pkt);
            if (n == -EBADFD)
                tun_gone(w);
            break;
        }
        pkt->job.in_len = (uint32_t)n;
        outbound(w, pkt);
    }
    io_pump(w);
}

static socklen_t destination(const uint8_t *o, struct sockaddr_storage *to)
{
    struct addr a = {.family = o[0] >> 4};
    memcpy(a.a, o + (a.family == 4 ? 16 : 24), a.family == 4 ? 4 : 16);
    addr_to_sockaddr(&a, 0, to);
    return a.family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static void send_burst(struct worker *w)
{
    struct mmsghdr msgs[PATH_BURST];
    struct iovec iov[PATH_BURST];
    struct sockaddr_storage to[PATH_BURST];
    unsigned n = w->send_count, done = 0;
    memset(msgs, 0, sizeof(msgs[0]) * n);
    for (unsigned i = 0; i < n; i++) {
        struct esp_job *j = &w->send_list[i]->job;
        iov[i] = (struct iovec){j->out, j->out_len};
        msgs[i].msg_hdr = (struct msghdr){.msg_name = &to[i],
                                          .msg_namelen = destination(j->out, &to[i]),
                                          .msg_iov = &iov[i],
                                          .msg_iovlen = 1};
    }
    while (done < n) {
        int rc = w->net.send(w->net.ctx, msgs + done, n - done);
        if (rc > 0) {
            done += (unsigned)rc;
            continue;
        }
        if (errno == EINTR)
            continue;
        w->send_errors++; // this one is lost as on any full or broken link; its sequence number is used up
        if (w->send_errors % 1000 == 1)
            LOGF(NET, 1, "cannot send an ESP packet: %s", strerror(errno));
        done++;
    }
    for (unsigned i = 0; i < n; i++)
        release(w, w->send_list[i]);
    w->send_count = 0;
}

static struct engine_count *count_of(struct worker *w, const struct esp_engine *e)
{
    return e == path_soft(w->p) ? &w->count[PATH_SOFT] : &w->count[PATH_CARD];
}

// What leaves is this SA's ESP or nothing, whatever an engine says: a buffer that was not written may hold an
// older packet, even one in clear.
static bool is_esp_between(const struct esp_job *j, uint32_t spi, const struct esp_endpoint *e)
{
    struct outer o;
    size_t n = e->ipv6 ? 16 : 4;
    return outer_look(j->out, j->out_len, &o) && o.udp == e->udp_encap && (o.src.family == 6) == e->ipv6 &&
           !memcmp(o.src.a, e->src, n) && !memcmp(o.dst.a, e->dst, n) && be32(j->out + o.esp) == spi &&
           be32(j->out + o.esp + 4) == (uint32_t)j->seq;
}

static bool is_esp_of(const struct half *h, const struct esp_job *j)
{
    const struct esp_sa_params *s = &h->params;
    struct esp_endpoint now = {.ipv6 = s->ipv6, .udp_encap = s->udp_encap};
    memcpy(now.src, s->src, 16);
    memcpy(now.dst, s->dst, 16);
    return is_esp_between(j, s->spi, &now) || (h->rebound && is_esp_between(j, s->spi, &h->before));
}

static bool unnumbered(enum esp_status st)
{
    return st == ESP_STATUS_LEASE_END || st == ESP_STATUS_HARD_LIMIT || st == ESP_STATUS_SEQ_OVERFLOW;
}

// Past a limit a newer SA may take it.
static void not_sealed(struct worker *w, struct half *h, struct packet *pkt)
{
    enum esp_status st = pkt->job.status;
    if (unnumbered(st)) {
        h->ended = true;
        limit_event(w->p, h->child, CHILD_EVENT_HARD_LIMIT);
        if (hand_on(w, pkt)) {
            enqueue(w, pkt);
            return;
        }
    }
    io_drop(w, pkt, st);
}

static void encap_done(struct worker *w, struct esp_engine *e, struct packet *pkt)
{
    struct child *c = pkt->child;
    struct half *h = &c->out;
    struct engine_count *n = count_of(w, e);
    if (pkt->job.lease_low || pkt->job.status == ESP_STATUS_LEASE_END)
        sadb_lease_low(w->p, h);
    if (pkt->job.status == ESP_STATUS_LEASE_END &&
        !h->spent) { // it used no sequence number: again, when there are more
        pkt->runs++;
        if (h->state == HALF_READY && h->engine == e)
            wait_for(w, h, pkt);
        else
            enqueue(w, pkt);
        return;
    }
    if (pkt->job.status == ESP_STATUS_OK && !is_esp_of(h, &pkt->job)) {
        LOGF(ESP, 0, "%s gave back what is not ESP of SPI %08x, dropped", e->name, h->params.spi);
        pkt->job.status = ESP_STATUS_DMA_ERROR;
    }
    if (pkt->job.status != ESP_STATUS_OK) {
        not_sealed(w, h, pkt);
        return;
    }
    h->packets++;
    h->bytes += pkt->inner_len;
    limit_count(w->p, h, pkt->inner_len, pkt->job.seq);
    h->used_at = loop_now(w->p->loop);
    h->last_seq = pkt->job.seq;
    n->packets_out++;
    n->bytes_out += pkt->inner_len;
    if (w->p->resume_from_us && e == path_soft(w->p)) {
        w->p->failover_resume_us = loop_now_us(w->p->loop) - w->p->resume_from_us;
        w->p->resume_from_us = 0;
    }
    w->send_list[w->send_count++] = pkt;
    if (w->send_count == PATH_BURST)
        send_burst(w);
}

// ---- in

// Something has come by one of the sockets, n octets of it behind the room for headers (0: they are there).
static void arrived(struct worker *w, struct packet *pkt, int n, uint32_t room, const struct arrival *a,
                    bool udp)
{
    struct outer o;
    pkt->job.op = ESP_DECAP;
    pkt->job.in_len = room + (uint32_t)n;
    if (udp && n == 1 && pkt->job.in[room] == 0xff) { // RFC 3948 section 2.3
        w->keepalives++;
        release(w, pkt);
    } else if (udp && n < 8) {
        io_drop(w, pkt, ESP_STATUS_NOT_ESP);
    } else if (pkt->job.in_len > w->buffer || (room && a->cut) ||
               (room && !outer_put(pkt->job.in, a, udp, w->p->env->settings->port_nat_t, (uint32_t)n)) ||
               !outer_look(pkt->job.in, pkt->job.in_len, &o)) {
        io_drop(w, pkt, ESP_STATUS_TRUNCATED);
    } else {
        pkt->spi = be32(pkt->job.in + o.esp);
        enqueue(w, pkt);
    }
}

typedef int (*read_fn)(void *ctx, uint8_t *p, uint32_t cap, struct arrival *a);

static void read_datagrams(struct worker *w, read_fn read_one, uint8_t family, bool udp)
{
    uint32_t room = outer_octets(family, udp);
    for (int i = 0; i < PATH_BURST && read_one; i++) {
        struct arrival a;
        struct packet *pkt = get(w);
        if (!pkt)
            break;
        int n = read_one(w->net.ctx, pkt->job.in + room, w->buffer - room, &a);
        if (n < 0) {
            release(w, pkt);
            break;
        }
        arrived(w, pkt, n, room, &a, udp);
    }
    io_pump(w);
}

static void udp_ready(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    read_datagrams(w, w->net.udp_read, 4, true);
}

static void udp6_ready(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    read_datagrams(w, w->net.udp6_read, 6, true);
}

static void raw6_ready(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    read_datagrams(w, w->net.esp6_read, 6, false);
}

static void raw_ready(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    for (int i = 0; i < PATH_BURST; i++) {
        struct packet *pkt = get(w);
        if (!pkt)
            break;
        int n = w->net.esp_read(w->net.ctx, pkt->job.in, w->buffer);
        if (n < 0) {
            release(w, pkt);
            break;
        }
        arrived(w, pkt, n, 0, NULL, false);
    }
    io_pump(w);
}

static void traffic_event(struct worker *w, struct child *c)
{
    uint64_t now = loop_now(w->p->loop);
    c->in.used_at = now;
    if (now - c->traffic_event_at < 1000)
        return;
    c->traffic_event_at = now;
    ipc_send(w->p->ike, MSG_CHILD_EVENT,
             &(struct msg_CHILD_EVENT){.child_id = c->c.child_id, .event = CHILD_EVENT_TRAFFIC_IN});
}

// RFC 7296 section 2.23: the newest authenticated packet came from elsewhere. ike decides.
static void rebound_event(struct worker *w, struct child *c, const struct packet *pkt)
{
    struct outer o;
    uint64_t now = loop_now(w->p->loop);
    if ((c->rebound_event_at && now - c->rebound_event_at < 1000) ||
        !outer_look(pkt->job.in, pkt->job.in_len, &o))
        return;
    c->rebound_event_at = now;
    ipc_send(w->p->ike, MSG_CHILD_EVENT,
             &(struct msg_CHILD_EVENT){.child_id = c->c.child_id,
                                       .event = CHILD_EVENT_REBOUND,
                                       .remote = o.src,
                                       .remote_port = o.sport});
}

static bool allowed_in(struct worker *w, const struct child *c, const struct packet *pkt)
{
    struct fields f;
    if (!fields_parse(pkt->job.out, pkt->job.out_len, &f) || !spd_lets_in(w, c, &f))
        return false;
    if (f.first && f.ports)
        fragment_keep(&w->flows, &f, true, loop_now(w->p->loop));
    return true;
}

static void decap_done(struct worker *w, struct esp_engine *e, struct packet *pkt)
{
    struct child *c = owner_of(w, pkt);
    struct engine_count *n = count_of(w, e);
    if (!c || pkt->job.status != ESP_STATUS_OK) {
        if (c)
            c->in.drops++;
        if (c && pkt->job.status == ESP_STATUS_ICV_FAIL)
            limit_forged(w->p, &c->in);
        io_drop(w, pkt, c || pkt->job.status != ESP_STATUS_OK ? pkt->job.status : ESP_STATUS_NO_SA);
        return;
    }
    traffic_event(w, c);
    limit_count(w->p, &c->in, pkt->job.out_len, pkt->job.seq);
    c->out_after = 0; // its peer has it, and sends by it
    if (pkt->job.seq > c->in.last_seq) {
        c->in.last_seq = pkt->job.seq;
        if (pkt->job.src_changed)
            rebound_event(w, c, pkt);
    }
    if (!allowed_in(w, c, pkt)) {
        c->in.drops++;
        io_drop(w, pkt, ESP_STATUS_POLICY);
        return;
    }
    c->in.packets++;
    c->in.bytes += pkt->job.out_len;
    n->packets_in++;
    n->bytes_in += pkt->job.out_len;
    if (w->net.tun_write(w->net.ctx, pkt->job.out, pkt->job.out_len) < 0)
        w->tun_errors++;
    release(w, pkt);
}

// ---- engines

static struct child *child_of(struct worker *w, const struct packet *pkt)
{
    return pkt->job.op == ESP_ENCAP ? pkt->child : owner_of(w, pkt);
}

static void events(struct worker *w, struct esp_engine *e);

// Seen by nobody: again, in the engine that has the SA now. The card's failure is taken note of first.
static void run_again(struct worker *w, struct esp_engine *e, struct packet *pkt)
{
    if (!path_card_failed(w->p))
        events(w, e);
    pkt->runs++;
    w->rerun++;
    enqueue(w, pkt);
}

// It met an SA that had just left this engine for another: no number was spent and nobody has seen it.
static bool left_behind(struct worker *w, const struct esp_engine *e, const struct packet *pkt)
{
    enum esp_status st = pkt->job.status;
    struct child *c = child_of(w, pkt);
    if (!c || pkt->runs >= PATH_RUNS ||
        (st != ESP_STATUS_SA_DRAINING && st != ESP_STATUS_SA_INVALID && st != ESP_STATUS_NO_SA))
        return false;
    const struct half *h = pkt->job.op == ESP_ENCAP ? &c->out : &c->in;
    return h->state == HALF_MOVING || (h->engine && h->engine != e);
}

static unsigned finish(struct worker *w, struct esp_engine *e)
{
    struct esp_job *jobs[PATH_BURST];
    unsigned n = esp_poll(e, jobs, PATH_BURST);
    if (n && e == path_card(w->p) && jobs[0]->status != ESP_STATUS_ABORTED)
        w->p->card_last_us = loop_now_us(w->p->loop);
    for (unsigned i = 0; i < n; i++) {
        struct packet *pkt = (struct packet *)jobs[i];
        struct child *c = child_of(w, pkt);
        copy_result(w, pkt);
        if (c)
            limit_job(w->p, c, &pkt->job);
        if (pkt->job.status == ESP_STATUS_ABORTED && e == path_card(w->p) && pkt->runs < PATH_RUNS) {
            run_again(w, e, pkt);
        } else if (left_behind(w, e, pkt)) {
            pkt->runs++;
            enqueue(w, pkt);
        } else if (pkt->job.op == ESP_ENCAP) {
            encap_done(w, e, pkt);
        } else {
            decap_done(w, e, pkt);
        }
    }
    if (w->send_count)
        send_burst(w);
    return n;
}

static void events(struct worker *w, struct esp_engine *e)
{
    struct esp_event ev[16];
    unsigned n;
    do {
        n = e->ops->events(e, ev, 16);
        for (unsigned i = 0; i < n; i++)
            sadb_event(w->p, e, &ev[i]);
    } while (n == 16 && (e == path_soft(w->p) || e == path_card(w->p)));
    if (e == path_card(w->p))
        sadb_retry(w->p);
}

static void pump_engine(struct worker *w, struct esp_engine *e)
{
    drain_backlog(w, e);
    do {
        while (finish(w, e))
            drain_backlog(w, e);
        events(w, e);
    } while (e == path_card(w->p) && path_card_failed(w->p) && finish(w, e)); // what FAILED gave back
}

// What a failed card never took goes after what it gave back.
void io_leave_card(struct worker *w)
{
    struct packet *pkt = w->backlog[PATH_CARD].head;
    list_init(&w->backlog[PATH_CARD]);
    for (struct packet *next; pkt; pkt = next) {
        next = pkt->next;
        enqueue(w, pkt);
    }
}

void io_pump(struct worker *w)
{
    if (path_card(w->p))
        pump_engine(w, path_card(w->p));
    if (path_card(w->p) && path_card_failed(w->p))
        card_leave(w->p);
    pump_engine(w, path_soft(w->p));
}

// Runs before every sleep: true while an engine has more to say.
static bool before_sleep(void *ctx)
{
    struct worker *w = ctx;
    bool more = false;
    io_pump(w);
    if (path_card(w->p))
        more |= esp_arm(path_card(w->p));
    more |= esp_arm(path_soft(w->p));
    return more;
}

static int add_fd(struct worker *w, struct loop_fd *f, int fd, void (*ready)(struct loop_fd *, uint32_t),
                  struct esp_error *err, const char *what)
{
    *f = (struct loop_fd){.fd = fd, .events = EPOLLIN, .ready = ready, .ctx = w};
    if (fd < 0)
        return 0;
    int rc = loop_add(w->p->loop, f);
    return rc < 0 ? esp_fail(err, rc, what, "cannot watch: %s", strerror(-rc)) : 0;
}

static uint64_t secret(void)
{
    uint64_t v = 0;
    RAND_bytes((unsigned char *)&v, sizeof(v));
    return v;
}

int io_open(struct worker *w, struct esp_error *err)
{
    uint32_t fit = w->p->env->settings->mtu + 160;
    w->buffer = fit > PATH_BUFFER ? (fit + 63) / 64 * 64 : PATH_BUFFER;
    int rc = esp_pool_create(&w->pool, 2 * PATH_JOBS, w->buffer, err);
    if (rc < 0)
        return rc;
    w->packets = calloc(PATH_JOBS, sizeof(*w->packets));
    if (!w->packets)
        return esp_fail(err, -ENOMEM, "packets", "out of memory");
    for (int i = 0; i < PATH_JOBS; i++) {
        struct packet *pkt = &w->packets[i];
        pkt->job.in = pkt->in = esp_pool_get(w->pool);
        pkt->job.out = pkt->out = esp_pool_get(w->pool);
        pkt->job.out_cap = w->buffer;
        pkt->next = w->free;
        w->free = pkt;
    }
    if (flows_init(&w->flows, secret()) < 0)
        return esp_fail(err, -ENOMEM, "flows", "out of memory");
    list_init(&w->backlog[PATH_SOFT]);
    list_init(&w->backlog[PATH_CARD]);
    w->reading = true;
    loop_set_idle(w->p->loop, before_sleep, w);
    if ((rc = add_fd(w, &w->tun_fd, w->p->env->tun, tun_ready, err, "TUN")) < 0 ||
        (rc = add_fd(w, &w->udp_fd, w->p->env->sock_esp_nat_t, udp_ready, err, "UDP socket")) < 0 ||
        (rc = add_fd(w, &w->udp6_fd, w->p->env->sock_esp6_nat_t, udp6_ready, err, "IPv6 UDP socket")) < 0 ||
        (rc = add_fd(w, &w->raw6_fd, w->p->env->sock_esp6, raw6_ready, err, "raw IPv6 ESP socket")) < 0)
        return rc;
    return add_fd(w, &w->raw_fd, w->p->env->sock_esp, raw_ready, err, "raw ESP socket");
}

void io_close(struct worker *w)
{
    esp_pool_destroy(w->pool);
    esp_pool_destroy(w->dma);
    free(w->packets);
    flows_free(&w->flows);
    w->pool = w->dma = NULL;
    w->packets = w->free = NULL;
}

// While no packet is free the rest waits in the network's own queues, as it does in a socket.
void path_arrived(struct path *p)
{
    struct worker *w = p->worker;
    if (w->reading)
        tun_ready(&w->tun_fd, EPOLLIN);
    if (w->reading)
        udp_ready(&w->udp_fd, EPOLLIN);
    if (w->reading)
        raw_ready(&w->raw_fd, EPOLLIN);
    if (w->reading && w->net.udp6_read)
        udp6_ready(&w->udp6_fd, EPOLLIN);
    if (w->reading && w->net.esp6_read)
        raw6_ready(&w->raw6_fd, EPOLLIN);
}
