// SPDX-License-Identifier: Apache-2.0
// What the tests of connections that are loaded again have in common.
#ifndef TESTS_UNIT_IKE_EDITIONS_RIG_H
#define TESTS_UNIT_IKE_EDITIONS_RIG_H

#include "tests/unit/ike_pair.h"

void starting(struct conn_config *c, int side); // `c` is to be up
void both(struct conn_config *c, int side);     // both of `c` and `d`, at side 0 to be up
void renamed(struct conn_config *c);
void load(struct pair *p, int side, pair_tune tune, void (*edit)(struct conn_config *c));
void settle(struct pair *p);
void assert_has(struct pair *p, unsigned ike_sas, unsigned children); // either end

#endif
