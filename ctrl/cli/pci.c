// SPDX-License-Identifier: Apache-2.0
#include "ctrl/cli/pci.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pci/pci.h>

#include "espalier/card_id.h"

// libpci's own way with an error is the end of the process.
static _Thread_local jmp_buf scan_failed;
static _Thread_local char scan_text[120];

__attribute__((noreturn, format(printf, 1, 2))) static void on_error(char *msg, ...)
{
    va_list ap;
    va_start(ap, msg);
    vsnprintf(scan_text, sizeof(scan_text), msg, ap);
    va_end(ap);
    longjmp(scan_failed, 1);
}

__attribute__((format(printf, 1, 2))) static void quiet(char *msg, ...)
{
    (void)msg;
}

static void read_link(const char *dir, const char *name, char *to, size_t size)
{
    char path[400], target[400];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    to[0] = 0;
    if (n <= 0)
        return;
    target[n] = 0;
    const char *slash = strrchr(target, '/');
    snprintf(to, size, "%.31s", slash ? slash + 1 : target);
}

static void describe(struct pci_card *c, const char *sysfs)
{
    char dir[300], path[400], group[32];
    snprintf(dir, sizeof(dir), "%.200s/devices/%s", sysfs, c->name);
    read_link(dir, "driver", c->driver, sizeof(c->driver));
    read_link(dir, "iommu_group", group, sizeof(group));
    c->group = group[0] ? atoi(group) : -1;
    snprintf(path, sizeof(path), "%s/vfio-user.sock", dir);
    c->simulated = access(path, F_OK) == 0;
}

// Every libpci call that can fail is in here, under one jump target.
static int scan(struct pci_card *cards, const char *sysfs, struct esp_error *err)
{
    struct pci_access *volatile acc = pci_alloc();
    volatile int count = 0;
    if (!acc)
        return esp_fail(err, -ENOMEM, "pci", "out of memory");
    acc->error = on_error;
    acc->warning = quiet;
    acc->debug = quiet;
    acc->method = PCI_ACCESS_SYS_BUS_PCI;
    if (setjmp(scan_failed) == 0) {
        pci_set_param(acc, "sysfs.path", (char *)(uintptr_t)sysfs);
        pci_init(acc);
        pci_scan_bus(acc);
        for (struct pci_dev *d = acc->devices; d && count < PCI_CARDS; d = d->next) {
            pci_fill_info(d, PCI_FILL_IDENT);
            if (d->vendor_id == CARD_VENDOR && d->device_id == CARD_DEVICE) {
                snprintf(cards[count].name, sizeof(cards[count].name), "%04x:%02x:%02x.%d",
                         (unsigned)d->domain & 0xffff, d->bus, d->dev, d->func);
                count++;
            }
        }
    } else {
        count = esp_fail(err, -ENODEV, "pci", "looking through %.80s: %s", sysfs, scan_text);
        acc->devices = NULL; // half-read devices: leave them rather than touch them
    }
    pci_cleanup(acc);
    return count;
}

int pci_cards(struct pci_card *cards, const char *sysfs, struct esp_error *err)
{
    char path[300];
    sysfs = sysfs ? sysfs : "/sys/bus/pci";
    snprintf(path, sizeof(path), "%.280s/devices", sysfs);
    if (access(path, R_OK | X_OK) < 0)
        return esp_fail(err, -errno, "--pci-sysfs", "%.150s: %s", path, strerror(errno));
    int count = scan(cards, sysfs, err);
    for (int i = 0; i < count; i++)
        describe(&cards[i], sysfs);
    return count;
}
