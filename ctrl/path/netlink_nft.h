// SPDX-License-Identifier: Apache-2.0
// nf_tables' messages: batches of tables, chains and rules, rules as expressions on one register, or on some
// from the first on, and what a dump says. Inside netlink_*.c alone.
#ifndef CTRL_PATH_NETLINK_NFT_H
#define CTRL_PATH_NETLINK_NFT_H

#include <netinet/in.h> // before the kernel's own of the same

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "ctrl/path/netlink.h"

#define NFT_LOOPBACK 1u // the kernel gives it no other index
#define NFT_ROOM     16384

// ---- batches

struct nft_batch {
    uint8_t family; // NFPROTO_*
    _Alignas(struct nlmsghdr) char buf[NFT_ROOM];
    size_t len;
    uint32_t first, last; // numbers of the envelope's beginning and of the last message in it
};

void nft_begin(struct netlink_kernel *n, struct nft_batch *b);
void nft_table(struct netlink_kernel *n, struct nft_batch *b, const char *name, uint16_t type,
               uint32_t flags);
void nft_no_rules(struct netlink_kernel *n, struct nft_batch *b, const char *of); // none is left in the table
void nft_chain(struct netlink_kernel *n, struct nft_batch *b, const char *of, const char *name,
               const char *type, uint32_t hook, int priority);
struct nlmsghdr *nft_message(struct netlink_kernel *n, struct nft_batch *b, uint16_t type, uint16_t flags);
void nft_finish(struct nft_batch *b, const struct nlmsghdr *h);
void nft_put_envelope(struct netlink_kernel *n, struct nft_batch *b, uint16_t type);
// All of a batch is done or none of it. 0, or the first refusal.
int nft_talk(struct netlink_kernel *n, const struct nft_batch *b);

// ---- rules

// What each rule says for a dump: which TUN it is for, or a hook of groups its priority, so that one that was
// changed shows; and whether the kernel is to reflect no marks once the last is gone.
struct nft_said {
    uint32_t value, reflects_for_us;
};

struct nlmsghdr *nft_rule(struct netlink_kernel *n, struct nft_batch *b, const char *of,
                          const char *chain_name, uint32_t value, struct nlattr **list);
void nft_rule_end(struct nft_batch *b, struct nlmsghdr *h, struct nlattr *list);
void nft_put_be32(struct nlmsghdr *h, uint16_t attr, uint32_t value);

struct nft_expression {
    struct nlattr *element, *data;
};

struct nft_expression nft_expression(struct nlmsghdr *h, const char *name);
void nft_expression_end(struct nlmsghdr *h, struct nft_expression e);
void nft_load(struct nlmsghdr *h, uint32_t key);
void nft_load_bytes(struct nlmsghdr *h, uint32_t into, uint32_t base, uint32_t offset, uint32_t len);
void nft_load_destination_type(struct nlmsghdr *h);
void nft_compare(struct nlmsghdr *h, uint32_t how, uint32_t value);
void nft_compare_octet(struct nlmsghdr *h, uint32_t how, uint8_t value);
void nft_compare_octets(struct nlmsghdr *h, uint32_t how, const void *p, uint32_t len);
void nft_protocol_is(struct nlmsghdr *h, uint8_t proto);
void nft_bitwise_octets(struct nlmsghdr *h, const void *keep, const void *turn, uint32_t len);
void nft_bitwise(struct nlmsghdr *h, uint32_t keep, uint32_t turn);
void nft_mark(struct nlmsghdr *h, uint32_t keep, uint32_t turn);
void nft_has_our_mark(const struct netlink_kernel *n, struct nlmsghdr *h);
void nft_goes_past(struct nlmsghdr *h, uint32_t tun);
void nft_put_value(struct nlmsghdr *h, uint16_t attr, const void *p, uint32_t len);
void nft_verdict_is(struct nlmsghdr *h, uint32_t code);

// ---- what is there

int nft_list(struct netlink_kernel *n, uint8_t type, uint8_t family, const char *of,
             int (*each)(const struct nlmsghdr *h, void *ctx), void *ctx);
const char *nft_name_of(const struct nlmsghdr *h);
uint8_t nft_family_of(const struct nlmsghdr *h);
uint32_t nft_table_flags(const struct nlmsghdr *h);
struct nft_said nft_said_by(const struct nlmsghdr *h);

#endif
