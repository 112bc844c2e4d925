// SPDX-License-Identifier: Apache-2.0
// The classifier's tables: entries of one cache line each, or of half of one, in the table itself, found by a
// key of three words (open addressing, at most three fifths full). Of each entry an octet of its hash, and of
// halves a note of 64 bits, stand in arrays of their own, which stay in the cache when the entries do not:
// what is not there costs no access to memory, what is there one, and where the note is enough, none. All can
// be asked for early: class_ask for many keys, then class_places and class_notes, or class_aim and class_get.
// Entries move when the table grows or something is removed: nobody keeps a pointer to one.
#ifndef CTRL_PATH_CLASS_TABLE_H
#define CTRL_PATH_CLASS_TABLE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ctrl/lib/hash.h"

struct class_key {
    uint64_t a, b, c;
};
struct class_line { // whatever an entry is to its owner
    struct class_key key;
    uint64_t rest[5]; // one in `halves`
} __attribute__((may_alias));
struct class_table { // all zero: empty
    struct class_line *line;
    uint8_t *tag;       // 0: empty; behind them the first seven again, so that eight can be read from any
    uint64_t *note;     // its owner's, of halves
    size_t size, count; // places, entries
    void *memory;
    bool without_b; // b has no part in the hash
    bool halves;    // entries are half as long
};
static inline struct class_line *class_at(const struct class_table *t, size_t at)
{
    return (struct class_line *)((char *)t->line + (at << (t->halves ? 5 : 6)));
}

static inline uint64_t class_hash(const struct class_table *t, struct class_key k)
{
    uint64_t b = t->without_b ? 0 : k.b;
    return hash_u64(k.a ^ (b * 0x9e3779b97f4a7c15u + k.c * 0xc2b2ae3d27d4eb4fu));
}
static inline uint8_t class_tag(uint64_t hash)
{
    return (uint8_t)(hash | 1);
}
// Where it stands if there is room: the hash's upper half, as a part of the whole, of as many places. They
// need not be a power of two, so that a table that grows is not half empty.
static inline size_t class_home(const struct class_table *t, uint64_t hash)
{
    return (size_t)((hash >> 32) * t->size >> 32);
}
static inline size_t class_wrap(const struct class_table *t, size_t at) // one that may be behind the last
{
    return at - (t->size & -(size_t)(at >= t->size));
}
static inline void class_ask(const struct class_table *t, uint64_t hash) // it will be needed
{
    if (t->size)
        __builtin_prefetch(&t->tag[class_home(t, hash)]);
}
// The first place where the key may stand, by its tag; SIZE_MAX: nowhere.
static inline size_t class_place_from(const struct class_table *t, size_t at, uint64_t hash)
{
    uint8_t tag = class_tag(hash);
    for (;; at++) {
        at = class_wrap(t, at);
        if (t->tag[at] == tag)
            return at;
        if (!t->tag[at])
            return SIZE_MAX;
    }
}
// All places of eight from the hash's own on where the key may stand, as the highest bits of as many octets,
// of which those behind the first empty place are none; *more: there is no empty one.
static inline uint64_t class_places(const struct class_table *t, uint64_t hash, bool *more)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    uint64_t tags;
    if (!t->size) {
        *more = false;
        return 0;
    }
    memcpy(&tags, &t->tag[class_home(t, hash)], 8);
    tags = le64toh(tags);
    uint64_t other = tags ^ class_tag(hash) * 0x0101010101010101u;
    uint64_t same = ~(((other & low) + low) | other | low), empty = ~(((tags & low) + low) | tags | low);
    *more = !empty;
    return same & (empty - 1) & ~empty;
}
static inline size_t class_place(const struct class_table *t, uint64_t hash,
                                 uint64_t places) // the first of these
{
    return class_wrap(t, class_home(t, hash) + ((unsigned)__builtin_ctzll(places) >> 3));
}
// The notes of all entries that may be this key's, together.
static inline uint64_t class_notes(const struct class_table *t, uint64_t hash, uint64_t places)
{
    uint64_t notes = 0;
    for (; places; places &= places - 1)
        notes |= t->note[class_place(t, hash, places)];
    return notes;
}
// Those behind the first eight places.
static inline uint64_t class_more_notes(const struct class_table *t, uint64_t hash)
{
    uint64_t notes = 0;
    size_t at = class_home(t, hash) + 8;
    while ((at = class_place_from(t, at, hash)) != SIZE_MAX)
        notes |= t->note[at++];
    return notes;
}
static inline void class_ask_note(const struct class_table *t, uint64_t hash, uint64_t places)
{
    __builtin_prefetch(&t->note[class_place(t, hash, places)]);
}
static inline void class_note(const struct class_table *t, const void *line,
                              uint64_t bits) // adds them, of halves
{
    t->note[((size_t)((const char *)line - (const char *)t->line)) >> 5] |= bits;
}
// Where the key may stand, its entry asked for; SIZE_MAX: nowhere.
static inline size_t class_aim_from(const struct class_table *t, size_t at, uint64_t hash)
{
    at = class_place_from(t, at, hash);
    if (at != SIZE_MAX)
        __builtin_prefetch(class_at(t, at));
    return at;
}
static inline size_t class_aim(const struct class_table *t, uint64_t hash)
{
    return t->size ? class_aim_from(t, class_home(t, hash), hash) : SIZE_MAX;
}
// The entry of this key, at or behind where class_aim has said.
static inline void *class_get(const struct class_table *t, struct class_key k, uint64_t hash, size_t at)
{
    while (at != SIZE_MAX) {
        struct class_line *l = class_at(t, at);
        if (l->key.c == k.c && l->key.a == k.a && l->key.b == k.b)
            return l;
        at = class_aim_from(t, at + 1, hash);
    }
    return NULL;
}
static inline void *class_find(const struct class_table *t, struct class_key k)
{
    uint64_t hash = class_hash(t, k);
    return class_get(t, k, hash, class_aim(t, hash));
}
// One that is not there yet, all zero behind its key. NULL: out of memory, and nothing has changed.
void *class_put(struct class_table *t, struct class_key k);
void class_take(struct class_table *t, void *line);
void class_table_free(struct class_table *t);

#endif
