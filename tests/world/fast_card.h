// SPDX-License-Identifier: Apache-2.0
// The card in C: the same interface as the Verilated ones of sim/card_model.h, thousands of times as fast.
// Registers, doorbells, rings, DMA and interrupts as rtl/ring and rtl/csr do them; time is not modelled: a
// descriptor that is taken has completed.
#ifndef TESTS_WORLD_FAST_CARD_H
#define TESTS_WORLD_FAST_CARD_H

#include "sim/card_model.h"

enum { FAST_CYCLES = 64 }; // that card_model_step reckons for a descriptor
struct card_model *card_model_fast_new(const struct card_model_config *config);

#endif
