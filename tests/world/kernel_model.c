// SPDX-License-Identifier: Apache-2.0
// The part of Linux that path relies on, as a set of objects with their keys (ctrl/path/kernel.h): routing
// rules and tables, XFRM policies, the exemption of the TUN; and what becomes of a packet under them. The
// machine's own tables (local, main) are fixed: the LAN's /16 and a default route by the WAN.
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ctrl/path/kernel.h"
#include "ctrl/path/netlink.h"
#include "tests/world/world.h"

enum { NOTICES = 64, TUN_INDEX = 7 };
struct kernel_model {
    struct site *site;
    struct kobj *o;
    size_t count, cap;
    bool tun_up;
    struct knotice notice[NOTICES];
    unsigned notices;
    uint32_t virtual[WARRIORS]; // addresses of the TUN
    unsigned virtuals;
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
            both[i]->ifindex = both[i]->priority = 0;
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

bool kernel_model_virtual(const struct kernel_model *k, uint32_t n)
{
    for (unsigned i = 0; i < k->virtuals; i++)
        if (k->virtual[i] == n)
            return true;
    return false;
}

void kernel_model_tun_gone(struct kernel_model *k)
{
    size_t n = 0;
    while (k->virtuals)
        warriors_address(k->site, k->virtual[--k->virtuals], false);
    for (size_t i = 0; i < k->count; i++)
        if (k->o[i].kind != KOBJ_ROUTE || k->o[i].action != KROUTE_TUN)
            k->o[n++] = k->o[i];
    k->count = n;
    k->tun_up = false;
}

// ---- a packet's way

struct flow {
    struct view v;
    uint8_t rule_proto; // as rules see it
    uint32_t mark;
    bool no_source; // not yet
};

static bool rules_look_behind(const struct kernel_model *k, uint8_t family)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->o[i].kind == KOBJ_RULE && k->o[i].family == family &&
            (k->o[i].proto || k->o[i].sport2 || k->o[i].dport2))
            return true;
    return false;
}

// A fragment shows no ports, the first one as little as a later one. Of an IPv6 one rules see the fragment
// header alone, unless one of them wants a protocol or ports: then all look behind it, and so they do for
// policies.
static struct flow flow_of(const struct kernel_model *k, const uint8_t *p, uint32_t len)
{
    struct flow f = {0};
    view_of(&f.v, p, len);
    f.rule_proto = f.v.proto;
    if (f.v.fragment)
        f.v.sport = f.v.dport = 0;
    if (f.v.family == 6 && f.v.fragment)
        f.rule_proto = rules_look_behind(k, 6) ? f.v.proto : IPPROTO_FRAGMENT;
    return f;
}

static bool in_prefix(const uint8_t *addr, const uint8_t *net, unsigned bits)
{
    unsigned whole = bits / 8;
    return !memcmp(addr, net, whole) && (bits % 8 == 0 || (addr[whole] ^ net[whole]) >> (8 - bits % 8) == 0);
}

// Linux does not ask a rule of IPv6 that names a source about what has none.
static bool rule_holds(const struct kobj *o, const struct flow *f)
{
    if (f->no_source && f->v.family == 6 && o->src_len)
        return false;
    bool yes = in_prefix(f->v.from, o->src, o->src_len) && in_prefix(f->v.to, o->dst, o->dst_len) &&
               (!o->proto || o->proto == f->rule_proto) &&
               (f->mark & o->mark_mask) == o->mark; // what hosts send has none
    if (o->sport || o->sport2)
        yes = yes && f->v.sport >= o->sport && f->v.sport <= o->sport2;
    if (o->dport || o->dport2)
        yes = yes && f->v.dport >= o->dport && f->v.dport <= o->dport2;
    return yes != o->invert;
}

static const struct kobj *route_in(const struct kernel_model *k, uint32_t table, const struct view *v)
{
    const struct kobj *best = NULL;
    for (size_t i = 0; i < k->count; i++) {
        const struct kobj *o = &k->o[i];
        if (o->kind == KOBJ_ROUTE && o->family == v->family && o->table == table &&
            in_prefix(v->to, o->dst, o->dst_len) && (!best || o->dst_len > best->dst_len))
            best = o;
    }
    return best;
}

static const struct kobj *next_rule(const struct kernel_model *k, uint8_t family, const struct kobj *after,
                                    uint32_t from)
{
    const struct kobj *best = NULL;
    for (size_t i = 0; i < k->count; i++) {
        const struct kobj *o = &k->o[i];
        bool later = !after || o->priority > after->priority || (o->priority == after->priority && o > after);
        if (o->kind == KOBJ_RULE && o->family == family && o->priority >= from && later &&
            (!best || o->priority < best->priority))
            best = o;
    }
    return best;
}

// by: the route into the TUN.
static enum verdict look_up_by(const struct kernel_model *k, const struct flow *f, enum iface *out,
                               const struct kobj **by)
{
    const struct site *s = k->site;
    if (site_has(s, f->v.family, f->v.dst) || f->v.dst == (s->lan | 1) || kernel_model_virtual(k, f->v.dst)) {
        *out = IF_LOCAL;
        return PASS_TO;
    }
    uint32_t from = 0;
    for (const struct kobj *r = NULL; (r = next_rule(k, f->v.family, r, from));) {
        if (!rule_holds(r, f))
            continue;
        if (r->action == KRULE_GOTO)
            from = r->target;
        if (r->action != KRULE_LOOKUP)
            continue;
        const struct kobj *o = route_in(k, r->table, &f->v);
        if (!o || o->action == KROUTE_THROW)
            continue;
        *out = IF_TUN;
        *by = o;
        return o->action == KROUTE_TUN ? PASS_TO : DROP_ROUTE;
    }
    *out = (f->v.dst & 0xffff0000u) == s->lan ? IF_LAN : IF_WAN;
    return PASS_TO;
}

static enum verdict look_up(const struct kernel_model *k, const struct flow *f, enum iface *out)
{
    const struct kobj *by = NULL;
    return look_up_by(k, f, out, &by);
}

static bool port_matches(uint16_t port, uint16_t want, uint16_t mask)
{
    return ((port ^ want) & mask) == 0;
}

// Of the best XFRM policy of the direction, for what leaves by the interface where that is known.
static enum kobj_action policy_of(const struct kernel_model *k, enum kobj_dir dir, const struct flow *f,
                                  bool to_tun)
{
    const struct kobj *best = NULL;
    for (size_t i = 0; i < k->count; i++) {
        const struct kobj *o = &k->o[i];
        if (o->kind == KOBJ_XFRM && o->family == f->v.family && o->dir == dir &&
            (!o->ifindex || (to_tun && o->ifindex == TUN_INDEX)) && (f->mark & o->mark_mask) == o->mark &&
            in_prefix(f->v.from, o->src, o->src_len) && in_prefix(f->v.to, o->dst, o->dst_len) &&
            (!o->proto || o->proto == f->v.proto) && port_matches(f->v.sport, o->sport, o->sport2) &&
            port_matches(f->v.dport, o->dport, o->dport2) && (!best || o->priority < best->priority))
            best = o;
    }
    return best ? (enum kobj_action)best->action : KXFRM_ALLOW;
}

// What is held is dropped where it is forwarded.
static bool blocked(const struct kernel_model *k, enum kobj_dir dir, const struct flow *f, bool to_tun)
{
    return policy_of(k, dir, f, to_tun) != KXFRM_ALLOW;
}

// The hooks of nf_tables that mark what the TUN brings, drop errors about that, and in IPv6 give what a
// program sends another look.
static bool hook_of(const struct kernel_model *k, uint8_t family)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->o[i].kind == KOBJ_HOOK && k->o[i].family == family && k->o[i].action == KHOOK_TURN &&
            k->o[i].ifindex == TUN_INDEX)
            return true;
    return false;
}

enum verdict kernel_model_forward(struct kernel_model *k, enum iface in, const uint8_t *p, uint32_t len,
                                  enum iface *out)
{
    struct flow f = flow_of(k, p, len);
    enum verdict v = look_up(k, &f, out);
    if (v != PASS_TO)
        return v;
    bool four = f.v.family == 4, exempt = in == IF_TUN; // disable_policy, of IPv6 for what is forwarded alone
    if (in == IF_TUN && !four && hook_of(k, 6))
        f.mark = KERNEL_MARK_FROM_TUN;
    if (*out == IF_LOCAL)
        return !(exempt && four) && blocked(k, KDIR_IN, &f, false) ? DROP_POLICY : PASS_TO;
    f.mark = 0; // it is set where packets are for the machine itself
    if (!exempt && blocked(k, KDIR_FWD, &f, false))
        return DROP_POLICY;
    if (!(*out == IF_TUN && four) && blocked(k, KDIR_OUT, &f, *out == IF_TUN)) // the TUN: disable_xfrm
        return DROP_POLICY;
    return *out == IF_TUN && !k->tun_up ? DROP_ROUTE : PASS_TO;
}

// IPv4: the policies are asked with the route's interface, and the TUN has disable_xfrm. IPv6: without one;
// what they hold goes on where the hook has it looked up again.
enum verdict kernel_model_output(struct kernel_model *k, const uint8_t *p, uint32_t len, enum iface *out)
{
    struct flow f = flow_of(k, p, len);
    enum verdict v = look_up(k, &f, out);
    if (v != PASS_TO)
        return v;
    enum kobj_action said =
        f.v.family == 4 && *out == IF_TUN ? KXFRM_ALLOW : policy_of(k, KDIR_OUT, &f, false);
    if (said == KXFRM_HOLD && hook_of(k, 6))
        said = policy_of(k, KDIR_OUT, &f, *out == IF_TUN);
    if (said != KXFRM_ALLOW)
        return DROP_POLICY;
    return *out == IF_TUN && !k->tun_up ? DROP_ROUTE : PASS_TO;
}

// It is asked about the route without a source first, and takes the one that the route has. In IPv6 that is
// held unless a policy lets it come to the hook, which lets it into the TUN.
enum verdict kernel_model_error(struct kernel_model *k, enum iface in, const uint8_t *about, uint32_t len,
                                enum iface *out)
{
    struct flow was = flow_of(k, about, len), f = {.no_source = true};
    f.v = (struct view){.family = was.v.family, .dst = was.v.src};
    memcpy(f.v.to, was.v.from, 16);
    f.v.proto = f.rule_proto = f.v.family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    f.v.sport = f.v.family == 6 ? 3 : 11; // time exceeded
    f.mark = in == IF_TUN && hook_of(k, f.v.family) ? KERNEL_MARK_FROM_TUN : 0;
    const struct kobj *by = NULL;
    enum verdict v = look_up_by(k, &f, out, &by);
    if (v != PASS_TO)
        return v;
    if (by && by->from_set)
        memcpy(f.v.from, by->from, 16);
    if (*out == IF_TUN && f.v.family == 6 && blocked(k, KDIR_OUT, &f, false))
        return DROP_POLICY;
    if (*out == IF_TUN)
        return k->tun_up ? PASS_TO : DROP_ROUTE;
    f.v.src = *out == IF_LAN ? k->site->lan | 1 : k->site->wan;
    put_address(f.v.from, f.v.family, f.v.src);
    return f.mark || blocked(k, KDIR_OUT, &f, false) ? DROP_POLICY : PASS_TO;
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
    return TUN_INDEX;
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
        TRACE(s->w, c[i].add, o->kind,
              "%c kernel %s kind %u IPv%u action %u dir %u %08x/%u > %08x/%u proto %u", s->letter,
              c[i].add ? "+" : "-", o->kind, o->family, o->action, o->dir, number_of(o->src, o->family),
              o->src_len, number_of(o->dst, o->family), o->dst_len, o->proto);
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
    for (uint8_t family = 4; family <= 6; family += 2) {
        struct addr a = {.family = family};
        for (unsigned i = 0; i < 2; i++) {
            uint32_t n = i ? s->roam.away : s->wan;
            put_address(a.a, family, n);
            if (site_has(s, family, n))
                each(ctx, &a, family == 6 ? 120 : 24);
        }
        put_address(a.a, family, s->lan | 1);
        each(ctx, &a, family == 6 ? 112 : 16);
    }
    return 0;
}

static int door_source(struct kernel *base, uint8_t family, struct addr *out)
{
    uint32_t n;
    if (!site_source(((struct door *)base)->k->site, family, &n))
        return -ENETUNREACH;
    out->family = family;
    put_address(out->a, family, n);
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

static int door_tun_addresses(struct kernel *base, void (*each)(void *ctx, const struct addr *a), void *ctx)
{
    const struct kernel_model *k = ((struct door *)base)->k;
    for (unsigned i = 0; i < k->virtuals; i++) {
        struct addr a = {.family = 4};
        put_address(a.a, 4, k->virtual[i]);
        each(ctx, &a);
    }
    return 0;
}

static int door_address(struct kernel *base, const struct addr *a, bool add)
{
    struct door *d = (struct door *)base;
    struct kernel_model *k = d->k;
    uint32_t n = number_of(a->a, a->family);
    if (shut(d) || add == kernel_model_virtual(k, n))
        return 0;
    if (add && k->virtuals == WARRIORS)
        return -ENOSPC;
    warriors_address(k->site, n, add);
    if (add)
        k->virtual[k->virtuals++] = n;
    for (unsigned i = 0; !add && i < k->virtuals; i++)
        if (k->virtual[i] == n)
            k->virtual[i--] = k->virtual[--k->virtuals];
    return 0;
}

static int door_state(struct kernel *base)
{
    return ((struct door *)base)->k->tun_up;
}

int netlink_kernel_open(struct kernel **out, const struct netlink_options *o, struct esp_error *err)
{
    static const struct kernel_ops ops = {
        door_tun_up, door_apply,   door_dump, door_addresses, door_source, door_notices,
        door_close,  door_address, NULL,      door_state,     NULL,        NULL,
        NULL,        NULL,         NULL,      NULL,           NULL,        door_tun_addresses,
        NULL,        NULL};
    struct door *d = calloc(1, sizeof(*d));
    (void)err;
    if (!d)
        abort();
    d->base.ops = &ops;
    d->base.hooks = true;
    d->base.hooks4 = true;
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

void kernel_model_moved(struct kernel_model *k)
{
    tell(k, KNOTE_ADDRESSES, NULL);
}

void kernel_model_flap(struct kernel_model *k)
{
    unsigned virtuals = k->virtuals; // they stay on an interface that is down
    k->virtuals = 0;
    kernel_model_tun_gone(k);
    k->virtuals = virtuals;
    tell(k, KNOTE_TUN_DOWN, NULL);
    k->tun_up = true;
    tell(k, KNOTE_TUN_UP, NULL);
}

void kernel_model_lose(struct kernel_model *k, int kind)
{
    size_t n = k->count;
    if (kind == KOBJ_XFRM)
        tell(k, KNOTE_FLUSHED, NULL);
    while (n-- > 0) {
        struct kobj o = k->o[n];
        if (o.kind != kind)
            continue;
        take(k, &o);
        if (kind != KOBJ_XFRM)
            tell(k, KNOTE_OBJECT, &o);
    }
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
