// SPDX-License-Identifier: Apache-2.0
// The world's own memory does not run out (memory.c): for every file of it, before anything else.
#ifndef TESTS_WORLD_PLENTY_H
#define TESTS_WORLD_PLENTY_H

#include <stdlib.h>
#include <string.h>

void *world_malloc(size_t n);
void *world_calloc(size_t n, size_t size);
void *world_realloc(void *p, size_t n);
#define malloc  world_malloc
#define calloc  world_calloc
#define realloc world_realloc

#endif
