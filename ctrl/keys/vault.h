// SPDX-License-Identifier: Apache-2.0
// Memory for secrets: pages that are locked and left out of core dumps and forked children where the system
// allows it, handed out in cells of a few sizes that are zero when given and wiped when returned.
#ifndef CTRL_KEYS_VAULT_H
#define CTRL_KEYS_VAULT_H

#include <stddef.h>

struct vault;
struct vault *vault_new(void);                 // NULL: no memory
void vault_free(struct vault *v);              // with every cell of it
void *vault_get(struct vault *v, size_t size); // NULL: no memory, or more than VAULT_CELL octets
void vault_put(void *cell);
enum { VAULT_CELL = 1024 };

#endif
