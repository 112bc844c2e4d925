// SPDX-License-Identifier: Apache-2.0
// Additional key exchanges behind CREATE_CHILD_SA by IKE_FOLLOWUP_KE (RFC 9370 2.2.4) between two daemons: of
// CHILD and IKE SAs, by either end and by both at once, each message lost or doubled; and what waits for one
// that does not come. Whether the octets are those of others is shown with strongSwan
// (tests/system/test_intermediate.c).
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/create_child.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "tests/unit/ike_pair.h"

enum { REST = 400000 };

static void tune(struct conn_config *c, int side)
{
    (void)side;
    pair_proposal(&c->proposals[0], PROTO_IKE, "aes256gcm16 prfsha256 x25519 ke1_ecp256 ke2_curve448");
    pair_proposal(&c->children[0].proposals[0], PROTO_ESP, "aes256gcm16 x25519 ke1_ecp256 ke3_curve448");
}

static struct ike_sa *only(struct pair *p, int side)
{
    struct ike_sa *found = NULL;
    for (struct ike_sa *sa = p->s[side].ike->sas; sa; sa = sa->next)
        if (sa->state == SA_ESTABLISHED) {
            assert_null(found);
            found = sa;
        }
    assert_non_null(found);
    return found;
}

static struct child_sa *up(struct pair *p, int side)
{
    for (struct child_sa *c = only(p, side)->children; c; c = c->next)
        if (child_is_up(c))
            return c;
    fail_msg("side %d has no CHILD SA", side);
    return NULL;
}

static void assert_nothing_waits(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        assert_null(only(p, i)->parked);
        assert_null(only(p, i)->active);
    }
}

static unsigned followups;
static int count_them(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    followups += d->data[18] == EX_FOLLOWUP_KE;
    return 1;
}

static void rekey(struct pair *p, int side, bool ike)
{
    if (ike)
        rekey_ike(only(p, side));
    else
        expiry_rekey(up(p, side));
}

static void test_child_and_ike_sas_are_rekeyed_with_all_their_key_exchanges(void **state)
{
    (void)state;
    for (int n = 0; n < 4; n++) {
        int side = n & 1;
        bool ike = n & 2;
        struct pair *p = pair_established(UNIQUE_NO, tune);
        assert_int_equal(suite_addkes(up(p, 0)->suite), 0); // IKE_AUTH has none (1.2)
        uint64_t spi = only(p, side)->spi_i;
        uint32_t was = up(p, side)->spi_in;
        followups = 0;
        p->filter = count_them;
        rekey(p, side, ike);
        pair_wait(p, 10000);
        pair_assert_one(p);
        assert_int_equal(followups, 4); // an exchange each
        assert_true(ike ? only(p, side)->spi_i != spi : up(p, side)->spi_in != was);
        for (int i = 0; i < 2; i++)
            assert_int_equal(suite_addkes(ike ? only(p, i)->suite : up(p, i)->suite), 2);
        assert_nothing_waits(p);
        expiry_rekey(up(p, !side)); // the new IKE SA's keys are the same at both ends
        pair_wait(p, 10000);
        pair_assert_one(p);
        assert_int_equal(p->s[0].ike_down + p->s[1].ike_down, 0);
        pair_free(p);
    }
}

static void test_further_child_sa_has_them_too(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, tune);
    assert_true(create_child_begin(only(p, 0), only(p, 0)->conn, &only(p, 0)->conn->cfg.children[0]));
    pair_run(p);
    assert_int_equal(pair_live(&p->s[0]), 2);
    assert_true(pair_agree(p));
    pair_free(p);
}

static int lose_one(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    return number == *(unsigned *)p->ctx ? 0 : 1;
}

static int double_one(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    return number == *(unsigned *)p->ctx ? 2 : 1;
}

static void test_each_message_lost_or_doubled_is_made_up_for(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        struct pair *p = pair_established(UNIQUE_NO, tune);
        unsigned at = p->sent + i / 4;
        p->filter = i % 2 ? double_one : lose_one;
        p->ctx = &at;
        rekey(p, 0, i & 2);
        pair_wait(p, REST); // the answer to the last DELETE may be what is lost
        pair_assert_one(p);
        assert_nothing_waits(p);
        assert_int_equal(suite_addkes(i & 2 ? only(p, 0)->suite : up(p, 0)->suite), 2);
        pair_free(p);
    }
}

static int weather(struct pair *p, unsigned number, struct datagram *d)
{
    unsigned *seed = p->ctx;
    (void)number;
    (void)d;
    *seed = *seed * 1103515245u + 12345u;
    switch (*seed >> 16 & 15) {
    case 0: return 0;
    case 1: return 2;
    case 2:
    case 3:
    case 4: return -1;
    default: return 1;
    }
}

// Both ends at once, in all sorts of weather: one IKE SA and one CHILD SA stay, and no packet's way was lost.
static void test_both_ends_at_once_end_with_the_same(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 120; n++) {
        struct pair *p = pair_established(UNIQUE_NO, tune);
        unsigned seed = n;
        p->filter = n < 4 ? NULL : weather;
        p->ctx = &seed;
        rekey(p, 0, n & 1);
        rekey(p, 1, n & 2);
        pair_wait(p, 20000);
        p->filter = NULL;
        pair_wait(p, REST);
        pair_assert_one(p);
        assert_nothing_waits(p);
        assert_int_equal(p->s[0].ike_down + p->s[1].ike_down, 0);
        pair_free(p);
    }
}

static int lose_followups(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->data[18] != EX_FOLLOWUP_KE;
}

static unsigned waiting(struct pair *p, int side)
{
    unsigned n = 0;
    for (const struct task *t = only(p, side)->parked; t; t = t->next)
        n++;
    return n;
}

static unsigned children(struct pair *p, int side)
{
    unsigned n = 0;
    for (const struct child_sa *c = only(p, side)->children; c; c = c->next)
        n++;
    return n;
}

// A peer that never goes on: a few of its tasks wait, and none for long.
static void test_what_waits_is_bounded_in_number_and_time(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, tune);
    struct ike_sa *sa = only(p, 0);
    p->filter = lose_followups;
    for (unsigned i = 0; i < 8; i++) {
        assert_true(create_child_begin(sa, sa->conn, &sa->conn->cfg.children[0]));
        pair_run(p);
        if (task_is(sa->active, TASK_CREATE_CHILD))
            exchange_done(sa); // it forgets
        assert_int_equal(waiting(p, 1), i < 4 ? i + 1 : 4);
        assert_int_equal(children(p, 1), 1 + waiting(p, 1));
    }
    pair_wait(p, 19000);
    assert_true(waiting(p, 1) > 0);
    for (struct ike_sa *s = sa; s->queue;) {
        struct task *t = s->queue;
        s->queue = t->next;
        task_free(t);
    }
    pair_wait(p, 2000);
    assert_int_equal(waiting(p, 1), 0);
    assert_int_equal(children(p, 1), 1);
    pair_free(p);
}

// The responder has given up when the request comes at last: another CREATE_CHILD_SA is made.
static void test_what_is_no_longer_known_is_begun_again(void **state)
{
    (void)state;
    for (int ike = 0; ike < 2; ike++) {
        struct pair *p = pair_established(UNIQUE_NO, tune);
        uint32_t was = up(p, 0)->spi_in;
        uint64_t spi = only(p, 0)->spi_i;
        p->filter = lose_followups;
        rekey(p, 0, ike);
        pair_wait(p, 22000);
        p->filter = NULL;
        pair_wait(p, 60000);
        pair_assert_one(p);
        assert_nothing_waits(p);
        assert_true(ike ? only(p, 0)->spi_i != spi : up(p, 0)->spi_in != was);
        pair_free(p);
    }
}

// A link of another exchange, or none: the answer says that it leads nowhere, and what waits goes on.
static void test_request_that_is_linked_to_nothing_is_told_so(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, tune);
    struct ike_sa *sa = only(p, 0);
    uint8_t buf[64];
    struct pb b = pb_of(buf, sizeof(buf));
    p->filter = lose_followups;
    expiry_rekey(up(p, 0));
    pair_run(p);
    assert_int_equal(waiting(p, 1), 1);
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_ADDITIONAL_KEY_EXCHANGE, slice_of("abcde", 5));
    p->filter = NULL;
    exchange_send_inner(sa, EX_FOLLOWUP_KE, &b); // in the place of the one that was lost
    pair_run(p);
    assert_int_equal(waiting(p, 1), 1);
    assert_int_equal(pair_live(&p->s[1]), 1);
    pair_wait(p, REST);
    pair_assert_one(p);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_and_ike_sas_are_rekeyed_with_all_their_key_exchanges),
        cmocka_unit_test(test_further_child_sa_has_them_too),
        cmocka_unit_test(test_each_message_lost_or_doubled_is_made_up_for),
        cmocka_unit_test(test_both_ends_at_once_end_with_the_same),
        cmocka_unit_test(test_what_waits_is_bounded_in_number_and_time),
        cmocka_unit_test(test_what_is_no_longer_known_is_begun_again),
        cmocka_unit_test(test_request_that_is_linked_to_nothing_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
