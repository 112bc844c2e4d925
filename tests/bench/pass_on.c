// SPDX-License-Identifier: Apache-2.0
// What the kernel does for a gateway in user space, and nothing else: what a TUN gives goes to the other end
// as it is, up to 64 KiB a call, in as many datagrams as ESP would make of it, and what comes from there goes
// into the TUN. Nothing is looked at, cut, put together or protected: for gateway.sh alone.
// usage: pass_on TUN OWN-IPV4 PEER-IPV4
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT // linux/udp.h, which does not go together with netinet/udp.h
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif
#ifndef TUN_F_USO4 // in Linux since 6.2
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { PORT = 4500, SEGMENT = 1450, TURN = 64, ROOM = 4 << 20, MOST = 70000 };

static int failed(const char *what)
{
    fprintf(stderr, "pass_on: %s: %s\n", what, strerror(errno));
    return -1;
}

static int tun_open(const char *name)
{
    const unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || strlen(name) >= sizeof(r.ifr_name))
        return failed("/dev/net/tun");
    memcpy(r.ifr_name, name, strlen(name));
    if (ioctl(fd, TUNSETIFF, &r) < 0)
        return failed(name);
    if (ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) < 0)
        (void)ioctl(fd, TUNSETOFFLOAD, tcp);
    return fd;
}

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

static int udp_open(const char *own, const char *peer)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(PORT)}, to = from;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, own, &from.sin_addr) != 1 || inet_pton(AF_INET, peer, &to.sin_addr) != 1) {
        errno = EINVAL;
        return failed("addresses");
    }
    (void)set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, ROOM);
    (void)set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, ROOM);
    if (set_int(fd, IPPROTO_UDP, UDP_GRO, 1) < 0 ||
        bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0 ||
        connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
        return failed("UDP");
    return fd;
}

static void send_off(int udp, uint8_t *p, size_t len)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct iovec v = {p, len};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    const uint16_t size = SEGMENT;
    if (len > SEGMENT) {
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(size));
        memcpy(CMSG_DATA(c), &size, sizeof(size));
    }
    (void)sendmsg(udp, &m, 0);
}

static void turn(int tun, int udp, bool out)
{
    static uint8_t p[MOST];
    for (int i = 0; i < TURN; i++) {
        ssize_t n = read(out ? tun : udp, p, sizeof(p));
        if (n <= 0)
            return;
        if (out)
            send_off(udp, p, (size_t)n);
        else
            (void)!write(tun, p, (size_t)n);
    }
}

static int watch(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv)
{
    int tun = argc == 4 ? tun_open(argv[1]) : failed("usage: pass_on TUN OWN-IPV4 PEER-IPV4");
    int udp = tun < 0 ? -1 : udp_open(argv[2], argv[3]), epoll = epoll_create1(EPOLL_CLOEXEC);
    if (udp < 0 || epoll < 0 || watch(epoll, tun) < 0 || watch(epoll, udp) < 0)
        return 1;
    for (;;) {
        struct epoll_event e[2];
        int n = epoll_wait(epoll, e, 2, -1);
        for (int i = 0; i < n; i++)
            turn(tun, udp, e[i].data.fd == tun);
    }
}
