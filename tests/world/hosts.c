// SPDX-License-Identifier: Apache-2.0
// Hosts behind the gateways: their packets carry a magic number, their place in the ledger and octets made
// from it. And somebody outside who sends packets in clear as if they came from such a host.
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "tests/world/world.h"

const uint8_t magic[MAGIC_LEN] = {'w', 'O', 'r', 'L', 'd', 0xa5, 0x5a, 0x17};

static uint64_t id_of_next(struct world *w, unsigned from, unsigned to, bool forged)
{
    struct ledger *l = &w->ledger;
    if (l->count == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 4096;
        l->sent = realloc(l->sent, l->cap * sizeof(*l->sent));
        if (!l->sent)
            abort();
    }
    l->sent[l->count] =
        (struct sent){.from = (uint8_t)from, .to = (uint8_t)to, .forged = forged, .at = w->now};
    return l->count++;
}

static uint8_t family_of(struct rng *r, const struct pair *p)
{
    return p->inner == IN4 ? 4 : p->inner == IN6 ? 6 : rng_chance(r, 500) ? 4 : 6;
}

static uint64_t hash_of(const uint8_t *p, uint32_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

// Any host of a network but its gateway, which has the first address and keeps what is sent to it.
static uint32_t host_part(struct rng *r)
{
    uint32_t n = (uint32_t)rng_between(r, 1, 65000);
    return n == 1 ? 65001 : n;
}

static struct variant *loaded_variant(struct world *w, unsigned site, struct pair *pr)
{
    int v = w->site[site].op.want[pr - w->pair].variant;
    return &pr->variant[v < 0 ? 0 : v];
}

static bool within(struct range ports, uint16_t sport, uint16_t dport)
{
    return ports.lo && sport >= ports.lo && sport <= ports.hi && dport >= ports.lo && dport <= ports.hi;
}

// Of a child; what another child passes or drops (a plan without a name stands for such a one) is left out.
static void ports_of(struct world *w, const struct variant *v, const struct child_plan *c, uint16_t *sport,
                     uint16_t *dport)
{
    do {
        *sport = (uint16_t)(c->proto ? rng_between(&w->rng, c->lo, c->hi) : rng_next(&w->rng));
        *dport = (uint16_t)(c->proto ? rng_between(&w->rng, c->lo, c->hi) : rng_next(&w->rng));
    } while (c->name[0] && (within(v->pass, *sport, *dport) || within(v->drop, *sport, *dport)));
}

static void fill(struct world *w, uint8_t *p, uint32_t at, uint64_t id, uint32_t body)
{
    memcpy(p + at + 8, magic, MAGIC_LEN);
    put32(p + at + 16, (uint32_t)(id >> 32));
    put32(p + at + 20, (uint32_t)id);
    for (uint32_t i = 0; i < body; i++)
        p[at + 24 + i] = (uint8_t)(id * 31 + i * 7);
    w->ledger.sent[id].len = at + 8 + STAMP_LEN + body;
    w->ledger.sent[id].hash = hash_of(p + at, 8 + STAMP_LEN + body);
}

// A packet that the child of the pair protects (or, matching = false, one just beside it).
static uint32_t make(struct world *w, uint8_t *p, unsigned from, unsigned to, const struct child_plan *c,
                     bool matching, bool forged)
{
    struct rng *r = &w->rng;
    uint64_t id = id_of_next(w, from, to, forged);
    uint32_t body = (uint32_t)rng_below(r, rng_chance(r, 200) ? 1300 : 200), n = 8 + STAMP_LEN + body;
    uint8_t family = family_of(r, plan_of(w, from, to));
    uint8_t icmp = family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    uint8_t proto = c->proto ? c->proto : rng_chance(r, 100) ? icmp : IPPROTO_UDP;
    uint16_t sport, dport;
    ports_of(w, loaded_variant(w, from, plan_of(w, from, to)), c, &sport, &dport);
    if (!matching)
        dport = (uint16_t)(c->hi + 1 + rng_below(r, 100));
    uint32_t src = w->site[from].lan | host_part(r), dst = w->site[to].lan | host_part(r);
    uint32_t at = put_header(p, family, src, dst, proto, n);
    put16(p + at, sport);
    put16(p + at + 2, dport);
    put16(p + at + 4, (uint16_t)n);
    put16(p + at + 6, 0);
    if (proto == icmp) // an echo request
        p[at] = family == 6 ? 128 : 8, p[at + 1] = 0;
    fill(w, p, at, id, body);
    w->ledger.sent[id].proto = proto, w->ledger.sent[id].sport = sport, w->ledger.sent[id].dport = dport;
    return at + n;
}

uint32_t host_packet(struct world *w, uint8_t *p, unsigned from, unsigned to, uint32_t src, uint32_t dst)
{
    uint64_t id = id_of_next(w, from, to, false);
    struct sent *e = &w->ledger.sent[id];
    uint32_t body = (uint32_t)rng_below(&w->rng, 400), n = 8 + STAMP_LEN + body;
    uint32_t at = put_header(p, 4, src, dst, IPPROTO_UDP, n);
    e->proto = IPPROTO_UDP, e->sport = (uint16_t)rng_next(&w->rng), e->dport = (uint16_t)rng_next(&w->rng);
    e->own = e->warrior = true;
    put16(p + at, e->sport);
    put16(p + at + 2, e->dport);
    put16(p + at + 4, (uint16_t)n);
    put16(p + at + 6, 0);
    fill(w, p, at, id, body);
    return at + n;
}

void host_send(struct world *w, unsigned from, unsigned to, unsigned child, bool matching)
{
    uint8_t p[PACKET_MAX];
    struct pair *pr = plan_of(w, from, to);
    struct variant *v = loaded_variant(w, from, pr);
    uint32_t len = make(w, p, from, to, &v->child[child % v->children], matching, false);
    struct view h;
    view_of(&h, p, len);
    TRACE(w, 30, w->ledger.count - 1,
          "%c host sends id %zu to %c: IPv%u %08x:%u > %08x:%u proto %u, %u octets", w->site[from].letter,
          w->ledger.count - 1, w->site[to].letter, h.family, h.src, h.sport, h.dst, h.dport, h.proto, len);
    if (matching && child % v->children == 0)
        service_sent(w, pr, w->ledger.count - 1);
    gateway_in(&w->site[from], IF_LAN, p, len);
}

// What the child between the gateways protects (or, matching = false, one just beside it). False: they have
// none.
bool own_send(struct world *w, unsigned from, unsigned to, bool matching)
{
    uint8_t p[PACKET_MAX];
    struct pair *pr = plan_of(w, from, to);
    struct range ports = pr->own.ports.lo ? pr->own.ports : (struct range){8000, 8400};
    const struct child_plan like = {.proto = IPPROTO_UDP, .lo = ports.lo, .hi = ports.hi};
    struct view h;
    if (!pr->own.on)
        return false;
    uint32_t len = make(w, p, from, to, &like, matching, false), front = pr->outer6 ? 40 : 20;
    if (view_of(&h, p, len) && h.at != front)
        len = len - h.at + front;
    memmove(p + front, p + h.at, len - front);
    put_header(p, pr->outer6 ? 6 : 4, w->site[from].wan, w->site[to].wan, IPPROTO_UDP, len - front);
    w->ledger.sent[w->ledger.count - 1].len = len;
    w->ledger.sent[w->ledger.count - 1].own = true;
    TRACE(w, 34, w->ledger.count - 1, "%c itself sends id %zu to %c: IPv%u udp %u > %u, %u octets",
          w->site[from].letter, w->ledger.count - 1, w->site[to].letter, p[0] >> 4, h.sport, h.dport, len);
    if (matching && service_own_is_up(w, pr)) // before, one brings its child up and is dropped
        service_sent(w, pr, w->ledger.count - 1);
    gateway_out(&w->site[from], p, len);
    return true;
}

void host_shunt(struct world *w, unsigned from, unsigned to, bool pass)
{
    uint8_t p[PACKET_MAX];
    struct pair *pr = plan_of(w, from, to);
    const struct variant *v = loaded_variant(w, from, pr);
    struct range ports = pass ? v->pass : v->drop;
    const struct child_plan like = {.proto = IPPROTO_UDP, .lo = ports.lo, .hi = ports.hi};
    if (!ports.lo)
        return;
    uint32_t len = make(w, p, from, to, &like, true, false);
    struct view h;
    view_of(&h, p, len);
    TRACE(w, 33, w->ledger.count - 1, "%c host sends id %zu to %c, which a child %s: %08x:%u > %08x:%u",
          w->site[from].letter, w->ledger.count - 1, w->site[to].letter, pass ? "passes" : "drops", h.src,
          h.sport, h.dst, h.dport);
    if (pass)
        service_clear(w, w->ledger.count - 1);
    gateway_in(&w->site[from], IF_LAN, p, len);
}

// The packet becomes one of two pieces.
static uint32_t cut(struct world *w, uint8_t *p, uint32_t len, unsigned piece, uint16_t ident)
{
    struct sent *e = &w->ledger.sent[w->ledger.count - 1];
    if (p[0] >> 4 == 4) {
        put16(p + 4, ident);
        put16(p + 6, piece ? 185 : 0x2000);
        p[9] = IPPROTO_UDP;
        put_checksum(p);
        return len;
    }
    memmove(p + 48, p + 40, len - 40);
    memset(p + 40, 0, 8);
    p[6] = IPPROTO_FRAGMENT;
    put16(p + 4, (uint16_t)(len - 32));
    p[40] = IPPROTO_UDP;
    put16(p + 42, piece ? 185 << 3 : 1);
    put16(p + 46, ident);
    e->len = len + 8;
    e->hash = hash_of(p + 40, len - 32);
    return len + 8;
}

// A datagram in two pieces; the second shows no ports, and sometimes it comes alone.
static void host_fragments(struct world *w, unsigned from, unsigned to, unsigned child)
{
    uint8_t p[2][PACKET_MAX];
    uint32_t len[2];
    size_t id[2];
    struct variant *v = loaded_variant(w, from, plan_of(w, from, to));
    const struct child_plan *c = &v->child[child % v->children];
    uint16_t ident = (uint16_t)rng_next(&w->rng);
    for (int i = 0; i < 2; i++) {
        do // both of one family, and of one pair of hosts
            len[i] = make(w, p[i], from, to, c, true, false);
        while (p[i][0] != p[0][0]);
        id[i] = w->ledger.count - 1;
        bool six = p[0][0] >> 4 == 6;
        memcpy(p[i] + (six ? 8 : 12), p[0] + (six ? 8 : 12), six ? 32 : 8);
        len[i] = cut(w, p[i], len[i], (unsigned)i, ident);
        struct sent *e = &w->ledger.sent[id[i]], *first = &w->ledger.sent[id[0]];
        e->proto = IPPROTO_UDP, e->sport = first->sport, e->dport = first->dport;
    }
    TRACE(w, 32, w->ledger.count - 1, "%c host sends id %zu and %zu to %c: two fragments of udp",
          w->site[from].letter, id[0], id[1], w->site[to].letter);
    for (int i = rng_chance(&w->rng, 300); i < 2; i++)
        gateway_in(&w->site[from], IF_LAN, p[i], len[i]);
}

void forge_clear(struct world *w, unsigned from, unsigned to, unsigned child)
{
    uint8_t p[PACKET_MAX];
    struct pair *pr = plan_of(w, from, to);
    struct variant *v = loaded_variant(w, to, pr);
    uint32_t len = make(w, p, from, to, &v->child[child % v->children], true, true);
    if (pr->own.on && rng_chance(&w->rng, 300)) { // as from that gateway itself
        uint8_t family = p[0] >> 4, at = family == 6 ? 40 : 20;
        struct sent *e = &w->ledger.sent[w->ledger.count - 1];
        if (family != (pr->outer6 ? 6 : 4))
            return;
        put_header(p, family, w->site[from].wan, w->site[to].wan, IPPROTO_UDP, len - at);
        e->proto = IPPROTO_UDP;
        e->sport = get16(p + at), e->dport = get16(p + at + 2);
    }
    TRACE(w, 31, w->ledger.count - 1, "somebody sends id %zu in clear to %c as from %c", w->ledger.count - 1,
          w->site[to].letter, w->site[from].letter);
    gateway_in(&w->site[to], IF_WAN, p, len);
}

// ---- the traffic

// Of one direction of a pair.
static uint64_t mean_gap(const struct world *w)
{
    return 2 * MINUTE / w->traffic;
}

static void traffic(struct world *w, void *ctx, uint64_t arg)
{
    struct pair *pr = ctx;
    unsigned from = arg ? pr->b : pr->a, to = arg ? pr->a : pr->b;
    if (w->silent)
        return;
    unsigned burst = rng_chance(&w->rng, 20) ? 12 : 1;
    for (unsigned i = 0; i < burst && !w->failed; i++)
        host_send(w, from, to, (unsigned)rng_below(&w->rng, CHILDREN), !rng_chance(&w->rng, 50));
    if (!w->o.plain && rng_chance(&w->rng, 40))
        host_fragments(w, from, to, (unsigned)rng_below(&w->rng, CHILDREN));
    if (!w->o.plain && rng_chance(&w->rng, 60))
        host_shunt(w, from, to, rng_chance(&w->rng, 600));
    if (!w->o.plain && rng_chance(&w->rng, 100) && (!w->fair || w->now >= pr->up_from))
        own_send(w, from, to, !rng_chance(&w->rng, 50));
    if (rng_chance(&w->rng, 30))
        forge_clear(w, from, to, (unsigned)rng_below(&w->rng, CHILDREN));
    if (rng_chance(&w->rng, 20))
        replay(&w->site[to]);
    agenda_add(w, rng_between(&w->rng, 1, 2 * mean_gap(w)) * burst, traffic, pr, arg);
}

void hosts_start(struct world *w)
{
    for (unsigned i = 0; i < w->pairs; i++) {
        agenda_add(w, rng_below(&w->rng, SECOND), traffic, &w->pair[i], 0);
        agenda_add(w, rng_below(&w->rng, SECOND), traffic, &w->pair[i], 1);
    }
}
