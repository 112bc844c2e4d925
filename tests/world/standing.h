// SPDX-License-Identifier: Apache-2.0
// The proofs by which the established IKE SAs of a site stand.
#ifndef TESTS_WORLD_STANDING_H
#define TESTS_WORLD_STANDING_H

#include <stdint.h>

struct ike;
void standing_each(const struct ike *ike, void (*fn)(void *ctx, const void *proof), void *ctx);
uint64_t standing_newest(const struct ike *ike); // grows with each CRL that it keeps

#endif
