// SPDX-License-Identifier: Apache-2.0
// What a loop does once a turn, and channels whose messages of one turn go as one datagram.
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

#include "ctrl/ipc/ipc.h"

enum { WIRE = IPC_MAX_MESSAGE };
static uint8_t wire[WIRE];

// A loop in whose turn `act` is called, and a channel of path to keys in it, whose other end is read raw, and
// one to ctl.
struct rig {
    struct loop *loop;
    struct timer turn;
    struct ipc_chan *keys, *ctl;
    int to_keys, to_ctl;
    void (*act)(struct rig *r);
};
static unsigned heard, closed;
static uint32_t last;
static bool close_at_first;

static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx;
    assert_int_equal(t, MSG_RESULT);
    assert_int_equal(m->RESULT.req, last + 1);
    last++;
    heard++;
    if (close_at_first)
        ipc_close(c);
}

static void on_closed(void *ctx, struct ipc_chan *c)
{
    (void)ctx;
    closed++;
    ipc_close(c);
}

static const struct ipc_handler handler = {on_message, on_closed};

static void fire(struct timer *t)
{
    struct rig *r = t->ctx;
    r->act(r);
}

static struct ipc_chan *channel(struct loop *l, enum room self, enum room peer, int *other)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
    *other = fds[1];
    return ipc_open(l, fds[0], self, peer, &handler, NULL);
}

static int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->loop = loop_new();
    assert_non_null(r->loop);
    r->turn = (struct timer){.fire = fire, .ctx = r};
    r->keys = channel(r->loop, ROOM_PATH, ROOM_KEYS, &r->to_keys);
    r->ctl = channel(r->loop, ROOM_PATH, ROOM_CTL, &r->to_ctl);
    heard = closed = last = 0;
    close_at_first = false;
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;
    ipc_close(r->keys);
    ipc_close(r->ctl);
    close(r->to_keys);
    close(r->to_ctl);
    loop_free(r->loop);
    free(r);
    return 0;
}

static void turn(struct rig *r, void (*act)(struct rig *r))
{
    r->act = act;
    timer_set(r->loop, &r->turn, 0);
    loop_once(r->loop, 0);
}

static ssize_t raw(int fd)
{
    return recv(fd, wire, sizeof(wire), MSG_DONTWAIT);
}

static void tell(struct ipc_chan *c, uint32_t n)
{
    assert_int_equal(ipc_result(c, n, true, "%s", "as it was sent"), 0);
}

// What lies at fd as keys takes it: every message once, in order.
static unsigned taken(int fd)
{
    struct loop *l = loop_new();
    struct ipc_chan *c = ipc_open(l, dup(fd), ROOM_KEYS, ROOM_PATH, &handler, NULL);
    heard = 0;
    for (int i = 0; i < 50; i++)
        loop_once(l, 0);
    if (!closed)
        ipc_close(c);
    loop_free(l);
    return heard;
}

static void say_three(struct rig *r)
{
    for (uint32_t i = 1; i <= 3; i++)
        tell(r->keys, i);
    assert_int_equal(raw(r->to_keys), -1); // the turn is not over
}

static void test_messages_of_a_turn_go_as_one_datagram(void **state)
{
    struct rig *r = *state;
    turn(r, say_three);
    ssize_t n = recv(r->to_keys, wire, sizeof(wire), MSG_DONTWAIT | MSG_PEEK);
    assert_true(n > 2);
    assert_int_equal(wire[0] << 8 | wire[1], IPC_BUNDLE);
    assert_int_equal(taken(r->to_keys), 3);
    assert_int_equal(raw(r->to_keys), -1);
}

static void say_one(struct rig *r)
{
    tell(r->keys, 1);
}

static void test_lone_message_is_as_it_would_be_outside_of_a_turn(void **state)
{
    struct rig *r = *state;
    turn(r, say_one);
    ssize_t n = raw(r->to_keys);
    assert_true(n > 2);
    uint8_t in_turn[256];
    assert_true((size_t)n <= sizeof(in_turn));
    memcpy(in_turn, wire, (size_t)n);
    say_one(r); // at once
    assert_int_equal(raw(r->to_keys), n);
    assert_memory_equal(in_turn, wire, n);
}

static void say_both(struct rig *r)
{
    tell(r->keys, 1);
    tell(r->keys, 2);
    assert_int_equal(raw(r->to_keys), -1);
    tell(r->ctl, 1);
    assert_int_equal(taken(r->to_keys), 2); // before ctl's
    assert_true(raw(r->to_ctl) > 0);
    tell(r->keys, 3);
}

static void test_what_is_held_goes_before_what_is_sent_by_another_channel(void **state)
{
    struct rig *r = *state;
    turn(r, say_both);
    assert_int_equal(taken(r->to_keys), 1);
}

static void say_and_close(struct rig *r)
{
    tell(r->keys, 1);
    tell(r->keys, 2);
    ipc_close(r->keys);
    r->keys = NULL;
}

static void test_channel_that_is_closed_in_its_turn_has_sent_what_it_took(void **state)
{
    struct rig *r = *state;
    turn(r, say_and_close);
    ssize_t n = raw(r->to_keys);
    assert_true(n > 2);
    assert_int_equal(wire[0] << 8 | wire[1], IPC_BUNDLE);
    assert_int_equal(raw(r->to_keys), 0); // its end
}

static void say_many(struct rig *r)
{
    for (uint32_t i = 1; i <= 1000; i++)
        tell(r->keys, i);
}

// In several datagrams, so that the other room begins meanwhile; and where nobody reads they wait in order.
static void test_many_messages_of_a_turn_come_all_and_in_order(void **state)
{
    struct rig *r = *state;
    turn(r, say_many);
    unsigned n = 0;
    for (int i = 0; i < 30; i++) {
        n += taken(r->to_keys);
        loop_once(r->loop, 0);
    }
    assert_int_equal(n, 1000);
    assert_int_equal(closed, 0);
}

// By lengths around what may be held, the longest message, and one that is longer than any may be.
static void say_long(struct rig *r)
{
    static uint8_t octets[2 * IPC_MAX_MESSAGE];
    static const size_t lengths[] = {8000, 8000, 16384, 400, 15000, 16330, IPC_MAX_MESSAGE - 10, 3};
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct msg_AUTH_IS m = {.req = i + 1, .auth = slice_of(octets, lengths[i])};
        memset(octets, (int)i, lengths[i]);
        assert_int_equal(ipc_send(r->keys, MSG_AUTH_IS, &m),
                         lengths[i] + 14 <= IPC_MAX_MESSAGE ? 0 : -EMSGSIZE);
    }
}

static unsigned seen;

static void see_long(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx, (void)c;
    assert_int_equal(t, MSG_AUTH_IS);
    seen |= 1u << m->AUTH_IS.req;
    assert_true(seen >> (m->AUTH_IS.req + 1) == 0); // none of behind it yet
    for (size_t i = 0; i < m->AUTH_IS.auth.len; i++)
        assert_int_equal(m->AUTH_IS.auth.p[i], m->AUTH_IS.req - 1);
}

static void test_long_messages_are_whole_and_in_order(void **state)
{
    static const struct ipc_handler h = {see_long, on_closed};
    struct rig *r = *state;
    int other;
    ipc_close(r->keys);
    close(r->to_keys);
    r->keys = channel(r->loop, ROOM_KEYS, ROOM_IKE, &other);
    r->to_keys = dup(other);
    struct ipc_chan *ike = ipc_open(r->loop, other, ROOM_IKE, ROOM_KEYS, &h, NULL);
    seen = 0;
    turn(r, say_long);
    for (int i = 0; i < 20; i++)
        loop_once(r->loop, 0);
    assert_int_equal(seen, 0x17e); // all but the seventh
    assert_int_equal(closed, 0);
    ipc_close(ike);
}

// --- the receiving end, toward a room that is not to be trusted ---

static void bundle(struct writer *w, unsigned count)
{
    wr_u16(w, IPC_BUNDLE);
    for (uint32_t i = 1; i <= count; i++) {
        uint8_t one[600];
        struct writer o = writer_of(one, sizeof(one));
        msg_write(&o, MSG_RESULT, &(struct msg_RESULT){.req = i, .ok = true});
        wr_slice32(w, wr_written(&o));
    }
}

// How many messages self takes of a datagram, and whether the channel goes on.
static unsigned given(enum room self, enum room peer, struct slice datagram, bool *goes_on)
{
    struct loop *l = loop_new();
    int fd;
    struct ipc_chan *c = channel(l, self, peer, &fd);
    heard = closed = last = 0;
    assert_int_equal(send(fd, datagram.p, datagram.len, 0), datagram.len);
    loop_once(l, 0);
    *goes_on = !closed && !close_at_first;
    if (*goes_on)
        ipc_close(c);
    close(fd);
    loop_free(l);
    return heard;
}

static void test_bundle_that_is_malformed_ends_the_channel_where_it_is(void **state)
{
    (void)state;
    uint8_t buf[4096], nested[4096];
    struct writer w = writer_of(buf, sizeof(buf)), n = writer_of(nested, sizeof(nested));
    bool goes_on;
    bundle(&w, 3);
    assert_int_equal(given(ROOM_KEYS, ROOM_PATH, wr_written(&w), &goes_on), 3);
    assert_true(goes_on);
    size_t one = (w.len - 2) / 3;
    for (size_t len = 2; len < w.len; len++) { // cut anywhere but between two
        unsigned whole = (unsigned)((len - 2) / one);
        bool between = len > 2 && (len - 2) % one == 0;
        assert_int_equal(given(ROOM_KEYS, ROOM_PATH, slice_of(buf, len), &goes_on), whole);
        assert_int_equal(goes_on, between);
    }
    wr_u16(&n, IPC_BUNDLE);
    wr_slice32(&n, wr_written(&w));
    assert_int_equal(given(ROOM_KEYS, ROOM_PATH, wr_written(&n), &goes_on), 0);
    assert_false(goes_on);
}

// As many as we send ourselves: what is behind them would keep the room from all its other channels.
static void test_bundle_of_more_than_is_ever_sent_ends_the_channel(void **state)
{
    (void)state;
    static const unsigned counts[] = {16, 17, 1000};
    for (unsigned i = 0; i < 3; i++) {
        unsigned count = counts[i];
        struct writer w = writer_of(wire, sizeof(wire));
        bool goes_on;
        bundle(&w, count);
        assert_false(w.bad);
        assert_int_equal(given(ROOM_KEYS, ROOM_PATH, wr_written(&w), &goes_on), 16);
        assert_int_equal(goes_on, count == 16);
    }
}

static void test_bundle_by_a_channel_that_has_none_ends_it(void **state)
{
    (void)state;
    uint8_t buf[4096];
    struct writer w = writer_of(buf, sizeof(buf));
    bool goes_on;
    bundle(&w, 2);
    assert_int_equal(given(ROOM_CTL, ROOM_IKE, wr_written(&w), &goes_on), 0);
    assert_false(goes_on);
}

static void test_channel_that_is_closed_by_a_message_takes_no_other_of_its_bundle(void **state)
{
    (void)state;
    uint8_t buf[4096];
    struct writer w = writer_of(buf, sizeof(buf));
    bool goes_on;
    bundle(&w, 3);
    close_at_first = true;
    assert_int_equal(given(ROOM_KEYS, ROOM_PATH, wr_written(&w), &goes_on), 1);
    close_at_first = false;
}

// --- the loop ---

static char done[16];
struct job {
    struct loop_late late; // first
    char name;
};

static void run(struct loop_late *w)
{
    size_t n = strlen(done);
    done[n] = ((struct job *)(void *)w)->name;
    done[n + 1] = 0;
}

static struct job a = {{.run = run}, 'a'}, b = {{.run = run}, 'b'}, c = {{.run = run}, 'c'};

static void put_off(struct rig *r)
{
    assert_true(loop_put_off(r->loop, &b.late));
    assert_true(loop_put_off(r->loop, &a.late));
    assert_true(loop_put_off(r->loop, &c.late));
    assert_true(loop_put_off(r->loop, &b.late));
    loop_put_off_no(r->loop, &a.late);
    loop_put_off_no(r->loop, &a.late);
    assert_string_equal(done, "");
}

static void test_what_is_put_off_is_done_once_at_the_end_of_the_turn(void **state)
{
    struct rig *r = *state;
    done[0] = 0;
    assert_false(loop_put_off(r->loop, &a.late)); // the loop calls nobody
    turn(r, put_off);
    assert_string_equal(done, "bc");
    loop_once(r->loop, 0);
    assert_string_equal(done, "bc");
}

static void catch_up(struct rig *r)
{
    assert_true(loop_put_off(r->loop, &c.late));
    loop_catch_up(r->loop);
    assert_string_equal(done, "c");
    assert_true(loop_put_off(r->loop, &c.late));
}

static void test_catching_up_does_it_now_and_again_what_is_put_off_behind_it(void **state)
{
    struct rig *r = *state;
    done[0] = 0;
    turn(r, catch_up);
    assert_string_equal(done, "cc");
}

int main(void)
{
    log_set_all(-1);
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_messages_of_a_turn_go_as_one_datagram),
        T(test_lone_message_is_as_it_would_be_outside_of_a_turn),
        T(test_what_is_held_goes_before_what_is_sent_by_another_channel),
        T(test_channel_that_is_closed_in_its_turn_has_sent_what_it_took),
        T(test_many_messages_of_a_turn_come_all_and_in_order),
        T(test_long_messages_are_whole_and_in_order),
        T(test_bundle_that_is_malformed_ends_the_channel_where_it_is),
        T(test_bundle_of_more_than_is_ever_sent_ends_the_channel),
        T(test_bundle_by_a_channel_that_has_none_ends_it),
        T(test_channel_that_is_closed_by_a_message_takes_no_other_of_its_bundle),
        T(test_what_is_put_off_is_done_once_at_the_end_of_the_turn),
        T(test_catching_up_does_it_now_and_again_what_is_put_off_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
