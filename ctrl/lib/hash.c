// SPDX-License-Identifier: Apache-2.0
// The hash table of hash.h, and SipHash for keys that strangers choose.
#include "ctrl/lib/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 64

static void put(struct hash *t, struct hash_node *n)
{
    struct hash_node **slot = &t->slots[n->hash & (t->size - 1)];
    n->next = *slot;
    *slot = n;
}

// Nodes of one hash keep their order: each chain is turned round before it is dealt out by put.
static void deal(struct hash *to, struct hash_node *chain)
{
    struct hash_node *turned = NULL, *next;
    for (; chain; chain = next) {
        next = chain->next;
        chain->next = turned;
        turned = chain;
    }
    for (; turned; turned = next) {
        next = turned->next;
        put(to, turned);
    }
}

static bool grow(struct hash *t)
{
    struct hash bigger = {.size = t->size ? t->size * 2 : FIRST_SIZE, .count = t->count};
    bigger.slots = calloc(bigger.size, sizeof(struct hash_node *));
    if (!bigger.slots)
        return t->size > 0;
    for (size_t i = 0; i < t->size; i++)
        deal(&bigger, t->slots[i]);
    free(t->slots);
    *t = bigger;
    return true;
}

int hash_add(struct hash *t, struct hash_node *n, uint64_t hash)
{
    if (t->count >= t->size && !grow(t))
        return -ENOMEM;
    n->hash = hash;
    put(t, n);
    t->count++;
    return 0;
}

void hash_del(struct hash *t, struct hash_node *n)
{
    struct hash_node **at = t->size ? &t->slots[n->hash & (t->size - 1)] : NULL;
    while (at && *at && *at != n)
        at = &(*at)->next;
    if (at && *at) {
        *at = n->next;
        t->count--;
    }
}

void hash_free(struct hash *t)
{
    free(t->slots);
    *t = (struct hash){0};
}

static struct hash_node *first_from(const struct hash *t, size_t slot)
{
    while (slot < t->size && !t->slots[slot])
        slot++;
    return slot < t->size ? t->slots[slot] : NULL;
}

struct hash_node *hash_pop(struct hash *t)
{
    struct hash_node *n = first_from(t, 0);
    if (n)
        hash_del(t, n);
    return n;
}

struct hash_node *hash_each(const struct hash *t, const struct hash_node *after)
{
    if (!after)
        return first_from(t, 0);
    return after->next ? after->next : first_from(t, (size_t)(after->hash & (t->size - 1)) + 1);
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
