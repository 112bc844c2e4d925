// SPDX-License-Identifier: Apache-2.0
// See kset_entries.h. One entry per key, under it the values that holds ask for (the best one is in force),
// and what the kernel has. Rules of one selector share a table.
#include "ctrl/path/kset_entries.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/slice.h"

#define CHUNK 128 // changes given to the kernel at once

// ---- printing

static const char *prefix_print(const struct kobj *o, bool src, char *buf, size_t size)
{
    char a[INET6_ADDRSTRLEN];
    inet_ntop(o->family == 6 ? AF_INET6 : AF_INET, src ? o->src : o->dst, a, sizeof(a));
    snprintf(buf, size, "%s/%u", a, src ? o->src_len : o->dst_len);
    return buf;
}

static void ports_print(const struct kobj *o, char *buf, size_t size)
{
    buf[0] = 0;
    if (o->proto && (o->sport2 || o->dport2))
        snprintf(buf, size, " protocol %u ports %u/%x > %u/%x", o->proto, o->sport, o->sport2, o->dport,
                 o->dport2);
    else if (o->proto)
        snprintf(buf, size, " protocol %u", o->proto);
}

const char *kobj_print(const struct kobj *o, char *buf, size_t size)
{
    static const char *const dirs[] = {"in", "out", "fwd"};
    char s[64], d[64], p[64];
    prefix_print(o, true, s, sizeof(s));
    prefix_print(o, false, d, sizeof(d));
    ports_print(o, p, sizeof(p));
    if (o->kind == KOBJ_HOOK && o->dst_len)
        snprintf(buf, size, "netfilter hook for multicast %s > %s%s", s, d, p);
    else if (o->kind == KOBJ_HOOK)
        snprintf(buf, size, "netfilter hooks for IPv%u%s", o->family,
                 o->proto ? " and UDP of the gateway's own programs" : "");
    else if (o->kind == KOBJ_RULE)
        snprintf(buf, size, "routing rule %u from %s%s table %u", o->priority, s, p, o->table);
    else if (o->kind == KOBJ_ROUTE)
        snprintf(buf, size, "route %s in table %u", d, o->table);
    else
        snprintf(buf, size, "XFRM %s policy %s %s > %s%s",
                 o->action == KXFRM_ALLOW  ? "allow"
                 : o->action == KXFRM_HOLD ? "hold"
                                           : "block",
                 dirs[o->dir % 3], s, d, p);
    return buf;
}

// ---- entries

static uint64_t hash_of(const struct kobj *o)
{
    struct kobj k = kobj_key(o);
    // all that a key has lies before `from_set`, without gaps
    _Static_assert(offsetof(struct kobj, from_set) == 76, "no padding among the key's fields");
    return hash_bytes(0, &k, offsetof(struct kobj, from_set));
}

// What lies before the addresses and between the prefixes and the preferred source, then as much of the
// addresses as their family has.
enum {
    NOW_HEAD = offsetof(struct kobj, src),
    NOW_REST = offsetof(struct kobj, from) - offsetof(struct kobj, sport),
};
_Static_assert(offsetof(struct kobj, sport) == NOW_HEAD + 32, "src and dst stand between these two");
_Static_assert(sizeof(struct kobj) - offsetof(struct kobj, from) < 16 + _Alignof(struct kobj),
               "from is the last");

static size_t address_len(const struct kobj *o)
{
    return o->family == 6 ? 16 : 4;
}

static size_t now_size(const struct kobj *o)
{
    return NOW_HEAD + NOW_REST + (o->kind == KOBJ_ROUTE ? 3 : 2) * address_len(o);
}

void kset_entry_is(struct entry *e, const struct kobj *o)
{
    size_t n = address_len(o);
    struct writer w = writer_of(e->now, now_size(o));
    wr_bytes(&w, o, NOW_HEAD);
    wr_bytes(&w, (const uint8_t *)o + offsetof(struct kobj, sport), NOW_REST);
    wr_bytes(&w, o->src, n);
    wr_bytes(&w, o->dst, n);
    if (o->kind == KOBJ_ROUTE) // nothing else has one
        wr_bytes(&w, o->from, n);
}

struct kobj kset_entry_now(const struct entry *e)
{
    struct kobj o = {0};
    const uint8_t *p = e->now;
    memcpy(&o, p, NOW_HEAD);
    memcpy((uint8_t *)&o + offsetof(struct kobj, sport), p += NOW_HEAD, NOW_REST);
    size_t n = address_len(&o);
    memcpy(o.src, p += NOW_REST, n);
    memcpy(o.dst, p += n, n);
    if (o.kind == KOBJ_ROUTE)
        memcpy(o.from, p + n, n);
    return o;
}

struct entry *kset_entry_find(const struct kset *s, const struct kobj *o)
{
    for (struct hash_node *n = hash_first(&s->entries, hash_of(o)); n; n = hash_next(n)) {
        struct entry *e = (struct entry *)n;
        struct kobj now = kset_entry_now(e);
        if (kobj_same_key(&now, o))
            return e;
    }
    return NULL;
}

struct entry *kset_entry_make(struct kset *s, const struct kobj *o)
{
    struct entry *e = calloc(1, offsetof(struct entry, now) + now_size(o));
    if (!e)
        return NULL;
    kset_entry_is(e, o);
    if (hash_add(&s->entries, &e->node, hash_of(o)) < 0) {
        free(e);
        return NULL;
    }
    return e;
}

static struct entry_list *list_of(struct kset *s, uint8_t on)
{
    return on == ON_TOUCHED ? &s->touched : &s->wrong;
}

void kset_entry_put_on(struct kset *s, struct entry *e, enum on_list list)
{
    if (e->on == list)
        return;
    if (e->on)
        TAILQ_REMOVE(list_of(s, e->on), e, link);
    s->wrong_count -= e->on == ON_WRONG;
    s->wrong_count += list == ON_WRONG;
    e->on = (uint8_t)list;
    if (list)
        TAILQ_INSERT_TAIL(list_of(s, e->on), e, link);
}

void kset_entry_forget(struct kset *s, struct entry *e)
{
    kset_entry_put_on(s, e, ON_NONE);
    hash_del(&s->entries, &e->node);
    free(e);
}

// What the daemon lets by for its own way into the TUN has an interface or a mark, and is no policy's.
static bool lets_by(const struct kobj *o)
{
    return o->kind == KOBJ_XFRM && o->action == KXFRM_ALLOW && !o->ifindex && !o->mark_mask;
}

static uint64_t left_key(const struct entry *e)
{
    return hash_u64((uintptr_t)e);
}

// NULL: it is none of an earlier run.
static struct left *left_of(const struct kset *s, const struct entry *e)
{
    struct hash_node *n = e->left ? hash_first(&s->lefts, left_key(e)) : NULL;
    return (struct left *)(void *)n; // one of that hash, as no two entries have one address
}

bool kset_entry_found(struct kset *s, struct entry *e, const struct kobj *o)
{
    struct left *l = malloc(sizeof(*l));
    if (!l)
        return false;
    *l = (struct left){.entry = e, .o = *o};
    if (hash_add(&s->lefts, &l->node, left_key(e)) < 0) {
        free(l);
        return false;
    }
    e->left = true;
    if (lets_by(o))
        LIST_INSERT_HEAD(&s->lets, l, let);
    return true;
}

void kset_entry_mine(struct kset *s, struct entry *e)
{
    struct left *l = left_of(s, e);
    if (!l)
        return;
    if (lets_by(&l->o))
        LIST_REMOVE(l, let);
    hash_del(&s->lefts, &l->node);
    if (!s->lefts.count)
        hash_free(&s->lefts);
    free(l);
    e->left = false;
}

static bool may_block(const struct kobj *o)
{
    if (o->kind == KOBJ_HOOK)
        return o->dst_len && o->dir == KDIR_FWD;
    return o->kind == KOBJ_XFRM && !o->ifindex && !o->mark_mask;
}

// What it let by may have hidden a block of a policy that is not here yet, and the kernel has one object a
// key: that key blocks from then on, but for what is asked for.
void kset_entry_close(struct kset *s, struct entry *e)
{
    struct left *l = left_of(s, e);
    if (!s->guards) {
        kset_entry_mine(s, e);
    } else if (!kobj_of_one_link(&l->o)) { // which what blocks on never meant
        LIST_REMOVE(l, let);
        l->o.action = KXFRM_BLOCK;
        l->behind = true;
    }
    kset_entry_put_on(s, e, ON_TOUCHED);
}

void kset_entry_adopt(struct kset *s, struct entry *e)
{
    const struct left *l = left_of(s, e);
    if (!l)
        return;
    if (!s->guards || !may_block(&l->o))
        kset_entry_mine(s, e);
    else if (lets_by(&l->o))
        kset_entry_close(s, e);
}

struct kobj kset_value_object(const struct value *v)
{
    struct kobj key = kset_entry_now(v->entry);
    return kobj_with(&key, &v->v);
}

bool kset_entry_wanted(const struct kset *s, const struct entry *e, struct kobj *out)
{
    const struct value *v = e->values;
    const struct left *l = left_of(s, e);
    if (v)
        *out = kset_value_object(v);
    else if (l)
        *out = l->o;
    for (v = v ? v->next : NULL; v; v = v->next) {
        struct kobj o = kset_value_object(v);
        if (kobj_better(&o, out))
            *out = o;
    }
    if (e->values && l && s->guards && !l->behind && may_block(&l->o) && kobj_better(&l->o, out))
        *out = l->o;
    return e->values || l;
}

bool kset_entry_settled(const struct kset *s, const struct entry *e)
{
    struct kobj w, now = kset_entry_now(e);
    return kset_entry_wanted(s, e, &w) ? e->present && kobj_same_value(&w, &now) : !e->present;
}

static void forget_if_empty(struct kset *s, struct entry *e)
{
    if (!e->present && !e->values && !e->left)
        kset_entry_forget(s, e);
}

// ---- settling

static void changed(struct kset *s, struct entry *e, const struct kchange *c)
{
    if (c->rc < 0) {
        if (c->add && (c->rc == -EAGAIN || c->rc == -ENOBUFS)) // nobody has answered: it may be there
            s->lost = true;
        kset_entry_put_on(s, e, ON_WRONG);
        return;
    }
    e->present = c->add;
    if (c->add)
        kset_entry_is(e, c->o);
    kset_entry_put_on(s, e, ON_NONE);
    forget_if_empty(s, e);
}

static void tell_failure(const struct kchange *c, const struct esp_error *why, struct esp_error *err)
{
    static const char *const kinds[] = {"", "routing rule", "route", "XFRM policy", "netfilter"};
    char text[120];
    esp_fail(err, c->rc, kinds[c->o->kind % 5], "cannot %s %s: %s", c->add ? "add" : "remove",
             kobj_print(c->o, text, sizeof(text)), why->text);
}

static struct entry *pop(struct kset *s, struct entry_list *list)
{
    struct entry *e = TAILQ_FIRST(list);
    if (e) {
        TAILQ_REMOVE(list, e, link);
        s->wrong_count -= list == &s->wrong;
        e->on = ON_NONE;
    }
    return e;
}

// Makes the kernel have what the entries of the list want. Returns the number of failures, which are on the
// list of wrong ones then; the first is told in err.
unsigned kset_settle(struct kset *s, struct entry_list *list, struct esp_error *err)
{
    struct entry *e, *batch[CHUNK];
    struct kobj o[CHUNK];
    struct kchange c[CHUNK];
    unsigned failed = 0, n;
    do {
        for (n = 0; n < CHUNK && (e = pop(s, list));) {
            if (kset_entry_settled(s, e)) {
                forget_if_empty(s, e);
                continue;
            }
            bool add = kset_entry_wanted(s, e, &o[n]);
            if (!add)
                o[n] = kset_entry_now(e);
            batch[n] = e;
            c[n] = (struct kchange){.add = add, .o = &o[n]};
            n++;
        }
        struct esp_error why = {0};
        if (n)
            s->k->ops->apply(s->k, c, n, &why);
        for (unsigned i = 0; i < n; i++) {
            if (c[i].rc < 0 && failed++ == 0)
                tell_failure(&c[i], &why, err);
            changed(s, batch[i], &c[i]);
        }
    } while (n);
    return failed;
}

// ---- groups

void kset_group_selector(const struct kobj *rule, struct kobj *out)
{
    *out = *rule;
    out->table = 0;
}

struct group *kset_group_find(const struct kset *s, const struct kobj *selector)
{
    for (struct hash_node *n = hash_first(&s->groups, hash_of(selector)); n; n = hash_next(n)) {
        struct group *g = (struct group *)n;
        if (kobj_same_key(&g->selector, selector))
            return g;
    }
    return NULL;
}

static bool table_used(const struct kset *s, unsigned i)
{
    return s->tables[i / 8] >> i % 8 & 1;
}

void kset_table_mark(struct kset *s, uint32_t table, bool used)
{
    unsigned i = table - s->k->tables;
    if (i >= KERNEL_TABLES)
        return;
    s->tables[i / 8] = (uint8_t)((s->tables[i / 8] & ~(1u << i % 8)) | (unsigned)used << i % 8);
    if (!used && i < s->table_hint)
        s->table_hint = i;
}

static bool table_new(struct kset *s, uint32_t *out)
{
    for (unsigned i = s->table_hint; i < KERNEL_TABLES; i++) {
        if (!table_used(s, i)) {
            s->table_hint = i + 1;
            *out = s->k->tables + i;
            return true;
        }
    }
    return false;
}

struct group *kset_group_make(struct kset *s, const struct kobj *selector, uint32_t table)
{
    struct group *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->selector = *selector;
    g->table = table;
    if (hash_add(&s->groups, &g->node, hash_of(selector)) < 0) {
        free(g);
        return NULL;
    }
    kset_table_mark(s, table, true);
    return g;
}

void kset_group_drop(struct kset *s, struct group *g)
{
    if (--g->refs)
        return;
    hash_del(&s->groups, &g->node);
    kset_table_mark(s, g->table, false);
    free(g);
}

static int group_take(struct kset *s, const struct kobj *rule, struct group **out)
{
    struct kobj selector;
    uint32_t table;
    kset_group_selector(rule, &selector);
    *out = kset_group_find(s, &selector);
    if (!*out) {
        if (!table_new(s, &table))
            return -ENOSPC;
        *out = kset_group_make(s, &selector, table);
        if (!*out)
            return -ENOMEM;
    }
    (*out)->refs++;
    return 0;
}

// ---- references

static int refs_room(struct refs *r)
{
    if (r->count < r->room)
        return 0;
    unsigned room = r->room ? 2 * r->room : 16;
    struct ref *more = realloc(r->r, room * sizeof(*more));
    if (!more)
        return -ENOMEM;
    r->r = more;
    r->room = room;
    return 0;
}

static struct value *value_take(struct kset *s, const struct kobj *o)
{
    struct entry *e = kset_entry_find(s, o);
    if (!e && !(e = kset_entry_make(s, o)))
        return NULL;
    struct value *v = e->values;
    for (; v; v = v->next) {
        struct kobj there = kset_value_object(v);
        if (kobj_same_value(&there, o))
            break;
    }
    if (!v) {
        if (!(v = calloc(1, offsetof(struct value, v) + kvalue_size(o)))) {
            kset_entry_put_on(s, e, ON_TOUCHED); // a new one is forgotten when that is settled
            return NULL;
        }
        v->next = e->values;
        v->entry = e;
        kobj_value(o, &v->v);
        e->values = v;
    }
    v->refs++;
    kset_entry_put_on(s, e, ON_TOUCHED);
    return v;
}

static void value_drop(struct kset *s, struct value *v)
{
    struct entry *e = v->entry;
    if (--v->refs)
        return;
    struct value **at = &e->values;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    free(v);
    kset_entry_put_on(s, e, ON_TOUCHED);
}

void kset_refs_settle(struct refs *r)
{
    struct ref *less = r->count < r->room && r->count ? realloc(r->r, r->count * sizeof(*less)) : NULL;
    if (!less)
        return;
    r->r = less;
    r->room = r->count;
}

void kset_refs_drop(struct kset *s, struct refs *r)
{
    for (unsigned i = r->count; i-- > 0;) {
        value_drop(s, r->r[i].value);
        if (r->r[i].group)
            kset_group_drop(s, r->r[i].group);
    }
    free(r->r);
    *r = (struct refs){0};
}

int kset_take_object(void *ctx, const struct kobj *o, const struct kobj *behind)
{
    struct taking *t = ctx;
    struct ref ref = {0};
    struct kobj full = *o;
    int rc = refs_room(t->to);
    if (rc == 0 && behind && (rc = group_take(t->s, behind, &ref.group)) == 0)
        full.table = ref.group->table;
    if (rc < 0)
        return rc;
    if (!(ref.value = value_take(t->s, &full))) {
        if (ref.group)
            kset_group_drop(t->s, ref.group);
        return -ENOMEM;
    }
    t->to->r[t->to->count++] = ref;
    return 0;
}
