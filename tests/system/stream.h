// SPDX-License-Identifier: Apache-2.0
// A stream of numbered UDP packets from one site to the other at a steady rate, and an account of every
// single number: when it was sent, when it came, how often. The size of a packet tells its number (modulo a
// period) to whoever sees it encrypted: see ledger.h.
#ifndef TESTS_STREAM_H
#define TESTS_STREAM_H

#include "tests/system/harness.h"

enum {
    STREAM_SIZES = 256, // payload sizes in use, shared by the streams of one direction
    STREAM_SMALLEST = 64,
    STREAM_HEAD = 12, // octets that stream_head_at looks at
    STREAM_STEP = 4,  // ESP pads to 4: another size on the wire for each
};

struct stream_slot {
    uint64_t sent_us, came_us; // CLOCK_REALTIME, as captures have it; 0: not
    uint32_t copies, unused;
};
struct stream_shared; // between the processes

struct stream {
    struct site *from, *to;
    unsigned child;        // which child's addresses: 10.x.CHILD.1
    unsigned index, count; // which of the streams of its direction this is: its share of the sizes
    unsigned per_second;
    uint32_t capacity;         // numbers
    uint32_t skip;             // this number is noted as sent and is not: a loss to be found (0: none)
    struct stream_slot *slots; // [capacity]
    struct stream_shared *shared;
    pid_t tx, rx;
};
struct stream_account {
    uint64_t sent, lost, repeated, overtaken, wrong; // overtaken: came after a later one
    uint64_t refused;                                // send() failed: never a packet
    uint64_t overflows;                              // in the receiver's own socket: the laboratory's fault
    uint64_t max_gap_us;                             // between two arrivals
    uint64_t late_us; // the longest that the sender was behind its clock: how busy the machine was
};

struct stream_head { // what begins the payload of each
    uint32_t index, number;
};

bool stream_head_at(const uint8_t *payload, struct stream_head *h); // false: of no stream
size_t stream_size(const struct stream *s, uint32_t number);        // of that payload
unsigned stream_period(const struct stream *s); // its numbers have sizes of their own modulo this
bool stream_start(struct stream *s);            // from, to, child, index, count, per_second, capacity are set
uint64_t stream_came(const struct stream *s);   // packets, so far
void stream_pause(struct stream *s, bool on);
void stream_quit(struct stream *s); // the sender ends soon
// Ends the sender and waits for what is under way.
bool stream_stop(struct stream *s, struct stream_account *a);
void stream_free(struct stream *s);
uint64_t real_us(void);
#endif
