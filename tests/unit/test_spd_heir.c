// SPDX-License-Identifier: Apache-2.0
// Policies that are unloaded and loaded again, edited forth and back or renamed while SAs serve them, with
// the real software engine: one policy for packets, whatever the names, and never another peer's.
#include <string.h>

#include "tests/unit/spd_rig.h"

#define NONE UINT32_MAX

static struct policy_spec net_as(uint32_t id, const char *child)
{
    return rig_spec(id, child, "10.1.0.0/16", "10.2.0.0/16");
}

static void install_under(struct rig *r, uint32_t id, uint32_t policy, const char *remote)
{
    struct msg_CHILD c = rig_child(r, id);
    c.policy_id = policy;
    c.remote_ts = rig_list(remote);
    rig_must_install_child(r, &c);
}

static void silent(struct rig *r, uint32_t id) // the peer has let go of it: it still receives
{
    child_outbound(r->p, &(struct msg_CHILD_OUTBOUND){.req = 1, .child_id = id, .after = id});
}

static void expect_by(struct rig *r, const char *to, uint32_t spi)
{
    unsigned before = r->sent_count;
    spd_send_udp(r, "10.1.0.1", to, 1, before);
    rig_turn(r);
    assert_int_equal(r->sent_count, before + 1);
    assert_int_equal(spd_spi_of(r, before), spi);
    assert_int_equal(r->past_count, 0);
}

static void expect_in(struct rig *r, uint32_t spi, const char *from, bool comes)
{
    struct rig_packet in = {.src = from, .dst = "10.1.0.1", .proto = 17, .number = spi};
    rig_in_packet(r, spi, &in);
    assert_int_equal(rig_read(r), comes ? spi : NONE);
}

static void expect_blocked(struct rig *r, const char *to)
{
    unsigned before = r->sent_count;
    spd_send_udp(r, "10.1.0.1", to, 1, 77);
    rig_turn(r);
    assert_int_equal(r->sent_count, before);
    assert_int_equal(r->past_count, 0);
}

// Each way to come from rig/net, policy 1, to an equal policy 7 with the SA up.
enum way { AGAIN, FORTH_AND_BACK, CHILD_RENAMED, CONN_RENAMED, CONN_RENAMED_LATE, OTHER_PRIORITY, WAYS };

static void change_by(struct rig *r, enum way way)
{
    struct policy_spec one = net_as(7, way == CHILD_RENAMED ? "other" : "net"),
                       wider = rig_spec(6, "net", "10.0.0.0/8", "10.2.0.0/16");
    if (way == OTHER_PRIORITY)
        one.priority = 5;
    if (way == AGAIN || way == CONN_RENAMED)
        rig_must_apply(r, "rig", NULL, 0);
    if (way == FORTH_AND_BACK)
        rig_must_apply(r, "rig", &wider, 1);
    rig_must_apply(r, way == CONN_RENAMED || way == CONN_RENAMED_LATE ? "new" : "rig", &one, 1);
    if (way == CONN_RENAMED_LATE) // as swanctl --load-conns does
        rig_must_apply(r, "rig", NULL, 0);
}

static int blocks_without_sas(void **state, enum way way)
{
    assert_int_equal(rig_up(state), 0);
    fake_blocks = 1;
    change_by(*state, way);
    int blocks = fake_blocks;
    assert_int_equal(rig_down(state), 0);
    return blocks;
}

static void test_the_sa_goes_on_and_its_successor_too(void **state)
{
    for (enum way way = 0; way < WAYS; way++) {
        int blocks = blocks_without_sas(state, way);
        for (uint32_t under = 1; under <= 7; under += 6) { // by the old number, or by the new one
            struct rig *r;
            struct msg_POLICY_IS list[4];
            assert_int_equal(rig_up(state), 0);
            r = *state;
            fake_blocks = 1;
            rig_must_install(r, 1, OFFLOAD_NO, "software");
            change_by(r, way);
            assert_int_equal(spd_count_policies(r, list, 4), 1);
            assert_int_equal(list[0].id, 7);
            assert_int_equal(list[0].loaded, 1);
            assert_int_equal(list[0].sa_count, 1);
            expect_by(r, "10.2.0.1", 0x2001);
            expect_in(r, 0x1001, "10.2.0.1", true);
            install_under(r, 2, under, "10.2.0.0/16"); // it is rekeyed
            silent(r, 1);
            expect_by(r, "10.2.0.1", 0x2002);
            expect_in(r, 0x1001, "10.2.0.1", true);
            expect_in(r, 0x1002, "10.2.0.1", true);
            sadb_delete(r->p, 1);
            rig_turn(r);
            expect_by(r, "10.2.0.1", 0x2002);
            expect_in(r, 0x1002, "10.2.0.1", true);
            sadb_delete(r->p, 2);
            rig_turn(r);
            expect_blocked(r, "10.2.0.1");
            assert_int_equal(fake_blocks, blocks);
            assert_int_equal(r->p->spd.by_id.count, 1); // the old number has left
            assert_int_equal(rig_down(state), 0);
        }
    }
}

// ... and so again and again, with SAs of every edition.
static void test_many_editions_are_one_policy(void **state)
{
    struct rig *r = *state;
    struct msg_POLICY_IS list[4];
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    for (uint32_t i = 2; i < 30; i++) {
        struct policy_spec s = net_as(100 + i, i % 2 ? "net" : "m");
        rig_must_apply(r, i % 3 ? "rig" : "other", NULL, 0);
        rig_must_apply(r, i % 3 ? "other" : "rig", NULL, 0);
        rig_must_apply(r, i % 3 ? "rig" : "other", &s, 1);
        install_under(r, i, i % 5 ? 100 + i : 100 + i - 1, "10.2.0.0/16");
        expect_by(r, "10.2.0.1", 0x2000 + i);
        assert_int_equal(spd_count_policies(r, list, 4), 1);
        assert_int_equal(list[0].sa_count, i);
    }
    for (uint32_t i = 1; i < 30; i++)
        expect_in(r, 0x1000 + i, "10.2.0.1", true);
    for (uint32_t i = 1; i < 29; i++) {
        sadb_delete(r->p, 30 - i); // the newest first
        rig_turn(r);
        expect_by(r, "10.2.0.1", 0x2000 + 29 - i);
    }
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(r->p->spd.by_id.count, 1);
    expect_blocked(r, "10.2.0.1");
}

// What was unloaded is not in force for ever: with the last SA of a policy that nobody has loaded it goes.
static void test_unloaded_once_more_it_stays_until_its_last_sa_ends(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = net_as(7, "other");
    fake_blocks = 1;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_apply(r, "rig", &s, 1);
    install_under(r, 2, 7, "10.2.0.0/16");
    rig_must_apply(r, "rig", NULL, 0);
    sadb_delete(r->p, 2);
    rig_turn(r);
    expect_by(r, "10.2.0.1", 0x2001);
    assert_true(fake_blocks > 0);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(fake_blocks, 0);
    assert_int_equal(r->p->spd.by_id.count, 0);
}

// Where nobody knows whose SAs they are each lets in and sends what is its own, in the order of loading.
static void test_an_equal_policy_for_nobody_knows_whom_takes_nothing_over(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = net_as(7, "net");
    struct msg_POLICY_IS list[4];
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    r->conn_peer = 0;
    rig_must_apply(r, "other", &s, 1);
    rig_must_apply(r, "rig", NULL, 0);
    install_under(r, 2, 7, "10.2.0.0/16");
    assert_int_equal(spd_count_policies(r, list, 4), 2);
    expect_by(r, "10.2.0.1", 0x2001);
    expect_in(r, 0x1001, "10.2.0.1", true);
    expect_in(r, 0x1002, "10.2.0.1", false);
    sadb_delete(r->p, 1);
    rig_turn(r);
    expect_by(r, "10.2.0.1", 0x2002);
    expect_in(r, 0x1002, "10.2.0.1", true);
}

// The ways to come from rig/net to an equal policy, 7, for another peer.
enum other_way { PEER_EDITED, RENAMED_TOO, RENAMED_LATE, CHILD_RENAMED_TOO, OTHER_WAYS };

static void change_peer_by(struct rig *r, enum other_way way)
{
    struct policy_spec s = net_as(7, way == CHILD_RENAMED_TOO ? "other" : "net");
    bool other = way == RENAMED_TOO || way == RENAMED_LATE;
    r->conn_peer = 2;
    if (way == RENAMED_TOO)
        rig_must_apply(r, "rig", NULL, 0);
    rig_must_apply(r, other ? "new" : "rig", &s, 1);
    if (way == RENAMED_LATE)
        rig_must_apply(r, "rig", NULL, 0);
}

// Make before break: the old peer's SA goes on until the new one has one, and receives as long as it is
// there.
static void test_an_equal_policy_for_another_peer_goes_first_once_it_has_an_sa(void **state)
{
    for (enum other_way way = 0; way < OTHER_WAYS; way++) {
        struct rig *r;
        struct msg_POLICY_IS list[4];
        assert_int_equal(rig_up(state), 0);
        r = *state;
        fake_blocks = 1;
        rig_must_install(r, 1, OFFLOAD_NO, "software");
        change_peer_by(r, way);
        expect_by(r, "10.2.0.1", 0x2001);
        expect_in(r, 0x1001, "10.2.0.1", true);
        install_under(r, 2, 1, "10.2.0.0/16"); // the old one is rekeyed
        expect_by(r, "10.2.0.1", 0x2002);
        install_under(r, 3, 7, "10.2.0.0/16");
        assert_int_equal(spd_count_policies(r, list, 4), 1);
        assert_int_equal(list[0].id, 7);
        expect_by(r, "10.2.0.1", 0x2003);
        for (uint32_t i = 1; i <= 3; i++)
            expect_in(r, 0x1000 + i, "10.2.0.1", true);
        install_under(r, 4, 1, "10.2.0.0/16"); // ... and once more
        expect_by(r, "10.2.0.1", 0x2003);
        expect_in(r, 0x1004, "10.2.0.1", true);
        install_under(r, 5, 7, "10.2.0.0/16");
        silent(r, 3);
        expect_by(r, "10.2.0.1", 0x2005);
        sadb_delete(r->p, 5);
        sadb_delete(r->p, 3);
        rig_turn(r);
        expect_blocked(r, "10.2.0.1"); // never back to what is for somebody else
        expect_in(r, 0x1004, "10.2.0.1", true);
        assert_true(fake_blocks > 0);
        for (uint32_t i = 1; i <= 4; i++)
            sadb_delete(r->p, i);
        rig_turn(r);
        assert_int_equal(r->p->spd.by_id.count, 1);
        expect_blocked(r, "10.2.0.1");
        assert_int_equal(rig_down(state), 0);
    }
}

// An SA of each is there when the old one is unloaded.
static void test_what_is_unloaded_gives_way_to_what_is_in_use(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = net_as(7, "net");
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    r->conn_peer = 2;
    rig_must_apply(r, "other", &s, 1);
    install_under(r, 2, 7, "10.2.0.0/16");
    expect_by(r, "10.2.0.1", 0x2001); // both are loaded
    expect_in(r, 0x1002, "10.2.0.1", false);
    rig_must_apply(r, "rig", NULL, 0);
    expect_by(r, "10.2.0.1", 0x2002);
    expect_in(r, 0x1001, "10.2.0.1", true);
    expect_in(r, 0x1002, "10.2.0.1", true);
}

// Two have been unloaded, neither of which sent anything when the other one went: both give way to the third.
static void test_all_old_peers_of_a_policy_give_way(void **state)
{
    struct rig *r = *state;
    struct policy_spec second = net_as(7, "net"), third = net_as(8, "net");
    struct msg_POLICY_IS list[4];
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    r->conn_peer = 2;
    rig_must_apply(r, "other", &second, 1);
    install_under(r, 2, 7, "10.2.0.0/16");
    silent(r, 2);
    rig_must_apply(r, "rig", NULL, 0);
    r->conn_peer = 3;
    rig_must_apply(r, "third", &third, 1);
    rig_must_apply(r, "other", NULL, 0);
    assert_int_equal(spd_count_policies(r, list, 4), 3);
    install_under(r, 3, 8, "10.2.0.0/16");
    assert_int_equal(spd_count_policies(r, list, 4), 1);
    assert_int_equal(list[0].id, 8);
    expect_by(r, "10.2.0.1", 0x2003);
    for (uint32_t i = 1; i <= 3; i++)
        expect_in(r, 0x1000 + i, "10.2.0.1", true);
    sadb_delete(r->p, 3);
    rig_turn(r);
    expect_blocked(r, "10.2.0.1");
}

// Edited, and back before the other peer had an SA.
static void test_a_peer_edited_forth_and_back_goes_on(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = net_as(8, "net");
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    change_peer_by(r, PEER_EDITED);
    r->conn_peer = 1;
    rig_must_apply(r, "rig", &s, 1);
    install_under(r, 2, 8, "10.2.0.0/16");
    expect_by(r, "10.2.0.1", 0x2002);
    sadb_delete(r->p, 2);
    rig_turn(r);
    expect_by(r, "10.2.0.1", 0x2001); // it is the same peer's
}

// A narrowed SA of the old peer, and one of the new peer.
static void test_narrowed_ones_give_way_too(void **state)
{
    struct rig *r = *state;
    install_under(r, 1, 1, "10.2.7.0/24");
    install_under(r, 2, 1, "10.2.8.0/24");
    change_peer_by(r, RENAMED_LATE);
    expect_by(r, "10.2.7.1", 0x2001);
    install_under(r, 3, 7, "10.2.7.0/24");
    expect_by(r, "10.2.7.1", 0x2003);
    expect_blocked(r, "10.2.8.1");
    expect_in(r, 0x1001, "10.2.7.1", true);
    expect_in(r, 0x1001, "10.2.8.1", false);
    expect_in(r, 0x1002, "10.2.8.1", true);
    expect_in(r, 0x1003, "10.2.7.1", true);
    sadb_delete(r->p, 3);
    rig_turn(r);
    expect_blocked(r, "10.2.7.1");
}

// ike never says so, and path would go on with the old one's SAs.
static void test_a_number_of_another_peer_is_refused(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = net_as(1, "net");
    char why[200];
    r->conn_peer = 2;
    assert_false(rig_apply(r, "rig", &s, 1, why, sizeof(why)));
    assert_non_null(strstr(why, "policy id 1 is that of rig/net"));
}

// Both are loaded: they are two, of which the first has what is equal.
static void test_loaded_ones_take_nothing_from_one_another(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = net_as(7, "net");
    rig_must_apply(r, "other", &s, 1);
    install_under(r, 1, 7, "10.2.0.0/16");
    expect_blocked(r, "10.2.0.1");
    expect_in(r, 0x1001, "10.2.0.1", false);
    rig_must_apply(r, "rig", NULL, 0);
    expect_by(r, "10.2.0.1", 0x2001);
    expect_in(r, 0x1001, "10.2.0.1", true);
}

// Two children of one connection: the peer sends by the newer SA of the two, and we by the one that there is.
static void test_children_of_the_same_selectors_serve_one_another(void **state)
{
    struct rig *r = *state;
    struct policy_spec both[] = {net_as(1, "net"), net_as(7, "twin")};
    rig_must_apply(r, "rig", both, 2);
    install_under(r, 1, 7, "10.2.0.0/16"); // of the second one alone
    expect_by(r, "10.2.0.1", 0x2001);
    expect_in(r, 0x1001, "10.2.0.1", true);
    install_under(r, 2, 1, "10.2.0.0/16");
    expect_by(r, "10.2.0.1", 0x2002);
    expect_in(r, 0x1001, "10.2.0.1", true);
    expect_in(r, 0x1002, "10.2.0.1", true);
    expect_in(r, 0x1001, "10.3.0.1", false);
    sadb_delete(r->p, 2);
    rig_turn(r);
    expect_by(r, "10.2.0.1", 0x2001);
    sadb_delete(r->p, 1);
    rig_turn(r);
    expect_blocked(r, "10.2.0.1");
}

// What only authenticates, by ESP or by AH, carries nothing for one that may be about to encrypt.
static void test_a_child_that_does_not_encrypt_serves_no_other(void **state)
{
    struct policy_spec both[] = {net_as(1, "net"), net_as(7, "twin")};
    for (int ah = 0; ah < 2; ah++) {
        assert_int_equal(rig_up(state), 0);
        struct rig *r = *state;
        both[0].trap = 1;
        rig_must_apply(r, "rig", both, 2);
        struct msg_CHILD c = rig_child(r, 1);
        c.policy_id = 7;
        c.encr = ah ? 0 : 21; // ENCR_NULL_AUTH_AES_GMAC of RFC 4543
        c.encr_bits = ah ? 0 : 256;
        c.integ = ah ? 11 : 0; // AUTH_AES_256_GMAC
        c.udp_encap = !ah;
        rig_must_install_child(r, &c);
        expect_blocked(r, "10.2.0.1");
        install_under(r, 2, 1, "10.2.0.0/16");
        expect_by(r, "10.2.0.1", 0x2002);
        install_under(r, 3, 7, "10.2.0.0/16");
        expect_in(r, 0x1003, "10.2.0.1", true);
        sadb_by_id(r->p, 3)->ah = ah; // as if: the rig's peer seals by nothing else
        sadb_by_id(r->p, 3)->alg = ah ? ESP_ALG_NONE : ESP_ALG_AES256_GMAC;
        expect_in(r, 0x1003, "10.2.0.1", false);
        assert_int_equal(rig_down(state), 0);
    }
}

// It stands where the old one stood, before an equal one for another peer that was loaded in between.
static void test_the_heir_stands_where_the_old_one_stood(void **state)
{
    struct rig *r = *state;
    struct policy_spec other = net_as(5, "net"), s = net_as(7, "m");
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    r->conn_peer = 2;
    rig_must_apply(r, "other", &other, 1);
    install_under(r, 2, 5, "10.2.0.0/16");
    r->conn_peer = 1;
    rig_must_apply(r, "rig", &s, 1);
    install_under(r, 3, 7, "10.2.0.0/16");
    expect_by(r, "10.2.0.1", 0x2003);
    expect_in(r, 0x1001, "10.2.0.1", true);
    expect_in(r, 0x1002, "10.2.0.1", false);
    expect_in(r, 0x1003, "10.2.0.1", true);
}

// A narrowed SA, and its successor by either number.
static void test_narrowed_sas_go_on_too(void **state)
{
    for (uint32_t under = 1; under <= 7; under += 6) {
        struct rig *r;
        struct policy_spec s = net_as(7, "other");
        assert_int_equal(rig_up(state), 0);
        r = *state;
        install_under(r, 1, 1, "10.2.7.0/24");
        install_under(r, 2, 1, "10.2.8.0/24");
        rig_must_apply(r, "new", &s, 1);
        install_under(r, 3, 7, "10.2.7.0/24"); // both have one before the old one is unloaded
        rig_must_apply(r, "rig", NULL, 0);
        install_under(r, 4, under, "10.2.8.0/24");
        expect_by(r, "10.2.7.1", 0x2003);
        expect_by(r, "10.2.8.1", 0x2004);
        silent(r, 1);
        silent(r, 2);
        for (uint32_t i = 1; i <= 4; i++) {
            expect_in(r, 0x1000 + i, i % 2 ? "10.2.7.1" : "10.2.8.1", true);
            expect_in(r, 0x1000 + i, i % 2 ? "10.2.8.1" : "10.2.7.1", false);
        }
        expect_by(r, "10.2.7.1", 0x2003);
        expect_by(r, "10.2.8.1", 0x2004);
        sadb_delete(r->p, 1);
        sadb_delete(r->p, 2);
        rig_turn(r);
        expect_by(r, "10.2.7.1", 0x2003);
        expect_by(r, "10.2.8.1", 0x2004);
        sadb_delete(r->p, 4);
        sadb_delete(r->p, 3);
        rig_turn(r);
        assert_int_equal(r->p->spd.instances.count, 0);
        assert_int_equal(r->p->spd.by_id.count, 1);
        expect_blocked(r, "10.2.7.1");
        assert_int_equal(rig_down(state), 0);
    }
}

// The old one has no SA any more, but what is an instance of it has the heir's.
static void test_the_old_number_stays_as_long_as_an_instance_of_it(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = net_as(7, "other");
    install_under(r, 1, 1, "10.2.7.0/24");
    rig_must_apply(r, "rig", &s, 1);
    install_under(r, 2, 7, "10.2.7.0/24");
    sadb_delete(r->p, 1);
    rig_turn(r);
    rig_must_apply(r, "rig", &s, 1);
    assert_int_equal(r->p->spd.by_id.count, 2);
    expect_by(r, "10.2.7.1", 0x2002);
    expect_in(r, 0x1002, "10.2.7.1", true);
    sadb_delete(r->p, 2);
    rig_turn(r);
    assert_int_equal(r->p->spd.by_id.count, 1);
    assert_int_equal(r->p->spd.instances.count, 0);
    expect_blocked(r, "10.2.7.1");
}

// What only its SA's address makes known.
static void test_dynamic_ones_go_on_too(void **state)
{
    struct rig *r = *state;
    struct policy_spec one = rig_spec(2, "w", "10.1.0.0/16", "dynamic"), s = one;
    s.id = 7;
    rig_must_apply(r, "w", &one, 1);
    install_under(r, 1, 2, "127.0.0.1/32");
    rig_must_apply(r, "v", &s, 1);
    install_under(r, 2, 7, "127.0.0.1/32");
    rig_must_apply(r, "w", NULL, 0);
    expect_by(r, "127.0.0.1", 0x2002);
    expect_in(r, 0x1001, "127.0.0.1", true);
    expect_in(r, 0x1002, "127.0.0.1", true);
    silent(r, 1);
    expect_by(r, "127.0.0.1", 0x2002);
    install_under(r, 3, 2, "127.0.0.1/32");
    sadb_delete(r->p, 2);
    rig_turn(r);
    expect_by(r, "127.0.0.1", 0x2003);
    sadb_delete(r->p, 3);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(r->p->spd.instances.count, 0);
    assert_int_equal(r->p->spd.by_id.count, 2);
}

// ike may load under a number that is only known by SAs now: it names what is loaded, and they go on.
static void test_a_number_that_is_loaded_again_is_that_policys(void **state)
{
    struct rig *r = *state;
    struct policy_spec one = net_as(1, "net"), s = net_as(7, "other");
    struct msg_POLICY_IS list[4];
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_apply(r, "rig", &s, 1);
    rig_must_apply(r, "rig", &one, 1);
    assert_int_equal(spd_count_policies(r, list, 4), 1);
    assert_int_equal(list[0].id, 1);
    assert_int_equal(list[0].loaded, 1);
    install_under(r, 2, 1, "10.2.0.0/16");
    silent(r, 1);
    expect_by(r, "10.2.0.1", 0x2002);
    expect_in(r, 0x1001, "10.2.0.1", true);
    rig_must_apply(r, "rig", NULL, 0);
    sadb_delete(r->p, 1);
    expect_by(r, "10.2.0.1", 0x2002);
}

// The trap is the new one's, and asks when no SA is there any more.
static void test_the_trap_asks_in_the_new_name(void **state)
{
    struct rig *r = *state;
    uint8_t buf[8192];
    union msg m;
    struct policy_spec s = net_as(7, "other");
    s.trap = 1;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_apply(r, "rig", &s, 1);
    expect_by(r, "10.2.0.1", 0x2001);
    assert_false(spd_take_message(r->ike, buf, sizeof(buf), MSG_ACQUIRE, &m));
    sadb_delete(r->p, 1);
    rig_turn(r);
    expect_blocked(r, "10.2.0.1");
    assert_true(spd_take_message(r->ike, buf, sizeof(buf), MSG_ACQUIRE, &m));
    assert_int_equal(m.ACQUIRE.policy_id, 7);
    assert_string_equal(m.ACQUIRE.child, "other");
}

static int nothing_yet(void **state)
{
    *state = NULL;
    return 0;
}

#define WITH(t)  cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
#define ALONE(t) cmocka_unit_test_setup(t, nothing_yet)
int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(test_the_sa_goes_on_and_its_successor_too),
        WITH(test_many_editions_are_one_policy),
        WITH(test_unloaded_once_more_it_stays_until_its_last_sa_ends),
        WITH(test_an_equal_policy_for_nobody_knows_whom_takes_nothing_over),
        ALONE(test_an_equal_policy_for_another_peer_goes_first_once_it_has_an_sa),
        WITH(test_what_is_unloaded_gives_way_to_what_is_in_use),
        WITH(test_all_old_peers_of_a_policy_give_way),
        WITH(test_a_peer_edited_forth_and_back_goes_on),
        WITH(test_narrowed_ones_give_way_too),
        WITH(test_a_number_of_another_peer_is_refused),
        WITH(test_loaded_ones_take_nothing_from_one_another),
        WITH(test_children_of_the_same_selectors_serve_one_another),
        ALONE(test_a_child_that_does_not_encrypt_serves_no_other),
        WITH(test_the_heir_stands_where_the_old_one_stood),
        ALONE(test_narrowed_sas_go_on_too),
        WITH(test_the_old_number_stays_as_long_as_an_instance_of_it),
        WITH(test_dynamic_ones_go_on_too),
        WITH(test_a_number_that_is_loaded_again_is_that_policys),
        WITH(test_the_trap_asks_in_the_new_name),
    };
    return cmocka_run_group_tests_name("heirs of policies", tests, NULL, NULL);
}
