// SPDX-License-Identifier: Apache-2.0
// Transport mode through a NAT (RFC 7296 section 2.23.1) between two daemons, one of which is behind it: each
// end has the selectors in its own addresses, through rekeyings by either end; what does not name single
// addresses, and a second peer behind the same NAT, are refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/nat_transport.h"
#include "tests/unit/ike_pair.h"

#define BEFORE "192.0.2.1" // the NAT, as side 1 sees side 0

static void transport(struct conn_config *c, int side)
{
    c->children[0].mode = MODE_TRANSPORT;
    memset(&c->children[0].local_ts->t[0], 0, sizeof(struct ts));
    c->children[0].local_ts->t[0].port_hi = 65535;
    c->children[0].remote_ts = c->children[0].local_ts;
    if (side)
        c->remote_count = 0; // from anywhere
}

static void l2tp(struct conn_config *c, int side)
{
    transport(c, side);
    struct ts *t = side ? &c->children[0].local_ts->t[0] : &c->children[0].remote_ts->t[0];
    t->proto = 17;
    t->port_lo = t->port_hi = 1701;
}

static struct pair *behind_nat(pair_tune tune)
{
    struct pair *p = pair_loaded(UNIQUE_REPLACE, tune);
    p->nat = true;
    return p;
}

static void has(const struct ts_list *l, const char *text)
{
    char buf[200];
    assert_string_equal(selectors_print(l, buf, sizeof(buf)), text);
}

static void assert_selectors(struct pair *p, const char *port)
{
    const struct path_sa *a = pair_sa(&p->s[0], 0), *b = pair_sa(&p->s[1], 0);
    char text[80];
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(a->child.mode, MODE_TRANSPORT);
    assert_true(a->child.udp_encap && b->child.udp_encap);
    snprintf(text, sizeof(text), "10.0.0.1/32%s", port[0] ? "[udp]" : "");
    has(&a->child.local_ts, text);
    snprintf(text, sizeof(text), "10.0.0.2/32%s", port);
    has(&a->child.remote_ts, text);
    has(&b->child.local_ts, text);
    snprintf(text, sizeof(text), BEFORE "/32%s", port[0] ? "[udp]" : "");
    has(&b->child.remote_ts, text);
}

static void rekey(struct pair *p, int side)
{
    struct child_sa *c = p->s[side].ike->sas->children;
    exchange_queue(c->sa, TASK_REKEY_CHILD, c->id);
    pair_run(p);
    pair_wait(p, 10000);
    pair_forget_deleted(&p->s[0]);
    pair_forget_deleted(&p->s[1]);
}

static void test_each_end_has_the_selectors_in_its_own_addresses(void **state)
{
    static const pair_tune tunes[] = {transport, l2tp};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pair *p = behind_nat(tunes[i]);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        const char *port = i ? "[udp/1701]" : "";
        if (i == 0)
            assert_selectors(p, port);
        for (int k = 0; k < 4; k++) {
            uint32_t before = pair_sa(&p->s[0], 0)->child.spi_in;
            rekey(p, k % 2);
            assert_int_equal(pair_live(&p->s[0]), 1);
            assert_int_equal(pair_live(&p->s[1]), 1);
            assert_true(pair_sa(&p->s[0], 0)->child.spi_in != before);
            if (i == 0)
                assert_selectors(p, port);
            else
                has(&pair_sa(&p->s[1], 0)->child.local_ts, "10.0.0.2/32[udp/1701]");
        }
        pair_free(p);
    }
}

static void rebind(struct pair *p, const char *address, uint16_t shift)
{
    const struct ike_sa *sa = p->s[1].ike->sas;
    struct msg_CHILD_EVENT m = {
        .child_id = sa->children->id, .event = CHILD_EVENT_REBOUND, .remote_port = (uint16_t)(4500 + shift)};
    p->nat_address = address;
    p->nat_shift = shift;
    addr_parse(address, &m.remote);
    ipc_send(p->s[1].path_ike, MSG_CHILD_EVENT, &m);
    pair_run(p);
    pair_wait(p, 10000);
    pair_forget_deleted(&p->s[0]);
    pair_forget_deleted(&p->s[1]);
}

// The selectors are the addresses of the ends: of another one nothing would be let in or out.
static void test_nat_that_gets_another_address_is_agreed_upon_anew(void **state)
{
    (void)state;
    struct pair *p = behind_nat(transport);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_selectors(p, "");
    uint32_t before = pair_sa(&p->s[0], 0)->child.spi_in;
    rebind(p, BEFORE, 10001);
    assert_int_equal(pair_sa(&p->s[0], 0)->child.spi_in, before); // a port is no selector's
    rebind(p, "192.0.2.9", 10001);
    assert_int_equal(pair_live(&p->s[0]), 1);
    assert_int_equal(pair_live(&p->s[1]), 1);
    assert_true(pair_sa(&p->s[0], 0)->child.spi_in != before);
    has(&pair_sa(&p->s[1], 0)->child.remote_ts, "192.0.2.9/32");
    pair_free(p);
}

static void test_selectors_of_more_than_one_address_are_refused(void **state)
{
    (void)state;
    struct pair *p = behind_nat(transport);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    const struct ike_sa *sa = p->s[1].ike->sas;
    struct ts_list good = pair_sa(&p->s[0], 0)->child.local_ts, mine = pair_sa(&p->s[0], 0)->child.remote_ts,
                   l;
    l = good;
    assert_true(nat_transport_take(sa, &mine, &l));
    has(&l, BEFORE "/32");
    l = good;
    l.t[0].hi[3]++; // a range
    assert_false(nat_transport_take(sa, &mine, &l));
    l = good;
    l.t[l.count++] = good.t[0];
    l.t[1].lo[3] = ++l.t[1].hi[3]; // two addresses
    assert_false(nat_transport_take(sa, &mine, &l));
    l = good;
    l.t[0].family = 6;
    assert_false(nat_transport_take(sa, &mine, &l));
    l.count = 0;
    assert_false(nat_transport_take(sa, &mine, &l));
    pair_free(p);
}

// Whoever is behind the same address has to leave the first one's packets alone.
static void test_second_peer_behind_the_nat_does_not_get_the_first_ones_packets(void **state)
{
    (void)state;
    struct pair *p = behind_nat(transport);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    struct ike_sa *sa = p->s[1].ike->sas;
    const struct msg_CHILD *c = &pair_sa(&p->s[1], 0)->child;
    struct identity who;
    identity_copy(&who, sa->remote_id);
    struct ike_sa other = {.ike = sa->ike, .nat.remote = true, .path = sa->path, .remote_id = &who};
    assert_false(nat_transport_taken(&other, &c->local_ts, &c->remote_ts)); // the same peer again
    who.data[0]++;
    assert_true(nat_transport_taken(&other, &c->local_ts, &c->remote_ts));
    other.nat.remote = false; // nobody else has its address
    assert_false(nat_transport_taken(&other, &c->local_ts, &c->remote_ts));
    other.nat.remote = true;
    other.path.remote.a[0]++;
    assert_false(nat_transport_taken(&other, &c->local_ts, &c->remote_ts));
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_end_has_the_selectors_in_its_own_addresses),
        cmocka_unit_test(test_nat_that_gets_another_address_is_agreed_upon_anew),
        cmocka_unit_test(test_selectors_of_more_than_one_address_are_refused),
        cmocka_unit_test(test_second_peer_behind_the_nat_does_not_get_the_first_ones_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
