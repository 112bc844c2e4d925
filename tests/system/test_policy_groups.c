// SPDX-License-Identifier: Apache-2.0
// Multicast that the kernel forwards for a multicast routing daemon, which this test is: what a policy
// protects or drops stays, what one lets pass and what none names goes on, in either family, over a restart.
#include "tests/system/kernel_lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/mroute.h>
#include <linux/mroute6.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOP = 8, PORT = 7777 };

static int family; // 4, 6: of the test that runs

// ---- the routing daemon

static void must_set(int fd, int level, int name, const void *value, socklen_t len)
{
    if (setsockopt(fd, level, name, value, len) < 0)
        fail_msg("multicast routing, option %d: %s", name, strerror(errno));
}

static int daemon4(void)
{
    const int one = 1;
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_IGMP);
    struct mfcctl way = {.mfcc_parent = 0, .mfcc_ttls = {255, 1}};
    must_set(fd, IPPROTO_IP, MRT_INIT, &one, sizeof(one));
    for (unsigned i = 0; i < 2; i++) {
        const struct vifctl v = {.vifc_vifi = (vifi_t)i,
                                 .vifc_flags = VIFF_USE_IFINDEX,
                                 .vifc_threshold = 1,
                                 .vifc_lcl_ifindex = (int)if_nametoindex(i ? "wan0" : "lan0")};
        must_set(fd, IPPROTO_IP, MRT_ADD_VIF, &v, sizeof(v));
    }
    inet_pton(AF_INET, "10.0.1.5", &way.mfcc_origin);
    inet_pton(AF_INET, "239.1.1.1", &way.mfcc_mcastgrp);
    must_set(fd, IPPROTO_IP, MRT_ADD_MFC, &way, sizeof(way));
    return fd;
}

static int daemon6(void)
{
    const int one = 1;
    int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
    struct mf6cctl way = {.mf6cc_parent = 0};
    must_set(fd, IPPROTO_IPV6, MRT6_INIT, &one, sizeof(one));
    for (unsigned i = 0; i < 2; i++) {
        const struct mif6ctl v = {.mif6c_mifi = (mifi_t)i,
                                  .vifc_threshold = 1,
                                  .mif6c_pifi = (uint16_t)if_nametoindex(i ? "wan0" : "lan0")};
        must_set(fd, IPPROTO_IPV6, MRT6_ADD_MIF, &v, sizeof(v));
    }
    inet_pton(AF_INET6, "fd01::5", &way.mf6cc_origin.sin6_addr);
    inet_pton(AF_INET6, "ff0e::1", &way.mf6cc_mcastgrp.sin6_addr);
    IF_SET(1, &way.mf6cc_ifset);
    must_set(fd, IPPROTO_IPV6, MRT6_ADD_MFC, &way, sizeof(way));
    return fd;
}

// ---- packets

static const char mark[] = "to the group";

static size_t datagram4(uint8_t *p)
{
    const uint8_t head[20] = {
        0x45, 0, 0, 28 + sizeof(mark), 0, 1, 0, 0, HOP, IPPROTO_UDP, 0, 0, 10, 0, 1, 5, 239, 1, 1, 1};
    uint32_t sum = 0;
    memcpy(p, head, 20);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    p[10] = (uint8_t)(~sum >> 8);
    p[11] = (uint8_t)~sum;
    return 20;
}

static size_t datagram6(uint8_t *p)
{
    p[0] = 0x60;
    p[5] = 8 + sizeof(mark);
    p[6] = IPPROTO_UDP;
    p[7] = HOP;
    inet_pton(AF_INET6, "fd01::5", p + 8);
    inet_pton(AF_INET6, "ff0e::1", p + 24);
    return 40;
}

static bool goes_on(int lan, int wan)
{
    static const uint8_t mac4[6] = {1, 0, 0x5e, 1, 1, 1}, mac6[6] = {0x33, 0x33, 0, 0, 0, 1};
    const uint8_t udp[8] = {PORT >> 8, PORT & 255, PORT >> 8, PORT & 255, 0, 8 + sizeof(mark)};
    uint8_t f[128] = {0}, got[2048];
    memcpy(f, family == 6 ? mac6 : mac4, 6);
    f[6] = 2;
    f[12] = family == 6 ? 0x86 : 8;
    f[13] = family == 6 ? 0xdd : 0;
    size_t at = 14 + (family == 6 ? datagram6(f + 14) : datagram4(f + 14));
    memcpy(f + at, udp, 8);
    memcpy(f + at + 8, mark, sizeof(mark));
    assert_int_equal(send(lan, f, at + 8 + sizeof(mark), 0), at + 8 + sizeof(mark));
    struct pollfd p = {.fd = wan, .events = POLLIN};
    while (poll(&p, 1, 150) > 0) {
        ssize_t n = read(wan, got, sizeof(got));
        if (n > 0 && memmem(got, (size_t)n, mark, sizeof(mark)))
            return true;
    }
    return false;
}

// ---- policies

static void policy(struct pol *p, uint8_t action, uint32_t rank, bool groups_alone, uint8_t proto)
{
    memset(p, 0, sizeof(*p));
    pol_net(&p->l, (uint8_t)family, family == 6 ? (uint8_t[16]){0xfd, 1} : (uint8_t[16]){10, 0, 1},
            family == 6 ? 64 : 24, 0, 0, 65535);
    pol_net(&p->r, (uint8_t)family,
            groups_alone ? family == 6 ? (uint8_t[16]){0xff, 0x0e} : (uint8_t[16]){239} : (uint8_t[16]){0},
            groups_alone ? family == 6 ? 16 : 8 : 0, proto, 0, 65535);
    pol_finish(p, action, rank);
}

static void put_back(struct kernel_lab *l)
{
    unsigned failed;
    assert_true(lab_listen(l).repair);
    assert_true(kset_repair(l->s, &failed) > 0);
    assert_int_equal(failed, 0);
}

static void remove_table(const struct kernel_lab *l, const struct kobj *o)
{
    const struct netlink_options other = {.owner = "/run/a"};
    struct kchange c = {.o = o};
    struct kernel *somebody;
    struct esp_error err;
    (void)l;
    assert_int_equal(netlink_kernel_open(&somebody, &other, &err), 0);
    assert_int_equal(somebody->ops->apply(somebody, &c, 1, &err), 0);
    somebody->ops->close(somebody, true);
}

// A firewall's own tool can let a table stand and do nothing.
static int one_of_groups(const struct nlmsghdr *h, void *ctx)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(a) == NFTA_TABLE_NAME &&
                                                         strlen(mnl_attr_get_str(a)) > 60)
        snprintf(ctx, 120, "%s", mnl_attr_get_str(a));
    return 0;
}

static struct nlmsghdr *about_tables(char *buf, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST | flags;
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->nfgen_family = family == 6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
    if (type < NFNL_SUBSYS_NFTABLES << 8)
        m->res_id = htons(NFNL_SUBSYS_NFTABLES);
    return h;
}

static void lay_to_sleep(const struct kernel_lab *l)
{
    _Alignas(struct nlmsghdr) char buf[1024];
    char name[120] = "";
    struct netlink_kernel *n = (struct netlink_kernel *)l->k;
    struct nlmsghdr *h = about_tables(buf, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, NLM_F_DUMP);
    assert_int_equal(netlink_dump(n, n->hooks, h, one_of_groups, name), 0);
    assert_true(name[0]);
    size_t at = about_tables(buf, NFNL_MSG_BATCH_BEGIN, 0)->nlmsg_len;
    h = about_tables(buf + at, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, 0);
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, name);
    mnl_attr_put_u32(h, NFTA_TABLE_FLAGS, htonl(NFT_TABLE_F_DORMANT));
    at += h->nlmsg_len;
    at += about_tables(buf + at, NFNL_MSG_BATCH_END, 0)->nlmsg_len;
    struct mnl_socket *s = mnl_socket_open(NETLINK_NETFILTER);
    assert_true(s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0);
    assert_int_equal(mnl_socket_sendto(s, buf, at), at);
    mnl_socket_close(s);
}

static struct kobj the_hook(void)
{
    struct kobj o = {.kind = KOBJ_HOOK,
                     .family = (uint8_t)family,
                     .action = KHOOK_GROUPS,
                     .dir = KDIR_FWD,
                     .src_len = family == 6 ? 64 : 24,
                     .dst_len = family == 6 ? 8 : 4};
    memcpy(o.src, family == 6 ? (uint8_t[16]){0xfd, 1} : (uint8_t[16]){10, 0, 1}, 16);
    o.dst[0] = family == 6 ? 0xff : 0xe0;
    return o;
}

static void drop(struct kernel_lab *l, struct kset_hold *h)
{
    assert_int_equal(kset_change(l->s, NULL, NULL, 0, &h, 1, NULL), 0);
}

static void pass_by(void *ctx, const struct knotice *n)
{
    (void)ctx;
    (void)n;
}

static void groups(void)
{
    struct kernel_lab l;
    struct pol all, pass, shut, tcp;
    lab_lan_and_wan();
    int lan = lab_wire("lan1"), wan = lab_wire("wan1"), router = family == 6 ? daemon6() : daemon4();
    lab_open(&l, "/run/a", "esp0");
    if (!l.k->hooks || !l.k->hooks4)
        skip();
    policy(&all, POLICY_PROTECT, 9, false, 0);
    policy(&tcp, POLICY_PROTECT, 9, false, IPPROTO_TCP);
    policy(&pass, POLICY_BYPASS, 1, true, 0);
    policy(&shut, POLICY_DISCARD, 1, true, IPPROTO_UDP);
    assert_true(goes_on(lan, wan)); // nothing names it
    struct kset_hold *h = lab_take(&l, &tcp);
    assert_true(goes_on(lan, wan));
    drop(&l, h);
    h = lab_take(&l, &shut);
    assert_false(goes_on(lan, wan));
    drop(&l, h);
    assert_true(goes_on(lan, wan));
    (void)lab_take(&l, &all);
    assert_false(goes_on(lan, wan));
    struct kset_hold *by = lab_take(&l, &pass);
    assert_true(goes_on(lan, wan));
    drop(&l, by);
    assert_false(goes_on(lan, wan));
    policy(&pass, POLICY_BYPASS, 20, true, 0); // behind what protects it
    by = lab_take(&l, &pass);
    assert_false(goes_on(lan, wan));
    drop(&l, by);
    lay_to_sleep(&l);
    assert_true(goes_on(lan, wan));
    l.k->ops->notices(l.k, pass_by, NULL); // as if they had been lost
    kset_notice(l.s, &(struct knotice){.kind = KNOTE_LOST});
    unsigned failed = 0;
    assert_true(kset_repair(l.s, &failed) > 0);
    assert_int_equal(failed, 0);
    assert_false(goes_on(lan, wan));
    const struct kobj hook = the_hook();
    lab_listen(&l);
    remove_table(&l, &hook);
    put_back(&l);
    assert_false(goes_on(lan, wan));
    lab_die(&l); // what is dropped is dropped without a daemon, and the next run finds it
    assert_false(goes_on(lan, wan));
    lab_open(&l, "/run/a", "esp0");
    assert_true(kset_count(l.s).found > 3);
    (void)lab_take(&l, &all);
    kset_sweep(l.s);
    assert_false(goes_on(lan, wan));
    kset_close(l.s, true); // an orderly end that leaves what blocks
    l.k->ops->close(l.k, true);
    close(l.tun);
    assert_false(goes_on(lan, wan));
    lab_open(&l, "/run/a", "esp0");
    kset_sweep(l.s); // nothing is configured any more
    assert_true(goes_on(lan, wan));
    lab_close(&l);
    close(router);
    close(lan);
    close(wan);
}

static void test_groups_of_ipv4_that_a_policy_has_are_not_forwarded_in_clear(void **state)
{
    (void)state;
    family = 4;
    groups();
}

static void test_groups_of_ipv6_that_a_policy_has_are_not_forwarded_in_clear(void **state)
{
    (void)state;
    family = 6;
    groups();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_groups_of_ipv4_that_a_policy_has_are_not_forwarded_in_clear,
                               lab_namespace),
        cmocka_unit_test_setup(test_groups_of_ipv6_that_a_policy_has_are_not_forwarded_in_clear,
                               lab_namespace),
    };
    return cmocka_run_group_tests_name("multicast that is forwarded", tests, NULL, NULL);
}
