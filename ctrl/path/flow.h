// SPDX-License-Identifier: Apache-2.0
// What one thread remembers of the packets that it has seen: the policy of each flow, until the SPD changes,
// and the ports of first fragments, which the later ones do not show (RFC 4301 section 7). Both are of fixed
// size; what is forgotten is looked up again, or dropped where it cannot be.
#ifndef CTRL_PATH_FLOW_H
#define CTRL_PATH_FLOW_H

#include "ctrl/path/fields.h"

#define FLOW_SLOTS     8192
#define FLOW_FRAGMENTS 1024
#define FRAGMENT_MS    60000 // no longer than anybody reassembles (RFC 8200 section 4.5)

struct flow {
    uint8_t key[FIELDS_FLOW_LEN];
    bool inbound;
    uint64_t generation; // of the SPD, 0: empty
    void *policy;        // NULL: none has it
};
struct fragment {
    struct fields f; // of the first one
    bool inbound;
    uint64_t at; // ms, 0: empty
};
struct flows {
    uint64_t secret;
    struct flow *flow;
    struct fragment *fragment;
    uint64_t hits, misses, later_known, later_unknown;
};

int flows_init(struct flows *w, uint64_t secret); // 0 or -ENOMEM
void flows_free(struct flows *w);

// The slot of this flow: it holds the answer where generation and key are right (flow_hit).
struct flow *flow_slot(struct flows *w, const struct fields *f, bool inbound);
bool flow_hit(const struct flow *s, const struct fields *f, bool inbound, uint64_t generation);
void flow_keep(struct flow *s, const struct fields *f, bool inbound, uint64_t generation, void *policy);

// A first fragment was let through: later ones are like it.
void fragment_keep(struct flows *w, const struct fields *f, bool inbound, uint64_t now);
// Gives a later fragment its first one's ports, where that is known.
void fragment_fill(struct flows *w, struct fields *f, bool inbound, uint64_t now);

#endif
