// SPDX-License-Identifier: Apache-2.0
// Between a packet and its SA's engine: it waits until the SA is there, stands in line until the engine has
// room, and changes the SA or the engine while nobody has sealed it.
#include "ctrl/path/io.h"
#include "ctrl/path/mtu.h"

// What comes back from an engine of this worker has met an SA of its; where another one has its SPI now, that
// one does not know it.
struct child *packet_owner(struct worker *w, const struct packet *pkt)
{
    struct child *c = sadb_by_spi(w->p, pkt->spi);
    return c && c->w == w ? c : NULL;
}

static struct packet_list *backlog_of(struct worker *w, const struct esp_engine *e)
{
    return e == path_card(w->p) ? &w->backlog[PATH_CARD] : &w->backlog[PATH_SOFT];
}

// The SA that a packet was queued for may have left the engine since: the handle is taken when it goes.
static bool still_there(const struct packet *pkt, const struct esp_engine *e)
{
    if (pkt->job.op != ESP_ENCAP)
        return true;
    return pkt->child->out.state == HALF_READY && pkt->child->out.engine == e;
}

// Jobs of one engine go in the order in which they came: what a full engine did not take goes before anything
// newer.
void queue_drain(struct worker *w, struct esp_engine *e)
{
    struct packet_list *l = backlog_of(w, e);
    bool card = e == path_card(w->p);
    while (l->head) {
        struct esp_job *jobs[PATH_BURST];
        unsigned n = 0;
        while (l->head && !still_there(l->head, e))
            queue_put(w, list_pop(l));
        for (struct packet *i = l->head; i && n < PATH_BURST && still_there(i, e); i = i->next) {
            if (card && !packet_lend(w, i))
                break;
            i->job.sa = i->job.op == ESP_ENCAP ? i->child->out.sa : NULL;
            if (i->job.op == ESP_ENCAP && i->child->c.tfc_padding)
                i->job.tfc_max = mtu_padded(w, i->child);
            jobs[n++] = &i->job;
        }
        struct esp_queue *q = path_queue(w, e);
        unsigned taken = n ? q->ops->submit(q, jobs, n) : 0;
        for (unsigned i = 0; i < taken; i++)
            list_pop(l);
        if (taken < n || n == 0)
            return;
    }
}

// New to this process: it may find a queue full. What an engine gave back, or has stood in line, is never
// lost so.
static bool is_new(const struct worker *w, const struct packet *pkt)
{
    return pkt->stamp == w->stamp && !pkt->runs && !pkt->held;
}

static void queue_full(struct worker *w, struct packet *pkt)
{
    w->queue_full++;
    packet_release(w, pkt);
}

void queue_wait(struct worker *w, struct half *h, struct packet *pkt)
{
    packet_off_card(w, pkt);
    if (is_new(w, pkt) && (w->waiting >= PATH_WAITING || h->waiting.count >= PATH_WAITING - w->waiting)) {
        queue_full(w, pkt);
    } else {
        pkt->held = true;
        list_insert(&h->waiting, pkt);
        w->waiting++;
    }
}

static void give_to(struct worker *w, struct half *h, struct packet *pkt)
{
    packet_off_card(w, pkt);
    if (h->engine == path_card(w->p)) {
        if (is_new(w, pkt) && w->on_card >= PATH_ON_CARD) {
            queue_full(w, pkt);
            return;
        }
        pkt->on_card = true;
        w->on_card++;
    }
    pkt->held = true;
    list_push(backlog_of(w, h->engine), pkt);
}

static void give_child(struct worker *w, struct packet *pkt, struct child *c)
{
    struct child *old = pkt->child;
    pkt->child = c;
    c->in_flight++;
    pkt->runs++;
    old->in_flight--;
    if (!w->own.apart)
        sadb_maybe_free(w->p, old);
    else if (old->dying && !old->in_flight)
        w->own.farewells = true;
}

// It has no sequence number: it may leave by another SA of its policy.
enum handed_on queue_hand_on(struct worker *w, struct packet *pkt)
{
    struct child *c = pkt->runs < PATH_RUNS ? outbound_other(w, pkt) : NULL;
    if (!c)
        return STAYS;
    if (c->w != w) {
        pkt->runs++;
        hand_over(w, c->w, pkt, NULL);
        return GONE;
    }
    give_child(w, pkt, c);
    return CHANGED;
}

// Of an SA that is being deleted: what came for it before goes to its successor, or by itself.
static bool takes(const struct child *c, const struct packet *pkt)
{
    return !c->dying || (pkt->job.op == ESP_ENCAP && c->installed);
}

// Queues a packet to the engine that holds its SA; drain_backlog submits. An SA that moves keeps its packets
// waiting.
void queue_put(struct worker *w, struct packet *pkt)
{
    struct half *h;
    packet_take_back(w, pkt);
    if (pkt->job.op == ESP_ENCAP) {
        if ((pkt->child->dying || pkt->child->out.ended) && queue_hand_on(w, pkt) == GONE)
            return;
        h = &pkt->child->out;
    } else {
        struct child *c = sadb_by_spi(w->p, pkt->spi);
        if (!c && early_keep(w, pkt))
            return;
        if (!c) {
            in_unknown(w, pkt);
            io_drop(w, pkt, ESP_STATUS_NO_SA);
            return;
        }
        if (c->w != w) {
            hand_over(w, c->w, pkt, NULL);
            return;
        }
        h = &c->in;
    }
    if (h->child->in_kernel) {
        kernel_esp_packet(w, pkt);
        return;
    }
    bool waits =
        h->state == HALF_ADDING || h->state == HALF_MOVING || (h->state == HALF_READY && h->waiting.count);
    if (h->ended) {
        io_drop(w, pkt, ESP_STATUS_HARD_LIMIT);
    } else if (waits && takes(h->child, pkt)) {
        queue_wait(w, h, pkt);
    } else if (h->state == HALF_READY && takes(h->child, pkt)) {
        give_to(w, h, pkt);
    } else {
        io_drop(w, pkt, ESP_STATUS_SA_INVALID);
    }
}

void io_flush_waiting(struct worker *w, struct half *h)
{
    struct packet *pkt = h->waiting.head;
    struct esp_engine *e = h->engine;
    w->waiting -= h->waiting.count;
    list_init(&h->waiting);
    for (struct packet *next; pkt; pkt = next) { // from here on h may be gone with its last packet
        next = pkt->next;
        queue_put(w, pkt);
    }
    if (e && e->queue)
        queue_drain(w, e);
}

static void move_list(struct packet_list *from, const struct child *c, struct packet_list *to)
{
    struct packet_list rest;
    struct packet *pkt;
    list_init(&rest);
    while ((pkt = list_pop(from)))
        if (pkt->child == c)
            list_insert(to, pkt);
        else
            list_push(&rest, pkt);
    while ((pkt = list_pop(&rest)))
        list_push(from, pkt);
}

void io_move_on(struct worker *w, struct child *c)
{
    struct packet_list mine;
    struct packet *pkt;
    list_init(&mine);
    w->waiting -= c->out.waiting.count;
    move_list(&c->out.waiting, c, &mine);
    for (int i = 0; i < PATH_ENGINES; i++)
        move_list(&w->backlog[i], c, &mine);
    while ((pkt = list_pop(&mine)))
        queue_put(w, pkt);
}
