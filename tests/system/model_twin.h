// SPDX-License-Identifier: Apache-2.0
// Two cards side by side for card_model_twin.c: the Verilated one and the one in C, each with a memory of its
// own, fed with the same words. What they leave is compared after every step.
#ifndef TESTS_SYSTEM_MODEL_TWIN_H
#define TESTS_SYSTEM_MODEL_TWIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hw/regs/gen/espalier_card.h"
#include "sim/card_model.h"

#define TWIN_BASE 0x7f0000000000u
enum { TWIN_PAGE = 4096, TWIN_PAGES = 320, TWIN_QUEUES = 3, TWIN_SLOTS = 24 };
// Pages: a ring each from 1 on, then commands' blobs and results, then packets, then room for results.
enum { PAGE_RINGS = 1, PAGE_SA = 8, PAGE_IN = 16, PAGE_OUT = 112, BUFFER_PAGES = 3, BATCH_MAX = 24 };
enum { RTL, FAST };

struct twin_side {
    struct twins *twins;
    struct card_model *card;
    uint8_t memory[TWIN_PAGES * TWIN_PAGE];
    unsigned irqs[256];
};
struct twin_queue {
    uint32_t sq_log2, cq_log2;
    uint32_t tail, seen, head; // submitted, completions compared, completions consumed
};
struct twins {
    struct twin_side side[2];
    bool bad[TWIN_PAGES]; // DMA there is refused
    struct twin_queue queue[TWIN_QUEUES];
    uint64_t descriptors, completions; // of all episodes
    uint64_t verdicts[128];
    char difference[400]; // the first
};

void twins_open(struct twins *t);
void twins_close(struct twins *t);
uint64_t twin_place(unsigned page, unsigned offset);
void twins_put(struct twins *t, uint64_t at, const void *p, size_t n); // into both memories
const uint8_t *twins_at(const struct twins *t, uint64_t at);           // the Verilated card's
void twins_write(struct twins *t, uint32_t reg, uint32_t value);
uint32_t twins_read(struct twins *t, uint32_t reg); // of both; a difference is noted
void twins_hard_reset(struct twins *t);
void twins_queue_open(struct twins *t, unsigned q, uint32_t sq_log2, uint32_t cq_log2);
void twins_submit(struct twins *t, unsigned q, const void *entry);
bool twins_pending(struct twins *t, unsigned q); // entries wait that have not been taken
// Runs both to rest and compares: completions, interrupts, memory, registers. all: counters and names too.
void twins_settle(struct twins *t, bool all);
__attribute__((format(printf, 2, 3))) void twins_differ(struct twins *t, const char *fmt, ...);

#endif
