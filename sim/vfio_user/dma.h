// SPDX-License-Identifier: Apache-2.0
// The client's memory as the card sees it: ranges of IOVA, each backed by a piece of a file that the client
// passed as a descriptor. Accesses walk from map to map and stop at the first byte that is not mapped.
#ifndef ESP_VFIO_USER_DMA_H
#define ESP_VFIO_USER_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// One mapped file. Every map of the same file shares one mapping (with an IOMMU there is one map per page).
struct vfu_backing {
    dev_t dev;
    ino_t ino;
    uint8_t *base;
    size_t size;
    bool writable;
    unsigned users;
};

struct vfu_map {
    uint64_t iova, last;         // first and last byte
    struct vfu_backing *backing; // NULL: mapped without a descriptor, not reachable for this server
    uint64_t offset;
    uint32_t flags; // VFU_DMA_F_READ, VFU_DMA_F_WRITE
};

struct vfu_dma {
    struct vfu_map *maps; // sorted by iova, never overlapping
    size_t count, room;
};

void vfu_dma_init(struct vfu_dma *d);
// Drops all maps and frees the table.
void vfu_dma_free(struct vfu_dma *d);

// fd is not kept; -1 where the client passed none. Negative errno: EINVAL (bad range, flags or file size),
// EEXIST (overlaps a map), ENOSPC (too many maps), or what mmap said.
int vfu_dma_map(struct vfu_dma *d, uint64_t iova, uint64_t size, uint64_t offset, uint32_t flags, int fd);
// Nothing in the range is reachable afterwards; a map that the range cuts keeps its part outside. No match is
// no error.
int vfu_dma_unmap(struct vfu_dma *d, uint64_t iova, uint64_t size);
void vfu_dma_unmap_all(struct vfu_dma *d);

// 0, or -EFAULT when a byte is not mapped, not backed or not allowed; bytes before it may have moved.
int vfu_dma_read(struct vfu_dma *d, uint64_t iova, void *buf, size_t len);
int vfu_dma_write(struct vfu_dma *d, uint64_t iova, const void *buf, size_t len);

#endif
