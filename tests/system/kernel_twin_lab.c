// SPDX-License-Identifier: Apache-2.0
// See kernel_twin_lab.h.
#include "tests/system/kernel_twin_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ETHER = 14 };
#define TUN_NAME "tun0"

// ---- what kernel_model.c wants of a world

struct site *the_site;
void world_mix(struct world *w, uint64_t a, uint64_t b)
{
    (void)w, (void)a, (void)b;
}
void world_say(struct world *w, const char *fmt, ...)
{
    (void)w, (void)fmt;
}
void daemon_wake(struct site *s)
{
    (void)s;
}
void host_send(struct world *w, unsigned from, unsigned to, unsigned child, bool matching)
{
    (void)w, (void)from, (void)to, (void)child, (void)matching;
}
void warriors_address(struct site *s, uint32_t n, bool there)
{
    (void)s, (void)n, (void)there;
}
int model_kernel_open(struct kernel **out, const struct netlink_options *o, struct esp_error *err);

// ---- the laboratory

static const struct kset_options options = {.routes = true, .rule_priority = 220, .own_mark = 0xe59};

void give_up(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

void must(const char *command)
{
    if (system(command) != 0)
        give_up("%s: failed", command);
}

static int link_new(const char *name, short kind)
{
    struct ifreq r = {.ifr_flags = (short)(kind | IFF_NO_PI)};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
        give_up("cannot make %s: %s", name, strerror(errno));
    return fd;
}

static void mac_of(const char *name, uint8_t mac[6])
{
    struct ifreq r = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &r) < 0)
        give_up("%s has no address: %s", name, strerror(errno));
    memcpy(mac, r.ifr_hwaddr.sa_data, 6);
    close(fd);
}

static void tun_up(struct lab *l)
{
    l->tun = link_new(TUN_NAME, IFF_TUN);
    must("sysctl -qw net.ipv4.conf." TUN_NAME ".rp_filter=0");
}

// What a link that goes down takes with it: addresses of IPv6, routes, neighbours.
#define WAN_ADDRESS "ip addr replace 192.0.2.1/24 dev wan0"
#define WAYS                                                                                                 \
    "ip addr replace 10.1.0.1/16 dev lan0 && ip route replace default via 192.0.2.254 && "                   \
    "ip -6 addr replace 2001:db8::10.1.0.1/112 dev lan0 nodad && "                                           \
    "ip -6 addr replace 2001:db8::192.0.2.1/120 dev wan0 nodad && "                                          \
    "ip -6 route replace default via 2001:db8::192.0.2.254 && "                                              \
    "for a in 10.1.0.9 10.1.1.9 10.1.2.9 10.1.3.9 10.1.1.1 10.1.7.7; do "                                    \
    "ip neigh replace $a lladdr 02:00:00:00:00:09 dev lan0 nud permanent || exit 1; done; "                  \
    "for a in 10.1.0.9 10.1.1.1 10.1.7.7; do "                                                               \
    "ip -6 neigh replace 2001:db8::$a lladdr 02:00:00:00:00:09 dev lan0 nud permanent || exit 1; done; "     \
    "for a in 192.0.2.9 192.0.2.254; do "                                                                    \
    "ip neigh replace $a lladdr 02:00:00:00:00:fe dev wan0 nud permanent || exit 1; done; "                  \
    "ip -6 neigh replace 2001:db8::192.0.2.254 lladdr 02:00:00:00:00:fe dev wan0 nud permanent"

static void open_links(struct lab *l)
{
    static const int proto[RAWS] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP,  IPPROTO_GRE,
                                    IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMPV6};
    l->lan = link_new("lan0", IFF_TAP);
    l->wan = link_new("wan0", IFF_TAP);
    tun_up(l);
    must("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lan0.rp_filter=0 "
         "net.ipv4.conf.wan0.rp_filter=0 net.ipv4.conf.all.send_redirects=0 net.ipv4.icmp_ratelimit=0 "
         "net.ipv6.icmp.ratelimit=0 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.lan0.forwarding=1 "
         "net.ipv6.conf.wan0.forwarding=1 && ip link set lo up && ip link set lan0 up && ip link set wan0 up "
         "&& " WAN_ADDRESS " && " WAYS);
    mac_of("lan0", l->mac[0]);
    mac_of("wan0", l->mac[1]);
    for (int i = 0; i < RAWS; i++) {
        l->raw[i] = socket(i < 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, proto[i]);
        if (l->raw[i] < 0)
            give_up("raw socket: %s", strerror(errno));
    }
}

static void open_model(struct lab *l)
{
    static const struct plain plain;
    l->world.o.plain = &plain;
    rng_seed(&l->world.rng, 1);
    l->site = (struct site){
        .w = &l->world, .letter = 'a', .wan = 192u << 24 | 2 << 8 | 1, .lan = 10u << 24 | 1 << 16};
    l->site.roam.here[0] = IN4 | IN6;
    l->site.kernel = kernel_model_new(&l->site);
    the_site = &l->site;
}

static void open_kernels(struct lab *l)
{
    const struct netlink_options o = {
        .owner = "twin", .routing_table = 220, .own_mark = options.own_mark, .routes = true};
    struct esp_error err = {0};
    if (netlink_kernel_open(&l->kernel[LINUX], &o, &err) || model_kernel_open(&l->kernel[MODEL], &o, &err))
        give_up("%s: %s", err.field, err.text);
    for (int i = 0; i < 2; i++) {
        struct kset_options with_tun = options;
        int index = l->kernel[i]->ops->tun_up(l->kernel[i], TUN_NAME, 1400, &err);
        with_tun.tun_index = (uint32_t)index;
        with_tun.hooks = l->kernel[LINUX]->hooks;
        with_tun.hooks4 = l->kernel[LINUX]->hooks4;
        if (index < 0 || kset_open(&l->set[i], l->kernel[i], &with_tun, &err))
            give_up("%s: %s", err.field, err.text);
    }
}

void lab_open(struct lab *l)
{
    open_links(l);
    open_model(l);
    open_kernels(l);
}

void lab_die(struct lab *l)
{
    for (int i = 0; i < 2; i++) {
        kset_close(l->set[i], true);
        l->kernel[i]->ops->close(l->kernel[i], true);
    }
    close(l->tun);
    l->tun = -1;
    kernel_model_tun_gone(l->site.kernel);
}

void lab_restart(struct lab *l)
{
    tun_up(l);
    open_kernels(l);
}

void lab_close(struct lab *l)
{
    for (int i = 0; i < 2; i++) {
        kset_close(l->set[i], false);
        l->kernel[i]->ops->close(l->kernel[i], false);
    }
    kernel_model_free(l->site.kernel);
}

// ---- what is done in both

bool lab_change(struct lab *l, const struct kset_spec *take, struct kset_hold **taken[2],
                struct kset_hold **drop[2])
{
    int rc[2];
    struct esp_error err[2] = {0};
    for (int i = 0; i < 2; i++) {
        struct kset_hold *new = NULL;
        rc[i] = kset_change(l->set[i], take, &new, take != NULL, drop[i], *drop[i] != NULL, &err[i]);
        if (rc[i] == 0)
            *taken[i] = new;
    }
    if ((rc[0] == 0) != (rc[1] == 0))
        give_up("step %u: Linux %d (%s), the model %d (%s)", l->steps, rc[0], err[0].text, rc[1],
                err[1].text);
    return rc[0] == 0;
}

static void hear(void *ctx, const struct knotice *n)
{
    kset_notice(ctx, n);
}

void lab_repair(struct lab *l)
{
    unsigned failed;
    for (int i = 0; i < 2; i++) {
        l->kernel[i]->ops->notices(l->kernel[i], hear, l->set[i]);
        kset_repair(l->set[i], &failed);
    }
}

void lab_flap(struct lab *l)
{
    must("ip link set " TUN_NAME " down && ip link set " TUN_NAME " up");
    kernel_model_flap(l->site.kernel);
}

// As the daemon does when it hears of it. Nothing of what is ours is on these, so the model has nothing to
// do.
static void addresses_changed(struct lab *l)
{
    for (int i = 0; i < 2; i++)
        kset_addresses_changed(l->set[i]);
}

void lab_flap_link(struct lab *l, bool wan)
{
    must(wan ? "ip link set wan0 down && ip link set wan0 up && " WAYS
             : "ip link set lan0 down && ip link set lan0 up && " WAYS);
    addresses_changed(l);
}

void lab_flap_address(struct lab *l)
{
    must("ip addr del 192.0.2.1/24 dev wan0 && " WAN_ADDRESS " && " WAYS);
    addresses_changed(l);
}

void lab_lose(struct lab *l, enum kobj_kind kind, const char *command)
{
    must(command);
    kernel_model_lose(l->site.kernel, kind);
}

// ---- packets

const char *const lab_places[] = {"nowhere", "the LAN", "the WAN", "the TUN", "the gateway"};

void lab_inject(struct lab *l, enum iface in, const uint8_t *p, uint32_t len)
{
    uint8_t frame[ETHER + TWIN_PACKET] = {0};
    int fd = in == IF_LAN ? l->lan : in == IF_WAN ? l->wan : l->tun;
    size_t front = in == IF_TUN ? 0 : ETHER;
    if (front) {
        memcpy(frame, l->mac[in == IF_WAN], 6);
        memcpy(frame + 6, in == IF_LAN ? "\x02\0\0\0\0\x09" : "\x02\0\0\0\0\xfe", 6);
        put16(frame + 12, p[0] >> 4 == 6 ? 0x86dd : 0x0800);
    }
    memcpy(frame + front, p, len);
    if (write(fd, frame, front + len) != (ssize_t)(front + len))
        give_up("cannot inject: %s", strerror(errno));
}

enum iface lab_comes_out(struct lab *l, bool (*is)(const uint8_t *p, size_t len, uint16_t id), uint16_t id,
                         int ms)
{
    struct pollfd p[3 + RAWS] = {{.fd = l->lan}, {.fd = l->wan}, {.fd = l->tun}};
    uint8_t frame[2048];
    for (int i = 0; i < 3 + RAWS; i++) {
        p[i].fd = i < 3 ? p[i].fd : l->raw[i - 3];
        p[i].events = POLLIN;
    }
    while (poll(p, 3 + RAWS, ms) > 0) {
        for (int i = 0; i < 3 + RAWS; i++) {
            size_t front = i < 2 ? ETHER : 0;
            ssize_t n = p[i].revents & POLLIN ? read(p[i].fd, frame, sizeof(frame)) : 0;
            if (n > (ssize_t)front && is(frame + front, (size_t)n - front, id))
                return i < 3 ? (enum iface)(IF_LAN + i) : IF_LOCAL;
        }
    }
    return IF_NONE;
}
