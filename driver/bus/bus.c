// SPDX-License-Identifier: Apache-2.0
// Which device it is, and the accesses that every way to one shares.
#include "driver/bus/bus.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "driver/common/bytes.h"
#include "espalier/pci_scan.h"

enum { PCI_COMMAND_OFFSET = 4, COMMAND_MEMORY = 2, COMMAND_MASTER = 4 };
// Above 4 GiB no platform keeps a hole (interrupt addresses lie below); 2 MiB steps let an IOMMU use large
// pages.
#define IOVA_START 0x100000000ull
#define IOVA_STEP  0x200000ull

struct search { // for the first device of that kind, or for the one of that name
    const char *bdf;
    uint16_t vendor, device;
    bool seen, ours; // one of that name is there, and what it is
    char *found;
};

static bool look(void *ctx, const char *name, uint16_t vendor, uint16_t device)
{
    struct search *s = ctx;
    bool kind = vendor == s->vendor && device == s->device;

    if (s->bdf ? strcmp(s->bdf, name) != 0 : !kind)
        return true;
    s->seen = true;
    s->ours = kind;
    snprintf(s->found, PCI_NAME_MAX, "%s", name);
    return false;
}

// Copies the device's name to found.
static int find(const char *sysfs, const char *bdf, uint16_t vendor, uint16_t device,
                char found[PCI_NAME_MAX], struct esp_error *err)
{
    struct search s = {.bdf = bdf, .vendor = vendor, .device = device, .found = found};
    int rc = pci_scan(sysfs, look, &s, err);

    if (rc)
        return rc;
    if (!s.seen)
        return esp_fail(err, -ENODEV, bdf ? bdf : "card", "no card %04x:%04x below %s", vendor, device,
                        sysfs);
    if (!s.ours)
        return esp_fail(err, -EINVAL, bdf, "the device is not a card of ours (%04x:%04x)", vendor, device);
    return 0;
}

// access() would ask for another user than the one that opens it: it leaves out capabilities.
static bool holds(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;

    return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) && stat(path, &st) == 0;
}

static int change_command(struct bus *b, uint16_t set, uint16_t clear)
{
    uint8_t v[2];
    int rc = b->gone ? -ENODEV : b->ops->read(b, BUS_REGION_CONFIG, PCI_COMMAND_OFFSET, v, sizeof(v));

    if (rc)
        return rc;
    put_le16(v, (uint16_t)((get_le16(v) | set) & ~clear));
    return b->ops->write(b, BUS_REGION_CONFIG, PCI_COMMAND_OFFSET, v, sizeof(v), false);
}

int bus_master(struct bus *b, bool on)
{
    return on ? change_command(b, COMMAND_MASTER, 0) : change_command(b, 0, COMMAND_MASTER);
}

int bus_memory(struct bus *b)
{
    return change_command(b, COMMAND_MEMORY, COMMAND_MASTER);
}

int bus_open(struct bus **b, const char *pci_sysfs, const char *bdf, uint16_t vendor, uint16_t device,
             struct esp_error *err)
{
    char found[PCI_NAME_MAX], dir[PATH_MAX];
    int rc = find(pci_sysfs, bdf, vendor, device, found, err);

    *b = NULL;
    if (rc)
        return rc;
    if (snprintf(dir, sizeof(dir), "%s/devices/%s", pci_sysfs, found) >= (int)sizeof(dir))
        return esp_fail(err, -ENAMETOOLONG, "pci", "the path of %s is too long", found);
    if (holds(dir, "iommu_group"))
        rc = bus_vfio_open(b, dir, found, err);
    else if (holds(dir, "vfio-user.sock"))
        rc = bus_vfio_user_open(b, dir, found, err);
    else
        return esp_fail(err, -ENXIO, found, "the device has neither an IOMMU group nor a vfio-user socket");
    if (rc)
        return rc;
    snprintf((*b)->name, sizeof((*b)->name), "%s", found);
    (*b)->next_iova = IOVA_START;
    rc = bus_memory(*b); // no DMA until the driver is ready for it
    if (rc) {
        bus_close(*b);
        *b = NULL;
        return esp_fail(err, rc, found, "cannot enable the device's memory space: %s", strerror(-rc));
    }
    return 0;
}

void bus_close(struct bus *b)
{
    if (!b)
        return;
    if (!b->gone)
        (void)bus_master(b, false);
    b->ops->close(b);
}

uint32_t bus_read32(struct bus *b, uint32_t offset)
{
    uint8_t v[4];

    if (b->gone || b->ops->read(b, BUS_REGION_BAR0, offset, v, sizeof(v)))
        return UINT32_MAX;
    return get_le32(v);
}

void bus_write32(struct bus *b, uint32_t offset, uint32_t value)
{
    uint8_t v[4];

    put_le32(v, value);
    if (!b->gone)
        (void)b->ops->write(b, BUS_REGION_BAR0, offset, v, sizeof(v), false);
}

int bus_post32(struct bus *b, uint32_t offset, uint32_t value)
{
    uint8_t v[4];

    put_le32(v, value);
    if (!b->gone && b->ops->write(b, BUS_REGION_BAR0, offset, v, sizeof(v), true) == -EAGAIN)
        return -EAGAIN;
    return 0; // to a device that has gone: it is found by who looks after it
}

int bus_dma_map(struct bus *b, void *base, size_t length, int memfd, uint64_t *iova, struct esp_error *err)
{
    struct rlimit most;
    int rc = b->ops->dma_map(b, base, length, memfd, b->next_iova);

    if (rc == -ENOMEM && b->locks_memory && !getrlimit(RLIMIT_MEMLOCK, &most) &&
        most.rlim_cur != RLIM_INFINITY)
        return esp_fail(
            err, rc, b->name,
            "cannot map %zu bytes for DMA: RLIMIT_MEMLOCK is %llu KiB, and all that a card may reach "
            "is locked (ulimit -l, LimitMEMLOCK=)",
            length, (unsigned long long)most.rlim_cur / 1024);
    if (rc)
        return esp_fail(err, rc, b->name, "cannot map %zu bytes for DMA: %s", length, strerror(-rc));
    *iova = b->next_iova;
    b->next_iova += (length + IOVA_STEP - 1) / IOVA_STEP * IOVA_STEP;
    return 0;
}

bool bus_check_gone(struct bus *b)
{
    if (!b->gone && b->ops->dead(b))
        b->gone = true;
    return b->gone;
}
