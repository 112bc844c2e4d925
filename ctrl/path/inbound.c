// SPDX-License-Identifier: Apache-2.0
// The way in, from the engine on: what came out of an SA goes by its policy and selectors to the TUN. Up to
// there it is arrivals.c.
#include "ctrl/path/io.h"
#include "ctrl/path/mtu.h"
#include "ctrl/path/outer.h"

static void traffic_event(struct worker *w, struct child *c)
{
    uint64_t now = w->now;
    c->in.used_at = now;
    if (now - c->traffic_event_at < 1000)
        return;
    if (note_to_ike(w, MSG_CHILD_EVENT,
                    &(struct msg_CHILD_EVENT){.child_id = c->c.child_id, .event = CHILD_EVENT_TRAFFIC_IN}))
        c->traffic_event_at = now;
}

// RFC 7296 section 2.23: the newest authenticated packet came from elsewhere. ike decides. A NAT's mapping is
// one of UDP: the same octets as plain ESP, which anybody on the way can make of them, say nothing of it.
static void rebound_event(struct worker *w, struct child *c, const struct packet *pkt)
{
    struct outer o;
    uint64_t now = loop_now(w->p->loop);
    if ((c->rebound_event_at && now - c->rebound_event_at < 1000) ||
        !outer_look(pkt->job.in, pkt->job.in_len, &o) || !o.udp || !o.sport)
        return;
    if (note_to_ike(w, MSG_CHILD_EVENT,
                    &(struct msg_CHILD_EVENT){.child_id = c->c.child_id,
                                              .event = CHILD_EVENT_REBOUND,
                                              .remote = o.src,
                                              .remote_port = o.sport}))
        c->rebound_event_at = now;
}

enum { UNKNOWN_A_SECOND = 10 };

// Whose SPI it is ike does not know either, or whether it is one that has just gone; it may tell the peer.
void in_unknown(struct worker *w, const struct packet *pkt)
{
    struct outer o;
    uint64_t second = loop_now(w->p->loop) / 1000;
    if (second != w->unknown_second) {
        w->unknown_second = second;
        w->unknown_in_second = 0;
    }
    if (w->unknown_in_second++ >= UNKNOWN_A_SECOND || !outer_look(pkt->job.in, pkt->job.in_len, &o))
        return;
    note_of_stranger(
        w, MSG_UNKNOWN_SPI,
        &(struct msg_UNKNOWN_SPI){
            .spi = pkt->spi, .local = o.dst, .remote = o.src, .remote_port = o.sport, .udp = o.udp});
}

enum entry { REFUSED, LET_IN, UNKNOWN }; // UNKNOWN: its first fragment decides, which has not come

static enum entry judge(struct worker *w, const struct child *c, struct look_up *l)
{
    if (look_up_lets_in(w, c, l))
        return LET_IN;
    return l->ip && l->f.later && l->f.unseen ? UNKNOWN : REFUSED;
}

static void let_in(struct worker *w, struct child *c, struct packet *pkt)
{
    c->in.packets++;
    c->in.bytes += pkt->job.out_len;
    pkt->opened_by->packets_in++;
    pkt->opened_by->bytes_in += pkt->job.out_len;
    if (c->vti && w->p->ways && vti_way_takes(w, c->vti, pkt->job.out, pkt->job.out_len)) {
        packet_release(w, pkt);
        return;
    }
    mtu_clamp(w, c, pkt->job.out, pkt->job.out_len);
    tun_put(w, c->vti, pkt->job.out, pkt->job.out_len);
    packet_release(w, pkt);
}

void in_take(struct worker *w, struct packet *pkt, struct look_up *l)
{
    struct child *c = packet_owner(w, pkt);
    enum entry e = c ? judge(w, c, l) : REFUSED;
    if (c && e == LET_IN) {
        bool first = l->f.first && l->f.ports;
        if (first)
            fragment_keep(&w->flows, &l->f, true, loop_now(w->p->loop));
        let_in(w, c, pkt);
        if (first)
            orphans_found(w, &l->f, true);
    } else if (e == UNKNOWN) {
        orphan_keep(w, pkt);
    } else {
        if (c)
            c->in.drops++;
        io_drop(w, pkt, ESP_STATUS_POLICY);
    }
}

void in_done(struct worker *w, struct esp_engine *e, struct packet *pkt, struct look_up *l)
{
    struct child *c = packet_owner(w, pkt);
    if (!c || pkt->job.status != ESP_STATUS_OK) {
        if (c && pkt->job.status != ESP_STATUS_DUMMY) // nothing is lost
            c->in.drops++;
        if (c && pkt->job.status == ESP_STATUS_ICV_FAIL)
            limit_forged(&c->in, 1);
        io_drop(w, pkt, c || pkt->job.status != ESP_STATUS_OK ? pkt->job.status : ESP_STATUS_NO_SA);
        return;
    }
    traffic_event(w, c);
    limit_count(&c->in, pkt->job.out_len, pkt->job.seq);
    if (!c->aside && c->out_after)
        c->out_after = 0; // its peer has it, and sends by it
    if (pkt->job.seq > c->in.last_seq) {
        c->in.last_seq = pkt->job.seq;
        if (pkt->job.src_changed)
            rebound_event(w, c, pkt);
    }
    pkt->opened_by = io_count(w, e);
    in_take(w, pkt, l);
}
