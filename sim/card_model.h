// SPDX-License-Identifier: Apache-2.0
// The card's RTL (rtl/top/espalier_top.v) as a C library: registers, DMA and interrupts by function call. One
// library per width of the data path (libcard_l1.a, libcard_l4.a); both may be linked into one program.
// Nothing here knows of PCIe, sockets or a driver: the PCIe shell (config space, MSI-X table at 0x8000 ...
// 0x9fff of BAR0) is the caller's.
//
// One thread at a time may use a model. The callbacks are called from within the functions that run the
// clock; they must not call back into the model.
#ifndef ESPALIER_SIM_CARD_MODEL_H
#define ESPALIER_SIM_CARD_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct card_model;

// What a DMA callback may say: LATER: no answer yet, it is asked again in the next cycle (reads only).
enum { CARD_MODEL_LATER = 0x1a7e4, CARD_MODEL_BURST = 256 };

struct card_model_config {
    // Host memory. 0: done; CARD_MODEL_LATER; anything else: the bus answers with an error. At most 256
    // bytes, never across 4 KiB. A read may begin up to one beat before and end up to one beat behind what
    // the card wants, never across 4 KiB.
    int (*dma_read)(void *ctx, uint64_t addr, void *buf, size_t len);
    int (*dma_write)(void *ctx, uint64_t addr, const void *buf, size_t len);
    // One interrupt on this vector (0 ... VECTORS - 1). Everything that it announces is in host memory by
    // then.
    void (*irq)(void *ctx, unsigned vector);
    void *ctx;

    unsigned read_latency;  // cycles from address to first data; 0 means 20
    unsigned write_latency; // cycles from last data to response; 0 means 10
    unsigned jitter;        // 0 ... jitter more cycles, at random, on each of them
    bool reorder;           // answers of different AXI IDs overtake each other at random
    bool stalls;            // the bus takes addresses, data and interrupts only in most cycles, at random
    unsigned seed;          // of that randomness
    unsigned sa_slots;      // SA slots offered; 0 or more than the RTL has means all it has
};

struct card_model_stats {
    uint64_t cycles;      // simulated, without those added by card_model_freerun_add
    uint64_t busy_cycles; // of those, with work pending
    uint64_t read_bursts, read_bytes, write_bursts, write_bytes;
    uint64_t irqs;
    uint64_t violations; // of the AXI rules by the card, looked for where the bus stalls: must stay 0
};

// A new card, out of reset and READY, with all key memory zeroised; NULL with errno set when memory is short.
struct card_model *card_model_l1_new(const struct card_model_config *config);
struct card_model *card_model_l4_new(const struct card_model_config *config);
void card_model_destroy(struct card_model *m);

// BAR0, offsets that are multiples of 4 below 0x8000 (the RTL answers 0 above). Runs the clock for the few
// cycles that the AXI-Lite transaction needs. Writes are accepted in order.
uint32_t card_model_csr_read32(struct card_model *m, uint32_t offset);
void card_model_csr_write32(struct card_model *m, uint32_t offset, uint32_t value);

// Work is pending: without more cycles something stays undone. While false nothing but FREERUN would change.
bool card_model_busy(const struct card_model *m);
// Runs until nothing is pending, at most ncycles; returns the cycles run. Returns 0 at once when idle.
uint64_t card_model_step(struct card_model *m, uint64_t ncycles);
// Advances FREERUN by the time for which the clock was not simulated.
void card_model_freerun_add(struct card_model *m, uint64_t cycles);

// Hard reset (FLR, bus reset): what is on the bus is forgotten, key memory is zeroised before READY returns.
// The caller steps the model until it is idle (or lets the driver wait for READY).
void card_model_hard_reset(struct card_model *m);

// For tests of zeroising: how often these bytes stand anywhere in the card's registers and memories.
unsigned card_model_find(const struct card_model *m, const void *bytes, size_t len);
// For tests of faults inside: inverts the bits of `mask` in the byte that follows them by `behind` octets,
// wherever they stand; returns how often.
unsigned card_model_flip(struct card_model *m, const void *bytes, size_t len, size_t behind,
                         unsigned char mask);

unsigned card_model_lanes(const struct card_model *m);
unsigned card_model_vectors(const struct card_model *m);
void card_model_stats(const struct card_model *m, struct card_model_stats *stats);

// Waveform of everything, keys too, from now on, as FST. 0, or -ENOTSUP where the library was built without,
// -EBUSY when one runs, -EIO when the file cannot be made. Slow: 30 times and more.
int card_model_wave_start(struct card_model *m, const char *path);
void card_model_wave_stop(struct card_model *m);

#ifdef __cplusplus
}
#endif

#endif
