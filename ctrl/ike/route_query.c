// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ike/route_query.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "ctrl/lib/child.h"

enum { ROOM = 1024 };

static size_t length_of(const struct addr *a)
{
    return a->family == 6 ? 16 : 4;
}

static struct nlmsghdr *request(char *buf, const struct addr *from, const struct addr *to)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    h->nlmsg_type = RTM_GETROUTE;
    h->nlmsg_flags = NLM_F_REQUEST;
    h->nlmsg_seq = 1;
    m->rtm_family = to->family == 6 ? AF_INET6 : AF_INET;
    m->rtm_dst_len = (unsigned char)(8 * length_of(to));
    m->rtm_src_len = from ? m->rtm_dst_len : 0;
    mnl_attr_put(h, RTA_DST, length_of(to), to->a);
    if (from)
        mnl_attr_put(h, RTA_SRC, length_of(from), from->a);
    mnl_attr_put_u32(h, RTA_MARK, ESPALIER_SO_MARK);
    return h;
}

static bool take(const struct nlmsghdr *h, const struct addr *from, const struct addr *to,
                 struct addr *source)
{
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    const struct nlattr *a;
    bool found = from != NULL;
    if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
        (m->rtm_type != RTN_UNICAST && m->rtm_type != RTN_LOCAL))
        return false;
    if (from && source)
        *source = *from;
    mnl_attr_for_each(a, h, sizeof(*m))
    {
        if (from || mnl_attr_get_type(a) != RTA_PREFSRC || mnl_attr_get_payload_len(a) != length_of(to))
            continue;
        found = true;
        if (!source)
            continue;
        *source = (struct addr){.family = to->family};
        memcpy(source->a, mnl_attr_get_payload(a), length_of(to));
    }
    return found;
}

bool route_query(const struct addr *from, const struct addr *to, struct addr *source)
{
    _Alignas(struct nlmsghdr) char out[256], in[ROOM];
    struct nlmsghdr *h = request(out, from, to);
    struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!s)
        return false;
    ssize_t n = mnl_socket_sendto(s, h, h->nlmsg_len) < 0 ? -1 : mnl_socket_recvfrom(s, in, sizeof(in));
    mnl_socket_close(s);
    const struct nlmsghdr *answer = (const struct nlmsghdr *)in;
    return n > 0 && mnl_nlmsg_ok(answer, (int)n) && take(answer, from, to, source);
}
