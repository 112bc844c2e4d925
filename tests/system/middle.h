// SPDX-License-Identifier: Apache-2.0
// What lies between the two sites when it is not a plain wire: a process that passes their Ethernet frames
// on, late, through a NAT, or not at all. Says itself what it did.
#ifndef TESTS_MIDDLE_H
#define TESTS_MIDDLE_H

#include "tests/system/harness.h"

// Directions: 0 from west, 1 from east.
struct middle_control {             // shared with the process; may be changed at any time
    volatile uint32_t delay_us;     // each way
    volatile uint32_t ike_loss;     // of 1000 IKE datagrams
    volatile uint32_t seed;         // of the losses
    volatile uint32_t esp_drop[2];  // the n-th ESP packet from now is dropped (1: the next; 0: none),
    volatile uint32_t esp_spoil[2]; // or one of its bits is changed,
    volatile uint32_t esp_twice[2]; // or it is sent twice
    volatile uint32_t clear;        // so many packets of the inner networks in clear are thrown in
    volatile uint32_t nat;          // west appears to east as 10.10.0.77, its ports moved by this,
    volatile uint32_t nat_host;     // or as another host of that network (0: 77)
    volatile uint32_t mark;         // 256 + the TOS or traffic class that ESP packets from west go on with
    // Of the last ESP packet from west, as it came: TOS or traffic class, TTL or hop limit, flow label, DF.
    volatile uint32_t tos, ttl, label, df;
    volatile uint32_t ready; // it listens
    volatile uint64_t passed, ike_dropped, failed;
};

struct middle {
    pid_t pid;
    struct middle_control *control;
};

#define MIDDLE_NAT_ADDRESS "10.10.0.77"

// Takes the place of the wire between the sites of a lab that is up.
bool middle_start(struct lab *l, struct middle *m, const struct middle_control *first);
void middle_stop(struct middle *m);
#endif
