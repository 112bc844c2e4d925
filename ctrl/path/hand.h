// SPDX-License-Identifier: Apache-2.0
// Packets that have come to one worker and are another one's: those of an SA that is its, and fragments, all
// of which one worker has to see to know their ports. Between any two workers there is a ring in each
// direction, which the one writes and the other reads: the packet stays the giver's, whose memory it is in,
// until the taker has copied it. What finds no room is dropped and counted, as in any full queue. Of one ring
// packets come out in order, so the numbers of an SA are those of its packets' arrival, queue by queue.
#ifndef CTRL_PATH_HAND_H
#define CTRL_PATH_HAND_H

#include <stdatomic.h>
#include <stdbool.h>

#include "ctrl/path/fields.h"

enum { HANDS = 1024, HAND_HOPS = 8 };

struct hand {
    struct packet *pkt;
    struct fields f; // ENCAP: what it shows, and of a later fragment what its first one has shown
};
struct hand_ring {
    struct hand slot[HANDS];
    _Atomic uint32_t given; // in all, modulo 2^32: by the giver
    _Atomic uint32_t taken; // by the taker
    uint32_t back;          // of those the giver has released
};

struct path;
struct worker;
struct child;
int hand_open(struct worker *w); // the rings to it: 0 or -ENOMEM; none where there is one worker
void hand_close(struct worker *w);
// The packet is not the caller's any more. f: of an ENCAP packet that was looked at; NULL: it has to be.
void hand_over(struct worker *w, struct worker *to, struct packet *pkt, const struct fields *f);
void hand_take(struct worker *w);        // takes what the others have given, as far as packets are free
void hand_reclaim(struct worker *w);     // what the others have taken is free again
bool hand_waits(const struct worker *w); // it could take something
// Whose the SA shall be; and the worker that sees all fragments of a packet.
struct worker *hand_owner(struct path *p, const struct child *c);
struct worker *hand_for_fragments(struct path *p, const struct fields *f);

#endif
