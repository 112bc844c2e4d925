// SPDX-License-Identifier: Apache-2.0
// Linux in a namespace of the test's own, and the world's model of it (tests/world/kernel_model.c), side by
// side: a LAN, a WAN and a TUN, and the same objects put into both through the same code (ctrl/path/kset.h).
//   LAN 10.1.0.0/16, own address 10.1.0.1; WAN 192.0.2.1, everything else behind 192.0.2.254; IPv6 likewise,
//   as the world has it (tests/world/packet.c)
#ifndef TESTS_SYSTEM_KERNEL_TWIN_LAB_H
#define TESTS_SYSTEM_KERNEL_TWIN_LAB_H

#include "ctrl/path/kset.h"
#include "ctrl/path/netlink.h"
#include "tests/world/world.h"

enum { HOLDS = 10, LINUX = 0, MODEL = 1, RAWS = 7, TWIN_PACKET = 200 };
struct lab {
    int lan, wan, tun, raw[RAWS];
    uint8_t mac[2][6]; // of lan, wan
    struct kernel *kernel[2];
    struct kset *set[2];
    struct kset_hold *hold[2][HOLDS];
    struct world world;
    struct site site;
    uint16_t id; // of the next packet
    unsigned steps, probes, passed;
};

__attribute__((format(printf, 1, 2), noreturn)) void give_up(const char *fmt, ...);
void must(const char *command);
void lab_open(struct lab *l);
void lab_close(struct lab *l);
void lab_die(struct lab *l);     // as kill -9 does: what is in the kernels stays, the TUN is gone
void lab_restart(struct lab *l); // another run, which finds it
void lab_repair(struct lab *l);  // both hear what has happened, and put back what is missing
void lab_flap(struct lab *l);    // somebody sets the TUN down and up
void lab_flap_link(struct lab *l, bool wan);
void lab_flap_address(struct lab *l);                                   // the gateway's own outside
void lab_lose(struct lab *l, enum kobj_kind kind, const char *command); // somebody takes all of a kind away
// One change in both. What one refuses the other refuses; false then.
bool lab_change(struct lab *l, const struct kset_spec *take, struct kset_hold **taken[2],
                struct kset_hold **drop[2]);
void lab_inject(struct lab *l, enum iface in, const uint8_t *p, uint32_t len);
// Where a packet comes out within so many ms; IF_NONE: nowhere.
enum iface lab_comes_out(struct lab *l, bool (*is)(const uint8_t *p, size_t len, uint16_t id), uint16_t id,
                         int ms);
extern const char *const lab_places[];

#endif
