// SPDX-License-Identifier: Apache-2.0
// See kernel_lab.h.
#include "tests/system/kernel_lab.h"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const struct kset_options options = {.routes = true, .rule_priority = 220, .own_mark = 0xe59};

bool lab_without_hooks, lab_kernel_esp;

static int tun_new(const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
        fail_msg("cannot make a TUN: the test needs root and /dev/net/tun");
    return fd;
}

void lab_open(struct kernel_lab *l, const char *owner, const char *tun)
{
    struct esp_error err = {0};
    const struct netlink_options o = {.owner = owner,
                                      .routing_table = 220,
                                      .own_mark = options.own_mark,
                                      .port_nat_t = 4500,
                                      .routes = true,
                                      .kernel_esp = lab_kernel_esp};
    snprintf(l->name, sizeof(l->name), "%s", tun);
    l->tun = tun_new(tun);
    l->o = options;
    int index = netlink_kernel_open(&l->k, &o, &err);
    if (index == 0)
        index = l->k->ops->tun_up(l->k, tun, 1400, &err);
    if (index < 0)
        fail_msg("%s: %s", err.field, err.text);
    l->o.tun_index = (uint32_t)index;
    l->o.hooks = l->k->hooks && !lab_without_hooks;
    l->o.hooks4 = l->k->hooks4 && !lab_without_hooks;
    l->o.number = l->k->number;
    if (kset_open(&l->s, l->k, &l->o, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
}

void lab_close(struct kernel_lab *l)
{
    kset_close(l->s, false);
    l->k->ops->close(l->k, false);
    close(l->tun);
}

struct kset *lab_dead[16];

void lab_die(struct kernel_lab *l)
{
    for (unsigned i = 0; i < sizeof(lab_dead) / sizeof(lab_dead[0]); i++) {
        if (!lab_dead[i]) {
            lab_dead[i] = l->s;
            break;
        }
    }
    l->k->ops->close(l->k, true);
    close(l->tun);
}

int lab_shell(const char *command)
{
    return system(command);
}

struct kset_hold *lab_take(struct kernel_lab *l, const struct pol *p)
{
    struct kset_hold *h = NULL;
    struct esp_error err = {0};
    if (kset_change(l->s, &p->spec, &h, 1, NULL, 0, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
    return h;
}

// ---- notices

static void hear(void *ctx, const struct knotice *n)
{
    struct heard *h = ctx;
    h->objects += n->kind == KNOTE_OBJECT;
    h->flushed += n->kind == KNOTE_FLUSHED;
    h->down += n->kind == KNOTE_TUN_DOWN;
    h->up += n->kind == KNOTE_TUN_UP;
    h->gone += n->kind == KNOTE_TUN_GONE;
    h->addresses += n->kind == KNOTE_ADDRESSES;
    h->lost += n->kind == KNOTE_LOST;
    h->repair |= kset_notice(h->s, n);
}

struct heard lab_listen(struct kernel_lab *l)
{
    struct heard h = {.s = l->s};
    struct pollfd p = {.fd = l->k->fd, .events = POLLIN};
    while (poll(&p, 1, 100) > 0)
        l->k->ops->notices(l->k, hear, &h);
    return h;
}

// ---- links

int lab_wire(const char *link)
{
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(link)};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        fail_msg("cannot watch %s", link);
    return fd;
}

// A router between two links, whose other ends are lan1 and wan1.
void lab_lan_and_wan(void)
{
    assert_int_equal(
        lab_shell(
            "for i in lan wan; do ip link add ${i}0 type veth peer name ${i}1; "
            "echo 1 >/proc/sys/net/ipv6/conf/${i}1/disable_ipv6; ip link set ${i}0 up; ip link set ${i}1 up; "
            "done; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; ip -6 addr add fd01::1/64 dev lan0 nodad; "
            "ip -6 addr add fd10::1/64 dev wan0 nodad; ip -6 route add default via fd10::2; "
            "ip -6 neigh add fd01::5 lladdr 02:00:00:00:00:05 dev lan0; "
            "ip -6 neigh add fd10::2 lladdr 02:00:00:00:00:02 dev wan0; "
            "echo 1 >/proc/sys/net/ipv4/ip_forward; ip addr add 10.0.1.1/24 dev lan0; ip addr add "
            "192.0.2.1/24 dev wan0; ip route add default via 192.0.2.2; "
            "ip neigh add 10.0.1.5 lladdr 02:00:00:00:00:05 dev lan0; "
            "ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev wan0"),
        0);
}

int lab_namespace(void **state)
{
    (void)state;
    if (unshare(CLONE_NEWNET) < 0)
        return -1;
    return lab_shell("ip link set lo up");
}
