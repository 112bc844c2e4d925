// SPDX-License-Identifier: Apache-2.0
// Multicast that is forwarded, KHOOK_GROUPS: a table of its own for each hook of groups, its name made of
// ours and of what it is for, at forwarding, in the order of the policies: some mark what is let go, and the
// others drop what has no such mark.
#include "ctrl/path/netlink_hooks.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/kset_values.h"

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

bool netlink_group_of(const struct netlink_kernel *n, const char *name, struct kobj *out)
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
    nft_load_bytes(h, NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, (family == 6 ? 8 : 12) + (dst ? len : 0), len);
    nft_bitwise_octets(h, mask, none, len);
    nft_compare_octets(h, NFT_CMP_EQ, prefix, len);
}

static void group_chain(struct netlink_kernel *n, struct nft_batch *b, const char *name, const struct kobj *o)
{
    struct nlattr *list;
    bool lets = o->dir == KDIR_OUT;
    nft_chain(n, b, name, "groups", "filter", NF_INET_FORWARD, (int)o->priority);
    struct nlmsghdr *h = nft_rule(n, b, name, "groups", o->priority, &list);
    address_is(h, o->family, true, o->dst, o->dst_len);
    address_is(h, o->family, false, o->src, o->src_len);
    if (o->proto)
        nft_protocol_is(h, o->proto);
    if (lets) {
        nft_mark(h, ~KERNEL_MARK_LET_GO, KERNEL_MARK_LET_GO);
    } else {
        nft_load(h, NFT_META_MARK);
        nft_bitwise(h, KERNEL_MARK_LET_GO, 0);
        nft_compare(h, NFT_CMP_EQ, 0);
        nft_verdict_is(h, NF_DROP);
    }
    nft_rule_end(b, h, list);
}

int netlink_group_change(struct netlink_kernel *n, const struct kobj *o, bool add)
{
    struct nft_batch b = {.family = o->family == 6 ? NFPROTO_IPV6 : NFPROTO_IPV4};
    char name[120];
    group_name(n, o, name, sizeof(name));
    nft_begin(n, &b);
    nft_table(n, &b, name, NFT_MSG_NEWTABLE, 0);
    nft_table(n, &b, name, NFT_MSG_DELTABLE, 0);
    if (add) {
        nft_table(n, &b, name, NFT_MSG_NEWTABLE, 0);
        group_chain(n, &b, name, o);
    }
    nft_put_envelope(n, &b, NFNL_MSG_BATCH_END);
    return nft_talk(n, &b);
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
    struct kobj o = {.kind = KOBJ_HOOK, .family = nft_family_of(h)}, *more;
    if ((h->nlmsg_type & 0xff) != NFT_MSG_NEWTABLE || !netlink_group_of(g->n, nft_name_of(h), &o) ||
        !(nft_table_flags(h) & NFT_TABLE_F_DORMANT))
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
    struct kobj o = {.kind = KOBJ_HOOK, .family = nft_family_of(h)};
    if ((h->nlmsg_type & 0xff) != NFT_MSG_NEWRULE || !netlink_group_of(g->n, nft_name_of(h), &o))
        return 0;
    o.priority = nft_said_by(h).value;
    for (unsigned i = 0; i < g->count; i++)
        if (kobj_same_key(&g->dormant[i], &o))
            o.priority = 0;
    g->each(g->ctx, &o);
    return 0;
}

int netlink_group_dump(struct netlink_kernel *n, void (*each)(void *ctx, const struct kobj *o), void *ctx)
{
    struct groups g = {.n = n, .each = each, .ctx = ctx};
    int rc = nft_list(n, NFT_MSG_GETTABLE, 0, NULL, one_dormant, &g);
    if (rc == 0 && g.no_memory)
        rc = -ENOMEM;
    if (rc == 0)
        rc = nft_list(n, NFT_MSG_GETRULE, 0, NULL, one_group, &g);
    free(g.dormant);
    return rc;
}
