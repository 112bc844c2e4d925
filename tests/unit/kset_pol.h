// SPDX-License-Identifier: Apache-2.0
// One policy as the kernel set takes it, put together selector by selector: for the tests against the model
// and for those against the kernel.
#ifndef TESTS_UNIT_KSET_POL_H
#define TESTS_UNIT_KSET_POL_H

#include "ctrl/lib/conn.h"
#include "ctrl/path/kset.h"

struct pol {
    struct ts_list l, r;
    struct kset_spec spec; // points into l and r
};
// One more selector: addr in network order, 4 or 16 octets, of which the first `bits` bits count.
void pol_net(struct ts_list *l, uint8_t family, const uint8_t *addr, unsigned bits, uint8_t proto,
             uint16_t lo, uint16_t hi);
void pol_finish(struct pol *p, uint8_t action, uint32_t rank);

#endif
