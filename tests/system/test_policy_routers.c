// SPDX-License-Identifier: Apache-2.0
// What a host that protects all that it says hears from the routers beside it and on the way.
#include "tests/system/gateway_lab.h"

#include <string.h>
#include <unistd.h>

#include "ctrl/super/sockets.h"

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

// A tunnel's AH (`by`: its next header) with an ICV of 16 octets stands in front of the packet inside.
static size_t too_long6(uint8_t *p, uint8_t proto, uint16_t by, uint8_t peer)
{
    uint8_t quote[8 + 40 + 32 + 40] = {2,    0, 0, 0, 0,         0,          1300 >> 8, 1300 & 255,
                                       0x60, 0, 0, 0, 1360 >> 8, 1360 & 255, proto,     HOP};
    char to[40];
    snprintf(to, sizeof(to), "2001:db8::%x", peer);
    const struct in6_addr own = ip6("fd10::1"), far = ip6(to);
    memcpy(quote + 16, &own, 16);
    memcpy(quote + 32, &far, 16);
    put_sum(quote + 48, by);
    put_sum(quote + 50, 4500);
    if (proto == IPPROTO_AH) {
        quote[48] = (uint8_t)by;
        quote[49] = 32 / 4 - 2;
        quote[80] = by == IPPROTO_IPV6 ? 0x60 : 0x45;
    }
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
static void protect_host(struct gateway *g, bool six)
{
    memset(&g->p, 0, sizeof(g->p));
    if (six)
        pol_net(&g->p.l, 6, (uint8_t[16]){0xfd, 0x10, [15] = 1}, 128, 0, 0, 65535);
    else
        pol_net(&g->p.l, 4, own4, 32, 0, 0, 65535);
    pol_net(&g->p.r, six ? 6 : 4, (uint8_t[16]){0}, 0, 0, 0, 65535);
    pol_finish(&g->p, POLICY_PROTECT, 5);
}

static void hears_routers(bool six)
{
    static const struct {
        uint8_t proto;
        uint16_t by;
        bool ours;
    } all[] = {{IPPROTO_ESP, 0, true},    {IPPROTO_AH, IPPROTO_IPV6, true}, {IPPROTO_AH, IPPROTO_IPIP, true},
               {IPPROTO_UDP, 4500, true}, {IPPROTO_UDP, 7000, false},       {IPPROTO_TCP, 443, false},
               {IPPROTO_ICMP, 0, false}};
    struct gateway g;
    uint8_t p[256];
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    protect_host(&g, six);
    lab_take(&g.l, &g.p);
    const struct settings st = {.port = 500, .port_nat_t = 4500, .workers = 1, .tun = "own0"};
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

// ---- neighbours

enum { SOLICITS = 135, ANSWERS = 136 };

// Of neighbour discovery about `target`; from, and of, an address 02:00:00:00:00:02.
static size_t discovery(uint8_t *p, uint8_t type, const char *src, const char *dst, const char *target,
                        uint8_t hops)
{
    uint8_t m[32] = {type, [4] = type == ANSWERS ? 0xe0 : 0, [24] = type == ANSWERS ? 2 : 1, 1, 2, [31] = 2};
    const struct in6_addr about = ip6(target);
    memcpy(m + 8, &about, 16);
    size_t n = packet(p, src, dst, IPPROTO_ICMPV6, m, sizeof(m), 2);
    p[7] = hops;
    return n;
}

static bool router_is_answered(struct gateway *g, uint8_t type, uint8_t hops)
{
    const struct in6_addr router = ip6("fd10::2");
    uint8_t p[128];
    size_t n = discovery(p, SOLICITS, "fd10::2", "fd10::1", "fd10::1", hops);
    if (type != SOLICITS) {
        const uint8_t echo[12] = {type, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4};
        n = packet(p, "fd10::2", "fd10::1", IPPROTO_ICMPV6, echo, sizeof(echo), 2);
    }
    from_wan(g->wan, p, n);
    return look(g->l.tun, g->wan, &router).where == WAN;
}

// What is encrypted goes to a router that has a global address: it is looked for, what it answers is heard,
// and so is what it asks.
static void test_router_of_a_global_address_is_found_by_a_host_that_protects_everything(void **state)
{
    const struct settings st = {.port = 500, .port_nat_t = 4500, .workers = 1, .tun = "own0"};
    const struct in6_addr asked = ip6("ff02::1:ff00:2");
    struct sockaddr_in6 peer = {
        .sin6_family = AF_INET6, .sin6_port = htons(500), .sin6_addr = ip6("2001:db8::20")};
    struct gateway g;
    struct socket_set ours;
    struct esp_error err = {0};
    uint8_t p[128];
    (void)state;
    gateway_up(&g);
    protect_host(&g, true);
    lab_take(&g.l, &g.p);
    if (sockets_open(&ours, &st, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
    assert_int_equal(lab_shell("ip -6 neigh del fd10::2 dev wan0"), 0);
    assert_int_equal(sendto(ours.ike6, "encrypted", 9, 0, (struct sockaddr *)&peer, sizeof(peer)), 9);
    assert_int_equal(look(g.l.tun, g.wan, &asked).where, WAN);
    from_wan(g.wan, p, discovery(p, ANSWERS, "fd10::2", "fd10::1", "fd10::2", 255));
    assert_int_equal(comes_out(&g, "encrypted"), WAN);
    assert_true(router_is_answered(&g, SOLICITS, 255));
    assert_false(router_is_answered(&g, SOLICITS, 254)); // from beyond the link
    assert_false(router_is_answered(&g, 128, 255));
    sockets_close(&ours);
    lab_close(&g.l);
    gateway_down(&g);
}

// What a host behind says in its name is protected like anything else, also while nothing carries it away.
static void test_neighbour_discovery_that_is_forwarded_stays_closed(void **state)
{
    const struct in6_addr to = ip6(REMOTE), behind = ip6("fd01::5");
    struct gateway g;
    uint8_t p[128];
    (void)state;
    gateway_up(&g);
    everywhere(&g, true);
    for (int loaded = 0; loaded < 2; loaded++) {
        for (uint8_t type = SOLICITS; type <= ANSWERS; type++) {
            from_lan(g.lan, p, discovery(p, type, "fd01::5", REMOTE, REMOTE, 255));
            assert_int_equal(look(g.l.tun, g.wan, &to).where, loaded ? 0 : WAN);
            from_lan(g.lan, p, discovery(p, type, "fd01::1", REMOTE, REMOTE, 255)); // the gateway's own
            assert_int_equal(look(g.l.tun, g.wan, &to).where, loaded ? 0 : WAN);
            from_wan(g.wan, p, discovery(p, type, REMOTE, "fd01::5", "fd01::5", 255));
            assert_int_equal(look(g.l.tun, g.lan, &behind).where, loaded ? 0 : WAN);
        }
        if (!loaded) {
            lab_take(&g.l, &g.p);
            assert_int_equal(lab_shell("ip link set esp0 down"), 0);
        }
    }
    lab_close(&g.l);
    gateway_down(&g);
}

#define T(name) cmocka_unit_test_setup(name, lab_namespace)
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_what_routers_say_about_the_size_of_our_packets_by_ipv4_is_heard),
        T(test_what_routers_say_about_the_size_of_our_packets_by_ipv6_is_heard),
        T(test_router_of_a_global_address_is_found_by_a_host_that_protects_everything),
        T(test_neighbour_discovery_that_is_forwarded_stays_closed),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("routers", tests, NULL, NULL);
}
