// SPDX-License-Identifier: Apache-2.0
// The set as its users see it. Every change first moves the counts of entries, then settles those that were
// touched: what the kernel should have and has not is added, the opposite removed. What could not be settled
// stays on the list of wrong ones.
#include "ctrl/path/kset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/kset_entries.h"

static int take_sources(struct kset *s, const struct kset_spec *spec, struct refs *to, struct esp_error *err)
{
    struct taking t = {s, to};
    const struct kset_visitor v = {kset_take_object, &t};
    int rc = kset_source_objects(&s->o, spec, &s->sources, &v, err);
    kset_refs_settle(to);
    return rc;
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
    LIST_REMOVE(h, link);
    kset_refs_drop(s, &h->sources);
    kset_refs_drop(s, &h->objects);
    free(h);
}

static int hold_take(struct kset *s, const struct kset_spec *spec, struct kset_hold **out,
                     struct esp_error *err)
{
    struct kset_hold *h = *out = hold_new(s, spec);
    if (!h)
        return -ENOMEM;
    struct taking t = {s, &h->objects};
    const struct kset_visitor v = {kset_take_object, &t};
    int rc = kset_objects(&s->o, &h->spec, &v, err);
    if (!rc)
        rc = take_sources(s, &h->spec, &h->sources, err);
    kset_refs_settle(&h->objects);
    return rc;
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

static void adopt_all(struct kset *s, const struct refs *r)
{
    for (unsigned i = 0; i < r->count; i++)
        kset_entry_adopt(s, r->r[i].value->entry);
}

// What an earlier run left is this one's from now on: it goes with its last hold, not when the rest is swept.
// Until then a bypass that has been taken away would still let packets by. But what an earlier life of this
// run left blocks on for policies that are not here yet, and may have the same object.
static void adopt(struct kset *s, struct kset_hold *h)
{
    adopt_all(s, &h->objects);
    adopt_all(s, &h->sources);
}

// Packets of `o` that a policy of an earlier run still lets by, though nothing of this run has asked for
// that. It goes now: what is protected is protected from its load on. Where a policy further down the same
// file means to let them by, they wait until that one is loaded too.
static void close_lets(struct kset *s, const struct kobj *o)
{
    struct left *next;
    if (o->kind != KOBJ_XFRM || o->action == KXFRM_ALLOW)
        return;
    for (struct left *l = LIST_FIRST(&s->lets); l; l = next) {
        struct entry *e = l->entry;
        next = LIST_NEXT(l, let);
        if (l->o.priority > o->priority || !kobj_overlap(&l->o, o))
            continue;
        kset_entry_close(s, e);
    }
}

static void close_all_lets(struct kset *s, const struct kset_hold *h)
{
    for (unsigned i = 0; i < h->objects.count && !LIST_EMPTY(&s->lets); i++) {
        struct kobj o = kset_value_object(h->objects.r[i].value);
        close_lets(s, &o);
    }
}

int kset_change(struct kset *s, const struct kset_spec *take, struct kset_hold **taken, unsigned m,
                struct kset_hold **drop, unsigned n, struct esp_error *err)
{
    struct esp_error later;
    unsigned i = 0;
    int rc = 0;
    if (m)
        memset(taken, 0, m * sizeof(struct kset_hold *));
    for (; i < m && rc == 0; i++)
        rc = why_not(hold_take(s, &take[i], &taken[i], err), err);
    if (rc == 0 && kset_settle(s, &s->touched, err))
        rc = err && err->code ? err->code : -EIO;
    if (rc < 0) {
        while (i-- > 0)
            hold_free(s, taken[i]);
        if (m)
            memset(taken, 0, m * sizeof(struct kset_hold *));
        kset_settle(s, &s->touched, &later);
        return rc;
    }
    for (i = 0; i < m; i++)
        adopt(s, taken[i]);
    for (i = 0; i < m; i++)
        close_all_lets(s, taken[i]);
    for (i = n; i-- > 0;)
        hold_free(s, drop[i]);
    kset_settle(s, &s->touched, &later);
    return 0;
}

// ---- what an earlier run left

static void keep_table(struct kset *s, const struct kobj *o)
{
    struct kobj selector;
    struct group *g;
    kset_group_selector(o, &selector);
    kset_table_mark(s, o->table, true);
    if (o->kind != KOBJ_RULE || o->action != KRULE_LOOKUP || kset_group_find(s, &selector))
        return;
    if ((g = kset_group_make(s, &selector, o->table))) {
        g->refs = 1;
        LIST_INSERT_HEAD(&s->left, g, link);
    }
}

static void found(void *ctx, const struct kobj *o)
{
    struct kset *s = ctx;
    struct entry *e = kset_entry_find(s, o);
    if (!e && !(e = kset_entry_make(s, o))) {
        s->forgot = true;
        return;
    }
    bool known = e->values || e->left || e->on;
    e->present = true;
    kset_entry_is(e, o);
    if (known)
        return;
    if (s->swept) {
        kset_entry_put_on(s, e, ON_WRONG);
        return;
    }
    s->forgot |= !kset_entry_found(s, e, o);
    if (e->left)
        keep_table(s, o);
    else
        kset_entry_forget(s, e);
}

static int look(struct kset *s, struct esp_error *err)
{
    for (const struct hash_node *n = NULL; (n = hash_each(&s->entries, n));)
        ((struct entry *)n)->present = false;
    s->forgot = false;
    int rc = s->k->ops->dump(s->k, found, s, err);
    return rc < 0 || !s->forgot ? rc : esp_fail(err, -ENOMEM, "kernel policies", "out of memory");
}

// Tables that an earlier run had used without a rule that still leads there are free again.
static void free_tables(struct kset *s)
{
    struct group *g;
    while ((g = LIST_FIRST(&s->left))) {
        LIST_REMOVE(g, link);
        kset_group_drop(s, g);
    }
    memset(s->tables, 0, sizeof(s->tables));
    s->table_hint = 0;
    for (struct hash_node *n = NULL; (n = hash_each(&s->groups, n));)
        kset_table_mark(s, ((struct group *)n)->table, true);
}

void kset_close_lets(struct kset *s)
{
    struct esp_error err;
    struct left *next;
    for (struct left *l = LIST_FIRST(&s->lets); l; l = next) {
        next = LIST_NEXT(l, let);
        kset_entry_close(s, l->entry);
    }
    kset_settle(s, &s->touched, &err);
}

void kset_guard_no_more(struct kset *s)
{
    struct esp_error err;
    if (!s->guards)
        return;
    s->guards = false;
    for (struct hash_node *n = NULL; (n = hash_each(&s->entries, n));) {
        struct entry *e = (struct entry *)n;
        if (!e->left || !e->values)
            continue;
        kset_entry_mine(s, e);
        kset_entry_put_on(s, e, ON_TOUCHED);
    }
    kset_settle(s, &s->touched, &err);
}

unsigned kset_sweep(struct kset *s)
{
    struct esp_error err;
    unsigned count = 0;
    for (struct hash_node *n = NULL; (n = hash_each(&s->entries, n));) {
        struct entry *e = (struct entry *)n;
        if (!e->left)
            continue;
        kset_entry_mine(s, e);
        count += !e->values;
        kset_entry_put_on(s, e, ON_TOUCHED);
    }
    s->swept = true;
    free_tables(s);
    kset_settle(s, &s->touched, &err);
    return count;
}

// ---- repair

static void missing(struct kset *s, struct entry *e)
{
    e->present = false;
    struct kobj wanted;
    if (kset_entry_wanted(s, e, &wanted))
        kset_entry_put_on(s, e, ON_WRONG);
}

static bool is_gone(const struct entry *e, const struct knotice *n)
{
    uint8_t kind = kset_entry_now(e).kind;
    return kind == (n->kind == KNOTE_FLUSHED ? KOBJ_XFRM : KOBJ_ROUTE); // routes go with the TUN
}

bool kset_notice(struct kset *s, const struct knotice *n)
{
    struct entry *e;
    if (n->kind == KNOTE_TUN_DOWN || n->kind == KNOTE_TUN_UP)
        s->tun_down = n->kind == KNOTE_TUN_DOWN;
    switch (n->kind) {
    case KNOTE_OBJECT:
        if ((e = kset_entry_find(s, &n->o)))
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
    return kset_unsettled(s);
}

// A route into the TUN cannot be put back before that is up. Everything else can, and has to be: it is what
// keeps closed meanwhile.
static bool waits_for_tun(const struct kset *s, const struct entry *e)
{
    struct kobj o;
    return s->tun_down && kset_entry_wanted(s, e, &o) && o.kind == KOBJ_ROUTE && o.action == KROUTE_TUN;
}

unsigned kset_repair(struct kset *s, unsigned *failed)
{
    struct esp_error err;
    if (s->lost && look(s, &err) == 0) {
        s->lost = false;
        for (struct hash_node *n = NULL; (n = hash_each(&s->entries, n));)
            if (!kset_entry_settled(s, (struct entry *)n))
                kset_entry_put_on(s, (struct entry *)n, ON_WRONG);
    }
    unsigned were = 0;
    struct entry *next;
    for (struct entry *e = TAILQ_FIRST(&s->wrong); e; e = next) {
        next = TAILQ_NEXT(e, link);
        if (waits_for_tun(s, e))
            continue;
        kset_entry_put_on(s, e, ON_TOUCHED);
        were++;
    }
    *failed = kset_settle(s, &s->touched, &err) + s->lost;
    return were + s->lost; // what could not be looked for counts as one
}

bool kset_unsettled(const struct kset *s)
{
    return s->lost || s->wrong_count > 0;
}

struct kset_counts kset_count(const struct kset *s)
{
    struct kset_counts c = {.wrong = s->wrong_count};
    for (const struct hash_node *n = NULL; (n = hash_each(&s->entries, n));) {
        const struct entry *e = (const struct entry *)n;
        c.objects += e->values != NULL;
        c.found += e->left && !e->values;
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
    s->sources.net = NULL;
    s->sources.count = 0;
    memset(s->sources.preferred, 0, sizeof(s->sources.preferred));
    s->k->ops->addresses(s->k, one_address, &s->sources);
    for (int i = 0; i < 2 && s->o.routes; i++)
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
            kset_refs_drop(s, &now);
            continue;
        }
        kset_refs_drop(s, &h->sources);
        h->sources = now;
    }
    kset_settle(s, &s->touched, &err);
}

void kset_virtual(struct kset *s, const struct addr *a, unsigned count)
{
    s->sources.virtual_count = count < KSET_VIRTUAL_MAX ? count : KSET_VIRTUAL_MAX;
    if (s->sources.virtual_count)
        memcpy(s->sources.virtual_ip, a, s->sources.virtual_count * sizeof(*a));
    kset_addresses_changed(s);
}

// ---- opening and closing

int kset_open(struct kset **out, struct kernel *k, const struct kset_options *o, struct esp_error *err)
{
    struct kset *s = calloc(1, sizeof(*s));
    if (!s)
        return esp_fail(err, -ENOMEM, "kernel policies", "out of memory");
    s->k = k;
    s->o = *o;
    s->guards = o->follows;
    TAILQ_INIT(&s->touched);
    TAILQ_INIT(&s->wrong);
    LIST_INIT(&s->holds);
    LIST_INIT(&s->left);
    LIST_INIT(&s->lets);
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
    kset_entry_put_on(s, e, ON_NONE);
    kset_entry_mine(s, e);
    e->present = false;
}

static void leave_if_unasked(struct kset *s, struct entry *e)
{
    if (e->left && !e->values)
        leave_in_kernel(s, e);
    kset_entry_mine(s, e);
}

// What lets in goes with the hook that it trusts, and what lets out with the interface that it names: another
// one may get the number.
static bool stays(const struct entry *e)
{
    struct kobj o = kset_entry_now(e);
    if (o.kind == KOBJ_HOOK)
        return o.dst_len > 0;
    return o.kind == KOBJ_XFRM && !o.mark_mask && !o.ifindex;
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
        if (stays((struct entry *)n))
            leave_in_kernel(s, (struct entry *)n);
    while ((h = LIST_FIRST(&s->holds)))
        hold_free(s, h);
    kset_settle(s, &s->touched, &err);
    while ((n = hash_pop(&s->entries)))
        free(n);
    while ((n = hash_pop(&s->groups)))
        free(n);
    hash_free(&s->entries);
    hash_free(&s->groups);
    hash_free(&s->lefts);
    free(s->sources.net);
    free(s);
}
