// SPDX-License-Identifier: Apache-2.0
// Which CHILD SA sends while rekeyings cross: never one that the peer may not have yet, and never one that it
// has no more, although what was replaced lingers for its last packets.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/ike/expiry.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/create_child.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/initiate.h"
#include "ctrl/ike/rekey_ike.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/sa.h"
#include "tests/unit/ike_pair.h"

enum { REST = 300000, TRIES = 30 };

static struct child_sa *up(struct pair *p, int side)
{
    struct child_sa *found = NULL;
    for (struct ike_sa *sa = p->s[side].ike->sas; sa; sa = sa->next)
        for (struct child_sa *c = sa->children; c; c = c->next)
            if (child_is_up(c)) {
                assert_null(found);
                found = c;
            }
    assert_non_null(found);
    return found;
}

static struct path_sa *sa_of(struct side *s, uint32_t id)
{
    for (unsigned i = 0; i < s->sa_count; i++)
        if (s->sas[i].child.child_id == id && !s->sas[i].deleted)
            return &s->sas[i];
    return NULL;
}

// As path does it: the newest, but for what it has to wait for.
static bool may_send(const struct path_sa *c)
{
    return c && !c->deleted && c->child.out_after != c->child.child_id;
}

static const struct path_sa *sender(struct side *s)
{
    struct path_sa *c = NULL;
    for (unsigned i = s->sa_count; i > 0 && !c; i--)
        c = may_send(&s->sas[i - 1]) ? &s->sas[i - 1] : NULL;
    while (c && c->child.out_after && may_send(sa_of(s, c->child.out_after)))
        c = sa_of(s, c->child.out_after);
    assert_non_null(c);
    return c;
}

static bool receives(struct side *s, uint32_t spi)
{
    for (unsigned i = 0; i < s->sa_count; i++)
        if (!s->sas[i].deleted && s->sas[i].child.spi_in == spi)
            return true;
    return false;
}

static void assert_heard(struct pair *p)
{
    for (int i = 0; i < 2; i++)
        assert_true(receives(&p->s[!i], sender(&p->s[i])->child.spi_out));
}

static int every_moment(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    (void)d;
    assert_heard(p);
    return 1;
}

static void rekey_at_once(struct pair *p)
{
    struct child_sa *a = up(p, 0), *b = up(p, 1);
    expiry_rekey(a);
    expiry_rekey(b);
    pair_run(p);
}

static void test_after_a_crossing_each_end_sends_by_the_one_that_stays(void **state)
{
    (void)state;
    for (int n = 0; n < TRIES; n++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        p->filter = every_moment;
        rekey_at_once(p);
        for (int i = 0; i < 2; i++)
            assert_int_equal(sender(&p->s[i])->child.spi_out, up(p, i)->spi_out);
        pair_wait(p, 10000);
        for (int i = 0; i < 2; i++)
            assert_int_equal(sender(&p->s[i])->child.spi_out, up(p, i)->spi_out);
        pair_free(p);
    }
}

static const struct child_sa *old_at(struct pair *p, int side, uint32_t id)
{
    for (const struct child_sa *c = p->s[side].ike->sas->children; c; c = c->next)
        if (c->id == id)
            return c;
    return NULL;
}

// INFORMATIONAL requests of one end are lost for now: what it wants to delete stays.
static int lose_deletes_of(struct pair *p, unsigned number, struct datagram *d)
{
    int from = *(int *)p->ctx;
    (void)number;
    return !(d->to != from && d->data[18] == EX_INFORMATIONAL && !(d->data[19] & 0x20));
}

// The end whose rekeying lost has its own SA deleted: that says nothing about whether the peer's answer came.
static void test_the_one_that_stays_is_not_used_before_its_maker_shows_that_it_has_it(void **state)
{
    unsigned seen[2] = {0};
    (void)state;
    for (int n = 0; n < TRIES; n++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        int winner = n & 1;
        uint32_t old = up(p, !winner)->id;
        p->ctx = &winner;
        p->filter = lose_deletes_of;
        rekey_at_once(p);
        const struct child_sa *was = old_at(p, !winner, old);
        if (was && was->successor && !was->loser &&
            was->state == CHILD_REKEYED) { // the one that stays is the winner's indeed
            seen[winner]++;
            assert_int_equal(sa_of(&p->s[!winner], was->successor)->child.out_after, old);
            assert_int_equal(sender(&p->s[!winner])->child.child_id, old);
        }
        p->filter = NULL;
        pair_wait(p, REST);
        assert_int_equal(pair_live(&p->s[0]), 1);
        pair_free(p);
    }
    assert_true(seen[0] && seen[1]);
}

static int hold_own_install(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    if (d->to == 0 && d->data[18] == EX_CREATE_CHILD && (d->data[19] & 0x20))
        p->s[0].hold_install = true;
    return 1;
}

// The peer deletes the old one while the answer to our own rekeying of it is being worked on.
static void test_old_one_deleted_before_our_own_rekeying_is_done_goes_in_time(void **state)
{
    (void)state;
    unsigned stayed = 0;
    for (int n = 0; n < TRIES; n++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        uint32_t old = up(p, 0)->id;
        p->filter = hold_own_install;
        rekey_at_once(p);
        p->filter = NULL;
        pair_wait(p, 11000); // so long it may wait for our end
        stayed += up(p, 0)->id == old;
        pair_release(&p->s[0]);
        pair_run(p);
        pair_wait(p, 10000);
        assert_int_equal(pair_live(&p->s[0]), 1);
        assert_int_equal(pair_live(&p->s[1]), 1);
        assert_true(pair_agree(p));
        for (int i = 0; i < 2; i++)
            assert_int_equal(sender(&p->s[i])->child.spi_out, up(p, i)->spi_out);
        pair_free(p);
    }
    assert_true(stayed < TRIES);
}

// A is followed by B and B by C before A is deleted: that B goes brings A not back.
static void test_successor_that_was_followed_itself_does_not_bring_its_predecessor_back(void **state)
{
    (void)state;
    int side = 0;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    p->ctx = &side;
    p->filter = lose_deletes_of;
    uint32_t a = up(p, 1)->spi_in;
    expiry_rekey(up(p, 0));
    pair_run(p);
    for (struct child_sa *c = p->s[1].ike->sas->children; c; c = c->next)
        if (c->state == CHILD_INSTALLED)
            expiry_rekey(c);
    pair_run(p);
    for (struct child_sa *c = p->s[1].ike->sas->children; c; c = c->next)
        assert_false(c->spi_in == a && c->state == CHILD_INSTALLED);
    p->filter = NULL;
    pair_wait(p, REST);
    assert_int_equal(pair_live(&p->s[0]), 1);
    assert_int_equal(pair_live(&p->s[1]), 1);
    assert_true(pair_agree(p));
    pair_free(p);
}

static void few_seconds(struct settings *s)
{
    s->delete_rekeyed_delay = 2;
}

static void test_what_was_rekeyed_lingers_as_long_as_the_settings_say(void **state)
{
    (void)state;
    struct pair *p = pair_new(few_seconds);
    pair_simple(p);
    pair_initiate(p, 0, "c");
    pair_run(p);
    expiry_rekey(up(p, 0));
    pair_run(p);
    pair_wait(p, 1900);
    assert_int_equal(pair_live(&p->s[0]), 2);
    pair_wait(p, 200);
    assert_int_equal(pair_live(&p->s[0]), 1);
    assert_int_equal(pair_live(&p->s[1]), 1);
    pair_free(p);
}

// --- reauthentication ---

static int nothing_after_auth(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->data[18] != EX_INFORMATIONAL && !(d->data[18] == EX_AUTH && d->to == 0);
}

static struct path_sa *newest(struct side *s)
{
    return &s->sas[s->sa_count - 1];
}

// The answering end has the new CHILD SA before its answer has come: it goes on by the old one until the
// other end shows the new one, or the old one is gone; and if nothing is heard any more, not for long.
static void test_answering_end_of_a_reauthentication_goes_on_in_the_old_one(void **state)
{
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        uint32_t old = up(p, 1)->id;
        p->filter = lost ? nothing_after_auth : every_moment;
        revive_reauthenticate(p->s[0].ike->sas);
        pair_wait(p, 100);
        assert_int_equal(p->s[1].sa_count, 2);
        if (lost) {
            assert_int_equal(sender(&p->s[1])->child.child_id, old);
            pair_wait(p, 2100);
        }
        pair_wait(p, 500);
        assert_ptr_equal(sender(&p->s[1]), newest(&p->s[1]));
        pair_free(p);
    }
}

// That the peer has just made one is no sign that both began without knowing of each other: each knows that
// of its own only.
static void test_reauthentication_soon_after_the_peers_leaves_the_newer_one(void **state)
{
    (void)state;
    for (int n = 0; n < TRIES; n++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        p->filter = every_moment;
        revive_reauthenticate(p->s[1].ike->sas);
        pair_wait(p, 1700);
        pair_assert_one(p);
        uint64_t spi = p->s[0].ike->sas->spi_i;
        revive_reauthenticate(p->s[0].ike->sas);
        pair_wait(p, 1700);
        pair_assert_one(p);
        assert_int_not_equal(p->s[0].ike->sas->spi_i, spi);
        pair_wait(p, 60000);
        pair_assert_one(p);
        pair_free(p);
    }
}

// The peer may end all that the old one has as soon as it hears of the DELETE: what is on the way comes
// first.
static void test_reauthentication_deletes_the_old_one_a_while_after_it_is_replaced(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    struct ike_sa *old = p->s[0].ike->sas;
    revive_reauthenticate(old);
    pair_wait(p, 400);
    assert_int_equal(p->s[1].ike->sa_count, 2);
    assert_int_equal(old->state, SA_ESTABLISHED);
    assert_ptr_equal(sender(&p->s[0]), newest(&p->s[0]));
    pair_wait(p, 1200);
    pair_assert_one(p);
    pair_free(p);
}

// Nor does it go on for longer when its peer rekeys it meanwhile.
static void test_replaced_sa_that_is_rekeyed_ends_as_soon(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    revive_reauthenticate(p->s[0].ike->sas);
    pair_wait(p, 300);
    for (struct ike_sa *sa = p->s[1].ike->sas; sa; sa = sa->next)
        if (sa->id == 1)
            rekey_ike(sa);
    pair_wait(p, 100);
    assert_int_equal(p->s[1].ike->sa_count, 2);
    pair_wait(p, 1200);
    pair_assert_one(p);
    pair_free(p);
}

static void test_both_reauthenticate_at_once_and_one_stays(void **state)
{
    (void)state;
    for (int n = 0; n < TRIES; n++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        p->filter = every_moment;
        revive_reauthenticate(p->s[0].ike->sas);
        revive_reauthenticate(p->s[1].ike->sas);
        pair_wait(p, 20000);
        assert_heard(p);
        pair_assert_one(p);
        pair_free(p);
    }
}

// What is rekeyed meanwhile on the one that goes is the newest, and sends all the same no more.
static void test_what_is_rekeyed_on_an_sa_that_goes_sends_no_more(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    struct ike_sa *old = p->s[0].ike->sas;
    old->conn->refs++;
    initiate_anew(p->s[0].ike, old->conn, &old->conn->cfg.children[0], NULL);
    conn_unref(old->conn);
    pair_wait(p, 100);
    assert_int_equal(p->s[0].ike->sa_count, 2);
    expiry_rekey(old->children);
    pair_wait(p, 100);
    uint32_t newer = p->s[0].ike->sas->children->spi_out;
    sa_delete(old);
    pair_wait(p, 100);
    assert_int_equal(sender(&p->s[0])->child.spi_out, newer);
    assert_true(receives(&p->s[0], p->s[0].ike->sas->children->spi_in));
    assert_true(old->children && old->state == SA_DELETING); // it lingers, to receive
    for (const struct child_sa *c = old->children; c; c = c->next)
        assert_int_equal(c->out_after, c->id);
    pair_wait(p, 20000);
    pair_assert_one(p);
    pair_free(p);
}

static void any_peer(struct conn_config *c, int side)
{
    if (side == 1)
        c->remote.id = "%any";
}

static int deletes_alone(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->data[18] != EX_INFORMATIONAL;
}

// Two peers by one connection: that the one's IKE SA is being closed is nothing to the other's CHILD SA.
static void test_what_is_closed_steps_aside_for_nobody_else(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, any_peer);
    struct conn_config c;
    p->filter = deletes_alone;
    pair_terminate(p, 1, NULL, false);
    const struct child_sa *closed = p->s[1].ike->sas->children;
    assert_int_equal(closed->sa->state, SA_DELETING);
    pair_default_conn(&c, 0);
    c.name = "u";
    c.local.id = "other.test";
    c.children[0].name = "other";
    pair_load(p, 0, &c);
    pair_result(p, 0, pair_initiate(p, 0, "other"), true);
    assert_int_equal(p->s[1].ike->sa_count, 2);
    assert_string_equal(p->s[1].ike->sas->conn->cfg.name, closed->sa->conn->cfg.name);
    assert_int_equal(closed->out_after, 0);
    pair_free(p);
}

// --- one that is to end for another's sake, where the other end is in no hurry ---

static void only_b_replaces(struct conn_config *c, int side)
{
    c->unique = side ? UNIQUE_REPLACE : UNIQUE_NEVER;
}

// Both have two IKE SAs, and b ends the first one in seconds.
static struct pair *replaced_soon(struct ike_sa **old)
{
    struct pair *p = pair_established(UNIQUE_NO, only_b_replaces);
    *old = p->s[0].ike->sas;
    (*old)->conn->refs++;
    initiate_anew(p->s[0].ike, (*old)->conn, &(*old)->conn->cfg.children[0], NULL);
    conn_unref((*old)->conn);
    pair_wait(p, 100);
    assert_int_equal(p->s[1].ike->sa_count, 2);
    return p;
}

static void test_one_that_is_to_end_and_is_rekeyed_by_either_end_ends_all_the_same(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct ike_sa *old;
        struct pair *p = replaced_soon(&old);
        uint32_t newer = p->s[0].ike->sas->id;
        assert_int_equal(old->id, 1);
        rekey_ike(side ? sa_by_id(p->s[1].ike, 1) : old);
        pair_wait(p, 100);
        assert_null(sa_by_id(p->s[0].ike, 1));
        pair_wait(p, 12000);
        pair_assert_one(p);
        assert_int_equal(p->s[0].ike->sas->id, newer);
        pair_free(p);
    }
}

// That it is without a CHILD SA for a moment does not put its end off.
static void test_one_that_is_to_end_and_gets_another_child_ends_all_the_same(void **state)
{
    (void)state;
    struct ike_sa *old;
    struct pair *p = replaced_soon(&old);
    exchange_queue(old, TASK_DELETE_CHILD, old->children->id);
    pair_wait(p, 800);
    assert_true(create_child_begin(old, old->conn, &old->conn->cfg.children[0]));
    pair_wait(p, 100);
    assert_non_null(old->children);
    pair_wait(p, 12000);
    pair_assert_one(p);
    pair_free(p);
}

// --- another one beside it ---

static int init_comes_later(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->data[18] == EX_SA_INIT && d->to == 1 ? -1 : 1;
}

// That the peer has rekeyed the first a moment ago, or does while the second is on its way, does not make
// them two that both ends began at once.
static void test_another_one_about_the_time_of_a_rekeying_ends_neither(void **state)
{
    (void)state;
    for (int n = 0; n < 4; n++) {
        int begins = n & 1;
        struct pair *p = pair_established(UNIQUE_NO, pair_two_children);
        struct conn *c = p->s[begins].ike->sas->conn;
        pair_wait(p, 60000);
        if (n < 2) {
            rekey_ike(p->s[!begins].ike->sas);
            pair_wait(p, 500);
        }
        c->refs++;
        assert_int_equal(initiate_anew(p->s[begins].ike, c, &c->cfg.children[1], NULL), 0);
        conn_unref(c);
        if (n >= 2) {
            p->filter = begins ? NULL : init_comes_later;
            for (struct ike_sa *sa = p->s[!begins].ike->sas; sa; sa = sa->next)
                rekey_ike(sa);
            pair_run(p);
        }
        pair_wait(p, 60000);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(p->s[i].ike->sa_count, 2);
            assert_int_equal(pair_live(&p->s[i]), 2);
        }
        pair_free(p);
    }
}

// --- both rekey the IKE SA at once, and the peer's is in use before the own one fails ---

static struct {
    uint64_t old;                          // the SPI of the IKE SA that is rekeyed
    bool of_old, of_new, b_asks, informal; // what comes through
} through;

static int only_some(struct pair *p, unsigned number, struct datagram *d)
{
    struct reader r = reader_of(slice_of(d->data, d->len));
    bool old = rd_u64(&r) == through.old;
    bool asks = d->data[18] == EX_CREATE_CHILD && d->to == !!(d->data[19] & 0x20);
    (void)p;
    (void)number;
    if (d->data[18] == EX_INFORMATIONAL && !through.informal)
        return 0;
    return asks && !through.b_asks ? 0 : old ? through.of_old : through.of_new;
}

// Its operator closes it meanwhile, and hears of it: it does not take over once more.
static void test_successor_in_use_that_is_closed_before_the_own_rekeying_fails_stays_closed(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    memset(&through, 0, sizeof(through));
    through.old = p->s[0].ike->sas->spi_i;
    through.of_old = true;
    p->filter = only_some;
    rekey_ike(p->s[1].ike->sas); // does not come through
    rekey_ike(p->s[0].ike->sas);
    pair_run(p);
    assert_int_equal(p->s[0].ike->sas->state, SA_ESTABLISHED);
    assert_int_equal(p->s[1].ike->sas->state, SA_REKEYED); // it waits
    through.of_old = false;
    through.of_new = through.informal = true;
    exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0);
    pair_run(p);
    assert_int_equal(p->s[1].ike->sas->state, SA_ESTABLISHED);
    through.of_new = through.informal = false;
    unsigned results = p->s[1].results;
    pair_terminate(p, 1, NULL, false);
    assert_int_equal(p->s[1].ike->sas->state, SA_DELETING);
    through.of_old = through.b_asks = true;
    while (sa_by_id(p->s[1].ike, 1)->active)
        pair_wait(p, 1000);
    assert_int_equal(p->s[1].ike->sas->state, SA_DELETING);
    p->filter = NULL;
    pair_wait(p, 120000);
    assert_int_equal(p->s[1].results, results + 1);
    assert_true(p->s[1].last_ok);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reauthentication_soon_after_the_peers_leaves_the_newer_one),
        cmocka_unit_test(test_reauthentication_deletes_the_old_one_a_while_after_it_is_replaced),
        cmocka_unit_test(test_replaced_sa_that_is_rekeyed_ends_as_soon),
        cmocka_unit_test(test_both_reauthenticate_at_once_and_one_stays),
        cmocka_unit_test(test_what_is_rekeyed_on_an_sa_that_goes_sends_no_more),
        cmocka_unit_test(test_what_is_closed_steps_aside_for_nobody_else),
        cmocka_unit_test(test_after_a_crossing_each_end_sends_by_the_one_that_stays),
        cmocka_unit_test(test_the_one_that_stays_is_not_used_before_its_maker_shows_that_it_has_it),
        cmocka_unit_test(test_old_one_deleted_before_our_own_rekeying_is_done_goes_in_time),
        cmocka_unit_test(test_successor_that_was_followed_itself_does_not_bring_its_predecessor_back),
        cmocka_unit_test(test_answering_end_of_a_reauthentication_goes_on_in_the_old_one),
        cmocka_unit_test(test_what_was_rekeyed_lingers_as_long_as_the_settings_say),
        cmocka_unit_test(test_one_that_is_to_end_and_is_rekeyed_by_either_end_ends_all_the_same),
        cmocka_unit_test(test_one_that_is_to_end_and_gets_another_child_ends_all_the_same),
        cmocka_unit_test(test_another_one_about_the_time_of_a_rekeying_ends_neither),
        cmocka_unit_test(test_successor_in_use_that_is_closed_before_the_own_rekeying_fails_stays_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
