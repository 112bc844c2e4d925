// SPDX-License-Identifier: Apache-2.0
// What others do to the kernel's tables, as notices. What we did ourselves carries our sockets' port numbers
// and is passed over.
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/path/netlink.h"

struct telling {
    struct netlink_kernel *n;
    void (*each)(void *ctx, const struct knotice *n);
    void *ctx;
};

static void tell(struct telling *t, enum knotice_kind kind)
{
    const struct knotice k = {.kind = kind};
    t->each(t->ctx, &k);
}

static void tell_object(struct telling *t, const struct kobj *o)
{
    const struct knotice k = {.kind = KNOTE_OBJECT, .o = *o};
    t->each(t->ctx, &k);
}

static void link_news(struct telling *t, const struct nlmsghdr *h)
{
    const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
    struct netlink_kernel *n = t->n;
    bool up = m->ifi_flags & IFF_UP, gone = h->nlmsg_type == RTM_DELLINK;
    if (m->ifi_family != AF_UNSPEC)
        return; // of a bridge's port
    if (m->ifi_index != n->tun_index) {
        if (gone || m->ifi_change == UINT32_MAX || (m->ifi_change & IFF_UP))
            tell(t, KNOTE_LINKS);
        return;
    }
    if (gone || up != n->tun_was_up)
        tell(t, gone ? KNOTE_TUN_GONE : up ? KNOTE_TUN_UP : KNOTE_TUN_DOWN);
    n->tun_was_up = up && !gone;
}

static bool is_of_tun(const struct netlink_kernel *n, const struct nlmsghdr *h)
{
    const struct ifaddrmsg *a = mnl_nlmsg_get_payload(h);
    return (int)a->ifa_index == n->tun_index;
}

// Only tables that everybody's packets meet say something about the machine's own addresses.
static bool is_machines(const struct nlmsghdr *h)
{
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    return m->rtm_table == RT_TABLE_MAIN && m->rtm_type == RTN_UNICAST && !(m->rtm_flags & RTM_F_CLONED);
}

static int route_news(const struct nlmsghdr *h, void *ctx)
{
    struct telling *t = ctx;
    struct kobj o;
    if (h->nlmsg_pid == mnl_socket_get_portid(t->n->route))
        return MNL_CB_OK;
    switch (h->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: link_news(t, h); break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        if (!is_of_tun(t->n, h))
            tell(t, KNOTE_ADDRESSES);
        break;
    default:
        if (netlink_get(t->n, h, &o))
            tell_object(t, &o);
        else if ((h->nlmsg_type == RTM_NEWROUTE || h->nlmsg_type == RTM_DELROUTE) && is_machines(h))
            tell(t, KNOTE_ADDRESSES);
        else if (h->nlmsg_type == RTM_DELRULE && netlink_is_around(t->n, h)) {
            t->n->around_gone = true;
            tell(t, KNOTE_ADDRESSES); // which it is put right with
        }
    }
    return MNL_CB_OK;
}

static int xfrm_news(const struct nlmsghdr *h, void *ctx)
{
    struct telling *t = ctx;
    struct kobj o;
    if (h->nlmsg_pid == mnl_socket_get_portid(t->n->xfrm))
        return MNL_CB_OK;
    if (h->nlmsg_type == XFRM_MSG_FLUSHPOLICY)
        tell(t, KNOTE_FLUSHED);
    else if (netlink_get_xfrm(t->n, h, &o))
        tell_object(t, &o);
    return MNL_CB_OK;
}

static int hook_news(const struct nlmsghdr *h, void *ctx)
{
    struct telling *t = ctx;
    struct kobj o;
    if (h->nlmsg_pid == mnl_socket_get_portid(t->n->hooks) || !netlink_get_hook(t->n, h, &o))
        return MNL_CB_OK;
    if (o.proto && !o.dst_len)
        t->n->forgotten[o.family == 6] = true;
    tell_object(t, &o);
    return MNL_CB_OK;
}

// What is ours alone nobody else has changed.
static void hook_news_lost(struct netlink_kernel *n)
{
    for (int i = 0; i < 2; i++)
        n->forgotten[i] |= !n->keeps[i];
}

// What was there before some were lost is older than what is read anew now, and must not be taken for newer.
static void forget(struct mnl_socket *s)
{
    char c;
    for (int budget = 0; budget < 4096; budget++)
        if (recv(mnl_socket_get_fd(s), &c, sizeof(c), MSG_DONTWAIT) < 0 && errno != ENOBUFS)
            return;
}

// At most so many datagrams at once: packets wait meanwhile.
static void take_news(struct telling *t, struct mnl_socket *s, int (*f)(const struct nlmsghdr *h, void *ctx))
{
    _Alignas(struct nlmsghdr) char buf[32768];
    for (int budget = 0; budget < 64; budget++) {
        ssize_t got = recv(mnl_socket_get_fd(s), buf, sizeof(buf), MSG_DONTWAIT);
        if (got < 0 && errno == ENOBUFS) {
            forget(s);
            if (s == t->n->hook_news)
                hook_news_lost(t->n);
            t->n->around_gone = true;
            tell(t, KNOTE_LOST);
        } else if (got <= 0) {
            return;
        } else {
            mnl_cb_run(buf, (size_t)got, 0, 0, f, t);
        }
    }
}

void netlink_notices(struct kernel *k, void (*each)(void *ctx, const struct knotice *n), void *ctx)
{
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    struct telling t = {n, each, ctx};
    take_news(&t, n->route_news, route_news);
    take_news(&t, n->xfrm_news, xfrm_news);
    if (n->hook_news)
        take_news(&t, n->hook_news, hook_news);
}

void netlink_news_forget(struct netlink_kernel *n)
{
    forget(n->route_news);
}

static int join(struct mnl_socket **out, int bus, const int *groups, int epoll)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int room = 1 << 20;
    struct mnl_socket *s = *out = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
        return -errno;
    if (setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
        (void)setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    for (; *groups; groups++)
        if (mnl_socket_setsockopt(s, NETLINK_ADD_MEMBERSHIP, (void *)groups, sizeof(*groups)) < 0)
            return -errno;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, mnl_socket_get_fd(s), &ev) < 0 ? -errno : 0;
}

int netlink_news_open(struct netlink_kernel *n, struct esp_error *err)
{
    static const int route[] = {
        RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,   0};
    static const int xfrm[] = {XFRMNLGRP_POLICY, XFRMNLGRP_EXPIRE, 0}, hooks[] = {NFNLGRP_NFTABLES, 0};
    n->base.fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = n->base.fd < 0 ? -errno : join(&n->route_news, NETLINK_ROUTE, route, n->base.fd);
    if (rc == 0)
        rc = join(&n->xfrm_news, NETLINK_XFRM, xfrm, n->base.fd);
    if (rc == 0 && n->hooks)
        rc = join(&n->hook_news, NETLINK_NETFILTER, hooks, n->base.fd);
    return rc ? esp_fail(err, rc, "netlink", "cannot listen to the kernel's notices: %s", strerror(-rc)) : 0;
}

void netlink_news_close(struct netlink_kernel *n)
{
    if (n->route_news)
        mnl_socket_close(n->route_news);
    if (n->xfrm_news)
        mnl_socket_close(n->xfrm_news);
    if (n->hook_news)
        mnl_socket_close(n->hook_news);
    if (n->base.fd >= 0)
        close(n->base.fd);
    n->route_news = n->xfrm_news = n->hook_news = NULL;
    n->base.fd = -1;
}
