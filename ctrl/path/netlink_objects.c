// SPDX-License-Identifier: Apache-2.0
// Objects as netlink messages and back. What is ours is told by its mark: rules and routes by their protocol
// and tables, XFRM policies by the user in their selector (the kernel keeps it, compares it, and asks nobody
// about it).
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "ctrl/path/netlink.h"

static int family_of(const struct kobj *o)
{
    return o->family == 6 ? AF_INET6 : AF_INET;
}

static size_t addr_len(const struct kobj *o)
{
    return o->family == 6 ? 16 : 4;
}

// ---- rules

static void put_range(struct nlmsghdr *h, uint16_t attr, uint16_t lo, uint16_t hi)
{
    const struct fib_rule_port_range r = {lo, hi};
    if (lo)
        mnl_attr_put(h, attr, sizeof(r), &r);
}

static void put_rule(const struct netlink_kernel *n, struct nlmsghdr *h, const struct kobj *o, bool add)
{
    static const uint8_t actions[] = {
        [KRULE_LOOKUP] = FR_ACT_TO_TBL, [KRULE_GOTO] = FR_ACT_GOTO, [KRULE_NOP] = FR_ACT_NOP};
    h->nlmsg_type = add ? RTM_NEWRULE : RTM_DELRULE;
    h->nlmsg_flags |= add ? NLM_F_CREATE | NLM_F_EXCL : 0;
    struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->family = (uint8_t)family_of(o);
    m->action = actions[o->action];
    m->flags = o->invert ? FIB_RULE_INVERT : 0;
    m->src_len = o->src_len;
    mnl_attr_put_u32(h, FRA_PRIORITY, o->priority);
    mnl_attr_put_u32(h, FRA_TABLE,
                     o->table ? o->table : n->base.tables); // of the others it says whose they are
    mnl_attr_put_u8(h, FRA_PROTOCOL, NETLINK_PROTOCOL);
    if (o->src_len)
        mnl_attr_put(h, FRA_SRC, addr_len(o), o->src);
    if (o->action == KRULE_GOTO)
        mnl_attr_put_u32(h, FRA_GOTO, o->target);
    if (o->mark_mask) {
        mnl_attr_put_u32(h, FRA_FWMARK, o->mark);
        mnl_attr_put_u32(h, FRA_FWMASK, o->mark_mask);
    }
    if (o->proto)
        mnl_attr_put_u8(h, FRA_IP_PROTO, o->proto);
    put_range(h, FRA_SPORT_RANGE, o->sport, o->sport2);
    put_range(h, FRA_DPORT_RANGE, o->dport, o->dport2);
}

static void get_range(const struct nlattr *a, uint16_t *lo, uint16_t *hi)
{
    struct fib_rule_port_range r;
    if (!a || mnl_attr_get_payload_len(a) < sizeof(r))
        return;
    memcpy(&r, mnl_attr_get_payload(a), sizeof(r));
    *lo = r.start;
    *hi = r.end;
}

#define MAX_ATTR 64
static void sort_attrs(const struct nlmsghdr *h, size_t offset, const struct nlattr **tb)
{
    const struct nlattr *a;
    memset(tb, 0, MAX_ATTR * sizeof(struct nlattr *));
    mnl_attr_for_each(a, h, offset) if (mnl_attr_get_type(a) < MAX_ATTR) tb[mnl_attr_get_type(a)] = a;
}

static uint32_t get_u32(const struct nlattr *a)
{
    return a && mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : 0;
}

static bool get_addr(const struct nlattr *a, uint8_t *out)
{
    size_t len = a ? mnl_attr_get_payload_len(a) : 0;
    if (len == 0 || len > 16)
        return false;
    memcpy(out, mnl_attr_get_payload(a), len);
    return true;
}

static bool our_table(const struct netlink_kernel *n, uint32_t table)
{
    return n->base.tables && table - n->base.tables < KERNEL_TABLES;
}

static bool get_rule(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *o)
{
    const struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);
    const struct nlattr *tb[MAX_ATTR];
    sort_attrs(h, sizeof(*m), tb);
    if (!tb[FRA_PROTOCOL] || mnl_attr_get_u8(tb[FRA_PROTOCOL]) != NETLINK_PROTOCOL)
        return false;
    o->kind = KOBJ_RULE;
    o->family = m->family == AF_INET6 ? 6 : 4;
    o->action = m->action == FR_ACT_TO_TBL ? KRULE_LOOKUP : m->action == FR_ACT_GOTO ? KRULE_GOTO : KRULE_NOP;
    o->table = tb[FRA_TABLE] ? get_u32(tb[FRA_TABLE]) : m->table;
    if (!our_table(n, o->table))
        return false;
    if (o->action != KRULE_LOOKUP)
        o->table = 0;
    o->invert = (m->flags & FIB_RULE_INVERT) != 0;
    o->src_len = m->src_len;
    get_addr(tb[FRA_SRC], o->src);
    o->priority = get_u32(tb[FRA_PRIORITY]);
    o->target = o->action == KRULE_GOTO ? get_u32(tb[FRA_GOTO]) : 0;
    o->mark = get_u32(tb[FRA_FWMARK]);
    o->mark_mask = get_u32(tb[FRA_FWMASK]);
    o->proto = tb[FRA_IP_PROTO] ? mnl_attr_get_u8(tb[FRA_IP_PROTO]) : 0;
    get_range(tb[FRA_SPORT_RANGE], &o->sport, &o->sport2);
    get_range(tb[FRA_DPORT_RANGE], &o->dport, &o->dport2);
    return true;
}

// ---- routes

static void put_route(const struct netlink_kernel *n, struct nlmsghdr *h, const struct kobj *o, bool add)
{
    static const uint8_t types[] = {[KROUTE_OUT] = RTN_UNICAST,
                                    [KROUTE_TUN] = RTN_UNICAST,
                                    [KROUTE_THROW] = RTN_THROW,
                                    [KROUTE_UNREACHABLE] = RTN_UNREACHABLE};
    h->nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE;
    h->nlmsg_flags |= add ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = (uint8_t)family_of(o);
    m->rtm_dst_len = o->dst_len;
    m->rtm_table = RT_TABLE_UNSPEC;
    m->rtm_protocol = NETLINK_PROTOCOL;
    // One is taken away by its place, whatever is in it. None is of RT_SCOPE_LINK: a gateway that somebody
    // names without its link would be looked for on the TUN, where a policy names its address.
    m->rtm_scope = add ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE;
    m->rtm_type = add ? types[o->action] : RTN_UNSPEC;
    if (o->dst_len)
        mnl_attr_put(h, RTA_DST, addr_len(o), o->dst);
    mnl_attr_put_u32(h, RTA_TABLE, o->table);
    if (add && o->action == KROUTE_TUN)
        mnl_attr_put_u32(h, RTA_OIF, (uint32_t)n->tun_index);
    if (add && o->action == KROUTE_OUT) {
        mnl_attr_put_u32(h, RTA_OIF, o->ifindex);
        mnl_attr_put_u32(h, RTA_FLOW, NETLINK_REALM_OUT);
    }
    if (add && o->from_set)
        mnl_attr_put(h, RTA_PREFSRC, addr_len(o), o->from);
    // a held packet's way is a copy of the route with another interface, which has another MTU
    if (add && o->action == KROUTE_TUN && o->family == 6) {
        struct nlattr *metrics = mnl_attr_nest_start(h, RTA_METRICS);
        mnl_attr_put_u32(h, RTAX_MTU, n->tun_mtu);
        mnl_attr_nest_end(h, metrics);
    }
}

// Into the TUN, as put_route makes it. The scope is IPv4's alone.
static bool is_into_tun(const struct netlink_kernel *n, const struct nlattr *const *tb, const struct rtmsg *m)
{
    const struct nlattr *a;
    uint32_t mtu = 0;
    if (tb[RTA_METRICS])
        mnl_attr_for_each_nested(a, tb[RTA_METRICS]) if (mnl_attr_get_type(a) == RTAX_MTU) mtu = get_u32(a);
    return m->rtm_family == AF_INET ? m->rtm_scope == RT_SCOPE_UNIVERSE : mtu == n->tun_mtu;
}

static bool get_route(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *o)
{
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    const struct nlattr *tb[MAX_ATTR];
    sort_attrs(h, sizeof(*m), tb);
    o->kind = KOBJ_ROUTE;
    o->family = m->rtm_family == AF_INET6 ? 6 : 4;
    o->table = tb[RTA_TABLE] ? get_u32(tb[RTA_TABLE]) : m->rtm_table;
    if (m->rtm_protocol != NETLINK_PROTOCOL || !our_table(n, o->table) || (m->rtm_flags & RTM_F_CLONED))
        return false;
    o->dst_len = m->rtm_dst_len;
    get_addr(tb[RTA_DST], o->dst);
    o->action = m->rtm_type == RTN_THROW     ? KROUTE_THROW
                : m->rtm_type == RTN_UNICAST ? KROUTE_TUN
                                             : KROUTE_UNREACHABLE;
    o->from_set = get_addr(tb[RTA_PREFSRC], o->from);
    if (o->action == KROUTE_TUN && get_u32(tb[RTA_OIF]) != (uint32_t)n->tun_index) {
        bool out = get_u32(tb[RTA_FLOW]) == NETLINK_REALM_OUT;
        o->action = out ? KROUTE_OUT : 0;
        o->ifindex = out ? get_u32(tb[RTA_OIF]) : 0;
    }
    // one that leads elsewhere, or is of an earlier version's form, has no value that anybody wants: it is
    // replaced
    if (o->action == KROUTE_TUN && !is_into_tun(n, tb, m))
        o->action = 0;
    return true;
}

// ---- XFRM policies

static void selector_put(const struct netlink_kernel *n, struct xfrm_selector *s, const struct kobj *o)
{
    memset(s, 0, sizeof(*s));
    memcpy(&s->saddr, o->src, 16);
    memcpy(&s->daddr, o->dst, 16);
    s->prefixlen_s = o->src_len;
    s->prefixlen_d = o->dst_len;
    s->family = (uint16_t)family_of(o);
    s->proto = o->proto;
    s->sport = htons(o->sport);
    s->sport_mask = htons(o->sport2);
    s->dport = htons(o->dport);
    s->dport_mask = htons(o->dport2);
    s->ifindex = (int)o->ifindex;
    s->user = n->owner;
}

// A policy that asks for an SA which nobody will ever have, between addresses of the discard prefix (RFC
// 6666): the kernel drops what is forwarded, and gives what is sent from here a way into nothing
// (ip6_blackhole_route) instead of an error.
static void put_nobodys_sa(const struct netlink_kernel *n, struct nlmsghdr *h)
{
    static const uint8_t discard[16] = {0x01};
    struct xfrm_user_tmpl t = {.family = AF_INET6,
                               .reqid = n->owner,
                               .mode = XFRM_MODE_TUNNEL,
                               .aalgos = UINT32_MAX,
                               .ealgos = UINT32_MAX,
                               .calgos = UINT32_MAX};
    t.id.proto = IPPROTO_ESP;
    memcpy(&t.id.daddr, discard, 16);
    memcpy(&t.saddr, discard, 16);
    mnl_attr_put(h, XFRMA_TMPL, sizeof(t), &t);
}

// Its 64-bit members want an alignment that a netlink message, of 32-bit words, does not have.
static void put_policy(const struct netlink_kernel *n, struct nlmsghdr *h, const struct kobj *o)
{
    struct xfrm_userpolicy_info p = {.dir = o->dir, .priority = o->priority};
    selector_put(n, &p.sel, o);
    p.action = o->action == KXFRM_BLOCK ? XFRM_POLICY_BLOCK : XFRM_POLICY_ALLOW;
    p.lft.soft_byte_limit = p.lft.hard_byte_limit = XFRM_INF;
    p.lft.soft_packet_limit = p.lft.hard_packet_limit = XFRM_INF;
    p.lft.hard_add_expires_seconds = o->lifetime;
    memcpy(mnl_nlmsg_put_extra_header(h, sizeof(p)), &p, sizeof(p));
}

static void put_xfrm(const struct netlink_kernel *n, struct nlmsghdr *h, const struct kobj *o, bool add)
{
    if (add) {
        h->nlmsg_type = XFRM_MSG_UPDPOLICY; // creates or replaces
        put_policy(n, h, o);
        if (o->action == KXFRM_HOLD)
            put_nobodys_sa(n, h);
    } else {
        h->nlmsg_type = XFRM_MSG_DELPOLICY;
        struct xfrm_userpolicy_id *p = mnl_nlmsg_put_extra_header(h, sizeof(*p));
        selector_put(n, &p->sel, o);
        p->dir = o->dir;
    }
    if (o->mark_mask) {
        const struct xfrm_mark mark = {o->mark, o->mark_mask};
        mnl_attr_put(h, XFRMA_MARK, sizeof(mark), &mark);
    }
}

static bool get_selector(const struct netlink_kernel *n, const struct xfrm_selector *s, struct kobj *o)
{
    if (s->user != n->owner)
        return false;
    o->kind = KOBJ_XFRM;
    o->family = s->family == AF_INET6 ? 6 : 4;
    memcpy(o->src, &s->saddr, addr_len(o));
    memcpy(o->dst, &s->daddr, addr_len(o));
    o->src_len = s->prefixlen_s;
    o->dst_len = s->prefixlen_d;
    o->proto = s->proto;
    o->sport = ntohs(s->sport);
    o->sport2 = ntohs(s->sport_mask);
    o->dport = ntohs(s->dport);
    o->dport2 = ntohs(s->dport_mask);
    o->ifindex = (uint32_t)s->ifindex;
    return true;
}

static void get_attributes(const struct nlmsghdr *h, size_t offset, struct kobj *o)
{
    const struct nlattr *tb[MAX_ATTR];
    struct xfrm_mark mark;
    sort_attrs(h, offset, tb);
    if (tb[XFRMA_TMPL] && o->action == KXFRM_ALLOW)
        o->action = KXFRM_HOLD;
    if (!tb[XFRMA_MARK] || mnl_attr_get_payload_len(tb[XFRMA_MARK]) < sizeof(mark))
        return;
    memcpy(&mark, mnl_attr_get_payload(tb[XFRMA_MARK]), sizeof(mark));
    o->mark = mark.v;
    o->mark_mask = mark.m;
}

// Who deletes by number (`ip xfrm policy deleteall`) gets a notice without a selector; the policy itself
// comes behind it, as an attribute.
static const struct xfrm_selector *deleted_selector(const struct nlmsghdr *h,
                                                    const struct xfrm_userpolicy_id *id)
{
    const struct nlattr *tb[MAX_ATTR];
    if (mnl_nlmsg_get_payload_len(h) < sizeof(*id))
        return NULL;
    sort_attrs(h, sizeof(*id), tb);
    if (!tb[XFRMA_POLICY] || mnl_attr_get_payload_len(tb[XFRMA_POLICY]) < sizeof(struct xfrm_userpolicy_info))
        return &id->sel;
    const char *policy = mnl_attr_get_payload(tb[XFRMA_POLICY]);
    return (const struct xfrm_selector *)(const void *)(policy + offsetof(struct xfrm_userpolicy_info, sel));
}

static bool get_xfrm(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *o)
{
    struct xfrm_userpolicy_info p;
    // a notice of its end begins with an identity or with the whole policy
    if (h->nlmsg_type == XFRM_MSG_DELPOLICY) {
        const struct xfrm_userpolicy_id *id = mnl_nlmsg_get_payload(h);
        const struct xfrm_selector *sel = deleted_selector(h, id);
        if (!sel || !get_selector(n, sel, o))
            return false;
        o->dir = id->dir;
        get_attributes(h, sizeof(*id), o);
        return true;
    }
    if (mnl_nlmsg_get_payload_len(h) < sizeof(p))
        return false;
    memcpy(&p, mnl_nlmsg_get_payload(h), sizeof(p)); // which is aligned for 32 bits alone
    if (!get_selector(n, &p.sel, o))
        return false;
    o->dir = p.dir;
    o->action = p.action == XFRM_POLICY_ALLOW ? KXFRM_ALLOW : KXFRM_BLOCK;
    o->priority = p.priority;
    o->lifetime = (uint32_t)p.lft.hard_add_expires_seconds;
    get_attributes(h, h->nlmsg_type == XFRM_MSG_POLEXPIRE ? sizeof(struct xfrm_user_polexpire) : sizeof(p),
                   o);
    return true;
}

// ---- any

struct nlmsghdr *netlink_put(const struct netlink_kernel *n, char *buf, const struct kobj *o, bool add)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    switch (o->kind) {
    case KOBJ_RULE: put_rule(n, h, o, add); break;
    case KOBJ_ROUTE: put_route(n, h, o, add); break;
    default: put_xfrm(n, h, o, add); break;
    }
    return h;
}

bool netlink_get(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *out)
{
    memset(out, 0, sizeof(*out));
    switch (h->nlmsg_type) {
    case RTM_NEWRULE:
    case RTM_DELRULE:
        return mnl_nlmsg_get_payload_len(h) >= sizeof(struct fib_rule_hdr) && get_rule(n, h, out);
    case RTM_NEWROUTE:
    case RTM_DELROUTE: return mnl_nlmsg_get_payload_len(h) >= sizeof(struct rtmsg) && get_route(n, h, out);
    default: return false;
    }
}

bool netlink_get_xfrm(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *out)
{
    memset(out, 0, sizeof(*out));
    switch (h->nlmsg_type) {
    case XFRM_MSG_NEWPOLICY:
    case XFRM_MSG_UPDPOLICY:
    case XFRM_MSG_DELPOLICY:
    case XFRM_MSG_POLEXPIRE: return get_xfrm(n, h, out);
    default: return false;
    }
}
