// SPDX-License-Identifier: Apache-2.0
// kernel_twin [SEED [STEPS]]: the world's model of Linux (tests/world/kernel_model.c) against Linux itself,
// in a network namespace of the test's own. Random policies come, change and go through the same code into
// both (ctrl/path/kset.h, and netlink for the real one); somebody sets the TUN down and up. After each step
// random packets from the LAN, the WAN and the TUN must fare alike: leave by the same interface, be
// delivered, or be dropped. Exit status: 0 alike, 1 a difference, 3 no rights.
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

#include "ctrl/path/kset.h"
#include "ctrl/path/netlink.h"
#include "tests/world/world.h"

enum { HOLDS = 10, PROBES = 16, ETHER = 14, LINUX = 0, MODEL = 1, RAWS = 4, DEFAULT_STEPS = 150 };
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

struct lab {
    int lan, wan, tun, raw[RAWS];
    uint8_t mac[2][6]; // of lan, wan
    struct kernel *kernel[2];
    struct kset *set[2];
    struct kset_hold *hold[2][HOLDS];
    struct world world;
    struct site site;
    uint16_t id; // of the next packet
    unsigned steps, probes, passed;
};

__attribute__((format(printf, 1, 2), noreturn)) static void give_up(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

static void must(const char *command)
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

static void open_links(struct lab *l)
{
    static const int proto[RAWS] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP, IPPROTO_GRE};
    l->lan = link_new("lan0", IFF_TAP);
    l->wan = link_new("wan0", IFF_TAP);
    l->tun = link_new(TUN_NAME, IFF_TUN);
    must("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lan0.rp_filter=0 "
         "net.ipv4.conf.wan0.rp_filter=0 net.ipv4.conf." TUN_NAME ".rp_filter=0 "
         "net.ipv4.conf.all.send_redirects=0 && ip link set lo up && ip link set lan0 up && ip link set wan0 "
         "up && ip addr add 10.1.0.1/16 dev lan0 && ip addr add 192.0.2.1/24 dev wan0 && "
         "ip route add default via 192.0.2.254");
    must("for a in 10.1.0.9 10.1.1.9 10.1.2.9 10.1.3.9; do "
         "ip neigh add $a lladdr 02:00:00:00:00:09 dev lan0 nud permanent || exit 1; done; "
         "for a in 192.0.2.9 192.0.2.254; do ip neigh add $a lladdr 02:00:00:00:00:fe dev wan0 nud permanent "
         "|| "
         "exit 1; done");
    mac_of("lan0", l->mac[0]);
    mac_of("wan0", l->mac[1]);
    for (int i = 0; i < RAWS; i++) {
        l->raw[i] = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, proto[i]);
        if (l->raw[i] < 0)
            give_up("raw socket: %s", strerror(errno));
    }
}

static void open_kernels(struct lab *l)
{
    const struct netlink_options o = {
        .owner = "twin", .routing_table = 220, .own_mark = options.own_mark, .routes = true};
    static const struct plain plain;
    struct esp_error err = {0};
    l->world.o.plain = &plain;
    rng_seed(&l->world.rng, 1);
    l->site = (struct site){
        .w = &l->world, .letter = 'a', .wan = 192u << 24 | 2 << 8 | 1, .lan = 10u << 24 | 1 << 16};
    l->site.roam.here[0] = IN4 | IN6;
    l->site.kernel = kernel_model_new(&l->site);
    the_site = &l->site;
    if (netlink_kernel_open(&l->kernel[LINUX], &o, &err) || model_kernel_open(&l->kernel[MODEL], &o, &err))
        give_up("%s: %s", err.field, err.text);
    for (int i = 0; i < 2; i++) {
        struct kset_options with_tun = options;
        int index = l->kernel[i]->ops->tun_up(l->kernel[i], TUN_NAME, 1400, &err);
        with_tun.tun_index = (uint32_t)index;
        if (index < 0 || kset_open(&l->set[i], l->kernel[i], &with_tun, &err))
            give_up("%s: %s", err.field, err.text);
    }
}

// ---- policies

static void prefix(struct ts_list *l, uint32_t addr, unsigned bits, uint8_t proto, uint16_t lo, uint16_t hi)
{
    struct ts *t = &l->t[l->count++];
    *t = (struct ts){.family = 4, .proto = proto, .port_lo = lo, .port_hi = hi};
    put32(t->lo, bits ? addr & ~(uint32_t)0 << (32 - bits) : 0);
    put32(t->hi, bits < 32 ? addr | (uint32_t)-1 >> bits : addr);
}

static uint32_t ip(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return a << 24 | b << 16 | c << 8 | d;
}

struct policy {
    struct ts_list local, remote;
    struct kset_spec spec;
};

static void random_policy(struct rng *r, struct policy *p)
{
    static const uint8_t protos[] = {0, 0, IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP, IPPROTO_GRE};
    static const unsigned local_bits[] = {16, 24, 24, 23, 32}, remote_bits[] = {0, 8, 16, 24, 24, 32};
    uint8_t proto = protos[rng_below(r, 6)];
    uint16_t lo = 0, hi = 65535;
    memset(p, 0, sizeof(*p));
    if ((proto == IPPROTO_UDP || proto == IPPROTO_TCP) && rng_chance(r, 600)) {
        lo = (uint16_t)(5000 + rng_below(r, 40));
        hi = rng_chance(r, 500) ? lo : (uint16_t)(lo + rng_below(r, 30));
    }
    uint16_t local_lo = rng_chance(r, 300) ? lo : 0, local_hi = local_lo ? hi : 65535;
    for (uint64_t n = rng_between(r, 1, 2); n; n--)
        prefix(&p->local, rng_chance(r, 950) ? ip(10, 1, (unsigned)rng_below(r, 4), 9) : ip(192, 0, 2, 1),
               local_bits[rng_below(r, 5)], proto, local_lo, local_hi);
    for (uint64_t n = rng_between(r, 1, 2); n; n--)
        prefix(&p->remote,
               ip(rng_chance(r, 800) ? 10 : 172, 2 + (unsigned)rng_below(r, 2), (unsigned)rng_below(r, 3), 9),
               remote_bits[rng_below(r, 6)], proto, lo, hi);
    p->spec = (struct kset_spec){.action = (uint8_t)rng_between(r, POLICY_PROTECT, POLICY_DISCARD),
                                 .rank = (uint32_t)rng_below(r, 50),
                                 .local = p->local.t,
                                 .remote = p->remote.t,
                                 .local_count = p->local.count,
                                 .remote_count = p->remote.count};
}

// Both are told; what one refuses the other refuses.
static void change(struct lab *l, unsigned at, const struct policy *p)
{
    int rc[2];
    struct esp_error err[2] = {0};
    for (int i = 0; i < 2; i++) {
        struct kset_hold *taken = NULL, **slot = &l->hold[i][at];
        rc[i] = kset_change(l->set[i], p ? &p->spec : NULL, &taken, p != NULL, slot, *slot != NULL, &err[i]);
        if (rc[i] == 0)
            *slot = taken;
    }
    if ((rc[0] == 0) != (rc[1] == 0))
        give_up("step %u: Linux %d (%s), the model %d (%s)", l->steps, rc[0], err[0].text, rc[1],
                err[1].text);
}

static void hear(void *ctx, const struct knotice *n)
{
    kset_notice(ctx, n);
}

static void repair(struct lab *l)
{
    unsigned failed;
    for (int i = 0; i < 2; i++) {
        l->kernel[i]->ops->notices(l->kernel[i], hear, l->set[i]);
        kset_repair(l->set[i], &failed);
    }
}

static void flap(struct lab *l)
{
    must("ip link set " TUN_NAME " down && ip link set " TUN_NAME " up");
    kernel_model_flap(l->site.kernel);
}

// ---- probes

struct probe {
    enum iface in;
    uint32_t len;
    uint8_t bytes[200];
};

static const char *const places[] = {"nowhere", "the LAN", "the WAN", "the TUN", "the gateway"};

static uint32_t host_of(struct rng *r, bool lan)
{
    if (lan)
        return ip(10, 1, (unsigned)rng_below(r, 4), 9);
    return rng_chance(r, 100) ? ip(192, 0, 2, 9)
                              : ip(rng_chance(r, 800) ? 10 : 172, 2 + (unsigned)rng_below(r, 2),
                                   (unsigned)rng_below(r, 4), 9);
}

static void random_probe(struct lab *l, struct rng *r, struct probe *p)
{
    static const uint8_t protos[] = {IPPROTO_UDP, IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP, IPPROTO_GRE};
    uint8_t proto = protos[rng_below(r, 5)];
    bool outward;
    p->in = (enum iface)rng_between(r, IF_LAN, IF_TUN);
    outward = p->in == IF_LAN;
    uint32_t src = host_of(r, outward), dst = host_of(r, rng_chance(r, 900) ? !outward : outward);
    if (!outward && rng_chance(r, 150))
        dst = rng_chance(r, 800) ? l->site.wan : ip(10, 1, 0, 1);
    p->len = put_header(p->bytes, 4, src, dst, proto, 60) + 60;
    p->bytes[8] = 60;
    memset(p->bytes + 20, 0, 60);
    put16(p->bytes + 4, ++l->id);
    put16(p->bytes + 20, (uint16_t)(rng_chance(r, 500) ? 5000 + rng_below(r, 70) : rng_below(r, 65536)));
    put16(p->bytes + 22, (uint16_t)(rng_chance(r, 700) ? 5000 + rng_below(r, 70) : rng_below(r, 65536)));
    if (proto == IPPROTO_ICMP)
        put16(p->bytes + 20, 8 << 8); // an echo request
    put32(p->bytes + 60, 0x7e57beef);
    if (rng_chance(r, 100) && dst != l->site.wan && dst != ip(10, 1, 0, 1)) { // a later fragment
        put16(p->bytes + 6, 100);
    }
    put16(p->bytes + 10, 0);
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += get16(p->bytes + i);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(p->bytes + 10, (uint16_t) ~(sum + (sum >> 16)));
}

static void inject(struct lab *l, const struct probe *p)
{
    uint8_t frame[ETHER + sizeof(p->bytes)] = {0};
    int fd = p->in == IF_LAN ? l->lan : p->in == IF_WAN ? l->wan : l->tun;
    size_t front = p->in == IF_TUN ? 0 : ETHER;
    if (front) {
        memcpy(frame, l->mac[p->in == IF_WAN], 6);
        memcpy(frame + 6, p->in == IF_LAN ? "\x02\0\0\0\0\x09" : "\x02\0\0\0\0\xfe", 6);
        put16(frame + 12, 0x0800);
    }
    memcpy(frame + front, p->bytes, p->len);
    if (write(fd, frame, front + p->len) != (ssize_t)(front + p->len))
        give_up("cannot inject: %s", strerror(errno));
}

static bool is_probe(const uint8_t *p, size_t len, uint16_t id)
{
    return len >= 64 && p[0] >> 4 == 4 && get16(p + 4) == id && get32(p + 60) == 0x7e57beef;
}

// Where the packet comes out within so many ms; IF_NONE: nowhere.
static enum iface comes_out(struct lab *l, uint16_t id, int ms)
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
            if (n > (ssize_t)front && is_probe(frame + front, (size_t)n - front, id))
                return i < 3 ? (enum iface)(IF_LAN + i) : IF_LOCAL;
        }
    }
    return IF_NONE;
}

static void probe(struct lab *l, struct rng *r)
{
    struct probe p;
    enum iface model = IF_NONE, real;
    random_probe(l, r, &p);
    if (kernel_model_forward(l->site.kernel, p.in, p.bytes, p.len, &model) != PASS_TO)
        model = IF_NONE;
    inject(l, &p);
    real = comes_out(l, l->id, model == IF_NONE ? 4 : 30000);
    if (real != model)
        give_up("step %u: proto %u from %s, %08x port %u to %08x port %u%s: Linux gives it to %s, the model "
                "to %s",
                l->steps, p.bytes[9], places[p.in], get32(p.bytes + 12), get16(p.bytes + 20),
                get32(p.bytes + 16), get16(p.bytes + 22), get16(p.bytes + 6) ? " (fragment)" : "",
                places[real], places[model]);
    l->probes++;
    l->passed += real != IF_NONE;
}

static void step(struct lab *l, struct rng *r)
{
    struct policy p;
    unsigned at = (unsigned)rng_below(r, HOLDS);
    if (rng_chance(r, 80)) {
        flap(l);
        for (int i = 0; i < PROBES; i++)
            probe(l, r);
    } else if (l->hold[LINUX][at] && rng_chance(r, 500)) {
        change(l, at, NULL);
    } else {
        random_policy(r, &p);
        change(l, at, &p);
    }
    repair(l);
    for (int i = 0; i < PROBES; i++)
        probe(l, r);
    l->steps++;
}

static void close_all(struct lab *l)
{
    for (int i = 0; i < 2; i++) {
        kset_close(l->set[i], false);
        l->kernel[i]->ops->close(l->kernel[i], false);
    }
    kernel_model_free(l->site.kernel);
}

int main(int argc, char **argv)
{
    static struct lab l;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1,
             steps = argc > 2 ? strtoull(argv[2], NULL, 0) : DEFAULT_STEPS;
    struct rng r;
    if (unshare(CLONE_NEWNET)) {
        fprintf(stderr, "kernel_twin: a network namespace of its own needs root: %s\n", strerror(errno));
        return 3;
    }
    printf("seed %llu\n", (unsigned long long)seed);
    rng_seed(&r, seed);
    open_links(&l);
    open_kernels(&l);
    while (l.steps < steps)
        step(&l, &r);
    close_all(&l);
    printf("%u passed: steps, %u packets, of which %u came through; Linux and its model alike\n", l.steps,
           l.probes, l.passed);
    return 0;
}
