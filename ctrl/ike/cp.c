// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ike/cp.h"

#include <string.h>

enum { TYPE_BITS = 0x7fff, HOST_PREFIX = 128 }; // the bit above the type is reserved (3.15.1)

const char *cp_attr_name(uint16_t type)
{
    switch (type) {
#define X(sym, num, name)                                                                                    \
    case num: return name;
        CP_ATTR_LIST(X)
#undef X
    default: return "(unknown)";
    }
}

bool cp_read(struct slice body, struct cp *out)
{
    struct reader r = reader_of(body);
    memset(out, 0, sizeof(*out));
    out->type = rd_u8(&r);
    rd_bytes(&r, 3);
    while (r.left && !r.bad) {
        struct cp_attr a = {.type = rd_u16(&r) & TYPE_BITS};
        a.value = rd_slice16(&r);
        if (r.bad)
            break;
        if (out->count < CP_ATTRS_MAX)
            out->a[out->count++] = a;
        else
            out->cut++;
    }
    return rd_done(&r);
}

bool addr_is_zero(const struct addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->a, zero, a->family == 4 ? 4 : 16) == 0;
}

// of: the octets that the address itself has.
static bool take(const struct cp_attr *a, uint8_t family, size_t of, struct addr *out)
{
    memset(out, 0, sizeof(*out));
    out->family = family;
    if (a->value.len)
        memcpy(out->a, a->value.p, of);
    return true;
}

bool cp_address(const struct cp_attr *a, struct addr *out)
{
    size_t n = a->value.len;
    if (a->type == CP_IP4_ADDRESS && (n == 0 || n == 4))
        return take(a, 4, 4, out);
    // Behind an IPv6 address stands its prefix length, which older peers leave away.
    if (a->type == CP_IP6_ADDRESS && (n == 0 || n == 16 || n == 17))
        return take(a, 6, 16, out);
    return false;
}

bool cp_dns(const struct cp_attr *a, struct addr *out)
{
    if (a->type == CP_IP4_DNS && a->value.len == 4)
        return take(a, 4, 4, out);
    return a->type == CP_IP6_DNS && a->value.len == 16 && take(a, 6, 16, out);
}

void pb_cp_begin(struct pb *b, enum cp_type type)
{
    pb_begin(b, PL_CP);
    wr_u8(&b->w, (uint8_t)type);
    wr_uint(&b->w, 0, 3);
}

void pb_cp_attr(struct pb *b, uint16_t type, struct slice value)
{
    wr_u16(&b->w, type);
    wr_slice16(&b->w, value);
}

void pb_cp_address(struct pb *b, const struct addr *a)
{
    uint8_t v[17];
    size_t n = addr_is_zero(a) ? 0 : a->family == 4 ? 4 : 17;
    memcpy(v, a->a, 16);
    v[16] = HOST_PREFIX;
    pb_cp_attr(b, a->family == 4 ? CP_IP4_ADDRESS : CP_IP6_ADDRESS, slice_of(v, n));
}
