// SPDX-License-Identifier: Apache-2.0
// The configuration space's contents and its write rules (PCI Local Bus 3.0 chapter 6, PCI Express Base 4.0
// chapter 7, PCI Power Management 1.2 chapter 3).
#include "sim/card/pci_config.h"

#include <string.h>

enum {
    COMMAND_MEMORY = 0x0002,
    COMMAND_MASTER = 0x0004,
    COMMAND_WRITABLE = 0x0546, // memory, master, parity, SERR, INTx disable
    STATUS_CAP_LIST = 0x0010,
    CAP_ID_PM = 0x01,
    CAP_ID_EXPRESS = 0x10,
    CAP_ID_MSIX = 0x11,
    ECAP_ID_SERIAL = 0x0003,
    PM_NO_SOFT_RESET = 0x0008,
    PM_STATE = 0x0003,
    PM_D3HOT = 0x0003,
    EXPRESS_DEVCTL = CARD_PCI_CAP_EXPRESS + 0x08,
    EXPRESS_DEVCTL_FLR = 0x8000,
    PMCSR = CARD_PCI_CAP_PM + 0x04,
    MSIX_CONTROL = CARD_PCI_CAP_MSIX + 0x02,
};

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static void init_header(struct pci_config *c)
{
    uint8_t *s = c->space, *m = c->mask;
    put16(s + 0x00, CARD_PCI_VENDOR);
    put16(s + 0x02, CARD_PCI_DEVICE);
    put16(m + CARD_PCI_REG_COMMAND, COMMAND_WRITABLE);
    put16(s + 0x06, STATUS_CAP_LIST);
    put32(s + 0x08, (uint32_t)CARD_PCI_CLASS << 8 | CARD_PCI_REVISION);
    m[0x0c] = 0xff;                                         // cache line size
    put32(s + 0x10, (uint32_t)CARD_PCI_BAR0_ADDRESS | 0x4); // memory, 64 bit, not prefetchable
    put32(s + 0x14, (uint32_t)(CARD_PCI_BAR0_ADDRESS >> 32));
    put32(m + 0x10, ~(uint32_t)(CARD_PCI_BAR0_SIZE - 1));
    put32(m + 0x14, 0xffffffff);
    put16(s + 0x2c, CARD_PCI_SUBSYSTEM_VENDOR);
    put16(s + 0x2e, CARD_PCI_SUBSYSTEM_DEVICE);
    s[0x34] = CARD_PCI_CAP_PM;
    m[0x3c] = 0xff; // interrupt line; the pin is 0: no INTx
}

static void init_capabilities(struct pci_config *c)
{
    uint8_t *s = c->space, *m = c->mask;
    uint8_t *pm = s + CARD_PCI_CAP_PM;
    pm[0] = CAP_ID_PM;
    pm[1] = CARD_PCI_CAP_MSIX;
    put16(pm + 2, 0x0003); // version 3, no PME
    put16(s + PMCSR, PM_NO_SOFT_RESET);
    put16(m + PMCSR, PM_STATE);

    uint8_t *msix = s + CARD_PCI_CAP_MSIX;
    msix[0] = CAP_ID_MSIX;
    msix[1] = CARD_PCI_CAP_EXPRESS;
    put16(msix + 2, c->vectors - 1);
    put16(m + MSIX_CONTROL, 0xc000); // enable, function mask
    put32(msix + 4, CARD_PCI_MSIX_TABLE | 0);
    put32(msix + 8, CARD_PCI_MSIX_PBA | 0);
}

static void init_express(struct pci_config *c)
{
    uint8_t *s = c->space + CARD_PCI_CAP_EXPRESS, *m = c->mask + CARD_PCI_CAP_EXPRESS;
    s[0] = CAP_ID_EXPRESS;
    put16(s + 0x02, 0x0002);                  // version 2, endpoint
    put32(s + 0x04, 0x10008001);              // FLR, role-based errors, payload 256
    put16(s + 0x08, 0x2810);                  // read request 512, relaxed ordering, no snoop
    put16(m + 0x08, 0x7fff);                  // bit 15 starts the FLR and reads 0
    put32(s + 0x0c, 0x00400000 | 8 << 4 | 3); // x8, 8 GT/s, ASPM optional
    put16(m + 0x10, 0x00c3);                  // ASPM control, common clock, extended sync
    put16(s + 0x12, 8 << 4 | 3);              // x8, 8 GT/s
    put32(s + 0x24, 0x0000001f);              // completion time-out ranges and disable
    put16(m + 0x28, 0x001f);
    put32(s + 0x2c, 0x0000000e); // 2.5, 5 and 8 GT/s
    put16(s + 0x30, 0x0003);

    uint8_t *serial = c->space + CARD_PCI_ECAP_SERIAL;
    put32(serial, ECAP_ID_SERIAL | 1u << 16); // version 1, last
    put32(serial + 4, (uint32_t)c->serial);
    put32(serial + 8, (uint32_t)(c->serial >> 32));
}

void pci_config_init(struct pci_config *c, unsigned vectors, uint64_t serial)
{
    memset(c, 0, sizeof *c);
    c->vectors = vectors;
    c->serial = serial;
    init_header(c);
    init_capabilities(c);
    init_express(c);
}

unsigned pci_config_write(struct pci_config *c, uint32_t offset, const uint8_t *data, uint32_t len)
{
    unsigned actions = 0;
    for (uint32_t i = 0; i < len; i++) {
        uint32_t at = offset + i;
        uint8_t now = (uint8_t)((c->space[at] & ~c->mask[at]) | (data[i] & c->mask[at]));
        uint8_t state = data[i] & PM_STATE;
        if (at == PMCSR && state != 0 && state != PM_D3HOT)
            now = c->space[at]; // D1 and D2 are not there: the write is ignored
        c->space[at] = now;
        if (at == EXPRESS_DEVCTL + 1 && (data[i] & EXPRESS_DEVCTL_FLR >> 8))
            actions |= CARD_PCI_ACTION_FLR;
    }
    return actions;
}

static bool in_d0(const struct pci_config *c)
{
    return (c->space[PMCSR] & PM_STATE) == 0;
}

void pci_config_enable_memory(struct pci_config *c)
{
    put16(c->space + CARD_PCI_REG_COMMAND, get16(c->space + CARD_PCI_REG_COMMAND) | COMMAND_MEMORY);
}

bool pci_config_memory_enabled(const struct pci_config *c)
{
    return in_d0(c) && (get16(c->space + CARD_PCI_REG_COMMAND) & COMMAND_MEMORY);
}

bool pci_config_bus_master(const struct pci_config *c)
{
    return in_d0(c) && (get16(c->space + CARD_PCI_REG_COMMAND) & COMMAND_MASTER);
}
