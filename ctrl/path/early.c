// SPDX-License-Identifier: Apache-2.0
// What comes by an SA that is not there yet. A peer that answers our IKE_AUTH, or a rekeying of ours, may
// send as soon as it has the SA, and its packets are quicker than its answer and what has to be done with
// that. Those of an SPI that ike has offered wait for it a while: what is not its peer's its keys will tell.
// Then, when the exchange has failed, or when too many wait, they are dropped: of one SPI the newest, of all
// the oldest first.
#include "ctrl/path/io.h"

enum { EARLY = 256, EARLY_OF_ONE = 128, EARLY_MS = 1000 };

void early_expect(struct path *p, uint32_t spi)
{
    p->expected[spi % PATH_EXPECTED] = spi;
}

static bool is_expected(const struct path *p, uint32_t spi)
{
    return spi && p->expected[spi % PATH_EXPECTED] == spi;
}

static void drop(struct worker *w, struct packet *pkt)
{
    in_unknown(w, pkt);
    io_drop(w, pkt, ESP_STATUS_NO_SA);
}

static unsigned waiting_for(const struct worker *w, uint32_t spi)
{
    unsigned n = 0;
    for (const struct packet *i = w->early.head; i; i = i->next)
        n += i->spi == spi;
    return n;
}

bool early_keep(struct worker *w, struct packet *pkt)
{
    if (!is_expected(w->p, pkt->spi) ||
        (w->early.count >= EARLY_OF_ONE && waiting_for(w, pkt->spi) >= EARLY_OF_ONE))
        return false;
    packet_off_card(w, pkt);
    if (w->early.count == EARLY)
        drop(w, list_pop(&w->early));
    pkt->held = true;
    pkt->since = loop_now(w->p->loop);
    list_push(&w->early, pkt);
    return true;
}

void early_expire(struct worker *w, uint64_t now)
{
    while (w->early.head && now - w->early.head->since >= EARLY_MS)
        drop(w, list_pop(&w->early));
}

static void end(struct worker *w, uint32_t spi, void (*how)(struct worker *w, struct packet *pkt))
{
    struct packet_list rest, found;
    struct packet *pkt;
    list_init(&rest);
    list_init(&found);
    while ((pkt = list_pop(&w->early)))
        list_push(pkt->spi == spi ? &found : &rest, pkt);
    w->early = rest;
    while ((pkt = list_pop(&found)))
        how(w, pkt);
}

static void end_all(struct path *p, uint32_t spi, void (*how)(struct worker *w, struct packet *pkt))
{
    if (!is_expected(p, spi))
        return;
    p->expected[spi % PATH_EXPECTED] = 0;
    for (unsigned i = 0; i < p->workers; i++)
        end(&p->worker[i], spi, how);
}

void early_found(struct path *p, uint32_t spi)
{
    end_all(p, spi, queue_put);
}

void early_over(struct path *p, uint32_t spi)
{
    end_all(p, spi, drop);
}
