// SPDX-License-Identifier: Apache-2.0
// The hash table of hash.h, and SipHash for keys that strangers choose.
#include "ctrl/lib/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct hash_group) == 64, "a cache line");

struct place {
    size_t group;
    unsigned i;
};

static struct hash_one **node_at(const struct hash *t, struct place p)
{
    return &t->groups[p.group].node[p.i];
}

// False: there is none of that hash.
static bool find(const struct hash *t, uint64_t hash, struct place *out)
{
    size_t at = hash_home(t, hash);
    for (size_t left = t->size; left; left--, at = hash_behind(t, at)) {
        const struct hash_group *g = &t->groups[at];
        for (unsigned i = 0; i < HASH_GROUP; i++)
            if (g->tag[i] == (uint16_t)hash && g->node[i] && g->node[i]->hash == hash) {
                *out = (struct place){at, i};
                return true;
            }
        if (!g->past)
            break;
    }
    return false;
}

// The first of its hash, where there is room.
static struct place put(struct hash *t, struct hash_one *n)
{
    size_t at = hash_home(t, n->hash);
    for (;; at = hash_behind(t, at)) {
        struct hash_group *g = &t->groups[at];
        for (unsigned i = 0; i < HASH_GROUP; i++)
            if (!g->node[i]) {
                g->node[i] = n;
                g->tag[i] = (uint16_t)n->hash;
                return (struct place){at, i};
            }
        g->past++;
    }
}

static void take_out(struct hash *t, struct place p)
{
    for (size_t at = hash_home(t, (*node_at(t, p))->hash); at != p.group; at = hash_behind(t, at))
        t->groups[at].past--;
    *node_at(t, p) = NULL;
    t->used--;
}

static bool too_full(const struct hash *t, size_t used) // three quarters at most, but for a single group
{
    return t->size == 1 ? used > HASH_GROUP : 4 * used > 3 * HASH_GROUP * t->size;
}

// By a quarter: what is empty is memory too, a hundred thousand SAs stand in a dozen tables. False: no
// memory.
static bool grow(struct hash *t)
{
    enum { LINE = sizeof(struct hash_group), MALLOC_ALIGNS = 16 };
    struct hash bigger = {.size = t->size + (t->size + 3) / 4, .used = t->used, .count = t->count};
    if (!bigger.size)
        bigger.size = 1;
    bigger.memory = calloc(1, bigger.size * LINE + (bigger.size > 1 ? LINE - MALLOC_ALIGNS : 0));
    if (!bigger.memory)
        return false;
    size_t off = (uintptr_t)bigger.memory % LINE;
    bigger.groups =
        (struct hash_group *)(void *)((char *)bigger.memory + (bigger.size > 1 && off ? LINE - off : 0));
    for (size_t i = 0; i < t->size * HASH_GROUP; i++) {
        struct hash_one *n = t->groups[i / HASH_GROUP].node[i % HASH_GROUP];
        if (n)
            put(&bigger, n);
    }
    free(t->memory);
    *t = bigger;
    return true;
}

int hash_room(struct hash *t, size_t n)
{
    while (too_full(t, t->used + n))
        if (!grow(t))
            return -ENOMEM;
    return 0;
}

static struct hash_node *chain(struct hash_one *n)
{
    return (struct hash_node *)(void *)n;
}

// Into a place of its own, where there is none of its hash.
static int enter(struct hash *t, struct hash_one *n, uint64_t hash)
{
    if (too_full(t, t->used + 1) && !grow(t) && t->used == t->size * HASH_GROUP)
        return -ENOMEM;
    n->hash = hash;
    struct place p = put(t, n);
    t->used++;
    t->count++;
    if (p.group * HASH_GROUP + p.i < t->from)
        t->from = p.group * HASH_GROUP + p.i;
    return 0;
}

int hash_add(struct hash *t, struct hash_node *n, uint64_t hash)
{
    struct place p;
    if (!find(t, hash, &p)) {
        if (enter(t, &n->one, hash) < 0)
            return -ENOMEM;
        n->next = n->prev = NULL;
        return 0;
    }
    n->one.hash = hash;
    n->prev = NULL;
    n->next = chain(*node_at(t, p));
    n->next->prev = n;
    *node_at(t, p) = &n->one;
    t->count++;
    return 0;
}

void hash_del(struct hash *t, struct hash_node *n)
{
    struct place p;
    if (n->prev) {
        n->prev->next = n->next;
    } else {
        if (!find(t, n->one.hash, &p) || *node_at(t, p) != &n->one)
            return;
        if (n->next)
            *node_at(t, p) = &n->next->one;
        else
            take_out(t, p);
    }
    if (n->next)
        n->next->prev = n->prev;
    n->next = n->prev = NULL;
    t->count--;
}

int hash_put(struct hash *t, struct hash_one *n, uint64_t hash)
{
    return hash_only(t, hash) ? -EEXIST : enter(t, n, hash);
}

void hash_take(struct hash *t, struct hash_one *n)
{
    struct place p;
    if (!find(t, n->hash, &p) || *node_at(t, p) != n)
        return;
    take_out(t, p);
    t->count--;
}

void hash_free(struct hash *t)
{
    free(t->memory);
    *t = (struct hash){0};
}

static size_t first_from(const struct hash *t, size_t place)
{
    while (place < t->size * HASH_GROUP && !t->groups[place / HASH_GROUP].node[place % HASH_GROUP])
        place++;
    return place;
}

static struct hash_one *at_or_none(const struct hash *t, size_t place)
{
    return place < t->size * HASH_GROUP ? t->groups[place / HASH_GROUP].node[place % HASH_GROUP] : NULL;
}

struct hash_node *hash_pop(struct hash *t)
{
    t->from = first_from(t, t->from);
    struct hash_node *n = chain(at_or_none(t, t->from));
    if (n)
        hash_del(t, n);
    return n;
}

struct hash_one *hash_pop_one(struct hash *t)
{
    t->from = first_from(t, t->from);
    struct hash_one *n = at_or_none(t, t->from);
    if (n)
        hash_take(t, n);
    return n;
}

struct hash_node *hash_each(const struct hash *t, const struct hash_node *after)
{
    struct place p;
    if (after && after->next)
        return after->next;
    size_t from = t->from;
    if (after)
        from = find(t, after->one.hash, &p) ? p.group * HASH_GROUP + p.i + 1 : t->size * HASH_GROUP;
    return chain(at_or_none(t, first_from(t, from)));
}

// ---- SipHash (Aumasson and Bernstein): 1-3 with the seed as both halves of its key, and 2-4 of 128 bits

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

// All of it and its length, with so many rounds for eight octets each.
static void sip_take(uint64_t v[4], int rounds, const void *p, size_t n)
{
    const uint8_t *at = p;
    for (size_t left = n;; left -= 8, at += 8) {
        uint64_t m = (uint64_t)n << 56;
        if (left >= 8)
            memcpy(&m, at, 8);
        else if (left)
            memcpy(&m, at, left);
        v[3] ^= m;
        for (int i = 0; i < rounds; i++)
            sip_round(v);
        v[0] ^= m;
        if (left < 8)
            break;
    }
}

static void sip_begin(uint64_t v[4], uint64_t k0, uint64_t k1)
{
    v[0] = k0 ^ 0x736f6d6570736575u;
    v[1] = k1 ^ 0x646f72616e646f6du;
    v[2] = k0 ^ 0x6c7967656e657261u;
    v[3] = k1 ^ 0x7465646279746573u;
}

static uint64_t sip_end(uint64_t v[4], int rounds)
{
    for (int i = 0; i < rounds; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(uint64_t seed, const void *p, size_t n)
{
    uint64_t v[4];
    sip_begin(v, seed, hash_u64(seed + 1));
    sip_take(v, 1, p, n);
    v[2] ^= 0xff;
    return sip_end(v, 3);
}

void hash_mac(const uint8_t key[16], const void *p, size_t n, uint8_t out[HASH_MAC_LEN])
{
    uint64_t v[4], k[2], half;
    memcpy(k, key, sizeof(k));
    sip_begin(v, k[0], k[1]);
    v[1] ^= 0xee;
    sip_take(v, 2, p, n);
    v[2] ^= 0xee;
    half = sip_end(v, 4);
    memcpy(out, &half, 8);
    v[1] ^= 0xdd;
    half = sip_end(v, 4);
    memcpy(out + 8, &half, 8);
}

uint64_t hash_str(uint64_t seed, const char *s)
{
    return hash_bytes(seed, s, strlen(s));
}
