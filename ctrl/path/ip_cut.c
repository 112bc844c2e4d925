// SPDX-License-Identifier: Apache-2.0
// See mtu.h: packets into fragments (RFC 791 section 3.2, RFC 8200 section 4.5). An IPv4 packet with options
// is left alone: which of them every fragment has to have is theirs to say. So is IPv6 with extension
// headers.
#include <netinet/in.h>
#include <string.h>

#include "ctrl/path/gso_sum.h"
#include "ctrl/path/mtu.h"

enum { MORE = 0x2000, OFFSET = 0x1fff, IP4 = 20, IP6 = 40, FRAGMENT = 8, MORE6 = 1 };

static bool is6(const struct ip_cut *g)
{
    return g->p[0] >> 4 == 6;
}

static bool plain6(const uint8_t *p, uint32_t len)
{
    return len >= IP6 && p[0] >> 4 == 6 && get16(p + 4) + (uint32_t)IP6 <= len &&
           (p[6] == IPPROTO_ESP || p[6] == IPPROTO_AH || p[6] == IPPROTO_UDP);
}

bool ip_cut_begin(struct ip_cut *g, const uint8_t *p, uint32_t len, uint32_t mtu, uint32_t id)
{
    if (plain6(p, len) && mtu >= IP6 + FRAGMENT + 8) {
        *g = (struct ip_cut){.p = p, .len = get16(p + 4), .room = (mtu - IP6 - FRAGMENT) / 8 * 8, .id = id};
        return true;
    }
    if (len < IP4 || p[0] != 0x45 || get16(p + 2) > len || get16(p + 2) < IP4 || mtu < IP4 + 8)
        return false;
    *g = (struct ip_cut){.p = p, .len = get16(p + 2) - IP4, .room = (mtu - IP4) / 8 * 8, .id = id};
    return true;
}

static void header4(const struct ip_cut *g, uint8_t *to, uint32_t n)
{
    uint32_t was = get16(g->p + 6), more = g->at + n < g->len ? MORE : was & MORE;
    memcpy(to, g->p, IP4);
    put16(to + 2, IP4 + n);
    if (g->id)
        put16(to + 4, g->id);
    put16(to + 6, more | ((was & OFFSET) + g->at / 8));
    sum_ip(to, IP4);
}

static void header6(const struct ip_cut *g, uint8_t *to, uint32_t n)
{
    memcpy(to, g->p, IP6);
    put16(to + 4, FRAGMENT + n);
    to[6] = IPPROTO_FRAGMENT;
    to[IP6] = g->p[6];
    to[IP6 + 1] = 0;
    put16(to + IP6 + 2, g->at | (g->at + n < g->len ? MORE6 : 0));
    put32(to + IP6 + 4, g->id);
}

uint32_t ip_cut_next(struct ip_cut *g, uint8_t *to, uint32_t cap)
{
    uint32_t n = g->len - g->at < g->room ? g->len - g->at : g->room;
    uint32_t header = is6(g) ? IP6 : IP4, front = is6(g) ? IP6 + FRAGMENT : IP4;
    if (!n || n + front > cap)
        return 0;
    if (is6(g))
        header6(g, to, n);
    else
        header4(g, to, n);
    memcpy(to + front, g->p + header + g->at, n);
    g->at += n;
    return front + n;
}
