// SPDX-License-Identifier: Apache-2.0
// TUNs of their own (vti.c) as interfaces, and routes into them. Whose one is, its alias says: the instance's
// tag, which another run of the same instance has too. A route is whose its device is.
#include <errno.h>
#include <inttypes.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/child.h"
#include "ctrl/path/netlink.h"

enum { ALIAS = 64, PROTOCOL = NETLINK_PROTOCOL + 2 };

static void print_alias(const struct netlink_kernel *n, char *buf, size_t size)
{
    snprintf(buf, size, "espalier %016" PRIx64, n->owner_tag);
}

static const char *text_of(const struct nlmsghdr *h, uint16_t type)
{
    const struct nlattr *attr;
    mnl_attr_for_each(attr, h, sizeof(struct ifinfomsg))
    {
        if (mnl_attr_get_type(attr) == type && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
            return mnl_attr_get_str(attr);
    }
    return "";
}

static struct nlmsghdr *link_message(char *buf, uint16_t type)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = type;
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifi_family = AF_UNSPEC;
    return h;
}

// ---- all that are this instance's

struct listing {
    char alias[ALIAS];
    char (*name)[IFNAMSIZ];
    unsigned count;
};

static int one_link(const struct nlmsghdr *h, void *ctx)
{
    struct listing *l = ctx;
    if (h->nlmsg_type != RTM_NEWLINK || strcmp(text_of(h, IFLA_IFALIAS), l->alias) != 0)
        return 0;
    void *more = realloc(l->name, (l->count + 1) * sizeof(*l->name));
    if (!more)
        return 0; // the next run finds it
    l->name = more;
    snprintf(l->name[l->count++], IFNAMSIZ, "%s", text_of(h, IFLA_IFNAME));
    return 0;
}

static int list(struct netlink_kernel *n, struct listing *l)
{
    _Alignas(struct nlmsghdr) char buf[128];
    struct nlmsghdr *h = link_message(buf, RTM_GETLINK);
    h->nlmsg_flags = NLM_F_DUMP;
    *l = (struct listing){0};
    print_alias(n, l->alias, sizeof(l->alias));
    return netlink_dump(n, n->route, h, one_link, l);
}

void netlink_vti_each(struct kernel *k, void (*each)(void *ctx, const char *name, uint32_t index), void *ctx)
{
    struct listing l;
    if (list((struct netlink_kernel *)k, &l) == 0)
        for (unsigned i = 0; i < l.count; i++)
            each(ctx, l.name[i], if_nametoindex(l.name[i]));
    free(l.name);
}

int netlink_vti_find(struct kernel *k, const char *name)
{
    struct listing l;
    if (!if_nametoindex(name))
        return errno == ENODEV || errno == ENXIO ? 0 : -errno;
    int rc = list((struct netlink_kernel *)k, &l);
    bool ours = false;
    for (unsigned i = 0; i < l.count; i++)
        ours = ours || strcmp(l.name[i], name) == 0;
    free(l.name);
    return rc < 0 ? rc : ours ? 1 : -EEXIST;
}

// ---- one

int netlink_vti_up(struct kernel *k, const char *name, uint32_t mtu, struct esp_error *err)
{
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    _Alignas(struct nlmsghdr) char buf[256];
    char alias[ALIAS];
    struct nlmsghdr *h = link_message(buf, RTM_SETLINK);
    int index = (int)if_nametoindex(name);
    ((struct ifinfomsg *)mnl_nlmsg_get_payload(h))->ifi_index = index;
    print_alias(n, alias, sizeof(alias));
    mnl_attr_put(h, IFLA_IFALIAS, strlen(alias), alias);
    mnl_attr_put_u32(h, IFLA_GROUP, ESPALIER_VTI_GROUP);
    int rc = index ? netlink_one(n, n->route, h) : -ENODEV;
    if (rc < 0)
        return esp_fail(err, rc, name, "cannot be marked as this daemon's: %s", strerror(-rc));
    return netlink_link_ready(n, name, mtu, err);
}

int netlink_vti_remove(struct kernel *k, const char *name)
{
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    _Alignas(struct nlmsghdr) char buf[128];
    struct nlmsghdr *h = link_message(buf, RTM_DELLINK);
    int index = (int)if_nametoindex(name);
    ((struct ifinfomsg *)mnl_nlmsg_get_payload(h))->ifi_index = index;
    return index ? netlink_one(n, n->route, h) : -ENODEV;
}

// ---- routes

static struct nlmsghdr *route_message(char *buf, uint16_t type, uint8_t family)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = type;
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = family == 6 ? AF_INET6 : AF_INET;
    m->rtm_table = RT_TABLE_MAIN;
    m->rtm_protocol = PROTOCOL;
    return h;
}

// Behind those of the same metric: of two tunnels with one metric the first that carries is used, and stays.
int netlink_vti_route(struct kernel *k, const struct kernel_route *r, bool add)
{
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    _Alignas(struct nlmsghdr) char buf[256];
    struct nlmsghdr *h = route_message(buf, add ? RTM_NEWROUTE : RTM_DELROUTE, r->family);
    struct rtmsg *m = mnl_nlmsg_get_payload(h);
    size_t octets = r->family == 6 ? 16 : 4;
    if (!n->base.tables) // `install_routes = no`
        return -EOPNOTSUPP;
    h->nlmsg_flags = add ? NLM_F_CREATE | NLM_F_APPEND : 0;
    m->rtm_dst_len = r->len;
    m->rtm_type = add ? RTN_UNICAST : RTN_UNSPEC;
    m->rtm_scope = !add ? RT_SCOPE_NOWHERE : r->family == 6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    mnl_attr_put(h, RTA_DST, octets, r->dst);
    mnl_attr_put_u32(h, RTA_OIF, r->link);
    mnl_attr_put_u32(h, RTA_PRIORITY, r->metric);
    if (add && r->from.family == r->family)
        mnl_attr_put(h, RTA_PREFSRC, octets, r->from.a);
    int rc = netlink_one(n, n->route, h);
    return rc == (add ? -EEXIST : -ESRCH) ? 0 : rc;
}

struct dumping {
    void (*each)(void *ctx, const struct kernel_route *r);
    void *ctx;
};

static int one_route(const struct nlmsghdr *h, void *ctx)
{
    struct dumping *d = ctx;
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    struct kernel_route r = {.family = m->rtm_family == AF_INET6 ? 6 : 4, .len = m->rtm_dst_len};
    const struct nlattr *a;
    if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_protocol != PROTOCOL || m->rtm_table != RT_TABLE_MAIN ||
        m->rtm_flags & RTM_F_CLONED)
        return 0;
    mnl_attr_for_each(a, h, sizeof(*m))
    {
        uint16_t type = mnl_attr_get_type(a), len = mnl_attr_get_payload_len(a);
        if (type == RTA_OIF)
            r.link = mnl_attr_get_u32(a);
        else if (type == RTA_PRIORITY)
            r.metric = mnl_attr_get_u32(a);
        else if (type == RTA_DST && len <= sizeof(r.dst))
            memcpy(r.dst, mnl_attr_get_payload(a), len);
    }
    d->each(d->ctx, &r);
    return 0;
}

void netlink_vti_routes(struct kernel *k, void (*each)(void *ctx, const struct kernel_route *r), void *ctx)
{
    static const uint8_t families[] = {4, 6};
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    struct dumping d = {each, ctx};
    for (unsigned f = 0; f < 2; f++) {
        _Alignas(struct nlmsghdr) char buf[128];
        struct nlmsghdr *h = route_message(buf, RTM_GETROUTE, families[f]);
        h->nlmsg_flags = NLM_F_DUMP;
        netlink_dump(n, n->route, h, one_route, &d);
    }
}
