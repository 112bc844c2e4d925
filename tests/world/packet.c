// SPDX-License-Identifier: Apache-2.0
// Packets of both families as the world sees them. Every IPv6 address of the world is 2001:db8:: and an IPv4
// one, so that sites, hosts and networks have one number each, whatever the family.
#include "tests/world/packet.h"

#include <netinet/in.h>
#include <string.h>

#include "tests/world/world.h"

static const uint8_t world6[12] = {0x20, 0x01, 0x0d, 0xb8};

void put_address(uint8_t a[16], uint8_t family, uint32_t n)
{
    memset(a, 0, 16);
    if (family == 6)
        memcpy(a, world6, sizeof(world6));
    put32(a + (family == 6 ? 12 : 0), n);
}

uint32_t number_of(const uint8_t *a, uint8_t family)
{
    if (family == 6)
        return memcmp(a, world6, sizeof(world6)) ? 0 : get32(a + 12);
    return get32(a);
}

static void ports(struct view *v, const uint8_t *p, uint32_t len)
{
    if (v->piece || v->at + 4 > len)
        return;
    if (v->proto == IPPROTO_UDP || v->proto == IPPROTO_TCP) {
        v->sport = get16(p + v->at);
        v->dport = get16(p + v->at + 2);
    } else if (v->proto == IPPROTO_ICMP || v->proto == IPPROTO_ICMPV6) {
        v->sport = p[v->at]; // as xfrm_flowi_sport and _dport have it
        v->dport = p[v->at + 1];
    }
}

static bool view6(struct view *v, const uint8_t *p, uint32_t len)
{
    if (len < 40)
        return false;
    v->at = 40;
    v->proto = p[6];
    if (v->proto == IPPROTO_FRAGMENT && len >= 48) {
        v->fragment = true;
        v->piece = get16(p + 42) & 0xfff8;
        v->proto = p[40];
        v->at = 48;
    }
    memcpy(v->from, p + 8, 16);
    memcpy(v->to, p + 24, 16);
    return true;
}

static bool view4(struct view *v, const uint8_t *p, uint32_t len)
{
    if (len < 20)
        return false;
    v->at = 4u * (p[0] & 15);
    v->proto = p[9];
    v->fragment = get16(p + 6) & 0x3fff;
    v->piece = get16(p + 6) & 0x1fff;
    memcpy(v->from, p + 12, 4);
    memcpy(v->to, p + 16, 4);
    return true;
}

bool view_of(struct view *v, const uint8_t *p, uint32_t len)
{
    *v = (struct view){.family = len ? p[0] >> 4 : 0};
    if (v->family == 6 ? !view6(v, p, len) : v->family != 4 || !view4(v, p, len))
        return false;
    v->src = number_of(v->from, v->family);
    v->dst = number_of(v->to, v->family);
    ports(v, p, len);
    return true;
}

void put_checksum(uint8_t *p)
{
    uint32_t sum = 0;
    put16(p + 10, 0);
    for (int i = 0; i < 20; i += 2)
        sum += get16(p + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    put16(p + 10, (uint16_t)~sum);
}

uint32_t put_header(uint8_t *p, uint8_t family, uint32_t src, uint32_t dst, uint8_t proto, uint32_t payload)
{
    if (family == 6) {
        memset(p, 0, 40);
        p[0] = 0x60;
        put16(p + 4, (uint16_t)payload);
        p[6] = proto;
        p[7] = 64;
        put_address(p + 8, 6, src);
        put_address(p + 24, 6, dst);
        return 40;
    }
    memset(p, 0, 20);
    p[0] = 0x45;
    put16(p + 2, (uint16_t)(20 + payload));
    p[8] = 64;
    p[9] = proto;
    put32(p + 12, src);
    put32(p + 16, dst);
    put_checksum(p);
    return 20;
}
