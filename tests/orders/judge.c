// SPDX-License-Identifier: Apache-2.0
// What must hold: at every moment, and when all has come to rest. Each invariant's name stands first.
//   nonce        no IV twice under one key of an IKE SA, no key twice for a CHILD SA (trial.c)
//   copy         whatever has arrived may come again at any moment: it is answered by what was sent before,
//   or
//                by nothing, and changes nothing (trial.c)
//   heard        no end sends into a CHILD SA that its peer does not receive by, unless one was deleted
//   rest         no exchange, question, job or timer is left at either end: nothing is sent for ever
//   agreement    both ends have the same IKE and CHILD SAs: SPIs, keys, and which CHILD is whose
//   one          one IKE SA, and one of each CHILD SA that was wanted and not deleted
//   leak         ike, keys and path hold nothing that belongs to no SA
#include <stdio.h>

#include "ctrl/ike/jobs.h"
#include "ctrl/keys/room.h"
#include "tests/orders/orders.h"

static unsigned acts_of(const struct trial *t, const char *letters)
{
    unsigned n = 0;
    for (int s = 0; s < 2; s++)
        for (const char *a = t->sc->acts[s]; *a; a++)
            n += strchr(letters, *a) != NULL;
    return n;
}

// --- at every moment ---

static const struct path_sa *sa_of(const struct side *s, uint32_t id)
{
    for (unsigned i = 0; i < s->sa_count; i++)
        if (s->sas[i].child.child_id == id && !s->sas[i].deleted)
            return &s->sas[i];
    return NULL;
}

// As path does it: the newest, but for what it has to wait for.
static bool may_send(const struct path_sa *c)
{
    return c && !c->deleted && c->child.out_after != c->child.child_id;
}

static const struct path_sa *sender(const struct side *s, const char *name)
{
    const struct path_sa *c = NULL;
    for (unsigned i = s->sa_count; i > 0 && !c; i--)
        c = may_send(&s->sas[i - 1]) && strcmp(s->sas[i - 1].child.name, name) == 0 ? &s->sas[i - 1] : NULL;
    while (c && c->child.out_after && may_send(sa_of(s, c->child.out_after)))
        c = sa_of(s, c->child.out_after);
    return c;
}

void judge_carriers(const struct side *s, struct end *e)
{
    const struct path_sa *c = sender(s, "c");
    e->sends_by = c ? c->child.spi_out : 0;
    for (unsigned i = 0; i < s->sa_count; i++)
        if (!s->sas[i].deleted)
            e->receives_by[e->receives++] = s->sas[i].child.spi_in;
}

static bool receives(const struct end *e, uint32_t spi)
{
    for (unsigned i = 0; i < e->receives; i++)
        if (e->receives_by[i] == spi)
            return true;
    return false;
}

static bool heard(const struct end *const end[2], char *why, size_t n)
{
    for (int i = 0; i < 2; i++) {
        if (!end[i]->sends_by)
            snprintf(why, n, "side %d has nothing to send by", i);
        else if (!receives(end[!i], end[i]->sends_by))
            snprintf(why, n, "side %d sends by %08x, which its peer does not have", i, end[i]->sends_by);
        else
            continue;
        return false;
    }
    return true;
}

static bool answered(const struct moment *m, char *why, size_t n)
{
    for (int i = 0; i < 2; i++)
        for (unsigned k = 0; k < m->end[i]->unanswered; k++) {
            const struct unanswered *u = &m->end[i]->without[k];
            if (!moment_asks(m, !i, u->spi_i, u->mid))
                continue;
            snprintf(why, n, "side %d does not answer message %u, that came again", i, u->mid);
            return false;
        }
    return true;
}

static bool may_end(const struct scenario *sc)
{
    return strpbrk(sc->acts[0], ACT_ENDS) || strpbrk(sc->acts[1], ACT_ENDS);
}

const char *judge_ends(const struct moment *m, char *why, size_t n)
{
    if (!may_end(m->sc) && !heard(m->end, why, n))
        return "heard";
    return answered(m, why, n) ? NULL : "copy";
}

void judge_moment(struct trial *t)
{
    struct moment_room r;
    char why[WHY_MAX];
    const char *invariant = judge_ends(moment_of(t, &r), why, sizeof(why));
    if (invariant)
        trial_fail(t, invariant, "%s", why);
}

// --- at rest ---

static void rest(struct trial *t, int side)
{
    const struct ike *ike = t->p->s[side].ike;
    for (const struct ike_sa *sa = ike->sas; sa; sa = sa->next) {
        if (sa->state != SA_ESTABLISHED)
            trial_fail(t, "rest", "side %d: IKE SA [%u] is in state %d", side, sa->id, (int)sa->state);
        if (sa->active || sa->passive || sa->parked || sa->queue || sa->request)
            trial_fail(t, "rest", "side %d: IKE SA [%u] is still at work on %s", side, sa->id,
                       sa->active ? sa->active->ops->name : "an exchange");
        for (const struct child_sa *c = sa->children; c; c = c->next)
            if (c->state != CHILD_INSTALLED)
                trial_fail(t, "rest", "side %d: CHILD SA {%u} is in state %d", side, c->id, (int)c->state);
    }
    if (ike->jobs)
        trial_fail(t, "rest", "side %d: an operator still waits for an answer", side);
    if (table_count(&ike->revives))
        trial_fail(t, "rest", "side %d: something is still to be made again", side);
    if (!trial_begins_anew(t->sc) && loop_next_timer(t->p->loop) != UINT64_MAX)
        trial_fail(t, "rest", "a timer still runs");
}

static void leak(struct trial *t, int side)
{
    const struct side *s = &t->p->s[side];
    const struct ike *ike = s->ike;
    unsigned children = 0, sas = 0;
    for (const struct ike_sa *sa = ike->sas; sa; sa = sa->next, sas++)
        for (const struct child_sa *c = sa->children; c; c = c->next) {
            children++;
            if (!sa_of(s, c->id))
                trial_fail(t, "leak", "side %d: path does not have CHILD SA {%u}", side, c->id);
        }
    if (sas != ike->sa_count || table_count(&ike->by_id) != sas || table_count(&ike->by_spi) != sas ||
        ike->dead || ike->half_open_count)
        trial_fail(t, "leak", "side %d: IKE SAs that are in some tables only", side);
    if (table_count(&ike->pending) || table_count(&ike->tasks))
        trial_fail(t, "leak", "side %d: %zu questions and %zu tasks are left", side,
                   table_count(&ike->pending), table_count(&ike->tasks));
    if (table_count(&ike->children) != children || table_count(&ike->spis) != children ||
        pair_live(&t->p->s[side]) != children)
        trial_fail(t, "leak", "side %d: %u CHILD SAs, %zu in the table, %u at path", side, children,
                   table_count(&ike->children), pair_live(&t->p->s[side]));
    const struct keys *k = s->keys;
    if (table_count(&k->ikes) != sas || table_count(&k->installs) || table_count(&k->kex.entries))
        trial_fail(t, "leak", "side %d: keys has %zu IKE SAs of %u, %zu installs, %zu key exchanges", side,
                   table_count(&k->ikes), sas, table_count(&k->installs), table_count(&k->kex.entries));
}

static const struct ike_sa *same_sa(const struct side *s, const struct ike_sa *of)
{
    for (const struct ike_sa *sa = s->ike->sas; sa; sa = sa->next)
        if (sa->spi_i == of->spi_i && sa->spi_r == of->spi_r && sa->initiator != of->initiator)
            return sa;
    return NULL;
}

static const struct child_sa *same_child(const struct ike_sa *sa, const struct child_sa *of)
{
    for (const struct child_sa *c = sa->children; c; c = c->next)
        if (c->spi_in == of->spi_out && c->spi_out == of->spi_in && strcmp(c->cfg->name, of->cfg->name) == 0)
            return c;
    return NULL;
}

static bool same_keys(const struct path_sa *a, const struct path_sa *b)
{
    return a && b && a->key_len == b->key_len && memcmp(a->key_out, b->key_in, a->key_len) == 0 &&
           memcmp(a->key_in, b->key_out, a->key_len) == 0;
}

static void agreement(struct trial *t, int side)
{
    const struct side *s = &t->p->s[side], *peer = &t->p->s[!side];
    for (const struct ike_sa *sa = s->ike->sas; sa; sa = sa->next) {
        const struct ike_sa *its = same_sa(peer, sa);
        if (!its) {
            trial_fail(t, "agreement", "side %d has IKE SA [%u], its peer has not", side, sa->id);
            return;
        }
        if (sa->in_mid != its->out_mid)
            trial_fail(t, "agreement", "side %d expects message %u, its peer would send %u", side, sa->in_mid,
                       its->out_mid);
        if (!addr_eq(&sa->path.remote, &its->path.local))
            trial_fail(t, "agreement", "side %d does not send to where its peer is", side);
        for (const struct child_sa *c = sa->children; c; c = c->next) {
            const struct child_sa *other = same_child(its, c);
            if (!other)
                trial_fail(t, "agreement", "side %d has CHILD SA %08x on IKE SA [%u], its peer has not", side,
                           c->spi_in, sa->id);
            else if (!same_keys(sa_of(s, c->id), sa_of(peer, other->id)))
                trial_fail(t, "agreement", "the keys of CHILD SA %08x differ", c->spi_in);
        }
    }
}

static unsigned count_of(const struct side *s, const char *name)
{
    unsigned n = 0;
    for (const struct ike_sa *sa = s->ike->sas; sa; sa = sa->next)
        for (const struct child_sa *c = sa->children; c; c = c->next)
            n += strcmp(c->cfg->name, name) == 0;
    return n;
}

static void one(struct trial *t)
{
    const struct side *s = &t->p->s[0];
    unsigned c = count_of(s, "c"), d = count_of(s, "d"), e = count_of(s, "e"), made = acts_of(t, "n");
    if (s->ike->sa_count > 1 || (!acts_of(t, "D") && s->ike->sa_count != 1))
        trial_fail(t, "one", "there are %u IKE SAs", s->ike->sa_count);
    if (c > 1 || (acts_of(t, "dfz") && c) || (!acts_of(t, ACT_ENDS) && c != 1))
        trial_fail(t, "one", "there are %u of the CHILD SA that was there first", c);
    if (d > 1 || (!acts_of(t, "D") && d != 1))
        trial_fail(t, "one", "there are %u of the CHILD SA that nobody touched", d);
    if (e > made || (made && !acts_of(t, "Dx") && e < 1))
        trial_fail(t, "one", "there are %u of the CHILD SA that was made %u times", e, made);
}

void judge_rest(struct trial *t)
{
    for (int s = 0; s < 2; s++)
        rest(t, s);
    for (int s = 0; s < 2; s++)
        agreement(t, s);
    one(t);
    for (int s = 0; s < 2; s++)
        leak(t, s);
    judge_moment(t);
}
