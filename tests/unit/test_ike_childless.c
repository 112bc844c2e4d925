// SPDX-License-Identifier: Apache-2.0
// IKE SAs that begin without a CHILD SA (RFC 6023) between two daemons: what each setting of `childless` does
// in each role, an IKE SA that is asked for alone, with virtual addresses, and each message lost or doubled.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/ike_pair.h"

static uint8_t modes[2];
static bool addresses;

static void tune(struct conn_config *c, int side)
{
    c->childless = modes[side];
    pair_proposal(&c->children[0].proposals[0], PROTO_ESP, "aes256gcm16 x25519 ke1_ecp256");
    if (addresses && side == 0) {
        c->vip_count = 1;
        c->vips[0].family = 4;
        *c->children[0].local_ts = (struct ts_list){.count = 1, .t = {{.port_hi = 65535}}};
    } else if (addresses) {
        c->pool_count = 1;
        snprintf(c->pools[0], sizeof(c->pools[0]), "v4");
        *c->children[0].remote_ts = (struct ts_list){.count = 1, .t = {{.port_hi = 65535}}};
    }
}

static struct pair *loaded(uint8_t initiator, uint8_t responder)
{
    modes[0] = initiator;
    modes[1] = responder;
    struct pair *p = pair_loaded(UNIQUE_NO, tune);
    if (addresses)
        assert_true(pair_load_pool(p, 1, "v4", "10.9.0.0/24", slice_of(NULL, 0)));
    return p;
}

static struct child_sa *child(struct pair *p, int side)
{
    return p->s[side].ike->sas->children;
}

static void test_each_setting_in_each_role(void **state)
{
    static const struct {
        uint8_t initiator, responder;
        unsigned exchanges; // each way; 0: no IKE SA
        bool child;
    } cases[] = {
        {CHILDLESS_ALLOW, CHILDLESS_ALLOW, 2, true},  {CHILDLESS_ALLOW, CHILDLESS_NEVER, 2, true},
        {CHILDLESS_ALLOW, CHILDLESS_FORCE, 2, false}, {CHILDLESS_PREFER, CHILDLESS_ALLOW, 4, true},
        {CHILDLESS_PREFER, CHILDLESS_NEVER, 2, true}, {CHILDLESS_PREFER, CHILDLESS_FORCE, 4, true},
        {CHILDLESS_FORCE, CHILDLESS_PREFER, 4, true}, {CHILDLESS_FORCE, CHILDLESS_FORCE, 4, true},
        {CHILDLESS_FORCE, CHILDLESS_NEVER, 0, false}, {CHILDLESS_NEVER, CHILDLESS_FORCE, 2, false},
        {CHILDLESS_NEVER, CHILDLESS_PREFER, 2, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = loaded(cases[i].initiator, cases[i].responder);
        pair_result(p, 0, pair_initiate(p, 0, "c"), cases[i].child);
        assert_int_equal(p->s[0].ike_up, cases[i].exchanges != 0);
        assert_int_equal(pair_live(&p->s[0]), cases[i].child);
        assert_int_equal(pair_live(&p->s[1]), cases[i].child);
        assert_true(pair_agree(p));
        if (cases[i].child) { // by CREATE_CHILD_SA it has key exchanges of its own from the beginning
            assert_int_equal(p->sent, 2 * cases[i].exchanges);
            assert_int_equal(child(p, 0)->suite->ke.id, cases[i].exchanges > 2 ? TRID_CURVE_25519 : 0);
            assert_int_equal(suite_addkes(child(p, 1)->suite), cases[i].exchanges > 2);
        }
        pair_free(p);
    }
}

static uint32_t initiate_alone(struct pair *p)
{
    struct msg_INITIATE m = {.req = 77};
    snprintf(m.conn, sizeof(m.conn), "t");
    ipc_send(p->s[0].ctl_ike, MSG_INITIATE, &m);
    pair_run(p);
    return m.req;
}

// It stays, whatever the setting of who began it, until it has had a CHILD SA; that one is made on it.
static void test_an_ike_sa_that_is_asked_for_alone_stays_alone(void **state)
{
    (void)state;
    struct pair *p = loaded(CHILDLESS_ALLOW, CHILDLESS_ALLOW);
    pair_result(p, 0, initiate_alone(p), true);
    assert_int_equal(p->s[0].ike_up, 1);
    pair_wait(p, 600000);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_int_equal(p->s[1].ike->sa_count, 1);
    pair_result(p, 0, initiate_alone(p), true); // there already
    assert_int_equal(p->s[0].ike->sa_count, 1);
    rekey_ike(p->s[0].ike->sas);
    pair_wait(p, 60000);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_assert_one(p);
    assert_int_equal(p->s[0].ike_up, 1);
    pair_terminate(p, 0, "c", false);
    pair_wait(p, 10000); // it is no longer one that was meant to be alone
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    pair_free(p);
}

static void test_an_ike_sa_alone_is_refused_by_name_where_the_peer_takes_none(void **state)
{
    (void)state;
    struct pair *p = loaded(CHILDLESS_ALLOW, CHILDLESS_NEVER);
    pair_result(p, 0, initiate_alone(p), false);
    assert_non_null(strstr(p->s[0].last_text, "RFC 6023"));
    assert_int_equal(p->s[0].ike_up + p->s[1].ike_up, 0);
    pair_free(p);
}

static void test_virtual_addresses_come_with_ike_auth_all_the_same(void **state)
{
    (void)state;
    addresses = true;
    struct pair *p = loaded(CHILDLESS_FORCE, CHILDLESS_FORCE);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_live(&p->s[0]) == 1 && pair_agree(p));
    assert_int_equal(p->s[0].virtual_count, 1);
    assert_memory_equal(pair_sa(&p->s[0], 0)->child.local_ts.t[0].lo, p->s[0].virtual_ip[0].a, 4);
    pair_free(p);
    p = loaded(CHILDLESS_FORCE, CHILDLESS_FORCE);
    p->s[0].refuse_virtual = true; // an address that cannot be put in place
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    pair_free(p);
    addresses = false;
}

static int lose_or_double(struct pair *p, unsigned number, struct datagram *d)
{
    unsigned n = *(unsigned *)p->ctx;
    (void)d;
    return number != n / 2 ? 1 : n % 2 ? 2 : 0;
}

static void test_each_message_lost_or_doubled_is_made_up_for(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        struct pair *p = loaded(CHILDLESS_PREFER, CHILDLESS_ALLOW);
        p->filter = lose_or_double;
        p->ctx = &i;
        uint32_t req = pair_initiate(p, 0, "c");
        pair_wait(p, 20000);
        pair_result(p, 0, req, true);
        pair_assert_one(p);
        pair_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_setting_in_each_role),
        cmocka_unit_test(test_an_ike_sa_that_is_asked_for_alone_stays_alone),
        cmocka_unit_test(test_an_ike_sa_alone_is_refused_by_name_where_the_peer_takes_none),
        cmocka_unit_test(test_virtual_addresses_come_with_ike_auth_all_the_same),
        cmocka_unit_test(test_each_message_lost_or_doubled_is_made_up_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
