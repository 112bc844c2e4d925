// SPDX-License-Identifier: Apache-2.0
// A hash table of embedded nodes under 64-bit keys that grows with its content, so that a look-up stays O(1)
// at any number of SAs. Keys are ours (numbers that we gave out) or random; a caller with keys off the wire
// mixes a secret in.
#ifndef CTRL_IKE_TABLE_H
#define CTRL_IKE_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct table_node {
    struct table_node *next;
    uint64_t key;
};
struct table {
    struct table_node **slots;
    unsigned size, count; // size: 0 or a power of two
};

static inline unsigned table_slot(const struct table *t, uint64_t key)
{
    return (unsigned)((key * 0x9e3779b97f4a7c15u) >> 32) & (t->size - 1);
}
static inline bool table_grow(struct table *t)
{
    struct table bigger = {.size = t->size ? t->size * 2 : 64};
    bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
    if (!bigger.slots)
        return t->size > 0; // the old one still works
    for (unsigned i = 0; i < t->size; i++) {
        for (struct table_node *n = t->slots[i], *next; n; n = next) {
            unsigned s = table_slot(&bigger, n->key);
            next = n->next;
            n->next = bigger.slots[s];
            bigger.slots[s] = n;
        }
    }
    bigger.count = t->count;
    free(t->slots);
    *t = bigger;
    return true;
}
static inline bool table_add(struct table *t, struct table_node *n, uint64_t key)
{
    if (t->count >= t->size && !table_grow(t))
        return false;
    unsigned s = table_slot(t, key);
    n->key = key;
    n->next = t->slots[s];
    t->slots[s] = n;
    t->count++;
    return true;
}
static inline struct table_node *table_find(const struct table *t, uint64_t key)
{
    struct table_node *n = t->size ? t->slots[table_slot(t, key)] : NULL;
    while (n && n->key != key)
        n = n->next;
    return n;
}
static inline void table_del(struct table *t, struct table_node *n)
{
    struct table_node **p = t->size ? &t->slots[table_slot(t, n->key)] : NULL;
    while (p && *p && *p != n)
        p = &(*p)->next;
    if (p && *p) {
        *p = n->next;
        t->count--;
    }
}
// Takes out any node, to empty the table with; NULL: it is empty.
static inline struct table_node *table_pop(struct table *t)
{
    for (unsigned i = 0; i < t->size; i++) {
        struct table_node *n = t->slots[i];
        if (n) {
            t->slots[i] = n->next;
            t->count--;
            return n;
        }
    }
    return NULL;
}

#endif
