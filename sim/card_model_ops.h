// SPDX-License-Identifier: Apache-2.0
// Inside the card model: the functions that each width's C++ file provides, so that several widths fit in one
// program.
#ifndef ESPALIER_SIM_CARD_MODEL_OPS_H
#define ESPALIER_SIM_CARD_MODEL_OPS_H

#include "sim/card_model.h"

struct card_model_ops {
    unsigned lanes, vectors;
    uint32_t (*csr_read32)(struct card_model *m, uint32_t offset);
    void (*csr_write32)(struct card_model *m, uint32_t offset, uint32_t value);
    bool (*busy)(const struct card_model *m);
    uint64_t (*step)(struct card_model *m, uint64_t ncycles);
    void (*freerun_add)(struct card_model *m, uint64_t cycles);
    unsigned (*find)(const struct card_model *m, const void *bytes, size_t len);
    unsigned (*flip)(struct card_model *m, const void *bytes, size_t len, size_t behind, unsigned char mask);
    void (*hard_reset)(struct card_model *m);
    void (*stats)(const struct card_model *m, struct card_model_stats *stats);
    int (*wave_start)(struct card_model *m, const char *path);
    void (*wave_stop)(struct card_model *m);
    void (*destroy)(struct card_model *m);
};

// Every model starts with this.
struct card_model {
    const struct card_model_ops *ops;
};

#endif
