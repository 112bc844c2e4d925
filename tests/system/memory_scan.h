// SPDX-License-Identifier: Apache-2.0
// Looks for octets in another process's memory, as a debugger would.
#ifndef TESTS_MEMORY_SCAN_H
#define TESTS_MEMORY_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SCAN_MOST = 64 }; // octets
struct scan {
    const void *what;
    size_t len; // SCAN_MOST at most
    int found;
};
// How often they stand in the memory of a process; -1: it cannot be read.
int scan_memory(pid_t pid, const void *what, size_t len);
// Likewise, all of them in one reading; false: it cannot be read.
bool scan_memory_for(pid_t pid, struct scan *s, unsigned count);

#endif
