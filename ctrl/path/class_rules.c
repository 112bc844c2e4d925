// SPDX-License-Identifier: Apache-2.0
// Rules come and go: a policy's selectors in pieces, the prefixes and pairs that they need.
#include <errno.h>
#include <stdlib.h>

#include "ctrl/path/class_rules.h"

// ---- prefixes and pairs

static void length_use(struct class_lengths *l, unsigned length)
{
    unsigned at = 0;
    while (at < l->count && l->length[at] > length)
        at++;
    if (at == l->count || l->length[at] != length) {
        memmove(&l->length[at + 1], &l->length[at], l->count - at);
        memmove(&l->users[at + 1], &l->users[at], (l->count - at) * sizeof(l->users[0]));
        l->length[at] = (uint8_t)length;
        l->users[at] = 0;
        l->count++;
    }
    l->users[at]++;
}

static void length_unuse(struct class_lengths *l, unsigned length)
{
    unsigned at = 0;
    while (l->length[at] != length)
        at++;
    if (--l->users[at])
        return;
    l->count--;
    memmove(&l->length[at], &l->length[at + 1], l->count - at);
    memmove(&l->users[at], &l->users[at + 1], (l->count - at) * sizeof(l->users[0]));
}

struct piece {                      // of a policy: one prefix on each side
    struct class_key local, remote; // of the prefixes
    uint8_t local_length, remote_length;
    bool six;
    struct traffic traffic;
};

static struct class_prefix *prefix_find(const struct classifier *c, struct class_key k)
{
    return class_find(&c->prefixes, k);
}

static bool prefix_want(struct classifier *c, struct class_key k, unsigned length, bool six, bool remote)
{
    if (prefix_find(c, k))
        return true;
    c->prefixes.halves = true;
    if (!class_put(&c->prefixes, k))
        return false;
    length_use(&c->lengths[six][remote], length);
    return true;
}

static void prefix_drop(struct classifier *c, struct class_key k, unsigned length, bool six, bool remote)
{
    struct class_prefix *p = prefix_find(c, k);
    if (!p || p->users)
        return;
    length_unuse(&c->lengths[six][remote], length);
    class_take(&c->prefixes, p);
}

static void prefixes_drop(struct classifier *c, const struct piece *w)
{
    prefix_drop(c, w->local, w->local_length, w->six, false);
    prefix_drop(c, w->remote, w->remote_length, w->six, true);
}

static struct class_pair *pair_of(const struct classifier *c, const struct piece *w)
{
    struct class_key k = pair_key(w->local, w->remote);
    uint64_t hash = class_hash(&c->pairs, k);
    return pair_get(&c->pairs, k, hash, class_aim(&c->pairs, hash), &w->local, &w->remote);
}

static struct class_pair *pair_put(struct classifier *c, const struct piece *w)
{
    struct class_key k = pair_key(w->local, w->remote);
    struct ends *e = w->six ? malloc(sizeof(*e)) : NULL;
    if (w->six && !e)
        return NULL;
    if (e)
        *e = (struct ends){w->local, w->remote};
    k.b = (uintptr_t)e;
    c->pairs.without_b = true;
    struct class_pair *p = class_put(&c->pairs, k);
    if (!p)
        free(e);
    return p;
}

static struct class_pair *pair_want(struct classifier *c, const struct piece *w)
{
    struct class_pair *p = pair_of(c, w);
    if (p)
        return p;
    if (!prefix_want(c, w->local, w->local_length, w->six, false) ||
        !prefix_want(c, w->remote, w->remote_length, w->six, true) || !(p = pair_put(c, w)))
        return NULL;
    struct class_prefix *l = prefix_find(c, w->local), *r = prefix_find(c, w->remote);
    p->best = UINT64_MAX;
    l->users++;
    r->users++;
    class_note(&c->prefixes, l, prefix_bit(class_hash(&c->prefixes, w->remote)));
    class_note(&c->prefixes, r, prefix_bit(class_hash(&c->prefixes, w->local)));
    return p;
}

static void pair_drop(struct classifier *c, struct class_pair *p, const struct piece *w)
{
    if (p->users)
        return;
    class_pair_free(p);
    free((void *)(uintptr_t)p->key.b);
    class_take(&c->pairs, p);
    prefix_find(c, w->local)->users--;
    prefix_find(c, w->remote)->users--;
}

// ---- adding and removing

static int add_piece(struct classifier *c, const struct piece *w, struct class_rule rule)
{
    struct class_pair *p = pair_want(c, w);
    int rc = p ? class_pair_add(c, p, &w->traffic, rule) : -ENOMEM;
    if (rc < 0) {
        prefixes_drop(c, w);
        return rc;
    }
    p->users++;
    c->rules++;
    p->best = rule.rank < p->best ? rule.rank : p->best;
    return 0;
}

static void remove_piece(struct classifier *c, const struct piece *w, struct class_rule rule)
{
    struct class_pair *p = pair_of(c, w);
    class_pair_remove(c, p, &w->traffic, rule);
    p->users--;
    c->rules--;
    pair_drop(c, p, w);
    prefixes_drop(c, w);
}

// Goes through the pieces of a policy's selectors, always in the same order.
struct walk {
    struct classifier *c;
    struct class_rule rule;
    const struct ts *local, *remote;
    struct piece piece;
    bool add;
    unsigned done, limit; // pieces
    unsigned cells;       // that they make where pairs are of many
    int rc;
};

static void far_prefix(void *ctx, const uint8_t *addr, unsigned length)
{
    struct walk *k = ctx;
    k->piece.remote = prefix_key(address_key(addr, k->piece.six), length, k->piece.six, true);
    k->piece.remote_length = (uint8_t)length;
    if (k->rc < 0 || k->done == k->limit)
        return;
    if (!k->add)
        remove_piece(k->c, &k->piece, k->rule);
    else if ((k->cells += class_cells(&k->piece.traffic)) > CLASS_RULES_MAX)
        k->rc = -E2BIG;
    else
        k->rc = add_piece(k->c, &k->piece, k->rule);
    k->done += k->rc == 0;
}

static void near_prefix(void *ctx, const uint8_t *addr, unsigned length)
{
    struct walk *k = ctx;
    k->piece.local = prefix_key(address_key(addr, k->piece.six), length, k->piece.six, false);
    k->piece.local_length = (uint8_t)length;
    ts_prefixes(k->remote, far_prefix, k);
}

static void walk(struct walk *k, struct selectors local, struct selectors remote)
{
    for (unsigned i = 0; i < local.count; i++) {
        for (unsigned j = 0; j < remote.count && k->rc == 0; j++) {
            k->local = &local.t[i];
            k->remote = &remote.t[j];
            if (!k->local->family || k->local->family != k->remote->family ||
                (k->local->proto && k->remote->proto && k->local->proto != k->remote->proto))
                continue;
            k->piece.six = k->local->family == 6;
            k->piece.traffic =
                (struct traffic){k->local->proto ? k->local->proto : k->remote->proto, k->local->port_lo,
                                 k->local->port_hi, k->remote->port_lo, k->remote->port_hi};
            ts_prefixes(k->local, near_prefix, k);
        }
    }
}

int classifier_add(struct classifier *c, struct selectors local, struct selectors remote,
                   struct class_rule rule, struct esp_error *err)
{
    struct walk k = {.c = c, .rule = rule, .add = true, .limit = UINT32_MAX};
    char text[128];
    walk(&k, local, remote);
    if (k.rc == 0)
        return 0;
    struct walk back = {.c = c, .rule = rule, .limit = k.done};
    walk(&back, local, remote);
    if (k.rc == -E2BIG)
        return esp_fail(err, k.rc, "selectors", "%.100s splits into more than %d prefixes and port blocks",
                        ts_print(k.remote, text, sizeof(text)), CLASS_RULES_MAX);
    return esp_fail(err, k.rc, "selectors", "out of memory");
}

void classifier_remove(struct classifier *c, struct selectors local, struct selectors remote,
                       struct class_rule rule)
{
    struct walk k = {.c = c, .rule = rule, .limit = UINT32_MAX};
    walk(&k, local, remote);
}

void classifier_free(struct classifier *c)
{
    class_table_free(&c->prefixes);
    class_table_free(&c->pairs);
    class_table_free(&c->cells);
}
