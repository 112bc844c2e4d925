// SPDX-License-Identifier: Apache-2.0
// See gso.h: putting together. What has anything unusual (options of IP, extension headers, fragments, other
// flags than ACK and PSH) is left alone.
#include <string.h>

#include "ctrl/path/gso.h"
#include "ctrl/path/gso_sum.h"

enum { TCP_PSH = 8, TCP_ACK = 0x10, MORE_AND_OFFSET = 0x3fff };

// Where TCP begins, 0: it is not for this.
static uint32_t plain_tcp(const uint8_t *p, uint32_t len)
{
    if (len >= 40 && p[0] == 0x45)
        return get16(p + 2) == len && !(get16(p + 6) & MORE_AND_OFFSET) && p[9] == 6 &&
                       sum_fold(sum_add(0, p, 20)) == 0xffff
                   ? 20
                   : 0;
    return len >= 60 && p[0] >> 4 == 6 && get16(p + 4) + 40u == len && p[6] == 6 ? 40 : 0;
}

bool gro_look(const uint8_t *p, uint32_t len, struct gro_place *at)
{
    uint32_t tcp = len <= GSO_MAX ? plain_tcp(p, len) : 0;
    const uint8_t *t = p + tcp;
    if (!tcp)
        return false;
    *at = (struct gro_place){tcp, tcp + 4u * (t[12] >> 4)};
    return at->payload >= tcp + 20 && at->payload < len && !(t[12] & 15) && (t[13] & ~TCP_PSH) == TCP_ACK &&
           sum_fold(sum_add(sum_pseudo(p, len - tcp), t, len - tcp)) == 0xffff;
}

void gro_start(struct gro *g, const uint8_t *p, uint32_t len, const struct gro_place *at)
{
    memcpy(g->buf, p, len);
    g->len = len;
    g->tcp = at->tcp;
    g->payload = at->payload;
    g->size = len - g->payload;
    g->count = 1;
    g->closed = p[g->tcp + 13] & TCP_PSH;
}

bool gro_same_flow(const struct gro *g, const uint8_t *p, const struct gro_place *at)
{
    return g->len && g->tcp == at->tcp && !memcmp(p + at->tcp, g->buf + g->tcp, 4) &&
           (g->tcp == 40 ? !memcmp(p + 8, g->buf + 8, 32) : !memcmp(p + 12, g->buf + 12, 8));
}

bool gro_same_ends(const struct gro *g, const uint8_t *p, uint32_t len)
{
    if (!g->len || len < 20 || p[0] >> 4 != g->buf[0] >> 4)
        return false;
    return g->tcp == 40 ? len >= 40 && !memcmp(p + 8, g->buf + 8, 32) : !memcmp(p + 12, g->buf + 12, 8);
}

static bool same_ip(const struct gro *g, const uint8_t *p)
{
    const uint8_t *b = g->buf;
    if (g->tcp == 40)
        return !memcmp(p, b, 4) && !memcmp(p + 6, b + 6, 34);
    return !memcmp(p, b, 2) && get16(p + 4) == (uint16_t)(get16(b + 4) + g->count) &&
           !memcmp(p + 6, b + 6, 4) && !memcmp(p + 12, b + 12, 8);
}

static bool same_tcp(const struct gro *g, const uint8_t *t)
{
    const uint8_t *b = g->buf + g->tcp;
    return !memcmp(t, b, 4) && get32(t + 4) == get32(b + 4) + (g->len - g->payload) &&
           !memcmp(t + 8, b + 8, 5) && (t[13] & ~TCP_PSH) == (b[13] & ~TCP_PSH) &&
           !memcmp(t + 14, b + 14, 2) && !memcmp(t + 18, b + 18, g->payload - g->tcp - 18);
}

bool gro_append(struct gro *g, const uint8_t *p, uint32_t len, const struct gro_place *at)
{
    uint32_t tcp = at->tcp, payload = at->payload;
    if (!g->len || g->closed || tcp != g->tcp || payload != g->payload || len - payload > g->size ||
        g->len + (len - payload) > GSO_MAX || !same_ip(g, p) || !same_tcp(g, p + tcp))
        return false;
    memcpy(g->buf + g->len, p + payload, len - payload);
    g->len += len - payload;
    g->count++;
    g->buf[tcp + 13] |= p[tcp + 13] & TCP_PSH;
    g->closed = len - payload < g->size || p[tcp + 13] & TCP_PSH;
    return true;
}

uint32_t gro_end(struct gro *g, struct virtio_net_hdr *h)
{
    uint32_t len = g->len;
    *h = (struct virtio_net_hdr){0};
    g->len = 0;
    if (g->count < 2 || !len)
        return len;
    if (g->tcp == 40) {
        put16(g->buf + 4, len - 40);
    } else {
        put16(g->buf + 2, len);
        sum_ip(g->buf, 20);
    }
    sum_put(g->buf + g->tcp + 16, sum_fold(sum_pseudo(g->buf, len - g->tcp)));
    *h = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                 .gso_type =
                                     g->tcp == 40 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
                                 .hdr_len = (uint16_t)g->payload,
                                 .gso_size = (uint16_t)g->size,
                                 .csum_start = (uint16_t)g->tcp,
                                 .csum_offset = 16};
    return len;
}
