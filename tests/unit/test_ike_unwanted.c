// SPDX-License-Identifier: Apache-2.0
// A CHILD SA that is to go while a successor of it is on its way: by an operator, by its idle time, by an
// edit that made another one of its child. Whatever the exchange under way brings forth goes with it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/rekey_ike.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/sa.h"
#include "tests/unit/ike_editions_rig.h"

enum { REST = 600000, CHILDREN_PER_SA = 1024 };

static struct child_sa *named(struct pair *p, int side, const char *name)
{
    for (struct child_sa *c = p->s[side].ike->sas->children; c; c = c->next)
        if (child_is_up(c) && strcmp(c->cfg->name, name) == 0)
            return c;
    fail_msg("side %d has no CHILD SA '%s'", side, name);
    return NULL;
}

// --- an exchange that stays under way ---

static bool hold_requests = false, hold_responses = true; // contexts of the filter

static int hold_create_child(struct pair *p, unsigned number, struct datagram *d)
{
    bool response = d->data[19] & 0x20;
    (void)number;
    return d->data[18] == EX_CREATE_CHILD && response == *(const bool *)p->ctx ? -1 : 1;
}

static void hold(struct pair *p, bool responses)
{
    p->ctx = responses ? &hold_responses : &hold_requests;
    p->filter = hold_create_child;
}

static void let_go(struct pair *p)
{
    p->filter = NULL;
    pair_wait(p, REST);
    for (int i = 0; i < 2; i++)
        pair_forget_deleted(&p->s[i]);
}

// --- ways to want it gone ---

static void event(struct pair *p, int side, uint8_t what)
{
    struct msg_CHILD_EVENT m = {.event = what, .child_id = named(p, side, "c")->id};
    ipc_send(p->s[side].path_ike, MSG_CHILD_EVENT, &m);
    pair_run(p);
}

static void by_operator(struct pair *p, int side)
{
    pair_terminate(p, side, "c", false);
}

static void by_force(struct pair *p, int side)
{
    pair_terminate(p, side, "c", true);
}

static void by_idling(struct pair *p, int side)
{
    event(p, side, CHILD_EVENT_IDLE);
}

static void (*const ways[])(struct pair *, int) = {by_operator, by_force, by_idling};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

// `d` holds the IKE SA; `c` is what this is about.
static struct pair *with_two(void)
{
    struct pair *p = pair_established(UNIQUE_NO, pair_two_children);
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    return p;
}

static void assert_only(struct pair *p, const char *name)
{
    assert_has(p, 1, 1);
    for (int i = 0; i < 2; i++)
        named(p, i, name);
}

// --- tests ---

static void test_one_that_is_to_go_while_it_is_rekeyed_has_no_successor(void **state)
{
    (void)state;
    for (unsigned n = 0; n < WAYS * 4; n++) {
        struct pair *p = with_two();
        int side = n & 1;
        hold(p, n & 2);
        expiry_rekey(named(p, side, "c"));
        pair_run(p);
        ways[n / 4](p, side);
        let_go(p);
        assert_only(p, "d");
        pair_free(p);
    }
}

// Both rekey it at once: whichever of the two stays goes. The peer's own one is there already.
static void test_one_that_is_to_go_while_both_rekey_it_has_no_successor(void **state)
{
    (void)state;
    for (unsigned n = 0; n < WAYS * 16; n++) {
        struct pair *p = with_two();
        int side = n & 1;
        hold(p, true);
        expiry_rekey(named(p, side, "c"));
        expiry_rekey(named(p, !side, "c"));
        pair_run(p);
        ways[n / 16](p, side);
        let_go(p);
        assert_only(p, "d");
        pair_free(p);
    }
}

// Nobody wants it gone: another one is made (RFC 7296 2.25.1).
static void test_one_that_the_peer_does_not_know_is_made_anew_unless_it_is_to_go(void **state)
{
    (void)state;
    for (unsigned n = 0; n <= WAYS; n++) {
        struct pair *p = with_two();
        uint32_t spi = named(p, 0, "c")->spi_in;
        hold(p, false);
        expiry_rekey(named(p, 0, "c"));
        pair_run(p);
        if (n < WAYS)
            ways[n](p, 0);
        child_destroy(named(p, 1, "c"));
        let_go(p);
        if (n < WAYS) {
            assert_only(p, "d");
        } else {
            assert_has(p, 1, 2);
            assert_true(named(p, 0, "c")->spi_in != spi);
        }
        pair_free(p);
    }
}

static int lose_deletes(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)number;
    return d->data[18] != EX_INFORMATIONAL;
}

// It is told to wait, as by 2.25.1, and not that there is none, for which it would make another one.
static void test_peer_that_rekeys_what_is_closed_by_force_makes_none_anew(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = with_two();
        hold(p, false);
        expiry_rekey(named(p, !side, "c"));
        pair_run(p);
        p->filter = lose_deletes; // until it goes out again
        by_force(p, side);
        pair_wait(p, 1);
        let_go(p);
        assert_only(p, "d");
        pair_free(p);
    }
}

// The peer has as many as it may have: other than of what is to stay, no new IKE SA is made.
static void test_one_that_is_to_go_and_that_the_peer_cannot_rekey_needs_no_new_ike_sa(void **state)
{
    (void)state;
    for (unsigned n = 0; n <= WAYS; n++) {
        struct pair *p = with_two();
        struct child_sa *full[CHILDREN_PER_SA];
        struct ike_sa *peer = p->s[1].ike->sas;
        uint32_t first = p->s[0].ike->next_id;
        for (unsigned i = 0; i < CHILDREN_PER_SA; i++)
            full[i] = child_new(peer, peer->conn, &peer->conn->cfg.children[1]);
        hold(p, false);
        expiry_rekey(named(p, 0, "c"));
        pair_run(p);
        if (n < WAYS)
            ways[n](p, 0);
        p->filter = NULL;
        pair_wait(p, 10);
        for (unsigned i = 0; i < CHILDREN_PER_SA; i++)
            child_destroy(full[i]);
        let_go(p);
        assert_int_equal(p->s[0].ike->next_id > first, n == WAYS);
        assert_has(p, 1, n == WAYS ? 2 : 1);
        pair_free(p);
    }
}

// A limit ends one that was not replaced in time: what comes in its place is what was wanted.
static void test_one_that_reaches_its_limit_while_it_is_rekeyed_has_its_successor(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        struct pair *p = with_two();
        int side = n & 1;
        hold(p, n & 2);
        expiry_rekey(named(p, side, "c"));
        pair_run(p);
        event(p, side, CHILD_EVENT_HARD_LIMIT);
        let_go(p);
        assert_has(p, 1, 2);
        pair_free(p);
    }
}

static void narrower(struct conn_config *c)
{
    c->children[0].local_ts->t[0].lo[2] = 1;
}

// The former edition is rekeyed behind the new one's back: its rekeying was asked for before that was there.
static void test_one_of_a_former_edition_that_is_rekeyed_goes_all_the_same(void **state)
{
    (void)state;
    for (int peer_rekeys = 0; peer_rekeys < 2; peer_rekeys++) {
        struct pair *p = with_two();
        struct child_sa *old = named(p, peer_rekeys, "c");
        load(p, 0, pair_two_children, narrower);
        hold(p, false);
        uint32_t req = pair_initiate(p, 0, "c");
        if (!peer_rekeys)
            expiry_rekey(old);
        p->filter = NULL;
        pair_wait(p, 1);
        pair_result(p, 0, req, true);
        if (peer_rekeys)
            expiry_rekey(old);
        let_go(p);
        assert_has(p, 1, 2);
        assert_int_equal(named(p, 0, "c")->local_ts->t[0].lo[2], 1);
        pair_free(p);
    }
}

// --- an IKE SA that is made in the place of the one that has it ---

// Which of the two the new IKE SA begins with; and what is under way there when `c` is closed on the old one.
struct crossing {
    const char *what;
    uint8_t exchange;
    bool response;
};
static const struct crossing crossings[] = {
    {"nothing is", 0, false},
    {"IKE_SA_INIT is asked for", EX_SA_INIT, false},
    {"IKE_SA_INIT is answered", EX_SA_INIT, true},
    {"IKE_AUTH is asked for", EX_AUTH, false},
    {"IKE_AUTH is answered", EX_AUTH, true},
    {"CREATE_CHILD_SA is asked for", EX_CREATE_CHILD, false},
    {"CREATE_CHILD_SA is answered", EX_CREATE_CHILD, true},
};
enum { CROSSINGS = sizeof(crossings) / sizeof(crossings[0]) };

// Until it is sent again.
static int lose_crossing(struct pair *p, unsigned number, struct datagram *d)
{
    const struct crossing *x = p->ctx;
    (void)number;
    return d->data[18] != x->exchange || !(d->data[19] & 0x20) != !x->response;
}

static void begun_without_a_child(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->childless = CHILDLESS_PREFER;
}

// Reauthentication begins with `first`.
static struct pair *with_first(pair_tune tune, const char *first)
{
    struct pair *p = pair_loaded(UNIQUE_NO, tune);
    pair_result(p, 0, pair_initiate(p, 0, first), true);
    pair_result(p, 0, pair_initiate(p, 0, *first == 'c' ? "d" : "c"), true);
    return p;
}

// The old IKE SA is number 1 at either end.
static void close_on_the_old_one(struct pair *p, unsigned way, int side)
{
    struct msg_CHILD_EVENT m = {.event = CHILD_EVENT_IDLE};
    struct child_sa *c = sa_by_id(p->s[side].ike, 1)->children;
    while (strcmp(c->cfg->name, "c") != 0)
        c = c->next;
    m.child_id = c->id;
    if (way < 2)
        pair_terminate(p, side, "c", way);
    else
        ipc_send(p->s[side].path_ike, MSG_CHILD_EVENT, &m);
    pair_run(p);
}

static void reauthenticate_until(struct pair *p, const struct crossing *x)
{
    p->ctx = (void *)x;
    p->filter = lose_crossing;
    revive_reauthenticate(sa_by_id(p->s[0].ike, 1));
    if (x->exchange)
        pair_wait(p, 1);
}

static bool has_moved(struct pair *p, int side)
{
    const struct ike_sa *next = sa_by_id(p->s[side].ike, 2);
    for (const struct child_sa *c = next ? next->children : NULL; c; c = c->next)
        if (child_is_up(c) && strcmp(c->cfg->name, "c") == 0)
            return true;
    return false;
}

static void assert_anew(struct pair *p, const char *name)
{
    assert_only(p, name);
    assert_true(p->s[0].ike->sas->id != 1);
}

static void test_one_that_is_closed_while_its_ike_sa_reauthenticates_does_not_come_up_again(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 8 * WAYS * CROSSINGS; n++) {
        const struct crossing *x = &crossings[n / 8 / WAYS];
        struct pair *p = with_first(n & 4 ? begun_without_a_child : pair_two_children, n & 2 ? "d" : "c");
        reauthenticate_until(p, x);
        bool moved = n / 8 % WAYS == 2 && has_moved(p, 0) && has_moved(p, 1);
        close_on_the_old_one(p, n / 8 % WAYS, n & 1);
        let_go(p);
        if (moved) { // it has been idle as its packets go by the other one
            assert_has(p, 1, 2);
            pair_free(p);
            continue;
        }
        // Where the new one had `c` alone for longer than an IKE SA is without a CHILD SA, the old one stays.
        bool anew = p->s[0].ike->sas && (p->s[0].ike->sas->id != 1 || x->exchange == EX_CREATE_CHILD);
        if (p->s[0].ike->sa_count != 1 || pair_live(&p->s[0]) != 1 || !anew)
            fail_msg("%u: closed by end %u in way %u as %s: %u IKE SAs, %u CHILD SAs", n, n & 1, n / 8 % WAYS,
                     x->what, p->s[0].ike->sa_count, pair_live(&p->s[0]));
        assert_only(p, "d");
        pair_free(p);
    }
}

static const struct child_sa *elsewhere(struct pair *p, int side, uint32_t spi_out)
{
    for (const struct ike_sa *sa = p->s[side].ike->sas; sa; sa = sa->next)
        for (const struct child_sa *c = sa->id != 1 ? sa->children : NULL; c; c = c->next)
            if (child_is_up(c) && strcmp(c->cfg->name, "c") == 0 && (!spi_out || c->spi_out == spi_out))
                return c;
    return NULL;
}

// Both ends make it anew at once: one of the two new IKE SAs stays, without `c`. Which of them is by chance.
static void test_one_that_is_closed_while_both_reauthenticate_does_not_come_up_again(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 8 * WAYS * CROSSINGS; n++) {
        const struct crossing *x = &crossings[n / 8 / WAYS];
        struct pair *p = with_first(n & 4 ? begun_without_a_child : pair_two_children, n & 2 ? "d" : "c");
        p->ctx = (void *)(uintptr_t)x;
        p->filter = lose_crossing;
        for (int side = 0; side < 2; side++)
            revive_reauthenticate(sa_by_id(p->s[side].ike, 1));
        if (x->exchange)
            pair_wait(p, 1);
        const struct child_sa *new = elsewhere(p, 0, 0);
        bool moved = n / 8 % WAYS == 2 && new &&elsewhere(p, 1, new->spi_in);
        close_on_the_old_one(p, n / 8 % WAYS, n & 1);
        let_go(p);
        if (moved) { // it has been idle as its packets go by the other one
            assert_has(p, 1, 2);
            pair_free(p);
            continue;
        }
        if (p->s[0].ike->sa_count != 1 || pair_live(&p->s[0]) != 1 || pair_live(&p->s[1]) != 1)
            fail_msg("%u: closed by end %u in way %u as %s: %u IKE SAs, %u CHILD SAs", n, n & 1, n / 8 % WAYS,
                     x->what, p->s[0].ike->sa_count, pair_live(&p->s[0]));
        assert_only(p, "d");
        pair_free(p);
    }
}

// The end that answers has closed it before the request came, and the DELETE is late.
static void test_one_whose_delete_is_slower_than_a_reauthentication_does_not_stay(void **state)
{
    static const struct crossing its_delete = {"its DELETE is late", EX_INFORMATIONAL, false};
    (void)state;
    for (unsigned n = 0; n < 4 * WAYS; n++) {
        struct pair *p = with_first(n & 1 ? begun_without_a_child : pair_two_children, n & 2 ? "d" : "c");
        p->ctx = (void *)&its_delete;
        p->filter = lose_crossing;
        close_on_the_old_one(p, n / 4, 1);
        revive_reauthenticate(p->s[0].ike->sas);
        pair_wait(p, 1);
        let_go(p);
        assert_anew(p, "d");
        pair_free(p);
    }
}

static void from_anywhere(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->remote_count = side ? 0 : 1;
}

// What is closed here is of a peer that is gone, and never answers: whoever comes by its name meanwhile, from
// another address or saying that it has begun anew, has asked for what it makes.
static void test_one_of_a_peer_that_is_gone_is_closed_there_alone(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2 * WAYS; n++) {
        bool elsewhere = n & 1;
        struct pair *p = pair_established(elsewhere ? UNIQUE_NEVER : UNIQUE_NO, from_anywhere);
        sa_destroy(p->s[0].ike->sas);
        p->filter = lose_deletes;
        ways[n / 2](p, 1);
        p->nat = elsewhere;
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        p->filter = NULL;
        pair_wait(p, 2000);
        for (int i = 0; i < 2; i++)
            assert_string_equal(named(p, i, "c")->cfg->name, "c");
        pair_free(p);
    }
}

static void test_all_that_are_closed_while_their_ike_sa_reauthenticates_leave_none(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2 * CROSSINGS; n++) {
        struct pair *p = with_first(pair_two_children, "c");
        reauthenticate_until(p, &crossings[n / 2]);
        pair_terminate(p, n & 1, "d", false);
        close_on_the_old_one(p, 0, n & 1);
        let_go(p);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(p->s[i].ike->sa_count, 0);
            assert_int_equal(pair_live(&p->s[i]), 0);
        }
        pair_free(p);
    }
}

static void comes_back(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->children[0].close_action = ACTION_START;
}

// It is up there, or asked for again, by whom it is wanted: once.
static void test_one_that_is_to_come_back_does_so_where_its_ike_sa_reauthenticates(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2 * CROSSINGS; n++) {
        struct pair *p = with_first(n & 1 ? pair_two_children : comes_back, "d");
        reauthenticate_until(p, &crossings[n / 2]);
        close_on_the_old_one(p, 0, !(n & 1));
        if (n & 1)
            pair_initiate(p, 0, "c");
        let_go(p);
        assert_has(p, 1, 2);
        pair_free(p);
    }
}

// By its number; what is made in its place has another one.
static void test_ike_sa_that_is_terminated_while_it_reauthenticates_has_no_successor(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2 * CROSSINGS; n++) {
        struct pair *p = with_first(pair_two_children, "c");
        struct msg_TERMINATE m = {.req = 77, .ike_id = 1, .force = n & 1, .timeout_ms = 5000};
        reauthenticate_until(p, &crossings[n / 2]);
        ipc_send(p->s[0].ctl_ike, MSG_TERMINATE, &m);
        pair_run(p);
        let_go(p);
        assert_int_equal(p->s[0].ike->sa_count, 0);
        assert_int_equal(pair_live(&p->s[0]), 0);
        pair_free(p);
    }
}

static void another_ike(struct conn_config *c)
{
    narrower(c);
    c->over_time += 60;
}

// It was edited, and the new one is asked for: the operator ends the former one, and not what he waits for.
static void test_ike_sa_that_is_terminated_while_an_operator_waits_for_its_successor_has_one(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2 * 5; n++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        struct msg_TERMINATE m = {.req = 77, .ike_id = 1, .force = n & 1, .timeout_ms = 5000};
        load(p, 0, NULL, another_ike);
        p->ctx = (void *)&crossings[n / 2];
        p->filter = lose_crossing;
        uint32_t req = pair_initiate(p, 0, "c");
        ipc_send(p->s[0].ctl_ike, MSG_TERMINATE, &m);
        pair_run(p);
        p->filter = NULL;
        pair_wait(p, 20000);
        if (n / 2) // until then it was not there
            pair_result(p, 0, req, true);
        assert_anew(p, "c");
        pair_free(p);
    }
}

// Only a peer that has heard from whom the new one is may have ended the old one for its sake.
static void test_ike_sa_that_the_peer_deletes_before_it_knows_of_a_successor_has_none(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2 * CROSSINGS; n++) {
        const struct crossing *x = &crossings[n / 2];
        struct pair *p = with_first(n & 1 ? comes_back : pair_two_children, "c");
        reauthenticate_until(p, x);
        sa_delete(sa_by_id(p->s[1].ike, 1));
        let_go(p);
        assert_int_equal(p->s[0].ike->sa_count,
                         n & 1 || x->exchange == EX_AUTH || x->exchange == EX_CREATE_CHILD);
        pair_free(p);
    }
}

// --- IKE SAs ---

static void test_ike_sa_that_is_to_go_while_both_rekey_it_leaves_none_that_waits(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 16; n++) {
        struct pair *p = with_two();
        int side = n & 1;
        hold(p, true);
        rekey_ike(p->s[side].ike->sas);
        rekey_ike(p->s[!side].ike->sas);
        pair_run(p);
        pair_terminate(p, side, NULL, n & 2);
        p->filter = NULL;
        pair_wait(p, 10000);
        assert_int_equal(p->s[side].ike->sa_count, 0);
        assert_int_equal(pair_live(&p->s[side]), 0);
        pair_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_is_to_go_while_it_is_rekeyed_has_no_successor),
        cmocka_unit_test(test_one_that_is_to_go_while_both_rekey_it_has_no_successor),
        cmocka_unit_test(test_one_that_the_peer_does_not_know_is_made_anew_unless_it_is_to_go),
        cmocka_unit_test(test_peer_that_rekeys_what_is_closed_by_force_makes_none_anew),
        cmocka_unit_test(test_one_that_is_to_go_and_that_the_peer_cannot_rekey_needs_no_new_ike_sa),
        cmocka_unit_test(test_one_that_reaches_its_limit_while_it_is_rekeyed_has_its_successor),
        cmocka_unit_test(test_one_of_a_former_edition_that_is_rekeyed_goes_all_the_same),
        cmocka_unit_test(test_one_that_is_closed_while_its_ike_sa_reauthenticates_does_not_come_up_again),
        cmocka_unit_test(test_one_that_is_closed_while_both_reauthenticate_does_not_come_up_again),
        cmocka_unit_test(test_one_whose_delete_is_slower_than_a_reauthentication_does_not_stay),
        cmocka_unit_test(test_one_of_a_peer_that_is_gone_is_closed_there_alone),
        cmocka_unit_test(test_all_that_are_closed_while_their_ike_sa_reauthenticates_leave_none),
        cmocka_unit_test(test_one_that_is_to_come_back_does_so_where_its_ike_sa_reauthenticates),
        cmocka_unit_test(test_ike_sa_that_is_terminated_while_it_reauthenticates_has_no_successor),
        cmocka_unit_test(test_ike_sa_that_is_terminated_while_an_operator_waits_for_its_successor_has_one),
        cmocka_unit_test(test_ike_sa_that_the_peer_deletes_before_it_knows_of_a_successor_has_none),
        cmocka_unit_test(test_ike_sa_that_is_to_go_while_both_rekey_it_leaves_none_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
