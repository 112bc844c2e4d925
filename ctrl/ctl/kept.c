// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ctl/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int kept_new(void)
{
    int fd = memfd_create("espalier-ctl", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, sizeof(struct ctl_kept)) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) == 0)
        return fd;
    int e = errno;
    close(fd);
    return -e;
}

static struct ctl_kept *map(int flags, int fd)
{
    void *p = mmap(NULL, sizeof(struct ctl_kept), PROT_READ | PROT_WRITE, flags, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

struct ctl_kept *kept_map(int fd)
{
    struct ctl_kept *k = map(MAP_SHARED, fd);
    int e = errno;
    close(fd);
    errno = e;
    return k;
}

struct ctl_kept *kept_alone(void)
{
    return map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

void kept_free(struct ctl_kept *k)
{
    if (k)
        munmap(k, sizeof(*k));
}
