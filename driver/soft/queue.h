// SPDX-License-Identifier: Apache-2.0
// A queue of the software engine: the SAs that belong to it, their SPI table, and the jobs. All of it is the
// business of one thread. The engine's thread sends commands and takes answers; where the two threads are
// one, commands are run at once.
#ifndef ESPALIER_SOFT_QUEUE_H
#define ESPALIER_SOFT_QUEUE_H

#include <stdatomic.h>

#include "driver/common/event_queue.h"
#include "driver/soft/sa.h"

enum { SOFT_RING = 1024, SOFT_STATUSES = 128, SOFT_SCRATCH = 65536 };
_Static_assert((SOFT_RING & (SOFT_RING - 1)) == 0, "the ring is a power of two");

// All but DELETE, which is a part of its SA.
struct soft_order {
    struct soft_command c; // first
    struct esp_sa *sa;
    union {
        uint64_t seq_limit;     // LEASE
        struct esp_endpoint to; // ENDPOINT
    };
    struct event_node *node; // its answer; ENDPOINT has none
};

struct soft_engine;
struct soft_queue {
    struct esp_queue base;
    struct soft_engine *engine;
    struct spi_table spis;
    struct mb *mb; // NULL: OpenSSL does all
    struct esp_job *ring[SOFT_RING];
    uint64_t submitted, returned; // jobs taken and handed back in all
    struct event_queue held;      // answers, some of them until jobs are back
    uint8_t *scratch;
    _Atomic uint64_t count[2][SOFT_STATUSES], bytes[2]; // by operation; written by the queue's thread
    atomic_uint inbound;                                // SAs in the table
    _Atomic(struct soft_command *) inbox;               // newest first
    atomic_int rung;                                    // its fd has been written to
};

struct soft_engine {
    struct esp_engine base;
    bool threads; // the queues have threads of their own
    unsigned queues;
    struct soft_queue **queue;
    struct esp_queue **list; // the same, as engine.h has them
    struct esp_sa *all;      // the engine's thread alone
    struct event_queue events;
    _Atomic(struct event_node *) done; // answers of the queues, newest first
};

int soft_open_openssl(struct esp_engine **e,
                      struct esp_error *err); // as esp_soft_open without ipsec-mb: to measure

// Takes mb, also when it fails.
struct soft_queue *soft_queue_new(struct soft_engine *s, unsigned index, struct mb *mb,
                                  struct esp_error *err);
void soft_queue_forget(struct soft_queue *q); // what it has not done or said: before the SAs go
void soft_queue_free(struct soft_queue *q);   // after them
// From the engine's thread. The order is copied; 0 or -ENOMEM.
int soft_queue_give(struct soft_queue *q, const struct soft_order *o);
void soft_queue_delete(struct soft_queue *q, struct esp_sa *sa);
void soft_queue_answer(struct esp_sa *sa, enum esp_event_type type, struct esp_event *ev);
void soft_queue_flush(struct soft_queue *q); // answers that are due go to the engine
bool soft_queue_waits(const struct soft_queue *q);

#endif
