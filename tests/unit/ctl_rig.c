// SPDX-License-Identifier: Apache-2.0
// The rig of ctl_rig.h.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/lib/log.h"
#include "tests/unit/ctl_rig.h"

uint64_t now;
struct loop *loop;
struct ctl *ctl;
int room[ROOM_COUNT];
int client;
static uint8_t frame[VICI_MAX_FRAME + 4];
static struct vici_msg reply; // of the last packet received; freed by the next

static uint64_t virtual_now(void *ctx)
{
    (void)ctx;
    return now * 1000;
}

void turn(void)
{
    for (int i = 0; i < 20; i++)
        loop_once(loop, 0);
}

int join(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(server_adopt(ctl->server, pair[0]), 0);
    return pair[1];
}

int ctl_set_up(void **state)
{
    struct settings st;
    (void)state;
    now = 1000;
    log_set_all(-1);
    settings_default(&st);
    loop = loop_new();
    loop_set_clock(loop, (struct clock){virtual_now, NULL});
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
    client = join();
    return 0;
}

int ctl_tear_down(void **state)
{
    (void)state;
    vici_msg_free(&reply);
    ctl_free(ctl);
    loop_free(loop);
    close(client);
    for (int r = 0; r < ROOM_COUNT; r++) {
        if (room[r] >= 0)
            close(room[r]);
    }
    return 0;
}

// ---- the rooms' side

static uint8_t wire[IPC_MAX_MESSAGE];

struct msg_LISTEN listening[ROOM_COUNT];

static enum msg_type next_message(enum room from, union msg *m)
{
    turn();
    for (ssize_t n; (n = recv(room[from], wire, sizeof(wire), 0)) >= 0;) {
        enum msg_type got = msg_read(slice_of(wire, (size_t)n), m);
        if (got != MSG_LISTEN)
            return got;
        listening[from] = m->LISTEN;
    }
    return MSG_NONE;
}

union msg expect(enum room from, enum msg_type t)
{
    union msg m;
    enum msg_type got = next_message(from, &m);
    if (got != t)
        fail_msg("got %s, expected %s", msg_name(got), msg_name(t));
    return m;
}

void expect_nothing(enum room from)
{
    union msg m;
    assert_int_equal(next_message(from, &m), MSG_NONE);
}

void tell(enum room from, enum msg_type t, const void *m)
{
    static uint8_t b[IPC_MAX_MESSAGE];
    struct writer w = writer_of(b, sizeof(b));
    msg_write(&w, t, m);
    assert_false(w.bad);
    assert_int_equal(send(room[from], w.p, w.len, 0), (ssize_t)w.len);
    turn();
}

void result(enum room from, uint32_t req, bool ok, const char *text)
{
    struct msg_RESULT m = {.req = req, .ok = ok};
    snprintf(m.text, sizeof(m.text), "%s", text);
    tell(from, MSG_RESULT, &m);
}

// ---- the client's side

void send_out(int fd, struct vici_out *o)
{
    assert_int_equal(vici_out_finish(o), 0);
    assert_int_equal(send(fd, o->data, o->len, 0), (ssize_t)o->len);
    vici_out_free(o);
    turn();
}

void request(const char *name, ...) // pairs of key and value, NULL at the end
{
    struct vici_out o;
    va_list ap;
    vici_out_begin(&o, VICI_CMD_REQUEST, name);
    va_start(ap, name);
    for (const char *k; (k = va_arg(ap, const char *));)
        vici_put(&o, k, va_arg(ap, const char *));
    va_end(ap);
    send_out(client, &o);
}

const struct vici_node *receive(int fd, enum vici_packet type, const char *event)
{
    struct esp_error err;
    turn();
    assert_int_equal(recv(fd, frame, 4, 0), 4);
    size_t len = (size_t)frame[1] << 16 | (size_t)frame[2] << 8 | frame[3], head = 1;
    assert_int_equal(recv(fd, frame, len, 0), (ssize_t)len);
    assert_int_equal(frame[0], type);
    if (event) {
        assert_int_equal(frame[1], strlen(event));
        assert_memory_equal(frame + 2, event, strlen(event));
        head = 2 + strlen(event);
    }
    vici_msg_free(&reply);
    if (vici_msg_parse(&reply, frame + head, len - head, &err) < 0)
        fail_msg("%s", err.text);
    return reply.root;
}

void no_answer_yet(int fd)
{
    turn();
    assert_int_equal(recv(fd, frame, 1, 0), -1);
}

void register_for(int fd, const char *event)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_EVENT_REGISTER, event);
    send_out(fd, &o);
    receive(fd, VICI_EVENT_CONFIRM, NULL);
}

void assert_value(const struct vici_node *n, const char *key, const char *value)
{
    const char *got = vici_get(n, key);
    if (!got || strcmp(got, value) != 0)
        fail_msg("%s is %s, expected %s", key, got ? got : "(absent)", value);
}

void expect_error(const char *text)
{
    const struct vici_node *r = receive(client, VICI_CMD_RESPONSE, NULL);
    assert_value(r, "success", "no");
    for (const char *c = vici_get(r, "errmsg"); c && *c; c++) {
        if (*c < 0x20 || *c > 0x7e) // stock swanctl would show nothing of it
            fail_msg("errmsg has the character 0x%02x: %s", (unsigned char)*c, vici_get(r, "errmsg"));
    }
    if (!vici_get(r, "errmsg") || !strstr(vici_get(r, "errmsg"), text))
        fail_msg("errmsg is %s, expected %s", vici_get(r, "errmsg"), text);
}

void expect_success(void)
{
    assert_value(receive(client, VICI_CMD_RESPONSE, NULL), "success", "yes");
}

void send_conn(const char *name, const char *start_action)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-conn");
    vici_section(&o, name);
    vici_section(&o, "local");
    vici_put(&o, "auth", "psk");
    vici_section_end(&o);
    vici_section(&o, "remote");
    vici_put(&o, "auth", "psk");
    vici_section_end(&o);
    vici_section(&o, "children");
    vici_section(&o, "net");
    vici_put(&o, "start_action", start_action);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    send_out(client, &o);
}

void load_conn(const char *name)
{
    send_conn(name, "none");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, true, "");
    expect_success();
}
