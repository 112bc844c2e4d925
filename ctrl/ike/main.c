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

#include "ctrl/ike/answers.h"
#include "ctrl/ike/pace.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/route_query.h"
#include "ctrl/lib/fence.h"
#include "ctrl/lib/log.h"

enum { BURST = ANSWERS_MOST, TURNS = 4, DATAGRAM_MAX = 65536, APART = 320 };

struct process;
struct ike_socket {
    struct process *of;
    struct loop_fd watch;
    bool nat_t;
    struct pace pace;
    struct timer fetch; // armed where it is polled: then the loop does not watch it
};
struct batch { // datagrams that are being received
    struct mmsghdr msg[BURST];
    struct iovec iov[BURST];
    struct sockaddr_storage from[BURST];
    _Alignas(struct cmsghdr) uint8_t control[BURST][128];
    // As much of it is there as they have been long. They do not begin at the same offset of a page each:
    // what lies so has few places in a cache.
    uint8_t datagram[BURST][DATAGRAM_MAX + APART];
};
struct process {
    struct ike *ike;
    struct loop *loop;
    struct ike_socket sock[2][2]; // [IPv6][NAT-T port]
    struct loop_fd clock;         // says when the system's clock is set
    uint16_t port[2];
    struct batch batch;
    struct ike_socket *answering; // NULL: answers do not gather
    struct answers answers;
};

// --- sending ---

static struct ike_socket *socket_for(struct process *p, const struct net_path *path)
{
    return &p->sock[path->remote.family == 6][path->nat_t];
}

static void net_send(void *ctx, const struct net_path *path, struct slice d, bool marker)
{
    struct process *p = ctx;
    uint8_t zeros[NON_ESP_MARKER] = {0};
    struct envelope e;
    struct iovec iov[2] = {{zeros, marker && path->nat_t ? NON_ESP_MARKER : 0},
                           {(void *)(uintptr_t)d.p, d.len}};
    struct msghdr msg = envelope_for(&e, path);
    char a[64];
    msg.msg_iov = iov;
    msg.msg_iovlen = 2;
    if (sendmsg(socket_for(p, path)->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        LOGF(NET, 1, "sending to %s[%u]: %s", addr_print(&path->remote, a, sizeof(a)), path->remote_port,
             strerror(errno));
}

static void answer_lost(void *ctx, const struct sockaddr_storage *to, int error)
{
    struct process *p = ctx;
    ike_answer_lost(p->ike, to, error);
}

static void net_answer(void *ctx, const struct net_path *path, struct slice d)
{
    struct process *p = ctx;
    if (p->answering != socket_for(p, path) || !answers_put(&p->answers, path, d))
        net_send(ctx, path, d, true);
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

static void take(struct ike_socket *s, struct msghdr *msg, size_t len)
{
    struct process *p = s->of;
    struct net_path path = {.nat_t = s->nat_t, .local_port = p->port[s->nat_t]};
    unsigned index = 0;
    struct slice d = slice_of(msg->msg_iov->iov_base, len);
    addr_from_sockaddr(msg->msg_name, &path.remote, &path.remote_port);
    take_destination(msg, &path.local, &index);
    if (!settings_use_index(ike_settings(p->ike), index))
        return;
    if (s->nat_t) {
        static const uint8_t marker[NON_ESP_MARKER];
        if (d.len < NON_ESP_MARKER || memcmp(d.p, marker, NON_ESP_MARKER) != 0)
            return; // a keepalive, or not for us
        d = slice_of(d.p + NON_ESP_MARKER, d.len - NON_ESP_MARKER);
    }
    ike_receive(p->ike, &path, d);
}

static void make_room(struct batch *b, unsigned i)
{
    b->iov[i] = (struct iovec){b->datagram[i], DATAGRAM_MAX};
    b->msg[i].msg_hdr = (struct msghdr){.msg_name = &b->from[i],
                                        .msg_namelen = sizeof(b->from[i]),
                                        .msg_iov = &b->iov[i],
                                        .msg_iovlen = 1,
                                        .msg_control = b->control[i],
                                        .msg_controllen = sizeof(b->control[i])};
}

// What was told of a datagram that we sent stands before those that came.
static int get(int fd, struct batch *b)
{
    int n;
    unsigned told = 0;
    do
        n = recvmmsg(fd, b->msg, BURST, MSG_DONTWAIT, NULL);
    while (n < 0 && (errno == EINTR || errno == ECONNREFUSED || errno == EHOSTUNREACH) && told++ < BURST);
    return n < 0 ? 0 : n;
}

static struct pace_got receive(struct ike_socket *s)
{
    struct process *p = s->of;
    struct batch *b = &p->batch;
    struct turned_away before = ike_turned_away(p->ike), after;
    int n = get(s->watch.fd, b);
    p->answering = s;
    answers_begin(&p->answers, s->watch.fd);
    for (int i = 0; i < n; i++) {
        take(s, &b->msg[i].msg_hdr, b->msg[i].msg_len);
        make_room(b, (unsigned)i);
    }
    answers_send(&p->answers, answer_lost, p);
    p->answering = NULL;
    after = ike_turned_away(p->ike);
    return (struct pace_got){.all = (unsigned)n,
                             .refused = (unsigned)(after.all - before.all),
                             .idle = (unsigned)(after.idle - before.idle),
                             .full = n == BURST};
}

// What has gathered since the last time; others want their turn as well.
static struct pace_got receive_all(struct ike_socket *s)
{
    struct pace_got all = receive(s);
    for (unsigned n = 1; all.full && n < TURNS; n++) {
        struct pace_got g = receive(s);
        all.all += g.all;
        all.refused += g.refused;
        all.idle += g.idle;
        all.full = g.full;
    }
    return all;
}

static void fetch(struct timer *t)
{
    struct ike_socket *s = t->ctx;
    struct loop *l = s->of->loop;
    struct pace_got g = receive_all(s);
    unsigned ms = pace_polled(&s->pace, &g);
    if (ms || loop_add(l, &s->watch) != 0)
        timer_set(l, t, loop_now(l) + (ms ? ms : PACE_BEGIN_MS));
}

static void ready(struct loop_fd *f, uint32_t events)
{
    struct ike_socket *s = f->ctx;
    struct loop *l = s->of->loop;
    struct pace_got g = receive(s);
    unsigned ms = pace_woken(&s->pace, loop_now_us(l), &g);
    (void)events;
    if (!ms)
        return;
    loop_del(l, f);
    timer_set(l, &s->fetch, loop_now(l) + ms);
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

static int watch(struct process *p, struct ike_socket *s, bool nat_t, int fd)
{
    *s = (struct ike_socket){.of = p,
                             .watch = {.fd = fd, .events = EPOLLIN, .ready = ready, .ctx = s},
                             .nat_t = nat_t,
                             .fetch = {.fire = fetch, .ctx = s}};
    if (fd < 0)
        return 0;
    answers_socket(fd);
    return loop_add(p->loop, &s->watch);
}

static int watch_all(struct process *p, struct loop *l, const struct child_env *env)
{
    const int fds[2][2] = {{env->sock_ike, env->sock_ike_nat_t}, {env->sock_ike6, env->sock_ike6_nat_t}};
    int rc = 0;
    p->loop = l;
    for (unsigned i = 0; i < BURST; i++)
        make_room(&p->batch, i);
    p->port[0] = env->settings->port;
    p->port[1] = env->settings->port_nat_t;
    for (int i = 0; i < 4 && !rc; i++)
        rc = watch(p, &p->sock[i / 2][i % 2], i % 2 != 0, fds[i / 2][i % 2]);
    return rc;
}

static int run(struct process *p, struct loop *l, const struct child_env *env)
{
    static const enum room peers[] = {ROOM_CTL, ROOM_KEYS, ROOM_PATH, ROOM_FETCH, ROOM_SUPER};
    const struct net net = {p, net_send, net_source_for, NULL, net_can_send, net_answer};
    int rc = 0;
    p->ike = ike_new(l, env->settings, &net);
    if (!p->ike)
        return -ENOMEM;
    if (env->fence >= 0) {
        ike_set_fence(p->ike, fence_map(env->fence, false)); // without it what is the fleet's is closed
        close(env->fence);
    }
    ike_follow(p->ike, env->life, env->conn_salt);
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]) && !rc; i++)
        if (env->chan[peers[i]] >= 0)
            rc = ike_attach(p->ike, peers[i], env->chan[peers[i]]);
    if (!rc)
        rc = watch_all(p, l, env);
    if (!rc)
        rc = watch_clock(p, l);
    if (rc)
        return rc;
    log_set_sink(to_ctl, p->ike);
    ipc_send(ike_channel(p->ike, ROOM_SUPER), MSG_READY, &(struct msg_READY){.room = ROOM_IKE});
    return loop_run(l);
}

int ike_main(const struct child_env *env)
{
    log_set_process("ike");
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    struct loop *l = loop_new();
    int rc = l ? -ENOMEM : -errno;
    struct process *p = l ? calloc(1, sizeof(*p)) : NULL;
    if (p)
        rc = run(p, l, env);
    if (rc)
        LOGF(DMN, 0, "it cannot be set up: %s", strerror(-rc));
    log_set_sink(NULL, NULL);
    if (p)
        ike_free(p->ike);
    loop_free(l);
    free(p);
    return rc ? 1 : 0;
}
