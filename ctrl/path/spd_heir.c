// SPDX-License-Identifier: Apache-2.0
// Policies that are unloaded and loaded again, or renamed, while SAs serve them. Of two that are equal and
// for the same peer the loaded one is in force: it stands where either stood, has the SAs of both, and the
// other one goes on as a number that SAs and ike know it by. Packets meet one policy, whatever the names.
// Nothing is opened by that: what met the old one meets the new one, which has the same selectors. Where
// memory is wanting both stay in force as they are.
//
// Where the loaded one is for another peer (its file says another remote side, certificates, a PPK), the old
// one goes on until the loaded one has an SA. From then on nothing is sent by the old one's SAs, nor by what
// they are rekeyed to, and what their peer still sends by them is let in: whoever is not to go on is
// terminated. Of a policy whose selectors are an SA's own (dynamic, or given by a pool) this is not so: its
// peers have different ones.
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/path.h"

// ---- lists

void policy_link(struct policy_link **list, struct policy_link *l)
{
    *l = (struct policy_link){.next = *list, .at = list};
    if (l->next)
        l->next->at = &l->next;
    *list = l;
}

void policy_unlink(struct policy_link *l)
{
    if (!l->at)
        return;
    *l->at = l->next;
    if (l->next)
        l->next->at = l->at;
    *l = (struct policy_link){0};
}

// ---- twins

static uint64_t twin_hash(const struct policy *pol)
{
    uint8_t kind[] = {pol->action, pol->mode, pol->given, pol->vti};
    uint64_t h = hash_bytes(pol->dynamic || pol->given ? policy_peer(pol) : 0, kind, sizeof(kind));
    h = hash_bytes(h, policy_local(pol).t, pol->local_count * sizeof(struct ts));
    return hash_bytes(h, policy_remote(pol).t, pol->remote_count * sizeof(struct ts));
}

static bool same_side(struct selectors a, struct selectors b)
{
    bool eq = a.count == b.count;
    for (unsigned i = 0; eq && i < a.count; i++)
        eq = ts_eq(&a.t[i], &b.t[i]);
    return eq;
}

static bool same_selectors(const struct policy *a, const struct policy *b)
{
    return same_side(policy_local(a), policy_local(b)) && same_side(policy_remote(a), policy_remote(b));
}

void heir_forget(struct spd *s, struct policy *pol)
{
    if (!pol->whole)
        return;
    hash_del(&s->twins, &pol->whole->twin_node);
    pol->whole->twin_node = (struct hash_node){0};
}

// Without memory it is not found, and has no heir.
void heir_list(struct spd *s, struct policy *pol)
{
    heir_forget(s, pol);
    if (policy_peer(pol) && pol->action == POLICY_PROTECT && !pol->into)
        (void)hash_add(&s->twins, &pol->whole->twin_node, twin_hash(pol));
}

static struct policy *of_twin_node(struct hash_node *n)
{
    return ((struct policy_whole *)(void *)((char *)n - offsetof(struct policy_whole, twin_node)))->pol;
}

bool heir_equals(const struct policy *a, const struct policy *b)
{
    return policy_peer(a) && policy_peer(b) && a->action == b->action && a->mode == b->mode &&
           a->given == b->given && a->vti == b->vti && same_selectors(a, b);
}

bool policy_sends(const struct policy *pol)
{
    for (const struct child *c = pol->sas; c; c = c->serves_next)
        if (c->installed && !c->dying)
            return true;
    for (const struct policy_link *l = policy_instances(pol); l; l = l->next)
        if (policy_sends(policy_of_instance(l)))
            return true;
    return false;
}

// Of the same peer; of another one, of which the loaded one has an SA; of another one.
enum kin { OWN, ANOTHERS_IN_USE, ANOTHERS };

static bool is_kin(const struct policy *pol, const struct policy *t, enum kin kin)
{
    if (kin == OWN)
        return policy_peer(t) == policy_peer(pol);
    return policy_peer(t) != policy_peer(pol) && !pol->given && !pol->dynamic &&
           (kin == ANOTHERS || policy_sends(pol->loaded ? pol : t));
}

// The first one in force that is, or is not, loaded.
static struct policy *twin_of(const struct spd *s, const struct policy *pol, bool loaded, enum kin kin)
{
    struct policy *first = NULL;
    if (!pol->whole || !pol->whole->twin_node.one.hash || pol->into)
        return NULL;
    for (struct hash_node *n = hash_first(&s->twins, pol->whole->twin_node.one.hash); n; n = hash_next(n)) {
        struct policy *t = of_twin_node(n);
        if (t != pol && t->loaded == loaded && heir_equals(t, pol) && (!first || t->rank < first->rank) &&
            is_kin(pol, t, kin))
            first = t;
    }
    return first;
}

bool heir_is_sibling(const struct policy *a, const struct policy *b)
{
    return a->loaded && b->loaded && !a->into && !b->into && policy_peer(a) == policy_peer(b) &&
           heir_equals(a, b) && !strcmp(policy_conn(a), policy_conn(b));
}

struct policy *heir_sibling_with_sas(const struct spd *s, const struct policy *pol)
{
    struct policy *first = NULL;
    if (!pol->whole || !pol->whole->twin_node.one.hash)
        return NULL;
    for (struct hash_node *n = hash_first(&s->twins, pol->whole->twin_node.one.hash); n; n = hash_next(n)) {
        struct policy *t = of_twin_node(n);
        if (t != pol && t->sas && heir_is_sibling(t, pol) && (!first || t->rank < first->rank))
            first = t;
    }
    return first;
}

// ---- ranks

struct family {
    struct policy **p; // what is in force
    unsigned count, room;
};

static void gather(struct family *f, struct policy *base)
{
    for (struct policy_link *l = policy_instances(base); l; l = l->next, f->count++)
        if (f->count < f->room)
            f->p[f->count] = policy_of_instance(l);
    for (struct policy_link *l = base->heirs_of; l; l = l->next)
        gather(f, policy_of_heir(l));
}

// The heir, and all instances of both. False: no memory.
static bool family_of(struct family *f, struct policy *old, struct policy *heir)
{
    for (int twice = 0; twice < 2; twice++) {
        f->count = 0;
        gather(f, old);
        gather(f, heir);
        if (!f->p)
            f->p = calloc(f->room = f->count + 1, sizeof(struct policy *));
        if (!f->p)
            return false;
    }
    f->p[f->count++] = heir;
    return true;
}

static uint64_t rank_in(const struct policy *pol, const struct policy *heir, uint64_t rank)
{
    return pol == heir ? rank : spd_instance_rank(heir, rank);
}

static bool moves(const struct policy *pol, uint64_t to)
{
    return pol->classified && pol->rank != to;
}

// In both places, and then in the new one alone. False: no memory, and nothing has changed.
static bool rank_all(struct spd *s, const struct family *f, const struct policy *heir, uint64_t rank)
{
    struct esp_error err = {0};
    unsigned n = 0;
    bool good = true;
    for (; n < f->count && good; n++) {
        struct policy *pol = f->p[n];
        uint64_t to = rank_in(pol, heir, rank);
        good = !moves(pol, to) || classifier_add(spd_classes_of(s, pol), policy_local(pol),
                                                 policy_remote(pol), (struct class_rule){to, pol}, &err) == 0;
    }
    for (unsigned i = 0; i < (good ? n : n - 1); i++) {
        struct policy *pol = f->p[i];
        uint64_t to = rank_in(pol, heir, rank), gone = good ? pol->rank : to;
        if (moves(pol, to))
            classifier_remove(spd_classes_of(s, pol), policy_local(pol), policy_remote(pol),
                              (struct class_rule){gone, pol});
        pol->rank = good ? to : pol->rank;
    }
    return good;
}

// Where either stands first, unless an edit has given it another place.
static uint64_t rank_for(const struct policy *old, const struct policy *heir)
{
    return old->rank >> 32 == heir->rank >> 32 && old->rank < heir->rank ? old->rank : heir->rank;
}

// ---- what takes over

static void hand_over_sas(struct policy *old, struct policy *heir) // the newest first
{
    struct child **at = &heir->sas;
    for (struct child *c; (c = old->sas);) {
        old->sas = c->serves_next;
        while (*at && (*at)->c.child_id > c->c.child_id)
            at = &(*at)->serves_next;
        c->serves_next = *at;
        c->serves_at = at;
        if (*at)
            (*at)->serves_at = &c->serves_next;
        *at = c;
        at = &c->serves_next;
    }
}

static void take_over(struct spd *s, struct policy *old, struct policy *heir)
{
    heir->sa_count += old->sa_count;
    for (struct policy_link *l; (l = old->heirs_of);) {
        struct policy *older = policy_of_heir(l);
        policy_unlink(l);
        old->sa_count -= older->sa_count;
        older->into = heir;
        policy_link(&heir->heirs_of, &older->heir);
    }
    hand_over_sas(old, heir);
    old->into = heir;
    policy_link(&heir->heirs_of, &old->heir);
    heir_forget(s, old);
    spd_unclassify(s, old);
    s->generation++;
}

static struct policy *equal_instance(const struct spd *s, struct policy *base, const struct policy *like)
{
    struct selectors local = policy_local(like), remote = policy_remote(like);
    struct policy *i = spd_instance(s, base, local, remote);
    for (struct policy_link *l = base->heirs_of; l && !i; l = l->next)
        i = spd_instance(s, policy_of_heir(l), local, remote);
    return i ? policy_now(i) : NULL;
}

void heir_of_instance(const struct spd *s, struct policy *pol)
{
    struct policy *base = policy_base(pol), *i = equal_instance(s, base, pol);
    if (!i)
        return;
    pol->into = i;
    policy_link(&i->heirs_of, &pol->heir);
}

// Equal ones become one: that which packets meet.
static void instances_of(struct path *p, struct policy *old, struct policy *heir)
{
    for (struct policy_link *l = policy_instances(old), *next; l; l = next) {
        struct policy *i = policy_of_instance(l), *k = i->into ? NULL : equal_instance(&p->spd, heir, i);
        next = l->next;
        if (k)
            take_over(&p->spd, k->classified ? i : k, k->classified ? k : i);
    }
}

// They receive what their peer sends, and send nothing.
static void silence(struct path *p, struct policy *pol)
{
    while (pol->sas)
        spd_retire(p, pol->sas);
    for (struct policy_link *l = policy_instances(pol); l; l = l->next)
        silence(p, policy_of_instance(l));
    for (struct policy_link *l = pol->heirs_of; l; l = l->next)
        silence(p, policy_of_heir(l));
}

static void give_way(struct path *p, struct policy *old, const struct policy *heir)
{
    LOGF(KNL, 1,
         "policy %s/%s has an SA: from now on nothing is sent by the SAs that %s/%s had for another peer",
         policy_conn(heir), policy_child(heir), policy_conn(old), policy_child(old));
    silence(p, old);
}

static bool inherit(struct path *p, struct policy *old, struct policy *heir)
{
    struct family f = {0};
    bool good = family_of(&f, old, heir) && rank_all(&p->spd, &f, heir, rank_for(old, heir));
    if (good && policy_peer(old) != policy_peer(heir))
        give_way(p, old, heir);
    if (good) {
        instances_of(p, old, heir);
        for (struct policy_link *l = old->heirs_of; l; l = l->next)
            instances_of(p, policy_of_heir(l), heir);
        take_over(&p->spd, old, heir);
        spd_drop_unneeded(p, old);
    }
    free(f.p);
    return good;
}

static struct policy *heir_of(const struct spd *s, struct policy *pol, enum kin kin, struct policy **old)
{
    *old = pol->loaded ? twin_of(s, pol, false, kin) : pol;
    return *old ? twin_of(s, *old, true, kin) : NULL;
}

static bool settle_one(struct path *p, struct policy *pol)
{
    struct policy *old, *heir = heir_of(&p->spd, pol, OWN, &old);
    if (!heir)
        heir = heir_of(&p->spd, pol, ANOTHERS_IN_USE, &old);
    return heir && inherit(p, old, heir);
}

static void tell_who_waits(struct path *p, struct policy *pol)
{
    struct policy *old, *heir = heir_of(&p->spd, pol, ANOTHERS, &old);
    if (heir && old->sa_count && !old->into)
        LOGF(KNL, 1,
             "policy %s/%s is for another peer than %s/%s was, whose SAs go on until it has one; "
             "swanctl --terminate ends them",
             policy_conn(heir), policy_child(heir), policy_conn(old), policy_child(old));
}

void heir_settle(struct path *p, const char *conn)
{
    struct policy *i = spd_first_of_conn(&p->spd, conn);
    while (i) // one may have left
        i = settle_one(p, i) ? spd_first_of_conn(&p->spd, conn) : spd_next_of_conn(i);
    for (i = spd_first_of_conn(&p->spd, conn); i; i = spd_next_of_conn(i))
        tell_who_waits(p, i);
}

void heir_serves(struct path *p, const struct child *c)
{
    struct policy *pol = c->policy ? policy_base(c->policy) : NULL;
    while (pol && pol->loaded && settle_one(p, pol)) // each of them leaves
        ;
}

bool heir_silent(const struct policy *pol)
{
    const struct policy *own = pol->of ? pol->of : pol;
    return own->into && policy_peer(own->into) != policy_peer(own);
}
