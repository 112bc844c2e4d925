// SPDX-License-Identifier: Apache-2.0
// The hooks of a family (KOBJ_HOOK) as one table of nf_tables, named after the instance:
//
//   out     IPv6, at local output: a packet that has a way into nothing (its device is the loopback, its
//           destination is not this machine's) is looked up again. Netfilter does that when a hook changes
//           the mark, and asks the XFRM policies again, this time about the interface that was found
//           (ip6_route_me_harder).
//   in      the last at local input: the mark that the policies let in is on what the TUN brings, on what a
//           router on the way says about the size of a packet of ours (ESP, AH or UDP, which the TUN has
//           nothing of), and on nothing else. Other instances' marks are theirs.
//   from    the last before routing: the mark is on what the TUN brings. The kernel gives its own answers the
//           mark of what they answer (net.ipv4.fwmark_reflect), and those quote it.
//   quotes  the last at local output: ICMP errors with that mark go into the TUN or nowhere.
//
// In a table of its own (KHOOK_ASKED), for programs on 0.0.0.0 or ::, which may answer from any address:
//
//   asked    the last at local input: who has asked such a program by UDP through the TUN, and at which port,
//            is kept for a while. Where from there does not count, nor of an IPv6 address the second half, so
//            that one asker takes a place for each such program and no more.
//   answers  the last at local output: what such a program says to whom has asked it goes into the TUN or
//            nowhere. What is connected, or bound to an address, has its source, and the policies see to
//            that.
//
// And a table of its own for each hook of groups, its name made of ours and of what it is for, at forwarding,
// in the order of the policies: some mark what is let go, and the others drop what has no such mark.
//
// Without what is IPv6's alone, or with that changed by somebody, more is dropped, never less. The others
// hold something back, and are put back like anything else.
#include <netinet/in.h> // before the kernel's own of the same

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ctrl/path/kset_objects.h"
#include "ctrl/path/netlink.h"

#define LOOPBACK  1u          // the kernel gives it no other index
#define LOOK_MARK 0x40000000u // changed to have the route looked up again; the TUN strips it
#define ROOM      16384
#define HOOKS     "espalier-"
#define ASKED     "askers"
#define ASKED_MAX 65536u
#define ASKED_MS  180000u // as long as a stream of UDP is remembered elsewhere (nf_conntrack)

// ---- messages

struct batch {
    uint8_t family; // NFPROTO_*
    _Alignas(struct nlmsghdr) char buf[ROOM];
    size_t len;
    uint32_t first, last; // numbers of the envelope's beginning and of the last message in it
};

static struct nlmsghdr *put_head(char *buf, uint16_t type, uint8_t family, uint16_t flags, uint32_t seq)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = seq;
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->nfgen_family = family;
    m->version = NFNETLINK_V0;
    return h;
}

static void put_envelope(struct netlink_kernel *n, struct batch *b, uint16_t type)
{
    struct nlmsghdr *h = put_head(b->buf + b->len, type, AF_UNSPEC, 0, ++n->seq);
    ((struct nfgenmsg *)mnl_nlmsg_get_payload(h))->res_id = htons(NFNL_SUBSYS_NFTABLES);
    b->len += MNL_ALIGN(h->nlmsg_len);
}

static struct nlmsghdr *message(struct netlink_kernel *n, struct batch *b, uint16_t type, uint16_t flags)
{
    return put_head(b->buf + b->len, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), b->family,
                    (uint16_t)(NLM_F_ACK | flags), ++n->seq);
}

static void finish(struct batch *b, const struct nlmsghdr *h)
{
    b->len += MNL_ALIGN(h->nlmsg_len);
    b->last = h->nlmsg_seq;
}

static void begin(struct netlink_kernel *n, struct batch *b)
{
    b->len = 0;
    put_envelope(n, b, NFNL_MSG_BATCH_BEGIN);
    b->first = n->seq;
}

static void put_be32(struct nlmsghdr *h, uint16_t attr, uint32_t value)
{
    mnl_attr_put_u32(h, attr, htonl(value));
}

static void table(struct netlink_kernel *n, struct batch *b, const char *name, uint16_t type)
{
    struct nlmsghdr *h = message(n, b, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0);
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, name);
    finish(b, h);
}

static void chain(struct netlink_kernel *n, struct batch *b, const char *of, const char *name,
                  const char *type, uint32_t hook, int priority)
{
    struct nlmsghdr *h = message(n, b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, of);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
    mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, type);
    struct nlattr *at = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
    put_be32(h, NFTA_HOOK_HOOKNUM, hook);
    put_be32(h, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    mnl_attr_nest_end(h, at);
    finish(b, h);
}

static uint32_t asker_len(uint8_t family) // of what counts of its address
{
    return family == NFPROTO_IPV6 ? 8 : 4;
}

// Keys: an address, or a network of IPv6, and the port here, filled up to 32 bits.
static void asked_set(struct netlink_kernel *n, struct batch *b, const char *of)
{
    struct nlmsghdr *h = message(n, b, NFT_MSG_NEWSET, NLM_F_CREATE);
    mnl_attr_put_strz(h, NFTA_SET_TABLE, of);
    mnl_attr_put_strz(h, NFTA_SET_NAME, ASKED);
    put_be32(h, NFTA_SET_ID, 1);
    put_be32(h, NFTA_SET_FLAGS, NFT_SET_TIMEOUT | NFT_SET_EVAL);
    put_be32(h, NFTA_SET_KEY_TYPE, 0);
    put_be32(h, NFTA_SET_KEY_LEN, asker_len(b->family) + 4);
    mnl_attr_put_u64(h, NFTA_SET_TIMEOUT, htobe64(ASKED_MS));
    struct nlattr *at = mnl_attr_nest_start(h, NFTA_SET_DESC);
    put_be32(h, NFTA_SET_DESC_SIZE, ASKED_MAX);
    mnl_attr_nest_end(h, at);
    finish(b, h);
}

// ---- rules, in nf_tables' expressions on one register, or on some from the first on

struct expression {
    struct nlattr *element, *data;
};

static struct expression expression(struct nlmsghdr *h, const char *name)
{
    struct expression e = {.element = mnl_attr_nest_start(h, NFTA_LIST_ELEM)};
    mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
    e.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
    return e;
}

static void expression_end(struct nlmsghdr *h, struct expression e)
{
    mnl_attr_nest_end(h, e.data);
    mnl_attr_nest_end(h, e.element);
}

static void put_value(struct nlmsghdr *h, uint16_t attr, const void *p, uint32_t len)
{
    struct nlattr *at = mnl_attr_nest_start(h, attr);
    mnl_attr_put(h, NFTA_DATA_VALUE, len, p);
    mnl_attr_nest_end(h, at);
}

static void load(struct nlmsghdr *h, uint32_t key)
{
    struct expression e = expression(h, "meta");
    put_be32(h, NFTA_META_KEY, key);
    put_be32(h, NFTA_META_DREG, NFT_REG_1);
    expression_end(h, e);
}

static void compare_octets(struct nlmsghdr *h, uint32_t how, const void *p, uint32_t len)
{
    struct expression e = expression(h, "cmp");
    put_be32(h, NFTA_CMP_SREG, NFT_REG_1);
    put_be32(h, NFTA_CMP_OP, how);
    put_value(h, NFTA_CMP_DATA, p, len);
    expression_end(h, e);
}

static void compare(struct nlmsghdr *h, uint32_t how, uint32_t value)
{
    compare_octets(h, how, &value, sizeof(value));
}

static void load_bytes(struct nlmsghdr *h, uint32_t into, uint32_t base, uint32_t offset, uint32_t len)
{
    struct expression e = expression(h, "payload");
    put_be32(h, NFTA_PAYLOAD_DREG, into);
    put_be32(h, NFTA_PAYLOAD_BASE, base);
    put_be32(h, NFTA_PAYLOAD_OFFSET, offset);
    put_be32(h, NFTA_PAYLOAD_LEN, len);
    expression_end(h, e);
}

static void compare_octet(struct nlmsghdr *h, uint32_t how, uint8_t value)
{
    compare_octets(h, how, &value, sizeof(value));
}

static void protocol_is(struct nlmsghdr *h, uint8_t proto)
{
    load(h, NFT_META_L4PROTO);
    compare_octet(h, NFT_CMP_EQ, proto);
}

// Of a packet that goes out the far side is its destination.
static void load_asker(struct nlmsghdr *h, uint8_t family, bool out)
{
    uint32_t len = asker_len(family), src = family == NFPROTO_IPV6 ? 8 : 12,
             dst = family == NFPROTO_IPV6 ? 24 : 16;
    load_bytes(h, NFT_REG32_00, NFT_PAYLOAD_NETWORK_HEADER, out ? dst : src, len);
    load_bytes(h, NFT_REG32_00 + len / 4, NFT_PAYLOAD_TRANSPORT_HEADER, out ? 0 : 2, 2);
}

// Whether its socket has no address of its own; the rule ends where there is no socket.
static void load_wildcard(struct nlmsghdr *h)
{
    struct expression e = expression(h, "socket");
    put_be32(h, NFTA_SOCKET_KEY, NFT_SOCKET_WILDCARD);
    put_be32(h, NFTA_SOCKET_DREG, NFT_REG_1);
    expression_end(h, e);
}

static void keep_asker(struct nlmsghdr *h)
{
    struct expression e = expression(h, "dynset");
    mnl_attr_put_strz(h, NFTA_DYNSET_SET_NAME, ASKED);
    put_be32(h, NFTA_DYNSET_SET_ID, 1);
    put_be32(h, NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
    put_be32(h, NFTA_DYNSET_SREG_KEY, NFT_REG32_00);
    mnl_attr_put_u64(h, NFTA_DYNSET_TIMEOUT, htobe64(ASKED_MS));
    expression_end(h, e);
}

static void is_asker(struct nlmsghdr *h)
{
    struct expression e = expression(h, "lookup");
    mnl_attr_put_strz(h, NFTA_LOOKUP_SET, ASKED);
    put_be32(h, NFTA_LOOKUP_SET_ID, 1);
    put_be32(h, NFTA_LOOKUP_SREG, NFT_REG32_00);
    expression_end(h, e);
}

static void verdict_is(struct nlmsghdr *h, uint32_t code)
{
    struct expression e = expression(h, "immediate");
    put_be32(h, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    struct nlattr *data = mnl_attr_nest_start(h, NFTA_IMMEDIATE_DATA),
                  *verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
    put_be32(h, NFTA_VERDICT_CODE, code);
    mnl_attr_nest_end(h, verdict);
    mnl_attr_nest_end(h, data);
    expression_end(h, e);
}

static void load_destination_type(struct nlmsghdr *h)
{
    struct expression e = expression(h, "fib");
    put_be32(h, NFTA_FIB_DREG, NFT_REG_1);
    put_be32(h, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    put_be32(h, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
    expression_end(h, e);
}

// The register: (it & keep) ^ turn
static void bitwise_octets(struct nlmsghdr *h, const void *keep, const void *turn, uint32_t len)
{
    struct expression e = expression(h, "bitwise");
    put_be32(h, NFTA_BITWISE_SREG, NFT_REG_1);
    put_be32(h, NFTA_BITWISE_DREG, NFT_REG_1);
    put_be32(h, NFTA_BITWISE_LEN, len);
    put_value(h, NFTA_BITWISE_MASK, keep, len);
    put_value(h, NFTA_BITWISE_XOR, turn, len);
    expression_end(h, e);
}

static void bitwise(struct nlmsghdr *h, uint32_t keep, uint32_t turn)
{
    bitwise_octets(h, &keep, &turn, sizeof(keep));
}

static void mark(struct nlmsghdr *h, uint32_t keep, uint32_t turn)
{
    load(h, NFT_META_MARK);
    bitwise(h, keep, turn);
    struct expression e = expression(h, "meta");
    put_be32(h, NFTA_META_KEY, NFT_META_MARK);
    put_be32(h, NFTA_META_SREG, NFT_REG_1);
    expression_end(h, e);
}

static void has_our_mark(const struct netlink_kernel *n, struct nlmsghdr *h)
{
    load(h, NFT_META_MARK);
    bitwise(h, KERNEL_MARK_MASK, 0);
    compare(h, NFT_CMP_EQ, kernel_mark(n->base.number));
}

// What each rule says for a dump: which TUN it is for, or a hook of groups its priority, so that one that was
// changed shows; and whether the kernel is to reflect no marks once the last is gone.
struct said {
    uint32_t value, reflects_for_us;
};

static struct nlmsghdr *rule(struct netlink_kernel *n, struct batch *b, const char *of,
                             const char *chain_name, uint32_t value, struct nlattr **list)
{
    const struct said said = {value, n->reflects_for_us[b->family == NFPROTO_IPV6]};
    struct nlmsghdr *h = message(n, b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, of);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain_name);
    mnl_attr_put(h, NFTA_RULE_USERDATA, sizeof(said), &said);
    *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    return h;
}

static void rule_end(struct batch *b, struct nlmsghdr *h, struct nlattr *list)
{
    mnl_attr_nest_end(h, list);
    finish(b, h);
}

static void out_chain(struct netlink_kernel *n, struct batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    chain(n, b, name, "out", "route", NF_INET_LOCAL_OUT, NF_IP6_PRI_MANGLE + 1);
    struct nlmsghdr *h = rule(n, b, name, "out", tun, &list);
    load(h, NFT_META_OIF);
    compare(h, NFT_CMP_EQ, LOOPBACK);
    load_destination_type(h);
    compare(h, NFT_CMP_NEQ, RTN_LOCAL);
    mark(h, UINT32_MAX, LOOK_MARK);
    rule_end(b, h, list);
}

// What the TUN brings gets the mark.
static void mark_rule(struct netlink_kernel *n, struct batch *b, const char *name, const char *chain_name,
                      uint32_t tun)
{
    struct nlattr *list;
    struct nlmsghdr *h = rule(n, b, name, chain_name, tun, &list);
    load(h, NFT_META_IIF);
    compare(h, NFT_CMP_EQ, tun);
    mark(h, ~KERNEL_MARK_MASK, kernel_mark(n->base.number));
    rule_end(b, h, list);
}

// "Too long for the next link", quoting what goes between us and a peer. `by`: from which port, 0: it has
// none.
static void too_long_rule(struct netlink_kernel *n, struct batch *b, const char *name, uint32_t tun,
                          uint8_t proto, uint16_t by)
{
    static const uint8_t why4[] = {3, 4}, why6[] = {2}, plain4 = 0x45;
    bool six = b->family == NFPROTO_IPV6;
    const uint8_t port[] = {(uint8_t)(by >> 8), (uint8_t)by};
    struct nlattr *list;
    struct nlmsghdr *h = rule(n, b, name, "in", tun, &list);
    protocol_is(h, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, 0, six ? sizeof(why6) : sizeof(why4));
    compare_octets(h, NFT_CMP_EQ, six ? why6 : why4, six ? sizeof(why6) : sizeof(why4));
    if (!six) { // we send no options
        load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, 8, 1);
        compare_octet(h, NFT_CMP_EQ, plain4);
    }
    load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, six ? 8 + 6 : 8 + 9, 1);
    compare_octet(h, NFT_CMP_EQ, proto);
    if (by) {
        load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, six ? 8 + 40 : 8 + 20, sizeof(port));
        compare_octets(h, NFT_CMP_EQ, port, sizeof(port));
    }
    mark(h, ~KERNEL_MARK_MASK, kernel_mark(n->base.number));
    rule_end(b, h, list);
}

static void in_chain(struct netlink_kernel *n, struct batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    chain(n, b, name, "in", "filter", NF_INET_LOCAL_IN, NF_IP6_PRI_LAST - 1);
    struct nlmsghdr *h = rule(n, b, name, "in", tun, &list);
    load(h, NFT_META_IIF);
    compare(h, NFT_CMP_NEQ, tun);
    has_our_mark(n, h);
    mark(h, ~KERNEL_MARK_MASK, 0);
    rule_end(b, h, list);
    mark_rule(n, b, name, "in", tun);
    too_long_rule(n, b, name, tun, IPPROTO_ESP, 0);
    too_long_rule(n, b, name, tun, IPPROTO_AH, 0);
    too_long_rule(n, b, name, tun, IPPROTO_UDP, n->port_nat_t);
}

static void from_chain(struct netlink_kernel *n, struct batch *b, const char *name, uint32_t tun)
{
    chain(n, b, name, "from", "filter", NF_INET_PRE_ROUTING, NF_IP6_PRI_LAST - 1);
    mark_rule(n, b, name, "from", tun);
}

// What is held, in IPv6, shows the loopback here although the hook before this one has found its way: the
// policies have let that out to the TUN alone.
static void goes_past(struct nlmsghdr *h, uint32_t tun)
{
    load(h, NFT_META_OIF);
    compare(h, NFT_CMP_NEQ, tun);
    compare(h, NFT_CMP_NEQ, LOOPBACK);
}

// ICMP of the types from `first` to `last` that answers what the TUN has brought, and goes elsewhere.
static void quotes_rule(struct netlink_kernel *n, struct batch *b, const char *name, uint32_t tun,
                        uint8_t first, uint8_t last)
{
    struct nlattr *list;
    struct nlmsghdr *h = rule(n, b, name, "quotes", tun, &list);
    has_our_mark(n, h);
    goes_past(h, tun);
    protocol_is(h, b->family == NFPROTO_IPV6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    compare_octet(h, NFT_CMP_GTE, first);
    compare_octet(h, NFT_CMP_LTE, last);
    verdict_is(h, NF_DROP);
    rule_end(b, h, list);
}

// Of multicast several sockets hear, of which the kernel names one.
static void asks_such_a_program(const struct netlink_kernel *n, struct nlmsghdr *h, uint32_t tun, bool group)
{
    load(h, NFT_META_IIF);
    compare(h, NFT_CMP_EQ, tun);
    protocol_is(h, IPPROTO_UDP);
    if (!n->sockets)
        return;
    load_wildcard(h);
    if (!group) {
        compare_octet(h, NFT_CMP_EQ, 1);
        return;
    }
    load_destination_type(h);
    compare(h, NFT_CMP_NEQ, RTN_LOCAL);
}

// What cannot be kept, as there is no room, is not taken either.
static void asked_chain(struct netlink_kernel *n, struct batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    asked_set(n, b, name);
    chain(n, b, name, "asked", "filter", NF_INET_LOCAL_IN, NF_IP6_PRI_LAST - 1);
    for (int i = 0; i < (n->sockets ? 4 : 2); i++) {
        bool kept = i % 2 == 0;
        struct nlmsghdr *h = rule(n, b, name, "asked", tun, &list);
        asks_such_a_program(n, h, tun, i > 1);
        if (kept) {
            load_asker(h, b->family, false);
            keep_asker(h);
        }
        verdict_is(h, kept ? NF_ACCEPT : NF_DROP);
        rule_end(b, h, list);
    }
}

// Our own sockets are no program that has been asked through the TUN.
static void answers_chain(struct netlink_kernel *n, struct batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    struct nlmsghdr *h;
    chain(n, b, name, "answers", "filter", NF_INET_LOCAL_OUT, NF_IP6_PRI_LAST - 1);
    if (n->sockets) {
        h = rule(n, b, name, "answers", tun, &list);
        load_wildcard(h);
        compare_octet(h, NFT_CMP_EQ, 0);
        verdict_is(h, NF_ACCEPT);
        rule_end(b, h, list);
    }
    h = rule(n, b, name, "answers", tun, &list);
    protocol_is(h, IPPROTO_UDP);
    load(h, NFT_META_MARK);
    compare(h, NFT_CMP_NEQ, n->own_mark);
    goes_past(h, tun);
    load_asker(h, b->family, true);
    is_asker(h);
    verdict_is(h, NF_DROP);
    rule_end(b, h, list);
}

// The types that quote a packet: IPv4 destination unreachable, source quench, redirect; time exceeded,
// parameter problem. IPv6: those without the highest bit (RFC 4443 section 2.1).
static void quotes_chain(struct netlink_kernel *n, struct batch *b, const char *name, uint32_t tun)
{
    chain(n, b, name, "quotes", "filter", NF_INET_LOCAL_OUT, NF_IP6_PRI_LAST - 1);
    if (b->family == NFPROTO_IPV6) {
        quotes_rule(n, b, name, tun, 0, 127);
        return;
    }
    quotes_rule(n, b, name, tun, 3, 5);
    quotes_rule(n, b, name, tun, 11, 12);
}

static unsigned rules_of(const struct netlink_kernel *n, const struct kobj *o)
{
    if (o->proto)
        return n->sockets ? 6 : 3;
    return 8;
}

// ---- changes

// All of a batch is done or none of it. An error of the envelope carries the number of its beginning; the
// others come in the order of the messages.
static int talk(struct netlink_kernel *n, const struct batch *b)
{
    _Alignas(struct nlmsghdr) char in[MNL_SOCKET_BUFFER_SIZE];
    int rc = mnl_socket_sendto(n->hooks, b->buf, b->len) < 0 ? -errno : 1;
    int first = 0;
    while (rc > 0) {
        ssize_t got = mnl_socket_recvfrom(n->hooks, in, sizeof(in));
        if (got < 0 && errno == EINTR)
            continue;
        int left = (int)got;
        if (got < 0)
            return -errno;
        for (const struct nlmsghdr *h = (void *)in; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
            if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - b->first > b->last - b->first)
                continue; // of an earlier one that was given up
            if (e->error && !first)
                first = e->error;
            if (h->nlmsg_seq == b->last || (h->nlmsg_seq == b->first && e->error))
                rc = 0;
        }
    }
    return rc < 0 ? rc : first;
}

static void chains(struct netlink_kernel *n, struct batch *b, const char *name, const struct kobj *o)
{
    if (o->proto) {
        asked_chain(n, b, name, o->ifindex);
        answers_chain(n, b, name, o->ifindex);
        return;
    }
    if (o->family == 6)
        out_chain(n, b, name, o->ifindex);
    in_chain(n, b, name, o->ifindex);
    from_chain(n, b, name, o->ifindex);
    quotes_chain(n, b, name, o->ifindex);
}

static void build(struct netlink_kernel *n, struct batch *b, const char *name, const struct kobj *o, bool add,
                  bool then)
{
    b->family = o->family == 6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
    begin(n, b);
    table(n, b, name, NFT_MSG_NEWTABLE); // one that is not there cannot be deleted
    table(n, b, name, NFT_MSG_DELTABLE);
    if (add) {
        table(n, b, name, NFT_MSG_NEWTABLE);
        chains(n, b, name, o);
    }
    if (then)
        table(n, b, name, NFT_MSG_DELTABLE);
    put_envelope(n, b, NFNL_MSG_BATCH_END);
}

// ---- multicast that is forwarded

struct packed { // what stands in the name
    uint8_t dir, proto, src_len, dst_len, src[16], dst[16];
};

static void group_name(const struct netlink_kernel *n, const struct kobj *o, char *to, size_t size)
{
    struct packed k = {o->dir, o->proto, o->src_len, o->dst_len, {0}, {0}};
    memcpy(k.src, o->src, 16);
    memcpy(k.dst, o->dst, 16);
    int at = snprintf(to, size, "%s-", n->hook_name);
    for (size_t i = 0; i < sizeof(k); i++)
        at += snprintf(to + at, size - (size_t)at, "%02x", ((const uint8_t *)&k)[i]);
}

static bool group_of(const struct netlink_kernel *n, const char *name, struct kobj *out)
{
    struct packed k;
    size_t own = strlen(n->hook_name);
    if (strncmp(name, n->hook_name, own) != 0 || name[own] != '-' || strlen(name + own + 1) != 2 * sizeof(k))
        return false;
    for (size_t i = 0; i < sizeof(k); i++) {
        unsigned octet;
        if (sscanf(name + own + 1 + 2 * i, "%2x", &octet) != 1)
            return false;
        ((uint8_t *)&k)[i] = (uint8_t)octet;
    }
    out->action = KHOOK_GROUPS;
    out->dir = k.dir;
    out->proto = k.proto;
    out->src_len = k.src_len;
    out->dst_len = k.dst_len;
    memcpy(out->src, k.src, 16);
    memcpy(out->dst, k.dst, 16);
    return true;
}

static void address_is(struct nlmsghdr *h, uint8_t family, bool dst, const uint8_t *prefix, unsigned bits)
{
    static const uint8_t none[16];
    uint32_t len = family == 6 ? 16 : 4;
    uint8_t mask[16] = {0};
    for (unsigned i = 0; i < bits; i++)
        mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
    load_bytes(h, NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, (family == 6 ? 8 : 12) + (dst ? len : 0), len);
    bitwise_octets(h, mask, none, len);
    compare_octets(h, NFT_CMP_EQ, prefix, len);
}

static void group_chain(struct netlink_kernel *n, struct batch *b, const char *name, const struct kobj *o)
{
    struct nlattr *list;
    bool lets = o->dir == KDIR_OUT;
    chain(n, b, name, "groups", "filter", NF_INET_FORWARD, (int)o->priority);
    struct nlmsghdr *h = rule(n, b, name, "groups", o->priority, &list);
    address_is(h, o->family, true, o->dst, o->dst_len);
    address_is(h, o->family, false, o->src, o->src_len);
    if (o->proto)
        protocol_is(h, o->proto);
    if (lets) {
        mark(h, ~KERNEL_MARK_LET_GO, KERNEL_MARK_LET_GO);
    } else {
        load(h, NFT_META_MARK);
        bitwise(h, KERNEL_MARK_LET_GO, 0);
        compare(h, NFT_CMP_EQ, 0);
        verdict_is(h, NF_DROP);
    }
    rule_end(b, h, list);
}

static int group_change(struct netlink_kernel *n, const struct kobj *o, bool add)
{
    struct batch b = {.family = o->family == 6 ? NFPROTO_IPV6 : NFPROTO_IPV4};
    char name[120];
    group_name(n, o, name, sizeof(name));
    begin(n, &b);
    table(n, &b, name, NFT_MSG_NEWTABLE);
    table(n, &b, name, NFT_MSG_DELTABLE);
    if (add) {
        table(n, &b, name, NFT_MSG_NEWTABLE);
        group_chain(n, &b, name, o);
    }
    put_envelope(n, &b, NFNL_MSG_BATCH_END);
    return talk(n, &b);
}

// ---- all of them

// Of every message about tables, chains and rules the first attribute is the table's name.
_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1, "the table's name");

static const struct nlattr *attribute(const struct nlmsghdr *h, int type)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(a) == type) return a;
    return NULL;
}

static const char *name_of(const struct nlmsghdr *h)
{
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
        (m->nfgen_family != NFPROTO_IPV6 && m->nfgen_family != NFPROTO_IPV4) ||
        h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
        return "";
    const struct nlattr *a = attribute(h, NFTA_TABLE_NAME);
    return a && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0 ? mnl_attr_get_str(a) : "";
}

static uint8_t family_of(const struct nlmsghdr *h)
{
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    return m->nfgen_family == NFPROTO_IPV6 ? 6 : 4;
}

static int list(struct netlink_kernel *n, uint8_t type, uint8_t family, const char *of,
                int (*each)(const struct nlmsghdr *h, void *ctx), void *ctx)
{
    _Alignas(struct nlmsghdr) char buf[256];
    struct nlmsghdr *h = put_head(buf, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type),
                                  family == 6   ? NFPROTO_IPV6
                                  : family == 4 ? NFPROTO_IPV4
                                                : NFPROTO_UNSPEC,
                                  NLM_F_DUMP, 0);
    if (of)
        mnl_attr_put_strz(h, NFTA_RULE_TABLE, of);
    return netlink_dump(n, n->hooks, h, each, ctx);
}

struct beside {
    const struct netlink_kernel *n;
    bool any;
};

static int one_beside(const struct nlmsghdr *h, void *ctx)
{
    struct beside *o = ctx;
    const char *name = name_of(h);
    o->any |=
        !strncmp(name, HOOKS, strlen(HOOKS)) && strncmp(name, o->n->hook_name, strlen(o->n->hook_name)) != 0;
    return 0;
}

// Whether other instances have hooks here.
static bool others(struct netlink_kernel *n, uint8_t family)
{
    struct beside o = {.n = n};
    return list(n, NFT_MSG_GETTABLE, family, NULL, one_beside, &o) < 0 || o.any;
}

// ---- each

static void table_name(const struct netlink_kernel *n, const struct kobj *o, char *to, size_t size)
{
    snprintf(to, size, "%s%s", n->hook_name, o->proto ? "-udp" : "");
}

static int table_change(struct netlink_kernel *n, const struct kobj *o, bool add)
{
    struct batch b;
    char name[40];
    table_name(n, o, name, sizeof(name));
    build(n, &b, name, o, add, false);
    return talk(n, &b);
}

// Somebody else's table may have been made, and its marks reflected, while ours went, or the other way round:
// so each asks once more when it is done.
static int turn_change(struct netlink_kernel *n, const struct kobj *o, bool add)
{
    int rc = add ? netlink_reflect_marks(n, o->family) : 0;
    if (rc == 0)
        rc = table_change(n, o, add);
    if (rc == 0 && add)
        return netlink_reflect_marks(n, o->family);
    if (rc == 0 && !others(n, o->family)) {
        netlink_reflect_as_before(n, o->family);
        if (others(n, o->family))
            netlink_reflect_marks(n, o->family);
    }
    return rc;
}

int netlink_hook_change(struct netlink_kernel *n, const struct kobj *o, bool add)
{
    if (!n->hooks)
        return add ? -EOPNOTSUPP : 0;
    if (o->dst_len)
        return group_change(n, o, add);
    return o->proto ? table_change(n, o, add) : turn_change(n, o, add);
}

// Whether the kernel has all of it: made and taken away again in one go.
static bool work(struct netlink_kernel *n, uint8_t family)
{
    struct kobj o = {.kind = KOBJ_HOOK, .family = family, .ifindex = LOOPBACK};
    char name[40];
    struct batch b;
    snprintf(name, sizeof(name), "%s-try", n->hook_name);
    build(n, &b, name, &o, true, true);
    bool all = talk(n, &b) == 0;
    o.proto = IPPROTO_UDP;
    for (n->sockets = all; all; n->sockets = false) { // Linux before 5.10 has no such sockets
        build(n, &b, name, &o, true, true);
        if (talk(n, &b) == 0)
            break;
        all = n->sockets;
    }
    return all;
}

void netlink_hooks_open(struct netlink_kernel *n, struct mnl_socket *s)
{
    snprintf(n->hook_name, sizeof(n->hook_name), HOOKS "%08x", n->owner);
    n->hooks = s;
    n->base.hooks4 = s && work(n, 4);
    n->base.hooks = s && work(n, 6);
    if (n->base.hooks || n->base.hooks4)
        return;
    if (s)
        mnl_socket_close(s);
    n->hooks = NULL;
}

// ---- what is there

// The object by its table's name; its values are elsewhere.
static bool object_of(const struct netlink_kernel *n, const char *name, struct kobj *out)
{
    struct kobj of_family[2] = {*out, *out};
    char ours[40];
    of_family[1].proto = IPPROTO_UDP;
    for (int i = 0; i < 2; i++) {
        table_name(n, &of_family[i], ours, sizeof(ours));
        if (!strcmp(name, ours)) {
            *out = of_family[i];
            return true;
        }
    }
    return group_of(n, name, out);
}

bool netlink_get_hook(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *out)
{
    *out = (struct kobj){.kind = KOBJ_HOOK, .family = family_of(h)};
    switch (h->nlmsg_type & 0xff) {
    case NFT_MSG_NEWTABLE:
    case NFT_MSG_DELTABLE:
    case NFT_MSG_NEWCHAIN:
    case NFT_MSG_DELCHAIN:
    case NFT_MSG_NEWRULE:
    case NFT_MSG_DELRULE: return object_of(n, name_of(h), out);
    default: return false;
    }
}

static bool is_dormant(const struct nlmsghdr *h)
{
    const struct nlattr *a = attribute(h, NFTA_TABLE_FLAGS);
    return a && mnl_attr_get_payload_len(a) == 4 && mnl_attr_get_u32(a) != 0;
}

static struct said said_by(const struct nlmsghdr *h)
{
    const struct nlattr *a = attribute(h, NFTA_RULE_USERDATA);
    struct said said = {0};
    if (a && mnl_attr_get_payload_len(a) == sizeof(said))
        memcpy(&said, mnl_attr_get_payload(a), sizeof(said));
    return said;
}

struct seen {
    char name[40];
    uint8_t family;
    bool table, dormant, changed;
    unsigned rules;
    struct said said;
};

static int one_seen(const struct nlmsghdr *h, void *ctx)
{
    struct seen *s = ctx;
    if (strcmp(name_of(h), s->name) != 0 || family_of(h) != s->family)
        return 0;
    if ((h->nlmsg_type & 0xff) == NFT_MSG_NEWTABLE) {
        s->table = true;
        s->dormant = is_dormant(h);
    } else if ((h->nlmsg_type & 0xff) == NFT_MSG_NEWRULE) {
        struct said said = said_by(h);
        s->changed |= s->rules++ > 0 && said.value != s->said.value;
        s->said = said;
    }
    return 0;
}

static int dump_table(struct netlink_kernel *n, struct kobj o, void (*each)(void *ctx, const struct kobj *o),
                      void *ctx)
{
    struct seen s = {.family = o.family};
    table_name(n, &o, s.name, sizeof(s.name));
    int rc = list(n, NFT_MSG_GETTABLE, o.family, NULL, one_seen, &s);
    if (rc < 0 || !s.table)
        return rc;
    rc = list(n, NFT_MSG_GETRULE, o.family, s.name, one_seen, &s);
    bool whole = s.rules == rules_of(n, &o) && !s.dormant && !s.changed;
    o.ifindex = whole ? s.said.value : 0;
    if (rc == 0 && !o.proto && s.said.reflects_for_us)
        n->reflects_for_us[o.family == 6] = true; // an earlier run has set it
    if (rc == 0)
        each(ctx, &o);
    return rc;
}

struct groups {
    const struct netlink_kernel *n;
    void (*each)(void *ctx, const struct kobj *o);
    void *ctx;
    struct kobj *dormant; // which do nothing
    unsigned count;
    bool no_memory;
};

static int one_dormant(const struct nlmsghdr *h, void *ctx)
{
    struct groups *g = ctx;
    struct kobj o = {.kind = KOBJ_HOOK, .family = family_of(h)}, *more;
    if ((h->nlmsg_type & 0xff) != NFT_MSG_NEWTABLE || !group_of(g->n, name_of(h), &o) || !is_dormant(h))
        return 0;
    if (!(more = realloc(g->dormant, (g->count + 1) * sizeof(o)))) {
        g->no_memory = true;
        return 0;
    }
    g->dormant = more;
    g->dormant[g->count++] = o;
    return 0;
}

// A table whose rule is gone is none, and one that is dormant has no priority that anybody wants.
static int one_group(const struct nlmsghdr *h, void *ctx)
{
    struct groups *g = ctx;
    struct kobj o = {.kind = KOBJ_HOOK, .family = family_of(h)};
    if ((h->nlmsg_type & 0xff) != NFT_MSG_NEWRULE || !group_of(g->n, name_of(h), &o))
        return 0;
    o.priority = said_by(h).value;
    for (unsigned i = 0; i < g->count; i++)
        if (kobj_same_key(&g->dormant[i], &o))
            o.priority = 0;
    g->each(g->ctx, &o);
    return 0;
}

static int dump_groups(struct netlink_kernel *n, void (*each)(void *ctx, const struct kobj *o), void *ctx)
{
    struct groups g = {.n = n, .each = each, .ctx = ctx};
    int rc = list(n, NFT_MSG_GETTABLE, 0, NULL, one_dormant, &g);
    if (rc == 0 && g.no_memory)
        rc = -ENOMEM;
    if (rc == 0)
        rc = list(n, NFT_MSG_GETRULE, 0, NULL, one_group, &g);
    free(g.dormant);
    return rc;
}

int netlink_hook_dump(struct netlink_kernel *n, void (*each)(void *ctx, const struct kobj *o), void *ctx)
{
    int rc = 0;
    for (int i = 0; i < 4 && rc == 0 && n->hooks; i++) {
        const struct kobj o = {.kind = KOBJ_HOOK,
                               .family = i < 2 ? 4 : 6,
                               .action = i % 2 ? KHOOK_ASKED : KHOOK_TURN,
                               .proto = i % 2 ? IPPROTO_UDP : 0};
        rc = dump_table(n, o, each, ctx);
    }
    return rc == 0 && n->hooks ? dump_groups(n, each, ctx) : rc;
}
