// SPDX-License-Identifier: Apache-2.0
// How the classifier keeps rules: prefixes, pairs of them, and the rules of a pair by protocol and ports.
// Ranks and notes kept at prefixes, pairs and shapes are bounds: what is removed leaves them as they are,
// which may cost a look-up in vain, and can let `could` err on the closed side.
#ifndef CTRL_PATH_CLASS_RULES_H
#define CTRL_PATH_CLASS_RULES_H

#include <string.h>

#include "ctrl/path/classifier.h"

struct class_prefix {
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
enum need { // what a rule asks of a packet
    NEED_NOTHING,
    NEED_PORTS,
    NEED_HIDDEN, // OPAQUE: that it does not show its ports
    NEED_BOTH,   // no packet has that
};
enum pair_kind { PAIR_ONE, PAIR_FEW, PAIR_MANY };
struct class_pair {
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
_Static_assert(sizeof(struct class_prefix) <= 32 && sizeof(struct class_pair) <= 64 &&
                   sizeof(struct cell) <= 64,
               "entries of a class_table");

// Shapes of protocol and ports that occur in a pair; port bits: how many leading ones are looked at.
struct shape {
    uint64_t best;
    uint32_t users;                  // cells
    uint8_t proto;                   // 0: any
    uint8_t local_bits, remote_bits; // OPAQUE_BITS: none of them
};
#define OPAQUE_BITS 31
struct shapes {
    uint64_t id; // never used twice
    unsigned count, room;
    struct shape s[]; // by best
};

#define IN_USE (1ull << 63)

static inline struct class_key address_key(const uint8_t *a, bool six)
{
    struct class_key n = {0, 0, 0};
    for (int i = 0; i < (six ? 8 : 4); i++)
        n.a |= (uint64_t)a[i] << (56 - 8 * i);
    for (int i = 8; six && i < 16; i++)
        n.b |= (uint64_t)a[i] << (56 - 8 * (i - 8));
    return n;
}

static inline struct class_key prefix_key(struct class_key n, unsigned length, bool six, bool remote)
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
static inline struct class_key pair_key(struct class_key local, struct class_key remote)
{
    bool six = local.c & 2;
    struct class_key k = {local.a | remote.a >> 32, 0,
                          IN_USE | (local.c & 0xffff) << 16 | (remote.c & 0xffff)};
    if (six)
        k.a = hash_u64(local.a + hash_u64(local.b + hash_u64(remote.a + hash_u64(remote.b))));
    return k;
}

static inline bool same_key(struct class_key x, struct class_key y)
{
    return x.a == y.a && x.b == y.b && x.c == y.c;
}

// At or behind where class_aim has said. The prefixes are looked at of IPv6 alone.
static inline struct class_pair *pair_get(const struct class_table *t, struct class_key k, uint64_t hash,
                                          size_t at, const struct class_key *local,
                                          const struct class_key *remote)
{
    for (; at != SIZE_MAX; at = class_aim_from(t, at + 1, hash)) {
        struct class_pair *p = (struct class_pair *)class_at(t, at);
        const struct ends *e = (const struct ends *)(uintptr_t)p->key.b;
        if (p->key.a == k.a && p->key.c == k.c &&
            (!e || (same_key(e->local, *local) && same_key(e->remote, *remote))))
            return p;
    }
    return NULL;
}

static inline uint16_t leading(uint16_t port, unsigned bits)
{
    return (uint16_t)(port & (0xffff0000u >> bits));
}

struct ports { // as seen from the rules' sides
    uint16_t local, remote;
};

static inline struct class_key cell_key(const struct class_pair *p, const struct shape *s, struct ports at)
{
    uint64_t shape = (uint64_t)s->proto << 10 | (unsigned)s->local_bits << 5 | s->remote_bits;
    uint32_t ports = (uint32_t)leading(at.local, s->local_bits) << 16 | leading(at.remote, s->remote_bits);
    return (struct class_key){p->shapes->id, 0, IN_USE | shape << 32 | ports};
}

static inline struct cell *cell_find(const struct classifier *c, const struct class_pair *p,
                                     const struct shape *s, struct ports at)
{
    return class_find(&c->cells, cell_key(p, s, at));
}

static inline uint64_t prefix_bit(uint64_t hash) // its place in others' notes
{
    return (uint64_t)(1ull << (hash >> 48 & 63));
}

// class_pairs.c: the rules of one pair. 0 or -ENOMEM.
int class_pair_add(struct classifier *c, struct class_pair *p, const struct traffic *t,
                   struct class_rule rule);
void class_pair_remove(struct classifier *c, struct class_pair *p, const struct traffic *t,
                       struct class_rule rule);
void class_pair_free(struct class_pair *p);    // of rules that are all removed
unsigned class_cells(const struct traffic *t); // that a rule takes in a pair of many

#endif
