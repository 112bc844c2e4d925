// SPDX-License-Identifier: Apache-2.0
// See net_receive.h.
#include "ctrl/path/net_receive.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_GRO // linux/udp.h, which does not go together with netinet/udp.h
#define UDP_GRO 104
#endif

const struct net_receive_calls net_receive_linux = {recvmmsg, recvmsg};

struct batch {
    struct mmsghdr m[NET_RECEIVE_MAX];
    struct iovec iov[NET_RECEIVE_MAX][2];
    struct sockaddr_storage from[NET_RECEIVE_MAX];
    _Alignas(struct cmsghdr) uint8_t space[NET_RECEIVE_MAX][192];
};

static void lay_out(struct batch *b, const struct datagram *d, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        b->iov[i][0] = (struct iovec){d[i].p, d[i].cap};
        b->iov[i][1] = (struct iovec){d[i].more, d[i].more_cap};
        b->m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &b->from[i],
                                               .msg_namelen = sizeof(b->from[i]),
                                               .msg_iov = b->iov[i],
                                               .msg_iovlen = d[i].more ? 2 : 1,
                                               .msg_control = b->space[i],
                                               .msg_controllen = sizeof(b->space[i])}};
    }
}

static int int_of(const struct cmsghdr *c)
{
    int v;
    memcpy(&v, CMSG_DATA(c), sizeof(v));
    return v;
}

static void control4(const struct cmsghdr *c, struct arrival *a)
{
    if (c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        a->to.family = 4;
        memcpy(a->to.a, &info.ipi_addr, 4);
        a->index = (unsigned)info.ipi_ifindex;
    } else if (c->cmsg_type == IP_TOS) {
        a->tos = *CMSG_DATA(c);
    } else if (c->cmsg_type == IP_TTL) {
        a->ttl = *CMSG_DATA(c);
    }
}

static void control6(const struct cmsghdr *c, struct arrival *a)
{
    if (c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        a->to.family = 6;
        memcpy(a->to.a, &info.ipi6_addr, 16);
        a->index = info.ipi6_ifindex;
    } else if (c->cmsg_type == IPV6_TCLASS) {
        a->tos = (uint8_t)int_of(c);
    } else if (c->cmsg_type == IPV6_HOPLIMIT) {
        a->ttl = (uint8_t)int_of(c);
    }
}

static void take(struct msghdr *m, uint32_t len, struct datagram *d)
{
    d->len = len;
    d->segment = 0;
    d->a = (struct arrival){.ttl = 64, .cut = m->msg_flags & MSG_TRUNC};
    addr_from_sockaddr(m->msg_name, &d->a.from, &d->a.from_port);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP)
            control4(c, &d->a);
        else if (c->cmsg_level == IPPROTO_IPV6)
            control6(c, &d->a);
        else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO && int_of(c) > 0)
            d->segment = (uint32_t)int_of(c);
    }
    if (d->segment >= len)
        d->segment = 0;
}

static int each(struct net_receiver *r, int fd, struct batch *b, unsigned n)
{
    unsigned got = 0;
    for (; got < n; got++) {
        r->calls_made++;
        ssize_t len = r->calls->recvmsg(fd, &b->m[got].msg_hdr, MSG_DONTWAIT | MSG_TRUNC);
        if (len < 0)
            return got ? (int)got : -errno;
        b->m[got].msg_len = (unsigned)len;
    }
    return (int)got;
}

static int many(struct net_receiver *r, int fd, struct batch *b, unsigned n)
{
    if (!r->one_by_one) {
        r->calls_made++;
        int got = r->calls->recvmmsg(fd, b->m, n, MSG_DONTWAIT | MSG_TRUNC, NULL);
        if (got >= 0 || (errno != ENOSYS && errno != EPERM))
            return got < 0 ? -errno : got;
        r->one_by_one = true;
    }
    return each(r, fd, b, n);
}

int net_receive(struct net_receiver *r, int fd, struct datagram *d, unsigned n)
{
    struct batch b;
    n = n < NET_RECEIVE_MAX ? n : NET_RECEIVE_MAX;
    lay_out(&b, d, n);
    int got = many(r, fd, &b, n);
    for (int i = 0; i < got; i++)
        take(&b.m[i].msg_hdr, b.m[i].msg_len, &d[i]);
    return got;
}
