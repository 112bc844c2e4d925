// SPDX-License-Identifier: Apache-2.0
// A PCIe device through the kernel's VFIO (linux/vfio.h): container, group and device descriptors, BAR0
// mapped for posted writes, DMA mapped through the IOMMU, MSI-X vectors,
// errors and the wish to have the device back as eventfds.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "driver/bus/bus.h"
#include "driver/common/bytes.h"

struct vfio {
    struct bus base;
    int container, group, device;
    int request, error; // eventfds: the kernel wants it back, PCIe has reported an error; both in base.fd
    uint64_t offset[2]; // of BAR0 and the config space in the device descriptor
    uint8_t *bar;       // mapping of BAR0, NULL: the device does not allow it
};

static struct vfio *vf(struct bus *b)
{
    return (struct vfio *)b;
}

static off_t place(const struct vfio *v, unsigned region, uint64_t offset)
{
    return (off_t)(v->offset[region == BUS_REGION_CONFIG] + offset);
}

static int vfio_read(struct bus *b, unsigned region, uint64_t offset, void *buf, uint32_t count)
{
    ssize_t n = pread(vf(b)->device, buf, count, place(vf(b), region, offset));

    if (n == (ssize_t)count)
        return 0;
    b->gone = b->gone || (n < 0 && (errno == ENODEV || errno == EIO));
    return n < 0 ? -errno : -EIO;
}

static int vfio_write(struct bus *b, unsigned region, uint64_t offset, const void *buf, uint32_t count,
                      bool posted)
{
    struct vfio *v = vf(b);
    ssize_t n;

    if (posted && v->bar && region == BUS_REGION_BAR0 && count == 4) {
        // PCIe writes are posted by nature. The kernel takes no mapping away while the descriptor is open,
        // and a write to a device that was pulled out is dropped by the root port.
        uint32_t value;
        memcpy(&value, buf, sizeof(value));
        *(volatile uint32_t *)(void *)(v->bar + offset) = value;
        return 0;
    }
    n = pwrite(v->device, buf, count, place(v, region, offset));
    if (n == (ssize_t)count)
        return 0;
    b->gone = b->gone || (n < 0 && (errno == ENODEV || errno == EIO));
    return n < 0 ? -errno : -EIO;
}

static int vfio_dma_map(struct bus *b, void *base, size_t length, int memfd, uint64_t iova)
{
    struct vfio_iommu_type1_dma_map m = {
        .argsz = sizeof(m),
        .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
        .vaddr = (uintptr_t)base,
        .iova = iova,
        .size = length,
    };

    (void)memfd; // VFIO maps by address
    return ioctl(vf(b)->container, VFIO_IOMMU_MAP_DMA, &m) ? -errno : 0;
}

static int vfio_dma_unmap(struct bus *b, uint64_t iova, size_t length)
{
    struct vfio_iommu_type1_dma_unmap m = {.argsz = sizeof(m), .iova = iova, .size = length};

    return ioctl(vf(b)->container, VFIO_IOMMU_UNMAP_DMA, &m) ? -errno : 0;
}

static int set_irqs(struct vfio *v, unsigned index, const int *fds, unsigned n)
{
    union {
        struct vfio_irq_set set;
        uint8_t room[sizeof(struct vfio_irq_set) + BUS_MAX_IRQS * sizeof(int)];
    } u;

    if (n > BUS_MAX_IRQS)
        return -EINVAL;
    memset(&u, 0, sizeof(u));
    u.set.argsz = (uint32_t)(sizeof(u.set) + n * sizeof(int));
    u.set.flags = (n ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE) | VFIO_IRQ_SET_ACTION_TRIGGER;
    u.set.index = index;
    u.set.count = n;
    memcpy(u.room + sizeof(u.set), fds, n * sizeof(int));
    return ioctl(v->device, VFIO_DEVICE_SET_IRQS, &u.set) ? -errno : 0;
}

static int vfio_irq_set(struct bus *b, const int *fds, unsigned n)
{
    return set_irqs(vf(b), VFIO_PCI_MSIX_IRQ_INDEX, fds, n);
}

static bool came(int fd)
{
    uint64_t times;

    return fd >= 0 && read(fd, &times, sizeof(times)) == sizeof(times); // non-blocking
}

// Whoever takes the device out waits until we have let go of it, and asks again and again.
static const char *vfio_notice(struct bus *b)
{
    return came(vf(b)->error)     ? "PCIe has reported an error of the card that cannot be corrected"
           : came(vf(b)->request) ? "the card is being removed: the kernel wants it back"
                                  : NULL;
}

static int vfio_reset(struct bus *b)
{
    return ioctl(vf(b)->device, VFIO_DEVICE_RESET) ? -errno : 0;
}

// All ones in the vendor register: no device answers on this link, so none can master it.
static bool vfio_dead(struct bus *b)
{
    uint8_t id[2];

    if (vfio_read(b, BUS_REGION_CONFIG, 0, id, sizeof(id)))
        return b->gone;
    return get_le16(id) == UINT16_MAX;
}

static void *close_files(void *bus)
{
    struct vfio *v = bus;

    if (v->bar)
        munmap(v->bar, v->base.bar0_size);
    if (v->device >= 0)
        close(v->device);
    if (v->group >= 0)
        close(v->group);
    if (v->container >= 0)
        close(v->container);
    if (v->request >= 0)
        close(v->request);
    if (v->error >= 0)
        close(v->error);
    if (v->base.fd >= 0)
        close(v->base.fd);
    free(v);
    return NULL;
}

// With the last descriptor the kernel resets the device, and waits for one that does not answer for a minute:
// not the caller, whose other SAs go on.
static void vfio_close(struct bus *b)
{
    pthread_t beside;

    if (b->gone && pthread_create(&beside, NULL, close_files, vf(b)) == 0)
        pthread_detach(beside);
    else
        close_files(vf(b));
}

static const struct bus_ops vfio_ops = {
    .read = vfio_read,
    .write = vfio_write,
    .dma_map = vfio_dma_map,
    .dma_unmap = vfio_dma_unmap,
    .irq_set = vfio_irq_set,
    .reset = vfio_reset,
    .dead = vfio_dead,
    .notice = vfio_notice,
    .close = vfio_close,
};

// Opens /dev/vfio/GROUP of the device and joins it to a new container with an IOMMU.
static int open_group(struct vfio *v, const char *dir, const char *bdf, struct esp_error *err)
{
    struct vfio_group_status status = {.argsz = sizeof(status)};
    char link[PATH_MAX], target[PATH_MAX], path[PATH_MAX];
    ssize_t n;
    char *number;

    snprintf(link, sizeof(link), "%s/iommu_group", dir);
    n = readlink(link, target, sizeof(target) - 1);
    if (n < 0)
        return esp_fail(err, -errno, bdf, "cannot read the device's IOMMU group: %s", strerror(errno));
    target[n] = 0;
    number = strrchr(target, '/');
    snprintf(path, sizeof(path), "/dev/vfio/%.32s", number ? number + 1 : target);
    v->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
    if (v->container < 0)
        return esp_fail(err, -errno, bdf, "cannot open /dev/vfio/vfio: %s", strerror(errno));
    if (ioctl(v->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
        ioctl(v->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
        return esp_fail(err, -ENOTSUP, bdf, "this kernel's VFIO offers no type 1 IOMMU");
    v->group = open(path, O_RDWR | O_CLOEXEC);
    if (v->group < 0 && errno == EBUSY)
        return esp_fail(err, -EBUSY, bdf, "another process has %.40s", path);
    if (v->group < 0 && errno == ENOENT)
        return esp_fail(err, -ENOENT, bdf, "there is no %.40s: the device is not bound to vfio-pci", path);
    if (v->group < 0)
        return esp_fail(err, -errno, bdf, "cannot open %.40s: %s", path, strerror(errno));
    if (ioctl(v->group, VFIO_GROUP_GET_STATUS, &status) || !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
        return esp_fail(err, -EPERM, bdf, "another device of IOMMU group %.40s is bound to a kernel driver",
                        path);
    if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container) ||
        ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
        return esp_fail(err, -errno, bdf, "cannot set up the IOMMU: %s", strerror(errno));
    return 0;
}

static int region_of(struct vfio *v, unsigned index, struct vfio_region_info *r)
{
    memset(r, 0, sizeof(*r));
    r->argsz = sizeof(*r);
    r->index = index;
    return ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, r) ? -errno : 0;
}

static int open_device(struct vfio *v, const char *bdf, struct esp_error *err)
{
    struct vfio_irq_info irq = {.argsz = sizeof(irq), .index = VFIO_PCI_MSIX_IRQ_INDEX};
    struct vfio_region_info bar0, config;

    v->device = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
    if (v->device < 0)
        return esp_fail(err, -errno, bdf, "VFIO does not hand out the device: %s", strerror(errno));
    if (region_of(v, VFIO_PCI_BAR0_REGION_INDEX, &bar0) ||
        region_of(v, VFIO_PCI_CONFIG_REGION_INDEX, &config) ||
        ioctl(v->device, VFIO_DEVICE_GET_IRQ_INFO, &irq))
        return esp_fail(err, -EPROTO, bdf, "VFIO does not describe BAR0, the config space or MSI-X");
    v->offset[0] = bar0.offset;
    v->offset[1] = config.offset;
    v->base.bar0_size = bar0.size;
    v->base.irqs = irq.count;
    if (bar0.flags & VFIO_REGION_INFO_FLAG_MMAP) {
        v->bar = mmap(NULL, bar0.size, PROT_READ | PROT_WRITE, MAP_SHARED, v->device, (off_t)bar0.offset);
        if (v->bar == MAP_FAILED)
            v->bar = NULL; // every write then goes through the descriptor
    }
    return 0;
}

// A kind of notice that this device has: into base.fd.
static int take_notice(struct vfio *v, unsigned index, int *fd)
{
    struct vfio_irq_info irq = {.argsz = sizeof(irq), .index = index};
    struct epoll_event ev = {.events = EPOLLIN};

    if (ioctl(v->device, VFIO_DEVICE_GET_IRQ_INFO, &irq) || irq.count == 0)
        return 0; // a kernel or a device that has none
    *fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (*fd < 0 || epoll_ctl(v->base.fd, EPOLL_CTL_ADD, *fd, &ev))
        return -errno;
    return set_irqs(v, index, fd, 1);
}

static int take_notices(struct vfio *v, const char *bdf, struct esp_error *err)
{
    int rc;

    v->base.fd = epoll_create1(EPOLL_CLOEXEC);
    rc = v->base.fd < 0 ? -errno : take_notice(v, VFIO_PCI_REQ_IRQ_INDEX, &v->request);
    rc = rc ? rc : take_notice(v, VFIO_PCI_ERR_IRQ_INDEX, &v->error);
    return rc ? esp_fail(err, rc, bdf, "cannot be told of the device's errors and removal: %s", strerror(-rc))
              : 0;
}

int bus_vfio_open(struct bus **b, const char *dir, const char *bdf, struct esp_error *err)
{
    struct vfio *v = calloc(1, sizeof(*v));
    int rc;

    if (!v)
        return esp_fail(err, -ENOMEM, bdf, "out of memory");
    v->base.ops = &vfio_ops;
    v->base.fd = -1;
    v->base.locks_memory = true;
    v->container = v->group = v->device = v->request = v->error = -1;
    rc = open_group(v, dir, bdf, err);
    if (!rc)
        rc = open_device(v, bdf, err);
    if (!rc)
        rc = take_notices(v, bdf, err);
    if (rc) {
        vfio_close(&v->base);
        return rc;
    }
    *b = &v->base;
    return 0;
}
