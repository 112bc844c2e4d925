// SPDX-License-Identifier: Apache-2.0
// The anti-replay window as a ring of bits, as many as it needs. RFC 4303 section 3.4.3 and appendix A2.
#include "driver/common/window.h"

#include <string.h>

static size_t place(const struct window *w, uint64_t seq)
{
    return seq / 64 & (w->words - 1u);
}

static bool bit_get(const struct window *w, uint64_t seq)
{
    return w->bits[place(w, seq)] >> (seq % 64) & 1;
}

static void bit_put(struct window *w, uint64_t seq, bool on)
{
    uint64_t mask = 1ull << (seq % 64);

    uint64_t *word = &w->bits[place(w, seq)];

    *word = on ? *word | mask : *word & ~mask;
}

unsigned window_words(uint32_t size)
{
    unsigned words = size != 0;

    while (64 * words < size)
        words *= 2;
    return words;
}

void window_init(struct window *w, uint64_t *bits, uint32_t size, bool esn, uint64_t top,
                 const uint64_t seen[16])
{
    *w = (struct window){
        .top = top, .bits = bits, .size = (uint16_t)size, .words = (uint16_t)window_words(size), .esn = esn};
    memset(bits, 0, w->words * sizeof(*bits));
    if (top == 0 || size == 0)
        return;
    for (uint64_t n = 0; n < size && n < top; n++)
        bit_put(w, top - n, seen[n / 64] >> (n % 64) & 1);
    bit_put(w, top, true);
}

uint64_t window_infer(const struct window *w, uint32_t low)
{
    uint32_t top_low = (uint32_t)w->top, top_high = (uint32_t)(w->top >> 32);
    uint32_t size = w->size, bottom = top_low - size + 1; // modulo 2^32, as in the appendix
    uint32_t high;

    if (!w->esn)
        return low;
    if (top_low >= size - 1) // the window lies within one subspace
        high = low >= bottom ? top_high : top_high + 1;
    else // it spans two
        high = low >= bottom ? top_high - 1 : top_high;
    return (uint64_t)high << 32 | low;
}

enum esp_status window_look(const struct window *w, uint64_t seq)
{
    // Left of the very first window the inference runs below zero: such a number is far above the top, yet
    // old.
    bool below_zero = w->esn && (uint32_t)(w->top >> 32) == 0 && seq >> 32 == UINT32_MAX;

    if (seq == 0 || below_zero)
        return ESP_STATUS_REPLAY_OLD;
    if (w->size == 0 || seq > w->top)
        return ESP_STATUS_OK;
    if (w->top - seq >= w->size)
        return ESP_STATUS_REPLAY_OLD;
    return bit_get(w, seq) ? ESP_STATUS_REPLAY_SEEN : ESP_STATUS_OK;
}

// Clears the bits of (from, to]: the places that the window newly covers.
static void clear_range(struct window *w, uint64_t from, uint64_t to)
{
    if (to - from >= 64u * w->words) {
        memset(w->bits, 0, w->words * sizeof(*w->bits));
        return;
    }
    for (uint64_t left = to - from, s = from + 1; left > 0;) {
        uint64_t step = s % 64 == 0 && left >= 64 ? 64 : 1;

        if (step == 64)
            w->bits[place(w, s)] = 0;
        else
            bit_put(w, s, false);
        s += step;
        left -= step;
    }
}

void window_set(struct window *w, uint64_t seq)
{
    if (seq > w->top) {
        clear_range(w, w->top, seq);
        w->top = seq;
    }
    if (w->top - seq < w->size)
        bit_put(w, seq, true);
}

void window_export(const struct window *w, uint64_t seen[16])
{
    memset(seen, 0, 16 * sizeof(*seen));
    for (uint64_t n = 0; n < w->size && n < w->top; n++)
        if (bit_get(w, w->top - n))
            seen[n / 64] |= 1ull << (n % 64);
}
