// SPDX-License-Identifier: Apache-2.0
// The search, depth first. A state that has several ways on is kept by a fork: the child goes one of them,
// the parent waits for it and goes the next. The states that were seen are in memory that all share; only one
// process ever runs.
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/orders/orders.h"

enum { EVENTS_MAX = 3 * FLIGHT_MAX + 16, CPU_S = 60 };

struct shared {
    struct tally tally;
    char order[DEPTH_MAX * 5]; // that is being gone: for whoever finds the process dead
};
struct search {
    struct shared *shared;
    uint64_t *seen;
    uint64_t mask;
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

struct search *search_new(unsigned log2_states)
{
    struct search *s = calloc(1, sizeof(*s));
    s->mask = ((uint64_t)1 << log2_states) - 1;
    s->shared = common(sizeof(*s->shared));
    s->seen = common((s->mask + 1) * sizeof(uint64_t));
    return s;
}

void search_free(struct search *s)
{
    munmap(s->shared, sizeof(*s->shared));
    munmap(s->seen, (s->mask + 1) * sizeof(uint64_t));
    free(s);
}

static void forget_all(struct search *s)
{
    madvise(s->seen, (s->mask + 1) * sizeof(uint64_t), MADV_REMOVE);
    memset(&s->shared->tally, 0, sizeof(s->shared->tally));
}

// True: it is new.
static bool see(struct search *s, uint64_t h)
{
    struct tally *y = &s->shared->tally;
    uint64_t at = h & s->mask;
    while (s->seen[at] && s->seen[at] != h)
        at = (at + 1) & s->mask;
    if (s->seen[at])
        return false;
    if (y->states * 4 > s->mask * 3) {
        y->full = true;
        return false;
    }
    s->seen[at] = h;
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

// Ends the process.
static void explore(struct search *s, struct trial *t)
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
        if (t->copies_apart)
            trial_copies(t);
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

static void first_process(const struct scenario *sc, struct trial **t)
{
    struct rlimit cpu = {CPU_S, CPU_S};
    setrlimit(RLIMIT_CPU, &cpu); // of each process: one that goes round for ever ends
    *t = calloc(1, sizeof(**t));
    trial_new(*t, sc);
}

bool search_all(struct search *s, const struct scenario *sc, struct tally *out)
{
    struct trial *t;
    forget_all(s);
    if (branch(s)) {
        first_process(sc, &t);
        t->copies_apart = sc->copies > 0;
        explore(s, t);
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
