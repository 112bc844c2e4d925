// SPDX-License-Identifier: Apache-2.0
// From a packet to the first policy in rank order that holds it, at a cost that does not depend on how many
// policies there are (a tuple space, after Srinivasan, Suri and Varghese 1999, pruned by what both sides
// know of each other):
//   1. the prefixes around the packet's local and remote address: of each prefix length in use, whether there
//      is one, and a note of the prefixes that it is paired with (both stay in the cache);
//   2. the pairs of these that rules may exist for by both notes: what exists costs one access to memory, and
//      all are asked for at once;
//   3. in a pair, protocol and ports: its only rule, its few rules one after the other, or one access for
//      each shape of its many rules (ranges of ports are split into aligned blocks).
// Rules come and go one by one.
#ifndef CTRL_PATH_CLASSIFIER_H
#define CTRL_PATH_CLASSIFIER_H

#include "ctrl/path/class_table.h"
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
    struct class_table prefixes, pairs, cells;
    struct class_lengths lengths[2][2]; // [family 6][remote]
    uint64_t next_id;
    size_t rules;
};
struct class_rule { // what a policy's selectors lead to
    uint64_t rank;  // lower goes first
    void *of;
};
struct class_match {
    void *of;       // NULL: none
    uint64_t rank;  // UINT64_MAX: none
    bool hidden;    // it asks for a packet that does not show its ports (OPAQUE), which this one is
    uint64_t could; // the best rank of what asks for ports or a protocol that the packet does not show
};

// Rules for every pair of a local and a remote selector of one family (family 0 makes none). 0, or a negative
// errno with nothing added: -E2BIG when it splits into more than CLASS_RULES_MAX.
int classifier_add(struct classifier *c, struct selectors local, struct selectors remote,
                   struct class_rule rule, struct esp_error *err);
// What classifier_add has added for the same selectors.
void classifier_remove(struct classifier *c, struct selectors local, struct selectors remote,
                       struct class_rule rule);
void classifier_free(struct classifier *c); // of rules that are all removed

#define CLASS_BURST 32
struct class_query {
    const struct fields *f;
    bool reverse; // the packet comes from the remote side
    struct class_match m;
};
// Finds m of each, at most CLASS_BURST together: what they wait for in memory, they wait for at once.
void classifier_find_burst(const struct classifier *c, struct class_query *q, unsigned n);
// A burst of one.
struct class_match classifier_find(const struct classifier *c, const struct fields *f, bool reverse);

#endif
