// SPDX-License-Identifier: Apache-2.0
// What is fast and what is few, counted over some of them.
#include "ctrl/ike/pace.h"

// Two wake-ups a millisecond are four times what polling has; one datagram in two is no more than as they
// come.
enum { FEW = 4, WAKES = 16, WINDOW_US = 8000, POLLS = 16 };

bool pace_woken(struct pace *p, uint64_t now_us, unsigned got, unsigned refused)
{
    if (now_us - p->since_us > WINDOW_US || got >= FEW) {
        p->since_us = now_us;
        p->woken = 0;
    }
    if (got >= FEW || refused * 2 < got || ++p->woken < WAKES)
        return false;
    *p = (struct pace){0};
    return true;
}

bool pace_polled(struct pace *p, unsigned got, unsigned refused, bool full)
{
    p->got += got;
    p->refused += refused;
    bool worth = !full && (++p->polls < POLLS || (p->refused >= POLLS && p->refused * 2 >= p->got));
    if (!worth)
        *p = (struct pace){0};
    else if (p->polls == POLLS)
        p->polls = p->got = p->refused = 0;
    return worth;
}
