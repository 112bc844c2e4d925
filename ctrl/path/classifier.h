// SPDX-License-Identifier: Apache-2.0
// From a packet to the first policy in rank order that holds it, at a cost that does not depend on how many
// policies there are (a tuple space, after Srinivasan, Suri and Varghese 1999, pruned by what both sides
// know of each other):
//   1. the prefixes around the packet's local and remote address: one hash look-up for each prefix length in
//      use;
//   2. the pairs of these that rules exist for: each prefix remembers the lengths and a sketch of the
//      prefixes that it is paired with, so that nearly only pairs that exist are looked up;
//   3. in a pair, protocol and ports: ranges are split into aligned blocks, one hash look-up for each shape.
// Whatever cannot beat the best rank found so far is passed over. Rules come and go one by one.
#ifndef CTRL_PATH_CLASSIFIER_H
#define CTRL_PATH_CLASSIFIER_H

#include "ctrl/lib/hash.h"
#include "ctrl/path/fields.h"
#include "espalier/error.h"

#define CLASS_LENGTHS   129   // of prefixes
#define CLASS_RULES_MAX 16384 // that one policy may split into

struct class_lengths { // in use on one side of one family, the longest first
    uint8_t count;
    uint8_t length[CLASS_LENGTHS];
    uint32_t users[CLASS_LENGTHS];
};
struct classifier { // all zero: empty
    struct hash prefixes, pairs, cells;
    struct class_lengths lengths[2][2]; // [family 6][remote]
    uint32_t next_id;
    size_t rules;
};
struct class_rule;
struct class_rules { // those of one policy; all zero: none
    struct class_rule *first;
    unsigned count;
};
struct class_match {
    void *of;       // NULL: none
    uint64_t rank;  // UINT64_MAX: none
    uint64_t could; // the best rank of what asks for ports or a protocol that the packet does not show
};

// Rules for every pair of a local and a remote selector of one family (family 0 makes none). 0, or a negative
// errno with nothing added: -E2BIG when it splits into more than CLASS_RULES_MAX. Ranks: lower goes first.
int classifier_add(struct classifier *c, struct selectors local, struct selectors remote, uint64_t rank,
                   void *of, struct class_rules *mine, struct esp_error *err);
void classifier_remove(struct classifier *c, struct class_rules *mine);
void classifier_free(struct classifier *c); // of rules that are all removed
// reverse: the packet comes from the remote side.
struct class_match classifier_find(const struct classifier *c, const struct fields *f, bool reverse);

#endif
