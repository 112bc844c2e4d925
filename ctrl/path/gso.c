// SPDX-License-Identifier: Apache-2.0
// See gso.h: cutting. Sums are of 16-bit words in the machine's own order, which comes to the same (RFC 1071
// section 2).
#include "ctrl/path/gso.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "ctrl/path/gso_sum.h"

enum { TCP_FIN = 1, TCP_PSH = 8, TCP_CWR = 0x80 };

int gso_complete(const struct virtio_net_hdr *h, uint8_t *p, uint32_t len)
{
    uint32_t start = h->csum_start, at = start + h->csum_offset;
    if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        return -EINVAL;
    if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return 0;
    if (start > len || at + 2 > len)
        return -EINVAL;
    uint16_t sum = (uint16_t)~sum_fold(sum_add(0, p + start, len - start));
    sum_put(p + at, sum ? sum : 0xffff); // 0 says of UDP that there is none
    return 0;
}

// What it is to be cut into, 0: nothing that we know.
static uint8_t proto_of(const struct virtio_net_hdr *h, const uint8_t *p)
{
    uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN, version = p[0] >> 4;
    if (type == VIRTIO_NET_HDR_GSO_UDP_L4 && h->gso_type == type)
        return IPPROTO_UDP;
    return (type == VIRTIO_NET_HDR_GSO_TCPV4 && version == 4) ||
                   (type == VIRTIO_NET_HDR_GSO_TCPV6 && version == 6)
               ? IPPROTO_TCP
               : 0;
}

// Where its header has to be.
static uint32_t behind_ip(const uint8_t *p, uint32_t len, const struct virtio_net_hdr *h, uint8_t proto)
{
    if (len >= 20 && p[0] >> 4 == 4 && p[9] == proto && h->csum_start == 4u * (p[0] & 15) &&
        h->csum_start >= 20)
        return h->csum_start;
    return len >= 40 && p[0] >> 4 == 6 && h->csum_start >= 40 ? h->csum_start : 0;
}

static uint16_t sum_at(uint8_t proto)
{
    return proto == IPPROTO_UDP ? 6 : 16;
}

static void clear(uint8_t *h, uint32_t from, uint32_t octets)
{
    memset(h + from, 0, octets);
}

// A segment's own part is added to these. Summing what has just been written would wait until all of it is in
// the cache: octets that were stored one by one cannot be loaded together before.
static void sum_headers(struct gso *g)
{
    uint8_t h[60];
    uint32_t n = g->payload - g->transport;
    memcpy(h, g->p + g->transport, n);
    clear(h, sum_at(g->proto), 2);
    if (g->proto == IPPROTO_UDP) {
        clear(h, 4, 2); // length
    } else {
        clear(h, 4, 4);  // sequence number
        clear(h, 13, 1); // flags
    }
    g->sum = sum_add(sum_pseudo(g->p, g->proto, 0), h, n);
    if (g->p[0] >> 4 == 6)
        return;
    memcpy(h, g->p, g->transport);
    clear(h, 2, 4); // length, ID
    clear(h, 10, 2);
    g->ip_sum = sum_add(0, h, g->transport);
}

int gso_begin(struct gso *g, const struct virtio_net_hdr *h, const uint8_t *p, uint32_t len)
{
    uint8_t proto = len ? proto_of(h, p) : 0;
    uint32_t at = proto ? behind_ip(p, len, h, proto) : 0, least = proto == IPPROTO_UDP ? 8 : 20;
    if (!at || len > GSO_MAX + 40u || at + least > len || !h->gso_size ||
        !(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || h->csum_offset != sum_at(proto))
        return -EINVAL;
    uint32_t payload = at + (proto == IPPROTO_UDP ? 8 : 4u * (p[at + 12] >> 4));
    if (payload < at + least || payload >= len)
        return -EINVAL;
    *g = (struct gso){.p = p,
                      .len = len,
                      .proto = proto,
                      .transport = at,
                      .payload = payload,
                      .at = payload,
                      .size = h->gso_size};
    sum_headers(g);
    return 0;
}

unsigned gso_left(const struct gso *g)
{
    return (g->len - g->at + g->size - 1) / g->size;
}

static void ip_header(const struct gso *g, uint8_t *to, uint32_t total)
{
    uint16_t id = (uint16_t)(get16(g->p + 4) + g->done);
    if (g->p[0] >> 4 == 6) {
        put16(to + 4, total - 40);
        return;
    }
    put16(to + 2, total);
    put16(to + 4, id);
    sum_put(to + 10, (uint16_t)~sum_fold(g->ip_sum + htons((uint16_t)total) + htons(id)));
}

// The sum of what is written.
static uint64_t tcp_header(const struct gso *g, uint8_t *tcp, bool last)
{
    uint32_t seq = get32(g->p + g->transport + 4) + (g->at - g->payload);
    uint8_t flags = g->p[g->transport + 13];
    if (!last)
        flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (g->done)
        flags &= (uint8_t)~TCP_CWR;
    put32(tcp + 4, seq);
    tcp[13] = flags;
    return (uint64_t)htons((uint16_t)(seq >> 16)) + htons((uint16_t)seq) + htons(flags);
}

static uint64_t udp_header(uint8_t *udp, uint32_t len)
{
    put16(udp + 4, len);
    return htons((uint16_t)len);
}

uint32_t gso_next(struct gso *g, uint8_t *to, uint32_t cap)
{
    uint32_t octets = g->len - g->at < g->size ? g->len - g->at : g->size, total = g->payload + octets;
    uint32_t len = total - g->transport;
    uint8_t *t = to + g->transport;
    if (!octets || total > cap)
        return 0;
    memcpy(to, g->p, g->payload);
    uint64_t sum = g->proto == IPPROTO_UDP ? udp_header(t, len) : tcp_header(g, t, g->at + octets == g->len);
    sum += g->sum + htons((uint16_t)len);
    uint16_t check = (uint16_t)~sum_fold(sum_copy(sum, to + g->payload, g->p + g->at, octets));
    sum_put(t + sum_at(g->proto), !check && g->proto == IPPROTO_UDP ? 0xffff : check); // 0: there is none
    ip_header(g, to, total);
    g->at += octets;
    g->done++;
    return total;
}
