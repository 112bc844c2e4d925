// SPDX-License-Identifier: Apache-2.0
// The hash table of all processes: nodes embedded in what they index, grown with the content, so that a
// look-up costs the same at ten entries and at a hundred thousand: one access to the table, in most cases,
// which knows 16 bits of each hash, so that nodes of other hashes are hardly ever looked at. The caller
// hashes its key and compares what it finds; several nodes may have one hash, the newest comes first.
//
//   for (n = hash_first(&t, h); n; n = hash_next(n))
//       if (same_key(n)) ...
//
// Where no two have one hash, as where it stands for a number that is only there once, a node is a third as
// long: struct hash_one, with hash_put, hash_only, hash_take and hash_pop_one. A table has nodes of one kind.
//
// Keys that a stranger chooses are hashed with a secret (hash_bytes with a random seed). All 64 bits of a
// hash count.
#ifndef CTRL_HASH_H
#define CTRL_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_one {
    uint64_t hash;
};
struct hash_node {
    struct hash_one one;           // first: places of a table point to it
    struct hash_node *next, *prev; // of the same hash; both NULL outside a table
};
enum { HASH_GROUP = 6 };
struct hash_group { // a cache line
    uint16_t tag[HASH_GROUP];
    uint32_t past; // nodes that stand in a later group, as there was no room here or before
    struct hash_one *node[HASH_GROUP]; // the newest of its hash; NULL: empty
};
struct hash {                  // all zero: empty
    struct hash_group *groups; // in `memory`
    void *memory;
    size_t size, used, count; // groups; hashes; nodes
    size_t from;              // nothing is in the places before it
};

// Spreads a number over all bits of the result (a bijection).
static inline uint64_t hash_u64(uint64_t x)
{
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}
uint64_t hash_bytes(uint64_t seed, const void *p, size_t n); // SipHash-1-3 under seed
// SipHash-2-4 of 128 bits: a MAC of what is short. Who does not know the key can make none.
enum { HASH_MAC_LEN = 16 };
void hash_mac(const uint8_t key[16], const void *p, size_t n, uint8_t out[HASH_MAC_LEN]);
uint64_t hash_str(uint64_t seed, const char *s);

// 0, or -ENOMEM: nothing has changed. A table that cannot grow goes on until it is nearly full.
int hash_add(struct hash *t, struct hash_node *n, uint64_t hash);
// Room for n more, so that adding them needs no memory. 0, or -ENOMEM: nothing has changed.
int hash_room(struct hash *t, size_t n);
// At once, however many have its hash. It may not be in it: all zero, or taken out before.
void hash_del(struct hash *t, struct hash_node *n);
// The same of a node that is to be the only one of its hash: -EEXIST where another one has it.
int hash_put(struct hash *t, struct hash_one *n, uint64_t hash);
void hash_take(struct hash *t, struct hash_one *n);
void hash_free(struct hash *t); // its groups; the nodes are the caller's

// Where the search for it begins: the hash's upper half, as a part of the whole, of as many groups. They need
// not be a power of two, so that a table that grows is not half empty.
static inline size_t hash_home(const struct hash *t, uint64_t hash)
{
    return (size_t)((hash >> 32) * t->size >> 32);
}
static inline size_t hash_behind(const struct hash *t, size_t group)
{
    return group + 1 < t->size ? group + 1 : 0;
}
// The one with that hash, or NULL.
static inline struct hash_one *hash_only(const struct hash *t, uint64_t hash)
{
    uint16_t tag = (uint16_t)hash;
    size_t at = hash_home(t, hash);
    for (size_t left = t->size; left; left--, at = hash_behind(t, at)) {
        const struct hash_group *g = &t->groups[at];
        for (unsigned i = 0; i < HASH_GROUP; i++)
            if (g->tag[i] == tag && g->node[i] && g->node[i]->hash == hash)
                return g->node[i];
        if (!g->past)
            break;
    }
    return NULL;
}
static inline struct hash_node *hash_first(const struct hash *t, uint64_t hash)
{
    return (struct hash_node *)(void *)hash_only(t, hash);
}
static inline void hash_ask(const struct hash *t, uint64_t hash) // it will be looked for
{
    if (t->size)
        __builtin_prefetch(&t->groups[hash_home(t, hash)]);
}
static inline struct hash_node *hash_next(const struct hash_node *n)
{
    return n->next;
}
// Any node, taken out: to empty the table with. NULL: it is empty.
struct hash_node *hash_pop(struct hash *t);
struct hash_one *hash_pop_one(struct hash *t);
// All nodes in no order: start with NULL; NULL ends it. Nothing may be added or removed meanwhile.
struct hash_node *hash_each(const struct hash *t, const struct hash_node *after);

#endif
