// SPDX-License-Identifier: Apache-2.0
#include "ctrl/super/watchdog.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PARTS = 4, US_PER_MS = 1000, LEAST_MS = 1 };

// The whole of it, in decimal digits. 0: it is no such number.
static unsigned long long number_of(const char *text)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    return errno || *end ? 0 : n;
}

void watchdog_init(struct watchdog *w, const char *usec, const char *pid)
{
    *w = (struct watchdog){0};
    unsigned long long us = number_of(usec), ms = us / US_PER_MS / PARTS;
    if (!us || us == UINT64_MAX || (pid && number_of(pid) != (unsigned long long)getpid()))
        return;
    w->every_ms = ms < LEAST_MS ? LEAST_MS : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

void watchdog_answer(struct watchdog *w, enum room room, uint32_t number)
{
    if (number == w->asked)
        w->answered[room] = number;
}

void watchdog_joined(struct watchdog *w, enum room room)
{
    w->answered[room] = w->asked;
    w->missed[room] = 0;
}

bool watchdog_lives(struct watchdog *w, enum room room, uint32_t *silent_ms)
{
    bool lives = w->answered[room] == w->asked;
    if (lives)
        w->missed[room] = 0;
    else if (w->missed[room] < UINT8_MAX)
        w->missed[room]++;
    *silent_ms = w->missed[room] * w->every_ms;
    return lives;
}
