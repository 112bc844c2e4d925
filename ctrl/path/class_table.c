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
    size_t at = class_home(t, hash);
    while (t->tag[at])
        at = class_wrap(t, at + 1);
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

static void move(struct class_table *to, size_t at, const struct class_table *from, size_t i)
{
    memcpy(class_at(to, at), class_at(from, i), entry(from));
    set_tag(to, at, from->tag[i]);
    if (from->halves)
        to->note[at] = from->note[i];
}

static void ask_huge_pages(uintptr_t from,
                           size_t octets) // a wish: random access to small ones costs page walks
{
    uintptr_t first = (from + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (octets >= 2 * HUGE_PAGE)
        (void)madvise((void *)first, (from + octets - first) & ~(uintptr_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
}

// By a quarter: what is empty is memory too, a hundred octets an entry.
static bool grow(struct class_table *t)
{
    struct class_table bigger = {.size = t->size ? t->size + t->size / 4 : FIRST_SIZE,
                                 .count = t->count,
                                 .without_b = t->without_b,
                                 .halves = t->halves};
    size_t lines = bigger.size * entry(t), notes = t->halves ? bigger.size * sizeof(uint64_t) : 0,
           octets = lines + notes + bigger.size + MIRRORED;
    bigger.memory = calloc(1, octets + sizeof(struct class_line));
    if (!bigger.memory)
        return false;
    uintptr_t from = ((uintptr_t)bigger.memory + 63) & ~(uintptr_t)63;
    bigger.line = (struct class_line *)from;
    bigger.note = (uint64_t *)(from + lines);
    bigger.tag = (uint8_t *)(from + lines + notes);
    ask_huge_pages(from, octets);
    for (size_t i = 0; i < t->size; i++)
        if (t->tag[i])
            move(&bigger, free_place(&bigger, class_hash(t, class_at(t, i)->key)), t, i);
    free(t->memory);
    *t = bigger;
    return true;
}

void *class_put(struct class_table *t, struct class_key k)
{
    uint64_t hash = class_hash(t, k);
    if (5 * (t->count + 1) > 3 * t->size && !grow(t)) // three fifths full at most
        return NULL;
    size_t at = free_place(t, hash);
    struct class_line *l = class_at(t, at);
    memset(l, 0, entry(t));
    l->key = k;
    set_tag(t, at, class_tag(hash));
    if (t->halves)
        t->note[at] = 0;
    t->count++;
    return l;
}

static size_t steps(const struct class_table *t, size_t from, size_t to)
{
    return to >= from ? to - from : to + t->size - from;
}

void class_take(struct class_table *t, void *line)
{
    size_t hole = (size_t)((char *)line - (char *)t->line) / entry(t);
    for (size_t i = class_wrap(t, hole + 1); t->tag[i]; i = class_wrap(t, i + 1)) {
        size_t home = class_home(t, class_hash(t, class_at(t, i)->key));
        if (steps(t, home, i) >= steps(t, hole, i)) { // it may stand in the hole
            move(t, hole, t, i);
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
