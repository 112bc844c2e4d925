// SPDX-License-Identifier: Apache-2.0
// See gateway_lab.h.
#include "tests/system/gateway_lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// ---- packets

struct in6_addr ip6(const char *text)
{
    struct in6_addr a;
    assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
    return a;
}

static bool is_ip6_to(const uint8_t *p, ssize_t len, const struct in6_addr *dst)
{
    return len >= 48 && p[0] >> 4 == 6 && !memcmp(p + 24, dst, 16);
}

// Where packets to dst come out until it has been quiet for a while.
struct seen look(int tun, int wan, const struct in6_addr *dst)
{
    struct pollfd p[] = {{.fd = tun, .events = POLLIN}, {.fd = wan, .events = POLLIN}};
    struct seen s = {0};
    uint8_t b[2048];
    while (poll(p, 2, 150) > 0) {
        for (int i = 0; i < 2; i++) {
            size_t skip = i ? 14 : 0;
            ssize_t n = p[i].revents & POLLIN ? read(p[i].fd, b, sizeof(b)) : 0;
            if (!is_ip6_to(b + skip, n - (ssize_t)skip, dst))
                continue;
            s.where |= i ? WAN : TUN;
            s.proto = b[skip + 6];
            memcpy(&s.src, b + skip + 8, 16);
        }
    }
    return s;
}

static uint16_t checksum(const uint8_t *p, size_t len, uint8_t proto)
{
    uint32_t sum = (uint32_t)(len - 40) + proto; // the pseudo-header's rest: its addresses lie before
    for (size_t i = 8; i < len; i += 2)
        sum += (uint32_t)p[i] << 8 | (i + 1 < len ? p[i + 1] : 0);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

// A packet with its payload's checksum at sum_at. Returns its length.
size_t packet(uint8_t *p, const char *src, const char *dst, uint8_t proto, const uint8_t *payload, size_t len,
              size_t sum_at)
{
    const struct in6_addr s = ip6(src), d = ip6(dst);
    memset(p, 0, 40);
    p[0] = 0x60;
    p[5] = (uint8_t)len;
    p[6] = proto;
    p[7] = HOP;
    memcpy(p + 8, &s, 16);
    memcpy(p + 24, &d, 16);
    memcpy(p + 40, payload, len);
    uint16_t sum = checksum(p, 40 + len, proto);
    p[40 + sum_at] = (uint8_t)(sum >> 8);
    p[40 + sum_at + 1] = (uint8_t)sum;
    return 40 + len;
}

// By a link whose end of the gateway's is `near`.
static void by_link(int fd, const char *near, const uint8_t *p, size_t len)
{
    bool six = p[0] >> 4 == 6;
    uint8_t f[256] = {0};
    struct ifreq r = {0};
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", near);
    assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &r), 0);
    memcpy(f, r.ifr_hwaddr.sa_data, 6);
    f[12] = six ? 0x86 : 8;
    f[13] = six ? 0xdd : 0;
    memcpy(f + 14, p, len);
    assert_int_equal(send(fd, f, 14 + len, 0), 14 + len);
}

void from_wan(int wan, const uint8_t *p, size_t len)
{
    by_link(wan, "wan0", p, len);
}

void from_lan(int lan, const uint8_t *p, size_t len)
{
    by_link(lan, "lan0", p, len);
}

uint16_t sum_of(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

void put_sum(uint8_t *at, uint16_t sum)
{
    at[0] = (uint8_t)(sum >> 8);
    at[1] = (uint8_t)sum;
}

void head4(uint8_t *p, uint8_t proto, size_t len, const uint8_t src[4], const uint8_t dst[4])
{
    memset(p, 0, 20);
    p[0] = 0x45;
    p[3] = (uint8_t)len;
    p[8] = HOP;
    p[9] = proto;
    memcpy(p + 12, src, 4);
    memcpy(p + 16, dst, 4);
    put_sum(p + 10, sum_of(p, 20));
}

// ---- programs

// link: bound to it, "": to none, but to any port
int program(const char *src, const char *link)
{
    const int on = 1;
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(src && !link ? PORT : 0)};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (link && link[0])
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, link, (socklen_t)strlen(link)), 0);
    if (src)
        a.sin6_addr = ip6(src);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

int say(int fd, const char *to)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = ip6(to)};
    return sendto(fd, "hello", 5, 0, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

bool hears(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char b[16];
    return poll(&p, 1, 150) > 0 && recv(fd, b, sizeof(b), 0) > 0;
}

// ---- the gateway

void connect_to_remote(int fd)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = ip6(REMOTE)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

void protect(struct gateway *g, const char *remote, unsigned bits, uint8_t proto, uint16_t port)
{
    const struct in6_addr r = ip6(remote);
    memset(&g->p, 0, sizeof(g->p));
    pol_net(&g->p.l, 6, (uint8_t[16]){0xfd, 1}, 64, 0, 0, 65535);
    pol_net(&g->p.r, 6, r.s6_addr, bits, proto, port, port ? port : 65535);
    pol_finish(&g->p, POLICY_PROTECT, 5);
}

void gateway_up(struct gateway *g)
{
    lab_lan_and_wan();
    g->lan = lab_wire("lan1");
    g->wan = lab_wire("wan1");
    g->bound = program("fd01::1", NULL);
    g->unbound = program(NULL, NULL);
    g->of_wan = program("fd01::1", "wan0");
    g->old = program("fd01::1", "");
    lab_open(&g->l, "/run/a", "esp0");
    protect(g, "fd02::", 64, 0, 0);
}

void gateway_down(struct gateway *g)
{
    const int fds[] = {g->lan, g->wan, g->bound, g->unbound, g->of_wan, g->old};
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
}

int goes(struct gateway *g, int fd)
{
    const struct in6_addr to = ip6(REMOTE);
    say(fd, REMOTE);
    return look(g->l.tun, g->wan, &to).where;
}

bool arrives(struct gateway *g, bool by_tun)
{
    const uint8_t udp[16] = {PORT >> 8, PORT & 255, PORT >> 8, PORT & 255, 0, 16};
    uint8_t p[128];
    size_t len = packet(p, REMOTE, "fd01::1", IPPROTO_UDP, udp, sizeof(udp), 6);
    if (by_tun)
        assert_int_equal(write(g->l.tun, p, len), len);
    else
        from_wan(g->wan, p, len);
    return hears(g->bound);
}

void speaks(struct gateway *g, int line)
{
    const struct in6_addr to = ip6(REMOTE), own = ip6("fd01::1");
    const int fds[] = {g->bound, g->unbound};
    for (int i = 0; i < 2; i++) {
        int rc = say(fds[i], REMOTE);
        struct seen s = look(g->l.tun, g->wan, &to);
        if (rc || s.where != TUN || memcmp(&s.src, &own, 16))
            fail_msg("line %d, program %d: said %d, came out at %d", line, i, rc, s.where);
    }
    assert_int_equal(goes(g, g->of_wan), 0);
    if (!arrives(g, true))
        fail_msg("line %d: what an SA brought did not arrive", line);
    if (arrives(g, false))
        fail_msg("line %d: cleartext arrived", line);
}

void silent(struct gateway *g, int line)
{
    const int fds[] = {g->bound, g->of_wan};
    for (int i = 0; i < 2; i++)
        if (goes(g, fds[i]))
            fail_msg("line %d, program %d: something came out", line, i);
    if (arrives(g, false))
        fail_msg("line %d: cleartext arrived", line);
}

void put_back(struct gateway *g)
{
    unsigned failed;
    assert_true(lab_listen(&g->l).repair);
    assert_true(kset_repair(g->l.s, &failed) > 0);
    assert_int_equal(failed, 0);
    assert_false(lab_listen(&g->l).repair);
}

bool no_hooks(struct gateway *g)
{
    if (g->l.k->hooks)
        return false;
    print_message("skip: no nf_tables with route chains and fib here\n");
    gateway_down(g);
    return true;
}

// ---- servers

// Where what a program says comes out.
int comes_out(struct gateway *g, const char *what)
{
    struct pollfd p[] = {{.fd = g->l.tun, .events = POLLIN}, {.fd = g->wan, .events = POLLIN}};
    uint8_t b[2048];
    int where = 0;
    while (poll(p, 2, 150) > 0) {
        for (int i = 0; i < 2; i++) {
            ssize_t n = p[i].revents & POLLIN ? read(p[i].fd, b, sizeof(b)) : 0;
            if (n > 0 && memmem(b, (size_t)n, what, strlen(what)))
                where |= i ? WAN : TUN;
        }
    }
    return where;
}

size_t question4(uint8_t *p, uint16_t by, uint16_t to, uint8_t far)
{
    const uint8_t head[28] = {0x45, 0, 0, 32, 0, 1, 0, 0, HOP, IPPROTO_UDP, 0, 0, 10, 0, 2, far, 10, 0, 1, 1},
                  ports[6] = {(uint8_t)(by >> 8), (uint8_t)by, (uint8_t)(to >> 8), (uint8_t)to, 0, 12};
    uint32_t sum = 0;
    memcpy(p, head, 28);
    memcpy(p + 20, ports, sizeof(ports));
    memset(p + 28, 1, 4);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    p[10] = (uint8_t)(~sum >> 8);
    p[11] = (uint8_t)~sum;
    return 32;
}

// Of IPv6 each is of another network.
size_t question_by(uint8_t *p, bool six, uint16_t by, uint16_t to, uint8_t far)
{
    const uint8_t udp[12] = {(uint8_t)(by >> 8), (uint8_t)by, (uint8_t)(to >> 8), (uint8_t)to, 0, 12};
    char from[40];
    snprintf(from, sizeof(from), "fd02:%x::5", far);
    return six ? packet(p, from, "fd01::1", IPPROTO_UDP, udp, sizeof(udp), 6) : question4(p, by, to, far);
}

static size_t question(uint8_t *p, bool six, uint16_t to, uint8_t far)
{
    return question_by(p, six, PORT, to, far);
}

void everywhere(struct gateway *g, bool six)
{
    memset(&g->p, 0, sizeof(g->p));
    pol_net(&g->p.l, six ? 6 : 4, six ? (uint8_t[16]){0xfd, 1} : (uint8_t[16]){10, 0, 1}, six ? 64 : 24, 0, 0,
            65535);
    pol_net(&g->p.r, six ? 6 : 4, (uint8_t[16]){0}, 0, 0, 0, 65535);
    pol_finish(&g->p, POLICY_PROTECT, 5);
}

uint16_t port_of(const struct server *s)
{
    return ntohs(s->six ? s->at.v6.sin6_port : s->at.v4.sin_port);
}

// A server on :: or 0.0.0.0, by a port of its own or another one's.
struct server serve(bool six, uint16_t port)
{
    const int on = 1;
    struct server s = {.six = six, .at.any.sa_family = six ? AF_INET6 : AF_INET};
    s.len = six ? sizeof(s.at.v6) : sizeof(s.at.v4);
    s.fd = socket(s.at.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(s.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (six)
        s.at.v6.sin6_port = htons(port);
    else
        s.at.v4.sin_port = htons(port);
    assert_int_equal(bind(s.fd, &s.at.any, s.len), 0);
    assert_int_equal(getsockname(s.fd, &s.at.any, &s.len), 0);
    return s;
}

// From the TUN, as from `far` of its network. Returns whether the server hears it, and who asks. On a busy
// machine the kernel hands it on by a thread of its own, which has to come to its turn.
enum { ASKED_MS = 5000 };
bool is_asked(struct gateway *g, const struct server *s, uint8_t far, struct sockaddr_storage *from)
{
    uint8_t p[128];
    socklen_t len = s->len;
    struct pollfd w = {.fd = s->fd, .events = POLLIN};
    size_t n = question(p, s->six, port_of(s), far);
    assert_int_equal(write(g->l.tun, p, n), n);
    return poll(&w, 1, ASKED_MS) == 1 && recvfrom(s->fd, p, sizeof(p), 0, (struct sockaddr *)from, &len) > 0;
}
