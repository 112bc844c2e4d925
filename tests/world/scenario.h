// SPDX-License-Identifier: Apache-2.0
// A world in which one thing happens: what the programs of scenarios have in common. Each has one at a time.
#ifndef TESTS_WORLD_SCENARIO_H
#define TESTS_WORLD_SCENARIO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/world/world.h"

enum { SEEDS = 2 }; // of each scenario: they place it differently among the packets
extern struct world w;
extern const struct plain cards, no_cards;

void begin(uint64_t seed, const struct plain *p); // WORLD_TRACE in the environment: with words
void run(uint64_t us);                            // and all invariants hold
void hold(const char *what);                      // fails where an invariant does not
size_t up(void); // no packet was lost in five seconds; how many the hosts have sent
void finish(void);
// How many packets of the hosts, from number `from` on and older than two seconds, have not arrived.
unsigned lost(size_t from);
unsigned counted(unsigned site, const char *name);

#endif
