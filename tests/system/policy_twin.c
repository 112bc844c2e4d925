// SPDX-License-Identifier: Apache-2.0
// policy_twin [SEED [STEPS]]: the sequences of the property test (policy_naive.h) on Linux and on the world's
// model of it at once, IPv4 and IPv6: loads, edits, loads that are refused, other names, initiations,
// successors, deletions, restarts, links and addresses that flap, other hands in the kernel. After each step
// packets from the LAN, the WAN and the TUN have to fare alike in both, and as the naive reading of the files
// says. Exit status: 0 alike, 1 a difference, 3 no rights.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/system/kernel_twin_lab.h"
#include "tests/system/policy_naive.h"
#include "tests/system/policy_packets.h"

enum { KEPT = 400, PROBES = 12, ERRORS = 3, DEFAULT_STEPS = 150, NEAR_PORT = 7000 };
enum { MS_NOWHERE = 4, MS_SOMEWHERE = 30000 };

struct in_force { // a policy: in force as long as the file or an SA needs it
    int conn, child;
    struct child is;
    bool loaded, sa;
    struct kset_hold *hold[2];
};
struct twin {
    struct lab lab;
    struct rng rng;
    struct naive naive;
    struct in_force kept[KEPT];
    unsigned count;
    char last[100]; // what was done
};

// ---- from the files' addresses to the world's

// fd0N::A:B is 2001:db8::10.N.A.B there.
static uint32_t number_in_world(const char *text)
{
    uint8_t a[16];
    if (inet_pton(AF_INET, text, a) == 1)
        return get32(a);
    if (inet_pton(AF_INET6, text, a) != 1)
        abort();
    return 10u << 24 | (uint32_t)(a[1] & 15) << 16 | (uint32_t)a[13] << 8 | a[15];
}

static const char *in_world(const char *text, char *to, size_t size)
{
    uint8_t a[16];
    if (!strchr(text, ':'))
        return text;
    put_address(a, 6, number_in_world(text));
    inet_ntop(AF_INET6, a, to, (socklen_t)size);
    return to;
}

static uint8_t number_of_proto(const char *name)
{
    return !strcmp(name, "udp")         ? IPPROTO_UDP
           : !strcmp(name, "tcp")       ? IPPROTO_TCP
           : !strcmp(name, "icmp")      ? IPPROTO_ICMP
           : !strcmp(name, "ipv6-icmp") ? IPPROTO_ICMPV6
                                        : 0;
}

static void selector(struct ts_list *l, const char *prefix, uint8_t proto, unsigned lo, unsigned hi)
{
    char net[64];
    bool v6 = strchr(prefix, ':');
    int bits = atoi(strchr(prefix, '/') + 1);
    struct ts *t = &l->t[0];
    snprintf(net, sizeof(net), "%.*s", (int)strcspn(prefix, "/"), prefix);
    uint32_t n = number_in_world(net), free_bits = (uint32_t)(v6 ? (bits == 64    ? 16
                                                                    : bits == 112 ? 8
                                                                                  : 0)
                                                                 : 32 - bits);
    l->count = 1;
    *t = (struct ts){.family = v6 ? 6 : 4, .proto = proto, .port_lo = (uint16_t)lo, .port_hi = (uint16_t)hi};
    put_address(t->lo, t->family, n);
    put_address(t->hi, t->family, n | ((1u << free_bits) - 1));
}

// ---- policies

static void drop_unneeded(struct twin *w, struct in_force *k)
{
    struct kset_hold *none[2], **taken[2] = {&none[0], &none[1]}, **drop[2] = {&k->hold[0], &k->hold[1]};
    if (k->loaded || k->sa || !k->hold[0])
        return;
    lab_change(&w->lab, NULL, taken, drop);
    k->hold[0] = k->hold[1] = NULL;
}

static void tidy(struct twin *w)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w->count; i++)
        if (w->kept[i].loaded || w->kept[i].sa)
            w->kept[n++] = w->kept[i];
    w->count = n;
}

static void take(struct twin *w, int conn, int child, const struct child *c)
{
    static const uint8_t actions[] = {POLICY_PROTECT, POLICY_BYPASS, POLICY_DISCARD};
    struct ts_list local, remote;
    struct child_kind kind = child_kind(c);
    uint8_t proto = number_of_proto(kind.proto);
    if (w->count == KEPT)
        abort();
    struct in_force *k = &w->kept[w->count++];
    *k = (struct in_force){.conn = conn, .child = child, .is = *c, .loaded = true};
    selector(&local, local_text(c), proto, 0, 65535);
    selector(&remote, remote_text(c), proto, kind.lo, kind.hi);
    const struct kset_spec spec = {.action = actions[c->mode],
                                   .rank = c->mode == TUNNEL ? 100 : 1, // as the daemon's order has it
                                   .local = local.t,
                                   .remote = remote.t,
                                   .local_count = 1,
                                   .remote_count = 1};
    struct kset_hold *none[2] = {0}, **taken[2] = {&k->hold[0], &k->hold[1]},
                     **drop[2] = {&none[0], &none[1]};
    lab_change(&w->lab, &spec, taken, drop);
}

static void load(struct twin *w, const struct file *next)
{
    for (int i = 0; i < CONNS * CONN_CHILDREN; i++) {
        const struct child *is = &w->naive.loaded.child[i / CONN_CHILDREN][i % CONN_CHILDREN],
                           *c = &next->child[i / CONN_CHILDREN][i % CONN_CHILDREN];
        unsigned before = w->count;
        if (same_child(is, c))
            continue;
        if (c->there)
            take(w, i / CONN_CHILDREN, i % CONN_CHILDREN, c);
        for (unsigned j = 0; j < before; j++) {
            struct in_force *k = &w->kept[j];
            if (k->conn != i / CONN_CHILDREN || k->child != i % CONN_CHILDREN)
                continue;
            k->loaded = false;
            drop_unneeded(w, k);
        }
    }
    tidy(w);
    naive_loaded(&w->naive, next);
}

static void say(void *ctx, const char *text)
{
    struct twin *w = ctx;
    snprintf(w->last, sizeof(w->last), "%s", text);
}

// ---- steps

static void step_load(struct twin *w)
{
    struct file next = w->naive.loaded;
    naive_edit(&w->rng, &next, false, say, w);
    for (int i = 0; i < CONNS * CONN_CHILDREN; i++)
        next.child[i / CONN_CHILDREN][i % CONN_CHILDREN].trap = false; // no packet makes an SA here
    load(w, &next);
}

// Ends the SAs of a connection (child -1) or of a child, but for that of `but`.
static void end_sas(struct twin *w, int conn, int child, const struct in_force *but)
{
    for (unsigned i = 0; i < w->count; i++) {
        struct in_force *k = &w->kept[i];
        if (k == but || k->conn != conn || (child >= 0 && k->child != child))
            continue;
        k->sa = false;
        drop_unneeded(w, k);
    }
    tidy(w);
}

static void step_initiate(struct twin *w)
{
    int conn = (int)rng_below(&w->rng, CONNS), child = (int)rng_below(&w->rng, CONN_CHILDREN);
    struct in_force *k = NULL;
    for (unsigned i = 0; i < w->count; i++)
        if (w->kept[i].conn == conn && w->kept[i].child == child && w->kept[i].loaded)
            k = &w->kept[i];
    if (!k || k->is.mode != TUNNEL)
        return;
    snprintf(w->last, sizeof(w->last), "initiate k%d%d", conn, child);
    k->sa = true;
    end_sas(w, conn, child, k);
    naive_up(&w->naive, conn, child);
}

static void step_end(struct twin *w)
{
    int conn = (int)rng_below(&w->rng, CONNS), child = (int)rng_below(&w->rng, CONN_CHILDREN + 1) - 1;
    snprintf(w->last, sizeof(w->last), "delete c%d child %d", conn, child);
    end_sas(w, conn, child, NULL);
    naive_down(&w->naive, conn, child);
}

// A connection whose children get other names, or whose SAs get successors: each equal policy is taken once
// more, then the one before it is given up. Nothing of the kernel's changes.
static void step_again(struct twin *w)
{
    int conn = (int)rng_below(&w->rng, CONNS);
    unsigned before = w->count;
    snprintf(w->last, sizeof(w->last), "c%d is named anew, or renewed", conn);
    for (unsigned i = 0; i < before; i++) {
        struct in_force was = w->kept[i];
        if (was.conn != conn || !was.loaded)
            continue;
        take(w, was.conn, was.child, &was.is);
        w->kept[w->count - 1].sa = was.sa;
        w->kept[i].loaded = w->kept[i].sa = false;
        drop_unneeded(w, &w->kept[i]);
    }
    tidy(w);
}

// A range that splits into too many prefixes, beside good ones.
static void step_bad_load(struct twin *w)
{
    struct ts_list local = {0}, remote = {0};
    struct kset_hold *none[4] = {0}, **taken[2] = {&none[0], &none[1]}, **drop[2] = {&none[2], &none[3]};
    selector(&local, "fd01::/64", 0, 0, 65535);
    selector(&remote, "fd02::/64", 0, 0, 65535);
    memset(remote.t[0].lo + 1, 0, 15);
    memset(remote.t[0].hi + 1, 0xff, 15);
    remote.t[0].lo[15] = 1;
    remote.t[0].hi[15] = 0xfe;
    const struct kset_spec spec = {.action = POLICY_PROTECT,
                                   .rank = 100,
                                   .local = local.t,
                                   .remote = remote.t,
                                   .local_count = 1,
                                   .remote_count = 1};
    snprintf(w->last, sizeof(w->last), "a load that is refused");
    if (lab_change(&w->lab, &spec, taken, drop) || none[0] || none[1])
        give_up("step %u: what cannot be put in force is taken", w->lab.steps);
}

static void step_flap(struct twin *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, 3);
    snprintf(w->last, sizeof(w->last), "%s", i == 0 ? "the address" : i == 1 ? "the LAN" : "the WAN");
    if (i == 0)
        lab_flap_address(&w->lab);
    else
        lab_flap_link(&w->lab, i == 2);
}

static void step_meddle(struct twin *w)
{
    static const struct {
        enum kobj_kind kind;
        const char *command;
    } what[] = {{KOBJ_RULE,
                 "for f in -4 -6; do ip $f rule | sed -n 's/^\\(2[0-9]*\\):.*proto 89.*/\\1/p' | while "
                 "read p; do ip $f rule del pref $p; done; done"},
                {KOBJ_ROUTE, "ip route flush table all proto 89; ip -6 route flush table all proto 89; true"},
                {KOBJ_XFRM, "ip xfrm policy flush"}};
    unsigned i = (unsigned)rng_below(&w->rng, 4);
    snprintf(w->last, sizeof(w->last), "somebody: kind %u", i);
    if (i == 3)
        lab_flap(&w->lab);
    else
        lab_lose(&w->lab, what[i].kind, what[i].command);
}

static void probes(struct twin *w, bool tun);

static void step_restart(struct twin *w)
{
    struct file file = w->naive.loaded;
    snprintf(w->last, sizeof(w->last), "kill and start again");
    lab_die(&w->lab);
    probes(w, false);
    lab_restart(&w->lab);
    w->count = 0;
    memset(&w->naive.loaded, 0, sizeof(w->naive.loaded));
    load(w, &file);
    kset_sweep(w->lab.set[LINUX]);
    kset_sweep(w->lab.set[MODEL]);
    naive_down(&w->naive, -1, -1);
}

// ---- packets

static uint8_t sender[16]; // of the packet that is looked for: answers quote it, or carry the same

static bool is_marked(const uint8_t *p, size_t len, uint16_t id)
{
    bool from_it = p[0] >> 4 == 4   ? !memcmp(p + 12, sender, 4)
                   : p[0] >> 4 == 6 ? !memcmp(p + 8, sender, 16)
                                    : true; // raw sockets of IPv6 do not show it
    return from_it && packet_id(p, len) == id;
}

static const char *judge(const struct twin *w, const struct probe_kind *p, enum iface in, enum iface out,
                         bool tun)
{
    enum expected e = naive_expect(&w->naive, p);
    bool ways = tun && naive_tunnelled(&w->naive, p);
    if (in == IF_TUN)
        return ways && out == IF_NONE ? "what an SA brought does not get in" : NULL;
    if (e == NEVER_CLEAR && out != IF_NONE && out != IF_TUN)
        return "it gets by in clear";
    if (e == MUST_PASS && out == IF_NONE)
        return "it is held up although no child names it";
    return in == IF_LAN && ways && out != IF_TUN ? "it does not come to the TUN" : NULL;
}

static void probe(struct twin *w, bool tun)
{
    static const enum piece pieces[] = {PIECE_ALL, PIECE_SECOND, PIECE_FIRST};
    struct lab *l = &w->lab;
    struct probe_kind p = naive_probe(&w->rng, false);
    enum iface in = (enum iface)rng_between(&w->rng, IF_LAN, tun ? IF_TUN : IF_WAN), model = IF_NONE, real;
    char near[64], far[64];
    uint8_t b[MARKED_MAX];
    if (in == IF_LAN && (!strcmp(p.near, "10.1.0.1") || !strcmp(p.near, "fd01::1")))
        p.near = strchr(p.near, ':') ? "fd01::7:7" : "10.1.7.7"; // those are the gateway's own
    if (!strcmp(p.near, "fd01::9"))
        p.near = "fd01::7:7"; // no such host
    if (in == IF_LAN)
        p.behind = true;
    struct packet_kind k = {in_world(p.near, near, sizeof(near)),
                            in_world(p.far, far, sizeof(far)),
                            p.proto,
                            NEAR_PORT,
                            p.port,
                            ++l->id};
    if (in != IF_LAN)
        k = (struct packet_kind){k.dst, k.src, p.proto, p.port, NEAR_PORT, l->id};
    uint32_t len = (uint32_t)packet_build(b, &k, pieces[p.cut]);
    if (kernel_model_forward(l->site.kernel, in, b, len, &model) != PASS_TO)
        model = IF_NONE;
    if (model == IF_LOCAL && p.cut != WHOLE) // the gateway waits for the rest
        return;
    memcpy(sender, b + (b[0] >> 4 == 4 ? 12 : 8), b[0] >> 4 == 4 ? 4 : 16);
    lab_inject(l, in, b, len);
    real = lab_comes_out(l, is_marked, l->id, model == IF_NONE ? MS_NOWHERE : MS_SOMEWHERE);
    const char *wrong = real != model ? "Linux and the model differ" : judge(w, &p, in, real, tun);
    if (wrong)
        give_up("step %u (%s): %s > %s protocol %d port %u cut %d from %s: Linux gives it to %s, the model "
                "to %s: %s",
                l->steps, w->last, k.src, k.dst, p.proto, p.port, p.cut, lab_places[in], lab_places[real],
                lab_places[model], wrong);
    l->probes++;
    l->passed += real != IF_NONE;
}

static bool is_quoted(const uint8_t *p, size_t len, uint16_t id)
{
    bool error = p[0] >> 4 == 4 ? p[9] == IPPROTO_ICMP : p[0] >> 4 == 6 && p[6] == IPPROTO_ICMPV6;
    return error && packet_id(p, len) == id;
}

// What has one hop left, for the host on the LAN or from it: the kernel says so, and quotes it. Where that
// came out of the TUN it goes there or nowhere.
static void probe_error(struct twin *w, bool tun)
{
    struct lab *l = &w->lab;
    struct probe_kind p = naive_error_probe(&w->rng);
    enum iface in = tun && rng_chance(&w->rng, 700) ? IF_TUN : IF_LAN, model = IF_NONE, real;
    char near[64], far[64];
    uint8_t b[MARKED_MAX];
    struct packet_kind k = {in_world(p.far, far, sizeof(far)),
                            in_world(p.near, near, sizeof(near)),
                            p.proto,
                            p.port,
                            NEAR_PORT,
                            ++l->id};
    if (in == IF_LAN)
        k = (struct packet_kind){k.dst, k.src, p.proto, NEAR_PORT, p.port, l->id};
    uint32_t len = (uint32_t)packet_build(b, &k, PIECE_ALL);
    enum iface way = IF_NONE; // what is not let on is not spoken about
    bool passes = kernel_model_forward(l->site.kernel, in, b, len, &way) == PASS_TO;
    packet_last_hop(b);
    if (passes && kernel_model_error(l->site.kernel, in, b, len, &model) != PASS_TO)
        model = IF_NONE;
    if (!passes && in == IF_LAN) // Linux may say that, and why, in any order
        return;
    lab_inject(l, in, b, len);
    real = lab_comes_out(l, is_quoted, l->id, model == IF_NONE ? MS_NOWHERE : MS_SOMEWHERE);
    bool clear = naive_tunnelled(&w->naive, &p) && in == IF_TUN && real != IF_NONE && real != IF_TUN;
    const char *wrong = real != model ? "Linux and the model differ" : clear ? "it quotes in clear" : NULL;
    if (wrong)
        give_up(
            "step %u (%s): an error about %s > %s port %u from %s: Linux gives it to %s, the model to %s: "
            "%s",
            l->steps, w->last, k.src, k.dst, p.port, lab_places[in], lab_places[real], lab_places[model],
            wrong);
    l->probes++;
    l->passed += real != IF_NONE;
}

static void probes(struct twin *w, bool tun)
{
    for (int i = 0; i < PROBES; i++)
        probe(w, tun);
    for (int i = 0; i < ERRORS; i++)
        probe_error(w, tun);
}

static void step(struct twin *w)
{
    static void (*const steps[])(struct twin * w) = {
        step_restart,  step_meddle,   step_meddle,   step_end,   step_end,   step_initiate, step_initiate,
        step_initiate, step_initiate, step_bad_load, step_again, step_again, step_flap};
    uint64_t i = rng_below(&w->rng, 24);
    (i < sizeof(steps) / sizeof(steps[0]) ? steps[i] : step_load)(w);
    lab_repair(&w->lab);
    probes(w, true);
    w->lab.steps++;
}

int main(int argc, char **argv)
{
    static struct twin w;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1,
             steps = argc > 2 ? strtoull(argv[2], NULL, 0) : DEFAULT_STEPS;
    if (unshare(CLONE_NEWNET)) {
        fprintf(stderr, "policy_twin: a network namespace of its own needs root: %s\n", strerror(errno));
        return 3;
    }
    printf("seed %llu\n", (unsigned long long)seed);
    rng_seed(&w.rng, seed);
    lab_open(&w.lab);
    while (w.lab.steps < steps)
        step(&w);
    lab_close(&w.lab);
    printf("%u passed: steps, %u packets, of which %u came through; Linux, its model and the naive reading "
           "alike\n",
           w.lab.steps, w.lab.probes, w.lab.passed);
    return !w.lab.steps; // what took no step has not passed
}
