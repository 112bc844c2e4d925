// SPDX-License-Identifier: Apache-2.0
// What programs of the gateway itself send and receive by IPv6, against the kernel itself: through the TUN or
// not at all, bound or not, on old sockets and new ones, in every state that the kernel's objects can be in.
// And what they answer by either family to what the TUN has brought.
#include "tests/system/kernel_lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/path/kset_objects.h"
#include "ctrl/super/sockets.h"

enum { TUN = 1, WAN = 2, PORT = 7000, HOP = 64 };

// ---- packets

struct seen {
    int where; // TUN, WAN, both, 0: nowhere
    struct in6_addr src;
    uint8_t proto;
};

static struct in6_addr ip6(const char *text)
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
static struct seen look(int tun, int wan, const struct in6_addr *dst)
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
static size_t packet(uint8_t *p, const char *src, const char *dst, uint8_t proto, const uint8_t *payload,
                     size_t len, size_t sum_at)
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

static void from_wan(int wan, const uint8_t *p, size_t len)
{
    bool six = p[0] >> 4 == 6;
    uint8_t f[256] = {0};
    struct ifreq r = {.ifr_name = "wan0"};
    assert_int_equal(ioctl(wan, SIOCGIFHWADDR, &r), 0);
    memcpy(f, r.ifr_hwaddr.sa_data, 6);
    f[12] = six ? 0x86 : 8;
    f[13] = six ? 0xdd : 0;
    memcpy(f + 14, p, len);
    assert_int_equal(send(wan, f, 14 + len, 0), 14 + len);
}

// ---- programs

// link: bound to it, "": to none, but to any port
static int program(const char *src, const char *link)
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

static int say(int fd, const char *to)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = ip6(to)};
    return sendto(fd, "hello", 5, 0, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

static bool hears(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char b[16];
    return poll(&p, 1, 150) > 0 && recv(fd, b, sizeof(b), 0) > 0;
}

// ---- the gateway

struct gateway {
    struct kernel_lab l;
    int lan, wan;
    int bound, unbound, of_wan; // programs: at fd01::1, at nothing, at fd01::1 and the WAN's device
    int old;                    // connected before anything was loaded
    struct pol p;
};

#define REMOTE "fd02::5"

static void connect_to_remote(int fd)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = ip6(REMOTE)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void protect(struct gateway *g, const char *remote, unsigned bits, uint8_t proto, uint16_t port)
{
    const struct in6_addr r = ip6(remote);
    memset(&g->p, 0, sizeof(g->p));
    pol_net(&g->p.l, 6, (uint8_t[16]){0xfd, 1}, 64, 0, 0, 65535);
    pol_net(&g->p.r, 6, r.s6_addr, bits, proto, port, port ? port : 65535);
    pol_finish(&g->p, POLICY_PROTECT, 5);
}

static void gateway_up(struct gateway *g)
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

static void gateway_down(struct gateway *g)
{
    const int fds[] = {g->lan, g->wan, g->bound, g->unbound, g->of_wan, g->old};
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
}

static int goes(struct gateway *g, int fd)
{
    const struct in6_addr to = ip6(REMOTE);
    say(fd, REMOTE);
    return look(g->l.tun, g->wan, &to).where;
}

static bool arrives(struct gateway *g, bool by_tun)
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

#define assert_speaks(g) speaks(g, __LINE__)
static void speaks(struct gateway *g, int line)
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

#define assert_silent(g) silent(g, __LINE__)
static void silent(struct gateway *g, int line)
{
    const int fds[] = {g->bound, g->of_wan};
    for (int i = 0; i < 2; i++)
        if (goes(g, fds[i]))
            fail_msg("line %d, program %d: something came out", line, i);
    if (arrives(g, false))
        fail_msg("line %d: cleartext arrived", line);
}

static void put_back(struct gateway *g)
{
    unsigned failed;
    assert_true(lab_listen(&g->l).repair);
    assert_true(kset_repair(g->l.s, &failed) > 0);
    assert_int_equal(failed, 0);
    assert_false(lab_listen(&g->l).repair);
}

static bool no_hooks(struct gateway *g)
{
    if (g->l.k->hooks)
        return false;
    print_message("skip: no nf_tables with route chains and fib here\n");
    gateway_down(g);
    return true;
}

static void test_own_programs_speak_through_the_tun_and_never_past_it(void **state)
{
    struct gateway g;
    struct kset_hold *h;
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    assert_int_equal(goes(&g, g.bound), WAN); // nothing is loaded: the lab carries it
    assert_true(arrives(&g, false));
    connect_to_remote(g.old);
    assert_int_equal(goes(&g, g.old), WAN);
    h = lab_take(&g.l, &g.p);
    assert_speaks(&g);
    assert_int_equal(goes(&g, g.old), TUN); // its way was found before there was a policy
    assert_int_equal(kset_change(g.l.s, NULL, NULL, 0, &h, 1, NULL), 0);
    assert_int_equal(goes(&g, g.bound), WAN);
    lab_close(&g.l);
    gateway_down(&g);
}

static void take_hook_away(struct gateway *g)
{
    const struct netlink_options o = {.owner = "/run/a"};
    const struct kobj hook = {.kind = KOBJ_HOOK, .family = 6};
    struct kchange c = {.o = &hook};
    struct kernel *somebody;
    struct esp_error err;
    (void)g;
    assert_int_equal(netlink_kernel_open(&somebody, &o, &err), 0);
    assert_int_equal(somebody->ops->apply(somebody, &c, 1, &err), 0);
    somebody->ops->close(somebody, true);
}

// A firewall's own tool, where there is one: whatever it does to the hook's table, what is lost is the
// service.
static void meddle_with_nft(struct gateway *g)
{
    static const char *const harm[] = {
        "nft flush ruleset",
        "nft flush table ip6 $(nft list tables | sed -n 's/.*\\(espalier-[0-9a-f]*\\).*/\\1/p')",
        ("nft add table ip6 $(nft list tables | sed -n 's/.*\\(espalier-[0-9a-f]*\\).*/\\1/p') "
         "'{ flags dormant; }'"),
        "nft flush chain ip6 $(nft list tables | sed -n 's/.*\\(espalier-[0-9a-f]*\\).*/\\1/p') out",
    };
    for (unsigned i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        if (lab_shell(harm[i]))
            fail_msg("%s: failed", harm[i]);
        assert_int_equal(goes(g, g->bound), 0);
        assert_int_equal(goes(g, g->of_wan), 0);
        assert_false(arrives(g, false));
        put_back(g);
        assert_speaks(g);
    }
}

// Whatever is taken away: what is lost is the service, and it comes back.
static void test_own_programs_are_silent_while_something_is_missing(void **state)
{
    static const char *const harm[] = {
        "ip -6 rule del pref 224",
        "ip -6 rule del pref 222",
        ("for t in $(ip -6 route show table all proto 89 | sed 's/.*table //;s/ .*//'); do "
         "ip -6 route flush table $t; done"),
    };
    struct gateway g;
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    lab_take(&g.l, &g.p);
    lab_listen(&g.l);
    take_hook_away(&g);
    assert_silent(&g);
    assert_false(arrives(&g, true));
    put_back(&g);
    assert_speaks(&g);
    for (unsigned i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        assert_int_equal(lab_shell(harm[i]), 0);
        assert_int_equal(goes(&g, g.bound) & WAN, 0);
        assert_int_equal(goes(&g, g.of_wan), 0);
        assert_false(arrives(&g, false));
        put_back(&g);
        assert_speaks(&g);
    }
    assert_int_equal(lab_shell("ip link set esp0 down"), 0);
    assert_silent(&g);
    assert_int_equal(g.l.k->ops->tun_up(g.l.k, "esp0", 1400, NULL), g.l.o.tun_index);
    put_back(&g);
    assert_speaks(&g);
    assert_int_equal(lab_shell("ip xfrm policy flush"), 0);
    put_back(&g);
    assert_speaks(&g);
    meddle_with_nft(&g); // nftables comes with make deps
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_own_programs_are_silent_when_the_daemon_is_gone(void **state)
{
    struct gateway g;
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    lab_take(&g.l, &g.p);
    assert_speaks(&g);
    lab_die(&g.l);
    g.l.tun = -1;
    assert_silent(&g);
    take_hook_away(&g); // a firewall that is loaded again
    assert_silent(&g);
    lab_open(&g.l, "/run/a", "esp0");
    assert_silent(&g);
    lab_take(&g.l, &g.p);
    assert_speaks(&g);
    assert_int_equal(kset_sweep(g.l.s), 1); // the way out to the TUN of the run before
    assert_speaks(&g);
    kset_close(g.l.s, true); // an orderly end that leaves the blocks
    g.l.k->ops->close(g.l.k, true);
    close(g.l.tun);
    g.l.tun = -1;
    assert_silent(&g);
    lab_open(&g.l, "/run/a", "esp0");
    kset_sweep(g.l.s); // nothing is configured any more
    assert_int_equal(goes(&g, g.bound), WAN);
    lab_close(&g.l);
    gateway_down(&g);
}

// One that was killed leaves its hook, and one that has nothing to protect takes it away.
static void test_next_run_sweeps_the_hook_of_the_last(void **state)
{
    struct gateway g;
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    unsigned before = kset_count(g.l.s).found;
    assert_int_equal(before, 0);
    lab_take(&g.l, &g.p);
    lab_die(&g.l);
    lab_open(&g.l, "/run/a", "esp0");
    struct kset_counts c = kset_count(g.l.s);
    assert_true(c.found > 3);
    assert_int_equal(kset_sweep(g.l.s), c.found);
    lab_close(&g.l);
    lab_open(&g.l, "/run/a", "esp0");
    assert_int_equal(kset_count(g.l.s).found, 0);
    lab_close(&g.l);
    gateway_down(&g);
}

// TCP in both roles, a refusal, and ping: the kernel's own answers go where the program's would.
static void test_own_kernel_answers_through_the_tun(void **state)
{
    static const uint8_t syn[20] = {0x1b, 0x59, 0x1b, 0x58, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 0x40, 0};
    static const uint8_t echo[12] = {128, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4};
    const struct in6_addr to = ip6(REMOTE);
    struct gateway g;
    uint8_t p[128];
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    lab_take(&g.l, &g.p);
    size_t len = packet(p, REMOTE, "fd01::1", IPPROTO_ICMPV6, echo, sizeof(echo), 2);
    assert_int_equal(write(g.l.tun, p, len), len);
    struct seen s = look(g.l.tun, g.wan, &to);
    assert_int_equal(s.where, TUN);
    assert_int_equal(s.proto, IPPROTO_ICMPV6);
    from_wan(g.wan, p, len);
    assert_int_equal(look(g.l.tun, g.wan, &to).where, 0);
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    int server = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = -1;
    for (int open = 0; open < 2; open++) { // refused with RST, then answered with SYN and ACK
        if (open) {
            assert_int_equal(bind(server, (struct sockaddr *)&a, sizeof(a)), 0);
            assert_int_equal(listen(server, 1), 0);
        }
        len = packet(p, REMOTE, "fd01::1", IPPROTO_TCP, syn, sizeof(syn), 16);
        assert_int_equal(write(g.l.tun, p, len), len);
        s = look(g.l.tun, g.wan, &to);
        assert_int_equal(s.where, TUN);
        assert_int_equal(s.proto, IPPROTO_TCP);
    }
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    a.sin6_addr = to;
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), -1);
    assert_int_equal(errno, EINPROGRESS);
    s = look(g.l.tun, g.wan, &to);
    assert_int_equal(s.where, TUN);
    close(fd);
    close(server);
    lab_close(&g.l);
    gateway_down(&g);
}

// A policy for one port is no way for another, neither with a source nor without.
static void test_own_programs_of_other_ports_go_their_own_way(void **state)
{
    struct gateway g;
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    protect(&g, "fd02::", 64, IPPROTO_UDP, PORT);
    lab_take(&g.l, &g.p);
    assert_int_equal(goes(&g, g.bound), TUN);
    assert_int_equal(goes(&g, g.unbound), TUN);
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(PORT + 1), .sin6_addr = ip6(REMOTE)};
    const struct in6_addr to = ip6(REMOTE);
    assert_int_equal(sendto(g.bound, "hello", 5, 0, (struct sockaddr *)&a, sizeof(a)), 5);
    assert_int_equal(look(g.l.tun, g.wan, &to).where, WAN);
    assert_int_equal(sendto(g.unbound, "hello", 5, 0, (struct sockaddr *)&a, sizeof(a)), 5);
    assert_int_equal(look(g.l.tun, g.wan, &to).where, WAN);
    lab_close(&g.l);
    gateway_down(&g);
}

// ---- answers

// Where what a program says comes out.
static int comes_out(struct gateway *g, const char *what)
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

static size_t question4(uint8_t *p, uint16_t by, uint16_t to, uint8_t far)
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
static size_t question_by(uint8_t *p, bool six, uint16_t by, uint16_t to, uint8_t far)
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

static int answers(int fd, const struct sockaddr_storage *to, socklen_t len)
{
    return sendto(fd, "an answer", 9, 0, (const struct sockaddr *)to, len) < 0 ? -errno : 0;
}

static void everywhere(struct gateway *g, bool six)
{
    memset(&g->p, 0, sizeof(g->p));
    pol_net(&g->p.l, six ? 6 : 4, six ? (uint8_t[16]){0xfd, 1} : (uint8_t[16]){10, 0, 1}, six ? 64 : 24, 0, 0,
            65535);
    pol_net(&g->p.r, six ? 6 : 4, (uint8_t[16]){0}, 0, 0, 0, 65535);
    pol_finish(&g->p, POLICY_PROTECT, 5);
}

struct server {
    bool six;
    int fd;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } at;
    socklen_t len;
};

static uint16_t port_of(const struct server *s)
{
    return ntohs(s->six ? s->at.v6.sin6_port : s->at.v4.sin_port);
}

// A server on :: or 0.0.0.0, by a port of its own or another one's.
static struct server serve(bool six, uint16_t port)
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

// From the TUN, as from `far` of its network. Returns whether the server hears it, and who asks.
static bool is_asked(struct gateway *g, const struct server *s, uint8_t far, struct sockaddr_storage *from)
{
    uint8_t p[128];
    socklen_t len = s->len;
    struct pollfd w = {.fd = s->fd, .events = POLLIN};
    size_t n = question(p, s->six, port_of(s), far);
    assert_int_equal(write(g->l.tun, p, n), n);
    return poll(&w, 1, 300) == 1 && recvfrom(s->fd, p, sizeof(p), 0, (struct sockaddr *)from, &len) > 0;
}

// Of a server that has not said from which address it answers. The peer's port does not count.
static void answers_of(bool six)
{
    struct gateway g;
    struct sockaddr_storage from;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    everywhere(&g, six);
    lab_take(&g.l, &g.p);
    struct server s = serve(six, 0), other = serve(six, 0);
    assert_true(is_asked(&g, &s, 5, &from));
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    assert_int_equal(comes_out(&g, "an answer"), 0);
    // another program, which nobody has asked, speaks as ever, to whom it likes
    assert_int_equal(answers(other.fd, &from, s.len), 0);
    assert_int_equal(comes_out(&g, "an answer"), WAN);
    if (six)
        ((struct sockaddr_in6 *)&from)->sin6_port = htons(PORT + 1);
    else
        ((struct sockaddr_in *)&from)->sin_port = htons(PORT + 1);
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    assert_int_equal(comes_out(&g, "an answer"), 0);
    close(s.fd);
    close(other.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_own_answers_by_ipv4_from_the_outside_address_are_dropped(void **state)
{
    (void)state;
    answers_of(false);
}

static void test_own_answers_by_ipv6_from_the_outside_address_are_dropped(void **state)
{
    (void)state;
    answers_of(true);
}

// Whoever chooses its source by what it is connected to asks by the same port as a server that was asked.
static void own_questions(bool six)
{
    struct gateway g;
    struct sockaddr_storage from;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    everywhere(&g, six);
    lab_take(&g.l, &g.p);
    struct server s = serve(six, 0);
    assert_true(is_asked(&g, &s, 5, &from));
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    struct server client = serve(six, port_of(&s));
    assert_int_equal(connect(client.fd, (struct sockaddr *)&from, s.len), 0);
    assert_int_equal(send(client.fd, "a question", 10, 0), 10);
    assert_int_equal(comes_out(&g, "a question"), WAN);
    close(client.fd);
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    close(s.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_own_questions_by_ipv4_go_on_while_a_server_is_asked(void **state)
{
    (void)state;
    own_questions(false);
}

static void test_own_questions_by_ipv6_go_on_while_a_server_is_asked(void **state)
{
    (void)state;
    own_questions(true);
}

// By as many ports as there are, at a server and at nobody: a place for each server is all that it takes.
static void one_asker_takes_no_room(bool six)
{
    struct gateway g;
    struct sockaddr_storage from;
    char b[16];
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    everywhere(&g, six);
    lab_take(&g.l, &g.p);
    struct server s = serve(six, 0);
    assert_int_equal(fcntl(g.l.tun, F_SETFL, O_NONBLOCK), 0);
    for (unsigned i = 2; i < 2 * 65536 + 16384; i++) {
        uint8_t p[128];
        uint16_t port = (uint16_t)(i / 2), to = i % 2 || i >= 2 * 65536 ? (uint16_t)(i + 1) : port_of(&s);
        size_t n = question_by(p, six, port ? port : 1, to, 5);
        assert_int_equal(write(g.l.tun, p, n), n);
        while (read(g.l.tun, p, sizeof(p)) > 0) // nobody is there, says the kernel
            ;
        while (recv(s.fd, b, sizeof(b), 0) > 0)
            ;
    }
    assert_true(is_asked(&g, &s, 6, &from));
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    assert_int_equal(comes_out(&g, "an answer"), 0);
    close(s.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_one_asker_by_ipv4_keeps_no_other_from_being_heard(void **state)
{
    (void)state;
    one_asker_takes_no_room(false);
}

static void test_one_asker_by_ipv6_keeps_no_other_from_being_heard(void **state)
{
    (void)state;
    one_asker_takes_no_room(true);
}

// ---- what else the kernel is told

static int reflects(int family)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv%d/fwmark_reflect", family);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int c = fgetc(f);
    fclose(f);
    return c;
}

// As it was before the first policy, once the last is gone, also over the end of a run that was killed: but
// not under another instance's feet.
static void test_own_marks_are_reflected_while_somebody_wants_it(void **state)
{
    struct gateway g;
    struct kernel_lab other;
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    assert_int_equal(reflects(6), '0');
    struct kset_hold *h = lab_take(&g.l, &g.p);
    assert_int_equal(reflects(6), '1');
    assert_int_equal(reflects(4), '0');
    assert_int_equal(kset_change(g.l.s, NULL, NULL, 0, &h, 1, NULL), 0);
    assert_int_equal(reflects(6), '0');
    lab_take(&g.l, &g.p);
    lab_die(&g.l);
    assert_int_equal(reflects(6), '1');
    lab_open(&g.l, "/run/a", "esp0");
    lab_take(&g.l, &g.p);
    kset_sweep(g.l.s);
    lab_open(&other, "/run/b", "esp1");
    lab_take(&other, &g.p);
    kset_close(g.l.s, true); // an orderly end that leaves the blocks
    g.l.k->ops->close(g.l.k, true);
    close(g.l.tun);
    assert_int_equal(reflects(6), '1');
    lab_close(&other);
    assert_int_equal(lab_shell("echo 1 >/proc/sys/net/ipv6/fwmark_reflect"), 0);
    lab_open(&g.l, "/run/a", "esp0");
    h = lab_take(&g.l, &g.p);
    assert_int_equal(kset_change(g.l.s, NULL, NULL, 0, &h, 1, NULL), 0);
    assert_int_equal(reflects(6), '1'); // somebody else's
    assert_int_equal(lab_shell("echo 0 >/proc/sys/net/ipv6/fwmark_reflect"), 0);
    lab_take(&g.l, &g.p);
    kset_sweep(g.l.s);
    kset_close(g.l.s, true);
    g.l.k->ops->close(g.l.k, true);
    close(g.l.tun);
    g.l.tun = -1;
    assert_int_equal(reflects(6), '0');
    gateway_down(&g);
}

// An echo request to the gateway itself through a TUN, and a packet with DF that is too long for where it is
// to go: what comes out, and where.
static bool is_answered(struct kernel_lab *l, struct gateway *g)
{
    static const uint8_t echo[12] = {128, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4};
    const struct in6_addr to = ip6(REMOTE);
    uint8_t p[128];
    size_t len = packet(p, REMOTE, "fd01::1", IPPROTO_ICMPV6, echo, sizeof(echo), 2);
    assert_int_equal(write(l->tun, p, len), len);
    return look(l->tun, g->wan, &to).where == TUN;
}

static bool is_told(struct kernel_lab *l, struct gateway *g, bool six)
{
    static const uint8_t udp[8] = {PORT >> 8, PORT & 255, PORT >> 8, PORT & 255, 0, 8};
    const struct in6_addr to = ip6(REMOTE);
    uint8_t p[128];
    size_t len = question4(p, PORT, PORT, 5);
    if (six)
        len = packet(p, REMOTE, "fd01::5", IPPROTO_UDP, udp, sizeof(udp), 6);
    p[six ? 7 : 8] = 1; // it has come too far
    if (!six) {
        p[19] = 5;
        p[10] = p[11] = 0;
        uint32_t sum = 0;
        for (int i = 0; i < 20; i += 2)
            sum += (uint32_t)p[i] << 8 | p[i + 1];
        sum = (sum & 0xffff) + (sum >> 16);
        p[10] = (uint8_t)(~sum >> 8);
        p[11] = (uint8_t)~sum;
    }
    assert_int_equal(write(l->tun, p, len), len);
    if (six)
        return look(l->tun, g->wan, &to).where == TUN;
    struct pollfd w = {.fd = l->tun, .events = POLLIN};
    while (poll(&w, 1, 150) > 0) {
        uint8_t b[2048];
        ssize_t n = read(l->tun, b, sizeof(b));
        if (n > 28 && b[0] == 0x45 && b[9] == IPPROTO_ICMP && b[20] == 11)
            return true;
    }
    return false;
}

// ---- what routers on the way say

static uint16_t sum_of(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put_sum(uint8_t *at, uint16_t sum)
{
    at[0] = (uint8_t)(sum >> 8);
    at[1] = (uint8_t)sum;
}

static void head4(uint8_t *p, uint8_t proto, size_t len, const uint8_t src[4], const uint8_t dst[4])
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

static const uint8_t own4[4] = {192, 0, 2, 1}, router4[4] = {192, 0, 2, 2};

// About a packet of 1,400 octets of ours to 198.51.100.`peer`, or 2001:db8::`peer`: the next link takes
// 1,300.
static size_t too_long4(uint8_t *p, uint8_t proto, uint16_t by, uint8_t peer)
{
    const uint8_t to[4] = {198, 51, 100, peer};
    head4(p, IPPROTO_ICMP, 56, router4, own4);
    memset(p + 20, 0, 36);
    p[20] = 3;
    p[21] = 4;
    p[26] = 1300 >> 8;
    p[27] = 1300 & 255;
    head4(p + 28, proto, 0, own4, to);
    p[30] = 1400 >> 8;
    p[31] = 1400 & 255;
    p[34] = 0x40;
    p[38] = p[39] = 0;
    put_sum(p + 38, sum_of(p + 28, 20));
    put_sum(p + 48, by);
    put_sum(p + 50, 4500);
    put_sum(p + 22, sum_of(p + 20, 36));
    return 56;
}

static size_t too_long6(uint8_t *p, uint8_t proto, uint16_t by, uint8_t peer)
{
    uint8_t quote[56] = {2,    0, 0, 0, 0,         0,          1300 >> 8, 1300 & 255,
                         0x60, 0, 0, 0, 1360 >> 8, 1360 & 255, proto,     HOP};
    char to[40];
    snprintf(to, sizeof(to), "2001:db8::%x", peer);
    const struct in6_addr own = ip6("fd10::1"), far = ip6(to);
    memcpy(quote + 16, &own, 16);
    memcpy(quote + 32, &far, 16);
    put_sum(quote + 48, by);
    put_sum(quote + 50, 4500);
    return packet(p, "fd10::2", "fd10::1", IPPROTO_ICMPV6, quote, sizeof(quote), 2);
}

static bool is_known(bool six, uint8_t peer)
{
    char command[160];
    if (six)
        snprintf(command, sizeof(command), "ip -6 route get 2001:db8::%x mark 0xe59 | grep -q 'mtu 1300'",
                 peer);
    else
        snprintf(command, sizeof(command), "ip route get 198.51.100.%u mark 0xe59 | grep -q 'mtu 1300'",
                 peer);
    return lab_shell(command) == 0;
}

static int raw(bool six, int proto)
{
    return socket(six ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, proto);
}

// A host that protects what it says to everywhere, from its own address outside.
static void hears_routers(bool six)
{
    static const struct {
        uint8_t proto;
        uint16_t by;
        bool ours;
    } all[] = {{IPPROTO_ESP, 0, true},     {IPPROTO_AH, 0, true},     {IPPROTO_UDP, 4500, true},
               {IPPROTO_UDP, 7000, false}, {IPPROTO_TCP, 443, false}, {IPPROTO_ICMP, 0, false}};
    struct gateway g;
    uint8_t p[128];
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    memset(&g.p, 0, sizeof(g.p));
    if (six)
        pol_net(&g.p.l, 6, (uint8_t[16]){0xfd, 0x10, [15] = 1}, 128, 0, 0, 65535);
    else
        pol_net(&g.p.l, 4, own4, 32, 0, 0, 65535);
    pol_net(&g.p.r, six ? 6 : 4, (uint8_t[16]){0}, 0, 0, 0, 65535);
    pol_finish(&g.p, POLICY_PROTECT, 5);
    lab_take(&g.l, &g.p);
    const struct settings st = {.port = 500, .port_nat_t = 4500, .tun = "own0"};
    struct socket_set ours;
    struct esp_error err = {0};
    if (sockets_open(&ours, &st, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
    const uint32_t own_mark = 0xe59;
    struct server other = serve(six, 7000);
    int fds[] = {other.fd, raw(six, IPPROTO_TCP), raw(six, IPPROTO_ICMP)};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_MARK, &own_mark, sizeof(own_mark)), 0);
    for (uint8_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (six && all[i].proto == IPPROTO_AH)
            continue; // of which it looks for what is behind
        size_t n = six ? too_long6(p, all[i].proto, all[i].by, 20 + i)
                       : too_long4(p, all[i].proto, all[i].by, 20 + i);
        from_wan(g.wan, p, n);
        usleep(20000);
        if (is_known(six, 20 + i) != all[i].ours)
            fail_msg("of protocol %u, port %u: %s", all[i].proto, all[i].by,
                     all[i].ours ? "not heard" : "taken");
    }
    const uint8_t echo[12] = {six ? 128 : 8, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4};
    size_t n = packet(p, "fd10::2", "fd10::1", IPPROTO_ICMPV6, echo, sizeof(echo), 2);
    if (!six) {
        head4(p, IPPROTO_ICMP, n = 32, router4, own4);
        memcpy(p + 20, echo, sizeof(echo));
        put_sum(p + 22, sum_of(p + 20, sizeof(echo)));
    }
    from_wan(g.wan, p, n);
    assert_int_equal(comes_out(&g, "\1\2\3\4"), 0); // nothing else is let in
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
    sockets_close(&ours);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_what_routers_say_about_the_size_of_our_packets_by_ipv4_is_heard(void **state)
{
    (void)state;
    hears_routers(false);
}

static void test_what_routers_say_about_the_size_of_our_packets_by_ipv6_is_heard(void **state)
{
    (void)state;
    hears_routers(true);
}

static void protect4(struct gateway *g)
{
    pol_net(&g->p.l, 4, (uint8_t[16]){10, 0, 1}, 24, 0, 0, 65535);
    pol_net(&g->p.r, 4, (uint8_t[16]){10, 0, 2}, 24, 0, 0, 65535);
    pol_finish(&g->p, POLICY_PROTECT, 5);
}

static void of_another(struct pol *p)
{
    memset(p, 0, sizeof(*p));
    pol_net(&p->l, 6, (uint8_t[16]){0xfd, 7}, 64, 0, 0, 65535);
    pol_net(&p->r, 6, (uint8_t[16]){0xfd, 8}, 64, 0, 0, 65535);
    pol_net(&p->l, 4, (uint8_t[16]){10, 0, 7}, 24, 0, 0, 65535);
    pol_net(&p->r, 4, (uint8_t[16]){10, 0, 8}, 24, 0, 0, 65535);
    pol_finish(p, POLICY_PROTECT, 5);
}

// Whichever has made its hooks first, neither takes what the other one's TUN has brought for its own.
static void test_two_instances_leave_one_anothers_packets_alone(void **state)
{
    struct gateway g;
    struct kernel_lab other;
    struct pol p;
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    assert_int_equal(lab_shell("echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; "
                               "echo 0 >/proc/sys/net/ipv6/icmp/ratelimit"),
                     0);
    protect4(&g);
    of_another(&p);
    struct kset_hold *h = lab_take(&g.l, &g.p), *b;
    lab_open(&other, "/run/b", "esp1");
    assert_int_not_equal(other.k->number, g.l.k->number);
    for (int order = 0; order < 2; order++) {
        b = lab_take(&other, &p);
        if (order) { // ours are the newer ones now
            assert_int_equal(kset_change(g.l.s, NULL, NULL, 0, &h, 1, NULL), 0);
            h = lab_take(&g.l, &g.p);
        }
        if (!is_answered(&g.l, &g) || !is_told(&g.l, &g, true) || !is_told(&g.l, &g, false))
            fail_msg("order %d: answered %d, told %d, of IPv4 %d", order, is_answered(&g.l, &g),
                     is_told(&g.l, &g, true), is_told(&g.l, &g, false));
        assert_speaks(&g);
        assert_int_equal(kset_change(other.s, NULL, NULL, 0, &b, 1, NULL), 0);
    }
    b = lab_take(&other, &p); // and what the other one's brings is not ours
    assert_false(is_answered(&other, &g));
    assert_false(is_told(&other, &g, true));
    unsigned number = other.k->number;
    lab_die(&other);
    lab_open(&other, "/run/b", "esp1");
    assert_int_equal(other.k->number, number);
    lab_close(&other);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_own_programs_without_hooks_are_told_so(void **state)
{
    struct gateway g;
    (void)state;
    lab_without_hooks = true;
    gateway_up(&g);
    lab_without_hooks = false;
    lab_take(&g.l, &g.p);
    assert_int_equal(say(g.bound, REMOTE), -EPERM);
    assert_silent(&g);
    assert_false(arrives(&g, true));
    lab_close(&g.l);
    gateway_down(&g);
}

#define T(name) cmocka_unit_test_setup(name, lab_namespace)
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_own_programs_speak_through_the_tun_and_never_past_it),
        T(test_own_programs_are_silent_while_something_is_missing),
        T(test_own_programs_are_silent_when_the_daemon_is_gone),
        T(test_next_run_sweeps_the_hook_of_the_last),
        T(test_own_kernel_answers_through_the_tun),
        T(test_own_programs_of_other_ports_go_their_own_way),
        T(test_own_answers_by_ipv4_from_the_outside_address_are_dropped),
        T(test_own_answers_by_ipv6_from_the_outside_address_are_dropped),
        T(test_own_questions_by_ipv4_go_on_while_a_server_is_asked),
        T(test_own_questions_by_ipv6_go_on_while_a_server_is_asked),
        T(test_one_asker_by_ipv4_keeps_no_other_from_being_heard),
        T(test_one_asker_by_ipv6_keeps_no_other_from_being_heard),
        T(test_own_marks_are_reflected_while_somebody_wants_it),
        T(test_what_routers_say_about_the_size_of_our_packets_by_ipv4_is_heard),
        T(test_what_routers_say_about_the_size_of_our_packets_by_ipv6_is_heard),
        T(test_two_instances_leave_one_anothers_packets_alone),
        T(test_own_programs_without_hooks_are_told_so),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("programs of the gateway itself", tests, NULL, NULL);
}
