// SPDX-License-Identifier: Apache-2.0
// What is fast and what is few, counted over some of them.
#include "ctrl/ike/pace.h"

// Two wake-ups a millisecond are four times what polling has at least; a datagram in two milliseconds is no
// more than as they come.
enum { FEW = 4, WAKES = 16, WINDOW_US = 8000, WORTH_MS = 32, MS_EACH = 2 };
// One fetching is to bring some of these, so that it costs each of them little, and not all that it can take.
enum { ENOUGH = 40, MANY = 128, CALM = 4 };

static bool mostly_refused(unsigned got, unsigned refused)
{
    return refused * 2 >= got;
}

unsigned pace_woken(struct pace *p, uint64_t now_us, const struct pace_got *g)
{
    if (now_us - p->since_us > WINDOW_US || g->all >= FEW) {
        p->since_us = now_us;
        p->woken = 0;
    }
    if (g->all >= FEW || !mostly_refused(g->all, g->refused) || ++p->woken < WAKES)
        return 0;
    *p = (struct pace){.ms = PACE_BEGIN_MS};
    return p->ms;
}

static bool worth(struct pace *p, const struct pace_got *g)
{
    p->polled_ms += p->ms;
    p->got += g->all;
    p->refused += g->refused;
    if (p->polled_ms < WORTH_MS)
        return true;
    bool yes = p->refused * MS_EACH >= p->polled_ms && mostly_refused(p->got, p->refused);
    p->polled_ms = p->got = p->refused = 0;
    return yes;
}

static unsigned more_seldom(struct pace *p, const struct pace_got *g)
{
    unsigned most = g->idle >= g->all ? PACE_IDLE_MS : PACE_MOST_MS;
    if (g->all && g->all < ENOUGH)
        p->calm++;
    else
        p->calm = 0;
    if (p->calm < CALM)
        return p->ms < most ? p->ms : most;
    p->calm = 0;
    return 2 * p->ms < most ? 2 * p->ms : most;
}

unsigned pace_polled(struct pace *p, const struct pace_got *g)
{
    bool goes_on = worth(p, g);
    if (g->all > g->refused) {
        p->ms = PACE_LEAST_MS;
        p->calm = 0;
    } else if (g->full || g->all > MANY) {
        goes_on = goes_on && (p->ms > PACE_LEAST_MS || !g->full);
        p->ms = p->ms > PACE_LEAST_MS ? p->ms / 2 : PACE_LEAST_MS;
        p->calm = 0;
    } else {
        p->ms = more_seldom(p, g);
    }
    if (!goes_on)
        *p = (struct pace){0};
    return p->ms;
}
