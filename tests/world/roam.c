// SPDX-License-Identifier: Apache-2.0
// Addresses of a gateway that change. Site a of a roaming world is at home (behind the NAT, where it has one)
// or away; each place gives it one IPv4 and one IPv6 address, or one of both, and it comes from the one to
// the other with or without a time in between in which it has none. Its peers know no address of it, it
// begins, and MOBIKE is on: where it goes, its tunnels go with it.
#include "tests/world/world.h"

// By the seed alone, so that what the dice decide in other worlds stays what it was.
void roam_make(struct world *w)
{
    struct site *s = &w->site[0];
    struct rng r;
    for (unsigned i = 0; i < w->sites; i++)
        w->site[i].roam.here[0] = IN4 | IN6;
    rng_seed(&r, w->o.seed ^ 0x726f616d);
    if (!(w->o.plain ? w->o.plain->roam : rng_chance(&r, 300)))
        return;
    s->roam.on = true;
    s->roam.away = 192u << 24 | 2 << 8 | 101;
    s->roam.families = rng_chance(&r, 500);
    s->roam.named = rng_chance(&r, 500);
    TRACE(w, 48, s->roam.families, "plan: a roams, %s, its addresses are %s",
          s->roam.families ? "through both families" : "within one family",
          s->roam.named ? "named" : "those of the route");
}

static void set(struct site *s, unsigned place, uint8_t families)
{
    TRACE(s->w, 95, place * 4 + families, "%c has %s %s", s->letter,
          !families         ? "no address"
          : families == IN4 ? "an IPv4 address"
          : families == IN6 ? "an IPv6 address"
                            : "addresses of both families",
          place ? "away" : "at home");
    s->roam.here[place] = families;
    kernel_model_moved(s->kernel);
}

// arg: the place, and what it has there.
static void arrives(struct world *w, void *ctx, uint64_t arg)
{
    struct site *s = ctx;
    (void)w;
    s->roam.place = (unsigned)(arg / 4);
    s->roam.moving = false;
    set(s, s->roam.place, arg % 4);
}

static void leaves(struct world *w, void *ctx, uint64_t place)
{
    struct site *s = ctx;
    (void)w;
    set(s, (unsigned)place, 0);
    s->roam.moving = false;
}

enum { OVERLAP_US = 1000000, GAP_US = 2000000 };

// How long it has no address, or more than one.
uint64_t roam_move(struct site *s)
{
    struct world *w = s->w;
    struct rng *r = &w->rng;
    unsigned from = s->roam.place, to = !from;
    uint8_t families = (uint8_t)(s->roam.families ? rng_between(r, IN4, IN4 | IN6) : IN4 | IN6);
    uint64_t time;
    if (!s->roam.on || s->roam.moving)
        return 0;
    if (s->roam.families && rng_chance(r, 300)) // one of both families comes or goes where it is
        to = from;
    if (to == from) {
        arrives(w, s, to * 4 + families);
        return 0;
    }
    if (rng_chance(r, 500)) { // it is there before it is gone here
        time = rng_below(r, OVERLAP_US);
        arrives(w, s, to * 4 + families);
        s->roam.moving = true;
        agenda_add(w, time, leaves, s, from);
    } else {
        time = rng_chance(r, 500) ? 0 : rng_below(r, GAP_US);
        s->roam.moving = true;
        set(s, from, 0);
        agenda_add(w, time, arrives, s, to * 4 + families);
    }
    return time;
}

// The end: wherever it is, it stays there, and has all that there is.
void roam_settle(struct world *w, void *ctx, uint64_t arg)
{
    struct site *s = ctx;
    if (s->roam.moving)
        agenda_add(w, SECOND, roam_settle, s, arg);
    else if (s->roam.on && s->roam.here[s->roam.place] != (IN4 | IN6))
        set(s, s->roam.place, IN4 | IN6);
}
