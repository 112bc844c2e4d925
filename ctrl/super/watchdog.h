// SPDX-License-Identifier: Apache-2.0
// Whether the daemon lives, for a service manager that watches it (sd_watchdog_enabled(3)): each room is
// asked at intervals, and answers out of its loop; it is said only while each has answered.
#ifndef CTRL_SUPER_WATCHDOG_H
#define CTRL_SUPER_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/lib/child.h"

struct watchdog {
    uint32_t every_ms; // a quarter of the time that the service manager waits; 0: nobody watches
    uint32_t asked;    // the question's number
    uint32_t answered[ROOM_COUNT];
    uint8_t missed[ROOM_COUNT]; // intervals in which there was no answer, without a break
};

// By what the service manager has set: $WATCHDOG_USEC, and $WATCHDOG_PID, which is ours or not set.
void watchdog_init(struct watchdog *w, const char *usec, const char *pid);
void watchdog_answer(struct watchdog *w, enum room room, uint32_t number);
// A room that is there from now on owes no answer to what was asked before.
void watchdog_joined(struct watchdog *w, enum room room);
// At an interval's end, of one room that is there: whether it has answered. False, silent_ms: for how long
// not.
bool watchdog_lives(struct watchdog *w, enum room room, uint32_t *silent_ms);

#endif
