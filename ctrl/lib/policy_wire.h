// SPDX-License-Identifier: Apache-2.0
// The policies of one connection (RFC 4301 section 4.4.1) as ike computes them and path enforces them, and
// their written form inside POLICY_APPLY.
#ifndef CTRL_POLICY_WIRE_H
#define CTRL_POLICY_WIRE_H

#include "ctrl/lib/conn.h"

struct policy_spec {
    uint32_t id; // chosen by ike, unique in its life, never 0
    char child[NAME_MAX_LEN];
    uint8_t action;    // enum policy_action
    uint8_t mode;      // enum sa_mode; of a protecting policy
    uint32_t if_id;    // of the TUN of its own that it is about; 0: none
    uint32_t priority; // swanctl's: lower first, before all computed ones; 0: computed
    uint8_t trap;      // a packet without an SA asks for one
    uint8_t given;     // one end has virtual addresses, of which each has one SA
    uint8_t later; // not all is known of what it is about, and will be: a pool is not loaded, there is no way
                   // to a peer
    struct tunnel_route route;    // of one that protects
    struct ts_list local, remote; // family 0: dynamic, and the address is not known yet
};

void policies_write(struct writer *w, const struct policy_spec *p, unsigned count);
// Allocates *out (free() it; NULL where there are none). 0, -EBADMSG or -ENOMEM.
int policies_read(struct slice s, struct policy_spec **out, unsigned *count);

#endif
