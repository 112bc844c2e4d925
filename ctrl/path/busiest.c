// SPDX-License-Identifier: Apache-2.0
// More SAs than a card has room for: the others run in software, and those that carry most go to the card.
// Once in a second (less often where there are tens of thousands) what each has carried is looked at. Where
// there is room the busiest in software go to the card; where there is none, one that carries more than twice
// as much as the idlest on the card takes its place: that one leaves in this look, the other one goes in the
// next. Whoever has come to the one or the other stays there for a while, so that two that carry about the
// same do not change places all the time. Each move is an orderly one, number by number (sadb_move.c).
#include "ctrl/path/sadb.h"

#include "ctrl/lib/log.h"

enum { LOOK_MS = 1000, SAS_PER_MS = 10 }; // between two looks, longer by 1 ms for so many SAs
enum { STAY_MS = 10000, MOVES = 8 };      // of one SA; in one look
// What software spends on a packet is about what it spends on so many octets more (README, "Software
// engine").
enum { PACKET_OCTETS = 512, UNIT_SHIFT = 10 };
enum { NEAR_NOTHING = 16 }; // units in a look: less is no reason to move anything

struct ranked { // the first so many, best first
    unsigned count;
    struct child *c[MOVES];
};
struct look {
    struct ranked busiest, idlest; // in software; on the card
    bool first;                    // nobody has looked for long: there is no rate yet
};

static uint32_t carried(const struct child *c)
{
    uint64_t octets = c->in.bytes + c->out.bytes + (c->in.packets + c->out.packets) * PACKET_OCTETS;
    return (uint32_t)(octets >> UNIT_SHIFT); // differences alone count
}

static bool rests(const struct child *c)
{
    return c->installed && !c->dying && c->in.state == HALF_READY && c->out.state == HALF_READY;
}

// One that must be on the card goes there before any other.
static bool better(const struct path *p, const struct child *a, const struct child *b, bool busy)
{
    bool must = sadb_must_card(p, a);
    if (must != sadb_must_card(p, b))
        return must;
    return busy ? a->load > b->load : a->load < b->load;
}

static void rank(const struct path *p, struct ranked *r, struct child *c, bool busy)
{
    unsigned at = r->count;
    while (at && better(p, c, r->c[at - 1], busy))
        at--;
    if (at == MOVES)
        return;
    r->count += r->count < MOVES;
    for (unsigned i = r->count - 1; i > at; i--)
        r->c[i] = r->c[i - 1];
    r->c[at] = c;
}

static bool has_stayed(const struct path *p, const struct child *c)
{
    return loop_now(p->loop) - c->path_since >= STAY_MS;
}

// In software for want of room alone, or since a card had failed.
static bool may_go(struct path *p, const struct child *c)
{
    enum offload_mode mode;
    return c->w == p->worker && !c->declined && has_stayed(p, c) && sadb_want_card(p, c, &mode) &&
           c->in.engine == path_soft(p) && c->out.engine == path_soft(p);
}

// One that must be on a card (hw_offload = yes) is not moved for another one's sake.
static bool may_leave(struct path *p, const struct child *c)
{
    enum offload_mode mode;
    return has_stayed(p, c) && sadb_want_card(p, c, &mode) && mode == OFFLOAD_AUTO && sadb_is_home(p, c);
}

static void look_at(struct path *p, struct child *c, struct look *l)
{
    uint32_t now = carried(c), since = now - c->carried;
    c->carried = now;
    c->load = l->first ? 0 : c->load / 2 + since / 2 + (c->load & since & 1);
    if (!rests(c))
        return;
    if (may_go(p, c))
        rank(p, &l->busiest, c, true);
    else if (may_leave(p, c))
        rank(p, &l->idlest, c, false);
}

static bool any_must(const struct path *p)
{
    enum offload_mode all = p->set.offload_default;
    return p->of_mode[OFFLOAD_YES] || p->of_mode[OFFLOAD_PACKET] ||
           (p->of_mode[OFFLOAD_DEFAULT] && (all == OFFLOAD_YES || all == OFFLOAD_PACKET));
}

static uint32_t free_slots(const struct path *p)
{
    struct esp_capabilities caps;
    const uint32_t *n = p->card_slots;
    uint32_t used = n[ESP_IN] > n[ESP_OUT] ? n[ESP_IN] : n[ESP_OUT];
    path_card(p)->ops->capabilities(path_card(p), &caps);
    return caps.sas > used ? caps.sas - used : 0;
}

// One that must be on the card cannot be rekeyed without a slot for its successor: while there is any, one
// slot is kept from those that may be in software too.
uint32_t card_room(const struct path *p, bool must)
{
    uint32_t slots = free_slots(p), kept = !must && any_must(p);
    return slots > kept ? slots - kept : 0;
}

bool card_keeps_last(const struct path *p)
{
    return any_must(p) && free_slots(p) == 1;
}

// Whatever kept it from the card when it was installed may be true still.
static void go(struct path *p, struct child *c)
{
    struct esp_error why = {0};
    c->declined =
        sadb_capable(path_card(p), &c->in, &why) < 0 || sadb_capable(path_card(p), &c->out, &why) < 0;
    if (c->declined)
        return;
    c->card_missing = true;
    p->busiest_in += sadb_return(p, c);
}

static void leave(struct path *p, struct child *c, const char *why)
{
    LOGF_SA(1, c, "child %s{%u}: %s; on in software", c->c.name, c->c.child_id, why);
    if (!sadb_let_leave(&c->in) || !sadb_let_leave(&c->out))
        return; // a failed card: FAILED comes and moves it
    sadb_set_offload(p, c, false, why);
    p->idlest_out++;
}

// What is in software carries enough more, or must be on the card.
static bool outdoes(const struct path *p, const struct child *soft, const struct child *card)
{
    return sadb_must_card(p, soft) || (soft->load > NEAR_NOTHING && soft->load / 2 > card->load);
}

static void act(struct path *p, const struct look *l)
{
    unsigned gone = 0;
    for (unsigned i = 0; i < l->busiest.count; i++) {
        struct child *c = l->busiest.c[i];
        if (card_room(p, sadb_must_card(p, c)))
            go(p, c);
        else if (gone < l->idlest.count && outdoes(p, c, l->idlest.c[gone]))
            leave(p, l->idlest.c[gone++],
                  sadb_must_card(p, c) ? CARD_KEEPS_LAST : "busier SAs have the card's slots");
    }
    if (!gone && l->idlest.count && any_must(p) && !free_slots(p))
        leave(p, l->idlest.c[0], CARD_KEEPS_LAST);
}

static const struct child *whose_place(struct path *p, const struct child *c)
{
    const struct child *old = c->out_after ? sadb_by_id(p, c->out_after) : NULL;
    for (const struct child *s = policy_now(c->policy)->sas; s && !old; s = s->serves_next)
        if (s != c && s->installed && !s->dying)
            old = s; // the newest of them
    return old;
}

// It will carry what that one carries: a rekey is no reason to wait, or to leave the card to idle ones.
void busiest_follows(struct path *p, struct child *c)
{
    const struct child *old = whose_place(p, c);
    if (!old)
        return;
    c->load = old->load;
    if (c->on_card == old->on_card)
        c->path_since = old->path_since;
    else if (old->on_card)
        c->path_since = 0; // it may have that one's slot as soon as it is free
}

void busiest_look(struct path *p)
{
    uint64_t now = loop_now(p->loop), every = LOOK_MS + p->by_spi.count / SAS_PER_MS;
    struct look l = {.first = now - p->busiest_at > 3 * every};
    if (!p->engines[PATH_CARD].returned || now - p->busiest_at < every)
        return;
    p->busiest_at = now;
    for (struct child *c = p->children; c; c = c->next)
        look_at(p, c, &l);
    if (!l.first)
        act(p, &l);
}
