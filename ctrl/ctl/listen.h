// SPDX-License-Identifier: Apache-2.0
// Where VICI is served: a unix socket, or TCP on a loopback address where that was asked for by name.
#ifndef CTRL_CTL_LISTEN_H
#define CTRL_CTL_LISTEN_H

#include <stdbool.h>

#include "espalier/error.h"

// 0: the address is well-formed and nobody listens there. -EINVAL: bad or refused; -EADDRINUSE: someone
// listens.
int vici_uri_check(const char *uri, bool insecure, struct esp_error *err);
// Opens it: a listening, non-blocking descriptor, or a negative errno. A socket file that nobody listens on
// is replaced.
int vici_listen(const char *uri, bool insecure, struct esp_error *err);
void vici_unlink(const char *uri); // removes a unix socket's file

#endif
