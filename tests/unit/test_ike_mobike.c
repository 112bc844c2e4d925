// SPDX-License-Identifier: Apache-2.0
// MOBIKE (RFC 4555): what is negotiated, moves by the end that began, what the other one takes and refuses,
// and moves that meet a rekeying, a loss, another move, a stranger.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/lib/log.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/ike_watch.h"

static struct ike_sa *only(struct pair *p, int side)
{
    return p->s[side].ike->sas;
}

// Side 0 sends from where it is routed; side 1 takes it from anywhere.
static void mobile(struct conn_config *c, int side)
{
    c->mobike = true;
    if (!side)
        c->local_count = 0;
}

static void transport(struct conn_config *c, int side)
{
    mobile(c, side);
    c->children[0].mode = MODE_TRANSPORT;
    memset(&c->children[0].local_ts->t[0], 0, sizeof(struct ts));
    c->children[0].local_ts->t[0].port_hi = 65535;
    c->children[0].remote_ts = c->children[0].local_ts;
}

static void move_to(struct pair *p, const char *addr)
{
    addr_parse(addr, &p->s[0].source);
    ipc_send(p->s[0].path_ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
    pair_run(p);
}

static bool peer_is_at(struct pair *p, const char *addr)
{
    struct addr a;
    addr_parse(addr, &a);
    return addr_eq(&only(p, 1)->path.remote, &a) && addr_eq(&p->s[1].endpoint.remote, &a);
}

static bool we_are_at(struct pair *p, const char *addr)
{
    struct addr a;
    addr_parse(addr, &a);
    return addr_eq(&only(p, 0)->path.local, &a) && addr_eq(&p->s[0].endpoint.local, &a);
}

static void test_a_move_takes_both_ends_and_their_child_sas_along(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
    assert_true(only(p, 0)->later->mobike.on && only(p, 1)->later->mobike.on);
    assert_true(only(p, 0)->later->mobike.decides && !only(p, 1)->later->mobike.decides);
    assert_int_equal(only(p, 0)->path.remote_port, 4500);
    move_to(p, "10.0.0.9");
    assert_true(we_are_at(p, "10.0.0.9") && peer_is_at(p, "10.0.0.9"));
    assert_false(p->s[1].endpoint.udp_encap);
    assert_int_equal(p->s[1].ike->counters[CNT_info_in_req], 1);
    assert_int_equal(p->s[0].ike->counters[CNT_info_in_req], 1); // COOKIE2: is it there?
    assert_false(only(p, 0)->later->mobike.untold || only(p, 1)->later->mobike.check);
    pair_assert_one(p);
    move_to(p, "10.0.0.9"); // nothing has changed
    assert_int_equal(p->s[1].ike->counters[CNT_info_in_req], 1);
    pair_free(p);
}

static void test_without_mobike_at_either_end_nothing_moves(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_new(NULL);
        for (int i = 1; i >= 0; i--) {
            struct conn_config c;
            pair_psk(p, i, "secret", NULL, NULL);
            pair_default_conn(&c, i);
            mobile(&c, i);
            c.mobike = i != side;
            pair_load(p, i, &c);
        }
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_false(only(p, 0)->later->mobike.on || only(p, 1)->later->mobike.on);
        move_to(p, "10.0.0.9");
        assert_int_equal(p->s[0].endpoints + p->s[1].endpoints, 0);
        pair_free(p);
    }
}

static struct pair *up_behind_a_nat(void) // side 0 is
{
    struct pair *p = pair_new(NULL);
    p->nat = true;
    for (int i = 1; i >= 0; i--) {
        struct conn_config c;
        pair_psk(p, i, "secret", NULL, NULL);
        pair_default_conn(&c, i);
        mobile(&c, i);
        c.dpd_delay = i ? 0 : 10;
        c.remote_count = i ? 0 : 1;
        pair_load(p, i, &c);
    }
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    return p;
}

// 3.8: a message that came another way says nothing.
static void test_only_an_update_moves_a_peer_behind_a_nat(void **state)
{
    (void)state;
    struct pair *p = up_behind_a_nat();
    assert_true(only(p, 0)->later->mobike.on && only(p, 0)->nat.local);
    pair_wait(p, 11000); // what the peer sees of us is known
    assert_int_equal(only(p, 1)->path.remote_port, 14500);
    p->nat_shift = 20000;
    exchange_queue(only(p, 0), TASK_REKEY_CHILD, only(p, 0)->children->id);
    pair_run(p);
    assert_int_equal(p->s[1].sa_count, 2);
    assert_int_equal(only(p, 1)->path.remote_port, 14500);
    unsigned before = p->s[1].endpoints;
    pair_wait(p, 11000); // the liveness check tells it, the update follows
    assert_int_equal(only(p, 1)->path.remote_port, 24500);
    assert_int_equal(p->s[1].endpoints, before + 1);
    assert_true(p->s[1].endpoint.udp_encap);
    pair_free(p);
}

// There is nothing to compare the first answer with, of an IKE SA and of each that it is rekeyed to: the peer
// is told.
static void test_a_mapping_that_changed_before_the_first_liveness_check_is_told(void **state)
{
    (void)state;
    for (int rekeyed = 0; rekeyed < 2; rekeyed++) {
        struct pair *p = up_behind_a_nat();
        if (rekeyed) {
            pair_wait(p, 11000);
            exchange_queue(only(p, 0), TASK_REKEY_IKE, 0);
            pair_run(p);
            pair_assert_one(p);
        }
        p->nat_shift = 20000;
        uint64_t before = p->s[1].ike->counters[CNT_info_in_req];
        pair_wait(p, 11000);
        assert_int_equal(only(p, 1)->path.remote_port, 24500);
        assert_int_equal(p->s[1].endpoint.remote_port, 24500);
        assert_int_equal(p->s[1].ike->counters[CNT_info_in_req], before + 1); // the check itself
        pair_free(p);
    }
}

static unsigned mappings; // said to be new
static void count_mappings(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                           const char *text)
{
    (void)ctx, (void)s, (void)level, (void)ike_name, (void)ike_id;
    mappings += strstr(text, "another mapping") != NULL;
}

// The peer sees us elsewhere after our own move, which the update has told it; that is no new mapping.
static void test_our_own_move_is_not_taken_for_a_new_mapping_of_the_nat(void **state)
{
    (void)state;
    struct pair *p = up_behind_a_nat();
    pair_wait(p, 11000);
    assert_true(only(p, 0)->later->mobike.mapped);
    log_set_all(1);
    log_set_sink(count_mappings, NULL);
    mappings = 0;
    p->nat_shift = 20000;
    uint64_t before = p->s[1].ike->counters[CNT_info_in_req];
    move_to(p, "10.0.0.9");
    assert_int_equal(only(p, 1)->path.remote_port, 24500);
    assert_int_equal(p->s[1].ike->counters[CNT_info_in_req], before + 1);
    assert_int_equal(mappings, 0);
    p->nat_shift = 30000; // what comes later is
    pair_wait(p, 11000);
    assert_int_equal(only(p, 1)->path.remote_port, 34500);
    assert_int_equal(mappings, 1);
    log_set_sink(NULL, NULL);
    pair_free(p);
}

static unsigned lost;
static int lose_some(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    (void)d;
    return lost ? (int)(lost-- & 0) : 1;
}

static const char *dead;
static int lose_to_dead(struct pair *p, unsigned number, struct datagram *d)
{
    struct addr a;
    (void)p;
    (void)number;
    addr_parse(dead, &a);
    return !addr_eq(&d->path.local, &a) && !addr_eq(&d->path.remote, &a);
}

static void two_of_the_peers(struct conn_config *c, int side)
{
    mobile(c, side);
    if (side)
        addr_parse("10.0.0.22", &c->local_addrs[c->local_count++]);
}

// Of side 1: whether its two addresses are there.
static bool first_there, second_there;
static bool is_there(void *ctx, const struct addr *local, const struct addr *remote)
{
    struct addr first, second;
    (void)ctx;
    addr_parse("10.0.0.2", &first);
    addr_parse("10.0.0.22", &second);
    return remote->family == local->family &&
           ((first_there && addr_eq(local, &first)) || (second_there && addr_eq(local, &second)));
}

static struct pair *up_with_two(bool second)
{
    struct pair *p = pair_loaded(UNIQUE_REPLACE, two_of_the_peers);
    first_there = true;
    second_there = second;
    p->s[1].ike->net.can_send = is_there;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(only(p, 0)->later->mobike.count, second);
    return p;
}

static void addresses_change(struct pair *p, bool first, bool second)
{
    first_there = first;
    second_there = second;
    ipc_send(p->s[1].path_ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
    pair_run(p);
}

static uint64_t heard(struct pair *p, int side)
{
    return p->s[side].ike->counters[CNT_info_in_req];
}

// No address of ours has changed, but nothing is answered: what is repeated tries the peer's other address,
// which it has told, and the answer from there makes it the way.
static void test_a_peer_that_does_not_answer_is_tried_at_its_other_address(void **state)
{
    (void)state;
    struct pair *p = up_with_two(true);
    struct addr other;
    addr_parse("10.0.0.22", &other);
    p->filter = lose_to_dead;
    dead = "10.0.0.2";
    exchange_queue(only(p, 0), TASK_LIVENESS, 0);
    pair_wait(p, 60000);
    assert_true(addr_eq(&only(p, 0)->path.remote, &other));
    assert_true(addr_eq(&p->s[0].endpoint.remote, &other) && addr_eq(&p->s[1].endpoint.local, &other));
    assert_false(only(p, 0)->later->mobike.untold);
    pair_assert_one(p);
    pair_free(p);
}

static int from_elsewhere(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    if (!d->to)
        addr_parse("203.0.113.1", &d->path.remote);
    return 1;
}

// An answer that somebody else passes on does not lead us there.
static void test_an_answer_from_an_address_that_is_not_the_peers_moves_nothing(void **state)
{
    (void)state;
    struct pair *p = up_with_two(true);
    p->filter = from_elsewhere;
    exchange_queue(only(p, 0), TASK_LIVENESS, 0);
    pair_run(p);
    assert_null(only(p, 0)->active);
    assert_int_equal(p->s[0].endpoints, 0);
    pair_free(p);
}

// --- the end that follows has other addresses ---

// The list has what is there, and is told again when that is something else, and then alone.
static void test_further_addresses_are_told_when_they_come_and_go(void **state)
{
    (void)state;
    struct pair *p = up_with_two(false);
    addresses_change(p, true, true);
    assert_int_equal(only(p, 0)->later->mobike.count, 1);
    assert_int_equal(only(p, 0)->later->mobike.others[0].a[3], 22);
    assert_int_equal(heard(p, 0), 1);
    addresses_change(p, true, true);
    assert_int_equal(heard(p, 0), 1);
    addresses_change(p, true, false);
    assert_int_equal(only(p, 0)->later->mobike.count, 0);
    assert_int_equal(heard(p, 0), 2);
    assert_int_equal(heard(p, 1), 0);
    assert_int_equal(p->s[0].endpoints + p->s[1].endpoints, 0); // nobody has moved by that
    pair_free(p);
}

static bool both_use(struct pair *p, const char *addr)
{
    struct addr a;
    addr_parse(addr, &a);
    return addr_eq(&only(p, 0)->path.remote, &a) && addr_eq(&only(p, 1)->path.local, &a) &&
           addr_eq(&p->s[0].endpoint.remote, &a) && addr_eq(&p->s[1].endpoint.local, &a);
}

// 3.6: the end that follows says so from its other address, and the one that decides goes there at once; and
// back.
static void test_a_gateway_whose_address_goes_is_followed_to_its_other_one(void **state)
{
    (void)state;
    struct pair *p = up_with_two(true);
    p->filter = lose_to_dead;
    dead = "10.0.0.2";
    addresses_change(p, false, true);
    assert_true(both_use(p, "10.0.0.22"));
    assert_int_equal(only(p, 0)->later->mobike.count, 0);
    assert_int_equal(heard(p, 1), 1); // the update
    assert_int_equal(heard(p, 0), 1);
    addresses_change(p, false, true);
    assert_int_equal(heard(p, 0), 1);
    addresses_change(p, true, true); // there, and not in use
    assert_true(both_use(p, "10.0.0.22"));
    assert_int_equal(only(p, 0)->later->mobike.count, 1);
    dead = "10.0.0.22";
    addresses_change(p, true, false);
    assert_true(both_use(p, "10.0.0.2"));
    pair_assert_one(p);
    pair_free(p);
}

static void test_a_list_from_another_address_that_is_lost_is_sent_again(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 4; n++) {
        struct pair *p = up_with_two(true);
        p->filter = lose_some;
        lost = n;
        addresses_change(p, false, true);
        p->filter = NULL;
        pair_wait(p, 60000);
        assert_true(both_use(p, "10.0.0.22"));
        pair_assert_one(p);
        pair_free(p);
    }
}

// The kernel had no way for a moment: with the next change it goes out again, from where it went.
static void test_a_list_that_found_no_way_goes_out_with_the_next_change(void **state)
{
    (void)state;
    struct pair *p = up_with_two(true);
    p->filter = pair_lose_all;
    addresses_change(p, false, true);
    p->filter = lose_to_dead;
    dead = "10.0.0.2";
    pair_wait(p, 20);
    addresses_change(p, false, true);
    assert_true(both_use(p, "10.0.0.22"));
    pair_free(p);
}

// It is lost, and the other end rekeys the IKE SA meanwhile: the new one tells it.
static void test_a_list_that_is_not_told_yet_goes_over_to_the_rekeyed_sa(void **state)
{
    (void)state;
    struct pair *p = up_with_two(true);
    p->filter = lose_some;
    lost = 1;
    addresses_change(p, true, false);
    assert_int_equal(only(p, 0)->later->mobike.count, 1);
    exchange_queue(only(p, 0), TASK_REKEY_IKE, 0);
    pair_wait(p, 5000);
    assert_int_equal(only(p, 0)->later->mobike.count, 0);
    pair_assert_one(p);
    pair_free(p);
}

// What it has asked meanwhile goes from the other address too.
static void test_a_gateway_whose_address_goes_while_it_rekeys_is_followed(void **state)
{
    (void)state;
    for (int ike = 0; ike < 2; ike++) {
        struct pair *p = up_with_two(true);
        p->filter = lose_to_dead;
        dead = "10.0.0.2";
        struct ike_sa *sa = only(p, 1);
        exchange_queue(sa, ike ? TASK_REKEY_IKE : TASK_REKEY_CHILD, ike ? 0 : sa->children->id);
        pair_run(p);
        assert_non_null(sa->active);
        addresses_change(p, false, true);
        assert_true(both_use(p, "10.0.0.22")); // at once
        pair_wait(p, 120000);
        assert_true(both_use(p, "10.0.0.22"));
        pair_assert_one(p);
        pair_free(p);
    }
}

static void test_where_there_is_no_way_nothing_is_asked(void **state)
{
    (void)state;
    struct pair *p = up_with_two(true);
    p->filter = pair_lose_all;
    addresses_change(p, false, false);
    assert_null(only(p, 1)->active);
    pair_wait(p, 600000);
    assert_non_null(only(p, 1));
    p->filter = NULL;
    addresses_change(p, false, true);
    assert_true(both_use(p, "10.0.0.22"));
    pair_free(p);
}

// Where nobody has told that address it is no more than one to be tried, whoever passes the list on from
// there.
static void test_a_list_from_an_unknown_address_does_not_lead_there(void **state)
{
    (void)state;
    struct pair *p = up_with_two(true);
    struct addr from;
    addr_parse("203.0.113.1", &from);
    p->filter = from_elsewhere;
    addresses_change(p, true, false);
    assert_int_equal(only(p, 0)->later->mobike.count, 1);
    assert_true(addr_eq(&only(p, 0)->later->mobike.others[0], &from));
    assert_int_equal(p->s[0].endpoints, 0);
    pair_free(p);
}

// The list that names its other address is lost, and then its own goes: a liveness check finds it there.
static void test_a_gateway_at_an_address_that_was_not_told_is_found_there(void **state)
{
    (void)state;
    struct pair *p = up_with_two(false);
    p->filter = pair_lose_all;
    addresses_change(p, true, true);
    p->filter = lose_to_dead;
    dead = "10.0.0.2";
    addresses_change(p, false, true);
    pair_wait(p, 20000);
    exchange_queue(only(p, 0), TASK_LIVENESS, 0);
    pair_wait(p, 60000);
    assert_true(both_use(p, "10.0.0.22"));
    pair_assert_one(p);
    pair_free(p);
}

static void test_an_update_that_is_lost_is_sent_again(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 4; n++) {
        struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
        p->filter = lose_some;
        lost = n;
        move_to(p, "10.0.0.9");
        assert_true(we_are_at(p, "10.0.0.9"));
        pair_wait(p, 60000);
        assert_true(peer_is_at(p, "10.0.0.9"));
        pair_assert_one(p);
        pair_free(p);
    }
}

static void test_an_address_that_flaps_ends_where_it_is_last(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
    p->filter = pair_lose_all;
    char a[20];
    for (int i = 0; i < 50; i++) {
        snprintf(a, sizeof(a), "10.0.0.%d", 10 + i % 7);
        move_to(p, a);
    }
    p->filter = NULL;
    move_to(p, "10.0.0.77");
    pair_wait(p, 30000);
    assert_true(we_are_at(p, "10.0.0.77") && peer_is_at(p, "10.0.0.77"));
    assert_in_range(p->s[1].ike->counters[CNT_info_in_req], 1, 3); // not one for each
    pair_assert_one(p);
    pair_free(p);
}

static int to_old_address(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    return d->to || !p->s[0].source.family || addr_eq(&d->path.local, &p->s[0].source);
}

// The answer to a rekeying goes where the initiator is no more; the request goes out again from the new
// address at once and the update behind it.
static void test_a_move_while_a_rekeying_is_under_way(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
        int by = kind % 2;
        p->filter = to_old_address;
        struct ike_sa *sa = only(p, by);
        struct child_sa *c = sa->children;
        addr_parse("10.0.0.9", &p->s[0].source);
        exchange_queue(sa, kind < 2 ? TASK_REKEY_CHILD : TASK_REKEY_IKE, kind < 2 ? c->id : 0);
        pair_run(p);
        assert_non_null(sa->active);
        ipc_send(p->s[0].path_ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
        pair_run(p);
        assert_true(we_are_at(p, "10.0.0.9") && peer_is_at(p, "10.0.0.9")); // at once
        pair_wait(p, 120000);
        assert_true(we_are_at(p, "10.0.0.9") && peer_is_at(p, "10.0.0.9"));
        pair_assert_one(p);
        assert_false(only(p, 0)->later->mobike.untold);
        pair_free(p);
    }
}

// The update is lost and the peer rekeys the IKE SA meanwhile: the new one tells it.
static void test_a_move_that_is_not_told_yet_goes_over_to_the_rekeyed_sa(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
    p->filter = lose_some;
    lost = 1;
    move_to(p, "10.0.0.9");
    assert_false(peer_is_at(p, "10.0.0.9"));
    exchange_queue(only(p, 1), TASK_REKEY_IKE, 0);
    pair_wait(p, 5000); // the peer may not have the new keys yet when it comes first
    assert_true(peer_is_at(p, "10.0.0.9"));
    assert_false(only(p, 0)->later->mobike.untold);
    pair_wait(p, 120000);
    pair_assert_one(p);
    pair_free(p);
}

// What path is told of a child that it does not have yet is lost: it is told again.
static void test_a_child_sa_that_is_being_installed_moves_too(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
    p->s[1].hold_install = true;
    exchange_queue(only(p, 0), TASK_REKEY_CHILD, only(p, 0)->children->id);
    pair_run(p);
    assert_true(p->s[1].held_len > 0);
    struct net_path path = only(p, 1)->path;
    addr_parse("10.0.0.9", &path.remote);
    sa_set_path(only(p, 1), &path);
    pair_run(p);
    p->s[1].endpoints = 0;
    pair_release(&p->s[1]);
    assert_int_equal(p->s[1].endpoints, 1);
    assert_true(peer_is_at(p, "10.0.0.9"));
    pair_free(p);
}

static uint8_t caught[2000];
static size_t caught_len;
static int catch_update(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    if (d->to == 1) {
        memcpy(caught, d->data, d->len);
        caught_len = d->len;
        return 0;
    }
    return 1;
}

static void test_a_strangers_update_moves_nothing(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
    struct net_path from = only(p, 1)->path;
    p->filter = catch_update;
    move_to(p, "10.0.0.9");
    assert_true(caught_len > 0);
    p->filter = NULL;
    addr_parse("203.0.113.1", &from.remote);
    caught[caught_len - 1] ^= 1;
    pair_inject(p, 1, &from, caught, caught_len); // not the peer's
    assert_int_equal(p->s[1].endpoints, 0);
    pair_wait(p, 10000);
    assert_true(peer_is_at(p, "10.0.0.9"));
    caught[caught_len - 1] ^= 1;
    pair_inject(p, 1, &from, caught, caught_len); // the peer's, from elsewhere once more
    assert_true(peer_is_at(p, "10.0.0.9"));
    pair_free(p);
}

// --- messages that we do not send ---

static void say(struct pair *p, struct pb *b)
{
    struct ike_sa *sa = only(p, 0);
    send_once(sa, EX_INFORMATIONAL, b);
    sa->out_mid++;
    pair_run(p);
}

static void notify(struct pb *b, uint16_t type, const void *data, size_t len)
{
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), type, slice_of(data, len));
}

static void test_the_peers_list_of_addresses_is_bounded_and_replaced_whole(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
    uint8_t buf[2000], addr[16] = {10, 9, 9, 0};
    struct pb b = pb_of(buf, sizeof(buf));
    for (int i = 0; i < MOBIKE_ADDRS + 20; i++) {
        addr[3] = (uint8_t)i;
        notify(&b, N_ADDITIONAL_IP4_ADDRESS, addr, i ? 4 : 5); // the first one is none
    }
    watch_log();
    say(p, &b);
    assert_true(watch_said(
        "20 further addresses of the peer left out: not of 4 or 16 octets, no memory, or more than 8\n"));
    log_set_sink(NULL, NULL);
    assert_int_equal(only(p, 1)->later->mobike.count, MOBIKE_ADDRS);
    assert_int_equal(only(p, 1)->later->mobike.others[0].a[3], 1);
    b = pb_of(buf, sizeof(buf));
    notify(&b, N_ADDITIONAL_IP6_ADDRESS, addr, 16);
    say(p, &b);
    assert_int_equal(only(p, 1)->later->mobike.count, 1);
    assert_int_equal(only(p, 1)->later->mobike.others[0].family, 6);
    b = pb_of(buf, sizeof(buf));
    say(p, &b); // no list: it stays
    assert_int_equal(only(p, 1)->later->mobike.count, 1);
    b = pb_of(buf, sizeof(buf));
    notify(&b, N_NO_ADDITIONAL_ADDRESSES, NULL, 0);
    say(p, &b);
    assert_int_equal(only(p, 1)->later->mobike.count, 0);
    assert_int_equal(p->s[1].endpoints, 0);
    pair_free(p);
}

static void test_no_nats_allowed_is_held_against_the_datagram(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
        uint8_t buf[200], data[12] = {10, 0, 0, 8, 10, 0, 0, 2, 0x11, 0x94, 0x11, 0x94};
        struct pb b = pb_of(buf, sizeof(buf));
        addr_parse("10.0.0.8", &only(p, 0)->path.local);
        data[3] ^= (uint8_t)wrong;
        notify(&b, N_UPDATE_SA_ADDRESSES, NULL, 0);
        notify(&b, N_NO_NATS_ALLOWED, data, sizeof(data));
        say(p, &b);
        assert_int_equal(p->s[1].endpoints, !wrong);
        pair_free(p);
    }
}

static void test_transport_mode_stays_where_its_selectors_are(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, transport);
    uint8_t buf[200];
    struct pb b = pb_of(buf, sizeof(buf));
    assert_true(only(p, 1)->later->mobike.on);
    move_to(p, "10.0.0.9");
    assert_int_equal(p->s[0].endpoints, 0);
    addr_parse("10.0.0.8", &only(p, 0)->path.local);
    notify(&b, N_UPDATE_SA_ADDRESSES, NULL, 0);
    say(p, &b);
    assert_int_equal(p->s[1].endpoints, 0);
    pair_free(p);
}

static void answers_nothing(struct task *t)
{
    uint8_t buf[8];
    struct pb b = pb_of(buf, sizeof(buf));
    exchange_reply(t->sa, EX_INFORMATIONAL, &b);
}

// 3.7: whoever answers without the cookie has not seen the request.
static void test_a_cookie_that_does_not_come_back_ends_the_sa(void **state)
{
    static const struct task_ops mute = {
        .name = "mute", .exchange = EX_INFORMATIONAL, .request = answers_nothing};
    const struct task_ops *ops[TASK_COUNT];
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
    memcpy(ops, p->s[1].ike->exchanges, sizeof(ops));
    ops[TASK_INFO] = &mute;
    p->s[1].ike->exchanges = ops;
    move_to(p, "10.0.0.9");
    assert_null(only(p, 0));
    assert_int_equal(pair_live(&p->s[0]), 0);
    pair_free(p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_move_takes_both_ends_and_their_child_sas_along),
        cmocka_unit_test(test_without_mobike_at_either_end_nothing_moves),
        cmocka_unit_test(test_only_an_update_moves_a_peer_behind_a_nat),
        cmocka_unit_test(test_a_mapping_that_changed_before_the_first_liveness_check_is_told),
        cmocka_unit_test(test_our_own_move_is_not_taken_for_a_new_mapping_of_the_nat),
        cmocka_unit_test(test_a_peer_that_does_not_answer_is_tried_at_its_other_address),
        cmocka_unit_test(test_an_answer_from_an_address_that_is_not_the_peers_moves_nothing),
        cmocka_unit_test(test_further_addresses_are_told_when_they_come_and_go),
        cmocka_unit_test(test_a_gateway_whose_address_goes_is_followed_to_its_other_one),
        cmocka_unit_test(test_a_list_from_another_address_that_is_lost_is_sent_again),
        cmocka_unit_test(test_a_list_that_found_no_way_goes_out_with_the_next_change),
        cmocka_unit_test(test_a_list_that_is_not_told_yet_goes_over_to_the_rekeyed_sa),
        cmocka_unit_test(test_a_gateway_whose_address_goes_while_it_rekeys_is_followed),
        cmocka_unit_test(test_where_there_is_no_way_nothing_is_asked),
        cmocka_unit_test(test_a_list_from_an_unknown_address_does_not_lead_there),
        cmocka_unit_test(test_a_gateway_at_an_address_that_was_not_told_is_found_there),
        cmocka_unit_test(test_an_update_that_is_lost_is_sent_again),
        cmocka_unit_test(test_an_address_that_flaps_ends_where_it_is_last),
        cmocka_unit_test(test_a_move_while_a_rekeying_is_under_way),
        cmocka_unit_test(test_a_move_that_is_not_told_yet_goes_over_to_the_rekeyed_sa),
        cmocka_unit_test(test_a_child_sa_that_is_being_installed_moves_too),
        cmocka_unit_test(test_a_strangers_update_moves_nothing),
        cmocka_unit_test(test_the_peers_list_of_addresses_is_bounded_and_replaced_whole),
        cmocka_unit_test(test_no_nats_allowed_is_held_against_the_datagram),
        cmocka_unit_test(test_transport_mode_stays_where_its_selectors_are),
        cmocka_unit_test(test_a_cookie_that_does_not_come_back_ends_the_sa),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
