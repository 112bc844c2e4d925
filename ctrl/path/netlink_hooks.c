// SPDX-License-Identifier: Apache-2.0
// The hooks of a family (KOBJ_HOOK) as tables of nf_tables, named after the instance: one that turns and lets
// in (netlink_turn.c), one of who has asked (netlink_asked.c), and one for each hook of groups
// (netlink_groups.c), each changed in one transaction.
//
// Without what is IPv6's alone, or with that changed by somebody, more is dropped, never less. The others
// hold something back, and are put back like anything else.
#include "ctrl/path/netlink_hooks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOOKS "espalier-"

#ifndef NFT_TABLE_F_PERSIST // since Linux 6.9
#define NFT_TABLE_F_PERSIST (1u << 2)
#endif

// ---- changes

// How a table comes to be: with nothing of one that was there; likewise, and who has asked is not known any
// more; with its sets as they are.
enum how { ANEW, UNKNOWN, IN_PLACE };

static void chains(struct netlink_kernel *n, struct nft_batch *b, const char *name, const struct kobj *o,
                   bool unknown)
{
    if (o->proto)
        netlink_asked_chains(n, b, name, o->ifindex, unknown);
    else
        netlink_turn_chains(n, b, name, o->ifindex);
}

static void build(struct netlink_kernel *n, struct nft_batch *b, const char *name, const struct kobj *o,
                  bool add, enum how how)
{
    uint32_t flags = o->proto && n->keeps[o->family == 6] ? NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST : 0;
    b->family = o->family == 6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
    nft_begin(n, b);
    if (how != IN_PLACE) {
        nft_table(n, b, name, NFT_MSG_NEWTABLE, 0); // one that is not there cannot be deleted
        nft_table(n, b, name, NFT_MSG_DELTABLE, 0);
    }
    if (add) {
        nft_table(n, b, name, NFT_MSG_NEWTABLE, flags);
        nft_no_rules(n, b, name);
        chains(n, b, name, o, how == UNKNOWN);
    }
}

static int done(struct netlink_kernel *n, struct nft_batch *b)
{
    nft_put_envelope(n, b, NFNL_MSG_BATCH_END);
    return nft_talk(n, b);
}

// ---- other instances

struct beside {
    const struct netlink_kernel *n;
    bool any;
};

static int one_beside(const struct nlmsghdr *h, void *ctx)
{
    struct beside *o = ctx;
    const char *name = nft_name_of(h);
    o->any |=
        !strncmp(name, HOOKS, strlen(HOOKS)) && strncmp(name, o->n->hook_name, strlen(o->n->hook_name)) != 0;
    return 0;
}

// Whether other instances have hooks here.
static bool others(struct netlink_kernel *n, uint8_t family)
{
    struct beside o = {.n = n};
    return nft_list(n, NFT_MSG_GETTABLE, family, NULL, one_beside, &o) < 0 || o.any;
}

// ---- each

static void table_name(const struct netlink_kernel *n, const struct kobj *o, char *to, size_t size)
{
    snprintf(to, size, "%s%s", n->hook_name, o->proto ? "-udp" : "");
}

static int table_change(struct netlink_kernel *n, const struct kobj *o, bool add, enum how how)
{
    struct nft_batch b;
    char name[40];
    table_name(n, o, name, sizeof(name));
    build(n, &b, name, o, add, how);
    return done(n, &b);
}

struct seen {
    char name[40];
    uint8_t family;
    bool table, changed;
    uint32_t flags; // of the table
    unsigned rules;
    struct nft_said said;
};

static int one_seen(const struct nlmsghdr *h, void *ctx)
{
    struct seen *s = ctx;
    if (strcmp(nft_name_of(h), s->name) != 0 || nft_family_of(h) != s->family)
        return 0;
    if ((h->nlmsg_type & 0xff) == NFT_MSG_NEWTABLE) {
        s->table = true;
        s->flags = nft_table_flags(h);
    } else if ((h->nlmsg_type & 0xff) == NFT_MSG_NEWRULE) {
        struct nft_said said = nft_said_by(h);
        s->changed |= s->rules++ > 0 && said.value != s->said.value;
        s->said = said;
    }
    return 0;
}

static int look_for(struct netlink_kernel *n, const struct kobj *o, struct seen *s)
{
    *s = (struct seen){.family = o->family};
    table_name(n, o, s->name, sizeof(s->name));
    int rc = nft_list(n, NFT_MSG_GETTABLE, o->family, NULL, one_seen, s);
    return rc == 0 && s->table ? nft_list(n, NFT_MSG_GETRULE, o->family, s->name, one_seen, s) : rc;
}

static unsigned rules_of(const struct netlink_kernel *n, const struct kobj *o)
{
    return o->proto ? netlink_asked_rules(n, o->family) : netlink_turn_rules(n, o->family);
}

// As it was made, for whatever TUN.
static bool is_whole(const struct netlink_kernel *n, const struct kobj *o, const struct seen *s)
{
    return s->table && s->rules == rules_of(n, o) && !s->changed && !(s->flags & NFT_TABLE_F_DORMANT);
}

// Who has asked stays known where it can: a table that somebody has changed may have kept nobody meanwhile.
static int asked_change(struct netlink_kernel *n, const struct kobj *o, bool add)
{
    bool *was = &n->asked[o->family == 6], *forgotten = &n->forgotten[o->family == 6];
    struct seen s;
    int rc = -ENOENT;
    if (!add) {
        rc = table_change(n, o, false, ANEW);
        *was = *was && rc < 0;
        return rc;
    }
    int found = look_for(n, o, &s);
    *was = *was || found < 0 || s.table;
    if (found == 0 && is_whole(n, o, &s) && !*forgotten)
        rc = table_change(n, o, true, IN_PLACE);
    if (rc < 0)
        rc = table_change(n, o, true, *was ? UNKNOWN : ANEW);
    *was = *was || rc == 0;
    *forgotten = *forgotten && rc < 0;
    return rc;
}

// Somebody else's table may have been made, and its marks reflected, while ours went, or the other way round:
// so each asks once more when it is done.
static int turn_change(struct netlink_kernel *n, const struct kobj *o, bool add)
{
    int rc = add ? netlink_reflect_marks(n, o->family) : 0;
    if (rc == 0)
        rc = table_change(n, o, add, ANEW);
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
        return netlink_group_change(n, o, add);
    return o->proto ? asked_change(n, o, add) : turn_change(n, o, add);
}

// Whether the kernel has all of it: made and taken away again in one go.
static bool can(struct netlink_kernel *n, uint8_t family, uint8_t proto)
{
    const struct kobj o = {.kind = KOBJ_HOOK, .family = family, .proto = proto, .ifindex = NFT_LOOPBACK};
    char name[40];
    struct nft_batch b;
    snprintf(name, sizeof(name), "%s-try", n->hook_name);
    build(n, &b, name, &o, true, UNKNOWN);
    nft_table(n, &b, name, NFT_MSG_DELTABLE, 0);
    return done(n, &b) == 0;
}

static bool work(struct netlink_kernel *n, uint8_t family)
{
    bool *sockets = &n->sockets[family == 6], *keeps = &n->keeps[family == 6];
    *sockets = true;
    *keeps = false;
    if (!can(n, family, 0))
        return false;
    if (!can(n, family, IPPROTO_UDP)) { // Linux before 5.10 has no such sockets
        *sockets = false;
        if (!can(n, family, IPPROTO_UDP))
            return false;
    }
    *keeps = true;
    *keeps = can(n, family, IPPROTO_UDP);
    return true;
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
    return netlink_group_of(n, name, out);
}

bool netlink_get_hook(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *out)
{
    *out = (struct kobj){.kind = KOBJ_HOOK, .family = nft_family_of(h)};
    switch (h->nlmsg_type & 0xff) {
    case NFT_MSG_NEWTABLE:
    case NFT_MSG_DELTABLE:
    case NFT_MSG_NEWCHAIN:
    case NFT_MSG_DELCHAIN:
    case NFT_MSG_NEWRULE:
    case NFT_MSG_DELRULE:
    case NFT_MSG_DELSETELEM: return object_of(n, nft_name_of(h), out);
    default: return false;
    }
}

// Who has asked is not known any more, or anybody could have it forgotten, which ends when it is made again.
static bool keeps_asked(struct netlink_kernel *n, const struct kobj *o, const struct seen *s)
{
    bool ours = !n->keeps[o->family == 6] || (s->flags & NFT_TABLE_F_OWNER);
    n->asked[o->family == 6] = true;
    return ours && !n->forgotten[o->family == 6];
}

static int dump_table(struct netlink_kernel *n, struct kobj o, void (*each)(void *ctx, const struct kobj *o),
                      void *ctx)
{
    struct seen s;
    int rc = look_for(n, &o, &s);
    if (rc < 0 || !s.table)
        return rc;
    bool whole = is_whole(n, &o, &s) && (!o.proto || keeps_asked(n, &o, &s));
    o.ifindex = whole ? s.said.value : 0;
    if (!o.proto && s.said.reflects_for_us)
        n->reflects_for_us[o.family == 6] = true; // an earlier run has set it
    each(ctx, &o);
    return 0;
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
    return rc == 0 && n->hooks ? netlink_group_dump(n, each, ctx) : rc;
}
