// SPDX-License-Identifier: Apache-2.0
// The hash table of hash.h for nodes under 64-bit numbers. Several nodes may have one key, the newest comes
// first:
//
//   for (n = table_find(&t, key); n; n = table_next(n))
//
// Numbers that are there only once have smaller nodes: struct table_one, with table_put, table_get,
// table_take and table_pop_one. A table has nodes of one kind.
//
// Keys are ours (numbers that we gave out) or random; a caller with keys off the wire mixes a secret in.
#ifndef CTRL_TABLE_H
#define CTRL_TABLE_H

#include "ctrl/lib/hash.h"

struct table_node {
    struct hash_node hash; // first: a node is found by it. It stands for the key
};
struct table_one {
    struct hash_one hash; // likewise
};
struct table { // all zero: empty
    struct hash hash;
};

static inline size_t table_count(const struct table *t)
{
    return t->hash.count;
}
static inline struct table_node *table_node_of(struct hash_node *n)
{
    return (struct table_node *)(void *)n;
}
static inline bool table_add(struct table *t, struct table_node *n, uint64_t key)
{
    return hash_add(&t->hash, &n->hash, hash_u64(key)) == 0;
}
static inline bool table_room(struct table *t, size_t n)
{
    return hash_room(&t->hash, n) == 0;
}
// hash_u64 maps no two keys to one hash: what has the hash has the key.
static inline struct table_node *table_find(const struct table *t, uint64_t key)
{
    return table_node_of(hash_first(&t->hash, hash_u64(key)));
}
static inline struct table_node *table_next(const struct table_node *n)
{
    return table_node_of(hash_next(&n->hash));
}
static inline void table_del(struct table *t, struct table_node *n) // which may not be in it
{
    hash_del(&t->hash, &n->hash);
}
// Takes out any node, to empty the table with; NULL: it is empty.
static inline struct table_node *table_pop(struct table *t)
{
    return table_node_of(hash_pop(&t->hash));
}
static inline struct table_one *table_one_of(struct hash_one *n)
{
    return (struct table_one *)(void *)n;
}
static inline bool table_put(struct table *t, struct table_one *n, uint64_t key) // false too: it is there
{
    return hash_put(&t->hash, &n->hash, hash_u64(key)) == 0;
}
static inline struct table_one *table_get(const struct table *t, uint64_t key) // NULL: it is not there
{
    return table_one_of(hash_only(&t->hash, hash_u64(key)));
}
static inline void table_take(struct table *t, struct table_one *n) // which may not be in it
{
    hash_take(&t->hash, &n->hash);
}
static inline struct table_one *table_pop_one(struct table *t)
{
    return table_one_of(hash_pop_one(&t->hash));
}
static inline void table_free(struct table *t) // its slots; the nodes are the caller's
{
    hash_free(&t->hash);
}

#endif
