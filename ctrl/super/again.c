// SPDX-License-Identifier: Apache-2.0
// The back-off of a room that dies.
#include "ctrl/super/again.h"

unsigned again_deaths(const struct again *a, uint64_t now)
{
    return now - a->since >= AGAIN_MOST_MS ? 0 : a->in_a_row;
}

uint64_t again_after(struct again *a, uint64_t now)
{
    uint64_t ms = AGAIN_FIRST_MS;
    a->in_a_row = again_deaths(a, now);
    for (unsigned i = 0; i < a->in_a_row && ms < AGAIN_MOST_MS; i++)
        ms *= 2;
    a->in_a_row++;
    return ms < AGAIN_MOST_MS ? ms : AGAIN_MOST_MS;
}

void again_started(struct again *a, uint64_t now)
{
    a->since = now;
}
