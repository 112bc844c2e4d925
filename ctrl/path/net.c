// SPDX-License-Identifier: Apache-2.0
// The descriptors that the supervisor has opened, as path's way to the network.
#include "ctrl/lib/own_socket.h"
#include "ctrl/path/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef TUN_F_USO4 // in Linux since 6.2
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static const struct child_env *env_of(void *ctx)
{
    return ((const struct path_sockets *)ctx)->env;
}

static int result(ssize_t n)
{
    return n < 0 ? -errno : (int)n;
}

static int tun_read(const struct path_tun *t, uint8_t *p, uint32_t cap)
{
    return result(read(t->fd, p, cap));
}

static int tun_write(const struct path_tun *t, const uint8_t *p, uint32_t len)
{
    return result(write(t->fd, p, len));
}

// ---- a TUN that puts a struct virtio_net_hdr before each packet

static int tun_read_big(const struct path_tun *t, struct virtio_net_hdr *h, uint8_t *first, uint32_t cap,
                        uint8_t *rest, uint32_t rest_cap)
{
    struct iovec v[] = {{h, sizeof(*h)}, {first, cap}, {rest, rest_cap}};
    int n = result(readv(t->fd, v, 3));
    return n <= 0 ? n : n > (int)sizeof(*h) ? n - (int)sizeof(*h) : -EIO;
}

static int tun_write_big(const struct path_tun *t, const struct virtio_net_hdr *h, const uint8_t *p,
                         uint32_t len)
{
    struct iovec v[] = {{(void *)(uintptr_t)h, sizeof(*h)}, {(void *)(uintptr_t)p, len}};
    return result(writev(t->fd, v, 2));
}

static int tun_write_one(const struct path_tun *t, const uint8_t *p, uint32_t len)
{
    static const struct virtio_net_hdr whole;
    return tun_write_big(t, &whole, p, len);
}

static bool has_header(int tun)
{
    struct ifreq r = {0};
    return tun >= 0 && ioctl(tun, TUNGETIFF, &r) == 0 && (r.ifr_flags & IFF_VNET_HDR);
}

// Checksums and the cutting of TCP into segments, and of UDP where the kernel knows how (Linux since 6.2),
// are left to path. A kernel that does not offer it does them. True: UDP too.
static bool take_big_packets(int tun)
{
    const unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    if (ioctl(tun, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0)
        return true;
    (void)ioctl(tun, TUNSETOFFLOAD, tcp);
    return false;
}

static struct path_tun tun_of(int fd)
{
    bool big = has_header(fd);
    return (struct path_tun){.fd = fd,
                             .read = tun_read,
                             .write = big ? tun_write_one : tun_write,
                             .read_big = big ? tun_read_big : NULL,
                             .write_big = big ? tun_write_big : NULL,
                             .udp_big = big && take_big_packets(fd)};
}

static int vti_open(void *ctx, const char *name, struct path_tun *out)
{
    struct ifreq r = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)};
    (void)ctx;
    if (strlen(name) >= sizeof(r.ifr_name))
        return -ENAMETOOLONG;
    memcpy(r.ifr_name, name, strlen(name));
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (ioctl(fd, TUNSETIFF, &r) < 0) {
        int e = errno;
        close(fd);
        return -e;
    }
    *out = tun_of(fd);
    return 0;
}

static int vti_keep(const struct path_tun *t, bool on)
{
    return ioctl(t->fd, TUNSETPERSIST, on ? 1 : 0) < 0 ? -errno : 0;
}

// ----

static int fd_of(const struct child_env *env, enum path_socket s)
{
    const int fd[PATH_SOCKETS] = {env->sock_esp_nat_t, env->sock_esp6_nat_t, env->sock_esp,
                                  env->sock_esp6,      env->sock_ah,         env->sock_ah6};
    return fd[s];
}

static int receive(void *ctx, enum path_socket from, struct datagram *d, unsigned n)
{
    struct path_sockets *s = ctx;
    return net_receive(&s->receiver, fd_of(s->env, from), d, n);
}

static uint64_t lost(void *ctx, enum path_socket from)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t n = sizeof(info);
    int fd = fd_of(env_of(ctx), from);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &n) < 0 ||
        n <= SK_MEMINFO_DROPS * sizeof(info[0]))
        return 0;
    return info[SK_MEMINFO_DROPS];
}

static int send_many(void *ctx, struct mmsghdr *m, unsigned n)
{
    struct path_sockets *s = ctx;
    return net_send(&s->sender, m, n);
}

static int past(void *ctx, const uint8_t *p, uint32_t len)
{
    const struct child_env *env = env_of(ctx);
    struct sockaddr_storage to;
    struct addr a = {.family = p[0] >> 4};
    bool six = a.family == 6;
    if (len < (six ? 40 : 20) || (six && env->sock_send6 < 0))
        return -EAFNOSUPPORT;
    memcpy(a.a, p + (six ? 24 : 16), six ? 16 : 4);
    addr_to_sockaddr(&a, 0, &to);
    return result(sendto(six ? env->sock_send6 : env->sock_send, p, len, 0, (struct sockaddr *)&to,
                         six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)));
}

static int ask_mtu(int fd, const struct sockaddr_storage *from, const struct sockaddr_storage *to,
                   socklen_t len)
{
    bool six = to->ss_family == AF_INET6;
    int mtu = 0;
    socklen_t n = sizeof(mtu);
    if (bind(fd, (const struct sockaddr *)from, len) < 0 ||
        connect(fd, (const struct sockaddr *)to, len) < 0 ||
        getsockopt(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_MTU : IP_MTU, &mtu, &n) < 0)
        return -errno;
    return mtu;
}

static int path_mtu(void *ctx, const struct addr *from, const struct addr *to)
{
    struct sockaddr_storage a, b;
    (void)ctx;
    addr_to_sockaddr(from, 0, &a);
    addr_to_sockaddr(to, 500, &b);
    int fd = own_socket_for_questions(b.ss_family); // like those that send
    if (fd < 0)
        return -errno;
    int mtu = ask_mtu(fd, &a, &b, to->family == 6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    close(fd);
    return mtu;
}

struct path_net path_net_sockets(struct path_sockets *s, const struct child_env *env)
{
    s->env = env;
    s->sender = (struct net_sender){.calls = &net_linux,
                                    .port = env->settings->port_nat_t,
                                    .family = {{.raw = env->sock_send, .udp = env->sock_esp_nat_t},
                                               {.raw = env->sock_send6, .udp = env->sock_esp6_nat_t}}};
    net_sender_open(&s->sender);
    s->receiver = (struct net_receiver){.calls = &net_receive_linux};
    return (struct path_net){.ctx = s,
                             .tun = tun_of(env->tun),
                             .vti_open = vti_open,
                             .vti_keep = vti_keep,
                             .receive = receive,
                             .send = send_many,
                             .path_mtu = path_mtu,
                             .lost = lost,
                             .past = past};
}
