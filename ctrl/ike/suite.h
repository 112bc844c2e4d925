// SPDX-License-Identifier: Apache-2.0
// What SAs have agreed on: thousands of them on the same, which is there once.
#ifndef CTRL_IKE_SUITE_H
#define CTRL_IKE_SUITE_H

#include "ctrl/ike/proposal.h"
#include "ctrl/lib/hash.h"

// `at` points to suite_none at first. False: no memory, and nothing has changed.
extern const struct suite suite_none;
bool suite_keep(struct hash *all, const struct suite **at, const struct suite *s);
void suite_leave(const struct suite **at);

#endif
