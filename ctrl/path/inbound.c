// SPDX-License-Identifier: Apache-2.0
// The way in: socket -> SA by SPI -> engine, and from the engine by its policy and selectors to the TUN.
#include "ctrl/path/io.h"
#include "ctrl/path/outer.h"

struct arrivals { // ESP and AH, of a burst
    unsigned count;
    struct packet *pkt[PATH_BURST];
    uint32_t spi[PATH_BURST];
};

// Something has come by one of the sockets, n octets of it behind the room for headers (0: they are there).
static void arrived(struct worker *w, struct packet *pkt, int n, uint32_t room, const struct arrival *a,
                    bool udp, struct arrivals *all)
{
    struct outer o;
    pkt->job.op = ESP_DECAP;
    pkt->job.in_len = room + (uint32_t)n;
    if (udp && n == 1 && pkt->job.in[room] == 0xff) { // RFC 3948 section 2.3
        w->keepalives++;
        packet_release(w, pkt);
    } else if (udp && n < 8) {
        io_drop(w, pkt, ESP_STATUS_NOT_ESP);
    } else if (pkt->job.in_len > w->buffer || (room && a->cut) ||
               (room && !outer_put(pkt->job.in, a, udp, w->p->env->settings->port_nat_t, (uint32_t)n)) ||
               !outer_look(pkt->job.in, pkt->job.in_len, &o)) {
        io_drop(w, pkt, ESP_STATUS_TRUNCATED);
    } else {
        pkt->spi = io_be32(pkt->job.in + o.esp);
        all->spi[all->count] = pkt->spi;
        all->pkt[all->count++] = pkt;
    }
}

static void queue_all(struct worker *w, const struct arrivals *all)
{
    look_up_spis(w->p, all->spi, all->count);
    for (unsigned i = 0; i < all->count; i++) {
        packet_arrives(w, all->pkt[i]);
        queue_put(w, all->pkt[i]);
    }
    io_pump(w);
}

typedef int (*read_fn)(void *ctx, uint8_t *p, uint32_t cap, struct arrival *a);

static void read_datagrams(struct worker *w, read_fn read_one, uint8_t family, bool udp)
{
    uint32_t room = outer_octets(family, udp);
    struct arrivals all;
    all.count = 0;
    for (int i = 0; i < PATH_BURST && read_one; i++) {
        struct arrival a;
        struct packet *pkt = packet_get(w);
        if (!pkt)
            break;
        int n = read_one(w->net.ctx, pkt->job.in + room, w->buffer - room, &a);
        if (n < 0) {
            packet_release(w, pkt);
            break;
        }
        arrived(w, pkt, n, room, &a, udp, &all);
    }
    queue_all(w, &all);
}

void in_udp(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    read_datagrams(w, w->net.udp_read, 4, true);
}

void in_udp6(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    read_datagrams(w, w->net.udp6_read, 6, true);
}

void in_raw6(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    read_datagrams(w, w->net.esp6_read, 6, false);
}

void in_ah6(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    read_datagrams(w, w->net.ah6_read, 6, false);
}

static void read_packets(struct worker *w, int (*read_one)(void *ctx, uint8_t *p, uint32_t cap))
{
    struct arrivals all;
    all.count = 0;
    for (int i = 0; i < PATH_BURST; i++) {
        struct packet *pkt = packet_get(w);
        if (!pkt)
            break;
        int n = read_one(w->net.ctx, pkt->job.in, w->buffer);
        if (n < 0) {
            packet_release(w, pkt);
            break;
        }
        arrived(w, pkt, n, 0, NULL, false, &all);
    }
    queue_all(w, &all);
}

void in_raw(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    read_packets(w, w->net.esp_read);
}

void in_ah(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    read_packets(w, w->net.ah_read);
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

enum entry { REFUSED, LET_IN, UNKNOWN }; // UNKNOWN: its first fragment decides, which has not come

static enum entry judge(struct worker *w, const struct child *c, struct look_up *l)
{
    if (look_up_lets_in(w, c, l))
        return LET_IN;
    return l->ip && l->f.later && l->f.unseen ? UNKNOWN : REFUSED;
}

static void let_in(struct worker *w, struct child *c, struct packet *pkt)
{
    c->in.packets++;
    c->in.bytes += pkt->job.out_len;
    pkt->opened_by->packets_in++;
    pkt->opened_by->bytes_in += pkt->job.out_len;
    tun_put(w, pkt->job.out, pkt->job.out_len);
    packet_release(w, pkt);
}

void in_take(struct worker *w, struct packet *pkt, struct look_up *l)
{
    struct child *c = packet_owner(w, pkt);
    enum entry e = c ? judge(w, c, l) : REFUSED;
    if (c && e == LET_IN) {
        bool first = l->f.first && l->f.ports;
        if (first)
            fragment_keep(&w->flows, &l->f, true, loop_now(w->p->loop));
        let_in(w, c, pkt);
        if (first)
            orphans_found(w, &l->f, true);
    } else if (e == UNKNOWN) {
        orphan_keep(w, pkt);
    } else {
        if (c)
            c->in.drops++;
        io_drop(w, pkt, ESP_STATUS_POLICY);
    }
}

void in_done(struct worker *w, struct esp_engine *e, struct packet *pkt, struct look_up *l)
{
    struct child *c = packet_owner(w, pkt);
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
    if (!c->aside)
        c->out_after = 0; // its peer has it, and sends by it
    if (pkt->job.seq > c->in.last_seq) {
        c->in.last_seq = pkt->job.seq;
        if (pkt->job.src_changed)
            rebound_event(w, c, pkt);
    }
    pkt->opened_by = io_count(w, e);
    in_take(w, pkt, l);
}
