// SPDX-License-Identifier: Apache-2.0
// The system calls of a room: those of its job, and no other. Whoever breaks into one can execute nothing,
// trace and signal nobody, open no socket of another kind. A call that is not on the list is not carried out:
// the process ends, and the supervisor hears which one it was.
#ifndef CTRL_SUPER_FILTER_H
#define CTRL_SUPER_FILTER_H

#include "ctrl/lib/child.h"

enum {
    FILTER_WORDS_FD = 4, // where a room's last words go: the call's number, as an int
    FILTER_STATUS = 159, // and its exit status then: 128 + SIGSYS
};

// Whether this program has one: with AddressSanitizer, whose runtime needs calls of its own, it has not.
bool filter_is_there(void);
// In a room, once. 0 or -errno.
int filter_load(enum room room, const struct settings *s);
// The program that the kernel is given (struct sock_filter one after the other). 0 or -errno.
int filter_export(enum room room, const struct settings *s, int fd);
// "ptrace (101)"
const char *filter_call_name(char *buf, size_t size, int number);

#endif
