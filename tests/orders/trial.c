// SPDX-License-Identifier: Apache-2.0
// One trial: the two daemons of ike_pair.h with time standing still, and a network on which nothing moves by
// itself.
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/revive.h"
#include "tests/orders/orders.h"

enum { REST_MS = 600000, REST_STEP_MS = 20000 };

// The secrets' pages are wiped in a fork, as they should be; here a fork is how a state is kept.
int __wrap_madvise(void *p, size_t n, int advice);
int __real_madvise(void *p, size_t n, int advice);
int __wrap_madvise(void *p, size_t n, int advice)
{
    return advice == MADV_WIPEONFORK ? 0 : __real_madvise(p, n, advice);
}

void trial_fail(struct trial *t, const char *invariant, const char *fmt, ...)
{
    va_list ap;
    if (t->why[0])
        return;
    int n = snprintf(t->why, sizeof(t->why), "%s: ", invariant);
    va_start(ap, fmt);
    vsnprintf(t->why + n, sizeof(t->why) - (size_t)n, fmt, ap);
    va_end(ap);
}

// Whatever is left out of a table would not be judged: there has to be room for it.
static bool has_room(struct trial *t, unsigned count, unsigned most, const char *what)
{
    if (count >= most)
        trial_fail(t, "room", "there is room for %u %s", most, what);
    return count < most;
}

// --- random numbers ---

// They are those of what has just happened to that end, so that it does not matter in which order it all
// happened: to begin its n-th act, or to get what a datagram holds.
static void draw(struct trial *t, int side, uint64_t of, unsigned times)
{
    uint64_t h = hash_more(hash_more(t->sc->seed, &side, sizeof(side)), &of, sizeof(of));
    rng_seed(&t->rng, hash_more(h, &times, sizeof(times)));
    entropy_install(&t->rng);
}

static void use(struct trial *t, int side, uint64_t of)
{
    draw(t, side, of, 0);
}

// Each copy may make another IKE SA.
static void use_first(struct trial *t, int side, uint64_t of)
{
    unsigned i = 0;
    while (i < t->cause_count && (t->causes[i].of != of || t->causes[i].side != side))
        i++;
    if (i == t->cause_count && has_room(t, i, SEEN_MAX, "causes of random numbers"))
        t->causes[t->cause_count++] = (struct cause){.of = of, .side = side};
    draw(t, side, of, i < SEEN_MAX ? t->causes[i].times++ : 0);
}

// --- the network ---

static struct trial *at_work; // a seal has no context

int __wrap_cr_sk_seal(struct cr_sk *k, uint8_t *msg, size_t head, const uint8_t *inner, size_t len,
                      size_t total);
int __real_cr_sk_seal(struct cr_sk *k, uint8_t *msg, size_t head, const uint8_t *inner, size_t len,
                      size_t total);
int __wrap_cr_sk_seal(struct cr_sk *k, uint8_t *msg, size_t head, const uint8_t *inner, size_t len,
                      size_t total)
{
    uint64_t h = hash_more(hash_more(0, msg, head), inner, len);
    int rc = __real_cr_sk_seal(k, msg, head, inner, len, total);
    struct trial *t = at_work;
    if (t && !t->resting && has_room(t, t->opened_count, SEEN_MAX, "sealed messages"))
        t->opened[t->opened_count++] = (struct opened){hash_more(0, msg, total), h};
    return rc;
}

uint64_t trial_opened(const struct trial *t, const uint8_t *datagram, size_t len)
{
    uint64_t h = hash_more(0, datagram, len);
    for (unsigned i = 0; i < t->opened_count; i++)
        if (t->opened[i].datagram == h)
            return t->opened[i].inner;
    return h;
}

// SK's IV is the first that stands behind the headers; under one key each is of one message alone.
static void check_seal(struct trial *t, const struct datagram *d, uint64_t hash)
{
    struct seal_seen s = {.from = 1 - d->to, .hash = hash};
    if (d->len < 44 || d->data[16] == PL_SA)
        return;
    memcpy(s.spis, d->data, sizeof(s.spis));
    memcpy(s.iv, d->data + (d->data[16] == PL_SKF ? 36 : 32), sizeof(s.iv));
    for (unsigned i = 0; i < t->seal_count; i++) {
        const struct seal_seen *o = &t->seals[i];
        if (o->from != s.from || memcmp(o->spis, s.spis, 16) != 0 || memcmp(o->iv, s.iv, 8) != 0)
            continue;
        if (o->hash != s.hash)
            trial_fail(t, "nonce", "side %d sealed two messages with one IV under one key", s.from);
        return;
    }
    if (has_room(t, t->seal_count, SEEN_MAX, "IVs"))
        t->seals[t->seal_count++] = s;
}

static uint32_t mid_of(const uint8_t *message)
{
    return (uint32_t)message[20] << 24 | (uint32_t)message[21] << 16 | (uint32_t)message[22] << 8 |
           message[23];
}

static uint64_t spi_i_of(const uint8_t *message)
{
    uint64_t v;
    memcpy(&v, message, sizeof(v));
    return v;
}

static uint64_t be64_of(const uint8_t *p)
{
    struct reader r = reader_of(slice_of(p, 8));
    return rd_u64(&r);
}

static bool is_first(const struct flight *f) // IKE_SA_INIT
{
    return f->data[18] == EX_SA_INIT;
}

static const struct ike_sa *taker(const struct trial *t, const struct flight *f)
{
    for (const struct ike_sa *sa = t->p->s[f->to].ike->sas; sa; sa = sa->next)
        if (sa->spi_i == be64_of(f->data) && sa->spi_r == be64_of(f->data + 8))
            return sa;
    return NULL;
}

// Its exchange has not been gone through by it: a copy may be what does so.
static bool is_open(const struct trial *t, const struct flight *f)
{
    const struct ike_sa *sa = taker(t, f);
    if (f->data[19] & 0x20)
        return sa && sa->request && sa->out_mid == mid_of(f->data);
    return !sa || sa->in_mid <= mid_of(f->data);
}

static bool same_way(const struct net_path *a, const struct net_path *b)
{
    return addr_eq(&a->local, &b->local) && addr_eq(&a->remote, &b->remote);
}

// The same is on its way already: as trial_copies shows, it changes nothing.
static bool is_copy(const struct trial *t, const struct datagram *d, uint64_t hash)
{
    for (unsigned i = 0; i < t->in_flight; i++)
        if (t->flight[i]->hash == hash && same_way(&t->flight[i]->path, &d->path))
            return true;
    return false;
}

static int capture(struct pair *p, unsigned number, struct datagram *d)
{
    struct trial *t = p->ctx;
    uint64_t hash = hash_more(hash_more(0, d->data, d->len), &d->to, sizeof(d->to));
    (void)number;
    check_seal(t, d, hash);
    if (t->resting)
        return 1;
    t->answered_again += (d->data[19] & 0x20) != 0;
    if (has_room(t, t->sent_count, FLIGHT_MAX, "datagrams of one step")) {
        struct flight f = {.to = d->to, .path = d->path, .len = d->len, .data = d->data};
        gram_of(t, &f, &t->sent[t->sent_count++]);
    }
    if (t->drops_copies && is_copy(t, d, hash))
        return 0;
    if (t->in_flight == FLIGHT_MAX) {
        trial_fail(t, "flood", "more than %d datagrams are on their way", FLIGHT_MAX);
        return 0;
    }
    struct flight *f = calloc(1, sizeof(*f));
    *f = (struct flight){.to = d->to, .path = d->path, .len = d->len, .hash = hash, .data = malloc(d->len)};
    memcpy(f->data, d->data, d->len);
    t->flight[t->in_flight++] = f;
    return 0;
}

static void flight_free(struct flight *f)
{
    free(f->data);
    free(f);
}

static struct flight *flight_copy(const struct flight *of)
{
    struct flight *f = malloc(sizeof(*f));
    *f = *of;
    f->data = malloc(of->len);
    memcpy(f->data, of->data, of->len);
    return f;
}

static void take_out(struct trial *t, unsigned at)
{
    for (t->in_flight--; at < t->in_flight; at++)
        t->flight[at] = t->flight[at + 1];
}

// --- making one ---

// `c` is what is rekeyed and deleted, `d` lets nobody end the IKE SA when `c` goes, `e` is made.
static void configure(struct conn_config *c, int side)
{
    static struct child_config all[2][3];
    for (unsigned i = 0; i < 3; i++) {
        struct child_config *k = &all[side][i];
        *k = c->children[0];
        pair_own_selectors(k);
        k->name = (const char *[]){"c", "d", "e"}[i];
        k->local_ts->t[0].lo[1] = k->local_ts->t[0].hi[1] = (uint8_t)(10 * i + (side ? 2 : 1));
        k->remote_ts->t[0].lo[1] = k->remote_ts->t[0].hi[1] = (uint8_t)(10 * i + (side ? 1 : 2));
    }
    c->children = all[side];
    c->child_count = 3;
    c->mobike = true;
    if (!side)
        c->local_count = 0;
}

// A new IKE SA whose IKE_AUTH is under way when it is deleted: that is told once, and where it is lost the
// peer finds out by its liveness checks.
static void configure_watched(struct conn_config *c, int side)
{
    configure(c, side);
    c->dpd_delay = 30;
}

bool trial_begins_anew(const struct scenario *sc)
{
    bool ends = false, begins = false, reauth = false;
    for (int s = 0; s < 2; s++) {
        for (const char *a = sc->acts[s]; *a; a++) {
            ends = ends || *a == 'D';
            begins = begins || *a == 'n';
            reauth = reauth || *a == ACT_REAUTH;
        }
    }
    return reauth || (ends && begins);
}

bool trial_new(struct trial *t, const struct scenario *sc)
{
    memset(t, 0, sizeof(*t));
    t->sc = sc;
    at_work = t;
    use(t, 2, 0);
    t->losses = sc->losses;
    t->copies = sc->copies;
    t->p = pair_established(UNIQUE_REPLACE, trial_begins_anew(sc) ? configure_watched : configure);
    pair_result(t->p, 0, pair_initiate(t->p, 0, "d"), true);
    t->p->ctx = t;
    t->p->filter = capture;
    return true;
}

void trial_free(struct trial *t)
{
    while (t->in_flight)
        flight_free(t->flight[--t->in_flight]);
    while (t->past_count)
        flight_free(t->past[--t->past_count]);
    pair_free(t->p);
    at_work = NULL;
}

// --- what may happen ---

static bool fits(const struct trial *t)
{
    return strlen(t->order) + 16 < sizeof(t->order);
}

const struct ike_sa *trial_asks(const struct trial *t, int side, uint64_t spi_i, uint32_t mid)
{
    for (const struct ike_sa *sa = t->p->s[side].ike->sas; sa; sa = sa->next)
        if (sa->request && sa->request_len >= 28 && spi_i_of(sa->request) == spi_i &&
            mid_of(sa->request) == mid)
            return sa;
    return NULL;
}

unsigned trial_events(struct trial *t, struct event_of *e, unsigned max)
{
    struct moment_room r;
    return fits(t) ? moment_events(moment_of(t, &r), e, max) : 0;
}

static bool finds_asking(const struct trial *t, struct event_of *e)
{
    for (const struct ike_sa *sa = t->p->s[e->side].ike->sas; sa; sa = sa->next)
        if (sa->request && trial_opened(t, sa->request, sa->request_len) == e->of) {
            e->at = sa->id;
            return true;
        }
    return false;
}

bool trial_finds(const struct trial *t, struct event_of *e)
{
    if (e->kind == EV_BEGIN)
        return true;
    if (e->kind == EV_AGAIN)
        return finds_asking(t, e);
    for (e->at = 0; e->at < t->in_flight; e->at++) {
        struct gram g;
        gram_of(t, t->flight[e->at], &g);
        if (g.key == e->of)
            return true;
    }
    return false;
}

bool trial_at_end(const struct trial *t)
{
    return !t->in_flight && !t->sc->acts[0][t->begun[0]] && !t->sc->acts[1][t->begun[1]];
}

static void note(struct trial *t, const struct event_of *e)
{
    char one[16];
    if (e->kind == EV_BEGIN)
        snprintf(one, sizeof(one), "%c", "ab"[e->side]);
    else if (e->kind == EV_AGAIN)
        snprintf(one, sizeof(one), "%c%u", "rs"[e->side], e -> at);
    else
        snprintf(one, sizeof(one), "%c%u", "?+-=?p"[e->kind], e -> at);
    snprintf(t->order + strlen(t->order), sizeof(t->order) - strlen(t->order), "%s%s", t->order[0] ? "," : "",
             one);
}

// Whether it would do something. A request may go out again at any time, whatever has been lost.
static bool may_happen(const struct trial *t, const struct event_of *e)
{
    const struct ike_sa *sa = e->kind == EV_AGAIN ? sa_by_id(t->p->s[e->side].ike, e->at) : NULL;
    switch (e->kind) {
    case EV_BEGIN: return t->sc->acts[e->side][t->begun[e->side]];
    case EV_PAST: return e->at < t->past_count;
    case EV_AGAIN: return sa && sa->request && sa->later->retransmit.armed;
    case EV_LOSE: return e->at < t->in_flight && t->losses;
    case EV_KEEP: return e->at < t->in_flight && t->copies;
    default: return e->at < t->in_flight;
    }
}

bool event_read(const struct trial *t, const char *text, struct event_of *e)
{
    static const char kinds[] = "ab+-=rsp";
    const char *k = *text ? strchr(kinds, *text) : NULL;
    char *end;
    if (!k)
        return false;
    memset(e, 0, sizeof(*e));
    e->kind = (const enum event_kind[]){EV_BEGIN, EV_BEGIN, EV_ARRIVE, EV_LOSE,
                                        EV_KEEP,  EV_AGAIN, EV_AGAIN,  EV_PAST}[k - kinds];
    e->side = *text == 'b' || *text == 's';
    e->at = (uint32_t)strtoul(text + 1, &end, 10);
    return (e->kind == EV_BEGIN || end != text + 1) && !*end && may_happen(t, e);
}

static void has_arrived(struct trial *t, struct flight *f)
{
    for (unsigned i = 0; i < t->past_count; i++)
        if (t->past[i]->hash == f->hash && same_way(&t->past[i]->path, &f->path)) {
            flight_free(f);
            return;
        }
    if (!is_first(f) && has_room(t, t->past_count, FLIGHT_MAX, "datagrams that have arrived"))
        t->past[t->past_count++] = f;
    else
        flight_free(f);
}

static void arrive(struct trial *t, uint32_t at, bool keep)
{
    struct flight *f = t->flight[at];
    (is_first(f) ? use_first : use)(t, f->to, trial_opened(t, f->data, f->len));
    ike_receive(t->p->s[f->to].ike, &f->path, slice_of(f->data, f->len));
    if (!keep)
        take_out(t, at); // nothing that it called forth stands before it
    has_arrived(t, keep ? flight_copy(f) : f);
}

static void send_again(struct trial *t, int side, uint32_t id)
{
    struct ike_sa *sa = sa_by_id(t->p->s[side].ike, id);
    use(t, side, id);
    if (!sa || !sa->request || !sa->later->retransmit.armed)
        return;
    timer_stop(t->p->loop, &sa->later->retransmit);
    sa->later->retransmit.fire(&sa->later->retransmit);
}

static void lose(struct trial *t, uint32_t at)
{
    struct flight *f = t->flight[at];
    bool response = f->data[19] & 0x20;
    t->losses--;
    if (has_room(t, t->owed_count, LOSSES_MAX, "losses"))
        t->owed[t->owed_count++] = (struct lost){
            .spi_i = spi_i_of(f->data), .mid = mid_of(f->data), .by = response ? f->to : 1 - f->to};
    take_out(t, at);
    flight_free(f);
}

static void not_owed(struct trial *t, int side, uint32_t id)
{
    for (unsigned i = 0; i < t->owed_count; i++) {
        const struct lost *l = &t->owed[i];
        const struct ike_sa *sa = l->by == side ? trial_asks(t, side, l->spi_i, l->mid) : NULL;
        if (sa && sa->id == id) {
            t->owed[i] = t->owed[--t->owed_count];
            return;
        }
    }
}

// The path has had a key before: the new SA would begin with the same numbers.
static void check_keys(struct trial *t, int side)
{
    struct side *s = &t->p->s[side];
    for (unsigned i = t->keys_taken[side]; i < s->sa_count; i++) {
        for (unsigned k = 0; k < t->key_count; k++)
            if (memcmp(t->keys[k], s->sas[i].key_out, 32) == 0)
                trial_fail(t, "nonce", "the key of side %d's CHILD SA %08x was one before", side,
                           s->sas[i].child.spi_out);
        if (has_room(t, t->key_count, SEEN_MAX, "keys"))
            memcpy(t->keys[t->key_count++], s->sas[i].key_out, 32);
    }
    pair_forget_deleted(s);
    t->keys_taken[side] = s->sa_count;
    s->policies = 0;
}

static void settle(struct trial *t)
{
    pair_run(t->p);
    for (int s = 0; s < 2; s++)
        check_keys(t, s);
}

// It has to be where the peer still waits for the answer.
static void not_answered(struct trial *t, const struct flight *f)
{
    struct unanswered u = {spi_i_of(f->data), mid_of(f->data)};
    const struct ike_sa *sa = taker(t, f);
    if (!sa || sa->in_mid != u.mid + 1)
        return;
    if (trial_asks(t, 1 - f->to, u.spi_i, u.mid))
        trial_fail(t, "copy", "side %d does not answer message %u, that came again", f->to, u.mid);
    if (has_room(t, t->unanswered_count, UNANSWERED_MAX, "requests without an answer"))
        t->unanswered[t->unanswered_count++] = u;
}

// An answer may go out once more, as it was.
static void past(struct trial *t, uint32_t at)
{
    const struct flight *f = t->past[at];
    unsigned in_flight = t->in_flight, sealed = t->opened_count;
    unsigned again = t->answered_again;
    struct end before, after;
    end_of(t, f->to, &before);
    t->sent_count = 0;
    use(t, f->to, trial_opened(t, f->data, f->len));
    ike_receive(t->p->s[f->to].ike, &f->path, slice_of(f->data, f->len));
    settle(t);
    if (t->in_flight > in_flight + 1 || t->opened_count != sealed)
        trial_fail(t, "copy", "side %d answers message %u, that came again, by %s", f->to, f->data[23],
                   t->opened_count != sealed ? "another message" : "more than one");
    if (!(f->data[19] & 0x20) && t->answered_again == again)
        not_answered(t, f);
    while (t->in_flight > in_flight)
        flight_free(t->flight[--t->in_flight]);
    end_of(t, f->to, &after);
    if (after.key != before.key)
        trial_fail(t, "copy", "message %u, that came again, changes something at side %d", f->data[23],
                   f->to);
}

void trial_copies(struct trial *t, int side)
{
    t->unanswered_count = 0;
    for (unsigned i = 0; i < t->past_count && !t->why[0]; i++) {
        if (t->past[i]->to != side || !taker(t, t->past[i]) || is_open(t, t->past[i]))
            continue;
        past(t, i);
        if (t->why[0])
            note(t, &(struct event_of){.kind = EV_PAST, .at = i});
    }
}

void trial_do(struct trial *t, const struct event_of *e)
{
    note(t, e);
    t->sent_count = 0;
    switch (e->kind) {
    case EV_BEGIN:
        use(t, e->side, ~(uint64_t)t->begun[e->side]);
        act_begin(t, e->side, t->sc->acts[e->side][t->begun[e->side]++]);
        break;
    case EV_PAST: past(t, e->at); return;
    case EV_ARRIVE: arrive(t, e->at, false); break;
    case EV_KEEP:
        t->copies--;
        arrive(t, e->at, true);
        break;
    case EV_LOSE: lose(t, e->at); break;
    case EV_AGAIN:
        not_owed(t, e->side, e->at);
        send_again(t, e->side, e->at);
        break;
    }
    settle(t);
}

void trial_rest(struct trial *t)
{
    t->resting = true;
    t->p->s[0].refuse_next = t->p->s[1].refuse_next = false;
    for (unsigned i = 0; i < REST_MS / REST_STEP_MS; i++) {
        use(t, 2, i + 1);
        pair_wait(t->p, REST_STEP_MS);
        settle(t);
    }
}

// --- the acts ---

const char *act_name(char act)
{
    switch (act) {
    case 'c': return "rekey CHILD";
    case 'i': return "rekey IKE";
    case 'd': return "delete CHILD";
    case 'D': return "delete IKE";
    case 'l': return "liveness check";
    case 'm': return "MOBIKE update";
    case 'n': return "new CHILD";
    case ACT_REFUSE: return "path refuses the next CHILD SA";
    case ACT_FORCE: return "delete CHILD by force";
    case ACT_IDLE: return "CHILD has been idle";
    case ACT_REAUTH: return "reauthenticate";
    default: return NULL;
    }
}

static struct ike_sa *in_force(struct side *s)
{
    struct ike_sa *sa = s->ike->sas;
    while (sa && sa->state != SA_ESTABLISHED)
        sa = sa->next;
    return sa;
}

static struct child_sa *carrier(struct side *s, const char *name)
{
    for (struct ike_sa *sa = s->ike->sas; sa; sa = sa->next)
        for (struct child_sa *c = sa->children; c; c = c->next)
            if (child_is_up(c) && strcmp(c->cfg->name, name) == 0)
                return c;
    return NULL;
}

static void move(struct side *s)
{
    bool away = s->source.family && s->source.a[3] == 9;
    addr_parse(away ? "10.0.0.8" : "10.0.0.9", &s->source);
    ipc_send(s->path_ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
}

// All that could carry it: a rekeying has nothing to do with how long ago the last packet was.
static void idle(struct side *s, const char *name)
{
    for (const struct ike_sa *sa = s->ike->sas; sa; sa = sa->next)
        for (const struct child_sa *c = sa->children; c; c = c->next)
            if (child_is_up(c) && strcmp(c->cfg->name, name) == 0)
                ipc_send(s->path_ike, MSG_CHILD_EVENT,
                         &(struct msg_CHILD_EVENT){.child_id = c->id, .event = CHILD_EVENT_IDLE});
}

void act_begin(struct trial *t, int side, char act)
{
    struct side *s = &t->p->s[side];
    struct ike_sa *sa = in_force(s);
    struct child_sa *c = carrier(s, "c");
    if (act == 'c' && c)
        expiry_rekey(c);
    else if (act == 'i' && sa)
        rekey_ike(sa);
    else if (act == 'd')
        pair_terminate(t->p, side, "c", false);
    else if (act == 'D')
        pair_terminate(t->p, side, NULL, false);
    else if (act == 'l' && sa)
        exchange_queue(sa, TASK_LIVENESS, 0);
    else if (act == 'm')
        move(s);
    else if (act == 'n')
        pair_initiate(t->p, side, "e");
    else if (act == ACT_FORCE)
        pair_terminate(t->p, side, "c", true);
    else if (act == ACT_IDLE)
        idle(s, "c");
    else if (act == ACT_REFUSE)
        s->refuse_next = true;
    else if (act == ACT_REAUTH && sa)
        revive_reauthenticate(sa);
}
