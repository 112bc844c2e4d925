// SPDX-License-Identifier: Apache-2.0
// Discovery by libpci and the accesses that every way to a device shares. libpci's default error hook ends
// the process, so ours jumps back out of the call that failed.
#include "driver/bus/bus.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>

#include <pci/pci.h>

#include "driver/common/bytes.h"

enum { PCI_COMMAND_OFFSET = 4, COMMAND_MEMORY = 2, COMMAND_MASTER = 4 };
// Above 4 GiB no platform keeps a hole (interrupt addresses lie below); 2 MiB steps let an IOMMU use large
// pages.
#define IOVA_START 0x100000000ull
#define IOVA_STEP  0x200000ull

static _Thread_local jmp_buf scan_failed;
static _Thread_local char scan_text[120];

__attribute__((noreturn, format(printf, 1, 2))) static void scan_error(char *msg, ...)
{
    va_list ap;

    va_start(ap, msg);
    vsnprintf(scan_text, sizeof(scan_text), msg, ap);
    va_end(ap);
    longjmp(scan_failed, 1);
}

__attribute__((format(printf, 1, 2))) static void scan_quiet(char *msg, ...)
{
    (void)msg;
}

static void format_bdf(char *to, size_t size, const struct pci_dev *d)
{
    snprintf(to, size, "%04x:%02x:%02x.%d", (unsigned)d->domain & 0xffff, d->bus, d->dev, d->func);
}

// Scans; copies the device's name to found. Every libpci call that can fail is in here, under one jump
// target.
static int scan(const char *sysfs, const char *bdf, uint16_t vendor, uint16_t device, char found[32],
                struct esp_error *err)
{
    struct pci_access *volatile acc = pci_alloc();
    volatile int rc = -ENODEV;

    if (!acc)
        return esp_fail(err, -ENOMEM, "pci", "out of memory");
    acc->error = scan_error;
    acc->warning = scan_quiet;
    acc->debug = scan_quiet;
    acc->method = PCI_ACCESS_SYS_BUS_PCI;
    if (setjmp(scan_failed) == 0) {
        pci_set_param(acc, "sysfs.path", (char *)(uintptr_t)sysfs);
        pci_init(acc);
        pci_scan_bus(acc);
        for (struct pci_dev *d = acc->devices; d && rc; d = d->next) {
            pci_fill_info(d, PCI_FILL_IDENT);
            format_bdf(found, 32, d);
            if (bdf ? strcmp(bdf, found) == 0 : d->vendor_id == vendor && d->device_id == device)
                rc = d->vendor_id == vendor && d->device_id == device ? 0 : -EINVAL;
            if (rc == -EINVAL)
                break;
        }
        if (rc == -EINVAL)
            esp_fail(err, rc, bdf, "the device is not a card of ours (%04x:%04x)", vendor, device);
        else if (rc)
            esp_fail(err, rc, bdf ? bdf : "card", "no card %04x:%04x below %s", vendor, device, sysfs);
    } else {
        rc = esp_fail(err, -ENODEV, "pci", "the scan of %s failed: %s", sysfs, scan_text);
        acc->devices = NULL; // half-read devices: leave them rather than touch them
    }
    pci_cleanup(acc);
    return rc;
}

static bool holds(const char *dir, const char *name)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) && access(path, F_OK) == 0;
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

int bus_open(struct bus **b, const char *pci_sysfs, const char *bdf, uint16_t vendor, uint16_t device,
             struct esp_error *err)
{
    char found[32], dir[PATH_MAX];
    int rc = scan(pci_sysfs, bdf, vendor, device, found, err);

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
        return esp_fail(err, -ENODEV, found, "the device has neither an IOMMU group nor a vfio-user socket");
    if (rc)
        return rc;
    snprintf((*b)->name, sizeof((*b)->name), "%s", found);
    (*b)->next_iova = IOVA_START;
    rc = change_command(*b, COMMAND_MEMORY,
                        COMMAND_MASTER); // registers answer; no DMA until the driver is ready for it
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
    int rc = b->ops->dma_map(b, base, length, memfd, b->next_iova);

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
