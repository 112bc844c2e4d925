// SPDX-License-Identifier: Apache-2.0
// Which files a room may open (Landlock): those of its job alone, whoever they belong to and whatever its
// user and capabilities would let it. What is open already is not concerned.
#ifndef CTRL_SUPER_FILES_H
#define CTRL_SUPER_FILES_H

#include "ctrl/lib/child.h"

// What this kernel offers (landlock_create_ruleset(2)): 0 nothing, because it has none or is told to do
// without.
int files_abi(void);
// For this process, from now on; no_new_privs is on. 0 or -errno. Nothing where the kernel has none.
int files_limit(enum room room, const struct settings *s);

#endif
