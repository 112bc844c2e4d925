// SPDX-License-Identifier: Apache-2.0
// Memory for secrets, in cells of one size from locked pages. Locking is best effort: an unprivileged process
// may lock only a few pages, and a daemon that could not start for that would protect nobody.
#include "ctrl/keys/vault.h"

#include <stdint.h>
#include <sys/mman.h>
#include <openssl/crypto.h>

enum { REGION = 64 * VAULT_CELL };

struct cell {
    struct cell *next;
};
static struct cell *free_cells;

static int grow(void)
{
    uint8_t *p = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -1;
    (void)mlock(p, REGION);
    (void)madvise(p, REGION, MADV_DONTDUMP);
    (void)madvise(p, REGION, MADV_WIPEONFORK);
    for (size_t at = 0; at < REGION; at += VAULT_CELL) {
        struct cell *c = (struct cell *)(void *)(p + at);
        c->next = free_cells;
        free_cells = c;
    }
    return 0;
}

void *vault_get(size_t size)
{
    if (size > VAULT_CELL || (!free_cells && grow() < 0))
        return NULL;
    struct cell *c = free_cells;
    free_cells = c->next;
    c->next = NULL;
    return c;
}

void vault_put(void *cell)
{
    struct cell *c = cell;
    if (!c)
        return;
    OPENSSL_cleanse(c, VAULT_CELL);
    c->next = free_cells;
    free_cells = c;
}
