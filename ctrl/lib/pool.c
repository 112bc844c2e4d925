// SPDX-License-Identifier: Apache-2.0
#include "ctrl/lib/pool.h"

#include <stdlib.h>
#include <string.h>

static unsigned octets(const struct addr *a)
{
    return a->family == 4 ? 4 : 16;
}

static void add(struct addr *a, uint64_t n)
{
    for (unsigned i = octets(a); i-- > 0 && n;) {
        n += a->a[i];
        a->a[i] = (uint8_t)n;
        n >>= 8;
    }
}

// to - from; UINT64_MAX where it is that much or more, or to comes first.
static uint64_t distance(const struct addr *from, const struct addr *to)
{
    uint64_t low = 0;
    unsigned high = 0, n = octets(from);
    int borrow = 0;
    for (unsigned i = n; i-- > 0;) {
        int d = to->a[i] - from->a[i] - borrow;
        borrow = d < 0;
        if (n - 1 - i < 8)
            low |= (uint64_t)(uint8_t)d << 8 * (n - 1 - i);
        else
            high |= (uint8_t)d;
    }
    return borrow || high ? UINT64_MAX : low;
}

void pool_address(const struct pool_config *p, uint64_t n, struct addr *out)
{
    *out = p->first;
    add(out, n);
}

bool pool_number(const struct pool_config *p, const struct addr *a, uint64_t *n)
{
    if (!p->base.family || a->family != p->base.family)
        return false;
    *n = distance(&p->first, a);
    return *n < p->size;
}

// --- the text ---

static void set_range(struct pool_config *p, const struct addr *last)
{
    p->range = (struct ts){.family = p->base.family, .port_hi = 65535};
    memcpy(p->range.lo, p->base.a, 16);
    memcpy(p->range.hi, last->a, 16);
    p->first = p->base;
    p->size = distance(&p->base, last);
    p->size = p->size < POOL_SIZE_MAX ? p->size + 1 : POOL_SIZE_MAX;
}

static bool parse_range(struct pool_config *p, const char *from, const char *to, const char **why)
{
    struct addr last;
    *why = "a range is FIRST-LAST, both IPv4 or both IPv6, the lower first";
    if (!addr_parse(from, &p->base) || !addr_parse(to, &last) || last.family != p->base.family ||
        memcmp(last.a, p->base.a, octets(&last)) < 0)
        return false;
    set_range(p, &last);
    return true;
}

// Of a network its own address and the last one are nobody's, where there are others; an address inside it
// begins there.
static bool parse_network(struct pool_config *p, const char *base, const char *bits, const char **why)
{
    char *end;
    *why = "a network is ADDRESS/PREFIX";
    if (!addr_parse(base, &p->base))
        return false;
    unsigned width = 8 * octets(&p->base);
    unsigned long len = bits[0] >= '0' && bits[0] <= '9' ? strtoul(bits, &end, 10) : width + 1;
    if (len > width || *end)
        return false;
    struct addr last = p->base;
    bool network = true;
    for (unsigned i = (unsigned)len; i < width; i++) {
        network = network && !(p->base.a[i / 8] & (0x80 >> i % 8));
        last.a[i / 8] |= (uint8_t)(0x80 >> i % 8);
    }
    set_range(p, &last);
    bool cut = p->size == POOL_SIZE_MAX;
    if (width - len < 2)
        return true;
    if (network) {
        add(&p->first, 1);
        p->size -= !cut;
    }
    p->size -= !cut && p->size > 1;
    return true;
}

bool pool_addrs_parse(struct pool_config *p, const char *text, const char **why)
{
    char copy[100];
    *why = "a network (10.3.0.0/24) or a range (10.3.0.5-10.3.0.9)";
    if (strlen(text) >= sizeof(copy))
        return false;
    strcpy(copy, text);
    char *slash = strchr(copy, '/'), *dash = strchr(copy, '-');
    if (!slash && !dash)
        return parse_range(p, copy, copy, why);
    char *cut = dash ? dash : slash;
    *cut++ = 0;
    return dash ? parse_range(p, copy, cut, why) : parse_network(p, copy, cut, why);
}

// --- the written form ---

static void addr_write(struct writer *w, const struct addr *a)
{
    wr_u8(w, a->family);
    wr_bytes(w, a->a, 16);
}

static void addr_read(struct reader *r, struct addr *a)
{
    a->family = rd_u8(r);
    struct slice s = rd_bytes(r, 16);
    if (s.len == 16)
        memcpy(a->a, s.p, 16);
    if (a->family != 0 && a->family != 4 && a->family != 6)
        r->bad = true;
}

void pool_write(struct writer *w, const struct pool_config *p)
{
    struct ts_list range = {.count = 1, .t = {p->range}};
    wr_cstr(w, p->name);
    addr_write(w, &p->base);
    addr_write(w, &p->first);
    wr_u64(w, p->size);
    ts_list_write(w, &range);
    wr_slice16(w, slice_of(p->attrs, p->attrs_len));
}

bool pool_read(struct reader *r, struct pool_config *p)
{
    struct ts_list range;
    memset(p, 0, sizeof(*p));
    rd_cstr(r, p->name, sizeof(p->name));
    addr_read(r, &p->base);
    addr_read(r, &p->first);
    p->size = rd_u64(r);
    if (!ts_list_read(r, &range) || range.count != 1)
        r->bad = true;
    p->range = range.t[0];
    struct slice s = rd_slice16(r);
    if (s.len > sizeof(p->attrs) || p->size > POOL_SIZE_MAX || p->first.family != p->base.family ||
        p->range.family != p->base.family || (p->base.family == 0) != (p->size == 0))
        r->bad = true;
    if (r->bad)
        return false;
    p->attrs_len = (uint16_t)s.len;
    if (s.len)
        memcpy(p->attrs, s.p, s.len);
    return true;
}
