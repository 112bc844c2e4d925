// SPDX-License-Identifier: Apache-2.0
// `espalierd --purge`: what earlier runs with a run directory have left in the kernel goes, and is said.
#ifndef CTRL_SUPER_PURGE_H
#define CTRL_SUPER_PURGE_H

#include "ctrl/lib/settings.h"
#include "espalier/error.h"

// What went is on standard output, a line each. 0, or -errno: -EBUSY where a daemon runs, which is named.
int purge_run(const struct settings *s, struct esp_error *err);

#endif
