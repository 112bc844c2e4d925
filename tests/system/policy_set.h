// SPDX-License-Identifier: Apache-2.0
// The set of objects that the kernel has to have for the policies, written down once more: from the files and
// from what CHILD SAs hold up, as lines, and as `ip` lists them.
#ifndef TESTS_SYSTEM_POLICY_SET_H
#define TESTS_SYSTEM_POLICY_SET_H

#include "tests/system/policy_naive.h"

enum { SET_LINES = 4000, SET_LINE = 200 };
struct set { // sorted, each line once
    unsigned count;
    char line[SET_LINES][SET_LINE];
};
void set_expected(struct set *out, const struct naive *n, bool maybe, bool hooks); // maybe: with what may be
// What `ip xfrm policy`, `ip rule` and `ip route show table all` print, of both families, with a line "@WHAT"
// in front of each: @policies, @rules4, @rules6, @routes4, @routes6, @tables.
void set_read(struct set *out, char *text);
void set_without_ways(struct set *s); // the TUN is down, and its routes are gone with it
// The first line of a that is not in b; NULL: there is none.
const char *set_first_missing(const struct set *a, const struct set *b);

#endif
