// SPDX-License-Identifier: Apache-2.0
// Dummy packets (RFC 4303 section 2.6; swanctl.conf's tfc_dummies): an SA that has sent nothing for its share
// of a second sends one, as long as its padded packets, so that who looks on the way cannot tell by silence
// that there is nothing to say. They are no use of the SA: it is idle as long as without them, and lasts as
// many packets and octets. Of several SAs of a policy the one that sends does so.
#include "ctrl/path/io.h"

enum { SECOND_MS = 1000 };

// One that moves, or has packets that wait, is not silent for want of packets.
static bool may(const struct path *p, const struct child *c)
{
    const struct half *h = &c->out;
    return h->state == HALF_READY && h->engine == path_soft(p) && !h->waiting.count;
}

static void fill(struct worker *w, struct child *c)
{
    struct packet *pkt = packet_get(w);
    if (!pkt)
        return;
    pkt->job.op = ESP_ENCAP;
    pkt->job.dummy = true;
    pkt->job.in_len = pkt->inner_len = 0;
    pkt->child = c;
    c->in_flight++;
    packet_arrives(w, pkt);
    queue_put(w, pkt);
    if (w->own.apart)
        crew_ring(w);
}

static void look(struct timer *t)
{
    struct child *c = t->ctx;
    struct path *p = c->w->p;
    struct child_dummies *d = child_dummies(c);
    uint64_t now = loop_now(p->loop), step = SECOND_MS / c->c.tfc_dummies;
    bool silent = c->out.packets == d->packets;
    d->packets = c->out.packets;
    d->due = d->due + step > now ? d->due + step : now + step; // what was missed is not made up for
    timer_set(p->loop, t, d->due);
    if (silent && may(p, c) && outbound_is(p, c))
        fill(c->w, c);
}

void dummies_start(struct path *p, struct child *c)
{
    struct child_dummies *d = child_dummies(c);
    if (!d)
        return;
    d->due = loop_now(p->loop) + SECOND_MS / c->c.tfc_dummies;
    d->timer = (struct timer){.fire = look, .ctx = c};
    timer_set(p->loop, &d->timer, d->due);
}

void dummies_stop(struct path *p, struct child *c)
{
    if (child_dummies(c))
        timer_stop(p->loop, &child_dummies(c)->timer);
}

void dummy_sealed(struct worker *w, struct half *h, const struct packet *pkt)
{
    w->dummies++;
    child_dummies(h->child)->sent++;
    limit_dummy(h, pkt->job.out_len, pkt->job.seq);
}
