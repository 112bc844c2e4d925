// SPDX-License-Identifier: Apache-2.0
// Gives an `ike` that takes the place of one that died what that had of the configuration: certificates,
// authorities and pools (configured.h) with their leases, then the connections, a few at a time. What clients
// load or unload meanwhile waits, and comes behind it; then the supervisor is told that it is whole. Until
// then this ctl has the one copy. What it refuses, for whatever reason, as an ike has had it before (there
// was no memory for it, there or in path), it is given again: a few times at once, before it is whole, then
// less and less often, for an hour.
#ifndef CTRL_CTL_REPLAY_H
#define CTRL_CTL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define IKE_DIED  "ike has died, and is being started again"
#define KEYS_DIED "keys has died, and is being started again"
#define PATH_DIED "path has died, and is being started again"
enum {
    REPLAY_WINDOW = 32, // that it has not answered
    REPLAY_AGAIN_MS = 20,
    REPLAY_FIRST_MS = 100,     // until what was refused is given again, and twice as long each time,
    REPLAY_LONGEST_MS = 60000, // up to that
    REPLAY_BEFORE = 3,         // passes of what was refused before it is whole all the same
    REPLAY_PASSES = 70,        // in all: more than an hour
};

struct ctl;
void replay_begin(struct ctl *c, uint32_t pid);
// Those of a pool, to ike, which has been given it. False: there is no memory to ask it; once it has answered
// for the pool, that is said.
bool replay_leases(struct ctl *c, const char *pool);
void replay_untold(struct ctl *c, uint32_t req); // likewise, of that question, which is still to be answered
void replay_pool(struct ctl *c, const char *pool, const char *why); // again, as not all of them are there
void replay_later(struct ctl *c);                                   // something is missing there
// This ctl, in the place of one that died, has from ike what that has: it is told whether that is all.
void replay_recovered(struct ctl *c);
void replay_settled(struct ctl *c); // what was missing may be there: ike hears so once all of it is
void replay_end(struct ctl *c);     // it has died as well

#endif
