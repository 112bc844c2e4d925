// SPDX-License-Identifier: Apache-2.0
// Packet memory that every engine can reach: one shared, locked, dump-excluded region cut into equal buffers.
// A pool is single-threaded; engines hold a reference to its region, not to its free list.
#ifndef ESPALIER_POOL_H
#define ESPALIER_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "espalier/error.h"

struct esp_pool;

// Creates `count` buffers of `size` bytes (rounded up to a multiple of 64). The region is a sealed memfd,
// mapped MAP_SHARED, mlocked where RLIMIT_MEMLOCK allows, MADV_DONTDUMP and MADV_WIPEONFORK where the kernel
// has it for it.
int esp_pool_create(struct esp_pool **pool, size_t count, size_t size, struct esp_error *err);
void esp_pool_destroy(struct esp_pool *pool);

uint8_t *esp_pool_get(struct esp_pool *pool);           // 64-byte aligned; NULL when empty
void esp_pool_put(struct esp_pool *pool, uint8_t *buf); // buf must come from esp_pool_get of this pool
const char *esp_pool_note(const struct esp_pool *pool); // "", or that it could not be locked, and why
size_t esp_pool_buffer_size(const struct esp_pool *pool);
size_t esp_pool_available(const struct esp_pool *pool);

// The region, for engines: base address, length and the memfd behind it (owned by the pool).
void esp_pool_region(const struct esp_pool *pool, void **base, size_t *length, int *fd);

#endif
