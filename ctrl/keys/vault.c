// SPDX-License-Identifier: Apache-2.0
// Memory for secrets, in cells from locked pages. Locking is best effort: an unprivileged process
// may lock only a few pages, and a daemon that could not start for that would protect nobody.
#include "ctrl/keys/vault.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <openssl/crypto.h>

enum { KINDS = 4, CELLS_AT_ONCE = 64 };

static const size_t room_of[KINDS] = {48, 80, 256, VAULT_CELL}; // 48, 80: SK_d alone, for years

struct cell {
    struct cell *next; // while nobody has it
    size_t kind;
    _Alignas(16) uint8_t data[];
};
static struct cell *free_cells[KINDS];

static int grow(size_t kind)
{
    size_t one = sizeof(struct cell) + room_of[kind], region = CELLS_AT_ONCE * one;
    uint8_t *p = mmap(NULL, region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -1;
    (void)mlock(p, region);
    (void)madvise(p, region, MADV_DONTDUMP);
    (void)madvise(p, region, MADV_WIPEONFORK);
    for (size_t at = 0; at < region; at += one) {
        struct cell *c = (struct cell *)(void *)(p + at);
        *c = (struct cell){free_cells[kind], kind};
        free_cells[kind] = c;
    }
    return 0;
}

void *vault_get(size_t size)
{
    size_t kind = 0;
    while (kind < KINDS && size > room_of[kind])
        kind++;
    if (kind == KINDS || (!free_cells[kind] && grow(kind) < 0))
        return NULL;
    struct cell *c = free_cells[kind];
    free_cells[kind] = c->next;
    return c->data;
}

void vault_put(void *secret)
{
    if (!secret)
        return;
    struct cell *c = (struct cell *)(void *)((uint8_t *)secret - offsetof(struct cell, data));
    OPENSSL_cleanse(c->data, room_of[c->kind]);
    c->next = free_cells[c->kind];
    free_cells[c->kind] = c;
}
