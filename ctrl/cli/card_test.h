// SPDX-License-Identifier: Apache-2.0
// The self-test of a card that nobody uses: what it answers is held against answers that are known, and
// against software, through the rings, the DMA and the interrupts that its driver uses.
#ifndef CTRL_CLI_CARD_TEST_H
#define CTRL_CLI_CARD_TEST_H

#include "espalier/error.h"

// Called behind each step that went well, with what it has shown.
typedef void card_test_tell(void *ctx, const char *step, const char *shown);
// 0, or a negative errno: the step that failed is *step, why is in *err.
int card_test(const char *pci_sysfs, const char *bdf, card_test_tell *tell, void *ctx, const char **step,
              struct esp_error *err);

#endif
