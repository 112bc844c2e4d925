// SPDX-License-Identifier: Apache-2.0
// Memory that holds packets or keys: kept out of swap, core dumps and children.
#ifndef ESPALIER_COMMON_LOCK_H
#define ESPALIER_COMMON_LOCK_H

#include <stddef.h>

enum { MEMORY_NOTE = 160 };

// Best effort, since an unprivileged process may lock little: what could not be locked is said in note, which
// is empty otherwise. `what` names the memory.
void memory_protect(void *p, size_t length, const char *what, char note[MEMORY_NOTE]);

#endif
