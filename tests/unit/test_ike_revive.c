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

enum { MINUTE = 60000, HOUR = 60 * MINUTE };

static void assert_both(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(p->s[i].ike->sa_count, 1);
        assert_int_equal(pair_live(&p->s[i]), 2);
    }
    assert_true(pair_agree(p));
}

static void assert_none(struct pair *p)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(p->s[i].ike->sa_count + pair_live(&p->s[i]), 0);
}

static void event(struct pair *p, int side, uint8_t event)
{
    struct msg_CHILD_EVENT m = {.child_id = p->s[side].ike->sas->children->id, .event = event};
    ipc_send(p->s[side].path_ike, MSG_CHILD_EVENT, &m);
    pair_run(p);
}

static void started(struct conn_config *c, int side)
{
    c->children[0].start_action = side ? ACTION_NONE : ACTION_START;
}

static void started_for_ever(struct conn_config *c, int side)
{
    started(c, side);
    c->keyingtries = 0;
}

static void closing(struct conn_config *c, int side)
{
    c->children[0].close_action = side ? ACTION_NONE : ACTION_START;
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

static void acquire(struct pair *p)
{
    ipc_send(p->s[0].path_ike, MSG_ACQUIRE, &(struct msg_ACQUIRE){.conn = "t", .child = "c"});
    pair_run(p);
    pair_wait(p, 1);
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

static int lose_auth(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->data[18] != EX_AUTH;
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

// --- both ends ---

static void both_start(struct conn_config *c, int side)
{
    (void)side;
    c->children[0].start_action = ACTION_START;
    c->children[0].dpd_action = DPD_START;
    c->dpd_delay = 10;
    c->unique = UNIQUE_REPLACE;
}

static void load_both(struct pair *p, enum unique_mode unique)
{
    struct conn_config c;
    p->filter = pair_lose_all;
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, i);
        both_start(&c, i);
        c.unique = (uint8_t)unique;
        pair_load(p, i, &c);
    }
    p->filter = NULL;
}

static void test_ends_that_initiate_at_once_come_to_one_sa(void **state)
{
    static const enum unique_mode modes[] = {UNIQUE_NO, UNIQUE_REPLACE, UNIQUE_KEEP};
    (void)state;
    for (int round = 0; round < 18; round++) {
        struct pair *p = pair_loaded(UNIQUE_NO, NULL);
        load_both(p, modes[round % 3]); // both ask again, in the same millisecond
        pair_wait(p, 5 * MINUTE);
        pair_assert_one(p);
        p->filter = pair_lose_all; // both lose each other, both come back
        pair_wait(p, 10 * MINUTE);
        p->filter = NULL;
        pair_wait(p, 10 * MINUTE);
        pair_assert_one(p);
        pair_free(p);
    }
}

// Who asked for it has two, which both ends have.
static void test_ends_that_initiate_at_once_keep_both_where_unique_is_never(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    load_both(p, UNIQUE_NEVER);
    for (int i = 0; i < 3; i++) {
        pair_wait(p, 5 * MINUTE);
        assert_int_equal(p->s[0].ike->sa_count, 2);
        assert_int_equal(p->s[1].ike->sa_count, 2);
        assert_int_equal(pair_live(&p->s[0]), 2);
        assert_true(pair_agree(p));
    }
    pair_free(p);
}

static void nameless(struct conn_config *c, int side)
{
    if (side == 0)
        c->remote.id = "*.test";
}

static void test_initial_contact_is_not_said_beside_an_sa_with_that_host(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, nameless);
    struct conn_config c;
    pair_default_conn(&c, 0); // a second connection to the same peer, whose name is not known beforehand
    c.unique = UNIQUE_NO;
    c.name = "u";
    c.children[0].name = "d";
    c.remote.id = "";
    pair_load(p, 0, &c);
    pair_initiate(p, 0, "d");
    pair_wait(p, 10000);
    assert_int_equal(p->s[0].ike->sa_count, 2); // INITIAL_CONTACT would have ended the first
    assert_int_equal(p->s[1].ike->sa_count, 2);
    pair_free(p);
}

// The old IKE SA goes while the new one is made, so nothing has to be done; when that comes to nothing, it
// has.
static void test_what_was_lost_while_another_one_was_made_is_wanted_when_that_fails(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, closing);
    struct ike *ike = p->s[0].ike;
    revive_reauthenticate(ike->sas);
    p->filter = pair_lose_all;
    pair_wait(p, 100);
    assert_int_equal(ike->sa_count, 2);
    p->filter = NULL;
    pair_terminate(p, 1, NULL, false);
    pair_wait(p, 100);
    assert_int_equal(ike->sa_count, 1);
    assert_int_equal(ike->sas->state, SA_CONNECTING);
    sa_destroy(ike->sas);
    pair_wait(p, 30000);
    pair_assert_one(p);
    pair_free(p);
}

static int keep_back(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)number, (void)d;
    return -1;
}

// Whoever waits for a further CHILD SA gets it, on an IKE SA of its own.
static void test_initiation_that_crosses_the_delete_of_its_ike_sa_begins_anew(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, pair_two_children);
    p->filter = keep_back;
    pair_terminate(p, 1, NULL, false);
    uint32_t req = pair_initiate(p, 0, "d");
    p->filter = NULL;
    pair_wait(p, 1000);
    pair_result(p, 0, req, true);
    pair_wait(p, 10000);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_int_equal(pair_live(&p->s[0]), 1);
    assert_string_equal(pair_sa(&p->s[0], 0)->child.name, "d");
    assert_true(pair_agree(p));
    pair_free(p);
}

static void test_delete_of_a_child_that_is_being_installed_counts(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    p->s[0].hold_install = true; // our path takes its time
    pair_initiate(p, 0, "c");
    pair_terminate(p, 1, "c", false); // the peer has it already, and thinks better of it
    pair_release(&p->s[0]);
    pair_wait(p, 10000);
    assert_none(p);
    pair_free(p);
}

static void starts_one_of_two(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->children[0].start_action = side ? ACTION_NONE : ACTION_START;
}

// The peer has forgotten everything, and begins anew with the other child.
static void begins_anew_with_the_other(struct pair *p)
{
    sa_destroy(sa_of_conn(p->s[1].ike, "t", NULL));
    pair_run(p);
    assert_int_equal(p->s[1].ike->sa_count, 0);
    pair_result(p, 1, pair_initiate(p, 1, "d"), true);
    assert_int_equal(p->s[0].ike->sa_count, 1);
}

// INITIAL_CONTACT ends the IKE SA before it: what is to be up from the start comes up on the new one.
static void test_what_a_replaced_ike_sa_had_comes_up_on_its_successor(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, starts_one_of_two);
    pair_wait(p, 1000);
    begins_anew_with_the_other(p);
    pair_wait(p, 5000);
    assert_both(p);
    pair_free(p);
}

// --- one of two that both ends began at once, each for another child ---

enum { ROUNDS = 12 };

// The path of side 0 has what the peer made already.
static int own_takes_its_time(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    if (d->to == 0 && d->data[18] == EX_AUTH && (d->data[19] & 0x20) && p->s[0].sa_count == 1)
        p->s[0].hold_install = true;
    return 1;
}

static int auth_of_b_comes_later(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)number;
    return d->to == 0 && d->data[18] == EX_AUTH && !(d->data[19] & 0x20) ? -1 : 1;
}

// Both ends initiate; by n, both at once, or one is up before the other one is heard of, or has proven
// itself; and one path takes its time, or not.
static void cross(struct pair *p, int n, uint32_t req[2])
{
    p->filter = n == 3 ? auth_of_b_comes_later : keep_back;
    req[1] = pair_initiate(p, 1, "d");
    p->filter = n < 2 ? keep_back : NULL;
    req[0] = pair_initiate(p, 0, "c");
    p->filter = n == 1 ? own_takes_its_time : NULL;
    pair_wait(p, 1); // what was kept back arrives
    pair_wait(p, 500);
    if (p->s[0].held_len)
        pair_release(&p->s[0]);
    p->filter = NULL;
}

// Who hears that it is there has it on an IKE SA that is not being deleted.
static void result_is_true(struct side *s, enum msg_type t, const union msg *m)
{
    bool there = false;
    if (t != MSG_RESULT)
        return;
    assert_true(m->RESULT.ok);
    for (struct ike_sa *sa = s->ike->sas; sa; sa = sa->next)
        for (struct child_sa *c = sa->children; c; c = c->next)
            there = there || (sa->state == SA_ESTABLISHED && child_is_up(c) &&
                              strcmp(c->cfg->name, s->index ? "d" : "c") == 0);
    assert_true(there);
}

// Whichever goes, what was to come up on it comes up on the other one: what is to be up from the start, and
// what an operator asked for, who hears of it when it is there.
static void test_children_of_two_that_crossed_come_up_on_the_one_that_stays(void **state)
{
    (void)state;
    for (int n = 0; n < 4 * ROUNDS; n++) {
        struct pair *p = pair_loaded(n & 1 ? UNIQUE_REPLACE : UNIQUE_NO, pair_two_children);
        unsigned before = p->s[0].results;
        uint32_t req[2];
        p->s[0].on_ctl = p->s[1].on_ctl = result_is_true;
        cross(p, n / ROUNDS, req);
        pair_wait(p, 20000);
        assert_both(p);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(p->s[i].results, before + 1);
            pair_result(p, i, req[i], true);
        }
        pair_free(p);
    }
}

static void test_started_child_whose_ike_sa_crossed_another_one_comes_up_on_that(void **state)
{
    (void)state;
    for (int n = 0; n < ROUNDS; n++) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, pair_two_children);
        struct conn_config c;
        p->filter = keep_back;
        pair_default_conn(&c, 0);
        starts_one_of_two(&c, 0);
        pair_load(p, 0, &c);
        pair_wait(p, 1);
        assert_int_equal(p->s[0].ike->sa_count, 1);
        pair_initiate(p, 1, "d");
        p->filter = NULL;
        pair_wait(p, 20000);
        assert_both(p);
        pair_free(p);
    }
}

static void both_start_of_two(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->children[0].start_action = c->children[1].start_action = side ? ACTION_NONE : ACTION_START;
}

static int second_is_refused(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    if (d->to == 1 && d->data[18] == EX_CREATE_CHILD && p->s[0].ike->sa_count == 2)
        p->s[1].refuse_next = true;
    return 1;
}

// Reauthentication ends the old IKE SA although the peer refused one of its children on the new one.
static void test_started_child_that_the_successor_did_not_get_comes_up_later(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, both_start_of_two);
    pair_wait(p, 5000);
    assert_both(p);
    p->filter = second_is_refused;
    revive_reauthenticate(p->s[0].ike->sas);
    pair_wait(p, 800);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_int_equal(pair_live(&p->s[0]), 1);
    p->filter = NULL;
    pair_wait(p, 5000);
    assert_both(p);
    pair_free(p);
}

static void a_replaces_and_starts_one(struct conn_config *c, int side)
{
    starts_one_of_two(c, side);
    c->unique = side ? UNIQUE_NEVER : UNIQUE_REPLACE;
}

// It would have ended in seconds, and what it had would have come up then.
static void test_started_child_of_one_that_goes_and_is_deleted_by_the_peer_comes_up(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, a_replaces_and_starts_one);
    pair_wait(p, 5000);
    pair_assert_one(p);
    struct conn *c = p->s[1].ike->sas->conn;
    assert_int_equal(initiate_anew(p->s[1].ike, c, &c->cfg.children[1], NULL), 0);
    pair_wait(p, 100);
    assert_int_equal(p->s[0].ike->sa_count, 2);
    sa_delete(sa_by_id(p->s[1].ike, 1));
    pair_wait(p, 100);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    pair_wait(p, 5000);
    assert_both(p);
    pair_free(p);
}

// The peer makes it already when it is loaded as one that starts, and that comes to nothing.
static void test_started_child_that_the_peer_was_making_comes_up_when_that_fails(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    struct conn_config c;
    p->s[0].hold_install = true;
    pair_initiate(p, 1, "c");
    assert_true(p->s[0].held_len);
    pair_default_conn(&c, 0);
    c.unique = UNIQUE_NO;
    started(&c, 0);
    pair_load(p, 0, &c);
    pair_wait(p, 500);
    p->s[0].refuse_next = true;
    pair_release(&p->s[0]);
    assert_int_equal(pair_live(&p->s[0]), 0);
    pair_wait(p, 5000);
    pair_assert_one(p);
    pair_free(p);
}

// Until its turn has come by itself it waits a moment, but not for longer than until somebody has something
// to say.
static void test_packet_brings_up_at_once_what_a_replaced_ike_sa_had(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, starts_one_of_two);
    pair_wait(p, 1000);
    begins_anew_with_the_other(p);
    acquire(p);
    pair_wait(p, 10);
    assert_both(p);
    pair_free(p);
}

static void test_child_that_cannot_be_rekeyed_is_replaced_although_it_is_looked_at_again(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, started);
    pair_wait(p, 1000);
    pair_assert_one(p);
    struct ike_sa *sa = p->s[0].ike->sas;
    uint32_t id = sa->id;
    sa->ike->events->sa_replaced(sa);
    revive_replace(sa->children, 0);
    pair_wait(p, 5000);
    pair_assert_one(p);
    assert_int_not_equal(p->s[0].ike->sas->id, id);
    pair_free(p);
}

static void closing_of_two(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    closing(c, side);
}

static void test_what_was_brought_back_and_is_replaced_soon_is_brought_back_again(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, closing_of_two);
    pair_terminate(p, 1, "c", false);
    pair_wait(p, 2000);
    pair_assert_one(p);
    begins_anew_with_the_other(p);
    pair_wait(p, 5000);
    assert_both(p);
    pair_free(p);
}

// An operator had ended it, and asks for it again on the one that is replaced.
static void test_started_child_that_was_asked_for_on_a_replaced_ike_sa_comes_up(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, starts_one_of_two);
    pair_wait(p, 1000);
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    pair_terminate(p, 0, "c", false);
    pair_wait(p, 5000);
    pair_assert_one(p);
    p->filter = pair_lose_all;
    exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0); // behind which it waits
    pair_initiate(p, 0, "c");
    p->filter = NULL;
    begins_anew_with_the_other(p);
    pair_wait(p, 5000);
    assert_both(p);
    pair_free(p);
}

// Nobody is told that it was replaced: there it was only waiting for its turn.
static void test_child_that_was_asked_for_on_a_replaced_ike_sa_comes_up_on_its_successor(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, pair_two_children);
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    pair_wait(p, 1000);
    p->filter = pair_lose_all;
    exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0); // behind which it waits
    uint32_t req = pair_initiate(p, 0, "c");
    p->filter = NULL;
    begins_anew_with_the_other(p);
    pair_wait(p, 5000);
    pair_result(p, 0, req, true);
    assert_both(p);
    pair_free(p);
}

// Both begin the same one at once, and one end asks for a further one before either is up.
static void test_child_that_waits_on_one_of_two_that_crossed_comes_up_on_the_one_that_stays(void **state)
{
    (void)state;
    for (int n = 0; n < 2 * ROUNDS; n++) {
        struct pair *p = pair_loaded(n & 1 ? UNIQUE_REPLACE : UNIQUE_NO, pair_two_children);
        unsigned before = p->s[0].results;
        p->filter = keep_back;
        pair_initiate(p, 1, "c");
        pair_initiate(p, 0, "c");
        uint32_t req = pair_initiate(p, 0, "d");
        p->filter = NULL;
        pair_wait(p, 20000);
        assert_int_equal(p->s[0].results, before + 2);
        pair_result(p, 0, req, true);
        assert_both(p);
        pair_free(p);
    }
}

// It goes on by what it has, and so does whatever else is asked for.
static void test_ike_sa_whose_reauthentication_failed_takes_further_children(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, pair_two_children);
    p->filter = lose_auth;
    revive_reauthenticate(p->s[0].ike->sas);
    pair_wait(p, 10 * MINUTE);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    p->filter = NULL;
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    pair_wait(p, MINUTE);
    assert_both(p);
    pair_free(p);
}

static void test_started_child_whose_ike_sa_is_replaced_as_it_is_to_reauthenticate_comes_up(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, started);
    pair_wait(p, 1000);
    pair_assert_one(p);
    struct ike_sa *sa = p->s[0].ike->sas;
    revive_reauthenticate(sa);
    sa->ike->events->sa_replaced(sa);
    sa_destroy(sa);
    pair_wait(p, 5000);
    pair_assert_one(p);
    pair_free(p);
}

static void closing_of_first(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->children[0].close_action = side ? ACTION_NONE : ACTION_START;
}

// By one peer's names and for other children: what one had come back by itself is not brought back against
// the other one, whose IKE SA is in its place.
static void test_two_connections_with_one_peers_names_do_not_end_one_another(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, closing_of_first);
    struct conn_config c;
    pair_default_conn(&c, 0);
    pair_two_children(&c, 0);
    c.name = "u";
    c.children[0] = c.children[1];
    c.children[0].name = "other";
    c.child_count = 1;
    pair_load(p, 0, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_terminate(p, 1, "c", false);
    pair_wait(p, 5000);
    pair_assert_one(p); // it came back
    pair_result(p, 0, pair_initiate(p, 0, "other"), true);
    pair_wait(p, 5 * MINUTE);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_string_equal(p->s[0].ike->sas->conn->cfg.name, "u");
    assert_int_equal(p->s[0].sa_count, 3);
    pair_free(p);
}

static struct ike_sa *established(struct side *s)
{
    struct ike_sa *sa = s->ike->sas;
    while (sa && (sa->state != SA_ESTABLISHED || sa->retired))
        sa = sa->next;
    assert_non_null(sa);
    return sa;
}

// What came back from its hard limit is one like any other: replaced soon after, and closed by the peer, it
// goes.
static void test_one_that_came_back_from_its_limit_and_is_replaced_goes_when_the_peer_closes_it(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    event(p, 0, CHILD_EVENT_HARD_LIMIT);
    pair_wait(p, 15000);
    pair_forget_deleted(&p->s[0]);
    pair_forget_deleted(&p->s[1]);
    assert_int_equal(pair_live(&p->s[0]), 1);
    revive_reauthenticate(established(&p->s[1]));
    pair_wait(p, 15000);
    assert_int_equal(pair_live(&p->s[0]), 1);
    pair_terminate(p, 1, NULL, false);
    pair_wait(p, 3 * MINUTE);
    assert_int_equal(pair_live(&p->s[0]), 0);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    pair_free(p);
}

static void trapped_at_both(struct conn_config *c, int side)
{
    (void)side;
    c->children[0].start_action = ACTION_TRAP;
}

// Packets do not hurry the end that is to let the other one go first.
static void test_limit_at_both_ends_under_traffic_leaves_one_child_sa(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, trapped_at_both);
    struct msg_CHILD_EVENT m = {.event = CHILD_EVENT_HARD_LIMIT};
    for (int i = 0; i < 2; i++) {
        m.child_id = p->s[i].ike->sas->children->id;
        ipc_send(p->s[i].path_ike, MSG_CHILD_EVENT, &m);
    }
    for (int ms = 0; ms < 20; ms++) {
        for (int i = 0; i < 2; i++)
            ipc_send(p->s[i].path_ike, MSG_ACQUIRE, &(struct msg_ACQUIRE){.conn = "t", .child = "c"});
        pair_wait(p, 1);
    }
    pair_wait(p, MINUTE);
    pair_forget_deleted(&p->s[0]);
    pair_forget_deleted(&p->s[1]);
    pair_assert_one(p);
    pair_free(p);
}

// The other end does it in turn, and looks at what it has when the old one goes: that is no reason not to.
static void test_reauthentication_in_turn_happens_each_time(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    for (int i = 0; i < 8; i++) {
        uint64_t spi = established(&p->s[0])->spi_i;
        revive_reauthenticate(established(&p->s[i % 2]));
        pair_wait(p, 700);
        assert_true(established(&p->s[0])->spi_i != spi);
        assert_true(established(&p->s[1])->spi_i == established(&p->s[0])->spi_i);
        pair_forget_deleted(&p->s[0]);
        pair_forget_deleted(&p->s[1]);
    }
    pair_wait(p, MINUTE);
    pair_assert_one(p);
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
        cmocka_unit_test(test_reauthentication_in_turn_happens_each_time),
        cmocka_unit_test(test_two_connections_with_one_peers_names_do_not_end_one_another),
        cmocka_unit_test(test_one_that_came_back_from_its_limit_and_is_replaced_goes_when_the_peer_closes_it),
        cmocka_unit_test(test_limit_at_both_ends_under_traffic_leaves_one_child_sa),
        cmocka_unit_test(test_dpd_action_restart_goes_on_for_ever),
        cmocka_unit_test(test_what_a_replaced_ike_sa_had_comes_up_on_its_successor),
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
        cmocka_unit_test(test_ends_that_initiate_at_once_come_to_one_sa),
        cmocka_unit_test(test_ends_that_initiate_at_once_keep_both_where_unique_is_never),
        cmocka_unit_test(test_initial_contact_is_not_said_beside_an_sa_with_that_host),
        cmocka_unit_test(test_what_was_lost_while_another_one_was_made_is_wanted_when_that_fails),
        cmocka_unit_test(test_initiation_that_crosses_the_delete_of_its_ike_sa_begins_anew),
        cmocka_unit_test(test_delete_of_a_child_that_is_being_installed_counts),
        cmocka_unit_test(test_children_of_two_that_crossed_come_up_on_the_one_that_stays),
        cmocka_unit_test(test_started_child_whose_ike_sa_crossed_another_one_comes_up_on_that),
        cmocka_unit_test(test_started_child_that_the_successor_did_not_get_comes_up_later),
        cmocka_unit_test(test_child_that_was_asked_for_on_a_replaced_ike_sa_comes_up_on_its_successor),
        cmocka_unit_test(test_child_that_waits_on_one_of_two_that_crossed_comes_up_on_the_one_that_stays),
        cmocka_unit_test(test_ike_sa_whose_reauthentication_failed_takes_further_children),
        cmocka_unit_test(test_started_child_whose_ike_sa_is_replaced_as_it_is_to_reauthenticate_comes_up),
        cmocka_unit_test(test_packet_brings_up_at_once_what_a_replaced_ike_sa_had),
        cmocka_unit_test(test_child_that_cannot_be_rekeyed_is_replaced_although_it_is_looked_at_again),
        cmocka_unit_test(test_what_was_brought_back_and_is_replaced_soon_is_brought_back_again),
        cmocka_unit_test(test_started_child_that_was_asked_for_on_a_replaced_ike_sa_comes_up),
        cmocka_unit_test(test_started_child_of_one_that_goes_and_is_deleted_by_the_peer_comes_up),
        cmocka_unit_test(test_started_child_that_the_peer_was_making_comes_up_when_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
