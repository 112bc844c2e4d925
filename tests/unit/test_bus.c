// SPDX-License-Identifier: Apache-2.0
// The vfio-user client against a scripted other side: posted writes ask for no reply, replies are matched by
// id, requests of the server's are refused, wrong lengths and silence end the connection within a second.
#include "drv_util.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "driver/bus/bus.h"

enum how {
    PLAIN,
    STALE_REPLY_FIRST,
    REQUEST_FIRST,
    WRONG_COMMAND,
    HUGE_SIZE,
    TINY_SIZE,
    ERROR_REPLY,
    SILENT,
    SHORT_DATA,
    HALF
};

struct peer {
    char dir[64];
    int listener;
    pthread_t thread;
    _Atomic int how;                            // applies to BAR0 reads
    _Atomic int posted, acked, refused, stands; // stands: reads nothing
};

// What this thread receives while there is a flood: a message that is not what it waits for, always one more.
static _Thread_local struct {
    uint64_t until_ms; // 0: there is none
    bool requests;
} flood;

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    if (!flood.until_ms || now_ms() > flood.until_ms || n != 16)
        return recvfrom(fd, p, n, flags, NULL, NULL);
    memset(p, 0, n);
    put_le16(p, 0x8000);
    put_le32((uint8_t *)p + 4, 16);
    put_le32((uint8_t *)p + 8, flood.requests ? 0 : 1);
    return 16;
}

static void send_reply(int fd, const uint8_t *head, uint16_t id, uint16_t cmd, uint32_t flags,
                       const uint8_t *p, uint32_t len)
{
    uint8_t m[128];

    (void)head;
    put_le16(m, id);
    put_le16(m + 2, cmd);
    put_le32(m + 4, 16 + len);
    put_le32(m + 8, flags);
    put_le32(m + 12, flags & 0x20 ? EPERM : 0);
    memcpy(m + 16, p, len);
    (void)!send(fd, m, 16 + len, MSG_NOSIGNAL);
}

static void answer_read(struct peer *s, int fd, const uint8_t *h, uint8_t *p)
{
    uint16_t id = get_le16(h);
    uint8_t bad[16];

    put_le32(p + 16, 0x11223344);
    memcpy(bad, h, 16);
    switch ((int)s->how) {
    case STALE_REPLY_FIRST: send_reply(fd, h, (uint16_t)(id - 1), 9, 1, p, 20); break;
    case REQUEST_FIRST: send_reply(fd, h, 0x8000, 11, 0, p, 16); break;
    case WRONG_COMMAND: send_reply(fd, h, id, 10, 1, p, 20); return;
    case HUGE_SIZE:
        put_le32(bad + 4, 1u << 30);
        put_le32(bad + 8, 1);
        (void)!send(fd, bad, 16, MSG_NOSIGNAL);
        return;
    case TINY_SIZE:
        put_le32(bad + 4, 3);
        put_le32(bad + 8, 1);
        (void)!send(fd, bad, 16, MSG_NOSIGNAL);
        return;
    case ERROR_REPLY: send_reply(fd, h, id, 9, 0x21, p, 0); return;
    case SILENT: return;
    case SHORT_DATA: send_reply(fd, h, id, 9, 1, p, 17); return;
    case HALF:
        put_le32(bad + 4, 36);
        put_le32(bad + 8, 1);
        (void)!send(fd, bad, 9, MSG_NOSIGNAL);
        return;
    default: break;
    }
    send_reply(fd, h, id, 9, 1, p, 20);
}

static void serve_one(struct peer *s, int fd, const uint8_t *h, uint8_t *p)
{
    static const uint8_t version[] = "\0\0\0\0{}";
    uint16_t id = get_le16(h), cmd = get_le16(h + 2);

    if (get_le32(h + 8) & 1) { // a reply to our request
        s->refused += get_le32(h + 8) == 0x21 && id == 0x8000;
        return;
    }
    switch (cmd) {
    case 1: send_reply(fd, h, id, 1, 1, version, sizeof(version)); break;
    case 4:
        put_le32(p + 4, 3);
        send_reply(fd, h, id, 4, 1, p, 16);
        break;
    case 5:
        put_le64(p + 16, 0x10000);
        send_reply(fd, h, id, 5, 1, p, 32);
        break;
    case 7:
        put_le32(p + 12, 4);
        send_reply(fd, h, id, 7, 1, p, 16);
        break;
    case 9:
        if (get_le32(p + 8) == 0)
            answer_read(s, fd, h, p);
        else
            send_reply(fd, h, id, 9, 1, p, 18);
        break;
    case 10:
        if (get_le32(h + 8) & 0x10) {
            s->posted++;
        } else {
            s->acked++;
            send_reply(fd, h, id, 10, 1, p, 16);
        }
        break;
    default: send_reply(fd, h, id, cmd, 1, p, 0); break;
    }
}

static void *serve(void *arg)
{
    struct peer *s = arg;
    int fd = accept(s->listener, NULL, NULL);
    uint8_t h[16], p[512];

    while (recv(fd, h, 16, MSG_WAITALL) == 16) {
        while (s->stands)
            nap();
        uint32_t len = get_le32(h + 4) - 16;
        if (len > 256 || (len && recv(fd, p, len, MSG_WAITALL) != (ssize_t)len))
            break;
        serve_one(s, fd, h, p);
    }
    close(fd);
    return NULL;
}

static int setup(void **state)
{
    struct peer *s = calloc(1, sizeof(*s));
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    assert_non_null(s);
    snprintf(s->dir, sizeof(s->dir), "/tmp/espalier-bus-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/vfio-user.sock", s->dir);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(s->listener, 1), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct peer *s = *state;
    char path[128];

    pthread_join(s->thread, NULL);
    close(s->listener);
    snprintf(path, sizeof(path), "%s/vfio-user.sock", s->dir);
    unlink(path);
    rmdir(s->dir);
    free(s);
    return 0;
}

static struct bus *open_bus(struct peer *s)
{
    struct esp_error err = {0};
    struct bus *b = NULL;

    if (bus_vfio_user_open(&b, s->dir, "0000:01:00.0", &err))
        fail_msg("%s: %s", err.field, err.text);
    return b;
}

static void test_posted_writes_ask_for_no_reply(void **state)
{
    struct peer *s = *state;
    struct bus *b = open_bus(s);

    for (int i = 0; i < 1000; i++)
        while (bus_post32(b, 0x2000, (uint32_t)i) == -EAGAIN) // never waited for
            nap();
    bus_write32(b, 0x40, 1);
    assert_int_equal(bus_read32(b, 0), 0x11223344); // behind them in order
    assert_int_equal(s->posted, 1000);
    assert_int_equal(s->acked, 1);
    assert_int_equal(b->irqs, 4);
    bus_close(b);
}

static void test_a_posted_write_never_waits_for_a_device_that_does_not_read(void **state)
{
    struct peer *s = *state;
    struct bus *b = open_bus(s);
    struct busy busy;
    int sent = 0;

    s->stands = 1;
    busy_from(&busy);
    while (bus_post32(b, 0x2000, 1) == 0 && sent < 1000000)
        sent++;
    assert_int_equal(bus_post32(b, 0x2000, 1), -EAGAIN);
    assert_in_range(busy_own_ms(&busy), 0, 900);
    assert_false(b->gone); // it is slow, not dead
    s->stands = 0;
    assert_int_equal(bus_read32(b, 0), 0x11223344);
    assert_int_equal(s->posted, sent); // whole messages, each once
    bus_close(b);
}

static void test_foreign_messages_are_passed_over(void **state)
{
    struct peer *s = *state;
    struct bus *b = open_bus(s);

    s->how = STALE_REPLY_FIRST;
    assert_int_equal(bus_read32(b, 0), 0x11223344);
    s->how = REQUEST_FIRST;
    assert_int_equal(bus_read32(b, 0), 0x11223344);
    s->how = PLAIN;
    assert_int_equal(bus_read32(b, 0), 0x11223344);
    assert_int_equal(s->refused, 1);
    assert_false(b->gone);
    bus_close(b);
}

static void test_error_reply_reads_as_all_ones_and_goes_on(void **state)
{
    struct peer *s = *state;
    struct bus *b = open_bus(s);

    s->how = ERROR_REPLY;
    assert_int_equal(bus_read32(b, 0), UINT32_MAX);
    s->how = PLAIN;
    assert_int_equal(bus_read32(b, 0), 0x11223344);
    bus_close(b);
}

static void test_broken_streams_end_the_connection(void **state)
{
    static const enum how ways[] = {WRONG_COMMAND, HUGE_SIZE, TINY_SIZE, SHORT_DATA, SILENT, HALF};

    (void)state;
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct busy busy;
        struct bus *b;
        void *own;

        setup(&own);
        b = open_bus(own);
        ((struct peer *)own)->how = (int)ways[i];
        busy_from(&busy);
        assert_int_equal(bus_read32(b, 0), UINT32_MAX);
        assert_true(b->gone);
        assert_in_range(busy_own_ms(&busy), 0, 1300);
        busy_from(&busy);
        assert_int_equal(bus_read32(b, 0), UINT32_MAX); // at once from now on
        assert_int_equal(bus_master(b, false), -ENODEV);
        assert_in_range(busy_own_ms(&busy), 0, 100);
        bus_close(b);
        teardown(&own);
    }
}

// A device that never falls silent is waited for no longer than one that does.
static void test_flood_of_other_messages_ends_the_connection(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct busy busy;
        void *own;

        setup(&own);
        struct bus *b = open_bus(own);
        ((struct peer *)own)->how = SILENT;
        flood.requests = i;
        flood.until_ms = now_ms() + 5000;
        busy_from(&busy);
        assert_int_equal(bus_read32(b, 0), UINT32_MAX);
        flood.until_ms = 0;
        assert_true(b->gone);
        assert_in_range(busy_own_ms(&busy), 0, 1300);
        bus_close(b);
        teardown(&own);
    }
}

static void test_long_socket_paths_work(void **state)
{
    char base[] = "/tmp/espalier-long-XXXXXX", dir[400];
    struct peer *s = *state;
    struct bus *b;

    assert_non_null(mkdtemp(base));
    snprintf(dir, sizeof(dir), "%s/%0150d", base, 7);
    assert_int_equal(symlink(s->dir, dir), 0);
    assert_int_equal(bus_vfio_user_open(&b, dir, "0000:01:00.0", NULL), 0);
    bus_close(b);
    unlink(dir);
    rmdir(base);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_posted_writes_ask_for_no_reply),
        T(test_a_posted_write_never_waits_for_a_device_that_does_not_read),
        T(test_foreign_messages_are_passed_over),
        T(test_error_reply_reads_as_all_ones_and_goes_on),
        cmocka_unit_test(test_broken_streams_end_the_connection),
        cmocka_unit_test(test_flood_of_other_messages_ends_the_connection),
        T(test_long_socket_paths_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
