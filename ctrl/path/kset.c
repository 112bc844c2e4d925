// SPDX-License-Identifier: Apache-2.0
// The set itself: one entry per key, under it the values that holds ask for (the best one is in force), and
// what the kernel has. Every change first moves the counts, then settles the entries that were touched: what
// the kernel should have and has not is added, the opposite removed. What could not be settled stays on the
// list of wrong ones.
#include "ctrl/path/kset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "ctrl/lib/hash.h"
#include "ctrl/path/kset_objects.h"

#define CHUNK 128 // changes given to the kernel at once

struct entry;
struct value {
    struct value *next;
    struct entry *entry;
    struct kobj o;
    unsigned refs;
};
TAILQ_HEAD(entry_list, entry);
struct entry {
    struct hash_node node; // by key
    TAILQ_ENTRY(entry) link;
    struct entry_list *on; // touched or wrong; NULL: as it should be
    struct value *values;
    struct kobj now; // in the kernel where present; otherwise only its key counts
    bool present;
    bool found; // an earlier run's: `left` is kept until it is swept or something is asked for
    struct kobj left;
};
struct group { // the rules' selectors and their tables
    struct hash_node node;
    struct kobj selector; // a rule without its table
    uint32_t table;
    unsigned refs;
    LIST_ENTRY(group) link; // of those that an earlier run left
};
struct ref {
    struct value *value;
    struct group *group; // of rules and routes
};
struct refs {
    struct ref *r;
    unsigned count, room;
};
struct kset_hold {
    LIST_ENTRY(kset_hold) link;
    struct refs objects, sources;
    struct kset_spec spec; // points at the selectors
    struct ts selectors[];
};
struct kset {
    struct kernel *k;
    struct kset_options o;
    struct hash entries, groups;
    struct entry_list touched, wrong;
    LIST_HEAD(, kset_hold) holds;
    LIST_HEAD(, group) left;
    unsigned wrong_count;
    bool swept;
    uint8_t tables[(KERNEL_TABLES + 7) / 8]; // in use
    unsigned table_hint;
    bool lost; // the kernel has to be asked for everything
    struct kset_sources sources;
};

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
    if (o->kind == KOBJ_RULE)
        snprintf(buf, size, "routing rule %u from %s%s table %u", o->priority, s, p, o->table);
    else if (o->kind == KOBJ_ROUTE)
        snprintf(buf, size, "route %s in table %u", d, o->table);
    else
        snprintf(buf, size, "XFRM %s policy %s %s > %s%s", o->action == KXFRM_ALLOW ? "allow" : "block",
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

static struct entry *entry_find(const struct kset *s, const struct kobj *o)
{
    for (struct hash_node *n = hash_first(&s->entries, hash_of(o)); n; n = hash_next(n)) {
        struct entry *e = (struct entry *)n;
        if (kobj_same_key(&e->now, o))
            return e;
    }
    return NULL;
}

static struct entry *entry_make(struct kset *s, const struct kobj *o)
{
    struct entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->now = *o;
    if (hash_add(&s->entries, &e->node, hash_of(o)) < 0) {
        free(e);
        return NULL;
    }
    return e;
}

static void put_on(struct kset *s, struct entry *e, struct entry_list *list)
{
    if (e->on == list)
        return;
    if (e->on)
        TAILQ_REMOVE(e->on, e, link);
    s->wrong_count -= e->on == &s->wrong;
    s->wrong_count += list == &s->wrong;
    e->on = list;
    if (list)
        TAILQ_INSERT_TAIL(list, e, link);
}

static void forget(struct kset *s, struct entry *e)
{
    put_on(s, e, NULL);
    hash_del(&s->entries, &e->node);
    free(e);
}

static const struct kobj *wanted(const struct entry *e)
{
    const struct value *best = NULL;
    for (const struct value *v = e->values; v; v = v->next)
        if (!best || kobj_better(&v->o, &best->o))
            best = v;
    return best ? &best->o : e->found ? &e->left : NULL;
}

static bool settled(const struct entry *e)
{
    const struct kobj *w = wanted(e);
    return w ? e->present && kobj_same_value(w, &e->now) : !e->present;
}

static void forget_if_empty(struct kset *s, struct entry *e)
{
    if (!e->present && !e->values && !e->found)
        forget(s, e);
}

// ---- settling

static void changed(struct kset *s, struct entry *e, const struct kchange *c)
{
    if (c->rc < 0) {
        put_on(s, e, &s->wrong);
        return;
    }
    e->present = c->add;
    if (c->add)
        e->now = *c->o;
    put_on(s, e, NULL);
    forget_if_empty(s, e);
}

static void tell_failure(const struct kchange *c, const struct esp_error *why, struct esp_error *err)
{
    static const char *const kinds[] = {"", "routing rule", "route", "XFRM policy"};
    char text[120];
    esp_fail(err, c->rc, kinds[c->o->kind % 4], "cannot %s %s: %s", c->add ? "add" : "remove",
             kobj_print(c->o, text, sizeof(text)), why->text);
}

// Makes the kernel have what the entries of the list want. Returns the number of failures, which are on the
// list of wrong ones then; the first is told in err.
static unsigned settle(struct kset *s, struct entry_list *list, struct esp_error *err)
{
    struct entry *e, *batch[CHUNK];
    struct kchange c[CHUNK];
    unsigned failed = 0, n;
    do {
        for (n = 0; n < CHUNK && (e = TAILQ_FIRST(list));) {
            put_on(s, e, NULL);
            if (settled(e)) {
                forget_if_empty(s, e);
                continue;
            }
            const struct kobj *w = wanted(e);
            batch[n] = e;
            c[n++] = (struct kchange){.add = w != NULL, .o = w ? w : &e->now};
        }
        struct esp_error why = {0};
        if (n)
            s->k->ops->apply(s->k, c, n, &why);
        for (unsigned i = 0; i < n; i++) {
            if (c[i].rc < 0 && failed++ == 0)
                tell_failure(&c[i], &why, err);
            changed(s, batch[i], &c[i]); // NOLINT(clang-analyzer-unix.Malloc): no entry is in a batch twice
        }
    } while (n);
    return failed;
}

// ---- groups

static void selector_of(const struct kobj *rule, struct kobj *out)
{
    *out = *rule;
    out->table = 0;
}

static struct group *group_find(const struct kset *s, const struct kobj *selector)
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

static void table_mark(struct kset *s, uint32_t table, bool used)
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

static struct group *group_make(struct kset *s, const struct kobj *selector, uint32_t table)
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
    table_mark(s, table, true);
    return g;
}

static void group_drop(struct kset *s, struct group *g)
{
    if (--g->refs)
        return;
    hash_del(&s->groups, &g->node);
    table_mark(s, g->table, false);
    free(g);
}

static int group_take(struct kset *s, const struct kobj *rule, struct group **out)
{
    struct kobj selector;
    uint32_t table;
    selector_of(rule, &selector);
    *out = group_find(s, &selector);
    if (!*out) {
        if (!table_new(s, &table))
            return -ENOSPC;
        *out = group_make(s, &selector, table);
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
    struct entry *e = entry_find(s, o);
    if (!e && !(e = entry_make(s, o)))
        return NULL;
    struct value *v = e->values;
    while (v && !kobj_same_value(&v->o, o))
        v = v->next;
    if (!v) {
        if (!(v = calloc(1, sizeof(*v)))) {
            put_on(s, e, &s->touched); // a new one is forgotten when that is settled
            return NULL;
        }
        *v = (struct value){.next = e->values, .entry = e, .o = *o};
        e->values = v;
    }
    v->refs++;
    put_on(s, e, &s->touched);
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
    put_on(s, e, &s->touched);
}

static void refs_drop(struct kset *s, struct refs *r)
{
    for (unsigned i = r->count; i-- > 0;) {
        value_drop(s, r->r[i].value);
        if (r->r[i].group)
            group_drop(s, r->r[i].group);
    }
    free(r->r);
    *r = (struct refs){0};
}

struct taking {
    struct kset *s;
    struct refs *to;
};

static int take_object(void *ctx, const struct kobj *o, const struct kobj *behind)
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
            group_drop(t->s, ref.group);
        return -ENOMEM;
    }
    t->to->r[t->to->count++] = ref;
    return 0;
}

static int take_sources(struct kset *s, const struct kset_spec *spec, struct refs *to, struct esp_error *err)
{
    struct taking t = {s, to};
    const struct kset_visitor v = {take_object, &t};
    return kset_source_objects(&s->o, spec, &s->sources, &v, err);
}

static struct kset_hold *hold_new(struct kset *s, const struct kset_spec *spec)
{
    size_t l = spec->local_count, r = spec->remote_count;
    struct kset_hold *h = calloc(1, sizeof(*h) + (l + r) * sizeof(struct ts));
    if (!h)
        return NULL;
    h->spec = *spec;
    h->spec.local = h->selectors;
    h->spec.remote = h->selectors + l;
    for (size_t i = 0; i < l + r; i++)
        h->selectors[i] = i < l ? spec->local[i] : spec->remote[i - l];
    LIST_INSERT_HEAD(&s->holds, h, link);
    return h;
}

static void hold_free(struct kset *s, struct kset_hold *h)
{
    if (!h)
        return;
    refs_drop(s, &h->sources);
    refs_drop(s, &h->objects);
    LIST_REMOVE(h, link);
    free(h);
}

static int hold_take(struct kset *s, const struct kset_spec *spec, struct kset_hold **out,
                     struct esp_error *err)
{
    struct kset_hold *h = *out = hold_new(s, spec);
    if (!h)
        return -ENOMEM;
    struct taking t = {s, &h->objects};
    const struct kset_visitor v = {take_object, &t};
    int rc = kset_objects(&s->o, &h->spec, &v, err);
    return rc ? rc : take_sources(s, &h->spec, &h->sources, err);
}

// ---- changes

static int why_not(int rc, struct esp_error *err)
{
    if (rc == -ENOMEM)
        return esp_fail(err, rc, "kernel policies", "out of memory");
    if (rc == -ENOSPC)
        return esp_fail(err, rc, "routing tables", "more than %d different local selectors", KERNEL_TABLES);
    return rc; // said by whoever found it
}

int kset_change(struct kset *s, const struct kset_spec *take, struct kset_hold **taken, unsigned m,
                struct kset_hold **drop, unsigned n, struct esp_error *err)
{
    struct esp_error later;
    unsigned i = 0;
    int rc = 0;
    memset(taken, 0, m * sizeof(struct kset_hold *));
    for (; i < m && rc == 0; i++)
        rc = why_not(hold_take(s, &take[i], &taken[i], err), err);
    if (rc == 0 && settle(s, &s->touched, err))
        rc = err && err->code ? err->code : -EIO;
    if (rc < 0) {
        while (i-- > 0)
            hold_free(s, taken[i]);
        memset(taken, 0, m * sizeof(struct kset_hold *));
        settle(s, &s->touched, &later);
        return rc;
    }
    for (i = n; i-- > 0;)
        hold_free(s, drop[i]);
    settle(s, &s->touched, &later);
    return 0;
}

// ---- what an earlier run left

static void keep_table(struct kset *s, const struct kobj *o)
{
    struct kobj selector;
    struct group *g;
    selector_of(o, &selector);
    table_mark(s, o->table, true);
    if (o->kind != KOBJ_RULE || o->action != KRULE_LOOKUP || group_find(s, &selector))
        return;
    if ((g = group_make(s, &selector, o->table))) {
        g->refs = 1;
        LIST_INSERT_HEAD(&s->left, g, link);
    }
}

static void found(void *ctx, const struct kobj *o)
{
    struct kset *s = ctx;
    struct entry *e = entry_find(s, o);
    if (!e && !(e = entry_make(s, o)))
        return; // it stays in the kernel, closed, and the next run finds it
    bool known = e->values || e->found || e->on;
    e->present = true;
    e->now = *o;
    if (known)
        return;
    if (s->swept) {
        put_on(s, e, &s->wrong);
        return;
    }
    e->found = true;
    e->left = *o;
    keep_table(s, o);
}

static int look(struct kset *s, struct esp_error *err)
{
    for (const struct hash_node *n = NULL; (n = hash_each(&s->entries, n));)
        ((struct entry *)n)->present = false;
    return s->k->ops->dump(s->k, found, s, err);
}

// Tables that an earlier run had used without a rule that still leads there are free again.
static void free_tables(struct kset *s)
{
    struct group *g;
    while ((g = LIST_FIRST(&s->left))) {
        LIST_REMOVE(g, link);
        group_drop(s, g);
    }
    memset(s->tables, 0, sizeof(s->tables));
    s->table_hint = 0;
    for (struct hash_node *n = NULL; (n = hash_each(&s->groups, n));)
        table_mark(s, ((struct group *)n)->table, true);
}

unsigned kset_sweep(struct kset *s)
{
    struct esp_error err;
    unsigned count = 0;
    for (struct hash_node *n = NULL; (n = hash_each(&s->entries, n));) {
        struct entry *e = (struct entry *)n;
        if (!e->found)
            continue;
        e->found = false;
        count += !e->values;
        put_on(s, e, &s->touched);
    }
    s->swept = true;
    free_tables(s);
    settle(s, &s->touched, &err);
    return count;
}

// ---- repair

static void missing(struct kset *s, struct entry *e)
{
    e->present = false;
    if (wanted(e))
        put_on(s, e, &s->wrong);
}

static bool is_gone(const struct entry *e, const struct knotice *n)
{
    if (n->kind == KNOTE_FLUSHED)
        return e->now.kind == KOBJ_XFRM;
    return e->now.kind == KOBJ_ROUTE; // with the TUN
}

bool kset_notice(struct kset *s, const struct knotice *n)
{
    struct entry *e;
    switch (n->kind) {
    case KNOTE_OBJECT:
        if ((e = entry_find(s, &n->o)))
            missing(s, e);
        break;
    case KNOTE_FLUSHED:
    case KNOTE_TUN_DOWN:
        for (struct hash_node *i = NULL; (i = hash_each(&s->entries, i));)
            if (is_gone((struct entry *)i, n))
                missing(s, (struct entry *)i);
        break;
    case KNOTE_LOST: s->lost = true; break;
    default: break;
    }
    return s->lost || s->wrong_count > 0;
}

unsigned kset_repair(struct kset *s, unsigned *failed)
{
    struct esp_error err;
    if (s->lost && look(s, &err) == 0) {
        s->lost = false;
        for (struct hash_node *n = NULL; (n = hash_each(&s->entries, n));)
            if (!settled((struct entry *)n))
                put_on(s, (struct entry *)n, &s->wrong);
    }
    unsigned were = s->wrong_count;
    struct entry *e;
    while ((e = TAILQ_FIRST(&s->wrong)))
        put_on(s, e, &s->touched);
    *failed = settle(s, &s->touched, &err);
    return were;
}

struct kset_counts kset_count(const struct kset *s)
{
    struct kset_counts c = {.wrong = s->wrong_count};
    for (const struct hash_node *n = NULL; (n = hash_each(&s->entries, n));) {
        const struct entry *e = (const struct entry *)n;
        c.objects += e->values != NULL;
        c.found += e->found && !e->values;
    }
    return c;
}

// ---- addresses

static void one_address(void *ctx, const struct addr *a, uint8_t len)
{
    struct kset_sources *to = ctx;
    void *more = realloc(to->net, (to->count + 1) * sizeof(*to->net));
    if (!more)
        return;
    to->net = more;
    to->net[to->count].a = *a;
    to->net[to->count++].len = len;
}

static void read_sources(struct kset *s)
{
    free(s->sources.net);
    s->sources = (struct kset_sources){0};
    if (!s->o.routes)
        return;
    s->k->ops->addresses(s->k, one_address, &s->sources);
    for (int i = 0; i < 2; i++)
        if (s->k->ops->default_source(s->k, i ? 6 : 4, &s->sources.preferred[i]) < 0)
            s->sources.preferred[i].family = 0;
}

void kset_addresses_changed(struct kset *s)
{
    struct kset_hold *h;
    struct esp_error err;
    read_sources(s);
    LIST_FOREACH(h, &s->holds, link)
    {
        struct refs now = {0};
        if (take_sources(s, &h->spec, &now, &err) < 0) { // as it was; the next change tries again
            refs_drop(s, &now);
            continue;
        }
        refs_drop(s, &h->sources);
        h->sources = now;
    }
    settle(s, &s->touched, &err);
}

// ---- opening and closing

int kset_open(struct kset **out, struct kernel *k, const struct kset_options *o, struct esp_error *err)
{
    struct kset *s = calloc(1, sizeof(*s));
    if (!s)
        return esp_fail(err, -ENOMEM, "kernel policies", "out of memory");
    s->k = k;
    s->o = *o;
    TAILQ_INIT(&s->touched);
    TAILQ_INIT(&s->wrong);
    LIST_INIT(&s->holds);
    LIST_INIT(&s->left);
    int rc = look(s, err);
    if (rc < 0) {
        kset_close(s, true);
        return rc;
    }
    read_sources(s);
    *out = s;
    return 0;
}

static void leave_in_kernel(struct kset *s, struct entry *e)
{
    put_on(s, e, NULL);
    e->present = e->found = false;
}

static void leave_if_unasked(struct kset *s, struct entry *e)
{
    if (e->found && !e->values)
        leave_in_kernel(s, e);
    e->found = false;
}

void kset_close(struct kset *s, bool leave)
{
    struct esp_error err;
    struct kset_hold *h;
    struct hash_node *n;
    if (!s)
        return;
    for (n = NULL; (n = hash_each(&s->entries, n));) // what nobody has asked for is the next run's to sweep
        leave_if_unasked(s, (struct entry *)n);
    for (n = NULL; leave && (n = hash_each(&s->entries, n));)
        if (((struct entry *)n)->now.kind == KOBJ_XFRM)
            leave_in_kernel(s, (struct entry *)n);
    while ((h = LIST_FIRST(&s->holds)))
        hold_free(s, h); // NOLINT(clang-analyzer-unix.Malloc): it leaves the list there
    settle(s, &s->touched, &err);
    while ((n = hash_pop(&s->entries)))
        free(n);
    while ((n = hash_pop(&s->groups)))
        free(n);
    hash_free(&s->entries);
    hash_free(&s->groups);
    free(s->sources.net);
    free(s);
}
