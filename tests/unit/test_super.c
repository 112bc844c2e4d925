// SPDX-License-Identifier: Apache-2.0
// The supervisor's parts that need no rights: who gets which descriptor, the filter that parts IKE from ESP
// on one port, the run directory's lock, and the service manager's message.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ipc/ipc.h"
#include "ctrl/super/again.h"
#include "ctrl/super/children.h"
#include "ctrl/super/rights.h"
#include "ctrl/super/rundir.h"
#include "ctrl/super/supervise.h"
#include "ctrl/super/watchdog.h"

#ifndef UDP_SEGMENT // linux/udp.h, which does not go together with netinet/udp.h
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

// The rooms themselves are not part of these tests.
int ctl_main(const struct child_env *env)
{
    return env == NULL;
}
int ike_main(const struct child_env *env)
{
    return env == NULL;
}
int keys_main(const struct child_env *env)
{
    return env == NULL;
}
int path_main(const struct child_env *env)
{
    return env == NULL;
}
int fetch_main(const struct child_env *env)
{
    return env == NULL;
}
int fleet_main(const struct child_env *env)
{
    (void)env;
    return 0;
}
int metrics_main(const struct child_env *env)
{
    return env == NULL;
}

static void test_env_gives_each_room_only_its_sockets(void **state)
{
    (void)state;
    struct channels c;
    struct settings st = {0};
    struct esp_error err;
    const struct socket_set s = {.fence = 117,
                                 .fence_read = 118,
                                 .fleet_tls = 119,
                                 .ike = 101,
                                 .ike_nat_t = 102,
                                 .esp_nat_t = 103,
                                 .esp = 104,
                                 .send = 105,
                                 .tun = 106,
                                 .ike6 = 107,
                                 .ike6_nat_t = 108,
                                 .esp6_nat_t = 109,
                                 .esp6 = 110,
                                 .send6 = 111,
                                 .ah = 112,
                                 .ah6 = 113,
                                 .metrics = 114,
                                 .vici = 115,
                                 .kept = 116,
                                 .more = {{201, 202, 203}, {204, 205, 206}, {207, 208, 209}}};
    st.workers = 3;
    assert_int_equal(channels_open(&c, &err), 0);
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        struct child_env e = children_env((enum room)r, &c, &s, &st);
        bool ike = r == ROOM_IKE, path = r == ROOM_PATH;
        assert_int_equal(e.sock_ike, ike ? 101 : -1);
        assert_int_equal(e.sock_ike_nat_t, ike ? 102 : -1);
        assert_int_equal(e.sock_esp_nat_t, path ? 103 : -1);
        assert_int_equal(e.sock_esp, path ? 104 : -1);
        assert_int_equal(e.sock_send, path ? 105 : -1);
        assert_int_equal(e.tun, path ? 106 : -1);
        assert_int_equal(e.sock_ike6, ike ? 107 : -1);
        assert_int_equal(e.sock_ike6_nat_t, ike ? 108 : -1);
        assert_int_equal(e.sock_esp6_nat_t, path ? 109 : -1);
        assert_int_equal(e.sock_esp6, path ? 110 : -1);
        assert_int_equal(e.sock_send6, path ? 111 : -1);
        assert_int_equal(e.sock_ah, path ? 112 : -1);
        assert_int_equal(e.sock_ah6, path ? 113 : -1);
        for (int i = 0; i < 4; i++) { // two beside the first are wanted
            assert_int_equal(e.more[i].tun, path && i < 2 ? 201 + 3 * i : -1);
            assert_int_equal(e.more[i].esp_nat_t, path && i < 2 ? 202 + 3 * i : -1);
            assert_int_equal(e.more[i].esp6_nat_t, path && i < 2 ? 203 + 3 * i : -1);
        }
        assert_int_equal(e.fence, r == ROOM_FLEET ? 117 : ike || path ? 118 : -1); // one writes it
        assert_int_equal(e.fleet_tls, r == ROOM_FLEET ? 119 : -1);
        assert_int_equal(e.sock_metrics, r == ROOM_METRICS ? 114 : -1);
        assert_int_equal(e.sock_vici, r == ROOM_CTL ? 115 : -1);
        assert_int_equal(e.kept, r == ROOM_CTL ? 116 : -1);
        assert_int_equal(e.chan[r], -1);
        for (int other = 0; other < ROOM_COUNT; other++) {
            // what talks with strangers' servers has no channel to where keys are
            bool apart = (r == ROOM_FETCH && (other == ROOM_KEYS || other == ROOM_PATH)) ||
                         (other == ROOM_FETCH && (r == ROOM_KEYS || r == ROOM_PATH));
            // what answers strangers has one to ctl, and to the supervisor
            apart =
                apart || (r == ROOM_METRICS && other > ROOM_CTL) || (other == ROOM_METRICS && r > ROOM_CTL);
            apart = apart || (r == ROOM_FLEET && other > ROOM_CTL) || (other == ROOM_FLEET && r > ROOM_CTL);
            assert_int_equal(e.chan[other] >= 0, other != r && !apart);
        }
    }
    channels_close(&c, ROOM_COUNT);
}

static void test_channels_join_the_two_rooms_they_name(void **state)
{
    (void)state;
    struct channels c;
    struct esp_error err;
    char b = 0;
    assert_int_equal(channels_open(&c, &err), 0);
    assert_int_equal(write(c.fd[ROOM_IKE][ROOM_KEYS], "x", 1), 1);
    assert_int_equal(read(c.fd[ROOM_KEYS][ROOM_IKE], &b, 1), 1);
    assert_int_equal(b, 'x');
    assert_int_equal(read(c.fd[ROOM_PATH][ROOM_IKE], &b, 1), -1);
    channels_close(&c, ROOM_IKE);
    assert_int_equal(c.fd[ROOM_KEYS][ROOM_IKE], -1);
    assert_true(c.fd[ROOM_IKE][ROOM_KEYS] >= 0);
    channels_close(&c, ROOM_COUNT);
}

static void test_channels_of_one_room_are_those_it_had(void **state)
{
    (void)state;
    struct channels all, one;
    struct esp_error err;
    assert_int_equal(channels_open(&all, &err), 0);
    assert_int_equal(channels_open_of(&one, ROOM_FETCH, &err), 0);
    for (int a = 0; a < ROOM_COUNT; a++)
        for (int b = 0; b < ROOM_COUNT; b++)
            assert_int_equal(one.fd[a][b] >= 0, all.fd[a][b] >= 0 && (a == ROOM_FETCH || b == ROOM_FETCH));
    assert_int_equal(write(one.fd[ROOM_IKE][ROOM_FETCH], "x", 1), 1);
    char b = 0;
    assert_int_equal(read(one.fd[ROOM_FETCH][ROOM_IKE], &b, 1), 1);
    channels_close(&all, ROOM_COUNT);
    channels_close(&one, ROOM_COUNT);
}

// ---- a room that dies

// Whoever has a channel to it must be able to take a new one, or it may not come again.
static void test_neighbours_of_a_room_that_comes_again_take_a_new_channel(void **state)
{
    (void)state;
    struct channels c;
    struct esp_error err;
    unsigned rooms = 0;
    assert_int_equal(channels_open(&c, &err), 0);
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        for (int other = ROOM_CTL; room_comes_again((enum room)r) && other < ROOM_COUNT; other++) {
            if (c.fd[r][other] >= 0)
                assert_true(ipc_may_send(ROOM_SUPER, (enum room)other, MSG_CHANNEL));
            rooms += c.fd[r][other] >= 0;
        }
    }
    assert_int_equal(rooms,
                     20); // ctl, to all six; ike, to four; keys, to three; path too; fetch, to two; metrics
                          // and fleet, to ctl
    channels_close(&c, ROOM_COUNT);
}

static void test_room_that_dies_is_left_dead_for_longer_each_time(void **state)
{
    (void)state;
    struct again a = {0};
    uint64_t now = 1000000, was = 0;
    static const uint64_t ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000};
    again_started(&a, now);
    for (unsigned i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
        was = again_after(&a, now += 5);
        assert_int_equal(was, ms[i]);
        again_started(&a, now += was);
    }
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(again_after(&a, now += 5), 60000);
    again_started(&a, now);
    assert_int_equal(again_after(&a, now + 59999), 60000);
    again_started(&a, now);
    assert_int_equal(again_after(&a, now + 60000), 100); // it lived long enough
    assert_int_equal(again_after(&a, now + 60001), 100);
    again_started(&a, now += 60001);
    assert_int_equal(again_deaths(&a, now + 59999), 1); // so shortly one behind the other
    assert_int_equal(again_deaths(&a, now + 60000), 0);
}

// ---- the memory file of a room

static int read_from(int fd, struct room_start *got)
{
    assert_true(dup2(fd, ROOM_START_FD) >= 0);
    return room_read_start(got);
}

static void test_room_takes_only_a_sealed_file_of_its_own_program(void **state)
{
    (void)state;
    struct room_start start = {.room = ROOM_IKE, .parent = 77}, got;
    start.config.settings.port = 1234;
    start.env.sock_ike = 55;
    int fd = room_start_file(&start), forged = memfd_create("forged", MFD_ALLOW_SEALING);
    assert_true(fd >= 0 && forged >= 0);
    assert_false(room_is_one(NULL));
    assert_false(room_is_one("espalierd"));
    assert_true(room_is_one("espalierd: ike"));
    assert_int_equal(read_from(fd, &got), 0);
    assert_int_equal(got.room, ROOM_IKE);
    assert_int_equal(got.parent, 77);
    assert_int_equal(got.env.sock_ike, 55);
    assert_ptr_equal(got.env.settings, &got.config.settings);
    assert_int_equal(got.env.settings->port, 1234);
    assert_int_equal(fcntl(ROOM_START_FD, F_GETFD), -1); // taken
    assert_int_equal(write(fd, "x", 1), -1);             // nobody changes it under a room's eyes
    assert_int_equal(ftruncate(fd, 0), -1);

    assert_int_equal(write(forged, &got, sizeof(got)), (ssize_t)sizeof(got));
    assert_int_equal(read_from(forged, &got), -EBADMSG); // as good, but not sealed
    start.room = ROOM_SUPER;
    int none = room_start_file(&start);
    assert_int_equal(read_from(none, &got), -EBADMSG);
    close(ROOM_START_FD);
    assert_int_equal(room_read_start(&got), -EBADF); // none of the supervisor's
    close(fd);
    close(forged);
    close(none);
}

// ---- RFC 3948 section 2.2: what goes to whom on UDP 4500

static int bound(uint16_t *port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int one = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static void assert_goes(const int group[2], int from, uint16_t port, const void *data, size_t len,
                        int expected)
{
    uint8_t b[64];
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(sendto(from, data, len, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)len);
    assert_int_equal(recv(group[expected], b, sizeof(b), 0), (ssize_t)len);
    assert_int_equal(recv(group[!expected], b, sizeof(b), 0), -1);
}

// So many octets with their marker.
static void ike_message(uint8_t *m, uint32_t n)
{
    memset(m, 0, 4);
    memset(m + 4, 7, n - 4);
    m[28] = m[29] = 0;
    m[30] = (uint8_t)((n - 4) >> 8);
    m[31] = (uint8_t)(n - 4);
}

static void test_demux_ike_by_non_esp_marker_esp_otherwise(void **state)
{
    (void)state;
    uint8_t m[64];
    uint16_t port = 0;
    int group[2];
    group[DEMUX_IKE] = bound(&port);
    assert_int_equal(sockets_attach_demux(group[DEMUX_IKE], 1), 0);
    group[DEMUX_ESP] = bound(&port);
    int from = socket(AF_INET, SOCK_DGRAM, 0);
    for (int i = 0; i < 20; i++) { // the choice does not depend on a hash of the sender
        assert_goes(group, from, port, "\0\0\0\0IKE", 7, DEMUX_IKE);
        assert_goes(group, from, port, "\0\0\0\0", 4, DEMUX_IKE);
        assert_goes(group, from, port, "\0\0\0\1ESP", 7, DEMUX_ESP);
        assert_goes(group, from, port, "\x80\0\0\0", 4, DEMUX_ESP);
        assert_goes(group, from, port, "\xff", 1, DEMUX_IKE); // a keepalive; ike drops it
        assert_goes(group, from, port, "", 0, DEMUX_IKE);
        assert_goes(group, from, port, "\1\2\3", 3, DEMUX_IKE);
        ike_message(m, 60);
        assert_goes(group, from, port, m, 60, DEMUX_IKE);
        assert_goes(group, from, port, m, 59, DEMUX_IKE); // shorter than it says: ike drops it
        assert_goes(group, from, port, m, 32, DEMUX_IKE);
        assert_goes(group, from, port, m, 61, DEMUX_ESP); // there is more than this message
        m[28] = m[29] = m[30] = m[31] = 0xff;             // ... that ends before its own length
        assert_goes(group, from, port, m, 61, DEMUX_ESP);
        close(from);
        from = socket(AF_INET, SOCK_DGRAM, 0);
    }
    close(from);
    close(group[0]);
    close(group[1]);
}

// Of several workers: as ctrl/path/hand.c says whose an SA is. What is not one SA's the first one takes
// apart.
static void test_demux_esp_goes_to_the_worker_that_its_spi_says(void **state)
{
    (void)state;
    uint8_t m[64];
    uint16_t port = 0;
    enum { WORKERS = 3 };
    int group[1 + WORKERS], from = socket(AF_INET, SOCK_DGRAM, 0);
    group[DEMUX_IKE] = bound(&port);
    assert_int_equal(sockets_attach_demux(group[DEMUX_IKE], WORKERS), 0);
    for (int i = 0; i < WORKERS; i++)
        group[DEMUX_ESP + i] = bound(&port);
    for (unsigned i = 0; i < 256; i++) {
        const uint8_t esp[8] = {0xc0, (uint8_t)(i * 7), (uint8_t)(i * 31), (uint8_t)i};
        assert_goes(group, from, port, esp, sizeof(esp), DEMUX_ESP + (int)(i % WORKERS));
    }
    assert_goes(group, from, port, "\0\0\0\0IKE", 7, DEMUX_IKE);
    assert_goes(group, from, port, "\xff", 1, DEMUX_IKE);
    ike_message(m, 60);
    assert_goes(group, from, port, m, 60, DEMUX_IKE);
    assert_goes(group, from, port, m, 61, DEMUX_ESP);
    close(from);
    for (int i = 0; i < 1 + WORKERS; i++)
        close(group[i]);
}

static void send_together(int from, uint16_t port, uint8_t *p, size_t len, uint16_t size)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(size))] = {0};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct iovec v = {p, len};
    struct msghdr h = {&to, sizeof(to), &v, 1, control, sizeof(control), 0};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(size));
    memcpy(CMSG_DATA(c), &size, sizeof(size));
    assert_int_equal(sendmsg(from, &h, 0), (ssize_t)len);
}

// The kernel hands what it has put together to one socket, by its first octets.
static void test_demux_ike_in_front_of_esp_takes_none_of_it_along(void **state)
{
    (void)state;
    uint8_t m[300], got[400];
    uint16_t port = 0;
    int group[2], on = 1, from = socket(AF_INET, SOCK_DGRAM, 0);
    group[DEMUX_IKE] = bound(&port);
    assert_int_equal(sockets_attach_demux(group[DEMUX_IKE], 1), 0);
    group[DEMUX_ESP] = bound(&port);
    if (setsockopt(group[DEMUX_ESP], IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) < 0) {
        print_message("skip: this kernel puts no UDP together\n");
        skip();
    }
    ike_message(m, 100);
    memset(m + 100, 0xe5, 200); // two of ESP
    send_together(from, port, m, 300, 100);
    assert_int_equal(recv(group[DEMUX_ESP], got, sizeof(got), 0), 300);
    assert_memory_equal(got, m, 300);
    assert_int_equal(recv(group[DEMUX_IKE], got, sizeof(got), 0), -1);
    close(from);
    close(group[0]);
    close(group[1]);
}

static void test_listen_takes_the_addresses_of_the_list_only(void **state)
{
    (void)state;
    struct settings st = {.listen_count = 3};
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    char b[8];
    for (unsigned i = 0; i < 3; i++)
        *(struct sockaddr_in *)&st.listen[i] = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001 + 2 * i)}; // .1 .3 .5
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), from = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(sockets_attach_listen(fd, &st, AF_INET), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    for (unsigned i = 1; i <= 6; i++) {
        in.sin_addr.s_addr = htonl(0x7f000000 + i);
        assert_int_equal(sendto(from, "x", 1, 0, (struct sockaddr *)&in, sizeof(in)), 1);
        assert_int_equal(recv(fd, b, sizeof(b), 0), i % 2 ? 1 : -1);
    }
    close(fd);
    close(from);
}

// ---- run directory

static void test_rundir_is_made_locked_and_free_after_the_end(void **state)
{
    bool killed = true;
    (void)state;
    char dir[] = "/tmp/espalier-run-XXXXXX", sub[64], pid[128];
    struct esp_error err = {0};
    assert_non_null(mkdtemp(dir));
    snprintf(sub, sizeof(sub), "%s/run", dir);
    int fd = rundir_take(sub, &killed, &err);
    assert_true(fd >= 0 && !killed);
    assert_int_equal(rundir_take(sub, &killed, &err), -EBUSY);
    assert_int_equal(write(fd, "1\n", 2),
                     -1); // each room has it, and what it could write there it could execute
    snprintf(pid, sizeof(pid), "used by process %d", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    close(fd); // as by its death
    fd = rundir_take(sub, &killed, &err);
    assert_true(fd >= 0 && killed);
    rundir_leave(fd);
    fd = rundir_take(sub, &killed, &err);
    assert_true(fd >= 0 && !killed);
    close(fd);
    snprintf(pid, sizeof(pid), "%s/espalierd.pid", sub);
    unlink(pid);
    assert_int_equal(symlink("/etc/passwd", pid), 0); // never followed
    assert_true(rundir_take(sub, &killed, &err) < 0);
    unlink(pid);
    rmdir(sub);
    rmdir(dir);
    assert_int_equal(rundir_take("/nonexistent/run", &killed, &err), -ENOENT);
    assert_string_equal(err.field, "/nonexistent/run");
}

// ---- service manager

static void test_notify_path_abstract_and_absent(void **state)
{
    (void)state;
    char dir[] = "/tmp/espalier-notify-XXXXXX", names[2][64];
    assert_non_null(mkdtemp(dir));
    snprintf(names[0], sizeof(names[0]), "%s/socket", dir);
    snprintf(names[1], sizeof(names[1]), "@%s", dir);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        char got[32] = "";
        size_t n = strlen(names[i]);
        memcpy(un.sun_path, names[i], n);
        if (i)
            un.sun_path[0] = 0;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        assert_int_equal(
            bind(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)), 0);
        setenv("NOTIFY_SOCKET", names[i], 1);
        notify_send("READY=1");
        assert_int_equal(recv(fd, got, sizeof(got), 0), 7);
        assert_string_equal(got, "READY=1");
        close(fd);
        unlink(names[i]);
    }
    rmdir(dir);
    unsetenv("NOTIFY_SOCKET");
    notify_send("READY=1");
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_send("READY=1");
}

static void test_watchdog_is_for_whom_the_service_manager_names(void **state)
{
    static const char *const none[] = {NULL, "", "0", "-1", "1x", "x", " 30000000", "99999999999999999999"};
    struct watchdog w;
    char own[24], other[24];
    (void)state;
    snprintf(own, sizeof(own), "%ld", (long)getpid());
    snprintf(other, sizeof(other), "%ld", (long)getppid());
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        watchdog_init(&w, none[i], NULL);
        assert_int_equal(w.every_ms, 0);
    }
    watchdog_init(&w, "30000000", NULL);
    assert_int_equal(w.every_ms, 7500);
    watchdog_init(&w, "30000000", own);
    assert_int_equal(w.every_ms, 7500);
    watchdog_init(&w, "30000000", other);
    assert_int_equal(w.every_ms, 0);
    watchdog_init(&w, "30000000", "1x");
    assert_int_equal(w.every_ms, 0);
    watchdog_init(&w, "1", NULL); // not 0, which would be nobody
    assert_int_equal(w.every_ms, 1);
    watchdog_init(&w, "18446744073709551614", NULL);
    assert_int_equal(w.every_ms, UINT32_MAX);
}

static void test_watchdog_takes_an_answer_to_the_last_question_alone(void **state)
{
    struct watchdog w;
    uint32_t ms;
    (void)state;
    watchdog_init(&w, "4000000", NULL);
    w.asked++;
    watchdog_answer(&w, ROOM_IKE, w.asked);
    assert_true(watchdog_lives(&w, ROOM_IKE, &ms));
    assert_false(watchdog_lives(&w, ROOM_KEYS, &ms));
    assert_int_equal(ms, 1000);
    w.asked++;
    watchdog_answer(&w, ROOM_KEYS, w.asked - 1); // late
    watchdog_answer(&w, ROOM_KEYS, w.asked + 1); // never asked
    assert_false(watchdog_lives(&w, ROOM_KEYS, &ms));
    assert_int_equal(ms, 2000);
    assert_false(watchdog_lives(&w, ROOM_IKE, &ms)); // that answered the one before
    assert_int_equal(ms, 1000);
    watchdog_joined(&w, ROOM_KEYS); // another one in its place
    assert_true(watchdog_lives(&w, ROOM_KEYS, &ms));
    w.asked++;
    assert_false(watchdog_lives(&w, ROOM_KEYS, &ms));
    assert_int_equal(ms, 1000);
}

// Keys are written where nobody else can read or exchange them, or not at all.
static void test_debug_dir_of_others_or_open_to_others_is_refused(void **state)
{
    char dir[] = "/tmp/espalier-debug-XXXXXX", keys[64], link[64];
    struct esp_error err = {0};

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(keys, sizeof(keys), "%s/keys", dir);
    snprintf(link, sizeof(link), "%s/link", dir);
    assert_int_equal(debug_dir_make(keys, &err), 0); // made with mode 0700
    assert_int_equal(debug_dir_make(keys, &err), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(chmod(keys, i ? 0707 : 0770), 0);
        assert_int_equal(debug_dir_make(keys, &err), -EACCES);
        assert_non_null(strstr(err.text, "writable by nobody else"));
    }
    assert_int_equal(chmod(keys, 0755), 0);
    assert_int_equal(symlink(keys, link), 0);
    assert_int_equal(debug_dir_make(link, &err), -EACCES);
    if (geteuid() == 0) {
        assert_int_equal(chown(keys, 65534, 65534), 0);
        assert_int_equal(debug_dir_make(keys, &err), -EACCES);
        assert_non_null(strstr(err.text, "it belongs to 65534"));
    }
    unlink(link);
    rmdir(keys);
    rmdir(dir);
}

static void test_group_of_the_metrics_socket_is_one_that_there_is(void **state)
{
    struct socket_set s = {.metrics = -1};
    struct esp_error err;
    char where[64];
    (void)state;
    snprintf(where, sizeof(where), "unix:///tmp/espalier-metrics-%d", (int)getpid());
    assert_int_equal(metrics_socket_open(&s, where, "no such group", &err), -EINVAL);
    assert_string_equal(err.field, "metrics_group");
    assert_string_equal(err.text, "'no such group': there is no such group");
    assert_int_equal(metrics_socket_open(&s, "9909", "root", &err), -EINVAL);
    assert_string_equal(err.text, "has a meaning with metrics = unix:///PATH alone");
    assert_int_equal(s.metrics, -1); // nothing was opened
    assert_int_not_equal(access(where + 7, F_OK), 0);
}

// In the place of the socket that was just bound stands a link to a file of somebody's.
static const char *victim;

int bind(int fd, __CONST_SOCKADDR_ARG to, socklen_t len)
{
    const struct sockaddr_un *un = to.__sockaddr_un__;
    int rc = (int)syscall(SYS_bind, fd, un, len);
    if (rc == 0 && victim && un->sun_family == AF_UNIX && unlink(un->sun_path) == 0)
        assert_int_equal(symlink(victim, un->sun_path), 0);
    return rc;
}

static void test_metrics_socket_that_was_exchanged_gives_nothing_else_away(void **state)
{
    char dir[] = "/tmp/espalier-metrics-XXXXXX", where[96], file[64];
    const gid_t other = getegid() ? getegid() : 12345;
    char group[16];
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(where, sizeof(where), "unix://%s/metrics", dir);
    snprintf(file, sizeof(file), "%s/file", dir);
    snprintf(group, sizeof(group), "%u", (unsigned)other);
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    for (int i = 0; i < 2; i++) {
        struct socket_set s = {.metrics = -1};
        struct esp_error err;
        assert_int_equal(chown(file, (uid_t)-1, getegid()), 0);
        victim = file;
        int rc = metrics_socket_open(&s, where, i ? group : "", &err);
        victim = NULL;
        assert_int_equal(rc, i ? -EPERM : 0);
        if (i)
            assert_non_null(strstr(err.text, "giving it to its group"));
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(st.st_gid, getegid());
        close(s.metrics);
        unlink(where + 7);
    }
    unlink(file);
    rmdir(dir);
}

static void test_users_are_of_their_own_and_none_where_there_are_none(void **state)
{
    (void)state;
    assert_string_equal(rights_apart(0), "uid_base is 0");
    for (enum room r = ROOM_SUPER; r < ROOM_COUNT; r++) {
        assert_int_equal(rights_uid(0, r), 0);
        assert_int_equal(rights_uid(UID_BASE, r), UID_BASE + (unsigned)r);
    }
    if (geteuid() != 0 || rights_apart(UID_BASE))
        return;
    // the last number of them has to be there too
    assert_non_null(rights_apart(UINT32_MAX - 3));
}

static int get_int(int fd, int name)
{
    int v = 0;
    socklen_t n = sizeof(v);
    return getsockopt(fd, SOL_SOCKET, name, &v, &n) == 0 ? v : -1;
}

// In a child without any right: both buffers must have become larger, or the machine allows no more.
static int room_without_rights(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), small = 1 << 14;
    if (syscall(SYS_capset, &head, none) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &small, sizeof(small)) == 0)
        return 2;
    int in = get_int(fd, SO_RCVBUF), out = get_int(fd, SO_SNDBUF);
    sockets_room(fd);
    return get_int(fd, SO_RCVBUF) > in && get_int(fd, SO_SNDBUF) > out ? 0 : 1;
}

// The kernel gives twice what is asked for, so that even where the default is the most allowed it is more.
static void test_sockets_have_room_without_rights_too(void **state)
{
    int status = 0;
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(room_without_rights());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool serves(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool there = connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0;
    close(fd);
    return there;
}

// A ctl that was broken into can: it holds the same one.
static void test_vici_socket_that_was_shut_down_is_made_anew(void **state)
{
    (void)state;
    struct settings st;
    struct esp_error err;
    struct socket_set s = {.vici = -1, .kept = -1};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    settings_default(&st);
    snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/vici-anew-%d", (int)getpid());
    snprintf(st.vici_uri, sizeof(st.vici_uri), "unix://%s", at.sun_path);
    assert_int_equal(sockets_open_ctl(&s, &st, &err), 0);
    int first = dup(s.vici);
    assert_int_equal(sockets_renew_vici(&s, &st, &err), 0);
    assert_true(serves(&at)); // by somebody who waits, too
    assert_int_equal(sockets_renew_vici(&s, &st, &err), 0);
    assert_int_equal(shutdown(first, SHUT_RDWR), 0);
    assert_false(serves(&at));
    assert_int_equal(sockets_renew_vici(&s, &st, &err), 0);
    assert_true(serves(&at));
    struct stat file;
    assert_true(stat(at.sun_path, &file) == 0 && (file.st_mode & 0777) == 0660);
    sockets_end_vici(&s);
    assert_false(serves(&at));
    close(first);
    close(s.vici);
    close(s.kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_env_gives_each_room_only_its_sockets),
        cmocka_unit_test(test_channels_join_the_two_rooms_they_name),
        cmocka_unit_test(test_channels_of_one_room_are_those_it_had),
        cmocka_unit_test(test_neighbours_of_a_room_that_comes_again_take_a_new_channel),
        cmocka_unit_test(test_room_that_dies_is_left_dead_for_longer_each_time),
        cmocka_unit_test(test_room_takes_only_a_sealed_file_of_its_own_program),
        cmocka_unit_test(test_demux_ike_by_non_esp_marker_esp_otherwise),
        cmocka_unit_test(test_demux_ike_in_front_of_esp_takes_none_of_it_along),
        cmocka_unit_test(test_demux_esp_goes_to_the_worker_that_its_spi_says),
        cmocka_unit_test(test_listen_takes_the_addresses_of_the_list_only),
        cmocka_unit_test(test_sockets_have_room_without_rights_too),
        cmocka_unit_test(test_vici_socket_that_was_shut_down_is_made_anew),
        cmocka_unit_test(test_rundir_is_made_locked_and_free_after_the_end),
        cmocka_unit_test(test_notify_path_abstract_and_absent),
        cmocka_unit_test(test_watchdog_is_for_whom_the_service_manager_names),
        cmocka_unit_test(test_watchdog_takes_an_answer_to_the_last_question_alone),
        cmocka_unit_test(test_debug_dir_of_others_or_open_to_others_is_refused),
        cmocka_unit_test(test_group_of_the_metrics_socket_is_one_that_there_is),
        cmocka_unit_test(test_metrics_socket_that_was_exchanged_gives_nothing_else_away),
        cmocka_unit_test(test_users_are_of_their_own_and_none_where_there_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
