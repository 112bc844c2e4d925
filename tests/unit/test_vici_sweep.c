// SPDX-License-Identifier: Apache-2.0
// When ctl lets path sweep what an earlier run left in the kernel: not while a connection that was refused
// may still be meant, a load is under way, or a client ended half way; and that swanctl can take a refused
// connection out. Beside it: what ike has not answered yet counts for the next command of that name.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/ctl_rig.h"

static void pass(uint64_t ms)
{
    now += ms;
    turn();
}

static void expect_swept(void)
{
    union msg m = expect(ROOM_PATH, MSG_SWEEP);
    assert_string_equal(m.SWEEP.held, "");
    pass(60000);
    expect_nothing(ROOM_PATH);
}

static void expect_held(const char *why, unsigned awaited)
{
    union msg m = expect(ROOM_PATH, MSG_SWEEP);
    assert_string_equal(m.SWEEP.held, why);
    assert_int_equal(m.SWEEP.awaited, awaited);
    pass(60000);
    expect_nothing(ROOM_PATH);
}

static void refuse_here(const char *name)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-conn");
    vici_section(&o, name);
    vici_put(&o, "encap", "perhaps");
    vici_section_end(&o);
    send_out(client, &o);
    expect_error("encap");
}

static void refuse_there(const char *name)
{
    send_conn(name, "none");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, false, "no such thing");
    expect_error("no such thing");
}

static void expect_conns(const char *first, const char *second)
{
    request("get-conns", NULL);
    const struct vici_node *n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "conns")->child;
    const struct vici_node *last = n ? n->next : NULL;
    assert_true(n && !last == !second && !(last && last->next));
    bool turned = second && strcmp(vici_text(n), first) != 0; // those that were refused come in any order
    assert_string_equal(vici_text(n), turned ? second : first);
    if (second)
        assert_string_equal(vici_text(last), turned ? first : second);
}

static void test_sweep_comes_ten_seconds_after_the_last_load(void **state)
{
    (void)state;
    pass(60000);
    expect_nothing(ROOM_PATH); // nothing was loaded: nothing goes
    load_conn("x");
    pass(9000);
    load_conn("y");
    pass(9999);
    expect_nothing(ROOM_PATH);
    pass(1);
    expect_swept();
    refuse_here("z");
    pass(60000);
    expect_nothing(ROOM_PATH);
    expect_conns("x", "y"); // there is nothing left that could go
}

static void test_sweep_waits_for_a_connection_that_is_refused_here(void **state)
{
    (void)state;
    refuse_here("x");
    load_conn("y");
    pass(10000);
    expect_held("x", 1);
    load_conn("x");
    pass(10000);
    expect_swept();
}

static void test_sweep_waits_for_connections_that_ike_refuses(void **state)
{
    (void)state;
    load_conn("y");
    refuse_there("x");
    refuse_there("x");
    refuse_there("z");
    pass(10000);
    union msg m = expect(ROOM_PATH, MSG_SWEEP);
    assert_true(!strcmp(m.SWEEP.held, "x") || !strcmp(m.SWEEP.held, "z"));
    assert_int_equal(m.SWEEP.awaited, 2);
    load_conn("x");
    pass(10000);
    expect_held("z", 1);
    send_conn("y", "none"); // unchanged
    expect_success();
    pass(10000);
    expect_held("z", 1);
    load_conn("z");
    pass(10000);
    expect_swept();
}

static void test_refused_edit_of_a_connection_that_stands_holds_the_sweep(void **state)
{
    (void)state;
    load_conn("x");
    refuse_here("x");
    expect_conns("x", NULL);
    pass(10000);
    expect_held("x", 1);
    send_conn("x", "none");
    expect_success();
    pass(10000);
    expect_swept();
}

// What swanctl --load-all does when the file has lost its last connection.
static void test_refused_connection_is_taken_out_by_unloading_it(void **state)
{
    (void)state;
    refuse_here("x");
    expect_conns("x", NULL);
    pass(10000);
    expect_held("x", 1);
    request("unload-conn", "name", "x", NULL);
    expect_success();
    expect_nothing(ROOM_IKE);
    pass(10000);
    expect_swept();
    request("unload-conn", "name", "x", NULL);
    expect_error("'x' not found");
}

// What many a script does before it loads.
static void test_unload_of_an_unknown_name_begins_nothing(void **state)
{
    (void)state;
    request("unload-conn", "name", "x", NULL);
    expect_error("'x' not found");
    pass(60000);
    expect_nothing(ROOM_PATH);
}

static void test_refused_connection_without_a_name_holds_too(void **state)
{
    (void)state;
    load_conn("x");
    refuse_here("");
    pass(10000);
    expect_held("without a name", 1);
    request("unload-conn", "name", "", NULL);
    expect_success();
    pass(10000);
    expect_swept();
}

// They are kept count of up to a bound; beyond it nothing goes in this run.
static void test_refused_names_are_bounded(void **state)
{
    char name[16];
    (void)state;
    for (unsigned i = 0; i <= CTL_MAX_REFUSED; i++) {
        snprintf(name, sizeof(name), "x%u", i);
        refuse_here(name);
    }
    assert_int_equal(ctl->sweep.refused, CTL_MAX_REFUSED);
    for (unsigned i = 0; i <= CTL_MAX_REFUSED; i++) {
        snprintf(name, sizeof(name), "x%u", i);
        load_conn(name);
    }
    pass(10000);
    expect_held("more connections were refused than are kept count of", 0);
}

static void test_message_of_two_connections_counts_as_both_refused(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-conn");
    vici_section(&o, "x");
    vici_section_end(&o);
    vici_section(&o, "y");
    vici_section_end(&o);
    send_out(client, &o);
    expect_error("expected one section");
    expect_conns("x", "y");
}

static void test_sweep_waits_for_a_load_that_is_under_way(void **state)
{
    (void)state;
    load_conn("x");
    pass(9000);
    send_conn("y", "none");
    union msg m = expect(ROOM_IKE, MSG_CONN_LOAD);
    pass(9000);
    expect_nothing(ROOM_PATH);
    result(ROOM_IKE, m.CONN_LOAD.req, true, "");
    expect_success();
    pass(9999);
    expect_nothing(ROOM_PATH);
    pass(1);
    expect_swept();
}

// Whoever loads and goes away in the middle has not said everything.
static void test_sweep_waits_when_a_client_goes_away_while_it_loads(void **state)
{
    (void)state;
    load_conn("x");
    send_conn("y", "none");
    union msg m = expect(ROOM_IKE, MSG_CONN_LOAD);
    close(client);
    turn();
    result(ROOM_IKE, m.CONN_LOAD.req, true, "");
    pass(10000);
    expect_held("a client went away while it loaded", 0);
    client = join();
    send_conn("x", "none");
    expect_success();
    pass(10000);
    expect_swept();
}

static void test_client_that_never_loaded_holds_nothing_when_it_is_hung_up_on(void **state)
{
    (void)state;
    load_conn("x");
    int loader = client;
    client = join();
    assert_int_equal(send(client, "\0\0\0\2\0\x7f", 6, 0), 6);
    pass(10000);
    expect_swept();
    close(client);
    client = loader;
}

static void test_sweep_waits_when_a_client_is_hung_up_on(void **state)
{
    (void)state;
    load_conn("x");
    assert_int_equal(send(client, "\0\0\0\2\0\x7f", 6, 0), 6); // a command whose name is cut off
    pass(10000);
    expect_held("a client went away while it loaded", 0);
    close(client);
    client = join();
    send_conn("x", "none");
    expect_success();
    pass(10000);
    expect_swept();
}

// ---- names of an earlier run

static char dir[64], path[100];

static int with_file(void **state)
{
    strcpy(dir, "/tmp/test_sweep.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/connections", dir);
    return ctl_set_up(state) ? -1 : ctl_sweep_open(ctl, path);
}

static int without_file(void **state)
{
    unlink(path);
    return ctl_tear_down(state) | rmdir(dir);
}

static void restart(void)
{
    void *state = NULL;
    assert_int_equal(ctl_tear_down(&state), 0);
    assert_int_equal(ctl_set_up(&state), 0);
    assert_int_equal(ctl_sweep_open(ctl, path), 0);
}

static void unload(const char *name)
{
    request("unload-conn", "name", name, NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_UNLOAD).CONN_UNLOAD.req, true, "");
    expect_success();
}

// A certificate that swanctl cannot read, or swanctl killed before it came to it: nothing is said of x.
static void test_sweep_waits_for_what_an_earlier_run_had(void **state)
{
    (void)state;
    load_conn("x");
    load_conn("y");
    restart();
    expect_conns("x", "y");
    pass(60000);
    expect_nothing(ROOM_PATH);
    load_conn("y");
    pass(10000);
    expect_held("x", 1);
    restart(); // a run that never heard of x
    load_conn("y");
    pass(10000);
    expect_held("x", 1);
    expect_conns("x", "y");
    load_conn("x");
    pass(10000);
    expect_swept();
    expect_conns("x", "y");
}

// What the file has no more swanctl unloads, as it is listed.
static void test_unload_of_what_an_earlier_run_had_lets_it_go(void **state)
{
    (void)state;
    load_conn("x");
    load_conn("y");
    restart();
    load_conn("y");
    request("unload-conn", "name", "x", NULL);
    expect_success();
    expect_nothing(ROOM_IKE);
    pass(10000);
    expect_swept();
    expect_conns("y", NULL);
    restart();
    expect_conns("y", NULL);
}

static void test_unloaded_connection_is_not_awaited_by_the_next_run(void **state)
{
    (void)state;
    load_conn("x");
    load_conn("y");
    unload("x");
    restart();
    load_conn("y");
    pass(10000);
    expect_swept();
}

// Of what is under way when the daemon dies something may stand in the kernel.
static void test_load_that_is_under_way_is_awaited_by_the_next_run(void **state)
{
    (void)state;
    load_conn("y");
    send_conn("x", "none");
    expect(ROOM_IKE, MSG_CONN_LOAD);
    restart();
    load_conn("y");
    pass(10000);
    expect_held("x", 1);
}

static void test_unload_that_is_under_way_is_awaited_by_the_next_run(void **state)
{
    (void)state;
    load_conn("x");
    request("unload-conn", "name", "x", NULL);
    expect(ROOM_IKE, MSG_CONN_UNLOAD);
    restart();
    expect_conns("x", NULL);
}

static void test_load_behind_an_unload_is_awaited_by_the_next_run(void **state)
{
    (void)state;
    load_conn("x");
    int first = client;
    request("unload-conn", "name", "x", NULL);
    union msg out = expect(ROOM_IKE, MSG_CONN_UNLOAD);
    client = join();
    send_conn("x", "none");
    union msg in = expect(ROOM_IKE, MSG_CONN_LOAD);
    result(ROOM_IKE, out.CONN_UNLOAD.req, true, "");
    close(first);
    restart();
    expect_conns("x", NULL);
    (void)in;
}

// What stood for it under its former name the next run does not know.
static void test_refused_connection_is_awaited_by_the_next_run(void **state)
{
    (void)state;
    load_conn("y");
    refuse_here("x");
    refuse_there("z");
    restart();
    load_conn("y");
    load_conn("x");
    pass(10000);
    expect_held("z", 1);
    load_conn("z");
    pass(10000);
    expect_swept();
    refuse_there("w"); // nothing of an earlier run is left that it could mean
    restart();
    request("unload-conn", "name", "w", NULL);
    expect_error("'w' not found");
}

static void test_refused_edit_is_awaited_by_the_next_run(void **state)
{
    (void)state;
    load_conn("x");
    pass(10000);
    expect_swept();
    refuse_here("x");
    restart();
    expect_conns("x", NULL);
}

static void test_damaged_file_of_names_holds_the_sweep(void **state)
{
    (void)state;
    load_conn("x");
    assert_int_equal(truncate(path, 10), 0);
    restart();
    load_conn("x");
    pass(10000);
    union msg m = expect(ROOM_PATH, MSG_SWEEP);
    assert_non_null(strstr(m.SWEEP.held, "not all names of an earlier run's connections are known"));
    assert_int_equal(m.SWEEP.awaited, 0);
    unlink(path); // as the log says
    restart();
    load_conn("x");
    pass(10000);
    expect_swept();
}

// They are no refusals, of which there is a bound.
static void test_names_of_an_earlier_run_take_no_room_of_refused_ones(void **state)
{
    char name[16];
    (void)state;
    for (unsigned i = 0; i <= CTL_MAX_REFUSED; i++) {
        snprintf(name, sizeof(name), "x%u", i);
        load_conn(name);
    }
    restart();
    refuse_here("y");
    refuse_here("x0");
    assert_int_equal(ctl->sweep.refused, 1);
    assert_int_equal(ctl->sweep.awaited.count, CTL_MAX_REFUSED + 2);
    for (unsigned i = 0; i <= CTL_MAX_REFUSED; i++) {
        snprintf(name, sizeof(name), "x%u", i);
        load_conn(name);
    }
    pass(10000);
    expect_held("y", 1);
    load_conn("y");
    assert_int_equal(ctl->sweep.refused, 0);
    pass(10000);
    expect_swept();
}

// ---- what is under way

static void test_load_of_what_is_being_unloaded_goes_to_ike(void **state)
{
    (void)state;
    load_conn("x");
    int first = client;
    request("unload-conn", "name", "x", NULL);
    union msg m = expect(ROOM_IKE, MSG_CONN_UNLOAD);
    client = join();
    send_conn("x", "none"); // the same text, but it is on its way out
    no_answer_yet(client);
    union msg again = expect(ROOM_IKE, MSG_CONN_LOAD);
    result(ROOM_IKE, m.CONN_UNLOAD.req, true, "");
    result(ROOM_IKE, again.CONN_LOAD.req, true, "");
    expect_success();
    expect_conns("x", NULL);
    close(first);
}

static void test_unload_of_what_is_being_loaded_goes_to_ike(void **state)
{
    (void)state;
    int first = client;
    send_conn("x", "none");
    union msg m = expect(ROOM_IKE, MSG_CONN_LOAD);
    client = join();
    request("unload-conn", "name", "x", NULL);
    union msg out = expect(ROOM_IKE, MSG_CONN_UNLOAD);
    result(ROOM_IKE, m.CONN_LOAD.req, true, "");
    result(ROOM_IKE, out.CONN_UNLOAD.req, true, "");
    expect_success();
    request("unload-conn", "name", "x", NULL);
    expect_error("'x' not found");
    close(first);
}

static void test_late_answer_of_ike_counts(void **state)
{
    (void)state;
    send_conn("x", "none");
    union msg m = expect(ROOM_IKE, MSG_CONN_LOAD);
    pass(CTL_ANSWER_MS);
    expect_error("no answer in time");
    pass(CTL_SWEEP_MS);
    expect_held("x", 1);
    result(ROOM_IKE, m.CONN_LOAD.req, true, "");
    expect_conns("x", NULL);
    pass(CTL_SWEEP_MS);
    expect_swept();
    request("unload-conn", "name", "x", NULL);
    m = expect(ROOM_IKE, MSG_CONN_UNLOAD);
    pass(CTL_ANSWER_MS);
    expect_error("no answer in time");
    result(ROOM_IKE, m.CONN_UNLOAD.req, true, "");
    request("unload-conn", "name", "x", NULL);
    expect_error("'x' not found");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, ctl_set_up, ctl_tear_down)
#define F(f) cmocka_unit_test_setup_teardown(f, with_file, without_file)
    const struct CMUnitTest tests[] = {
        T(test_sweep_comes_ten_seconds_after_the_last_load),
        T(test_sweep_waits_for_a_connection_that_is_refused_here),
        T(test_sweep_waits_for_connections_that_ike_refuses),
        T(test_refused_edit_of_a_connection_that_stands_holds_the_sweep),
        T(test_refused_connection_is_taken_out_by_unloading_it),
        T(test_unload_of_an_unknown_name_begins_nothing),
        T(test_refused_connection_without_a_name_holds_too),
        T(test_refused_names_are_bounded),
        T(test_message_of_two_connections_counts_as_both_refused),
        T(test_sweep_waits_for_a_load_that_is_under_way),
        T(test_sweep_waits_when_a_client_goes_away_while_it_loads),
        T(test_sweep_waits_when_a_client_is_hung_up_on),
        T(test_client_that_never_loaded_holds_nothing_when_it_is_hung_up_on),
        T(test_load_of_what_is_being_unloaded_goes_to_ike),
        T(test_unload_of_what_is_being_loaded_goes_to_ike),
        T(test_late_answer_of_ike_counts),
        F(test_sweep_waits_for_what_an_earlier_run_had),
        F(test_unload_of_what_an_earlier_run_had_lets_it_go),
        F(test_unloaded_connection_is_not_awaited_by_the_next_run),
        F(test_load_that_is_under_way_is_awaited_by_the_next_run),
        F(test_unload_that_is_under_way_is_awaited_by_the_next_run),
        F(test_load_behind_an_unload_is_awaited_by_the_next_run),
        F(test_refused_connection_is_awaited_by_the_next_run),
        F(test_refused_edit_is_awaited_by_the_next_run),
        F(test_damaged_file_of_names_holds_the_sweep),
        F(test_names_of_an_earlier_run_take_no_room_of_refused_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
