// SPDX-License-Identifier: Apache-2.0
// A host for the card's RTL in tests: memory on the bus of card_model.h, queues, descriptors and completions.
// Everything that the card does on the bus is checked against what it was given: a stray access fails the
// test.
#ifndef ESPALIER_TESTS_TOP_HOST_H
#define ESPALIER_TESTS_TOP_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/regs/gen/espalier_card.h"
#include "sim/card_model.h"

enum { HOST_BYTES = 8 << 20, HOST_VECTORS = 4, HOST_QUEUES = 3 };
enum { HOST_ENTRIES = 6 << ESPC_QUEUE_LOG2_SIZE_SQE_SHIFT | 5 << ESPC_QUEUE_LOG2_SIZE_CQE_SHIFT };
#define HOST_BASE 0x7f0000000000u

struct host;

struct queue {
    struct host *host;
    unsigned number;
    unsigned sq_log2, cq_log2;
    uint64_t sq, cq;  // addresses of the rings
    uint32_t tail;    // entries written
    uint32_t head;    // completions consumed
    uint32_t sq_head; // as the last completion said
};

struct host {
    struct card_model *card;
    uint8_t *memory;
    uint64_t used;
    unsigned irqs[HOST_VECTORS];
    uint64_t bad_from, bad_to;     // accesses in here are answered with an error
    unsigned refused;              // how many were
    unsigned strays;               // accesses outside memory
    uint64_t write_from, write_to; // writes in here are counted
    unsigned writes;
    uint64_t cq_from[HOST_QUEUES], cq_to[HOST_QUEUES];
    // called when the card writes a completion of a packet queue, before the test sees it
    void (*on_completion)(struct host *h, const struct espc_completion *c, void *arg);
    void *on_arg;
    uint32_t epoch;
};

typedef struct card_model *(*card_new)(const struct card_model_config *);

// A card with everything but the bus functions taken from `config`; not yet enabled.
void host_open(struct host *h, card_new make, struct card_model_config config);
void host_close(struct host *h);
uint64_t host_alloc(struct host *h, uint64_t bytes, uint64_t align);
void host_forget(struct host *h); // frees all of host_alloc
uint8_t *host_at(struct host *h, uint64_t iova);
void host_idle(struct host *h); // runs until the card is idle; fails the test when it never is

uint32_t host_read(struct host *h, uint32_t reg);
void host_write(struct host *h, uint32_t reg, uint32_t value);
uint64_t host_counter(struct host *h, unsigned index); // latches all first

void host_enable(struct host *h); // handshake, epoch, CTRL.ENABLE
void queue_open(struct queue *q, struct host *h, unsigned number, unsigned sq_log2, unsigned cq_log2,
                unsigned vector);
void queue_put(struct queue *q, const void *entry); // without doorbell
void queue_ring(struct queue *q);
bool queue_poll(struct queue *q, struct espc_completion *c); // checks phase and epoch
void queue_wait(struct queue *q,
                struct espc_completion *c); // runs the card; fails the test after 200,000 cycles
void queue_consumed(struct queue *q, bool arm);

// One SA command, to its completion; the result goes to `result` where it is not NULL.
uint16_t sa_command(struct queue *q, struct espc_sa_command cmd, const struct espc_sa_blob *blob,
                    struct espc_sa_result *result);

#endif
