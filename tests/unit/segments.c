// SPDX-License-Identifier: Apache-2.0
// See segments.h. Sums are made octet by octet here, as RFC 1071 describes them.
#include "tests/unit/segments.h"

#include <string.h>

static uint32_t sum(uint32_t s, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    return s;
}

static uint32_t fold(uint32_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return s;
}

static void be16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t ip4(uint8_t *p, uint32_t total, uint32_t seed, uint8_t proto)
{
    static const uint8_t ends[] = {10, 9, 0, 2, 10, 8, 0, 2};
    p[0] = 0x45;
    be16(p + 2, total);
    be16(p + 4, seed * 977);
    p[6] = 0x40;
    p[8] = 64;
    p[9] = proto;
    memcpy(p + 12, ends, 8);
    be16(p + 10, ~fold(sum(0, p, 20)));
    return fold(sum(total - 20 + proto, ends, 8));
}

static uint32_t ip6(uint8_t *p, uint32_t total, uint8_t proto)
{
    static const uint8_t ends[32] = {0xfd, 9, [15] = 2, [16] = 0xfd, 8, [31] = 2};
    p[0] = 0x60;
    be16(p + 4, total - 40);
    p[6] = proto;
    p[7] = 64;
    memcpy(p + 8, ends, 32);
    return fold(sum(total - 40 + proto, ends, 32));
}

static void tcp(const struct big_packet *k, uint8_t *t, uint32_t pseudo)
{
    be16(t, 40000);
    be16(t + 2, 5001);
    be16(t + 4, 0xffff); // the sequence number runs over
    be16(t + 6, 0xf000 + k->seed);
    be16(t + 10, 77);
    t[12] = (uint8_t)((20 + k->options) << 2);
    t[13] = k->flags;
    be16(t + 14, 502);
    be16(t + 16, pseudo);
    memset(t + 20, 1, k->options);
}

static void udp(const struct big_packet *k, uint8_t *t, uint32_t pseudo)
{
    be16(t, 40000);
    be16(t + 2, 5001);
    be16(t + 4, 8 + k->payload);
    be16(t + 6, pseudo);
}

static uint8_t type_of(const struct big_packet *k)
{
    if (!k->gso_size)
        return VIRTIO_NET_HDR_GSO_NONE;
    if (k->udp)
        return VIRTIO_NET_HDR_GSO_UDP_L4;
    return (uint8_t)((k->six ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4) |
                     (k->flags & 0x80 ? VIRTIO_NET_HDR_GSO_ECN : 0));
}

uint32_t big_build(const struct big_packet *k, uint8_t *p, struct virtio_net_hdr *h)
{
    uint32_t at = k->six ? 40 : 20, head = at + (k->udp ? 8 : 20 + k->options), total = head + k->payload;
    uint8_t proto = k->udp ? 17 : 6;
    memset(p, 0, head);
    uint32_t pseudo = k->six ? ip6(p, total, proto) : ip4(p, total, k->seed, proto);
    if (k->udp)
        udp(k, p + at, pseudo);
    else
        tcp(k, p + at, pseudo);
    for (uint32_t i = head; i < total; i++)
        p[i] = (uint8_t)((i * 2654435761u + k->seed) >> 13);
    *h = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                 .gso_type = type_of(k),
                                 .hdr_len = (uint16_t)head,
                                 .gso_size = k->gso_size,
                                 .csum_start = (uint16_t)at,
                                 .csum_offset = k->udp ? 6 : 16};
    return total;
}
