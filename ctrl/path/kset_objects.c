// SPDX-License-Identifier: Apache-2.0
// Which kernel objects a policy needs.
//
// Blocks are never narrower than what the kernel sees of a packet: of a fragment, the first one included, it
// sees no ports (both read as 0), so a selector with ports also blocks both ports 0; of an IPv6 fragment
// whose headers go on it sees the next header, so that is blocked too. Rules cannot be that exact (a range of
// theirs holds neither port 0 nor 65535): where they are wider than the policy, path sends on what it was not
// meant to get.
#include "ctrl/path/kset_objects.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#include "ctrl/path/kset_values.h"

#define MAX_PREFIXES 64          // of one selector's range
#define MAX_SPLIT    32          // a range of 16 bits splits into at most 30
#define XFRM_WINDOW  0x40000000u // our priorities begin here; anyone's own policies go first
#define XFRM_RANKS   0x1fffffffu

struct prefix {
    uint8_t addr[16];
    uint8_t len;
};
struct prefixes {
    struct prefix p[MAX_PREFIXES];
    unsigned count;
    bool overflow;
};
struct masked { // of 16 bits
    uint16_t value, mask;
};
struct split {
    struct masked m[MAX_SPLIT];
    unsigned count;
};

struct walk {
    const struct kset_options *o;
    const struct kset_visitor *v;
    const struct kset_spec *spec;
    uint8_t family, proto;
    const struct ts *l, *r; // the pair of selectors
    bool ports;             // proto has ports or types, and not all are selected
    bool opaque;            // those that do not show them
};

// ---- splitting

static void collect(void *ctx, const uint8_t *addr, unsigned len)
{
    struct prefixes *l = ctx;
    if (l->count == MAX_PREFIXES) {
        l->overflow = true;
        return;
    }
    memset(&l->p[l->count], 0, sizeof(l->p[0]));
    memcpy(l->p[l->count].addr, addr, 16);
    l->p[l->count++].len = (uint8_t)len;
}

static int prefixes_of(const struct ts *t, struct prefixes *out, struct esp_error *err)
{
    char text[128];
    out->count = 0;
    out->overflow = false;
    ts_prefixes(t, collect, out);
    return out->overflow ? esp_fail(err, -E2BIG, ts_print(t, text, sizeof(text)),
                                    "the range splits into more than %d prefixes", MAX_PREFIXES)
                         : 0;
}

// The range lo ... hi of `bits` bits as values under masks; `above`: mask bits above these.
static void split_range(unsigned lo, unsigned hi, unsigned bits, uint16_t above, struct split *out)
{
    unsigned top = (1u << bits) - 1;
    out->count = 0;
    for (unsigned at = lo; at <= hi && out->count < MAX_SPLIT;) {
        unsigned size = 1;
        while (size <= top && !(at & (2 * size - 1)) && at + 2 * size - 1 <= hi)
            size *= 2;
        out->m[out->count++] = (struct masked){(uint16_t)at, (uint16_t)(above | (top & ~(size - 1)))};
        at += size;
    }
}

static bool any_port(const struct ts *t)
{
    return ts_any_port(t);
}

static bool is_icmp(uint8_t proto)
{
    return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static bool has_ports(uint8_t proto)
{
    return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
           proto == IPPROTO_UDPLITE || proto == IPPROTO_DCCP;
}

static void split_ports(const struct ts *t, struct split *out)
{
    if (any_port(t))
        *out = (struct split){.count = 1};
    else
        split_range(t->port_lo, t->port_hi, 16, 0, out);
}

// ICMP: type << 8 | code (RFC 7296 section 3.13.1); the kernel has the type in the source port's place and
// the code in the other, whichever way the packet goes. What blocks is rounded up where it is not whole types
// or codes of one type.
static void split_icmp(const struct walk *w, struct split *types, struct split *codes)
{
    const struct ts *t = any_port(w->l) ? w->r : w->l;
    unsigned from = t->port_lo >> 8, to = t->port_hi >> 8, first = t->port_lo & 255, last = t->port_hi & 255;
    *codes = (struct split){.count = 1};
    if (any_port(t)) {
        *types = (struct split){.count = 1};
        return;
    }
    split_range(from, to, 8, 0xff00, types);
    if (from == to && (first != 0 || last != 255))
        split_range(first, last, 8, 0xff00, codes);
}

static bool inside(const struct prefix *in, const struct prefix *out)
{
    unsigned whole = out->len / 8, rest = out->len % 8;
    return in->len > out->len && !memcmp(in->addr, out->addr, whole) &&
           (!rest || !((in->addr[whole] ^ out->addr[whole]) >> (8 - rest)));
}

// ---- XFRM policies

static int visit(const struct walk *w, const struct kobj *o, const struct kobj *behind)
{
    return w->v->object(w->v->ctx, o, behind);
}

static void put_prefix(uint8_t *addr, uint8_t *len, const struct prefix *p)
{
    memcpy(addr, p->addr, 16);
    *len = p->len;
}

// Of equal ranks what blocks goes first.
static uint32_t xfrm_priority(const struct kset_spec *spec)
{
    uint32_t rank = spec->rank < XFRM_RANKS ? spec->rank : XFRM_RANKS;
    return XFRM_WINDOW + 2 * rank + (spec->action == POLICY_BYPASS);
}

static struct kobj xfrm(const struct walk *w, enum kobj_dir dir, const struct prefix *src,
                        const struct prefix *dst)
{
    struct kobj o = {.kind = KOBJ_XFRM,
                     .family = w->family,
                     .action = w->spec->action == POLICY_BYPASS ? KXFRM_ALLOW : KXFRM_BLOCK,
                     .dir = (uint8_t)dir,
                     .proto = w->proto,
                     .priority = xfrm_priority(w->spec)};
    put_prefix(o.src, &o.src_len, src);
    put_prefix(o.dst, &o.dst_len, dst);
    return o;
}

static void set_ports(struct kobj *o, struct masked s, struct masked d)
{
    o->sport = s.value;
    o->sport2 = s.mask;
    o->dport = d.value;
    o->dport2 = d.mask;
}

// A block fails the very call that sends; what is held reaches the hook, which looks again (see
// own_programs).
static void hold(const struct walk *w, struct kobj *out)
{
    if (w->family == 6 && w->o->hooks && w->o->tun_index && w->spec->action == POLICY_PROTECT)
        out->action = KXFRM_HOLD;
}

// l -> r out, and r -> l in and forwarded. s is of l and d of r; of ICMP they are type and code both ways.
static int three_ways(const struct walk *w, const struct prefix *l, const struct prefix *r, struct masked s,
                      struct masked d)
{
    bool turn = !is_icmp(w->proto);
    struct kobj out = xfrm(w, KDIR_OUT, l, r), in = xfrm(w, KDIR_IN, r, l), fwd = xfrm(w, KDIR_FWD, r, l);
    hold(w, &out);
    set_ports(&out, s, d);
    set_ports(&in, turn ? d : s, turn ? s : d);
    set_ports(&fwd, turn ? d : s, turn ? s : d);
    int rc = visit(w, &out, NULL);
    if (rc == 0)
        rc = visit(w, &in, NULL);
    return rc ? rc : visit(w, &fwd, NULL);
}

static int fragments(const struct walk *w, const struct prefix *l, const struct prefix *r)
{
    static const uint8_t go_on[] = {IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_DSTOPTS};
    const struct masked none = {0, 0xffff}, any = {0, 0};
    struct walk other = *w;
    int rc = w->ports || w->opaque ? three_ways(w, l, r, none, none) : 0;
    bool pass = w->spec->action == POLICY_BYPASS; // what it may be is no reason to let it pass
    for (unsigned i = 0; i < sizeof(go_on) && rc == 0 && w->family == 6 && w->proto && !pass; i++) {
        other.proto = go_on[i];
        rc = three_ways(&other, l, r, any, any);
    }
    return rc;
}

static bool hooks_of(const struct walk *w)
{
    return w->o->tun_index && (w->family == 6 ? w->o->hooks : w->o->hooks4);
}

// Where no hook can tell what an ICMP error of the kernel's is about, none leaves for what is protected but
// into the TUN.
static int errors(const struct walk *w, const struct prefix *r)
{
    static const struct masked types4[] = {{3, 0xffff}, {4, 0xfffe}, {11, 0xffff}, {12, 0xffff}},
                               types6[] = {{0, 0xff80}};
    const struct masked any = {0, 0}, *types = w->family == 6 ? types6 : types4;
    const struct prefix everyone = {.len = 0};
    unsigned n = w->family == 6 ? 1 : sizeof(types4) / sizeof(types4[0]);
    int rc = 0;
    if (w->spec->action != POLICY_PROTECT || !w->o->tun_index || hooks_of(w))
        return 0;
    for (unsigned i = 0; i < n && rc == 0; i++) {
        struct kobj o = xfrm(w, KDIR_OUT, &everyone, r);
        o.proto = w->family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
        o.priority = XFRM_WINDOW + 2 * XFRM_RANKS + 2; // behind whatever a policy says
        set_ports(&o, types[i], any);
        rc = visit(w, &o, NULL);
    }
    return rc;
}

static int type_range(const struct walk *w, const struct prefix *l, const struct prefix *r, unsigned from,
                      unsigned to, unsigned first, unsigned last)
{
    struct split s, d = {.count = 1};
    int rc = 0;
    split_range(from, to, 8, 0xff00, &s);
    if (first != 0 || last != 255)
        split_range(first, last, 8, 0xff00, &d);
    for (unsigned i = 0; i < s.count && rc == 0; i++)
        for (unsigned j = 0; j < d.count && rc == 0; j++)
            rc = three_ways(w, l, r, s.m[i], d.m[j]);
    return rc;
}

// What lets pass is never rounded up: the rest of the first type, whole types, the beginning of the last one,
// of those that both sides name.
static int pass_icmp(const struct walk *w, const struct prefix *l, const struct prefix *r)
{
    unsigned lo = w->l->port_lo > w->r->port_lo ? w->l->port_lo : w->r->port_lo,
             hi = w->l->port_hi < w->r->port_hi ? w->l->port_hi : w->r->port_hi;
    unsigned from = lo >> 8, to = hi >> 8;
    int rc = 0;
    if (lo > hi)
        return 0;
    if (from == to)
        return type_range(w, l, r, from, to, lo & 255, hi & 255);
    if (lo & 255) {
        rc = type_range(w, l, r, from, from, lo & 255, 255);
        from++;
    }
    if (rc == 0 && (hi & 255) != 255) {
        rc = type_range(w, l, r, to, to, 0, hi & 255);
        to--;
    }
    return rc == 0 && from <= to ? type_range(w, l, r, from, to, 0, 255) : rc;
}

// Of the others the kernel looks at no ports, so nothing can pass by them.
static int pass(const struct walk *w, const struct prefix *l, const struct prefix *r)
{
    const struct masked any = {0, 0};
    if (is_icmp(w->proto) && w->ports)
        return pass_icmp(w, l, r);
    return any_port(w->l) && any_port(w->r) ? three_ways(w, l, r, any, any) : 0;
}

static int blocks(const struct walk *w, const struct prefix *l, const struct prefix *r)
{
    struct split s = {.count = 1}, d = {.count = 1};
    int rc = errors(w, r);
    if (rc || w->opaque)
        return rc ? rc : fragments(w, l, r);
    if (w->spec->action == POLICY_BYPASS && !has_ports(w->proto))
        return pass(w, l, r);
    if (is_icmp(w->proto))
        split_icmp(w, &s, &d);
    else if (has_ports(w->proto)) {
        split_ports(w->l, &s);
        split_ports(w->r, &d);
    }
    for (unsigned i = 0; i < s.count && rc == 0; i++)
        for (unsigned j = 0; j < d.count && rc == 0; j++)
            rc = three_ways(w, l, r, s.m[i], d.m[j]);
    return rc == 0 && w->spec->action != POLICY_BYPASS ? fragments(w, l, r) : rc;
}

// What is of one link (icmp_of_one_link) goes through no tunnel, and a selector that contains more than it
// does not mean it: neighbours, OSPF, VRRP, mDNS, DHCP of the networks that the gateway stands in. Of what
// comes from a link-local address nothing but neighbour discovery is let in.
static int let_link(const struct walk *w, enum kobj_dir dir, const struct prefix *src,
                    const struct prefix *dst, uint8_t proto, struct masked type)
{
    struct kobj o = xfrm(w, dir, src, dst);
    o.action = KXFRM_ALLOW;
    o.proto = proto;
    o.priority--; // right before this policy
    set_ports(&o, type, (struct masked){0, 0});
    return visit(w, &o, NULL);
}

// Neighbour discovery (RFC 4861) is of one link whatever its addresses are: nobody forwards it, as it is void
// with another hop limit than 255, and without it not even what is encrypted reaches the next hop. So a
// selector that contains more does not mean it either; one of its types alone does.
static bool means_no_discovery(const struct walk *w)
{
    const struct ts *t = any_port(w->l) ? w->r : w->l;
    unsigned from = ND_ROUTER_SOLICIT << 8, to = ND_REDIRECT << 8 | 255, lo = t->port_lo, hi = t->port_hi;
    if (w->family != 6 || (w->proto && w->proto != IPPROTO_ICMPV6) || w->opaque)
        return false;
    return any_port(t) || (lo <= from && hi >= to && hi - lo > to - from);
}

static const struct prefix links4[] = {{{224, 0, 0}, 24}, {{255, 255, 255, 255}, 32}},
                           links6[] = {{{0xff, 0x02}, 16}, {{0xfe, 0x80}, 10}};

bool kobj_of_one_link(const struct kobj *o)
{
    const struct prefix *links = o->family == 6 ? links6 : links4;
    for (unsigned i = 0; i < 2; i++)
        if ((o->dst_len >= links[i].len &&
             kset_prefixes_overlap(o->dst, o->dst_len, links[i].addr, links[i].len)) ||
            (o->src_len >= links[i].len &&
             kset_prefixes_overlap(o->src, o->src_len, links[i].addr, links[i].len)))
            return true;
    return false;
}

// Routers send theirs, and redirects, from link-local addresses (sections 6.1.2 and 8.1).
static int one_link(const struct walk *w, const struct prefix *l, const struct prefix *r)
{
    static const struct masked discovery[] = {{ND_ROUTER_SOLICIT, 0xffff},
                                              {ND_ROUTER_ADVERT, 0xfffe},    // and neighbours' solicitations
                                              {ND_NEIGHBOR_ADVERT, 0xfffe}}; // and redirects
    const struct prefix *links = w->family == 6 ? links6 : links4;
    const struct masked any = {0, 0};
    int rc = 0;
    if (w->opaque)
        return 0;
    for (unsigned i = 0; i < 2 && rc == 0; i++)
        if (inside(&links[i], r))
            rc = let_link(w, KDIR_OUT, l, &links[i], w->proto, any);
    for (unsigned i = 0; i < 3 && rc == 0 && means_no_discovery(w) && inside(&links6[1], r); i++)
        rc = let_link(w, KDIR_IN, &links6[1], l, IPPROTO_ICMPV6, discovery[i]);
    return rc;
}

// What the kernel forwards for a multicast routing daemon it does not show to XFRM.
static int groups(const struct walk *w, const struct prefix *l, const struct prefix *r)
{
    static const struct prefix all4 = {{224}, 4}, all6 = {{0xff}, 8};
    const struct prefix *all = w->family == 6 ? &all6 : &all4;
    bool lets = w->spec->action == POLICY_BYPASS,
         within = r->len >= all->len && kset_prefixes_overlap(r->addr, r->len, all->addr, all->len);
    struct kobj o = {.kind = KOBJ_HOOK,
                     .family = w->family,
                     .action = KHOOK_GROUPS,
                     .dir = lets ? KDIR_OUT : KDIR_FWD,
                     .proto = w->proto,
                     .priority = xfrm_priority(w->spec)};
    if (!hooks_of(w) || (!within && !inside(all, r)) || (lets && (w->ports || w->opaque)))
        return 0;
    put_prefix(o.src, &o.src_len, l);
    put_prefix(o.dst, &o.dst_len, within ? r : all);
    return visit(w, &o, NULL);
}

// ---- rules and routes

// Where in the window of priorities a rule is asked.
enum {
    AT_OWN,      // our own sockets go on at the end
    AT_FROM,     // IPv6: what has a source goes on behind the next
    AT_SOURCE,   // IPv6: by protocol and ports, for programs that have not chosen a source
    AT_SOURCED,  //
    AT_LOOKUP,   // by source, protocol and ports
    AT_WHOLE,    // ports can be seen: that was all
    AT_SKIP,     //
    AT_FRAGMENT, // by source and protocol alone
    AT_END
};

static struct kobj rule(const struct walk *w, unsigned at, enum kobj_action action)
{
    return (struct kobj){.kind = KOBJ_RULE,
                         .family = w->family,
                         .action = (uint8_t)action,
                         .priority = w->o->rule_priority + at};
}

static int frame(const struct walk *w)
{
    struct kobj end = rule(w, AT_END, KRULE_NOP), own = rule(w, AT_OWN, KRULE_GOTO);
    own.mark = w->o->own_mark;
    own.mark_mask = UINT32_MAX;
    own.target = end.priority;
    int rc = visit(w, &end, NULL);
    return rc ? rc : visit(w, &own, NULL);
}

// No rule can name port 0, but one can say "not the ports 1 to 65534".
static int fragment_frame(const struct walk *w)
{
    struct kobj skip = rule(w, AT_SKIP, KRULE_GOTO), whole = rule(w, AT_WHOLE, KRULE_GOTO);
    skip.target = w->o->rule_priority + AT_END;
    whole.target = w->o->rule_priority + AT_FRAGMENT;
    whole.invert = 1;
    whole.dport = 1;
    whole.dport2 = 65534;
    int rc = visit(w, &whole, NULL);
    return rc ? rc : visit(w, &skip, NULL);
}

static void rule_ports(const struct ts *t, uint16_t *lo, uint16_t *hi)
{
    if (any_port(t) || t->port_lo == 0 || t->port_hi == 65535)
        return; // wider than the selector: path sends on what is not its own
    *lo = t->port_lo;
    *hi = t->port_hi;
}

static struct kobj lookup_rule(const struct walk *w, const struct prefix *l)
{
    struct kobj o = rule(w, AT_LOOKUP, KRULE_LOOKUP);
    put_prefix(o.src, &o.src_len, l);
    o.proto = w->proto;
    if (has_ports(w->proto) && !w->opaque) {
        rule_ports(w->l, &o.sport, &o.sport2);
        rule_ports(w->r, &o.dport, &o.dport2);
    }
    return o;
}

static struct kobj route(const struct walk *w, enum kobj_action action, const struct prefix *to)
{
    struct kobj o = {.kind = KOBJ_ROUTE, .family = w->family, .action = (uint8_t)action};
    put_prefix(o.dst, &o.dst_len, to);
    return o;
}

static struct kobj way(const struct walk *w, const struct prefix *to)
{
    struct kobj o = route(w, w->spec->out_index ? KROUTE_OUT : KROUTE_TUN, to);
    o.ifindex = w->spec->out_index;
    return o;
}

static void cut(struct prefix *p)
{
    for (unsigned i = 0; i < 16; i++)
        if (8 * i + 8 > p->len)
            p->addr[i] &= (uint8_t)(8 * i < p->len ? 0xff00 >> (p->len - 8 * i) : 0);
}

// The routes of one table: first the exception, then what it is an exception from; the rule comes last.
static int table(const struct walk *w, const struct kobj *by, const struct prefix *l, const struct prefix *r)
{
    struct kobj own = route(w, KROUTE_THROW, l), into = way(w, r);
    int rc = inside(l, r) ? visit(w, &own, by) : 0;
    if (rc == 0)
        rc = visit(w, &into, by);
    return rc ? rc : visit(w, by, by);
}

static int routes(const struct walk *w, const struct prefix *l, const struct prefix *r)
{
    struct kobj by = lookup_rule(w, l);
    int rc = frame(w);
    if (rc == 0 && !w->opaque)
        rc = table(w, &by, l, r);
    if (rc || !(by.sport || by.dport || w->opaque))
        return rc;
    by.priority = w->o->rule_priority + AT_FRAGMENT;
    by.sport = by.sport2 = by.dport = by.dport2 = 0;
    rc = fragment_frame(w);
    return rc ? rc : table(w, &by, l, r);
}

// A local network inside the remote selector (10.1.0.0/16 of 0.0.0.0/0) still reaches itself, and the gateway
// in it: what is protected is the remote selector without the local network, the prefixes beside the way from
// one to the other. No policy that lets something pass is needed, and none can be in another policy's way.
static int around_own_network(const struct walk *w, const struct prefix *l, const struct prefix *r)
{
    int rc = 0;
    for (unsigned bit = r->len; bit < l->len && rc == 0; bit++) {
        struct prefix beside = *l;
        beside.len = (uint8_t)(bit + 1);
        beside.addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        cut(&beside);
        rc = blocks(w, l, &beside);
    }
    return rc;
}

// IPv6 has no exemption for an interface, as disable_xfrm and disable_policy are for IPv4. What is forwarded
// into the TUN is let out to it by a policy of its own.
static int into_tun(const struct walk *w)
{
    const struct kobj let = {.kind = KOBJ_XFRM,
                             .family = 6,
                             .action = KXFRM_ALLOW,
                             .dir = KDIR_OUT,
                             .ifindex = w->o->tun_index,
                             .priority = XFRM_WINDOW - 1};
    return visit(w, &let, NULL);
}

// What a program of this machine sends carries no interface yet when the kernel asks its policies, so none of
// them can say "to the TUN". A policy that holds instead of blocking lets the packet come as far as the hook
// of local output, with nowhere to go; the hook has its route looked up again, and the kernel asks the
// policies about the interface that it found: into_tun lets it out, or it is dropped. Of what comes in the
// policies cannot say "from the TUN" either, but they see a mark, which only the hook of local input sets.
// Without the hook, or without the TUN, all of this is closed. Of IPv4 it sets the mark on what a router says
// about the size of our outer packets, which a policy for the address of ours that they have would block.
static int own_programs(const struct walk *w)
{
    const struct kobj let = {.kind = KOBJ_XFRM,
                             .family = w->family,
                             .action = KXFRM_ALLOW,
                             .dir = KDIR_IN,
                             .mark = kernel_mark(w->o->number),
                             .mark_mask = KERNEL_MARK_MASK,
                             .priority = XFRM_WINDOW - 1};
    return visit(w, &let, NULL);
}

static int exemptions(const struct walk *w)
{
    if (!w->o->tun_index)
        return 0;
    int rc = w->family == 6 ? into_tun(w) : 0;
    return rc == 0 && hooks_of(w) ? own_programs(w) : rc;
}

// What the kernel itself says about a packet that came out of the TUN (RFC 4301 section 6) quotes it.
static int quotes(const struct walk *w)
{
    const struct kobj hook = {
        .kind = KOBJ_HOOK, .family = w->family, .action = KHOOK_TURN, .ifindex = w->o->tun_index};
    return hooks_of(w) ? visit(w, &hook, NULL) : 0;
}

static int pair_of_prefixes(const struct walk *w, const struct prefix *l, const struct prefix *r)
{
    bool takes = w->spec->action == POLICY_PROTECT;
    if (w->spec->out_index)
        return routes(w, l, r);
    int rc = takes && inside(l, r) ? around_own_network(w, l, r) : blocks(w, l, r);
    if (rc == 0)
        rc = groups(w, l, r);
    if (rc == 0 && takes)
        rc = one_link(w, l, r);
    if (rc == 0 && takes)
        rc = quotes(w);
    if (rc == 0 && takes)
        rc = exemptions(w);
    return rc == 0 && takes && w->o->routes ? routes(w, l, r) : rc;
}

// ---- walking

// No packet is of two protocols.
static bool protocol_of(const struct ts *l, const struct ts *r, uint8_t *proto)
{
    *proto = l->proto ? l->proto : r->proto;
    return !l->proto || !r->proto || l->proto == r->proto;
}

static int each_pair(const struct kset_options *o, const struct kset_spec *spec, const struct kset_visitor *v,
                     int (*f)(struct walk *w, void *ctx, struct esp_error *err), void *ctx,
                     struct esp_error *err)
{
    int rc = 0;
    for (unsigned i = 0; i < spec->local_count; i++) {
        for (unsigned j = 0; j < spec->remote_count && rc == 0; j++) {
            struct walk w = {.o = o, .v = v, .spec = spec, .l = &spec->local[i], .r = &spec->remote[j]};
            if (!w.l->family || w.l->family != w.r->family || !protocol_of(w.l, w.r, &w.proto))
                continue;
            w.family = w.l->family;
            w.ports = (has_ports(w.proto) || is_icmp(w.proto)) && !(any_port(w.l) && any_port(w.r));
            w.opaque = ts_opaque(w.l) || ts_opaque(w.r);
            rc = f(&w, ctx, err);
        }
    }
    return rc;
}

static int objects_of_pair(struct walk *w, void *ctx, struct esp_error *err)
{
    struct prefixes l, r;
    int rc = prefixes_of(w->l, &l, err);
    (void)ctx;
    if (rc == 0)
        rc = prefixes_of(w->r, &r, err);
    for (unsigned i = 0; rc == 0 && i < l.count; i++)
        for (unsigned j = 0; rc == 0 && j < r.count; j++)
            rc = pair_of_prefixes(w, &l.p[i], &r.p[j]);
    return rc;
}

int kset_objects(const struct kset_options *o, const struct kset_spec *spec, const struct kset_visitor *v,
                 struct esp_error *err)
{
    return each_pair(o, spec, v, objects_of_pair, NULL, err);
}

// ---- sources

static bool in_selector(const struct ts *l, const struct addr *a)
{
    return a->family == l->family && ts_match(l, a->family, a->a, l->proto, l->port_lo);
}

static const struct addr *source_in(const struct kset_sources *s, const struct ts *l, bool wide)
{
    const struct addr *pref = &s->preferred[l->family == 6];
    for (unsigned i = 0; i < s->virtual_count; i++) // it is there for these packets alone
        if (in_selector(l, &s->virtual_ip[i]))
            return &s->virtual_ip[i];
    if (in_selector(l, pref))
        return pref;
    for (unsigned i = 0; i < s->count && !wide; i++)
        if (in_selector(l, &s->net[i].a))
            return &s->net[i].a;
    return NULL;
}

// Where a program that has not chosen its source may answer from an address that no policy names.
static int asked(const struct walk *w)
{
    const struct kobj hook = {.kind = KOBJ_HOOK,
                              .family = w->family,
                              .action = KHOOK_ASKED,
                              .proto = IPPROTO_UDP,
                              .ifindex = w->o->tun_index};
    return hooks_of(w) && (!w->proto || w->proto == IPPROTO_UDP) ? visit(w, &hook, NULL) : 0;
}

// What the machine reaches from an address that the policy does not name, it still reaches from there.
static int other_networks(const struct walk *w, const struct kset_sources *s, const struct kobj *by,
                          const struct prefix *r)
{
    int rc = 0;
    for (unsigned i = 0; i < s->count && rc == 0; i++) {
        struct prefix net = {.len = s->net[i].len};
        if (s->net[i].a.family != w->family || in_selector(w->l, &s->net[i].a))
            continue;
        memcpy(net.addr, s->net[i].a.a, 16);
        cut(&net);
        struct kobj past = route(w, KROUTE_THROW, &net);
        if (!inside(&net, r))
            continue;
        if ((rc = asked(w)) == 0)
            rc = visit(w, &past, by);
    }
    return rc;
}

// In IPv6 a rule that names a source is not asked about packets that have none, not even one for ::/128. So
// what has a source goes past the rules of those that have none.
static struct kobj source_rule(const struct walk *w)
{
    const struct prefix any = {.len = 0};
    struct kobj o = lookup_rule(w, &any);
    o.priority = w->o->rule_priority + AT_SOURCE;
    return o;
}

static int source_frame(const struct walk *w)
{
    struct kobj past = rule(w, AT_SOURCED, KRULE_NOP), half = rule(w, AT_FROM, KRULE_GOTO);
    half.target = past.priority;
    half.src_len = 1;
    int rc = visit(w, &past, NULL);
    if (rc == 0)
        rc = visit(w, &half, NULL);
    half.src[0] = 0x80;
    return rc ? rc : visit(w, &half, NULL);
}

static bool is_wide(uint8_t family, const struct prefix *r)
{
    return r->len < (family == 6 ? 16 : 8);
}

static int source_routes(const struct walk *w, const struct kset_sources *s, const struct kobj *by,
                         const struct prefixes *l, const struct prefix *r)
{
    const struct addr *from = source_in(s, w->l, is_wide(w->family, r) && !by->mark_mask);
    struct kobj to = way(w, r);
    if (!from)
        return 0;
    int rc = by->mark_mask ? 0 : other_networks(w, s, by, r);
    for (unsigned i = 0; i < l->count && rc == 0; i++) {
        struct kobj own = route(w, KROUTE_THROW, &l->p[i]);
        rc = inside(&l->p[i], r) ? visit(w, &own, by) : 0;
    }
    to.from_set = 1;
    memcpy(to.from, from->a, w->family == 6 ? 16 : 4);
    if (rc == 0)
        rc = visit(w, &to, by);
    if (rc == 0 && w->family == 6)
        rc = source_frame(w);
    return rc ? rc : visit(w, by, by);
}

// ---- neighbours

static int let_neighbours(const struct walk *w, enum kobj_dir dir, const struct prefix *src,
                          const struct prefix *dst)
{
    const struct masked solicitation = {ND_NEIGHBOR_SOLICIT, 0xffff},
                        advertisement = {ND_NEIGHBOR_ADVERT, 0xffff};
    int rc = let_link(w, dir, src, dst, IPPROTO_ICMPV6, solicitation);
    return rc ? rc : let_link(w, dir, src, dst, IPPROTO_ICMPV6, advertisement);
}

// A router may be anywhere.
static bool may_be_on_link(const struct kset_sources *s, const struct prefix *r)
{
    bool may = is_wide(6, r);
    for (unsigned i = 0; i < s->count && !may; i++)
        may = s->net[i].a.family == 6 && kset_prefixes_overlap(r->addr, r->len, s->net[i].a.a, s->net[i].len);
    return may;
}

// Between this machine and the next hop, or the other end, where that has an address that the policy names.
// What is sent is let out from the machine's own addresses alone: what it forwards may say that it is
// neighbour discovery, which a hook drops (KHOOK_TURN), whatever source it claims.
static int neighbours(const struct walk *w, const struct kset_sources *s, const struct prefixes *l,
                      const struct prefix *r)
{
    static const struct prefix link_local = {{0xfe, 0x80}, 10};
    bool any = false;
    int rc = 0;
    for (unsigned i = 0; i < s->count && rc == 0; i++) {
        struct prefix own = {.len = 128};
        if (!in_selector(w->l, &s->net[i].a))
            continue;
        memcpy(own.addr, s->net[i].a.a, 16);
        any = true;
        rc = let_neighbours(w, KDIR_OUT, &own, r);
    }
    for (unsigned i = 0; i < l->count && rc == 0 && any; i++) {
        rc = let_neighbours(w, KDIR_IN, r, &l->p[i]);
        if (rc == 0 && inside(&link_local, &l->p[i]))
            rc = let_neighbours(w, KDIR_OUT, &link_local, r);
    }
    return rc;
}

static int neighbours_of_pair(struct walk *w, void *ctx, struct esp_error *err)
{
    struct prefixes l, r;
    if (!means_no_discovery(w))
        return 0;
    int rc = prefixes_of(w->l, &l, err);
    if (rc == 0)
        rc = prefixes_of(w->r, &r, err);
    for (unsigned i = 0; rc == 0 && i < r.count; i++)
        if (may_be_on_link(ctx, &r.p[i]))
            rc = neighbours(w, ctx, &l, &r.p[i]);
    return rc;
}

// ---- errors about what the TUN has brought

static bool answers_errors(const struct walk *w)
{
    return !w->proto || is_icmp(w->proto);
}

static int let_errors_from(const struct walk *w, const struct addr *a)
{
    const struct masked types = {0, 0xff80}, any = {0, 0}; // RFC 4443 section 2.1: errors
    struct prefix own = {.len = 128}, everyone = {.len = 0};
    if (!in_selector(w->l, a))
        return 0;
    memcpy(own.addr, a->a, 16);
    struct kobj let = xfrm(w, KDIR_OUT, &own, &everyone);
    let.action = KXFRM_ALLOW;
    let.proto = IPPROTO_ICMPV6;
    let.mark = kernel_mark(w->o->number);
    let.mark_mask = KERNEL_MARK_MASK;
    let.priority = XFRM_WINDOW - 1;
    set_ports(&let, types, any);
    return visit(w, &let, NULL);
}

// An ICMPv6 error of the kernel's own is given up where a policy holds it (the kernel makes a way into
// nothing for programs alone). So what answers the TUN is let come to the hook, which lets it go into the TUN
// and nowhere else. Without the hook nothing has the mark; and what is forwarded has another source.
static int let_errors(const struct walk *w, const struct kset_sources *s)
{
    int rc = 0;
    if (w->family != 6 || !hooks_of(w) || !answers_errors(w))
        return 0;
    for (unsigned i = 0; i < s->count && rc == 0; i++)
        rc = let_errors_from(w, &s->net[i].a);
    for (unsigned i = 0; i < s->virtual_count && rc == 0; i++)
        rc = let_errors_from(w, &s->virtual_ip[i]);
    return rc;
}

// A local program that has not chosen its source yet is asked about with none. Towards a remote network it
// gets a protected one where the machine has such; towards (nearly) everywhere only where it would have got
// it anyway: a gateway's own way to the world is not taken because one of its addresses lies in a network
// that it protects. But the kernel's errors about what the TUN has brought take it.
static int sources_of_pair(struct walk *w, void *ctx, struct esp_error *err)
{
    struct prefix none = {.len = w->family == 6 ? 128 : 32};
    struct kobj by = lookup_rule(w, &none);
    struct prefixes l, r;
    int rc = prefixes_of(w->l, &l, err);
    if (w->opaque) // nobody sends fragments from here before they have a route
        return rc;
    if (rc == 0)
        rc = prefixes_of(w->r, &r, err);
    if (rc == 0 && !w->spec->out_index)
        rc = let_errors(w, ctx);
    if (w->family == 6)
        by = source_rule(w);
    for (unsigned i = 0; rc == 0 && i < r.count; i++) {
        rc = is_wide(w->family, &r.p[i]) ? asked(w) : 0;
        if (rc == 0)
            rc = source_routes(w, ctx, &by, &l, &r.p[i]);
    }
    by.mark = kernel_mark(w->o->number);
    by.mark_mask = KERNEL_MARK_MASK;
    for (unsigned i = 0; rc == 0 && i < r.count && hooks_of(w) && answers_errors(w); i++)
        if (is_wide(w->family, &r.p[i]))
            rc = source_routes(w, ctx, &by, &l, &r.p[i]);
    return rc;
}

int kset_source_objects(const struct kset_options *o, const struct kset_spec *spec,
                        const struct kset_sources *s, const struct kset_visitor *v, struct esp_error *err)
{
    if (spec->action != POLICY_PROTECT)
        return 0;
    int rc = spec->out_index ? 0 : each_pair(o, spec, v, neighbours_of_pair, (void *)s, err);
    return rc || !o->routes ? rc : each_pair(o, spec, v, sources_of_pair, (void *)s, err);
}
