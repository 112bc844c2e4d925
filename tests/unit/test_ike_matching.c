// SPDX-License-Identifier: Apache-2.0
// Which connection a peer is answered by, and what that costs: a stranger's request is held against equal
// proposals once, however many connections have them; an address is no pattern, whatever octets it has; and
// who must have a CHILD SA gets no IKE SA without one.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/ike/conns.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/initiate.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/sa.h"
#include "tests/unit/ike_pair.h"

enum { MANY = 1000 };

static bool count_and_refuse(void *ctx, const struct proposal *p, unsigned count)
{
    (void)p;
    (void)count;
    ++*(unsigned *)ctx;
    return false;
}

static unsigned asked(struct ike *ike, const char *local, const char *remote)
{
    struct net_path path = {.local_port = 500, .remote_port = 500};
    unsigned n = 0;
    addr_parse(local, &path.local);
    addr_parse(remote, &path.remote);
    assert_null(conn_for_offers(ike, &path, count_and_refuse, &n));
    return n;
}

static void test_a_strangers_offer_is_held_once_against_equal_proposals(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (unsigned i = 0; i < MANY; i++) {
        pair_default_conn(&c, 1);
        snprintf(c.name, sizeof(c.name), "c%u", i);
        snprintf(c.children[0].name, sizeof(c.children[0].name), "k%u", i);
        if (i % 2)
            c.remote_count = 0; // anyone
        else
            c.remote_addrs[0].a[3] = (uint8_t)i;
        p->s[1].policies = 0;
        pair_load(p, 1, &c);
    }
    assert_int_equal(asked(p->s[1].ike, "10.0.0.2", "10.0.0.9"), 1); // by address nobody, by anyone 500
    assert_int_equal(asked(p->s[1].ike, "10.0.0.2", "10.0.0.4"), 1); // and those that name it
    assert_int_equal(asked(p->s[1].ike, "10.9.9.9", "10.0.0.9"), 0);
    pair_default_conn(&c, 1);
    snprintf(c.name, sizeof(c.name), "other");
    c.remote_count = 0;
    pair_proposal(&c.proposals[0], PROTO_IKE, "chacha20poly1305 prfsha512 ecp384");
    p->s[1].policies = 0;
    pair_load(p, 1, &c);
    assert_int_equal(asked(p->s[1].ike, "10.0.0.2", "10.0.0.9"), 2);
    pair_free(p);
}

static int match(const char *id, const char *pattern)
{
    struct identity a, b;
    assert_true(identity_parse(id, &a) && identity_parse(pattern, &b));
    return identity_match(&a, &b);
}

// 0x2a is an asterisk.
static void test_an_address_with_the_octet_of_an_asterisk_is_no_pattern(void **state)
{
    (void)state;
    static const char *const ids[] = {"42.0.0.1", "2a00:1450::1", "1.42.3.4"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct identity id;
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        assert_true(identity_parse(ids[i], &id));
        assert_false(identity_is_pattern(&id));
        for (int side = 1; side >= 0; side--) {
            pair_psk(p, side, "secret", "a.test", ids[i]);
            pair_default_conn(&c, side);
            snprintf(side ? c.local.id : c.remote.id, sizeof(c.local.id), "%s", ids[i]);
            pair_load(p, side, &c);
        }
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_true(identity_eq(p->s[0].ike->sas->remote_id, &id));
        pair_free(p);
    }
    assert_int_equal(match("7.0.0.1", "42.0.0.1"), MATCH_NONE);
    assert_int_equal(match("1.1.3.4", "1.42.3.4"), MATCH_NONE);
    assert_int_equal(match("2b00:1450::1", "2a00:1450::1"), MATCH_NONE);
    assert_true(match("host.test", "*.test") != MATCH_NONE);
}

static void test_an_ike_sa_without_a_child_is_refused_where_childless_is_never(void **state)
{
    (void)state;
    for (int never = 0; never < 2; never++) {
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        for (int side = 1; side >= 0; side--) {
            pair_psk(p, side, "secret", NULL, NULL);
            pair_default_conn(&c, side);
            c.childless = never && side ? CHILDLESS_NEVER : CHILDLESS_ALLOW;
            pair_load(p, side, &c);
        }
        struct conn *own = p->s[0].ike->conns;
        assert_int_equal(initiate_anew(p->s[0].ike, own, &own->cfg.children[0], NULL), 0);
        p->s[0].ike->sas->hs->child = NULL;
        pair_run(p);
        assert_int_equal(p->s[0].ike_up, !never);
        assert_int_equal(p->s[1].ike_up, !never);
        assert_int_equal(p->s[1].child_up, 0);
        pair_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_strangers_offer_is_held_once_against_equal_proposals),
        cmocka_unit_test(test_an_address_with_the_octet_of_an_asterisk_is_no_pattern),
        cmocka_unit_test(test_an_ike_sa_without_a_child_is_refused_where_childless_is_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
