// SPDX-License-Identifier: Apache-2.0
// Both ends of an exchange by certificates of the authority of ca.h.
#ifndef TESTS_FUZZ_ENDS_H
#define TESTS_FUZZ_ENDS_H

#include "tests/unit/ike_pair.h"

struct slice ends_cert(int side);              // of a.test and of b.test; made with the first call
void ends_trust(struct pair *p, int side);     // that end has the authority's certificate and its own key
void ends_show(struct auth_side *s, int side); // by this certificate

#endif
