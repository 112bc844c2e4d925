// SPDX-License-Identifier: Apache-2.0
// Around a pair of daemons (ike_pair.h): what both have logged, and one datagram that fares otherwise.
#ifndef TESTS_UNIT_IKE_WATCH_H
#define TESTS_UNIT_IKE_WATCH_H

#include "tests/unit/ike_pair.h"

extern char watch_lines[65536]; // of both logs, since watch_log

void watch_log(void);              // level 1, from here on
bool watch_said(const char *text); // prints what was said where it was not

// The context of the filter: datagram number `at` is delivered as `copies` says (struct pair's filter), the
// others as they are.
struct watch_fault {
    unsigned at, seen; // seen: how many there were
    int copies;
};
int watch_once(struct pair *p, unsigned number, struct datagram *d);

#endif
