// SPDX-License-Identifier: Apache-2.0
// libpci's own way with an error is the end of the process, so ours jumps back out of the call that failed.
// It is given the text and nothing else: where to jump to is kept by the thread.
#include "espalier/pci_scan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <pci/pci.h>

static _Thread_local struct {
    jmp_buf failed;
    char said[120];
} under_way;

__attribute__((noreturn, format(printf, 1, 2))) static void on_error(char *msg, ...)
{
    va_list ap;
    va_start(ap, msg);
    vsnprintf(under_way.said, sizeof(under_way.said), msg, ap);
    va_end(ap);
    longjmp(under_way.failed, 1);
}

__attribute__((format(printf, 1, 2))) static void quiet(char *msg, ...)
{
    (void)msg;
}

// Every libpci call that can fail is in here, under one jump target.
static void scan(struct pci_access *acc, pci_scan_fn each, void *ctx)
{
    char name[PCI_NAME_MAX];
    pci_init(acc);
    pci_scan_bus(acc);
    for (struct pci_dev *d = acc->devices; d; d = d->next) {
        pci_fill_info(d, PCI_FILL_IDENT);
        snprintf(name, sizeof(name), "%04x:%02x:%02x.%d", (unsigned)d->domain & 0xffff, d->bus, d->dev,
                 d->func);
        if (!each(ctx, name, d->vendor_id, d->device_id))
            break;
    }
}

int pci_scan(const char *sysfs, pci_scan_fn each, void *ctx, struct esp_error *err)
{
    struct pci_access *volatile acc = pci_alloc();
    volatile int rc = 0;
    if (!acc)
        return esp_fail(err, -ENOMEM, "pci", "out of memory");
    acc->error = on_error;
    acc->warning = quiet;
    acc->debug = quiet;
    acc->method = PCI_ACCESS_SYS_BUS_PCI;
    if (setjmp(under_way.failed) == 0) {
        pci_set_param(acc, "sysfs.path", (char *)(uintptr_t)sysfs);
        scan(acc, each, ctx);
    } else {
        rc = esp_fail(err, -ENODEV, "pci", "the scan of %.80s failed: %s", sysfs, under_way.said);
        acc->devices = NULL; // half-read devices: leave them rather than touch them
    }
    pci_cleanup(acc);
    return rc;
}
