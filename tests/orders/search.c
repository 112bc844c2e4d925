// SPDX-License-Identifier: Apache-2.0
// The search, depth first. What an end does depends on itself alone and on what it gets: so what one has done
// from where it stood is known from then on (`moves`), and only what none has done yet is done by the ends
// themselves. Where they stand is kept by a fork: the child goes a step on, and all that can come of it; the
// parent waits for it. What is known is in memory that all share; only one process ever runs.
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/orders/orders.h"

enum { EVENTS_MAX = 3 * FLIGHT_MAX + 16, CPU_S = 600, SENT_MAX = 12 };
enum { LOG2_ENDS = 20, LOG2_MOVES = 22, LOG2_GRAMS = 20, LOG2_JUDGED = 20 };

struct shared {
    struct tally tally;
    char order[DEPTH_MAX * 5]; // that is being gone: for whoever finds the process dead
};
struct shelf { // things by their key, which each begins with; they stay where they are
    uint64_t *count, mask;
    uint32_t *slot; // 1 + its place, 0: none
    uint8_t *items;
    size_t size;
};
struct move {
    uint64_t key; // which end does what
    const struct end *to;
    const struct gram *sent[SENT_MAX];
    unsigned sent_count;
};
struct search {
    struct shared *shared;
    struct shelf seen, judged;       // hashes of moments, of ends that have been judged; of one pair of lists
    struct shelf ends, moves, grams; // of all pairs of lists
};

static void *common(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "orders: no memory for %zu octets\n", n);
        exit(2);
    }
    return p;
}

// --- what is known ---

static struct shelf shelf_new(unsigned log2_items, size_t size)
{
    struct shelf f = {.mask = ((uint64_t)1 << log2_items) - 1, .size = size};
    f.count = common(sizeof(*f.count));
    f.slot = common((f.mask + 1) * sizeof(f.slot[0]));
    f.items = common((f.mask + 1) * size);
    return f;
}

static void shelf_free(struct shelf *f)
{
    munmap(f->count, sizeof(*f->count));
    munmap(f->slot, (f->mask + 1) * sizeof(f->slot[0]));
    munmap(f->items, (f->mask + 1) * f->size);
}

static void shelf_clear(struct shelf *f)
{
    *f->count = 0;
    madvise(f->slot, (f->mask + 1) * sizeof(f->slot[0]), MADV_REMOVE);
    madvise(f->items, (f->mask + 1) * f->size, MADV_REMOVE);
}

static uint64_t key_at(const struct shelf *f, uint32_t slot)
{
    uint64_t key;
    memcpy(&key, f->items + (size_t)(slot - 1) * f->size, sizeof(key));
    return key;
}

static uint32_t *shelf_slot(const struct shelf *f, uint64_t key)
{
    uint64_t at = key & f->mask;
    while (f->slot[at] && key_at(f, f->slot[at]) != key)
        at = (at + 1) & f->mask;
    return &f->slot[at];
}

static void *shelf_find(const struct shelf *f, uint64_t key)
{
    uint32_t slot = *shelf_slot(f, key);
    return slot ? f->items + (size_t)(slot - 1) * f->size : NULL;
}

static bool shelf_is_full(const struct shelf *f)
{
    return *f->count * 4 > f->mask * 3;
}

// `item` begins with its key, which is not there yet. NULL: it is full.
static void *shelf_add(struct shelf *f, const void *item)
{
    uint64_t key;
    if (shelf_is_full(f))
        return NULL;
    memcpy(&key, item, sizeof(key));
    *shelf_slot(f, key) = (uint32_t)++ * f->count;
    return memcpy(f->items + (size_t)(*f->count - 1) * f->size, item, f->size);
}

static void *shelf_keep(struct shelf *f, const void *item)
{
    uint64_t key;
    memcpy(&key, item, sizeof(key));
    void *there = shelf_find(f, key);
    return there ? there : shelf_add(f, item);
}

struct search *search_new(unsigned log2_states)
{
    struct search *s = calloc(1, sizeof(*s));
    s->shared = common(sizeof(*s->shared));
    s->seen = shelf_new(log2_states, sizeof(uint64_t));
    s->judged = shelf_new(LOG2_JUDGED, sizeof(uint64_t));
    s->ends = shelf_new(LOG2_ENDS, sizeof(struct end));
    s->moves = shelf_new(LOG2_MOVES, sizeof(struct move));
    s->grams = shelf_new(LOG2_GRAMS, sizeof(struct gram));
    return s;
}

void search_free(struct search *s)
{
    struct shelf *all[] = {&s->seen, &s->judged, &s->ends, &s->moves, &s->grams};
    for (unsigned i = 0; i < 5; i++)
        shelf_free(all[i]);
    munmap(s->shared, sizeof(*s->shared));
    free(s);
}

// What the ends do is known for all lists, as long as there is room.
static void forget_all(struct search *s)
{
    struct shelf *all[] = {&s->ends, &s->moves, &s->grams};
    bool full = false;
    for (unsigned i = 0; i < 3; i++)
        full = full || *all[i]->count * 2 > all[i]->mask;
    for (unsigned i = 0; i < 3 && full; i++)
        shelf_clear(all[i]);
    shelf_clear(&s->seen);
    shelf_clear(&s->judged);
    memset(&s->shared->tally, 0, sizeof(s->shared->tally));
}

// True: it is new.
static bool see(struct search *s, uint64_t h)
{
    struct tally *y = &s->shared->tally;
    if (shelf_find(&s->seen, h))
        return false;
    if (!shelf_add(&s->seen, &h)) {
        y->full = true;
        return false;
    }
    y->states++;
    return true;
}

static void failed(struct search *s, const char *why, const char *order)
{
    struct tally *y = &s->shared->tally;
    if (y->failed++)
        return;
    snprintf(y->why, sizeof(y->why), "%s", why);
    snprintf(y->order, sizeof(y->order), "%s", order);
}

// True: this is the child. The parent comes back when it has ended.
static bool branch(struct search *s)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        return true;
    if (pid < 0) {
        failed(s, "orders: no more processes", s->shared->order);
        return false;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status) || WEXITSTATUS(status)) {
        char why[60];
        snprintf(why, sizeof(why), "crash: %s %d", WIFSIGNALED(status) ? "signal" : "exit status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        failed(s, why, s->shared->order);
    }
    return false;
}

static void going(struct search *s, const struct trial *t)
{
    memcpy(s->shared->order, t->order, sizeof(t->order));
}

static void judge(struct search *s, struct trial *t)
{
    s->shared->tally.ends++;
    trial_rest(t);
    if (!t->why[0])
        judge_rest(t);
    if (t->why[0])
        failed(s, t->why, t->order);
}

// Where something could still happen and nothing may, the order has become too long to be told.
static void not_whole(struct search *s, struct trial *t)
{
    if (!trial_at_end(t))
        trial_fail(t, "room", "there is none for a longer order");
    if (t->why[0])
        failed(s, t->why, t->order);
}

// --- by the ends themselves, each step ---

static void copies(struct trial *t)
{
    for (int side = 0; side < 2 && t->copies_apart && !t->why[0]; side++)
        trial_copies(t, side);
}

// Ends the process.
static void explore_by_ends(struct search *s, struct trial *t)
{
    struct event_of e[EVENTS_MAX];
    for (;;) {
        going(s, t);
        if (!t->why[0])
            judge_moment(t);
        if (t->why[0])
            failed(s, t->why, t->order);
        if (s->shared->tally.failed || !see(s, state_hash(t)))
            _exit(0);
        copies(t);
        if (t->why[0]) {
            failed(s, t->why, t->order);
            _exit(0);
        }
        if (trial_at_end(t) && branch(s)) {
            judge(s, t);
            _exit(0);
        }
        unsigned n = trial_events(t, e, EVENTS_MAX), i = 0;
        while (i + 1 < n && !branch(s))
            if (s->shared->tally.failed)
                _exit(0);
            else
                i++;
        if (!n) {
            not_whole(s, t);
            _exit(0);
        }
        s->shared->tally.transitions++;
        trial_do(t, &e[i]);
    }
}

// --- by what is known ---

struct gone { // a step from where the trial stands, or before
    struct event_of e;
    uint64_t end; // whose key is this then; 0: of neither
    int side;
};
struct walk {
    struct search *s;
    struct trial *t;
    unsigned depth, stands; // stands: steps that the trial has gone of it
    struct gone step[DEPTH_MAX];
};

static void give_up(struct walk *w)
{
    failed(w->s, w->t->why, w->t->order);
    _exit(0);
}

static void do_it(struct walk *w, struct event_of e)
{
    if (!trial_finds(w->t, &e))
        trial_fail(w->t, "known", "what was to happen at either end cannot");
    else
        trial_do(w->t, &e);
    going(w->s, w->t);
    w->s->shared->tally.gone++;
    if (w->t->why[0])
        give_up(w);
}

// The trial comes to where the walk is. It must be what was foretold.
static void catch_up(struct walk *w)
{
    for (; w->stands < w->depth; w->stands++) {
        const struct gone *g = &w->step[w->stands];
        struct end now;
        do_it(w, g->e);
        if (g->side < 0)
            continue;
        end_of(w->t, g->side, &now);
        if (now.key != g->end)
            trial_fail(w->t, "known", "side %d is not where it was from the same before", g->side);
        if (w->t->why[0])
            give_up(w);
    }
}

static uint64_t move_key(const struct moment *m, const struct event_of *e, int side)
{
    uint64_t h = hash_more(m->end[side]->key, &e->of, sizeof(e->of));
    bool again = e->kind == EV_AGAIN, begin = e->kind == EV_BEGIN;
    const unsigned what[] = {again ? 2u : begin, begin ? m->begun[side] : 0,
                             begin ? (unsigned)m->sc->acts[side][m->begun[side]] : 0, m->copies_apart};
    return hash_more(h, what, sizeof(what));
}

// The moment behind the event, where it is known.
static bool known(const struct search *s, struct moment *m, const struct event_of *e, int side)
{
    const struct move *v = side < 0 ? NULL : shelf_find(&s->moves, move_key(m, e, side));
    if (side >= 0 && !v)
        return false;
    moment_take(m, e);
    if (!v)
        return true;
    m->end[side] = v->to;
    for (unsigned i = 0; i < v->sent_count; i++)
        if (!moment_send(m, v->sent[i]))
            return false;
    return true;
}

// What that end is now; where none was so before, what has arrived there comes again.
static const struct end *stands(struct walk *w, int side)
{
    struct trial *t = w->t;
    struct end e;
    end_of(t, side, &e);
    const struct end *there = shelf_find(&w->s->ends, e.key);
    if (there)
        return there;
    if (t->copies_apart)
        trial_copies(t, side);
    memcpy(e.without, t->unanswered, sizeof(e.without));
    e.unanswered = (uint8_t)t->unanswered_count;
    there = t->why[0] ? NULL : shelf_add(&w->s->ends, &e);
    if (!there && !t->why[0])
        trial_fail(t, "room", "there is none for more ends");
    if (!there)
        give_up(w);
    return there;
}

// The trial goes the step, and it is known from now on.
static void learn(struct walk *w, const struct moment *m, const struct event_of *e, int side)
{
    struct search *s = w->s;
    struct trial *t = w->t;
    struct move v = {.key = move_key(m, e, side)};
    do_it(w, *e);
    if (t->sent_count > SENT_MAX)
        trial_fail(t, "room", "there is room for %d datagrams of one step", SENT_MAX);
    for (; !t->why[0] && v.sent_count < t->sent_count; v.sent_count++)
        if (!(v.sent[v.sent_count] = shelf_keep(&s->grams, &t->sent[v.sent_count])))
            trial_fail(t, "room", "there is none for more datagrams");
    if (t->why[0])
        give_up(w);
    v.to = stands(w, side);
    if (shelf_add(&s->moves, &v))
        return;
    trial_fail(t, "room", "there is none for more moves");
    give_up(w);
}

static void explore(struct walk *w, const struct moment *m);

// What holds does so at this moment, too, which is new.
static bool holds(struct walk *w, const struct moment *m)
{
    char why[WHY_MAX];
    const char *invariant = judge_ends(m, why, sizeof(why));
    if (!invariant && w->depth == DEPTH_MAX) {
        invariant = "room";
        snprintf(why, sizeof(why), "there is none for a longer order");
    }
    if (!invariant)
        return true;
    if (branch(w->s)) {
        catch_up(w);
        trial_fail(w->t, invariant, "%s", why);
        give_up(w);
    }
    return false;
}

// Nothing is on its way: how many losses and copies are left makes no difference any more.
static bool is_judged(struct search *s, const struct moment *m)
{
    struct moment end = *m;
    end.losses = end.copies = end.owed_count = 0;
    uint64_t h = moment_hash(&end);
    if (shelf_find(&s->judged, h))
        return true;
    shelf_add(&s->judged, &h); // where there is no room it is judged again
    return false;
}

static void come_to(struct walk *w, const struct moment *m)
{
    struct search *s = w->s;
    if (!see(s, moment_hash(m)) || !holds(w, m))
        return;
    if (moment_at_end(m) && !is_judged(s, m) && branch(s)) {
        catch_up(w);
        judge(s, w->t);
        _exit(0);
    }
    explore(w, m);
}

static void go_on(struct walk *w, const struct moment *next, const struct event_of *e, int side)
{
    w->step[w->depth++] = (struct gone){*e, side < 0 ? 0 : next->end[side]->key, side};
    come_to(w, next);
    w->depth--;
}

// The process that catches up has the rest of this moment's events, and ends behind them.
static void explore(struct walk *w, const struct moment *m)
{
    struct search *s = w->s;
    struct event_of e[EVENTS_MAX];
    bool ends = false;
    unsigned n = moment_events(m, e, EVENTS_MAX);
    for (unsigned i = 0; i < n && !s->shared->tally.failed; i++) {
        struct moment next = *m;
        int side = event_side(m, &e[i]);
        if (known(s, &next, &e[i], side)) {
            s->shared->tally.transitions++;
            go_on(w, &next, &e[i], side);
            continue;
        }
        if (w->stands < w->depth) {
            if (!branch(s))
                break;
            ends = true;
            catch_up(w);
        }
        if ((ends && i + 1 == n) || branch(s)) {
            next = *m;
            learn(w, m, &e[i], side);
            w->stands++;
            if (!known(s, &next, &e[i], side))
                trial_fail(w->t, "flood", "more than %d datagrams are on their way", FLIGHT_MAX);
            if (w->t->why[0])
                give_up(w);
            s->shared->tally.transitions++;
            go_on(w, &next, &e[i], side);
            _exit(0);
        }
    }
    if (ends)
        _exit(0);
}

static void explore_by_what_is_known(struct search *s, struct trial *t)
{
    struct walk *w = calloc(1, sizeof(*w));
    struct moment_room r;
    struct moment m = *moment_of(t, &r);
    w->s = s;
    w->t = t;
    for (int side = 0; side < 2; side++)
        m.end[side] = stands(w, side);
    come_to(w, &m);
}

static void first_process(const struct scenario *sc, struct trial **t)
{
    struct rlimit cpu = {CPU_S, CPU_S};
    setrlimit(RLIMIT_CPU, &cpu); // of each process: one that goes round for ever ends
    *t = calloc(1, sizeof(**t));
    trial_new(*t, sc);
}

bool search_all(struct search *s, const struct scenario *sc, bool by_ends, struct tally *out)
{
    struct trial *t;
    forget_all(s);
    if (branch(s)) {
        first_process(sc, &t);
        t->copies_apart = sc->copies > 0;
        t->drops_copies = by_ends && t->copies_apart;
        if (by_ends)
            explore_by_ends(s, t);
        else
            explore_by_what_is_known(s, t);
        _exit(0);
    }
    *out = s->shared->tally;
    return !out->failed;
}

bool search_walk(struct search *s, const struct scenario *sc, struct tally *out)
{
    struct event_of e[EVENTS_MAX];
    struct trial *t;
    struct rng r;
    rng_seed(&r, ~sc->seed);
    forget_all(s);
    if (branch(s)) {
        first_process(sc, &t);
        for (unsigned n; !trial_at_end(t) && !t->why[0] && (n = trial_events(t, e, EVENTS_MAX));) {
            s->shared->tally.transitions++;
            trial_do(t, &e[rng_below(&r, n)]);
            going(s, t);
            judge_moment(t);
        }
        not_whole(s, t);
        if (!t->why[0])
            judge(s, t);
        _exit(0);
    }
    *out = s->shared->tally;
    return !out->failed;
}

// Where what an order was kept for has been mended, more may be on its way: what has not begun begins, and
// all arrives.
static void come_to_end(struct search *s, struct trial *t)
{
    struct event_of e[EVENTS_MAX];
    while (!t->why[0] && !trial_at_end(t) && trial_events(t, e, EVENTS_MAX)) {
        s->shared->tally.transitions++;
        trial_do(t, &e[0]);
        judge_moment(t);
    }
    not_whole(s, t);
}

bool search_again(struct search *s, const struct scenario *sc, const char *order, struct tally *out)
{
    char text[DEPTH_MAX * 5], *save = NULL;
    struct event_of e;
    struct trial *t;
    forget_all(s);
    if (branch(s)) {
        first_process(sc, &t);
        snprintf(text, sizeof(text), "%s", order);
        for (char *w = strtok_r(text, ",", &save); w && !t->why[0]; w = strtok_r(NULL, ",", &save)) {
            if (!event_read(t, w, &e)) {
                trial_fail(t, "order", "'%s' cannot happen any more: it has to be found anew", w);
                break;
            }
            s->shared->tally.transitions++;
            trial_do(t, &e);
            going(s, t);
            judge_moment(t);
        }
        if (!t->why[0])
            come_to_end(s, t);
        if (t->why[0])
            failed(s, t->why, order);
        else
            judge(s, t);
        _exit(0);
    }
    *out = s->shared->tally;
    return !out->failed;
}

static void tell(const struct trial *t, const struct event_of *e)
{
    static const char *const what[] = {"begins", "arrives", "is lost", "arrives, and a copy is still to come",
                                       "sends again"};
    if (e->kind == EV_BEGIN)
        printf("%c begins: %s\n", "ab"[e->side], act_name(t->sc->acts[e->side][t->begun[e->side]]));
    else if (e->kind == EV_AGAIN)
        printf("%c sends the request of IKE SA [%u] again\n", "ab"[e->side], e -> at);
    else if (e->kind == EV_PAST)
        printf("to %c: message %u arrives once more\n", "ab"[t->past[e->at]->to],
               t -> past[e->at] -> data[23]);
    else
        printf("to %c: %s, message %u, %s: %s\n", "ab"[t->flight[e->at]->to],
               t -> flight[e->at] -> data[18] == EX_CREATE_CHILD ? "CREATE_CHILD_SA" : "other",
               (unsigned)t->flight[e->at]->data[23],
               t->flight[e->at]->data[19] & 0x20 ? "response" : "request", what[e->kind]);
    fflush(stdout);
}

bool search_replay(const struct scenario *sc, const char *order)
{
    char text[DEPTH_MAX * 5], *save = NULL;
    struct trial *t = calloc(1, sizeof(*t));
    struct event_of e;
    bool ok = true;
    trial_new(t, sc);
    snprintf(text, sizeof(text), "%s", order);
    for (char *w = strtok_r(text, ",", &save); ok && w && !t->why[0]; w = strtok_r(NULL, ",", &save)) {
        ok = event_read(t, w, &e);
        if (!ok) {
            printf("'%s' cannot happen here\n", w);
            break;
        }
        tell(t, &e);
        trial_do(t, &e);
        judge_moment(t);
    }
    if (ok && !t->why[0]) {
        trial_rest(t);
        judge_rest(t);
    }
    printf("%s\n", !ok ? "this is no order of these acts" : t->why[0] ? t->why : "everything held");
    ok = ok && !t->why[0];
    trial_free(t);
    free(t);
    return ok;
}
