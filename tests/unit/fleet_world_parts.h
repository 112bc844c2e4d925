// SPDX-License-Identifier: Apache-2.0
// What the files of the world share: fleet_world.c has time, the nodes and what is looked at, fleet_faults.c
// what befalls them.
#ifndef TESTS_UNIT_FLEET_WORLD_PARTS_H
#define TESTS_UNIT_FLEET_WORLD_PARTS_H

#include "ctrl/fleet/internal.h"
#include "tests/unit/etcd_model.h"
#include "tests/unit/fleet_world.h"
#include "tests/world/rng.h"

enum { TTL = 10, JOBS = 256, LOOK_US = 50000 };
// Fair weather for so long, and everything is as it should be: a lease that nobody uses ends, its name is
// free again, what somebody has deleted is held, and what ctl was asked is answered.
enum { SETTLED_MS = 4 * TTL * 1000 + 15000 };

struct job { // of a node's ctl
    uint32_t req, fence;
    unsigned conn;
};
struct node {
    struct world *w;
    unsigned index;
    struct loop *loop;
    struct fleet *fleet; // NULL: its process is not there
    struct etcd *etcd;
    struct fence_page page;
    struct ipc_chan *ctl; // NULL: it is not there
    uint32_t *told;       // by connection; 0: not loaded
    struct job job[JOBS];
    unsigned jobs, slow_ms;
    struct timer work;
    int64_t ppm;
    uint64_t base_us;
    bool dead, frozen, refuses;
    // as it was when its own were looked at last
    uint32_t number;
    uint64_t deadline;
    unsigned asked, starts; // asked: of clients before this one
    // what it has coming, by the world's clock; 0: nothing
    uint64_t wakes_at, back_at, fleet_at, ctl_at, near_at, hears_at, heals_at;
};
struct world {
    const struct fleet_world_options *o;
    struct fleet_world_result *r;
    struct rng rng;
    uint64_t now_us, looked_us, fault_at, etcd_at, stale_until, fair_since_us;
    struct loop *loop; // etcd's
    struct etcd_model *model;
    struct node *node;
    unsigned generation, wanted;
    unsigned lose; // of what is sent, per mille
    bool fair;
};

// fleet_world.c
void ctl_comes(struct node *n);
void ctl_goes(struct node *n);
void fleet_comes(struct node *n);
void fleet_goes(struct node *n);
void host_dies(struct node *n);
void host_comes(struct node *n);
void wakes(struct node *n);
void heals(struct node *n);
void load(struct world *w, unsigned conns); // a generation of so many

// fleet_faults.c
uint64_t in_ms(struct world *w, uint64_t least, uint64_t most); // by the world's clock
int delay(void *world, struct etcd *e, enum model_way way);     // model_network
void a_fault(struct world *w);
void ends(struct world *w); // of faults, when it is time
void fair(struct world *w); // of all of them, at once

#endif
