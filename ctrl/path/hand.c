// SPDX-License-Identifier: Apache-2.0
// See hand.h.
#include "ctrl/path/hand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/io.h"
#include "ctrl/path/sadb.h"

_Static_assert((HANDS & (HANDS - 1)) == 0, "the ring is a power of two");

int hand_open(struct worker *w)
{
    if (w->p->workers == 1)
        return 0;
    w->hand = calloc(w->p->workers, sizeof(*w->hand));
    return w->hand ? 0 : -ENOMEM;
}

void hand_close(struct worker *w)
{
    free(w->hand);
    w->hand = NULL;
}

// ---- whose

// In threads of their own they are all but the first, which is control's.
static struct worker *one_of(struct path *p, uint64_t bucket)
{
    unsigned from = p->crew.apart ? 1 : 0;
    return &p->worker[from + bucket % (p->workers - from)];
}

// Eight bits of the inbound SPI, which is drawn at random, say it, so that who receives a packet can see it
// in the packet. A card has one queue, which is the first worker's, and so are its SAs.
struct worker *hand_owner(struct path *p, const struct child *c)
{
    enum offload_mode mode;
    if (p->workers == 1 || (sadb_want_card(p, c, &mode) && path_card(p)))
        return p->worker;
    return one_of(p, c->c.spi_in & 0xff);
}

struct worker *hand_for_fragments(struct path *p, const struct fields *f)
{
    uint64_t h = f->id, some;
    for (size_t i = 0; i < sizeof(f->src); i += sizeof(some)) {
        memcpy(&some, f->src + i, sizeof(some));
        h = hash_u64(h ^ some);
        memcpy(&some, f->dst + i, sizeof(some));
        h = hash_u64(h ^ some);
    }
    return one_of(p, h >> 32);
}

// ---- giving

// Of half a worker's packets: with none left it could take nothing either, and two that wait for each other's
// packets would wait for ever.
static uint32_t hand_room(const struct path *p)
{
    uint32_t each = PATH_JOBS / 2 / (p->workers - 1);
    return each < HANDS ? each : HANDS;
}

static void reclaim(struct worker *w, struct hand_ring *r)
{
    uint32_t taken = atomic_load(&r->taken); // after it was said that no packet is free
    while (r->back != taken)
        packet_release(w, r->slot[r->back++ & (HANDS - 1)].pkt);
}

void hand_reclaim(struct worker *w)
{
    for (unsigned i = 0; w->hand && i < w->p->workers; i++)
        if (i != w->index)
            reclaim(w, &w->p->worker[i].hand[w->index]);
}

static struct fields look_at(struct worker *w, const struct packet *pkt)
{
    struct fields f = {0};
    bool ip = pkt->job.op == ESP_ENCAP && fields_parse(pkt->job.in, pkt->job.in_len, &f);
    f.vti = pkt->vti;
    if (ip && f.later && f.unseen)
        fragment_fill(&w->flows, &f, false, loop_now(w->p->loop));
    return f;
}

void hand_over(struct worker *w, struct worker *to, struct packet *pkt, const struct fields *f)
{
    struct hand_ring *r = &to->hand[w->index];
    uint32_t given = atomic_load_explicit(&r->given, memory_order_relaxed);
    reclaim(w, r);
    packet_leave(w, pkt);
    if (given - r->back >= hand_room(w->p) || pkt->hops >= HAND_HOPS) {
        w->hand_full++;
        packet_release(w, pkt);
        return;
    }
    r->slot[given & (HANDS - 1)] = (struct hand){pkt, f ? *f : look_at(w, pkt)};
    atomic_store_explicit(&r->given, given + 1, memory_order_release);
    w->handed_over++;
    w->own.gave |= 1u << to->index;
}

// ---- taking

static uint32_t waiting(const struct hand_ring *r)
{
    return atomic_load_explicit(&r->given, memory_order_acquire) -
           atomic_load_explicit(&r->taken, memory_order_relaxed);
}

bool hand_waits(const struct worker *w)
{
    for (unsigned i = 0; w->hand && w->free && i < w->p->workers; i++)
        if (waiting(&w->hand[i]))
            return true;
    return false;
}

static void copy(struct packet *to, const struct packet *from)
{
    to->job.op = from->job.op;
    to->job.in_len = from->job.in_len;
    to->spi = from->spi;
    to->vti = from->vti;
    to->runs = from->runs;
    to->hops = from->hops + 1;
    memcpy(to->job.in, from->job.in, from->job.in_len);
}

struct taken { // of a burst
    unsigned in, out;
    struct packet *pkt_in[PATH_BURST], *pkt_out[PATH_BURST];
    uint32_t spi[PATH_BURST];
    struct look_up l[PATH_BURST];
};

static void take_out(struct taken *t, struct packet *pkt, const struct fields *f)
{
    struct look_up *l = &t->l[t->out];
    look_up_out(l, pkt->job.in, pkt->job.in_len, pkt->vti);
    if (l->ip && f->later && f->ports && !f->unseen)
        l->f = *f;
    t->pkt_out[t->out++] = pkt;
}

static void take_in(struct taken *t, struct packet *pkt)
{
    t->spi[t->in] = pkt->spi;
    t->pkt_in[t->in++] = pkt;
}

static unsigned copy_burst(struct worker *w, struct hand_ring *r, struct taken *t)
{
    uint32_t at = atomic_load_explicit(&r->taken, memory_order_relaxed), n = waiting(r), i = 0;
    struct packet *pkt;
    t->in = t->out = 0;
    for (; i < n && i < PATH_BURST && (pkt = packet_get(w)); i++) {
        const struct hand *h = &r->slot[(at + i) & (HANDS - 1)];
        copy(pkt, h->pkt);
        if (pkt->job.op == ESP_ENCAP)
            take_out(t, pkt, &h->f);
        else
            take_in(t, pkt);
    }
    atomic_store(&r->taken, at + i); // before it is looked whether somebody waits for that
    return i;
}

static void take_from(struct worker *w, struct worker *from)
{
    struct hand_ring *r = &w->hand[from->index];
    struct taken t;
    while (waiting(r) && copy_burst(w, r, &t)) {
        out_looked_at(w, t.pkt_out, t.l, t.out);
        look_up_spis(w->p, t.spi, t.in);
        for (unsigned i = 0; i < t.in; i++) {
            packet_arrives(w, t.pkt_in[i]);
            queue_put(w, t.pkt_in[i]);
        }
        if (atomic_load(&from->own.starved))
            w->own.gave |= 1u << from->index; // its packets back
    }
}

void hand_take(struct worker *w)
{
    for (unsigned i = 0; w->hand && i < w->p->workers; i++)
        if (i != w->index)
            take_from(w, &w->p->worker[i]);
}
