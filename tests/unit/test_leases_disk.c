// SPDX-License-Identifier: Apache-2.0
// The file of leases on a disk that is full now and then, at any octet, and that fails to open, to rename or
// to sync: whenever the daemon dies, what is read back is a state that there has been since the file was last
// whole; a lease that finds room makes it whole; nothing is left beside it that takes the room itself; and no
// line of it is damaged.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ctl/leases.h"
#include "ctrl/lib/log.h"

enum { POOLS = 3, ADDRS = 12, NAMES = 4, HISTORY = 400, STEPS = 1500 };
struct state {
    uint8_t name[POOLS][ADDRS]; // 0: no lease
};
static char dir[64], path[100], fresh[104], bad[104];
static uint64_t dice;
static bool full;
static size_t room; // octets, while full
static unsigned told;
static struct state now, history[HISTORY]; // since the file was last whole
static unsigned states;

static unsigned roll(unsigned n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % n;
}

// ---- the disk

ssize_t __real_write(int fd, const void *p, size_t n);
int __real_open(const char *file, int flags, ...);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_open(const char *file, int flags, ...);
int __wrap_rename(const char *from, const char *to);
int __wrap_fsync(int fd);

static int no_room(void)
{
    errno = ENOSPC;
    return -1;
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    if (!full)
        return __real_write(fd, p, n);
    n = n < room ? n : room;
    room -= n;
    return n ? __real_write(fd, p, n) : no_room();
}

int __wrap_open(const char *file, int flags, ...)
{
    return full && flags & O_CREAT && roll(3) == 0 ? no_room() : __real_open(file, flags, 0600);
}

int __wrap_rename(const char *from, const char *to)
{
    return full && roll(3) == 0 ? no_room() : __real_rename(from, to);
}

int __wrap_fsync(int fd)
{
    (void)fd; // no power fails here
    return full && roll(3) == 0 ? no_room() : 0;
}

// ---- what is read back

static void sink(void *ctx, enum log_subsys s, int level, const char *name, unsigned id, const char *text)
{
    (void)ctx, (void)s, (void)level, (void)name, (void)id;
    told++;
    if (strstr(text, "set aside"))
        fail_msg("%s", text);
}

static void note(struct state *is, unsigned pool, struct slice leases)
{
    struct reader r = reader_of(leases);
    while (r.left) {
        (void)rd_u8(&r);
        unsigned addr = rd_bytes(&r, 16).p[3];
        struct slice id = rd_slice16(&r);
        assert_true(!r.bad && addr < ADDRS && id.len == 5);
        is->name[pool][addr] = id.p[4];
    }
}

static void read_back(const struct leases *l, struct state *is)
{
    static const struct ipc_handler none;
    static uint8_t buf[IPC_MAX_MESSAGE];
    struct loop *loop = loop_new();
    union msg m;
    int fd[2];
    memset(is, 0, sizeof(*is));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    struct ipc_chan *c = ipc_open(loop, fd[0], ROOM_CTL, ROOM_IKE, &none, NULL);
    for (unsigned p = 0; p < POOLS; p++) {
        char name[2] = {(char)('a' + p)};
        (void)leases_send(l, name, 0, c);
        for (ssize_t n; (n = recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT)) > 0;) {
            assert_int_equal(msg_read(slice_of(buf, (size_t)n), &m), MSG_POOL_LEASES);
            note(is, p, m.POOL_LEASES.leases);
        }
    }
    ipc_close(c);
    close(fd[1]);
    loop_free(loop);
}

static void remember(void)
{
    assert_true(states < HISTORY);
    history[states++] = now;
}

static void begin_history(void)
{
    states = 0;
    remember();
}

// The daemon dies and comes again.
static struct leases *again(struct leases *l, bool whole)
{
    struct state is;
    bool known = false;
    leases_close(l);
    l = leases_open(path);
    assert_non_null(l);
    read_back(l, &is);
    for (unsigned i = 0; i < states; i++)
        known |= !memcmp(&is, &history[i], sizeof(is));
    assert_true(known);
    if (whole)
        assert_memory_equal(&is, &now, sizeof(is));
    now = is;
    begin_history();
    return l;
}

// ---- what happens

static void keep(struct leases *l)
{
    unsigned p = roll(POOLS), a = roll(ADDRS), name = 1 + roll(NAMES);
    uint8_t id[5] = {2, 0, 0, 0, (uint8_t)name};
    struct msg_LEASE m = {.address = {.family = 4, .a = {10, 3, 0, (uint8_t)a}}, .identity = slice_of(id, 5)};
    m.pool[0] = (char)('a' + p);
    leases_keep(l, &m);
    now.name[p][a] = (uint8_t)name;
    remember();
}

static void drop(struct leases *l)
{
    unsigned p = roll(POOLS);
    char name[2] = {(char)('a' + p)};
    leases_drop(l, name);
    memset(now.name[p], 0, ADDRS);
    remember();
}

static void test_disk_that_is_full_now_and_then_leaves_a_state_that_there_was(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 8; seed++) {
        dice = seed;
        full = false;
        now = (struct state){0};
        begin_history();
        strcpy(dir, "/tmp/test_leases_disk.XXXXXX");
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/leases", dir);
        snprintf(fresh, sizeof(fresh), "%s.new", path);
        snprintf(bad, sizeof(bad), "%s.bad", path);
        struct leases *l = leases_open(path);
        for (unsigned i = 0; i < STEPS; i++) {
            bool kept = roll(12) > 0;
            if (roll(10) == 0 || states > HISTORY / 2) {
                full = states < HISTORY / 2 && !full;
                room = full ? roll(200) : 0;
            }
            (kept ? keep : drop)(l);
            assert_int_not_equal(access(fresh, F_OK), 0);
            if (!full && kept)
                begin_history();
            if (roll(15) == 0)
                l = again(l, !full && kept);
        }
        leases_close(l);
        unlink(path);
        assert_int_equal(rmdir(dir), 0);
    }
    assert_true(told > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_that_is_full_now_and_then_leaves_a_state_that_there_was),
    };
    log_set_sink(sink, NULL);
    log_set_output(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
