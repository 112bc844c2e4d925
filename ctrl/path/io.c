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

static void watch(struct path *p, bool on)
{
    if (p->reading == on)
        return;
    p->reading = on;
    struct loop_fd *all[] = {&p->tun_fd, &p->udp_fd, &p->raw_fd, &p->udp6_fd, &p->raw6_fd};
    for (int i = 0; i < 5; i++) {
        if (all[i]->fd >= 0) {
            all[i]->events = on ? EPOLLIN : 0;
            loop_modify(p->loop, all[i]);
        }
    }
}

static struct packet *get(struct path *p)
{
    struct packet *pkt = p->free;
    if (!pkt) {
        watch(p, false);
        return NULL;
    }
    p->free = pkt->next;
    pkt->stamp = ++p->stamp;
    pkt->runs = 0;
    return pkt;
}

static void off_card(struct path *p, struct packet *pkt)
{
    p->on_card -= pkt->on_card;
    pkt->on_card = false;
}

// What a card may write to, at any time and wherever it likes, is only ever lent to it: the packet is copied
// there, and the result back once, before it is looked at.
static bool lend(struct path *p, struct packet *pkt)
{
    if (pkt->lent)
        return true;
    uint8_t *in = esp_pool_get(p->dma), *out = esp_pool_get(p->dma);
    if (!out) {
        if (in)
            esp_pool_put(p->dma, in);
        return false;
    }
    memcpy(in, pkt->in, pkt->job.in_len);
    pkt->job.in = in;
    pkt->job.out = out;
    pkt->lent = true;
    return true;
}

static void take_back(struct path *p, struct packet *pkt)
{
    if (!pkt->lent)
        return;
    esp_pool_put(p->dma, pkt->job.in);
    esp_pool_put(p->dma, pkt->job.out);
    pkt->job.in = pkt->in;
    pkt->job.out = pkt->out;
    pkt->lent = false;
}

static void copy_result(struct path *p, struct packet *pkt)
{
    struct esp_job *j = &pkt->job;
    if (!pkt->lent)
        return;
    if (j->out_len > p->buffer)
        j->status = ESP_STATUS_DMA_ERROR;
    if (j->status == ESP_STATUS_OK)
        memcpy(pkt->out, j->out, j->out_len);
    take_back(p, pkt);
}

static void release(struct path *p, struct packet *pkt)
{
    struct child *c = pkt->child;
    pkt->child = NULL;
    off_card(p, pkt);
    take_back(p, pkt);
    pkt->next = p->free;
    p->free = pkt;
    watch(p, true);
    if (c) {
        c->in_flight--;
        sadb_maybe_free(p, c);
    }
}

void io_drop(struct path *p, struct packet *pkt, enum esp_status why)
{
    uint64_t *count = pkt->job.op == ESP_ENCAP ? p->drop_out : p->drop_in;
    if (why < ESP_STATUS_BAD_OPCODE)
        count[why]++;
    if (pkt->child)
        pkt->child->out.drops++;
    release(p, pkt);
}

static uint32_t be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

// The inbound SA's child by the packet's SPI.
static struct child *owner_of(struct path *p, const struct packet *pkt)
{
    return sadb_by_spi(p, pkt->spi);
}

static struct packet_list *backlog_of(struct path *p, const struct esp_engine *e)
{
    return e == path_card(p) ? &p->engines[PATH_CARD].backlog : &p->engines[PATH_SOFT].backlog;
}

static void enqueue(struct path *p, struct packet *pkt);

// The SA that a packet was queued for may have left the engine since: the handle is taken when it goes.
static bool still_there(const struct packet *pkt, const struct esp_engine *e)
{
    if (pkt->job.op != ESP_ENCAP)
        return true;
    return pkt->child->out.state == HALF_READY && pkt->child->out.engine == e;
}

// Jobs of one engine go in the order in which they came: what a full engine did not take goes before anything
// newer.
static void drain_backlog(struct path *p, struct esp_engine *e)
{
    struct packet_list *l = backlog_of(p, e);
    bool card = e == path_card(p);
    while (l->head) {
        struct esp_job *jobs[PATH_BURST];
        unsigned n = 0;
        while (l->head && !still_there(l->head, e))
            enqueue(p, list_pop(l));
        for (struct packet *i = l->head; i && n < PATH_BURST && still_there(i, e); i = i->next) {
            if (card && !lend(p, i))
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
static bool is_new(const struct path *p, const struct packet *pkt)
{
    return pkt->stamp == p->stamp && !pkt->runs;
}

static void queue_full(struct path *p, struct packet *pkt)
{
    p->queue_full++;
    release(p, pkt);
}

static void wait_for(struct path *p, struct half *h, struct packet *pkt)
{
    off_card(p, pkt);
    if (is_new(p, pkt) && (p->waiting >= PATH_WAITING || h->waiting.count >= PATH_WAITING - p->waiting)) {
        queue_full(p, pkt);
    } else {
        list_insert(&h->waiting, pkt);
        p->waiting++;
    }
}

static void give_to(struct path *p, struct half *h, struct packet *pkt)
{
    off_card(p, pkt);
    if (h->engine == path_card(p)) {
        if (is_new(p, pkt) && p->on_card >= PATH_ON_CARD) {
            queue_full(p, pkt);
            return;
        }
        pkt->on_card = true;
        p->on_card++;
    }
    list_push(backlog_of(p, h->engine), pkt);
}

// Queues a packet to the engine that holds its SA; drain_backlog submits. An SA that moves keeps its packets
// waiting; one that is being deleted takes none.
static void enqueue(struct path *p, struct packet *pkt)
{
    struct half *h;
    take_back(p, pkt);
    if (pkt->job.op == ESP_ENCAP) {
        h = &pkt->child->out;
    } else {
        struct child *c = owner_of(p, pkt);
        if (!c) {
            io_drop(p, pkt, ESP_STATUS_NO_SA);
            return;
        }
        h = &c->in;
    }
    bool waits =
        h->state == HALF_ADDING || h->state == HALF_MOVING || (h->state == HALF_READY && h->waiting.count);
    if (waits && !h->child->dying) {
        wait_for(p, h, pkt);
    } else if (h->state == HALF_READY && !h->child->dying) {
        give_to(p, h, pkt);
    } else {
        io_drop(p, pkt, ESP_STATUS_SA_INVALID);
    }
}

void io_flush_waiting(struct path *p, struct half *h)
{
    struct packet *pkt = h->waiting.head;
    struct esp_engine *e = h->engine;
    p->waiting -= h->waiting.count;
    list_init(&h->waiting);
    for (struct packet *next; pkt; pkt = next) { // from here on h may be gone with its last packet
        next = pkt->next;
        enqueue(p, pkt);
    }
    if (e)
        drain_backlog(p, e);
}

// ---- out

static void note_acquire(struct path *p, struct policy *pol, const struct fields *f)
{
    uint64_t now = loop_now(p->loop);
    struct policy *base = policy_base(pol);
    if (!base->trap || (base->acquired_at && now - base->acquired_at < 1000))
        return;
    base->acquired_at = now;
    struct msg_ACQUIRE m = {.policy_id = base->id};
    fields_selectors(f, &m.local_ts, &m.remote_ts);
    snprintf(m.conn, sizeof(m.conn), "%s", base->conn);
    snprintf(m.child, sizeof(m.child), "%s", base->child);
    ipc_send(p->ike, MSG_ACQUIRE, &m);
}

static void protect(struct path *p, struct packet *pkt, struct policy *pol, const struct fields *f)
{
    struct child *c = spd_sa(pol);
    if (!c) {
        note_acquire(p, pol, f);
        p->no_sa_out++;
        io_drop(p, pkt, ESP_STATUS_POLICY);
        return;
    }
    pkt->child = c;
    c->in_flight++;
    pkt->inner_len = pkt->job.in_len;
    enqueue(p, pkt);
}

static void outbound(struct path *p, struct packet *pkt)
{
    struct fields f;
    struct policy *pol;
    pkt->job.op = ESP_ENCAP;
    if (!fields_parse(pkt->job.in, pkt->job.in_len, &f)) {
        io_drop(p, pkt, ESP_STATUS_BAD_IP);
        return;
    }
    enum spd_verdict v = spd_look_up(p, &f, false, &pol);
    if (f.first && f.ports)
        fragment_keep(&p->flows, &f, false, loop_now(p->loop));
    if (v == SPD_FOUND && pol->action == POLICY_PROTECT) {
        protect(p, pkt, pol, &f);
    } else if (v == SPD_NONE || (v == SPD_FOUND && pol->action == POLICY_BYPASS)) {
        past_us(p, pkt->job.in, pkt->job.in_len);
        release(p, pkt);
    } else {
        io_drop(p, pkt, ESP_STATUS_POLICY);
    }
}

static void tun_gone(struct path *p)
{
    LOGF(NET, 0, "the TUN device is gone; what is protected stays blocked");
    p->status = 1;
    loop_stop(p->loop);
}

static void tun_ready(struct loop_fd *f, uint32_t events)
{
    struct path *p = f->ctx;
    (void)events;
    for (int i = 0; i < PATH_BURST; i++) {
        struct packet *pkt = get(p);
        if (!pkt)
            break;
        int n = p->net.tun_read(p->net.ctx, pkt->job.in, p->buffer);
        if (n <= 0) {
            release(p, pkt);
            if (n == -EBADFD)
                tun_gone(p);
            break;
        }
        pkt->job.in_len = (uint32_t)n;
        outbound(p, pkt);
    }
    io_pump(p);
}

static socklen_t destination(const uint8_t *o, struct sockaddr_storage *to)
{
    struct addr a = {.family = o[0] >> 4};
    memcpy(a.a, o + (a.family == 4 ? 16 : 24), a.family == 4 ? 4 : 16);
    addr_to_sockaddr(&a, 0, to);
    return a.family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static void send_burst(struct path *p)
{
    struct mmsghdr msgs[PATH_BURST];
    struct iovec iov[PATH_BURST];
    struct sockaddr_storage to[PATH_BURST];
    unsigned n = p->send_count, done = 0;
    memset(msgs, 0, sizeof(msgs[0]) * n);
    for (unsigned i = 0; i < n; i++) {
        struct esp_job *j = &p->send_list[i]->job;
        iov[i] = (struct iovec){j->out, j->out_len};
        msgs[i].msg_hdr = (struct msghdr){.msg_name = &to[i],
                                          .msg_namelen = destination(j->out, &to[i]),
                                          .msg_iov = &iov[i],
                                          .msg_iovlen = 1};
    }
    while (done < n) {
        int rc = p->net.send(p->net.ctx, msgs + done, n - done);
        if (rc > 0) {
            done += (unsigned)rc;
            continue;
        }
        if (errno == EINTR)
            continue;
        p->send_errors++; // this one is lost as on any full or broken link; its sequence number is used up
        if (p->send_errors % 1000 == 1)
            LOGF(NET, 1, "cannot send an ESP packet: %s", strerror(errno));
        done++;
    }
    for (unsigned i = 0; i < n; i++)
        release(p, p->send_list[i]);
    p->send_count = 0;
}

static struct engine_count *count_of(struct path *p, const struct esp_engine *e)
{
    return e == path_soft(p) ? &p->engines[PATH_SOFT].count : &p->engines[PATH_CARD].count;
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

static void encap_done(struct path *p, struct esp_engine *e, struct packet *pkt)
{
    struct child *c = pkt->child;
    struct half *h = &c->out;
    struct engine_count *n = count_of(p, e);
    if (pkt->job.lease_low || pkt->job.status == ESP_STATUS_LEASE_END)
        sadb_lease_low(p, h);
    if (pkt->job.status == ESP_STATUS_LEASE_END &&
        !h->spent) { // it used no sequence number: again, when there are more
        pkt->runs++;
        if (h->state == HALF_READY && h->engine == e)
            wait_for(p, h, pkt);
        else
            enqueue(p, pkt);
        return;
    }
    if (pkt->job.status == ESP_STATUS_OK && !is_esp_of(h, &pkt->job)) {
        LOGF(ESP, 0, "%s gave back what is not ESP of SPI %08x, dropped", e->name, h->params.spi);
        pkt->job.status = ESP_STATUS_DMA_ERROR;
    }
    if (pkt->job.status != ESP_STATUS_OK) {
        if (pkt->job.status == ESP_STATUS_LEASE_END)
            sadb_spent(p, c);
        io_drop(p, pkt, pkt->job.status);
        return;
    }
    h->packets++;
    h->bytes += pkt->inner_len;
    h->used_at = loop_now(p->loop);
    h->last_seq = pkt->job.seq;
    n->packets_out++;
    n->bytes_out += pkt->inner_len;
    if (p->resume_from_us && e == path_soft(p)) {
        p->failover_resume_us = loop_now_us(p->loop) - p->resume_from_us;
        p->resume_from_us = 0;
    }
    p->send_list[p->send_count++] = pkt;
    if (p->send_count == PATH_BURST)
        send_burst(p);
}

// ---- in

// Something has come by one of the sockets, n octets of it behind the room for headers (0: they are there).
static void arrived(struct path *p, struct packet *pkt, int n, uint32_t room, const struct arrival *a,
                    bool udp)
{
    struct outer o;
    pkt->job.op = ESP_DECAP;
    pkt->job.in_len = room + (uint32_t)n;
    if (udp && n == 1 && pkt->job.in[room] == 0xff) { // RFC 3948 section 2.3
        p->keepalives++;
        release(p, pkt);
    } else if (udp && n < 8) {
        io_drop(p, pkt, ESP_STATUS_NOT_ESP);
    } else if (pkt->job.in_len > p->buffer || (room && a->cut) ||
               (room && !outer_put(pkt->job.in, a, udp, p->env->settings->port_nat_t, (uint32_t)n)) ||
               !outer_look(pkt->job.in, pkt->job.in_len, &o)) {
        io_drop(p, pkt, ESP_STATUS_TRUNCATED);
    } else {
        pkt->spi = be32(pkt->job.in + o.esp);
        enqueue(p, pkt);
    }
}

typedef int (*read_fn)(void *ctx, uint8_t *p, uint32_t cap, struct arrival *a);

static void read_datagrams(struct path *p, read_fn read_one, uint8_t family, bool udp)
{
    uint32_t room = outer_octets(family, udp);
    for (int i = 0; i < PATH_BURST && read_one; i++) {
        struct arrival a;
        struct packet *pkt = get(p);
        if (!pkt)
            break;
        int n = read_one(p->net.ctx, pkt->job.in + room, p->buffer - room, &a);
        if (n < 0) {
            release(p, pkt);
            break;
        }
        arrived(p, pkt, n, room, &a, udp);
    }
    io_pump(p);
}

static void udp_ready(struct loop_fd *f, uint32_t events)
{
    struct path *p = f->ctx;
    (void)events;
    read_datagrams(p, p->net.udp_read, 4, true);
}

static void udp6_ready(struct loop_fd *f, uint32_t events)
{
    struct path *p = f->ctx;
    (void)events;
    read_datagrams(p, p->net.udp6_read, 6, true);
}

static void raw6_ready(struct loop_fd *f, uint32_t events)
{
    struct path *p = f->ctx;
    (void)events;
    read_datagrams(p, p->net.esp6_read, 6, false);
}

static void raw_ready(struct loop_fd *f, uint32_t events)
{
    struct path *p = f->ctx;
    (void)events;
    for (int i = 0; i < PATH_BURST; i++) {
        struct packet *pkt = get(p);
        if (!pkt)
            break;
        int n = p->net.esp_read(p->net.ctx, pkt->job.in, p->buffer);
        if (n < 0) {
            release(p, pkt);
            break;
        }
        arrived(p, pkt, n, 0, NULL, false);
    }
    io_pump(p);
}

static void traffic_event(struct path *p, struct child *c)
{
    uint64_t now = loop_now(p->loop);
    c->in.used_at = now;
    if (now - c->traffic_event_at < 1000)
        return;
    c->traffic_event_at = now;
    ipc_send(p->ike, MSG_CHILD_EVENT,
             &(struct msg_CHILD_EVENT){.child_id = c->c.child_id, .event = CHILD_EVENT_TRAFFIC_IN});
}

// RFC 7296 section 2.23: the newest authenticated packet came from elsewhere. ike decides.
static void rebound_event(struct path *p, struct child *c, const struct packet *pkt)
{
    struct outer o;
    uint64_t now = loop_now(p->loop);
    if ((c->rebound_event_at && now - c->rebound_event_at < 1000) ||
        !outer_look(pkt->job.in, pkt->job.in_len, &o))
        return;
    c->rebound_event_at = now;
    ipc_send(p->ike, MSG_CHILD_EVENT,
             &(struct msg_CHILD_EVENT){.child_id = c->c.child_id,
                                       .event = CHILD_EVENT_REBOUND,
                                       .remote = o.src,
                                       .remote_port = o.sport});
}

static bool allowed_in(struct path *p, const struct child *c, const struct packet *pkt)
{
    struct fields f;
    if (!fields_parse(pkt->job.out, pkt->job.out_len, &f) || !spd_lets_in(p, c, &f))
        return false;
    if (f.first && f.ports)
        fragment_keep(&p->flows, &f, true, loop_now(p->loop));
    return true;
}

static void decap_done(struct path *p, struct esp_engine *e, struct packet *pkt)
{
    struct child *c = owner_of(p, pkt);
    struct engine_count *n = count_of(p, e);
    if (!c || pkt->job.status != ESP_STATUS_OK) {
        if (c)
            c->in.drops++;
        io_drop(p, pkt, c || pkt->job.status != ESP_STATUS_OK ? pkt->job.status : ESP_STATUS_NO_SA);
        return;
    }
    traffic_event(p, c);
    if (pkt->job.seq > c->in.last_seq) {
        c->in.last_seq = pkt->job.seq;
        if (pkt->job.src_changed)
            rebound_event(p, c, pkt);
    }
    if (!allowed_in(p, c, pkt)) {
        c->in.drops++;
        io_drop(p, pkt, ESP_STATUS_POLICY);
        return;
    }
    c->in.packets++;
    c->in.bytes += pkt->job.out_len;
    n->packets_in++;
    n->bytes_in += pkt->job.out_len;
    if (p->net.tun_write(p->net.ctx, pkt->job.out, pkt->job.out_len) < 0)
        p->tun_errors++;
    release(p, pkt);
}

// ---- engines

static void limits(struct path *p, struct packet *pkt)
{
    struct child *c = pkt->job.op == ESP_ENCAP ? pkt->child : owner_of(p, pkt);
    bool hard = pkt->job.status == ESP_STATUS_HARD_LIMIT || pkt->job.status == ESP_STATUS_SEQ_OVERFLOW;
    uint8_t event = hard ? CHILD_EVENT_HARD_LIMIT : pkt->job.soft_limit ? CHILD_EVENT_SOFT_LIMIT : 0;
    if (!c || !event || c->limit_event >= event)
        return;
    c->limit_event = event; // once each
    ipc_send(p->ike, MSG_CHILD_EVENT, &(struct msg_CHILD_EVENT){.child_id = c->c.child_id, .event = event});
}

static void events(struct path *p, struct esp_engine *e);

// Seen by nobody: again, in the engine that has the SA now. The card's failure is taken note of first.
static void run_again(struct path *p, struct esp_engine *e, struct packet *pkt)
{
    if (!path_card_failed(p))
        events(p, e);
    pkt->runs++;
    p->rerun++;
    enqueue(p, pkt);
}

// It met an SA that had just left this engine for another: no number was spent and nobody has seen it.
static bool left_behind(struct path *p, const struct esp_engine *e, const struct packet *pkt)
{
    enum esp_status st = pkt->job.status;
    struct child *c = pkt->job.op == ESP_ENCAP ? pkt->child : owner_of(p, pkt);
    if (!c || pkt->runs >= PATH_RUNS ||
        (st != ESP_STATUS_SA_DRAINING && st != ESP_STATUS_SA_INVALID && st != ESP_STATUS_NO_SA))
        return false;
    const struct half *h = pkt->job.op == ESP_ENCAP ? &c->out : &c->in;
    return h->state == HALF_MOVING || (h->engine && h->engine != e);
}

static unsigned finish(struct path *p, struct esp_engine *e)
{
    struct esp_job *jobs[PATH_BURST];
    unsigned n = esp_poll(e, jobs, PATH_BURST);
    if (n && e == path_card(p) && jobs[0]->status != ESP_STATUS_ABORTED)
        p->card_last_us = loop_now_us(p->loop);
    for (unsigned i = 0; i < n; i++) {
        struct packet *pkt = (struct packet *)jobs[i];
        copy_result(p, pkt);
        limits(p, pkt);
        if (pkt->job.status == ESP_STATUS_ABORTED && e == path_card(p) && pkt->runs < PATH_RUNS) {
            run_again(p, e, pkt);
        } else if (left_behind(p, e, pkt)) {
            pkt->runs++;
            enqueue(p, pkt);
        } else if (pkt->job.op == ESP_ENCAP) {
            encap_done(p, e, pkt);
        } else {
            decap_done(p, e, pkt);
        }
    }
    if (p->send_count)
        send_burst(p);
    return n;
}

static void events(struct path *p, struct esp_engine *e)
{
    struct esp_event ev[16];
    unsigned n;
    do {
        n = e->ops->events(e, ev, 16);
        for (unsigned i = 0; i < n; i++)
            sadb_event(p, e, &ev[i]);
    } while (n == 16 && (e == path_soft(p) || e == path_card(p)));
    if (e == path_card(p))
        sadb_retry(p);
}

static void pump_engine(struct path *p, struct esp_engine *e)
{
    drain_backlog(p, e);
    do {
        while (finish(p, e))
            drain_backlog(p, e);
        events(p, e);
    } while (e == path_card(p) && path_card_failed(p) && finish(p, e)); // what FAILED gave back
}

// What a failed card never took goes after what it gave back.
void io_leave_card(struct path *p)
{
    struct packet *pkt = p->engines[PATH_CARD].backlog.head;
    list_init(&p->engines[PATH_CARD].backlog);
    for (struct packet *next; pkt; pkt = next) {
        next = pkt->next;
        enqueue(p, pkt);
    }
}

void io_pump(struct path *p)
{
    if (path_card(p))
        pump_engine(p, path_card(p));
    if (path_card(p) && path_card_failed(p))
        card_leave(p);
    pump_engine(p, path_soft(p));
}

// Runs before every sleep: true while an engine has more to say.
static bool before_sleep(void *ctx)
{
    struct path *p = ctx;
    bool more = false;
    io_pump(p);
    if (path_card(p))
        more |= esp_arm(path_card(p));
    more |= esp_arm(path_soft(p));
    return more;
}

static int add_fd(struct path *p, struct loop_fd *f, int fd, void (*ready)(struct loop_fd *, uint32_t),
                  struct esp_error *err, const char *what)
{
    *f = (struct loop_fd){.fd = fd, .events = EPOLLIN, .ready = ready, .ctx = p};
    if (fd < 0)
        return 0;
    int rc = loop_add(p->loop, f);
    return rc < 0 ? esp_fail(err, rc, what, "cannot watch: %s", strerror(-rc)) : 0;
}

static uint64_t secret(void)
{
    uint64_t v = 0;
    RAND_bytes((unsigned char *)&v, sizeof(v));
    return v;
}

int io_open(struct path *p, struct esp_error *err)
{
    uint32_t fit = p->env->settings->mtu + 160;
    p->buffer = fit > PATH_BUFFER ? (fit + 63) / 64 * 64 : PATH_BUFFER;
    int rc = esp_pool_create(&p->pool, 2 * PATH_JOBS, p->buffer, err);
    if (rc < 0)
        return rc;
    p->packets = calloc(PATH_JOBS, sizeof(*p->packets));
    if (!p->packets)
        return esp_fail(err, -ENOMEM, "packets", "out of memory");
    for (int i = 0; i < PATH_JOBS; i++) {
        struct packet *pkt = &p->packets[i];
        pkt->job.in = pkt->in = esp_pool_get(p->pool);
        pkt->job.out = pkt->out = esp_pool_get(p->pool);
        pkt->job.out_cap = p->buffer;
        pkt->next = p->free;
        p->free = pkt;
    }
    if (flows_init(&p->flows, secret()) < 0)
        return esp_fail(err, -ENOMEM, "flows", "out of memory");
    list_init(&p->engines[PATH_SOFT].backlog);
    list_init(&p->engines[PATH_CARD].backlog);
    p->reading = true;
    loop_set_idle(p->loop, before_sleep, p);
    if ((rc = add_fd(p, &p->tun_fd, p->env->tun, tun_ready, err, "TUN")) < 0 ||
        (rc = add_fd(p, &p->udp_fd, p->env->sock_esp_nat_t, udp_ready, err, "UDP socket")) < 0 ||
        (rc = add_fd(p, &p->udp6_fd, p->env->sock_esp6_nat_t, udp6_ready, err, "IPv6 UDP socket")) < 0 ||
        (rc = add_fd(p, &p->raw6_fd, p->env->sock_esp6, raw6_ready, err, "raw IPv6 ESP socket")) < 0)
        return rc;
    return add_fd(p, &p->raw_fd, p->env->sock_esp, raw_ready, err, "raw ESP socket");
}

// While no packet is free the rest waits in the network's own queues, as it does in a socket.
void path_arrived(struct path *p)
{
    if (p->reading)
        tun_ready(&p->tun_fd, EPOLLIN);
    if (p->reading)
        udp_ready(&p->udp_fd, EPOLLIN);
    if (p->reading)
        raw_ready(&p->raw_fd, EPOLLIN);
    if (p->reading && p->net.udp6_read)
        udp6_ready(&p->udp6_fd, EPOLLIN);
    if (p->reading && p->net.esp6_read)
        raw6_ready(&p->raw6_fd, EPOLLIN);
}
