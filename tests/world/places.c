// SPDX-License-Identifier: Apache-2.0
// Which addresses a gateway has just now; what changes them is roam.c. Apart from it, because the model of
// the kernel asks, and is held against the kernel without the rest of the world.
#include "tests/world/world.h"

static uint8_t bit_of(uint8_t family)
{
    return family == 6 ? IN6 : IN4;
}

static uint32_t number_at(const struct site *s, unsigned place)
{
    return place ? s->roam.away : s->wan;
}

bool site_has(const struct site *s, uint8_t family, uint32_t n)
{
    for (unsigned i = 0; i < 2; i++)
        if (n && n == number_at(s, i) && s->roam.here[i] & bit_of(family))
            return true;
    return false;
}

bool site_owns(const struct site *s, uint32_t n)
{
    return n == s->wan || (s->roam.on && n == s->roam.away);
}

bool site_source(const struct site *s, uint8_t family, uint32_t *n)
{
    for (unsigned i = 0; i < 2; i++) {
        unsigned place = s->roam.place ^ i;
        *n = number_at(s, place);
        if (s->roam.here[place] & bit_of(family))
            return true;
    }
    return false;
}
