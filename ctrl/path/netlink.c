// SPDX-License-Identifier: Apache-2.0
// rtnetlink and the XFRM policy interface by libmnl. Every request is acknowledged before the next.
#include "ctrl/path/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct netlink {
    struct mnl_socket *route, *xfrm;
    uint32_t seq;
};

static struct mnl_socket *open_bus(int bus)
{
    struct mnl_socket *s = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
        mnl_socket_close(s);
        s = NULL;
    }
    return s;
}

int netlink_open(struct netlink **out, struct esp_error *err)
{
    struct netlink *n = calloc(1, sizeof(*n));
    if (!n)
        return esp_fail(err, -ENOMEM, "netlink", "out of memory");
    n->route = open_bus(NETLINK_ROUTE);
    n->xfrm = open_bus(NETLINK_XFRM);
    if (!n->route || !n->xfrm) {
        int rc = esp_fail(err, -errno, n->route ? "NETLINK_XFRM" : "NETLINK_ROUTE",
                          "cannot open the socket: %s", strerror(errno));
        netlink_close(n);
        return rc;
    }
    *out = n;
    return 0;
}

void netlink_close(struct netlink *n)
{
    if (!n)
        return;
    if (n->route)
        mnl_socket_close(n->route);
    if (n->xfrm)
        mnl_socket_close(n->xfrm);
    free(n);
}

// Sends one request and reads its acknowledgement: 0 or -errno.
static int talk(struct netlink *n, struct mnl_socket *s, struct nlmsghdr *h)
{
    char buf[MNL_SOCKET_BUFFER_SIZE];
    h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    h->nlmsg_seq = ++n->seq;
    if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t len = mnl_socket_recvfrom(s, buf, sizeof(buf));
        if (len < 0)
            return -errno;
        int rc = mnl_cb_run(buf, (size_t)len, n->seq, mnl_socket_get_portid(s), NULL, NULL);
        if (rc < 0)
            return errno == ESRCH && h->nlmsg_type == RTM_DELROUTE ? 0 : -errno;
        if (rc == MNL_CB_STOP)
            return 0;
    }
}

static void set_sysctl(const char *family, const char *name, const char *key, const char *value)
{
    char path[160];
    snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; // no IPv6 in this kernel, or already as it should be: checked by the caller where it matters
    if (write(fd, value, strlen(value)) < 0)
        errno = 0;
    close(fd);
}

static bool sysctl_is_one(const char *name, const char *key)
{
    char path[160], c = 0;
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", name, key);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, &c, 1) != 1)
            c = 0;
        close(fd);
    }
    return c == '1';
}

int netlink_tun_up(struct netlink *n, const char *name, uint32_t mtu, struct esp_error *err)
{
    char buf[512];
    int index = (int)if_nametoindex(name);
    if (!index)
        return esp_fail(err, -ENODEV, name, "no such interface");
    // disable_xfrm: packets routed out here are not checked against the out block policies; disable_policy:
    // nor are those that come in from here, because path has already checked them (RFC 4301 section 5.2)
    set_sysctl("ipv4", name, "disable_xfrm", "1");
    set_sysctl("ipv4", name, "disable_policy", "1");
    set_sysctl("ipv4", name, "rp_filter", "0");
    set_sysctl("ipv6", name, "disable_policy", "1");
    set_sysctl("ipv6", name, "accept_ra", "0");
    set_sysctl("ipv6", name, "addr_gen_mode", "1");
    if (!sysctl_is_one(name, "disable_xfrm") || !sysctl_is_one(name, "disable_policy"))
        return esp_fail(err, -EPERM, name, "cannot set net.ipv4.conf.%s.disable_xfrm and disable_policy to 1",
                        name);
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_NEWLINK;
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifi_family = AF_UNSPEC;
    m->ifi_index = index;
    m->ifi_change = m->ifi_flags = IFF_UP;
    mnl_attr_put_u32(h, IFLA_MTU, mtu);
    int rc = talk(n, n->route, h);
    return rc < 0 ? esp_fail(err, rc, name, "cannot bring the interface up: %s", strerror(-rc)) : index;
}

static int rule(struct netlink *n, int family, uint32_t table, uint32_t priority, uint32_t mark)
{
    char buf[512];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_NEWRULE;
    h->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
    struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->family = (uint8_t)family;
    m->action = FR_ACT_TO_TBL;
    m->flags = FIB_RULE_INVERT;
    mnl_attr_put_u32(h, FRA_PRIORITY, priority);
    mnl_attr_put_u32(h, FRA_TABLE, table);
    mnl_attr_put_u32(h, FRA_FWMARK, mark);
    int rc = talk(n, n->route, h);
    return rc == -EEXIST ? 0 : rc;
}

int netlink_rule(struct netlink *n, uint32_t table, uint32_t priority, uint32_t mark, struct esp_error *err)
{
    int rc = rule(n, AF_INET, table, priority, mark);
    if (rc < 0)
        return esp_fail(err, rc, "routing rule", "cannot add priority %u, table %u: %s", priority, table,
                        strerror(-rc));
    return 0;
}

// An address of this machine inside the selector, so that local programs talk from a protected address.
static bool source_inside(const struct ts *local, uint8_t *addr)
{
    struct ifaddrs *list, *i;
    bool found = false;
    if (getifaddrs(&list) < 0)
        return false;
    for (i = list; i && !found; i = i->ifa_next) {
        struct sockaddr_storage ss = {0};
        struct addr a;
        uint16_t port;
        if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        memcpy(&ss, i->ifa_addr,
               i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        addr_from_sockaddr(&ss, &a, &port);
        if (a.family == local->family && ts_match(local, a.family, a.a, local->proto, local->port_lo)) {
            memcpy(addr, a.a, 16);
            found = true;
        }
    }
    freeifaddrs(list);
    return found;
}

struct route_ctx {
    struct netlink *n;
    bool add, has_src;
    uint8_t src[16];
    int ifindex, family, rc;
    uint32_t table;
};

static void route(void *ctx, const uint8_t *addr, unsigned len)
{
    struct route_ctx *c = ctx;
    size_t alen = c->family == AF_INET6 ? 16 : 4;
    char buf[512];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = c->add ? RTM_NEWROUTE : RTM_DELROUTE;
    h->nlmsg_flags = c->add ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = (uint8_t)c->family;
    m->rtm_dst_len = (uint8_t)len;
    m->rtm_table = RT_TABLE_UNSPEC;
    m->rtm_protocol = RTPROT_STATIC;
    m->rtm_scope = c->add ? RT_SCOPE_LINK : RT_SCOPE_NOWHERE;
    m->rtm_type = RTN_UNICAST;
    mnl_attr_put(h, RTA_DST, alen, addr);
    mnl_attr_put_u32(h, RTA_TABLE, c->table);
    mnl_attr_put_u32(h, RTA_OIF, (uint32_t)c->ifindex);
    if (c->add && c->has_src)
        mnl_attr_put(h, RTA_PREFSRC, alen, c->src);
    int rc = talk(c->n, c->n->route, h);
    if (rc < 0 && c->rc == 0)
        c->rc = rc;
}

int netlink_routes(struct netlink *n, bool add, const struct ts *local, const struct ts *remote, int ifindex,
                   uint32_t table, struct esp_error *err)
{
    struct route_ctx c = {.n = n,
                          .add = add,
                          .ifindex = ifindex,
                          .table = table,
                          .family = remote->family == 6 ? AF_INET6 : AF_INET};
    char text[128];
    c.has_src = source_inside(local, c.src);
    ts_prefixes(remote, route, &c);
    if (c.rc < 0)
        return esp_fail(err, c.rc, ts_print(remote, text, sizeof(text)), "cannot %s the route: %s",
                        add ? "add" : "remove", strerror(-c.rc));
    return 0;
}

// ---- block policies

struct prefix {
    uint8_t addr[16];
    unsigned len;
};
#define MAX_PREFIXES 64
struct prefixes {
    struct prefix p[MAX_PREFIXES];
    unsigned count;
    bool overflow;
};

static void collect(void *ctx, const uint8_t *addr, unsigned len)
{
    struct prefixes *l = ctx;
    if (l->count == MAX_PREFIXES) {
        l->overflow = true;
        return;
    }
    memcpy(l->p[l->count].addr, addr, 16);
    l->p[l->count++].len = len;
}

static int block_one(struct netlink *n, bool add, uint8_t dir, uint8_t family, const struct prefix *src,
                     const struct prefix *dst, const struct ts *from, const struct ts *to)
{
    char buf[1024];
    struct xfrm_selector sel = {.family = family == 6 ? AF_INET6 : AF_INET,
                                .prefixlen_s = (uint8_t)src->len,
                                .prefixlen_d = (uint8_t)dst->len,
                                .proto = from->proto};
    memcpy(&sel.saddr, src->addr, 16);
    memcpy(&sel.daddr, dst->addr, 16);
    // a single port is matched; a range of ports is blocked with its whole protocol, which errs on the closed
    // side
    if (from->port_lo == from->port_hi && from->proto) {
        sel.sport = htons(from->port_lo);
        sel.sport_mask = 0xffff;
    }
    if (to->port_lo == to->port_hi && to->proto) {
        sel.dport = htons(to->port_lo);
        sel.dport_mask = 0xffff;
    }
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    if (add) {
        h->nlmsg_type = XFRM_MSG_UPDPOLICY; // creates, or replaces what an earlier run left
        struct xfrm_userpolicy_info *p = mnl_nlmsg_put_extra_header(h, sizeof(*p));
        p->sel = sel;
        p->dir = dir;
        p->action = XFRM_POLICY_BLOCK;
        p->priority = 0x7fffffff; // anyone's own policies go first
        p->lft.soft_byte_limit = p->lft.hard_byte_limit = XFRM_INF;
        p->lft.soft_packet_limit = p->lft.hard_packet_limit = XFRM_INF;
    } else {
        h->nlmsg_type = XFRM_MSG_DELPOLICY;
        struct xfrm_userpolicy_id *p = mnl_nlmsg_put_extra_header(h, sizeof(*p));
        p->sel = sel;
        p->dir = dir;
    }
    int rc = talk(n, n->xfrm, h);
    return !add && rc == -ENOENT ? 0 : rc;
}

int netlink_block(struct netlink *n, bool add, const struct ts *local, const struct ts *remote,
                  struct esp_error *err)
{
    struct prefixes l = {.count = 0}, r = {.count = 0};
    char a[128], b[128];
    int rc = 0;
    ts_prefixes(local, collect, &l);
    ts_prefixes(remote, collect, &r);
    if (l.overflow || r.overflow)
        return esp_fail(err, -E2BIG, ts_print(l.overflow ? local : remote, a, sizeof(a)),
                        "the range splits into more than %d prefixes", MAX_PREFIXES);
    for (unsigned i = 0; i < l.count && rc == 0; i++) {
        for (unsigned j = 0; j < r.count && rc == 0; j++) {
            rc = block_one(n, add, XFRM_POLICY_OUT, local->family, &l.p[i], &r.p[j], local, remote);
            if (rc == 0)
                rc = block_one(n, add, XFRM_POLICY_IN, local->family, &r.p[j], &l.p[i], remote, local);
            if (rc == 0)
                rc = block_one(n, add, XFRM_POLICY_FWD, local->family, &r.p[j], &l.p[i], remote, local);
        }
    }
    if (rc < 0)
        return esp_fail(err, rc, "XFRM block policy", "cannot %s %s === %s: %s", add ? "add" : "remove",
                        ts_print(local, a, sizeof(a)), ts_print(remote, b, sizeof(b)), strerror(-rc));
    return 0;
}
