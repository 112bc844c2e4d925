// SPDX-License-Identifier: Apache-2.0
// Keys and certificates that others make: the openssl and pki commands run in a directory of the test's own.
#ifndef TESTS_PKI_FILES_H
#define TESTS_PKI_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctrl/lib/slice.h"

// For `openssl x509 -req` by sh: over already. From 3.5 on it refuses an end before the beginning, and up
// to 3.3 it knows no other way.
#define PKI_EXPIRED                                                                                          \
    "$(if openssl x509 -help 2>&1 | grep -q not_after; then echo -not_before 20200101000000Z -not_after "    \
    "20200102000000Z; else echo -days -1; fi)"

void pki_files_begin(void);                                               // makes the directory
void pki_files_end(void);                                                 // removes it
const char *pki_files_dir(void);                                          // absolute
void pki_run(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // in it, by sh; fails the test
bool pki_try(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // whether it ended with 0
void pki_write(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct slice pki_read(const char *name); // kept until pki_files_end
size_t unhex(uint8_t *out, size_t cap, const char *hex);

#endif
