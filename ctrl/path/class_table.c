// SPDX-License-Identifier: Apache-2.0
// See class_table.h. Linear probing; what is removed is filled from behind.
#include "ctrl/path/class_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_SIZE 16
#define MIRRORED   8
#define HUGE_PAGE  (2u << 20)

_Static_assert(sizeof(struct class_line) == 64, "one cache line");

static size_t free_place(const struct class_table *t, uint64_t hash)
{
    size_t at = hash & (t->size - 1);
    while (t->tag[at])
        at = (at + 1) & (t->size - 1);
    return at;
}

static void set_tag(struct class_table *t, size_t at, uint8_t tag)
{
    t->tag[at] = tag;
    if (at < MIRRORED)
        t->tag[t->size + at] = tag;
}

static size_t entry(const struct class_table *t)
{
    return sizeof(struct class_line) / (t->halves ? 2 : 1);
}

static bool grow(struct class_table *t)
{
    struct class_table bigger = {.size = t->size ? 2 * t->size : FIRST_SIZE,
                                 .count = t->count,
                                 .without_b = t->without_b,
                                 .halves = t->halves};
    size_t octets = bigger.size * entry(t);
    bigger.memory = calloc(1, octets + 9 * bigger.size + MIRRORED + sizeof(struct class_line));
    if (!bigger.memory)
        return false;
    uintptr_t from = ((uintptr_t)bigger.memory + 63) & ~(uintptr_t)63;
    bigger.line = (struct class_line *)from;
    bigger.note = (uint64_t *)(from + octets);
    bigger.tag = (uint8_t *)(bigger.note + bigger.size);
    if (octets >= 2 * HUGE_PAGE) { // a wish: random access to small pages costs a page walk each
        uintptr_t first = (from + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
        (void)madvise((void *)first, (from + octets + 9 * bigger.size - first) & ~(uintptr_t)(HUGE_PAGE - 1),
                      MADV_HUGEPAGE);
    }
    for (size_t i = 0; i < t->size; i++) {
        if (t->tag[i]) {
            size_t at = free_place(&bigger, class_hash(t, class_at(t, i)->key));
            memcpy(class_at(&bigger, at), class_at(t, i), entry(t));
            set_tag(&bigger, at, t->tag[i]);
            bigger.note[at] = t->note[i];
        }
    }
    free(t->memory);
    *t = bigger;
    return true;
}

void *class_put(struct class_table *t, struct class_key k)
{
    uint64_t hash = class_hash(t, k);
    if (3 * (t->count + 1) > 2 * t->size && !grow(t)) // two thirds full at most
        return NULL;
    size_t at = free_place(t, hash);
    struct class_line *l = class_at(t, at);
    memset(l, 0, entry(t));
    l->key = k;
    set_tag(t, at, class_tag(hash));
    t->note[at] = 0;
    t->count++;
    return l;
}

void class_take(struct class_table *t, void *line)
{
    size_t mask = t->size - 1, hole = (size_t)((char *)line - (char *)t->line) / entry(t);
    for (size_t i = (hole + 1) & mask; t->tag[i]; i = (i + 1) & mask) {
        size_t home = class_hash(t, class_at(t, i)->key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) { // it may stand in the hole
            memcpy(class_at(t, hole), class_at(t, i), entry(t));
            set_tag(t, hole, t->tag[i]);
            t->note[hole] = t->note[i];
            hole = i;
        }
    }
    set_tag(t, hole, 0);
    t->count--;
}

void class_table_free(struct class_table *t)
{
    free(t->memory);
    *t = (struct class_table){.without_b = t->without_b, .halves = t->halves};
}
