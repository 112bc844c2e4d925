// SPDX-License-Identifier: Apache-2.0
// One process of the daemon with the fuzzer as its neighbours: it says what it likes on their channels, raw,
// and can answer what was asked with the number under which it was asked.
#ifndef TESTS_FUZZ_ROOMS_H
#define TESTS_FUZZ_ROOMS_H

#include "ctrl/ipc/ipc.h"
#include "tests/fuzz/fuzz.h"

struct rooms {
    struct loop *loop;
    int fd[ROOM_COUNT];           // ours; -1: there is none
    uint8_t asked[ROOM_COUNT][4]; // the number of the last request that came there
    uint64_t now;                 // ms, stands still but for rooms_pass
};
typedef int (*rooms_attach)(void *room, enum room peer, int fd);

void rooms_begin(struct rooms *r); // makes the loop
void rooms_link(struct rooms *r, enum room self, void *room, rooms_attach attach);
void rooms_turn(struct rooms *r); // until nothing moves, reading what the room says
void rooms_pass(struct rooms *r, uint64_t ms);
void rooms_say(struct rooms *r, enum room from, struct slice raw, bool answers);
void rooms_end(struct rooms *r); // after the room is gone

#endif
