// SPDX-License-Identifier: Apache-2.0
// Traffic between what is behind the two sites: datagrams there and back, and a stream; what comes is
// compared octet by octet.
#ifndef SIM_PAIR_TRAFFIC_H
#define SIM_PAIR_TRAFFIC_H

#include "sim/pair/lab.h"

struct pair_echo {
    unsigned sent, returned, wrong;
    uint64_t median_us; // there and back
};
// `count` datagrams, one after the other, of many lengths, from west; each is waited for. After
// three that are lost no more are sent.
bool echo_run(struct pair_lab *l, unsigned count, unsigned wait_ms, struct pair_echo *e);

struct pair_stream {
    uint64_t octets, ms; // that came, and how long it took
};
bool stream_run(struct pair_lab *l, int from, uint64_t octets, unsigned timeout_ms, struct pair_stream *st);

#endif
