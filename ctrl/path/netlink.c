// SPDX-License-Identifier: Apache-2.0
// Opening the seam, changes in batches, and what of the kernel's is ours.
//
// Each instance has routing tables of its own. Which ones is written into a rule that never does anything,
// the anchor: it holds the instance's tag and the number of its first table, outlives a crash, and is what
// the next run of the same instance looks for, and what other instances keep clear of.
#include "ctrl/path/netlink.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "ctrl/lib/hash.h"
#include "espalier/engine.h"

#define BATCH         64
#define MESSAGE_MAX   512
#define TABLES_FACTOR 1000000u
#define SLOTS         (TABLES_FACTOR / KERNEL_TABLES)
#define ANCHOR_AT     0x7fff0e59u // behind every rule that decides anything

// ---- changes

static bool is_xfrm(const struct kchange *c)
{
    return c->o->kind == KOBJ_XFRM;
}

static bool is_hook(const struct kchange *c)
{
    return c->o->kind == KOBJ_HOOK;
}

static unsigned put_batch(struct netlink_kernel *n, const struct kchange *c, unsigned left, char *buf,
                          size_t *len)
{
    unsigned count = 0;
    *len = 0;
    while (count < left && count < BATCH && !is_hook(&c[count]) && is_xfrm(&c[count]) == is_xfrm(&c[0])) {
        struct nlmsghdr *h = netlink_put(n, buf + *len, c[count].o, c[count].add);
        h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
        h->nlmsg_seq = ++n->seq;
        h->nlmsg_pid = mnl_socket_get_portid(is_xfrm(&c[0]) ? n->xfrm : n->route); // XFRM's notices repeat it
        *len += MNL_ALIGN(h->nlmsg_len);
        count++;
    }
    return count;
}

// What is there already, or gone already, is as it should be.
static int verdict(const struct kchange *c, int rc)
{
    if (c->add)
        return rc == -EEXIST && c->o->kind == KOBJ_RULE ? 0 : rc;
    return rc == -ENOENT || rc == -ESRCH || rc == -ENODEV ? 0 : rc;
}

static unsigned apply_batch(struct netlink_kernel *n, struct kchange *c, unsigned left, int *rc, char *text,
                            size_t size)
{
    _Alignas(struct nlmsghdr) char buf[BATCH * MESSAGE_MAX];
    size_t len;
    if (is_hook(c)) {
        text[0] = 0;
        rc[0] = netlink_hook_change(n, c->o, c->add);
        return 1;
    }
    unsigned count = put_batch(n, c, left, buf, &len);
    netlink_talk(n, is_xfrm(c) ? n->xfrm : n->route, buf, len, count, rc, text, size);
    return count;
}

static unsigned apply(struct kernel *k, struct kchange *c, unsigned n, struct esp_error *err)
{
    struct netlink_kernel *nk = (struct netlink_kernel *)k;
    int rc[BATCH];
    unsigned failed = 0;
    for (unsigned at = 0, count; at < n; at += count) {
        char text[128];
        count = apply_batch(nk, c + at, n - at, rc, text, sizeof(text));
        for (unsigned i = 0; i < count; i++) {
            c[at + i].rc = verdict(&c[at + i], rc[i]);
            if (c[at + i].rc < 0 && failed++ == 0)
                esp_fail(err, c[at + i].rc, "kernel", "%s%s%s", strerror(-c[at + i].rc), text[0] ? ", " : "",
                         text);
        }
    }
    return failed;
}

// ---- dump

struct finding {
    struct netlink_kernel *n;
    void (*each)(void *ctx, const struct kobj *o);
    void *ctx;
};

static bool is_anchor(const struct kobj *o)
{
    return o->kind == KOBJ_RULE && o->priority == ANCHOR_AT;
}

// Of a run that was killed more is left than what blocks (kset_close): its hooks were there, and if they are
// not any more, somebody has taken them away.
static void tell(struct finding *f, const struct kobj *o)
{
    if (!f->n->looked && (o->kind != KOBJ_XFRM || o->mark_mask || o->ifindex))
        f->n->asked[o->family == 6] = true;
    f->each(f->ctx, o);
}

static int found(const struct nlmsghdr *h, void *ctx)
{
    struct finding *f = ctx;
    struct kobj o;
    if (netlink_get(f->n, h, &o) && !is_anchor(&o))
        tell(f, &o);
    return 0;
}

static int found_xfrm(const struct nlmsghdr *h, void *ctx)
{
    struct finding *f = ctx;
    struct kobj o;
    if (netlink_get_xfrm(f->n, h, &o))
        tell(f, &o);
    return 0;
}

int netlink_dump_rules(struct netlink_kernel *n, int family, int (*each)(const struct nlmsghdr *h, void *ctx),
                       void *ctx)
{
    _Alignas(struct nlmsghdr) char buf[128];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETRULE;
    h->nlmsg_flags = NLM_F_DUMP;
    struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->family = (uint8_t)family;
    return netlink_dump(n, n->route, h, each, ctx);
}

static int dump_routes(struct netlink_kernel *n, int family, int (*each)(const struct nlmsghdr *h, void *ctx),
                       void *ctx)
{
    _Alignas(struct nlmsghdr) char buf[128];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETROUTE;
    h->nlmsg_flags = NLM_F_DUMP;
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = (uint8_t)family;
    m->rtm_protocol = NETLINK_PROTOCOL;
    return netlink_dump(n, n->route, h, each, ctx);
}

static int dump_policies(struct netlink_kernel *n, int (*each)(const struct nlmsghdr *h, void *ctx),
                         void *ctx)
{
    _Alignas(struct nlmsghdr) char buf[512];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = XFRM_MSG_GETPOLICY;
    h->nlmsg_flags = NLM_F_DUMP;
    mnl_nlmsg_put_extra_header(h, sizeof(struct xfrm_userpolicy_id));
    return netlink_dump(n, n->xfrm, h, each, ctx);
}

static bool no_family(int rc)
{
    return rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP;
}

static int dump(struct kernel *k, void (*each)(void *ctx, const struct kobj *o), void *ctx,
                struct esp_error *err)
{
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    struct finding f = {n, each, ctx};
    static const int families[] = {AF_INET, AF_INET6};
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0 && n->base.tables; i++) {
        rc = netlink_dump_rules(n, families[i], found, &f);
        if (rc == 0)
            rc = dump_routes(n, families[i], found, &f);
        if (families[i] == AF_INET6 && no_family(rc))
            rc = 0;
    }
    if (rc == 0)
        rc = dump_policies(n, found_xfrm, &f);
    if (rc == 0)
        rc = netlink_hook_dump(n, each, ctx);
    n->looked |= rc == 0;
    return rc ? esp_fail(err, rc, "kernel", "cannot list rules, routes, XFRM policies and hooks: %s",
                         strerror(-rc))
              : 0;
}

// ---- the anchor

enum { NO_NUMBER = KERNEL_NUMBERS };

struct anchors {
    uint32_t first;   // table of slot 0
    uint64_t tag;     // ours
    uint32_t table;   // of ours, 0: none
    unsigned number;  // likewise; NO_NUMBER: it says none
    bool used[SLOTS]; // by others
    bool numbers[KERNEL_NUMBERS];
};

static void others_anchor(struct anchors *a, uint32_t table, unsigned number)
{
    if (table - a->first < TABLES_FACTOR)
        a->used[(table - a->first) / KERNEL_TABLES] = true;
    if (number < KERNEL_NUMBERS)
        a->numbers[number] = true;
}

static int one_anchor(const struct nlmsghdr *h, void *ctx)
{
    struct anchors *a = ctx;
    const struct nlattr *attr;
    uint32_t priority = 0, table = 0;
    unsigned number = NO_NUMBER;
    uint64_t tag = 0;
    mnl_attr_for_each(attr, h, sizeof(struct fib_rule_hdr))
    {
        switch (mnl_attr_get_type(attr)) {
        case FRA_PRIORITY: priority = mnl_attr_get_u32(attr); break;
        case FRA_TABLE: table = mnl_attr_get_u32(attr); break;
        case FRA_TUN_ID: tag = mnl_attr_get_u64(attr); break;
        case FRA_FWMARK: number = (mnl_attr_get_u32(attr) & KERNEL_MARK_MASK) >> 24 & 15; break;
        }
    }
    if (priority != ANCHOR_AT || !tag)
        return 0;
    if (tag != a->tag) {
        others_anchor(a, table, number);
        return 0;
    }
    a->table = table;
    if (number != NO_NUMBER)
        a->number = number;
    return 0;
}

// It says the instance's number by a mark, which nobody is asked about, as it does nothing.
static int anchor_rule(struct netlink_kernel *n, uint32_t table, unsigned number, bool add)
{
    _Alignas(struct nlmsghdr) char buf[256];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = add ? RTM_NEWRULE : RTM_DELRULE;
    h->nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
    struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->family = AF_INET;
    m->action = FR_ACT_NOP;
    mnl_attr_put_u32(h, FRA_PRIORITY, ANCHOR_AT);
    mnl_attr_put_u32(h, FRA_TABLE, table);
    mnl_attr_put_u8(h, FRA_PROTOCOL, NETLINK_PROTOCOL);
    mnl_attr_put_u64(h, FRA_TUN_ID, n->owner_tag);
    if (number != NO_NUMBER) {
        mnl_attr_put_u32(h, FRA_FWMARK, kernel_mark(number));
        mnl_attr_put_u32(h, FRA_FWMASK, UINT32_MAX);
    }
    return netlink_one(n, n->route, h);
}

static int look_for_anchors(struct netlink_kernel *n, uint32_t first, struct anchors *a)
{
    *a = (struct anchors){.first = first, .tag = n->owner_tag, .number = NO_NUMBER};
    return netlink_dump_rules(n, AF_INET, one_anchor, a);
}

static bool is_taken(const struct anchors *a, uint32_t table, unsigned number)
{
    uint32_t slot = (table - a->first) / KERNEL_TABLES;
    return (slot < SLOTS && a->used[slot]) || a->numbers[number];
}

static unsigned free_number(const struct anchors *a)
{
    unsigned i = 0;
    while (i < KERNEL_NUMBERS && a->numbers[i])
        i++;
    return i;
}

static uint32_t free_table(const struct anchors *a)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (!a->used[slot])
            return a->first + slot * KERNEL_TABLES + (slot == 0 && a->first == 0); // no table has number 0
    return 0;
}

// Two instances may start at once: whoever finds its tables or its number taken after all moves on. What a
// run of before there were numbers has left has its tables, and gets one.
static int drop_anchor(struct netlink_kernel *n, uint32_t routing_table, struct esp_error *err)
{
    uint32_t first = (routing_table % (UINT32_MAX / TABLES_FACTOR)) * TABLES_FACTOR;
    struct anchors a;
    int rc = look_for_anchors(n, first, &a);
    bool old = a.table && a.number == NO_NUMBER;
    for (unsigned i = 0; rc == 0 && (!a.table || a.number == NO_NUMBER) && i < KERNEL_NUMBERS; i++) {
        uint32_t table = a.table ? a.table : free_table(&a);
        unsigned number = free_number(&a);
        if (!table || number == NO_NUMBER)
            break;
        rc = anchor_rule(n, table, number, true);
        if (rc == 0)
            rc = look_for_anchors(n, first, &a);
        if (rc == 0 && is_taken(&a, table, number)) {
            anchor_rule(n, table, number, false);
            a.table = old ? table : 0;
            a.number = NO_NUMBER;
        }
    }
    if (rc < 0)
        return esp_fail(err, rc, "routing rule", "cannot reserve routing tables: %s", strerror(-rc));
    if (!a.table || a.number == NO_NUMBER)
        return esp_fail(err, -EBUSY, "routing_table",
                        "%u other instances use tables from %u on, or %u all marks", SLOTS, first,
                        KERNEL_NUMBERS);
    if (old)
        anchor_rule(n, a.table, NO_NUMBER, false);
    n->anchor = a.table;
    n->base.number = a.number;
    return 0;
}

// ---- open, close

static struct mnl_socket *open_bus(int bus)
{
    const struct timeval patience = {.tv_sec = 5};
    int one = 1, room = 4 << 20;
    struct mnl_socket *s = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (!s)
        return NULL;
    if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
        mnl_socket_close(s);
        return NULL;
    }
    int fd = mnl_socket_get_fd(s);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0) // in a user namespace
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    mnl_socket_setsockopt(s, NETLINK_EXT_ACK, &one, sizeof(one));
    mnl_socket_setsockopt(s, NETLINK_CAP_ACK, &one, sizeof(one));
    mnl_socket_setsockopt(s, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
    return s;
}

static void netlink_kernel_close(struct kernel *k, bool leave)
{
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    if (n->anchor && !leave)
        anchor_rule(n, n->anchor, n->base.number, false);
    netlink_news_close(n);
    netlink_around_free(n);
    if (n->route)
        mnl_socket_close(n->route);
    if (n->xfrm)
        mnl_socket_close(n->xfrm);
    if (n->hooks)
        mnl_socket_close(n->hooks);
    free(n);
}

// Its policies are told from ours, which have the same selectors, by their owner.
static int engine(struct kernel *k, struct esp_engine **e, struct esp_error *err)
{
    const struct netlink_kernel *n = (const struct netlink_kernel *)k;
    return esp_kernel_open(e, &(struct esp_kernel_options){.owner = n->owner ^ 0x40000000u}, err);
}

static const struct kernel_ops ops = {netlink_link_up,
                                      apply,
                                      dump,
                                      netlink_addresses,
                                      netlink_default_source,
                                      netlink_notices,
                                      netlink_kernel_close,
                                      netlink_address,
                                      netlink_tun_lost,
                                      netlink_tun_state,
                                      netlink_vti_find,
                                      netlink_vti_up,
                                      netlink_vti_remove,
                                      netlink_vti_each,
                                      netlink_vti_around,
                                      netlink_vti_route,
                                      netlink_vti_routes,
                                      netlink_tun_addresses,
                                      engine,
                                      netlink_way_to};

int netlink_kernel_open(struct kernel **out, const struct netlink_options *o, struct esp_error *err)
{
    struct netlink_kernel *n = calloc(1, sizeof(*n));
    int rc = 0;
    if (!n)
        return esp_fail(err, -ENOMEM, "netlink", "out of memory");
    n->base = (struct kernel){.ops = &ops, .fd = -1};
    n->owner_tag = hash_str(0x45535041, o->owner) | 1;       // no tag is 0
    n->owner = (uint32_t)(n->owner_tag >> 32) | 0x80000000u; // no person's number
    n->own_mark = o->own_mark;
    n->port_nat_t = o->port_nat_t;
    n->kernel_esp = o->kernel_esp;
    n->route = open_bus(NETLINK_ROUTE);
    n->xfrm = open_bus(NETLINK_XFRM);
    if (!n->route || !n->xfrm)
        rc = esp_fail(err, -errno, n->route ? "NETLINK_XFRM" : "NETLINK_ROUTE", "cannot open the socket: %s",
                      strerror(errno));
    if (rc == 0)
        netlink_hooks_open(n, open_bus(NETLINK_NETFILTER));
    if (rc == 0)
        rc = netlink_news_open(n, err);
    if (rc == 0 && (rc = drop_anchor(n, o->routing_table, err)) < 0 && !o->routes)
        rc = 0; // of one that shares its marks with another one less goes through, nothing more
    n->base.tables = o->routes ? n->anchor : 0;
    if (rc < 0)
        netlink_kernel_close(&n->base, false);
    else
        *out = &n->base;
    return rc;
}
