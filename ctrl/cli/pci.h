// SPDX-License-Identifier: Apache-2.0
// The cards that PCI has, found by libpci as the driver finds them, and what the kernel knows of each;
// nothing of them is touched. Bound and let go of by who is asked to (pci_bind.c).
#ifndef CTRL_CLI_PCI_H
#define CTRL_CLI_PCI_H

#include <stdbool.h>
#include <stddef.h>

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
// The one of that address, or where it is NULL the only one that there is.
int pci_card_of(struct pci_card *card, const char *address, const char *sysfs, struct esp_error *err);

// Who has it, as "espalierd (412)"; false: nobody.
bool pci_holder(const struct pci_card *card, char *who, size_t size);
// A device of its IOMMU group that the kernel works with, as "0000:01:00.1 (e1000e)", so that VFIO gives out
// none of the group; false: there is none.
bool pci_in_the_way(const struct pci_card *card, const char *sysfs, char *what, size_t size);
// What this machine uses it for, as "eth1 has the address 192.0.2.1"; false: for nothing.
bool pci_network_use(const struct pci_card *card, const char *sysfs, char *what, size_t size);
// The first line of a file in its folder, or "".
void pci_attribute(const struct pci_card *card, const char *sysfs, const char *name, char *to, size_t size);

// To vfio-pci; force: although pci_network_use. 0, 1: it was there, or a negative errno: it is where it was,
// and so is its driver_override.
int pci_bind(const struct pci_card *card, const char *sysfs, bool force, struct esp_error *err);
// From vfio-pci, to what the kernel has for it. 0, or a negative errno: as above.
int pci_unbind(const struct pci_card *card, const char *sysfs, struct esp_error *err);
// Into a file of sysfs. 0, or a negative errno.
int pci_write(const char *path, const char *text);

#endif
