// SPDX-License-Identifier: Apache-2.0
// The packet's way through the classifier: see classifier.h.
#include "ctrl/path/class_rules.h"

struct side { // the prefixes around one of the packet's addresses
    unsigned count;
    uint64_t note[CLASS_LENGTHS], bit[CLASS_LENGTHS];
    struct class_key key[CLASS_LENGTHS];
    uint64_t hash[CLASS_LENGTHS];
};

static void ask_around(const struct classifier *c, const uint8_t *addr, bool six, bool remote, struct side *s)
{
    const struct class_lengths *l = &c->lengths[six][remote];
    struct class_key n = address_key(addr, six);
    for (unsigned i = 0; i < l->count; i++) {
        s->key[i] = prefix_key(n, l->length[i], six, remote);
        s->hash[i] = class_hash(&c->prefixes, s->key[i]);
        class_ask(&c->prefixes, s->hash[i]);
    }
}

// Those that there are stand at the beginning then.
static void look_around(const struct classifier *c, bool six, bool remote, struct side *s)
{
    const struct class_lengths *l = &c->lengths[six][remote];
    s->count = 0;
    for (unsigned i = 0; i < l->count; i++) {
        uint64_t note = class_notes(&c->prefixes, s->hash[i]);
        if (!note)
            continue;
        s->note[s->count] = note;
        s->bit[s->count] = prefix_bit(s->hash[i]);
        s->key[s->count++] = s->key[i];
    }
}

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

enum { TOGETHER = 16 }; // cells, or rules, that are asked for before the first is looked at

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

struct wanted { // pairs that have been asked for
    unsigned count;
    struct class_key key[TOGETHER];
    uint64_t hash[TOGETHER];
    const struct class_key *local[TOGETHER], *remote[TOGETHER];
};

static void look_in_pairs(const struct classifier *c, struct wanted *w, const struct fields *f,
                          struct ports at, struct class_match *m)
{
    const struct class_pair *found[TOGETHER];
    size_t where[TOGETHER];
    unsigned n = 0;
    for (unsigned i = 0; i < w->count; i++)
        where[i] = class_aim(&c->pairs, w->hash[i]);
    for (unsigned i = 0; i < w->count; i++) {
        const struct class_pair *p =
            pair_get(&c->pairs, w->key[i], w->hash[i], where[i], w->local[i], w->remote[i]);
        if (!p || p->best >= m->rank)
            continue;
        if (p->kind == PAIR_ONE)
            look_in_pair(c, p, f, at, m);
        else
            __builtin_prefetch((found[n++] = p)->few);
    }
    for (unsigned i = 0; i < n; i++)
        look_in_pair(c, found[i], f, at, m);
    w->count = 0;
}

static void ask_for(const struct classifier *c, const struct class_key *l, const struct class_key *r,
                    struct wanted *w)
{
    struct class_key k = pair_key(*l, *r);
    uint64_t hash = class_hash(&c->pairs, k);
    class_ask(&c->pairs, hash);
    w->key[w->count] = k;
    w->local[w->count] = l;
    w->remote[w->count] = r;
    w->hash[w->count++] = hash;
}

struct class_match classifier_find(const struct classifier *c, const struct fields *f, bool reverse)
{
    struct class_match m = {.rank = UINT64_MAX, .could = UINT64_MAX};
    struct side local, remote;
    struct wanted w;
    bool six = f->family == 6;
    struct ports at = {reverse ? f->dport : f->sport, reverse ? f->sport : f->dport};
    ask_around(c, reverse ? f->dst : f->src, six, false, &local);
    ask_around(c, reverse ? f->src : f->dst, six, true, &remote);
    look_around(c, six, false, &local);
    look_around(c, six, true, &remote);
    w.count = 0;
    for (unsigned i = 0; i < remote.count; i++) {
        for (unsigned j = 0; j < local.count; j++) {
            if (!(remote.note[i] & local.bit[j]) || !(local.note[j] & remote.bit[i]))
                continue;
            ask_for(c, &local.key[j], &remote.key[i], &w);
            if (w.count == TOGETHER)
                look_in_pairs(c, &w, f, at, &m);
        }
    }
    look_in_pairs(c, &w, f, at, &m);
    return m;
}
