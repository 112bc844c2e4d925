// SPDX-License-Identifier: Apache-2.0
// See classifier.h. Ranks and sketches kept at prefixes, pairs and shapes are bounds: what is removed leaves
// them as they are, which may cost a look-up in vain, and can let `could` err on the closed side.
#include "ctrl/path/classifier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct number { // an address, IPv4 in the high 32 bits
    uint64_t hi, lo;
};
struct prefix {
    struct hash_node node;
    struct number addr;
    uint8_t six, remote, length;
    uint32_t id;
    uint32_t users;    // pairs
    uint64_t best;     // no rule under it goes before this
    uint64_t slots;    // the other sides' lengths
    uint64_t partners; // a sketch of them
};
// Shapes of protocol and ports that occur in a pair; port bits: how many leading ones are looked at.
struct shape {
    uint64_t best;
    uint32_t users; // cells
    uint8_t proto;  // 0: any
    uint8_t local_bits, remote_bits;
};
struct pair {
    struct hash_node node;
    struct prefix *local, *remote;
    uint64_t best;
    uint32_t id;
    unsigned count;
    struct shape *shapes; // by best
};
struct cell { // one value of a shape
    struct hash_node node;
    struct pair *pair;
    uint8_t proto, local_bits, remote_bits;
    uint16_t local_port, remote_port;
    struct class_rule *rules; // by rank
};
struct class_rule {
    struct class_rule *next;    // in the cell
    struct class_rule *sibling; // of the same policy
    struct cell *cell;
    uint64_t rank;
    void *of;
};

static struct number number_of(const uint8_t *a, bool six)
{
    struct number n = {0, 0};
    for (int i = 0; i < (six ? 8 : 4); i++)
        n.hi |= (uint64_t)a[i] << (56 - 8 * i);
    for (int i = 8; six && i < 16; i++)
        n.lo |= (uint64_t)a[i] << (56 - 8 * (i - 8));
    return n;
}

static struct number masked(struct number n, unsigned length)
{
    if (length <= 64) {
        n.lo = 0;
        n.hi &= length ? UINT64_MAX << (64 - length) : 0;
    } else {
        n.lo &= UINT64_MAX << (128 - length);
    }
    return n;
}

static uint64_t prefix_hash(struct number n, unsigned length, bool six, bool remote)
{
    uint64_t tag = length << 2 | (unsigned)six << 1 | (unsigned)remote;
    return hash_u64(n.hi ^ (n.lo * 0x9e3779b97f4a7c15u + tag * 0xc2b2ae3d27d4eb4fu));
}

static struct prefix *prefix_find(const struct classifier *c, struct number n, unsigned length, bool six,
                                  bool remote)
{
    for (struct hash_node *i = hash_first(&c->prefixes, prefix_hash(n, length, six, remote)); i;
         i = hash_next(i)) {
        struct prefix *p = (struct prefix *)i;
        if (p->addr.hi == n.hi && p->addr.lo == n.lo && p->length == length && p->six == six &&
            p->remote == remote)
            return p;
    }
    return NULL;
}

static uint64_t pair_hash(const struct prefix *local, const struct prefix *remote)
{
    return hash_u64((uint64_t)local->id << 32 | remote->id);
}

static struct pair *pair_find(const struct classifier *c, const struct prefix *local,
                              const struct prefix *remote)
{
    for (struct hash_node *i = hash_first(&c->pairs, pair_hash(local, remote)); i; i = hash_next(i)) {
        struct pair *p = (struct pair *)i;
        if (p->local == local && p->remote == remote)
            return p;
    }
    return NULL;
}

static uint16_t leading(uint16_t port, unsigned bits)
{
    return (uint16_t)(port & (0xffff0000u >> bits));
}

static uint64_t cell_hash(const struct pair *p, unsigned proto, unsigned local_bits, unsigned remote_bits,
                          uint16_t local_port, uint16_t remote_port)
{
    uint64_t ports = (uint64_t)p->id << 32 | (uint32_t)local_port << 16 | remote_port;
    return hash_u64(ports ^ (proto << 16 | local_bits << 8 | remote_bits) * 0x9e3779b97f4a7c15u);
}

static struct cell *cell_find(const struct classifier *c, const struct pair *p, const struct shape *s,
                              uint16_t local_port, uint16_t remote_port)
{
    uint16_t l = leading(local_port, s->local_bits), r = leading(remote_port, s->remote_bits);
    for (struct hash_node *i =
             hash_first(&c->cells, cell_hash(p, s->proto, s->local_bits, s->remote_bits, l, r));
         i; i = hash_next(i)) {
        struct cell *k = (struct cell *)i;
        if (k->pair == p && k->local_port == l && k->remote_port == r && k->proto == s->proto &&
            k->local_bits == s->local_bits && k->remote_bits == s->remote_bits)
            return k;
    }
    return NULL;
}

// ---- the packet's way

static uint64_t slot_bit(unsigned length, bool six) // of IPv6 two lengths share one
{
    return 1ull << (six ? (length < 128 ? length / 2 : 63) : length);
}

static uint64_t partner_bit(const struct prefix *p)
{
    return 1ull << (p->node.hash >> 58);
}

struct side { // the prefixes around one of the packet's addresses
    struct prefix *found[CLASS_LENGTHS];
    unsigned count;
    uint64_t slots, partners;
};

static void look_around(const struct classifier *c, const uint8_t *addr, bool six, bool remote,
                        struct side *s)
{
    const struct class_lengths *l = &c->lengths[six][remote];
    struct number n = number_of(addr, six);
    s->count = 0;
    s->slots = s->partners = 0;
    for (unsigned i = 0; i < l->count; i++) {
        struct prefix *p = prefix_find(c, masked(n, l->length[i]), l->length[i], six, remote);
        if (p) {
            s->found[s->count++] = p;
            s->slots |= slot_bit(p->length, six);
            s->partners |= partner_bit(p);
        }
    }
}

struct ports { // as seen from the rules' sides
    uint16_t local, remote;
};

static void look_in_pair(const struct classifier *c, const struct pair *p, const struct fields *f,
                         struct ports at, struct class_match *m)
{
    for (unsigned i = 0; i < p->count; i++) {
        const struct shape *s = &p->shapes[i];
        bool needs_ports = s->local_bits || s->remote_bits;
        if (s->best >= m->rank)
            return;
        if (s->proto && s->proto != f->proto && !f->hidden)
            continue;
        if ((needs_ports && !f->ports) || (s->proto && f->hidden)) {
            if (f->unseen && s->best < m->could)
                m->could = s->best;
            continue;
        }
        const struct cell *k = cell_find(c, p, s, at.local, at.remote);
        if (k && k->rules->rank < m->rank) {
            m->rank = k->rules->rank;
            m->of = k->rules->of;
        }
    }
}

struct class_match classifier_find(const struct classifier *c, const struct fields *f, bool reverse)
{
    struct class_match m = {.rank = UINT64_MAX, .could = UINT64_MAX};
    struct side local, remote;
    bool six = f->family == 6;
    struct ports at = {reverse ? f->dport : f->sport, reverse ? f->sport : f->dport};
    look_around(c, reverse ? f->dst : f->src, six, false, &local);
    if (!local.count)
        return m;
    look_around(c, reverse ? f->src : f->dst, six, true, &remote);
    for (unsigned i = 0; i < remote.count; i++) {
        const struct prefix *r = remote.found[i];
        if (!(r->slots & local.slots) || !(r->partners & local.partners) || r->best >= m.rank)
            continue;
        for (unsigned j = 0; j < local.count; j++) {
            const struct prefix *l = local.found[j];
            if (!(r->partners & partner_bit(l)) || !(l->partners & partner_bit(r)) ||
                !(r->slots & slot_bit(l->length, six)) || l->best >= m.rank)
                continue;
            const struct pair *p = pair_find(c, l, r);
            if (p && p->best < m.rank)
                look_in_pair(c, p, f, at, &m);
        }
    }
    return m;
}

// ---- adding

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

static struct prefix *prefix_get(struct classifier *c, const uint8_t *addr, unsigned length, bool six,
                                 bool remote)
{
    struct number n = masked(number_of(addr, six), length);
    struct prefix *p = prefix_find(c, n, length, six, remote);
    if (p)
        return p;
    if (!(p = calloc(1, sizeof(*p))))
        return NULL;
    *p = (struct prefix){.addr = n,
                         .six = six,
                         .remote = remote,
                         .length = (uint8_t)length,
                         .id = ++c->next_id,
                         .best = UINT64_MAX};
    if (hash_add(&c->prefixes, &p->node, prefix_hash(n, length, six, remote)) < 0) {
        free(p);
        return NULL;
    }
    length_use(&c->lengths[six][remote], length);
    return p;
}

static void prefix_put(struct classifier *c, struct prefix *p)
{
    if (p->users)
        return;
    hash_del(&c->prefixes, &p->node);
    length_unuse(&c->lengths[p->six][p->remote], p->length);
    free(p);
}

static struct pair *pair_get(struct classifier *c, struct prefix *l, struct prefix *r)
{
    struct pair *p = pair_find(c, l, r);
    if (p)
        return p;
    if (!(p = calloc(1, sizeof(*p))))
        return NULL;
    *p = (struct pair){.local = l, .remote = r, .best = UINT64_MAX, .id = ++c->next_id};
    if (hash_add(&c->pairs, &p->node, pair_hash(l, r)) < 0) {
        free(p);
        return NULL;
    }
    l->users++;
    r->users++;
    l->slots |= slot_bit(r->length, r->six);
    r->slots |= slot_bit(l->length, l->six);
    l->partners |= partner_bit(r);
    r->partners |= partner_bit(l);
    return p;
}

static void pair_put(struct classifier *c, struct pair *p)
{
    if (p->count)
        return;
    hash_del(&c->pairs, &p->node);
    p->local->users--;
    p->remote->users--;
    prefix_put(c, p->local);
    prefix_put(c, p->remote);
    free(p->shapes);
    free(p);
}

static struct shape *shape_find(struct pair *p, uint8_t proto, uint8_t local_bits, uint8_t remote_bits)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct shape *s = &p->shapes[i];
        if (s->proto == proto && s->local_bits == local_bits && s->remote_bits == remote_bits)
            return s;
    }
    return NULL;
}

// Puts a shape whose best has become better where it belongs.
static void shape_rise(struct pair *p, struct shape *s)
{
    for (; s > p->shapes && s[-1].best > s->best; s--) {
        struct shape other = s[-1];
        s[-1] = *s;
        *s = other;
    }
}

static struct shape *shape_get(struct pair *p, struct shape want)
{
    struct shape *s = shape_find(p, want.proto, want.local_bits, want.remote_bits);
    if (s)
        return s;
    s = realloc(p->shapes, (p->count + 1) * sizeof(*s));
    if (!s)
        return NULL;
    p->shapes = s;
    want.best = UINT64_MAX;
    s[p->count] = want;
    return &s[p->count++];
}

static void shape_put(struct pair *p, struct shape *s)
{
    if (s->users)
        return;
    p->count--;
    memmove(s, s + 1, (size_t)(p->shapes + p->count - s) * sizeof(*s));
}

static struct cell *cell_get(struct classifier *c, struct pair *p, struct shape want, uint16_t local_port,
                             uint16_t remote_port)
{
    struct shape *s = shape_get(p, want);
    struct cell *k = s ? cell_find(c, p, s, local_port, remote_port) : NULL;
    if (k || !s)
        return k;
    k = calloc(1, sizeof(*k));
    if (k) {
        *k = (struct cell){.pair = p,
                           .proto = s->proto,
                           .local_bits = s->local_bits,
                           .remote_bits = s->remote_bits,
                           .local_port = local_port,
                           .remote_port = remote_port};
        if (hash_add(&c->cells, &k->node,
                     cell_hash(p, s->proto, s->local_bits, s->remote_bits, local_port, remote_port)) < 0) {
            free(k);
            k = NULL;
        }
    }
    if (k)
        s->users++;
    else
        shape_put(p, s);
    return k;
}

static void cell_put(struct classifier *c, struct cell *k)
{
    struct pair *p = k->pair;
    if (k->rules)
        return;
    struct shape *s = shape_find(p, k->proto, k->local_bits, k->remote_bits);
    s->users--;
    shape_put(p, s);
    hash_del(&c->cells, &k->node);
    free(k);
    pair_put(c, p);
}

static void note_rank(struct cell *k, uint64_t rank)
{
    struct pair *p = k->pair;
    struct shape *s = shape_find(p, k->proto, k->local_bits, k->remote_bits);
    if (rank < s->best) {
        s->best = rank;
        shape_rise(p, s);
    }
    if (rank < p->best)
        p->best = rank;
    if (rank < p->local->best)
        p->local->best = rank;
    if (rank < p->remote->best)
        p->remote->best = rank;
}

// What is being added, one prefix and one port block after the other.
struct adding {
    struct classifier *c;
    struct class_rules *mine;
    const struct ts *local, *remote;
    uint64_t rank;
    void *of;
    struct {
        uint8_t addr[16];
        unsigned length;
    } near; // the local prefix
    int rc;
};

static void add_rule(struct adding *a, struct cell *k, struct class_rule *r)
{
    struct class_rule **at = &k->rules;
    while (*at && (*at)->rank <= a->rank)
        at = &(*at)->next;
    *r = (struct class_rule){.next = *at, .sibling = a->mine->first, .cell = k, .rank = a->rank, .of = a->of};
    *at = r;
    a->mine->first = r;
    a->mine->count++;
    a->c->rules++;
    note_rank(k, a->rank);
}

struct block { // of ports
    uint16_t first;
    uint8_t bits;
};

static unsigned blocks_of(const struct ts *t, struct block *out) // at most 30
{
    unsigned n = 0;
    uint32_t at = t->port_lo, end = t->port_hi;
    while (at <= end) {
        uint32_t size = at ? at & (~at + 1) : 65536;
        while (at + size - 1 > end)
            size /= 2;
        out[n++] = (struct block){(uint16_t)at, (uint8_t)(16 - __builtin_ctz(size))};
        at += size;
    }
    return n;
}

static int add_ports(struct adding *a, struct pair *p)
{
    struct block local[32], remote[32];
    unsigned n = blocks_of(a->local, local), m = blocks_of(a->remote, remote);
    uint8_t proto = a->local->proto ? a->local->proto : a->remote->proto;
    for (unsigned i = 0; i < n * m; i++) {
        struct block l = local[i / m], r = remote[i % m];
        struct shape want = {.proto = proto, .local_bits = l.bits, .remote_bits = r.bits};
        if (a->mine->count >= CLASS_RULES_MAX)
            return -E2BIG;
        struct class_rule *rule = calloc(1, sizeof(*rule));
        struct cell *k = rule ? cell_get(a->c, p, want, l.first, r.first) : NULL;
        if (!k) {
            free(rule);
            return -ENOMEM;
        }
        add_rule(a, k, rule);
    }
    return 0;
}

static void add_far(void *ctx, const uint8_t *addr, unsigned length)
{
    struct adding *a = ctx;
    bool six = a->local->family == 6;
    if (a->rc < 0)
        return;
    a->rc = -ENOMEM;
    struct prefix *l = prefix_get(a->c, a->near.addr, a->near.length, six, false), *r = NULL;
    struct pair *p = NULL;
    if (l && (r = prefix_get(a->c, addr, length, six, true)))
        p = pair_get(a->c, l, r);
    if (p) {
        a->rc = add_ports(a, p);
        pair_put(a->c, p); // where nothing has come into it
        return;
    }
    if (l)
        prefix_put(a->c, l);
    if (r)
        prefix_put(a->c, r);
}

static void add_near(void *ctx, const uint8_t *addr, unsigned length)
{
    struct adding *a = ctx;
    memcpy(a->near.addr, addr, 16);
    a->near.length = length;
    if (a->rc == 0)
        ts_prefixes(a->remote, add_far, a);
}

int classifier_add(struct classifier *c, struct selectors local, struct selectors remote, uint64_t rank,
                   void *of, struct class_rules *mine, struct esp_error *err)
{
    struct adding a = {.c = c, .mine = mine, .rank = rank, .of = of};
    for (unsigned i = 0; i < local.count && a.rc == 0; i++) {
        for (unsigned j = 0; j < remote.count && a.rc == 0; j++) {
            a.local = &local.t[i];
            a.remote = &remote.t[j];
            if (!a.local->family || a.local->family != a.remote->family ||
                (a.local->proto && a.remote->proto && a.local->proto != a.remote->proto))
                continue;
            ts_prefixes(a.local, add_near, &a);
        }
    }
    if (a.rc == 0)
        return 0;
    classifier_remove(c, mine);
    char text[128];
    if (a.rc == -E2BIG)
        return esp_fail(err, a.rc, "selectors", "%.100s splits into more than %d prefixes and port blocks",
                        ts_print(a.remote, text, sizeof(text)), CLASS_RULES_MAX);
    return esp_fail(err, a.rc, "selectors", "out of memory");
}

void classifier_remove(struct classifier *c, struct class_rules *mine)
{
    for (struct class_rule *r = mine->first, *next; r; r = next) {
        struct class_rule **at = &r->cell->rules;
        next = r->sibling;
        while (*at != r)
            at = &(*at)->next;
        *at = r->next;
        c->rules--;
        cell_put(c, r->cell);
        free(r);
    }
    *mine = (struct class_rules){0};
}

void classifier_free(struct classifier *c)
{
    hash_free(&c->prefixes);
    hash_free(&c->pairs);
    hash_free(&c->cells);
}
