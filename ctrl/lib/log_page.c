// SPDX-License-Identifier: Apache-2.0
// The page as a memory file.
#include "ctrl/lib/log_page.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

int log_page_file(void)
{
    int fd = memfd_create("espalierd-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || (ftruncate(fd, sizeof(struct log_page)) == 0 &&
                   fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0))
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
