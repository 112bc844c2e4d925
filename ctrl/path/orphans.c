// SPDX-License-Identifier: Apache-2.0
// Later fragments that have come before their first one, which alone shows the ports that decide (stateful
// fragment checking, RFC 4301 section 7.3): a few wait for it a while. Then they are dropped, as that section
// has it: without their first one they are nobody's. So is the oldest where too many wait; where more than
// half of these are one SA's it is one of those, whoever the one that comes is of.
#include "ctrl/path/io.h"

enum { ORPHANS = 64, ORPHAN_MS = 1000 };

static void drop(struct worker *w, struct packet *pkt, uint64_t *why)
{
    struct child *c = pkt->job.op == ESP_DECAP ? packet_owner(w, pkt) : NULL;
    ++*why;
    if (c)
        c->in.drops++;
    io_drop(w, pkt, ESP_STATUS_POLICY);
}

// By the same SA, or both out of a TUN.
static bool alike(const struct packet *a, const struct packet *b)
{
    return a->job.op == b->job.op && (a->job.op == ESP_ENCAP ? a->vti == b->vti : a->spi == b->spi);
}

static struct packet *take_out(struct packet_list *l, const struct packet *pkt)
{
    struct packet_list rest;
    struct packet *found = NULL, *one;
    list_init(&rest);
    while ((one = list_pop(l)))
        if (!found && alike(one, pkt))
            found = one;
        else
            list_push(&rest, one);
    *l = rest;
    return found;
}

// One of whom more than half of them are, and pkt with them; NULL: there is nobody.
static const struct packet *crowder(const struct packet_list *l, const struct packet *pkt)
{
    const struct packet *who = pkt;
    unsigned lead = 1, his = 0;
    for (const struct packet *i = l->head; i; i = i->next) { // who has most of them is left in the end
        if (!lead)
            who = i;
        lead += !lead || alike(i, who) ? 1 : -1u;
    }
    for (const struct packet *i = l->head; i; i = i->next)
        his += alike(i, who);
    return 2 * (his + alike(pkt, who)) > ORPHANS + 1 ? who : NULL;
}

static void make_room(struct worker *w, const struct packet *pkt)
{
    const struct packet *who = crowder(&w->orphans, pkt);
    drop(w, who ? take_out(&w->orphans, who) : list_pop(&w->orphans), &w->orphans_displaced);
}

void orphan_keep(struct worker *w, struct packet *pkt)
{
    packet_off_card(w, pkt);
    if (w->orphans.count == ORPHANS)
        make_room(w, pkt);
    pkt->since = loop_now(w->p->loop);
    list_push(&w->orphans, pkt);
}

void orphans_expire(struct worker *w, uint64_t now)
{
    while (w->orphans.head && now - w->orphans.head->since >= ORPHAN_MS)
        drop(w, list_pop(&w->orphans), &w->orphans_late);
}

static bool belongs(struct worker *w, const struct packet *pkt, const struct fields *first, bool inbound)
{
    struct fields f;
    const uint8_t *p = inbound ? pkt->job.out : pkt->job.in;
    if (inbound != (pkt->job.op == ESP_DECAP))
        return false;
    if (!fields_parse(p, inbound ? pkt->job.out_len : pkt->job.in_len, &f))
        return false;
    f.vti = inbound ? vti_of_spi(w->p, pkt->spi) : pkt->vti;
    return fields_one_packet(&f, first);
}

void orphans_found(struct worker *w, const struct fields *first, bool inbound)
{
    struct packet_list rest, found;
    struct packet *pkt;
    if (!w->orphans.count)
        return;
    list_init(&rest);
    list_init(&found);
    while ((pkt = list_pop(&w->orphans)))
        list_push(belongs(w, pkt, first, inbound) ? &found : &rest, pkt);
    while ((pkt = list_pop(&rest)))
        list_push(&w->orphans, pkt);
    while ((pkt = list_pop(&found))) {
        struct look_up l;
        if (inbound) {
            look_up_in(&l, pkt->job.out, pkt->job.out_len, pkt->spi, first->vti);
            in_take(w, pkt, &l);
        } else {
            look_up_out(&l, pkt->job.in, pkt->job.in_len, pkt->vti);
            out_take(w, pkt, &l);
        }
    }
}
