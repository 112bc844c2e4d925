// SPDX-License-Identifier: Apache-2.0
// The file of leases: what is kept comes back, a torn end and damaged lines are survived and said, a file
// that cannot be written harms nothing.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ctl/leases.h"
#include "ctrl/lib/log.h"
#include "tests/unit/no_memory.h"

static char dir[64], path[100], bad[104], told[2000];

static void sink(void *ctx, enum log_subsys s, int level, const char *name, unsigned id, const char *text)
{
    (void)ctx;
    (void)s;
    (void)level;
    (void)name;
    (void)id;
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", text);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_leases.XXXXXX");
    told[0] = 0;
    log_set_sink(sink, NULL);
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/leases", dir);
    snprintf(bad, sizeof(bad), "%s.bad", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_set_sink(NULL, NULL);
    unlink(path);
    unlink(bad);
    rmdir(dir);
    return 0;
}

static void keep(struct leases *l, const char *pool, const char *addr, const char *name)
{
    uint8_t id[64] = {2, 0, 0, 0};
    struct msg_LEASE m = {.identity = slice_of(id, 4 + strlen(name))};
    memcpy(id + 4, name, strlen(name));
    snprintf(m.pool, sizeof(m.pool), "%s", pool);
    assert_true(addr_parse(addr, &m.address));
    leases_keep(l, &m);
}

// The first message that a pool's leases make, as text.
static const char *sent(struct leases *l, const char *pool)
{
    static char text[600];
    static uint8_t buf[IPC_MAX_MESSAGE];
    struct loop *loop = loop_new();
    static const struct ipc_handler none;
    int fd[2];
    union msg m;
    char a[64];
    text[0] = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    struct ipc_chan *c = ipc_open(loop, fd[0], ROOM_CTL, ROOM_IKE, &none, NULL);
    assert_true(leases_send(l, pool, 0, c));
    ssize_t n = recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT);
    if (n > 0) {
        assert_int_equal(msg_read(slice_of(buf, (size_t)n), &m), MSG_POOL_LEASES);
        assert_string_equal(m.POOL_LEASES.name, pool);
        struct reader r = reader_of(m.POOL_LEASES.leases);
        while (r.left) {
            struct addr at = {.family = rd_u8(&r)};
            memcpy(at.a, rd_bytes(&r, 16).p, 16);
            struct slice id = rd_slice16(&r);
            assert_false(r.bad);
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s=%.*s ",
                     addr_print(&at, a, sizeof(a)), (int)id.len - 4, (const char *)id.p + 4);
        }
    }
    ipc_close(c);
    close(fd[1]);
    loop_free(loop);
    return text;
}

static void put(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *file(void)
{
    static char text[4000];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    return text;
}

static void test_what_is_kept_comes_back(void **state)
{
    struct stat st;
    (void)state;
    struct leases *l = leases_open(path);
    keep(l, "road warriors %1", "10.3.0.1", "x");
    keep(l, "road warriors %1", "fd00::1", "y");
    keep(l, "other", "10.3.0.1", "z");
    keep(l, "road warriors %1", "10.3.0.1", "w"); // whose it is now
    leases_close(l);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_non_null(strstr(file(), "road%20warriors%20%251 fd00::1 0200000079\n"));
    l = leases_open(path);
    assert_int_equal(leases_count(l), 3);
    const char *text = sent(l, "road warriors %1");
    assert_non_null(strstr(text, "10.3.0.1=w "));
    assert_non_null(strstr(text, "fd00::1=y "));
    assert_string_equal(sent(l, "other"), "10.3.0.1=z ");
    assert_string_equal(sent(l, "none"), "");
    leases_drop(l, "other");
    leases_close(l);
    l = leases_open(path);
    assert_int_equal(leases_count(l), 2);
    leases_close(l);
    assert_string_equal(told, "");
}

static void test_damaged_file_is_named_set_aside_and_read_as_far_as_it_goes(void **state)
{
    (void)state;
    put("espalier leases 1\na 10.3.0.1 0200000078\na 10.3.0.2 02000000zz\na 10.3.0.3 0200000079\n");
    struct leases *l = leases_open(path);
    assert_int_equal(leases_count(l), 2);
    assert_non_null(strstr(told, "line 3 is no lease; the file is set aside as "));
    assert_int_equal(access(bad, F_OK), 0);
    leases_close(l);
    assert_null(strstr(file(), "10.3.0.2"));
}

static void test_foreign_file_is_set_aside_whole(void **state)
{
    (void)state;
    put("a 10.3.0.1 0200000078\n");
    struct leases *l = leases_open(path);
    assert_int_equal(leases_count(l), 0);
    assert_non_null(strstr(told, "line 1 is no lease"));
    assert_int_equal(access(bad, F_OK), 0);
    leases_close(l);
}

static void test_line_that_was_being_written_is_left_out(void **state)
{
    (void)state;
    put("espalier leases 1\na 10.3.0.1 0200000078\na 10.3.0.2 020000");
    struct leases *l = leases_open(path);
    assert_int_equal(leases_count(l), 1);
    keep(l, "a", "10.3.0.2", "y");
    leases_close(l);
    assert_string_equal(file(), "espalier leases 1\na 10.3.0.1 0200000078\na 10.3.0.2 0200000079\n");
    assert_string_equal(told, "");
}

static void test_file_that_cannot_be_written_is_said_once(void **state)
{
    (void)state;
    struct leases *l = leases_open("/nonexistent/leases");
    keep(l, "a", "10.3.0.1", "x");
    keep(l, "a", "10.3.0.2", "y");
    assert_int_equal(leases_count(l), 2);
    leases_close(l);
    assert_non_null(strstr(told, "leases are not kept over a restart: /nonexistent/leases"));
    assert_null(strstr(strstr(told, "not kept") + 1, "not kept"));
}

static void test_file_does_not_grow_with_changes(void **state)
{
    struct stat st;
    (void)state;
    struct leases *l = leases_open(path);
    for (int i = 0; i < 20000; i++)
        keep(l, "a", "10.3.0.1", i % 2 ? "x" : "y");
    leases_close(l);
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 20, 30000);
}

// What could not be read is no damage: the file stays as it is.
static void test_leases_without_memory_leave_the_file_as_it_is(void **state)
{
    char before[4000];
    unsigned n = 0, refused = 0;
    bool failed = true;
    (void)state;
    struct leases *l = leases_open(path);
    keep(l, "p", "10.3.0.1", "a");
    keep(l, "p", "10.3.0.2", "b");
    keep(l, "q", "fd00::1", "c");
    leases_close(l);
    snprintf(before, sizeof(before), "%s", file());
    while (failed && ++n < 100) {
        told[0] = 0;
        no_memory_at(n);
        l = leases_open(path);
        failed = no_memory_end();
        refused += !l;
        assert_true(l ? leases_count(l) == 3 : failed);
        if (!l && n > 1)
            assert_non_null(strstr(told, "reading it: Cannot allocate memory"));
        leases_close(l);
        assert_int_not_equal(access(bad, F_OK), 0);
        assert_int_equal(strlen(file()), strlen(before));
    }
    assert_true(refused >= 6 && n < 100);
}

// Nor is one that there is no descriptor for: it must not be written anew without what is in it.
static void test_leases_without_a_descriptor_leave_the_file_as_it_is(void **state)
{
    struct rlimit was, none;
    (void)state;
    put("espalier leases 1\np 10.3.0.1 0200000061\n");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = (struct rlimit){0, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct leases *l = leases_open(path);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_null(l);
    assert_non_null(strstr(told, "reading it: Too many open files"));
    l = leases_open(path);
    assert_string_equal(sent(l, "p"), "10.3.0.1=a ");
    leases_close(l);
}

static void test_lease_without_memory_is_said_to_lack_it(void **state)
{
    (void)state;
    struct leases *l = leases_open(path);
    for (unsigned n = 1; n <= 3; n++) {
        told[0] = 0;
        no_memory_at(n);
        keep(l, "p", "10.3.0.1", "a");
        assert_true(no_memory_end());
        assert_non_null(strstr(told, "pool p: out of memory"));
        assert_null(strstr(told, "more leases"));
    }
    keep(l, "p", "10.3.0.1", "a");
    assert_string_equal(sent(l, "p"), "10.3.0.1=a ");
    no_memory_at(1);
    assert_false(leases_send(l, "p", 1, NULL));
    assert_true(no_memory_end());
    assert_true(leases_send(l, "p", 1, NULL));
    leases_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_leases_without_memory_leave_the_file_as_it_is),
        TEST(test_leases_without_a_descriptor_leave_the_file_as_it_is),
        TEST(test_lease_without_memory_is_said_to_lack_it),
        TEST(test_what_is_kept_comes_back),
        TEST(test_damaged_file_is_named_set_aside_and_read_as_far_as_it_goes),
        TEST(test_foreign_file_is_set_aside_whole),
        TEST(test_line_that_was_being_written_is_left_out),
        TEST(test_file_that_cannot_be_written_is_said_once),
        TEST(test_file_does_not_grow_with_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
