// SPDX-License-Identifier: Apache-2.0
// What brings tunnels back where one IKE SA gives way to another: both ends began at once, the peer began
// anew, one reauthenticates; whatever was to be up on the one comes up on the other.
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

static void reauthenticating(struct conn_config *c, int side)
{
    c->reauth_time = side ? 0 : 300;
    c->over_time = 600;
    c->rand_time = 0;
}

static void no_secret(struct pair *p)
{
    ipc_send(p->s[1].ctl_keys, MSG_SECRETS_CLEAR, &(struct msg_SECRETS_CLEAR){.req = 77});
    pair_run(p);
    pair_result(p, 1, 77, true);
}

// What the peer is not ready for when it is due is tried again before the hard limit, less and less often.
// Beside it a try may be under way, or what is left of one.
static void assert_one_at_rest(struct pair *p)
{
    for (unsigned n = 0; n < 100 && p->s[0].ike->sa_count + p->s[1].ike->sa_count > 2; n++)
        pair_wait(p, 500);
    pair_assert_one(p);
}

static void test_reauthentication_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, reauthenticating);
    uint32_t old = p->s[0].ike->sas->id;
    no_secret(p);
    pair_wait(p, 5 * MINUTE - 1000);
    assert_int_equal(p->s[0].ike->next_id, old);
    pair_wait(p, 2 * MINUTE);
    unsigned tries = p->s[0].ike->next_id - old;
    assert_true(tries >= 4 && tries <= 10); // at once, and 2, 4, 8 ... s later, or half of that
    assert_one_at_rest(p);
    assert_int_equal(p->s[0].ike->sas->id, old);
    pair_psk(p, 1, "secret", NULL, NULL);
    pair_wait(p, MINUTE + 1000);
    assert_one_at_rest(p);
    assert_int_not_equal(p->s[0].ike->sas->id, old);
    pair_free(p);
}

static void test_reauthentication_that_goes_on_failing_ends_at_the_hard_limit(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, reauthenticating);
    uint32_t old = p->s[0].ike->sas->id;
    no_secret(p);
    pair_wait(p, 15 * MINUTE - 1000);
    assert_int_equal(sa_by_id(p->s[0].ike, old)->state, SA_ESTABLISHED);
    assert_int_equal(pair_live(&p->s[0]), 1);
    pair_wait(p, 2000);
    for (const struct ike_sa *sa = p->s[0].ike->sas; sa; sa = sa->next)
        assert_int_not_equal(sa->id, old);
    pair_free(p);
}

static struct pair *two_of_one_connection(void)
{
    struct pair *p = pair_established(UNIQUE_NEVER, reauthenticating);
    struct conn *c = p->s[0].ike->conns;
    assert_int_equal(initiate_anew(p->s[0].ike, c, conn_child(c, "c"), NULL), 0);
    pair_run(p);
    for (int side = 0; side < 2; side++)
        assert_int_equal(p->s[side].ike->sa_count, 2);
    return p;
}

static void assert_both_are_new(struct pair *p, uint32_t last)
{
    for (const struct ike_sa *sa = p->s[0].ike->sas; sa; sa = sa->next) {
        assert_true(sa->id > last);
        assert_int_equal(sa->state, SA_ESTABLISHED);
        assert_non_null(sa->children);
    }
    for (int side = 0; side < 2; side++) {
        assert_int_equal(p->s[side].ike->sa_count, 2);
        assert_int_equal(pair_live(&p->s[side]), 2);
    }
    pair_free(p);
}

// Two IKE SAs of one connection are due in the same turn: neither takes the other one's place.
static void test_two_that_are_due_at_once_are_both_made_anew(void **state)
{
    (void)state;
    struct pair *p = two_of_one_connection();
    uint32_t last = p->s[0].ike->next_id;
    pair_wait(p, 5 * MINUTE + 5000);
    assert_both_are_new(p, last);
}

static void test_two_that_an_operator_wants_anew_at_once_are_both_made_anew(void **state)
{
    (void)state;
    struct pair *p = two_of_one_connection();
    uint32_t last = p->s[0].ike->next_id;
    for (struct ike_sa *sa = p->s[0].ike->sas; sa; sa = sa->next)
        if (sa->id <= last)
            revive_reauthenticate(sa);
    pair_wait(p, 5000);
    assert_both_are_new(p, last);
}

// The engine that both are on fails, and they were to be made anew some time within two seconds.
static void test_two_whose_children_are_to_be_replaced_are_both_made_anew(void **state)
{
    (void)state;
    struct pair *p = two_of_one_connection();
    struct ike *ike = p->s[0].ike;
    uint32_t last = ike->next_id;
    for (struct ike_sa *sa = ike->sas; sa; sa = sa->next)
        if (sa->id <= last)
            revive_replace(sa->children, 2000);
    pair_wait(p, 8000);
    assert_both_are_new(p, last);
}

static void reauthenticating_anybody(struct conn_config *c, int side)
{
    c->reauth_time = side ? 300 : 0;
    c->over_time = 600;
    c->rand_time = 0;
    if (side)
        memset(&c->remote_addrs[0], 0, sizeof(c->remote_addrs[0])); // %any
}

// There is nobody to begin with: it will be the peer who does, or it ends.
static void test_reauthentication_with_anybody_is_not_tried_again(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, reauthenticating_anybody);
    struct ike_sa *sa = p->s[1].ike->sas;
    assert_int_not_equal(sa->later->reauth_at, 0);
    pair_wait(p, 5 * MINUTE + 100);
    assert_ptr_equal(p->s[1].ike->sas, sa);
    assert_int_equal(sa->later->reauth_at, 0);
    pair_wait(p, 9 * MINUTE);
    assert_ptr_equal(p->s[1].ike->sas, sa);
    assert_int_equal(sa->later->reauth_at, 0);
    pair_wait(p, 2 * MINUTE);
    assert_int_equal(p->s[1].ike->sa_count, 0);
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

// The peer has had one of two taken out of its file: the other one has its successor before the old IKE SA
// goes. Where both are gone that goes all the same.
static void test_reauthentication_of_which_the_peer_refuses_a_child_keeps_the_other_one_up(void **state)
{
    (void)state;
    for (int gone = 0; gone < 3; gone++) { // 2: both
        struct conn_config c;
        struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_result(p, 0, pair_initiate(p, 0, "d"), true);
        pair_default_conn(&c, 1);
        pair_two_children(&c, 1);
        c.unique = UNIQUE_NO;
        c.child_count = gone == 2 ? 2 : 1;
        c.children += gone == 0;
        for (unsigned i = 0; gone == 2 && i < 2; i++) {
            pair_own_selectors(&c.children[i]);
            c.children[i].local_ts->t[0].lo[1] = c.children[i].local_ts->t[0].hi[1] = (uint8_t)(77 + i);
        }
        pair_load(p, 1, &c);
        uint64_t spi = established(&p->s[0])->spi_i;
        revive_reauthenticate(established(&p->s[0]));
        for (int ms = 0; ms < 10000; ms += 50) {
            pair_wait(p, 50);
            if (gone < 2 && (!pair_live(&p->s[0]) || !pair_live(&p->s[1])))
                fail_msg("without %d: after %d ms no CHILD SA is left", gone, ms);
        }
        assert_null(sa_by_spi(p->s[0].ike, spi));
        assert_true(pair_agree(p));
        assert_int_equal(pair_live(&p->s[0]), gone < 2);
        if (gone < 2)
            assert_string_equal(pair_sa(&p->s[0], pair_live(&p->s[0]) - 1)->child.name, gone ? "c" : "d");
        pair_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reauthentication_in_turn_happens_each_time),
        cmocka_unit_test(test_two_connections_with_one_peers_names_do_not_end_one_another),
        cmocka_unit_test(test_one_that_came_back_from_its_limit_and_is_replaced_goes_when_the_peer_closes_it),
        cmocka_unit_test(test_limit_at_both_ends_under_traffic_leaves_one_child_sa),
        cmocka_unit_test(test_what_a_replaced_ike_sa_had_comes_up_on_its_successor),
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
        cmocka_unit_test(test_reauthentication_that_fails_is_tried_again),
        cmocka_unit_test(test_reauthentication_that_goes_on_failing_ends_at_the_hard_limit),
        cmocka_unit_test(test_two_that_are_due_at_once_are_both_made_anew),
        cmocka_unit_test(test_two_that_an_operator_wants_anew_at_once_are_both_made_anew),
        cmocka_unit_test(test_two_whose_children_are_to_be_replaced_are_both_made_anew),
        cmocka_unit_test(test_reauthentication_with_anybody_is_not_tried_again),
        cmocka_unit_test(test_started_child_whose_ike_sa_is_replaced_as_it_is_to_reauthenticate_comes_up),
        cmocka_unit_test(test_packet_brings_up_at_once_what_a_replaced_ike_sa_had),
        cmocka_unit_test(test_child_that_cannot_be_rekeyed_is_replaced_although_it_is_looked_at_again),
        cmocka_unit_test(test_what_was_brought_back_and_is_replaced_soon_is_brought_back_again),
        cmocka_unit_test(test_started_child_that_was_asked_for_on_a_replaced_ike_sa_comes_up),
        cmocka_unit_test(test_started_child_of_one_that_goes_and_is_deleted_by_the_peer_comes_up),
        cmocka_unit_test(test_started_child_that_the_peer_was_making_comes_up_when_that_fails),
        cmocka_unit_test(test_reauthentication_of_which_the_peer_refuses_a_child_keeps_the_other_one_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
