// SPDX-License-Identifier: Apache-2.0
// What a gateway took from its own side and gave to it, seen on its TUN by an eye of its own, not by the
// daemon's counters: each number of each stream (stream.h), when it passed and how often.
#ifndef TESTS_TAPS_H
#define TESTS_TAPS_H

#include "tests/system/stream.h"

enum { TAPS_STREAMS = 4 };

struct tap_slot {
    uint64_t first_us; // CLOCK_REALTIME, by the kernel's stamp; 0: it has not passed
    uint32_t copies, unused;
};
struct tap_shared;
struct tap { // one site's TUN
    struct tap_shared *shared;
    struct tap_slot *slots; // [TAPS_STREAMS][capacity]
    uint32_t capacity;
    const struct stream *streams; // [TAPS_STREAMS]
    pid_t pid;
};

bool tap_start(struct tap *t, struct site *s, const struct stream streams[TAPS_STREAMS], uint32_t capacity);
bool tap_stop(struct tap *t); // false: something that passed was not seen
void tap_free(struct tap *t);

// Of one stream, between its sender's TUN and its receiver's.
struct passage {
    uint64_t sent, received, duplicates;
    uint64_t gap_us;  // the longest without an arrival, from the first sent to the last arrival
    uint64_t way_us;  // the longest that one was on its way: where nothing is sent nothing stands still
    uint64_t from_us; // when what was on its way at `at_us` for the longest had been sent; 0: nothing was
};
struct passage tap_passage(const struct tap *from, const struct tap *to, unsigned stream, uint64_t at_us);

uint64_t daemon_counter(struct site *s, const char *name); // of espalierd there, as swanctl shows it
// What never was in the hands of the daemon at west: a full socket's or TUN's of either site, or turned away
// at the door of a full queue.
uint64_t turned_away(struct lab *lab);

#endif
