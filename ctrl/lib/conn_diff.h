// SPDX-License-Identifier: Apache-2.0
// What differs between two editions of a connection, key by key, by the names that swanctl.conf has for them.
#ifndef CTRL_CONN_DIFF_H
#define CTRL_CONN_DIFF_H

#include "ctrl/lib/conn.h"

// Calls each(ctx, key) for what is not equal: "remote_addrs", "local", "children.net.esp_proposals";
// "children.net" alone is one that only one of the two has. Nothing is called for what is equal, nor for what
// no file says (traps set by hand, whose a connection of a fleet is).
void conn_diff(const struct conn_config *was, const struct conn_config *is,
               void (*each)(void *ctx, const char *key), void *ctx);

#endif
