// SPDX-License-Identifier: Apache-2.0
// Virtual addresses between two daemons, one the road warrior of the other: what is asked for and given, what
// the selectors and policies become of it, in which order path is told, and what stays over rekeying,
// reauthentication and the end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ctrl/ike/cp.h"
#include "ctrl/ike/virtual.h"
#include "ctrl/lib/pool.h"
#include "ctrl/lib/log.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/ike_watch.h"

static struct pair *p;
static struct side *rw, *gw;

static int tear_down(void **state)
{
    (void)state;
    pair_free(p);
    return 0;
}

static void pool(const char *name, const char *addrs) // with a name server
{
    uint8_t buf[16];
    struct writer a = writer_of(buf, sizeof(buf));
    wr_u16(&a, CP_IP4_DNS);
    wr_slice16(&a, slice_of((uint8_t[]){10, 2, 0, 53}, 4));
    assert_true(pair_load_pool(p, gw == &p->s[1], name, addrs, wr_written(&a)));
}

static void dynamic(struct ts_list *l)
{
    *l = (struct ts_list){.count = 1, .t = {{.port_hi = 65535}}};
}

// vips: as many of "0.0.0.0" …; the gateway's pools are v4 and v6 where they are loaded.
static void set_up(const char *const *vips, unsigned count)
{
    struct conn_config c;
    p = pair_new(NULL);
    rw = &p->s[0];
    gw = &p->s[1];
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, i);
        c.unique = UNIQUE_NO;
        if (i) {
            dynamic(c.children[0].remote_ts);
            c.pool_count = 2;
            snprintf(c.pools[0], sizeof(c.pools[0]), "v4");
            snprintf(c.pools[1], sizeof(c.pools[1]), "v6");
        } else {
            dynamic(c.children[0].local_ts);
            for (; c.vip_count < count; c.vip_count++)
                assert_true(addr_parse(vips[c.vip_count], &c.vips[c.vip_count]));
        }
        pair_load(p, i, &c);
        pair_psk(p, i, "a secret of both", "a.test", "b.test");
    }
}

static const char *const any[] = {"0.0.0.0"}, *const both[] = {"0.0.0.0", "::"},
                         *const fixed[] = {"10.3.0.9"};

static const char *text(const struct ts_list *l)
{
    static char buf[SELECTORS_TEXT];
    return selectors_print(l, buf, sizeof(buf));
}

static const char *vip(unsigned i)
{
    static char buf[64];
    assert_true(i < rw->virtual_count);
    return addr_print(&rw->virtual_ip[i], buf, sizeof(buf));
}

static void test_address_is_given_and_takes_the_place_of_dynamic(void **state)
{
    (void)state;
    set_up(any, 1);
    assert_string_equal(text(&gw->policy[0].remote), "dynamic"); // no pool yet
    assert_int_equal(gw->policy[0].later, 1);
    pool("v4", "10.3.0.0/24");
    assert_string_equal(text(&gw->policy[0].remote), "10.3.0.0/24"); // all of it, before anybody comes
    assert_int_equal(gw->policy[0].later, 1);                        // the other pool is not here yet
    assert_string_equal(text(&rw->policy[0].local), "dynamic");
    assert_int_equal(rw->policy[0].later, 0); // what it will be given it never had
    unsigned before = rw->policies;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_agree(p));
    assert_int_equal(rw->virtual_count, 1);
    assert_string_equal(vip(0), "10.3.0.1");
    assert_int_equal(rw->virtual_after, before + 1); // the policy came first
    assert_string_equal(text(&rw->policy[0].local), "10.3.0.1/32");
    assert_int_equal(pair_sa(rw, 0)->child.policy_id, rw->policy[0].id);
    assert_string_equal(text(&pair_sa(rw, 0)->child.local_ts), "10.3.0.1/32");
    assert_string_equal(text(&pair_sa(gw, 0)->child.remote_ts), "10.3.0.1/32");
    assert_string_equal(rw->ike_info.local_vips, "10.3.0.1");
    assert_string_equal(rw->ike_info.dns, "10.2.0.53");
    assert_string_equal(gw->ike_info.remote_vips, "10.3.0.1");
    pair_terminate(p, 0, NULL, false);
    assert_int_equal(rw->virtual_count, 0);
    assert_string_equal(text(&rw->policy[0].local), "10.3.0.1/32"); // protected yet
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_string_equal(vip(0), "10.3.0.1");
}

// What a program sends from it would leave in clear.
static void test_address_whose_policies_are_refused_is_not_put(void **state)
{
    (void)state;
    set_up(any, 1);
    pool("v4", "10.3.0.0/24");
    rw->refuse_policies = true;
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_int_equal(rw->virtual_count, 0);
    assert_non_null(strstr(rw->last_text, "the policies of the connection could not be set"));
    pair_wait(p, 10000);
    assert_int_equal(pair_live(rw) + pair_live(gw), 0);
    rw->refuse_policies = false;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_string_equal(vip(0), "10.3.0.1");
    assert_string_equal(text(&rw->policy[0].local), "10.3.0.1/32");
    assert_true(pair_agree(p));
}

static void test_two_families_get_an_address_each(void **state)
{
    (void)state;
    set_up(both, 2);
    pool("v4", "10.3.0.0/24");
    assert_int_equal(gw->policy[0].later, 1);
    pool("v6", "fd03::/64");
    assert_int_equal(gw->policy[0].later, 0);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_string_equal(rw->ike_info.local_vips, "10.3.0.1 fd03::1");
    assert_string_equal(gw->ike_info.remote_vips, "10.3.0.1 fd03::1");
    assert_int_equal(rw->virtual_count, 2);
    assert_string_equal(vip(1), "fd03::1");
}

static void test_rekeying_keeps_addresses_and_reauthentication_takes_them_along(void **state)
{
    (void)state;
    set_up(any, 1);
    pool("v4", "10.3.0.0/24");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    for (int side = 0; side < 2; side++) {
        ipc_send(p->s[side].ctl_ike, MSG_REKEY, &(struct msg_REKEY){.req = 70, .conn = "t"});
        pair_wait(p, 3000);
        assert_int_equal(rw->virtual_count, 1);
        assert_string_equal(rw->ike_info.local_vips, "10.3.0.1");
    }
    ipc_send(rw->ctl_ike, MSG_REKEY, &(struct msg_REKEY){.req = 71, .conn = "t", .reauth = 1});
    pair_wait(p, 10000);
    assert_int_equal(rw->virtual_count, 1);
    assert_string_equal(vip(0), "10.3.0.1");
    assert_string_equal(text(&pair_sa(gw, 0)->child.remote_ts), "10.3.0.1/32");
    assert_int_equal(pair_live(rw), 1);
    pair_terminate(p, 1, NULL, false); // the gateway ends it
    assert_int_equal(rw->virtual_count, 0);
}

static void test_no_address_left_is_no_child(void **state)
{
    (void)state;
    set_up(any, 1);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false); // no pool is loaded
    assert_non_null(strstr(rw->last_text, "INTERNAL_ADDRESS_FAILURE"));
    assert_int_equal(pair_live(rw) + pair_live(gw), 0);
    assert_int_equal(rw->virtual_count, 0);
}

// Addresses come with IKE_AUTH alone: the IKE SA that got none is not the one to make the CHILD SA on.
static void test_next_attempt_asks_for_an_address_again(void **state)
{
    (void)state;
    set_up(any, 1);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false); // no pool is loaded
    assert_int_equal(rw->ike->sa_count, 1);
    pool("v4", "10.3.0.0/24");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_string_equal(vip(0), "10.3.0.1");
    assert_int_equal(pair_live(rw), 1);
    assert_true(pair_agree(p));
}

static void test_peer_without_a_wish_gets_no_child(void **state)
{
    (void)state;
    set_up(any, 0);
    pool("v4", "10.3.0.0/24");
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(rw->last_text, "FAILED_CP_REQUIRED"));
    assert_int_equal(pair_live(rw) + pair_live(gw), 0);
}

// One that takes our CHILD SA without a word about addresses, or with one that is nobody's.
static void test_answer_without_an_address_of_use_is_refused(void **state)
{
    static const uint8_t useless[] = {2, 0, 0, 0, 0,   1, 0, 4, 127, 0, 0, 1,
                                      0, 1, 0, 4, 224, 0, 0, 1, 0,   1, 0, 0};
    static struct payloads pl = {.count = 2, .p = {{.type = PL_SA}, {.type = PL_CP}}};
    char why[200] = "";
    (void)state;
    set_up(any, 1);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    struct ike_sa *sa = rw->ike->sas;
    assert_non_null(sa);
    pl.p[1].body = slice_of(useless, sizeof(useless));
    assert_false(virtual_take(sa, NULL, &pl, why, sizeof(why)));
    assert_string_equal(why, "the peer gave no virtual IP (RFC 7296 2.19)");
    pl.p[1].body = slice_of(useless, sizeof(useless) - 1);
    assert_false(virtual_take(sa, NULL, &pl, why, sizeof(why)));
    assert_string_equal(why, "the CFG_REPLY is malformed (RFC 7296 3.15)");
    pl.count = 1;
    assert_false(virtual_take(sa, NULL, &pl, why, sizeof(why)));
    assert_int_equal(sa->local_vip_count, 0);
}

static struct slice configuration(uint8_t type, uint16_t addresses, uint16_t servers, unsigned others)
{
    static uint8_t buf[2048];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_uint(&w, (uint64_t)type << 24, 4);
    for (unsigned i = 0; i < 2; i++) {
        for (uint8_t k = 0; k < (i ? servers : addresses); k++) {
            wr_u16(&w, i ? CP_IP4_DNS : CP_IP4_ADDRESS);
            wr_slice16(&w, slice_of((uint8_t[]){10, 9, (uint8_t)i, (uint8_t)(k + 1)}, 4));
        }
    }
    for (unsigned i = 0; i < others; i++) {
        wr_u16(&w, 7); // APPLICATION_VERSION
        wr_slice16(&w, slice_of("x", 1));
    }
    return wr_written(&w);
}

// What a peer gives or asks for beyond four addresses, four name servers and 64 attributes: the first are
// taken, and the log says what is left out.
static void test_more_than_there_is_room_for_is_left_out_and_told(void **state)
{
    static struct payloads pl = {.count = 2, .p = {{.type = PL_SA}, {.type = PL_CP}}};
    char why[200] = "";
    (void)state;
    set_up(any, 1);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false); // the gateway has no pool yet
    struct ike_sa *sa = rw->ike->sas;
    assert_non_null(sa);
    watch_log();
    pl.p[1].body = configuration(CP_REPLY, 4, 4, 56);
    assert_true(virtual_take(sa, NULL, &pl, why, sizeof(why)));
    assert_null(strstr(watch_lines, "left out"));
    sa->local_vip_count = sa->dns_count = 0;
    watch_log();
    pl.p[1].body = configuration(CP_REPLY, 6, 5, 60);
    assert_true(virtual_take(sa, NULL, &pl, why, sizeof(why)));
    assert_int_equal(sa->local_vip_count, 4);
    assert_true(watch_said("received virtual IP 10.9.0.4\n"));
    assert_true(watch_said("received virtual IP 10.9.0.5, which is left out: 4 are taken\n"));
    assert_true(watch_said("received virtual IP 10.9.0.6, which is left out: 4 are taken\n"));
    assert_true(watch_said("received name server 10.9.1.5, which is left out: 4 are taken\n"));
    assert_true(
        watch_said("the Configuration payload has 71 attributes, the last 7 are left out: 64 are taken\n"));
    pool("v4", "10.3.0.0/24");
    sa = gw->ike->sas;
    assert_non_null(sa);
    struct handshake none = {0}, *had = sa->hs;
    sa->hs = &none;
    pl.p[1].body = configuration(CP_REQUEST, 6, 0, 60);
    watch_log();
    assert_int_equal(virtual_assign(sa, &pl), 0);
    sa->hs = had;
    assert_true(watch_said("the peer asks for 6 virtual IPs, the first 4 were looked at\n"));
    assert_true(
        watch_said("the Configuration payload has 66 attributes, the last 2 are left out: 64 are taken\n"));
    log_set_sink(NULL, NULL);
}

static void test_address_that_cannot_be_put_ends_the_child_at_both_ends(void **state)
{
    (void)state;
    set_up(any, 1);
    pool("v4", "10.3.0.0/24");
    rw->refuse_virtual = true;
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(rw->last_text, "the test's path refuses"));
    pair_wait(p, 1000);
    assert_int_equal(pair_live(rw) + pair_live(gw), 0);
}

// swanctl's `vips = 10.3.0.9`: the policy has it from the load on; what the gateway gives counts.
static void test_fixed_address_is_protected_before_it_is_given(void **state)
{
    (void)state;
    set_up(fixed, 1);
    pool("v4", "10.3.0.0/24");
    assert_string_equal(text(&rw->policy[0].local), "10.3.0.9/32");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_string_equal(text(&rw->policy[0].local), "10.3.0.1/32");
    assert_string_equal(vip(0), "10.3.0.1");
}

static void call_rw(const char *from, const char *to, bool new_first, const char *const *vips)
{
    struct conn_config c;
    struct msg_CONN_UNLOAD m = {.req = 4000};
    pair_default_conn(&c, 0);
    c.unique = UNIQUE_NO;
    c.name = to;
    dynamic(c.children[0].local_ts);
    assert_true(addr_parse(vips[0], &c.vips[0]));
    c.vip_count = 1;
    snprintf(m.conn, sizeof(m.conn), "%s", from);
    for (int i = 0; i < 2; i++) {
        if ((i == 0) == new_first)
            pair_load(p, 0, &c);
        else
            ipc_send(rw->ctl_ike, MSG_CONN_UNLOAD, &m);
        pair_run(p);
    }
}

// Another name of ours at the same gateway, which has forgotten the first one and has one address to give.
static void test_address_that_the_gateway_gives_to_another_name_of_ours_ends_the_one_that_had_it(void **state)
{
    (void)state;
    struct conn_config c;
    set_up(any, 1);
    pool("v4", "10.3.0.1/32");
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, i);
        c.unique = UNIQUE_NO;
        c.name = "n";
        c.children[0].name = "other";
        *(i ? &c.remote.id : &c.local.id) = "c.test";
        dynamic(i ? c.children[0].remote_ts : c.children[0].local_ts);
        if (i) {
            c.pool_count = 1;
            snprintf(c.pools[0], sizeof(c.pools[0]), "v4");
        } else {
            c.vip_count = 1;
            assert_true(addr_parse(any[0], &c.vips[0]));
        }
        pair_load(p, i, &c);
        pair_psk(p, i, "a secret of both", "c.test", "b.test");
    }
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_wait(p, 10);
    pair_result(p, 0, pair_initiate(p, 0, "other"), false); // it knows who has it
    pair_wait(p, 10000);
    assert_int_equal(pair_live(rw), 1);
    assert_string_equal(rw->ike->sas->conn->cfg.name, "t");
    while (gw->ike->sas)
        sa_destroy(gw->ike->sas);
    pair_result(p, 0, pair_initiate(p, 0, "other"), true);
    assert_int_equal(pair_live(rw), 1);
    assert_int_equal(rw->ike->sa_count, 1);
    assert_string_equal(rw->ike->sas->conn->cfg.name, "n");
    assert_int_equal(rw->virtual_count, 1);
    assert_string_equal(vip(0), "10.3.0.1");
}

// With the IKE SA it takes its addresses: its policies protect them, whatever becomes of the SA.
static void test_renamed_connection_has_the_addresses_that_it_was_given(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const char *const *wish = i & 1 ? fixed : any;
        if (i)
            pair_free(p);
        set_up(wish, 1);
        pool("v4", "10.3.0.0/24");
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        call_rw("t", "n", i >> 1, wish);
        assert_int_equal(rw->ike->sa_count, 1);
        assert_string_equal(rw->ike->sas->conn->cfg.name, "n");
        assert_string_equal(rw->policy_count ? text(&rw->policy[0].local) : "", "10.3.0.1/32");
        pair_terminate(p, 0, "c", false);
        pair_wait(p, 10000); // without it the IKE SA goes
        assert_int_equal(rw->virtual_count, 0);
        assert_string_equal(text(&rw->policy[0].local), "10.3.0.1/32");
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_string_equal(vip(0), "10.3.0.1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
        TEST(test_address_is_given_and_takes_the_place_of_dynamic),
        TEST(test_address_whose_policies_are_refused_is_not_put),
        TEST(test_two_families_get_an_address_each),
        TEST(test_rekeying_keeps_addresses_and_reauthentication_takes_them_along),
        TEST(test_no_address_left_is_no_child),
        TEST(test_next_attempt_asks_for_an_address_again),
        TEST(test_address_that_the_gateway_gives_to_another_name_of_ours_ends_the_one_that_had_it),
        TEST(test_peer_without_a_wish_gets_no_child),
        TEST(test_answer_without_an_address_of_use_is_refused),
        TEST(test_more_than_there_is_room_for_is_left_out_and_told),
        TEST(test_address_that_cannot_be_put_ends_the_child_at_both_ends),
        TEST(test_fixed_address_is_protected_before_it_is_given),
        TEST(test_renamed_connection_has_the_addresses_that_it_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
