// SPDX-License-Identifier: Apache-2.0
// UDP 500 and 4500, raw ESP and AH, raw IP and TUN. On UDP 4500 IKE and ESP share the port (RFC 3948
// section 2.2): two sockets are bound to it, and a small BPF program gives datagrams that start with the
// non-ESP marker (four zero octets), and those too short to be either, to `ike`; the rest goes to `path`.
// Neither process sees the other's packets, but for IKE that the kernel has put together with others of its
// peer (UDP_GRO): what is longer than the IKE message that it begins with goes to `path`, which looks at each
// by itself and hands on what is IKE.
#include "ctrl/super/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/lib/child.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/own_socket.h"

#ifndef UDP_GRO // linux/udp.h, which does not go together with netinet/udp.h
#define UDP_GRO 104
#endif

static int missing(struct esp_error *err, const char *what, const char *step)
{
    int e = errno;
    if (e == EPERM || e == EACCES)
        return esp_fail(err, -e, what, "%s: not permitted; CAP_NET_ADMIN and CAP_NET_RAW are needed", step);
    return esp_fail(err, -e, what, "%s: %s", step, strerror(e));
}

int sockets_attach_demux(int fd, unsigned workers)
{
    // A load beyond the datagram's end ends the program with 0. The second word is the length that the IKE
    // header behind the marker tells (RFC 7296 section 3.1).
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0},
        {BPF_LD | BPF_W | BPF_LEN, 0, 0, 0},
        {BPF_MISC | BPF_TAX, 0, 0, 0},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, 4 + 24},
        {BPF_ALU | BPF_ADD | BPF_K, 0, 0, 4},
        {BPF_JMP | BPF_JGE | BPF_X, 0, 1, 0},
        {BPF_RET | BPF_K, 0, 0, DEMUX_IKE},
        {BPF_RET | BPF_K, 0, 0, DEMUX_ESP},
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 3},
        {BPF_ALU | BPF_MOD | BPF_K, 0, 0, workers},
        {BPF_ALU | BPF_ADD | BPF_K, 0, 0, DEMUX_ESP},
        {BPF_RET | BPF_A, 0, 0, 0},
    };
    enum { FIRST_WORD = 1, ALL_TO_ONE = 8, BY_SPI, LENGTH = sizeof(code) / sizeof(code[0]) };
    struct sock_fprog prog = {.len = workers == 1 ? BY_SPI : LENGTH, .filter = code};
    code[FIRST_WORD].jf = (workers == 1 ? ALL_TO_ONE : BY_SPI) - FIRST_WORD - 1;
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

// The addresses of --listen of one family.
static unsigned listed(const struct settings *st, int family, const struct sockaddr_storage **out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < st->listen_count; i++)
        if (st->listen[i].ss_family == family)
            out[n++] = &st->listen[i];
    return n;
}

static uint32_t word(const struct sockaddr_storage *ss, unsigned i)
{
    uint32_t v;
    if (ss->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)ss)->sin_addr.s_addr);
    memcpy(&v, ((const struct sockaddr_in6 *)ss)->sin6_addr.s6_addr + 4 * i, 4);
    return ntohl(v);
}

int sockets_attach_listen(int fd, const struct settings *st, int family)
{
    // The header's destination against each of the list, word by word: a whole match is taken, a word that
    // differs goes on to the next address, and behind the last one stands the drop.
    const struct sockaddr_storage *list[SETTINGS_MAX_LISTEN];
    struct sock_filter code[SETTINGS_MAX_LISTEN * 9 + 1];
    unsigned words = family == AF_INET ? 1 : 4, n = listed(st, family, list), at = 0;
    uint32_t from = (uint32_t)SKF_NET_OFF + (family == AF_INET ? 16 : 24);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned w = 0; w < words; w++) {
            uint8_t rest = (uint8_t)(2 * (words - w) - 1); // to the next address
            code[at++] = (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, from + 4 * w};
            code[at++] = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 0, rest, word(list[i], w)};
        }
        code[at++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, UINT32_MAX};
    }
    code[at++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog prog = {.len = (unsigned short)at, .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

static int mark(int fd, int family, const char *what, struct esp_error *err)
{
    int r = own_socket_mark(fd);
    if (r) {
        errno = -r;
        return missing(err, what, "setting the socket's mark");
    }
    r = own_socket_past_policies(fd, family);
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

// Room for bursts: what finds none in a raw socket is lost, and newer kernels tell its sender by ICMP that
// there is nobody for such a protocol. Without CAP_NET_ADMIN over the whole machine, such as in a user
// namespace, as much as net.core.rmem_max and wmem_max allow.
void sockets_room(int fd)
{
    enum { ROOM = 4 << 20 };
    if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, ROOM) < 0)
        set_int(fd, SOL_SOCKET, SO_RCVBUF, ROOM);
    if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, ROOM) < 0)
        set_int(fd, SOL_SOCKET, SO_SNDBUF, ROOM);
}

// One address of --listen is bound to; for several the socket takes any and a filter passes those.
static int bind_to(int fd, int family, const struct settings *st, uint16_t port)
{
    const struct sockaddr_storage *list[SETTINGS_MAX_LISTEN];
    unsigned n = listed(st, family, list);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (n > 1) {
        errno = -sockets_attach_listen(fd, st, family);
        if (errno)
            return -1;
    }
    if (family == AF_INET) {
        if (n == 1)
            in.sin_addr = ((const struct sockaddr_in *)list[0])->sin_addr;
        return bind(fd, (const struct sockaddr *)&in, sizeof(in));
    }
    if (n == 1)
        in6.sin6_addr = ((const struct sockaddr_in6 *)list[0])->sin6_addr;
    return bind(fd, (const struct sockaddr *)&in6, sizeof(in6));
}

// Where it came to; each of these costs something with every datagram of a flood.
static int ask_for_destination(int fd, int family)
{
    return family == AF_INET ? set_int(fd, IPPROTO_IP, IP_PKTINFO, 1)
                             : set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

// And what goes on from a tunnel's outer header to the inner one.
static int ask_for_information(int fd, int family)
{
    if (ask_for_destination(fd, family) < 0)
        return -1;
    if (family == AF_INET)
        return set_int(fd, IPPROTO_IP, IP_RECVTOS, 1) < 0 || set_int(fd, IPPROTO_IP, IP_RECVTTL, 1) < 0 ? -1
                                                                                                        : 0;
    return set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) < 0 ||
                   set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) < 0
               ? -1
               : 0;
}

struct opening { // what all sockets of one family have in common
    const struct settings *st;
    int family;
    struct esp_error *err;
};

static int not_bound(const struct opening *o, const char *what, uint16_t port)
{
    int e = errno;
    if (e != EACCES || port >= IPPORT_RESERVED)
        return missing(o->err, what, "binding");
    return esp_fail(o->err, -e, what, "binding: not permitted; a port below %d needs CAP_NET_BIND_SERVICE",
                    IPPORT_RESERVED);
}

enum use { FOR_IKE, FOR_ESP };

static int udp_open(const struct opening *o, int *out, uint16_t port, enum use use, bool shared)
{
    char what[32];
    snprintf(what, sizeof(what), "%sUDP port %u", o->family == AF_INET ? "" : "IPv6 ", port);
    int fd = *out = socket(o->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return missing(o->err, what, "opening a socket");
    int r = mark(fd, o->family, what, o->err);
    if (r)
        return r;
    if (o->family == AF_INET6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0)
        return missing(o->err, what, "leaving IPv4 to the other socket");
    if (shared && set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
        return missing(o->err, what, "sharing the port");
    if ((use == FOR_ESP ? ask_for_information : ask_for_destination)(fd, o->family) < 0)
        return missing(o->err, what, "asking for packet information");
    sockets_room(fd);
    if (bind_to(fd, o->family, o->st, port) < 0)
        return not_bound(o, what, port);
    return 0;
}

// A port that someone else shares by SO_REUSEPORT would silently take part of our packets: look without
// sharing first.
static int port_is_free(const struct opening *o, uint16_t port)
{
    int fd;
    int r = udp_open(o, &fd, port, FOR_IKE, false);
    if (fd >= 0)
        close(fd);
    return r;
}

// Datagrams of one peer come together, where the kernel knows how. Whether it puts them together it asks one
// socket of the group, and not yet by the program: by a hash of the addresses, so both have to say yes.
static void take_together(int fd)
{
    (void)set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
}

// After the first: in their order in the group.
static int further_open(const struct opening *o, struct socket_set *s)
{
    int r = 0;
    for (unsigned i = 0; i + 1 < o->st->workers && r == 0; i++) {
        int *fd = o->family == AF_INET ? &s->more[i].esp_nat_t : &s->more[i].esp6_nat_t;
        r = udp_open(o, fd, o->st->port_nat_t, FOR_ESP, true);
        if (r == 0)
            take_together(*fd);
    }
    return r;
}

static int nat_t_open(const struct opening *o, int *ike, int *esp)
{
    uint16_t port = o->st->port_nat_t;
    int r = port_is_free(o, port);
    if (r == 0)
        r = udp_open(o, ike, port, FOR_IKE, true);
    if (r == 0) {
        errno = -sockets_attach_demux(*ike, o->st->workers);
        if (errno)
            r = missing(o->err, "UDP port 4500", "attaching the filter that parts IKE from ESP");
    }
    if (r == 0)
        r = udp_open(o, esp, port, FOR_ESP, true); // the group's second: index 1
    if (r == 0) {
        take_together(*ike);
        take_together(*esp);
    }
    return r;
}

// What comes of one protocol.
static int receiver_open(const struct opening *o, int *out, int protocol, const char *what)
{
    *out = socket(o->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (*out < 0) {
        LOGF(NET, 1, "no %s (%s): only ESP in UDP can be received", what, strerror(errno));
        return 0;
    }
    sockets_room(*out);
    if (o->family == AF_INET6 && ask_for_information(*out, AF_INET6) < 0)
        return missing(o->err, what, "asking for packet information");
    if (bind_to(*out, o->family, o->st, 0) < 0)
        return missing(o->err, what, "binding");
    return mark(*out, o->family, what, o->err);
}

// Of a raw socket of IPv6 Linux keeps what routers say about the size of its packets only where one of them
// wants to be told of errors, and a program that wants to be told has to listen. This one takes nothing and
// is read by nobody: it makes the kernel keep it. Without it, packets that a path has no room for are lost.
// Where one is, the kernel does not say to who sends such packets that it does not know their protocol.
static void sizes_open(const struct opening *o, int *out, int protocol)
{
    struct sock_filter nothing = {BPF_RET | BPF_K, 0, 0, 0};
    const struct sock_fprog prog = {.len = 1, .filter = &nothing};
    struct esp_error err = {0};
    *out = socket(o->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (*out >= 0 && set_int(*out, SOL_SOCKET, SO_RCVBUF, 1) == 0 &&
        bind_to(*out, o->family, o->st, 0) == 0 &&
        setsockopt(*out, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) == 0 &&
        set_int(*out, IPPROTO_IPV6, IPV6_RECVERR, 1) == 0 && mark(*out, o->family, "raw socket", &err) == 0)
        return;
    LOGF(NET, 1, "the kernel does not keep what routers say about packets of protocol %d by IPv6: %s",
         protocol, strerror(errno));
    if (*out >= 0)
        close(*out);
    *out = -1;
}

static int raw_open(const struct opening *o, int *sender, int *esp, int *ah)
{
    const char *const what = o->family == AF_INET ? "raw IP socket" : "raw IPv6 socket";
    *sender = socket(o->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    if (*sender < 0)
        return missing(o->err, what, "opening it");
    int r = mark(*sender, o->family, what, o->err);
    if (r)
        return r;
    sockets_room(*sender);
    r = receiver_open(o, esp, IPPROTO_ESP, "raw ESP socket");
    return r ? r : receiver_open(o, ah, IPPROTO_AH, "raw AH socket");
}

// A machine without IPv6 does without; --listen may name addresses of one family alone.
static bool wanted(const struct settings *st, int family)
{
    const struct sockaddr_storage *list[SETTINGS_MAX_LISTEN];
    if (st->listen_count)
        return listed(st, family, list) > 0;
    int fd = family == AF_INET6 ? socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0)
        close(fd);
    return family == AF_INET || fd >= 0;
}

static int tun_queue_open(int *out, const struct settings *st, struct esp_error *err)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    if (st->workers > 1)
        ifr.ifr_flags |= IFF_MULTI_QUEUE;
    int fd = *out = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return missing(err, "/dev/net/tun", "opening it");
    if (strlen(st->tun) >= sizeof(ifr.ifr_name))
        return esp_fail(err, -EINVAL, "--tun", "longer than %zu characters", sizeof(ifr.ifr_name) - 1);
    memcpy(ifr.ifr_name, st->tun, strlen(st->tun));
    if (ioctl(fd, TUNSETIFF, &ifr) < 0)
        return missing(err, st->tun,
                       errno == EBUSY ? "creating the TUN device (another program has it)"
                                      : "creating the TUN device");
    return 0;
}

// A queue for each worker; the kernel gives a flow's packets to the one that the other direction's came by.
static int tun_open(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    int r = tun_queue_open(&s->tun, st, err);
    for (unsigned i = 0; i + 1 < st->workers && r == 0; i++)
        r = tun_queue_open(&s->more[i].tun, st, err);
    return r;
}

static int family_open(struct socket_set *s, const struct settings *st, int family, struct esp_error *err)
{
    struct opening o = {st, family, err};
    bool four = family == AF_INET;
    if (!wanted(st, family))
        return 0;
    int r = udp_open(&o, four ? &s->ike : &s->ike6, st->port, FOR_IKE, false);
    if (r == 0)
        r = nat_t_open(&o, four ? &s->ike_nat_t : &s->ike6_nat_t, four ? &s->esp_nat_t : &s->esp6_nat_t);
    if (r == 0)
        r = further_open(&o, s);
    if (r == 0)
        r = raw_open(&o, four ? &s->send : &s->send6, four ? &s->esp : &s->esp6, four ? &s->ah : &s->ah6);
    if (r == 0 && !four) {
        sizes_open(&o, &s->esp6_sizes, IPPROTO_ESP);
        sizes_open(&o, &s->ah6_sizes, IPPROTO_IPV6); // of what is quoted Linux looks behind AH
        sizes_open(&o, &s->ah4_sizes, IPPROTO_IPIP);
    }
    return r;
}

int sockets_open(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    *s = (struct socket_set){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, {{0}}, -1,
                             -1, -1, -1, "", -1, -1, -1, -1, -1, -1, -1, -1, 0,  ""};
    for (unsigned i = 0; i < SETTINGS_MAX_WORKERS - 1; i++)
        s->more[i] = (struct worker_fds){-1, -1, -1};
    int r = family_open(s, st, AF_INET, err);
    if (r == 0)
        r = family_open(s, st, AF_INET6, err);
    if (r == 0)
        r = tun_open(s, st, err);
    if (r == 0 && st->metrics[0])
        r = metrics_socket_open(s, st->metrics, st->metrics_group, err);
    if (r)
        sockets_close(s);
    return r;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void sockets_close(struct socket_set *s)
{
    int *all[] = {&s->ike,  &s->ike_nat_t,  &s->esp_nat_t,  &s->esp,       &s->send,       &s->tun,
                  &s->ike6, &s->ike6_nat_t, &s->esp6_nat_t, &s->esp6,      &s->send6,      &s->ah,
                  &s->ah6,  &s->metrics,    &s->esp6_sizes, &s->ah6_sizes, &s->ah4_sizes,  &s->vici,
                  &s->kept, &s->configured, &s->secrets,    &s->fence,     &s->fence_read, &s->fleet_tls};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        close_one(all[i]);
    for (size_t i = 0; i < sizeof(s->more) / sizeof(s->more[0]); i++) {
        close_one(&s->more[i].tun);
        close_one(&s->more[i].esp_nat_t);
        close_one(&s->more[i].esp6_nat_t);
    }
    if (s->metrics_path[0])
        unlink(s->metrics_path);
    s->metrics_path[0] = 0;
}
