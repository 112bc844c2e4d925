// SPDX-License-Identifier: Apache-2.0
// The set of kernel objects against the kernel itself, in a network namespace of the test's own: what was
// asked for is what a dump shows, a second instance and a second run are told apart, others' changes are
// noticed, a thousand policies are quick.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ctrl/path/kset_objects.h"
#include "ctrl/path/kset_values.h"
#include "tests/system/kernel_lab.h"

static unsigned lines(const char *command)
{
    char line[512];
    unsigned n = 0;
    FILE *f = popen(command, "r");
    while (f && fgets(line, sizeof(line), f))
        n++;
    pclose(f);
    return n;
}

static void pol4(struct pol *p, uint8_t action, uint32_t rank, unsigned l, unsigned r, uint8_t proto,
                 uint16_t lo, uint16_t hi)
{
    memset(p, 0, sizeof(*p));
    pol_net(&p->l, 4, (uint8_t[]){10, (uint8_t)(l >> 8), (uint8_t)l, 0}, 24, 0, 0, 65535);
    pol_net(&p->r, 4, (uint8_t[]){172, (uint8_t)(r >> 8), (uint8_t)r, 0}, 24, proto, lo, hi);
    pol_finish(p, action, rank);
}

// A dump into memory, to compare with.
struct dumped {
    struct kobj o[4096];
    unsigned count;
};

static void keep(void *ctx, const struct kobj *o)
{
    struct dumped *d = ctx;
    if (d->count < 4096)
        d->o[d->count++] = *o;
}

static struct dumped *dump(struct kernel_lab *l)
{
    struct dumped *d = calloc(1, sizeof(*d));
    struct esp_error err = {0};
    if (l->k->ops->dump(l->k, keep, d, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
    return d;
}

static bool has(const struct dumped *d, const struct kobj *o)
{
    for (unsigned i = 0; i < d->count; i++)
        if (kobj_same_key(&d->o[i], o) && kobj_same_value(&d->o[i], o))
            return true;
    return false;
}

struct expected {
    const struct dumped *d;
    unsigned count;
};

static int must_be_there(void *ctx, const struct kobj *o, const struct kobj *behind)
{
    struct expected *e = ctx;
    struct kobj full = *o;
    char text[200];
    for (unsigned i = 0; behind && i < e->d->count; i++) { // the table is its rule's
        struct kobj rule = e->d->o[i];
        rule.table = 0;
        if (kobj_same_key(&rule, behind))
            full.table = e->d->o[i].table;
    }
    e->count++;
    if (!has(e->d, &full))
        fail_msg("not in the kernel as it was asked for: %s", kobj_print(&full, text, sizeof(text)));
    return 0;
}

static void check_all(struct kernel_lab *l, const struct pol *p)
{
    struct expected e = {dump(l), 0};
    const struct kset_visitor v = {must_be_there, &e};
    assert_int_equal(kset_objects(&l->o, &p->spec, &v, NULL), 0);
    assert_true(e.count >= 3);
    free((void *)e.d);
}

static void test_kernel_every_kind_of_object_reads_back_as_asked(void **state)
{
    struct kernel_lab l;
    struct pol p[6];
    struct kset_hold *h[6];
    (void)state;
    lab_open(&l, "/run/a", "esp0");
    pol4(&p[0], POLICY_PROTECT, 1, 1, 2, 0, 0, 65535);
    pol4(&p[1], POLICY_PROTECT, 2, 1, 3, 17, 7000, 7999);
    pol4(&p[2], POLICY_PROTECT, 3, 1, 4, 1, 8 << 8, 8 << 8 | 255);
    pol4(&p[3], POLICY_BYPASS, 4, 1, 5, 6, 22, 22);
    memset(&p[4], 0, sizeof(p[4]));
    pol_net(&p[4].l, 6, (uint8_t[16]){0xfd, 1}, 64, 0, 0, 65535);
    pol_net(&p[4].r, 6, (uint8_t[16]){0xfd, 2}, 64, 17, 53, 1000);
    pol_finish(&p[4], POLICY_PROTECT, 5);
    memset(&p[5], 0, sizeof(p[5]));
    pol_net(&p[5].l, 4, (uint8_t[4]){10, 9}, 16, 0, 0, 65535);
    pol_net(&p[5].r, 4, (uint8_t[4]){0}, 0, 0, 0, 65535);
    pol_finish(&p[5], POLICY_PROTECT, 6);
    for (int i = 0; i < 6; i++)
        h[i] = lab_take(&l, &p[i]);
    for (int i = 0; i < 6; i++)
        check_all(&l, &p[i]);
    assert_int_equal(kset_change(l.s, NULL, NULL, 0, h, 6, NULL), 0);
    struct dumped *d = dump(&l);
    assert_int_equal(d->count, 0);
    free(d);
    lab_close(&l);
    assert_int_equal(lines("(ip rule; ip -6 rule; ip xfrm policy; ip route show table all; ip -6 route show "
                           "table all) | grep -E "
                           "'proto 89|priority'"),
                     0);
}

// Neither sees, takes over or sweeps what is the other's, although their selectors are the same.
static void test_kernel_two_instances_share_nothing(void **state)
{
    struct kernel_lab a, b;
    struct pol p;
    (void)state;
    lab_open(&a, "/run/a", "esp0");
    lab_open(&b, "/run/b", "esp1");
    assert_int_not_equal(a.k->tables, b.k->tables);
    pol4(&p, POLICY_PROTECT, 1, 1, 2, 17, 53, 53);
    struct kset_hold *ha = lab_take(&a, &p), *hb = lab_take(&b, &p);
    check_all(&a, &p);
    check_all(&b, &p);
    assert_int_equal(kset_change(b.s, NULL, NULL, 0, &hb, 1, NULL), 0);
    check_all(&a, &p);
    hb = lab_take(&b, &p);
    lab_die(&b);
    lab_open(&b, "/run/b", "esp1");
    assert_true(kset_count(b.s).found > 3);
    assert_true(kset_sweep(b.s) > 3);
    check_all(&a, &p);
    assert_int_equal(kset_change(a.s, NULL, NULL, 0, &ha, 1, NULL), 0);
    lab_close(&b);
    lab_close(&a);
}

static void test_kernel_next_run_finds_its_tables_and_objects(void **state)
{
    struct kernel_lab l;
    struct pol p, q;
    (void)state;
    lab_open(&l, "/run/a", "esp0");
    uint32_t tables = l.k->tables;
    pol4(&p, POLICY_PROTECT, 1, 1, 2, 17, 53, 53);
    pol4(&q, POLICY_PROTECT, 2, 5, 6, 0, 0, 65535);
    lab_take(&l, &p);
    lab_take(&l, &q);
    lab_die(&l);
    lab_open(&l, "/run/a", "esp0");
    assert_int_equal(l.k->tables, tables);
    assert_true(kset_count(l.s).found > 6); // rules and blocks; the routes went with the TUN
    lab_take(&l, &p);
    check_all(&l, &p);
    assert_true(kset_sweep(l.s) > 0);
    check_all(&l, &p);
    assert_int_equal(lines("ip xfrm policy | grep -F 172.0.6.0/24"), 0);
    assert_int_equal(lines("ip rule show proto 89 | grep -F 10.0.5.0/24"), 0);
    lab_close(&l);
}

static void anchor(struct netlink_kernel *n, bool numbered, bool add)
{
    _Alignas(struct nlmsghdr) char buf[256];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = add ? RTM_NEWRULE : RTM_DELRULE;
    h->nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
    struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->family = AF_INET;
    m->action = FR_ACT_NOP;
    mnl_attr_put_u32(h, FRA_PRIORITY, 0x7fff0e59);
    mnl_attr_put_u32(h, FRA_TABLE, n->anchor);
    mnl_attr_put_u8(h, FRA_PROTOCOL, NETLINK_PROTOCOL);
    mnl_attr_put_u64(h, FRA_TUN_ID, n->owner_tag);
    if (numbered) {
        mnl_attr_put_u32(h, FRA_FWMARK, kernel_mark(n->base.number));
        mnl_attr_put_u32(h, FRA_FWMASK, UINT32_MAX);
    }
    assert_int_equal(netlink_one(n, n->route, h), 0);
}

// Each has a number of its own, and goes on with it; one that ran before there were numbers gets one, and
// keeps its tables.
static void test_kernel_instances_have_numbers_of_their_own(void **state)
{
    struct kernel_lab l[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        char owner[16], tun[16];
        snprintf(owner, sizeof(owner), "/run/%d", i);
        snprintf(tun, sizeof(tun), "esp%d", i);
        lab_open(&l[i], owner, tun);
        assert_int_equal(l[i].k->number, i);
    }
    lab_close(&l[1]);
    uint32_t tables = l[2].k->tables;
    struct netlink_kernel *n = (struct netlink_kernel *)l[2].k;
    anchor(n, false, true);
    anchor(n, true, false);
    lab_die(&l[2]);
    lab_open(&l[2], "/run/2", "esp2");
    assert_int_equal(l[2].k->tables, tables);
    assert_int_equal(l[2].k->number, 1); // the first that is free
    assert_int_equal(lines("ip rule | grep tun_id"), 2);
    lab_die(&l[2]);
    lab_open(&l[2], "/run/2", "esp2");
    assert_int_equal(l[2].k->tables, tables);
    assert_int_equal(l[2].k->number, 1);
    lab_close(&l[2]);
    lab_close(&l[0]);
    assert_int_equal(lines("ip rule | grep tun_id"), 0);
}

// ---- notices

static void test_kernel_what_others_remove_is_noticed_and_put_back(void **state)
{
    static const char *const harm[] = {
        "ip xfrm policy flush",
        "ip xfrm policy deleteall", // by number
        "ip rule del pref 224",
        "ip rule del pref 220",
        "ip rule del pref 225",
        "ip rule del pref 227",
        ("for t in $(ip route show table all proto 89 | sed 's/.*table //;s/ .*//'); do "
         "ip route flush table $t; done"),
        "ip rule flush; ip rule add pref 32766 lookup main"};
    struct kernel_lab l;
    struct pol p;
    unsigned failed;
    (void)state;
    lab_open(&l, "/run/a", "esp0");
    pol4(&p, POLICY_PROTECT, 1, 1, 2, 17, 53, 53);
    lab_take(&l, &p);
    assert_false(lab_listen(&l).repair); // what we did ourselves is no news
    for (unsigned i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        assert_int_equal(lab_shell(harm[i]), 0);
        if (!lab_listen(&l).repair)
            fail_msg("not noticed: %s", harm[i]);
        assert_true(kset_repair(l.s, &failed) > 0);
        assert_int_equal(failed, 0);
        check_all(&l, &p);
        assert_false(lab_listen(&l).repair);
    }
    lab_close(&l);
}

static void test_kernel_tun_down_and_up_is_noticed_and_repaired(void **state)
{
    struct kernel_lab l;
    struct pol p;
    struct heard h;
    unsigned failed;
    (void)state;
    lab_open(&l, "/run/a", "esp0");
    pol4(&p, POLICY_PROTECT, 1, 1, 2, 0, 0, 65535);
    lab_take(&l, &p);
    lab_listen(&l);
    assert_int_equal(lab_shell("ip link set esp0 down"), 0);
    h = lab_listen(&l);
    assert_int_equal(h.down, 1);
    assert_true(h.repair);
    assert_int_equal(kset_repair(l.s, &failed), 0); // its routes wait for it
    assert_int_equal(failed, 0);
    assert_int_equal(lab_shell("ip link set esp0 up"), 0);
    assert_true(lab_listen(&l).repair);
    assert_true(kset_repair(l.s, &failed) > 0);
    assert_int_equal(failed, 0);
    check_all(&l, &p);
    lab_listen(&l);
    assert_int_equal(lab_shell("ip addr add 10.77.0.1/24 dev lo"), 0);
    assert_true(lab_listen(&l).addresses > 0);
    lab_shell("ip addr del 10.77.0.1/24 dev lo");
    lab_close(&l);
}

// More news than the socket has room for, before and after `harm`: all that is left of them is that some are
// lost, whatever had found room before.
static void lose_news(struct kernel_lab *l, const char *harm)
{
    const struct netlink_kernel *n = (const struct netlink_kernel *)l->k;
    int fd = mnl_socket_get_fd(n->route_news), least = 1, much = 1 << 20;
    struct heard h;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &least, sizeof(least)), 0);
    for (int before = 0; before < 2; before++) {
        char command[400];
        const char *flood = "for i in 1 2 3 4; do ip addr add 10.77.0.$i/32 dev lo; "
                            "ip addr del 10.77.0.$i/32 dev lo; done";
        snprintf(command, sizeof(command), "%s; %s; %s", before ? flood : "true", harm, flood);
        assert_int_equal(lab_shell(command), 0);
        h = lab_listen(l);
        assert_true(h.lost > 0);
        assert_int_equal(h.down + h.up + h.gone, 0);
    }
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &much, sizeof(much)), 0);
}

static void test_kernel_says_how_the_tun_is_where_notices_were_lost(void **state)
{
    struct kernel_lab l;
    struct pol p;
    struct heard h;
    unsigned failed;
    (void)state;
    lab_open(&l, "/run/a", "esp0");
    pol4(&p, POLICY_PROTECT, 1, 1, 2, 0, 0, 65535);
    lab_take(&l, &p);
    lab_listen(&l);
    assert_int_equal(l.k->ops->tun_state(l.k), 1);
    lose_news(&l, "ip link set esp0 down");
    assert_int_equal(l.k->ops->tun_state(l.k), 0);
    kset_notice(l.s, &(struct knotice){.kind = KNOTE_TUN_DOWN}); // as kernel_watch does
    assert_int_equal(kset_repair(l.s, &failed), 0);
    assert_int_equal(failed, 0);
    lose_news(&l, "ip link set esp0 up");
    assert_int_equal(l.k->ops->tun_state(l.k), 1);
    kset_notice(l.s, &(struct knotice){.kind = KNOTE_TUN_UP});
    assert_true(kset_repair(l.s, &failed) > 0);
    assert_int_equal(failed, 0);
    check_all(&l, &p);
    assert_int_equal(lab_shell("ip link set esp0 down"), 0);
    h = lab_listen(&l); // what is heard again counts from what was read
    assert_int_equal(h.down, 1);
    lose_news(&l, "ip link del esp0 2>/dev/null || true");
    assert_int_equal(l.k->ops->tun_state(l.k), -ENODEV);
    lab_close(&l);
}

enum { SENT = 800 }; // more than the queue of a TUN has places

static void test_kernel_tells_what_the_tun_had_no_room_for(void **state)
{
    struct kernel_lab l;
    uint8_t p[2048];
    uint64_t lost = 1;
    unsigned left = SENT;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    (void)state;
    lab_open(&l, "/run/a", "esp0");
    assert_int_equal(l.k->ops->tun_lost(l.k, &lost), 0);
    assert_int_equal(lost, 0);
    // what IPv6 says by itself would be among the lost
    assert_int_equal(lab_shell("echo 1 >/proc/sys/net/ipv6/conf/esp0/disable_ipv6"), 0);
    assert_int_equal(lab_shell("ip addr add 10.66.0.1/24 dev esp0"), 0);
    inet_pton(AF_INET, "10.66.0.2", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < SENT; i++)
        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
    assert_int_equal(fcntl(l.tun, F_SETFL, O_NONBLOCK), 0);
    for (ssize_t n; (n = read(l.tun, p, sizeof(p))) > 0;)
        left -= n >= 20 && p[0] >> 4 == 4 && p[9] == 17;
    assert_true(left > 0 && left < SENT);
    assert_int_equal(l.k->ops->tun_lost(l.k, &lost), 0);
    assert_int_equal(lost, left);
    close(fd);
    lab_close(&l);
}

// ---- IPv6

// IPv6 has no disable_xfrm: what the TUN's exemption is made of there is shown by packets.
static size_t ipv6(uint8_t *p, uint8_t src_net, uint8_t dst_net)
{
    const uint8_t head[] = {0x60, 0, 0, 0, 0, 8, 17, 64}, udp[] = {0x1b, 0x58, 0x1b, 0x58, 0, 8, 1, 1};
    memset(p, 0, 48);
    memcpy(p, head, sizeof(head));
    p[8] = p[24] = 0xfd;
    p[9] = src_net;
    p[25] = dst_net;
    p[23] = p[39] = 5;
    memcpy(p + 40, udp, sizeof(udp));
    return 48;
}

static void send_frame(int fd, const char *to_link, uint8_t src_net, uint8_t dst_net)
{
    uint8_t f[14 + 48] = {0};
    struct ifreq r = {0};
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", to_link);
    assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &r), 0);
    memcpy(f, r.ifr_hwaddr.sa_data, 6);
    f[12] = 0x86;
    f[13] = 0xdd;
    ipv6(f + 14, src_net, dst_net);
    assert_int_equal(send(fd, f, sizeof(f), 0), sizeof(f));
}

// Whether that packet comes out here: the kernel itself also says things on a new link.
static bool comes(int fd, size_t skip, uint8_t src_net, uint8_t dst_net)
{
    uint8_t want[48], got[2048];
    struct pollfd w = {.fd = fd, .events = POLLIN};
    ipv6(want, src_net, dst_net);
    while (poll(&w, 1, 300) > 0) {
        ssize_t n = read(fd, got, sizeof(got));
        if (n >= (ssize_t)(skip + 40) && !memcmp(got + skip + 8, want + 8, 32))
            return true;
    }
    return false;
}

static void test_kernel_ipv6_forwarded_passes_by_the_tun_alone(void **state)
{
    struct kernel_lab l;
    struct pol p;
    (void)state;
    lab_lan_and_wan();
    int lan = lab_wire("lan1"), wan = lab_wire("wan1");
    lab_open(&l, "/run/a", "esp0");
    send_frame(lan, "lan0", 1, 2);
    assert_true(comes(wan, 14, 1, 2)); // nothing is loaded: the lab forwards
    memset(&p, 0, sizeof(p));
    pol_net(&p.l, 6, (uint8_t[16]){0xfd, 1}, 64, 0, 0, 65535);
    pol_net(&p.r, 6, (uint8_t[16]){0xfd, 2}, 64, 0, 0, 65535);
    pol_finish(&p, POLICY_PROTECT, 5);
    lab_take(&l, &p);
    send_frame(lan, "lan0", 1, 2);
    assert_true(comes(l.tun, 0, 1, 2));
    assert_false(comes(wan, 14, 1, 2));
    uint8_t inner[48];
    assert_int_equal(write(l.tun, inner, ipv6(inner, 2, 1)), 48); // out of an SA
    assert_true(comes(lan, 14, 2, 1));
    send_frame(wan, "wan0", 2, 1); // the same in clear
    assert_false(comes(lan, 14, 2, 1));
    lab_die(&l); // the TUN goes, and its routes with it
    send_frame(lan, "lan0", 1, 2);
    assert_false(comes(wan, 14, 1, 2));
    close(lan);
    close(wan);
}

// A peer on a link of ours, as another program has it: reached without a gateway.
static void peer_on_link(struct kernel_lab *l)
{
    struct pol p;
    assert_int_equal(
        lab_shell("ip link add gw0 type veth peer name gw1; ip link set gw0 up; ip link set gw1 up; ip "
                  "addr add 10.99.0.1/24 dev gw0; ip neigh add 10.99.0.2 lladdr 02:00:00:00:00:02 dev gw0"),
        0);
    lab_open(l, "/run/a", "esp0");
    memset(&p, 0, sizeof(p));
    pol_net(&p.l, 4, (uint8_t[]){10, 99, 0, 1}, 32, 0, 0, 65535);
    pol_net(&p.r, 4, (uint8_t[]){10, 99, 0, 2}, 32, 0, 0, 65535);
    pol_finish(&p, POLICY_PROTECT, 5);
    lab_take(l, &p);
    assert_int_equal(lines("ip route get 10.99.0.2 | grep 'dev esp0'"), 1);
}

// The peer is a router too: what goes by it and not to it stays on its link, however the route was made.
static void test_kernel_gateway_that_a_policy_names_is_found_on_its_link(void **state)
{
    struct kernel_lab l;
    (void)state;
    peer_on_link(&l);
    assert_int_equal(lab_shell("ip route add 10.98.0.0/16 via 10.99.0.2"), 0);
    assert_int_equal(lines("ip route show 10.98.0.0/16 | grep 'dev gw0'"), 1);
    lab_close(&l);
}

// What an earlier version has made of its link's scope is made anew: else that one's gateways stay wrong.
static void test_kernel_route_of_another_scope_is_replaced_by_the_next_run(void **state)
{
    struct kernel_lab l;
    struct pol p;
    (void)state;
    peer_on_link(&l);
    assert_int_equal(ioctl(l.tun, TUNSETPERSIST, 1), 0);
    assert_int_equal(lab_shell("ip -4 route show table all proto 89 | grep 'dev esp0' | while read -r r; do "
                               "ip route replace $r proto 89 scope link; done"),
                     0);
    unsigned routes = lines("ip -4 route show table all proto 89 | grep 'dev esp0'");
    assert_int_equal(lines("ip -4 route show table all proto 89 | grep 'dev esp0.*scope link'"), routes);
    lab_die(&l);
    lab_open(&l, "/run/a", "esp0");
    memset(&p, 0, sizeof(p));
    pol_net(&p.l, 4, (uint8_t[]){10, 99, 0, 1}, 32, 0, 0, 65535);
    pol_net(&p.r, 4, (uint8_t[]){10, 99, 0, 2}, 32, 0, 0, 65535);
    pol_finish(&p, POLICY_PROTECT, 5);
    lab_take(&l, &p);
    assert_int_equal(lines("ip -4 route show table all proto 89 | grep 'dev esp0'"), routes);
    assert_int_equal(lines("ip -4 route show table all proto 89 | grep 'dev esp0.*scope link'"), 0);
    ioctl(l.tun, TUNSETPERSIST, 0);
    lab_close(&l);
}

static unsigned datagrams(int wire)
{
    uint8_t frame[2048];
    unsigned n = 0;
    struct pollfd p = {.fd = wire, .events = POLLIN};
    while (poll(&p, 1, 200) > 0) {
        ssize_t len = read(wire, frame, sizeof(frame));
        n += len > 14 + 20 && frame[12] == 0x08 && frame[13] == 0 && frame[14 + 9] == IPPROTO_UDP;
    }
    return n;
}

static int to_peer(bool dontroute)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x0a630002)};
    int on = dontroute, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DONTROUTE, &on, sizeof(on)), 0);
    int rc = sendto(fd, "clear", 5, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

// Who goes past gateways, and so past our routes, goes nowhere.
static void test_kernel_socket_that_goes_past_routes_sends_nothing_in_clear(void **state)
{
    struct kernel_lab l;
    (void)state;
    peer_on_link(&l);
    int wire = lab_wire("gw1");
    assert_int_equal(to_peer(true), -EPERM);
    assert_int_equal(to_peer(false), 0); // into the TUN
    assert_int_equal(datagrams(wire), 0);
    lab_close(&l);
    assert_int_equal(to_peer(true), 0); // it was the policy that kept it
    assert_int_equal(datagrams(wire), 1);
    close(wire);
}

// ---- fragments

enum { WHOLE, FIRST, LAST, PARTS };
struct datagram { // UDP in a frame: whole, or one of its fragments
    bool v6;
    uint16_t sport, dport;
    int part;
};

static void ipv4_head(uint8_t *p, const struct datagram *d, uint8_t payload)
{
    const uint8_t head[] = {0x45,
                            0,
                            0,
                            (uint8_t)(20 + payload),
                            0,
                            7,
                            d->part == FIRST ? 0x20 : 0,
                            d->part == LAST ? 3 : 0,
                            64,
                            17,
                            0,
                            0,
                            10,
                            0,
                            1,
                            5,
                            172,
                            0,
                            2,
                            5};
    uint32_t sum = 0;
    memcpy(p, head, sizeof(head));
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    sum = ~((sum & 0xffff) + (sum >> 16));
    p[10] = (uint8_t)(sum >> 8);
    p[11] = (uint8_t)sum;
}

static size_t ipv6_head(uint8_t *p, const struct datagram *d, uint8_t payload)
{
    const uint8_t frag[] = {17, 0, 0, d->part == LAST ? 3 << 3 : 1, 0, 0, 0, 7};
    ipv6(p, 1, 2);
    p[5] = payload;
    if (d->part == WHOLE)
        return 40;
    p[5] = (uint8_t)(payload + 8);
    p[6] = 44;
    memcpy(p + 40, frag, sizeof(frag));
    return 48;
}

static size_t datagram(uint8_t *p, const struct datagram *d)
{
    const uint8_t udp[] = {(uint8_t)(d->sport >> 8),
                           (uint8_t)d->sport,
                           (uint8_t)(d->dport >> 8),
                           (uint8_t)d->dport,
                           0,
                           24,
                           0,
                           0};
    size_t at = 20;
    if (d->v6)
        at = ipv6_head(p, d, 24);
    else
        ipv4_head(p, d, 24);
    memset(p + at, 0, 24);
    if (d->part != LAST)
        memcpy(p + at, udp, sizeof(udp));
    return at + 24;
}

static bool reaches(int to, size_t skip, const uint8_t *packet, size_t len)
{
    uint8_t got[2048];
    struct pollfd w = {.fd = to, .events = POLLIN};
    while (poll(&w, 1, 200) > 0) {
        ssize_t n = read(to, got, sizeof(got)); // the hop limit and its checksum have changed
        if (n == (ssize_t)(skip + len) && !memcmp(got + skip + 12, packet + 12, len - 12))
            return true;
    }
    return false;
}

static bool forwarded(int from, int to, size_t skip, const struct datagram *d)
{
    uint8_t f[14 + 100] = {0};
    struct ifreq r = {.ifr_name = "lan0"};
    size_t len = datagram(f + 14, d);
    assert_int_equal(ioctl(from, SIOCGIFHWADDR, &r), 0);
    memcpy(f, r.ifr_hwaddr.sa_data, 6);
    f[12] = d->v6 ? 0x86 : 8;
    f[13] = d->v6 ? 0xdd : 0;
    assert_int_equal(send(from, f, 14 + len, 0), 14 + len);
    return reaches(to, skip, f + 14, len);
}

// The kernel's rules see no ports in a fragment, not even in the first one. All come to path, which tells
// them apart by their first one, and none is let out in clear.
static void test_kernel_fragments_of_selected_ports_reach_the_tun(void **state)
{
    static const struct {
        uint16_t slo, shi, dlo, dhi, sport, dport, other;
    } t[] = {{0, 65535, 53, 53, 7000, 53, 54},   {0, 65535, 7000, 7999, 9, 7500, 8000},
             {7000, 7000, 0, 65535, 7000, 9, 0}, {1000, 2000, 53, 53, 1500, 53, 54},
             {0, 65535, 0, 1023, 9, 53, 0},      {0, 65535, 1024, 65535, 9, 5000, 0}};
    struct kernel_lab l;
    (void)state;
    lab_lan_and_wan();
    int lan = lab_wire("lan1"), wan = lab_wire("wan1");
    lab_open(&l, "/run/a", "esp0");
    for (unsigned i = 0; i < 2 * sizeof(t) / sizeof(t[0]); i++) {
        bool v6 = i & 1;
        struct pol p = {0};
        pol_net(&p.l, v6 ? 6 : 4, v6 ? (uint8_t[16]){0xfd, 1} : (uint8_t[16]){10, 0, 1}, v6 ? 64 : 24, 17,
                t[i / 2].slo, t[i / 2].shi);
        pol_net(&p.r, v6 ? 6 : 4, v6 ? (uint8_t[16]){0xfd, 2} : (uint8_t[16]){172, 0, 2}, v6 ? 64 : 24, 17,
                t[i / 2].dlo, t[i / 2].dhi);
        pol_finish(&p, POLICY_PROTECT, 1);
        struct kset_hold *h = lab_take(&l, &p);
        struct datagram d = {.v6 = v6, .sport = t[i / 2].sport, .dport = t[i / 2].dport};
        for (d.part = WHOLE; d.part < PARTS; d.part++)
            if (!forwarded(lan, l.tun, 0, &d))
                fail_msg("selector %u, IPv%d, part %d does not reach the TUN", i / 2, v6 ? 6 : 4, d.part);
        d.dport = t[i / 2].other;
        d.part = WHOLE;
        if (d.dport && !forwarded(lan, wan, 14, &d))
            fail_msg("selector %u, IPv%d: a port that no policy names does not pass", i / 2, v6 ? 6 : 4);
        assert_int_equal(kset_change(l.s, NULL, NULL, 0, &h, 1, NULL), 0);
    }
    lab_close(&l);
    close(lan);
    close(wan);
}

// Only what does not show its ports, and nothing of it in clear; whole packets pass.
static void test_kernel_opaque_ports_take_fragments_alone(void **state)
{
    struct kernel_lab l;
    (void)state;
    lab_lan_and_wan();
    int lan = lab_wire("lan1"), wan = lab_wire("wan1");
    lab_open(&l, "/run/a", "esp0");
    for (int v6 = 0; v6 < 2; v6++) {
        struct pol p = {0};
        pol_net(&p.l, v6 ? 6 : 4, v6 ? (uint8_t[16]){0xfd, 1} : (uint8_t[16]){10, 0, 1}, v6 ? 64 : 24, 0, 0,
                65535);
        pol_net(&p.r, v6 ? 6 : 4, v6 ? (uint8_t[16]){0xfd, 2} : (uint8_t[16]){172, 0, 2}, v6 ? 64 : 24, 17,
                65535, 0);
        pol_finish(&p, POLICY_PROTECT, 1);
        lab_take(&l, &p);
        check_all(&l, &p);
        struct datagram d = {.v6 = v6, .sport = 7000, .dport = 53};
        assert_true(forwarded(lan, wan, 14, &d));
        d.part = LAST;
        assert_true(forwarded(lan, l.tun, 0, &d));
    }
    lab_die(&l);
    for (int v6 = 0; v6 < 2; v6++) {
        struct datagram d = {.v6 = v6, .sport = 7000, .dport = 53};
        assert_true(forwarded(lan, wan, 14, &d));
        d.part = LAST;
        assert_false(forwarded(lan, wan, 14, &d));
    }
    close(lan);
    close(wan);
}

// ---- speed

// The kernel's own ESP would take it there; whoever has taken the policies away, or passes XFRM over, it is
// not sent in clear.
static void past_the_tun(struct kernel_lab *l, int lan, int wan)
{
    const struct datagram d = {.sport = 7000, .dport = 53};
    static const char *const harm[] = {"true", "ip xfrm policy flush",
                                       "echo 1 >/proc/sys/net/ipv4/conf/wan0/disable_xfrm"};
    for (unsigned i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        assert_int_equal(lab_shell(harm[i]), 0);
        if (forwarded(lan, wan, 14, &d))
            fail_msg("%s: it has left in clear", harm[i]);
        assert_false(forwarded(lan, l->tun, 0, &d));
    }
}

static void test_kernel_what_leaves_past_the_tun_has_an_sa_or_does_not_leave(void **state)
{
    const struct datagram d = {.sport = 7000, .dport = 53};
    struct kernel_lab l;
    struct kset_hold *out = NULL;
    struct pol p = {0};
    unsigned failed;
    (void)state;
    lab_lan_and_wan();
    assert_int_equal(lab_shell("ip neigh add 172.0.2.5 lladdr 02:00:00:00:00:02 dev wan0"), 0);
    int lan = lab_wire("lan1"), wan = lab_wire("wan1");
    lab_kernel_esp = true;
    lab_open(&l, "/run/a", "esp0");
    lab_kernel_esp = false;
    if (!l.o.hooks4)
        skip(); // then it is not used
    pol_net(&p.l, 4, (uint8_t[16]){10, 0, 1}, 24, 0, 0, 65535);
    pol_net(&p.r, 4, (uint8_t[16]){172, 0, 2}, 24, 0, 0, 65535);
    pol_finish(&p, POLICY_PROTECT, 1);
    lab_take(&l, &p);
    assert_true(forwarded(lan, l.tun, 0, &d));
    p.spec.out_index = if_nametoindex("wan0");
    out = lab_take(&l, &p);
    past_the_tun(&l, lan, wan);
    lab_listen(&l);
    (void)kset_repair(l.s, &failed);
    assert_int_equal(failed, 0);
    kset_notice(l.s, &(struct knotice){.kind = KNOTE_LOST}); // what is there reads back as asked
    assert_int_equal(kset_repair(l.s, &failed), 0);
    assert_int_equal(kset_change(l.s, NULL, NULL, 0, &out, 1, NULL), 0);
    assert_true(forwarded(lan, l.tun, 0, &d));
    lab_close(&l);
    assert_true(forwarded(lan, wan, 14, &d)); // it was no fault of the lab's
    close(lan);
    close(wan);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_kernel_thousand_policies_in_one_transaction_quick(void **state)
{
    enum { N = 1000 };
    struct kernel_lab l;
    struct pol *p = calloc(N, sizeof(*p));
    struct kset_spec *specs = calloc(N, sizeof(*specs));
    struct kset_hold **h = calloc(N, sizeof(struct kset_hold *));
    struct esp_error err = {0};
    (void)state;
    lab_open(&l, "/run/a", "esp0");
    for (unsigned i = 0; i < N; i++) {
        pol4(&p[i], POLICY_PROTECT, i, i % 40, i, 0, 0, 65535);
        specs[i] = p[i].spec;
    }
    double from = now();
    assert_int_equal(kset_change(l.s, specs, h, N, NULL, 0, &err), 0);
    double loaded = now();
    struct kset_counts c = kset_count(l.s);
    assert_int_equal(kset_change(l.s, NULL, NULL, 0, h, N, &err), 0);
    double gone = now();
    print_message("%u objects of %d policies: %.0f ms to load, %.0f ms to unload\n", c.objects, N,
                  1e3 * (loaded - from), 1e3 * (gone - loaded));
    assert_true(loaded - from < 1.0);
    lab_close(&l);
    free(p);
    free(specs);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_kernel_every_kind_of_object_reads_back_as_asked, lab_namespace),
        cmocka_unit_test_setup(test_kernel_two_instances_share_nothing, lab_namespace),
        cmocka_unit_test_setup(test_kernel_instances_have_numbers_of_their_own, lab_namespace),
        cmocka_unit_test_setup(test_kernel_next_run_finds_its_tables_and_objects, lab_namespace),
        cmocka_unit_test_setup(test_kernel_what_others_remove_is_noticed_and_put_back, lab_namespace),
        cmocka_unit_test_setup(test_kernel_tun_down_and_up_is_noticed_and_repaired, lab_namespace),
        cmocka_unit_test_setup(test_kernel_says_how_the_tun_is_where_notices_were_lost, lab_namespace),
        cmocka_unit_test_setup(test_kernel_tells_what_the_tun_had_no_room_for, lab_namespace),
        cmocka_unit_test_setup(test_kernel_ipv6_forwarded_passes_by_the_tun_alone, lab_namespace),
        cmocka_unit_test_setup(test_kernel_gateway_that_a_policy_names_is_found_on_its_link, lab_namespace),
        cmocka_unit_test_setup(test_kernel_route_of_another_scope_is_replaced_by_the_next_run, lab_namespace),
        cmocka_unit_test_setup(test_kernel_socket_that_goes_past_routes_sends_nothing_in_clear,
                               lab_namespace),
        cmocka_unit_test_setup(test_kernel_fragments_of_selected_ports_reach_the_tun, lab_namespace),
        cmocka_unit_test_setup(test_kernel_opaque_ports_take_fragments_alone, lab_namespace),
        cmocka_unit_test_setup(test_kernel_what_leaves_past_the_tun_has_an_sa_or_does_not_leave,
                               lab_namespace),
        cmocka_unit_test_setup(test_kernel_thousand_policies_in_one_transaction_quick, lab_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
