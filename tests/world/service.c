// SPDX-License-Identifier: Apache-2.0
// A world's first part: fair weather, in which one thing at a time happens to a pair of sites, and service is
// judged while it runs (later, DPD and revival would have healed what went wrong). Each act has a window,
// with its reason beside it; outside the windows every packet that a host offers must arrive.
#include <netinet/in.h>
#include <string.h>

#include "ctrl/path/path.h"
#include "tests/world/world.h"

#define NEVER UINT64_MAX
enum { JUDGED_US = 2000000, VOID_US = 1000000, SAMPLE_US = 200000, REST_US = 8000000 };

static bool starts(const struct pair *p, unsigned side, enum start how)
{
    return p->variant[0].child[0].start[side] == how;
}

static struct site *end_of(struct world *w, const struct pair *p, unsigned side)
{
    return &w->site[side ? p->b : p->a];
}

static unsigned number(const struct world *w, const struct pair *p)
{
    return (unsigned)(p - w->pair);
}

// A side that has no address of the other's cannot begin.
static bool can_begin(const struct pair *p, unsigned side)
{
    return !((p->natted || p->roams) && side);
}

// On its way from one place to another: an operator who asks for it then is told that there is no route, and
// nobody tries again.
static bool has_no_address(struct world *w, const struct pair *p, unsigned side)
{
    const struct roam *roam = &end_of(w, p, side)->roam;
    return p->roams && !side && !roam->here[0] && !roam->here[1];
}

// An end that gets no processor hears of it later.
static uint64_t still(const struct world *w, const struct pair *p)
{
    uint64_t a = w->site[p->a].d.frozen_until, b = w->site[p->b].d.frozen_until, until = a > b ? a : b;
    return until > w->now ? until - w->now : 0;
}

static void disturb(struct world *w, struct pair *p, uint64_t window)
{
    window = window == NEVER ? NEVER : window + still(w, p);
    p->disturbed_at = w->now;
    p->up_from = window == NEVER ? NEVER : w->now + window;
    TRACE(w, 90, window, "%s may lose packets %s", p->name,
          window == NEVER ? "until it is initiated" : "now");
}

// What closes again and again is brought up after a second, two, four ... sixty (ctrl/ike/revive.c), and one
// more for two exchanges and the installation on a network of 8 ms.
static uint64_t revival(struct pair *p)
{
    unsigned n = p->closures < 6 ? p->closures++ : 6;
    return (1u << n < 60 ? 1u << n : 60) * SECOND + SECOND;
}

// ---- judging

static void judge(struct world *w, void *ctx, uint64_t id)
{
    const struct pair *p = ctx;
    const struct sent *e = &w->ledger.sent[id];
    if (e->delivered || p->disturbed_at >= e->at)
        return;
    world_fail(w, "lost", "id %llu, which %c sent %.1f s ago into %s in fair weather, has not arrived",
               (unsigned long long)id, w->site[e->from].letter, (double)(w->now - e->at) / 1e6, p->name);
}

void service_sent(struct world *w, struct pair *p, uint64_t id)
{
    if (w->fair && w->now >= p->up_from)
        agenda_add(w, JUDGED_US, judge, p, id);
}

// The child of the gateways' own is there when one of their packets has come since the last disturbance.
void service_own_arrived(struct world *w, uint64_t id)
{
    const struct sent *e = &w->ledger.sent[id];
    struct pair *p = plan_of(w, e->from, e->to);
    p->own.last = e->at > p->own.last ? e->at : p->own.last;
}

bool service_own_is_up(const struct world *w, const struct pair *p)
{
    return w->fair && p->up_from != NEVER && p->own.last > p->up_from;
}

// In clear by both ends' files: whatever becomes of their SAs, as long as neither daemon goes or stands
// still.
static uint64_t lives(const struct world *w, const struct sent *e)
{
    return w->site[e->from].d.generation + w->site[e->to].d.generation;
}

static void judge_clear(struct world *w, void *ctx, uint64_t id)
{
    const struct sent *e = &w->ledger.sent[id];
    bool still = w->site[e->from].d.frozen_until > e->at || w->site[e->to].d.frozen_until > e->at;
    if (e->seen || still || !w->fair || lives(w, e) != (uintptr_t)ctx)
        return;
    world_fail(w, "lost", "id %llu, which %c sent in fair weather and both ends pass, has not arrived",
               (unsigned long long)id, w->site[e->from].letter);
}

void service_clear(struct world *w, uint64_t id)
{
    const struct sent *e = &w->ledger.sent[id];
    const unsigned ends[] = {e->from, e->to};
    unsigned pair = number(w, plan_of(w, e->from, e->to));
    for (unsigned i = 0; i < 2; i++) {
        const struct site *s = &w->site[ends[i]];
        if (!w->fair || s->d.life != UP || s->op.want[pair].variant != 0 ||
            s->op.want[pair].since < s->d.started_at)
            return;
    }
    agenda_add(w, SECOND, judge_clear, (void *)(uintptr_t)lives(w, e),
               id); // NOLINT(performance-no-int-to-ptr)
}

// Which SAs each site has, from their installation on and five times a second; one that is sent to long after
// it went was let go of by one end alone.
static struct held *held_of(struct site *s, uint32_t spi, bool make)
{
    struct held *h = s->held;
    for (unsigned i = 0; i < HELD; i++)
        if (h[i].spi == spi)
            return &h[i];
    if (make) {
        h = &h[s->helds++ % HELD];
        h->spi = spi;
    }
    return make ? h : NULL;
}

void service_installs(struct site *s, uint32_t spi)
{
    held_of(s, spi, true)->at = s->w->now;
}

static void sample(struct world *w, void *ctx, uint64_t arg)
{
    (void)ctx, (void)arg;
    if (!w->fair)
        return;
    for (unsigned i = 0; i < w->sites; i++)
        for (struct child *c = w->site[i].d.path ? w->site[i].d.path->children : NULL; c; c = c->next)
            if (!c->dying)
                held_of(&w->site[i], c->c.spi_in, true)->at = w->now;
    agenda_add(w, SAMPLE_US, sample, NULL, 0);
}

void service_arrived(struct site *s, const uint8_t *p, uint32_t len)
{
    struct view v;
    uint32_t at = view_of(&v, p, len) && v.proto == IPPROTO_ESP ? v.at : v.at + 8;
    bool esp = v.proto == IPPROTO_ESP || (v.proto == IPPROTO_UDP && v.dport == 4500);
    uint32_t spi = esp && len > at + 20 ? get32(p + at) : 0;
    struct held *h = spi && s->w->fair && s->d.life == UP ? held_of(s, spi, false) : NULL;
    if (!h || h->at + VOID_US >= s->w->now)
        return;
    for (struct child *c = s->d.path ? s->d.path->children : NULL; c; c = c->next)
        if (c->c.spi_in == spi && !c->dying)
            return;
    world_fail(s->w, "void", "%c still gets packets of SPI %08x, which it has let go of %.1f s ago",
               s->letter, spi, (double)(s->w->now - h->at) / 1e6);
}

void service_forget(struct site *s)
{
    memset(s->held, 0, sizeof(s->held));
}

// ---- acts

// How much longer what was under way takes, a second at least.
static uint64_t rest_of(const struct world *w, const struct pair *p)
{
    return p->up_from > w->now + SECOND ? p->up_from - w->now : SECOND;
}

static bool through_nat(const struct world *w, const struct pair *q)
{
    const struct roam *roam = &w->site[q->a].roam;
    if (!q->roams)
        return q->natted;
    return w->site[q->a].nat.on && (!q->outer6 || roam->families) && roam->here[0] & IN4;
}

// The NAT takes another port with the next packet from inside, which is authenticated ESP, or the answer to
// it; a host is silent for 2.9 s at most. That holds for all that go through it; what is under way takes that
// much longer, as its answers went to the mapping before.
static void act_rebind(struct world *w, struct pair *p)
{
    struct site *s = end_of(w, p, 0);
    if (!p->natted)
        return;
    for (unsigned i = 0; i < w->pairs; i++) {
        struct pair *q = &w->pair[i];
        if (through_nat(w, q) && q->up_from != NEVER)
            disturb(w, q, 3 * SECOND + SECOND / 2 + (w->now >= q->up_from ? 0 : rest_of(w, q)));
    }
    nat_rebind(s);
}

// Who brings up what an operator of one side has ended: the other end's close_action = start, or a packet
// where one of both has a trap.
static bool comes_back(const struct pair *p, unsigned by)
{
    return starts(p, !by, START_START) || starts(p, by, START_TRAP) || starts(p, !by, START_TRAP);
}

static void act_terminate(struct world *w, struct pair *p)
{
    unsigned by = (unsigned)rng_below(&w->rng, 2);
    disturb(w, p, comes_back(p, by) ? revival(p) : NEVER);
    operator_order(end_of(w, p, by), CMD_TERMINATE, number(w, p), 0, rng_chance(&w->rng, 500));
}

static void later_initiate(struct world *w, void *ctx, uint64_t pair)
{
    struct site *s = ctx;
    (void)w;
    if (s->d.life == UP)
        operator_order(s, CMD_INITIATE, (unsigned)pair, 0, 0);
}

static void act_initiate(struct world *w, struct pair *p)
{
    unsigned by = p->begins < 2 ? p->begins : (unsigned)rng_below(&w->rng, 2);
    if (p->begins == 2 && !can_begin(p, by))
        by = !by;
    if (!can_begin(p, by) || end_of(w, p, by)->d.life != UP || has_no_address(w, p, by))
        return; // or the other end has to give up first
    if (p->up_from == NEVER)
        disturb(w, p, 4 * SECOND); // a childless IKE SA goes after three; two exchanges, and the installation
    p->begins = 2;
    later_initiate(w, end_of(w, p, by), number(w, p));
}

// Both operators at once, within the time of an exchange: four datagrams of 4 ms, then one SA goes.
static void act_cross(struct world *w, struct pair *p)
{
    unsigned by = (unsigned)rng_below(&w->rng, 2);
    if (!can_begin(p, 0) || !can_begin(p, 1))
        return;
    disturb(w, p, SECOND / 10 + SECOND / 2);
    p->closures += p->closures < 6;
    operator_order(end_of(w, p, by), CMD_TERMINATE, number(w, p), 0, 0);
    agenda_add(w, SECOND / 10, later_initiate, end_of(w, p, by), number(w, p));
    agenda_add(w, SECOND / 10 + rng_below(&w->rng, 14000), later_initiate, end_of(w, p, !by), number(w, p));
}

static void later_terminate(struct world *w, void *ctx, uint64_t pair)
{
    struct site *s = ctx;
    (void)w;
    if (s->d.life == UP)
        operator_order(s, CMD_TERMINATE, (unsigned)pair, 0, 1);
}

static void card_fast(struct world *w, void *ctx, uint64_t arg)
{
    struct site *s = ctx;
    (void)w, (void)arg;
    site_card_habits(s->card, 0, 0, 0);
}

static void later_hurry(struct world *w, void *ctx, uint64_t pair)
{
    struct site *s = ctx;
    (void)w;
    if (s->d.life == UP)
        operator_hurry(s, CMD_INITIATE, (unsigned)pair, DETACHED);
}

static void later_force(struct world *w, void *ctx, uint64_t pair)
{
    struct site *s = ctx;
    (void)w;
    if (s->d.life == UP)
        operator_hurry(s, CMD_TERMINATE, (unsigned)pair, FORCED);
}

static void later_packet(struct world *w, void *ctx, uint64_t to)
{
    host_send(w, ((const struct site *)ctx)->index, (unsigned)to, 0, true);
}

// The operator who brought it up thinks better of it and waits for nobody, two exchanges later, while the
// other end's hosts have begun to send. Only where that end begins nothing itself: what it has half set up
// then would be cut, and it would have to give up first.
static void thinks_better(struct world *w, const struct pair *p, struct site *a, struct site *b)
{
    uint64_t at = SECOND / 10 + 26000 + rng_below(&w->rng, 100000);
    agenda_add(w, at, later_force, a, number(w, p));
    for (unsigned i = 0; i < 12; i++)
        agenda_add(w, at - 4000 + rng_below(&w->rng, 8000), later_packet, b, a->index);
}

// One end brings it up, on a slow card where it has one; the other ends it before the first has installed it,
// or the first itself does.
static void act_hasty(struct world *w, struct pair *p)
{
    unsigned by = (unsigned)rng_below(&w->rng, 2);
    struct site *a = end_of(w, p, by), *b = end_of(w, p, !by);
    if (!can_begin(p, by) || has_no_address(w, p, by))
        return;
    bool back = comes_back(p, by) && comes_back(p, !by);
    revival(p);
    disturb(w, p, back ? revival(p) + SECOND : NEVER);
    p->hands_until = w->now + SECOND / 2;
    operator_order(a, CMD_TERMINATE, number(w, p), 0, 0);
    if (starts(p, !by, START_NONE) && rng_chance(&w->rng, 700)) {
        agenda_add(w, SECOND / 10, later_hurry, a, number(w, p));
        thinks_better(w, p, a, b);
    } else {
        agenda_add(w, SECOND / 10, later_initiate, a, number(w, p));
        agenda_add(w, SECOND / 10 + 8000 + rng_below(&w->rng, 80000), later_terminate, b, number(w, p));
    }
    if (a->card) {
        site_card_habits(a->card, 0, (unsigned)rng_between(&w->rng, 1000, 300000), 0);
        agenda_add(w, SECOND, card_fast, a, 0);
    }
}

// New keys, for the IKE SA or its CHILD SAs, asked for at one end or at both at once: no packet may be lost.
static void act_rekey(struct world *w, struct pair *p)
{
    unsigned by = (unsigned)rng_below(&w->rng, 2), child = (unsigned)rng_below(&w->rng, 2);
    operator_order(end_of(w, p, by), CMD_REKEY, number(w, p), 0, child);
    if (rng_chance(&w->rng, 400))
        operator_order(end_of(w, p, !by), CMD_REKEY, number(w, p), 0, child);
}

// A second child beside the first, which must not notice.
static void act_aux(struct world *w, struct pair *p)
{
    unsigned by = (unsigned)rng_below(&w->rng, 2);
    if (p->variant[0].children > 1 && can_begin(p, by))
        operator_order(end_of(w, p, by), CMD_INITIATE, number(w, p), 0, 1);
}

// The same file again: nothing changes.
static void act_load(struct world *w, struct pair *p)
{
    operator_order(end_of(w, p, (unsigned)rng_below(&w->rng, 2)), CMD_LOAD, number(w, p), 0, 0);
}

// The same under other names, while it is up: its SAs serve the policies of the new ones.
static void act_rename(struct world *w, struct pair *p)
{
    struct site *s = end_of(w, p, (unsigned)rng_below(&w->rng, 2));
    if (s->d.life == UP)
        operator_rename(s, number(w, p));
}

// A daemon goes and comes again. It brings up what it starts itself, and INITIAL_CONTACT ends what the other
// end still has; where it does not, the other end has to give up first.
static void act_restart(struct world *w, struct pair *p)
{
    struct site *s = end_of(w, p, (unsigned)rng_below(&w->rng, 2));
    uint64_t away = rng_between(&w->rng, SECOND / 5, 3 * SECOND);
    if (s->d.life != UP || s->op.queue)
        return;
    for (unsigned i = 0; i < w->pairs; i++) {
        struct pair *q = &w->pair[i];
        unsigned side = q->b == s->index;
        if (q->a != s->index && q->b != s->index)
            continue;
        disturb(w, q, starts(q, side, START_NONE) ? NEVER : away + revival(q));
        q->begins = side;
    }
    service_forget(s);
    daemon_kill(s, ROOM_SUPER);
    fault_restart(s, away);
}

// A daemon gets no processor for a while, past the deadline of its card's SAs in half of all cases (10 s by
// the card's clock): these have stopped then, and go on in software with the next packet. The other end must
// not take it for dead meanwhile, which with short retransmissions is so after 12 s.
static void act_freeze(struct world *w, struct pair *p)
{
    struct site *s = end_of(w, p, (unsigned)rng_below(&w->rng, 2));
    bool long_one = s->card && !w->short_retry && rng_chance(&w->rng, 500);
    uint64_t still =
        long_one ? rng_between(&w->rng, 10 * SECOND, 14 * SECOND) : rng_below(&w->rng, 3 * SECOND);
    if (s->d.life != UP || s->op.queue)
        return;
    for (unsigned i = 0; i < w->pairs; i++)
        if ((w->pair[i].a == s->index || w->pair[i].b == s->index) && w->pair[i].up_from != NEVER)
            disturb(w, &w->pair[i], still + rest_of(w, &w->pair[i]));
    daemon_freeze(s, still);
}

// Whatever a card does that can be shown silent, packets go on by software.
static void act_card(struct world *w, struct pair *p)
{
    static const enum card_fault faults[] = {CARD_KILLED, CARD_HUNG,  CARD_FROZEN,
                                             CARD_RESET,  CARD_FATAL, CARD_ALL_ONES};
    struct site *s = end_of(w, p, (unsigned)rng_below(&w->rng, 2));
    if (s->card)
        fault_card(s, faults[rng_below(&w->rng, sizeof(faults) / sizeof(faults[0]))],
                   rng_between(&w->rng, SECOND, 10 * SECOND));
}

// Its tunnels go with it: path hears of it within 10 ms, and two exchanges of 8 ms follow
// (UPDATE_SA_ADDRESSES, and the peer's own question whether it is there); what is sent to where it was
// meanwhile is lost.
static void act_move(struct world *w, struct pair *p)
{
    struct site *s = end_of(w, p, 0);
    if (!p->roams || s->roam.moving)
        return;
    uint64_t time = roam_move(s);
    for (unsigned i = 0; i < w->pairs; i++) {
        struct pair *q = &w->pair[i];
        if (q->a == s->index && q->up_from != NEVER)
            disturb(w, q, time + (w->now >= q->up_from ? SECOND / 4 : rest_of(w, q) + revival(q)));
    }
}

typedef void (*act_fn)(struct world *w, struct pair *p);
static void act(struct world *w, void *ctx, uint64_t arg)
{
    static const act_fn up[] = {act_rebind, act_rebind, act_terminate, act_terminate, act_cross,
                                act_cross,  act_hasty,  act_hasty,     act_aux,       act_initiate,
                                act_load,   act_card,   act_restart,   act_rekey,     act_rekey,
                                act_freeze, act_freeze, act_rename};
    static const act_fn roaming[] = {act_move, act_move, act_move, act_rekey, act_terminate, act_hasty};
    struct pair *p = &w->pair[rng_below(&w->rng, w->pairs)];
    (void)ctx, (void)arg;
    if (!w->fair || w->now + REST_US > w->fair_until)
        return;
    if (w->now < end_of(w, p, 0)->d.frozen_until || w->now < end_of(w, p, 1)->d.frozen_until)
        ; // first it has to hear of what has happened
    else if (w->now < p->hands_until)
        ; // who brings it up now would be undone
    else if (p->up_from == NEVER)
        act_initiate(w, p);
    else if (w->now > p->up_from + SECOND)
        (p->roams && rng_chance(&w->rng, 400)
             ? roaming[rng_below(&w->rng, sizeof(roaming) / sizeof(roaming[0]))]
             : up[rng_below(&w->rng, sizeof(up) / sizeof(up[0]))])(w, p);
    agenda_add(w, rng_between(&w->rng, SECOND / 5, 3 * SECOND), act, NULL, 0);
}

// ---- the part as a whole

// Where several come from one address, what they have left half-open there keeps them out behind it
// (block_threshold, for half_open_timeout), and then the next request of an attempt is up to so much later.
static uint64_t behind_hole(const struct world *w)
{
    return w->warriors.count > 1 ? (30 + 12) * SECOND : 5 * SECOND;
}

// Somebody lets every IKE_AUTH disappear (a path that takes no large datagrams): keyingtries = 0 goes on.
// With the short retransmissions of such a world an attempt ends after 12 s, and the next one begins at once.
static void hole(struct world *w)
{
    if (!w->short_retry || !rng_chance(&w->rng, 500))
        return;
    w->auth_lost_until = w->now + rng_between(&w->rng, 5, 40) * SECOND;
    w->fair_until += w->auth_lost_until - w->now + behind_hole(w) + 15 * SECOND;
    TRACE(w, 91, w->auth_lost_until, "every IKE_AUTH is lost for a while");
}

static void fair_ends(struct world *w, void *ctx, uint64_t arg)
{
    (void)ctx, (void)arg;
    w->fair = false;
    for (unsigned i = 0; i < w->pairs; i++)
        disturb(w, &w->pair[i], NEVER);
    faults_start(w);
}

static void lists(struct world *w, void *ctx, uint64_t arg)
{
    (void)ctx, (void)arg;
    for (unsigned i = 0; i < w->sites; i++) {
        w->site[i].op.listed = false;
        operator_order(&w->site[i], CMD_LIST, 0, 0, 0);
    }
}

static void at_rest(struct world *w, void *ctx, uint64_t arg)
{
    (void)ctx, (void)arg;
    for (unsigned i = 0; i < w->pairs; i++)
        if (w->pair[i].up_from != NEVER && w->pair[i].up_from + REST_US / 2 > w->now)
            return; // a daemon came back late
    for (unsigned i = 0; i < w->sites; i++)
        if (!w->site[i].op.listed)
            return; // its operator waits for something else
    check_agreement(w);
    check_one(w);
}

void service_start(struct world *w)
{
    w->fair = true;
    w->fair_until = w->now + rng_between(&w->rng, 25, 80) * SECOND;
    w->jitter = (unsigned)rng_below(&w->rng, 2);
    hole(w);
    for (unsigned i = 0; i < w->pairs; i++) {
        struct pair *p = &w->pair[i];
        uint64_t began = w->auth_lost_until > w->now ? w->auth_lost_until - w->now + behind_hole(w) : 0;
        p->begins = 2;
        p->closures = 2; // the first attempt finds the other end without a connection
        disturb(w, p, began + 10 * SECOND);
        if (starts(p, 0, START_NONE) && starts(p, 1, START_NONE)) {
            disturb(w, p, NEVER);
            TRACE(w, 92, i, "%s waits for an operator", p->name);
        }
    }
    agenda_add(w, w->auth_lost_until > w->now ? w->auth_lost_until - w->now + 15 * SECOND : 10 * SECOND, act,
               NULL, 0);
    agenda_add(w, SAMPLE_US, sample, NULL, 0);
    agenda_add(w, w->fair_until - w->now - 2 * SECOND, lists, NULL, 0);
    agenda_add(w, w->fair_until - w->now - SECOND / 2, at_rest, NULL, 0);
    agenda_add(w, w->fair_until - w->now, fair_ends, NULL, 0);
}
