// SPDX-License-Identifier: Apache-2.0
// Records in a memory file: what is there is there for the next one, once and in order; what has gone is
// overwritten, its place is taken by what fits, and whatever was written there, so many are read and no more.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/lib/records.h"

enum { BYTES = 8192, MOST = 8, HEAD = 16 };

static uint64_t blocks; // basic blocks of records.c, which this program counts

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    blocks++;
}

static int file;
static struct records *r;

// "NAME" or "NAME:whatever"; what does not begin with a small letter makes no sense.
static bool key_of(struct slice octets, uint64_t *key)
{
    *key = octets.len ? octets.p[0] : 0;
    return octets.len && octets.p[0] >= 'a' && octets.p[0] <= 'z';
}

static void open_again(void)
{
    records_close(r);
    r = records_open(dup(file), BYTES, MOST, true, key_of);
    assert_non_null(r);
}

static int set_up(void **state)
{
    (void)state;
    r = NULL;
    file = records_file("test", BYTES);
    open_again();
    return file < 0;
}

static int tear_down(void **state)
{
    (void)state;
    records_close(r);
    return close(file);
}

static const char *fd_path(void)
{
    static char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    return path;
}

static int put(const char *text)
{
    return records_put(r, (uint8_t)text[0], slice_str(text));
}

static void must(const char *text)
{
    assert_int_equal(put(text), 0);
}

static void drop(char name)
{
    struct record *of = records_find(r, (uint8_t)name);
    assert_non_null(of);
    records_drop(r, of);
}

static void expect(const char *all)
{
    char text[400] = "";
    size_t n = 0;
    uint64_t at = 0;
    for (struct record *of; (of = records_behind(r, at)) != NULL; at = of->number) {
        struct slice s = records_read(r, of);
        n += (size_t)snprintf(text + n, sizeof(text) - n, " %.*s", (int)s.len, (const char *)s.p);
    }
    assert_string_equal(n ? text + 1 : text, all);
}

static bool stands_there(const char *text)
{
    static uint8_t all[BYTES];
    assert_int_equal(pread(file, all, sizeof(all), 0), sizeof(all));
    return memmem(all, sizeof(all), text, strlen(text)) != NULL;
}

static void test_next_one_has_all_in_order(void **state)
{
    (void)state;
    must("b:one");
    must("a:two");
    must("c:three");
    expect("b:one a:two c:three");
    must("b:four"); // in the place of another, and behind the rest
    drop('a');
    expect("c:three b:four");
    open_again();
    expect("c:three b:four");
    must("a:five");
    open_again();
    expect("c:three b:four a:five");
}

// Which may be asked for the one behind it.
static void test_one_that_goes_in_the_middle_of_a_walk_harms_nobody(void **state)
{
    (void)state;
    must("a");
    must("b");
    must("c");
    const struct record *b = records_behind(r, records_behind(r, 0)->number);
    uint64_t number = b->number;
    drop('b');
    const struct record *c = records_behind(r, number);
    assert_true(c && slice_eq(records_read(r, c), slice_str("c")));
    assert_null(records_behind(r, c->number));
}

static void test_what_goes_is_overwritten(void **state)
{
    (void)state;
    must("a:first secret");
    must("b:second secret");
    must("c:third secret");
    assert_true(stands_there("first secret") && stands_there("second secret"));
    drop('a');
    assert_false(stands_there("first secret"));
    must("b:replaced");
    assert_false(stands_there("second secret"));
    uint64_t none = 0; // one whose writer died in the middle of it
    assert_int_equal(pwrite(file, &none, sizeof(none), records_find(r, 'c')->at), sizeof(none));
    open_again();
    assert_false(stands_there("third secret"));
    expect("b:replaced");
}

// Its writer died before it took out the one before.
static void test_of_two_of_one_name_the_newer_is_there(void **state)
{
    (void)state;
    must("a:old");
    must("b:new");
    assert_int_equal(pwrite(file, "a", 1, records_find(r, 'b')->at + HEAD), 1);
    open_again();
    expect("a:new");
    assert_false(stands_there("old"));
    assert_int_equal(pwrite(file, "A", 1, records_find(r, 'a')->at + HEAD), 1); // and what makes no sense
    open_again();
    expect("");
}

static void test_so_many_are_read_and_no_more(void **state)
{
    (void)state;
    char text[8];
    for (unsigned i = 0; i < MOST; i++) {
        snprintf(text, sizeof(text), "%c", 'a' + i);
        must(text);
    }
    assert_int_equal(put("z"), -ENOSPC);
    const struct {
        uint64_t number;
        uint32_t room, len;
    } more = {100, 64, 1};
    assert_int_equal(pwrite(file, &more, sizeof(more), r->end), sizeof(more));
    assert_int_equal(pwrite(file, "x", 1, r->end + HEAD), 1);
    open_again();
    assert_int_equal(r->places, MOST);
    expect("a b c d e f g h");
    drop('c');
    must("z"); // its place
    expect("a b d e f g h z");
    assert_int_equal(r->places, MOST);
}

// Where the file is full what fits in takes a larger one; else a new one is made.
static void test_place_of_another_size_is_taken_where_there_is_no_other(void **state)
{
    (void)state;
    static char large[3000] = "l:", larger[5000] = "m:";
    memset(large + 2, 'x', sizeof(large) - 3);
    memset(larger + 2, 'y', sizeof(larger) - 3);
    must(larger);
    assert_int_equal(put(large), -ENOSPC);
    assert_true(slice_eq(records_read(r, r->first), slice_str(larger)) && r->first == r->last);
    drop('m');
    must("s"); // there is room behind it
    assert_int_equal(r->places, 2);
    must(large);
    assert_int_equal(r->places, 2);
    open_again();
    assert_int_equal(r->places, 2);
    assert_non_null(records_find(r, 'l'));
    assert_non_null(records_find(r, 's'));
}

static void no_octet_behind(int64_t at)
{
    const struct rlimit l = {(rlim_t)at, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

// As where the system has no memory for the file: what is put behind a place that could not be made is found.
static void test_what_cannot_be_written_hides_nothing(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    for (int64_t room = 0; room < 200; room += 8) {
        open_again();
        while (r->first)
            records_drop(r, r->first);
        must("a:one");
        drop('a');
        must("a:two");
        char larger[150] = "b:";
        memset(larger + 2, 'b', (size_t)(80 + room) % 64 + 80);
        no_octet_behind(r->end + room);
        bool written = put(larger) == 0;
        assert_true(written || room < 16 + 144);
        no_octet_behind(INT64_MAX);
        must("c:three");
        open_again();
        assert_non_null(records_find(r, 'a'));
        assert_non_null(records_find(r, 'c'));
        assert_int_equal(records_find(r, 'b') != NULL, written);
    }
}

// A room that was broken into leaves numbers behind which none are, and writing that only appends.
static void test_what_the_last_one_did_to_the_file_harms_no_later_life(void **state)
{
    const uint64_t last = UINT64_MAX;
    (void)state;
    must("a:old");
    must("b:bad");
    assert_int_equal(pwrite(file, &last, sizeof(last), records_find(r, 'b')->at), sizeof(last));
    assert_int_equal(fcntl(file, F_SETFL, O_APPEND), 0);
    open_again();
    must("a:new");
    must("c");
    open_again();
    expect("a:new c");
    assert_false(stands_there("old"));
}

static void test_what_cannot_be_read_is_not_wiped(void **state)
{
    (void)state;
    must("a:kept");
    int blind = open(fd_path(), O_WRONLY);
    assert_true(blind >= 0);
    assert_null(records_open(blind, BYTES, MOST, true, key_of));
    close(blind);
    open_again();
    expect("a:kept");
}

static bool four(struct slice octets, uint64_t *key)
{
    uint32_t v = 0;
    memcpy(&v, octets.p, octets.len < 4 ? octets.len : 4);
    *key = v;
    return octets.len == 4;
}

// As keys goes through a hundred thousand secrets, and notes of each whether it could take it.
static void test_to_look_again_at_each_that_was_passed_costs_the_same_of_many(void **state)
{
    enum { MANY = 2000, EACH = 40, ROOM = MANY * 256 };
    int fd = records_file("test", ROOM);
    struct records *many = records_open(fd, ROOM, MANY, false, four);
    unsigned n = 0;
    (void)state;
    assert_non_null(many);
    for (uint32_t i = 1; i <= MANY; i++)
        assert_int_equal(records_put(many, i, slice_of(&i, sizeof(i))), 0);
    uint64_t before = blocks;
    struct record *of = NULL;
    while ((of = records_behind(many, of ? of->number : 0)) != NULL) {
        n++;
        assert_ptr_equal(records_behind(many, of->number - 1), of);
    }
    printf("%u records, each twice: %llu basic blocks\n", n, (unsigned long long)(blocks - before));
    assert_int_equal(n, MANY);
    assert_in_range(blocks - before, MANY, MANY * EACH);
    for (uint64_t i = 0; i < 10; i++) { // the first, and what goes is the one that was looked at last
        of = records_behind(many, 0);
        assert_int_equal(of->number, i + 1);
        records_drop(many, of);
    }
    of = records_behind(many, 500);
    assert_int_equal(of->number, 501);
    records_drop(many, of);
    assert_int_equal(records_behind(many, 500)->number, 502);
    assert_int_equal(records_behind(many, 499)->number, 500);
    assert_int_equal(records_behind(many, MANY - 1)->number, MANY);
    assert_null(records_behind(many, MANY));
    assert_int_equal(records_behind(many, 0)->number, 11);
    records_close(many);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_next_one_has_all_in_order),
        T(test_one_that_goes_in_the_middle_of_a_walk_harms_nobody),
        T(test_to_look_again_at_each_that_was_passed_costs_the_same_of_many),
        T(test_what_goes_is_overwritten),
        T(test_of_two_of_one_name_the_newer_is_there),
        T(test_so_many_are_read_and_no_more),
        T(test_place_of_another_size_is_taken_where_there_is_no_other),
        T(test_what_cannot_be_written_hides_nothing),
        T(test_what_the_last_one_did_to_the_file_harms_no_later_life),
        T(test_what_cannot_be_read_is_not_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
