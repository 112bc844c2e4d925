// SPDX-License-Identifier: Apache-2.0
// The ike process: its UDP sockets, two of each family (RFC 7296 section 2.23, RFC 3948 section 2.2 for the
// non-ESP marker) behind the network seam, and the loop.
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "ctrl/ike/room.h"
#include "ctrl/ike/route_query.h"
#include "ctrl/lib/log.h"

enum { MARKER = 4, BURST = 32, DATAGRAM_MAX = 65536 };

struct process {
    struct ike *ike;
    struct loop_fd sock[2][2]; // [IPv6][NAT-T port]
    struct loop_fd clock;      // says when the system's clock is set
    uint16_t port[2];
    uint8_t datagram[DATAGRAM_MAX]; // the one that is being received
};

// --- sending ---

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

static void net_send(void *ctx, const struct net_path *path, struct slice d, bool marker)
{
    struct process *p = ctx;
    uint8_t zeros[MARKER] = {0};
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
    struct sockaddr_storage to;
    struct iovec iov[2] = {{zeros, marker && path->nat_t ? MARKER : 0}, {(void *)(uintptr_t)d.p, d.len}};
    struct msghdr msg = {.msg_name = &to, .msg_iov = iov, .msg_iovlen = 2, .msg_control = control};
    char a[64];
    addr_to_sockaddr(&path->remote, path->remote_port, &to);
    msg.msg_namelen = path->remote.family == 6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    msg.msg_controllen = sizeof(control);
    put_source(&msg, &path->local);
    if (sendmsg(p->sock[path->remote.family == 6][path->nat_t].fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        LOGF(NET, 1, "sending to %s[%u]: %s", addr_print(&path->remote, a, sizeof(a)), path->remote_port,
             strerror(errno));
}

static bool net_source_for(void *ctx, const struct addr *remote, struct addr *local)
{
    (void)ctx;
    return route_query(NULL, remote, local);
}

// What a cable that was pulled leaves behind is no address to send from, though the system would.
static bool is_there(const struct addr *a)
{
    struct ifaddrs *all = NULL;
    bool there = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *i = all; i && !there; i = i->ifa_next) {
        struct sockaddr_storage ss = {0};
        struct addr x = {0};
        uint16_t port;
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || !(i->ifa_flags & IFF_RUNNING) ||
            (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        memcpy(&ss, i->ifa_addr,
               i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        addr_from_sockaddr(&ss, &x, &port);
        there = addr_eq(&x, a);
    }
    freeifaddrs(all);
    return there;
}

static bool net_can_send(void *ctx, const struct addr *local, const struct addr *remote)
{
    (void)ctx;
    return is_there(local) && route_query(local, remote, NULL);
}

// --- receiving ---

// index: the interface that it came in by.
static void take_destination(struct msghdr *msg, struct addr *local, unsigned *index)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            local->family = 4;
            memcpy(local->a, &info.ipi_addr, 4);
            *index = (unsigned)info.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            local->family = 6;
            memcpy(local->a, &info.ipi6_addr, 16);
            *index = info.ipi6_ifindex;
        }
    }
}

static bool receive_one(struct process *p, int fd, int which)
{
    _Alignas(struct cmsghdr) uint8_t control[256];
    struct sockaddr_storage from;
    struct iovec iov = {p->datagram, sizeof(p->datagram)};
    struct msghdr msg = {.msg_name = &from,
                         .msg_namelen = sizeof(from),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == ECONNREFUSED || errno == EHOSTUNREACH;
    struct net_path path = {.nat_t = which, .local_port = p->port[which]};
    unsigned index = 0;
    struct slice d = slice_of(p->datagram, (size_t)n);
    addr_from_sockaddr(&from, &path.remote, &path.remote_port);
    take_destination(&msg, &path.local, &index);
    if (!settings_use_index(ike_settings(p->ike), index))
        return true;
    if (which) {
        static const uint8_t marker[MARKER];
        if (d.len < MARKER || memcmp(d.p, marker, MARKER) != 0)
            return true; // a keepalive, or not for us
        d = slice_of(p->datagram + MARKER, d.len - MARKER);
    }
    ike_receive(p->ike, &path, d);
    return true;
}

static void ready(struct loop_fd *f, uint32_t events)
{
    struct process *p = f->ctx;
    (void)events;
    for (int i = 0; i < BURST && receive_one(p, f->fd, f == &p->sock[0][1] || f == &p->sock[1][1]); i++)
        ;
}

// --- the clock ---

static bool watch_clock_again(int fd)
{
    struct itimerspec far = {.it_value.tv_sec = time(NULL) + 3600 * 24 * 3650};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL) == 0;
}

static void clock_ready(struct loop_fd *f, uint32_t events)
{
    struct process *p = f->ctx;
    uint64_t n;
    (void)events;
    if (read(f->fd, &n, sizeof(n)) < 0 && errno == EAGAIN)
        return;
    watch_clock_again(f->fd);
    ike_clock_set(p->ike);
}

// Our own timers do not care how it is set; what certificates say of their ends does.
static int watch_clock(struct process *p, struct loop *l)
{
    int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0 || !watch_clock_again(fd))
        return -errno;
    p->clock = (struct loop_fd){.fd = fd, .events = EPOLLIN, .ready = clock_ready, .ctx = p};
    return loop_add(l, &p->clock);
}

// --- the process ---

static void to_ctl(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                   const char *text)
{
    ipc_log(ike_channel(ctx, ROOM_CTL), s, level, ike_name, ike_id, text);
}

static int watch(struct process *p, struct loop *l, struct loop_fd *f, int fd)
{
    *f = (struct loop_fd){.fd = fd, .events = EPOLLIN, .ready = ready, .ctx = p};
    return fd >= 0 ? loop_add(l, f) : 0;
}

static int watch_all(struct process *p, struct loop *l, const struct child_env *env)
{
    const int fds[2][2] = {{env->sock_ike, env->sock_ike_nat_t}, {env->sock_ike6, env->sock_ike6_nat_t}};
    int rc = 0;
    p->port[0] = env->settings->port;
    p->port[1] = env->settings->port_nat_t;
    for (int i = 0; i < 4 && !rc; i++)
        rc = watch(p, l, &p->sock[i / 2][i % 2], fds[i / 2][i % 2]);
    return rc;
}

int ike_main(const struct child_env *env)
{
    static const enum room peers[] = {ROOM_CTL, ROOM_KEYS, ROOM_PATH, ROOM_FETCH, ROOM_SUPER};
    struct process self = {0};
    const struct net net = {&self, net_send, net_source_for, NULL, net_can_send};
    log_set_process("ike");
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    struct loop *l = loop_new();
    self.ike = l ? ike_new(l, env->settings, &net) : NULL;
    int rc = self.ike ? 0 : l ? -ENOMEM : -errno;
    if (!rc)
        ike_follow(self.ike, env->life, env->conn_salt);
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]) && !rc; i++)
        if (env->chan[peers[i]] >= 0)
            rc = ike_attach(self.ike, peers[i], env->chan[peers[i]]);
    if (!rc)
        rc = watch_all(&self, l, env);
    if (!rc)
        rc = watch_clock(&self, l);
    if (!rc) {
        log_set_sink(to_ctl, self.ike);
        ipc_send(ike_channel(self.ike, ROOM_SUPER), MSG_READY, &(struct msg_READY){.room = ROOM_IKE});
        rc = loop_run(l);
    } else {
        LOGF(DMN, 0, "it cannot be set up: %s", strerror(-rc));
    }
    log_set_sink(NULL, NULL);
    ike_free(self.ike);
    loop_free(l);
    return rc ? 1 : 0;
}
