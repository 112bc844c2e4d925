// SPDX-License-Identifier: Apache-2.0
// See gso.h: putting together. What has anything unusual (options of IP, extension headers, fragments, other
// flags of TCP than ACK and PSH, UDP without a checksum) is left alone.
#include <netinet/in.h>
#include <string.h>

#include "ctrl/path/gso.h"
#include "ctrl/path/gso_sum.h"

enum { TCP_PSH = 8, TCP_ACK = 0x10, DF = 0x40, MORE_AND_OFFSET = 0x3fff, UDP_HEADER = 8 };

// Where TCP or UDP begins, 0: it is not for this.
static uint32_t plain(const uint8_t *p, uint32_t len, uint8_t *proto)
{
    if (len >= 28 && p[0] == 0x45) {
        *proto = p[9];
        return get16(p + 2) == len && !(get16(p + 6) & MORE_AND_OFFSET) &&
                       sum_fold(sum_add(0, p, 20)) == 0xffff
                   ? 20
                   : 0;
    }
    *proto = len >= 48 ? p[6] : 0;
    return len >= 48 && p[0] >> 4 == 6 && get16(p + 4) + 40u == len ? 40 : 0;
}

static uint32_t behind_tcp(const uint8_t *t, uint32_t len)
{
    uint32_t n = len >= 20 ? 4u * (t[12] >> 4) : 0;
    return n >= 20 && n < len && !(t[12] & 15) && (t[13] & ~TCP_PSH) == TCP_ACK ? n : 0;
}

// A datagram without a checksum would get one.
static uint32_t behind_udp(const uint8_t *t, uint32_t len)
{
    return len > UDP_HEADER && get16(t + 4) == len && get16(t + 6) ? UDP_HEADER : 0;
}

bool gro_look(const uint8_t *p, uint32_t len, struct gro_place *at)
{
    uint8_t proto;
    uint32_t transport = len <= GSO_MAX ? plain(p, len, &proto) : 0;
    if (!transport || (proto != IPPROTO_TCP && proto != IPPROTO_UDP))
        return false;
    const uint8_t *t = p + transport;
    uint32_t n = len - transport, header = proto == IPPROTO_TCP ? behind_tcp(t, n) : behind_udp(t, n);
    *at = (struct gro_place){proto, transport, transport + header};
    return header && sum_fold(sum_add(sum_pseudo(p, proto, n), t, n)) == 0xffff;
}

static bool pushed(const struct gro *g, const uint8_t *p)
{
    return g->proto == IPPROTO_TCP && p[g->transport + 13] & TCP_PSH;
}

void gro_start(struct gro *g, const uint8_t *p, uint32_t len, const struct gro_place *at)
{
    memcpy(g->buf, p, len);
    g->len = len;
    g->proto = at->proto;
    g->transport = at->transport;
    g->payload = at->payload;
    g->size = len - g->payload;
    g->count = 1;
    g->closed = pushed(g, p);
}

bool gro_same_flow(const struct gro *g, const uint8_t *p, const struct gro_place *at)
{
    return g->len && g->proto == at->proto && g->transport == at->transport &&
           !memcmp(p + at->transport, g->buf + g->transport, 4) &&
           (g->transport == 40 ? !memcmp(p + 8, g->buf + 8, 32) : !memcmp(p + 12, g->buf + 12, 8));
}

bool gro_same_ends(const struct gro *g, const uint8_t *p, uint32_t len)
{
    if (!g->len || len < 20 || p[0] >> 4 != g->buf[0] >> 4)
        return false;
    return g->transport == 40 ? len >= 40 && !memcmp(p + 8, g->buf + 8, 32) : !memcmp(p + 12, g->buf + 12, 8);
}

static bool next_id(const struct gro *g, const uint8_t *p)
{
    return get16(p + 4) == (uint16_t)(get16(g->buf + 4) + g->count) || (g->proto == IPPROTO_UDP && p[6] & DF);
}

static bool same_ip(const struct gro *g, const uint8_t *p)
{
    const uint8_t *b = g->buf;
    if (g->transport == 40)
        return !memcmp(p, b, 4) && !memcmp(p + 6, b + 6, 34);
    return !memcmp(p, b, 2) && next_id(g, p) && !memcmp(p + 6, b + 6, 4) && !memcmp(p + 12, b + 12, 8);
}

static bool follows(const struct gro *g, const uint8_t *t)
{
    const uint8_t *b = g->buf + g->transport;
    if (g->proto == IPPROTO_UDP)
        return g->count < GSO_UDP && !memcmp(t, b, 4);
    return !memcmp(t, b, 4) && get32(t + 4) == get32(b + 4) + (g->len - g->payload) &&
           !memcmp(t + 8, b + 8, 5) && (t[13] & ~TCP_PSH) == (b[13] & ~TCP_PSH) &&
           !memcmp(t + 14, b + 14, 2) && !memcmp(t + 18, b + 18, g->payload - g->transport - 18);
}

bool gro_append(struct gro *g, const uint8_t *p, uint32_t len, const struct gro_place *at)
{
    uint32_t octets = len - at->payload;
    if (!g->len || g->closed || at->proto != g->proto || at->transport != g->transport ||
        at->payload != g->payload || octets > g->size || g->len + octets > GSO_MAX || !same_ip(g, p) ||
        !follows(g, p + at->transport))
        return false;
    memcpy(g->buf + g->len, p + at->payload, octets);
    g->len += octets;
    g->count++;
    g->closed = octets < g->size || pushed(g, p);
    if (pushed(g, p))
        g->buf[g->transport + 13] |= TCP_PSH;
    return true;
}

static void lengths(struct gro *g)
{
    if (g->transport == 40) {
        put16(g->buf + 4, g->len - 40);
    } else {
        put16(g->buf + 2, g->len);
        sum_ip(g->buf, 20);
    }
    if (g->proto == IPPROTO_UDP)
        put16(g->buf + g->transport + 4, g->len - g->transport);
}

static uint8_t type_of(const struct gro *g)
{
    return g->proto == IPPROTO_UDP ? VIRTIO_NET_HDR_GSO_UDP_L4
           : g->transport == 40    ? VIRTIO_NET_HDR_GSO_TCPV6
                                   : VIRTIO_NET_HDR_GSO_TCPV4;
}

uint32_t gro_end(struct gro *g, struct virtio_net_hdr *h)
{
    uint32_t len = g->len, sum = g->proto == IPPROTO_UDP ? 6 : 16;
    *h = (struct virtio_net_hdr){0};
    if (g->count >= 2 && len) {
        lengths(g);
        sum_put(g->buf + g->transport + sum, sum_fold(sum_pseudo(g->buf, g->proto, len - g->transport)));
        *h = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                     .gso_type = type_of(g),
                                     .hdr_len = (uint16_t)g->payload,
                                     .gso_size = (uint16_t)g->size,
                                     .csum_start = (uint16_t)g->transport,
                                     .csum_offset = (uint16_t)sum};
    }
    g->len = 0;
    return len;
}
