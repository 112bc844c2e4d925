// SPDX-License-Identifier: Apache-2.0
// What the runs of an instance have left in the kernel, taken away by hand: `espalierd --purge`.
#ifndef CTRL_PATH_PURGE_H
#define CTRL_PATH_PURGE_H

#include "ctrl/lib/settings.h"
#include "espalier/error.h"

struct purged { // how many
    unsigned devices, rules, routes, policies, tables;
};

// No daemon of that run directory runs. device(ctx, name) is called for each that has gone. 0, or -errno of
// the first that did not go; what went until then is in *out. What keeps closed goes last.
int purge(const struct settings *s, void (*device)(void *ctx, const char *name), void *ctx,
          struct purged *out, struct esp_error *err);

#endif
