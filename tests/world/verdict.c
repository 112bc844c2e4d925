// SPDX-License-Identifier: Apache-2.0
// What the connections that a site's operator has loaded say about a packet: a second, naive reading of the
// plans, from what the world knows itself (who sent what), never from the daemons.
#include <netinet/in.h>
#include <string.h>

#include "tests/world/world.h"

int64_t check_id(const uint8_t *p, uint32_t len)
{
    struct view v;
    if (!view_of(&v, p, len) || len < v.at + 8 + STAMP_LEN || memcmp(p + v.at + 8, magic, MAGIC_LEN) != 0)
        return -1;
    return (int64_t)((uint64_t)get32(p + v.at + 16) << 32 | get32(p + v.at + 20));
}

struct asked { // a packet as its sender knows it
    uint32_t near, far;
    bool own; // between the gateways themselves
    uint8_t family, proto;
    uint16_t sport, dport;
};

// A later fragment shows no ports, but it is a piece of a datagram that has some.
static struct asked asked_of(const struct world *w, const uint8_t *p, uint32_t len, bool inbound)
{
    int64_t id = check_id(p, len);
    struct view v;
    struct asked a = {0};
    if (!view_of(&v, p, len))
        return a;
    a = (struct asked){v.src, v.dst, false, v.family, v.proto, v.sport, v.dport};
    if (inbound)
        a.near = v.dst, a.far = v.src;
    if (id >= 0 && (size_t)id < w->ledger.count) {
        const struct sent *e = &w->ledger.sent[id];
        a.proto = e->proto, a.sport = e->sport, a.dport = e->dport;
    }
    return a;
}

static bool within(uint16_t lo, uint16_t hi, const struct asked *a)
{
    return a->sport >= lo && a->sport <= hi && a->dport >= lo && a->dport <= hi;
}

// Pass and drop go before protect, and they do not overlap.
static enum said variant_says(const struct own *own, const struct variant *v, const struct asked *a)
{
    bool udp = a->proto == IPPROTO_UDP;
    if (a->own)
        return !own->ports.lo || (udp && within(own->ports.lo, own->ports.hi, a)) ? SAYS_PROTECT
                                                                                  : SAYS_NOTHING;
    if (udp && v->pass.lo && within(v->pass.lo, v->pass.hi, a))
        return SAYS_PASS;
    if (udp && v->drop.lo && within(v->drop.lo, v->drop.hi, a))
        return SAYS_DROP;
    for (unsigned i = 0; i < v->children; i++) {
        const struct child_plan *c = &v->child[i];
        if (!c->proto || (c->proto == a->proto && within(c->lo, c->hi, a)))
            return SAYS_PROTECT;
    }
    return SAYS_NOTHING;
}

static bool side(uint32_t addr, uint32_t lan)
{
    return (addr & 0xffff0000u) == lan;
}

// The pair whose networks, or own addresses, these are, NULL: none.
static const struct pair *pair_for(const struct site *s, struct asked *a)
{
    struct world *w = s->w;
    for (unsigned i = 0; i < w->pairs; i++) {
        const struct pair *p = &w->pair[i];
        bool mine = p->a == s->index || p->b == s->index;
        const struct site *peer = &w->site[p->a == s->index ? p->b : p->a];
        if (mine && p->own.on && a->family == (p->outer6 ? 6 : 4) && a->near == s->wan &&
            a->far == peer->wan) {
            a->own = true;
            return p;
        }
        if (mine && p->inner & (a->family == 6 ? IN6 : IN4) && side(a->near, s->lan) &&
            side(a->far, peer->lan))
            return p;
    }
    return NULL;
}

// That may be there as well as the one whose load was confirmed last: bits.
static unsigned forms_beside(const struct want *want)
{
    return want->unsure | (want->pending < 0 ? 0 : 1u << want->pending);
}

// Both forms where one replaces the other. since: they have said it from then on.
enum said verdict(struct site *s, const uint8_t *p, uint32_t len, bool inbound, uint64_t *since)
{
    struct asked a = asked_of(s->w, p, len, inbound);
    const struct pair *pr = pair_for(s, &a);
    const struct want *want = pr ? &s->op.want[pr - s->w->pair] : NULL;
    *since = want ? want->since : 0;
    if (!want || want->variant < 0)
        return SAYS_NOTHING;
    enum said now = variant_says(&pr->own, &pr->variant[want->variant], &a);
    unsigned forms = forms_beside(want);
    for (unsigned i = 0; i < VARIANTS; i++)
        if (forms & 1u << i && variant_says(&pr->own, &pr->variant[i], &a) != now)
            return SAYS_EITHER;
    return now;
}

static bool closed(enum said said)
{
    return said == SAYS_PROTECT || said == SAYS_DROP;
}

bool check_required(struct site *s, const uint8_t *p, uint32_t len, bool inbound)
{
    struct asked a = asked_of(s->w, p, len, inbound);
    const struct pair *pr = pair_for(s, &a);
    const struct want *want = pr ? &s->op.want[pr - s->w->pair] : NULL;
    if (warriors_require(s, a.near, a.far))
        return true;
    if (!want || want->variant < 0 || !closed(variant_says(&pr->own, &pr->variant[want->variant], &a)))
        return false;
    for (unsigned i = 0; i < VARIANTS; i++)
        if (forms_beside(want) & 1u << i && !closed(variant_says(&pr->own, &pr->variant[i], &a)))
            return false;
    return true;
}

bool verdict_may_pass(struct site *s, const uint8_t *p, uint32_t len)
{
    struct asked a = asked_of(s->w, p, len, false);
    const struct pair *pr = pair_for(s, &a);
    const struct want *want = pr ? &s->op.want[pr - s->w->pair] : NULL;
    const int form[] = {want ? want->variant : -1, want ? want->leaving : -1};
    for (unsigned i = 0; want && i < VARIANTS; i++)
        if (forms_beside(want) & 1u << i && variant_says(&pr->own, &pr->variant[i], &a) == SAYS_PASS)
            return true;
    for (unsigned i = 0; i < 2; i++)
        if (form[i] >= 0 && variant_says(&pr->own, &pr->variant[form[i]], &a) == SAYS_PASS)
            return true;
    return false;
}
