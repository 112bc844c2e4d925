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

static uint64_t way_of(const struct addr *local, const struct addr *remote)
{
    return address(address(1, local), remote);
}

static uint32_t mid_of(const uint8_t *message)
{
    struct reader r = reader_of(slice_of(message + 20, 4));
    return rd_u32(&r);
}

static uint64_t spi_of(const uint8_t *message)
{
    uint64_t v;
    memcpy(&v, message, sizeof(v));
    return v;
}

static uint64_t sealed(const struct trial *t, const uint8_t *message, size_t len)
{
    return message && len ? trial_opened(t, message, len) : 0;
}

// All but the answer that it keeps: that counts where it can still be asked for.
static uint64_t hash_sa(const struct ike_sa *sa, uint64_t request)
{
    uint64_t h = number(number(1, sa->state), sa->job);
    h = number(number(number(h, sa->spi_i), sa->spi_r), sa->initiator);
    h = number(number(number(h, sa->in_mid), sa->out_mid), sa_named(sa->ike, sa->later->waits_for));
    h = number(h, sa->replaced | sa->successor << 1 | sa->wanted_new << 2 | sa->retired << 3 |
                      sa->alone << 4 | sa->later->mobike.untold << 5 | sa->later->mobike.check << 6 |
                      sa->later->mobike.moved << 7);
    h = number(number(h, sa_named(sa->ike, sa->replaces)), sa->later->rekey_at);
    h = address(address(h, &sa->path.local), &sa->path.remote);
    h = number(h, request);
    h = task_of(task_of(task_of(task_of(h, sa->active), sa->passive), sa->parked), sa->queue);
    h = number(made_for(h, sa), create_child_heard(sa));
    h = number(timer_of(timer_of(h, &sa->life), &sa->later->aging), sa->without_memory);
    for (const struct child_sa *c = sa->children; c; c = c->next)
        h = child_of(h, c);
    return number(h, 0);
}

static void view_sa(const struct trial *t, const struct ike_sa *sa, struct end_sa *v)
{
    *v = (struct end_sa){
        .spi_i = sa->spi_i, .spi_r = sa->spi_r, .in_mid = sa->in_mid, .out_mid = sa->out_mid, .id = sa->id};
    v->request = sealed(t, sa->request, sa->request_len);
    v->way = way_of(&sa->path.remote, &sa->path.local);
    v->reply = sealed(t, sa->reply, sa->reply_len);
    if (sa->hs && !sa->initiator)
        v->own_init = sealed(t, sa->hs->own_init, sa->hs->own_init_len);
    v->asks = v->request && sa->request_len >= 28;
    if (v->asks) {
        v->asked_spi_i = spi_of(sa->request);
        v->asked_mid = mid_of(sa->request);
    }
    v->hash = hash_sa(sa, v->request);
}

static uint64_t path_of(uint64_t h, const struct side *s)
{
    for (unsigned i = 0; i < s->sa_count; i++)
        if (!s->sas[i].deleted)
            h = number(number(h, s->sas[i].child.spi_in), child_named(s->ike, s->sas[i].child.out_after));
    return address(number(h, s->refuse_next), &s->source);
}

// What random numbers will be drawn there, and how many errors it may still say to those whom it does not
// know. Moments are the same without that: nothing else depends on it.
static uint64_t drawn(const struct trial *t, int side)
{
    const struct ike *ike = t->p->s[side].ike;
    uint64_t sum = ike->error_count;
    for (unsigned i = 0; i < ANSWER_SLOTS; i++)
        if (ike->answers[i].count)
            sum += number(number(1, i), ike->answers[i].count);
    for (unsigned i = 0; i < t->cause_count; i++)
        if (t->causes[i].side == side)
            sum += number(t->causes[i].of, t->causes[i].times);
    return sum;
}

void end_of(struct trial *t, int side, struct end *e)
{
    const struct side *s = &t->p->s[side];
    const struct ike *ike = s->ike;
    memset(e, 0, sizeof(*e));
    e->head = number(number(1, table_count(&ike->pending)), table_count(&ike->revives));
    for (const struct ike_sa *sa = ike->sas; sa; sa = sa->next) {
        if (e->sas == END_SAS) {
            trial_fail(t, "room", "there is room for %d IKE SAs", END_SAS);
            break;
        }
        view_sa(t, sa, &e->sa[e->sas++]);
    }
    e->tail = 1;
    for (const struct job *j = ike->jobs; j; j = j->next)
        e->tail = number(number(number(e->tail, j->kind + 1u), sa_named(s->ike, j->sa_id)), j->remaining);
    e->tail = path_of(e->tail, s);
    judge_carriers(s, e);
    e->key = number(number(number(t->sc->seed, (unsigned)side), trial_begins_anew(t->sc)), e->head);
    for (unsigned i = 0; i < e->sas; i++)
        e->key = number(number(number(e->key, e->sa[i].hash), e->sa[i].reply), e->sa[i].own_init);
    e->key = number(number(e->key, e->tail), drawn(t, side));
}

void gram_of(const struct trial *t, const struct flight *f, struct gram *g)
{
    struct reader r = reader_of(slice_of(f->data, f->len));
    *g = (struct gram){.to = f->to, .mid = mid_of(f->data), .spi_i = spi_of(f->data)};
    g->own_spi_i = rd_u64(&r);
    g->own_spi_r = rd_u64(&r);
    g->response = f->data[19] & 0x20;
    g->first = f->data[18] == EX_SA_INIT;
    g->inner = trial_opened(t, f->data, f->len);
    g->way = way_of(&f->path.local, &f->path.remote);
    g->key = number(number(number(1, g->inner), g->way), (unsigned)g->to);
}

const struct moment *moment_of(struct trial *t, struct moment_room *r)
{
    struct moment *m = &r->m;
    *m = (struct moment){.sc = t->sc,
                         .losses = t->losses,
                         .copies = t->copies,
                         .in_flight = t->in_flight,
                         .owed_count = t->owed_count,
                         .copies_apart = t->copies_apart};
    for (int side = 0; side < 2; side++) {
        end_of(t, side, &r->end[side]);
        m->end[side] = &r->end[side];
        m->begun[side] = t->begun[side];
    }
    for (unsigned i = 0; i < t->in_flight; i++) {
        gram_of(t, t->flight[i], &r->gram[i]);
        m->flight[i] = &r->gram[i];
    }
    memcpy(m->owed, t->owed, sizeof(m->owed));
    return m;
}

// A request of the peer may come again: it is on its way, or may be sent again.
static bool comes_again(const struct moment *m, int side, const struct end_sa *sa)
{
    const struct end *peer = m->end[!side];
    for (unsigned i = 0; i < m->in_flight; i++) {
        const struct gram *g = m->flight[i];
        if (g->to == side && !g->response && g->own_spi_i == sa->spi_i &&
            ((g->mid ^ (sa->in_mid - 1)) & 0xff) == 0)
            return true;
    }
    for (unsigned i = 0; i < peer->sas; i++)
        if (peer->sa[i].request && peer->sa[i].spi_i == sa->spi_i && peer->sa[i].out_mid == sa->in_mid - 1)
            return true;
    return false;
}

uint64_t moment_hash(const struct moment *m)
{
    uint64_t h = number(number(1, m->losses), m->copies), flight = 0, owed = 0;
    for (unsigned i = 0; i < m->owed_count; i++)
        if (moment_asks(m, m->owed[i].by, m->owed[i].spi_i, m->owed[i].mid))
            owed += number(number(number(1, m->owed[i].spi_i), m->owed[i].mid), (unsigned)m->owed[i].by);
    h = number(h, owed);
    for (int s = 0; s < 2; s++) {
        const struct end *e = m->end[s];
        h = number(number(h, m->begun[s]), e->head);
        for (unsigned i = 0; i < e->sas; i++)
            h = number(number(h, e->sa[i].hash), comes_again(m, s, &e->sa[i]) ? e->sa[i].reply : 0);
        h = number(h, e->tail);
    }
    for (unsigned i = 0; i < m->in_flight; i++) // in no order
        flight += m->flight[i]->key;
    h = number(h, flight);
    return h ? h : 1;
}

uint64_t state_hash(struct trial *t)
{
    struct moment_room r;
    return moment_hash(moment_of(t, &r));
}
