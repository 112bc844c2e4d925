// SPDX-License-Identifier: Apache-2.0
// The file that keeps the names of the connections over a restart, and with it what may stand in the kernel
// for them: text, one a line, +NAME or -NAME, of which the last counts, with octets other than letters,
// digits, '.', '_' and '-' as %XX. The first line is "espalier connections 1 whole", or "... parts" where
// names may be missing: it was damaged, or there was no room for one, which the disk may have been full of.
// New names are appended; now and then, and when it is opened, the file is written anew and renamed into
// place.
#ifndef CTRL_CTL_NAMES_H
#define CTRL_CTL_NAMES_H

#include <stdbool.h>

enum { NAMES_KEPT_MAX = 65536 };

struct names;
// Reads the file, where there is one; what is wrong with it is said in the log. NULL: it could not be read
// now, errno says why.
struct names *names_open(const char *path);
void names_close(struct names *n);
// Before anything of the connection can come into the kernel; n may be NULL, in these two: nothing is kept.
void names_keep(struct names *n, const char *name);
void names_drop(struct names *n, const char *name); // once nothing of it is wanted there any more
bool names_whole(const struct names *n);
void names_each(const struct names *n, void (*each)(void *ctx, const char *name), void *ctx);

#endif
