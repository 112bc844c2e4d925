// SPDX-License-Identifier: Apache-2.0
// The descriptors that the supervisor has opened, as path's way to the network.
#include "ctrl/path/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

static const struct child_env *env_of(void *ctx)
{
    return ctx;
}

static int result(ssize_t n)
{
    return n < 0 ? -errno : (int)n;
}

static int tun_read(void *ctx, uint8_t *p, uint32_t cap)
{
    return result(read(env_of(ctx)->tun, p, cap));
}

static int tun_write(void *ctx, const uint8_t *p, uint32_t len)
{
    return result(write(env_of(ctx)->tun, p, len));
}

static void control(struct msghdr *m, struct arrival *a)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != IPPROTO_IP)
            continue;
        if (c->cmsg_type == IP_PKTINFO) {
            a->to.family = 4;
            memcpy(a->to.a, CMSG_DATA(c) + offsetof(struct in_pktinfo, ipi_addr), 4);
        } else if (c->cmsg_type == IP_TOS) {
            a->tos = *CMSG_DATA(c);
        } else if (c->cmsg_type == IP_TTL) {
            a->ttl = *CMSG_DATA(c);
        }
    }
}

static int udp_read(void *ctx, uint8_t *p, uint32_t cap, struct arrival *a)
{
    struct sockaddr_storage from = {0};
    _Alignas(struct cmsghdr) uint8_t space[128];
    struct iovec iov = {p, cap};
    struct msghdr m = {.msg_name = &from,
                       .msg_namelen = sizeof(from),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = space,
                       .msg_controllen = sizeof(space)};
    ssize_t n = recvmsg(env_of(ctx)->sock_esp_nat_t, &m, MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    *a = (struct arrival){.ttl = 64, .cut = m.msg_flags & MSG_TRUNC};
    addr_from_sockaddr(&from, &a->from, &a->from_port);
    control(&m, a);
    return (int)n;
}

static int esp_read(void *ctx, uint8_t *p, uint32_t cap)
{
    return result(recv(env_of(ctx)->sock_esp, p, cap, MSG_DONTWAIT | MSG_TRUNC));
}

static int send_many(void *ctx, struct mmsghdr *m, unsigned n)
{
    return sendmmsg(env_of(ctx)->sock_send, m, n, 0);
}

static int past(void *ctx, const uint8_t *p, uint32_t len)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (len < 20 || p[0] >> 4 != 4)
        return -EAFNOSUPPORT;
    memcpy(&to.sin_addr, p + 16, 4);
    return result(sendto(env_of(ctx)->sock_send, p, len, 0, (struct sockaddr *)&to, sizeof(to)));
}

struct path_net path_net_sockets(const struct child_env *env)
{
    return (struct path_net){.ctx = (void *)(uintptr_t)env,
                             .tun_read = tun_read,
                             .tun_write = tun_write,
                             .udp_read = udp_read,
                             .esp_read = esp_read,
                             .send = send_many,
                             .past = past};
}
