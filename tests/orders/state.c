// SPDX-License-Identifier: Apache-2.0
// When two states are the same: all that decides what either end will do, what is on its way, and what is
// left to begin. Time stands still, and each end has random numbers of its own, so that what happens at one
// end and what happens at the other commute to the octet.
#include "ctrl/ike/create_child.h"
#include "ctrl/ike/jobs.h"
#include "tests/orders/orders.h"

uint64_t hash_more(uint64_t h, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (h ^= n; n; n -= n < 8 ? n : 8, b += 8) {
        uint64_t v = 0;
        memcpy(&v, b, n < 8 ? n : 8);
        h = (h ^ v) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h;
}

static uint64_t number(uint64_t h, uint64_t v)
{
    return hash_more(h, &v, sizeof(v));
}

static uint64_t address(uint64_t h, const struct addr *a)
{
    return hash_more(number(h, a->family), a->a, sizeof(a->a));
}

static uint64_t timer_of(uint64_t h, const struct timer *t)
{
    return number(h, t->armed ? t->at : 0);
}

static uint64_t task_of(uint64_t h, const struct task *t)
{
    for (; t; t = t->next)
        h = number(number(number(h, t->kind + 1u), t->child_id), t->spi);
    return number(h, 0);
}

static uint64_t child_of(uint64_t h, const struct child_sa *c)
{
    const struct rekey_race *race = create_child_race(c->sa, c->id);
    h = number(number(number(h, c->id), c->state), c->reqid);
    h = number(number(number(h, c->spi_in), c->spi_out), c->job);
    h = number(number(number(h, c->successor), c->out_after),
               c->announced | c->replaced << 1 | c->moved << 2);
    h = number(number(number(h, c->rekey_at), c->life_at), c->out_at);
    return timer_of(number(h, race ? race->child_id : 0), &c->timer);
}

static uint64_t sa_of(uint64_t h, const struct ike_sa *sa)
{
    h = number(number(number(h, sa->id), sa->state), sa->job);
    h = number(number(number(h, sa->spi_i), sa->spi_r), sa->initiator);
    h = number(number(number(h, sa->in_mid), sa->out_mid), sa->waits_for);
    h = number(h, sa->replaced | sa->successor << 1 | sa->wanted_new << 2 | sa->retired << 3 |
                      sa->alone << 4 | sa->mobike.untold << 5 | sa->mobike.check << 6 |
                      sa->mobike.moved << 7);
    h = number(number(h, sa->replaces), sa->rekey_at);
    h = address(address(h, &sa->path.local), &sa->path.remote);
    h = hash_more(h, sa->request, sa->request ? sa->request_len : 0);
    h = hash_more(h, sa->reply, sa->reply ? sa->reply_len : 0);
    h = hash_more(h, sa->in_hash, sizeof(sa->in_hash));
    h = task_of(task_of(task_of(task_of(h, sa->active), sa->passive), sa->parked), sa->queue);
    h = timer_of(timer_of(timer_of(h, &sa->life), &sa->aging), &sa->without_memory);
    for (const struct child_sa *c = sa->children; c; c = c->next)
        h = child_of(h, c);
    return number(h, 0);
}

static uint64_t path_of(uint64_t h, const struct side *s)
{
    for (unsigned i = 0; i < s->sa_count; i++)
        if (!s->sas[i].deleted)
            h = number(number(h, s->sas[i].child.child_id), s->sas[i].child.out_after);
    return address(h, &s->source);
}

static uint64_t end_of(uint64_t h, const struct trial *t, int side)
{
    const struct side *s = &t->p->s[side];
    const struct ike *ike = s->ike;
    h = hash_more(h, &t->rng[side], sizeof(t->rng[side]));
    h = number(number(number(h, ike->next_id), ike->next_child), table_count(&ike->pending));
    h = number(h, table_count(&ike->revives));
    for (const struct ike_sa *sa = ike->sas; sa; sa = sa->next)
        h = sa_of(h, sa);
    for (const struct job *j = ike->jobs; j; j = j->next)
        h = number(number(number(h, j->kind + 1u), j->sa_id), j->remaining);
    return path_of(h, s);
}

uint64_t state_hash(const struct trial *t)
{
    uint64_t h = number(number(number(1, t->losses), t->copies), t->owed), flight = 0;
    for (int s = 0; s < 2; s++)
        h = end_of(number(h, t->begun[s]), t, s);
    for (unsigned i = 0; i < t->in_flight; i++) { // in no order
        const struct flight *f = t->flight[i];
        flight += address(address(f->hash, &f->path.local), &f->path.remote);
    }
    h = number(h, flight);
    return h ? h : 1;
}
