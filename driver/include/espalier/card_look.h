// SPDX-License-Identifier: Apache-2.0
// A card, looked at or reset by who does not use it. Both have the card for that time, so that neither comes
// between it and its driver: -EBUSY: somebody has it.
#ifndef ESPALIER_CARD_LOOK_H
#define ESPALIER_CARD_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "espalier/error.h"

struct esp_card_facts {
    char name[32];               // 0000:01:00.0
    uint32_t abi, build;         // major << 16 | minor; hash of the sources
    uint32_t slots;              // SAs in each direction
    uint32_t queues, max_len;    // of packets; the longest
    uint32_t clock_khz, lanes;   // octets a cycle are 16 times the lanes
    uint32_t vectors;            // of MSI-X
    uint32_t status;             // ESPC_STATUS_*
    bool ready, fatal, zeroized; // of it
    char features[400];          // that it offers, with blanks between
};

// The first card below pci_sysfs (NULL: /sys/bus/pci), or the one named bdf.
int esp_card_look(struct esp_card_facts *f, const char *pci_sysfs, const char *bdf, struct esp_error *err);
// A function-level reset, and the proof that there was one. All SAs of the card and their keys are gone.
int esp_card_function_reset(const char *pci_sysfs, const char *bdf, struct esp_error *err);

#endif
