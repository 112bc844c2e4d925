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

// What has a number here is known by its SPI: in which order the numbers were given matters to nobody.
static uint64_t child_named(struct ike *ike, uint32_t id)
{
    const struct child_sa *c = id ? child_by_id(ike, id) : NULL;
    return c ? c->spi_in : id != 0;
}

static uint64_t sa_named(struct ike *ike, uint32_t id)
{
    const struct ike_sa *sa = id ? sa_by_id(ike, id) : NULL;
    return sa ? sa_own_spi(sa) : id != 0;
}

static uint64_t task_of(uint64_t h, const struct task *t)
{
    for (; t; t = t->next)
        h = number(number(number(h, t->kind + 1u), child_named(t->sa->ike, t->child_id)), t->spi);
    return number(h, 0);
}

static uint64_t child_of(uint64_t h, const struct child_sa *c)
{
    const struct rekey_race *race = create_child_race(c->sa, c->id);
    struct ike *ike = c->sa->ike;
    h = number(h, c->state);
    h = number(number(number(h, c->spi_in), c->spi_out), c->job);
    h = number(number(number(h, child_named(ike, c->successor)), child_named(ike, c->out_after)),
               c->announced | c->replaced << 1 | c->moved << 2 | c->refused << 3 | c->unwanted << 4 |
                   (c->loser != 0) << 5);
    h = number(number(number(h, c->rekey_at), c->life_at), c->out_at);
    h = number(h, race ? child_named(ike, race->child_id) + race->taken_back : 0);
    return timer_of(h, &c->timer);
}

// What an IKE SA is being made for.
static uint64_t made_for(uint64_t h, const struct ike_sa *sa)
{
    for (const char *name = "cde"; *name; name++)
        h = number(h, create_child_on_its_way(sa, (char[]){*name, 0}));
    if (!sa->hs || !sa->hs->later->child)
        return number(h, 0);
    return number(hash_more(h, sa->hs->later->child->name, strlen(sa->hs->later->child->name)),
                  1 + sa->hs->later->unwanted);
}

// A request of the peer may come again: it is on its way, or may be sent again.
static bool comes_again(const struct trial *t, int side, const struct ike_sa *sa)
{
    struct reader r;
    for (unsigned i = 0; i < t->in_flight; i++) {
        const struct flight *f = t->flight[i];
        r = reader_of(slice_of(f->data, f->len));
        if (f->to == side && !(f->data[19] & 0x20) && rd_u64(&r) == sa->spi_i &&
            (f->data[23] == ((sa->in_mid - 1) & 0xff)))
            return true;
    }
    for (const struct ike_sa *o = t->p->s[!side].ike->sas; o; o = o->next)
        if (o->request && o->spi_i == sa->spi_i && o->out_mid == sa->in_mid - 1)
            return true;
    return false;
}

static uint64_t sa_of(uint64_t h, const struct trial *t, int side, const struct ike_sa *sa)
{
    h = number(number(h, sa->state), sa->job);
    h = number(number(number(h, sa->spi_i), sa->spi_r), sa->initiator);
    h = number(number(number(h, sa->in_mid), sa->out_mid), sa_named(sa->ike, sa->later->waits_for));
    h = number(h, sa->replaced | sa->successor << 1 | sa->wanted_new << 2 | sa->retired << 3 |
                      sa->alone << 4 | sa->later->mobike.untold << 5 | sa->later->mobike.check << 6 |
                      sa->later->mobike.moved << 7);
    h = number(number(h, sa_named(sa->ike, sa->replaces)), sa->later->rekey_at);
    h = address(address(h, &sa->path.local), &sa->path.remote);
    h = number(h, sa->request ? trial_opened(t, sa->request, sa->request_len) : 0);
    h = number(h, sa->reply && comes_again(t, side, sa) ? trial_opened(t, sa->reply, sa->reply_len) : 0);
    h = task_of(task_of(task_of(task_of(h, sa->active), sa->passive), sa->parked), sa->queue);
    h = made_for(h, sa);
    h = number(timer_of(timer_of(h, &sa->life), &sa->later->aging), sa->without_memory);
    for (const struct child_sa *c = sa->children; c; c = c->next)
        h = child_of(h, c);
    return number(h, 0);
}

static uint64_t path_of(uint64_t h, const struct side *s)
{
    for (unsigned i = 0; i < s->sa_count; i++)
        if (!s->sas[i].deleted)
            h = number(number(h, s->sas[i].child.spi_in), child_named(s->ike, s->sas[i].child.out_after));
    return address(number(h, s->refuse_next), &s->source);
}

static uint64_t end_of(uint64_t h, const struct trial *t, int side)
{
    const struct side *s = &t->p->s[side];
    const struct ike *ike = s->ike;
    h = number(number(h, table_count(&ike->pending)), table_count(&ike->revives));
    for (const struct ike_sa *sa = ike->sas; sa; sa = sa->next)
        h = sa_of(h, t, side, sa);
    for (const struct job *j = ike->jobs; j; j = j->next)
        h = number(number(number(h, j->kind + 1u), sa_named(s->ike, j->sa_id)), j->remaining);
    return path_of(h, s);
}

uint64_t state_hash(const struct trial *t)
{
    uint64_t h = number(number(1, t->losses), t->copies), flight = 0, owed = 0;
    for (unsigned i = 0; i < t->owed_count; i++)
        if (trial_asks(t, t->owed[i].by, t->owed[i].spi_i, t->owed[i].mid))
            owed += number(number(number(1, t->owed[i].spi_i), t->owed[i].mid), (unsigned)t->owed[i].by);
    h = number(h, owed);
    for (int s = 0; s < 2; s++)
        h = end_of(number(h, t->begun[s]), t, s);
    for (unsigned i = 0; i < t->in_flight; i++) { // in no order
        const struct flight *f = t->flight[i];
        uint64_t inner = number(trial_opened(t, f->data, f->len), (unsigned)f->to);
        flight += address(address(inner, &f->path.local), &f->path.remote);
    }
    h = number(h, flight);
    return h ? h : 1;
}
