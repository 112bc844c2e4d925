// SPDX-License-Identifier: Apache-2.0
// Routes into TUNs of their own (vti.h) that espalierd keeps itself: those of a child with `route_metric`.
// See vti_ways.c.
#ifndef CTRL_PATH_VTI_WAYS_H
#define CTRL_PATH_VTI_WAYS_H

#include <stdatomic.h>

#include "ctrl/lib/policy_wire.h"
#include "ctrl/path/kernel.h"

struct path;
struct worker;
struct policy;
struct vti_way { // of one policy
    struct vti_way *next, **at;
    struct policy *pol;
    uint8_t vti;
    struct tunnel_route set;  // as it is configured
    bool carries;             // it has an SA, and whom it asks answers
    bool up;                  // its routes are there, in front of those of last resort
    bool probe_failed;        // that is why it does not carry
    bool open;                // a ping is on its way
    bool told;                // that it has no address to ask from, or that a route cannot be made
    unsigned misses, answers; // in turn
    uint64_t ask_at, put_at;  // ms
    struct addr from[2];    // of IPv4, of IPv6: an address of this machine that is protected; family 0: none
    uint16_t ident, number; // of the last ping
    _Atomic uint32_t answered; // 0, or a bit and the number: by whichever worker
    unsigned count;
    struct kernel_route route[];
};

// A policy comes, and goes. 0, or a negative errno and there is none.
int vti_way_begin(struct path *p, struct policy *pol, const struct tunnel_route *t, struct esp_error *err);
void vti_way_end(struct path *p, struct policy *pol);
const struct tunnel_route *vti_way_route(const struct policy *pol); // NULL: it has none
void vti_ways_turn(
    struct path *p); // every few ms, and whenever an SA may have gone: who carries, who answers
void vti_ways_again(struct path *p); // links or addresses have changed: the kernel may have dropped routes
void vti_ways_sweep(struct path *p); // what an earlier run has left, and nobody has asked for
// It has come out of an SA of that TUN: an answer to a ping of ours, or a ping to our end. True: it is for
// nobody else. By a worker.
bool vti_way_takes(struct worker *w, uint8_t vti, const uint8_t *packet, uint32_t len);
// "metric 10", or why it does not carry; empty: its routes are the operator's.
const char *vti_way_text(const struct path *p, const struct policy *pol, char *buf, size_t size);

#endif
