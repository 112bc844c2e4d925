// SPDX-License-Identifier: Apache-2.0
// See outer.h. IPv6 extension headers that may stand in front of ESP are looked through (RFC 4303 section
// 3.1.1).
#include "ctrl/path/outer.h"

#include <netinet/in.h>
#include <string.h>

enum { MAX_EXTENSIONS = 8 };

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

// Where the payload of the IP packet begins and what it is, or 0.
static uint32_t behind_ip(const uint8_t *p, uint32_t len, struct outer *o, uint8_t *proto)
{
    if (len >= 20 && p[0] >> 4 == 4) {
        o->src.family = o->dst.family = 4;
        memcpy(o->src.a, p + 12, 4);
        memcpy(o->dst.a, p + 16, 4);
        *proto = p[9];
        return (p[0] & 15u) >= 5 ? 4 * (p[0] & 15u) : 0;
    }
    if (len < 40 || p[0] >> 4 != 6)
        return 0;
    uint32_t at = 40;
    o->src.family = o->dst.family = 6;
    memcpy(o->src.a, p + 8, 16);
    memcpy(o->dst.a, p + 24, 16);
    *proto = p[6];
    for (int i = 0; *proto == IPPROTO_HOPOPTS || *proto == IPPROTO_ROUTING || *proto == IPPROTO_DSTOPTS;
         i++) {
        if (i == MAX_EXTENSIONS || at + 8 > len)
            return 0;
        *proto = p[at];
        at += 8 * (p[at + 1] + 1u);
    }
    return at;
}

bool outer_look(const uint8_t *packet, uint32_t len, struct outer *o)
{
    uint8_t proto = 0;
    *o = (struct outer){0};
    uint32_t at = behind_ip(packet, len, o, &proto);
    if (!at || at + 8 > len)
        return false;
    o->udp = proto == IPPROTO_UDP;
    o->esp = at;
    if (o->udp) {
        o->sport = be16(packet + at);
        o->dport = be16(packet + at + 2);
        o->esp += 8;
    }
    o->ah = proto == IPPROTO_AH;
    if (o->ah) // next header, length and a reserved field come first
        o->esp += 4;
    return (o->udp || o->ah || proto == IPPROTO_ESP) && o->esp + 8 <= len;
}

uint32_t outer_octets(uint8_t family, bool udp)
{
    return (family == 6 ? 40 : 20) + (udp ? 8 : 0);
}

// Summed as it is written: loads of what was only just stored would wait for the whole packet before it.
static void put4(uint8_t *h, const struct arrival *a, uint8_t proto, uint32_t total)
{
    const uint8_t *from = a->from.a, *to = a->to.a;
    uint32_t sum = 0x4500u + a->tos + total + (a->ttl << 8 | proto);
    sum += be16(from) + be16(from + 2) + be16(to) + be16(to + 2);
    memset(h, 0, 20);
    h[0] = 0x45;
    h[1] = a->tos;
    put16(h + 2, total);
    h[8] = a->ttl;
    h[9] = proto;
    memcpy(h + 12, from, 4);
    memcpy(h + 16, to, 4);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(h + 10, ~(sum + (sum >> 16)));
}

static void put6(uint8_t *h, const struct arrival *a, uint8_t proto, uint32_t total)
{
    memset(h, 0, 8);
    h[0] = (uint8_t)(0x60 | a->tos >> 4);
    h[1] = (uint8_t)(a->tos << 4);
    put16(h + 4, total - 40);
    h[6] = proto;
    h[7] = a->ttl;
    memcpy(h + 8, a->from.a, 16);
    memcpy(h + 24, a->to.a, 16);
}

bool outer_put(uint8_t *to, const struct arrival *a, bool udp, uint16_t dport, uint32_t payload)
{
    uint32_t octets = outer_octets(a->to.family, udp);
    uint8_t proto = udp ? IPPROTO_UDP : a->ah ? IPPROTO_AH : IPPROTO_ESP;
    if (!a->to.family || a->from.family != a->to.family || payload > 65535 - octets)
        return false;
    if (a->to.family == 4)
        put4(to, a, proto, octets + payload);
    else
        put6(to, a, proto, octets + payload);
    if (udp) { // the kernel has looked at the checksum
        uint8_t *u = to + octets - 8;
        put16(u, a->from_port);
        put16(u + 2, dport);
        put16(u + 4, 8 + payload);
        put16(u + 6, 0);
    }
    return true;
}
