// SPDX-License-Identifier: Apache-2.0
// One epoll loop with timers, and the clock of all that runs in it: CLOCK_BOOTTIME, or what a test sets, to
// run whole daemons under virtual time. A loop can be stepped by somebody else: loop_once(l, 0) never sleeps,
// and loop_next_timer says when it has to be called next.
#ifndef CTRL_LOOP_H
#define CTRL_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct clock {
    uint64_t (*us)(void *ctx); // microseconds; never goes back
    void *ctx;
};
struct loop_fd { // embed; one per watched descriptor
    int fd;
    uint32_t events; // EPOLLIN, ...
    void (*ready)(struct loop_fd *self, uint32_t events);
    void *ctx;
};
struct timer { // embed, zero-initialise; firing disarms it before the call
    uint64_t at;
    bool armed;
    unsigned index; // place in the heap
    void (*fire)(struct timer *self);
    void *ctx;
};

struct loop_late { // embed, zero-initialise; what is put off to the end of a turn
    void (*run)(struct loop_late *self);
    struct loop_late *next, *prev; // of the loop, while it is put off
    bool waits;
};

struct log;
struct loop *loop_new(void); // NULL: errno says why
void loop_free(struct loop *l);
void loop_set_clock(struct loop *l, struct clock c); // before anything asks for the time
void loop_set_log(struct loop *l, struct log *log);  // in use while its callbacks run
struct loop_guard {
    void (*begin)(void *ctx),
        (*end)(void *ctx); // around all that the loop calls, whenever there is something
    void *ctx;
};
void loop_set_guard(struct loop *l, struct loop_guard g);
uint64_t loop_now(const struct loop *l); // ms
uint64_t loop_now_us(const struct loop *l);
int loop_add(struct loop *l, struct loop_fd *f);    // 0 or -errno
int loop_modify(struct loop *l, struct loop_fd *f); // after changing f->events
void loop_del(struct loop *l,
              struct loop_fd *f); // safe from inside any ready(); pending events of f are dropped
void timer_set(struct loop *l, struct timer *t, uint64_t at_ms); // (re)arms; absolute
void timer_stop(struct loop *l, struct timer *t);
uint64_t loop_next_timer(const struct loop *l); // UINT64_MAX: none
void loop_run_timers(struct loop *l);           // fires all that are due
// What is done once a turn: run() is called when all that the loop has delivered has been, before it sleeps,
// in the order in which it was put off. False: the loop calls nobody now, so that the caller does it himself.
bool loop_put_off(struct loop *l, struct loop_late *w);
void loop_catch_up(struct loop *l);                        // runs all of it now
void loop_put_off_no(struct loop *l, struct loop_late *w); // it is not run
void loop_set_idle(struct loop *l, bool (*before_sleep)(void *ctx),
                   void *ctx); // true: do not sleep, poll and come back
int loop_run(struct loop *l);  // until loop_stop; 0 or -errno
void loop_once(struct loop *l, int timeout_ms);
bool loop_step(struct loop *l); // one turn without sleeping; false: nothing happened, and nothing will
                                // before the next timer or event
void loop_stop(struct loop *l);
int loop_pollfd(const struct loop *l); // readable: loop_once has something to deliver
bool loop_stopped(const struct loop *l);

#endif
