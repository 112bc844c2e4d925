// SPDX-License-Identifier: Apache-2.0
// Later fragments that have come before their first one, which alone shows the ports that decide (RFC 4301
// section 7): a few wait for it a while. Then, or when too many wait, they are dropped, the oldest first.
#include "ctrl/path/io.h"

enum { ORPHANS = 64, ORPHAN_MS = 1000 };

static void drop_oldest(struct worker *w)
{
    io_drop(w, list_pop(&w->orphans), ESP_STATUS_POLICY);
}

void orphan_keep(struct worker *w, struct packet *pkt)
{
    packet_off_card(w, pkt);
    if (w->orphans.count == ORPHANS)
        drop_oldest(w);
    pkt->since = loop_now(w->p->loop);
    list_push(&w->orphans, pkt);
}

void orphans_expire(struct worker *w, uint64_t now)
{
    while (w->orphans.head && now - w->orphans.head->since >= ORPHAN_MS)
        drop_oldest(w);
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
