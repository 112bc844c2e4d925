// SPDX-License-Identifier: Apache-2.0
// A kernel object by its key, under which the kernel has one, and by what may differ under it. Inside kset
// alone.
#ifndef CTRL_PATH_KSET_VALUES_H
#define CTRL_PATH_KSET_VALUES_H

#include "ctrl/path/kset.h"

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

bool kset_prefixes_overlap(const uint8_t *a, unsigned a_len, const uint8_t *b, unsigned b_len);

#endif
