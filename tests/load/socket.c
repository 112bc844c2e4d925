// SPDX-License-Identifier: Apache-2.0
// The socket. Source addresses are put on each datagram (IP_PKTINFO), so that ten thousand clients need one
// socket; they must be local ones: `ip route add local PREFIX dev lo` makes a whole prefix so.
#include "tests/load/socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 16 << 20 };

uint64_t load_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static socklen_t length_of(const struct addr *a)
{
    return a->family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

// The address that the kernel takes toward the peer.
static int own_address(const struct load_socket *s, const struct load_options *o, struct addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int fd = socket(o->peer.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret = 0;
    uint16_t port;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&s->peer, s->peer_len) != 0 ||
        getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        ret = -errno;
    close(fd);
    if (ret == 0)
        addr_from_sockaddr(&ss, out, &port);
    return ret;
}

int load_socket_open(struct load_socket *s, const struct load_options *o, struct esp_error *err)
{
    struct addr any = {.family = o->peer.family};
    struct sockaddr_storage ss;
    socklen_t len = length_of(&o->peer);
    int size = BUFFER;

    addr_to_sockaddr(&o->peer, o->peer_port, &s->peer);
    s->peer_len = len;
    s->fd = socket(o->peer.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return esp_fail(err, -errno, "socket", "%s", strerror(errno));
    if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
        (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    addr_to_sockaddr(&any, o->local_port, &ss);
    if (bind(s->fd, (struct sockaddr *)&ss, len) != 0)
        return esp_fail(err, -errno, "--local-port", "port %u: %s", o->local_port, strerror(errno));
    len = sizeof(ss);
    if (getsockname(s->fd, (struct sockaddr *)&ss, &len) != 0)
        return esp_fail(err, -errno, "socket", "%s", strerror(errno));
    addr_from_sockaddr(&ss, &any, &s->port);
    if (!o->source.family && own_address(s, o, &s->own) != 0)
        return esp_fail(err, -ENETUNREACH, "--peer", "no route there");
    return 0;
}

void load_socket_close(struct load_socket *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

struct addr load_source(const struct load_socket *s, const struct load_options *o, uint32_t n)
{
    struct addr a = o->source;
    unsigned last = a.family == 4 ? 3 : 15;

    if (!a.family)
        return s->own;
    for (uint32_t add = n % o->sources, i = 0; add && i <= last; i++) {
        add += a.a[last - i];
        a.a[last - i] = (uint8_t)add;
        add >>= 8;
    }
    return a;
}

int load_send(struct load_socket *s, const struct load_options *o, uint32_t n, const void *data, size_t len)
{
    union {
        char buf[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct msghdr m = {.msg_name = &s->peer, .msg_namelen = s->peer_len, .msg_iov = &iov, .msg_iovlen = 1};
    struct addr a = load_source(s, o, n);
    struct cmsghdr *c = &control.align;

    if (o->source.family == 4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, a.a, 4);
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        m.msg_controllen = CMSG_SPACE(sizeof(info));
    } else if (o->source.family == 6) {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, a.a, 16);
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        m.msg_controllen = CMSG_SPACE(sizeof(info));
    }
    if (m.msg_controllen)
        m.msg_control = control.buf;
    return sendmsg(s->fd, &m, 0) < 0 ? -errno : 0;
}

size_t load_receive(struct load_socket *s, void *buf, size_t cap)
{
    ssize_t n;

    do // what the kernel tells of a datagram before is not one
        n = recv(s->fd, buf, cap, 0);
    while (n < 0 && (errno == ECONNREFUSED || errno == EINTR));
    return n < 0 ? 0 : (size_t)n;
}

void load_wait(struct load_socket *s, uint64_t ns)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    (void)ppoll(&p, 1, &t, NULL);
}

void load_sleep(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    (void)nanosleep(&t, NULL);
}
