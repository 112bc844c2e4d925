// SPDX-License-Identifier: Apache-2.0
// The page as a memory file.
#include "ctrl/lib/log_page.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

int log_page_file(void)
{
    int fd = memfd_create("espalierd-log", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof(struct log_page)) == 0)
        return fd < 0 ? -errno : fd;
    int rc = -errno;
    close(fd);
    return rc;
}

struct log_page *log_page_map(int fd)
{
    void *p = mmap(NULL, sizeof(struct log_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

void log_page_unmap(struct log_page *p)
{
    if (p)
        munmap(p, sizeof(*p));
}
