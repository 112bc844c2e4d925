// SPDX-License-Identifier: Apache-2.0
// What is on the link, seen at the west site: ESP, and nothing of the networks behind in clear.
#ifndef SIM_PAIR_WATCH_H
#define SIM_PAIR_WATCH_H

#include "sim/pair/lab.h"

enum { WATCH_SPIS = 16 };
struct pair_watch {
    int fd;
    uint8_t *ring; // the kernel's and ours
    unsigned next; // frame
    uint32_t inner[PAIR_SITES];
    uint64_t esp, ike, clear, other, repeated;
    uint64_t unseen; // the ring was full
    struct {
        uint32_t spi, last;
    } sa[WATCH_SPIS];
    unsigned sas;
};
bool watch_open(struct pair_watch *w, struct pair_lab *l); // from here on
void watch_take(struct pair_watch *w);                     // what has come until now
void watch_close(struct pair_watch *w);

#endif
