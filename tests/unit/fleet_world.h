// SPDX-License-Identifier: Apache-2.0
// Many nodes of a fleet under one seed: the room's own code at each, a clock of its own that runs fast or
// slow, its `ctl` and what `path` would send; and one model of etcd. What a node hears may be late or lost,
// nodes freeze, die and come again, processes of them die alone, somebody deletes keys, etcd is away or keeps
// a leader too long.
//
// It is looked at all the while: no connection has two nodes that may send by it at one time. In fair weather
// each is soon one node's, loaded (so that it is blocked) at every other one, and nobody asks etcd more than
// that takes.
#ifndef TESTS_UNIT_FLEET_WORLD_H
#define TESTS_UNIT_FLEET_WORLD_H

#include <stdbool.h>
#include <stdint.h>

struct fleet_world_options {
    uint64_t seed;
    unsigned nodes, conns;
    unsigned minutes; // of faults, before the weather is fair for good
    unsigned kill;    // per cent of the nodes, all at once and for good, in the middle; 0: any faults instead
    unsigned drift_ppm; // most that a node's clock is fast or slow by
};
struct fleet_world_result {
    char failed[400];       // empty: every invariant held
    uint64_t opened, asked; // connections, and questions to etcd
    uint64_t back_ms;       // kill: until each connection was open again
    double virtual_minutes;
};
void fleet_world_run(const struct fleet_world_options *o, struct fleet_world_result *r);

#endif
