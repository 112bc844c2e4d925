// SPDX-License-Identifier: Apache-2.0
#include "ctrl/metrics/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/metrics/collect.h"
#include "ctrl/metrics/serve.h"

struct metrics {
    struct loop *loop;
    struct ipc_chan *chan[ROOM_COUNT];
    bool per_sa;
    pid_t pid[ROOM_COUNT];
    struct collect collect;
    struct serve *serve;
};

static void snapshot_wanted(void *ctx)
{
    struct metrics *m = ctx;
    collect_begin(&m->collect, m->chan[ROOM_CTL], m->per_sa, m->pid);
}

static void collected(void *ctx, const char *fault)
{
    struct metrics *m = ctx;
    serve_snapshot(m->serve, &m->collect.e, fault);
}

static void on_settings(struct metrics *m, struct slice s)
{
    struct settings st;
    if (s.len != sizeof(st))
        return;
    memcpy(&st, s.p, sizeof(st));
    m->per_sa = st.metrics_per_sa;
}

// ctl, which died, is there again.
static void attach_again(struct metrics *m, enum room room, int fd)
{
    if (room != ROOM_CTL) {
        close(fd);
        return;
    }
    collect_fail(&m->collect, "ctl is gone");
    ipc_close(m->chan[room]);
    if (metrics_attach(m, room, fd) < 0)
        close(fd);
}

static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct metrics *self = ctx;
    if (c == self->chan[ROOM_CTL])
        collect_message(&self->collect, t, m);
    else if (t == MSG_ROOM_PID && m->ROOM_PID.room < ROOM_COUNT)
        self->pid[m->ROOM_PID.room] = (pid_t)m->ROOM_PID.pid;
    else if (t == MSG_SETTINGS)
        on_settings(self, m->SETTINGS.settings);
    else if (t == MSG_CHANNEL)
        attach_again(self, (enum room)m->CHANNEL.room, ipc_take_fd(c));
    else if (t == MSG_SHUTDOWN)
        loop_stop(self->loop);
}

// ctl comes again.
static void on_closed(void *ctx, struct ipc_chan *c)
{
    struct metrics *m = ctx;
    if (c == m->chan[ROOM_CTL])
        collect_fail(&m->collect, "ctl is gone");
    else
        loop_stop(m->loop);
    for (int room = 0; room < ROOM_COUNT; room++)
        if (m->chan[room] == c)
            m->chan[room] = NULL;
    ipc_close(c);
}

struct metrics *metrics_new(struct loop *l, const struct settings *st, const pid_t pid[ROOM_COUNT],
                            int listen_fd)
{
    struct metrics *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->loop = l;
    m->per_sa = st->metrics_per_sa;
    memcpy(m->pid, pid, sizeof(m->pid));
    collect_init(&m->collect, l, collected, m);
    m->serve = serve_new(l, listen_fd, snapshot_wanted, m);
    if (m->serve)
        return m;
    int e = errno;
    free(m);
    errno = e;
    return NULL;
}

int metrics_attach(struct metrics *m, enum room peer, int fd)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    m->chan[peer] = ipc_open(m->loop, fd, ROOM_METRICS, peer, &handler, m);
    return m->chan[peer] ? 0 : -errno;
}

struct ipc_chan *metrics_channel(struct metrics *m, enum room peer)
{
    return m->chan[peer];
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    collect_stop(&m->collect);
    serve_free(m->serve);
    for (int room = 0; room < ROOM_COUNT; room++)
        ipc_close(m->chan[room]);
    free(m);
}
