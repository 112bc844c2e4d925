// SPDX-License-Identifier: Apache-2.0
// From a policy to kernel objects: a pure function. Inside kset alone.
#ifndef CTRL_PATH_KSET_OBJECTS_H
#define CTRL_PATH_KSET_OBJECTS_H

#include "ctrl/path/kset.h"

// A rule's selector without a table yet: the visitor puts in its table and calls for the routes behind it.
struct kset_visitor {
    // Returns 0 or -errno, which ends the walk. A route carries the selector of its rule: `behind`, else
    // NULL.
    int (*object)(void *ctx, const struct kobj *o, const struct kobj *behind);
    void *ctx;
};

enum { KSET_VIRTUAL_MAX = 64 };
struct kset_sources { // what the machine has
    struct {
        struct addr a;
        uint8_t len; // of its network
    } * net;
    unsigned count;
    struct addr virtual_ip[KSET_VIRTUAL_MAX];
    unsigned virtual_count;
    struct addr preferred[2]; // of the default route: IPv4, IPv6; family 0: none
};

// Visits every object of the policy in the order in which they are to be put in force. -E2BIG: a range splits
// into too many prefixes.
int kset_objects(const struct kset_options *o, const struct kset_spec *spec, const struct kset_visitor *v,
                 struct esp_error *err);
// XFRM: of what goes through no tunnel (icmp_of_one_link), at either end.
bool kobj_of_one_link(const struct kobj *o);
// Those that depend on the machine's addresses: its neighbour discovery, and routes that give local programs
// a protected source.
int kset_source_objects(const struct kset_options *o, const struct kset_spec *spec,
                        const struct kset_sources *s, const struct kset_visitor *v, struct esp_error *err);

#endif
