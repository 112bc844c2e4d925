// SPDX-License-Identifier: Apache-2.0
// What meets a policy that has no SA yet and asks for one, as the first packet of a trap does: some of it
// waits a while, as in the kernel's own policy queue, and is looked at anew when an SA comes. Of one policy
// the oldest stay, as they are who asked; of all the oldest go first. It leaves by an SA or not at all.
#include "ctrl/path/io.h"

enum { TRAPPED = 128, TRAPPED_OF_ONE = 32, TRAPPED_MS = 3000 };

static void drop_oldest(struct worker *w)
{
    w->no_sa_out++;
    io_drop(w, list_pop(&w->trapped), ESP_STATUS_POLICY);
}

static unsigned waiting_for(const struct worker *w, uint32_t policy)
{
    unsigned n = 0;
    for (const struct packet *i = w->trapped.head; i; i = i->next)
        n += i->spi == policy;
    return n;
}

bool trapped_keep(struct worker *w, struct packet *pkt, const struct policy *base)
{
    if (!base->trap || (w->trapped.count >= TRAPPED_OF_ONE && waiting_for(w, base->id) >= TRAPPED_OF_ONE))
        return false;
    packet_off_card(w, pkt);
    if (w->trapped.count == TRAPPED)
        drop_oldest(w);
    if (!w->trapped_again)
        pkt->since = loop_now(w->p->loop);
    pkt->spi = base->id;
    list_push(&w->trapped, pkt);
    return true;
}

void trapped_expire(struct worker *w, uint64_t now)
{
    while (w->trapped.head && now - w->trapped.head->since >= TRAPPED_MS)
        drop_oldest(w);
}

static void forget(struct worker *w, struct packet_list *l, uint8_t vti)
{
    struct packet_list all = *l;
    struct packet *pkt;
    list_init(l);
    while ((pkt = list_pop(&all)))
        if (pkt->job.op == ESP_ENCAP && pkt->vti == vti)
            io_drop(w, pkt, ESP_STATUS_POLICY);
        else
            list_push(l, pkt);
}

void waiting_forget(struct path *p, uint8_t vti)
{
    for (unsigned i = 0; i < p->workers; i++) {
        forget(&p->worker[i], &p->worker[i].trapped, vti);
        forget(&p->worker[i], &p->worker[i].orphans, vti);
    }
}

static void look_again(struct worker *w)
{
    struct packet_list all = w->trapped;
    struct packet *pkt;
    list_init(&w->trapped);
    w->trapped_again = true;
    while ((pkt = list_pop(&all))) {
        struct look_up l;
        struct policy *pol;
        look_up_out(&l, pkt->job.in, pkt->job.in_len, pkt->vti);
        if (look_up_policy(w, &l, &pol) == SPD_FOUND && pol->action == POLICY_PROTECT)
            out_take(w, pkt, &l);
        else
            io_drop(w, pkt, ESP_STATUS_POLICY);
    }
    w->trapped_again = false;
}

void trapped_found(struct path *p)
{
    for (unsigned i = 0; i < p->workers; i++)
        if (p->worker[i].trapped.count)
            look_again(&p->worker[i]);
}
