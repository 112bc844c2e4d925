// SPDX-License-Identifier: Apache-2.0
// Two tunnels to the same networks, of which one is preferred, without a routing daemon: the routes into a
// TUN of its own (vti.c) of a child with `route_metric`.
//
//   As long as its policy is there a route of last resort leads to each of the child's remote networks; while
//   the tunnel carries another one stands before it, with `route_metric`. So the best tunnel that carries is
//   used, the next one where it does not, and it again once it does: the kernel chooses among what is there.
//   Where none carries the routes of last resort keep closed what is protected: into a tunnel, which has no
//   other way out.
//
//   It carries while it has a CHILD SA and, where there is a `probe`, that answers pings through the tunnel:
//   MISSES in turn that it does not answer and it carries no more, until as many are answered. A tunnel that
//   has just got its first SA carries from the first answer on. The pings are made here and go out as if the
//   TUN had brought them; the answers are taken out of what comes in.
//
//   A network is routed as its two halves, so that no other route to it, whatever its metric, stands before
//   them: of a default route, too. The machine's own way to the peers is led around them (netlink_around.c).
#include "ctrl/path/vti_ways.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/icmp.h"
#include "ctrl/path/io.h"

enum { MISSES = 3, ANSWERS = 3, AGAIN_MS = 10000, ANSWERED = 1 << 16, LAST_RESORT = ROUTE_METRICS + 1 };

static const char *name_of(const struct path *p, const struct vti_way *y)
{
    return vti_name(&p->spd.vtis, y->vti);
}

static uint32_t link_of(const struct path *p, const struct vti_way *y)
{
    return p->spd.vtis.at[y->vti]->link;
}

// ---- routes

struct counting {
    struct vti_way *y; // NULL: they are counted
    unsigned count;
    uint8_t family;
};

static void add_prefix(struct counting *c, const uint8_t *addr, unsigned len)
{
    if (c->y) {
        struct kernel_route *r = &c->y->route[c->count];
        *r = (struct kernel_route){.family = c->family, .len = (uint8_t)len};
        memcpy(r->dst, addr, c->family == 6 ? 16 : 4);
    }
    c->count++;
}

static void one_prefix(void *ctx, const uint8_t *addr, unsigned len)
{
    struct counting *c = ctx;
    uint8_t upper[16] = {0};
    if (len == (c->family == 6 ? 128u : 32u)) {
        add_prefix(c, addr, len);
        return;
    }
    memcpy(upper, addr, c->family == 6 ? 16 : 4);
    upper[len / 8] |= (uint8_t)(0x80 >> len % 8);
    add_prefix(c, addr, len + 1);
    add_prefix(c, upper, len + 1);
}

static unsigned prefixes(const struct policy *pol, struct vti_way *y)
{
    struct selectors s = policy_remote(pol);
    struct counting c = {.y = y};
    for (unsigned i = 0; i < s.count; i++) {
        c.family = s.t[i].family;
        if (c.family)
            ts_prefixes(&s.t[i], one_prefix, &c);
    }
    return c.count;
}

static bool same_place(const struct kernel_route *a, const struct kernel_route *b)
{
    return a->family == b->family && a->len == b->len && a->link == b->link && a->metric == b->metric &&
           memcmp(a->dst, b->dst, sizeof(a->dst)) == 0;
}

// With an address of this machine its IPv4 routes go that have it as their source: those of last resort have
// none, as they keep closed what is protected.
static struct kernel_route route_of(const struct path *p, const struct vti_way *y, unsigned i, bool last)
{
    struct kernel_route r = y->route[i];
    r.link = link_of(p, y);
    r.metric = y->set.metric + (last ? LAST_RESORT : 0u);
    if (!last)
        r.from = y->from[r.family == 6];
    return r;
}

static bool wants(const struct path *p, const struct vti_way *y, const struct kernel_route *r)
{
    for (unsigned i = 0; i < y->count; i++) {
        struct kernel_route last = route_of(p, y, i, true), own = route_of(p, y, i, false);
        if (same_place(&last, r) || (y->up && same_place(&own, r)))
            return true;
    }
    return false;
}

// That of an edited connection and that of the one before may have the same.
static bool another_wants(const struct path *p, const struct vti_way * not, const struct kernel_route *r)
{
    for (const struct vti_way *y = p->ways; y; y = y->next)
        if (y != not &&wants(p, y, r))
            return true;
    return false;
}

// Without a device there are none; to take away those of no device is to take anybody's.
static int change(struct path *p, const struct vti_way *y, bool last, bool add)
{
    int rc = 0;
    if (!link_of(p, y))
        return add ? -ENODEV : 0;
    for (unsigned i = 0; i < y->count; i++) {
        struct kernel_route r = route_of(p, y, i, last);
        int one = add || !another_wants(p, y, &r) ? p->kernel->ops->vti_route(p->kernel, &r, add) : 0;
        rc = rc ? rc : one;
    }
    return rc;
}

static bool is_protected(const struct vti_way *y, const struct addr *a)
{
    struct selectors local = policy_local(y->pol);
    for (unsigned k = 0; k < local.count; k++)
        if (ts_match(&local.t[k], a->family, a->a, local.t[k].proto, local.t[k].port_lo))
            return true;
    return false;
}

// What programs of the gateway itself speak from: the first of the machine's addresses that is protected.
static bool take_sources(const struct path *p, struct vti_way *y)
{
    const struct vtis *s = &p->spd.vtis;
    struct addr found[2] = {{0}, {0}};
    for (unsigned i = 0; i < s->own_count; i++) {
        bool six = s->own[i].family == 6;
        if (!found[six].family && is_protected(y, &s->own[i]))
            found[six] = s->own[i];
    }
    bool same = addr_eq(&found[0], &y->from[0]) && addr_eq(&found[1], &y->from[1]);
    memcpy(y->from, found, sizeof(found));
    return same;
}

static void cannot(struct path *p, struct vti_way *y, int rc)
{
    if (!y->told)
        LOGF(KNL, 0, "routes into %s cannot be made: %s; this is tried again", name_of(p, y), strerror(-rc));
    y->told = true;
}

// What is there already stays; what links and addresses have taken along comes again.
static void put(struct path *p, struct vti_way *y)
{
    if (!take_sources(p, y) && y->up)
        change(p, y, false, false); // meanwhile those of last resort
    int rc = change(p, y, true, true);
    if (y->up && rc == 0)
        rc = change(p, y, false, true);
    if (rc < 0)
        cannot(p, y, rc);
    y->put_at = loop_now(p->loop) + AGAIN_MS;
}

// ---- who carries

// How many of the first bits.
static unsigned alike(const struct addr *a, const struct addr *b)
{
    unsigned n = 0, bits = a->family == 6 ? 128 : 32;
    while (n < bits && !((a->a[n / 8] ^ b->a[n / 8]) & (0x80 >> n % 8)))
        n++;
    return n;
}

// Of the machine's own addresses that are protected the one that is most like that of whom is asked: in a
// tunnel with addresses of its own that is its end. NULL: there is none.
static const struct addr *asks_from(const struct path *p, const struct vti_way *y)
{
    const struct vtis *s = &p->spd.vtis;
    const struct addr *best = NULL;
    if (y->set.probe_from.family)
        return &y->set.probe_from;
    for (unsigned i = 0; i < s->own_count; i++) {
        const struct addr *a = &s->own[i];
        if (a->family == y->set.probe.family && is_protected(y, a) &&
            (!best || alike(a, &y->set.probe) > alike(best, &y->set.probe)))
            best = a;
    }
    return best;
}

static const char *reason(const struct path *p, const struct vti_way *y, char *buf, size_t size)
{
    char addr[64];
    if (y->probe_failed)
        snprintf(buf, size, "%s does not answer", addr_print(&y->set.probe, addr, sizeof(addr)));
    else if (!policy_sends(y->pol))
        snprintf(buf, size, "it has no SA");
    else if (!asks_from(p, y))
        snprintf(buf, size, "no address of this machine is in local_ts, and there is no probe_from");
    else
        snprintf(buf, size, "%s has not answered yet", addr_print(&y->set.probe, addr, sizeof(addr)));
    return buf;
}

const char *vti_way_text(const struct path *p, const struct policy *pol, char *buf, size_t size)
{
    const struct vti_way *y = pol && pol->whole ? pol->whole->way : NULL;
    char why[96];
    buf[0] = 0;
    if (y && y->up)
        snprintf(buf, size, "metric %u", y->set.metric);
    else if (y)
        snprintf(buf, size, "last resort: %s", reason(p, y, why, sizeof(why)));
    return buf;
}

static void ask(struct path *p, struct vti_way *y)
{
    struct worker *w = p->worker;
    const struct addr *from = asks_from(p, y);
    struct packet *pkt = from ? packet_get(w) : NULL;
    if (!pkt)
        return;
    pkt->vti = y->vti;
    pkt->job.in_len = icmp_echo(pkt->job.in, from, &y->set.probe, y->ident, ++y->number);
    out_burst(w, &pkt, 1);
}

// A slow answer is one, too, as long as not more than MISSES have been asked for behind it.
static void hear(struct vti_way *y)
{
    uint32_t a = atomic_exchange(&y->answered, 0);
    uint16_t behind = (uint16_t)(y->number - (uint16_t)a);
    if (!a || behind >= MISSES)
        return;
    y->open = y->open && behind;
    y->misses = 0;
    y->answers++;
}

static void probe(struct path *p, struct vti_way *y)
{
    uint64_t now = loop_now(p->loop);
    hear(y);
    if (now >= y->ask_at) {
        y->misses += y->open;
        y->answers = y->open ? 0 : y->answers;
        y->open = true;
        y->ask_at = now + y->set.probe_delay * UINT64_C(1000);
        ask(p, y);
    }
    if (y->carries && y->misses >= MISSES) {
        y->carries = false;
        y->probe_failed = true;
        y->answers = 0;
    } else if (!y->carries && y->answers >= (y->probe_failed ? ANSWERS : 1u)) {
        y->carries = true;
        y->probe_failed = false;
    }
}

// One that another policy stands for now is its.
static void judge(struct path *p, struct vti_way *y)
{
    if (y->pol->into || !policy_sends(y->pol)) {
        y->carries = y->probe_failed = y->open = false;
        y->misses = y->answers = 0;
        y->ask_at = 0;
        atomic_store(&y->answered, 0); // which the next SA would be believed for
    } else if (y->set.probe.family) {
        probe(p, y);
    } else {
        y->carries = true;
    }
}

static void rise(struct path *p, struct vti_way *y)
{
    y->up = true;
    y->told = false;
    put(p, y);
    LOGF(KNL, 1, "%s carries: routes of %s/%s lead into it with metric %u", name_of(p, y),
         policy_conn(y->pol), policy_child(y->pol), y->set.metric);
}

static void fall(struct path *p, struct vti_way *y)
{
    char why[96];
    y->up = false;
    change(p, y, false, false);
    if (!y->pol->into)
        LOGF(KNL, 0, "%s does not carry: %s; routes of %s/%s lead into it as a last resort", name_of(p, y),
             reason(p, y, why, sizeof(why)), policy_conn(y->pol), policy_child(y->pol));
}

void vti_ways_turn(struct path *p)
{
    bool changed = false;
    for (struct vti_way *y = p->ways; y; y = y->next)
        judge(p, y);
    for (struct vti_way *y = p->ways; y; y = y->next) { // before what falls
        if (y->carries && !y->up) {
            rise(p, y);
            changed = true;
        } else if (loop_now(p->loop) >= y->put_at) {
            put(p, y);
        }
    }
    for (struct vti_way *y = p->ways; y; y = y->next)
        if (!y->carries && y->up) {
            fall(p, y);
            changed = true;
        }
    if (changed)
        vti_lead_around(p);
}

void vti_ways_again(struct path *p)
{
    for (struct vti_way *y = p->ways; y; y = y->next)
        y->put_at = 0;
}

// By the tunnel that it has come by.
static void answer(struct worker *w, uint8_t vti, const uint8_t *packet, uint32_t len)
{
    struct packet *pkt = packet_get(w);
    if (!pkt)
        return;
    memcpy(pkt->job.in, packet, len);
    icmp_echo_turn(pkt->job.in, len);
    pkt->job.in_len = len;
    pkt->vti = vti;
    out_burst(w, &pkt, 1);
}

bool vti_way_takes(struct worker *w, uint8_t vti, const uint8_t *packet, uint32_t len)
{
    uint16_t number;
    for (struct vti_way *y = w->p->ways; y; y = y->next) {
        if (y->vti != vti || !y->set.probe.family)
            continue;
        if (icmp_echo_answers(packet, len, &y->set.probe, y->ident, &number)) {
            atomic_store(&y->answered, (uint32_t)ANSWERED | number);
            return true;
        }
        if (y->set.probe_from.family && len <= w->buffer && icmp_echo_asks(packet, len, &y->set.probe_from)) {
            answer(w, vti, packet, len);
            return true;
        }
    }
    return false;
}

// ---- with its policy

// What an edited connection had before says how its tunnel is until it is asked.
static void inherit(struct vti_way *y, const struct vti_way *all)
{
    for (const struct vti_way *o = all; o; o = o->next) {
        if (o->vti != y->vti || !addr_eq(&o->set.probe, &y->set.probe))
            continue;
        y->carries = o->carries;
        y->probe_failed = o->probe_failed;
        return;
    }
}

int vti_way_begin(struct path *p, struct policy *pol, const struct tunnel_route *t, struct esp_error *err)
{
    unsigned count = prefixes(pol, NULL);
    if (!p->kernel->ops->vti_route)
        return esp_fail(err, -EOPNOTSUPP, "route_metric", "no routes are to be had here");
    struct vti_way *y = calloc(1, sizeof(*y) + count * sizeof(struct kernel_route));
    if (!y)
        return esp_fail(err, -ENOMEM, "route_metric", "out of memory");
    y->pol = pol;
    y->vti = pol->vti;
    y->set = *t;
    y->count = prefixes(pol, y);
    take_sources(p, y);
    int rc = RAND_bytes((uint8_t *)&y->ident, sizeof(y->ident)) == 1 ? 0 : -EIO;
    if (rc == 0)
        rc = change(p, y, true, true);
    if (rc < 0) {
        change(p, y, true, false);
        free(y);
        return esp_fail(err, rc, "route_metric", "routes into %s cannot be made: %s",
                        vti_name(&p->spd.vtis, pol->vti),
                        rc == -EOPNOTSUPP ? "`install_routes = no`, or no tables are free" : strerror(-rc));
    }
    inherit(y, p->ways);
    if ((y->next = p->ways))
        p->ways->at = &y->next;
    y->at = &p->ways;
    p->ways = y;
    pol->whole->way = y;
    return 0;
}

const struct tunnel_route *vti_way_route(const struct policy *pol)
{
    return pol->whole->way ? &pol->whole->way->set : NULL;
}

// Where the devices stay for the next run their routes do.
void vti_way_end(struct path *p, struct policy *pol)
{
    struct vti_way *y = pol->whole->way;
    if (!y)
        return;
    *y->at = y->next;
    if (y->next)
        y->next->at = y->at;
    pol->whole->way = NULL;
    if (!p->spd.vtis.stay) {
        change(p, y, false, false);
        change(p, y, true, false);
    }
    free(y);
}

// ---- of an earlier run

struct sweeping {
    struct path *p;
    struct kernel_route *r;
    unsigned count, room;
};

static void unwanted(void *ctx, const struct kernel_route *r)
{
    struct sweeping *s = ctx;
    const struct vtis *v = &s->p->spd.vtis;
    bool ours = false;
    for (unsigned i = 1; i <= VTI_MAX && v->at[i]; i++)
        ours |= v->at[i]->users && v->at[i]->link == r->link;
    if (!ours || another_wants(s->p, NULL, r))
        return;
    if (s->count == s->room) {
        unsigned room = s->room ? 2 * s->room : 16;
        struct kernel_route *more = realloc(s->r, room * sizeof(*more));
        if (!more)
            return; // the next sweep finds it
        s->r = more;
        s->room = room;
    }
    s->r[s->count++] = *r;
}

void vti_ways_sweep(struct path *p)
{
    struct sweeping s = {.p = p};
    if (p->kernel->ops->vti_routes)
        p->kernel->ops->vti_routes(p->kernel, unwanted, &s);
    for (unsigned i = 0; i < s.count; i++)
        p->kernel->ops->vti_route(p->kernel, &s.r[i], false);
    free(s.r);
}
