// SPDX-License-Identifier: Apache-2.0
// See netlink_nft.h.
#include "ctrl/path/netlink_nft.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

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

void nft_put_envelope(struct netlink_kernel *n, struct nft_batch *b, uint16_t type)
{
    struct nlmsghdr *h = put_head(b->buf + b->len, type, AF_UNSPEC, 0, ++n->seq);
    ((struct nfgenmsg *)mnl_nlmsg_get_payload(h))->res_id = htons(NFNL_SUBSYS_NFTABLES);
    b->len += MNL_ALIGN(h->nlmsg_len);
}

struct nlmsghdr *nft_message(struct netlink_kernel *n, struct nft_batch *b, uint16_t type, uint16_t flags)
{
    return put_head(b->buf + b->len, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), b->family,
                    (uint16_t)(NLM_F_ACK | flags), ++n->seq);
}

void nft_finish(struct nft_batch *b, const struct nlmsghdr *h)
{
    b->len += MNL_ALIGN(h->nlmsg_len);
    b->last = h->nlmsg_seq;
}

void nft_begin(struct netlink_kernel *n, struct nft_batch *b)
{
    b->len = 0;
    nft_put_envelope(n, b, NFNL_MSG_BATCH_BEGIN);
    b->first = n->seq;
}

void nft_put_be32(struct nlmsghdr *h, uint16_t attr, uint32_t value)
{
    mnl_attr_put_u32(h, attr, htonl(value));
}

void nft_table(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint16_t type, uint32_t flags)
{
    struct nlmsghdr *h = nft_message(n, b, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0);
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, name);
    if (flags)
        nft_put_be32(h, NFTA_TABLE_FLAGS, flags);
    nft_finish(b, h);
}

void nft_no_rules(struct netlink_kernel *n, struct nft_batch *b, const char *of)
{
    struct nlmsghdr *h = nft_message(n, b, NFT_MSG_DELRULE, 0);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, of);
    nft_finish(b, h);
}

void nft_chain(struct netlink_kernel *n, struct nft_batch *b, const char *of, const char *name,
               const char *type, uint32_t hook, int priority)
{
    struct nlmsghdr *h = nft_message(n, b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, of);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
    mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, type);
    struct nlattr *at = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
    nft_put_be32(h, NFTA_HOOK_HOOKNUM, hook);
    nft_put_be32(h, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    mnl_attr_nest_end(h, at);
    nft_finish(b, h);
}

// ---- rules

struct nft_expression nft_expression(struct nlmsghdr *h, const char *name)
{
    struct nft_expression e = {.element = mnl_attr_nest_start(h, NFTA_LIST_ELEM)};
    mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
    e.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
    return e;
}

void nft_expression_end(struct nlmsghdr *h, struct nft_expression e)
{
    mnl_attr_nest_end(h, e.data);
    mnl_attr_nest_end(h, e.element);
}

void nft_put_value(struct nlmsghdr *h, uint16_t attr, const void *p, uint32_t len)
{
    struct nlattr *at = mnl_attr_nest_start(h, attr);
    mnl_attr_put(h, NFTA_DATA_VALUE, len, p);
    mnl_attr_nest_end(h, at);
}

void nft_load(struct nlmsghdr *h, uint32_t key)
{
    struct nft_expression e = nft_expression(h, "meta");
    nft_put_be32(h, NFTA_META_KEY, key);
    nft_put_be32(h, NFTA_META_DREG, NFT_REG_1);
    nft_expression_end(h, e);
}

void nft_compare_octets(struct nlmsghdr *h, uint32_t how, const void *p, uint32_t len)
{
    struct nft_expression e = nft_expression(h, "cmp");
    nft_put_be32(h, NFTA_CMP_SREG, NFT_REG_1);
    nft_put_be32(h, NFTA_CMP_OP, how);
    nft_put_value(h, NFTA_CMP_DATA, p, len);
    nft_expression_end(h, e);
}

void nft_compare(struct nlmsghdr *h, uint32_t how, uint32_t value)
{
    nft_compare_octets(h, how, &value, sizeof(value));
}

void nft_load_bytes(struct nlmsghdr *h, uint32_t into, uint32_t base, uint32_t offset, uint32_t len)
{
    struct nft_expression e = nft_expression(h, "payload");
    nft_put_be32(h, NFTA_PAYLOAD_DREG, into);
    nft_put_be32(h, NFTA_PAYLOAD_BASE, base);
    nft_put_be32(h, NFTA_PAYLOAD_OFFSET, offset);
    nft_put_be32(h, NFTA_PAYLOAD_LEN, len);
    nft_expression_end(h, e);
}

void nft_compare_octet(struct nlmsghdr *h, uint32_t how, uint8_t value)
{
    nft_compare_octets(h, how, &value, sizeof(value));
}

void nft_protocol_is(struct nlmsghdr *h, uint8_t proto)
{
    nft_load(h, NFT_META_L4PROTO);
    nft_compare_octet(h, NFT_CMP_EQ, proto);
}

void nft_verdict_is(struct nlmsghdr *h, uint32_t code)
{
    struct nft_expression e = nft_expression(h, "immediate");
    nft_put_be32(h, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    struct nlattr *data = mnl_attr_nest_start(h, NFTA_IMMEDIATE_DATA),
                  *verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
    nft_put_be32(h, NFTA_VERDICT_CODE, code);
    mnl_attr_nest_end(h, verdict);
    mnl_attr_nest_end(h, data);
    nft_expression_end(h, e);
}

void nft_load_destination_type(struct nlmsghdr *h)
{
    struct nft_expression e = nft_expression(h, "fib");
    nft_put_be32(h, NFTA_FIB_DREG, NFT_REG_1);
    nft_put_be32(h, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nft_put_be32(h, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
    nft_expression_end(h, e);
}

// The register: (it & keep) ^ turn
void nft_bitwise_octets(struct nlmsghdr *h, const void *keep, const void *turn, uint32_t len)
{
    struct nft_expression e = nft_expression(h, "bitwise");
    nft_put_be32(h, NFTA_BITWISE_SREG, NFT_REG_1);
    nft_put_be32(h, NFTA_BITWISE_DREG, NFT_REG_1);
    nft_put_be32(h, NFTA_BITWISE_LEN, len);
    nft_put_value(h, NFTA_BITWISE_MASK, keep, len);
    nft_put_value(h, NFTA_BITWISE_XOR, turn, len);
    nft_expression_end(h, e);
}

void nft_bitwise(struct nlmsghdr *h, uint32_t keep, uint32_t turn)
{
    nft_bitwise_octets(h, &keep, &turn, sizeof(keep));
}

void nft_mark(struct nlmsghdr *h, uint32_t keep, uint32_t turn)
{
    nft_load(h, NFT_META_MARK);
    nft_bitwise(h, keep, turn);
    struct nft_expression e = nft_expression(h, "meta");
    nft_put_be32(h, NFTA_META_KEY, NFT_META_MARK);
    nft_put_be32(h, NFTA_META_SREG, NFT_REG_1);
    nft_expression_end(h, e);
}

void nft_has_our_mark(const struct netlink_kernel *n, struct nlmsghdr *h)
{
    nft_load(h, NFT_META_MARK);
    nft_bitwise(h, KERNEL_MARK_MASK, 0);
    nft_compare(h, NFT_CMP_EQ, kernel_mark(n->base.number));
}

// What is held, in IPv6, shows the loopback here although the hook before this one has found its way: the
// policies have let that out to the TUN alone.
void nft_goes_past(struct nlmsghdr *h, uint32_t tun)
{
    nft_load(h, NFT_META_OIF);
    nft_compare(h, NFT_CMP_NEQ, tun);
    nft_compare(h, NFT_CMP_NEQ, NFT_LOOPBACK);
}

struct nlmsghdr *nft_rule(struct netlink_kernel *n, struct nft_batch *b, const char *of,
                          const char *chain_name, uint32_t value, struct nlattr **list)
{
    const struct nft_said said = {value, n->reflects_for_us[b->family == NFPROTO_IPV6]};
    struct nlmsghdr *h = nft_message(n, b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, of);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain_name);
    mnl_attr_put(h, NFTA_RULE_USERDATA, sizeof(said), &said);
    *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    return h;
}

void nft_rule_end(struct nft_batch *b, struct nlmsghdr *h, struct nlattr *list)
{
    mnl_attr_nest_end(h, list);
    nft_finish(b, h);
}

// ---- talking

// All of a batch is done or none of it. An error of the envelope carries the number of its beginning; the
// others come in the order of the messages.
int nft_talk(struct netlink_kernel *n, const struct nft_batch *b)
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

// ---- reading

// Of every message about tables, chains, rules and sets' elements the first attribute is the table's name.
_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
                   NFTA_SET_ELEM_LIST_TABLE == 1,
               "the table's name");

static const struct nlattr *attribute(const struct nlmsghdr *h, int type)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(a) == type) return a;
    return NULL;
}

const char *nft_name_of(const struct nlmsghdr *h)
{
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
        (m->nfgen_family != NFPROTO_IPV6 && m->nfgen_family != NFPROTO_IPV4) ||
        h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
        return "";
    const struct nlattr *a = attribute(h, NFTA_TABLE_NAME);
    return a && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0 ? mnl_attr_get_str(a) : "";
}

uint8_t nft_family_of(const struct nlmsghdr *h)
{
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    return m->nfgen_family == NFPROTO_IPV6 ? 6 : 4;
}

int nft_list(struct netlink_kernel *n, uint8_t type, uint8_t family, const char *of,
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

uint32_t nft_table_flags(const struct nlmsghdr *h)
{
    const struct nlattr *a = attribute(h, NFTA_TABLE_FLAGS);
    return a && mnl_attr_get_payload_len(a) == 4 ? ntohl(mnl_attr_get_u32(a)) : 0;
}

struct nft_said nft_said_by(const struct nlmsghdr *h)
{
    const struct nlattr *a = attribute(h, NFTA_RULE_USERDATA);
    struct nft_said said = {0};
    if (a && mnl_attr_get_payload_len(a) == sizeof(said))
        memcpy(&said, mnl_attr_get_payload(a), sizeof(said));
    return said;
}
