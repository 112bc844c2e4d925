// SPDX-License-Identifier: Apache-2.0
// The file of the connections' names: what is kept comes back, what is dropped does not; where names may be
// missing (a damaged file, a full disk) it says so, over further restarts too.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ctl/names.h"
#include "ctrl/lib/log.h"

static char dir[64], path[100], told[2000];
static int no_open; // errno of an open that fails; 0: it does not
static bool full;   // a disk without room

ssize_t __real_write(int fd, const void *p, size_t n);
int __real_open(const char *file, int flags, ...);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_open(const char *file, int flags, ...);
int __wrap_rename(const char *from, const char *to);
int __wrap_fsync(int fd);

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    errno = ENOSPC;
    return full ? -1 : __real_write(fd, p, n);
}

int __wrap_open(const char *file, int flags, ...)
{
    errno = no_open;
    return no_open ? -1 : __real_open(file, flags, 0600);
}

int __wrap_rename(const char *from, const char *to)
{
    return __real_rename(from, to);
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

static void sink(void *ctx, enum log_subsys s, int level, const char *name, unsigned id, const char *text)
{
    (void)ctx, (void)s, (void)level, (void)name, (void)id;
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", text);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_names.XXXXXX");
    told[0] = 0;
    log_set_sink(sink, NULL);
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/connections", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_set_sink(NULL, NULL);
    unlink(path);
    return rmdir(dir); // nothing is left beside it
}

static struct names *open_names(void)
{
    struct names *n = names_open(path);
    assert_non_null(n);
    return n;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct list {
    char *name[8];
    unsigned count;
};

static void collect(void *ctx, const char *name)
{
    struct list *l = ctx;
    assert_true(l->count < 8);
    assert_non_null(l->name[l->count++] = strdup(name));
}

// Those of the next run, in order and each with a comma behind it, and whether they are said to be all.
static void expect_next(const char *names, bool whole)
{
    struct names *n = open_names();
    struct list l = {0};
    char text[2000] = "";
    names_each(n, collect, &l);
    qsort(l.name, l.count, sizeof(l.name[0]), by_text);
    for (unsigned i = 0; i < l.count; i++) {
        strcat(strcat(text, l.name[i]), ",");
        free(l.name[i]);
    }
    assert_string_equal(text, names);
    assert_int_equal(names_whole(n), whole);
    names_close(n);
}

static void put_file(const char *text, size_t len)
{
    int fd = __real_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(__real_write(fd, text, len), len);
    close(fd);
}

#define FIRST     "espalier connections 1 whole\n"
#define PUT(text) put_file(text, sizeof(text) - 1)

static void test_names_come_back_until_they_are_dropped(void **state)
{
    char longest[256];
    (void)state;
    memset(longest, 0xe4, 255);
    longest[255] = 0;
    expect_next("", true); // there is no file
    struct names *n = open_names();
    names_keep(n, "b");
    names_keep(n, "a b\n%+");
    names_keep(n, "b");
    names_keep(n, "");
    names_keep(n, longest);
    names_keep(n, "c");
    names_drop(n, "c");
    names_drop(n, "never");
    names_close(n);
    char all[300];
    snprintf(all, sizeof(all), ",a b\n%%+,b,%s,", longest);
    expect_next(all, true);
    expect_next(all, true); // it was written anew meanwhile
    n = open_names();
    names_drop(n, longest);
    names_drop(n, "");
    names_drop(n, "b");
    names_keep(n, "b");
    names_close(n);
    expect_next("a b\n%+,b,", true);
    assert_string_equal(told, "");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_file_stays_short(void **state)
{
    struct stat st;
    (void)state;
    struct names *n = open_names();
    names_keep(n, "stays");
    for (int i = 0; i < 10000; i++) {
        names_keep(n, "x");
        names_drop(n, "x");
    }
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 1, 8000);
    names_close(n);
    expect_next("stays,", true);
}

// It was cut as the daemon died: nothing had come of that name.
static void test_last_line_without_its_end_counts_for_nothing(void **state)
{
    (void)state;
    PUT(FIRST "+a\n+b\n-b\n+cc");
    expect_next("a,", true);
    PUT(FIRST "+a\n-");
    expect_next("a,", true);
    assert_string_equal(told, "");
}

static void test_damaged_file_is_not_whole_and_stays_so(void **state)
{
    (void)state;
    static const struct {
        const char *text, *names;
        size_t len;
        unsigned line;
    } of[] = {
#define OF(text, names, line) {text, names, sizeof(text) - 1, line}
        OF("", "", 1),
        OF("+a\n", "", 1),
        OF("espalier connections 2 whole\n+a\n", "a,", 1),
        OF("espalier connections 1 who", "", 1),
        OF(FIRST "+a\n\0\0\0\0\n+b\n", "a,b,", 3),
        OF(FIRST "+a\n+b\0", "a,", 3),
        OF(FIRST "+a%\n+b\n", "b,", 2),
        OF(FIRST "a\n+b\n", "b,", 2),
        OF(FIRST "+%00\n+b\n", "b,", 2),
#undef OF
    };
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        char line[32];
        told[0] = 0;
        put_file(of[i].text, of[i].len);
        expect_next(of[i].names, false);
        snprintf(line, sizeof(line), "line %u is no", of[i].line);
        assert_non_null(strstr(told, line));
        expect_next(of[i].names, false);
        struct names *n = open_names();
        names_keep(n, "later");
        names_close(n);
        struct names *again = open_names();
        assert_false(names_whole(again));
        names_close(again);
    }
}

// Nobody starts without them for want of a descriptor; what is no file of ours is replaced, and said.
static void test_file_that_cannot_be_read_is_not_taken_for_none(void **state)
{
    (void)state;
    PUT(FIRST "+a\n");
    no_open = EMFILE;
    assert_null(names_open(path));
    assert_int_equal(errno, EMFILE);
    no_open = 0;
    expect_next("a,", true);
    unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0);
    expect_next("", false);
    expect_next("", false);
    assert_non_null(strstr(told, "reading it: Too many levels of symbolic links"));
}

static void test_name_that_found_no_room_is_known_to_be_missing(void **state)
{
    (void)state;
    struct names *n = open_names();
    names_keep(n, "a");
    full = true;
    names_drop(n, "a"); // more than there is does no harm
    names_keep(n, "b");
    names_keep(n, "c");
    full = false;
    expect_next("a,", false); // as after a kill here
    assert_non_null(strstr(told, "writing it: No space left on device"));
    assert_null(strstr(strstr(told, "writing it") + 1, "writing it"));
    names_keep(n, "d"); // there is room again: all of it
    names_close(n);
    expect_next("b,c,d,", true);
}

static void test_drop_without_room_keeps_the_file_whole(void **state)
{
    (void)state;
    struct names *n = open_names();
    names_keep(n, "a");
    names_keep(n, "b");
    full = true;
    names_drop(n, "a");
    full = false;
    names_close(n);
    expect_next("a,b,", true);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_names_come_back_until_they_are_dropped),
        T(test_file_stays_short),
        T(test_last_line_without_its_end_counts_for_nothing),
        T(test_damaged_file_is_not_whole_and_stays_so),
        T(test_file_that_cannot_be_read_is_not_taken_for_none),
        T(test_name_that_found_no_room_is_known_to_be_missing),
        T(test_drop_without_room_keeps_the_file_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
