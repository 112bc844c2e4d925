// SPDX-License-Identifier: Apache-2.0
// Packets' memory: where one comes from and goes to, what of it a card may reach, and lists of them.
#include <string.h>
#include <sys/epoll.h>

#include "ctrl/path/io.h"

void list_init(struct packet_list *l)
{
    *l = (struct packet_list){0};
}

void list_push(struct packet_list *l, struct packet *pkt)
{
    pkt->next = NULL;
    if (l->last)
        l->last->next = pkt;
    else
        l->head = pkt;
    l->last = pkt;
    l->count++;
}

// What comes back from an engine is older than what has arrived since. Of a list that is in order.
void list_insert(struct packet_list *l, struct packet *pkt)
{
    struct packet **at = &l->head;
    if (!l->last || pkt->stamp >= l->last->stamp) {
        list_push(l, pkt);
        return;
    }
    while (*at && (*at)->stamp <= pkt->stamp)
        at = &(*at)->next;
    pkt->next = *at;
    *at = pkt;
    l->count++;
}

struct packet *list_pop(struct packet_list *l)
{
    struct packet *pkt = l->head;
    if (pkt) {
        l->head = pkt->next;
        if (!l->head)
            list_init(l);
        else
            l->count--;
    }
    return pkt;
}

// ---- packets

static void watch(struct worker *w, bool on)
{
    if (w->reading == on || w->p->shut)
        return;
    w->reading = on;
    atomic_store(&w->own.starved, !on);
    struct loop_fd *all[] = {&w->tun_fd,  &w->udp_fd, &w->raw_fd, &w->udp6_fd,
                             &w->raw6_fd, &w->ah_fd,  &w->ah6_fd};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i]->fd >= 0) {
            all[i]->events = on ? EPOLLIN : 0;
            loop_modify(crew_loop(w), all[i]);
        }
    }
    vti_watch(w, on);
}

struct packet *packet_get(struct worker *w)
{
    struct packet *pkt = w->free;
    if (!pkt) {
        watch(w, false);
        return NULL;
    }
    w->free = pkt->next;
    pkt->runs = pkt->hops = 0;
    pkt->vti = 0;
    pkt->held = false;
    pkt->job.dummy = false;
    return pkt;
}

void packet_arrives(struct worker *w, struct packet *pkt)
{
    pkt->stamp = ++w->stamp;
}

void packet_off_card(struct worker *w, struct packet *pkt)
{
    w->on_card -= pkt->on_card;
    pkt->on_card = false;
}

// What a card may write to, at any time and wherever it likes, is only ever lent to it: the packet is copied
// there, and the result back once, before it is looked at.
bool packet_lend(struct worker *w, struct packet *pkt)
{
    if (pkt->lent)
        return true;
    uint8_t *in = esp_pool_get(w->dma), *out = esp_pool_get(w->dma);
    if (!out) {
        if (in)
            esp_pool_put(w->dma, in);
        return false;
    }
    memcpy(in, pkt->in, pkt->job.in_len);
    pkt->job.in = in;
    pkt->job.out = out;
    pkt->lent = true;
    return true;
}

void packet_take_back(struct worker *w, struct packet *pkt)
{
    if (!pkt->lent)
        return;
    esp_pool_put(w->dma, pkt->job.in);
    esp_pool_put(w->dma, pkt->job.out);
    pkt->job.in = pkt->in;
    pkt->job.out = pkt->out;
    pkt->lent = false;
}

void packet_copy_result(struct worker *w, struct packet *pkt)
{
    struct esp_job *j = &pkt->job;
    if (!pkt->lent)
        return;
    if (j->out_len > w->buffer)
        j->status = ESP_STATUS_DMA_ERROR;
    if (j->status == ESP_STATUS_OK)
        memcpy(pkt->out, j->out, j->out_len);
    packet_take_back(w, pkt);
}

void packet_leave(struct worker *w, struct packet *pkt)
{
    struct child *c = pkt->child;
    pkt->child = NULL;
    packet_off_card(w, pkt);
    packet_take_back(w, pkt);
    if (c) {
        c->in_flight--;
        if (!w->own.apart)
            sadb_maybe_free(w->p, c);
        else if (c->dying && !c->in_flight)
            w->own.farewells = true;
    }
}

void packet_release(struct worker *w, struct packet *pkt)
{
    packet_leave(w, pkt);
    pkt->next = w->free;
    w->free = pkt;
    watch(w, true);
}

void io_drop(struct worker *w, struct packet *pkt, enum esp_status why)
{
    uint64_t *count = pkt->job.op == ESP_ENCAP ? w->drop_out : w->drop_in;
    if (why < ESP_STATUS_BAD_OPCODE)
        count[why]++;
    if (pkt->child)
        pkt->child->out.drops++;
    packet_release(w, pkt);
}
