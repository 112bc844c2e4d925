// SPDX-License-Identifier: Apache-2.0
// Route-based tunnels: whether anything is routed into their devices, and whether the daemon's own packets go
// around them.
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "ctrl/cli/doctor.h"
#include "ctrl/lib/child.h"

struct vti {
    uint32_t index;
    char name[IFNAMSIZ];
    bool up, routed;
};
struct vtis {
    struct vti *v;
    unsigned count;
};

// Sends it and takes what comes, to the end of a list or one answer. 0 or -errno.
static int ask(struct nlmsghdr *h, int (*each)(const struct nlmsghdr *h, void *ctx), void *ctx)
{
    _Alignas(struct nlmsghdr) char in[32768];
    struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    int rc = -1;
    h->nlmsg_seq = 1;
    if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0 && mnl_socket_sendto(s, h, h->nlmsg_len) >= 0) {
        do {
            ssize_t got = mnl_socket_recvfrom(s, in, sizeof(in));
            rc = got < 0 ? -1 : mnl_cb_run(in, (size_t)got, 1, mnl_socket_get_portid(s), each, ctx);
        } while (rc > MNL_CB_STOP);
    }
    rc = rc < 0 ? -errno : 0;
    if (s)
        mnl_socket_close(s);
    return rc;
}

// ---- the devices

static int one_link(const struct nlmsghdr *h, void *ctx)
{
    struct vtis *l = ctx;
    const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
    struct vti v = {.index = (uint32_t)m->ifi_index, .up = m->ifi_flags & IFF_UP}, *more;
    const struct nlattr *a;
    bool is_one = false;
    mnl_attr_for_each(a, h, sizeof(*m))
    {
        if (mnl_attr_get_type(a) == IFLA_GROUP)
            is_one = mnl_attr_get_u32(a) == ESPALIER_VTI_GROUP;
        else if (mnl_attr_get_type(a) == IFLA_IFNAME)
            snprintf(v.name, sizeof(v.name), "%s", mnl_attr_get_str(a));
    }
    if (is_one && (more = realloc(l->v, (l->count + 1) * sizeof(v)))) {
        l->v = more;
        l->v[l->count++] = v;
    }
    return MNL_CB_OK;
}

static void read_devices(struct vtis *l)
{
    _Alignas(struct nlmsghdr) char buf[128];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETLINK;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    ask(h, one_link, l);
}

static const struct vti *find(const struct vtis *l, uint32_t index)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->v[i].index == index)
            return &l->v[i];
    return NULL;
}

// ---- what is routed into them

// What the kernel makes for every interface leads nobody anywhere.
static bool is_own_doing(const struct rtmsg *m, const struct nlattr *dst)
{
    const uint8_t *a = dst ? mnl_attr_get_payload(dst) : NULL;
    if (m->rtm_type != RTN_UNICAST)
        return true;
    return m->rtm_family == AF_INET6 && a && (a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80));
}

static void routed_by(struct vtis *l, uint32_t index)
{
    for (unsigned i = 0; i < l->count; i++)
        l->v[i].routed = l->v[i].routed || l->v[i].index == index;
}

static void hops(struct vtis *l, const struct nlattr *list)
{
    const struct rtnexthop *hop = mnl_attr_get_payload(list);
    int left = mnl_attr_get_payload_len(list);
    for (; RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
        routed_by(l, (uint32_t)hop->rtnh_ifindex);
}

static int one_route(const struct nlmsghdr *h, void *ctx)
{
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    const struct nlattr *a, *dst = NULL;
    if (h->nlmsg_type != RTM_NEWROUTE)
        return MNL_CB_OK;
    mnl_attr_for_each(a, h, sizeof(*m)) if (mnl_attr_get_type(a) == RTA_DST) dst = a;
    if (is_own_doing(m, dst))
        return MNL_CB_OK;
    mnl_attr_for_each(a, h, sizeof(*m))
    {
        if (mnl_attr_get_type(a) == RTA_OIF)
            routed_by(ctx, mnl_attr_get_u32(a));
        else if (mnl_attr_get_type(a) == RTA_MULTIPATH)
            hops(ctx, a);
    }
    return MNL_CB_OK;
}

static void read_routes(struct vtis *l, uint8_t family)
{
    _Alignas(struct nlmsghdr) char buf[128];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETROUTE;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = family;
    ask(h, one_route, l);
}

static void judge_device(struct doctor *d, const struct vti *v)
{
    char mend[160];
    if (!v->up) {
        snprintf(mend, sizeof(mend), "ip link set %s up, and its routes anew: they went when it was set down",
                 v->name);
        doctor_find(d, WRONG, "nothing goes into its tunnel, and what comes out of that is dropped", mend,
                    "%s is down", v->name);
        return;
    }
    if (v->routed)
        return;
    snprintf(mend, sizeof(mend), "ip route add NETWORK dev %s, or let a routing daemon speak over it",
             v->name);
    doctor_find(d, NOTE, "only what is routed into it is protected by its tunnel, and the rest goes its way",
                mend, "no route leads into %s", v->name);
}

// ---- the way around them

static int one_way(const struct nlmsghdr *h, void *ctx)
{
    const struct nlattr *a;
    uint32_t *link = ctx;
    mnl_attr_for_each(a, h, sizeof(struct rtmsg))
    {
        if (h->nlmsg_type == RTM_NEWROUTE && mnl_attr_get_type(a) == RTA_OIF)
            *link = mnl_attr_get_u32(a);
    }
    return MNL_CB_STOP;
}

// By which interface it is reached; 0: by none.
static uint32_t link_to(const struct sockaddr_storage *ss, uint32_t mark)
{
    _Alignas(struct nlmsghdr) char buf[256];
    uint32_t link = 0;
    bool v4 = ss->ss_family == AF_INET;
    const void *a = v4 ? (const void *)&((const struct sockaddr_in *)ss)->sin_addr
                       : (const void *)&((const struct sockaddr_in6 *)ss)->sin6_addr;
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETROUTE;
    h->nlmsg_flags = NLM_F_REQUEST;
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = (uint8_t)ss->ss_family;
    m->rtm_dst_len = v4 ? 32 : 128;
    mnl_attr_put(h, RTA_DST, v4 ? 4 : 16, a);
    if (mark)
        mnl_attr_put_u32(h, RTA_MARK, mark);
    return ask(h, one_way, &link) == 0 ? link : 0;
}

static void look_at_peer(struct doctor *d, const char *conn, const char *address, struct sockaddr_storage *ss,
                         socklen_t len)
{
    struct vtis l = {0};
    char name[IFNAMSIZ], mend[200];
    uint32_t own = link_to(ss, ESPALIER_SO_MARK);
    (void)len;
    read_devices(&l);
    const struct vti *in = find(&l, own), *others = find(&l, link_to(ss, 0));
    if (in) {
        snprintf(mend, sizeof(mend), "ip rule; ip route get %.60s mark 0x%x", address, ESPALIER_SO_MARK);
        doctor_find(d, WRONG,
                    "IKE and ESP go into no tunnel, and are dropped there: install_routes is off, or a rule "
                    "stands before those that lead around",
                    mend, "the daemon's own packets to %.60s, the peer of %.80s, are led into %s", address,
                    conn, in->name);
    } else if (others && ss->ss_family == AF_INET && own && if_indextoname(own, name) &&
               doctor_is_strict(name)) {
        snprintf(mend, sizeof(mend), "sysctl -w net.ipv4.conf.%s.rp_filter=2", name);
        doctor_find(d, WRONG,
                    "what the peer sends is dropped, without a word, as the way back is the tunnel's", mend,
                    "rp_filter is 1, strict, for %s, and %.60s, the peer of %.80s, is routed into %s", name,
                    address, conn, others->name);
    }
    free(l.v);
}

void doctor_vtis(struct doctor *d)
{
    struct vtis l = {0};
    read_devices(&l);
    read_routes(&l, AF_INET);
    read_routes(&l, AF_INET6);
    for (unsigned i = 0; i < l.count; i++)
        judge_device(d, &l.v[i]);
    if (l.count)
        doctor_each_address(d, "remote_addrs", look_at_peer);
    free(l.v);
}
