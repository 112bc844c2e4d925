// SPDX-License-Identifier: Apache-2.0
// CREATE_CHILD_SA: rekeying of CHILD and IKE SAs by either end and by both at once, further CHILD SAs, and
// what crosses what (RFC 7296 sections 1.3, 2.8, 2.25). At rest both ends have the same one IKE SA and CHILD
// SA, whatever the network did, and at no moment had either none.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/ike/create_child.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/shared.h"
#include "tests/unit/ike_pair.h"

enum { REST = 300000, MINUTE = 60000, HOUR = 60 * MINUTE };

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

static struct child_sa *child(struct pair *p, int side)
{
    struct child_sa *found = NULL;
    for (struct child_sa *c = only(p, side)->children; c; c = c->next)
        if (child_is_up(c)) {
            assert_null(found);
            found = c;
        }
    assert_non_null(found);
    return found;
}

static void assert_one(struct pair *p)
{
    for (int i = 0; i < 2; i++)
        if (p->s[i].ike->sa_count != 1 || pair_live(&p->s[i]) != 1)
            fail_msg("side %d: %u IKE SAs and %u CHILD SAs, expected one of each", i, p->s[i].ike->sa_count,
                     pair_live(&p->s[i]));
    assert_true(pair_agree(p));
    assert_int_equal(only(p, 0)->spi_i, only(p, 1)->spi_i);
    assert_int_equal(only(p, 0)->spi_r, only(p, 1)->spi_r);
    assert_int_equal(child(p, 0)->spi_in, child(p, 1)->spi_out);
    // Both say who began this IKE SA, and one of them says that it was itself.
    assert_true(only(p, 0)->initiator != only(p, 1)->initiator);
}

static unsigned counter(const struct pair *p, int side, enum counter c)
{
    return (unsigned)p->s[side].ike->counters[c];
}

static void with_groups(struct conn_config *c, int side)
{
    (void)side;
    pair_proposal(&c->children[0].proposals[0], PROTO_ESP, "aes256gcm16 x25519");
}

static void with_other_groups(struct conn_config *c, int side)
{
    pair_proposal(&c->children[0].proposals[0], PROTO_ESP,
                  side ? "aes256gcm16 ecp256" : "aes256gcm16 x25519 ecp256");
}

static void test_child_is_rekeyed_by_either_end(void **state)
{
    (void)state;
    void (*const tunes[])(struct conn_config *, int) = {NULL, with_groups, with_other_groups};
    for (unsigned t = 0; t < 3; t++) {
        for (int side = 0; side < 2; side++) {
            struct pair *p = pair_established(UNIQUE_NO, tunes[t]);
            for (int n = 0; n < 5; n++) {
                uint32_t before = child(p, 0)->spi_in;
                expiry_rekey(child(p, side));
                pair_run(p);
                assert_true(child(p, 0)->spi_in != before);
                pair_wait(p, 10000); // the old one is let in for a while
                assert_one(p);
                assert_int_equal(child(p, side)->suite->ke.id, t == 0   ? 0
                                                               : t == 1 ? TRID_CURVE_25519
                                                                        : TRID_ECP_256);
            }
            assert_int_equal(counter(p, side, CNT_create_child_out_req), t == 2 && side == 0 ? 6 : 5);
            assert_int_equal(p->s[0].ike_down + p->s[1].ike_down, 0);
            pair_free(p);
        }
    }
}

// Its peer may send by it as soon as it has answered, before the answer is here.
static void test_end_that_asks_for_a_child_has_path_wait_for_its_packets(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        assert_true(pair_sa(&p->s[0], 0)->expected); // it began
        assert_false(pair_sa(&p->s[1], 0)->expected);
        expiry_rekey(child(p, side));
        pair_run(p);
        assert_true(pair_sa(&p->s[side], 1)->expected);
        assert_false(pair_sa(&p->s[!side], 1)->expected);
        pair_free(p);
    }
}

// The end that answers goes on in the old one until the other one has the new one (2.8).
static void test_rekeyed_child_takes_over_outbound_when_the_peer_has_it(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    uint32_t old0 = child(p, 0)->id, old1 = child(p, 1)->id;
    expiry_rekey(child(p, 0));
    pair_run(p);
    struct path_sa *a = pair_sa(&p->s[0], 1), *b = pair_sa(&p->s[1], 1);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(a->child.out_after, 0);
    assert_int_equal(b->child.out_after, 0); // was old1: CHILD_OUTBOUND came with the DELETE
    assert_int_equal(pair_sa(&p->s[0], 0)->child.child_id, old0);
    assert_int_equal(pair_sa(&p->s[1], 0)->child.child_id, old1);
    for (int side = 0; side < 2; side++) // what is deleted sends no more, whatever becomes of its successor
        assert_int_equal(pair_sa(&p->s[side], 0)->child.out_after, side ? old1 : old0);
    pair_wait(p, 4000);
    assert_int_equal(pair_live(&p->s[0]), 2); // both still let the old one's packets in
    pair_wait(p, 2000);
    assert_one(p);
    pair_free(p);
}

static int lose_deletes(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->data[18] != EX_INFORMATIONAL;
}

static void test_answering_end_keeps_sending_in_the_old_one_before_the_delete(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    uint32_t old1 = child(p, 1)->id;
    p->filter = lose_deletes;
    expiry_rekey(child(p, 0));
    pair_run(p);
    assert_int_equal(pair_sa(&p->s[1], 1)->child.out_after, old1);
    assert_int_equal(pair_sa(&p->s[0], 1)->child.out_after, 0);
    p->filter = NULL;
    pair_wait(p, REST);
    assert_one(p);
    pair_free(p);
}

static void test_ike_sa_is_rekeyed_by_either_end(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        for (int n = 0; n < 4; n++) {
            uint64_t before = only(p, 0)->spi_i;
            uint32_t child_spi = child(p, 0)->spi_in;
            rekey_ike(only(p, side));
            pair_run(p);
            assert_one(p);
            assert_true(only(p, 0)->spi_i != before);
            assert_int_equal(only(p, side)->initiator, 1); // of this one
            assert_int_equal(child(p, 0)->spi_in, child_spi);
            expiry_rekey(child(p, 1 - side)); // its keys are good
            pair_wait(p, 10000);
            assert_one(p);
        }
        assert_int_equal(counter(p, 0, CNT_ike_rekeyed), 4);
        assert_int_equal(p->s[0].sa_count, 5); // no CHILD SA was made anew but by its own rekeying
        pair_terminate(p, 1 - side, NULL, false);
        pair_run(p);
        for (int i = 0; i < 2; i++)
            assert_int_equal(p->s[i].ike->sa_count + pair_live(&p->s[i]), 0);
        pair_free(p);
    }
}

static void other_ike_groups(struct conn_config *c, int side)
{
    pair_proposal(&c->proposals[0], PROTO_IKE, "aes256gcm16 prfsha256 x25519 ecp256");
    c->proposal_count = 2;
    pair_proposal(&c->proposals[1], PROTO_IKE, "aes128 sha256 prfsha512 ecp256");
    (void)side;
}

static void test_ike_sa_rekeyed_to_another_prf_has_keys_that_work(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, other_ike_groups);
    for (int i = 0; i < 2; i++) { // from now on another suite is wished for first
        struct conn_config *c = &only(p, i)->conn->cfg;
        struct proposal turned[2];
        proposal_copy(&turned[0], &c->proposals[1]);
        proposal_copy(&turned[1], &c->proposals[0]);
        shared_put(c->proposals);
        c->proposals = shared_get(&p->s[i].ike->shared, turned, sizeof(turned));
        assert_non_null(c->proposals);
    }
    rekey_ike(only(p, 0));
    pair_run(p);
    assert_one(p);
    assert_int_equal(only(p, 1)->suite->prf.id, TRID_PRF_HMAC_SHA2_512);
    assert_int_equal(only(p, 1)->suite->ke.id, TRID_ECP_256);
    expiry_rekey(child(p, 1));
    pair_wait(p, 10000);
    assert_one(p);
    rekey_ike(only(p, 1)); // from the longer PRF's SK_d
    pair_wait(p, 10000);
    assert_one(p);
    pair_free(p);
}

static void test_operator_rekeys_what_matches(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, pair_two_children);
    pair_initiate(p, 0, "d");
    pair_run(p);
    const struct {
        const char *conn, *child;
        bool reauth;
        const char *matches;
    } cases[] = {{"t", "", false, "1"}, {"", "c", false, "1"}, {"t", "d", false, "1"},
                 {"t", "", true, "1"},  {"x", "", false, "0"}, {"x", "c", false, "0"}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t ike = only(p, 0)->spi_i, before = counter(p, 0, CNT_child_rekeyed);
        struct msg_REKEY m = {.req = 5000 + i, .reauth = cases[i].reauth};
        snprintf(m.conn, sizeof(m.conn), "%s", cases[i].conn);
        snprintf(m.child, sizeof(m.child), "%s", cases[i].child);
        ipc_send(p->s[0].ctl_ike, MSG_REKEY, &m);
        pair_run(p);
        assert_int_equal(p->s[0].last_req, m.req);
        assert_string_equal(p->s[0].last_text, cases[i].matches);
        assert_int_equal(p->s[0].last_ok, cases[i].matches[0] != '0');
        pair_wait(p, 20000);
        assert_int_equal(p->s[1].ike->sa_count, 1);
        assert_int_equal(pair_live(&p->s[1]), 2);
        assert_true((only(p, 0)->spi_i != ike) == (i == 0 || i == 3));
        assert_true((counter(p, 0, CNT_child_rekeyed) != before) == (i == 1 || i == 2));
    }
    pair_free(p);
}

static void test_asking_many_times_rekeys_once(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    for (int i = 0; i < 1000; i++) {
        rekey_ike(only(p, 0));
        expiry_rekey(child(p, 0));
    }
    pair_wait(p, 20000);
    assert_one(p);
    assert_int_equal(counter(p, 0, CNT_create_child_out_req), 2);
    pair_free(p);
}

// --- both at once (2.8.1, 2.8.2) ---

static void test_both_ends_rekey_the_child_at_once(void **state)
{
    (void)state;
    unsigned lost[2] = {0};
    for (int n = 0; n < 40; n++) {
        struct pair *p = pair_established(UNIQUE_NO, n & 1 ? with_groups : NULL);
        expiry_rekey(child(p, 0));
        expiry_rekey(child(p, 1));
        pair_run(p);
        pair_wait(p, 10000);
        assert_one(p);
        assert_int_equal(counter(p, 0, CNT_create_child_in_req) + counter(p, 1, CNT_create_child_in_req), 2);
        for (int i = 0; i < 2; i++)
            lost[i] += pair_sa(&p->s[i], 0)->child.spi_in == p->s[i].sas[1].child.spi_in;
        pair_free(p);
    }
    assert_true(lost[0] && lost[1]); // the nonces decide, not the role
}

static int lose_answers_of_the_first(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)number;
    return d->to == 0 || d->data[18] != EX_CREATE_CHILD || !(d->data[19] & FLAG_RESPONSE);
}

static int lose_requests_of_the_second(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)number;
    return d->to == 1 || (d->data[19] & FLAG_RESPONSE);
}

static const struct child_sa *by_spi(struct pair *p, uint32_t spi_in)
{
    const struct child_sa *c = only(p, 0)->children;
    while (c && c->spi_in != spi_in)
        c = c->next;
    return c;
}

// Both rekey, and the second end does not hear for a while that the first has answered it. True: that one's
// own rekeying has won.
static bool won_and_not_heard(struct pair *p, uint32_t old)
{
    expiry_rekey(child(p, 0));
    expiry_rekey(child(p, 1));
    p->filter = lose_answers_of_the_first;
    pair_run(p);
    assert_non_null(by_spi(p, old));
    assert_int_equal(by_spi(p, old)->state, CHILD_REKEYED);
    return by_spi(p, old)->loser != 0;
}

// The old one goes when the peer is known to have come to the end of its own rekeying, or after a while.
static void test_end_whose_rekeying_wins_deletes_behind_the_loser(void **state)
{
    (void)state;
    unsigned won = 0;
    for (int n = 0; n < 40 && won < 8; n++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        uint32_t old = child(p, 0)->spi_in;
        if (won_and_not_heard(p, old)) {
            won++;
            assert_int_equal(counter(p, 0, CNT_info_out_req), 0);
            p->filter = won & 1 ? NULL : lose_requests_of_the_second;
            pair_wait(p, 5000);
            assert_int_equal(by_spi(p, old)->state, won & 1 ? CHILD_DELETED : CHILD_REKEYED);
            pair_wait(p, 6000);
            assert_true(!by_spi(p, old) || by_spi(p, old)->state == CHILD_DELETED);
        }
        p->filter = NULL;
        pair_wait(p, 30000);
        assert_one(p);
        pair_free(p);
    }
    assert_int_equal(won, 8);
}

static void test_both_ends_rekey_the_ike_sa_at_once(void **state)
{
    (void)state;
    for (int n = 0; n < 20; n++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        rekey_ike(only(p, 0));
        rekey_ike(only(p, 1));
        pair_wait(p, 10000);
        assert_one(p);
        assert_int_equal(p->s[0].ike_down, p->s[0].ike_up - 1);
        expiry_rekey(child(p, n & 1));
        pair_wait(p, 10000);
        assert_one(p);
        pair_free(p);
    }
}

static void test_rekeying_of_child_and_ike_sa_cross_and_both_come_about(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        uint32_t spi = child(p, 0)->spi_in;
        uint64_t ike_spi = only(p, 0)->spi_i;
        expiry_rekey(child(p, side));
        rekey_ike(only(p, 1 - side));
        pair_wait(p, 60000);
        assert_one(p);
        assert_true(child(p, 0)->spi_in != spi);
        assert_true(only(p, 0)->spi_i != ike_spi);
        pair_free(p);
    }
}

static void test_rekeying_crosses_a_delete_and_nothing_is_left(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        if (what & 1)
            rekey_ike(only(p, 0));
        else
            expiry_rekey(child(p, 0));
        pair_terminate(p, 1, what & 2 ? NULL : "c", false);
        pair_wait(p, REST);
        for (int i = 0; i < 2; i++)
            assert_int_equal(p->s[i].ike->sa_count + pair_live(&p->s[i]), 0);
        pair_free(p);
    }
}

// --- what a peer answers ---

static void test_child_that_the_peer_does_not_know_is_made_anew(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    child_destroy(child(p, 1)); // lost there, and nobody said so
    expiry_rekey(child(p, 0));
    pair_wait(p, 10000);
    assert_one(p);
    pair_free(p);
}

static void no_pfs_here(struct conn_config *c, int side)
{
    pair_proposal(&c->children[0].proposals[0], PROTO_ESP, side ? "aes256gcm16" : "aes256gcm16 x25519");
}

static void test_rekeying_that_is_refused_leaves_the_old_one_and_is_tried_again(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, no_pfs_here);
    uint32_t spi = child(p, 0)->spi_in;
    expiry_rekey(child(p, 0));
    pair_wait(p, 60000);
    assert_one(p);
    assert_int_equal(child(p, 0)->spi_in, spi);
    assert_int_equal(p->s[0].expected, 0); // and path waits for no packets of what was refused
    assert_true(counter(p, 0, CNT_create_child_out_req) > 5);
    pair_free(p);
}

static void test_install_that_fails_at_either_end_leaves_the_old_one(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        uint32_t spi = child(p, 0)->spi_in;
        p->s[side].refuse_install = true;
        expiry_rekey(child(p, 0));
        pair_run(p);
        assert_int_equal(child(p, 0)->spi_in, spi);
        p->s[side].refuse_install = false;
        pair_wait(p, 60000);
        assert_one(p);
        assert_true(child(p, 0)->spi_in != spi);
        pair_free(p);
    }
}

static uint32_t newest_policy(const struct side *s)
{
    return s->sas[s->sa_count - 1].child.policy_id;
}

static void edit_selectors(struct conn_config *c)
{
    pair_own_selectors(&c->children[0]);
    c->children[0].local_ts->t[0].lo[1] = c->children[0].local_ts->t[0].hi[1] = 99;
}

// What an edit has made another child of is rekeyed as what it was; an edit of something else changes
// nothing.
static void test_child_that_was_edited_since_is_rekeyed_under_its_own_policy(void **state)
{
    (void)state;
    for (int n = 0; n < 8; n++) {
        int editor = n & 1, rekeys = n >> 1 & 1;
        struct pair *p = pair_established(UNIQUE_NO, NULL);
        struct conn_config c;
        uint32_t before = newest_policy(&p->s[editor]);
        pair_default_conn(&c, editor);
        if (n & 4)
            edit_selectors(&c);
        else
            c.children[0].inactivity = 4000;
        pair_load(p, editor, &c);
        assert_true((p->s[editor].policy->id == before) == !(n & 4));
        expiry_rekey(child(p, rekeys));
        pair_wait(p, 10000);
        assert_one(p);
        assert_int_equal(newest_policy(&p->s[editor]), before);
        pair_free(p);
    }
}

static void dynamic_selectors(struct conn_config *c, int side)
{
    (void)side;
    pair_own_selectors(&c->children[0]);
    c->children[0].local_ts->t[0] = c->children[0].remote_ts->t[0] = (struct ts){.port_hi = 65535};
}

// The same selectors, of other ends: another policy.
static void test_child_whose_ends_were_edited_since_is_rekeyed_under_its_own_policy(void **state)
{
    (void)state;
    for (int n = 0; n < 4; n++) {
        int editor = n & 1, rekeys = n >> 1;
        struct pair *p = pair_established(UNIQUE_NO, dynamic_selectors);
        struct conn_config c;
        uint32_t before = newest_policy(&p->s[editor]);
        pair_default_conn(&c, editor);
        dynamic_selectors(&c, editor);
        assert_int_equal(addr_parse("10.9.9.9", &c.remote_addrs[0]), true);
        pair_load(p, editor, &c);
        assert_int_not_equal(p->s[editor].policy->id, before);
        expiry_rekey(child(p, rekeys));
        pair_wait(p, 10000);
        assert_one(p);
        assert_int_equal(newest_policy(&p->s[editor]), before);
        pair_free(p);
    }
}

static int lose_first_auth(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    if (d->data[18] != EX_AUTH)
        return 1;
    p->filter = NULL;
    return 0;
}

// What begins goes by what is loaded: path has no other policy for it.
static void test_first_child_of_a_connection_that_was_edited_meanwhile_goes_by_the_new_policy(void **state)
{
    (void)state;
    for (int editor = 0; editor < 2; editor++) {
        struct pair *p = pair_loaded(UNIQUE_NO, NULL);
        struct conn_config c;
        p->filter = lose_first_auth;
        pair_initiate(p, 0, "c");
        pair_run(p);
        assert_null(p->filter);
        uint32_t before = p->s[editor].policy->id;
        pair_default_conn(&c, editor);
        pair_own_selectors(&c.children[0]); // wider
        c.children[0].local_ts->t[0].lo[1] = 0;
        pair_load(p, editor, &c);
        assert_int_not_equal(p->s[editor].policy->id, before);
        pair_wait(p, 10000);
        assert_one(p);
        assert_int_equal(newest_policy(&p->s[editor]), p->s[editor].policy->id);
        pair_free(p);
    }
}

// --- further CHILD SAs ---

static void test_second_child_comes_on_the_same_ike_sa(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_established(UNIQUE_NO, pair_two_children);
        uint32_t req = pair_initiate(p, side, "d");
        pair_run(p);
        pair_result(p, side, req, true);
        assert_int_equal(p->s[0].ike->sa_count, 1);
        assert_int_equal(pair_live(&p->s[0]), 2);
        assert_true(pair_agree(p));
        rekey_ike(only(p, side));
        pair_run(p);
        assert_int_equal(p->s[0].ike->sa_count, 1);
        assert_int_equal(pair_live(&p->s[1]), 2);
        pair_terminate(p, 1 - side, "d", false);
        pair_run(p);
        assert_one(p);
        pair_free(p);
    }
}

static void test_both_ends_make_the_same_child_and_nothing_fails(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, pair_two_children);
    create_child_begin(only(p, 0), only(p, 0)->conn, conn_child(only(p, 0)->conn, "d"));
    create_child_begin(only(p, 1), only(p, 1)->conn, conn_child(only(p, 1)->conn, "d"));
    pair_wait(p, 10000);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_int_equal(pair_live(&p->s[0]), pair_live(&p->s[1]));
    assert_true(pair_live(&p->s[0]) >= 2);
    pair_free(p);
}

static void test_idle_child_is_closed_and_does_not_come_back_by_itself(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, pair_two_children);
    struct msg_CHILD_EVENT m = {.event = CHILD_EVENT_IDLE, .child_id = child(p, 0)->id};
    ipc_send(p->s[0].path_ike, MSG_CHILD_EVENT, &m);
    pair_wait(p, MINUTE);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p->s[i].ike->sa_count + pair_live(&p->s[i]), 0);
    pair_free(p);
}

// --- lifetimes ---

static void short_lives(struct conn_config *c, int side)
{
    (void)side;
    c->rekey_time = 600;
    c->over_time = c->rand_time = 60;
    c->children[0].rekey_time = 120;
    c->children[0].life_time = 132;
    c->children[0].rand_time = 12;
}

static void live_for(struct pair *p, uint64_t ms)
{
    for (uint64_t end = pair_clock + ms; pair_clock < end;) {
        pair_wait(p, 1000);
        for (int i = 0; i < 2; i++) {
            pair_forget_deleted(&p->s[i]);
            if (!pair_live(&p->s[i]))
                fail_msg("side %d has no CHILD SA at %llu ms", i, (unsigned long long)pair_clock);
        }
    }
}

static void test_day_of_rekeying_never_leaves_an_end_without_a_child(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, short_lives);
    live_for(p, 24 * (uint64_t)HOUR);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(counter(p, i, CNT_established), 1); // nothing was ever made from scratch
        assert_true(counter(p, i, CNT_child_rekeyed) >= 24 * 30);
        assert_true(counter(p, i, CNT_ike_rekeyed) >= 24 * 6);
    }
    pair_free(p);
}

static void only_one_rekeys(struct conn_config *c, int side)
{
    short_lives(c, side);
    if (side)
        return;
    c->rekey_time = c->over_time = c->children[0].rekey_time = c->children[0].life_time = 0;
}

static void without_jitter(struct conn_config *c, int side)
{
    short_lives(c, side);
    c->rand_time = c->children[0].rand_time = 0;
}

// Both ends rekey in the same millisecond, each time.
static void test_day_without_jitter_collides_and_loses_nothing(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, without_jitter);
    live_for(p, 6 * (uint64_t)HOUR);
    for (int i = 0; i < 2; i++)
        assert_int_equal(counter(p, i, CNT_established), 1);
    pair_free(p);
}

static void test_lives_of_one_end_suffice(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, only_one_rekeys);
    live_for(p, 2 * HOUR);
    assert_true(counter(p, 1, CNT_create_child_out_req) > 60);
    assert_int_equal(counter(p, 0, CNT_create_child_out_req), 0);
    pair_free(p);
}

static void reauthenticating(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    if (side == 0) {
        c->reauth_time = 300;
        c->over_time = c->rand_time = 30;
    }
}

static void reauthenticating_alone(struct conn_config *c, int side)
{
    reauthenticating(c, side);
    c->unique = UNIQUE_REPLACE;
}

static void rekeying_and_reauthenticating(struct conn_config *c, int side)
{
    reauthenticating(c, side);
    c->rekey_time = side ? 90 : 100; // by either end
    c->over_time = c->rand_time = 30;
}

static void reauthenticates(void (*tune)(struct conn_config *, int))
{
    struct pair *p = pair_established(UNIQUE_NO, tune);
    pair_initiate(p, 0, "d");
    pair_run(p);
    assert_int_equal(pair_live(&p->s[0]), 2);
    for (int n = 0; n < 2000; n++) {
        pair_wait(p, 1000);
        for (int i = 0; i < 2; i++) {
            pair_forget_deleted(&p->s[i]);
            assert_true(pair_live(&p->s[i]) >= 2);
        }
    }
    assert_true(counter(p, 0, CNT_established) >= 6);
    for (int n = 0; n < 30 && p->s[1].ike->sa_count != 1; n++) // one may be at it just now
        pair_wait(p, 1000);
    assert_int_equal(p->s[1].ike->sa_count, 1);
    pair_free(p);
}

static void test_reauthentication_makes_all_children_before_it_breaks(void **state)
{
    (void)state;
    reauthenticates(reauthenticating);
    reauthenticates(reauthenticating_alone);
    reauthenticates(rekeying_and_reauthenticating);
}

static void lives_without_rekey(struct conn_config *c, int side)
{
    (void)side;
    c->children[0].life_time = 100;
}

static void test_life_time_ends_the_child_and_brings_another(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, lives_without_rekey);
    uint32_t spi = child(p, 0)->spi_in;
    pair_wait(p, 99 * 1000);
    assert_int_equal(child(p, 0)->spi_in, spi);
    pair_wait(p, 20 * 1000);
    assert_one(p);
    assert_true(child(p, 0)->spi_in != spi);
    pair_free(p);
}

// --- a bad network ---

static uint64_t rnd(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static int bad_network(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    (void)d;
    unsigned r = (unsigned)(rnd(p->ctx) % 100);
    return r < 15 ? 0 : r < 30 ? 2 : r < 50 ? -1 : 1;
}

static void some_rekeying(struct pair *p, uint64_t *seed)
{
    int side = (int)(rnd(seed) & 1);
    struct ike_sa *sa = p->s[side].ike->sas;
    for (unsigned skip = (unsigned)(rnd(seed) % 2); sa && sa->next && skip; skip--)
        sa = sa->next;
    if (!sa)
        return;
    if (rnd(seed) % 3 == 0)
        rekey_ike(sa);
    else if (sa->children)
        expiry_rekey(sa->children);
}

static void test_rekeying_over_a_bad_network_always_comes_to_rest_with_one(void **state)
{
    (void)state;
    const char *first = getenv("SEED"), *count = getenv("COUNT");
    uint64_t from = first ? strtoull(first, NULL, 0) : 1, n = count ? strtoull(count, NULL, 0) : 150;
    for (uint64_t i = from; i < from + n; i++) {
        uint64_t seed = i * 0x9e3779b97f4a7c15u | 1;
        struct pair *p = pair_established(UNIQUE_NO, i & 1 ? with_groups : NULL);
        p->filter = bad_network;
        p->ctx = &seed;
        for (int k = 0; k < 12; k++) {
            for (unsigned a = (unsigned)(rnd(&seed) % 3); a; a--)
                some_rekeying(p, &seed);
            pair_wait(p, rnd(&seed) % 8000);
            for (int s = 0; s < 2; s++) {
                pair_forget_deleted(&p->s[s]);
                if (!pair_live(&p->s[s]))
                    fail_msg("seed %llu: side %d is without a CHILD SA", (unsigned long long)i, s);
            }
        }
        p->filter = NULL;
        pair_wait(p, REST);
        if (p->s[0].ike->sa_count != 1 || p->s[1].ike->sa_count != 1 || pair_live(&p->s[0]) != 1 ||
            pair_live(&p->s[1]) != 1 || !pair_agree(p))
            fail_msg("seed %llu: %u and %u IKE SAs, %u and %u CHILD SAs at rest", (unsigned long long)i,
                     p->s[0].ike->sa_count, p->s[1].ike->sa_count, pair_live(&p->s[0]), pair_live(&p->s[1]));
        assert_one(p);
        pair_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_is_rekeyed_by_either_end),
        cmocka_unit_test(test_end_that_asks_for_a_child_has_path_wait_for_its_packets),
        cmocka_unit_test(test_rekeyed_child_takes_over_outbound_when_the_peer_has_it),
        cmocka_unit_test(test_answering_end_keeps_sending_in_the_old_one_before_the_delete),
        cmocka_unit_test(test_ike_sa_is_rekeyed_by_either_end),
        cmocka_unit_test(test_ike_sa_rekeyed_to_another_prf_has_keys_that_work),
        cmocka_unit_test(test_operator_rekeys_what_matches),
        cmocka_unit_test(test_asking_many_times_rekeys_once),
        cmocka_unit_test(test_both_ends_rekey_the_child_at_once),
        cmocka_unit_test(test_end_whose_rekeying_wins_deletes_behind_the_loser),
        cmocka_unit_test(test_both_ends_rekey_the_ike_sa_at_once),
        cmocka_unit_test(test_rekeying_of_child_and_ike_sa_cross_and_both_come_about),
        cmocka_unit_test(test_rekeying_crosses_a_delete_and_nothing_is_left),
        cmocka_unit_test(test_child_that_the_peer_does_not_know_is_made_anew),
        cmocka_unit_test(test_rekeying_that_is_refused_leaves_the_old_one_and_is_tried_again),
        cmocka_unit_test(test_install_that_fails_at_either_end_leaves_the_old_one),
        cmocka_unit_test(test_child_that_was_edited_since_is_rekeyed_under_its_own_policy),
        cmocka_unit_test(test_child_whose_ends_were_edited_since_is_rekeyed_under_its_own_policy),
        cmocka_unit_test(test_first_child_of_a_connection_that_was_edited_meanwhile_goes_by_the_new_policy),
        cmocka_unit_test(test_second_child_comes_on_the_same_ike_sa),
        cmocka_unit_test(test_both_ends_make_the_same_child_and_nothing_fails),
        cmocka_unit_test(test_idle_child_is_closed_and_does_not_come_back_by_itself),
        cmocka_unit_test(test_day_of_rekeying_never_leaves_an_end_without_a_child),
        cmocka_unit_test(test_day_without_jitter_collides_and_loses_nothing),
        cmocka_unit_test(test_lives_of_one_end_suffice),
        cmocka_unit_test(test_reauthentication_makes_all_children_before_it_breaks),
        cmocka_unit_test(test_life_time_ends_the_child_and_brings_another),
        cmocka_unit_test(test_rekeying_over_a_bad_network_always_comes_to_rest_with_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
