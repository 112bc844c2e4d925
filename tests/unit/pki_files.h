// SPDX-License-Identifier: Apache-2.0
// Keys and certificates that others make: the openssl and pki commands run in a directory of the test's own.
#ifndef TESTS_PKI_FILES_H
#define TESTS_PKI_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctrl/lib/slice.h"

void pki_files_begin(void);                                               // makes the directory
void pki_files_end(void);                                                 // removes it
const char *pki_files_dir(void);                                          // absolute
void pki_run(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // in it, by sh; fails the test
bool pki_try(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // whether it ended with 0
void pki_write(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct slice pki_read(const char *name); // kept until pki_files_end
size_t unhex(uint8_t *out, size_t cap, const char *hex);

#endif
