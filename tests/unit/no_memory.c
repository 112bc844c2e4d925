// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/no_memory.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static unsigned left;      // until one fails; 0: none will
static bool failed, lasts; // lasts: all those behind it do too

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);

void no_memory_at(unsigned n)
{
    left = n;
    failed = lasts = false;
}

void no_memory_from(unsigned n)
{
    no_memory_at(n);
    lasts = true;
}

unsigned no_memory_pause(void)
{
    unsigned was = left;
    left = 0;
    return was;
}

void no_memory_go_on(unsigned paused)
{
    left = paused;
}

bool no_memory_end(void)
{
    left = 0;
    return failed;
}

static bool fails(void)
{
    if (!left || --left)
        return false;
    failed = true;
    left = lasts;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strndup(const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    char *copy = __wrap_malloc(len + 1);
    if (copy) {
        memcpy(copy, text, len);
        copy[len] = 0;
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}
