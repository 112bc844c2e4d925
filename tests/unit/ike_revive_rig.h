// SPDX-License-Identifier: Apache-2.0
// What the tests of what comes back have in common.
#ifndef TESTS_IKE_REVIVE_RIG_H
#define TESTS_IKE_REVIVE_RIG_H

#include "tests/unit/ike_pair.h"

enum { MINUTE = 60000, HOUR = 60 * MINUTE };

void assert_both(struct pair *p);
void assert_none(struct pair *p);
void event(struct pair *p, int side, uint8_t event);
void started(struct conn_config *c, int side);
int lose_auth(struct pair *p, unsigned number, struct datagram *d);
void closing(struct conn_config *c, int side);
void acquire(struct pair *p);

#endif
