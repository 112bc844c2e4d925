// SPDX-License-Identifier: Apache-2.0
// The table of DMA maps. A file is mapped once however many ranges of it the client announces; unmapping
// works on ranges, because a client sweeps whole address spaces instead of naming each live page. A file that
// shrinks behind a map must not kill the process: copies run under a SIGBUS guard.
#include "sim/vfio_user/dma.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "sim/vfio_user/proto.h"

static sigjmp_buf bus_error_return;
static volatile sig_atomic_t copying;

static void on_bus_error(int sig)
{
    if (copying)
        siglongjmp(bus_error_return, 1);
    signal(sig, SIG_DFL); // not ours: die of it, as without a handler
    raise(sig);
}

void vfu_dma_init(struct vfu_dma *d)
{
    memset(d, 0, sizeof *d);
    struct sigaction sa = {.sa_handler = on_bus_error, .sa_flags = SA_NODEFER};
    sigaction(SIGBUS, &sa, NULL);
}

static int guarded_copy(void *to, const void *from, size_t len)
{
    if (sigsetjmp(bus_error_return, 0)) {
        copying = 0;
        return -EFAULT;
    }
    copying = 1;
    memcpy(to, from, len);
    copying = 0;
    return 0;
}

static void release(struct vfu_backing *b)
{
    if (!b || --b->users)
        return;
    munmap(b->base, b->size);
    free(b);
}

void vfu_dma_unmap_all(struct vfu_dma *d)
{
    for (size_t i = 0; i < d->count; i++)
        release(d->maps[i].backing);
    d->count = 0;
}

void vfu_dma_free(struct vfu_dma *d)
{
    vfu_dma_unmap_all(d);
    free(d->maps);
    d->maps = NULL;
    d->room = 0;
}

// Index of the first map that ends at or after iova.
static size_t lower_bound(const struct vfu_dma *d, uint64_t iova)
{
    size_t lo = 0, hi = d->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (d->maps[mid].last < iova)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int insert(struct vfu_dma *d, size_t at, const struct vfu_map *m)
{
    if (d->count >= VFU_MAX_DMA_MAPS)
        return -ENOSPC;
    if (d->count == d->room) {
        size_t room = d->room ? d->room * 2 : 16;
        struct vfu_map *maps = realloc(d->maps, room * sizeof *maps);
        if (!maps)
            return -ENOMEM;
        d->maps = maps;
        d->room = room;
    }
    memmove(d->maps + at + 1, d->maps + at, (d->count - at) * sizeof *d->maps);
    d->maps[at] = *m;
    d->count++;
    return 0;
}

static struct vfu_backing *find_backing(struct vfu_dma *d, const struct stat *st, uint64_t end, bool writable)
{
    for (size_t i = 0; i < d->count; i++) {
        struct vfu_backing *b = d->maps[i].backing;
        if (b && b->dev == st->st_dev && b->ino == st->st_ino && b->size >= end && (b->writable || !writable))
            return b;
    }
    return NULL;
}

static int open_backing(struct vfu_dma *d, int fd, uint64_t offset, uint64_t size, uint32_t flags,
                        struct vfu_backing **out)
{
    struct stat st;
    uint64_t end;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || __builtin_add_overflow(offset, size, &end) || end > (uint64_t)st.st_size)
        return -EINVAL;
    bool writable = flags & VFU_DMA_F_WRITE;
    struct vfu_backing *b = find_backing(d, &st, end, writable);
    if (b) {
        b->users++;
        *out = b;
        return 0;
    }
    b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    *b = (struct vfu_backing){
        .dev = st.st_dev, .ino = st.st_ino, .size = (size_t)st.st_size, .writable = writable, .users = 1};
    void *p = mmap(NULL, b->size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        int err = -errno;
        free(b);
        return err;
    }
    b->base = p;
    *out = b;
    return 0;
}

int vfu_dma_map(struct vfu_dma *d, uint64_t iova, uint64_t size, uint64_t offset, uint32_t flags, int fd)
{
    struct vfu_map m = {.iova = iova, .offset = offset, .flags = flags};
    if (size == 0 || (iova | size | offset) % VFU_PAGE_SIZE || flags & ~(VFU_DMA_F_READ | VFU_DMA_F_WRITE))
        return -EINVAL;
    if (__builtin_add_overflow(iova, size - 1, &m.last))
        return -EINVAL;
    size_t at = lower_bound(d, iova);
    if (at < d->count && d->maps[at].iova <= m.last)
        return -EEXIST;
    if (fd >= 0) {
        int rc = open_backing(d, fd, offset, size, flags, &m.backing);
        if (rc)
            return rc;
    }
    int rc = insert(d, at, &m);
    if (rc)
        release(m.backing);
    return rc;
}

// Cuts [iova, last] out of map `at`, which reaches beyond that range on one side or both.
static void cut(struct vfu_dma *d, size_t at, uint64_t iova, uint64_t last)
{
    struct vfu_map *m = &d->maps[at];
    bool head = m->iova<iova, tail = m->last> last;
    if (head && tail) {
        struct vfu_map rest = *m;
        rest.offset += last + 1 - m->iova;
        rest.iova = last + 1;
        // Without room for a second piece the tail becomes unreachable too: less than asked for, never more.
        if (insert(d, at + 1, &rest) == 0 && rest.backing)
            rest.backing->users++;
    }
    m = &d->maps[at];
    if (head) {
        m->last = iova - 1;
    } else {
        m->offset += last + 1 - m->iova;
        m->iova = last + 1;
    }
}

int vfu_dma_unmap(struct vfu_dma *d, uint64_t iova, uint64_t size)
{
    uint64_t last;
    if (size == 0 || __builtin_add_overflow(iova, size - 1, &last))
        return -EINVAL;
    size_t at = lower_bound(d, iova);
    // The maps wholly inside leave in one move: a sweep over thousands of pages must not cost their square.
    if (at < d->count && d->maps[at].iova < iova) {
        cut(d, at, iova, last);
        at++;
    }
    size_t end = at;
    while (end < d->count && d->maps[end].last <= last && d->maps[end].iova >= iova)
        release(d->maps[end++].backing);
    if (end > at)
        memmove(d->maps + at, d->maps + end, (d->count - end) * sizeof *d->maps);
    d->count -= end - at;
    if (at < d->count && d->maps[at].iova <= last)
        cut(d, at, iova, last);
    return 0;
}

// The longest run of bytes from iova that one map holds; NULL when there is none or the access is not
// allowed.
static uint8_t *resolve(struct vfu_dma *d, uint64_t iova, size_t len, uint32_t access, size_t *run)
{
    size_t at = lower_bound(d, iova);
    if (at == d->count || d->maps[at].iova > iova)
        return NULL;
    const struct vfu_map *m = &d->maps[at];
    if (!m->backing || !(m->flags & access))
        return NULL;
    uint64_t left = m->last - iova; // one less than the bytes left, so that a full address space fits
    *run = left < len ? (size_t)left + 1 : len;
    return m->backing->base + m->offset + (iova - m->iova);
}

int vfu_dma_read(struct vfu_dma *d, uint64_t iova, void *buf, size_t len)
{
    uint8_t *to = buf;
    uint64_t end;
    if (len && __builtin_add_overflow(iova, len - 1, &end))
        return -EFAULT;
    while (len) {
        size_t run;
        const uint8_t *p = resolve(d, iova, len, VFU_DMA_F_READ, &run);
        if (!p || guarded_copy(to, p, run))
            return -EFAULT;
        to += run;
        iova += run;
        len -= run;
    }
    return 0;
}

int vfu_dma_write(struct vfu_dma *d, uint64_t iova, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    uint64_t end;
    if (len && __builtin_add_overflow(iova, len - 1, &end))
        return -EFAULT;
    while (len) {
        size_t run;
        uint8_t *p = resolve(d, iova, len, VFU_DMA_F_WRITE, &run);
        if (!p || guarded_copy(p, from, run))
            return -EFAULT;
        from += run;
        iova += run;
        len -= run;
    }
    return 0;
}
