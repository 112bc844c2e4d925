// SPDX-License-Identifier: Apache-2.0
// See classifier.h. Ranks and notes kept at prefixes, pairs and shapes are bounds: what is removed leaves
// them as they are, which may cost a look-up in vain, and can let `could` err on the closed side.
#include "ctrl/path/classifier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct prefix {
    struct class_key key; // address (IPv4 in the high 32 bits), then IN_USE, family, side and length
    uint32_t users;       // pairs
};
struct ends { // both prefixes of an IPv6 pair, whose key has no room for them
    struct class_key local, remote;
};
// Protocol (0: any) and ports of a rule.
struct traffic {
    uint8_t proto;
    uint16_t local_lo, local_hi, remote_lo, remote_hi;
};
enum pair_kind { PAIR_ONE, PAIR_FEW, PAIR_MANY };
struct pair {
    struct class_key
        key; // a: both prefixes of IPv4, or a hash of IPv6 ones; b: NULL, or their ends; c: lengths
    uint64_t best;
    uint32_t users; // rules
    struct traffic traffic;
    uint8_t kind;
    union {
        struct class_rule rule; // ONE, and what it is of
        struct few *few;        // FEW: looked at one after the other
        struct shapes *shapes;  // MANY: by shape, in cells
    };
};
struct ranged {
    struct class_rule rule;
    struct traffic traffic;
};
#define FEW_MAX 8
struct few {
    unsigned count;
    struct ranged r[FEW_MAX]; // by rank
};
struct cell { // one value of a shape, in a pair of many
    struct class_key key;
    struct class_rule rule; // the first of:
    struct class_rule *rules;
    uint32_t count;
};
_Static_assert(sizeof(struct prefix) <= 64 && sizeof(struct pair) <= 64 && sizeof(struct cell) <= 64,
               "entries of a class_table");

// Shapes of protocol and ports that occur in a pair; port bits: how many leading ones are looked at.
struct shape {
    uint64_t best;
    uint32_t users; // cells
    uint8_t proto;  // 0: any
    uint8_t local_bits, remote_bits;
};
struct shapes {
    uint64_t id; // never used twice
    unsigned count, room;
    struct shape s[]; // by best
};

#define IN_USE (1ull << 63)

static struct class_key address_key(const uint8_t *a, bool six)
{
    struct class_key n = {0, 0, 0};
    for (int i = 0; i < (six ? 8 : 4); i++)
        n.a |= (uint64_t)a[i] << (56 - 8 * i);
    for (int i = 8; six && i < 16; i++)
        n.b |= (uint64_t)a[i] << (56 - 8 * (i - 8));
    return n;
}

static struct class_key prefix_key(struct class_key n, unsigned length, bool six, bool remote)
{
    if (length <= 64) {
        n.b = 0;
        n.a &= length ? UINT64_MAX << (64 - length) : 0;
    } else {
        n.b &= UINT64_MAX << (128 - length);
    }
    n.c = IN_USE | length << 2 | (unsigned)six << 1 | (unsigned)remote;
    return n;
}

// Without its ends.
static struct class_key pair_key(struct class_key local, struct class_key remote)
{
    bool six = local.c & 2;
    struct class_key k = {local.a | remote.a >> 32, 0,
                          IN_USE | (local.c & 0xffff) << 16 | (remote.c & 0xffff)};
    if (six)
        k.a = hash_u64(local.a + hash_u64(local.b + hash_u64(remote.a + hash_u64(remote.b))));
    return k;
}

static bool same_key(struct class_key x, struct class_key y)
{
    return x.a == y.a && x.b == y.b && x.c == y.c;
}

// At or behind where class_aim has said.
static struct pair *pair_get(const struct class_table *t, struct class_key k, uint64_t hash, size_t at,
                             const struct class_key *local, const struct class_key *remote)
{
    for (; at != SIZE_MAX; at = class_aim_from(t, at + 1, hash)) {
        struct pair *p = (struct pair *)&t->line[at];
        const struct ends *e = (const struct ends *)(uintptr_t)p->key.b;
        if (p->key.a == k.a && p->key.c == k.c &&
            (!e || (same_key(e->local, *local) && same_key(e->remote, *remote))))
            return p;
    }
    return NULL;
}

static uint16_t leading(uint16_t port, unsigned bits)
{
    return (uint16_t)(port & (0xffff0000u >> bits));
}

struct ports { // as seen from the rules' sides
    uint16_t local, remote;
};

static struct class_key cell_key(const struct pair *p, const struct shape *s, struct ports at)
{
    uint64_t shape = (uint64_t)s->proto << 10 | (unsigned)s->local_bits << 5 | s->remote_bits;
    uint32_t ports = (uint32_t)leading(at.local, s->local_bits) << 16 | leading(at.remote, s->remote_bits);
    return (struct class_key){p->shapes->id, 0, IN_USE | shape << 32 | ports};
}

static struct cell *cell_find(const struct classifier *c, const struct pair *p, const struct shape *s,
                              struct ports at)
{
    return class_find(&c->cells, cell_key(p, s, at));
}

// ---- the packet's way

static uint64_t prefix_bit(uint64_t hash) // its place in others' notes
{
    return (uint64_t)(1ull << (hash >> 48 & 63));
}

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
static bool shape_fits(const struct fields *f, uint8_t proto, bool needs_ports, uint64_t best,
                       struct class_match *m)
{
    if (proto && proto != f->proto && !f->hidden)
        return false;
    if ((!needs_ports || f->ports) && !(proto && f->hidden))
        return true;
    if (f->unseen && best < m->could)
        m->could = best;
    return false;
}

static void take_better(const struct class_rule *r, struct class_match *m)
{
    if (r->rank < m->rank) {
        m->rank = r->rank;
        m->of = r->of;
        __builtin_prefetch(r->of);
    }
}

static bool any_ports(const struct traffic *t)
{
    return t->local_lo == 0 && t->local_hi == 65535 && t->remote_lo == 0 && t->remote_hi == 65535;
}

static void look_at_one(const struct class_rule *r, const struct traffic *t, const struct fields *f,
                        struct ports at, struct class_match *m)
{
    if (r->rank < m->rank && shape_fits(f, t->proto, !any_ports(t), r->rank, m) &&
        (!f->ports || (at.local >= t->local_lo && at.local <= t->local_hi && at.remote >= t->remote_lo &&
                       at.remote <= t->remote_hi)))
        take_better(r, m);
}

enum { TOGETHER = 16 }; // cells, or rules, that are asked for before the first is looked at

static void look_at_shapes(const struct classifier *c, const struct pair *p, const struct fields *f,
                           struct ports at, struct class_match *m)
{
    struct class_key key[TOGETHER];
    uint64_t hash[TOGETHER];
    for (unsigned i = 0; i < p->shapes->count;) {
        unsigned n = 0;
        for (; i < p->shapes->count && n < TOGETHER; i++) {
            const struct shape *s = &p->shapes->s[i];
            if (s->best >= m->rank) {
                i = p->shapes->count;
                break;
            }
            if (!shape_fits(f, s->proto, s->local_bits || s->remote_bits, s->best, m))
                continue;
            key[n] = cell_key(p, s, at);
            hash[n] = class_hash(&c->cells, key[n]);
            class_ask(&c->cells, hash[n++]);
        }
        for (unsigned k = 0; k < n; k++) {
            const struct cell *found = class_get(&c->cells, key[k], hash[k], class_aim(&c->cells, hash[k]));
            if (found)
                take_better(&found->rule, m);
        }
    }
}

static void look_in_pair(const struct classifier *c, const struct pair *p, const struct fields *f,
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
    const struct pair *found[TOGETHER];
    size_t where[TOGETHER];
    unsigned n = 0;
    for (unsigned i = 0; i < w->count; i++)
        where[i] = class_aim(&c->pairs, w->hash[i]);
    for (unsigned i = 0; i < w->count; i++) {
        const struct pair *p =
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

// ---- prefixes and pairs

static void length_use(struct class_lengths *l, unsigned length)
{
    unsigned at = 0;
    while (at < l->count && l->length[at] > length)
        at++;
    if (at == l->count || l->length[at] != length) {
        memmove(&l->length[at + 1], &l->length[at], l->count - at);
        memmove(&l->users[at + 1], &l->users[at], (l->count - at) * sizeof(l->users[0]));
        l->length[at] = (uint8_t)length;
        l->users[at] = 0;
        l->count++;
    }
    l->users[at]++;
}

static void length_unuse(struct class_lengths *l, unsigned length)
{
    unsigned at = 0;
    while (l->length[at] != length)
        at++;
    if (--l->users[at])
        return;
    l->count--;
    memmove(&l->length[at], &l->length[at + 1], l->count - at);
    memmove(&l->users[at], &l->users[at + 1], (l->count - at) * sizeof(l->users[0]));
}

struct piece {                      // of a policy: one prefix on each side
    struct class_key local, remote; // of the prefixes
    uint8_t local_length, remote_length;
    bool six;
    struct traffic traffic;
};

static struct prefix *prefix_find(const struct classifier *c, struct class_key k)
{
    return class_find(&c->prefixes, k);
}

static bool prefix_want(struct classifier *c, struct class_key k, unsigned length, bool six, bool remote)
{
    if (prefix_find(c, k))
        return true;
    if (!class_put(&c->prefixes, k))
        return false;
    length_use(&c->lengths[six][remote], length);
    return true;
}

static void prefix_drop(struct classifier *c, struct class_key k, unsigned length, bool six, bool remote)
{
    struct prefix *p = prefix_find(c, k);
    if (!p || p->users)
        return;
    length_unuse(&c->lengths[six][remote], length);
    class_take(&c->prefixes, p);
}

static void prefixes_drop(struct classifier *c, const struct piece *w)
{
    prefix_drop(c, w->local, w->local_length, w->six, false);
    prefix_drop(c, w->remote, w->remote_length, w->six, true);
}

static struct pair *pair_of(const struct classifier *c, const struct piece *w)
{
    struct class_key k = pair_key(w->local, w->remote);
    uint64_t hash = class_hash(&c->pairs, k);
    return pair_get(&c->pairs, k, hash, class_aim(&c->pairs, hash), &w->local, &w->remote);
}

static struct pair *pair_put(struct classifier *c, const struct piece *w)
{
    struct class_key k = pair_key(w->local, w->remote);
    struct ends *e = w->six ? malloc(sizeof(*e)) : NULL;
    if (w->six && !e)
        return NULL;
    if (e)
        *e = (struct ends){w->local, w->remote};
    k.b = (uintptr_t)e;
    c->pairs.without_b = true;
    struct pair *p = class_put(&c->pairs, k);
    if (!p)
        free(e);
    return p;
}

static struct pair *pair_want(struct classifier *c, const struct piece *w)
{
    struct pair *p = pair_of(c, w);
    if (p)
        return p;
    if (!prefix_want(c, w->local, w->local_length, w->six, false) ||
        !prefix_want(c, w->remote, w->remote_length, w->six, true) || !(p = pair_put(c, w)))
        return NULL;
    struct prefix *l = prefix_find(c, w->local), *r = prefix_find(c, w->remote);
    p->best = UINT64_MAX;
    l->users++;
    r->users++;
    class_note(&c->prefixes, l, prefix_bit(class_hash(&c->prefixes, w->remote)));
    class_note(&c->prefixes, r, prefix_bit(class_hash(&c->prefixes, w->local)));
    return p;
}

static void pair_drop(struct classifier *c, struct pair *p, const struct piece *w)
{
    if (p->users)
        return;
    if (p->kind == PAIR_MANY)
        free(p->shapes);
    else if (p->kind == PAIR_FEW)
        free(p->few);
    free((void *)(uintptr_t)p->key.b);
    class_take(&c->pairs, p);
    prefix_find(c, w->local)->users--;
    prefix_find(c, w->remote)->users--;
}

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

static struct shape *shape_want(struct pair *p, struct shape want)
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

static int cell_of_many_add(struct classifier *c, struct pair *p, struct shape want, struct ports at,
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

static void cell_of_many_remove(struct classifier *c, struct pair *p, struct shape want, struct ports at,
                                struct class_rule rule)
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

static void many_remove(struct classifier *c, struct pair *p, const struct traffic *t, struct class_rule rule,
                        unsigned limit)
{
    struct blocks b;
    struct ports at;
    unsigned n = split(t, &b);
    for (unsigned i = 0; i < n && i < limit; i++) {
        struct shape s = cell_at(t, &b, i, &at);
        cell_of_many_remove(c, p, s, at, rule);
    }
}

static int many_add(struct classifier *c, struct pair *p, const struct traffic *t, struct class_rule rule)
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

static int make_many(struct classifier *c, struct pair *p)
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

static int make_few(struct pair *p)
{
    struct few *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    few_add(l, &p->traffic, p->rule);
    p->few = l;
    p->kind = PAIR_FEW;
    return 0;
}

static int add_to_pair(struct classifier *c, struct pair *p, const struct traffic *t, struct class_rule rule)
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

// ---- adding and removing

static int add_piece(struct classifier *c, const struct piece *w, struct class_rule rule)
{
    struct pair *p = pair_want(c, w);
    int rc = p ? add_to_pair(c, p, &w->traffic, rule) : -ENOMEM;
    if (rc < 0) {
        prefixes_drop(c, w);
        return rc;
    }
    p->users++;
    c->rules++;
    p->best = rule.rank < p->best ? rule.rank : p->best;
    return 0;
}

static void remove_piece(struct classifier *c, const struct piece *w, struct class_rule rule)
{
    struct pair *p = pair_of(c, w);
    if (p->kind == PAIR_MANY)
        many_remove(c, p, &w->traffic, rule, UINT32_MAX);
    else if (p->kind == PAIR_FEW)
        few_remove(p->few, &w->traffic, rule);
    p->users--;
    c->rules--;
    pair_drop(c, p, w);
    prefixes_drop(c, w);
}

// Goes through the pieces of a policy's selectors, always in the same order.
struct walk {
    struct classifier *c;
    struct class_rule rule;
    const struct ts *local, *remote;
    struct piece piece;
    bool add;
    unsigned done, limit; // pieces
    unsigned cells;       // that they make where pairs are of many
    int rc;
};

static void far_prefix(void *ctx, const uint8_t *addr, unsigned length)
{
    struct walk *k = ctx;
    struct blocks b;
    k->piece.remote = prefix_key(address_key(addr, k->piece.six), length, k->piece.six, true);
    k->piece.remote_length = (uint8_t)length;
    if (k->rc < 0 || k->done == k->limit)
        return;
    if (!k->add)
        remove_piece(k->c, &k->piece, k->rule);
    else if ((k->cells += split(&k->piece.traffic, &b)) > CLASS_RULES_MAX)
        k->rc = -E2BIG;
    else
        k->rc = add_piece(k->c, &k->piece, k->rule);
    k->done += k->rc == 0;
}

static void near_prefix(void *ctx, const uint8_t *addr, unsigned length)
{
    struct walk *k = ctx;
    k->piece.local = prefix_key(address_key(addr, k->piece.six), length, k->piece.six, false);
    k->piece.local_length = (uint8_t)length;
    ts_prefixes(k->remote, far_prefix, k);
}

static void walk(struct walk *k, struct selectors local, struct selectors remote)
{
    for (unsigned i = 0; i < local.count; i++) {
        for (unsigned j = 0; j < remote.count && k->rc == 0; j++) {
            k->local = &local.t[i];
            k->remote = &remote.t[j];
            if (!k->local->family || k->local->family != k->remote->family ||
                (k->local->proto && k->remote->proto && k->local->proto != k->remote->proto))
                continue;
            k->piece.six = k->local->family == 6;
            k->piece.traffic =
                (struct traffic){k->local->proto ? k->local->proto : k->remote->proto, k->local->port_lo,
                                 k->local->port_hi, k->remote->port_lo, k->remote->port_hi};
            ts_prefixes(k->local, near_prefix, k);
        }
    }
}

int classifier_add(struct classifier *c, struct selectors local, struct selectors remote,
                   struct class_rule rule, struct esp_error *err)
{
    struct walk k = {.c = c, .rule = rule, .add = true, .limit = UINT32_MAX};
    char text[128];
    walk(&k, local, remote);
    if (k.rc == 0)
        return 0;
    struct walk back = {.c = c, .rule = rule, .limit = k.done};
    walk(&back, local, remote);
    if (k.rc == -E2BIG)
        return esp_fail(err, k.rc, "selectors", "%.100s splits into more than %d prefixes and port blocks",
                        ts_print(k.remote, text, sizeof(text)), CLASS_RULES_MAX);
    return esp_fail(err, k.rc, "selectors", "out of memory");
}

void classifier_remove(struct classifier *c, struct selectors local, struct selectors remote,
                       struct class_rule rule)
{
    struct walk k = {.c = c, .rule = rule, .limit = UINT32_MAX};
    walk(&k, local, remote);
}

void classifier_free(struct classifier *c)
{
    class_table_free(&c->prefixes);
    class_table_free(&c->pairs);
    class_table_free(&c->cells);
}
