// SPDX-License-Identifier: Apache-2.0
// What there is on PCI, as libpci finds it; nothing of it is touched.
#ifndef ESPALIER_PCI_SCAN_H
#define ESPALIER_PCI_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "espalier/error.h"

enum { PCI_NAME_MAX = 32 };

// One device: its name ("0000:01:00.0") and what it says that it is. False: that was enough.
typedef bool (*pci_scan_fn)(void *ctx, const char *name, uint16_t vendor, uint16_t device);
// Every device below sysfs (/sys/bus/pci, or what takes its place). 0, or a negative errno.
int pci_scan(const char *sysfs, pci_scan_fn each, void *ctx, struct esp_error *err);

#endif
