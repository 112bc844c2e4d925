// SPDX-License-Identifier: Apache-2.0
// What brings tunnels back: every way of losing one, against every action that asks for it, with back-off,
// for ever where that is asked for, and never more than one IKE SA at rest.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/initiate.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/task.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/ike_revive_rig.h"

static void started_for_ever(struct conn_config *c, int side)
{
    started(c, side);
    c->keyingtries = 0;
}

static void restarting(struct conn_config *c, int side)
{
    c->children[0].dpd_action = side ? DPD_NONE : DPD_START;
    c->dpd_delay = 10;
}

// --- limits ---

static void test_limit_is_followed_by_another_sa_at_either_end(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        uint32_t spi = pair_sa(&p->s[0], 0)->child.spi_in;
        event(p, side, CHILD_EVENT_HARD_LIMIT);
        pair_wait(p, 20000);
        pair_assert_one(p);
        assert_int_not_equal(pair_sa(&p->s[0], 0)->child.spi_in, spi);
        pair_free(p);
    }
}

static void test_limit_at_both_ends_leaves_one_sa(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    struct msg_CHILD_EVENT m = {.event = CHILD_EVENT_HARD_LIMIT};
    for (int i = 0; i < 2; i++) {
        m.child_id = p->s[i].ike->sas->children->id;
        ipc_send(p->s[i].path_ike, MSG_CHILD_EVENT, &m);
    }
    pair_wait(p, 20000);
    pair_assert_one(p);
    pair_free(p);
}

static void test_soft_limit_makes_before_it_breaks(void **state)
{
    (void)state;
    const uint8_t events[] = {CHILD_EVENT_SOFT_LIMIT, CHILD_EVENT_MOVED};
    for (int i = 0; i < 2; i++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        struct path_sa *old = pair_sa(&p->s[0], 0);
        event(p, 0, events[i]);
        event(p, 0, events[i]); // told again: nothing more
        for (int k = 0; k < 20000 && pair_live(&p->s[0]) == 1; k++)
            pair_wait(p, 1);
        assert_int_equal(p->s[0].sa_count, 2); // the new one came while the old one was there
        pair_wait(p, 20000);
        assert_true(old->deleted);
        assert_int_equal(p->s[0].sa_count, 2);
        pair_assert_one(p);
        pair_free(p);
    }
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    event(p, 1, CHILD_EVENT_SOFT_LIMIT); // either end rekeys
    pair_wait(p, 20000);
    assert_int_equal(p->s[0].sa_count, 2);
    pair_assert_one(p);
    pair_free(p);
}

// --- closed by the peer ---

static void test_close_action_brings_one_back(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pair *p = pair_established(UNIQUE_NO, closing);
        pair_terminate(p, 1, i ? NULL : "c", false);
        pair_wait(p, 20000);
        pair_assert_one(p);
        pair_free(p);
    }
}

// A peer that closes each SA as soon as it is there: 67 SAs in 80 s once.
static void closing_at_the_other(struct conn_config *c, int side)
{
    closing(c, !side);
}

// An initiator that does not take our proof says so when we have it up already, and have forgotten that we
// were about to try ourselves: what was refused to us as initiator is tried again, too.
static void test_close_action_brings_back_what_an_initiator_has_refused(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, closing_at_the_other);
    uint8_t buf[64];
    struct pb b = pb_of(buf, sizeof(buf));
    struct ike_sa *sa = p->s[0].ike->sas;
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_AUTHENTICATION_FAILED, slice_of(NULL, 0));
    send_once(sa, EX_INFORMATIONAL, &b);
    sa_destroy(sa);
    pair_wait(p, 5000);
    pair_assert_one(p);
    pair_free(p);
}

static void test_close_action_backs_off_from_a_peer_that_closes_at_once(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, closing);
    unsigned ups = 0;
    for (int s = 0; s < 80; s++) {
        if (pair_live(&p->s[1])) {
            pair_terminate(p, 1, "c", false);
            ups++;
            pair_forget_deleted(&p->s[0]);
            pair_forget_deleted(&p->s[1]);
        }
        pair_wait(p, 1000);
        assert_true(p->s[0].ike->sa_count <= 2);
    }
    assert_in_range(ups, 3, 9);
    pair_wait(p, 2 * MINUTE);
    pair_assert_one(p);
    pair_free(p);
}

static void narrower(struct conn_config *c, int side)
{
    if (side == 0)
        c->children[0].remote_ts->t[0].hi[2] = 0; // 10.2.0.0 - 10.2.0.255
}

// An SA from before an edit is not what the edited child asks for; when that one is up the other goes.
static void test_edited_child_is_initiated_anew_and_the_old_sa_goes(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    struct conn_config c;
    pair_default_conn(&c, 0);
    c.unique = UNIQUE_NO;
    narrower(&c, 0);
    pair_load(p, 0, &c);
    assert_int_equal(pair_live(&p->s[0]), 1); // until there is another it stays
    uint32_t old = pair_sa(&p->s[0], 0)->child.policy_id;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_wait(p, 20000);
    pair_assert_one(p);
    assert_int_not_equal(pair_sa(&p->s[0], 0)->child.policy_id, old);
    pair_free(p);
}

static void close_trap(struct conn_config *c, int side)
{
    if (side == 0) {
        c->children[0].close_action = ACTION_TRAP;
        c->children[0].dpd_action = DPD_TRAP;
        c->dpd_delay = 10;
    }
}

static void test_close_action_and_dpd_action_trap_wait_for_traffic(void **state)
{
    (void)state;
    for (int dead = 0; dead < 2; dead++) {
        struct pair *p = pair_established(UNIQUE_NO, close_trap);
        assert_false(p->s[0].policy[0].trap);
        uint32_t id = p->s[0].policy[0].id;
        if (dead) {
            p->filter = pair_lose_all;
            pair_wait(p, 4 * MINUTE);
            p->filter = NULL;
        } else {
            pair_terminate(p, 1, NULL, false);
            pair_wait(p, 1000);
        }
        assert_int_equal(pair_live(&p->s[0]), 0);
        assert_true(p->s[0].policy[0].trap);
        assert_int_equal(p->s[0].policy[0].id, id);
        acquire(p);
        assert_int_equal(pair_live(&p->s[0]), 1);
        pair_free(p);
    }
}

static void both_at_start(struct conn_config *c, int side)
{
    if (side == 0)
        c->children[0].start_action = ACTION_TRAP_START;
}

// It comes up when it is loaded, and once the operator has ended it, by the next packet.
static void test_start_action_trap_and_start_has_both(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, both_at_start);
    pair_wait(p, 1000);
    pair_assert_one(p);
    assert_true(p->s[0].policy[0].trap);
    pair_terminate(p, 0, NULL, false);
    pair_wait(p, MINUTE);
    assert_int_equal(pair_live(&p->s[0]), 0);
    acquire(p);
    pair_assert_one(p);
    pair_free(p);
}

// --- silence ---

static void test_dpd_action_restart_goes_on_for_ever(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, restarting); // keyingtries = 1
    p->filter = pair_lose_all;
    pair_wait(p, HOUR);
    unsigned before = p->sent;
    pair_wait(p, 10 * MINUTE);
    assert_true(p->sent > before); // still at it
    p->filter = NULL;
    pair_wait(p, 5 * MINUTE);
    pair_assert_one(p);
    pair_free(p);
}

static void test_keyingtries_counts_a_lost_ike_auth_too(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    p->filter = lose_auth;
    for (int i = 1; i >= 0; i--) {
        pair_psk(p, i, "secret", NULL, NULL);
        pair_default_conn(&c, i);
        started_for_ever(&c, i);
        pair_load(p, i, &c);
    }
    pair_wait(p, HOUR);
    p->filter = NULL;
    pair_wait(p, 5 * MINUTE);
    pair_assert_one(p);
    pair_free(p);
}

// --- refusal ---

static void test_start_action_is_tried_again_after_refusals_for_ever_where_asked(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (int i = 0; i < 2; i++)
        pair_psk(p, i, "secret", NULL, NULL);
    pair_default_conn(&c, 0);
    started_for_ever(&c, 0);
    pair_load(p, 0, &c); // nothing is loaded at the peer: NO_PROPOSAL_CHOSEN
    pair_wait(p, HOUR);
    assert_in_range(p->sent, 2 * 60, 2 * 140); // once a minute at most, half a minute at least
    pair_default_conn(&c, 1);
    pair_load(p, 1, &c);
    pair_wait(p, 2 * MINUTE);
    pair_assert_one(p);
    pair_free(p);
}

static void test_start_action_without_more_tries_stays_away(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_psk(p, 0, "secret", NULL, NULL);
    pair_default_conn(&c, 0);
    started(&c, 0); // keyingtries = 1
    pair_load(p, 0, &c);
    pair_wait(p, HOUR);
    assert_int_equal(p->sent, 2);
    pair_free(p);
}

static uint64_t route_at; // before, there is none
static bool (*with_route)(void *ctx, const struct addr *remote, struct addr *local);

static bool route_comes(void *ctx, const struct addr *remote, struct addr *local)
{
    const struct side *s = ctx;
    return loop_now(s->ike->loop) >= route_at && with_route(ctx, remote, local);
}

static void retry_each_half_minute(struct settings *s)
{
    s->retry_initiate_interval = 30;
}

// Where keyingtries ends it, an initiation that cannot even begin is tried again at that pace.
static void test_retry_initiate_interval_waits_for_a_route(void **state)
{
    (void)state;
    for (int set = 0; set < 2; set++) {
        struct pair *p = pair_new(set ? retry_each_half_minute : NULL);
        struct conn_config c;
        for (int i = 1; i >= 0; i--) {
            pair_psk(p, i, "secret", NULL, NULL);
            pair_default_conn(&c, i);
            started(&c, i); // keyingtries = 1
            c.local_count = i ? c.local_count : 0;
            with_route = p->s[i].ike->net.source_for;
            p->s[i].ike->net.source_for = route_comes;
            route_at = loop_now(p->s[i].ike->loop) + (i ? 0 : 75000);
            pair_load(p, i, &c);
        }
        pair_wait(p, 80000);
        assert_int_equal(pair_live(&p->s[0]), 0);
        pair_wait(p, set ? 20000 : HOUR);
        if (set)
            pair_assert_one(p);
        else
            assert_int_equal(pair_live(&p->s[0]), 0);
        pair_free(p);
    }
}

static void trapped(struct conn_config *c, int side)
{
    c->children[0].start_action = side ? ACTION_NONE : ACTION_TRAP;
}

// An operator has ended it: the next packet has it at once. A peer that takes it and closes it at once is
// asked no more than once a second, however many packets ask; the one that waits has it then.
static void test_trap_comes_back_at_once_but_from_a_peer_that_closes_it_each_time(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, trapped);
    acquire(p);
    pair_assert_one(p);
    pair_terminate(p, 0, NULL, false);
    assert_int_equal(pair_live(&p->s[0]), 0);
    acquire(p);
    pair_assert_one(p);
    for (int i = 0; i < 3; i++) {
        pair_terminate(p, 1, NULL, false);
        assert_int_equal(pair_live(&p->s[0]), 0);
        for (int k = 0; k < 10; k++)
            acquire(p);
        assert_int_equal(pair_live(&p->s[0]), 0);
        pair_wait(p, 1000);
        pair_assert_one(p);
    }
    pair_free(p);
}

// Packets keep coming: one attempt, then a pause that grows; once an IKE SA per packet.
static void test_trap_backs_off_from_a_peer_that_refuses(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, trapped);
    p->s[1].refuse_install = true;
    for (int s = 0; s < 120; s++) {
        acquire(p);
        pair_wait(p, 999);
        assert_true(p->s[0].ike->sa_count <= 1);
    }
    assert_in_range(p->s[0].ike->counters[CNT_ike_init_out_req], 5, 9);
    p->s[1].refuse_install = false;
    for (int s = 0; s < 61; s++) {
        acquire(p);
        pair_wait(p, 999);
    }
    pair_assert_one(p);
    pair_free(p);
}

static void test_childless_sas_are_ended(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    p->s[1].refuse_install = true;
    for (int i = 0; i < 5; i++) {
        pair_initiate(p, 0, "c");
        pair_wait(p, 5000);
    }
    assert_none(p);
    p->s[1].refuse_install = false;
    pair_initiate(p, 0, "c");
    pair_terminate(p, 0, "c", false); // the operator's last CHILD SA takes its IKE SA along
    pair_wait(p, 5000);
    assert_none(p);
    pair_free(p);
}

// --- the operator ---

static void test_operator_ends_what_is_tried_again(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, started_for_ever);
    pair_wait(p, 1000);
    pair_assert_one(p);
    p->filter = pair_lose_all;
    event(p, 0, CHILD_EVENT_HARD_LIMIT);
    pair_wait(p, MINUTE);
    pair_terminate(p, 0, NULL, true);
    p->filter = NULL;
    pair_wait(p, HOUR);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    pair_free(p);
}

// A window of one does not let it wait: its number is the next one's, which the peer takes behind what it
// has.
static void test_forced_end_is_told_to_the_peer_though_a_request_is_under_way(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0);
    pair_terminate(p, 0, NULL, true);
    pair_run(p);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    assert_int_equal(p->s[1].ike->sa_count, 0);
    pair_free(p);
}

static void test_terminate_that_timed_out_can_be_forced(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    struct msg_TERMINATE m = {.req = 50, .conn = "t", .timeout_ms = 1000};
    p->filter = pair_lose_all;
    ipc_send(p->s[0].ctl_ike, MSG_TERMINATE, &m);
    pair_wait(p, 1500);
    pair_result(p, 0, 50, false);
    m = (struct msg_TERMINATE){.req = 51, .conn = "t", .force = 1};
    ipc_send(p->s[0].ctl_ike, MSG_TERMINATE, &m);
    pair_run(p);
    pair_result(p, 0, 51, true);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    pair_free(p);
    p = pair_established(UNIQUE_NO, NULL); // and a CHILD SA's
    p->filter = pair_lose_all;
    m = (struct msg_TERMINATE){.req = 60, .child = "c", .timeout_ms = 1000};
    ipc_send(p->s[0].ctl_ike, MSG_TERMINATE, &m);
    pair_wait(p, 1500);
    pair_result(p, 0, 60, false);
    m = (struct msg_TERMINATE){.req = 61, .child = "c", .force = 1};
    ipc_send(p->s[0].ctl_ike, MSG_TERMINATE, &m);
    pair_run(p);
    pair_result(p, 0, 61, true);
    assert_int_equal(pair_live(&p->s[0]), 0);
    pair_free(p);
}

static void first_probes(struct conn_config *c, int side)
{
    c->dpd_delay = side ? 0 : 10;
}

// The forced end of what is still being installed, or of a CHILD SA while another exchange is under way.
static void test_forced_end_tells_the_peer_though_a_task_is_at_work(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    p->s[0].hold_install = true;
    pair_initiate(p, 0, "c");
    pair_run(p);
    assert_int_equal(pair_live(&p->s[1]), 1);
    pair_terminate(p, 0, NULL, true);
    pair_run(p);
    assert_int_equal(p->s[1].ike->sa_count, 0);
    pair_free(p);
    p = pair_established(UNIQUE_NO, first_probes);
    p->filter = pair_lose_all;
    pair_wait(p, 12 * 1000);
    pair_terminate(p, 0, "c", true);
    pair_run(p);
    assert_int_equal(pair_live(&p->s[0]), 0);
    assert_int_equal(pair_live(&p->s[1]), 1);
    p->filter = NULL;
    pair_wait(p, 2900); // the probe is sent again and answered; the childless IKE SA has not gone yet
    assert_int_equal(pair_live(&p->s[1]), 0);
    pair_free(p);
}

// What side 1 answers to IKE_AUTH is lost.
static int lose_its_auth(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->to == 0 && d->data[18] == EX_AUTH ? 0 : 1;
}

static void test_end_of_an_sa_whose_ike_auth_is_under_way_tells_the_peer(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    p->filter = lose_its_auth;
    pair_initiate(p, 0, "c");
    pair_run(p);
    assert_int_equal(pair_live(&p->s[1]), 1);
    pair_terminate(p, 0, NULL, false);
    pair_run(p);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    assert_int_equal(p->s[1].ike->sa_count, 0);
    assert_int_equal(pair_live(&p->s[1]), 0);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_is_followed_by_another_sa_at_either_end),
        cmocka_unit_test(test_limit_at_both_ends_leaves_one_sa),
        cmocka_unit_test(test_soft_limit_makes_before_it_breaks),
        cmocka_unit_test(test_edited_child_is_initiated_anew_and_the_old_sa_goes),
        cmocka_unit_test(test_close_action_brings_one_back),
        cmocka_unit_test(test_close_action_brings_back_what_an_initiator_has_refused),
        cmocka_unit_test(test_close_action_backs_off_from_a_peer_that_closes_at_once),
        cmocka_unit_test(test_close_action_and_dpd_action_trap_wait_for_traffic),
        cmocka_unit_test(test_start_action_trap_and_start_has_both),
        cmocka_unit_test(test_trap_comes_back_at_once_but_from_a_peer_that_closes_it_each_time),
        cmocka_unit_test(test_dpd_action_restart_goes_on_for_ever),
        cmocka_unit_test(test_keyingtries_counts_a_lost_ike_auth_too),
        cmocka_unit_test(test_start_action_is_tried_again_after_refusals_for_ever_where_asked),
        cmocka_unit_test(test_start_action_without_more_tries_stays_away),
        cmocka_unit_test(test_retry_initiate_interval_waits_for_a_route),
        cmocka_unit_test(test_trap_backs_off_from_a_peer_that_refuses),
        cmocka_unit_test(test_childless_sas_are_ended),
        cmocka_unit_test(test_operator_ends_what_is_tried_again),
        cmocka_unit_test(test_forced_end_is_told_to_the_peer_though_a_request_is_under_way),
        cmocka_unit_test(test_terminate_that_timed_out_can_be_forced),
        cmocka_unit_test(test_forced_end_tells_the_peer_though_a_task_is_at_work),
        cmocka_unit_test(test_end_of_an_sa_whose_ike_auth_is_under_way_tells_the_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
