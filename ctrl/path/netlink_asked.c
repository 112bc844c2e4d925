// SPDX-License-Identifier: Apache-2.0
// Who has asked, KHOOK_ASKED of a family, for programs on 0.0.0.0 or ::, which may answer from any address:
//
//   asked    the last at local input: who has asked such a program by UDP through the TUN, and at which port,
//            is kept for a while. Where from there does not count, nor of an IPv6 address the second half, so
//            that one asker takes a place for each such program and no more.
//   answers  the last at local output: what such a program says to whom has asked it goes into the TUN or
//            nowhere. What is connected, or bound to an address, has its source, and the policies see to
//            that.
//
// The table is ours alone where the kernel has such (NFT_TABLE_F_OWNER, with NFT_TABLE_F_PERSIST after us): a
// firewall that is loaded again leaves it there. Elsewhere who has asked is lost with it, and until whoever
// it was would be forgotten anyway, what such programs say goes into the TUN or nowhere, whoever it is for.
#include "ctrl/path/netlink_hooks.h"

#include <endian.h>
#include <linux/netfilter_ipv6.h>
#include <linux/rtnetlink.h>

#define ASKED     "askers"
#define UNKNOWN   "unknown" // holds UDP while who has asked is not known
#define ASKED_MAX 65536u
#define ASKED_MS  180000u // as long as a stream of UDP is remembered elsewhere (nf_conntrack)

enum { ASKED_ID = 1, UNKNOWN_ID };

static uint32_t asker_len(uint8_t family) // of what counts of its address
{
    return family == NFPROTO_IPV6 ? 8 : 4;
}

static void new_set(struct netlink_kernel *n, struct nft_batch *b, const char *of, uint32_t id,
                    const char *name, uint32_t key_len, uint32_t flags)
{
    struct nlmsghdr *h = nft_message(n, b, NFT_MSG_NEWSET, NLM_F_CREATE);
    mnl_attr_put_strz(h, NFTA_SET_TABLE, of);
    mnl_attr_put_strz(h, NFTA_SET_NAME, name);
    nft_put_be32(h, NFTA_SET_ID, id);
    nft_put_be32(h, NFTA_SET_FLAGS, flags);
    nft_put_be32(h, NFTA_SET_KEY_TYPE, 0);
    nft_put_be32(h, NFTA_SET_KEY_LEN, key_len);
    mnl_attr_put_u64(h, NFTA_SET_TIMEOUT, htobe64(ASKED_MS));
    struct nlattr *at = mnl_attr_nest_start(h, NFTA_SET_DESC);
    nft_put_be32(h, NFTA_SET_DESC_SIZE, ASKED_MAX);
    mnl_attr_nest_end(h, at);
    nft_finish(b, h);
}

// Keys: an address, or a network of IPv6, and the port here, filled up to 32 bits; and a protocol.
static void sets(struct netlink_kernel *n, struct nft_batch *b, const char *of)
{
    new_set(n, b, of, ASKED_ID, ASKED, asker_len(b->family) + 4, NFT_SET_TIMEOUT | NFT_SET_EVAL);
    new_set(n, b, of, UNKNOWN_ID, UNKNOWN, 1, NFT_SET_TIMEOUT);
}

static void nobody_is_known(struct netlink_kernel *n, struct nft_batch *b, const char *of)
{
    static const uint8_t udp = IPPROTO_UDP;
    struct nlmsghdr *h = nft_message(n, b, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, of);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, UNKNOWN);
    nft_put_be32(h, NFTA_SET_ELEM_LIST_SET_ID, UNKNOWN_ID);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS),
                  *one = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    nft_put_value(h, NFTA_SET_ELEM_KEY, &udp, sizeof(udp));
    mnl_attr_nest_end(h, one);
    mnl_attr_nest_end(h, list);
    nft_finish(b, h);
}

// Of a packet that goes out the far side is its destination.
static void load_asker(struct nlmsghdr *h, uint8_t family, bool out)
{
    uint32_t len = asker_len(family), src = family == NFPROTO_IPV6 ? 8 : 12,
             dst = family == NFPROTO_IPV6 ? 24 : 16;
    nft_load_bytes(h, NFT_REG32_00, NFT_PAYLOAD_NETWORK_HEADER, out ? dst : src, len);
    nft_load_bytes(h, NFT_REG32_00 + len / 4, NFT_PAYLOAD_TRANSPORT_HEADER, out ? 0 : 2, 2);
}

// Whether its socket has no address of its own; the rule ends where there is no socket.
static void load_wildcard(struct nlmsghdr *h)
{
    struct nft_expression e = nft_expression(h, "socket");
    nft_put_be32(h, NFTA_SOCKET_KEY, NFT_SOCKET_WILDCARD);
    nft_put_be32(h, NFTA_SOCKET_DREG, NFT_REG_1);
    nft_expression_end(h, e);
}

static void keep_asker(struct nlmsghdr *h)
{
    struct nft_expression e = nft_expression(h, "dynset");
    mnl_attr_put_strz(h, NFTA_DYNSET_SET_NAME, ASKED);
    nft_put_be32(h, NFTA_DYNSET_SET_ID, ASKED_ID);
    nft_put_be32(h, NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
    nft_put_be32(h, NFTA_DYNSET_SREG_KEY, NFT_REG32_00);
    mnl_attr_put_u64(h, NFTA_DYNSET_TIMEOUT, htobe64(ASKED_MS));
    nft_expression_end(h, e);
}

static void is_in(struct nlmsghdr *h, uint32_t id, const char *name, uint32_t reg)
{
    struct nft_expression e = nft_expression(h, "lookup");
    mnl_attr_put_strz(h, NFTA_LOOKUP_SET, name);
    nft_put_be32(h, NFTA_LOOKUP_SET_ID, id);
    nft_put_be32(h, NFTA_LOOKUP_SREG, reg);
    nft_expression_end(h, e);
}

// Of multicast several sockets hear, of which the kernel names one.
static void asks_such_a_program(struct nlmsghdr *h, uint32_t tun, bool sockets, bool group)
{
    nft_load(h, NFT_META_IIF);
    nft_compare(h, NFT_CMP_EQ, tun);
    nft_protocol_is(h, IPPROTO_UDP);
    if (!sockets)
        return;
    load_wildcard(h);
    if (!group) {
        nft_compare_octet(h, NFT_CMP_EQ, 1);
        return;
    }
    nft_load_destination_type(h);
    nft_compare(h, NFT_CMP_NEQ, RTN_LOCAL);
}

// What cannot be kept, as there is no room, is not taken either.
static void asked_chain(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    bool sockets = n->sockets[b->family == NFPROTO_IPV6];
    nft_chain(n, b, name, "asked", "filter", NF_INET_LOCAL_IN, NF_IP6_PRI_LAST - 1);
    for (int i = 0; i < (sockets ? 4 : 2); i++) {
        bool kept = i % 2 == 0;
        struct nlmsghdr *h = nft_rule(n, b, name, "asked", tun, &list);
        asks_such_a_program(h, tun, sockets, i > 1);
        if (kept) {
            load_asker(h, b->family, false);
            keep_asker(h);
        }
        nft_verdict_is(h, kept ? NF_ACCEPT : NF_DROP);
        nft_rule_end(b, h, list);
    }
}

// Our own sockets are no program that has been asked through the TUN.
static struct nlmsghdr *past_rule(struct netlink_kernel *n, struct nft_batch *b, const char *name,
                                  uint32_t tun, struct nlattr **list)
{
    struct nlmsghdr *h = nft_rule(n, b, name, "answers", tun, list);
    nft_protocol_is(h, IPPROTO_UDP);
    nft_load(h, NFT_META_MARK);
    nft_compare(h, NFT_CMP_NEQ, n->own_mark);
    nft_goes_past(h, tun);
    return h;
}

static void answers_chain(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun)
{
    struct nlattr *list;
    struct nlmsghdr *h;
    nft_chain(n, b, name, "answers", "filter", NF_INET_LOCAL_OUT, NF_IP6_PRI_LAST - 1);
    if (n->sockets[b->family == NFPROTO_IPV6]) {
        h = nft_rule(n, b, name, "answers", tun, &list);
        load_wildcard(h);
        nft_compare_octet(h, NFT_CMP_EQ, 0);
        nft_verdict_is(h, NF_ACCEPT);
        nft_rule_end(b, h, list);
    }
    h = past_rule(n, b, name, tun, &list); // nobody asks from a group's address
    nft_load_destination_type(h);
    nft_compare(h, NFT_CMP_NEQ, RTN_LOCAL); // where the mark or the device finds a way this may not, for IPv6
    nft_compare(h, NFT_CMP_NEQ, RTN_BROADCAST);
    nft_compare(h, NFT_CMP_NEQ, RTN_MULTICAST);
    nft_load(h, NFT_META_L4PROTO);
    is_in(h, UNKNOWN_ID, UNKNOWN, NFT_REG_1);
    nft_verdict_is(h, NF_DROP);
    nft_rule_end(b, h, list);
    h = past_rule(n, b, name, tun, &list);
    load_asker(h, b->family, true);
    is_in(h, ASKED_ID, ASKED, NFT_REG32_00);
    nft_verdict_is(h, NF_DROP);
    nft_rule_end(b, h, list);
}

void netlink_asked_chains(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint32_t tun,
                          bool unknown)
{
    sets(n, b, name);
    asked_chain(n, b, name, tun);
    answers_chain(n, b, name, tun);
    if (unknown)
        nobody_is_known(n, b, name);
}

unsigned netlink_asked_rules(const struct netlink_kernel *n, uint8_t family)
{
    return n->sockets[family == 6] ? 7 : 4;
}
