// SPDX-License-Identifier: Apache-2.0
// A small HTTP server in a site's namespace, for what fetches there. /NAME is the file NAME of a folder;
// where a file NAME.how is beside it, that says how it is answered instead: slow (never), huge (without end)
// or missing (404). Each request's line is written to the folder's `requests`.
#ifndef TESTS_SYSTEM_HTTP_SERVER_H
#define TESTS_SYSTEM_HTTP_SERVER_H

#include "tests/system/harness.h"

enum { HTTP_PORT = 8080 };
bool http_start(const struct site *s, const char *folder, pid_t *pid);
void http_stop(pid_t *pid);
unsigned http_requests(const char *folder, const char *name); // that came for it so far

#endif
