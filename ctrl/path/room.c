// SPDX-License-Identifier: Apache-2.0
// The path room put together: its channels, what comes in from each, opening and the end.
#include "ctrl/path/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/sadb.h"

#define TICK_MS      20
#define SCAN_MS      500
#define CARD_WAIT_MS 2000 // at the start, for a card that is there

static void shut_down(struct path *p, const struct msg_SHUTDOWN *m)
{
    p->orderly = m->orderly;
    spd_leave_closed(p);
    if (!m->soon)
        loop_stop(p->loop);
}

static void read_on(struct path *p)
{
    int rc = 0;
    p->shut = false;
    for (unsigned i = 0; i < p->workers && rc == 0; i++)
        rc = io_read_on(&p->worker[i]);
    if (rc == 0) {
        LOGF(DMN, 1, "path serves again");
        return;
    }
    LOGF(NET, 0, "packets cannot be read: %s", strerror(-rc));
    p->status = 1; // and the next one tries again
    loop_stop(p->loop);
}

static void open_to_packets(struct path *p, const struct msg_PATH_OPEN *m)
{
    p->lacks = p->lacks && !m->whole; // what it has it keeps
    if (p->shut) {
        virtual_let_go(p);
        read_on(p);
    }
    if (!p->lacks)
        kernel_watch_whole(p);
    else
        LOGF(ESP, 0,
             "some of the loaded policies, or of the SAs that alone know their ends, are not there yet: what "
             "no policy protects is dropped until they are");
}

static struct ipc_chan **slot(struct path *p, enum room peer)
{
    return peer == ROOM_SUPER ? &p->super
           : peer == ROOM_CTL ? &p->ctl
           : peer == ROOM_IKE ? &p->ike
                              : &p->keys;
}

// A room that died is there again.
static void attach_again(struct path *p, enum room room, int fd)
{
    if (room != ROOM_CTL && room != ROOM_IKE && room != ROOM_KEYS) {
        close(fd);
        return;
    }
    ipc_close(*slot(p, room));
    if (room == ROOM_KEYS)
        sadb_next_keys(p);
    if (path_attach(p, room, fd) < 0)
        close(fd);
    else if (room == ROOM_IKE)
        survivors_begin(p);
}

static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct path *p = ctx;
    switch (t) {
    case MSG_CHILD_INSTALL: sadb_install(p, &m->CHILD_INSTALL); break;
    case MSG_CHILD_EXPECT: (m->CHILD_EXPECT.over ? early_over : early_expect)(p, m->CHILD_EXPECT.spi); break;
    case MSG_CHILD_DELETE:
        sadb_delete(p, m->CHILD_DELETE.child_id);
        ipc_result(c, m->CHILD_DELETE.req, true, "%s", "");
        break;
    case MSG_CHILD_OUTBOUND: child_outbound(p, &m->CHILD_OUTBOUND); break;
    case MSG_CHILD_ENDPOINT: child_endpoint(p, &m->CHILD_ENDPOINT); break;
    case MSG_POLICY_APPLY: policy_apply(p, &m->POLICY_APPLY); break;
    case MSG_POLICY_CLEAR: policy_clear(p, &m->POLICY_CLEAR); break;
    case MSG_VIRTUAL_ADD: virtual_add(p, &m->VIRTUAL_ADD); break;
    case MSG_VIRTUAL_DEL: virtual_del(p, &m->VIRTUAL_DEL); break;
    case MSG_PATH_LIST: stats_sas(p, &m->PATH_LIST); break;
    case MSG_PATH_STATS: stats_counters(p, m->PATH_STATS.req); break;
    case MSG_TRAFFIC_LIST: traffic_list(p, &m->TRAFFIC_LIST); break;
    case MSG_POLICY_LIST: policy_list(p, &m->POLICY_LIST); break;
    case MSG_SWEEP: kernel_watch_sweep(p, &m->SWEEP); break;
    case MSG_PATH_OPEN: open_to_packets(p, &m->PATH_OPEN); break;
    case MSG_NEXT_IKE: survivors_late(p); break;
    case MSG_SURVIVORS_END: survivors_end(p, &m->SURVIVORS_END); break;
    case MSG_SURVIVOR_LIST: survivors_list(p, &m->SURVIVOR_LIST); break;
    case MSG_CHANNEL: attach_again(p, (enum room)m->CHANNEL.room, ipc_take_fd(c)); break;
    case MSG_SHUTDOWN: shut_down(p, &m->SHUTDOWN); break;
    case MSG_SETTINGS:
        if (m->SETTINGS.settings.len == sizeof(p->set))
            memcpy(&p->set, m->SETTINGS.settings.p, sizeof(p->set));
        break;
    default: LOGF(ESP, 0, "unexpected message %s from %s", msg_name(t), ipc_peer(c)); break;
    }
    vti_ways_turn(p); // an SA may have come, or gone
    kernel_esp_turn(p);
    path_pump(p);
}

static void on_closed(void *ctx, struct ipc_chan *c)
{
    struct path *p = ctx;
    struct ipc_chan **all[] = {&p->super, &p->ctl, &p->ike, &p->keys};
    if (p->ike == c) // whether another one comes or not
        survivors_late(p);
    for (int i = 0; i < 4; i++) {
        if (*all[i] == c)
            *all[i] = NULL;
    }
    ipc_close(c);
    if (!p->super) { // nobody supervises: stop, fail closed
        p->status = 1;
        loop_stop(p->loop);
    }
}

struct path *path_new(struct loop *l, const struct child_env *env)
{
    struct path *p = calloc(1, sizeof(*p));
    if (p) {
        p->loop = l;
        p->env = env;
        path_set_workers(p, 1);
        p->set = *env->settings;
        p->shut = p->lacks = env->life > 0;
    }
    return p;
}

int path_attach(struct path *p, enum room peer, int fd)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    struct ipc_chan *c = ipc_open(p->loop, fd, ROOM_PATH, peer, &handler, p);
    *slot(p, peer) = c;
    return c ? 0 : -errno;
}

struct ipc_chan *path_channel(struct path *p, enum room peer)
{
    return *slot(p, peer);
}

int path_status(const struct path *p)
{
    return p->status;
}

static void tick(struct timer *t)
{
    struct path *p = t->ctx;
    if (path_card(p))
        path_card(p)->ops->tick(path_card(p), loop_now(p->loop));
    path_soft(p)->ops->tick(path_soft(p), loop_now(p->loop));
    path_pump(p);
    sadb_retry(p);
    vti_repair(p);
    vti_ways_turn(p);
    kernel_esp_tick(p);
    for (unsigned i = 0; i < p->workers; i++) {
        orphans_expire(&p->worker[i], loop_now(p->loop));
        early_expire(&p->worker[i], loop_now(p->loop));
        trapped_expire(&p->worker[i], loop_now(p->loop));
    }
    timer_set(p->loop, t, loop_now(p->loop) + TICK_MS);
}

static void scan(struct timer *t)
{
    struct path *p = t->ctx;
    card_scan(p);
    kernel_esp_look(p);
    survivors_look(p);
    timer_set(p->loop, t, loop_now(p->loop) + SCAN_MS);
}

static void soft_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    path_pump(f->ctx);
}

static int open_soft(struct path *p, struct esp_error *err)
{
    struct path_engine *en = &p->engines[PATH_SOFT];
    int rc = p->workers == 1 ? esp_soft_open(&en->e, err) : esp_soft_open_queues(&en->e, p->workers, err);
    if (rc < 0)
        return rc;
    en->state = ENGINE_READY;
    snprintf(en->name, sizeof(en->name), "%s", en->e->name);
    en->fd = (struct loop_fd){.fd = en->e->fd, .events = EPOLLIN, .ready = soft_ready, .ctx = p};
    if ((rc = loop_add(p->loop, &en->fd)) < 0)
        return esp_fail(err, rc, "software engine", "cannot watch its events: %s", strerror(-rc));
    return 0;
}

// Control writes and sends by what is another one's, who stands still meanwhile; nothing comes to it.
static struct path_net net_of(struct worker *w)
{
    struct worker *of = w->p->crew.apart && !w->index ? w + 1 : w;
    struct path_net net = path_net_sockets(&of->sockets, of->env);
    if (of != w)
        net.lost = NULL; // the other one says so
    return net;
}

static int open_workers(struct path *p, const struct path_net *net, struct esp_error *err)
{
    struct esp_engine *soft = path_soft(p);
    int rc = 0;
    for (unsigned i = 0; i < p->workers && rc >= 0; i++) {
        struct worker *w = &p->worker[i];
        w->net = net ? *net : net_of(w);
        rc = io_open(w, err);
        if (rc >= 0)
            rc = soft->ops->attach_pool(soft, w->pool, err);
    }
    return rc;
}

static int take_over(struct path *p, struct esp_error *err)
{
    int rc = p->shut ? virtual_take_over(p) : 0;
    return rc < 0 ? esp_fail(err, rc, p->set.tun, "cannot look at its addresses: %s", strerror(-rc)) : 0;
}

int path_open(struct path *p, const struct path_net *net, struct esp_error *err)
{
    int rc = p->workers > 1 && p->threads ? crew_open(p, err) : 0;
    if (rc < 0 || (rc = kernel_watch_open(p, err)) < 0 || (rc = take_over(p, err)) < 0 ||
        (rc = open_soft(p, err)) < 0 || (rc = open_workers(p, net, err)) < 0)
        return rc;
    kernel_esp_open(p);
    card_scan(p);
    card_await(p, CARD_WAIT_MS);
    p->tick = (struct timer){.fire = tick, .ctx = p};
    p->scan = (struct timer){.fire = scan, .ctx = p};
    timer_set(p->loop, &p->tick, loop_now(p->loop) + TICK_MS);
    timer_set(p->loop, &p->scan, loop_now(p->loop) + SCAN_MS);
    return crew_start(p, err);
}

void path_close(struct path *p)
{
    crew_end(p);
    timer_stop(p->loop, &p->tick);
    timer_stop(p->loop, &p->scan);
    loop_set_idle(p->loop, NULL, NULL);
    kernel_esp_close(p);
    policy_drop_all(p);
    card_close(p);
    if (path_soft(p))
        path_soft(p)->ops->destroy(path_soft(p));
    p->engines[PATH_SOFT].e = NULL;
    sadb_clear(p);
    for (unsigned i = 0; i < p->workers; i++)
        io_close(&p->worker[i]);
    crew_close(p);
    hash_free(&p->by_spi);
    hash_free(&p->by_id);
    survivors_forget(p);
    kernel_watch_close(p);
}

void path_free(struct path *p)
{
    if (!p)
        return;
    path_close(p);
    ipc_close(p->super);
    ipc_close(p->ctl);
    ipc_close(p->ike);
    ipc_close(p->keys);
    free(p);
}
