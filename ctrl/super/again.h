// SPDX-License-Identifier: Apache-2.0
// How long a room that died is left dead: a tenth of a second at first, twice as long each time, a minute at
// the most; from the beginning again where it lived for as long as that.
#ifndef CTRL_SUPER_AGAIN_H
#define CTRL_SUPER_AGAIN_H

#include <stdint.h>

enum { AGAIN_FIRST_MS = 100, AGAIN_MOST_MS = 60000 };

struct again {         // of one room, zero-initialised
    uint64_t since;    // when it was started last
    unsigned in_a_row; // deaths, none of them after a long life
};
uint64_t again_after(struct again *a, uint64_t now); // it has died: in how many ms it is started again
void again_started(struct again *a, uint64_t now);
unsigned again_deaths(const struct again *a,
                      uint64_t now); // before this one, in a row; it is not counted yet

#endif
