// SPDX-License-Identifier: Apache-2.0
// Takes memory away: one allocation of the code under test fails, the n-th from now, or all from that one on.
// Link with
// $(NO_MEMORY_LDFLAGS); allocations inside shared libraries are not counted.
#ifndef TESTS_NO_MEMORY_H
#define TESTS_NO_MEMORY_H

#include <stdbool.h>

void no_memory_at(unsigned n);   // 1: the next one
void no_memory_from(unsigned n); // ... and all behind it
unsigned no_memory_pause(void);  // the test itself has some; until ...
void no_memory_go_on(unsigned paused);
// Ends it. Whether an allocation has failed meanwhile: false when fewer than n were asked for.
bool no_memory_end(void);

#endif
