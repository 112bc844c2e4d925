// SPDX-License-Identifier: Apache-2.0
// See kset_values.h.
#include "ctrl/path/kset_values.h"

#include <string.h>

struct kobj kobj_key(const struct kobj *o)
{
    struct kobj k = *o;
    if (o->kind == KOBJ_RULE)
        return k;
    k.action = 0;
    if (o->kind != KOBJ_XFRM)
        k.ifindex = 0;
    k.from_set = 0;
    memset(k.from, 0, sizeof(k.from));
    k.priority = k.lifetime = 0;
    return k;
}

static bool equal(const struct kobj *a, const struct kobj *b)
{
    return a->kind == b->kind && a->family == b->family && a->action == b->action && a->dir == b->dir &&
           a->proto == b->proto && a->invert == b->invert && a->src_len == b->src_len &&
           a->dst_len == b->dst_len && !memcmp(a->src, b->src, 16) && !memcmp(a->dst, b->dst, 16) &&
           a->sport == b->sport && a->dport == b->dport && a->sport2 == b->sport2 && a->dport2 == b->dport2 &&
           a->table == b->table && a->mark == b->mark && a->mark_mask == b->mark_mask &&
           a->ifindex == b->ifindex && a->priority == b->priority && a->target == b->target &&
           a->lifetime == b->lifetime && a->from_set == b->from_set && !memcmp(a->from, b->from, 16);
}

size_t kvalue_size(const struct kobj *o)
{
    return sizeof(struct kvalue) + (o->from_set ? sizeof(o->from) : 0);
}

void kobj_value(const struct kobj *o, struct kvalue *v)
{
    v->ifindex = o->ifindex;
    v->priority = o->priority;
    v->lifetime = o->lifetime;
    v->action = o->action;
    v->from_set = o->from_set;
    if (o->from_set)
        memcpy(v->from, o->from, sizeof(o->from));
}

// Of what is part of the key the value has the same.
struct kobj kobj_with(const struct kobj *key, const struct kvalue *v)
{
    struct kobj o = *key;
    o.ifindex = v->ifindex;
    o.priority = v->priority;
    o.lifetime = v->lifetime;
    o.action = v->action;
    o.from_set = v->from_set;
    memset(o.from, 0, sizeof(o.from));
    if (v->from_set)
        memcpy(o.from, v->from, sizeof(o.from));
    return o;
}

bool kobj_same_key(const struct kobj *a, const struct kobj *b)
{
    struct kobj x = kobj_key(a), y = kobj_key(b);
    return equal(&x, &y);
}

bool kobj_same_value(const struct kobj *a, const struct kobj *b)
{
    return a->action == b->action && a->priority == b->priority && a->lifetime == b->lifetime &&
           (a->kind == KOBJ_XFRM || a->ifindex == b->ifindex) && a->from_set == b->from_set &&
           !memcmp(a->from, b->from, 16);
}

bool kobj_better(const struct kobj *a, const struct kobj *b)
{
    if (a->kind != KOBJ_RULE && a->priority != b->priority)
        return a->priority < b->priority;
    if (a->action != b->action) // of equals the closed one; into the TUN rather than past it
        return a->kind == KOBJ_XFRM ? a->action > b->action : a->action < b->action;
    if (a->from_set != b->from_set)
        return a->from_set > b->from_set;
    if (memcmp(a->from, b->from, 16) != 0)
        return memcmp(a->from, b->from, 16) < 0;
    return a->kind == KOBJ_ROUTE && a->ifindex < b->ifindex;
}

bool kset_prefixes_overlap(const uint8_t *a, unsigned a_len, const uint8_t *b, unsigned b_len)
{
    unsigned len = a_len < b_len ? a_len : b_len, whole = len / 8, rest = len % 8;
    return !memcmp(a, b, whole) && (!rest || !((a[whole] ^ b[whole]) >> (8 - rest)));
}

bool kobj_overlap(const struct kobj *a, const struct kobj *b)
{
    return a->family == b->family && a->dir == b->dir && (!a->proto || !b->proto || a->proto == b->proto) &&
           !((a->sport ^ b->sport) & a->sport2 & b->sport2) &&
           !((a->dport ^ b->dport) & a->dport2 & b->dport2) &&
           kset_prefixes_overlap(a->src, a->src_len, b->src, b->src_len) &&
           kset_prefixes_overlap(a->dst, a->dst_len, b->dst, b->dst_len);
}
