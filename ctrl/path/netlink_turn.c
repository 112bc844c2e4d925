// SPDX-License-Identifier: Apache-2.0
// What turns and what lets in, KHOOK_TURN of a family:
//
//   out     IPv6, at local output: a packet that has a way into nothing (its device is the loopback, its
//           destination is not this machine's) is looked up again. Netfilter does that when a hook changes
//           the mark, and asks the XFRM policies again, this time about the interface that was found
//           (ip6_route_me_harder).
//   in      the last at local input: the mark that the policies let in is on what the TUN brings, on what a
//           router on the way says about the size of a packet of ours (ESP, AH or UDP, which the TUN has
//           nothing of), and on nothing else. Other instances' marks are theirs.
//   from    the last before routing: the mark is on what the TUN brings, and on what the kernel's own ESP has
//           opened, where that is used. The kernel gives its own answers the
//           mark of what they answer (net.ipv4.fwmark_reflect), and those quote it.
//   quotes  the last at local output: ICMP errors with that mark go into the TUN or nowhere.
//   past    IPv4, where the kernel's own ESP is used, the last before the wire: what has its route past the
//           TUN has an SA, whoever has taken the policies away or has the interface pass XFRM over, or it
//           does not leave.
//   through IPv6, the last of what is forwarded: nothing that says it is neighbour discovery, which the
//   policies
//           let out from the machine's own addresses. The kernel forwards IPv6 that says it is from one.
#include "ctrl/path/netlink_hooks.h"

#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/rtnetlink.h>
#include <netinet/icmp6.h>

#define LOOK_MARK 0x40000000u // changed to have the route looked up again; the TUN strips it

static void out_chain(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    nft_chain(n, b, name, "out", "route", NF_INET_LOCAL_OUT, NF_IP6_PRI_MANGLE + 1);
    struct nlmsghdr *h = nft_rule(n, b, name, "out", tun, &list);
    nft_load(h, NFT_META_OIF);
    nft_compare(h, NFT_CMP_EQ, NFT_LOOPBACK);
    nft_load_destination_type(h);
    nft_compare(h, NFT_CMP_NEQ, RTN_LOCAL);
    nft_mark(h, UINT32_MAX, LOOK_MARK);
    nft_rule_end(b, h, list);
}

// What the TUN brings gets the mark.
static void mark_rule(struct netlink_kernel *n, struct nft_batch *b, const char *name, const char *chain_name,
                      uint32_t tun)
{
    struct nlattr *list;
    struct nlmsghdr *h = nft_rule(n, b, name, chain_name, tun, &list);
    nft_load(h, NFT_META_IIF);
    nft_compare(h, NFT_CMP_EQ, tun);
    nft_mark(h, ~KERNEL_MARK_MASK, kernel_mark(n->base.number));
    nft_rule_end(b, h, list);
}

// "Too long for the next link", quoting what goes between us and a peer. `by`: from which port, 0: it has
// none.
static void too_long_rule(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun,
                          uint8_t proto, uint16_t by)
{
    static const uint8_t why4[] = {3, 4}, why6[] = {2}, plain4 = 0x45;
    bool six = b->family == NFPROTO_IPV6;
    const uint8_t port[] = {(uint8_t)(by >> 8), (uint8_t)by};
    struct nlattr *list;
    struct nlmsghdr *h = nft_rule(n, b, name, "in", tun, &list);
    nft_protocol_is(h, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    nft_load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, 0, six ? sizeof(why6) : sizeof(why4));
    nft_compare_octets(h, NFT_CMP_EQ, six ? why6 : why4, six ? sizeof(why6) : sizeof(why4));
    if (!six) { // we send no options
        nft_load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, 8, 1);
        nft_compare_octet(h, NFT_CMP_EQ, plain4);
    }
    nft_load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, six ? 8 + 6 : 8 + 9, 1);
    nft_compare_octet(h, NFT_CMP_EQ, proto);
    if (by) {
        nft_load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, six ? 8 + 40 : 8 + 20, sizeof(port));
        nft_compare_octets(h, NFT_CMP_EQ, port, sizeof(port));
    }
    nft_mark(h, ~KERNEL_MARK_MASK, kernel_mark(n->base.number));
    nft_rule_end(b, h, list);
}

static void in_chain(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    nft_chain(n, b, name, "in", "filter", NF_INET_LOCAL_IN, NF_IP6_PRI_LAST - 1);
    struct nlmsghdr *h = nft_rule(n, b, name, "in", tun, &list);
    nft_load(h, NFT_META_IIF);
    nft_compare(h, NFT_CMP_NEQ, tun);
    nft_has_our_mark(n, h);
    nft_mark(h, ~KERNEL_MARK_MASK, 0);
    nft_rule_end(b, h, list);
    mark_rule(n, b, name, "in", tun);
    too_long_rule(n, b, name, tun, IPPROTO_ESP, 0);
    too_long_rule(n, b, name, tun, IPPROTO_AH, 0);
    too_long_rule(n, b, name, tun, IPPROTO_UDP, n->port_nat_t);
}

// What the kernel's own ESP has opened, too: its errors about that quote it as well.
static void opened_rule(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    struct nlmsghdr *h = nft_rule(n, b, name, "from", tun, &list);
    nft_load(h, NFT_META_SECPATH);
    nft_compare_octet(h, NFT_CMP_EQ, 1);
    nft_mark(h, ~KERNEL_MARK_MASK, kernel_mark(n->base.number));
    nft_rule_end(b, h, list);
}

static void from_chain(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    nft_chain(n, b, name, "from", "filter", NF_INET_PRE_ROUTING, NF_IP6_PRI_LAST - 1);
    mark_rule(n, b, name, "from", tun);
    if (n->kernel_esp)
        opened_rule(n, b, name, tun);
}

// ICMP of the types from `first` to `last` that answers what the TUN has brought, and goes elsewhere.
static void quotes_rule(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun,
                        uint8_t first, uint8_t last)
{
    struct nlattr *list;
    struct nlmsghdr *h = nft_rule(n, b, name, "quotes", tun, &list);
    nft_has_our_mark(n, h);
    nft_goes_past(h, tun);
    nft_protocol_is(h, b->family == NFPROTO_IPV6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    nft_load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    nft_compare_octet(h, NFT_CMP_GTE, first);
    nft_compare_octet(h, NFT_CMP_LTE, last);
    nft_verdict_is(h, NF_DROP);
    nft_rule_end(b, h, list);
}

// The types that quote a packet: IPv4 destination unreachable, source quench, redirect; time exceeded,
// parameter problem. IPv6: those without the highest bit (RFC 4443 section 2.1).
static void quotes_chain(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    nft_chain(n, b, name, "quotes", "filter", NF_INET_LOCAL_OUT, NF_IP6_PRI_LAST - 1);
    if (b->family == NFPROTO_IPV6) {
        quotes_rule(n, b, name, tun, 0, 127);
        return;
    }
    quotes_rule(n, b, name, tun, 3, 5);
    quotes_rule(n, b, name, tun, 11, 12);
}

// Whoever takes it is on the link (RFC 4861 section 6.1, 7.1, 8.1).
static void through_chain(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    nft_chain(n, b, name, "through", "filter", NF_INET_FORWARD, NF_IP6_PRI_LAST - 1);
    struct nlmsghdr *h = nft_rule(n, b, name, "through", tun, &list);
    nft_protocol_is(h, IPPROTO_ICMPV6);
    nft_load_bytes(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    nft_compare_octet(h, NFT_CMP_GTE, ND_ROUTER_SOLICIT);
    nft_compare_octet(h, NFT_CMP_LTE, ND_REDIRECT);
    nft_verdict_is(h, NF_DROP);
    nft_rule_end(b, h, list);
}

static void load_route(struct nlmsghdr *h, uint32_t key)
{
    struct nft_expression e = nft_expression(h, "rt");
    nft_put_be32(h, NFTA_RT_KEY, key);
    nft_put_be32(h, NFTA_RT_DREG, NFT_REG_1);
    nft_expression_end(h, e);
}

static void past_chain(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    nft_chain(n, b, name, "past", "filter", NF_INET_POST_ROUTING, NF_IP_PRI_LAST - 1);
    struct nlmsghdr *h = nft_rule(n, b, name, "past", tun, &list);
    load_route(h, NFT_RT_CLASSID);
    nft_compare(h, NFT_CMP_EQ, NETLINK_REALM_OUT);
    load_route(h, NFT_RT_XFRM);
    nft_compare_octet(h, NFT_CMP_EQ, 0);
    nft_verdict_is(h, NF_DROP);
    nft_rule_end(b, h, list);
}

unsigned netlink_turn_rules(const struct netlink_kernel *n, uint8_t family)
{
    return family == 6 ? 9 + n->kernel_esp : 8 + 2 * n->kernel_esp;
}

void netlink_turn_chains(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    if (b->family == NFPROTO_IPV6) {
        out_chain(n, b, name, tun);
        through_chain(n, b, name, tun);
    } else if (n->kernel_esp) {
        past_chain(n, b, name, tun);
    }
    in_chain(n, b, name, tun);
    from_chain(n, b, name, tun);
    quotes_chain(n, b, name, tun);
}
