// SPDX-License-Identifier: Apache-2.0
// The part of Linux that path relies on, as a set of objects with their keys (ctrl/path/kernel.h): routing
// rules and tables, XFRM policies, the exemption of the TUN; and what becomes of a packet under them. The
// machine's own tables (local, main) are fixed: the LAN's /16 and a default route by the WAN.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/kernel.h"
#include "ctrl/path/netlink.h"
#include "tests/world/world.h"

struct kernel_model {
    struct site *site;
    struct kobj *o;
    size_t count, cap;
    bool tun_up;
};

struct kernel_model *kernel_model_new(struct site *s)
{
    struct kernel_model *k = calloc(1, sizeof(*k));
    if (!k)
        abort();
    k->site = s;
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
        if (both[i]->kind == KOBJ_ROUTE) {
            both[i]->from_set = 0;
            memset(both[i]->from, 0, sizeof(both[i]->from));
        }
    }
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
    if (f->dst == s->wan) {
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

// ---- path's way to it: netlink.h

struct netlink {
    struct site *site;
};

int netlink_open(struct netlink **n, struct esp_error *err)
{
    (void)err;
    *n = calloc(1, sizeof(**n));
    if (!*n)
        abort();
    (*n)->site = the_site;
    return 0;
}

void netlink_close(struct netlink *n)
{
    free(n);
}

int netlink_tun_up(struct netlink *n, const char *name, uint32_t mtu, struct esp_error *err)
{
    (void)name, (void)mtu, (void)err;
    n->site->kernel->tun_up = true;
    return 7;
}

static int change(struct netlink *n, bool adds, const struct kobj *o)
{
    struct site *s = n->site;
    if (s->d.cut)
        return 0;
    TRACE(s->w, adds, o->kind, "%c kernel %s kind %u dir %u %08x/%u > %08x/%u proto %u", s->letter,
          adds ? "+" : "-", o->kind, o->dir, get32(o->src), o->src_len, get32(o->dst), o->dst_len, o->proto);
    return adds ? add(s->kernel, o) : take(s->kernel, o);
}

int netlink_rule(struct netlink *n, uint32_t table, uint32_t priority, uint32_t mark, struct esp_error *err)
{
    struct kobj o = {.kind = KOBJ_RULE,
                     .family = 4,
                     .action = KRULE_LOOKUP,
                     .table = table,
                     .priority = priority,
                     .mark = mark,
                     .mark_mask = UINT32_MAX,
                     .invert = 1};
    (void)err;
    return change(n, true, &o);
}

struct prefixes {
    unsigned count;
    struct {
        uint8_t addr[16];
        uint8_t len;
    } p[64];
};

static void collect(void *ctx, const uint8_t *addr, unsigned len)
{
    struct prefixes *l = ctx;
    if (l->count == 64)
        abort();
    memcpy(l->p[l->count].addr, addr, 4);
    l->p[l->count++].len = (uint8_t)len;
}

int netlink_routes(struct netlink *n, bool adds, const struct ts *local, const struct ts *remote, int ifindex,
                   uint32_t table, struct esp_error *err)
{
    struct prefixes to = {0};
    (void)local, (void)ifindex, (void)err;
    if (remote->family != 4)
        return 0;
    ts_prefixes(remote, collect, &to);
    for (unsigned i = 0; i < to.count; i++) {
        struct kobj o = {
            .kind = KOBJ_ROUTE, .family = 4, .action = KROUTE_TUN, .table = table, .dst_len = to.p[i].len};
        memcpy(o.dst, to.p[i].addr, 4);
        change(n, adds, &o);
    }
    return 0;
}

static void block(struct netlink *n, bool adds, enum kobj_dir dir, const struct ts *a, const struct ts *b,
                  const struct prefixes *from, const struct prefixes *to)
{
    for (unsigned i = 0; i < from->count * to->count; i++) {
        struct kobj o = {.kind = KOBJ_XFRM,
                         .family = 4,
                         .action = KXFRM_BLOCK,
                         .dir = (uint8_t)dir,
                         .proto = a->proto,
                         .priority = 0x7fffffff,
                         .src_len = from->p[i / to->count].len,
                         .dst_len = to->p[i % to->count].len};
        memcpy(o.src, from->p[i / to->count].addr, 4);
        memcpy(o.dst, to->p[i % to->count].addr, 4);
        if (a->port_lo == a->port_hi && a->proto)
            o.sport = a->port_lo, o.sport2 = 0xffff;
        if (b->port_lo == b->port_hi && b->proto)
            o.dport = b->port_lo, o.dport2 = 0xffff;
        change(n, adds, &o);
    }
}

int netlink_block(struct netlink *n, bool adds, const struct ts *local, const struct ts *remote,
                  struct esp_error *err)
{
    struct prefixes l = {0}, r = {0};
    (void)err;
    if (local->family != 4)
        return 0;
    ts_prefixes(local, collect, &l);
    ts_prefixes(remote, collect, &r);
    block(n, adds, KDIR_OUT, local, remote, &l, &r);
    block(n, adds, KDIR_FWD, remote, local, &r, &l);
    block(n, adds, KDIR_IN, remote, local, &r, &l);
    return 0;
}
