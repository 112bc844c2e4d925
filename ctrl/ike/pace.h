// SPDX-License-Identifier: Apache-2.0
// When datagrams are fetched. As they come, to begin with; but to be woken costs several times what most of
// them cost, so where those that are turned away come fast and one by one, as those of a flood do, all are
// fetched every few milliseconds instead, until there are few of these again, or fewer than of the others,
// who wait for it, or more than a few fetchings take. The more seldom the less one costs: it is every four
// milliseconds at most, or sixteen where nothing comes that is a client's or of an IKE SA of ours, and every
// one as soon as somebody is let in, whose next datagram will come soon.
#ifndef CTRL_IKE_PACE_H
#define CTRL_IKE_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PACE_LEAST_MS = 1, PACE_BEGIN_MS = 2, PACE_MOST_MS = 4, PACE_IDLE_MS = 16 };
struct pace {          // all zero: as they come
    uint64_t since_us; // of these wake-ups:
    unsigned woken;    // with few datagrams each
    unsigned ms, calm; // what they are fetched every, and how often it brought few that were all turned away
    unsigned polled_ms, got, refused; // since it was last asked whether it is worth it
};
struct pace_got { // what was fetched: how many, how many of them turned away, and of those how many are such
                  // as nobody waits for: malformed, or for no IKE SA of ours
    unsigned all, refused, idle;
    bool full; // more may be there
};
// They were fetched as they came, or so many milliseconds after the last ones. When they are to be fetched
// next: 0: as they come, or after so many milliseconds.
unsigned pace_woken(struct pace *p, uint64_t now_us, const struct pace_got *g);
unsigned pace_polled(struct pace *p, const struct pace_got *g);

#endif
