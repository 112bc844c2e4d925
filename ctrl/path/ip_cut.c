// SPDX-License-Identifier: Apache-2.0
// See mtu.h: IPv4 packets into fragments (RFC 791 section 3.2). One with options is left alone: which of them
// every fragment has to have is theirs to say.
#include <string.h>

#include "ctrl/path/gso_sum.h"
#include "ctrl/path/mtu.h"

enum { MORE = 0x2000, OFFSET = 0x1fff, HEADER = 20 };

bool ip_cut_begin(struct ip_cut *g, const uint8_t *p, uint32_t len, uint32_t mtu, uint16_t id)
{
    if (len < HEADER || p[0] != 0x45 || get16(p + 2) > len || get16(p + 2) < HEADER || mtu < HEADER + 8)
        return false;
    *g = (struct ip_cut){.p = p, .len = get16(p + 2) - HEADER, .room = (mtu - HEADER) / 8 * 8, .id = id};
    return true;
}

uint32_t ip_cut_next(struct ip_cut *g, uint8_t *to, uint32_t cap)
{
    uint32_t n = g->len - g->at < g->room ? g->len - g->at : g->room;
    if (!n || n + HEADER > cap)
        return 0;
    uint32_t was = get16(g->p + 6), more = g->at + n < g->len ? MORE : was & MORE;
    memcpy(to, g->p, HEADER);
    memcpy(to + HEADER, g->p + HEADER + g->at, n);
    put16(to + 2, HEADER + n);
    if (g->id)
        put16(to + 4, g->id);
    put16(to + 6, more | ((was & OFFSET) + g->at / 8));
    sum_ip(to, HEADER);
    g->at += n;
    return HEADER + n;
}
