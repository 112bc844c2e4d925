// SPDX-License-Identifier: Apache-2.0
// A PCI device as its driver sees it, in the VFIO model: regions, DMA mappings, interrupts as eventfds,
// reset. libpci finds the device; what its sysfs directory holds decides the way to it: iommu_group (kernel
// VFIO) or vfio-user.sock (a process). Nothing above this file can tell which one it is.
#ifndef ESPALIER_BUS_BUS_H
#define ESPALIER_BUS_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "espalier/error.h"

enum { BUS_REGION_BAR0 = 0, BUS_REGION_CONFIG = 7, BUS_IRQ_MSIX = 2 }; // the indices of VFIO for PCI devices
enum { BUS_TIMEOUT_MS = 1000, BUS_OPEN_TIMEOUT_MS = 5000, BUS_MAX_IRQS = 16 };

struct bus;
struct bus_ops {
    int (*read)(struct bus *b, unsigned region, uint64_t offset, void *buf, uint32_t count);
    // posted: never waits, and may be called beside another thread's access. It stays in order with what its
    // own thread does. -EAGAIN: no room for it now.
    int (*write)(struct bus *b, unsigned region, uint64_t offset, const void *buf, uint32_t count,
                 bool posted);
    int (*dma_map)(struct bus *b, void *base, size_t length, int memfd, uint64_t iova);
    int (*dma_unmap)(struct bus *b, uint64_t iova, size_t length);
    int (*irq_set)(struct bus *b, const int *fds, unsigned n); // n = 0: none any more
    int (*reset)(struct bus *b);                               // returns once the device has acknowledged it
    // Is the device certain to do no more DMA because it is no longer there?
    bool (*dead)(struct bus *b);
    // Where `fd` is readable for it (NULL: it never is): why the device is to be let go of; NULL: for
    // nothing.
    const char *(*notice)(struct bus *b);
    void (*close)(struct bus *b);
};

struct bus {
    const struct bus_ops *ops;
    char name[32];    // BDF
    atomic_bool gone; // an access failed for good: every read is all ones
    int fd; // hung up when the device may have gone, or readable where the bus has `notice`; -1: neither
    uint64_t next_iova;
    uint64_t bar0_size;
    unsigned irqs;       // MSI-X vectors
    bool locks_memory;   // what is mapped counts against RLIMIT_MEMLOCK
    unsigned timeout_ms; // an answer comes within: longer while nobody depends on the device yet
};

// Opens the first device vendor:device below pci_sysfs, or the one named bdf. -ENODEV: none found.
int bus_open(struct bus **b, const char *pci_sysfs, const char *bdf, uint16_t vendor, uint16_t device,
             struct esp_error *err);
void bus_close(struct bus *b); // clears bus mastering first

uint32_t bus_read32(struct bus *b, uint32_t offset);              // BAR0; all ones when gone
void bus_write32(struct bus *b, uint32_t offset, uint32_t value); // BAR0, acknowledged
int bus_post32(struct bus *b, uint32_t offset, uint32_t value);   // BAR0, posted; 0, or -EAGAIN: no room
int bus_master(struct bus *b, bool on);                           // acknowledged when it returns 0
int bus_memory(struct bus *b); // registers answer, no DMA: as bus_open leaves it, and a reset does not
int bus_dma_map(struct bus *b, void *base, size_t length, int memfd, uint64_t *iova, struct esp_error *err);
// Looks whether the device has gone, without waiting.
bool bus_check_gone(struct bus *b);

// The two ways (dir: the device's sysfs directory).
int bus_vfio_open(struct bus **b, const char *dir, const char *bdf, struct esp_error *err);
int bus_vfio_user_open(struct bus **b, const char *dir, const char *bdf, struct esp_error *err);

#endif
