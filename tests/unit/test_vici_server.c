// SPDX-License-Identifier: Apache-2.0
// The VICI server against clients that behave badly: frames in pieces, lies about lengths, wrong packets,
// several commands at once, no reading, no more writing, gone in the middle. It never waits, never grows
// without bound, never dies.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ctl/listen.h"
#include "ctrl/ctl/server.h"
#include "ctrl/lib/log.h"

static uint64_t now;
static struct loop *loop;
static struct server *server;
static struct command *later; // answered by the test

static uint64_t virtual_now(void *ctx)
{
    (void)ctx;
    return now * 1000;
}

static bool on_command(void *ctx, struct command *cmd)
{
    (void)ctx;
    if (strcmp(cmd->name, "echo") == 0) {
        struct vici_out o;
        const char *v = vici_get(cmd->msg.root, "v");
        vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
        vici_put(&o, "v", v ? v : "(none)");
        server_reply(cmd, &o);
        return true;
    }
    if (strcmp(cmd->name, "later") == 0) {
        later = cmd;
        return true;
    }
    return false;
}

static int set_up(void **state)
{
    static const struct server_ops ops = {.command = on_command};
    (void)state;
    now = 1000;
    later = NULL;
    log_set_all(-1);
    loop = loop_new();
    loop_set_clock(loop, (struct clock){virtual_now, NULL});
    server = server_new(loop, &ops, NULL);
    return loop && server ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    server_free(server);
    loop_free(loop);
    return 0;
}

static void turn(void)
{
    for (int i = 0; i < 20; i++)
        loop_once(loop, 0);
}

static int join(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(server_adopt(server, pair[0]), 0);
    return pair[1];
}

static void send_all(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
    turn();
}
#define SEND(fd, bytes) send_all(fd, bytes, sizeof(bytes) - 1)

static void assert_answer(int fd, const void *expected, size_t len)
{
    uint8_t got[4096];
    turn();
    ssize_t n = recv(fd, got, sizeof(got), 0);
    assert_int_equal(n, (ssize_t)len);
    assert_memory_equal(got, expected, len);
}
#define ANSWER(fd, bytes) assert_answer(fd, bytes, sizeof(bytes) - 1)

static void assert_silent(int fd)
{
    char b;
    turn();
    assert_int_equal(recv(fd, &b, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static void assert_dropped(int fd)
{
    char b[8192];
    ssize_t n;
    turn();
    while ((n = recv(fd, b, sizeof(b), 0)) > 0)
        ;
    assert_true(n == 0 || errno == ECONNRESET);
    close(fd);
}

#define ECHO_X                                                                                               \
    "\0\0\0\x0c\x00\x04"                                                                                     \
    "echo\x03\x01v\x00\x01x"
#define REPLY_X "\0\0\0\x07\x01\x03\x01v\x00\x01x"

static void test_command_whole_and_byte_by_byte(void **state)
{
    (void)state;
    int fd = join();
    SEND(fd, ECHO_X);
    ANSWER(fd, REPLY_X);
    for (size_t i = 0; i < sizeof(ECHO_X) - 1; i++)
        send_all(fd, &ECHO_X[i], 1);
    ANSWER(fd, REPLY_X);
    close(fd);
    turn();
    assert_int_equal(server_counts(server).clients, 0);
}

static void test_unknown_command_and_events(void **state)
{
    (void)state;
    int fd = join();
    SEND(fd, "\0\0\0\x05\x00\x03xyz");
    ANSWER(fd, "\0\0\0\x01\x02");
    SEND(fd, "\0\0\0\x05\x03\x03log");
    ANSWER(fd, "\0\0\0\x01\x05");
    SEND(fd, "\0\0\0\x05\x03\x03xyz");
    ANSWER(fd, "\0\0\0\x01\x06");
    assert_true(server_wants(server, VICI_EV_LOG));
    assert_false(server_wants(server, VICI_EV_ALERT));
    struct vici_out o;
    server_event_begin(&o, VICI_EV_LOG);
    vici_put(&o, "m", "!");
    server_event(server, VICI_EV_LOG, &o);
    ANSWER(fd, "\0\0\0\x0b\x07\x03log\x03\x01m\x00\x01!");
    SEND(fd, "\0\0\0\x05\x04\x03log");
    ANSWER(fd, "\0\0\0\x01\x05");
    assert_false(server_wants(server, VICI_EV_LOG));
    close(fd);
}

static void test_second_command_waits_for_the_first(void **state)
{
    (void)state;
    int fd = join();
    SEND(fd, "\0\0\0\x07\x00\x05later" ECHO_X);
    assert_non_null(later);
    assert_silent(fd);
    server_reply_ok(later);
    ANSWER(fd, "\0\0\0\x0f\x01\x03\x07success\x00\x03yes" REPLY_X);
    close(fd);
}

static void test_client_gone_while_its_command_runs(void **state)
{
    (void)state;
    int fd = join();
    SEND(fd, "\0\0\0\x07\x00\x05later");
    assert_non_null(later);
    close(fd);
    turn();
    assert_int_equal(server_counts(server).clients, 0);
    assert_null(later->client);
    struct vici_out o;
    server_event_begin(&o, VICI_EV_LIST_SA);
    server_event_to(later, VICI_EV_LIST_SA, &o);
    server_reply_error(later, "nobody reads this");
}

static void test_bad_frames_end_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
#define BAD(b) {b, sizeof(b) - 1}
        BAD("\0\0\0\0"),     // empty
        BAD("\0\x08\0\x01"), // 512 KiB + 1
        BAD("\xff\xff\xff\xff"),
        BAD("GET / HTTP/1.0\r\n"),
        BAD("\0\0\0\x01\x00"),     // no name
        BAD("\0\0\0\x02\x00\x00"), // empty name
        BAD("\0\0\0\x03\x00\x04"
            "e"), // name beyond the end
        BAD("\0\0\0\x06\x00\x04"
            "ec\0o"), // zero in the name
        BAD("\0\0\0\x01\x01"),
        BAD("\0\0\0\x01\x02"),
        BAD("\0\0\0\x01\x05"),
        BAD("\0\0\0\x01\x06"), // not for a client
        BAD("\0\0\0\x05\x07\x03log"),
        BAD("\0\0\0\x05\x08\x03log"),
        BAD("\0\0\0\x05\xff\x03log"),
        BAD("\0\0\0\x06\x03\x03logx"), // octets behind an event's name
        BAD("\0\0\0\x07\x00\x04"
            "echo\x02"), // section end without a section
        BAD("\0\0\0\x0b\x00\x04"
            "echo\x03\x01v\x00\x09"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int fd = join();
        send_all(fd, bad[i].bytes, bad[i].len);
        assert_dropped(fd);
        assert_int_equal(server_counts(server).clients, 0);
    }
}

static void test_largest_frame_is_taken(void **state)
{
    (void)state;
    int fd = join();
    static uint8_t frame[4 + VICI_MAX_FRAME];
    size_t n = 4;
    memcpy(frame,
           "\0\x08\0\0\x00\x04"
           "echo",
           10);
    n = 10;
    for (int i = 0; n < sizeof(frame); i++) {
        size_t left = sizeof(frame) - n, v = left - 6 > 60000 ? 60000 : left - 6;
        if (left - 6 > 60000 && left - 6 - 60000 < 7)
            v -= 100; // leaves room for one more element
        frame[n++] = 3;
        frame[n++] = 2;
        frame[n++] = 'k';
        frame[n++] = (uint8_t)('a' + i);
        frame[n++] = (uint8_t)(v >> 8);
        frame[n++] = (uint8_t)v;
        memset(frame + n, 'v', v);
        n += v;
    }
    for (size_t at = 0; at < sizeof(frame);) {
        ssize_t sent = send(fd, frame + at, sizeof(frame) - at, MSG_NOSIGNAL);
        assert_true(sent > 0 || errno == EAGAIN);
        at += sent > 0 ? (size_t)sent : 0;
        turn();
    }
    ANSWER(fd, "\0\0\0\x0c\x01\x03\x01v\x00\x06(none)");
    close(fd);
}

static void test_slow_frame_times_out(void **state)
{
    (void)state;
    int fd = join();
    SEND(fd, "\0\0\0\x0c\x00\x04"
             "ec");
    now += SERVER_FRAME_TIMEOUT_MS - 1;
    assert_silent(fd);
    send_all(fd, "h", 1); // more octets do not put the deadline off
    now += 2;
    assert_dropped(fd);
    int idle = join(); // without a frame begun there is no deadline
    now += 100 * SERVER_FRAME_TIMEOUT_MS;
    SEND(idle, ECHO_X);
    ANSWER(idle, REPLY_X);
    close(idle);
}

static void flood(int events)
{
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    for (int i = 0; i < events; i++) {
        struct vici_out o;
        server_event_begin(&o, VICI_EV_LOG);
        vici_put(&o, "m", text);
        server_event(server, VICI_EV_LOG, &o);
    }
}

static void test_events_to_a_client_that_does_not_read_are_dropped_and_counted(void **state)
{
    (void)state;
    int slow = join(), fast = join();
    SEND(slow, "\0\0\0\x05\x03\x03log");
    SEND(fast, "\0\0\0\x05\x03\x03log");
    char b[65536];
    size_t got = 0;
    for (int i = 0; i < 100; i++) {
        flood(50);
        turn();
        ssize_t n;
        while ((n = recv(fast, b, sizeof(b), 0)) > 0)
            got += (size_t)n;
    }
    assert_true(got > 5000 * 1000); // the other one misses nothing
    struct server_counts c = server_counts(server);
    assert_true(c.events_dropped > 1000);
    assert_int_equal(c.clients, 2);
    now += SERVER_FRAME_TIMEOUT_MS + 1; // and when it reads nothing at all it goes
    turn();
    assert_int_equal(server_counts(server).clients, 1);
    close(slow);
    close(fast);
}

static void test_replies_nobody_reads_end_the_connection(void **state)
{
    (void)state;
    int fd = join();
    SEND(fd, "\0\0\0\x09\x03\x07list-sa");
    SEND(fd, "\0\0\0\x07\x00\x05later");
    assert_non_null(later);
    char text[60000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    for (int i = 0; i < 400 && later->client; i++) {
        struct vici_out o;
        server_event_begin(&o, VICI_EV_LIST_SA);
        vici_put(&o, "m", text);
        server_event_to(later, VICI_EV_LIST_SA, &o);
    }
    assert_null(later->client);
    server_reply_ok(later);
    assert_dropped(fd);
}

static void test_too_many_clients_are_refused(void **state)
{
    (void)state;
    int fds[SERVER_MAX_CLIENTS], pair[2];
    for (int i = 0; i < SERVER_MAX_CLIENTS; i++)
        fds[i] = join();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(server_adopt(server, pair[0]), -EMFILE);
    close(pair[0]);
    close(pair[1]);
    for (int i = 0; i < SERVER_MAX_CLIENTS; i++)
        close(fds[i]);
    turn();
    assert_int_equal(server_counts(server).clients, 0);
    close(join());
}

static uint32_t seed = 1;
static uint32_t next_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static void test_random_clients(void **state)
{
    (void)state;
    for (int round = 0; round < 1500; round++) {
        uint8_t b[200];
        int fd = join();
        size_t n = 4 + next_random() % 150;
        for (size_t i = 0; i < n; i++)
            b[i] = next_random() % 2 ? (uint8_t)(next_random() % 8) : (uint8_t)next_random();
        if (next_random() % 4) // a length that fits, so that the contents are looked at
            memcpy(b, (uint8_t[]){0, 0, 0, (uint8_t)(n - 4)}, 4);
        if (next_random() % 2 && n > 12)
            memcpy(b + 4,
                   "\x00\x04"
                   "echo",
                   6);
        send_all(fd, b, n);
        close(fd);
        turn();
    }
    assert_int_equal(server_counts(server).clients, 0);
}

// ---- no descriptors

static bool at_rest(void) // nothing wakes the loop
{
    struct pollfd p = {.fd = loop_pollfd(loop), .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

static void test_client_without_a_descriptor_waits_and_the_loop_rests(void **state)
{
    (void)state;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct esp_error err = {0};
    struct rlimit was, few;
    char uri[160];
    snprintf(to.sun_path, sizeof(to.sun_path), "/tmp/vici-few-%d", (int)getpid());
    snprintf(uri, sizeof(uri), "unix://%s", to.sun_path);
    assert_int_equal(server_start(server, vici_listen(uri, false, &err)), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), lowest = dup(fd);
    close(lowest); // the next one would be this
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    few = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    turn();
    assert_int_equal(server_counts(server).clients, 0);
    assert_true(at_rest());
    now += SERVER_AGAIN_MS;
    turn(); // once more, in vain
    assert_true(at_rest());
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    turn();
    assert_int_equal(server_counts(server).clients, 0);
    now += SERVER_AGAIN_MS;
    turn();
    assert_int_equal(server_counts(server).clients, 1);
    close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_command_whole_and_byte_by_byte),
        T(test_unknown_command_and_events),
        T(test_second_command_waits_for_the_first),
        T(test_client_gone_while_its_command_runs),
        T(test_bad_frames_end_the_connection),
        T(test_largest_frame_is_taken),
        T(test_slow_frame_times_out),
        T(test_events_to_a_client_that_does_not_read_are_dropped_and_counted),
        T(test_replies_nobody_reads_end_the_connection),
        T(test_too_many_clients_are_refused),
        T(test_random_clients),
        T(test_client_without_a_descriptor_waits_and_the_loop_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
