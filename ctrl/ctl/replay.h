// SPDX-License-Identifier: Apache-2.0
// Gives an `ike` that takes the place of one that died what that had of the configuration: certificates,
// authorities and pools (configured.h) with their leases, then the connections, a few at a time. What clients
// load or unload meanwhile waits, and comes behind it; then the supervisor is told that it is whole. Until
// then this ctl has the one copy.
#ifndef CTRL_CTL_REPLAY_H
#define CTRL_CTL_REPLAY_H

#include <stdint.h>

#define IKE_DIED  "ike has died, and is being started again"
#define KEYS_DIED "keys has died, and is being started again"
enum {
    REPLAY_WINDOW = 32, // that it has not answered
    REPLAY_AGAIN_MS = 20,
};

struct ctl;
void replay_begin(struct ctl *c, uint32_t pid);
void replay_end(struct ctl *c); // it has died as well

#endif
