// SPDX-License-Identifier: Apache-2.0
// The fleet process: what of the desired state in etcd this node owns, and until when. It knows names and
// `load-conn` messages of VICI, which it takes for octets; of SAs, keys and packets it knows nothing. It has
// a channel to `ctl`, which it gives each connection of the fleet: closed (its policies hold, nobody speaks
// by it) or open (this node has it), and writes the page that says until when (ctrl/lib/fence.h).
//
// Below the prefix in etcd:
//   current        {"schema": 1, "generation": G, "connections": N, "loaded": SECONDS}
//   conns/G/NAME   what `load-conn` is sent, of VICI
//   nodes/NODE     {"node": NODE, "since": SECONDS, "ttl": SECONDS, "settled": true}, with the node's lease;
//                  settled: it has been there for a lease
//   owners/NAME    {"node": NODE, "since": SECONDS}, with the same lease: whose the connection is
//   given/NODE     NAME, with the same lease: which one that node has given away last, in the transaction
//                  that deletes its key. A key that goes otherwise while its node is there has been deleted
//                  by somebody: others wait for as long as that node may not know
//   drain/NODE     anything: it gives what it has away and takes nothing
#ifndef CTRL_FLEET_FLEET_H
#define CTRL_FLEET_FLEET_H

#include "ctrl/fleet/etcd.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/child.h"
#include "ctrl/lib/fence.h"
#include "ctrl/lib/loop.h"

enum {
    FLEET_SCHEMA = 1,
    FLEET_NODE_LEN = 64,          // with the NUL
    FLEET_PREFIX_LEN = 128,       // likewise
    FLEET_CONNS = 10000,          // what ctl takes
    FLEET_CONN_MOST = 96 << 10,   // octets of a connection's message
    FLEET_OCTETS_MOST = 64 << 20, // of all connections'
};

struct fleet_config {
    char prefix[FLEET_PREFIX_LEN]; // "/espalier/"
    char node[FLEET_NODE_LEN];
    uint32_t ttl;       // of the lease, s
    uint32_t jitter_ms; // most that is waited at random before what all nodes would do at once
};
// How much earlier by the local clock than etcd a lease is over: what the two may differ in, and what is on
// its way.
uint64_t fleet_margin_ms(uint32_t ttl);

struct fleet;
// Takes e over; page stays the caller's. NULL: no memory. It begins with the next turn of the loop.
struct fleet *fleet_new(struct loop *l, const struct fleet_config *c, struct etcd *e,
                        struct fence_page *page);
void fleet_free(struct fleet *f);
int fleet_attach(struct fleet *f, enum room peer, int fd); // 0 or -errno
struct ipc_chan *fleet_channel(struct fleet *f, enum room peer);

#endif
