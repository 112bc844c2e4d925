// SPDX-License-Identifier: Apache-2.0
// The card's PCI configuration space: a 64 KiB 64-bit BAR0, power management, MSI-X, PCI Express endpoint
// with function-level reset, device serial number. Writes go through per-bit masks; what they set off is
// returned.
#ifndef ESP_CARD_PCI_CONFIG_H
#define ESP_CARD_PCI_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CARD_PCI_VENDOR = 0x1234,
    CARD_PCI_DEVICE = 0xe5b0,
    CARD_PCI_SUBSYSTEM_VENDOR = 0x1234,
    CARD_PCI_SUBSYSTEM_DEVICE = 0x0001,
    CARD_PCI_REVISION = 0x01,
    CARD_PCI_CLASS = 0x100000, // encryption controller, network and computing
    CARD_PCI_CONFIG_SIZE = 4096,
    CARD_PCI_BAR0_SIZE = 0x10000,
    CARD_PCI_MSIX_TABLE = 0x8000, // in BAR0
    CARD_PCI_MSIX_PBA = 0x9000,
};
// No firmware assigns addresses to this card: it comes up, and out of every reset, with this one.
#define CARD_PCI_BAR0_ADDRESS 0x00000000fea00000ull
#define CARD_PCI_SERIAL_BASE  0x00e5b0fffe000000ull // + lanes

// Offsets that others need.
enum {
    CARD_PCI_REG_COMMAND = 0x04,
    CARD_PCI_CAP_PM = 0x40,
    CARD_PCI_CAP_MSIX = 0x80,
    CARD_PCI_CAP_EXPRESS = 0x90,
    CARD_PCI_ECAP_SERIAL = 0x100,
};

struct pci_config {
    uint8_t space[CARD_PCI_CONFIG_SIZE];
    uint8_t mask[CARD_PCI_CONFIG_SIZE]; // one bits can be written
    unsigned vectors;
    uint64_t serial;
};

enum { CARD_PCI_ACTION_FLR = 1 };

// As after power-on.
void pci_config_init(struct pci_config *c, unsigned vectors, uint64_t serial);
static inline void pci_config_reset(struct pci_config *c)
{
    pci_config_init(c, c->vectors, c->serial);
}
// offset + len lies inside the space. Returns the actions that the caller takes.
unsigned pci_config_write(struct pci_config *c, uint32_t offset, const uint8_t *data, uint32_t len);

void pci_config_enable_memory(struct pci_config *c);
bool pci_config_memory_enabled(const struct pci_config *c); // command bit 1 and D0
bool pci_config_bus_master(const struct pci_config *c);     // command bit 2 and D0

#endif
