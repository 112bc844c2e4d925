// SPDX-License-Identifier: Apache-2.0
// What an ike room has counted, by the counter's name; in a file of its own, as ctl has counters too.
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/ike.h"

uint64_t ike_counted(const struct ike *ike, const char *name); // world.h, which knows ctl's

uint64_t ike_counted(const struct ike *ike, const char *name)
{
    static const char *const names[] = {
#define X(sym, text) #sym,
        COUNTER_LIST(X)
#undef X
    };
    for (unsigned i = 0; i < CNT_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            return ike->counters[i];
    abort();
}
