// SPDX-License-Identifier: Apache-2.0
// See crew.h. A worker says that it is in a burst, then looks whether it may be; control says that nobody
// may, then looks who is: one of the two sees the other, whatever the order. Nobody waits but where both
// want.
#include "ctrl/path/crew.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ctrl/path/io.h"

enum { TICK_MS = 20 };

// ---- standing still

static void changed(struct crew *c)
{
    pthread_mutex_lock(&c->lock);
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
}

static void begin_burst(void *ctx)
{
    struct worker *w = ctx;
    struct crew *c = &w->p->crew;
    for (;;) {
        atomic_store(&w->own.busy, true);
        if (!atomic_load(&c->stop))
            return;
        atomic_store(&w->own.busy, false);
        pthread_mutex_lock(&c->lock);
        pthread_cond_broadcast(&c->change);
        while (atomic_load(&c->stop))
            pthread_cond_wait(&c->change, &c->lock);
        pthread_mutex_unlock(&c->lock);
    }
}

static void end_burst(void *ctx)
{
    struct worker *w = ctx;
    struct crew *c = &w->p->crew;
    crew_tell(w);
    atomic_store(&w->own.busy, false);
    if (atomic_load(&c->stop))
        changed(c);
}

static bool any_busy(const struct path *p)
{
    for (unsigned i = 1; i < p->workers; i++)
        if (atomic_load(&p->worker[i].own.busy))
            return true;
    return false;
}

void crew_stop(struct path *p)
{
    struct crew *c = &p->crew;
    if (!c->apart || c->stops++)
        return;
    atomic_store(&c->stop, true);
    if (!any_busy(p))
        return;
    pthread_mutex_lock(&c->lock);
    while (any_busy(p))
        pthread_cond_wait(&c->change, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

void crew_go(struct path *p)
{
    struct crew *c = &p->crew;
    if (!c->apart || --c->stops)
        return;
    for (unsigned i = 0; i < p->workers; i++)
        crew_tell(&p->worker[i]); // what control has had them do
    atomic_store(&c->stop, false);
    changed(c);
}

static void control_begins(void *ctx)
{
    crew_stop(ctx);
}

static void control_ends(void *ctx)
{
    crew_go(ctx);
}

// ---- bells

void crew_ring(struct worker *w)
{
    uint64_t one = 1;
    if (!atomic_exchange(&w->own.rung, true))
        (void)!write(w->own.bell.fd, &one, sizeof(one));
}

static void heard(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    uint64_t value;
    (void)events;
    (void)!read(f->fd, &value, sizeof(value)); // first: what is rung after this line is heard again
    atomic_store(&w->own.rung, false);
    if (atomic_load(&w->own.ends))
        loop_stop(w->own.loop);
}

// Its work is done before the loop sleeps.
static void queue_rings(struct loop_fd *f, uint32_t events)
{
    (void)f, (void)events;
}

void crew_tell(struct worker *w)
{
    struct crew_member *own = &w->own;
    if (!w->p->crew.apart)
        return;
    for (unsigned i = 0; own->gave && i < w->p->workers; i++)
        if (own->gave >> i & 1)
            crew_ring(&w->p->worker[i]);
    own->gave = 0;
    if (own->apart && (own->noted || own->farewells || own->gone))
        crew_ring(w->p->worker);
}

// ---- threads

struct loop *crew_loop(const struct worker *w)
{
    return w->own.loop ? w->own.loop : w->p->loop;
}

static bool before_sleep(void *ctx)
{
    struct worker *w = ctx;
    struct esp_queue *q = path_queue(w, path_soft(w->p));
    io_pump(w);
    return q->ops->arm(q) || hand_waits(w);
}

static void tick(struct timer *t)
{
    struct worker *w = t->ctx;
    orphans_expire(w, loop_now(w->own.loop));
    early_expire(w, loop_now(w->own.loop));
    trapped_expire(w, loop_now(w->own.loop));
    timer_set(w->own.loop, t, loop_now(w->own.loop) + TICK_MS);
}

static void *run(void *ctx)
{
    struct worker *w = ctx;
    char name[16];
    snprintf(name, sizeof(name), "worker %u", w->index);
    prctl(PR_SET_NAME, name);
    loop_run(w->own.loop);
    return NULL;
}

static int open_bell(struct worker *w)
{
    struct loop_fd *b = &w->own.bell;
    *b = (struct loop_fd){
        .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .events = EPOLLIN, .ready = heard, .ctx = w};
    return b->fd < 0 ? -errno : loop_add(crew_loop(w), b);
}

static void to_control(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                       const char *text)
{
    (void)ike_name, (void)ike_id; // ike's
    note_log(ctx, s, level, text);
}

static int open_log(struct worker *w)
{
    w->own.log = log_new();
    if (!w->own.log)
        return -ENOMEM;
    struct log *before = log_use(w->own.log);
    log_set_sink(to_control, w);
    log_set_output(-1); // a write may wait for its reader, and control waits for a burst: control writes it
    log_use(before);
    loop_set_log(w->own.loop, w->own.log);
    return 0;
}

// The first of them has what there is one of: raw ESP and AH, which it hands over.
static void share(struct worker *w)
{
    const struct child_env *all = w->p->env;
    struct child_env *own = &w->own.env;
    const struct worker_fds *fds = &all->more[w->index - 2];
    *own = *all;
    own->tun = fds->tun;
    own->sock_esp_nat_t = fds->esp_nat_t;
    own->sock_esp6_nat_t = fds->esp6_nat_t;
    own->sock_esp = own->sock_esp6 = own->sock_ah = own->sock_ah6 = -1;
    w->env = own;
}

static int open_member(struct worker *w)
{
    if (w->index) {
        w->own.apart = true;
        w->own.loop = loop_new();
        if (!w->own.loop)
            return -errno;
        loop_set_guard(w->own.loop, (struct loop_guard){begin_burst, end_burst, w});
        int rc = open_log(w);
        if (rc < 0)
            return rc;
    }
    if (w->index > 1 && w->env == w->p->env)
        share(w);
    return open_bell(w);
}

int crew_open(struct path *p, struct esp_error *err)
{
    int rc = 0;
    p->crew.apart = true;
    pthread_mutex_init(&p->crew.lock, NULL);
    pthread_cond_init(&p->crew.change, NULL);
    for (unsigned i = 0; i < p->workers; i++)
        p->worker[i].own.bell.fd = -1;
    for (unsigned i = 0; i < p->workers && rc >= 0; i++)
        rc = open_member(&p->worker[i]);
    loop_set_guard(p->loop, (struct loop_guard){control_begins, control_ends, p});
    return rc < 0 ? esp_fail(err, rc, "workers", "cannot be set up: %s", strerror(-rc)) : 0;
}

static int start(struct worker *w)
{
    struct esp_queue *q = path_queue(w, path_soft(w->p));
    struct crew_member *own = &w->own;
    own->queue = (struct loop_fd){.fd = q->fd, .events = EPOLLIN, .ready = queue_rings, .ctx = w};
    int rc = loop_add(own->loop, &own->queue);
    if (rc < 0)
        return rc;
    loop_set_idle(own->loop, before_sleep, w);
    own->tick = (struct timer){.fire = tick, .ctx = w};
    timer_set(own->loop, &own->tick, loop_now(own->loop) + TICK_MS);
    return -pthread_create(&own->thread, NULL, run, w);
}

int crew_start(struct path *p, struct esp_error *err)
{
    for (unsigned i = 1; p->crew.apart && i < p->workers; i++) {
        int rc = start(&p->worker[i]);
        if (rc < 0)
            return esp_fail(err, rc, "workers", "no thread for one: %s", strerror(-rc));
        p->worker[i].own.runs = true;
    }
    return 0;
}

void crew_end(struct path *p)
{
    for (unsigned i = 1; i < p->workers; i++) {
        struct crew_member *own = &p->worker[i].own;
        if (!own->runs)
            continue;
        atomic_store(&own->ends, true);
        crew_ring(&p->worker[i]);
        pthread_join(own->thread, NULL);
        own->runs = false;
    }
}

void crew_close(struct path *p)
{
    crew_end(p);
    for (unsigned i = 0; p->crew.apart && i < p->workers; i++) {
        struct crew_member *own = &p->worker[i].own;
        if (own->bell.fd >= 0)
            close(own->bell.fd);
        loop_free(own->loop);
        log_free(own->log);
        own->loop = NULL;
        own->log = NULL;
    }
    if (p->crew.apart) {
        pthread_cond_destroy(&p->crew.change);
        pthread_mutex_destroy(&p->crew.lock);
    }
    p->crew.apart = false;
}
