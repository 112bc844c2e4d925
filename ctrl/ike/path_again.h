// SPDX-License-Identifier: Apache-2.0
// Another `path` in the place of one that has died. IKE SAs live on; traffic keys, and with them all CHILD
// SAs, are gone, and no outbound one is ever continued. Until the next one has all policies what comes from
// peers waits (a few datagrams, which else are asked again), and what it was to be asked. Then each CHILD SA
// that was up is made anew by rekeying it (RFC 7296 section 1.3.3): the peer lets go of the old one by that.
// What it refuses again and again ends, and comes back as far as its connection says so.
#ifndef CTRL_IKE_PATH_AGAIN_H
#define CTRL_IKE_PATH_AGAIN_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/loop.h"

struct ike;
struct child_sa;
struct conn;
struct net_path;
struct held_message; // for path, or for keys and meant for path
struct held_datagram;
struct path_again {    // all zero: there is one, the first
    bool away;         // it has died, and the next one has not all policies yet
    bool died;         // ... and the supervisor has said that there will be a next one
    bool missing;      // ctl has more connections than there are here
    bool lacks;        // the one that is there has been told that it has not all that protects
    bool sending;      // it is given them
    bool busy;         // what is asked goes to it all the same
    uint8_t lives;     // how many have died: what is of an earlier one is gone
    unsigned guarded;  // CHILD SAs that are
    unsigned asked;    // of what it is given, that it has not answered
    struct conn *next; // to be given
    struct held_message *first, *last;
    struct held_datagram *came, *last_came;
    size_t held_octets, came_octets;
    unsigned came_count;
    struct timer go_on;
};

void path_again_lost(struct ike *ike);    // its channel is no more
void path_again_here(struct ike *ike);    // there is another one
void path_again_applied(struct ike *ike); // it has answered for all that it was given
void path_again_whole(struct ike *ike);   // what it lacked may be there
void path_again_lose(struct child_sa *c); // which it had, or was to have; it is to be made anew
void path_again_gone(struct child_sa *c); // that is no more
// This one, in the place of an ike that died, has what that had, but for connections that are missing.
void path_again_told(struct ike *ike, bool missing);
// What it is to hear when it is there again. 0, or -errno: there is no room.
int path_again_hold(struct ike *ike, enum room to, enum msg_type t, const void *m);
// What came from a peer meanwhile. False: it is not held.
bool path_again_hold_datagram(struct ike *ike, const struct net_path *path, struct slice d);
void path_again_refused(struct child_sa *c); // its peer does not make it anew
void path_again_end(struct ike *ike); // nothing is held any more, as the daemon ends or this process does

#endif
