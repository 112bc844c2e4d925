// SPDX-License-Identifier: Apache-2.0
// Our own IKE and ESP around the tunnels. Where a route of the main table leads into a TUN of its own
// (vti.c), it is not for what our sockets send, whose mark says so: behind every rule of the machine's, and
// before the main table, three rules say of that mark alone
//   look in the main table, but not at what leads into our group of interfaces;
//   look in a table of our own, in which stand the routes that those hide: what the machine knows of networks
//   that contain them, its own networks, and its default routes;
//   otherwise there is no way.
// So a peer is reached although a default route, a half of it or a route to the very peer leads into a
// tunnel, as long as there is another route. The table follows the main one, a moment later. What another
// rule leads into a tunnel is dropped there (vti_is_own).
//
// All instances of a network namespace have one mark and one group, so the first and the last rule are the
// same for all of them, and go with the last one's. That one needs them the second rule says, which is its
// own: it names its table. In that stands no route into anybody's tunnel.
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ctrl/lib/child.h"
#include "ctrl/path/netlink.h"

enum { PROTOCOL = NETLINK_PROTOCOL + 1, FIRST_RULE = 32763, OWN_RULE = 1, RULES = 3 };

struct route {
    struct nlmsghdr *h; // as it is added, allocated; NULL: one that leads into a tunnel
    uint8_t family, len, dst[16];
    bool wanted;
};
struct routes {
    struct route *r;
    unsigned count, room;
    bool failed; // no memory: the table stays as it is
};
struct netlink_around {
    struct routes now; // in the kernel
    bool on;           // its rules are there
};

static uint32_t own_table(const struct netlink_kernel *n)
{
    return n->base.tables + KERNEL_TABLES - 1;
}

// ---- rules

static int change_rule(struct netlink_kernel *n, uint8_t family, unsigned i, bool add)
{
    _Alignas(struct nlmsghdr) char buf[256];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = add ? RTM_NEWRULE : RTM_DELRULE;
    h->nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
    struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->family = family;
    m->action = i < 2 ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE;
    mnl_attr_put_u32(h, FRA_PRIORITY, FIRST_RULE + i);
    mnl_attr_put_u32(h, FRA_FWMARK, n->own_mark);
    mnl_attr_put_u32(h, FRA_FWMASK, UINT32_MAX);
    mnl_attr_put_u8(h, FRA_PROTOCOL, PROTOCOL);
    if (i < 2)
        mnl_attr_put_u32(h, FRA_TABLE, i ? own_table(n) : (uint32_t)RT_TABLE_MAIN);
    if (i == 0)
        mnl_attr_put_u32(h, FRA_SUPPRESS_IFGROUP, ESPALIER_VTI_GROUP);
    return netlink_one(n, n->route, h);
}

struct rule {
    uint32_t priority, mark, table;
    uint8_t protocol;
};

static struct rule read_rule(const struct nlmsghdr *h)
{
    struct rule r = {0};
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct fib_rule_hdr))
    {
        switch (mnl_attr_get_type(a)) {
        case FRA_PRIORITY: r.priority = mnl_attr_get_u32(a); break;
        case FRA_FWMARK: r.mark = mnl_attr_get_u32(a); break;
        case FRA_TABLE: r.table = mnl_attr_get_u32(a); break;
        case FRA_PROTOCOL: r.protocol = mnl_attr_get_u8(a); break;
        default: break;
        }
    }
    return r;
}

bool netlink_is_around(const struct netlink_kernel *n, const struct nlmsghdr *h)
{
    struct rule r = read_rule(h);
    return r.protocol == PROTOCOL && r.mark == n->own_mark && r.priority - FIRST_RULE < RULES;
}

struct beside {
    const struct netlink_kernel *n;
    bool any;
};

static int one_beside(const struct nlmsghdr *h, void *ctx)
{
    struct beside *b = ctx;
    struct rule r = read_rule(h);
    b->any |= netlink_is_around(b->n, h) && r.priority == FIRST_RULE + OWN_RULE && r.table != own_table(b->n);
    return 0;
}

// Whether another instance needs those that are the same for all. Where that cannot be said, it does.
static bool others_need(struct netlink_kernel *n, uint8_t family)
{
    struct beside b = {.n = n};
    int rc = netlink_dump_rules(n, family, one_beside, &b);
    return rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP ? false : rc < 0 || b.any;
}

// What there is no rule for yet goes as before: the own one first, then that there is no other way. Of those
// that were there in part, or that somebody has taken away, the rest is added.
static void add_rules(struct netlink_kernel *n, uint8_t family)
{
    for (unsigned i = 0; i < RULES; i++)
        change_rule(n, family, (i + OWN_RULE) % RULES, true);
}

// Another instance may have come to need them while they went: so it is asked once more.
static void remove_rules(struct netlink_kernel *n, uint8_t family)
{
    change_rule(n, family, OWN_RULE, false);
    if (others_need(n, family))
        return;
    change_rule(n, family, RULES - 1, false);
    change_rule(n, family, 0, false);
    for (unsigned i = 0; i < RULES && others_need(n, family); i += RULES - 1)
        change_rule(n, family, i, true);
}

static void change_rules(struct netlink_kernel *n, bool add)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    for (unsigned f = 0; f < 2; f++) {
        if (add)
            add_rules(n, families[f]);
        else
            remove_rules(n, families[f]);
    }
}

// ---- all tunnels

struct tunnels { // their indexes: of this instance, and of the others
    uint32_t *index;
    unsigned count, room;
    bool failed;
};

static void add_tunnel(struct tunnels *t, uint32_t index)
{
    if (t->count == t->room) {
        unsigned room = t->room ? 2 * t->room : 16;
        uint32_t *more = realloc(t->index, room * sizeof(*more));
        if (!more) {
            t->failed = true;
            return;
        }
        t->index = more;
        t->room = room;
    }
    t->index[t->count++] = index;
}

static int one_tunnel(const struct nlmsghdr *h, void *ctx)
{
    const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
    const struct nlattr *a;
    if (h->nlmsg_type != RTM_NEWLINK)
        return 0;
    mnl_attr_for_each(a, h, sizeof(*m))
    {
        if (mnl_attr_get_type(a) == IFLA_GROUP && mnl_attr_get_u32(a) == ESPALIER_VTI_GROUP)
            add_tunnel(ctx, (uint32_t)m->ifi_index);
    }
    return 0;
}

// Those of the others are in the group that the first rule passes by.
static void read_tunnels(struct netlink_kernel *n, const uint32_t *own, unsigned count, struct tunnels *t)
{
    _Alignas(struct nlmsghdr) char buf[128];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETLINK;
    h->nlmsg_flags = NLM_F_DUMP;
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_u32(h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "tun");
    mnl_attr_nest_end(h, info);
    for (unsigned i = 0; i < count; i++)
        add_tunnel(t, own[i]);
    if (count && netlink_dump(n, n->route, h, one_tunnel, t) < 0)
        t->failed = true;
}

// ---- the main table

struct reading {
    struct netlink_kernel *n;
    struct routes *to;
    const struct tunnels *tunnels; // NULL: none counts
    uint32_t table;
};

static bool is_vti(const struct reading *r, uint32_t index)
{
    for (unsigned i = 0; r->tunnels && i < r->tunnels->count; i++)
        if (r->tunnels->index[i] == index)
            return true;
    return false;
}

static bool hop_is_vti(const struct reading *r, const struct nlattr *hops)
{
    const struct rtnexthop *hop = mnl_attr_get_payload(hops);
    int left = mnl_attr_get_payload_len(hops);
    for (; RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
        if (is_vti(r, (uint32_t)hop->rtnh_ifindex))
            return true;
    return false;
}

// What the kernel says of it, and whether that is alive, is not ours to say.
static void clear_hops(struct nlattr *hops)
{
    struct rtnexthop *hop = mnl_attr_get_payload(hops);
    int left = mnl_attr_get_payload_len(hops);
    for (; RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
        hop->rtnh_flags &= RTNH_F_ONLINK;
}

static bool goes_along(uint16_t type)
{
    return type != RTA_TABLE && type != RTA_CACHEINFO && type != RTA_NH_ID && type != RTA_UID &&
           type != RTA_PREF;
}

static struct nlmsghdr *copy_of(const struct nlmsghdr *from, uint32_t table)
{
    size_t size = from->nlmsg_len + 64; // and what is added
    struct nlmsghdr *h = calloc(1, size);
    const struct nlattr *a;
    if (!h)
        return NULL;
    mnl_nlmsg_put_header(h);
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    *m = *(const struct rtmsg *)mnl_nlmsg_get_payload(from);
    m->rtm_table = RT_TABLE_UNSPEC;
    m->rtm_protocol = PROTOCOL;
    m->rtm_flags &= RTNH_F_ONLINK;
    mnl_attr_for_each(a, from, sizeof(*m))
    {
        uint16_t type = mnl_attr_get_type(a);
        struct nlattr *at = mnl_nlmsg_get_payload_tail(h);
        if (goes_along(type) &&
            !mnl_attr_put_check(h, size - 16, type, mnl_attr_get_payload_len(a), mnl_attr_get_payload(a))) {
            free(h);
            return NULL;
        }
        if (type == RTA_MULTIPATH)
            clear_hops(at);
    }
    mnl_attr_put_u32(h, RTA_TABLE, table);
    return h;
}

static bool has_room(struct routes *l)
{
    if (l->count < l->room)
        return true;
    unsigned room = l->room ? 2 * l->room : 64;
    void *more = realloc(l->r, room * sizeof(*l->r));
    if (!more)
        return false;
    l->r = more;
    l->room = room;
    return true;
}

static int one_route(const struct nlmsghdr *h, void *ctx)
{
    struct reading *r = ctx;
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    const struct nlattr *a;
    struct route route = {.family = m->rtm_family, .len = m->rtm_dst_len};
    uint32_t table = m->rtm_table;
    bool vti = false;
    mnl_attr_for_each(a, h, sizeof(*m))
    {
        switch (mnl_attr_get_type(a)) {
        case RTA_TABLE: table = mnl_attr_get_u32(a); break;
        case RTA_OIF: vti = vti || is_vti(r, mnl_attr_get_u32(a)); break;
        case RTA_MULTIPATH: vti = vti || hop_is_vti(r, a); break;
        case RTA_DST:
            if (mnl_attr_get_payload_len(a) <= sizeof(route.dst))
                memcpy(route.dst, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
            break;
        default: break;
        }
    }
    if (h->nlmsg_type != RTM_NEWROUTE || table != r->table || m->rtm_flags & RTM_F_CLONED)
        return 0;
    route.wanted = !m->rtm_dst_len || m->rtm_protocol == RTPROT_KERNEL;
    if (!has_room(r->to) || (!vti && !(route.h = copy_of(h, own_table(r->n)))))
        r->to->failed = true;
    else
        r->to->r[r->to->count++] = route;
    return 0;
}

static int read_table(struct reading *r, uint8_t family, uint8_t protocol)
{
    _Alignas(struct nlmsghdr) char buf[128];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETROUTE;
    h->nlmsg_flags = NLM_F_DUMP;
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = family;
    m->rtm_protocol = protocol;
    mnl_attr_put_u32(h, RTA_TABLE, r->table);
    int rc = netlink_dump(r->n, r->n->route, h, one_route, r);
    return rc == -ENOENT || rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP ? 0 : rc; // there is no such table
}

static void routes_free(struct routes *l)
{
    for (unsigned i = 0; i < l->count; i++)
        free(l->r[i].h);
    free(l->r);
    *l = (struct routes){0};
}

static bool covers(const struct route *out, const struct route *in)
{
    unsigned whole = out->len / 8, rest = out->len % 8;
    return out->family == in->family && out->len <= in->len && !memcmp(out->dst, in->dst, whole) &&
           (!rest || !((out->dst[whole] ^ in->dst[whole]) >> (8 - rest)));
}

// What a route covers comes behind it, without anything else between.
static int in_order(const void *a, const void *b)
{
    const struct route *x = a, *y = b;
    int d = x->family - y->family;
    if (!d)
        d = memcmp(x->dst, y->dst, sizeof(x->dst));
    if (!d)
        d = x->len - y->len;
    return d ? d : !x->h - !y->h;
}

// Of the others those that a route into a tunnel hides. A routing daemon may have as many as it likes.
static void keep_what_is_hidden(struct routes *l)
{
    const struct route *in = NULL; // the next one that leads into a tunnel
    unsigned kept = 0;
    if (l->count)
        qsort(l->r, l->count, sizeof(*l->r), in_order);
    for (unsigned i = l->count; i--;) {
        if (!l->r[i].h)
            in = &l->r[i];
        else if (in && covers(&l->r[i], in))
            l->r[i].wanted = true;
    }
    for (unsigned i = 0; i < l->count; i++) {
        if (l->r[i].h && l->r[i].wanted)
            l->r[kept++] = l->r[i];
        else
            free(l->r[i].h);
    }
    l->count = kept;
}

// ---- our table

static void change_route(struct netlink_kernel *n, struct nlmsghdr *h, bool add)
{
    h->nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE;
    h->nlmsg_flags = add ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    netlink_one(n, n->route, h);
}

static bool is_among(const struct routes *l, const struct nlmsghdr *h)
{
    for (unsigned i = 0; i < l->count; i++) {
        const struct nlmsghdr *k = l->r[i].h;
        if (k->nlmsg_len == h->nlmsg_len &&
            !memcmp(mnl_nlmsg_get_payload(k), mnl_nlmsg_get_payload(h), mnl_nlmsg_get_payload_len(h)))
            return true;
    }
    return false;
}

// The kernel takes it for the same as what it is to go for where they differ in what it does not look at (of
// IPv6 metrics, one more next hop), and takes away both.
static void put_again(struct netlink_kernel *n, const struct routes *next, const struct route *gone)
{
    for (unsigned i = 0; i < next->count; i++)
        if (next->r[i].family == gone->family && next->r[i].len == gone->len &&
            !memcmp(next->r[i].dst, gone->dst, sizeof(gone->dst)))
            change_route(n, next->r[i].h, true);
}

// New ones before old ones.
static void become(struct netlink_kernel *n, struct routes *next)
{
    struct routes *now = &n->around->now;
    for (unsigned i = 0; i < next->count; i++)
        if (!is_among(now, next->r[i].h))
            change_route(n, next->r[i].h, true);
    for (unsigned i = 0; i < now->count; i++)
        if (!is_among(next, now->r[i].h)) {
            change_route(n, now->r[i].h, false);
            put_again(n, next, &now->r[i]);
        }
    routes_free(now);
    *now = *next;
    *next = (struct routes){0};
}

// What an earlier run has left there counts as what this one has put there.
static bool start(struct netlink_kernel *n)
{
    if (!n->around && !(n->around = calloc(1, sizeof(*n->around))))
        return false;
    if (n->around->on)
        return true;
    routes_free(&n->around->now);
    struct reading r = {.n = n, .to = &n->around->now, .table = own_table(n)};
    if (read_table(&r, AF_INET, PROTOCOL) < 0 || read_table(&r, AF_INET6, PROTOCOL) < 0 || r.to->failed)
        routes_free(r.to);
    return true;
}

void netlink_vti_around(struct kernel *k, const uint32_t *vti, unsigned count)
{
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    struct routes next = {0};
    struct tunnels all = {0};
    struct reading r = {.n = n, .to = &next, .tunnels = &all, .table = RT_TABLE_MAIN};
    if (!n->base.tables || !start(n)) // `install_routes = no`: all of them are others'
        return;
    read_tunnels(n, vti, count, &all);
    bool good =
        !all.failed && (!count || (read_table(&r, AF_INET, 0) == 0 && read_table(&r, AF_INET6, 0) == 0));
    if (good && !next.failed) {
        keep_what_is_hidden(&next);
        become(n, &next);
    }
    routes_free(&next);
    free(all.index);
    if (!count || !n->around->on || n->around_gone)
        change_rules(n, count > 0);
    n->around_gone = false;
    n->around->on = count > 0;
}

static int one_own(const struct nlmsghdr *h, void *ctx)
{
    struct beside *b = ctx;
    struct rule r = read_rule(h);
    b->any |= netlink_is_around(b->n, h) && r.table == own_table(b->n);
    return 0;
}

struct netlink_around_left netlink_around_left(struct kernel *k)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    struct netlink_around_left left = {0};
    if (!n->base.tables || !start(n))
        return left;
    left.routes = n->around->now.count;
    for (unsigned f = 0; f < 2; f++) {
        struct beside own = {.n = n};
        if (netlink_dump_rules(n, families[f], one_own, &own) == 0 && own.any)
            left.rules += others_need(n, families[f]) ? 1 : RULES;
    }
    return left;
}

void netlink_around_free(struct netlink_kernel *n)
{
    if (n->around)
        routes_free(&n->around->now);
    free(n->around);
    n->around = NULL;
}
