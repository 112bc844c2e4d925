// SPDX-License-Identifier: Apache-2.0
// The rig of vici_rig.h.
#include "tests/unit/vici_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctrl/lib/log.h"

struct loop *loop;
struct ctl *ctl;
int room[ROOM_COUNT], client;
uint8_t wire[IPC_MAX_MESSAGE];

// ---- what the client reads

struct vici_input in;

static void begin_body(void)
{
    in.body =
        ((size_t)in.head[0] << 24 | (size_t)in.head[1] << 16 | (size_t)in.head[2] << 8 | in.head[3]) - 1;
    in.events += in.head[4] == VICI_EVENT;
    in.replies += in.head[4] == VICI_CMD_RESPONSE;
    in.have = 0;
}

static void take(const uint8_t *p, size_t n)
{
    while (n) {
        if (in.body) {
            size_t part = n < in.body ? n : in.body;
            in.body -= part;
            p += part;
            n -= part;
            continue;
        }
        in.head[in.have++] = *p++;
        n--;
        if (in.have == sizeof(in.head))
            begin_body();
    }
}

size_t client_reads(void)
{
    size_t sum = 0;
    for (ssize_t n; (n = recv(client, wire, sizeof(wire), 0)) > 0; sum += (size_t)n)
        take(wire, (size_t)n);
    return sum;
}

void request(const char *name, const char *key, const char *value)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, name);
    if (key)
        vici_put(&o, key, value);
    assert_int_equal(vici_out_finish(&o), 0);
    assert_int_equal(send(client, o.data, o.len, 0), (ssize_t)o.len);
    vici_out_free(&o);
}

void register_for(const char *event)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_EVENT_REGISTER, event);
    assert_int_equal(vici_out_finish(&o), 0);
    assert_int_equal(send(client, o.data, o.len, 0), (ssize_t)o.len);
    vici_out_free(&o);
}

// ---- the rooms' side

void tell(enum room from, enum msg_type t, const void *m)
{
    static uint8_t buf[IPC_MAX_MESSAGE];
    struct writer w = writer_of(buf, sizeof(buf));
    msg_write(&w, t, m);
    assert_false(w.bad);
    while (send(room[from], w.p, w.len, 0) < 0) {
        assert_int_equal(errno, EAGAIN);
        loop_once(loop, 0);
    }
}

bool asked(enum room from, union msg *m, enum msg_type t)
{
    for (ssize_t n; (n = recv(room[from], wire, sizeof(wire), 0)) >= 0;) {
        enum msg_type got = msg_read(slice_of(wire, (size_t)n), m);
        if (got == MSG_LISTEN && t != MSG_LISTEN)
            continue;
        assert_int_equal(got, t);
        return true;
    }
    return false;
}

bool client_joins(void)
{
    int pair[2];
    memset(&in, 0, sizeof(in));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0 ||
        server_adopt(ctl->server, pair[0]) < 0)
        return false;
    client = pair[1];
    return true;
}

int vici_set_up(void **state)
{
    struct settings st;
    (void)state;
    log_set_all(-1);
    settings_default(&st);
    memset(&in, 0, sizeof(in));
    loop = loop_new();
    ctl = ctl_new(loop, &st);
    for (int r = 0; r < ROOM_COUNT; r++) {
        int pair[2];
        room[r] = -1;
        if (r == ROOM_CTL)
            continue;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) < 0 ||
            ctl_connect(ctl, (enum room)r, pair[0]) < 0)
            return -1;
        room[r] = pair[1];
    }
    return client_joins() ? 0 : -1;
}

int vici_tear_down(void **state)
{
    (void)state;
    ctl_free(ctl);
    loop_free(loop);
    if (client >= 0)
        close(client);
    for (int r = 0; r < ROOM_COUNT; r++)
        if (room[r] >= 0)
            close(room[r]);
    return 0;
}
