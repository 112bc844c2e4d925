// SPDX-License-Identifier: Apache-2.0
// A page that a process gathers its log lines in, so that a turn of its loop writes them at once and not one
// by one, and that whoever began the process shares: what stands in it when the process has died, of
// whatever, is not lost.
#ifndef CTRL_LOG_PAGE_H
#define CTRL_LOG_PAGE_H

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

struct log_page { // whole lines, `len` octets of them
    _Atomic uint32_t len;
    char text[PIPE_BUF]; // a pipe that is ready takes as much as a whole
};

// A file for one, close-on-exec, whose length nobody can change: whoever has mapped it would die of that. A
// descriptor or -errno.
int log_page_file(void);
struct log_page *log_page_map(int fd); // NULL: errno says why
void log_page_unmap(struct log_page *p);

#endif
