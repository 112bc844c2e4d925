// SPDX-License-Identifier: Apache-2.0
// Which connection a peer is answered by, and what that costs: a stranger's request is held against equal
// proposals once, however many connections have them; an address is no pattern, whatever octets it has, and
// many of them are one; and who must have a CHILD SA gets no IKE SA without one.
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
        char name[20], child[20];
        pair_default_conn(&c, 1);
        snprintf(name, sizeof(name), "c%u", i);
        snprintf(child, sizeof(child), "k%u", i);
        c.name = name;
        c.children[0].name = child;
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
    c.name = "other";
    c.remote_count = 0;
    pair_proposal(&c.proposals[0], PROTO_IKE, "chacha20poly1305 prfsha512 ecp384");
    p->s[1].policies = 0;
    pair_load(p, 1, &c);
    assert_int_equal(asked(p->s[1].ike, "10.0.0.2", "10.0.0.9"), 2);
    pair_free(p);
}

// Of one key length, PRF and group each, and no two lists alike.
static void distinct_proposals(struct conn_config *c, unsigned n)
{
    static const char *const encr[] = {"aes128gcm16", "aes256gcm16", "aes192gcm16", "chacha20poly1305"},
                             *const prf[] = {"prfsha256", "prfsha384", "prfsha512"},
                             *const ke[] = {"x25519", "ecp256",   "ecp384",  "ecp521",
                                            "x448",   "modp2048", "modp3072"};
    c->proposal_count = PROPOSALS_MAX;
    for (unsigned i = 0; i < PROPOSALS_MAX; i++) {
        char text[100];
        unsigned at = i * (1 + n % 7) + n * 5;
        snprintf(text, sizeof(text), "%s %s %s", encr[at % 4], prf[at / 4 % 3], ke[at / 12 % 7]);
        pair_proposal(&c->proposals[i], PROTO_IKE, text);
    }
}

static void load_distinct(struct pair *p, unsigned connections)
{
    for (unsigned i = 0; i < connections; i++) {
        char name[20];
        struct conn_config c;
        pair_default_conn(&c, 1);
        distinct_proposals(&c, i);
        snprintf(name, sizeof(name), "x%u", i);
        c.name = name;
        c.remote_count = 0;
        p->s[1].policies = 0;
        pair_load(p, 1, &c);
    }
}

// With 24 proposals: 28 times as many of ours are held against them at once, and more when it has shown that
// it is where it says.
static void test_who_offers_much_to_many_distinct_proposals_brings_a_cookie_first(void **state)
{
    static const struct {
        unsigned connections, cookies;
        bool much;
    } cases[] = {{5, 0, true}, {40, 1, true}, {40, 0, false}};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        pair_psk(p, 0, "secret", NULL, NULL);
        pair_psk(p, 1, "secret", NULL, NULL);
        pair_default_conn(&c, 1);
        pair_load(p, 1, &c);
        load_distinct(p, cases[i].connections);
        pair_default_conn(&c, 0);
        if (cases[i].much)
            distinct_proposals(&c, 50);
        pair_proposal(&c.proposals[0], PROTO_IKE, "aes256gcm16 prfsha256 x25519");
        pair_load(p, 0, &c);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_int_equal(p->s[1].ike->counters[CNT_cookies_sent], cases[i].cookies);
        pair_free(p);
    }
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
            *(side ? &c.local.id : &c.remote.id) = ids[i];
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

static void test_addresses_may_be_many(void **state)
{
    struct identity id;
    char text[200];
    static const char *const not_such[] = {"10.0.0.0/33",       "fd00::/129",       "10.0.0.0/",
                                           "10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1", "10.0.0.1-x",
                                           "10.0.0.0/8/16"},
                             *const printed[] = {"10.0.0.0/8", "10.0.0.1-10.0.0.9", "fd00::/9",
                                                 "::-fd00::1", "0.0.0.0/0",         "10.0.0.1/32"};
    (void)state;
    for (size_t i = 0; i < sizeof(not_such) / sizeof(not_such[0]); i++) // names, as charon takes them
        assert_true(identity_parse(not_such[i], &id) && (id.type == ID_FQDN || id.type == ID_KEY));
    for (size_t i = 0; i < sizeof(printed) / sizeof(printed[0]); i++) {
        assert_true(identity_parse(printed[i], &id) && identity_is_pattern(&id));
        assert_string_equal(identity_print(&id, text, sizeof(text)), printed[i]);
        uint8_t body[100] = {0};
        struct writer w = writer_of(body, sizeof(body));
        identity_write(&w, &id);
        assert_false(identity_read(slice_of(body, w.len), &id)); // nobody is many
    }
    assert_int_equal(match("10.255.0.1", "10.0.0.0/8"), MATCH_WILDCARD);
    assert_int_equal(match("10.255.0.1", "10.1.2.3/8"), MATCH_WILDCARD);
    assert_int_equal(match("11.0.0.1", "10.0.0.0/8"), MATCH_NONE);
    assert_int_equal(match("10.0.0.129", "10.0.0.0/25"), MATCH_NONE);
    assert_int_equal(match("fd7f::1", "fd00::/9"), MATCH_WILDCARD);
    assert_int_equal(match("fd80::1", "fd00::/9"), MATCH_NONE);
    assert_int_equal(match("10.0.0.1", "10.0.0.1-10.0.0.9"), MATCH_WILDCARD);
    assert_int_equal(match("10.0.0.9", "10.0.0.1-10.0.0.9"), MATCH_WILDCARD);
    assert_int_equal(match("10.0.0.10", "10.0.0.1-10.0.0.9"), MATCH_NONE);
    assert_int_equal(match("10.0.0.0", "10.0.0.1-10.0.0.9"), MATCH_NONE);
    assert_int_equal(match("fd00::1", "0.0.0.0/0"), MATCH_NONE);
    assert_int_equal(match("10.0.0.1", "::/0"), MATCH_NONE);
    assert_int_equal(match("host.test", "0.0.0.0/0"), MATCH_NONE);
}

// ... and is not asked for: who answers is nobody of that name.
static void test_a_pattern_is_no_name_to_ask_for(void **state)
{
    static const char *const ids[][2] = {{"C=DE, O=Lab, CN=gw", "C=DE, O=*, CN=*"},
                                         {"C=DE, O=Lab, CN=gw", "C=*, O=Lab, CN=GW"},
                                         {"gw.test", "*.test"},
                                         {"gw@test", "*@test"},
                                         {"10.0.0.2", "10.0.0.0/24"},
                                         {"fd00::2", "fd00::1-fd00::9"},
                                         {"gw.test", "%any"}};
    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct identity id, pattern;
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        assert_true(identity_parse(ids[i][0], &id) && identity_parse(ids[i][1], &pattern));
        assert_true(identity_is_pattern(&pattern) && !identity_is_pattern(&id));
        for (int side = 1; side >= 0; side--) {
            pair_psk(p, side, "secret", NULL, NULL);
            pair_default_conn(&c, side);
            *(side ? &c.local.id : &c.remote.id) = ids[i][!side];
            pair_load(p, side, &c);
        }
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_true(identity_eq(p->s[0].ike->sas->remote_id, &id));
        pair_free(p);
    }
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
        p->s[0].ike->sas->hs->later->child = NULL;
        pair_run(p);
        assert_int_equal(p->s[0].ike_up, !never);
        assert_int_equal(p->s[1].ike_up, !never);
        assert_int_equal(p->s[1].child_up, 0);
        pair_free(p);
    }
}

// ---- claims against a walk over all

static uint64_t dice;

static unsigned roll(unsigned n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % n;
}

static const char *const some_ids[] = {"a.test",     "A.Test",     "b.test",   "*.test",
                                       "%any",       "x@a.test",   "*@a.test", "10.0.0.9",
                                       "C=CH, CN=a", "C=CH, CN=*", "c.test"};
enum { SOME_IDS = sizeof(some_ids) / sizeof(some_ids[0]) };

// Those that take anyone are asked in groups of equal own addresses, in the order in which the groups began.
static unsigned began[2], groups;

static void note_group(const struct ike *ike, const struct conn_config *c)
{
    unsigned members = 0;
    for (const struct conn *k = ike->conns; k; k = k->next)
        members += k->cfg.remote_count == 0 && k->cfg.local_count == c->local_count;
    if (!members && !c->remote_count)
        began[c->local_count] = ++groups;
}

static void load_some(struct pair *p, unsigned name)
{
    struct conn_config c;
    char conn[20], child[20];
    pair_default_conn(&c, 1);
    snprintf(conn, sizeof(conn), "c%u", name);
    snprintf(child, sizeof(child), "k%u", name);
    c.name = conn;
    c.children[0].name = child;
    c.remote.id = some_ids[roll(SOME_IDS)];
    c.local.id = some_ids[roll(3)];
    c.dpd_delay = roll(1000);
    if (roll(3))
        c.remote_count = 0;
    else
        addr_parse(roll(2) ? "10.0.0.9" : "10.0.0.8", &c.remote_addrs[0]);
    if (roll(2))
        c.local_count = 0;
    note_group(p->s[1].ike, &c);
    p->s[1].policies = 0;
    pair_load(p, 1, &c);
}

static int fits(const struct addr *list, unsigned count, const struct addr *a)
{
    for (unsigned i = 0; i < count; i++)
        if (addr_eq(&list[i], a))
            return 1;
    return count ? -1 : 0;
}

static unsigned place(const struct ike *ike, const struct conn *of)
{
    unsigned n = 0;
    for (const struct conn *k = ike->conns; k && k != of; k = k->next)
        n++;
    return n;
}

static const struct conn *by_walk(const struct ike *ike, const struct conn_claim *q)
{
    const struct conn *best = NULL;
    int top = 0;
    unsigned rank = 0;
    for (const struct conn *c = ike->conns; c; c = c->next) {
        int here = fits(c->cfg.local_addrs, c->cfg.local_count, &q->path->local),
            there = fits(c->cfg.remote_addrs, c->cfg.remote_count, &q->path->remote);
        struct identity mine;
        identity_copy(&mine, c->local_id);
        if (mine.type == ID_ANY)
            identity_of_addr(&q->path->local, &mine);
        int l = q->local ? identity_match(q->local, &mine) : MATCH_ANY,
            r = identity_match(q->remote, c->remote_id),
            score = 4 * (1 + 21 * r + l) + 2 * (there > 0) + here;
        unsigned at = there > 0 ? place(ike, c) : 10000 * began[c->cfg.local_count] + place(ike, c);
        if (here < 0 || there < 0 || !l || !r || score < top || (score == top && at > rank))
            continue;
        best = c;
        top = score;
        rank = at;
    }
    return best;
}

static void test_a_claim_is_answered_as_by_a_walk_over_all(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++) {
        struct pair *p = pair_new(NULL);
        struct ike *ike = p->s[1].ike;
        struct net_path path = {.local_port = 500, .remote_port = 500};
        struct suite suite = {0}; // within anyone's proposals
        unsigned found = 0;
        dice = seed;
        addr_parse("10.0.0.2", &path.local);
        addr_parse("10.0.0.9", &path.remote);
        for (unsigned step = 0; step < 60; step++) {
            load_some(p, roll(40));
            for (unsigned k = 0; k < 20; k++) {
                struct identity me, peer;
                assert_true(identity_parse(some_ids[roll(SOME_IDS)], &peer));
                assert_true(identity_parse(some_ids[roll(3)], &me));
                struct conn_claim q = {
                    .path = &path, .suite = &suite, .local = roll(2) ? &me : NULL, .remote = &peer};
                const struct conn *want = by_walk(ike, &q);
                if (conn_for_claim(ike, &q) != want)
                    fail_msg("seed %u, step %u: not the one that a walk finds", seed, step);
                found += want != NULL;
            }
        }
        assert_true(found > 100);
        pair_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_strangers_offer_is_held_once_against_equal_proposals),
        cmocka_unit_test(test_who_offers_much_to_many_distinct_proposals_brings_a_cookie_first),
        cmocka_unit_test(test_an_address_with_the_octet_of_an_asterisk_is_no_pattern),
        cmocka_unit_test(test_addresses_may_be_many),
        cmocka_unit_test(test_a_pattern_is_no_name_to_ask_for),
        cmocka_unit_test(test_an_ike_sa_without_a_child_is_refused_where_childless_is_never),
        cmocka_unit_test(test_a_claim_is_answered_as_by_a_walk_over_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
