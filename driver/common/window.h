// SPDX-License-Identifier: Apache-2.0
// The anti-replay window, exact for 1 to 1024 packets (RFC 4303 section 3.4.3), and the inference of the high
// half of an extended sequence number (RFC 4303 appendix A2.2).
#ifndef ESPALIER_COMMON_WINDOW_H
#define ESPALIER_COMMON_WINDOW_H

#include <stdbool.h>

#include "espalier/engine.h"

struct window {
    uint64_t top;   // highest sequence number received, 0: none
    uint64_t *bits; // a ring of window_words: the bit of sequence s is s mod 64 times as many
    uint16_t size;  // 0: no check
    uint16_t words;
    bool esn;
};
#define WINDOW_MAX_WORDS (ESP_MAX_WINDOW / 64)

// That a window of this size keeps: a power of two, or none.
unsigned window_words(uint32_t size);
// bits: room for so many words, which lives as long as the window.
void window_init(struct window *w, uint64_t *bits, uint32_t size, bool esn, uint64_t top,
                 const uint64_t seen[16]);
// The 64-bit sequence number that the 32 bits on the wire stand for.
uint64_t window_infer(const struct window *w, uint32_t low);
// OK, REPLAY_OLD or REPLAY_SEEN; changes nothing.
enum esp_status window_look(const struct window *w, uint64_t seq);
// Marks an authentic sequence number as received; window_look said OK.
void window_set(struct window *w, uint64_t seq);
// The engine interface's form: bit n stands for top - n. What is left of the window is not in it.
void window_export(const struct window *w, uint64_t seen[16]);

#endif
