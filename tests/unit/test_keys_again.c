// SPDX-License-Identifier: Apache-2.0
// The second life of the keys room: shared secrets and private keys are there again, in their order, as they
// were last loaded; what was unloaded is not, and stands in the file no more; and nothing of an IKE SA is.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctrl/keys/room.h"
#include "tests/unit/keys_rig.h"

enum { HEAD = 16 }; // of a record, in whose middle it says how much room there is

static int file;
static char listed[400];

static int begin(void **state)
{
    file = secrets_file_new();
    return file < 0 || setup(state) || keys_inherit(b->keys, dup(file)) < 0;
}

static int end(void **state)
{
    close(file);
    return teardown(state);
}

static void list_one(const char *id)
{
    strncat(listed, " ", sizeof(listed) - strlen(listed) - 1);
    strncat(listed, id, sizeof(listed) - strlen(listed) - 1);
}

static void expect_secrets(const char *names)
{
    listed[0] = 0;
    b->on_secret = list_one;
    assert_true(say(b->ctl, MSG_SECRET_LIST, &(struct msg_SECRET_LIST){.req = ++req, .most = 50}));
    assert_string_equal(listed[0] ? listed + 1 : listed, names);
}

static unsigned keys_listed(void)
{
    b->listed = 0;
    assert_true(say(b->ctl, MSG_KEY_LIST, &(struct msg_KEY_LIST){.req = ++req, .most = 50}));
    return b->listed;
}

static bool load_password(const char *name, const char *password, const char *owner)
{
    uint8_t owners[100];
    struct writer w = writer_of(owners, sizeof(owners));
    wr_cstr(&w, owner);
    struct msg_SECRET_LOAD m = {
        .req = ++req, .type = "eap", .data = slice_str(password), .owners = wr_written(&w)};
    snprintf(m.id, sizeof(m.id), "%s", name);
    return say(b->ctl, MSG_SECRET_LOAD, &m);
}

static void load_key(uint8_t last, uint8_t id[20])
{
    uint8_t der[48] = {0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20, 1};
    der[47] = last;
    struct msg_KEY_LOAD l = {.req = ++req, .type = "any", .data = slice_of(der, sizeof(der))};
    assert_true(say(b->ctl, MSG_KEY_LOAD, &l) && b->len == 20);
    memcpy(id, b->data, 20);
}

static bool unload(const char *name)
{
    struct msg_SECRET_UNLOAD m = {.req = ++req};
    snprintf(m.id, sizeof(m.id), "%s", name);
    return say(b->ctl, MSG_SECRET_UNLOAD, &m);
}

static bool proves(uint32_t id, const char *secret)
{
    struct ike_secrets s;
    return derive(id, false, &s) && check_auth(id, &s, true, "b.test", "a.test", secret);
}

// -1: nowhere in the file.
static int64_t place_of(const void *octets, size_t len)
{
    enum { ALL = 1 << 20 };
    uint8_t *all = malloc(ALL);
    assert_true(all && pread(file, all, ALL, 0) == ALL);
    const uint8_t *at = memmem(all, ALL, octets, len);
    int64_t place = at ? at - all : -1;
    free(all);
    return place;
}

static bool stands_there(const void *octets, size_t len)
{
    return place_of(octets, len) >= 0;
}

static bool text_stands_there(const char *text)
{
    return stands_there(text, strlen(text));
}

static void test_next_one_has_what_the_last_one_was_given(void **state)
{
    uint8_t id[20], hash[MSCHAP_NT_HASH];
    struct slice kept;
    (void)state;
    assert_true(load("one", "the first secret", "a.test", "b.test"));
    assert_true(load_password("pw", "a password", "carol"));
    assert_true(load("two", "the second secret", "c.test", NULL));
    load_key(1, id);
    assert_true(proves(1, "the first secret"));
    assert_true(psk_find_named(b->keys->psks, SECRET_EAP, slice_str("carol"), &kept, NULL));
    memcpy(hash, kept.p, sizeof(hash));
    another_keys(file);
    expect_secrets("one pw two");
    assert_int_equal(keys_listed(), 1);
    assert_non_null(private_find(b->keys->privates, slice_of(id, sizeof(id))));
    assert_false(install(1, 1)); // of that IKE SA it has nothing
    assert_true(proves(2, "the first secret"));
    assert_false(proves(3, "the second secret"));
    assert_true(psk_find_named(b->keys->psks, SECRET_EAP, slice_str("carol"), &kept, NULL));
    assert_true(kept.len == sizeof(hash) && memcmp(kept.p, hash, sizeof(hash)) == 0);
    assert_non_null(b->keys->mschap);
    another_ike();
    assert_int_equal(b->have, 2); // the last one's ike, and this one's
}

// A password is there as its hash alone.
static void test_what_goes_is_not_there_again_and_nowhere_in_the_file(void **state)
{
    uint8_t id[20], other[20];
    (void)state;
    assert_true(load("one", "the first secret", "a.test", "b.test"));
    assert_true(load("two", "the second secret", "a.test", "c.test"));
    assert_true(load_password("pw", "a password of carol", "carol"));
    load_key(0xa1, id);
    load_key(0xa2, other);
    static const uint8_t der[] = {4, 0x20, 1, 0, 0, 0};
    assert_true(text_stands_there("the first secret") && text_stands_there("the second secret"));
    assert_true(stands_there(der, sizeof(der)));
    assert_false(text_stands_there("a password of carol"));
    assert_true(load("one", "another secret", "a.test", "b.test"));
    assert_true(unload("two"));
    assert_true(
        say(b->ctl, MSG_KEY_UNLOAD, &(struct msg_KEY_UNLOAD){.req = ++req, .id = slice_of(id, sizeof(id))}));
    assert_false(text_stands_there("the first secret") || text_stands_there("the second secret"));
    another_keys(file);
    expect_secrets("pw one"); // in the order of loading
    assert_int_equal(keys_listed(), 1);
    assert_non_null(private_find(b->keys->privates, slice_of(other, sizeof(other))));
    assert_true(proves(2, "another secret"));
    assert_true(text_stands_there("another secret"));
    assert_true(say(b->ctl, MSG_SECRETS_CLEAR, &(struct msg_SECRETS_CLEAR){.req = ++req}));
    assert_false(text_stands_there("another secret") || text_stands_there("a.test"));
    assert_false(stands_there(der, sizeof(der)));
    another_keys(file);
    expect_secrets("");
    assert_int_equal(keys_listed(), 0);
}

// And as a key that is loaded twice it stays one.
static void test_third_life_is_as_the_second(void **state)
{
    uint8_t id[20];
    (void)state;
    assert_true(load("one", "the first secret", "a.test", "b.test"));
    load_key(1, id);
    for (unsigned i = 0; i < 3; i++) {
        another_keys(file);
        load_key(1, id);
        assert_int_equal(keys_listed(), 1);
        expect_secrets("one");
        assert_true(proves(i + 1, "the first secret"));
        assert_true(load("one", "the first secret", "a.test", "b.test"));
    }
}

static void test_secret_that_makes_no_sense_keeps_no_other_from_coming(void **state)
{
    uint8_t what = 9;
    (void)state;
    assert_true(load("one", "the first secret", "a.test", "b.test"));
    assert_true(load("two", "the second secret", "a.test", "c.test"));
    assert_int_equal(pwrite(file, &what, 1, 16), 1);
    another_keys(file);
    expect_secrets("two");
    assert_false(text_stands_there("the first secret"));
}

static unsigned unreadable; // private keys, from now on

int __real_cr_key_private(const uint8_t *der, size_t len, struct cr_key **out, struct esp_error *err);
int __wrap_cr_key_private(const uint8_t *der, size_t len, struct cr_key **out, struct esp_error *err);
int __wrap_cr_key_private(const uint8_t *der, size_t len, struct cr_key **out, struct esp_error *err)
{
    if (!unreadable)
        return __real_cr_key_private(der, len, out, err);
    unreadable--;
    return esp_fail(err, -EINVAL, "key", "OpenSSL has no memory, and does not say so");
}

// What could be read once is read again, and ike hears of it.
static void test_key_that_cannot_be_read_at_first_is_there_in_a_moment(void **state)
{
    uint8_t one[20], two[20];
    (void)state;
    load_key(1, one);
    load_key(2, two);
    unreadable = 3; // both, and the first one again
    another_keys(file);
    assert_int_equal(keys_listed(), 0);
    for (int i = 0; i < 1000 && b->keys->inherit_again.armed; i++)
        loop_once(b->loop, 100);
    assert_int_equal(unreadable, 0);
    assert_int_equal(b->keys->inherit_tries, 2);
    assert_int_equal(keys_listed(), 2);
    assert_non_null(private_find(b->keys->privates, slice_of(one, sizeof(one))));
    assert_int_equal(b->have, 4); // the last one's ike, and this one's
    assert_true(stands_there(one, sizeof(one)));
}

// It has not been given up: whoever unloads it has the last word.
static void test_key_that_is_unloaded_before_it_is_read_again_stays_away(void **state)
{
    uint8_t id[20];
    (void)state;
    load_key(1, id);
    unreadable = 1;
    another_keys(file);
    struct msg_KEY_UNLOAD m = {.req = ++req, .id = slice_of(id, sizeof(id))};
    assert_false(say(b->ctl, MSG_KEY_UNLOAD, &m)); // it is not there
    for (int i = 0; i < 1000 && b->keys->inherit_again.armed; i++)
        loop_once(b->loop, 100);
    assert_int_equal(keys_listed(), 0);
    assert_false(stands_there(id, sizeof(id)));
}

// Where there is no room for it in the file the one that it has replaced does not come again in its place.
static void test_secret_that_cannot_be_kept_leaves_none_that_counts_no_more(void **state)
{
    char longer[200] = "a longer secret";
    (void)state;
    memset(longer + 15, 'x', sizeof(longer) - 16);
    assert_true(load("one", "the first secret", "a.test", "b.test"));
    signal(SIGXFSZ, SIG_IGN);
    uint32_t first; // how much room the only place has
    assert_int_equal(pread(file, &first, sizeof(first), HEAD - 8), sizeof(first));
    const struct rlimit any = {RLIM_INFINITY, RLIM_INFINITY}, full = {HEAD + first, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    assert_true(load("one", longer, "a.test", "b.test"));
    assert_true(proves(1, longer));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &any), 0);
    assert_false(text_stands_there("the first secret"));
    another_keys(file);
    expect_secrets("");
    assert_false(proves(2, "the first secret"));
}

// What was broken into may have left them: what is listed can be unloaded, and for good.
static void test_secret_under_a_name_that_is_not_its_own_can_be_unloaded_for_good(void **state)
{
    uint8_t id[20];
    (void)state;
    load_key(1, id);
    assert_true(load("one", "the first secret", "a.test", "b.test"));
    assert_int_equal(pwrite(file, "x", 1, HEAD + 1 + 2), 1);
    another_keys(file);
    assert_int_equal(keys_listed(), 1);
    assert_true(
        say(b->ctl, MSG_KEY_UNLOAD, &(struct msg_KEY_UNLOAD){.req = ++req, .id = slice_of(id, sizeof(id))}));
    another_keys(file);
    assert_int_equal(keys_listed(), 0);
    expect_secrets("one");
    assert_int_equal(pwrite(file, "", 1, place_of("one", 3) + 1), 1);
    another_keys(file);
    expect_secrets("");
}

// One that has no memory to take its channel; where the daemon ends it is told so.
static void test_path_that_is_gone_ends_it_if_the_daemon_does_not(void **state)
{
    (void)state;
    ipc_close(b->path);
    b->path = NULL;
    loop_once(b->loop, 0);
    assert_false(loop_stopped(b->loop));
    uint64_t at = loop_next_timer(b->loop);
    assert_true(at != UINT64_MAX && at > loop_now(b->loop) + 1000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_next_one_has_what_the_last_one_was_given),
        T(test_what_goes_is_not_there_again_and_nowhere_in_the_file),
        T(test_third_life_is_as_the_second),
        T(test_secret_that_makes_no_sense_keeps_no_other_from_coming),
        T(test_key_that_cannot_be_read_at_first_is_there_in_a_moment),
        T(test_key_that_is_unloaded_before_it_is_read_again_stays_away),
        T(test_secret_that_cannot_be_kept_leaves_none_that_counts_no_more),
        T(test_secret_under_a_name_that_is_not_its_own_can_be_unloaded_for_good),
        T(test_path_that_is_gone_ends_it_if_the_daemon_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
