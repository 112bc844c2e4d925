// SPDX-License-Identifier: Apache-2.0
// epoll and a binary heap of timers.
#include "ctrl/lib/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "ctrl/lib/log.h"

static uint64_t boottime_us(void *ctx)
{
    struct timespec ts;
    (void)ctx;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

#define BATCH 64
struct loop {
    struct clock clock;
    struct log *log; // NULL: the one that is in use anyway
    struct loop_guard guard;
    int epfd;
    bool stop;
    struct timer **heap;
    unsigned count, cap;
    struct epoll_event batch[BATCH]; // events being delivered; loop_del removes its own
    // Where there is a guard others may delete while this waits to go on, and see all of them or none: then
    // one that was deleted is delivered once more.
    _Atomic int batch_len;
    int delivered;  // of the last turn
    uint64_t fired; // timers in all
    bool (*before_sleep)(void *ctx);
    void *idle_ctx;
    unsigned calling; // somebody, by deliver() and the like
    struct loop_late *late, *last_late;
};

static void grow(struct loop *l)
{
    unsigned cap = l->cap ? 2 * l->cap : 64;
    struct timer **heap = realloc(l->heap, cap * sizeof(struct timer *));
    if (!heap)
        return;
    l->heap = heap;
    l->cap = cap;
}

// With room for the first timers, so that a small daemon needs none later.
static int fill(struct loop *l)
{
    l->clock.us = boottime_us;
    grow(l);
    l->epfd = l->cap ? epoll_create1(EPOLL_CLOEXEC) : -1;
    return l->epfd < 0 ? -1 : 0;
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (l && fill(l) < 0) {
        int e = errno;
        free(l->heap);
        free(l);
        l = NULL;
        errno = e;
    }
    return l;
}

void loop_set_clock(struct loop *l, struct clock c)
{
    l->clock = c;
}

void loop_set_log(struct loop *l, struct log *log)
{
    l->log = log;
}

uint64_t loop_now_us(const struct loop *l)
{
    return l->clock.us(l->clock.ctx);
}

uint64_t loop_now(const struct loop *l)
{
    return loop_now_us(l) / 1000;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    close(l->epfd);
    free(l->heap);
    free(l);
}

int loop_add(struct loop *l, struct loop_fd *f)
{
    struct epoll_event ev = {.events = f->events, .data.ptr = f};
    return epoll_ctl(l->epfd, EPOLL_CTL_ADD, f->fd, &ev) < 0 ? -errno : 0;
}

int loop_modify(struct loop *l, struct loop_fd *f)
{
    struct epoll_event ev = {.events = f->events, .data.ptr = f};
    return epoll_ctl(l->epfd, EPOLL_CTL_MOD, f->fd, &ev) < 0 ? -errno : 0;
}

void loop_del(struct loop *l, struct loop_fd *f)
{
    epoll_ctl(l->epfd, EPOLL_CTL_DEL, f->fd, NULL);
    for (int i = 0; i < l->batch_len; i++) {
        if (l->batch[i].data.ptr == f)
            l->batch[i].data.ptr = NULL;
    }
}

static void place(struct loop *l, struct timer *t, unsigned i)
{
    l->heap[i] = t;
    t->index = i;
}

static void sift_up(struct loop *l, struct timer *t, unsigned i)
{
    while (i > 0 && l->heap[(i - 1) / 2]->at > t->at) {
        place(l, l->heap[(i - 1) / 2], i);
        i = (i - 1) / 2;
    }
    place(l, t, i);
}

static void sift_down(struct loop *l, struct timer *t, unsigned i)
{
    for (;;) {
        unsigned c = 2 * i + 1;
        if (c + 1 < l->count && l->heap[c + 1]->at < l->heap[c]->at)
            c++;
        if (c >= l->count || l->heap[c]->at >= t->at)
            break;
        place(l, l->heap[c], i);
        i = c;
    }
    place(l, t, i);
}

void timer_stop(struct loop *l, struct timer *t)
{
    if (!t->armed)
        return;
    struct timer *last = l->heap[--l->count];
    t->armed = false;
    if (last == t)
        return;
    if (last->at < t->at)
        sift_up(l, last, t->index);
    else
        sift_down(l, last, t->index);
}

// Room is made while a quarter of it is left, so that memory may be short meanwhile.
void timer_set(struct loop *l, struct timer *t, uint64_t at_ms)
{
    timer_stop(l, t);
    if (4 * l->count >= 3 * l->cap)
        grow(l);
    if (l->count == l->cap) { // without timers it cannot keep its promises
        LOGF(DMN, 0, "out of memory for a timer beside %u others, the process ends", l->count);
        abort(); // nothing from the network sizes this heap unbounded
    }
    t->at = at_ms;
    t->armed = true;
    sift_up(l, t, l->count++);
}

uint64_t loop_next_timer(const struct loop *l)
{
    return l->count ? l->heap[0]->at : UINT64_MAX;
}

void loop_set_guard(struct loop *l, struct loop_guard g)
{
    l->guard = g;
}

void loop_put_off_no(struct loop *l, struct loop_late *w)
{
    if (!w->waits)
        return;
    *(w->prev ? &w->prev->next : &l->late) = w->next;
    *(w->next ? &w->next->prev : &l->last_late) = w->prev;
    w->waits = false;
}

bool loop_put_off(struct loop *l, struct loop_late *w)
{
    if (!l->calling || w->waits)
        return l->calling;
    w->waits = true;
    w->next = NULL;
    w->prev = l->last_late;
    *(w->prev ? &w->prev->next : &l->late) = w;
    l->last_late = w;
    return true;
}

void loop_catch_up(struct loop *l)
{
    while (l->late) {
        struct loop_late *w = l->late;
        loop_put_off_no(l, w);
        w->run(w);
    }
}

static struct log *enter(struct loop *l)
{
    if (l->guard.begin)
        l->guard.begin(l->guard.ctx);
    l->calling++;
    return l->log ? log_use(l->log) : NULL;
}

static void leave(struct loop *l, struct log *before)
{
    loop_catch_up(l);
    l->calling--;
    if (l->log)
        log_use(before);
    if (l->guard.end)
        l->guard.end(l->guard.ctx);
}

void loop_run_timers(struct loop *l)
{
    uint64_t now = loop_now(l);
    if (!l->count || l->heap[0]->at > now)
        return;
    struct log *before = enter(l);
    while (l->count && l->heap[0]->at <= now) {
        struct timer *t = l->heap[0];
        timer_stop(l, t);
        l->fired++;
        t->fire(t);
    }
    leave(l, before);
}

void loop_set_idle(struct loop *l, bool (*before_sleep)(void *ctx), void *ctx)
{
    l->before_sleep = before_sleep;
    l->idle_ctx = ctx;
}

static bool more(struct loop *l)
{
    if (!l->before_sleep)
        return false;
    struct log *before = enter(l);
    bool yes = l->before_sleep(l->idle_ctx);
    leave(l, before);
    return yes;
}

bool loop_step(struct loop *l)
{
    bool yes = more(l);
    uint64_t fired = l->fired;
    loop_once(l, 0);
    return yes || l->delivered || l->fired != fired;
}

static void deliver(struct loop *l)
{
    struct log *before = enter(l);
    for (int i = 0; i < l->batch_len; i++) {
        struct loop_fd *f = l->batch[i].data.ptr;
        if (f)
            f->ready(f, l->batch[i].events);
    }
    l->batch_len = 0; // before others may look at what the next turn writes
    leave(l, before);
}

void loop_once(struct loop *l, int timeout_ms)
{
    int n = epoll_wait(l->epfd, l->batch, BATCH, timeout_ms);
    l->delivered = n > 0 ? n : 0;
    l->batch_len = l->delivered;
    log_hold(); // the lines of a turn go out at once
    if (l->delivered)
        deliver(l);
    loop_run_timers(l);
    log_flush();
}

int loop_run(struct loop *l)
{
    while (!l->stop) {
        uint64_t now = loop_now(l), next = loop_next_timer(l);
        int timeout = next == UINT64_MAX   ? -1
                      : next <= now        ? 0
                      : next - now > 60000 ? 60000
                                           : (int)(next - now);
        if (more(l))
            timeout = 0;
        if (!l->stop)
            loop_once(l, timeout);
    }
    return 0;
}

int loop_pollfd(const struct loop *l)
{
    return l->epfd;
}

bool loop_stopped(const struct loop *l)
{
    return l->stop;
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}
