// SPDX-License-Identifier: Apache-2.0
// What goes wrong, and what operators do meanwhile, at random times: the network, the daemons, the clocks.
#include "tests/world/world.h"

static void weather(struct world *w)
{
    struct rng *r = &w->rng;
    w->loss = rng_chance(r, 500) ? 0 : (unsigned)rng_below(r, rng_chance(r, 200) ? 500 : 60);
    w->dup = rng_chance(r, 500) ? 0 : (unsigned)rng_below(r, 80);
    w->corrupt = rng_chance(r, 600) ? 0 : (unsigned)rng_below(r, 40);
    w->jitter = rng_chance(r, 500) ? 1 : (unsigned)rng_below(r, 400);
    TRACE(w, 80, w->loss, "weather: loss %u, doubled %u, corrupt %u per mille, jitter %u ms", w->loss, w->dup,
          w->corrupt, w->jitter);
}

static void link_up(struct world *w, void *ctx, uint64_t arg)
{
    (void)ctx;
    TRACE(w, 81, arg, "the link %llu-%llu is up", (unsigned long long)arg / SITES,
          (unsigned long long)arg % SITES);
    w->link_down[arg / SITES][arg % SITES] = false;
}

static void link_fails(struct world *w)
{
    unsigned a = (unsigned)rng_below(&w->rng, w->sites),
             b = (a + 1 + (unsigned)rng_below(&w->rng, w->sites - 1)) % w->sites;
    TRACE(w, 82, a * SITES + b, "the link from %c to %c is down", w->site[a].letter, w->site[b].letter);
    w->link_down[a][b] = true;
    agenda_add(w, rng_between(&w->rng, SECOND / 10, 90 * SECOND), link_up, NULL, a * SITES + b);
    if (rng_chance(&w->rng, 700)) {
        w->link_down[b][a] = true;
        agenda_add(w, rng_between(&w->rng, SECOND / 10, 90 * SECOND), link_up, NULL, b * SITES + a);
    }
}

static void start_again(struct world *w, void *ctx, uint64_t arg)
{
    struct site *s = ctx;
    (void)arg;
    if (s->d.life == DOWN)
        daemon_start(s);
    else if (s->d.life != UP)
        agenda_add(w, SECOND, start_again, s, 0);
}

void fault_restart(struct site *s, uint64_t in_us)
{
    agenda_add(s->w, in_us, start_again, s, 0);
}

static void daemon_ends(struct world *w, struct site *s)
{
    static const int room[] = {ROOM_SUPER, ROOM_SUPER, ROOM_PATH, ROOM_PATH,
                               ROOM_PATH,  ROOM_IKE,   ROOM_KEYS, ROOM_CTL};
    if (s->d.life != UP)
        return;
    if (rng_chance(&w->rng, 300))
        daemon_stop(s);
    else
        daemon_kill(s, room[rng_below(&w->rng, sizeof(room) / sizeof(room[0]))]);
    fault_restart(s, rng_between(&w->rng, SECOND / 5, (rng_chance(&w->rng, 200) ? 90 : 10) * SECOND));
}

void fault_clock(struct site *s, uint64_t by_us)
{
    TRACE(s->w, 83, by_us, "the clock of %c jumps by %llu s", s->letter,
          (unsigned long long)(by_us / SECOND));
    s->d.offset += by_us;
    s->clock_set_at = s->w->now;
}

static void clock_jumps(struct world *w, struct site *s)
{
    fault_clock(s, rng_between(&w->rng, 1, rng_chance(&w->rng, 200) ? 7200 : 60) * SECOND);
}

static void operator_acts(struct world *w, struct site *s)
{
    struct rng *r = &w->rng;
    unsigned i = (unsigned)rng_below(r, w->pairs);
    struct pair *p = &w->pair[i];
    unsigned v = (unsigned)rng_below(r, p->variants);
    if (s->d.life != UP || (p->a != s->index && p->b != s->index) || s->op.queue)
        return;
    if (s->op.want[i].twice)
        return; // first its former name has to go
    switch (rng_below(r, 9)) {
    case 0:
        operator_order(s, CMD_UNLOAD, i, 0, 0);
        if (rng_chance(r, 700))
            operator_order(s, CMD_LOAD, i, v, 0);
        break;
    case 1:
    case 2: operator_order(s, CMD_LOAD, i, v, 0); break;
    case 3: operator_order(s, CMD_TERMINATE, i, 0, rng_chance(r, 400)); break;
    case 4: operator_order(s, CMD_LIST, i, 0, 0); break;
    case 5: operator_order(s, CMD_REKEY, i, 0, rng_chance(r, 500)); break;
    case 6: operator_rename(s, i); break;
    default: operator_order(s, CMD_INITIATE, i, v, 0); break;
    }
}

static void crossing(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, w->pairs);
    unsigned child = (unsigned)rng_below(&w->rng, 2);
    enum command_kind what = rng_chance(&w->rng, 600) ? CMD_INITIATE : CMD_REKEY;
    for (int k = 0; k < 2; k++) {
        struct site *s = &w->site[k ? w->pair[i].b : w->pair[i].a];
        if (s->d.life == UP)
            operator_order(s, what, i, 0, what == CMD_REKEY ? child : 0);
    }
}

static void card_well(struct world *w, void *ctx, uint64_t arg)
{
    struct site *s = ctx;
    (void)w, (void)arg;
    site_card_fault(s->card, CARD_WELL);
}

void fault_card(struct site *s, enum card_fault f, uint64_t for_us)
{
    site_card_fault(s->card, f);
    agenda_add(s->w, for_us, card_well, s, 0);
}

static void card_acts(struct world *w, struct site *s)
{
    struct rng *r = &w->rng;
    if (!s->card)
        return;
    if (rng_chance(r, 400)) {
        site_card_habits(s->card, rng_chance(r, 500) ? (unsigned)rng_below(r, 500) : 0,
                         rng_chance(r, 500) ? (unsigned)rng_below(r, rng_chance(r, 300) ? 400000 : 5000) : 0,
                         rng_chance(r, 300) ? (unsigned)rng_below(r, 300) : 0);
        return;
    }
    enum card_fault f = (enum card_fault)rng_between(r, 1, CARD_FAULTS - 1);
    fault_card(s, f, rng_between(r, SECOND / 100, 30 * SECOND));
}

static void terminate(struct world *w, void *ctx, uint64_t arg)
{
    struct site *s = ctx;
    (void)w;
    if (s->d.life == UP)
        operator_order(s, CMD_TERMINATE, (unsigned)arg, 0, 1);
}

// One end brings it up, and the other ends it before the first is done.
static void hasty(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, w->pairs);
    struct site *a = &w->site[w->pair[i].a], *b = &w->site[w->pair[i].b];
    if (a->d.life != UP || a->op.queue || b->op.queue)
        return;
    operator_order(a, CMD_TERMINATE, i, 0, 0);
    operator_order(a, CMD_INITIATE, i, 0, 0);
    agenda_add(w, 5000 + rng_below(&w->rng, 60000), terminate, b, i);
}

static void something(struct world *w, void *ctx, uint64_t arg)
{
    struct site *s = &w->site[rng_below(&w->rng, w->sites)];
    (void)ctx, (void)arg;
    if (w->calm)
        return;
    switch (rng_below(&w->rng, 18)) {
    case 0:
    case 1: weather(w); break;
    case 2: link_fails(w); break;
    case 3: daemon_ends(w, s); break;
    case 4: clock_jumps(w, s); break;
    case 5:
        if (s->nat.on)
            nat_rebind(s);
        break;
    case 6: crossing(w); break;
    case 7: card_acts(w, s); break;
    case 9: hasty(w); break;
    case 10: // past the deadline of a card's SAs, or not
        daemon_freeze(s, rng_between(&w->rng, SECOND / 10, (rng_chance(&w->rng, 300) ? 30 : 3) * SECOND));
        break;
    case 16:
        memory_scarce(s, rng_chance(&w->rng, 500) ? 20 : (unsigned)rng_between(&w->rng, 1, 1000),
                      rng_between(&w->rng, SECOND / 10, 10 * SECOND));
        break;
    case 17: readers_silent(s, rng_between(&w->rng, SECOND, 20 * SECOND)); break;
    case 8: kernel_model_meddle(s->kernel); break;
    case 11:
    case 12:
        if (w->site[0].roam.on)
            roam_move(&w->site[0]);
        else
            operator_acts(w, s);
        break;
    default: operator_acts(w, s); break;
    }
    agenda_add(w, rng_between(&w->rng, SECOND / 100, 8 * SECOND), something, NULL, 0);
}

// Where there is much traffic there are many exchanges too: an operator has keys renewed all the time.
enum { RENEW_US = 3000000 };
static void renew(struct world *w, void *ctx, uint64_t pair)
{
    struct pair *p = &w->pair[pair];
    struct site *s = &w->site[rng_chance(&w->rng, 500) ? p->a : p->b];
    (void)ctx;
    if (w->asked)
        return;
    if (s->d.life == UP && !s->op.queue)
        operator_order(s, CMD_REKEY, (unsigned)pair, 0, rng_chance(&w->rng, 700));
    agenda_add(w, rng_between(&w->rng, 1, 2 * RENEW_US), renew, NULL, pair);
}

// One room after another, and before the first is mended, in every order, while operators load, edit and
// unload; now and then all of it without memory.
enum { DEATHS_US = 8000000, WAVE_US = 1500000 };
static void dies(struct world *w, void *ctx, uint64_t room)
{
    struct site *s = ctx;
    if (!w->calm && s->d.life == UP)
        daemon_kill(s, (int)room);
}

static void orders(struct world *w, void *ctx, uint64_t arg)
{
    (void)arg;
    if (!w->calm)
        operator_acts(w, ctx);
}

static void wave(struct world *w, void *ctx, uint64_t arg)
{
    static const int room[] = {ROOM_PATH, ROOM_PATH, ROOM_IKE, ROOM_KEYS, ROOM_CTL};
    struct rng *r = &w->rng;
    struct site *s = &w->site[rng_below(r, w->sites)];
    (void)ctx, (void)arg;
    if (w->calm)
        return;
    if (!w->fair && s->d.life == UP) {
        uint64_t span = rng_chance(r, 500) ? WAVE_US : WAVE_US / 10;
        if (rng_chance(r, 400))
            memory_scarce(s, (unsigned)rng_between(r, 10, 1000), rng_below(r, 2 * span));
        for (uint64_t n = rng_between(r, 1, 4); n--;)
            agenda_add(w, rng_below(r, span), dies, s, (uint64_t)room[rng_below(r, 5)]);
        for (uint64_t n = rng_below(r, 4); n--;)
            agenda_add(w, rng_below(r, span), orders, s, 0);
        fault_restart(s, rng_between(r, SECOND, 10 * SECOND));
    }
    agenda_add(w, rng_between(r, SECOND, 2 * (uint64_t)DEATHS_US), wave, NULL, 0);
}

void faults_start(struct world *w)
{
    weather(w);
    if (w->o.deaths)
        agenda_add(w, DEATHS_US, wave, NULL, 0);
    agenda_add(w, rng_between(&w->rng, 3 * SECOND, 15 * SECOND), something, NULL, 0);
    for (unsigned i = 0; i < w->pairs && w->renews; i++)
        agenda_add(w, RENEW_US, renew, NULL, i);
}

void faults_end(struct world *w)
{
    w->calm = true;
    w->loss = w->dup = w->corrupt = w->jitter = 0;
    for (unsigned i = 0; i < SITES * SITES; i++)
        w->link_down[i / SITES][i % SITES] = false;
    for (unsigned i = 0; i < w->sites; i++) {
        w->site[i].d.scarce_until = 0;
        if (w->site[i].d.life == DOWN)
            daemon_start(&w->site[i]);
    }
    for (unsigned i = 0; i < w->sites; i++) {
        if (w->site[i].card) {
            site_card_habits(w->site[i].card, 0, 0, 0);
            site_card_fault(w->site[i].card, CARD_WELL);
        }
    }
    roam_settle(w, &w->site[0], 0);
    TRACE(w, 84, 0, "---- calm");
}
