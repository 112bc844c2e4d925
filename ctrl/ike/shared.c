// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ike/shared.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct shared {
    struct hash_node node; // first
    struct hash *all;
    unsigned refs;
    uint32_t len;
    _Alignas(8) uint8_t octets[];
};

static struct shared *of(void *octets)
{
    return (struct shared *)(void *)((uint8_t *)octets - offsetof(struct shared, octets));
}

void *shared_get(struct hash *all, const void *octets, size_t len)
{
    uint64_t key = hash_bytes(0, octets, len);
    for (struct hash_node *n = hash_first(all, key); n; n = hash_next(n)) {
        struct shared *s = (struct shared *)(void *)n;
        if (s->len == len && memcmp(s->octets, octets, len) == 0)
            return shared_ref(s->octets);
    }
    struct shared *s = malloc(sizeof(*s) + len);
    if (!s)
        return NULL;
    *s = (struct shared){.all = all, .refs = 1, .len = (uint32_t)len};
    memcpy(s->octets, octets, len);
    if (hash_add(all, &s->node, key) == 0)
        return s->octets;
    free(s);
    return NULL;
}

void *shared_ref(void *octets)
{
    of(octets)->refs++;
    return octets;
}

void shared_put(void *octets)
{
    struct shared *s = octets ? of(octets) : NULL;
    if (!s || --s->refs)
        return;
    hash_del(s->all, &s->node);
    if (!s->all->count)
        hash_free(s->all);
    free(s);
}
