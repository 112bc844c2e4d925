// SPDX-License-Identifier: Apache-2.0
// The neighbours of rooms.h.
#include "tests/fuzz/rooms.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/lib/log.h"

enum { TYPE_LEN = 2, REQ_LEN = 4, TURNS = 6 };

static uint64_t virtual_now(void *ctx)
{
    const struct rooms *r = ctx;
    return r->now * 1000;
}

void rooms_begin(struct rooms *r)
{
    log_set_all(-1);
    *r = (struct rooms){.now = 1000000, .loop = loop_new()};
    loop_set_clock(r->loop, (struct clock){virtual_now, r});
    for (int i = 0; i < ROOM_COUNT; i++)
        r->fd[i] = -1;
}

void rooms_link(struct rooms *r, enum room self, void *room, rooms_attach attach)
{
    for (int i = 0; i < ROOM_COUNT; i++) {
        int pair[2];
        if (i == (int)self || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) < 0)
            continue;
        if (attach(room, (enum room)i, pair[0]) < 0)
            abort();
        r->fd[i] = pair[1];
    }
}

static void note(struct rooms *r, int i, struct slice m)
{
    if (m.len >= TYPE_LEN + REQ_LEN)
        memcpy(r->asked[i], m.p + TYPE_LEN, REQ_LEN);
}

static bool listen_to(struct rooms *r, int i)
{
    static uint8_t wire[IPC_MAX_MESSAGE];
    bool any = false;
    for (ssize_t n; r->fd[i] >= 0 && (n = recv(r->fd[i], wire, sizeof(wire), 0)) > 0; any = true) {
        struct reader in = reader_of(slice_of(wire, (size_t)n));
        if (rd_u16(&in) != IPC_BUNDLE)
            note(r, i, slice_of(wire, (size_t)n));
        else
            while (in.left && !in.bad)
                note(r, i, rd_slice32(&in));
    }
    return any;
}

void rooms_turn(struct rooms *r)
{
    for (int quiet = 0; quiet < TURNS; quiet++) {
        loop_once(r->loop, 0);
        for (int i = 0; i < ROOM_COUNT; i++)
            if (listen_to(r, i))
                quiet = 0;
    }
}

void rooms_pass(struct rooms *r, uint64_t ms)
{
    r->now += ms;
    rooms_turn(r);
}

void rooms_say(struct rooms *r, enum room from, struct slice raw, bool answers)
{
    uint8_t *m = malloc(raw.len + 1);
    if (raw.len)
        memcpy(m, raw.p, raw.len);
    if (answers && raw.len >= TYPE_LEN + REQ_LEN)
        memcpy(m + TYPE_LEN, r->asked[from], REQ_LEN);
    if (r->fd[from] >= 0 && raw.len)
        (void)!send(r->fd[from], m, raw.len, MSG_NOSIGNAL);
    free(m);
    rooms_turn(r);
}

void rooms_end(struct rooms *r)
{
    for (int i = 0; i < ROOM_COUNT; i++)
        if (r->fd[i] >= 0)
            close(r->fd[i]);
    loop_free(r->loop);
}
