// SPDX-License-Identifier: Apache-2.0
// An ike dies and another one comes: what ctl gives it, in which order, what waits meanwhile and what fails.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ctl/configured.h"
#include "ctrl/ctl/replay.h"
#include "tests/unit/ctl_rig.h"

enum { PID = 4711 };

static int set_up(void **state)
{
    return ctl_set_up(state) || ctl_configure(ctl, configured_new()) < 0;
}

static void dies(void)
{
    close(room[ROOM_IKE]);
    room[ROOM_IKE] = -1;
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_IKE});
}

static void comes(uint32_t pid)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(ctl_connect(ctl, ROOM_IKE, pair[0]), 0);
    room[ROOM_IKE] = pair[1];
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_IKE, .pid = pid});
}

static void keys_are_told(void)
{
    result(ROOM_KEYS, expect(ROOM_KEYS, MSG_KEY_LIST).KEY_LIST.req, true, "");
}

static uint32_t conn_comes(const char *name)
{
    union msg m = expect(ROOM_IKE, MSG_CONN_LOAD);
    struct conn_config cfg;
    struct reader r = reader_of(m.CONN_LOAD.conn);
    assert_true(conn_read(&r, &cfg));
    assert_string_equal(cfg.name, name);
    conn_clear(&cfg);
    return m.CONN_LOAD.req;
}

static void is_whole(uint32_t pid)
{
    assert_int_equal(expect(ROOM_SUPER, MSG_WHOLE).WHOLE.pid, pid);
    assert_int_equal(expect(ROOM_IKE, MSG_WHOLE).WHOLE.pid, pid); // who asks for an SA is answered now
    expect_nothing(ROOM_IKE);
}

static void load_cert(const char *data)
{
    request("load-cert", "type", "X509", "flag", "NONE", "data", data, NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CERT_LOAD).CERT_LOAD.req, true, "");
    expect_success();
}

static void test_next_one_is_given_all_and_then_is_whole(void **state)
{
    (void)state;
    load_cert("one");
    load_conn("x");
    load_conn("y");
    load_cert("two");
    dies();
    expect_nothing(ROOM_SUPER); // nor does it end: another one comes
    now += 10 * CTL_ALONE_MS;
    turn();
    assert_false(loop_stopped(loop));
    comes(PID);
    expect_nothing(ROOM_IKE); // which private keys there are comes first
    keys_are_told();
    union msg m = expect(ROOM_IKE, MSG_CERT_LOAD);
    assert_true(slice_eq(m.CERT_LOAD.data, slice_str("one")));
    uint32_t one = m.CERT_LOAD.req;
    m = expect(ROOM_IKE, MSG_CERT_LOAD);
    assert_true(slice_eq(m.CERT_LOAD.data, slice_str("two")));
    uint32_t two = m.CERT_LOAD.req, x = conn_comes("x"), y = conn_comes("y");
    uint32_t of[] = {one, two, x};
    for (unsigned i = 0; i < 3; i++) {
        expect_nothing(ROOM_SUPER);
        result(ROOM_IKE, of[i], true, "");
    }
    expect_nothing(ROOM_SUPER);
    result(ROOM_IKE, y, true, "");
    is_whole(PID);
    send_conn("x", "none"); // as it is loaded
    expect_success();
    expect_nothing(ROOM_IKE);
}

static void test_more_than_a_few_wait_for_answers(void **state)
{
    (void)state;
    char name[8];
    enum { MANY = REPLAY_WINDOW + 2 };
    uint32_t req[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "c%u", i);
        load_conn(name);
    }
    dies();
    comes(PID);
    keys_are_told();
    for (unsigned i = 0; i < MANY; i++) {
        if (i >= REPLAY_WINDOW) {
            expect_nothing(ROOM_IKE);
            result(ROOM_IKE, req[i - REPLAY_WINDOW], true, "");
        }
        snprintf(name, sizeof(name), "c%u", i);
        req[i] = conn_comes(name);
    }
    for (unsigned i = 2; i < MANY; i++)
        result(ROOM_IKE, req[i], true, "");
    is_whole(PID);
}

static void test_load_that_was_under_way_comes_behind_the_others(void **state)
{
    (void)state;
    load_conn("x");
    send_conn("y", "none");
    expect(ROOM_IKE, MSG_CONN_LOAD);
    dies();
    no_answer_yet(client);
    comes(PID);
    keys_are_told();
    result(ROOM_IKE, conn_comes("x"), true, "");
    uint32_t y = conn_comes("y");
    assert_int_equal(expect(ROOM_SUPER, MSG_WHOLE).WHOLE.pid, PID);
    no_answer_yet(client);
    result(ROOM_IKE, y, true, "");
    expect_success();
}

static void test_unload_waits_too_and_other_commands_fail(void **state)
{
    (void)state;
    load_conn("x");
    request("unload-conn", "name", "x", NULL);
    expect(ROOM_IKE, MSG_CONN_UNLOAD);
    dies();
    no_answer_yet(client);
    int waits = client;
    client = join();
    request("initiate", "ike", "x", "child", "net", NULL);
    expect_error(IKE_DIED);
    comes(PID);
    keys_are_told();
    result(ROOM_IKE, conn_comes("x"), true, "");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_UNLOAD).CONN_UNLOAD.req, true, "");
    assert_null(ctl->conns);
    close(client);
    client = waits;
    expect_success();
}

static void test_question_that_it_has_not_answered_fails(void **state)
{
    (void)state;
    load_conn("x");
    request("initiate", "ike", "x", "child", "net", NULL);
    expect(ROOM_IKE, MSG_INITIATE);
    dies();
    expect_error(IKE_DIED);
}

// All that was refused is given again; nothing else.
static void later(uint64_t ms)
{
    now += ms;
    turn();
}

static void refused_until_whole(const char *name)
{
    for (unsigned i = 0; i < REPLAY_BEFORE; i++) {
        result(ROOM_IKE, conn_comes(name), false, "no memory");
        expect_nothing(ROOM_SUPER);
        later(REPLAY_FIRST_MS << i);
    }
    result(ROOM_IKE, conn_comes(name), false, "no memory");
    is_whole(PID);
}

static void test_connection_that_it_refuses_is_given_again_before_it_is_whole(void **state)
{
    (void)state;
    load_conn("x");
    load_conn("y");
    dies();
    comes(PID);
    keys_are_told();
    uint32_t x = conn_comes("x"), y = conn_comes("y");
    result(ROOM_IKE, x, false, "no memory");
    result(ROOM_IKE, y, true, "");
    later(REPLAY_FIRST_MS - 1);
    expect_nothing(ROOM_IKE);
    expect_nothing(ROOM_SUPER);
    later(1);
    result(ROOM_IKE, conn_comes("x"), true, "");
    is_whole(PID);
    later(10 * REPLAY_LONGEST_MS);
    expect_nothing(ROOM_IKE);
}

static void test_what_it_goes_on_to_refuse_keeps_nobody_waiting_and_is_given_again_later(void **state)
{
    (void)state;
    load_conn("x");
    dies();
    comes(PID);
    keys_are_told();
    refused_until_whole("x");
    for (unsigned i = 0; i < 12; i++) { // the last ones a minute apart
        later(REPLAY_LONGEST_MS);
        result(ROOM_IKE, conn_comes("x"), false, "no memory");
        expect_nothing(ROOM_IKE);
    }
    later(REPLAY_LONGEST_MS - 1);
    expect_nothing(ROOM_IKE);
    later(1);
    result(ROOM_IKE, conn_comes("x"), true, "");
    assert_false(expect(ROOM_IKE, MSG_WHOLE).WHOLE.missing);
    later(10 * REPLAY_LONGEST_MS);
    expect_nothing(ROOM_IKE);
    assert_string_equal(conn_entry_name(ctl->conns), "x");
}

static void test_what_it_refuses_for_an_hour_is_given_up_and_can_be_loaded_and_unloaded(void **state)
{
    (void)state;
    load_conn("x");
    load_conn("y");
    dies();
    comes(PID);
    keys_are_told();
    for (unsigned i = 1; i <= REPLAY_PASSES; i++) {
        result(ROOM_IKE, conn_comes("x"), false, "no memory");
        result(ROOM_IKE, conn_comes("y"), false, "no memory");
        if (i == REPLAY_BEFORE + 1)
            is_whole(PID);
        later(REPLAY_LONGEST_MS);
    }
    later(100 * REPLAY_LONGEST_MS);
    expect_nothing(ROOM_IKE);
    send_conn("x", "none"); // as it was: it is not there
    result(ROOM_IKE, conn_comes("x"), true, "");
    expect_success();
    request("unload-conn", "name", "y", NULL); // path may have something of it
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_UNLOAD).CONN_UNLOAD.req, true, "");
    expect_success();
    assert_string_equal(conn_entry_name(ctl->conns), "x");
    assert_null(ctl->conns->next);
}

// What it was is not given behind what it is to be.
static void test_what_a_client_changes_meanwhile_is_not_given_again(void **state)
{
    (void)state;
    load_conn("x");
    load_conn("y");
    dies();
    comes(PID);
    keys_are_told();
    uint32_t x = conn_comes("x");
    result(ROOM_IKE, conn_comes("y"), true, "");
    for (unsigned i = 0; i < REPLAY_BEFORE; i++) {
        result(ROOM_IKE, x, false, "no memory");
        later(REPLAY_FIRST_MS << i);
        x = conn_comes("x");
    }
    result(ROOM_IKE, x, false, "no memory");
    is_whole(PID);
    request("unload-conn", "name", "x", NULL);
    uint32_t req = expect(ROOM_IKE, MSG_CONN_UNLOAD).CONN_UNLOAD.req;
    later(REPLAY_FIRST_MS << REPLAY_BEFORE);
    expect_nothing(ROOM_IKE);
    result(ROOM_IKE, req, true, "");
    assert_false(expect(ROOM_IKE, MSG_WHOLE).WHOLE.missing);
    expect_success();
    later(REPLAY_LONGEST_MS);
    expect_nothing(ROOM_IKE);
}

static void test_certificate_that_it_refuses_is_given_again_before_the_connections(void **state)
{
    (void)state;
    load_cert("one");
    load_cert("two");
    load_conn("x");
    dies();
    comes(PID);
    keys_are_told();
    uint32_t one = expect(ROOM_IKE, MSG_CERT_LOAD).CERT_LOAD.req,
             two = expect(ROOM_IKE, MSG_CERT_LOAD).CERT_LOAD.req, x = conn_comes("x");
    result(ROOM_IKE, one, true, "");
    result(ROOM_IKE, two, false, "no memory");
    result(ROOM_IKE, x, false, "no memory");
    expect_nothing(ROOM_SUPER);
    later(REPLAY_FIRST_MS);
    union msg m = expect(ROOM_IKE, MSG_CERT_LOAD);
    assert_true(slice_eq(m.CERT_LOAD.data, slice_str("two")));
    two = m.CERT_LOAD.req;
    x = conn_comes("x");
    result(ROOM_IKE, two, true, "");
    result(ROOM_IKE, x, true, "");
    is_whole(PID);
}

static uint32_t pool_comes(bool has_lease, uint32_t *leases)
{
    uint32_t req = expect(ROOM_IKE, MSG_POOL_LOAD).POOL_LOAD.req;
    union msg m = expect(ROOM_IKE, MSG_POOL_LEASES);
    assert_string_equal(m.POOL_LEASES.name, "p");
    assert_int_equal(m.POOL_LEASES.leases.len > 0, has_lease);
    *leases = m.POOL_LEASES.req;
    return req;
}

static void load_pool(void)
{
    uint32_t leases;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-pool");
    vici_section(&o, "p");
    vici_put(&o, "addrs", "10.3.0.0/24");
    vici_section_end(&o);
    send_out(client, &o);
    result(ROOM_IKE, pool_comes(false, &leases), true, "");
    result(ROOM_IKE, leases, true, "");
    expect_success();
}

// A pool with one lease, of which an ike that comes again is to be told.
static void pool_with_a_lease(char dir[])
{
    static const uint8_t ann[] = {2, 0, 0, 0, 'a', 'n', 'n'};
    assert_non_null(mkdtemp(dir));
    snprintf(ctl->settings.pool_leases, sizeof(ctl->settings.pool_leases), "%s/leases", dir);
    load_pool();
    tell(ROOM_IKE, MSG_LEASE,
         &(struct msg_LEASE){.pool = "p",
                             .address = {.family = 4, .a = {10, 3, 0, 1}},
                             .identity = slice_of(ann, sizeof(ann))});
    dies();
    comes(PID);
    keys_are_told();
}

static void remove_leases(const char *dir)
{
    assert_int_equal(unlink(ctl->settings.pool_leases), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void leases_are_refused(void)
{
    uint32_t leases;
    result(ROOM_IKE, pool_comes(true, &leases), true, "");
    expect_nothing(ROOM_SUPER); // who comes now had another address
    result(ROOM_IKE, leases, false, "no memory for all leases");
}

static void test_leases_that_it_has_no_memory_for_are_told_again(void **state)
{
    (void)state;
    uint32_t leases;
    char dir[] = "/tmp/espalier-replay-XXXXXX";
    pool_with_a_lease(dir);
    leases_are_refused();
    later(REPLAY_FIRST_MS);
    result(ROOM_IKE, pool_comes(true, &leases), true, "");
    result(ROOM_IKE, leases, true, "");
    is_whole(PID);
    later(10 * REPLAY_LONGEST_MS);
    expect_nothing(ROOM_IKE);
    remove_leases(dir);
}

// The pool itself it takes each time.
static void test_leases_are_told_less_and_less_often_and_not_for_ever(void **state)
{
    (void)state;
    char dir[] = "/tmp/espalier-replay-XXXXXX";
    pool_with_a_lease(dir);
    for (unsigned i = 1; i <= REPLAY_PASSES; i++) {
        leases_are_refused();
        if (i == REPLAY_BEFORE + 1)
            is_whole(PID);
        expect_nothing(ROOM_IKE);
        if (i < 8) {
            later((REPLAY_FIRST_MS << (i - 1)) - 1);
            expect_nothing(ROOM_IKE);
        }
        later(i < 8 ? 1 : REPLAY_LONGEST_MS);
    }
    later(100 * REPLAY_LONGEST_MS);
    expect_nothing(ROOM_IKE);
    remove_leases(dir);
}

static void test_another_one_that_dies_is_followed_by_one_that_is_given_all(void **state)
{
    (void)state;
    load_conn("x");
    load_conn("y");
    dies();
    comes(PID);
    keys_are_told();
    result(ROOM_IKE, conn_comes("x"), true, "");
    dies();
    expect_nothing(ROOM_SUPER);
    comes(PID + 1);
    keys_are_told();
    result(ROOM_IKE, conn_comes("x"), true, "");
    result(ROOM_IKE, conn_comes("y"), true, "");
    is_whole(PID + 1);
}

// Its last answer comes behind the news of its death.
static void test_one_that_dies_with_its_last_answer_is_not_whole(void **state)
{
    (void)state;
    load_conn("x");
    dies();
    comes(PID);
    keys_are_told();
    uint32_t x = conn_comes("x");
    request("unload-conn", "name", "x", NULL);
    no_answer_yet(client);
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_IKE});
    result(ROOM_IKE, x, true, "");
    expect_nothing(ROOM_SUPER);
    expect_nothing(ROOM_IKE);
    dies();
    comes(PID + 1);
    keys_are_told();
    result(ROOM_IKE, conn_comes("x"), true, "");
    assert_int_equal(expect(ROOM_SUPER, MSG_WHOLE).WHOLE.pid, PID + 1);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_UNLOAD).CONN_UNLOAD.req, true, "");
    expect_success();
}

// keys has been asked for the last one, and answers as the next one is there.
static void test_answer_of_keys_for_the_last_one_is_none_for_the_next(void **state)
{
    (void)state;
    load_conn("x");
    dies();
    comes(PID);
    uint32_t last = expect(ROOM_KEYS, MSG_KEY_LIST).KEY_LIST.req;
    dies();
    comes(PID + 1);
    result(ROOM_KEYS, last, true, "");
    expect_nothing(ROOM_IKE);
    keys_are_told();
    result(ROOM_IKE, conn_comes("x"), true, "");
    is_whole(PID + 1);
}

static void test_load_waits_though_nobody_has_told_yet_that_it_died(void **state)
{
    (void)state;
    load_conn("x");
    close(room[ROOM_IKE]);
    turn();
    send_conn("y", "none");
    no_answer_yet(client);
    room[ROOM_IKE] = -1;
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_IKE});
    comes(PID);
    keys_are_told();
    result(ROOM_IKE, conn_comes("x"), true, "");
    assert_int_equal(expect(ROOM_SUPER, MSG_WHOLE).WHOLE.pid, PID);
    result(ROOM_IKE, conn_comes("y"), true, "");
    expect_success();
}

// It may live, and have broken it: then nothing is known of it, and ctl ends as before.
static void test_channel_that_is_lost_without_a_death_is_a_loss(void **state)
{
    (void)state;
    close(room[ROOM_IKE]);
    room[ROOM_IKE] = -1;
    turn();
    now += CTL_ALONE_MS;
    turn();
    assert_true(loop_stopped(loop));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, ctl_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_next_one_is_given_all_and_then_is_whole),
        T(test_more_than_a_few_wait_for_answers),
        T(test_load_that_was_under_way_comes_behind_the_others),
        T(test_unload_waits_too_and_other_commands_fail),
        T(test_question_that_it_has_not_answered_fails),
        T(test_connection_that_it_refuses_is_given_again_before_it_is_whole),
        T(test_what_it_goes_on_to_refuse_keeps_nobody_waiting_and_is_given_again_later),
        T(test_what_it_refuses_for_an_hour_is_given_up_and_can_be_loaded_and_unloaded),
        T(test_what_a_client_changes_meanwhile_is_not_given_again),
        T(test_certificate_that_it_refuses_is_given_again_before_the_connections),
        T(test_leases_that_it_has_no_memory_for_are_told_again),
        T(test_leases_are_told_less_and_less_often_and_not_for_ever),
        T(test_another_one_that_dies_is_followed_by_one_that_is_given_all),
        T(test_one_that_dies_with_its_last_answer_is_not_whole),
        T(test_answer_of_keys_for_the_last_one_is_none_for_the_next),
        T(test_load_waits_though_nobody_has_told_yet_that_it_died),
        T(test_channel_that_is_lost_without_a_death_is_a_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
