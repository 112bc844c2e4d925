// SPDX-License-Identifier: Apache-2.0
// A card model for tests of the process around it: registers are plain memory, and a doorbell copies 64 bytes
// from the queue's submission ring to its completion ring after some cycles and raises the queue's interrupt.
#include <errno.h>
#include <stdlib.h>

#include "hw/regs/gen/espalier_card.h"
#include "sim/card_model.h"

enum { SPACE = 0x8000, WORK_CYCLES = 1000, VECTORS = 4, SLOTS = 1024, RESET_CYCLES = 500 };

struct card_model {
    struct card_model_config config;
    struct card_model_stats stats;
    uint32_t space[SPACE / 4];
    uint64_t freerun, todo;
    unsigned lanes, queue, flips;
    bool work, wave;
};

static void clear(struct card_model *m)
{
    for (unsigned i = 0; i < SPACE / 4; i++)
        m->space[i] = 0;
    m->space[ESPC_REG_MAGIC / 4] = 0x4c505345;
    m->space[ESPC_REG_ABI / 4] = ESPC_ABI_MAJOR << 16;
    m->space[ESPC_REG_CLOCK_KHZ / 4] = 250000;
    m->space[ESPC_REG_LANES / 4] = m->lanes;
    m->space[ESPC_REG_VECTORS / 4] = VECTORS;
    m->space[ESPC_REG_SA_SLOTS / 4] =
        m->config.sa_slots && m->config.sa_slots < SLOTS ? m->config.sa_slots : (unsigned)SLOTS;
    m->space[ESPC_REG_COUNTER_NAME_WORD(0, 0) / 4] = 0x656e6f64; // "done"
    m->work = false;
    m->todo = RESET_CYCLES;
}

static struct card_model *make(const struct card_model_config *config, unsigned lanes)
{
    struct card_model *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->config = *config;
    m->lanes = lanes;
    clear(m);
    m->todo = 0;
    return m;
}

struct card_model *card_model_l1_new(const struct card_model_config *config)
{
    return make(config, 1);
}

struct card_model *card_model_l4_new(const struct card_model_config *config)
{
    return make(config, 4);
}

void card_model_destroy(struct card_model *m)
{
    free(m);
}

static void finish(struct card_model *m)
{
    unsigned char entry[64];
    const uint32_t *q = &m->space[ESPC_REG_QUEUE(m->queue) / 4];
    int rc = m->config.dma_read(m->config.ctx, (uint64_t)q[1] << 32 | q[0], entry, sizeof entry);
    m->work = rc == CARD_MODEL_LATER;
    m->todo = m->work; // in the next cycle again
    if (m->work)
        return;
    if (rc || m->config.dma_write(m->config.ctx, (uint64_t)q[3] << 32 | q[2], entry, sizeof entry)) {
        m->space[ESPC_REG_STATUS / 4] |= ESPC_STATUS_FATAL_MASK;
        return;
    }
    m->stats.read_bytes += sizeof entry;
    m->stats.write_bytes += sizeof entry;
    m->space[ESPC_REG_COUNTER_LO(0) / 4]++;
    m->stats.irqs++;
    m->config.irq(m->config.ctx, q[5]);
}

static void tick(struct card_model *m, uint64_t cycles)
{
    m->freerun += cycles;
    m->stats.cycles += cycles;
    if (!m->todo)
        return;
    m->stats.busy_cycles += cycles;
    m->todo -= cycles < m->todo ? cycles : m->todo;
    if (!m->todo && m->work)
        finish(m);
}

uint32_t card_model_csr_read32(struct card_model *m, uint32_t offset)
{
    tick(m, 4);
    if (offset == ESPC_REG_FREERUN_LO) {
        m->space[ESPC_REG_FREERUN_HI / 4] = (uint32_t)(m->freerun >> 32);
        return (uint32_t)m->freerun;
    }
    return m->space[offset / 4];
}

void card_model_csr_write32(struct card_model *m, uint32_t offset, uint32_t value)
{
    tick(m, 4);
    m->space[offset / 4] = value;
    if (offset >= ESPC_REG_DOORBELL(0) && offset < ESPC_REG_DOORBELL(8) && offset % 8 == 0) {
        m->queue = (offset - ESPC_REG_DOORBELL(0)) / 8;
        m->work = true;
        m->todo = WORK_CYCLES;
    }
}

bool card_model_busy(const struct card_model *m)
{
    return m->todo != 0;
}

uint64_t card_model_step(struct card_model *m, uint64_t ncycles)
{
    uint64_t ran = 0;
    while (ran < ncycles && m->todo) {
        uint64_t n = ncycles - ran < m->todo ? ncycles - ran : m->todo;
        tick(m, n);
        ran += n;
    }
    return ran;
}

void card_model_freerun_add(struct card_model *m, uint64_t cycles)
{
    m->freerun += cycles;
}

void card_model_hard_reset(struct card_model *m)
{
    clear(m);
}

// A bit that falls over inside is found, but for the first, which is of a copy that nobody looks at.
unsigned card_model_flip(struct card_model *m, const void *bytes, size_t len, size_t behind,
                         unsigned char mask)
{
    (void)bytes, (void)len, (void)behind, (void)mask;
    if (m->flips++)
        m->space[ESPC_REG_STATUS / 4] |= ESPC_STATUS_FATAL_MASK;
    return 1;
}

unsigned card_model_lanes(const struct card_model *m)
{
    return m->lanes;
}

unsigned card_model_vectors(const struct card_model *m)
{
    (void)m;
    return VECTORS;
}

void card_model_stats(const struct card_model *m, struct card_model_stats *stats)
{
    *stats = m->stats;
}

int card_model_wave_start(struct card_model *m, const char *path)
{
    (void)path;
    if (m->wave)
        return -EBUSY;
    m->wave = true;
    return 0;
}

void card_model_wave_stop(struct card_model *m)
{
    m->wave = false;
}
