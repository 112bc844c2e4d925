// SPDX-License-Identifier: Apache-2.0
// Ordering between the host's memory accesses and the card's. The names say what is ordered against what.
#ifndef ESPALIER_CARD_BARRIER_H
#define ESPALIER_CARD_BARRIER_H

#include <stdatomic.h>

// Before a doorbell: descriptors and payloads written so far are in memory before the card is told of them.
static inline void to_device(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

// After a phase test: what the card wrote before the completion is read after it.
static inline void from_device(void)
{
    atomic_thread_fence(memory_order_acquire);
}

#endif
