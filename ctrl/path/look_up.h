// SPDX-License-Identifier: Apache-2.0
// A packet's policy, and whether an SA may bring it in. Packets come in bursts and are looked up in steps:
// what a step needs of memory has been asked for, for the whole burst, in the step before, so that its
// packets wait for memory together. A lone packet is a burst of one.
#ifndef CTRL_PATH_LOOK_UP_H
#define CTRL_PATH_LOOK_UP_H

#include "ctrl/path/fields.h"

struct path;
struct worker;
struct child;
struct policy;

enum spd_verdict {
    SPD_NONE,    // no policy has it
    SPD_FOUND,   // this one
    SPD_UNCLEAR, // a policy may have it, but the packet does not show enough: a later fragment
};

struct look_up {
    struct fields f; // of the packet
    bool ip;         // it is one, and f says what it shows
    bool inbound;    // it came out of the SA with this SPI
    uint32_t spi;
    enum spd_verdict verdict; // of look_up_burst, while the SPD is as it was
    struct policy *policy;
    uint64_t generation; // 0: it was not looked up yet
    void *flow;          // look_up.c
};
// vti: of fields.h; of what came out of an SA, the SA's.
void look_up_out(struct look_up *l, const uint8_t *packet, uint32_t len, uint8_t vti);
void look_up_in(struct look_up *l, const uint8_t *packet, uint32_t len, uint32_t spi, uint8_t vti);

// All of them; what comes next (the SA to send by, or that a packet came out of) is asked for too.
void look_up_burst(struct worker *w, struct look_up *l, unsigned n);
// What holds for this packet now. A later fragment that no OPAQUE selector takes goes by what its first one
// has shown, which is filled in where it decides: that may have been in the same burst.
enum spd_verdict look_up_policy(struct worker *w, struct look_up *l, struct policy **out);
// RFC 4301 section 5.2: a packet that came out of the SA must meet, looked up the other way round, the policy
// that the SA serves, and lie in the SA's selectors.
bool look_up_lets_in(struct worker *w, const struct child *c, struct look_up *l);
// One packet with nothing remembered.
enum spd_verdict look_up_afresh(struct worker *w, struct fields *f, bool inbound, struct policy **out);

// Packets with these SPIs have come: their SAs are asked for.
void look_up_spis(const struct path *p, const uint32_t *spi, unsigned n);

#endif
