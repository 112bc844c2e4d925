// SPDX-License-Identifier: Apache-2.0
// One epoll loop with timers. Time is CLOCK_BOOTTIME in milliseconds behind clock_now(), which a test
// replaces to run a whole exchange under virtual time (loop_run_timers without epoll).
#ifndef CTRL_LOOP_H
#define CTRL_LOOP_H

#include <stdbool.h>
#include <stdint.h>

extern uint64_t (*clock_now)(void); // ms

struct loop;
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

struct loop *loop_new(void);
void loop_free(struct loop *l);
int loop_add(struct loop *l, struct loop_fd *f);    // 0 or -errno
int loop_modify(struct loop *l, struct loop_fd *f); // after changing f->events
void loop_del(struct loop *l,
              struct loop_fd *f); // safe from inside any ready(); pending events of f are dropped
void timer_set(struct loop *l, struct timer *t, uint64_t at_ms); // (re)arms; absolute
void timer_stop(struct loop *l, struct timer *t);
uint64_t loop_next_timer(const struct loop *l); // UINT64_MAX: none
void loop_run_timers(struct loop *l);           // fires all that are due at clock_now()
void loop_set_idle(struct loop *l, bool (*before_sleep)(void *ctx),
                   void *ctx); // true: do not sleep, poll and come back
int loop_run(struct loop *l);  // until loop_stop; 0 or -errno
void loop_once(struct loop *l, int timeout_ms);
void loop_stop(struct loop *l);

#endif
