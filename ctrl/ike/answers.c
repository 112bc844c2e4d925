// SPDX-License-Identifier: Apache-2.0
// sendmmsg, and what goes before it.
#include "ctrl/ike/answers.h"

#include <errno.h>
#include <string.h>

enum { SOME = 4 };

static void put_source(struct msghdr *msg, const struct addr *local)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    if (local->family == 4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, local->a, 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        msg->msg_controllen = CMSG_SPACE(sizeof(info));
    } else if (local->family == 6) {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, local->a, 16);
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        msg->msg_controllen = CMSG_SPACE(sizeof(info));
    } else {
        msg->msg_control = NULL;
        msg->msg_controllen = 0;
    }
}

struct msghdr envelope_for(struct envelope *e, const struct net_path *path)
{
    struct msghdr msg = {.msg_name = &e->to,
                         .msg_namelen = path->remote.family == 6 ? sizeof(struct sockaddr_in6)
                                                                 : sizeof(struct sockaddr_in),
                         .msg_control = e->control,
                         .msg_controllen = sizeof(e->control)};
    addr_to_sockaddr(&path->remote, path->remote_port, &e->to);
    memset(e->control, 0, sizeof(e->control));
    put_source(&msg, &path->local);
    return msg;
}

void answers_socket(int fd)
{
    int how, cut = IP_PMTUDISC_WANT;
    socklen_t len = sizeof(how);
    if (getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &how, &len) == 0 && how == IP_PMTUDISC_DO)
        (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &cut, sizeof(cut));
}

void answers_begin(struct answers *a, int fd)
{
    a->fd = fd;
    a->count = 0;
}

bool answers_put(struct answers *a, const struct net_path *path, struct slice d)
{
    size_t marker = path->nat_t ? NON_ESP_MARKER : 0;
    if (a->count == ANSWERS_MOST || d.len > ANSWER_MOST - marker)
        return false;
    unsigned i = a->count++;
    memset(a->data[i], 0, marker);
    memcpy(a->data[i] + marker, d.p, d.len);
    a->iov[i] = (struct iovec){a->data[i], marker + d.len};
    a->msg[i].msg_hdr = envelope_for(&a->envelope[i], path);
    a->msg[i].msg_hdr.msg_iov = &a->iov[i];
    a->msg[i].msg_hdr.msg_iovlen = 1;
    return true;
}

// A datagram of IPv4 that may be cut on its way has a number, which costs the kernel as much as a tenth of
// all else; these are shorter than what any link carries whole, and leave with DF where there are enough of
// them. What it was before; -1: it stays as it is.
static int whole(int fd)
{
    int how, domain, leave = IP_PMTUDISC_DO;
    socklen_t len = sizeof(how), domain_len = sizeof(domain);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) == 0 && domain == AF_INET &&
                   getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &how, &len) == 0 &&
                   setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &leave, sizeof(leave)) == 0
               ? how
               : -1;
}

void answers_send(struct answers *a, void (*lost)(void *ctx, const struct sockaddr_storage *to, int error),
                  void *ctx)
{
    int before = a->count >= SOME ? whole(a->fd) : -1;
    for (unsigned at = 0; at < a->count;) {
        int n = sendmmsg(a->fd, a->msg + at, a->count - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n <= 0)
            lost(ctx, &a->envelope[at].to, errno);
        at += n > 0 ? (unsigned)n : 1;
    }
    if (before >= 0)
        (void)setsockopt(a->fd, IPPROTO_IP, IP_MTU_DISCOVER, &before, sizeof(before));
    a->count = 0;
}
