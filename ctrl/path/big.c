// SPDX-License-Identifier: Apache-2.0
// A TUN with IFF_VNET_HDR: one read brings up to 64 KiB of a TCP connection or of a sender of UDP, which is
// cut into the packets that the kernel would have made of it, and one write takes as many that follow one
// another. Each packet goes through policy, SA and engine by itself, as any other.
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "ctrl/path/io.h"

// ---- out

struct taken {
    struct worker *w;
    uint8_t vti;
    unsigned count, all; // of these; since the loop was left for us
    struct packet *pkt[PATH_BURST];
};

static void add(struct taken *t, struct packet *pkt, uint32_t len)
{
    pkt->job.in_len = len;
    pkt->vti = t->vti;
    t->pkt[t->count++] = pkt;
    t->all++;
}

static void pass_on(struct taken *t)
{
    out_burst(t->w, t->pkt, t->count);
    t->count = 0;
}

// Where none is free, those that are on their way may give theirs back.
static struct packet *another(struct taken *t)
{
    struct packet *pkt = t->count < PATH_BURST ? packet_get(t->w) : NULL;
    if (pkt)
        return pkt;
    pass_on(t);
    io_pump(t->w);
    return packet_get(t->w);
}

static void refuse(struct worker *w, struct packet *pkt)
{
    pkt->job.op = ESP_ENCAP;
    io_drop(w, pkt, ESP_STATUS_BAD_IP);
}

static void cut(struct taken *t, struct packet *pkt, const struct virtio_net_hdr *h, uint32_t len)
{
    struct worker *w = t->w;
    struct gso g;
    memcpy(w->big, pkt->job.in, len < w->buffer ? len : w->buffer);
    if (gso_begin(&g, h, w->big, len) < 0) {
        refuse(w, pkt);
        return;
    }
    w->big_reads++;
    for (;;) {
        uint32_t n = gso_next(&g, pkt->job.in, w->buffer);
        if (!n) { // longer than the TUN's MTU
            refuse(w, pkt);
            return;
        }
        add(t, pkt, n);
        if (!gso_left(&g))
            return;
        if (!(pkt = another(t))) {
            w->queue_full += gso_left(&g);
            return;
        }
    }
}

static void take(struct taken *t, struct packet *pkt, const struct virtio_net_hdr *h, uint32_t len)
{
    if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        cut(t, pkt, h, len);
    } else if (len > t->w->buffer || gso_complete(h, pkt->job.in, len) < 0) {
        refuse(t->w, pkt);
    } else {
        add(t, pkt, len);
    }
}

// Packets that come one by one cost a call each, and another one that says that there is no more. Of a TUN
// that has given one packet in each of the last turns no more is asked for, but now and then: if there is, it
// says so at once.
static bool was_alone(struct worker *w, const struct virtio_net_hdr *h)
{
    enum { TURNS = 4, ASK_EVERY = 8 };
    return w->alone >= TURNS && h->gso_type == VIRTIO_NET_HDR_GSO_NONE && ++w->turns % ASK_EVERY;
}

int big_ready(struct worker *w, const struct path_tun *tun, uint8_t vti)
{
    struct taken t = {.w = w, .vti = vti};
    struct virtio_net_hdr h;
    struct packet *pkt;
    unsigned reads = 0;
    int n = 1;
    while (t.all < PATH_BURST && (pkt = another(&t))) {
        n = tun->read_big(tun, &h, pkt->job.in, w->buffer, w->big + w->buffer, GSO_MAX + 1);
        if (n <= 0) {
            packet_release(w, pkt);
            w->alone = reads == 1 ? w->alone + 1 : 0;
            break;
        }
        take(&t, pkt, &h, (uint32_t)n);
        if (!reads++ && was_alone(w, &h))
            break;
    }
    if (reads > 1) // also where the burst is full before there is no more
        w->alone = 0;
    pass_on(&t);
    io_pump(w);
    return n;
}

// ---- in

static void write_one(struct worker *w, uint8_t vti, const uint8_t *p, uint32_t len)
{
    const struct path_tun *tun = vti_tun(w, vti);
    if (tun->write(tun, p, len) < 0)
        w->tun_errors++;
}

static void flush(struct worker *w, struct gro *g)
{
    struct virtio_net_hdr h;
    unsigned count = g->count;
    if (!g->len)
        return;
    uint32_t len = gro_end(g, &h);
    const struct path_tun *tun = vti_tun(w, g->vti);
    if (tun->write_big(tun, &h, g->buf, len) < 0)
        w->tun_errors += count;
    else
        w->big_writes += count > 1;
}

void tun_flush(struct worker *w)
{
    for (int i = 0; i < GRO_FLOWS; i++)
        flush(w, &w->gro[i]);
}

// Nothing overtakes what goes between the same two.
static void put_alone(struct worker *w, uint8_t vti, const uint8_t *p, uint32_t len)
{
    for (int i = 0; i < GRO_FLOWS; i++)
        if (gro_same_ends(&w->gro[i], p, len))
            flush(w, &w->gro[i]);
    write_one(w, vti, p, len);
}

// Its flow's; otherwise an empty one, or else the last: flows in excess take turns there and disturb no
// other.
static struct gro *place_for(struct worker *w, uint8_t vti, const uint8_t *p, const struct gro_place *at)
{
    struct gro *empty = NULL;
    for (int i = 0; i < GRO_FLOWS; i++) {
        if (w->gro[i].vti == vti && gro_same_flow(&w->gro[i], p, at))
            return &w->gro[i];
        if (!w->gro[i].len && !empty)
            empty = &w->gro[i];
    }
    return empty ? empty : &w->gro[GRO_FLOWS - 1];
}

void tun_put(struct worker *w, uint8_t vti, const uint8_t *p, uint32_t len)
{
    const struct path_tun *tun = vti_tun(w, vti);
    struct gro_place at;
    if (!w->gro->buf || !tun->write_big) {
        write_one(w, vti, p, len);
    } else if (!gro_look(p, len, &at) || (at.proto == IPPROTO_UDP && !tun->udp_big)) {
        put_alone(w, vti, p, len);
    } else {
        struct gro *g = place_for(w, vti, p, &at);
        if (g->vti == vti && gro_append(g, p, len, &at))
            return;
        flush(w, g);
        gro_start(g, p, len, &at);
        g->vti = vti;
    }
}
