// SPDX-License-Identifier: Apache-2.0
// Memory that runs out: for some seconds any allocation of any room of a site may fail (link-time seams),
// while its operator goes on. Then he does again what was refused, and a daemon that ended is started as its
// service manager would. Only timers always have room (daemon.c): a process that has none for one ends.
#include <errno.h>

#include "tests/world/plenty.h"
#include "tests/world/world.h"

#undef malloc
#undef calloc
#undef realloc

static unsigned per_mille; // of the allocations of the site that is at work fail

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);

unsigned memory_of(const struct site *s)
{
    unsigned before = per_mille;
    per_mille = s && s->d.life != DOWN && s->w->now < s->d.scarce_until ? s->d.scarce : 0;
    return before;
}

void memory_as(unsigned before)
{
    per_mille = before;
}

static bool fails(void)
{
    if (!per_mille || !rng_chance(&the_world->rng, per_mille))
        return false;
    TRACE(the_world, 15, the_site->index, "%c has no memory", the_site->letter);
    errno = ENOMEM;
    return true;
}

void *world_malloc(size_t n)
{
    return __real_malloc(n);
}

void *world_calloc(size_t n, size_t size)
{
    return __real_calloc(n, size);
}

void *world_realloc(void *p, size_t n)
{
    return __real_realloc(p, n);
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

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : __real_aligned_alloc(align, n);
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

// ---- the act

static void memory_back(struct world *w, void *ctx, uint64_t generation)
{
    struct site *s = ctx;
    if (s->d.generation != generation || w->now < s->d.scarce_until)
        return;
    TRACE(w, 86, s->index, "%c has memory again", s->letter);
    if (s->d.life != UP)
        fault_restart(s, SECOND / 10);
    else if (s->op.refused)
        operator_load_all(s);
}

void memory_scarce(struct site *s, unsigned fail_per_mille, uint64_t for_us)
{
    struct world *w = s->w;
    if (s->d.life != UP)
        return;
    s->d.scarce = fail_per_mille;
    kept_scarce(s, true);
    s->d.scarce_until = w->now + for_us;
    TRACE(w, 87, fail_per_mille, "%c has little memory for %.1f s: %u per mille fail", s->letter,
          (double)for_us / 1e6, fail_per_mille);
    agenda_add(w, for_us, memory_back, s, s->d.generation);
}
