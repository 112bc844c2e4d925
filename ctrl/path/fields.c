// SPDX-License-Identifier: Apache-2.0
// Reads what selectors look at, never behind the packet's end, and compares it with them.
#include "ctrl/path/fields.h"

#include <netinet/in.h>
#include <string.h>

#define MAX_EXTENSIONS 8 // IPv6 extension headers that are looked through

enum { PROTO_DCCP = 33, PROTO_MH = 135, PROTO_UDPLITE = 136 };

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static bool has_ports(uint8_t proto)
{
    return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP || proto == PROTO_DCCP ||
           proto == PROTO_UDPLITE;
}

static bool is_icmp(const struct fields *f)
{
    return f->proto == (f->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

static void next_layer(struct fields *f, const uint8_t *p, uint32_t len)
{
    bool some = has_ports(f->proto) || is_icmp(f) || f->proto == PROTO_MH;
    f->unseen = some && (f->later || len < 4);
    f->ports = some && !f->unseen;
    if (!f->ports)
        return;
    if (has_ports(f->proto)) {
        f->sport = be16(p);
        f->dport = be16(p + 2);
    } else { // type and code; of a mobility header its type, which is the third octet
        f->sport = f->dport = f->proto == PROTO_MH ? (uint16_t)(p[2] << 8) : be16(p);
    }
}

static void fragment(struct fields *f, uint16_t offset, bool more, uint32_t id)
{
    f->later = offset > 0;
    f->first = !f->later && more;
    f->id = id;
}

static bool parse4(const uint8_t *p, uint32_t len, struct fields *f)
{
    uint32_t header = 4u * (p[0] & 15), total = be16(p + 2);
    f->family = 4;
    f->proto = p[9];
    memcpy(f->src, p + 12, 4);
    memcpy(f->dst, p + 16, 4);
    if (header < 20 || header > len)
        return false;
    if (total >= header && total < len)
        len = total;
    fragment(f, be16(p + 6) & 0x1fff, p[6] & 0x20, be16(p + 4));
    next_layer(f, p + header, len - header);
    return true;
}

static bool is_extension(uint8_t proto)
{
    return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS ||
           proto == IPPROTO_FRAGMENT;
}

// The protocol is not known, and so no selector of a protocol can say no: it counts as ports unseen.
static bool hide(struct fields *f)
{
    f->proto = 0;
    f->hidden = f->unseen = true;
    return true;
}

static bool parse6(const uint8_t *p, uint32_t len, struct fields *f)
{
    uint32_t at = 40, end = 40u + be16(p + 4);
    f->family = 6;
    f->proto = p[6];
    memcpy(f->src, p + 8, 16);
    memcpy(f->dst, p + 24, 16);
    if (end < len)
        len = end;
    for (int i = 0; is_extension(f->proto) && !f->later; i++) {
        if (i == MAX_EXTENSIONS || at + 8 > len)
            return hide(f);
        if (f->proto == IPPROTO_FRAGMENT) {
            fragment(f, be16(p + at + 2) >> 3, p[at + 3] & 1, be32(p + at + 4));
            f->proto = p[at];
            at += 8;
        } else {
            f->proto = p[at];
            at += 8u * (p[at + 1] + 1u);
        }
    }
    if (is_extension(f->proto)) // of a later fragment: what comes behind it was in the first
        return hide(f);
    next_layer(f, p + (at < len ? at : len), at < len ? len - at : 0);
    return true;
}

bool fields_parse(const uint8_t *packet, uint32_t len, struct fields *f)
{
    memset(f, 0, sizeof(*f));
    if (len >= 20 && packet[0] >> 4 == 4)
        return parse4(packet, len, f);
    return len >= 40 && packet[0] >> 4 == 6 && parse6(packet, len, f);
}

bool fields_one_packet(const struct fields *a, const struct fields *b)
{
    return a->id == b->id && a->proto == b->proto && a->family == b->family && a->vti == b->vti &&
           !memcmp(a->src, b->src, 16) && !memcmp(a->dst, b->dst, 16);
}

// An OPAQUE selector holds what hides its ports, another one with ports what shows them.
static bool ports_hold(const struct ts *t, const struct fields *f, uint16_t port)
{
    if (ts_opaque(t))
        return f->unseen;
    return ts_any_port(t) || (f->ports && port >= t->port_lo && port <= t->port_hi);
}

static bool side_holds(struct selectors l, const struct fields *f, const uint8_t *addr, uint16_t port)
{
    for (unsigned i = 0; i < l.count; i++) {
        const struct ts *t = &l.t[i];
        struct ts any = *t;
        any.port_lo = 0;
        any.port_hi = 65535;
        if (ports_hold(t, f, port) && !(f->hidden && t->proto) &&
            ts_match(&any, f->family, addr, f->proto, 0))
            return true;
    }
    return false;
}

bool selectors_hold(struct selectors src, struct selectors dst, const struct fields *f)
{
    return side_holds(src, f, f->src, f->sport) && side_holds(dst, f, f->dst, f->dport);
}

static void one_selector(const struct fields *f, const uint8_t *addr, uint16_t port, struct ts_list *out)
{
    struct ts *t = &out->t[0];
    *t = (struct ts){.family = f->family, .proto = f->proto, .port_hi = 65535};
    if (f->ports)
        t->port_lo = t->port_hi = port;
    memcpy(t->lo, addr, 16);
    memcpy(t->hi, addr, 16);
    out->count = 1;
}

void fields_selectors(const struct fields *f, struct ts_list *src, struct ts_list *dst)
{
    one_selector(f, f->src, f->sport, src);
    one_selector(f, f->dst, f->dport, dst);
}
