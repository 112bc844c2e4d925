// SPDX-License-Identifier: Apache-2.0
#include "ctrl/lib/fence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

uint64_t fence_now(void)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int fence_file(void)
{
    int fd = memfd_create("fence", MFD_CLOEXEC), rc = 0;
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, sizeof(struct fence_page)) < 0) {
        rc = -errno;
        close(fd);
    }
    return rc ? rc : fd;
}

int fence_read_only(int fd)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int ro = open(path, O_RDONLY | O_CLOEXEC);
    return ro < 0 ? -errno : ro;
}

struct fence_page *fence_map(int fd, bool writes)
{
    void *p =
        mmap(NULL, sizeof(struct fence_page), writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

void fence_close(struct fence_page *p)
{
    atomic_store_explicit(&p->deadline, 0, memory_order_release);
}

void fence_begin(struct fence_page *p, uint64_t session, uint64_t lease, uint64_t deadline)
{
    fence_close(p);
    atomic_fetch_add_explicit(&p->number, 1, memory_order_release);
    atomic_store_explicit(&p->session, session, memory_order_release);
    atomic_store_explicit(&p->lease, lease, memory_order_release);
    atomic_store_explicit(&p->deadline, deadline, memory_order_release);
}

void fence_extend(struct fence_page *p, uint64_t deadline)
{
    if (deadline > atomic_load_explicit(&p->deadline, memory_order_acquire))
        atomic_store_explicit(&p->deadline, deadline, memory_order_release);
}
