// SPDX-License-Identifier: Apache-2.0
// A connection that is loaded under another name, with its children as they were or edited too: it takes its
// IKE SA with it, whichever end, and whatever of it is on its way.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "tests/unit/ike_editions_rig.h"

static void load_as(struct pair *p, int side, pair_tune tune, const char *name)
{
    struct conn_config c;
    pair_default_conn(&c, side);
    c.unique = UNIQUE_NO;
    if (tune)
        tune(&c, side);
    c.name = name;
    pair_load(p, side, &c);
}

static uint32_t ask_unload(struct pair *p, int side, const char *name)
{
    static uint32_t req = 5000;
    struct msg_CONN_UNLOAD m = {.req = ++req};
    snprintf(m.conn, sizeof(m.conn), "%s", name);
    ipc_send(p->s[side].ctl_ike, MSG_CONN_UNLOAD, &m);
    pair_run(p);
    return req;
}

static void unload(struct pair *p, int side, const char *name)
{
    pair_result(p, side, ask_unload(p, side, name), true);
}

enum { NEW_FIRST, OLD_FIRST, ORDERS };

static void call(struct pair *p, int side, pair_tune tune, const char *from, const char *to, int order)
{
    if (order == OLD_FIRST)
        unload(p, side, from);
    load_as(p, side, tune, to);
    if (order == NEW_FIRST)
        unload(p, side, from);
}

static void assert_goes_by(struct pair *p, int side, const char *name)
{
    struct ike *ike = p->s[side].ike;
    struct conn *c = conn_find(ike, name);
    assert_non_null(c);
    for (const struct ike_sa *sa = ike->sas; sa; sa = sa->next) {
        assert_ptr_equal(sa->conn, c);
        for (const struct child_sa *k = sa->children; k; k = k->next)
            assert_ptr_equal(k->conn, c);
    }
}

// Whichever end, whichever end asks then, and whichever is first, the new one or the former one's end.
static void test_connection_that_is_renamed_takes_its_ike_sa_with_it(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        int side = i & 1, asks = i >> 1 & 1, order = i >> 2;
        struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        call(p, side, pair_two_children, "t", "n", order);
        assert_goes_by(p, side, "n");
        pair_result(p, asks, pair_initiate(p, asks, "d"), true);
        settle(p);
        assert_has(p, 1, 2);
        assert_goes_by(p, side, "n");
        const struct conn *c = conn_find(p->s[side].ike, "n");
        assert_int_equal(pair_sa(&p->s[side], 1)->child.policy_id, c->numbers[1].policy_id);
        for (const struct child_sa *k = p->s[side].ike->sas->children; k; k = k->next)
            expiry_rekey(p->s[side].ike->sas->children);
        settle(p);
        assert_has(p, 1, 2);
        for (unsigned k = 0; k < 2; k++)
            assert_true(pair_sa(&p->s[side], k)->child.policy_id == c->numbers[0].policy_id ||
                        pair_sa(&p->s[side], k)->child.policy_id == c->numbers[1].policy_id);
        pair_free(p);
    }
}

static void test_renamed_connection_that_is_to_be_up_makes_no_second_ike_sa(void **state)
{
    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        struct pair *p = pair_loaded(UNIQUE_NO, starting);
        settle(p);
        uint64_t ike_spi = p->s[0].ike->sas->spi_i;
        uint32_t spi = p->s[0].ike->sas->children->spi_in;
        call(p, 0, starting, "t", "n", order);
        settle(p);
        assert_has(p, 1, 1);
        assert_true(p->s[0].ike->sas->spi_i == ike_spi);
        assert_true(p->s[0].ike->sas->children->spi_in == spi);
        assert_goes_by(p, 0, "n");
        pair_free(p);
    }
}

// Nor where the file says of its child what it did not say before.
static void test_connection_that_is_renamed_and_edited_makes_no_second_ike_sa(void **state)
{
    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        struct pair *p = pair_loaded(UNIQUE_NO, NULL);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        uint32_t spi = p->s[0].ike->sas->children->spi_in;
        for (int i = 0; i < 3; i++) { // forth, and back, and forth
            call(p, 0, starting, i % 2 ? "n" : "t", i % 2 ? "t" : "n", order);
            settle(p);
            assert_has(p, 1, 1);
            assert_true(p->s[0].ike->sas->children->spi_in == spi);
        }
        pair_result(p, 0, pair_initiate(p, 0, "c"), true); // it is there
        assert_has(p, 1, 1);
        assert_true(p->s[0].ike->sas->children->spi_in == spi);
        expiry_rekey(p->s[0].ike->sas->children);
        settle(p);
        assert_has(p, 1, 1);
        pair_free(p);
    }
}

// Whoever loads slowly, and whoever means to have both.
static void test_renamed_connection_waits_a_while_for_the_former_one_to_go(void **state)
{
    (void)state;
    for (int both_stay = 0; both_stay < 2; both_stay++) {
        struct pair *p = pair_loaded(UNIQUE_NO, starting);
        settle(p);
        load_as(p, 0, starting, "n");
        pair_wait(p, 8000);
        assert_has(p, 1, 1);
        assert_goes_by(p, 0, "t");
        if (!both_stay)
            unload(p, 0, "t");
        settle(p);
        assert_has(p, both_stay ? 2 : 1, both_stay ? 2 : 1);
        pair_free(p);
    }
}

static void other_children(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->children[0].name = "x";
    c->children[1].name = "y";
}

// Somebody could not wait.
static void test_renamed_connection_that_has_another_ike_sa_comes_to_one(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        int late = i & 1, children = i >> 1; // children: they are renamed, too
        pair_tune now = children ? other_children : pair_two_children;
        struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_result(p, 0, pair_initiate(p, 0, "d"), true);
        load_as(p, 0, now, "n");
        p->filter = late ? pair_lose_all : NULL; // it is on its way when the former one goes
        struct msg_INITIATE m = {.req = 77, .conn = "n", .timeout_ms = 60000};
        snprintf(m.child, sizeof(m.child), "%s", children ? "x" : "c");
        ipc_send(p->s[0].ctl_ike, MSG_INITIATE, &m);
        pair_run(p);
        unload(p, 0, "t");
        p->filter = NULL;
        settle(p);
        if (late)
            pair_result(p, 0, 77, true);
        assert_has(p, 1, 2);
        assert_goes_by(p, 0, "n");
        pair_free(p);
    }
}

static void elsewhere(struct conn_config *c, int side)
{
    (void)side;
    pair_own_selectors(&c->children[0]);
    c->children[0].local_ts->t[0].lo[1] = c->children[0].local_ts->t[0].hi[1] = 77;
    c->children[0].name = "e";
}

static void otherwise(struct conn_config *c, int side)
{
    (void)side;
    c->dpd_delay = 77;
}

// All of them are to that peer: it is the one that has the CHILD SA's child, and is alike in what the IKE SA
// is.
static void test_of_several_connections_to_that_peer_the_renamed_one_is_meant(void **state)
{
    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        struct pair *p = pair_loaded(UNIQUE_NO, NULL);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        load_as(p, 0, elsewhere, "a");
        load_as(p, 0, otherwise, "b");
        call(p, 0, NULL, "t", "n", order);
        load_as(p, 0, NULL, "z");
        settle(p);
        assert_has(p, 1, 1);
        assert_goes_by(p, 0, "n");
        unload(p, 0, "n");
        assert_goes_by(p, 0, "z");
        unload(p, 0, "z"); // and of the others none is
        assert_string_equal(p->s[0].ike->sas->conn->cfg.name, "z");
        load_as(p, 0, NULL, "z");
        assert_goes_by(p, 0, "z");
        pair_free(p);
    }
}

// One that has its own goes on by that, whatever else is unloaded beside it.
static void test_another_connections_ike_sa_is_left_alone(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    for (int side = 0; side < 2; side++)
        load_as(p, side, elsewhere, "a");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    unload(p, 0, "t");
    settle(p);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_string_equal(p->s[0].ike->sas->conn->cfg.name, "t");
    pair_free(p);
}

// The policies of the former one have gone, and ike has not heard yet that they have.
static void test_child_sa_for_a_connection_that_is_leaving_is_the_new_ones(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    load_as(p, 1, pair_two_children, "n");
    p->s[1].hold_policies = true;
    uint32_t req = ask_unload(p, 1, "t");
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    assert_goes_by(p, 1, "n");
    assert_int_equal(pair_sa(&p->s[1], 1)->child.policy_id,
                     conn_find(p->s[1].ike, "n")->numbers[1].policy_id);
    ipc_result(p->s[1].path_ike, p->s[1].policies_held[0], true, "%s", "");
    pair_run(p);
    pair_result(p, 1, req, true);
    settle(p);
    assert_has(p, 1, 2);
    pair_free(p);
}

// ... and has one that goes is nobody's heir.
static void test_connection_that_is_leaving_takes_nothing_over(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    load_as(p, 1, NULL, "n");
    p->s[1].hold_policies = true;
    (void)ask_unload(p, 1, "n");
    (void)ask_unload(p, 1, "t");
    for (unsigned i = 0; i < 2; i++) {
        ipc_result(p->s[1].path_ike, p->s[1].policies_held[1 - i], true, "%s", "");
        pair_run(p);
        assert_string_equal(p->s[1].ike->sas->conn->cfg.name, "t");
    }
    pair_free(p);
}

static void comes_back(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->keyingtries = 0;
    c->children[0].close_action = side == 0 ? ACTION_START : ACTION_NONE;
}

// What was wanted by the former name is by the new one.
static void test_child_that_is_to_come_back_does_by_the_new_name(void **state)
{
    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        struct pair *p = pair_loaded(UNIQUE_NO, comes_back);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_result(p, 0, pair_initiate(p, 0, "d"), true);
        p->s[1].refuse_next = true;
        pair_terminate(p, 1, "c", false);
        pair_run(p);
        assert_int_equal(pair_live(&p->s[0]), 1); // refused, it is tried again in a moment
        call(p, 0, comes_back, "t", "n", order);
        settle(p);
        assert_has(p, 1, 2);
        assert_goes_by(p, 0, "n");
        pair_free(p);
    }
}

static void second_rekeyed_later(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->children[1].rekey_time = 77777;
}

// Asked for by the former name and not begun: it is asked of a peer that is at work on something else. Where
// it has been edited too, by what the file says now.
static void test_child_that_waits_for_its_turn_is_the_new_ones(void **state)
{
    (void)state;
    for (int edited = 0; edited < 2; edited++) {
        struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        p->filter = pair_lose_all;
        exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0);
        uint32_t req = pair_initiate(p, 0, "d");
        call(p, 0, edited ? second_rekeyed_later : pair_two_children, "t", "n", NEW_FIRST);
        p->filter = NULL;
        settle(p);
        pair_result(p, 0, req, true);
        assert_has(p, 1, 2);
        assert_goes_by(p, 0, "n");
        const struct conn *c = conn_find(p->s[0].ike, "n");
        assert_int_equal(pair_sa(&p->s[0], 1)->child.policy_id, c->numbers[1].policy_id);
        pair_free(p);
    }
}

static void assert_counted(struct pair *p, const char *name, unsigned sas, unsigned children)
{
    const struct conn *c = conn_find(p->s[0].ike, name);
    assert_non_null(c);
    assert_non_null(c->counts);
    assert_int_equal(c->counts->up, sas);
    assert_int_equal(c->counts->children->up, children);
}

static void test_renamed_connection_is_counted_up_by_its_new_name(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_counted(p, "t", 1, 1);
    for (int i = 0; i < 4; i++) {
        call(p, 0, NULL, i % 2 ? "n" : "t", i % 2 ? "t" : "n", i / 2);
        assert_counted(p, i % 2 ? "t" : "n", 1, 1);
    }
    pair_terminate(p, 0, "c", false);
    settle(p);
    assert_counted(p, "t", 0, 0);
    pair_free(p);
}

// While the former one is unloaded the IKE SA is still being made.
static void test_ike_sa_that_comes_up_behind_its_connections_end_is_the_new_ones(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct pair *p = pair_loaded(UNIQUE_NO, NULL);
        int order = i & 1, side = i >> 1;
        p->filter = side ? NULL : pair_lose_all;
        p->s[1].hold_install = side;
        uint32_t req = pair_initiate(p, 0, "c");
        call(p, side, NULL, "t", "n", order);
        p->filter = NULL;
        if (side)
            pair_release(&p->s[1]);
        settle(p);
        pair_result(p, 0, req, true);
        assert_has(p, 1, 1);
        assert_goes_by(p, side, "n");
        pair_free(p);
    }
}

// Its child could not be had, and the operator asks again at once.
static void test_ike_sa_that_comes_up_without_its_child_sa_is_the_new_ones_too(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    p->filter = pair_lose_all;
    uint32_t req = pair_initiate(p, 0, "c");
    call(p, 0, NULL, "t", "n", NEW_FIRST);
    p->filter = NULL;
    p->s[0].refuse_next = true;
    for (int i = 0; i < 300 && p->s[0].last_req != req; i++)
        pair_wait(p, 100);
    pair_result(p, 0, req, false);
    assert_goes_by(p, 0, "n");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_has(p, 1, 1);
    pair_free(p);
}

static void alone_too(struct conn_config *c, int side)
{
    (void)side;
    c->childless = CHILDLESS_ALLOW;
}

static void initiate_alone(struct pair *p, const char *name, uint32_t req)
{
    struct msg_INITIATE m = {.req = req, .timeout_ms = 60000};
    snprintf(m.conn, sizeof(m.conn), "%s", name);
    ipc_send(p->s[0].ctl_ike, MSG_INITIATE, &m);
    pair_run(p);
}

// It has no CHILD SA that would say whose it is: whose children are those of the former one.
static void test_ike_sa_without_a_child_sa_is_the_renamed_connections(void **state)
{
    (void)state;
    for (int order = 0; order < 2 * ORDERS; order++) {
        struct pair *p = pair_loaded(UNIQUE_NO, alone_too);
        bool late = order > OLD_FIRST; // it comes up behind its connection's end
        p->filter = late ? pair_lose_all : NULL;
        initiate_alone(p, "t", 78);
        load_as(p, 0, elsewhere, "a");
        call(p, 0, alone_too, "t", "n", order % ORDERS);
        p->filter = NULL;
        settle(p);
        assert_int_equal(p->s[0].ike->sa_count, 1);
        assert_goes_by(p, 0, "n");
        pair_free(p);
    }
}

// ... but for one that has its own.
static void test_ike_sa_without_a_child_sa_is_nobodys_who_has_one(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, alone_too);
    load_as(p, 0, alone_too, "n");
    initiate_alone(p, "t", 78);
    initiate_alone(p, "n", 79);
    unload(p, 0, "t");
    settle(p);
    assert_int_equal(p->s[0].ike->sa_count, 2);
    assert_non_null(sa_of_conn(p->s[0].ike, "t", NULL));
    assert_non_null(sa_of_conn(p->s[0].ike, "n", NULL));
    pair_free(p);
}

static void rekeyed_later(struct conn_config *c, int side)
{
    (void)side;
    c->children[0].rekey_time = 77777;
}

// What has been edited with it stays what it was made by, and its successors are of the policy that is
// loaded.
static void test_child_that_is_edited_with_the_name_is_rekeyed_under_the_new_policy(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    call(p, 0, rekeyed_later, "t", "n", NEW_FIRST);
    struct ike_sa *sa = p->s[0].ike->sas;
    assert_ptr_equal(sa->conn, conn_find(p->s[0].ike, "n"));
    assert_int_not_equal(sa->children->cfg->rekey_time, 77777);
    expiry_rekey(sa->children);
    settle(p);
    assert_has(p, 1, 1);
    assert_int_equal(pair_sa(&p->s[0], 0)->child.policy_id, sa->conn->numbers[0].policy_id);
    pair_free(p);
}

// --- renamed while something of it is on its way ---

static void second_under_another_name(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->children[1].name = "d2";
}

// By the new name it is no child: when the peer refuses it, nobody waits for that any more. The file comes
// back.
static void test_child_on_its_way_as_its_connection_was_renamed_comes_when_that_is_undone(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    p->filter = pair_lose_all;
    load(p, 0, both, NULL);
    pair_wait(p, 10);
    assert_non_null(p->s[0].ike->sas->active);
    load_as(p, 0, second_under_another_name, "n");
    unload(p, 0, "t");
    p->filter = NULL;
    p->s[1].refuse_next = true;
    settle(p);
    assert_has(p, 1, 1);
    assert_non_null(sa_of_conn(p->s[0].ike, "n", NULL));
    call(p, 0, both, "n", "t", OLD_FIRST);
    settle(p);
    assert_has(p, 1, 2);
    assert_non_null(sa_of_conn(p->s[0].ike, "t", NULL));
    pair_free(p);
}

static void second_starts(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    if (side == 0)
        c->children[1].start_action = ACTION_START;
}

// The new connection has begun for a child that the peer does not know: what was up stays up.
static void test_child_that_is_refused_ends_nothing_of_the_ike_sa_that_was_renamed(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    p->filter = pair_lose_all;
    load_as(p, 0, second_starts, "n");
    unload(p, 0, "t");
    assert_int_equal(p->s[0].ike->sa_count, 2);
    p->filter = NULL;
    for (int ms = 0; ms < 20000; ms += 50) {
        pair_wait(p, 50);
        if (!pair_live(&p->s[0]) || !pair_live(&p->s[1]))
            fail_msg("after %d ms no CHILD SA is left", ms);
    }
    assert_has(p, 1, 1);
    assert_goes_by(p, 0, "n");
    assert_string_equal(pair_sa(&p->s[0], 0)->child.name, "c");
    pair_free(p);
}

static void better(struct conn_config *c, int side)
{
    starting(c, side);
    c->children[0].priority = 1;
}

// Packets meet its policy first, and no CHILD SA is of that: what there is for the former one serves nothing.
static void test_child_that_stands_before_another_ones_does_not_wait_for_that_to_go(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    load_as(p, 0, better, "n");
    pair_wait(p, 100);
    assert_has(p, 2, 2);
    assert_non_null(sa_of_conn(p->s[0].ike, "n", NULL));
    pair_free(p);
}

static void second_passes(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->children[1].action = POLICY_BYPASS;
}

// Asked for and not begun, it is a policy alone by now: by the new name, or by its own.
static void test_child_that_waits_for_its_turn_and_is_to_pass_by_now_is_not_made(void **state)
{
    (void)state;
    for (int renames = 0; renames < 2; renames++) {
        struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        p->filter = pair_lose_all;
        exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0);
        uint32_t req = pair_initiate(p, 0, "d");
        if (renames)
            call(p, 0, second_passes, "t", "n", NEW_FIRST);
        else
            load(p, 0, second_passes, NULL);
        unsigned made = p->s[1].child_up;
        p->filter = NULL;
        settle(p);
        pair_result(p, 0, req, false);
        assert_int_equal(p->s[1].child_up, made);
        assert_has(p, 1, 1);
        pair_free(p);
    }
}

static void by_the_route(struct conn_config *c, int side)
{
    struct child_config *k = &c->children[0];
    starting(c, side);
    *(side ? k->remote_ts : k->local_ts) = (struct ts_list){.count = 1, .t[0] = {.port_hi = 65535}};
    *(side ? &c->remote_count : &c->local_count) = 0;
}

static void by_the_route_and_another(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    by_the_route(c, side);
}

// What is edited is another child; meanwhile the machine has another address.
static void test_child_whose_own_address_is_another_by_now_is_not_served_by_its_former_sa(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, by_the_route);
    settle(p);
    assert_has(p, 1, 1);
    addr_parse("10.0.0.9", &p->s[0].source);
    load(p, 0, by_the_route_and_another, NULL);
    settle(p);
    assert_has(p, 1, 1);
    const struct ts *t = &p->s[0].ike->sas->children->local_ts->t[0];
    assert_memory_equal(t->lo, p->s[0].source.a, 4);
    assert_memory_equal(t->hi, p->s[0].source.a, 4);
    pair_free(p);
}

// However many there were.
static void test_connection_that_was_unloaded_is_kept_no_longer_than_its_ike_sa(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    unload(p, 0, "t");
    assert_int_equal(table_count(&p->s[0].ike->strays), 1);
    pair_terminate(p, 0, NULL, false);
    pair_wait(p, 1000);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    assert_int_equal(table_count(&p->s[0].ike->strays), 0);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection_that_is_renamed_takes_its_ike_sa_with_it),
        cmocka_unit_test(test_renamed_connection_that_is_to_be_up_makes_no_second_ike_sa),
        cmocka_unit_test(test_connection_that_is_renamed_and_edited_makes_no_second_ike_sa),
        cmocka_unit_test(test_renamed_connection_waits_a_while_for_the_former_one_to_go),
        cmocka_unit_test(test_renamed_connection_that_has_another_ike_sa_comes_to_one),
        cmocka_unit_test(test_of_several_connections_to_that_peer_the_renamed_one_is_meant),
        cmocka_unit_test(test_another_connections_ike_sa_is_left_alone),
        cmocka_unit_test(test_child_sa_for_a_connection_that_is_leaving_is_the_new_ones),
        cmocka_unit_test(test_connection_that_is_leaving_takes_nothing_over),
        cmocka_unit_test(test_child_that_is_to_come_back_does_by_the_new_name),
        cmocka_unit_test(test_child_that_waits_for_its_turn_is_the_new_ones),
        cmocka_unit_test(test_renamed_connection_is_counted_up_by_its_new_name),
        cmocka_unit_test(test_ike_sa_that_comes_up_behind_its_connections_end_is_the_new_ones),
        cmocka_unit_test(test_ike_sa_that_comes_up_without_its_child_sa_is_the_new_ones_too),
        cmocka_unit_test(test_ike_sa_without_a_child_sa_is_the_renamed_connections),
        cmocka_unit_test(test_ike_sa_without_a_child_sa_is_nobodys_who_has_one),
        cmocka_unit_test(test_child_that_is_edited_with_the_name_is_rekeyed_under_the_new_policy),
        cmocka_unit_test(test_child_on_its_way_as_its_connection_was_renamed_comes_when_that_is_undone),
        cmocka_unit_test(test_child_that_is_refused_ends_nothing_of_the_ike_sa_that_was_renamed),
        cmocka_unit_test(test_child_that_stands_before_another_ones_does_not_wait_for_that_to_go),
        cmocka_unit_test(test_child_that_waits_for_its_turn_and_is_to_pass_by_now_is_not_made),
        cmocka_unit_test(test_child_whose_own_address_is_another_by_now_is_not_served_by_its_former_sa),
        cmocka_unit_test(test_connection_that_was_unloaded_is_kept_no_longer_than_its_ike_sa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
