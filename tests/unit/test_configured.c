// SPDX-License-Identifier: Apache-2.0
// What the next ike is given: each as it came, once, in the order of coming; what is replaced or taken away
// is not there; and the next ctl finds the same in the file.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ctl/configured.h"
#include "ctrl/lib/pool.h"

static int file;
static struct configured *c;

static void open_again(void)
{
    configured_close(c);
    c = configured_open(dup(file));
    assert_non_null(c);
}

static int set_up(void **state)
{
    (void)state;
    c = NULL;
    file = configured_new();
    if (file < 0)
        return -1;
    open_again();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    configured_close(c);
    return close(file);
}

static int take(enum msg_type t, const void *m)
{
    static uint8_t buf[IPC_MAX_MESSAGE];
    struct writer w = writer_of(buf, sizeof(buf));
    msg_write(&w, t, m);
    assert_false(w.bad);
    return configured_take(c, wr_written(&w));
}

static void cert(const char *data, size_t len)
{
    const struct msg_CERT_LOAD m = {.req = 77, .kind = 1, .data = slice_of(data, len)};
    assert_int_equal(take(MSG_CERT_LOAD, &m), 0);
}

static void authority(const char *name, const char *base)
{
    struct msg_AUTHORITY_LOAD m = {.req = 78, .cacert = slice_str("ca")};
    snprintf(m.name, sizeof(m.name), "%s", name);
    snprintf(m.cert_uri_base, sizeof(m.cert_uri_base), "%s", base);
    assert_int_equal(take(MSG_AUTHORITY_LOAD, &m), 0);
}

static void pool(const char *name, uint64_t size)
{
    uint8_t buf[512];
    struct writer w = writer_of(buf, sizeof(buf));
    struct pool_config p = {.size = size, .base = {.family = 4}, .first = {.family = 4}};
    snprintf(p.name, sizeof(p.name), "%s", name);
    p.range.family = 4;
    pool_write(&w, &p);
    assert_int_equal(take(MSG_POOL_LOAD, &(struct msg_POOL_LOAD){.req = 79, .pool = wr_written(&w)}), 0);
}

// "c:DATA", "a:NAME=BASE", "p:NAME/SIZE", a blank between two.
static void expect(const char *all)
{
    char text[400] = "";
    enum msg_type t;
    union msg m;
    size_t n = 0;
    for (uint64_t at = 0; (at = configured_next(c, at, false, &t, &m)) != 0;) {
        struct pool_config p = {0};
        struct reader r;
        if (t == MSG_CERT_LOAD)
            n += (size_t)snprintf(text + n, sizeof(text) - n, " c:%.*s", (int)m.CERT_LOAD.data.len,
                                  (const char *)m.CERT_LOAD.data.p);
        else if (t == MSG_AUTHORITY_LOAD)
            n += (size_t)snprintf(text + n, sizeof(text) - n, " a:%s=%s", m.AUTHORITY_LOAD.name,
                                  m.AUTHORITY_LOAD.cert_uri_base);
        else if (r = reader_of(m.POOL_LOAD.pool), pool_read(&r, &p))
            n += (size_t)snprintf(text + n, sizeof(text) - n, " p:%s/%u", p.name, (unsigned)p.size);
        assert_int_equal(m.CERT_LOAD.req, 0);
    }
    assert_string_equal(n ? text + 1 : text, all);
}

static void test_each_is_there_once_and_in_order(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) { // as swanctl --load-all sends them, time and again
        cert("one", 3);
        authority("x", "u");
        pool("p", 9);
        cert("two", 3);
    }
    expect("c:one a:x=u p:p/9 c:two");
    open_again();
    expect("c:one a:x=u p:p/9 c:two");
}

static void test_what_is_replaced_or_taken_away_is_not_there(void **state)
{
    (void)state;
    authority("x", "u");
    authority("y", "u");
    pool("p", 9);
    pool("q", 9);
    authority("x", "other");
    pool("p", 10);
    expect("a:y=u p:q/9 a:x=other p:p/10");
    assert_int_equal(take(MSG_AUTHORITY_UNLOAD, &(struct msg_AUTHORITY_UNLOAD){.name = "y"}), 0);
    assert_int_equal(take(MSG_POOL_UNLOAD, &(struct msg_POOL_UNLOAD){.name = "q"}), 0);
    expect("a:x=other p:p/10");
    cert("one", 3);
    assert_int_equal(take(MSG_CERTS_CLEAR, &(struct msg_CERTS_CLEAR){.req = 1}), 0);
    expect("a:x=other p:p/10");
    open_again();
    expect("a:x=other p:p/10");
}

// Behind the last record.
static off_t size(void)
{
    struct {
        uint64_t number;
        uint32_t room, len;
    } head;
    off_t at = 0;
    while (pread(file, &head, sizeof(head), at) == sizeof(head) && head.room)
        at += (off_t)sizeof(head) + head.room;
    return at;
}

static void test_what_comes_and_goes_makes_it_no_longer(void **state)
{
    (void)state;
    pool("p", 1);
    pool("p", 2);
    off_t two = size();
    for (uint64_t i = 3; i < 200; i++)
        pool("p", i);
    assert_int_equal(size(), two);
    expect("p:p/199");
    open_again();
    pool("p", 200);
    assert_int_equal(size(), two);
    expect("p:p/200");
}

// Killed while it wrote: what was there before is there.
static void test_what_was_half_written_is_not_there(void **state)
{
    (void)state;
    cert("one", 3);
    off_t whole = size();
    cert("two", 3);
    uint64_t none = 0; // the number of its head, which is written last
    assert_int_equal(pwrite(file, &none, sizeof(none), whole), sizeof(none));
    open_again();
    expect("c:one");
    cert("six", 3);
    assert_int_equal(size(), 2 * whole);
    expect("c:one c:six");
}

// Nobody who has broken into a ctl makes the next one read beyond.
static void test_file_that_makes_no_sense_is_read_as_far_as_it_does(void **state)
{
    (void)state;
    cert("one", 3);
    off_t whole = size();
    cert("two", 3);
    uint32_t room = UINT32_MAX;
    assert_int_equal(pwrite(file, &room, sizeof(room), whole + 8), sizeof(room));
    open_again();
    expect("c:one");
    cert("six", 3);
    expect("c:one c:six");
    uint16_t type = MSG_COUNT;
    assert_int_equal(pwrite(file, &type, sizeof(type), 16), sizeof(type));
    open_again();
    expect("c:six");
}

// It outlives the ctl that was broken into, and with it what that has filled it with.
static void test_nobody_makes_it_longer_or_shorter(void **state)
{
    (void)state;
    struct stat st;
    cert("one", 3);
    assert_int_equal(ftruncate(file, CONFIGURED_BYTES_MAX + 1), -1);
    assert_int_equal(ftruncate(file, 0), -1);
    assert_int_equal(pwrite(file, "x", 1, CONFIGURED_BYTES_MAX), -1);
    assert_int_equal(fallocate(file, 0, CONFIGURED_BYTES_MAX, 1), -1);
    assert_int_equal(fstat(file, &st), 0);
    assert_int_equal(st.st_size, CONFIGURED_BYTES_MAX);
    assert_true(st.st_blocks * 512 < 100000); // of what is written alone
    expect("c:one");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_each_is_there_once_and_in_order),
        T(test_what_is_replaced_or_taken_away_is_not_there),
        T(test_what_comes_and_goes_makes_it_no_longer),
        T(test_what_was_half_written_is_not_there),
        T(test_file_that_makes_no_sense_is_read_as_far_as_it_does),
        T(test_nobody_makes_it_longer_or_shorter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
