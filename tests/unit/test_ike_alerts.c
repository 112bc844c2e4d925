// SPDX-License-Identifier: Apache-2.0
// What `ike` tells of what goes wrong (VICI's event `alert`) and of IKE SAs that move (`ike-update`): each
// once, of the IKE SA that it concerns, to whoever listens and to nobody else, and never without bound.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/report.h"
#include "tests/unit/ike_pair.h"

static const char *const names[] = {
#define X(sym, name) name,
    ALERT_LIST(X)
#undef X
};

static struct heard {
    unsigned alerts[ALERT_COUNT], all, infos, moves;
    uint32_t of;                // IKE SA of the last one; 0: none
    struct msg_IKE_MOVES moved; // the last
    struct msg_IKE_INFO told;   // behind it
    bool expected;              // its IKE_INFO comes next
} heard[2];

static void on_ctl(struct side *s, enum msg_type t, const union msg *m)
{
    struct heard *h = &heard[s->index];
    if (h->expected) { // nothing comes between
        assert_int_equal(t, MSG_IKE_INFO);
        assert_int_equal(m->IKE_INFO.id, h->of);
        h->told = m->IKE_INFO;
        h->expected = false;
        h->infos++;
    } else if (t == MSG_ALERT) {
        assert_in_range(m->ALERT.alert, 0, ALERT_COUNT - 1);
        h->alerts[m->ALERT.alert]++;
        h->all++;
        h->of = m->ALERT.ike_id;
        h->expected = h->of != 0;
    } else if (t == MSG_IKE_MOVES) {
        h->moves++;
        h->moved = m->IKE_MOVES;
        h->of = m->IKE_MOVES.ike_id;
        h->expected = true;
    }
}

static void hear(struct pair *p)
{
    memset(heard, 0, sizeof(heard));
    for (int i = 0; i < 2; i++) {
        p->s[i].on_ctl = on_ctl;
        ipc_send(p->s[i].ctl_ike, MSG_LISTEN, &(struct msg_LISTEN){.alerts = 1});
    }
    pair_run(p);
}

// That side has told of these and no others.
static void assert_heard(int side, const char *expected)
{
    char got[400] = "";
    size_t at = 0;
    for (unsigned i = 0; i < ALERT_COUNT; i++)
        if (heard[side].alerts[i])
            at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%s %u", at ? ", " : "", names[i],
                                   heard[side].alerts[i]);
    if (strcmp(got, expected) != 0)
        fail_msg("side %d: got \"%s\", expected \"%s\"", side, got, expected);
    assert_false(heard[side].expected);
    memset(&heard[side], 0, sizeof(heard[side]));
}

static void test_a_peer_that_does_not_answer(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    hear(p);
    p->filter = pair_lose_all;
    pair_initiate(p, 0, "c");
    pair_wait(p, 1000000);
    char expected[120];
    snprintf(expected, sizeof(expected),
             "peer-init-unreachable 1, retransmit-send %u, retransmit-send-timeout 1",
             p->set.retransmit_tries);
    assert_heard(0, expected);
    assert_heard(1, "");
    pair_free(p);
}

static int lose_first_auth(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)d;
    return number != 2;
}

static int lose_first_answer(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)d;
    return number != 3;
}

static void test_a_request_that_is_lost_and_answered(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    hear(p);
    p->filter = lose_first_auth;
    pair_initiate(p, 0, "c");
    pair_wait(p, 20000);
    assert_heard(0, "retransmit-send 1, retransmit-send-cleared 1");
    assert_heard(1, "");
    pair_free(p);
    p = pair_loaded(UNIQUE_REPLACE, NULL);
    hear(p);
    p->filter = lose_first_answer;
    pair_initiate(p, 0, "c");
    pair_wait(p, 20000);
    assert_heard(0, "retransmit-send 1, retransmit-send-cleared 1");
    assert_heard(1, "retransmit-receive 1");
    pair_free(p);
}

static int lose_from_the_third(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)d;
    return number < 2;
}

static void test_a_peer_that_does_not_go_on(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    hear(p);
    p->filter = lose_from_the_third;
    pair_initiate(p, 0, "c");
    pair_wait(p, (uint64_t)p->set.half_open_timeout * 1000 + 1000);
    assert_heard(1, "half-open-timeout 1");
    pair_free(p);
}

static void test_proof_that_fails(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (int side = 0; side < 2; side++) {
        pair_default_conn(&c, side);
        pair_load(p, side, &c);
    }
    pair_psk(p, 0, "one", NULL, NULL);
    pair_psk(p, 1, "another", NULL, NULL);
    hear(p);
    pair_initiate(p, 0, "c");
    pair_run(p);
    assert_heard(0, "local-auth-failed 1");
    assert_heard(1, "peer-auth-failed 1");
    pair_free(p);
}

static void other_ike(struct conn_config *c, int side)
{
    if (side)
        pair_proposal(&c->proposals[0], 1, "aes128gcm16 prfsha256 x25519");
}

static void other_esp(struct conn_config *c, int side)
{
    if (side)
        pair_proposal(&c->children[0].proposals[0], 3, "aes128gcm16");
}

static void other_ts(struct conn_config *c, int side)
{
    if (!side)
        return;
    pair_own_selectors(&c->children[0]);
    c->children[0].local_ts->t[0].lo[0] = c->children[0].local_ts->t[0].hi[0] = 77;
}

static void narrower(struct conn_config *c, int side)
{
    if (!side)
        return;
    pair_own_selectors(&c->children[0]);
    c->children[0].local_ts->t[0].proto = 17;
}

static void test_what_the_ends_have_not_in_common(void **state)
{
    static const struct {
        pair_tune tune;
        const char *ours, *peers;
    } list[] = {
        {other_ike, "proposal-mismatch-ike 1", "proposal-mismatch-ike 1"},
        {other_esp, "proposal-mismatch-child 1", "proposal-mismatch-child 1, keep-on-child-sa-failure 1"},
        {other_ts, "ts-mismatch 1", "ts-mismatch 1, keep-on-child-sa-failure 1"},
        {narrower, "ts-narrowed 1", "ts-narrowed 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, list[i].tune);
        hear(p);
        pair_initiate(p, 0, "c");
        pair_run(p);
        assert_int_equal(heard[1].of != 0, i > 0); // nobody's SA was there yet
        assert_heard(0, list[i].ours);
        assert_heard(1, list[i].peers);
        pair_free(p);
    }
}

static void test_an_sa_that_path_does_not_take(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
        hear(p);
        p->s[side].refuse_next = true;
        pair_initiate(p, 0, "c");
        pair_run(p);
        assert_heard(0, side ? "proposal-mismatch-child 1" : "install-child-sa-failed 1");
        assert_heard(1, side ? "install-child-sa-failed 1, keep-on-child-sa-failure 1" : "");
        pair_free(p);
    }
}

static void short_lived(struct conn_config *c, int side)
{
    c->rekey_time = side ? 0 : 100;
    c->over_time = side ? 0 : 10;
}

static void test_an_ike_sa_at_its_limit(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, short_lived);
    pair_initiate(p, 0, "c");
    pair_run(p);
    hear(p);
    p->filter = pair_lose_all;
    pair_wait(p, 120000);
    assert_int_equal(heard[0].alerts[ALERT_EXPIRED], 1);
    pair_free(p);
}

static void test_who_does_not_listen_is_told_nothing(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    hear(p);
    ipc_send(p->s[0].ctl_ike, MSG_LISTEN, &(struct msg_LISTEN){.logs = 1, .events = 1});
    p->filter = pair_lose_all;
    pair_initiate(p, 0, "c");
    pair_wait(p, 1000000);
    assert_int_equal(heard[0].all, 0);
    pair_free(p);
}

static void test_alerts_have_a_bound(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    struct ike *ike = p->s[0].ike;
    hear(p);
    pair_wait(p, 1000);
    for (int i = 0; i < ALERTS_A_SECOND + 7; i++)
        sa_alert(ike->sas, ALERT_REPEATED);
    pair_run(p);
    assert_int_equal(heard[0].all, ALERTS_A_SECOND);
    assert_int_equal(ike->counters[CNT_alerts_left_out], 7);
    pair_wait(p, 1000);
    sa_alert(ike->sas, ALERT_REPEATED);
    pair_run(p);
    assert_int_equal(heard[0].all, ALERTS_A_SECOND + 1);
    pair_free(p);
}

// --- ike-update ---

static void mobile(struct conn_config *c, int side)
{
    c->mobike = true;
    if (!side)
        c->local_count = 0;
}

static void test_a_move_is_told_with_where_it_was(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, mobile);
    struct addr was, now;
    hear(p);
    for (int i = 0; i < 2; i++)
        ipc_send(p->s[i].ctl_ike, MSG_LISTEN, &(struct msg_LISTEN){.events = 1});
    addr_parse("10.0.0.1", &was);
    addr_parse("10.0.0.9", &now);
    p->s[0].source = now;
    ipc_send(p->s[0].path_ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
    pair_run(p);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(heard[i].moves, 1);
        assert_true(addr_eq(i ? &heard[i].moved.remote : &heard[i].moved.local, &now));
        assert_true(addr_eq(i ? &heard[i].told.remote : &heard[i].told.local, &was));
        assert_int_equal(heard[i].moved.remote_port, 4500);
        assert_string_equal(heard[i].told.conn, "t");
    }
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_peer_that_does_not_answer),
        cmocka_unit_test(test_a_request_that_is_lost_and_answered),
        cmocka_unit_test(test_a_peer_that_does_not_go_on),
        cmocka_unit_test(test_proof_that_fails),
        cmocka_unit_test(test_what_the_ends_have_not_in_common),
        cmocka_unit_test(test_an_sa_that_path_does_not_take),
        cmocka_unit_test(test_an_ike_sa_at_its_limit),
        cmocka_unit_test(test_who_does_not_listen_is_told_nothing),
        cmocka_unit_test(test_alerts_have_a_bound),
        cmocka_unit_test(test_a_move_is_told_with_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
