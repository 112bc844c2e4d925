// SPDX-License-Identifier: Apache-2.0
// An address pool as swanctl.conf describes it, after validation by ctl: what ike gives addresses out of. It
// travels by pool_write/pool_read.
#ifndef CTRL_POOL_H
#define CTRL_POOL_H

#include "ctrl/lib/conn.h"

enum { POOL_ATTRS_BYTES = 2048 };
#define POOL_SIZE_MAX (UINT64_C(1) << 62) // of a greater network the first so many addresses are used

struct pool_config {
    char name[NAME_MAX_LEN];
    struct addr base;   // as listed; family 0: the pool has no addresses, but attributes
    struct addr first;  // that is given out
    uint64_t size;      // how many are
    struct ts range;    // whole: of a network its first and last address too, which are not given out
    uint16_t attrs_len; // what goes with an address: attributes as RFC 7296 3.15.1 writes them
    uint8_t attrs[POOL_ATTRS_BYTES];
};

void pool_write(struct writer *w, const struct pool_config *p);
bool pool_read(struct reader *r, struct pool_config *p); // false: malformed
// The n-th address, and the number of an address; false: it is none of the pool's.
void pool_address(const struct pool_config *p, uint64_t n, struct addr *out);
bool pool_number(const struct pool_config *p, const struct addr *a, uint64_t *n);
// "10.3.0.0/24", "10.3.0.5-10.3.0.9", "fd00::/64". False: err says what is wrong.
bool pool_addrs_parse(struct pool_config *p, const char *text, const char **why);

#endif
