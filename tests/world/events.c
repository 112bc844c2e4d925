// SPDX-License-Identifier: Apache-2.0
// A heap of what is to happen. Two events of one time happen in the order in which they were asked for.
#include <stdlib.h>

#include "tests/world/world.h"

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void agenda_add(struct world *w, uint64_t in_us, event_fn fn, void *ctx, uint64_t arg)
{
    struct agenda *a = &w->agenda;
    struct event e = {w->now + in_us, a->order++, fn, ctx, arg};
    if (a->count == a->cap) {
        a->cap = a->cap ? 2 * a->cap : 256;
        a->heap = realloc(a->heap, a->cap * sizeof(*a->heap));
        if (!a->heap)
            abort();
    }
    size_t i = a->count++;
    for (; i && before(&e, &a->heap[(i - 1) / 2]); i = (i - 1) / 2)
        a->heap[i] = a->heap[(i - 1) / 2];
    a->heap[i] = e;
}

bool agenda_next(struct world *w, struct event *out)
{
    struct agenda *a = &w->agenda;
    if (!a->count)
        return false;
    *out = a->heap[0];
    struct event last = a->heap[--a->count];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < a->count; i = c) {
        if (c + 1 < a->count && before(&a->heap[c + 1], &a->heap[c]))
            c++;
        if (!before(&a->heap[c], &last))
            break;
        a->heap[i] = a->heap[c];
    }
    if (a->count)
        a->heap[i] = last;
    return true;
}

void agenda_free(struct agenda *a)
{
    free(a->heap);
    *a = (struct agenda){0};
}
