// SPDX-License-Identifier: Apache-2.0
// The room: its channels, its beginning and its end.
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctrl/fleet/internal.h"
#include "ctrl/lib/log.h"

static void on_closed(void *ctx, struct ipc_chan *c);

static void attach_again(struct fleet *f, enum room room, int fd)
{
    if (room != ROOM_CTL) {
        close(fd);
        return;
    }
    ipc_close(f->chan[room]);
    f->chan[room] = NULL;
    if (fleet_attach(f, room, fd) < 0)
        close(fd);
    owners_without_ctl(f); // it has what ike has, and says so when it is given the same
}

static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct fleet *f = ctx;
    if (t == MSG_RESULT && c == f->chan[ROOM_CTL])
        owners_answer(f, &m->RESULT);
    else if (t == MSG_FLEET_HAS)
        owners_has(f, &m->FLEET_HAS);
    else if (t == MSG_LIST_MORE)
        owners_more(f, &m->LIST_MORE);
    else if (t == MSG_CHANNEL)
        attach_again(f, (enum room)m->CHANNEL.room, ipc_take_fd(c));
    else if (t == MSG_SHUTDOWN && !f->ending)
        session_revoke(f);
}

static void on_closed(void *ctx, struct ipc_chan *c)
{
    struct fleet *f = ctx;
    for (int room = 0; room < ROOM_COUNT; room++) {
        if (f->chan[room] != c)
            continue;
        f->chan[room] = NULL;
        if (room == ROOM_CTL)
            owners_without_ctl(f);
        if (room == ROOM_SUPER && !f->ending)
            session_revoke(f);
    }
    ipc_close(c);
}

struct fleet *fleet_new(struct loop *l, const struct fleet_config *c, struct etcd *e, struct fence_page *page)
{
    struct fleet *f = calloc(1, sizeof(*f));
    if (!f) {
        etcd_free(e);
        return NULL;
    }
    f->loop = l;
    f->cfg = *c;
    f->etcd = e;
    f->page = page;
    f->octets_most = FLEET_OCTETS_MOST;
    state_init(f);
    owners_init(f);
    session_start(f);
    return f;
}

int fleet_attach(struct fleet *f, enum room peer, int fd)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    f->chan[peer] = ipc_open(f->loop, fd, ROOM_FLEET, peer, &handler, f);
    return f->chan[peer] ? 0 : -errno;
}

struct ipc_chan *fleet_channel(struct fleet *f, enum room peer)
{
    return f->chan[peer];
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    etcd_free(f->etcd);
    session_stop(f);
    timer_stop(f->loop, &f->turn);
    state_free(f);
    for (int room = 0; room < ROOM_COUNT; room++)
        ipc_close(f->chan[room]);
    free(f);
}
