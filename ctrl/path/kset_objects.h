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
// Those that depend on the machine's addresses: its neighbour discovery, and routes that give local programs
// a protected source.
int kset_source_objects(const struct kset_options *o, const struct kset_spec *spec,
                        const struct kset_sources *s, const struct kset_visitor *v, struct esp_error *err);

// Keys and values.
bool kobj_same_key(const struct kobj *a, const struct kobj *b);
bool kobj_same_value(const struct kobj *a, const struct kobj *b);
bool kobj_better(const struct kobj *a, const struct kobj *b);  // of two values under one key, which one holds
bool kobj_overlap(const struct kobj *a, const struct kobj *b); // XFRM: there can be a packet of both
struct kobj kobj_key(const struct kobj *o);                    // without its values
struct kvalue { // what may differ under one key: thousands of objects are held
    uint32_t ifindex, priority, lifetime;
    uint8_t action, from_set;
    uint8_t from[]; // all of it where from_set says so; otherwise it is zero, and not there
};
size_t kvalue_size(const struct kobj *o);
void kobj_value(const struct kobj *o, struct kvalue *v);
struct kobj kobj_with(const struct kobj *key, const struct kvalue *v); // of an object of that key

#endif
