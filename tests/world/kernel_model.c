// SPDX-License-Identifier: Apache-2.0
// The part of Linux that path relies on, as a set of objects with their keys (ctrl/path/kernel.h): routing
// rules and tables, XFRM policies, the exemption of the TUN; and what becomes of a packet under them. The
// machine's own tables (local, main) are fixed: the LAN's /16 and a default route by the WAN.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ctrl/path/kernel.h"
#include "ctrl/path/netlink.h"
#include "tests/world/world.h"

enum { NOTICES = 64 };
struct kernel_model {
    struct site *site;
    struct kobj *o;
    size_t count, cap;
    bool tun_up;
    struct knotice notice[NOTICES];
    unsigned notices;
    int news; // path's descriptor, -1: it has none
};

struct kernel_model *kernel_model_new(struct site *s)
{
    struct kernel_model *k = calloc(1, sizeof(*k));
    if (!k)
        abort();
    k->site = s;
    k->news = -1;
    return k;
}

void kernel_model_free(struct kernel_model *k)
{
    if (k)
        free(k->o);
    free(k);
}

// ---- the set

static bool same_key(const struct kobj *x, const struct kobj *y)
{
    struct kobj a = *x, b = *y;
    struct kobj *both[] = {&a, &b};
    for (int i = 0; i < 2; i++) {
        if (both[i]->kind != KOBJ_RULE)
            both[i]->action = 0;
        if (both[i]->kind == KOBJ_XFRM)
            both[i]->priority = both[i]->lifetime = 0;
        if (both[i]->kind == KOBJ_HOOK)
            both[i]->ifindex = 0;
        if (both[i]->kind == KOBJ_ROUTE) {
            both[i]->from_set = 0;
            memset(both[i]->from, 0, sizeof(both[i]->from));
        }
    }
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): objects are zeroed whole before they are filled
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static size_t find(const struct kernel_model *k, const struct kobj *o)
{
    size_t i = 0;
    while (i < k->count && !same_key(&k->o[i], o))
        i++;
    return i;
}

static int add(struct kernel_model *k, const struct kobj *o)
{
    size_t i = find(k, o);
    if (i == k->count) {
        if (k->count == k->cap) {
            k->cap = k->cap ? 2 * k->cap : 32;
            k->o = realloc(k->o, k->cap * sizeof(*k->o));
            if (!k->o)
                abort();
        }
        k->count++;
    }
    k->o[i] = *o;
    return 0;
}

static int take(struct kernel_model *k, const struct kobj *o)
{
    size_t i = find(k, o);
    if (i == k->count)
        return 0;
    memmove(&k->o[i], &k->o[i + 1], (--k->count - i) * sizeof(*k->o));
    return 0;
}

void kernel_model_tun_gone(struct kernel_model *k)
{
    size_t n = 0;
    for (size_t i = 0; i < k->count; i++)
        if (k->o[i].kind != KOBJ_ROUTE || k->o[i].action != KROUTE_TUN)
            k->o[n++] = k->o[i];
    k->count = n;
    k->tun_up = false;
}

// ---- a packet's way

struct flow {
    uint32_t src, dst;
    uint8_t proto;
    uint16_t sport, dport;
};

static struct flow flow_of(const uint8_t *p, uint32_t len)
{
    struct flow f = {.src = get32(p + 12), .dst = get32(p + 16), .proto = p[9]};
    uint32_t at = 4u * (p[0] & 15);
    if ((get16(p + 6) & 0x1fff) == 0 && (f.proto == 17 || f.proto == 6) && len >= at + 4) {
        f.sport = get16(p + at);
        f.dport = get16(p + at + 2);
    } else if ((get16(p + 6) & 0x1fff) == 0 && f.proto == 1 && len >= at + 2) {
        f.sport = p[at]; // as xfrm_flowi_sport and _dport have it
        f.dport = p[at + 1];
    }
    return f;
}

static bool in_prefix(uint32_t addr, const uint8_t *net, unsigned bits)
{
    return bits == 0 || (addr ^ get32(net)) >> (32 - bits) == 0;
}

static bool rule_holds(const struct kobj *o, const struct flow *f)
{
    bool yes = in_prefix(f->src, o->src, o->src_len) && in_prefix(f->dst, o->dst, o->dst_len) &&
               (!o->proto || o->proto == f->proto) &&
               (0 & o->mark_mask) == o->mark; // hosts' packets: no mark
    if (o->sport || o->sport2)
        yes = yes && f->sport >= o->sport && f->sport <= o->sport2;
    if (o->dport || o->dport2)
        yes = yes && f->dport >= o->dport && f->dport <= o->dport2;
    return yes != o->invert;
}

static const struct kobj *route_in(const struct kernel_model *k, uint32_t table, uint32_t dst)
{
    const struct kobj *best = NULL;
    for (size_t i = 0; i < k->count; i++) {
        const struct kobj *o = &k->o[i];
        if (o->kind == KOBJ_ROUTE && o->family == 4 && o->table == table &&
            in_prefix(dst, o->dst, o->dst_len) && (!best || o->dst_len > best->dst_len))
            best = o;
    }
    return best;
}

static const struct kobj *next_rule(const struct kernel_model *k, const struct kobj *after, uint32_t from)
{
    const struct kobj *best = NULL;
    for (size_t i = 0; i < k->count; i++) {
        const struct kobj *o = &k->o[i];
        bool later = !after || o->priority > after->priority || (o->priority == after->priority && o > after);
        if (o->kind == KOBJ_RULE && o->family == 4 && o->priority >= from && later &&
            (!best || o->priority < best->priority))
            best = o;
    }
    return best;
}

static enum verdict look_up(const struct kernel_model *k, const struct flow *f, enum iface *out)
{
    const struct site *s = k->site;
    if (f->dst == s->wan || f->dst == (s->lan | 1)) {
        *out = IF_LOCAL;
        return PASS_TO;
    }
    uint32_t from = 0;
    for (const struct kobj *r = NULL; (r = next_rule(k, r, from));) {
        if (!rule_holds(r, f))
            continue;
        if (r->action == KRULE_GOTO)
            from = r->target;
        if (r->action != KRULE_LOOKUP)
            continue;
        const struct kobj *o = route_in(k, r->table, f->dst);
        if (!o || o->action == KROUTE_THROW)
            continue;
        *out = IF_TUN;
        return o->action == KROUTE_TUN ? PASS_TO : DROP_ROUTE;
    }
    *out = (f->dst & 0xffff0000u) == s->lan ? IF_LAN : IF_WAN;
    return PASS_TO;
}

static bool port_matches(uint16_t port, uint16_t want, uint16_t mask)
{
    return ((port ^ want) & mask) == 0;
}

// The best XFRM policy of the direction; true: it blocks.
static bool blocked(const struct kernel_model *k, enum kobj_dir dir, const struct flow *f)
{
    const struct kobj *best = NULL;
    for (size_t i = 0; i < k->count; i++) {
        const struct kobj *o = &k->o[i];
        if (o->kind == KOBJ_XFRM && o->family == 4 && o->dir == dir && !o->ifindex && !o->mark &&
            in_prefix(f->src, o->src, o->src_len) && in_prefix(f->dst, o->dst, o->dst_len) &&
            (!o->proto || o->proto == f->proto) && port_matches(f->sport, o->sport, o->sport2) &&
            port_matches(f->dport, o->dport, o->dport2) && (!best || o->priority < best->priority))
            best = o;
    }
    return best && best->action == KXFRM_BLOCK;
}

enum verdict kernel_model_forward(struct kernel_model *k, enum iface in, const uint8_t *p, uint32_t len,
                                  enum iface *out)
{
    struct flow f = flow_of(p, len);
    enum verdict v = look_up(k, &f, out);
    if (v != PASS_TO)
        return v;
    bool exempt = in == IF_TUN; // disable_policy
    if (*out == IF_LOCAL)
        return !exempt && blocked(k, KDIR_IN, &f) ? DROP_POLICY : PASS_TO;
    if (!exempt && blocked(k, KDIR_FWD, &f))
        return DROP_POLICY;
    if (*out != IF_TUN && blocked(k, KDIR_OUT, &f)) // the TUN: disable_xfrm
        return DROP_POLICY;
    return *out == IF_TUN && !k->tun_up ? DROP_ROUTE : PASS_TO;
}

// ---- path's way to it: kernel.h

struct door {
    struct kernel base;
    struct kernel_model *k;
    unsigned generation; // of the daemon that has it
};

static bool shut(const struct door *d)
{
    return d->k->site->d.cut || d->k->site->d.generation != d->generation;
}

static int door_tun_up(struct kernel *base, const char *name, uint32_t mtu, struct esp_error *err)
{
    (void)name, (void)mtu, (void)err;
    ((struct door *)base)->k->tun_up = true;
    return 7;
}

static unsigned door_apply(struct kernel *base, struct kchange *c, unsigned n, struct esp_error *err)
{
    struct door *d = (struct door *)base;
    struct site *s = d->k->site;
    (void)err;
    for (unsigned i = 0; i < n; i++) {
        const struct kobj *o = c[i].o;
        c[i].rc = 0;
        if (shut(d))
            continue;
        TRACE(s->w, c[i].add, o->kind, "%c kernel %s kind %u action %u dir %u %08x/%u > %08x/%u proto %u",
              s->letter, c[i].add ? "+" : "-", o->kind, o->action, o->dir, get32(o->src), o->src_len,
              get32(o->dst), o->dst_len, o->proto);
        c[i].rc = c[i].add ? add(d->k, o) : take(d->k, o);
        if (!s->w->o.plain && rng_chance(&s->w->rng, 30)) // packets do not wait for the end of a change
            host_send(s->w, s->index, (s->index + 1) % s->w->sites, (unsigned)rng_below(&s->w->rng, CHILDREN),
                      true);
    }
    return 0;
}

static int door_dump(struct kernel *base, void (*each)(void *ctx, const struct kobj *o), void *ctx,
                     struct esp_error *err)
{
    const struct kernel_model *k = ((struct door *)base)->k;
    (void)err;
    for (size_t i = 0; i < k->count; i++)
        each(ctx, &k->o[i]);
    return 0;
}

static int door_addresses(struct kernel *base, void (*each)(void *ctx, const struct addr *a, uint8_t len),
                          void *ctx)
{
    const struct site *s = ((struct door *)base)->k->site;
    struct addr a = {.family = 4};
    put32(a.a, s->wan);
    each(ctx, &a, 24);
    put32(a.a, s->lan | 1);
    each(ctx, &a, 16);
    return 0;
}

static int door_source(struct kernel *base, uint8_t family, struct addr *out)
{
    if (family != 4)
        return -ENETUNREACH;
    *out = (struct addr){.family = 4};
    put32(out->a, ((struct door *)base)->k->site->wan);
    return 0;
}

static void door_notices(struct kernel *base, void (*each)(void *ctx, const struct knotice *n), void *ctx)
{
    struct kernel_model *k = ((struct door *)base)->k;
    uint64_t count;
    (void)!read(base->fd, &count, sizeof(count));
    unsigned n = k->notices;
    struct knotice copy[NOTICES];
    memcpy(copy, k->notice, sizeof(copy));
    k->notices = 0;
    for (unsigned i = 0; i < n; i++)
        each(ctx, &copy[i]);
}

static void door_close(struct kernel *base, bool leave)
{
    struct door *d = (struct door *)base;
    (void)leave;
    if (d->k->news == base->fd)
        d->k->news = -1;
    close(base->fd);
    free(d);
}

// No site of the world asks for virtual addresses.
static int door_address(struct kernel *base, const struct addr *a, bool add)
{
    (void)base, (void)a, (void)add;
    return -EOPNOTSUPP;
}

int netlink_kernel_open(struct kernel **out, const struct netlink_options *o, struct esp_error *err)
{
    static const struct kernel_ops ops = {door_tun_up, door_apply,   door_dump,  door_addresses,
                                          door_source, door_notices, door_close, door_address};
    struct door *d = calloc(1, sizeof(*d));
    (void)err;
    if (!d)
        abort();
    d->base.ops = &ops;
    d->base.tables = o->routing_table * 1000000;
    d->base.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    d->k = the_site->kernel;
    d->k->news = d->base.fd;
    d->k->notices = 0;
    d->generation = the_site->d.generation;
    *out = &d->base;
    return 0;
}

static void tell(struct kernel_model *k, enum knotice_kind kind, const struct kobj *o)
{
    uint64_t one = 1;
    if (k->notices == NOTICES) {
        k->notices = 1;
        k->notice[0] = (struct knotice){.kind = KNOTE_LOST};
    } else {
        k->notice[k->notices].kind = kind;
        k->notice[k->notices++].o = o ? *o : (struct kobj){0};
    }
    if (k->news >= 0 && write(k->news, &one, sizeof(one)) == sizeof(one))
        daemon_wake(k->site);
}

void kernel_model_flap(struct kernel_model *k)
{
    kernel_model_tun_gone(k);
    tell(k, KNOTE_TUN_DOWN, NULL);
    k->tun_up = true;
    tell(k, KNOTE_TUN_UP, NULL);
}

// Somebody else sets the TUN down and up again, or takes a rule or a route of ours away. The block policies
// stand behind them.
void kernel_model_meddle(struct kernel_model *k)
{
    struct rng *r = &k->site->w->rng;
    if (rng_chance(r, 400) && k->tun_up) {
        TRACE(k->site->w, 25, 0, "%c somebody sets the TUN down and up", k->site->letter);
        kernel_model_flap(k);
        return;
    }
    size_t at = rng_below(r, k->count + 1);
    for (size_t i = at; i < k->count; i++) {
        struct kobj o = k->o[i];
        if (o.kind == KOBJ_XFRM)
            continue;
        TRACE(k->site->w, 26, o.kind, "%c somebody takes a %s away", k->site->letter,
              o.kind == KOBJ_RULE ? "rule" : "route");
        take(k, &o);
        tell(k, KNOTE_OBJECT, &o);
        return;
    }
}
