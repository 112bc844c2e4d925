// SPDX-License-Identifier: Apache-2.0
// The ike room from outside: made in a loop, attached to its neighbours, fed with datagrams. The network is a
// seam, so that two of these can talk in one process under a virtual clock.
#ifndef CTRL_IKE_ROOM_H
#define CTRL_IKE_ROOM_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/child.h"
#include "ctrl/lib/loop.h"

struct net_path { // where a datagram came from, and an answer goes
    struct addr local, remote;
    uint16_t local_port, remote_port;
    bool nat_t; // through the socket whose IKE datagrams carry the non-ESP marker
};

struct net {
    void *ctx;
    // marker: prepend the non-ESP marker where the path is nat_t (everything but a keepalive)
    void (*send)(void *ctx, const struct net_path *path, struct slice datagram, bool marker);
    // The address that the system would send from; false: no route.
    bool (*source_for)(void *ctx, const struct addr *remote, struct addr *local);
    int64_t (*wall)(void *ctx); // seconds since 1970, for certificates; NULL: the system's clock
    // Whether the machine has that address, on an interface that is up, and a route from it. NULL: it is the
    // one that source_for says.
    bool (*can_send)(void *ctx, const struct addr *local, const struct addr *remote);
    // As send does, but an answer to a stranger's, of which very many may come: it can leave together with
    // others, at the latest behind what came with it. NULL: it is sent.
    void (*answer)(void *ctx, const struct net_path *path, struct slice datagram);
};

struct fence_page;
struct ike;
struct ike *ike_new(struct loop *l, const struct settings *s, const struct net *net);
// Before anything else: how many have died before it, and what path knows peers by from them (0: nothing).
void ike_follow(struct ike *ike, uint32_t life, uint64_t conn_salt);
// By which it sees what of the fleet's is this node's; NULL: nothing is (ctrl/lib/fence.h).
void ike_set_fence(struct ike *ike, const struct fence_page *page);
int ike_attach(struct ike *ike, enum room peer, int fd); // takes the channel's descriptor
struct ipc_chan *ike_channel(struct ike *ike, enum room peer);
const struct settings *ike_settings(const struct ike *ike); // as they are now
// One datagram without its non-ESP marker.
void ike_receive(struct ike *ike, const struct net_path *path, struct slice datagram);
// An answer that gathered with others (net.answer) could not be sent.
void ike_answer_lost(struct ike *ike, const struct sockaddr_storage *to, int error);
struct turned_away {    // datagrams that led to nothing, so far
    uint64_t all, idle; // idle: of these, what is neither from a client nor of an IKE SA
};
struct turned_away ike_turned_away(const struct ike *ike);
void ike_clock_set(struct ike *ike); // the system's wall clock was set
void ike_free(struct ike *ike);      // no DELETEs are sent

#endif
