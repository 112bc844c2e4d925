// SPDX-License-Identifier: Apache-2.0
// Memory for secrets, in cells from locked pages. Locking is best effort: an unprivileged process
// may lock only a few pages, and a daemon that could not start for that would protect nobody.
#include "ctrl/keys/vault.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <openssl/crypto.h>

enum { KINDS = 5, BLOCK = 4096, BLOCKS_AT_ONCE = 4 };

static const size_t room_of[KINDS] = {
    48, 80, 256, 592, VAULT_CELL}; // 48, 80: SK_d alone, for years; 592: all of an IKE SA, until it is up

struct block { // at a multiple of its size, so that a cell's is known by its address
    struct vault *of;
    size_t kind;
    _Alignas(16) uint8_t cells[];
};
struct cell { // while nobody has it
    struct cell *next;
};
struct region {
    struct region *next;
    void *p;
    size_t size;
};
struct vault {
    struct cell *unused[KINDS]; // wiped
    struct region *regions;
};

struct vault *vault_new(void)
{
    return calloc(1, sizeof(struct vault));
}

void vault_free(struct vault *v)
{
    while (v && v->regions) {
        struct region *r = v->regions;
        v->regions = r->next;
        OPENSSL_cleanse(r->p, r->size);
        munmap(r->p, r->size);
        free(r);
    }
    free(v);
}

static uint8_t *add_region(struct vault *v, size_t size)
{
    struct region *r = malloc(sizeof(*r));
    void *p = r ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (p == MAP_FAILED) {
        free(r);
        return NULL;
    }
    (void)mlock(p, size);
    (void)madvise(p, size, MADV_DONTDUMP);
    (void)madvise(p, size, MADV_WIPEONFORK);
    *r = (struct region){v->regions, p, size};
    v->regions = r;
    return p;
}

static void divide(struct vault *v, struct block *b, size_t kind)
{
    b->of = v;
    b->kind = kind;
    for (size_t at = 0; offsetof(struct block, cells) + at + room_of[kind] <= BLOCK; at += room_of[kind]) {
        struct cell *c = (struct cell *)(void *)(b->cells + at);
        c->next = v->unused[kind];
        v->unused[kind] = c;
    }
}

static int grow(struct vault *v, size_t kind)
{
    size_t size = (size_t)BLOCKS_AT_ONCE * BLOCK;
    uint8_t *p = add_region(v, size);
    if (!p)
        return -1;
    for (size_t at = 0; at < size; at += BLOCK)
        divide(v, (struct block *)(void *)(p + at), kind);
    return 0;
}

void *vault_get(struct vault *v, size_t size)
{
    size_t kind = 0;
    while (kind < KINDS && size > room_of[kind])
        kind++;
    if (kind == KINDS || (!v->unused[kind] && grow(v, kind) < 0))
        return NULL;
    struct cell *c = v->unused[kind];
    v->unused[kind] = c->next;
    c->next = NULL;
    return c;
}

void vault_put(void *secret)
{
    struct cell *c = secret;
    if (!c)
        return;
    const struct block *b = (const struct block *)((uintptr_t)c & ~(uintptr_t)(BLOCK - 1));
    OPENSSL_cleanse(c, room_of[b->kind]);
    c->next = b->of->unused[b->kind];
    b->of->unused[b->kind] = c;
}
