// SPDX-License-Identifier: Apache-2.0
// What the files that outlive the daemon (leases.h, names.h) have in common: text, a line an entry, appended
// to and now and then written anew and renamed into place.
#ifndef CTRL_CTL_KEPT_FILE_H
#define CTRL_CTL_KEPT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool kept_write(int fd, const char *p, size_t n); // all of it; false: errno says why
// A file that `all` fills takes the place of `path`. What to append to it by, or -1: errno says why, and the
// old one, where there is one, is as it was.
int kept_replace(const char *path, bool (*all)(const void *ctx, int fd), const void *ctx);

// Octets other than letters, digits, '.', '_' and '-' are %XX: three octets of `buf` for each of the name,
// and a zero.
size_t kept_print_name(char *buf, size_t size, const char *name);
int kept_read_name(const char *text, char *name); // its length; -1: it is none. `name`: NAME_MAX_LEN
bool kept_octet(const char *hex, uint8_t *out);   // two digits

#endif
