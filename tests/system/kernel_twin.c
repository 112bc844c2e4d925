// SPDX-License-Identifier: Apache-2.0
// kernel_twin [SEED [STEPS]]: the world's model of Linux (tests/world/kernel_model.c) against Linux itself,
// in a network namespace of the test's own. Random policies come, change and go through the same code into
// both (ctrl/path/kset.h, and netlink for the real one); somebody sets the TUN down and up. After each step
// random packets from the LAN, the WAN and the TUN must fare alike: leave by the same interface, be
// delivered, or be dropped. Exit status: 0 alike, 1 a difference, 3 no rights.
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/system/kernel_twin_lab.h"

enum { PROBES = 16, DEFAULT_STEPS = 150 };

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

static void change(struct lab *l, unsigned at, const struct policy *p)
{
    struct kset_hold **slot[2] = {&l->hold[LINUX][at], &l->hold[MODEL][at]};
    lab_change(l, p ? &p->spec : NULL, slot, slot);
}

// ---- probes

struct probe {
    enum iface in;
    uint32_t len;
    uint8_t bytes[TWIN_PACKET];
};

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

static bool is_probe(const uint8_t *p, size_t len, uint16_t id)
{
    return len >= 64 && p[0] >> 4 == 4 && get16(p + 4) == id && get32(p + 60) == 0x7e57beef;
}

static void probe(struct lab *l, struct rng *r)
{
    struct probe p;
    enum iface model = IF_NONE, real;
    random_probe(l, r, &p);
    if (kernel_model_forward(l->site.kernel, p.in, p.bytes, p.len, &model) != PASS_TO)
        model = IF_NONE;
    lab_inject(l, p.in, p.bytes, p.len);
    real = lab_comes_out(l, is_probe, l->id, model == IF_NONE ? 4 : 30000);
    if (real != model)
        give_up("step %u: proto %u from %s, %08x port %u to %08x port %u%s: Linux gives it to %s, the model "
                "to %s",
                l->steps, p.bytes[9], lab_places[p.in], get32(p.bytes + 12), get16(p.bytes + 20),
                get32(p.bytes + 16), get16(p.bytes + 22), get16(p.bytes + 6) ? " (fragment)" : "",
                lab_places[real], lab_places[model]);
    l->probes++;
    l->passed += real != IF_NONE;
}

static void step(struct lab *l, struct rng *r)
{
    struct policy p;
    unsigned at = (unsigned)rng_below(r, HOLDS);
    if (rng_chance(r, 80)) {
        lab_flap(l);
        for (int i = 0; i < PROBES; i++)
            probe(l, r);
    } else if (l->hold[LINUX][at] && rng_chance(r, 500)) {
        change(l, at, NULL);
    } else {
        random_policy(r, &p);
        change(l, at, &p);
    }
    lab_repair(l);
    for (int i = 0; i < PROBES; i++)
        probe(l, r);
    l->steps++;
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
    lab_open(&l);
    while (l.steps < steps)
        step(&l, &r);
    lab_close(&l);
    printf("%u passed: steps, %u packets, of which %u came through; Linux and its model alike\n", l.steps,
           l.probes, l.passed);
    return !l.steps; // what took no step has not passed
}
