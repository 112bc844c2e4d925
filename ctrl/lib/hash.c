// SPDX-License-Identifier: Apache-2.0
// The hash table of hash.h, and SipHash for keys that strangers choose.
#include "ctrl/lib/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 4 // many hold one node or two

static struct hash_slot *slot_of(const struct hash *t, uint64_t hash) // or the free one for it
{
    size_t at = hash_home(t, hash);
    while (t->slots[at].node && t->slots[at].hash != hash)
        at = hash_behind(t, at);
    return &t->slots[at];
}

static bool grow(struct hash *t)
{
    struct hash bigger = {
        .size = t->size ? t->size + t->size / 2 : FIRST_SIZE, .used = t->used, .count = t->count};
    bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
    if (!bigger.slots)
        return t->used + 1 < t->size; // one stays empty, for searches to end at
    for (size_t i = 0; i < t->size; i++)
        if (t->slots[i].node)
            *slot_of(&bigger, t->slots[i].hash) = t->slots[i];
    free(t->slots);
    *t = bigger;
    return true;
}

static bool too_full(const struct hash *t, size_t used) // two thirds full at most
{
    return 3 * used > 2 * t->size;
}

int hash_room(struct hash *t, size_t n)
{
    while (too_full(t, t->used + n)) {
        size_t was = t->size;
        if (!grow(t) || t->size == was)
            return -ENOMEM;
    }
    return 0;
}

int hash_add(struct hash *t, struct hash_node *n, uint64_t hash)
{
    if (too_full(t, t->used + 1) && !grow(t))
        return -ENOMEM;
    struct hash_slot *s = slot_of(t, hash);
    t->used += !s->node;
    n->hash = hash;
    n->next = s->node;
    n->prev = NULL;
    if (n->next)
        n->next->prev = n;
    *s = (struct hash_slot){hash, n};
    if ((size_t)(s - t->slots) < t->from)
        t->from = (size_t)(s - t->slots);
    t->count++;
    return 0;
}

static size_t from_to(const struct hash *t, size_t a, size_t b) // slots
{
    return b >= a ? b - a : b + t->size - a;
}

// Fills an emptied slot from behind.
static void close_gap(struct hash *t, size_t hole)
{
    for (size_t i = hash_behind(t, hole); t->slots[i].node; i = hash_behind(t, i)) {
        if (from_to(t, hash_home(t, t->slots[i].hash), i) >= from_to(t, hole, i)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = (struct hash_slot){0};
    t->used--;
}

void hash_del(struct hash *t, struct hash_node *n)
{
    if (!t->size)
        return;
    struct hash_slot *s = slot_of(t, n->hash);
    struct hash_node **at = n->prev ? &n->prev->next : &s->node;
    if (*at != n)
        return;
    *at = n->next;
    if (n->next)
        n->next->prev = n->prev;
    n->next = n->prev = NULL;
    t->count--;
    if (!s->node)
        close_gap(t, (size_t)(s - t->slots));
}

void hash_free(struct hash *t)
{
    free(t->slots);
    *t = (struct hash){0};
}

static size_t first_from(const struct hash *t, size_t slot)
{
    while (slot < t->size && !t->slots[slot].node)
        slot++;
    return slot;
}

struct hash_node *hash_pop(struct hash *t)
{
    t->from = first_from(t, t->from);
    struct hash_node *n = t->from < t->size ? t->slots[t->from].node : NULL;
    if (n)
        hash_del(t, n);
    return n;
}

struct hash_node *hash_each(const struct hash *t, const struct hash_node *after)
{
    if (after && after->next)
        return after->next;
    size_t slot = first_from(t, after ? (size_t)(slot_of(t, after->hash) - t->slots) + 1 : t->from);
    return slot < t->size ? t->slots[slot].node : NULL;
}

// ---- SipHash-1-3 (Aumasson and Bernstein) with the seed as both halves of its key

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

uint64_t hash_bytes(uint64_t seed, const void *p, size_t n)
{
    const uint8_t *at = p;
    uint64_t k1 = hash_u64(seed + 1), m;
    uint64_t v[4] = {seed ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, seed ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    for (size_t left = n;; left -= 8, at += 8) {
        m = (uint64_t)n << 56;
        if (left >= 8)
            memcpy(&m, at, 8);
        else if (left)
            memcpy(&m, at, left);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
        if (left < 8)
            break;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_str(uint64_t seed, const char *s)
{
    return hash_bytes(seed, s, strlen(s));
}
