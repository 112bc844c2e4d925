// SPDX-License-Identifier: Apache-2.0
// The hash table of all processes: nodes embedded in what they index, chained, grown with the content, so
// that a look-up costs the same at ten entries and at a hundred thousand. The caller hashes its key and
// compares what it finds; several nodes may have one hash, the newest comes first.
//
//   for (n = hash_first(&t, h); n; n = hash_next(n))
//       if (same_key(n)) ...
//
// Keys that a stranger chooses are hashed with a secret (hash_bytes with a random seed).
#ifndef CTRL_HASH_H
#define CTRL_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};
struct hash { // all zero: empty
    struct hash_node **slots;
    size_t size, count; // size: 0 or a power of two
};

// Spreads a number over all bits of the result (a bijection).
static inline uint64_t hash_u64(uint64_t x)
{
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}
uint64_t hash_bytes(uint64_t seed, const void *p, size_t n); // SipHash-1-3 under seed
uint64_t hash_str(uint64_t seed, const char *s);

// 0, or -ENOMEM: nothing has changed. Fails only while the table has no slots at all: a table that cannot
// grow goes on with longer chains.
int hash_add(struct hash *t, struct hash_node *n, uint64_t hash);
void hash_del(struct hash *t, struct hash_node *n); // which may not be in it
void hash_free(struct hash *t);                     // its slots; the nodes are the caller's

static inline struct hash_node *hash_same(struct hash_node *n, uint64_t hash)
{
    while (n && n->hash != hash)
        n = n->next;
    return n;
}
static inline struct hash_node *hash_first(const struct hash *t, uint64_t hash)
{
    return t->size ? hash_same(t->slots[hash & (t->size - 1)], hash) : NULL;
}
static inline struct hash_node *hash_next(const struct hash_node *n)
{
    return hash_same(n->next, n->hash);
}
// Any node, taken out: to empty the table with. NULL: it is empty.
struct hash_node *hash_pop(struct hash *t);
// All nodes in no order: start with NULL; NULL ends it. Nothing may be added or removed meanwhile.
struct hash_node *hash_each(const struct hash *t, const struct hash_node *after);

#endif
