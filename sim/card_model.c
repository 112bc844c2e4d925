// SPDX-License-Identifier: Apache-2.0
// The C interface of the card model: each call goes to the width the model was made for (card_model.cpp, once
// per width).
#include "sim/card_model_ops.h"

void card_model_destroy(struct card_model *m)
{
    if (m)
        m->ops->destroy(m);
}

uint32_t card_model_csr_read32(struct card_model *m, uint32_t offset)
{
    return m->ops->csr_read32(m, offset);
}

void card_model_csr_write32(struct card_model *m, uint32_t offset, uint32_t value)
{
    m->ops->csr_write32(m, offset, value);
}

bool card_model_busy(const struct card_model *m)
{
    return m->ops->busy(m);
}

uint64_t card_model_step(struct card_model *m, uint64_t ncycles)
{
    return m->ops->step(m, ncycles);
}

void card_model_freerun_add(struct card_model *m, uint64_t cycles)
{
    m->ops->freerun_add(m, cycles);
}

void card_model_hard_reset(struct card_model *m)
{
    m->ops->hard_reset(m);
}

unsigned card_model_find(const struct card_model *m, const void *bytes, size_t len)
{
    return m->ops->find(m, bytes, len);
}

unsigned card_model_flip(struct card_model *m, const void *bytes, size_t len, size_t behind,
                         unsigned char mask)
{
    return m->ops->flip(m, bytes, len, behind, mask);
}

unsigned card_model_lanes(const struct card_model *m)
{
    return m->ops->lanes;
}

unsigned card_model_vectors(const struct card_model *m)
{
    return m->ops->vectors;
}

void card_model_stats(const struct card_model *m, struct card_model_stats *stats)
{
    m->ops->stats(m, stats);
}

int card_model_wave_start(struct card_model *m, const char *path)
{
    return m->ops->wave_start(m, path);
}

void card_model_wave_stop(struct card_model *m)
{
    m->ops->wave_stop(m);
}
