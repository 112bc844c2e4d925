// SPDX-License-Identifier: Apache-2.0
// Bursts of what comes by the sockets: datagrams that were put together on the way are taken apart, outer
// headers that the kernel has taken off are put back, and each packet goes on to its SA.
#include <string.h>

#include "ctrl/path/io.h"
#include "ctrl/path/outer.h"

struct arrivals { // ESP and AH, of a burst
    struct worker *w;
    enum path_socket socket;
    uint32_t room; // for the headers that the kernel has taken off
    unsigned count, all;
    struct packet *pkt[PATH_BURST];
    uint32_t spi[PATH_BURST];
};

static bool is_udp(enum path_socket s)
{
    return s == PATH_UDP || s == PATH_UDP6;
}

static void pass_on(struct arrivals *t)
{
    look_up_spis(t->w->p, t->spi, t->count);
    for (unsigned i = 0; i < t->count; i++) {
        packet_arrives(t->w, t->pkt[i]);
        queue_put(t->w, t->pkt[i]);
    }
    t->count = 0;
}

// IKE that has come together with ESP of the same peer, before or behind it: the two share a port, and what
// puts datagrams together looks at addresses, ports and lengths alone. The marker in front of it is not an
// SPI (RFC 3948 section 2.2); behind the marker stands a header with the message's length (RFC 7296
// section 3.1), without which it is nothing that ike could read.
static bool is_ike(const uint8_t *p, uint32_t n)
{
    enum { MARKER = 4, LENGTH_AT = 24, HEADER = 28 };
    return n >= MARKER + HEADER && !io_be32(p) && io_be32(p + MARKER + LENGTH_AT) == n - MARKER;
}

// As a socket does it, it is lost where ike does not keep up.
static void to_ike(struct worker *w, const uint8_t *p, uint32_t n, const struct arrival *a)
{
    bool told = note_of_stranger(w, MSG_IKE_DATAGRAM,
                                 &(struct msg_IKE_DATAGRAM){.local = a->to,
                                                            .remote = a->from,
                                                            .remote_port = a->from_port,
                                                            .interface = a->index,
                                                            .datagram = slice_of(p + 4, n - 4)});
    w->ike_handed_on += told;
    w->ike_lost += !told;
}

// Of n octets behind the room for headers, 0: there is none. Behind headers of ours it is where it always is.
static uint32_t spi_at(const struct arrivals *t, const struct packet *pkt, uint32_t n,
                       const struct arrival *a)
{
    uint32_t in_front = a->ah ? 4 : 0;
    struct outer o;
    if (t->room)
        return n >= in_front + 8 ? t->room + in_front : 0;
    return outer_look(pkt->job.in, pkt->job.in_len, &o) ? o.esp : 0;
}

// n octets of it behind the room for headers.
static void arrived(struct arrivals *t, struct packet *pkt, uint32_t n, const struct arrival *a)
{
    struct worker *w = t->w;
    uint32_t room = t->room;
    bool udp = is_udp(t->socket), fits = n <= w->buffer - room && !a->cut;
    uint32_t at;
    t->all++;
    pkt->job.op = ESP_DECAP;
    pkt->job.in_len = room + n;
    if (udp && n == 1 && pkt->job.in[room] == 0xff) { // RFC 3948 section 2.3
        w->keepalives++;
        packet_release(w, pkt);
    } else if (udp && fits && is_ike(pkt->job.in + room, n)) {
        to_ike(w, pkt->job.in + room, n, a);
        packet_release(w, pkt);
    } else if (udp && (n < 8 || !io_be32(pkt->job.in + room))) {
        io_drop(w, pkt, ESP_STATUS_NOT_ESP);
    } else if (!fits || (room && !outer_put(pkt->job.in, a, udp, w->p->set.port_nat_t, n)) ||
               !(at = spi_at(t, pkt, n, a))) {
        io_drop(w, pkt, ESP_STATUS_TRUNCATED);
    } else {
        pkt->spi = io_be32(pkt->job.in + at);
        t->spi[t->count] = pkt->spi;
        t->pkt[t->count++] = pkt;
    }
}

// Where there is no room in the burst, or no packet is free, those that are on their way may make some.
static struct packet *another(struct arrivals *t)
{
    struct packet *pkt = t->count < PATH_BURST ? packet_get(t->w) : NULL;
    if (pkt)
        return pkt;
    pass_on(t);
    io_pump(t->w);
    return packet_get(t->w);
}

// The first of them stands where it belongs. What came with it there is put in front of the rest.
static void apart(struct arrivals *t, struct packet *pkt, const struct datagram *d)
{
    struct worker *w = t->w;
    uint32_t seg = d->segment, there = d->len < d->cap ? d->len : d->cap, left = d->len - seg;
    const uint8_t *next = memcpy(d->more - (there - seg), d->p + seg, there - seg);
    w->taken_apart++;
    arrived(t, pkt, seg, &d->a);
    for (uint32_t n; left; left -= n, next += n) {
        n = left < seg ? left : seg;
        if (!(pkt = another(t))) {
            w->queue_full += (left + seg - 1) / seg;
            return;
        }
        memcpy(pkt->job.in + t->room, next, n);
        arrived(t, pkt, n, &d->a);
    }
}

// No packet of ours is as long as those, but a message of IKE may be.
static void too_long(struct arrivals *t, struct packet *pkt, const struct datagram *d)
{
    struct worker *w = t->w;
    const uint8_t *next = memcpy(d->more - d->cap, d->p, d->cap);
    for (uint32_t left = d->len, n; left; left -= n, next += n) {
        n = left < d->segment ? left : d->segment;
        t->all++;
        if (is_ike(next, n))
            to_ike(w, next, n, &d->a);
        else
            w->drop_in[ESP_STATUS_TRUNCATED]++;
    }
    packet_release(w, pkt);
}

static void one(struct arrivals *t, struct packet *pkt, struct datagram *d)
{
    d->a.ah = t->socket == PATH_AH6;
    if (t->count == PATH_BURST) {
        pass_on(t);
        io_pump(t->w);
    }
    if (!d->segment) {
        arrived(t, pkt, d->len, &d->a);
    } else if (d->segment <= d->cap && !d->a.cut) {
        apart(t, pkt, d);
    } else if (!d->a.cut) {
        too_long(t, pkt, d);
    } else {
        t->all++;
        t->w->drop_in[ESP_STATUS_TRUNCATED] += (d->len + d->segment - 1) / d->segment - 1;
        pkt->job.op = ESP_DECAP;
        io_drop(t->w, pkt, ESP_STATUS_TRUNCATED);
    }
}

static unsigned make_room(const struct arrivals *t, unsigned most, struct datagram *d, struct packet **pkt)
{
    struct worker *w = t->w;
    unsigned n = 0;
    for (; n < most && (pkt[n] = packet_get(w)); n++) {
        d[n] = (struct datagram){.p = pkt[n]->job.in + t->room, .cap = w->buffer - t->room};
        if (is_udp(t->socket)) {
            d[n].more = w->together + n * (size_t)(w->buffer + NET_TOGETHER) + w->buffer;
            d[n].more_cap = NET_TOGETHER;
        }
    }
    return n;
}

static void receive(struct worker *w, enum path_socket s)
{
    static const uint8_t family[PATH_SOCKETS] = {4, 6, 0, 6, 0, 6}; // 0: its header comes too
    struct datagram d[NET_RECEIVE_MAX];
    struct packet *pkt[NET_RECEIVE_MAX];
    struct arrivals t;
    unsigned n, turn = 0, most = w->came[s] + 2; // room is made for little more than came the last time
    int got;
    t.w = w;
    t.socket = s;
    t.room = family[s] ? outer_octets(family[s], is_udp(s)) : 0;
    t.count = t.all = 0;
    do {
        n = make_room(&t, most < NET_RECEIVE_MAX ? most : NET_RECEIVE_MAX, d, pkt);
        got = n ? w->net.receive(w->net.ctx, s, d, n) : 0;
        unsigned came = got <= 0 ? 0 : (unsigned)got < n ? (unsigned)got : n;
        for (unsigned i = came; i < n; i++) // those that came together want them
            packet_release(w, pkt[i]);
        for (unsigned i = 0; i < came; i++)
            one(&t, pkt[i], &d[i]);
        turn += came;
        most = NET_RECEIVE_MAX;
    } while (n && got == (int)n && t.all < PATH_BURST);
    w->came[s] = (uint8_t)(turn < NET_RECEIVE_MAX ? turn : NET_RECEIVE_MAX);
    pass_on(&t);
    io_pump(w);
}

void in_udp(struct loop_fd *f, uint32_t events)
{
    (void)events;
    receive(f->ctx, PATH_UDP);
}

void in_udp6(struct loop_fd *f, uint32_t events)
{
    (void)events;
    receive(f->ctx, PATH_UDP6);
}

void in_raw(struct loop_fd *f, uint32_t events)
{
    (void)events;
    receive(f->ctx, PATH_ESP);
}

void in_raw6(struct loop_fd *f, uint32_t events)
{
    (void)events;
    receive(f->ctx, PATH_ESP6);
}

void in_ah(struct loop_fd *f, uint32_t events)
{
    (void)events;
    receive(f->ctx, PATH_AH);
}

void in_ah6(struct loop_fd *f, uint32_t events)
{
    (void)events;
    receive(f->ctx, PATH_AH6);
}
