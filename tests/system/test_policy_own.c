// SPDX-License-Identifier: Apache-2.0
// What programs of the gateway itself send and receive by IPv6, against the kernel itself: through the TUN or
// not at all, bound or not, on old sockets and new ones, in every state that the kernel's objects can be in.
#include "tests/system/gateway_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/path/kset_objects.h"

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

struct told {
    struct addr a[8];
    unsigned count;
};

static void one_address(void *ctx, const struct addr *a)
{
    struct told *t = ctx;
    assert_true(t->count < 8);
    t->a[t->count++] = *a;
}

// What an operator has put on the TUN is not for the next path to take away.
static void test_own_addresses_of_the_tun_are_told_from_an_operators(void **state)
{
    struct gateway g;
    struct told t = {.count = 0};
    struct addr ours[2];
    (void)state;
    gateway_up(&g);
    addr_parse("10.77.0.3", &ours[0]);
    addr_parse("2001:db8:77::3", &ours[1]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(g.l.k->ops->address(g.l.k, &ours[i], true), 0);
    assert_int_equal(lab_shell("ip link set lo up; ip addr add 10.77.0.9/32 dev esp0; "
                               "ip addr add 2001:db8:77::9/128 dev esp0"),
                     0);
    assert_int_equal(g.l.k->ops->tun_addresses(g.l.k, one_address, &t), 0);
    assert_int_equal(t.count, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_true(addr_eq(&t.a[i], &ours[t.a[i].family == 6]));
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
        T(test_own_marks_are_reflected_while_somebody_wants_it),
        T(test_two_instances_leave_one_anothers_packets_alone),
        T(test_own_programs_without_hooks_are_told_so),
        T(test_own_addresses_of_the_tun_are_told_from_an_operators),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("programs of the gateway itself", tests, NULL, NULL);
}
