// SPDX-License-Identifier: Apache-2.0
// Framing of vfio-user messages over a socket pair: pieces, descriptors and whose they are, lengths that
// cannot be, a peer that leaves in the middle, a socket that has no room for a reply.
#include "sim/vfio_user/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct vfu_conn conn;
    int peer;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int s[2];
    assert_non_null(f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    f->peer = s[1];
    assert_int_equal(vfu_conn_open(&f->conn, s[0]), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vfu_conn_close(&f->conn);
    if (f->peer >= 0)
        close(f->peer);
    free(f);
    return 0;
}

static unsigned open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void make_header(uint8_t h[VFU_HEADER_SIZE], uint16_t id, uint16_t cmd, uint32_t size, uint32_t flags)
{
    struct vfu_writer w = {.buf = h, .size = VFU_HEADER_SIZE};
    vfu_put16(&w, id);
    vfu_put16(&w, cmd);
    vfu_put32(&w, size);
    vfu_put32(&w, flags);
    vfu_put32(&w, 0);
    assert_false(w.bad);
}

static void send_with(struct fixture *f, const void *bytes, size_t len, const int *fds, size_t n)
{
    union {
        char bytes[CMSG_SPACE(32 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    assert_int_equal(sendmsg(f->peer, &m, 0), len);
}

static void send_message(struct fixture *f, uint16_t id, const void *body, size_t len, const int *fds,
                         size_t n)
{
    uint8_t m[VFU_HEADER_SIZE + 64];
    assert_true(len <= 64);
    make_header(m, id, VFU_DMA_MAP, (uint32_t)(VFU_HEADER_SIZE + len), VFU_F_COMMAND);
    if (len)
        memcpy(m + VFU_HEADER_SIZE, body, len);
    send_with(f, m, VFU_HEADER_SIZE + len, fds, n);
}

static void test_a_short_read_is_sticky_and_gives_zero(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7};
    struct vfu_reader r = {.at = bytes, .left = sizeof(bytes)};
    uint16_t first;
    (void)state;
    memcpy(&first, bytes, sizeof(first));
    assert_int_equal(vfu_get16(&r), first);
    assert_int_equal(vfu_get64(&r), 0);
    assert_true(r.bad);
    assert_int_equal(vfu_get16(&r), 0); // although two bytes are there
    assert_int_equal(r.left, 5);
}

static void test_a_writer_that_would_run_over_writes_nothing(void **state)
{
    uint8_t buf[7] = {0};
    struct vfu_writer w = {.buf = buf, .size = 6};
    (void)state;
    vfu_put32(&w, 0x01010101);
    vfu_put32(&w, 0x02020202);
    assert_true(w.bad);
    vfu_put16(&w, 0x0303); // it would fit
    assert_int_equal(w.used, 4);
    assert_memory_equal(buf + 4, "\0\0", 3);
}

static void test_a_message_in_single_bytes_is_one_message(void **state)
{
    struct fixture *f = *state;
    uint8_t m[VFU_HEADER_SIZE + 5];
    struct vfu_msg *msg = NULL;
    make_header(m, 77, VFU_REGION_READ, sizeof(m), VFU_F_NO_REPLY);
    memcpy(m + VFU_HEADER_SIZE, "hello", 5);
    for (size_t i = 0; i < sizeof(m); i++) {
        assert_int_equal(vfu_conn_receive(&f->conn, &msg), 0);
        send_with(f, m + i, 1, NULL, 0);
    }
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), 1);
    assert_int_equal(msg->id, 77);
    assert_int_equal(msg->cmd, VFU_REGION_READ);
    assert_int_equal(msg->flags, VFU_F_NO_REPLY);
    assert_int_equal(msg->len, 5);
    assert_memory_equal(msg->body, "hello", 5);
    vfu_conn_done(&f->conn);
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), 0);
}

static void test_descriptors_stay_with_the_message_that_carried_them(void **state)
{
    struct fixture *f = *state;
    unsigned before = open_files();
    int fds[3] = {eventfd(1, EFD_CLOEXEC), eventfd(2, EFD_CLOEXEC), eventfd(3, EFD_CLOEXEC)}, kept;
    struct vfu_msg *msg;
    uint64_t value;
    send_message(f, 1, "a", 1, fds, 2);
    send_message(f, 2, "b", 1, NULL, 0);
    send_message(f, 3, NULL, 0, fds + 2, 1);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), 1);
    assert_int_equal(msg->nfds, 2);
    kept = msg->fds[1];
    msg->fds[1] = -1;
    vfu_conn_done(&f->conn);
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), 1);
    assert_int_equal(msg->id, 2);
    assert_int_equal(msg->nfds, 0);
    vfu_conn_done(&f->conn);
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), 1);
    assert_int_equal(msg->nfds, 1);
    assert_int_equal(read(msg->fds[0], &value, sizeof(value)), sizeof(value));
    assert_int_equal(value, 3);
    assert_true(fcntl(msg->fds[0], F_GETFD) & FD_CLOEXEC);
    vfu_conn_done(&f->conn);
    assert_int_equal(read(kept, &value, sizeof(value)), sizeof(value));
    assert_int_equal(value, 2);
    close(kept);
    assert_int_equal(open_files(), before); // what nobody took is closed
}

static void test_too_many_descriptors_end_the_stream_and_none_stays_open(void **state)
{
    struct fixture *f = *state;
    unsigned before = open_files();
    int fds[17];
    struct vfu_msg *msg;
    for (int i = 0; i < 17; i++)
        fds[i] = eventfd(0, EFD_CLOEXEC);
    send_message(f, 1, "a", 1, fds, 17);
    for (int i = 0; i < 17; i++)
        close(fds[i]);
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), -EPROTO);
    assert_non_null(strstr(f->conn.error, "16"));
    vfu_conn_done(&f->conn);
    assert_int_equal(open_files(), before);
}

// Header and body may carry some each; together they are too many.
static void test_descriptors_of_several_pieces_are_counted_together(void **state)
{
    struct fixture *f = *state;
    unsigned before = open_files();
    uint8_t m[VFU_HEADER_SIZE + 1] = {0};
    int fds[16];
    struct vfu_msg *msg;
    for (int i = 0; i < 16; i++)
        fds[i] = eventfd(0, EFD_CLOEXEC);
    make_header(m, 1, VFU_DMA_MAP, sizeof(m), VFU_F_COMMAND);
    send_with(f, m, VFU_HEADER_SIZE, fds, 16);
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), 0);
    send_with(f, m + VFU_HEADER_SIZE, 1, fds, 1);
    for (int i = 0; i < 16; i++)
        close(fds[i]);
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), -EPROTO);
    assert_non_null(strstr(f->conn.error, "16"));
    vfu_conn_done(&f->conn);
    assert_int_equal(open_files(), before);
}

static void test_lengths_that_cannot_be_are_refused_with_their_numbers(void **unused)
{
    static const struct {
        uint32_t size;
        int rc;
    } cases[] = {{0, -EPROTO},
                 {VFU_HEADER_SIZE - 1, -EPROTO},
                 {VFU_HEADER_SIZE, 1},
                 {VFU_HEADER_SIZE + VFU_MAX_BODY, 0}, // the body is still to come
                 {VFU_HEADER_SIZE + VFU_MAX_BODY + 1, -EPROTO},
                 {UINT32_MAX, -EPROTO}};
    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t h[VFU_HEADER_SIZE];
        char number[16];
        struct vfu_msg *msg;
        void *state;
        setup(&state);
        struct fixture *f = state;
        make_header(h, 9, VFU_VERSION, cases[i].size, VFU_F_COMMAND);
        send_with(f, h, sizeof(h), NULL, 0);
        assert_int_equal(vfu_conn_receive(&f->conn, &msg), cases[i].rc);
        snprintf(number, sizeof(number), " %u ", cases[i].size);
        if (cases[i].rc < 0 && !strstr(f->conn.error, number))
            fail_msg("\"%s\" does not name%s", f->conn.error, number);
        teardown(&state);
    }
}

static void test_a_peer_that_leaves_in_the_middle_is_told_from_one_that_leaves(void **state)
{
    struct fixture *f = *state;
    uint8_t h[VFU_HEADER_SIZE];
    struct vfu_msg *msg;
    void *other;
    make_header(h, 1, VFU_VERSION, VFU_HEADER_SIZE + 4, VFU_F_COMMAND);
    send_with(f, h, 11, NULL, 0);
    close(f->peer);
    f->peer = -1;
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), -ECONNRESET);
    assert_string_equal(f->conn.error, "closed after 11 bytes of a message");
    setup(&other);
    struct fixture *g = other;
    close(g->peer);
    g->peer = -1;
    assert_int_equal(vfu_conn_receive(&g->conn, &msg), -ECONNRESET);
    assert_string_equal(g->conn.error, "");
    teardown(&other);
}

static void read_all(int fd, uint8_t *to, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = read(fd, to + got, len - got);
        assert_true(n > 0);
        got += (size_t)n;
    }
}

static void expect_header(const uint8_t *h, uint16_t id, uint16_t cmd, uint32_t size, uint32_t flags,
                          uint32_t error)
{
    struct vfu_reader r = {.at = h, .left = VFU_HEADER_SIZE};
    assert_int_equal(vfu_get16(&r), id);
    assert_int_equal(vfu_get16(&r), cmd);
    assert_int_equal(vfu_get32(&r), size);
    assert_int_equal(vfu_get32(&r), flags);
    assert_int_equal(vfu_get32(&r), error);
}

static void test_replies_carry_the_commands_number_and_the_error(void **state)
{
    struct fixture *f = *state;
    struct vfu_msg to = {.id = 513, .cmd = VFU_REGION_READ};
    uint8_t got[VFU_HEADER_SIZE + 3];
    assert_int_equal(vfu_conn_reply(&f->conn, &to, "abc", 3), 0);
    read_all(f->peer, got, sizeof(got));
    expect_header(got, 513, VFU_REGION_READ, sizeof(got), VFU_F_REPLY, 0);
    assert_memory_equal(got + VFU_HEADER_SIZE, "abc", 3);
    for (int sign = -1; sign <= 1; sign += 2) {
        assert_int_equal(vfu_conn_reply_error(&f->conn, &to, sign * ENOSYS), 0);
        read_all(f->peer, got, VFU_HEADER_SIZE);
        expect_header(got, 513, VFU_REGION_READ, VFU_HEADER_SIZE, VFU_F_REPLY | VFU_F_ERROR, ENOSYS);
    }
}

static void test_who_wants_no_reply_gets_none(void **state)
{
    struct fixture *f = *state;
    struct vfu_msg quiet = {.flags = VFU_F_NO_REPLY}, reply = {.flags = VFU_F_REPLY};
    uint8_t octet;
    assert_int_equal(vfu_conn_reply(&f->conn, &quiet, "x", 1), 0);
    assert_int_equal(vfu_conn_reply_error(&f->conn, &quiet, EIO), 0);
    assert_int_equal(vfu_conn_reply(&f->conn, &reply, "x", 1), 0);
    assert_int_equal(recv(f->peer, &octet, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

// One without a body: there is no octet of it to keep, nor an address (this program ends at undefined
// behaviour).
static void test_a_reply_without_body_waits_for_room_too(void **state)
{
    struct fixture *f = *state;
    struct vfu_msg to = {.id = 9, .cmd = VFU_DMA_MAP};
    uint8_t octet = 0xee, got[VFU_HEADER_SIZE] = {0};
    size_t filled = 0, have = 0;
    while (send(f->conn.fd, &octet, 1, MSG_DONTWAIT) == 1)
        filled++;
    assert_int_equal(vfu_conn_reply_error(&f->conn, &to, EINVAL), 0);
    assert_true(vfu_conn_blocked(&f->conn));
    for (size_t n = 0; n < filled; n++)
        read_all(f->peer, &octet, 1);
    assert_int_equal(vfu_conn_flush(&f->conn), 0);
    assert_false(vfu_conn_blocked(&f->conn));
    while (have < sizeof(got))
        have += (size_t)recv(f->peer, got + have, sizeof(got) - have, 0);
    expect_header(got, 9, VFU_DMA_MAP, VFU_HEADER_SIZE, VFU_F_REPLY | VFU_F_ERROR, EINVAL);
}

static void test_a_reply_without_room_waits_and_nothing_is_received_meanwhile(void **state)
{
    struct fixture *f = *state;
    size_t len = VFU_MAX_BODY, size = VFU_HEADER_SIZE + len;
    uint8_t *body = malloc(len), *got = malloc(size);
    struct vfu_msg to = {.id = 7, .cmd = VFU_DMA_READ}, *msg;
    assert_non_null(body);
    assert_non_null(got);
    for (size_t i = 0; i < len; i++)
        body[i] = (uint8_t)(i * 7 + (i >> 9));
    assert_int_equal(vfu_conn_reply(&f->conn, &to, body, len), 0);
    assert_true(vfu_conn_blocked(&f->conn)); // a megabyte is more than a socket holds
    send_message(f, 8, "late", 4, NULL, 0);
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), 0);
    assert_int_equal(vfu_conn_reply(&f->conn, &to, "x", 1), -EMSGSIZE);
    for (size_t at = 0; at < size;) {
        ssize_t n = recv(f->peer, got + at, size - at, MSG_DONTWAIT);
        at += n > 0 ? (size_t)n : 0;
        assert_int_equal(vfu_conn_flush(&f->conn), 0);
    }
    assert_false(vfu_conn_blocked(&f->conn));
    expect_header(got, 7, VFU_DMA_READ, (uint32_t)size, VFU_F_REPLY, 0);
    assert_memory_equal(got + VFU_HEADER_SIZE, body, len);
    assert_int_equal(vfu_conn_receive(&f->conn, &msg), 1);
    assert_int_equal(msg->id, 8);
    free(body);
    free(got);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_short_read_is_sticky_and_gives_zero),
        cmocka_unit_test(test_a_writer_that_would_run_over_writes_nothing),
        T(test_a_message_in_single_bytes_is_one_message),
        T(test_descriptors_stay_with_the_message_that_carried_them),
        T(test_too_many_descriptors_end_the_stream_and_none_stays_open),
        T(test_descriptors_of_several_pieces_are_counted_together),
        cmocka_unit_test(test_lengths_that_cannot_be_are_refused_with_their_numbers),
        T(test_a_peer_that_leaves_in_the_middle_is_told_from_one_that_leaves),
        T(test_replies_carry_the_commands_number_and_the_error),
        T(test_who_wants_no_reply_gets_none),
        T(test_a_reply_without_body_waits_for_room_too),
        T(test_a_reply_without_room_waits_and_nothing_is_received_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
