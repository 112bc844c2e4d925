// SPDX-License-Identifier: Apache-2.0
// Child SAs that Linux's own ESP protects (driver/kernel), where `espalierd.kernel_esp` says so. Such an SA's
// packets never come here. What makes that so, besides the SAs:
//
// - XFRM policies with the SA asked for, before our block policies, which stay behind them: in and forwarded
// as
//   long as one of the policy's SAs is there, outbound while one of these is the one that sends;
//
// - routes to the remote networks by the interface that leads to the peer, in the place of those into the
// TUN,
//   which is exempt from XFRM.
//
// Without the SA the kernel drops what these policies are for, without these policies the blocks do, without
// either a hook does (netlink_turn.c: past), and without the routes it comes into the TUN, where it is
// dropped too.
//
// A policy has its SAs there if no other one overlaps with it (their order is a matter of the data base, not
// of routes), and if its selectors are IPv4 networks. The IVs are the kernel's own, so such an SA goes
// nowhere else: what cannot stay is rekeyed.
#ifndef CTRL_PATH_KERNEL_ESP_H
#define CTRL_PATH_KERNEL_ESP_H

#include <stdbool.h>
#include <stdint.h>

#include "espalier/error.h"
#include "espalier/engine.h"

struct path;
struct worker;
struct child;
struct half;
struct packet;
struct policy;
struct kernel_child;
struct kernel_way;

struct kernel_esp { // of struct path
    struct kernel_child *children;
    struct kernel_way *ways;
    unsigned count;     // of children
    unsigned turn;      // which of them is asked next
    uint32_t groups;    // numbers that ways have had
    char unusable[200]; // why no more SAs go there; "": they do
};

// What an earlier run has left goes in any case. Where the kernel has no ESP, that is said, and software does
// it.
void kernel_esp_open(struct path *p);
void kernel_esp_close(struct path *p); // all that it has in the kernel
// One that is being installed, by a policy that it serves. False: why not, or "" where it is not wanted.
bool kernel_esp_takes(struct path *p, struct child *c, char *why, unsigned size);
int kernel_esp_add(struct path *p, struct child *c, struct esp_error *err); // 0 or a negative errno
void kernel_esp_goes(struct path *p, struct child *c);                      // it is freed
void kernel_esp_tick(struct path *p);                                       // every few ms
void kernel_esp_turn(struct path *p);  // whenever an SA may have come or gone: who sends
void kernel_esp_look(struct path *p);  // now and then: what the kernel has counted
void kernel_esp_again(struct path *p); // links or addresses have changed
void kernel_esp_refresh(struct path *p, const struct child *c); // what it has counted now; c may be gone
void kernel_esp_event(struct path *p, const struct esp_event *ev);
void kernel_esp_beside(struct path *p, struct policy *pol); // that has come
// A packet that is none of ours: the kernel has its own copy of what comes, and what is sent came too early
// or too late.
void kernel_esp_packet(struct worker *w, struct packet *pkt);
// By which policies find it: inbound one number for all SAs of a policy (its own for an SA of a part of it),
// as long as one of them is there; outbound each has its own.
uint32_t kernel_group(const struct half *h);

#endif
