// SPDX-License-Identifier: Apache-2.0
// See look_up.h.
#include "ctrl/path/look_up.h"

#include <string.h>

#include "ctrl/path/path.h"

static void begin(struct look_up *l, const uint8_t *packet, uint32_t len, uint8_t vti)
{
    l->ip = fields_parse(packet, len, &l->f);
    l->f.vti = vti;
    l->verdict = SPD_NONE;
    l->policy = NULL;
    l->generation = 0;
    l->flow = NULL;
}

void look_up_out(struct look_up *l, const uint8_t *packet, uint32_t len, uint8_t vti)
{
    begin(l, packet, len, vti);
    l->inbound = false;
}

void look_up_in(struct look_up *l, const uint8_t *packet, uint32_t len, uint32_t spi, uint8_t vti)
{
    begin(l, packet, len, vti);
    l->inbound = true;
    l->spi = spi;
}

static enum spd_verdict verdict(const struct class_match *m, struct policy **out)
{
    *out = m->of;
    if (m->could < m->rank && !m->hidden)
        return SPD_UNCLEAR;
    return m->of ? SPD_FOUND : SPD_NONE;
}

enum spd_verdict look_up_afresh(struct worker *w, struct fields *f, bool inbound, struct policy **out)
{
    const struct classifier *c = spd_classes(&w->p->spd, f->vti);
    struct class_match m = classifier_find(c, f, inbound);
    enum spd_verdict v = verdict(&m, out);
    if (v != SPD_UNCLEAR || !f->later)
        return v;
    fragment_fill(&w->flows, f, inbound, loop_now(w->p->loop));
    if (f->unseen)
        return v;
    m = classifier_find(c, f, inbound);
    return verdict(&m, out);
}

// ---- a burst

struct burst {
    struct look_up *of[CLASS_BURST]; // those that nothing is remembered of
    struct class_query query[CLASS_BURST];
    unsigned count;
};

// Packets of one flow mostly come together.
static void ask_for_flow(struct worker *w, struct look_up *l, const struct look_up *before)
{
    if (l->inbound)
        sadb_ask(w->p, l->spi);
    if (!l->ip || l->f.unseen)
        return;
    if (before && before->flow && before->inbound == l->inbound &&
        !memcmp(&before->f, &l->f, FIELDS_FLOW_LEN)) {
        l->flow = before->flow;
        return;
    }
    l->flow = flow_slot(&w->flows, &l->f, l->inbound);
    __builtin_prefetch(l->flow);
}

static void remember(struct worker *w, struct look_up *l, uint64_t generation, struct burst *b)
{
    const struct flow *s = l->flow;
    if (l->inbound)
        sadb_ask_child(w->p, l->spi);
    if (!s)
        return;
    if (!flow_hit(s, &l->f, l->inbound, generation)) {
        w->flows.misses++;
        b->query[b->count] = (struct class_query){.f = &l->f, .reverse = l->inbound};
        b->of[b->count++] = l;
        return;
    }
    w->flows.hits++;
    l->policy = s->policy;
    l->verdict = l->policy ? SPD_FOUND : SPD_NONE;
    l->generation = generation;
    __builtin_prefetch(l->policy);
}

// Those that came one after the other by one TUN together.
static void find(const struct spd *s, struct burst *b)
{
    for (unsigned from = 0, to; from < b->count; from = to) {
        uint8_t vti = b->of[from]->f.vti;
        for (to = from + 1; to < b->count && b->of[to]->f.vti == vti;)
            to++;
        classifier_find_burst(spd_classes(s, vti), b->query + from, to - from);
    }
}

static void keep(struct look_up *l, const struct class_match *m, uint64_t generation)
{
    flow_keep(l->flow, &l->f, l->inbound, generation, m->of);
    l->verdict = verdict(m, &l->policy);
    l->generation = generation;
}

static void ask_for_sa(const struct look_up *l)
{
    if (l->verdict == SPD_FOUND && !l->inbound && l->policy->sas)
        child_ask(l->policy->sas);
}

void look_up_burst(struct worker *w, struct look_up *l, unsigned n)
{
    uint64_t generation = w->p->spd.generation + 1; // 0 is an empty slot's
    for (unsigned at = 0, some; at < n; at += some) {
        struct burst b;
        b.count = 0;
        some = n - at < CLASS_BURST ? n - at : CLASS_BURST;
        for (unsigned i = at; i < at + some; i++)
            ask_for_flow(w, &l[i], i ? &l[i - 1] : NULL);
        for (unsigned i = at; i < at + some; i++)
            remember(w, &l[i], generation, &b);
        find(&w->p->spd, &b);
        for (unsigned i = 0; i < b.count; i++)
            keep(b.of[i], &b.query[i].m, generation);
        for (unsigned i = at; i < at + some; i++)
            ask_for_sa(&l[i]);
    }
}

enum spd_verdict look_up_policy(struct worker *w, struct look_up *l, struct policy **out)
{
    if (l->f.unseen)
        return look_up_afresh(w, &l->f, l->inbound, out);
    if (l->generation != w->p->spd.generation + 1) // policies have come or gone since
        look_up_burst(w, l, 1);
    *out = l->policy;
    return l->verdict;
}

// What was unloaded and loaded again, or edited, may have SAs of both editions for a while: the peer uses
// either.
static bool one_child(const struct policy *a, const struct policy *b)
{
    return a == b || (a->action == POLICY_PROTECT && b->action == POLICY_PROTECT &&
                      !strcmp(policy_conn(a), policy_conn(b)) && !strcmp(policy_child(a), policy_child(b)));
}

bool look_up_lets_in(struct worker *w, const struct child *c, struct look_up *l)
{
    struct policy *pol;
    if (!l->ip || !c->policy || look_up_policy(w, l, &pol) != SPD_FOUND)
        return false;
    if (pol == policy_now(c->policy)) // whose selectors are the SA's
        return true;
    const struct policy *met = policy_base(pol), *its = policy_base(c->policy);
    return (one_child(met, its) || (child_conceals(c) && heir_is_sibling(met, its)) ||
            (!met->loaded && its->loaded && heir_equals(met, its))) &&
           selectors_hold(policy_remote(c->policy), policy_local(c->policy), &l->f);
}

void look_up_spis(const struct path *p, const uint32_t *spi, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        sadb_ask(p, spi[i]);
    for (unsigned i = 0; i < n; i++)
        sadb_ask_child(p, spi[i]);
}
