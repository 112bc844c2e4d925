// SPDX-License-Identifier: Apache-2.0
// Ordering between the host's memory accesses and the card's. The names say what is ordered against what; a
// C11 fence orders threads, not devices, so each machine's way is written out, and an unknown one does not
// build.
#ifndef ESPALIER_CARD_BARRIER_H
#define ESPALIER_CARD_BARRIER_H

#include <stdatomic.h>

#if !defined(__x86_64__) && !defined(__i386__) && !defined(__aarch64__)
#error "barrier.h: how does this machine order its memory against a device's accesses?"
#endif

// Before a doorbell: descriptors and payloads written so far are in memory before the card is told of them.
// x86: stores stay in order, and the full fence also covers a doorbell mapped write-combining. AArch64:
// stores before stores, as far as the outer shareable domain, in which devices are.
static inline void to_device(void)
{
#if defined(__aarch64__)
    __asm__ volatile("dmb oshst" ::: "memory");
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

// After a phase test: what the card wrote before the completion is read after it. x86: loads stay in order,
// so only the compiler is held. AArch64: loads before loads, in the outer shareable domain.
static inline void from_device(void)
{
#if defined(__aarch64__)
    __asm__ volatile("dmb oshld" ::: "memory");
#else
    atomic_thread_fence(memory_order_acquire);
#endif
}

#endif
