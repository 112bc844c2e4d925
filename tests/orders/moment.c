// SPDX-License-Identifier: Apache-2.0
// What may happen at a moment, as far as it can be told by what is known of both ends and of what is on its
// way.
#include "tests/orders/orders.h"

static const struct end_sa *asks(const struct moment *m, int side, uint64_t spi_i, uint32_t mid)
{
    const struct end *e = m->end[side];
    for (unsigned i = 0; i < e->sas; i++)
        if (e->sa[i].asks && e->sa[i].asked_spi_i == spi_i && e->sa[i].asked_mid == mid)
            return &e->sa[i];
    return NULL;
}

bool moment_asks(const struct moment *m, int side, uint64_t spi_i, uint32_t mid)
{
    return asks(m, side, spi_i, mid) != NULL;
}

static const struct end_sa *taker(const struct moment *m, const struct gram *g)
{
    const struct end *e = m->end[g->to];
    for (unsigned i = 0; i < e->sas; i++)
        if (e->sa[i].spi_i == g->own_spi_i && e->sa[i].spi_r == g->own_spi_r)
            return &e->sa[i];
    return NULL;
}

// That it is lost is no more than that it comes later: what is asked goes out again as it was, that way, and
// what has been answered is answered so again (trial_copies). When that is so no more, it can be lost.
static bool is_late_at_most(const struct moment *m, const struct gram *g)
{
    const struct end_sa *a = asks(m, g->response ? g->to : !g->to, g->spi_i, g->mid);
    const struct end *peer = m->end[!g->to];
    if (!g->response)
        return a && a->request == g->inner && a->way == g->way;
    if (!a)
        return taker(m, g) != NULL; // it is for nobody any more
    for (unsigned i = 0; i < peer->sas; i++)
        if (peer->sa[i].reply == g->inner || peer->sa[i].own_init == g->inner)
            return true;
    return false;
}

// It comes before there is what takes it, and its copy may come behind that.
static bool is_early(const struct moment *m, const struct gram *g)
{
    return g->first || (!g->response && !taker(m, g) && asks(m, !g->to, g->spi_i, g->mid));
}

static bool seen_before(const struct moment *m, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (m->flight[i]->key == m->flight[at]->key)
            return true;
    return false;
}

static void add(struct event_of *e, unsigned max, unsigned *n, struct event_of new)
{
    if (*n < max)
        e[(*n)++] = new;
}

unsigned moment_events(const struct moment *m, struct event_of *e, unsigned max)
{
    unsigned n = 0;
    for (int s = 0; s < 2; s++)
        if (m->sc->acts[s][m->begun[s]])
            add(e, max, &n, (struct event_of){.kind = EV_BEGIN, .side = s});
    for (unsigned i = 0; i < m->in_flight; i++) {
        const struct gram *g = m->flight[i];
        if (seen_before(m, i))
            continue;
        add(e, max, &n, (struct event_of){.kind = EV_ARRIVE, .at = i, .of = g->key});
        if (m->losses && (!m->copies_apart || !is_late_at_most(m, g)))
            add(e, max, &n, (struct event_of){.kind = EV_LOSE, .at = i, .of = g->key});
        if (m->copies && (!m->copies_apart || is_early(m, g)))
            add(e, max, &n, (struct event_of){.kind = EV_KEEP, .at = i, .of = g->key});
    }
    // What is still on its way, and sent again, is a copy: EV_KEEP has that.
    for (unsigned i = 0; i < m->owed_count; i++) {
        const struct end_sa *sa = asks(m, m->owed[i].by, m->owed[i].spi_i, m->owed[i].mid);
        if (sa)
            add(e, max, &n,
                (struct event_of){.kind = EV_AGAIN, .side = m->owed[i].by, .at = sa->id, .of = sa->request});
    }
    return n;
}

bool moment_at_end(const struct moment *m)
{
    return !m->in_flight && !m->sc->acts[0][m->begun[0]] && !m->sc->acts[1][m->begun[1]];
}

int event_side(const struct moment *m, const struct event_of *e)
{
    if (e->kind == EV_LOSE)
        return -1;
    return e->kind == EV_BEGIN || e->kind == EV_AGAIN ? e->side : m->flight[e->at]->to;
}

static void take_out(struct moment *m, unsigned at)
{
    for (m->in_flight--; at < m->in_flight; at++)
        m->flight[at] = m->flight[at + 1];
}

static void not_owed(struct moment *m, int side, uint64_t request)
{
    for (unsigned i = 0; i < m->owed_count; i++) {
        const struct lost *l = &m->owed[i];
        const struct end_sa *sa = l->by == side ? asks(m, side, l->spi_i, l->mid) : NULL;
        if (sa && sa->request == request) {
            m->owed[i] = m->owed[--m->owed_count];
            return;
        }
    }
}

void moment_take(struct moment *m, const struct event_of *e)
{
    const struct gram *g = e->kind == EV_BEGIN || e->kind == EV_AGAIN ? NULL : m->flight[e->at];
    switch (e->kind) {
    case EV_BEGIN: m->begun[e->side]++; break;
    case EV_KEEP: m->copies--; break;
    case EV_ARRIVE: take_out(m, e->at); break;
    case EV_AGAIN: not_owed(m, e->side, e->of); break;
    default:
        m->losses--;
        m->owed[m->owed_count++] = (struct lost){g->spi_i, g->mid, g->response ? g->to : !g->to};
        take_out(m, e->at);
    }
}

// The same is on its way already: as trial_copies shows, it changes nothing.
static bool is_copy(const struct moment *m, const struct gram *g)
{
    for (unsigned i = 0; i < m->in_flight; i++)
        if (m->flight[i]->key == g->key)
            return true;
    return false;
}

bool moment_send(struct moment *m, const struct gram *g)
{
    if (m->copies_apart && is_copy(m, g))
        return true;
    if (m->in_flight == FLIGHT_MAX)
        return false;
    m->flight[m->in_flight++] = g;
    return true;
}
