// SPDX-License-Identifier: Apache-2.0
// The way of a burst of packets through the classifier: see classifier.h. Each step is taken for all of them
// before the next one, and asks for the memory that the next one looks at.
#include "ctrl/path/class_rules.h"

enum { TOGETHER = 16 }; // pairs, cells or rules that are asked for before the first is looked at

struct around { // a prefix around one of a packet's addresses
    uint64_t hash;
    union {
        uint64_t places; // where the table may have it
        uint64_t note;
    };
    unsigned length;
    bool more; // and behind these
};
struct side {
    struct class_key address;
    unsigned count;
    struct around p[CLASS_LENGTHS];
};
struct wanted {          // a pair that there may be
    uint64_t a, c, hash; // of its key
    union {
        size_t at;
        const struct class_pair *pair;
    };
    uint8_t local, remote; // lengths
};
struct search { // one packet
    const struct fields *f;
    struct class_match *m;
    struct ports ports;
    bool six;
    unsigned wanted_count;
    struct wanted wanted[TOGETHER];
    struct side local, remote;
};

// ---- the prefixes around the packet

static void ask_around(const struct classifier *c, const uint8_t *addr, bool six, bool remote, struct side *s)
{
    const struct class_lengths *l = &c->lengths[six][remote];
    s->address = address_key(addr, six);
    s->count = l->count;
    for (unsigned i = 0; i < l->count; i++) {
        struct class_key k = prefix_key(s->address, l->length[i], six, remote);
        s->p[i].hash = class_hash(&c->prefixes, k);
        s->p[i].length = l->length[i];
        class_ask(&c->prefixes, s->p[i].hash);
    }
}

// Those that there may be stand at the beginning then.
static void place_around(const struct classifier *c, struct side *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->count; i++) {
        struct around *a = &s->p[i];
        bool more;
        uint64_t places = class_places(&c->prefixes, a->hash, &more);
        if (!places && !more)
            continue;
        if (places)
            class_ask_note(&c->prefixes, a->hash, places);
        s->p[n++] = (struct around){.hash = a->hash, .places = places, .length = a->length, .more = more};
    }
    s->count = n;
}

// What the notes of all of them name.
static uint64_t read_notes(const struct classifier *c, struct side *s)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < s->count; i++) {
        struct around *a = &s->p[i];
        uint64_t note = class_notes(&c->prefixes, a->hash, a->places);
        if (a->more)
            note |= class_more_notes(&c->prefixes, a->hash);
        a->note = note;
        all |= note;
    }
    return all;
}

// ---- rules

// What a rule of this shape says to the packet: nothing, or it may hold it (`could`), or look at its ports.
static bool shape_fits(const struct fields *f, uint8_t proto, enum need need, uint64_t best,
                       struct class_match *m)
{
    if ((proto && proto != f->proto && !f->hidden) || need == NEED_BOTH)
        return false;
    if (need == NEED_HIDDEN && !f->unseen)
        return false;
    if ((need != NEED_PORTS || f->ports) && !(proto && f->hidden))
        return true;
    if (f->unseen && best < m->could)
        m->could = best;
    return false;
}

static enum need need_of(bool any_local, bool opaque_local, bool any_remote, bool opaque_remote)
{
    if (any_local && any_remote)
        return NEED_NOTHING;
    if (!opaque_local && !opaque_remote)
        return NEED_PORTS;
    return (any_local || opaque_local) && (any_remote || opaque_remote) ? NEED_HIDDEN : NEED_BOTH;
}

static void take_better(const struct class_rule *r, enum need need, struct class_match *m)
{
    if (r->rank < m->rank) {
        m->rank = r->rank;
        m->of = r->of;
        m->hidden = need == NEED_HIDDEN;
        __builtin_prefetch(r->of);
    }
}

static enum need traffic_needs(const struct traffic *t)
{
    return need_of(t->local_lo == 0 && t->local_hi == 65535, t->local_lo > t->local_hi,
                   t->remote_lo == 0 && t->remote_hi == 65535, t->remote_lo > t->remote_hi);
}

static enum need shape_needs(const struct shape *s)
{
    return need_of(s->local_bits == 0, s->local_bits == OPAQUE_BITS, s->remote_bits == 0,
                   s->remote_bits == OPAQUE_BITS);
}

static void look_at_one(const struct class_rule *r, const struct traffic *t, const struct fields *f,
                        struct ports at, struct class_match *m)
{
    enum need need = traffic_needs(t);
    if (r->rank < m->rank && shape_fits(f, t->proto, need, r->rank, m) &&
        (!f->ports || (at.local >= t->local_lo && at.local <= t->local_hi && at.remote >= t->remote_lo &&
                       at.remote <= t->remote_hi)))
        take_better(r, need, m);
}

static void look_at_shapes(const struct classifier *c, const struct class_pair *p, const struct fields *f,
                           struct ports at, struct class_match *m)
{
    struct class_key key[TOGETHER];
    uint64_t hash[TOGETHER];
    enum need need[TOGETHER];
    for (unsigned i = 0; i < p->shapes->count;) {
        unsigned n = 0;
        for (; i < p->shapes->count && n < TOGETHER; i++) {
            const struct shape *s = &p->shapes->s[i];
            if (s->best >= m->rank) {
                i = p->shapes->count;
                break;
            }
            need[n] = shape_needs(s);
            if (!shape_fits(f, s->proto, need[n], s->best, m))
                continue;
            key[n] = cell_key(p, s, at);
            hash[n] = class_hash(&c->cells, key[n]);
            class_ask(&c->cells, hash[n++]);
        }
        for (unsigned k = 0; k < n; k++) {
            const struct cell *found = class_get(&c->cells, key[k], hash[k], class_aim(&c->cells, hash[k]));
            if (found)
                take_better(&found->rule, need[k], m);
        }
    }
}

static void look_in_pair(const struct classifier *c, const struct class_pair *p, const struct fields *f,
                         struct ports at, struct class_match *m)
{
    if (p->best >= m->rank)
        return;
    if (p->kind == PAIR_MANY) {
        look_at_shapes(c, p, f, at, m);
    } else if (p->kind == PAIR_ONE) {
        look_at_one(&p->rule, &p->traffic, f, at, m);
    } else {
        for (unsigned i = 0; i < p->few->count; i++)
            look_at_one(&p->few->r[i].rule, &p->few->r[i].traffic, f, at, m);
    }
}

// ---- pairs of prefixes

static struct class_key prefix_of(const struct search *s, bool remote, unsigned length)
{
    return prefix_key(remote ? s->remote.address : s->local.address, length, s->six, remote);
}

static void want(const struct classifier *c, struct search *s, unsigned local, unsigned remote)
{
    struct class_key k = pair_key(prefix_of(s, false, local), prefix_of(s, true, remote));
    struct wanted *w = &s->wanted[s->wanted_count++];
    *w = (struct wanted){.a = k.a,
                         .c = k.c,
                         .hash = class_hash(&c->pairs, k),
                         .local = (uint8_t)local,
                         .remote = (uint8_t)remote};
    class_ask(&c->pairs, w->hash);
}

static void aim_at_pairs(const struct classifier *c, struct search *s)
{
    for (unsigned i = 0; i < s->wanted_count; i++)
        s->wanted[i].at = class_aim(&c->pairs, s->wanted[i].hash);
}

static const struct class_pair *get_pair(const struct classifier *c, const struct search *s,
                                         const struct wanted *w)
{
    struct class_key k = {w->a, 0, w->c}, l = {0}, r = {0};
    if (s->six) { // of IPv4 both are in k
        l = prefix_of(s, false, w->local);
        r = prefix_of(s, true, w->remote);
    }
    return pair_get(&c->pairs, k, w->hash, w->at, &l, &r);
}

// What has more than one rule stands at the beginning then.
static void get_pairs(const struct classifier *c, struct search *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->wanted_count; i++) {
        const struct class_pair *p = s->wanted[i].at == SIZE_MAX ? NULL : get_pair(c, s, &s->wanted[i]);
        if (!p || p->best >= s->m->rank)
            continue;
        if (p->kind == PAIR_ONE)
            look_at_one(&p->rule, &p->traffic, s->f, s->ports, s->m);
        else
            __builtin_prefetch((s->wanted[n++].pair = p)->few);
    }
    s->wanted_count = n;
}

static void look_in_pairs(const struct classifier *c, struct search *s)
{
    for (unsigned i = 0; i < s->wanted_count; i++)
        look_in_pair(c, s->wanted[i].pair, s->f, s->ports, s->m);
    s->wanted_count = 0;
}

static void want_pairs(const struct classifier *c, struct search *s)
{
    uint64_t by_local = read_notes(c, &s->local);
    (void)read_notes(c, &s->remote);
    for (unsigned i = 0; i < s->remote.count; i++) {
        const struct around *r = &s->remote.p[i];
        uint64_t bit = prefix_bit(r->hash);
        if (!(by_local & bit))
            continue;
        for (unsigned j = 0; j < s->local.count; j++) {
            const struct around *l = &s->local.p[j];
            if (!(r->note & prefix_bit(l->hash)) || !(l->note & bit))
                continue;
            if (s->wanted_count == TOGETHER) {
                aim_at_pairs(c, s);
                get_pairs(c, s);
                look_in_pairs(c, s);
            }
            want(c, s, l->length, r->length);
        }
    }
}

// ---- the burst

static void begin(const struct classifier *c, struct class_query *q, struct search *s)
{
    const struct fields *f = q->f;
    q->m = (struct class_match){.rank = UINT64_MAX, .could = UINT64_MAX};
    s->f = f;
    s->m = &q->m;
    s->six = f->family == 6;
    s->ports = (struct ports){q->reverse ? f->dport : f->sport, q->reverse ? f->sport : f->dport};
    s->wanted_count = 0;
    ask_around(c, q->reverse ? f->dst : f->src, s->six, false, &s->local);
    ask_around(c, q->reverse ? f->src : f->dst, s->six, true, &s->remote);
}

void classifier_find_burst(const struct classifier *c, struct class_query *q, unsigned n)
{
    struct search s[CLASS_BURST];
    for (unsigned i = 0; i < n; i++)
        begin(c, &q[i], &s[i]);
    for (unsigned i = 0; i < n; i++) {
        place_around(c, &s[i].local);
        place_around(c, &s[i].remote);
    }
    for (unsigned i = 0; i < n; i++) {
        want_pairs(c, &s[i]);
    }
    for (unsigned i = 0; i < n; i++)
        aim_at_pairs(c, &s[i]);
    for (unsigned i = 0; i < n; i++)
        get_pairs(c, &s[i]);
    for (unsigned i = 0; i < n; i++)
        look_in_pairs(c, &s[i]);
}

struct class_match classifier_find(const struct classifier *c, const struct fields *f, bool reverse)
{
    struct class_query q = {.f = f, .reverse = reverse};
    classifier_find_burst(c, &q, 1);
    return q.m;
}
