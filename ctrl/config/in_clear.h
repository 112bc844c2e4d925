// SPDX-License-Identifier: Apache-2.0
// Whether a connection lets anything leave unencrypted by its own words. Who writes a swanctl.conf of this
// machine may want that; who writes what is loaded from elsewhere need not be asked.
#ifndef CTRL_CONFIG_IN_CLEAR_H
#define CTRL_CONFIG_IN_CLEAR_H

#include <stddef.h>

#include "ctrl/lib/conn.h"

// True: `why` names the first child that passes traffic by, or offers or takes a CHILD SA that does not
// encrypt it (AH; ESP with NULL, RFC 2410, or GMAC, RFC 4543).
bool conn_in_clear(const struct conn_config *c, char *why, size_t size);

#endif
