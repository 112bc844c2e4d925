// SPDX-License-Identifier: Apache-2.0
// When datagrams are fetched. As they come, to begin with; but to be woken costs several times what most of
// them cost, so where those that are turned away come fast and one by one, as those of a flood do, all are
// fetched every two milliseconds instead, until there are few of these again, or fewer than of the others,
// who wait for it, or more than one fetching takes.
#ifndef CTRL_IKE_PACE_H
#define CTRL_IKE_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PACE_MS = 2 };
struct pace {          // all zero: as they come
    uint64_t since_us; // of these wake-ups:
    unsigned woken;    // with few datagrams each
    unsigned polls, got, refused;
};
// They were fetched as they came; of `got` so many were turned away. True: from now on they are to be fetched
// every PACE_MS.
bool pace_woken(struct pace *p, uint64_t now_us, unsigned got, unsigned refused);
// They were fetched so; full: more may be there. False: from now on as they come.
bool pace_polled(struct pace *p, unsigned got, unsigned refused, bool full);

#endif
