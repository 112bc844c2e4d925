// SPDX-License-Identifier: Apache-2.0
// The rules of one pair of prefixes, by protocol and ports: its only one, its few, or many in cells of their
// shapes.
#include <errno.h>
#include <stdlib.h>

#include "ctrl/path/class_rules.h"

// ---- shapes and cells of a pair of many rules

static struct shape *shape_find(struct shapes *l, struct shape want)
{
    for (unsigned i = 0; i < l->count; i++) {
        struct shape *s = &l->s[i];
        if (s->proto == want.proto && s->local_bits == want.local_bits && s->remote_bits == want.remote_bits)
            return s;
    }
    return NULL;
}

static struct shape *shape_want(struct class_pair *p, struct shape want)
{
    struct shapes *l = p->shapes;
    struct shape *s = shape_find(l, want);
    if (s)
        return s;
    if (l->count == l->room) {
        l = realloc(l, sizeof(*l) + 2 * l->room * sizeof(l->s[0]));
        if (!l)
            return NULL;
        l->room *= 2;
        p->shapes = l;
    }
    want.best = UINT64_MAX;
    want.users = 0;
    l->s[l->count] = want;
    return &l->s[l->count++];
}

static void shape_drop(struct shapes *l, struct shape *s)
{
    if (s->users)
        return;
    l->count--;
    memmove(s, s + 1, (size_t)(l->s + l->count - s) * sizeof(*s));
}

static void shape_rise(struct shapes *l, struct shape *s, uint64_t rank)
{
    if (rank >= s->best)
        return;
    s->best = rank;
    for (; s > l->s && s[-1].best > s->best; s--) {
        struct shape other = s[-1];
        s[-1] = *s;
        *s = other;
    }
}

static int cell_add(struct cell *k, struct class_rule rule)
{
    struct class_rule *bigger = realloc(k->rules, (k->count + 1) * sizeof(rule));
    unsigned at = k->count;
    if (!bigger)
        return -ENOMEM;
    k->rules = bigger;
    for (; at > 0 && bigger[at - 1].rank > rule.rank; at--)
        bigger[at] = bigger[at - 1];
    bigger[at] = rule;
    k->count++;
    k->rule = k->rules[0];
    return 0;
}

static int cell_of_many_add(struct classifier *c, struct class_pair *p, struct shape want, struct ports at,
                            struct class_rule rule)
{
    struct shape *s = shape_want(p, want);
    struct cell *k = s ? cell_find(c, p, s, at) : NULL;
    bool fresh = !k;
    if (s && fresh && (k = class_put(&c->cells, cell_key(p, s, at))))
        s->users++;
    if (k && cell_add(k, rule) == 0) {
        shape_rise(p->shapes, s, rule.rank);
        return 0;
    }
    if (k && fresh) {
        class_take(&c->cells, k);
        s->users--;
    }
    if (s)
        shape_drop(p->shapes, s);
    return -ENOMEM;
}

static void cell_of_many_remove(struct classifier *c, struct class_pair *p, struct shape want,
                                struct ports at, struct class_rule rule)
{
    struct shape *s = shape_find(p->shapes, want);
    struct cell *k = cell_find(c, p, s, at);
    unsigned i = 0;
    while (k->rules[i].of != rule.of || k->rules[i].rank != rule.rank)
        i++;
    k->count--;
    memmove(&k->rules[i], &k->rules[i + 1], (k->count - i) * sizeof(rule));
    if (k->count) {
        k->rule = k->rules[0];
        return;
    }
    free(k->rules);
    class_take(&c->cells, k);
    s->users--;
    shape_drop(p->shapes, s);
}

struct block { // of ports
    uint16_t first;
    uint8_t bits;
};

static unsigned blocks_of(uint32_t at, uint32_t end, struct block *out) // at most 30
{
    unsigned n = 0;
    if (at > end) {
        out[0] = (struct block){0, OPAQUE_BITS};
        return 1;
    }
    while (at <= end) {
        uint32_t size = at ? at & (~at + 1) : 65536;
        while (at + size - 1 > end)
            size /= 2;
        out[n++] = (struct block){(uint16_t)at, (uint8_t)(16 - __builtin_ctz(size))};
        at += size;
    }
    return n;
}

struct blocks {
    unsigned locals, remotes;
    struct block local[32], remote[32];
};

static unsigned split(const struct traffic *t, struct blocks *b) // into so many cells
{
    b->locals = blocks_of(t->local_lo, t->local_hi, b->local);
    b->remotes = blocks_of(t->remote_lo, t->remote_hi, b->remote);
    return b->locals * b->remotes;
}

// The i-th cell of a rule.
static struct shape cell_at(const struct traffic *t, const struct blocks *b, unsigned i, struct ports *at)
{
    struct block l = b->local[i / b->remotes], r = b->remote[i % b->remotes];
    *at = (struct ports){l.first, r.first};
    return (struct shape){.proto = t->proto, .local_bits = l.bits, .remote_bits = r.bits};
}

static void many_remove(struct classifier *c, struct class_pair *p, const struct traffic *t,
                        struct class_rule rule, unsigned limit)
{
    struct blocks b;
    struct ports at;
    unsigned n = split(t, &b);
    for (unsigned i = 0; i < n && i < limit; i++) {
        struct shape s = cell_at(t, &b, i, &at);
        cell_of_many_remove(c, p, s, at, rule);
    }
}

static int many_add(struct classifier *c, struct class_pair *p, const struct traffic *t,
                    struct class_rule rule)
{
    struct blocks b;
    struct ports at;
    unsigned n = split(t, &b);
    for (unsigned i = 0; i < n; i++) {
        struct shape s = cell_at(t, &b, i, &at);
        if (cell_of_many_add(c, p, s, at, rule) < 0) {
            many_remove(c, p, t, rule, i);
            return -ENOMEM;
        }
    }
    return 0;
}

static int make_many(struct classifier *c, struct class_pair *p)
{
    struct few *few = p->few;
    struct shapes *l = calloc(1, sizeof(*l) + 2 * sizeof(l->s[0]));
    if (!l)
        return -ENOMEM;
    l->room = 2;
    l->id = ++c->next_id;
    p->shapes = l;
    for (unsigned i = 0; i < few->count; i++) {
        if (many_add(c, p, &few->r[i].traffic, few->r[i].rule) == 0)
            continue;
        while (i-- > 0)
            many_remove(c, p, &few->r[i].traffic, few->r[i].rule, UINT32_MAX);
        free(p->shapes);
        p->few = few;
        return -ENOMEM;
    }
    free(few);
    p->kind = PAIR_MANY;
    return 0;
}

// ---- a pair of few

static void few_add(struct few *l, const struct traffic *t, struct class_rule rule)
{
    unsigned at = l->count++;
    for (; at > 0 && l->r[at - 1].rule.rank > rule.rank; at--)
        l->r[at] = l->r[at - 1];
    l->r[at] = (struct ranged){rule, *t};
}

static bool same_traffic(const struct traffic *a, const struct traffic *b)
{
    return a->proto == b->proto && a->local_lo == b->local_lo && a->local_hi == b->local_hi &&
           a->remote_lo == b->remote_lo && a->remote_hi == b->remote_hi;
}

static void few_remove(struct few *l, const struct traffic *t, struct class_rule rule)
{
    unsigned at = 0;
    while (l->r[at].rule.of != rule.of || l->r[at].rule.rank != rule.rank ||
           !same_traffic(&l->r[at].traffic, t))
        at++;
    l->count--;
    memmove(&l->r[at], &l->r[at + 1], (l->count - at) * sizeof(l->r[0]));
}

static int make_few(struct class_pair *p)
{
    struct few *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    few_add(l, &p->traffic, p->rule);
    p->few = l;
    p->kind = PAIR_FEW;
    return 0;
}

int class_pair_add(struct classifier *c, struct class_pair *p, const struct traffic *t,
                   struct class_rule rule)
{
    int rc = 0;
    if (!p->users) {
        p->traffic = *t;
        p->rule = rule;
        return 0;
    }
    if (p->kind == PAIR_ONE)
        rc = make_few(p);
    else if (p->kind == PAIR_FEW && p->few->count == FEW_MAX)
        rc = make_many(c, p);
    if (rc == 0 && p->kind == PAIR_FEW)
        few_add(p->few, t, rule);
    else if (rc == 0)
        rc = many_add(c, p, t, rule);
    return rc;
}

void class_pair_remove(struct classifier *c, struct class_pair *p, const struct traffic *t,
                       struct class_rule rule)
{
    if (p->kind == PAIR_MANY)
        many_remove(c, p, t, rule, UINT32_MAX);
    else if (p->kind == PAIR_FEW)
        few_remove(p->few, t, rule);
}

void class_pair_free(struct class_pair *p)
{
    if (p->kind == PAIR_MANY)
        free(p->shapes);
    else if (p->kind == PAIR_FEW)
        free(p->few);
}

unsigned class_cells(const struct traffic *t)
{
    struct blocks b;
    return split(t, &b);
}
