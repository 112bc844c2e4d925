// SPDX-License-Identifier: Apache-2.0
// Packet memory: a sealed memfd cut into equal buffers, with a free list that lives outside the shared
// region, so that nothing which an engine or a device writes there can change which buffer is handed out
// next.
#include "espalier/pool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/common/lock.h"

struct esp_pool {
    uint8_t *base;
    size_t length, size, count;
    int fd;
    size_t available;
    uint32_t *free_list; // indices, a stack: the last one put is the warmest
    uint8_t *taken;      // one flag a buffer
    char note[MEMORY_NOTE];
};

static int map_region(struct esp_pool *p, struct esp_error *err)
{
    p->fd = memfd_create("espalier-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (p->fd < 0)
        return esp_fail(err, -errno, "pool", "memfd_create failed: %s", strerror(errno));
    if (ftruncate(p->fd, (off_t)p->length))
        return esp_fail(err, -errno, "pool", "cannot reserve %zu bytes: %s", p->length, strerror(errno));
    if (fcntl(p->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        return esp_fail(err, -errno, "pool", "cannot seal the region: %s", strerror(errno));
    p->base = mmap(NULL, p->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, p->fd, 0);
    if (p->base == MAP_FAILED) {
        p->base = NULL;
        return esp_fail(err, -errno, "pool", "cannot map %zu bytes: %s", p->length, strerror(errno));
    }
    memory_protect(p->base, p->length, "packet memory", p->note);
    return 0;
}

int esp_pool_create(struct esp_pool **pool, size_t count, size_t size, struct esp_error *err)
{
    struct esp_pool *p;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int rc;

    *pool = NULL;
    if (count == 0 || count > UINT32_MAX || size == 0 || size > 1u << 20)
        return esp_fail(err, -EINVAL, "pool",
                        "1 or more buffers of 1 to 1048576 bytes are possible, %zu of %zu were asked for",
                        count, size);
    p = calloc(1, sizeof(*p));
    if (!p)
        return esp_fail(err, -ENOMEM, "pool", "out of memory");
    p->fd = -1;
    p->count = count;
    p->size = (size + 63) / 64 * 64;
    p->length = (p->size * count + page - 1) / page * page;
    p->free_list = calloc(count, sizeof(*p->free_list));
    p->taken = calloc(count, 1);
    if (!p->free_list || !p->taken) {
        esp_pool_destroy(p);
        return esp_fail(err, -ENOMEM, "pool", "out of memory");
    }
    rc = map_region(p, err);
    if (rc) {
        esp_pool_destroy(p);
        return rc;
    }
    for (size_t i = 0; i < count; i++)
        p->free_list[i] = (uint32_t)(count - 1 - i);
    p->available = count;
    *pool = p;
    return 0;
}

void esp_pool_destroy(struct esp_pool *p)
{
    if (!p)
        return;
    if (p->base)
        munmap(p->base, p->length);
    if (p->fd >= 0)
        close(p->fd);
    free(p->free_list);
    free(p->taken);
    free(p);
}

uint8_t *esp_pool_get(struct esp_pool *p)
{
    uint32_t i;

    if (p->available == 0)
        return NULL;
    i = p->free_list[--p->available];
    p->taken[i] = 1;
    return p->base + i * p->size;
}

void esp_pool_put(struct esp_pool *p, uint8_t *buf)
{
    size_t offset = (size_t)(buf - p->base);
    size_t i = offset / p->size;

    assert(buf >= p->base && i < p->count && offset % p->size == 0 && p->taken[i]);
    p->taken[i] = 0;
    p->free_list[p->available++] = (uint32_t)i;
}

const char *esp_pool_note(const struct esp_pool *p)
{
    return p->note;
}

size_t esp_pool_buffer_size(const struct esp_pool *p)
{
    return p->size;
}

size_t esp_pool_available(const struct esp_pool *p)
{
    return p->available;
}

void esp_pool_region(const struct esp_pool *p, void **base, size_t *length, int *fd)
{
    *base = p->base;
    *length = p->length;
    *fd = p->fd;
}
