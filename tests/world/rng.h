// SPDX-License-Identifier: Apache-2.0
// Seeded numbers.
#ifndef TESTS_WORLD_RNG_H
#define TESTS_WORLD_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};
void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);                 // 0 ... n - 1
uint64_t rng_between(struct rng *r, uint64_t lo, uint64_t hi); // both included
bool rng_chance(struct rng *r, unsigned per_mille);
void entropy_install(struct rng *r); // all of OpenSSL's randomness comes from here from now on

#endif
