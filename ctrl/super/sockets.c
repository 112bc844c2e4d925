// SPDX-License-Identifier: Apache-2.0
// UDP 500 and 4500, raw ESP, raw IP and TUN. On UDP 4500 IKE and ESP share the port (RFC 3948 section 2.2):
// two sockets are bound to it, and a small BPF program gives datagrams that start with the non-ESP marker
// (four zero octets), and those too short to be either, to `ike`; the rest goes to `path`. Neither process
// sees the other's packets.
#include "ctrl/super/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/lib/child.h"
#include "ctrl/lib/log.h"

static int missing(struct esp_error *err, const char *what, const char *step)
{
    int e = errno;
    if (e == EPERM || e == EACCES)
        return esp_fail(err, -e, what, "%s: not permitted; CAP_NET_ADMIN and CAP_NET_RAW are needed", step);
    return esp_fail(err, -e, what, "%s: %s", step, strerror(e));
}

int sockets_attach_demux(int fd)
{
    // A load beyond the datagram's end ends the program with 0.
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0},
        {BPF_RET | BPF_K, 0, 0, DEMUX_IKE},
        {BPF_RET | BPF_K, 0, 0, DEMUX_ESP},
    };
    struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

int sockets_attach_listen(int fd, const struct settings *st)
{
    // Destination address of the IPv4 header against each of the list; one jump beyond the end drops.
    struct sock_filter code[SETTINGS_MAX_LISTEN + 3] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)SKF_NET_OFF + 16}};
    unsigned n = st->listen_count;
    for (unsigned i = 0; i < n; i++) {
        uint32_t addr = ntohl(((const struct sockaddr_in *)&st->listen[i])->sin_addr.s_addr);
        code[1 + i] = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(n - i), 0, addr};
    }
    code[1 + n] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, 0};
    code[2 + n] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, UINT32_MAX};
    struct sock_fprog prog = {.len = (unsigned short)(n + 3), .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

// Our own datagrams are never subject to the policies that protect everything else.
static int bypass_xfrm(int fd)
{
    for (int dir = XFRM_POLICY_IN; dir <= XFRM_POLICY_OUT; dir++) {
        struct xfrm_userpolicy_info policy = {
            .action = XFRM_POLICY_ALLOW, .dir = (uint8_t)dir, .sel.family = AF_INET};
        if (setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, &policy, sizeof(policy)) < 0)
            return -errno;
    }
    return 0;
}

static int mark(int fd, const char *what, struct esp_error *err)
{
    uint32_t m = ESPALIER_SO_MARK;
    if (setsockopt(fd, SOL_SOCKET, SO_MARK, &m, sizeof(m)) < 0)
        return missing(err, what, "setting the socket's mark");
    int r = bypass_xfrm(fd);
    if (r == -EPERM) {
        errno = EPERM;
        return missing(err, what, "setting the socket's bypass policy");
    }
    if (r) // a kernel without IPsec has no policies to bypass
        LOGF(NET, 2, "%s: no bypass policy: %s", what, strerror(-r));
    return 0;
}

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

// One address of --listen is bound to; for several the socket takes any and a filter passes those.
static int bind_to(int fd, const struct settings *st, uint16_t port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (st->listen_count == 1)
        any.sin_addr = ((const struct sockaddr_in *)&st->listen[0])->sin_addr;
    if (st->listen_count > 1) {
        errno = -sockets_attach_listen(fd, st);
        if (errno)
            return -1;
    }
    return bind(fd, (const struct sockaddr *)&any, sizeof(any));
}

static int udp_open(int *out, const struct settings *st, uint16_t port, bool shared, struct esp_error *err)
{
    char what[32];
    snprintf(what, sizeof(what), "UDP port %u", port);
    int fd = *out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return missing(err, what, "opening a socket");
    int r = mark(fd, what, err);
    if (r)
        return r;
    if (shared && set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
        return missing(err, what, "sharing the port");
    if (set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) < 0 || set_int(fd, IPPROTO_IP, IP_RECVTOS, 1) < 0 ||
        set_int(fd, IPPROTO_IP, IP_RECVTTL, 1) < 0)
        return missing(err, what, "asking for packet information");
    set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE,
            4 << 20); // room for bursts; where it is refused the default has to do
    if (bind_to(fd, st, port) < 0)
        return missing(err, what, "binding");
    return 0;
}

// A port that someone else shares by SO_REUSEPORT would silently take part of our packets: look without
// sharing first.
static int port_is_free(const struct settings *st, uint16_t port, struct esp_error *err)
{
    int fd;
    int r = udp_open(&fd, st, port, false, err);
    if (fd >= 0)
        close(fd);
    return r;
}

static int nat_t_open(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    int r = port_is_free(st, st->port_nat_t, err);
    if (r == 0)
        r = udp_open(&s->ike_nat_t, st, st->port_nat_t, true, err);
    if (r == 0) {
        errno = -sockets_attach_demux(s->ike_nat_t);
        if (errno)
            r = missing(err, "UDP port 4500", "attaching the filter that parts IKE from ESP");
    }
    if (r == 0)
        r = udp_open(&s->esp_nat_t, st, st->port_nat_t, true, err); // the group's second: index 1
    return r;
}

static int raw_open(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    s->send = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    if (s->send < 0)
        return missing(err, "raw IP socket", "opening it");
    int r = mark(s->send, "raw IP socket", err);
    if (r)
        return r;
    set_int(s->send, SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20);
    s->esp = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ESP);
    if (s->esp < 0) {
        LOGF(NET, 1, "no raw ESP socket (%s): only ESP in UDP can be received", strerror(errno));
        return 0;
    }
    set_int(s->esp, SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20);
    if (bind_to(s->esp, st, 0) < 0)
        return missing(err, "raw ESP socket", "binding");
    return mark(s->esp, "raw ESP socket", err);
}

static int tun_open(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    s->tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (s->tun < 0)
        return missing(err, "/dev/net/tun", "opening it");
    if (strlen(st->tun) >= sizeof(ifr.ifr_name))
        return esp_fail(err, -EINVAL, "--tun", "longer than %zu characters", sizeof(ifr.ifr_name) - 1);
    memcpy(ifr.ifr_name, st->tun, strlen(st->tun));
    if (ioctl(s->tun, TUNSETIFF, &ifr) < 0)
        return missing(err, st->tun,
                       errno == EBUSY ? "creating the TUN device (another program has it)"
                                      : "creating the TUN device");
    return 0;
}

int sockets_open(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    *s = (struct socket_set){-1, -1, -1, -1, -1, -1};
    for (unsigned i = 0; i < st->listen_count; i++) {
        if (st->listen[i].ss_family != AF_INET)
            return esp_fail(err, -EINVAL, "--listen", "an IPv6 address is not supported yet");
    }
    int r = udp_open(&s->ike, st, st->port, false, err);
    if (r == 0)
        r = nat_t_open(s, st, err);
    if (r == 0)
        r = raw_open(s, st, err);
    if (r == 0)
        r = tun_open(s, st, err);
    if (r)
        sockets_close(s);
    return r;
}

void sockets_close(struct socket_set *s)
{
    int *all[] = {&s->ike, &s->ike_nat_t, &s->esp_nat_t, &s->esp, &s->send, &s->tun};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (*all[i] >= 0)
            close(*all[i]);
        *all[i] = -1;
    }
}
