// SPDX-License-Identifier: Apache-2.0
// Octets that many hold alike, such as the proposals of connections: equal ones are there once.
#ifndef CTRL_IKE_SHARED_H
#define CTRL_IKE_SHARED_H

#include <stddef.h>

#include "ctrl/lib/hash.h"

// Those that are equal to these, for shared_put; nobody changes them. NULL: no memory. `all` outlives them.
void *shared_get(struct hash *all, const void *octets, size_t len);
void *shared_ref(void *octets); // once more
void shared_put(void *octets);  // may be NULL

#endif
