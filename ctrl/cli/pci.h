// SPDX-License-Identifier: Apache-2.0
// The cards that PCI has, found by libpci as the driver finds them; nothing of them is touched.
#ifndef CTRL_CLI_PCI_H
#define CTRL_CLI_PCI_H

#include <stdbool.h>

#include "espalier/error.h"

enum { PCI_CARDS = 64 };
struct pci_card {
    char name[32];   // 0000:01:00.0
    char driver[64]; // of the kernel, or "" where none is bound
    int group;       // of the IOMMU; -1: none
    bool simulated;  // a process's socket is there
};
// Up to PCI_CARDS of them; their number, or a negative errno. Below /sys/bus/pci where sysfs is NULL.
int pci_cards(struct pci_card *cards, const char *sysfs, struct esp_error *err);

#endif
