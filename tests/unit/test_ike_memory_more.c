// SPDX-License-Identifier: Apache-2.0
// Exchanges between two daemons in which each allocation fails once, at either end: rekeying with additional
// key exchanges, IKE SAs that begin without a CHILD SA, redirection, two rounds of authentication with a PPK
// in IKE_INTERMEDIATE. Nobody falls, nothing stays at work, and when memory is there again both ends come to
// the same SAs.
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/create_child.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/initiate.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/rekey_ike.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/no_memory.h"

enum { REST = 600000, MOST = 2000 };

static void tune(struct conn_config *c, int side)
{
    c->dpd_delay = 30; // an end that had no memory for a message has given its IKE SA up
    c->childless = CHILDLESS_PREFER;
    if (side == 1)
        c->local_count = 0; // every address
    pair_proposal(&c->proposals[0], PROTO_IKE, "aes256gcm16 prfsha256 x25519 ke1_ecp256");
    pair_proposal(&c->children[0].proposals[0], PROTO_ESP, "aes256gcm16 x25519 ke1_ecp256");
}

static struct ike_sa *sa_of(struct pair *p, int side)
{
    return p->s[side].ike->sas;
}

static void rekey_child(struct pair *p)
{
    expiry_rekey(sa_of(p, 0)->children);
}

static void rekey_of_the_peer(struct pair *p)
{
    expiry_rekey(sa_of(p, 1)->children);
}

static void rekey_sa(struct pair *p)
{
    rekey_ike(sa_of(p, 0));
}

static void begin(struct pair *p)
{
    struct msg_INITIATE m = {.req = 5};
    snprintf(m.child, sizeof(m.child), "c");
    ipc_send(p->s[0].ctl_ike, MSG_INITIATE, &m);
}

static void send_away(struct pair *p)
{
    struct msg_REDIRECT m = {.req = 99};
    addr_parse("10.0.0.3", &m.gateway);
    snprintf(m.conn, sizeof(m.conn), "t");
    ipc_send(p->s[1].ctl_ike, MSG_REDIRECT, &m);
}

static void each_allocation_fails(struct pair *(*start)(uint8_t, pair_tune), void (*act)(struct pair *p))
{
    unsigned n = 0;
    for (bool hit = true; hit;) {
        struct pair *p = start(UNIQUE_REPLACE, tune);
        struct timer first = {0}; // the loop ends a daemon that has no memory for its timers (loop.c)
        timer_set(p->loop, &first, UINT64_MAX);
        timer_stop(p->loop, &first);
        no_memory_at(++n);
        act(p);
        pair_run(p);
        hit = no_memory_end();
        pair_wait(p, REST);
        for (int i = 0; i < 2; i++)
            for (const struct ike_sa *sa = sa_of(p, i); sa; sa = sa->next)
                if (sa->active || sa->passive || sa->parked || sa->queue)
                    fail_msg("allocation %u: side %d is still at work", n, i);
        if (p->s[0].ike->sa_count != p->s[1].ike->sa_count || !pair_agree(p))
            fail_msg("allocation %u: %u and %u IKE SAs, %u and %u CHILD SAs", n, p->s[0].ike->sa_count,
                     p->s[1].ike->sa_count, pair_live(&p->s[0]), pair_live(&p->s[1]));
        pair_free(p);
        assert_true(n < MOST);
    }
    assert_true(n > 20);
}

static void test_rekeying_of_a_child_sa(void **state)
{
    (void)state;
    each_allocation_fails(pair_established, rekey_child);
    each_allocation_fails(pair_established, rekey_of_the_peer);
}

static void test_rekeying_of_an_ike_sa(void **state)
{
    (void)state;
    each_allocation_fails(pair_established, rekey_sa);
}

static void test_an_ike_sa_that_begins_without_a_child_sa(void **state)
{
    (void)state;
    each_allocation_fails(pair_loaded, begin);
}

static void test_redirection(void **state)
{
    (void)state;
    each_allocation_fails(pair_established, send_away);
}

static void tune_restart(struct conn_config *c, int side)
{
    c->children[0].dpd_action = side == 0 ? DPD_START : DPD_NONE;
}

static void test_what_is_lost_without_memory_comes_back_with_it(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune_restart);
    struct ike *ike = p->s[0].ike;
    struct conn *c = conn_find(ike, "t");
    for (int i = 0; i < 2; i++)
        sa_destroy(sa_of(p, i));
    pair_run(p);
    timer_set(p->loop, &ike->missed, UINT64_MAX); // the loop has room for it
    no_memory_from(1);
    ike->events->child_lost(ike, c, "c", LOST_DEAD);
    assert_true(no_memory_end());
    assert_int_equal(ike->sa_count, 0);
    pair_wait(p, 3000);
    pair_assert_one(p);
    pair_free(p);
}

// ---- what is to be asked of the peer

static struct child_sa *child_of(struct pair *p)
{
    struct ike_sa *sa = sa_of(p, 0);
    assert_non_null(sa);
    assert_non_null(sa->children);
    return sa->children;
}

static void test_a_limit_met_without_memory_ends_the_child_and_it_comes_back(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune_restart);
    uint32_t spi = child_of(p)->spi_in;
    timer_set(p->loop, &p->s[0].ike->missed, UINT64_MAX);
    no_memory_from(1);
    expiry_limit(child_of(p), "");
    assert_true(no_memory_end());
    pair_wait(p, 60000);
    pair_assert_one(p);
    assert_int_not_equal(child_of(p)->spi_in, spi);
    pair_free(p);
}

static void test_a_rekeying_that_finds_no_memory_is_asked_for_again(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune_restart);
    uint32_t spi = child_of(p)->spi_in;
    uint64_t spi_i = sa_of(p, 0)->spi_i;
    no_memory_from(1);
    expiry_rekey(child_of(p));
    assert_true(no_memory_end());
    pair_wait(p, 60000);
    pair_assert_one(p);
    assert_int_not_equal(child_of(p)->spi_in, spi);
    no_memory_from(1);
    rekey_ike(sa_of(p, 0));
    assert_true(no_memory_end());
    pair_wait(p, 60000);
    pair_assert_one(p);
    assert_int_not_equal(sa_of(p, 0)->spi_i, spi_i);
    pair_free(p);
}

static void tune_ends(struct conn_config *c, int side)
{
    (void)side;
    c->dpd_delay = 30;
}

static bool has_child(struct pair *p, int side, uint32_t id)
{
    const struct child_sa *c = sa_of(p, side)->children;
    while (c && c->id != id)
        c = c->next;
    return c != NULL;
}

static void test_what_lingers_goes_in_time_where_its_delete_finds_no_memory(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune_restart);
    struct child_sa *old = child_of(p);
    uint32_t id = old->id;
    expiry_rekey(old);
    pair_run(p);
    assert_int_equal(old->state, CHILD_DELETED);
    pair_wait(p, 2000);
    no_memory_from(1);
    exchange_queue(old->sa, TASK_DELETE_CHILD, id);
    assert_true(no_memory_end());
    pair_wait(p, 2000);
    assert_true(has_child(p, 0, id));
    pair_wait(p, 2000);
    assert_false(has_child(p, 0, id));
    pair_assert_one(p);
    pair_free(p);
}

static int hold_own_install(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    if (d->to == 0 && d->data[18] == EX_CREATE_CHILD && (d->data[19] & FLAG_RESPONSE))
        p->s[0].hold_install = true;
    return 1;
}

// Both ends rekey at once, and a DELETE of the old one, which has reached a limit of the peer's where ours is
// to stay, comes before the answer to our own rekeying is worked off.
static struct pair *whose_peer_was_quicker(uint32_t *old)
{
    struct pair *p = pair_established(UNIQUE_NO, tune_ends);
    struct child_sa *c = child_of(p);
    *old = c->id;
    p->filter = hold_own_install;
    expiry_rekey(c);
    expiry_rekey(sa_of(p, 1)->children);
    pair_run(p);
    p->filter = NULL;
    if (c->state != CHILD_DELETED)
        exchange_queue(sa_of(p, 1), TASK_DELETE_CHILD, sa_of(p, 1)->children->id);
    pair_run(p);
    assert_int_equal(c->state, CHILD_DELETED);
    return p;
}

// Whose rekeying counts is left to chance: both do.
static void test_old_one_of_a_crossing_goes_in_time_whatever_finds_no_memory(void **state)
{
    enum { CHANCES = 12, SETTLED = 20000 };
    uint32_t old;
    (void)state;
    for (unsigned chance = 0; chance < CHANCES; chance++) {
        bool hit = true;
        for (unsigned n = 1; hit; n++) {
            struct pair *p = whose_peer_was_quicker(&old);
            no_memory_at(n);
            pair_release(&p->s[0]);
            pair_run(p);
            hit = no_memory_end();
            pair_wait(p, SETTLED);
            assert_false(sa_of(p, 0) && has_child(p, 0, old));
            pair_free(p);
        }
    }
}

static void tune_mobike(struct conn_config *c, int side)
{
    (void)side;
    c->mobike = true;
    c->local_count = 0;
}

static void test_another_address_that_finds_no_memory_is_told_later(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune_mobike);
    struct ike_sa *sa = sa_of(p, 0);
    assert_true(sa->later->mobike.on && sa->later->mobike.decides);
    sa->later->mobike.untold = true;
    no_memory_from(1);
    mobike_ask(sa);
    assert_true(no_memory_end());
    assert_true(sa->later->mobike.untold);
    pair_wait(p, 3000);
    assert_false(sa->later->mobike.untold);
    pair_free(p);
}

static int lose_informational(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->data[18] != EX_INFORMATIONAL;
}

// ---- what is to go has no successor

static unsigned declined;
static void count_declined(void *ctx, enum log_subsys s, int level, const char *name, unsigned id,
                           const char *text)
{
    (void)ctx, (void)s, (void)level, (void)name, (void)id;
    declined += strstr(text, "about to be deleted, sending TEMPORARY_FAILURE") != NULL;
}

static void count_declines(bool on)
{
    declined = 0;
    log_set_output(on ? -1 : 2);
    log_set_all(on ? 1 : -1);
    log_set_sink(on ? count_declined : NULL, NULL);
}

static void event(struct pair *p, enum child_event e)
{
    struct msg_CHILD_EVENT m = {.child_id = child_of(p)->id, .event = e};
    ipc_send(p->s[0].path_ike, MSG_CHILD_EVENT, &m);
    pair_run(p);
}

static void idle_without_memory(struct pair *p)
{
    struct msg_CHILD_EVENT m = {.child_id = child_of(p)->id, .event = CHILD_EVENT_IDLE};
    ipc_send(p->s[0].path_ike, MSG_CHILD_EVENT, &m);
    no_memory_from(1);
    pair_run(p);
    assert_true(no_memory_end());
    assert_true(child_of(p)->undeleted);
}

static void assert_gone(struct pair *p)
{
    pair_wait(p, REST);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pair_live(&p->s[i]), 0);
        assert_int_equal(p->s[i].sa_count, 1);
    }
}

static void test_what_waits_for_memory_to_be_deleted_is_not_rekeyed(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune_ends);
    count_declines(true);
    idle_without_memory(p);
    rekey_of_the_peer(p);
    pair_run(p);
    assert_int_equal(declined, 1);
    event(p, CHILD_EVENT_SOFT_LIMIT);
    event(p, CHILD_EVENT_MOVED);
    assert_true(child_of(p)->undeleted);
    assert_int_equal(p->s[0].sa_count, 1);
    pair_wait(p, 1100);
    assert_gone(p);
    count_declines(false);
    pair_free(p);
}

static void ask_in_vain(struct pair *p)
{
    p->filter = lose_informational;
    exchange_queue(sa_of(p, 0), TASK_LIVENESS, 0);
    pair_run(p);
}

static void test_what_waits_for_its_turn_to_be_deleted_is_not_rekeyed(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune_ends);
    count_declines(true);
    ask_in_vain(p);
    event(p, CHILD_EVENT_IDLE);
    rekey_of_the_peer(p);
    pair_run(p);
    assert_int_equal(declined, 1);
    p->filter = NULL;
    assert_gone(p);
    count_declines(false);
    pair_free(p);
}

static void test_rekeying_that_waits_for_its_turn_is_not_begun_for_what_is_to_go(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, tune_ends);
    ask_in_vain(p);
    event(p, CHILD_EVENT_SOFT_LIMIT);
    assert_true(task_is_asked(sa_of(p, 0), TASK_REKEY_CHILD, child_of(p)->id));
    idle_without_memory(p);
    p->filter = NULL;
    assert_gone(p);
    pair_free(p);
}

// Whichever allocation it is: the operator is told that it failed, or the CHILD SA goes, at both ends.
static void terminated_without_memory(bool force)
{
    for (unsigned n = 1, hit = 1; hit; n++) {
        struct pair *p = pair_established(UNIQUE_REPLACE, tune_ends);
        p->s[0].results = 0;
        no_memory_at(n);
        pair_terminate(p, 0, "c", force);
        hit = no_memory_end();
        pair_wait(p, REST);
        assert_int_equal(p->s[0].results, 1);
        if (p->s[0].last_ok) {
            assert_null(sa_of(p, 0) ? sa_of(p, 0)->children : NULL);
            assert_null(sa_of(p, 1) ? sa_of(p, 1)->children : NULL);
        }
        pair_free(p);
    }
}

static void test_ending_a_child_without_memory(void **state)
{
    (void)state;
    terminated_without_memory(false);
    terminated_without_memory(true);
}

static struct pair *that_resumes(uint8_t unique, pair_tune how)
{
    struct pair *p = pair_loaded(unique, how);
    for (int i = 0; i < 2; i++)
        p->s[i].ike->set.session_resumption = true;
    return p;
}

static struct pair *given_up(uint8_t unique, pair_tune how)
{
    struct pair *p = that_resumes(unique, how);
    pair_initiate(p, 0, "c");
    p->filter = pair_lose_all;
    pair_wait(p, REST / 2);
    p->filter = NULL;
    assert_int_equal(p->s[0].ike->sa_count, 0);
    return p;
}

static struct pair *with_a_ticket(uint8_t unique, pair_tune how)
{
    struct pair *p = that_resumes(unique, how);
    pair_initiate(p, 0, "c");
    return p;
}

static void test_tickets_and_resumption(void **state)
{
    (void)state;
    each_allocation_fails(that_resumes, begin);
    each_allocation_fails(with_a_ticket, rekey_sa);
    each_allocation_fails(given_up, begin);
}

static void prove_again(struct conn_config *c, bool local)
{
    struct auth_side *s = conn_add_round(c, local);
    assert_non_null(s);
    s->auth = AUTH_PSK;
    s->id = local ? c->local.id : c->remote.id;
}

static struct pair *with_two_rounds(uint8_t unique, pair_tune how)
{
    struct pair *p = pair_new(NULL);
    uint8_t buf[20];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_cstr(&w, "p");
    struct msg_SECRET_LOAD ppk = {
        .req = 9000, .id = "ppk", .type = "ppk", .data = slice_str("quantum"), .owners = wr_written(&w)};
    for (int i = 0; i < 2; i++) {
        struct conn_config c;
        p->s[i].ike->set.ppk_intermediate = true;
        pair_default_conn(&c, i);
        how(&c, i);
        c.unique = unique;
        c.ppk_required = true;
        c.ppk_id = "p";
        prove_again(&c, true);
        prove_again(&c, false);
        pair_load(p, i, &c);
        c.children = NULL; // these are the rig's
        c.pools = NULL;
        c.vips = NULL;
        c.local_addrs = c.remote_addrs = NULL;
        c.proposals = NULL;
        c.child_count = 0;
        conn_clear(&c);
        pair_psk(p, i, "a secret of both", "a.test", "b.test");
        ipc_send(p->s[i].ctl_keys, MSG_SECRET_LOAD, &ppk);
        pair_run(p);
    }
    return p;
}

static void test_two_rounds_with_a_ppk(void **state)
{
    (void)state;
    each_allocation_fails(with_two_rounds, begin);
}

static void two_without_a_key_exchange(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->dpd_delay = 30;
    c->childless = CHILDLESS_ALLOW;
}

// The older IKE SA, with two, goes when the newer one, which has `child` or none, has both.
static struct pair *that_replaces(const char *child)
{
    struct pair *p = pair_loaded(UNIQUE_NO, two_without_a_key_exchange);
    struct ike *ike = p->s[0].ike;
    struct conn *c = conn_find(ike, "t");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    struct ike_sa *old = sa_of(p, 0);
    assert_int_equal(initiate_anew(ike, c, child ? conn_child(c, child) : NULL, NULL), 0);
    pair_run(p);
    assert_ptr_not_equal(sa_of(p, 0), old);
    sa_of(p, 0)->replaces = old->id;
    old->wanted_new = true;
    return p;
}

static struct pair *that_replaces_with_none(uint8_t unique, pair_tune how)
{
    (void)unique, (void)how;
    return that_replaces(NULL);
}

static struct pair *that_replaces_with_one(uint8_t unique, pair_tune how)
{
    (void)unique, (void)how;
    return that_replaces("c");
}

static void child_of_the_peer(struct pair *p)
{
    struct conn *c = conn_find(p->s[1].ike, "t");
    (void)create_child_begin(sa_of(p, 1), c, conn_child(c, "c"));
}

static void child_of_the_peer_that_path_refuses(struct pair *p)
{
    p->s[0].refuse_next = true;
    child_of_the_peer(p);
}

// With it there, or not, the other one's exchange begins, and may fail at once.
static void test_child_sa_of_the_peer_on_an_ike_sa_that_replaces_another_one(void **state)
{
    (void)state;
    each_allocation_fails(that_replaces_with_none, child_of_the_peer);
    each_allocation_fails(that_replaces_with_none, child_of_the_peer_that_path_refuses);
    each_allocation_fails(that_replaces_with_one, rekey_of_the_peer);
}

static struct ike_sa *established(struct pair *p, int side)
{
    struct ike_sa *sa = sa_of(p, side);
    while (sa && sa->state != SA_ESTABLISHED)
        sa = sa->next;
    return sa;
}

// The peer has rekeyed the IKE SA and its DELETE of the old one is lost: what is to be asked here waits for
// the peer's first request by the new one.
static struct pair *whose_delete_is_lost(uint8_t unique, pair_tune how)
{
    (void)how;
    struct pair *p = pair_established(unique, two_without_a_key_exchange);
    p->filter = lose_informational;
    rekey_ike(sa_of(p, 1));
    pair_run(p);
    p->filter = NULL;
    assert_true(established(p, 0) && established(p, 0)->untried && established(p, 1));
    exchange_queue(established(p, 0), TASK_LIVENESS, 0);
    return p;
}

static void child_by_the_new_one(struct pair *p)
{
    struct conn *c = conn_find(p->s[1].ike, "t");
    if (established(p, 1))
        (void)create_child_begin(established(p, 1), c, conn_child(c, "d"));
}

static void rekeying_by_the_new_one(struct pair *p)
{
    rekey_ike(established(p, 1));
}

static void question_by_the_new_one(struct pair *p)
{
    exchange_queue(established(p, 1), TASK_LIVENESS, 0);
    child_by_the_new_one(p);
}

// That request begins what has waited, which fails at once and ends the IKE SA.
static void test_first_request_by_an_ike_sa_that_it_ends(void **state)
{
    (void)state;
    each_allocation_fails(whose_delete_is_lost, child_by_the_new_one);
    each_allocation_fails(whose_delete_is_lost, rekeying_by_the_new_one);
    each_allocation_fails(whose_delete_is_lost, question_by_the_new_one);
}

int main(void)
{
    mallopt(M_PERTURB, 0xa5); // what is used when it is free is seen
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rekeying_of_a_child_sa),
        cmocka_unit_test(test_rekeying_of_an_ike_sa),
        cmocka_unit_test(test_an_ike_sa_that_begins_without_a_child_sa),
        cmocka_unit_test(test_redirection),
        cmocka_unit_test(test_what_is_lost_without_memory_comes_back_with_it),
        cmocka_unit_test(test_a_limit_met_without_memory_ends_the_child_and_it_comes_back),
        cmocka_unit_test(test_a_rekeying_that_finds_no_memory_is_asked_for_again),
        cmocka_unit_test(test_what_lingers_goes_in_time_where_its_delete_finds_no_memory),
        cmocka_unit_test(test_old_one_of_a_crossing_goes_in_time_whatever_finds_no_memory),
        cmocka_unit_test(test_another_address_that_finds_no_memory_is_told_later),
        cmocka_unit_test(test_what_waits_for_memory_to_be_deleted_is_not_rekeyed),
        cmocka_unit_test(test_what_waits_for_its_turn_to_be_deleted_is_not_rekeyed),
        cmocka_unit_test(test_rekeying_that_waits_for_its_turn_is_not_begun_for_what_is_to_go),
        cmocka_unit_test(test_ending_a_child_without_memory),
        cmocka_unit_test(test_tickets_and_resumption),
        cmocka_unit_test(test_two_rounds_with_a_ppk),
        cmocka_unit_test(test_child_sa_of_the_peer_on_an_ike_sa_that_replaces_another_one),
        cmocka_unit_test(test_first_request_by_an_ike_sa_that_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
