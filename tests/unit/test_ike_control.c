// SPDX-License-Identifier: Apache-2.0
// What ctl and path ask of ike: loading, the actions of a connection, acquires, time-outs, terminating by
// number, lists, counters, uniqueness, and events of the data path. Every request ends in exactly one RESULT.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/ike_pair.h"

static void start(struct conn_config *c, int side)
{
    c->children[0].start_action = side ? ACTION_NONE : ACTION_START;
}

static void test_start_action_brings_the_child_up_on_loading(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, start);
    assert_true(pair_live(&p->s[0]) == 1 && pair_agree(p));
    assert_int_equal(p->s[0].policies, 1);
    struct conn_config c;
    pair_default_conn(&c, 0);
    start(&c, 0);
    unsigned before = p->sent;
    pair_load(p, 0, &c); // unchanged: path is told again, nothing else happens
    assert_int_equal(p->sent, before);
    assert_int_equal(p->s[0].policies, 2);
    c.dpd_delay = 5; // changed: taken over, and the child that is up stays
    pair_load(p, 0, &c);
    assert_int_equal(p->sent, before);
    assert_int_equal(p->s[0].policies, 3);
    pair_free(p);
}

static void closing(struct conn_config *c, int side)
{
    c->children[0].close_action = side ? ACTION_NONE : ACTION_START;
}

static void test_close_action_brings_the_child_up_again(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, closing);
    pair_terminate(p, 1, "c", false);
    pair_wait(p, 1000);
    assert_int_equal(pair_live(&p->s[0]), 1);
    pair_terminate(p, 1, NULL, false);
    pair_wait(p, 1000);
    assert_true(pair_live(&p->s[0]) == 1 && pair_agree(p));
    pair_terminate(p, 0, NULL, false); // but not against our own operator
    pair_wait(p, 1000);
    assert_int_equal(pair_live(&p->s[0]), 0);
    pair_free(p);
}

static void restart(struct conn_config *c, int side)
{
    c->children[0].dpd_action = side ? DPD_NONE : DPD_START;
    c->dpd_delay = side ? 0 : 10;
    c->keyingtries = 0;
}

static void test_dpd_action_restart_connects_again(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, restart);
    p->filter = pair_lose_all;
    pair_wait(p, 180000);
    assert_int_equal(pair_live(&p->s[0]), 0);
    assert_int_equal(p->s[0].ike->sa_count, 1); // trying
    p->filter = NULL;
    pair_wait(p, 200000);
    assert_true(pair_live(&p->s[0]) == 1 && pair_agree(p));
    assert_int_equal(p->s[1].ike->sa_count, 1);
    pair_free(p);
}

static void trap(struct conn_config *c, int side)
{
    c->children[0].start_action = side ? ACTION_NONE : ACTION_TRAP;
}

static void test_acquire_initiates_once(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, trap);
    struct msg_ACQUIRE m = {.conn = "t", .child = "c"};
    assert_int_equal(p->sent, 0);
    for (int i = 0; i < 5; i++)
        ipc_send(p->s[0].path_ike, MSG_ACQUIRE, &m);
    pair_run(p);
    ipc_send(p->s[0].path_ike, MSG_ACQUIRE, &m);
    pair_run(p);
    assert_int_equal(p->sent, 4);
    assert_int_equal(pair_live(&p->s[0]), 1);
    snprintf(m.child, sizeof(m.child), "nobody");
    ipc_send(p->s[0].path_ike, MSG_ACQUIRE, &m);
    pair_run(p);
    pair_free(p);
}

static unsigned lost_number;

static int lose_one(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)d;
    return number != lost_number;
}

// With a uniqueness of replace a second IKE SA would end the first, and what that had.
static void test_children_wanted_while_the_ike_sa_is_made_come_up_there(void **state)
{
    (void)state;
    for (lost_number = 0; lost_number < 9; lost_number++) { // the last of these is none
        struct pair *p = pair_loaded(UNIQUE_REPLACE, pair_two_children);
        p->filter = lose_one;
        pair_initiate(p, 0, "c");
        ipc_send(p->s[0].path_ike, MSG_ACQUIRE, &(struct msg_ACQUIRE){.conn = "t", .child = "d"});
        uint32_t last = pair_initiate(p, 0, "d");
        pair_wait(p, 20000);
        pair_result(p, 0, last, true);
        assert_int_equal(p->s[0].ike->next_id, 1);
        assert_int_equal(p->s[1].ike->next_id, 1);
        assert_int_equal(pair_live(&p->s[0]), 2);
        assert_true(pair_agree(p));
        pair_free(p);
    }
}

static void test_initiate_ends_at_its_time_out(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    struct msg_INITIATE m = {.req = 77, .child = "c", .timeout_ms = 1500};
    p->filter = pair_lose_all;
    ipc_send(p->s[0].ctl_ike, MSG_INITIATE, &m);
    pair_wait(p, 1400);
    assert_int_not_equal(p->s[0].last_req, 77);
    pair_wait(p, 200);
    pair_result(p, 0, 77, false);
    unsigned results = p->s[0].results;
    pair_wait(p, 200000); // the attempt's own end is not a second answer
    assert_int_equal(p->s[0].results, results);
    pair_free(p);
}

static void test_two_initiates_of_one_child_share_the_attempt(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    struct msg_INITIATE m = {.req = 77, .child = "c"};
    unsigned results = p->s[0].results;
    ipc_send(p->s[0].ctl_ike, MSG_INITIATE, &m);
    m.req = 78;
    ipc_send(p->s[0].ctl_ike, MSG_INITIATE, &m);
    pair_run(p);
    assert_int_equal(p->s[0].results, results + 2);
    assert_int_equal(p->sent, 4);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true); // it is up: no third attempt
    assert_int_equal(p->sent, 4);
    pair_free(p);
}

// The peer began, and path has not said yet that its CHILD SA is in place.
static void test_initiate_waits_for_the_child_that_the_peer_is_making(void **state)
{
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        struct pair *p = pair_new(NULL);
        pair_simple(p);
        p->s[1].hold_install = true;
        pair_initiate(p, 0, "c");
        assert_true(p->s[1].held_len > 0);
        unsigned results = p->s[1].results;
        uint32_t req = pair_initiate(p, 1, "c");
        assert_int_equal(p->s[1].ike->sa_count, 1); // no second IKE SA
        assert_int_equal(p->s[1].results, results);
        p->s[1].refuse_install = fails;
        pair_release(&p->s[1]);
        pair_result(p, 1, req, !fails); // it ends either way
        assert_int_equal(p->s[1].ike->sa_count, 1);
        assert_int_equal(pair_live(&p->s[1]), !fails);
        pair_free(p);
    }
}

static void test_what_is_not_there_is_named(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "nobody"), false);
    assert_non_null(strstr(p->s[0].last_text, "nobody"));
    pair_terminate(p, 0, NULL, false);
    assert_string_equal(p->s[0].last_text, "no matching SAs to terminate found");
    struct msg_CONN_UNLOAD m = {.req = 5, .conn = "t"}; // of one that was never loaded ctl knows
    ipc_send(p->s[0].ctl_ike, MSG_CONN_UNLOAD, &m);
    pair_run(p);
    pair_result(p, 0, 5, true);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    pair_free(p);
}

static void terminate(struct pair *p, uint32_t ike_id, uint32_t child_id, bool ok)
{
    struct msg_TERMINATE m = {.req = 9, .ike_id = ike_id, .child_id = child_id};
    ipc_send(p->s[0].ctl_ike, MSG_TERMINATE, &m);
    pair_run(p);
    pair_result(p, 0, 9, ok);
}

static void test_terminate_by_number_takes_only_that_one(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    uint32_t ike = p->s[0].ike->sas->id, child = p->s[0].ike->sas->children->id;
    terminate(p, ike + 7, 0, false);
    terminate(p, 0, child + 7, false);
    terminate(p, 0, 0, false);
    assert_int_equal(pair_live(&p->s[0]), 1);
    terminate(p, 0, child, true);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    terminate(p, ike, 0, true);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    pair_free(p);
}

static void test_unloading_keeps_what_is_up(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    ipc_send(p->s[0].ctl_ike, MSG_CONN_UNLOAD, &(struct msg_CONN_UNLOAD){.req = 5, .conn = "t"});
    pair_run(p);
    assert_int_equal(pair_live(&p->s[0]), 1);
    pair_terminate(p, 1, NULL, false);
    assert_int_equal(pair_live(&p->s[0]), 0);
    pair_free(p);
}

static void also_anyone(struct conn_config *c, int side)
{
    if (side == 0)
        return;
    memset(&c->remote_addrs[1], 0, sizeof(c->remote_addrs[1])); // remote_addrs = 10.0.0.9, %any
    addr_parse("10.0.0.9", &c->remote_addrs[0]);
    c->remote_count = 2;
}

static void test_an_address_list_with_any_takes_anyone(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, also_anyone);
    assert_int_equal(pair_live(&p->s[1]), 1);
    pair_free(p);
}

static void test_what_is_unloaded_does_not_come_up_again(void **state)
{
    (void)state;
    void (*const tune[])(struct conn_config *, int) = {closing, restart};
    for (int i = 0; i < 2; i++) {
        struct pair *p = pair_established(UNIQUE_REPLACE, tune[i]);
        ipc_send(p->s[0].ctl_ike, MSG_CONN_UNLOAD, &(struct msg_CONN_UNLOAD){.req = 5, .conn = "t"});
        pair_run(p);
        if (i)
            p->filter = pair_lose_all;
        else
            pair_terminate(p, 1, NULL, false);
        pair_wait(p, 200000);
        assert_int_equal(p->s[0].ike->sa_count, 0);
        pair_free(p);
    }
}

static void test_lists_and_counters_say_what_is(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    ipc_send(p->s[0].ctl_ike, MSG_IKE_LIST, &(struct msg_IKE_LIST){.req = 6});
    pair_run(p);
    pair_result(p, 0, 6, true);
    const struct msg_IKE_INFO *i = &p->s[0].ike_info;
    assert_int_equal(i->req, 6);
    assert_string_equal(i->state, "ESTABLISHED");
    assert_string_equal(i->remote_id, "b.test");
    assert_int_equal(i->ke, TRID_CURVE_25519);
    assert_int_equal(i->encr_bits, 256);
    ipc_send(p->s[0].ctl_ike, MSG_IKE_STATS, &(struct msg_IKE_STATS){.req = 7});
    pair_run(p);
    pair_result(p, 0, 7, true);
    pair_free(p);
}

static void test_traffic_puts_off_the_liveness_check(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, restart);
    for (int i = 0; i < 20; i++) {
        struct msg_CHILD_EVENT m = {.child_id = p->s[0].ike->sas->children->id,
                                    .event = CHILD_EVENT_TRAFFIC_IN};
        ipc_send(p->s[0].path_ike, MSG_CHILD_EVENT, &m);
        pair_wait(p, 3000);
    }
    assert_int_equal(p->s[0].ike->counters[CNT_dpd_sent], 0);
    pair_free(p);
}

// A second SA between the same ends, which does not say INITIAL_CONTACT: by the other connection's child.
static struct pair *twice(uint8_t unique)
{
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (int i = 1; i >= 0; i--) {
        pair_psk(p, i, "secret", NULL, NULL);
        pair_default_conn(&c, i);
        c.unique = unique;
        pair_load(p, i, &c);
    }
    c.name = "u";
    c.children[0].name = "d";
    pair_load(p, 0, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_initiate(p, 0, "d");
    pair_wait(p, 6000);
    return p;
}

static void test_uniqueness_is_as_configured(void **state)
{
    (void)state;
    static const struct {
        uint8_t mode;
        unsigned left;
    } cases[] = {{UNIQUE_NO, 2}, {UNIQUE_NEVER, 2}, {UNIQUE_KEEP, 1}, {UNIQUE_REPLACE, 1}};
    for (unsigned i = 0; i < 4; i++) {
        struct pair *p = twice(cases[i].mode);
        assert_int_equal(p->s[0].ike->sa_count, cases[i].left);
        assert_int_equal(p->s[1].ike->sa_count, cases[i].left);
        assert_int_equal(p->s[0].last_ok, cases[i].mode != UNIQUE_KEEP);
        assert_true(pair_agree(p));
        pair_free(p);
    }
}

static void test_keepalives_go_out_behind_a_nat_only(void **state)
{
    (void)state;
    for (int nat = 0; nat < 2; nat++) {
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        pair_psk(p, 0, "secret", NULL, NULL);
        pair_psk(p, 1, "secret", NULL, NULL);
        pair_default_conn(&c, 0);
        pair_load(p, 0, &c);
        pair_default_conn(&c, 1);
        c.remote_count = 0;
        pair_load(p, 1, &c);
        p->nat = nat;
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        unsigned before = p->activity;
        pair_wait(p, 100000);
        assert_int_equal(p->activity - before, nat ? 5 : 0); // keep_alive is 20 s
        pair_free(p);
    }
}

// Path has them by their names, and ike by nothing.
static void test_terminate_ends_what_an_ike_that_died_has_left(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(0, NULL);
    struct side *s = &p->s[0];
    ike_follow(s->ike, 1, 0);
    ipc_send(s->ctl_ike, MSG_WHOLE, &(struct msg_WHOLE){.pid = 1});
    s->survivors = 2;
    pair_terminate(p, 0, "c", false);
    assert_true(s->last_ok);
    assert_string_equal(s->last_text, "2");
    pair_terminate(p, 0, "c", false); // there are none any more
    assert_false(s->last_ok);
    assert_string_equal(s->last_text, "no matching SAs to terminate found");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    s->survivors = 1;
    pair_terminate(p, 0, NULL, false);
    assert_true(s->last_ok);
    assert_string_equal(s->last_text, "2"); // with its own
    assert_int_equal(s->ike->sa_count + s->survivors, 0);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminate_ends_what_an_ike_that_died_has_left),
        cmocka_unit_test(test_start_action_brings_the_child_up_on_loading),
        cmocka_unit_test(test_close_action_brings_the_child_up_again),
        cmocka_unit_test(test_dpd_action_restart_connects_again),
        cmocka_unit_test(test_acquire_initiates_once),
        cmocka_unit_test(test_children_wanted_while_the_ike_sa_is_made_come_up_there),
        cmocka_unit_test(test_initiate_ends_at_its_time_out),
        cmocka_unit_test(test_two_initiates_of_one_child_share_the_attempt),
        cmocka_unit_test(test_initiate_waits_for_the_child_that_the_peer_is_making),
        cmocka_unit_test(test_what_is_not_there_is_named),
        cmocka_unit_test(test_terminate_by_number_takes_only_that_one),
        cmocka_unit_test(test_unloading_keeps_what_is_up),
        cmocka_unit_test(test_an_address_list_with_any_takes_anyone),
        cmocka_unit_test(test_what_is_unloaded_does_not_come_up_again),
        cmocka_unit_test(test_lists_and_counters_say_what_is),
        cmocka_unit_test(test_traffic_puts_off_the_liveness_check),
        cmocka_unit_test(test_uniqueness_is_as_configured),
        cmocka_unit_test(test_keepalives_go_out_behind_a_nat_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
