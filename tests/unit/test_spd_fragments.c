// SPDX-License-Identifier: Apache-2.0
// What becomes of packets that no policy protects, and of fragments, which do not show what decides (RFC 4301
// section 7), with the real software engine.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/spd_rig.h"

#define NONE UINT32_MAX

// ---- what no policy protects

static void test_what_no_policy_protects_goes_on_past_us(void **state)
{
    struct rig *r = *state;
    struct policy_spec pass = rig_spec(2, "pass", "10.1.0.0/16", "10.2.9.0/24"),
                       drop = rig_spec(3, "drop", "10.1.0.0/16", "10.2.8.0/24");
    uint8_t expect[64];
    pass.action = POLICY_BYPASS;
    drop.action = POLICY_DISCARD;
    rig_must_apply(r, "p", &pass, 1);
    rig_must_apply(r, "d", &drop, 1);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    spd_send_udp(r, "10.1.0.1", "10.2.9.1", 1, 1);   // bypass, inside what another one protects
    spd_send_udp(r, "10.1.0.1", "172.16.0.1", 1, 2); // nobody's
    assert_int_equal(r->past_count, 2);
    uint32_t len = rig_build(
        expect,
        &(struct rig_packet){
            .src = "10.1.0.1", .dst = "172.16.0.1", .proto = 17, .sport = 1000, .dport = 1, .number = 2});
    assert_int_equal(r->past[1].len, len);
    assert_memory_equal(r->past[1].bytes, expect, len);
    spd_send_udp(r, "10.1.0.1", "10.2.8.1", 1, 3); // discard
    assert_int_equal(r->past_count, 2);
    assert_int_equal(r->sent_count, 0);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 1);
    assert_int_equal(rig_read(r), NONE);
}

static void test_where_nothing_goes_past_us_the_sender_is_told_at_a_bounded_rate(void **state)
{
    struct rig *r = *state;
    uint8_t p[200];
    unsigned answers = 0;
    r->past_rc = -ENETUNREACH;
    for (uint32_t i = 0; i < 200; i++)
        spd_send_udp(r, "10.1.0.1", "172.16.0.1", 1, i);
    for (ssize_t n; (n = read(r->tun, p, sizeof(p))) > 0; answers++) {
        assert_int_equal(n, 28 + 32);
        assert_int_equal(p[9], 1);
        assert_memory_equal(p + 12, ((uint8_t[]){172, 16, 0, 1, 10, 1, 0, 1}), 8);
        assert_int_equal(p[20], 3);
        assert_int_equal(p[21], 13);
        uint32_t sum = 0;
        for (int i = 20; i < n; i += 2)
            sum += (uint32_t)(p[i] << 8 | p[i + 1]);
        assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
    }
    assert_true(answers >= 50 && answers <= 100); // 50 a second
    assert_int_equal(r->p->worker->past_us_refused, 200);
    struct rig_packet error = {.src = "10.1.0.1", .dst = "172.16.0.2", .proto = 1, .sport = 3 << 8};
    rig_out_packet(r, &error); // an error is not answered
    assert_int_equal(read(r->tun, p, sizeof(p)), -1);
}

static void test_where_nothing_goes_past_us_an_ipv6_sender_is_told(void **state)
{
    struct rig *r = *state;
    uint8_t p[200];
    r->past_rc = -EAFNOSUPPORT;
    rig_out_packet(r, &(struct rig_packet){.src = "fd01::1", .dst = "fd02::1", .proto = 17, .number = 1});
    assert_int_equal(read(r->tun, p, sizeof(p)), 48 + 52);
    assert_int_equal(p[6], 58);
    assert_int_equal(p[40], 1);
    assert_int_equal(p[41], 1);
    uint32_t sum = 58 + 60;
    for (int i = 8; i < 100; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    assert_int_equal(sum, 0xffff);
}

static void test_what_belongs_to_one_link_never_goes_past_us(void **state)
{
    struct rig *r = *state;
    const char *const to[] = {"224.0.0.22", "255.255.255.255", "169.254.1.1", "ff02::2", "fe80::1"};
    for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++)
        rig_out_packet(r, &(struct rig_packet){
                              .src = strchr(to[i], ':') ? "fd01::1" : "10.1.0.1", .dst = to[i], .proto = 17});
    assert_int_equal(r->past_count, 0);
    assert_int_equal(rig_read(r), NONE);
}

// The last look before sending in clear trusts nothing that was remembered.
static void test_past_us_asks_the_spd_again(void **state)
{
    struct rig *r = *state;
    uint8_t p[64];
    struct rig_packet k = {.src = "10.1.0.1", .dst = "10.2.0.1", .proto = 17};
    uint32_t len = rig_build(p, &k);
    past_us(r->p->worker, p, len); // whoever believed that it is nobody's
    assert_int_equal(r->past_count, 0);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 1);
    rig_must_apply(r, "rig", NULL, 0);
    past_us(r->p->worker, p, len);
    assert_int_equal(r->past_count, 1);
}

static void test_the_answer_for_a_flow_changes_with_the_spd(void **state)
{
    struct rig *r = *state;
    struct policy_spec later = rig_spec(2, "later", "10.1.0.0/16", "172.16.0.0/16");
    for (uint32_t i = 0; i < 3; i++)
        spd_send_udp(r, "10.1.0.1", "172.16.0.1", 1, i);
    assert_int_equal(r->past_count, 3);
    assert_true(r->p->worker->flows.hits >= 2);
    rig_must_apply(r, "l", &later, 1);
    for (uint32_t i = 0; i < 3; i++)
        spd_send_udp(r, "10.1.0.1", "172.16.0.1", 1, i);
    assert_int_equal(r->past_count, 3);
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 3);
    rig_must_apply(r, "l", NULL, 0);
    spd_send_udp(r, "10.1.0.1", "172.16.0.1", 1, 9);
    assert_int_equal(r->past_count, 4);
}

// ---- fragments

static void fragment(struct rig *r, uint16_t dport, uint32_t id, uint32_t offset, bool more)
{
    rig_out_packet(r, &(struct rig_packet){.src = "10.1.0.1",
                                           .dst = "10.3.0.1",
                                           .proto = 17,
                                           .sport = 1000,
                                           .dport = dport,
                                           .id = id,
                                           .offset = offset,
                                           .more = more});
}

// UDP port 53 is protected with an SA, everything else to there passes.
static void a_port_is_protected(struct rig *r)
{
    struct policy_spec port = rig_spec(2, "port", "10.1.0.0/16", "10.3.0.0/16[17/53]"),
                       rest = rig_spec(3, "rest", "10.1.0.0/16", "10.3.0.0/16");
    struct msg_CHILD c = rig_child(r, 1);
    port.priority = 1;
    rest.action = POLICY_BYPASS;
    rig_must_apply(r, "port", &port, 1);
    rig_must_apply(r, "rest", &rest, 1);
    c.policy_id = 2;
    c.local_ts = port.local;
    c.remote_ts = port.remote;
    rig_must_install_child(r, &c);
}

static void test_later_fragments_follow_the_first(void **state)
{
    struct rig *r = *state;
    a_port_is_protected(r);
    fragment(r, 53, 1, 0, true);
    fragment(r, 54, 2, 0, true);
    assert_int_equal(r->sent_count, 1);
    assert_int_equal(r->past_count, 1);
    fragment(r, 0, 2, 8, true); // in any order
    fragment(r, 0, 1, 8, true);
    fragment(r, 0, 1, 16, false);
    fragment(r, 0, 2, 16, false);
    assert_int_equal(r->sent_count, 3);
    assert_int_equal(r->past_count, 3);
}

static void test_a_later_fragment_without_its_first_is_dropped_where_ports_decide(void **state)
{
    struct rig *r = *state;
    a_port_is_protected(r);
    fragment(r, 0, 1, 8, true);
    fragment(r, 0, 9, 8, false);
    usleep(3000); // of a slow machine, which is nothing to them
    rig_pass(r, 999);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 0);
    rig_pass(r, 1);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 2);
    assert_int_equal(r->p->worker->orphans_late, 2); // that is what both were dropped for
    assert_int_equal(r->p->worker->orphans_displaced, 0);
    fragment(r, 54, 1, 0, true); // too late for the one before
    assert_int_equal(r->past_count, 1);
    assert_int_equal(r->sent_count, 0);
    rig_out_packet(r, &(struct rig_packet){.src = "10.1.0.1", .dst = "10.2.0.1", .proto = 17, .offset = 8});
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 1); // where no ports are asked for they are not missed
}

static void test_later_fragments_wait_for_their_first(void **state)
{
    struct rig *r = *state;
    a_port_is_protected(r);
    fragment(r, 0, 1, 16, false);
    fragment(r, 0, 2, 8, false);
    fragment(r, 0, 1, 8, true);
    assert_int_equal(r->sent_count + r->past_count, 0);
    fragment(r, 53, 1, 0, true);
    assert_int_equal(r->sent_count, 3); // its own, and none of the other packet's
    assert_int_equal(r->past_count, 0);
    fragment(r, 54, 2, 0, true);
    assert_int_equal(r->sent_count, 3);
    assert_int_equal(r->past_count, 2);
    fragment(r, 54, 3, 0, true); // each goes on once
    fragment(r, 53, 1, 0, true);
    assert_int_equal(r->sent_count, 4);
    assert_int_equal(r->past_count, 3);
}

static void test_few_fragments_wait_and_the_oldest_gives_way(void **state)
{
    struct rig *r = *state;
    a_port_is_protected(r);
    for (uint32_t id = 0; id < 1000; id++)
        fragment(r, 0, id, 8, false);
    assert_int_equal(r->p->worker->orphans.count, 64);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 936);
    assert_int_equal(r->p->worker->orphans_displaced, 936);
    assert_int_equal(r->p->worker->orphans_late, 0);
    fragment(r, 53, 935, 0, true);
    assert_int_equal(r->sent_count, 1);
    fragment(r, 53, 936, 0, true);
    assert_int_equal(r->sent_count, 3);
}

static struct rig_packet coming(uint32_t id)
{
    return (struct rig_packet){.src = "10.3.0.1", .dst = "10.1.0.1", .proto = 17, .offset = 8, .id = id};
}

// Whoever sends many takes none of the others' places: half of them are all that he has.
static void test_whoever_crowds_loses_his_own(void **state)
{
    struct rig *r = *state;
    a_port_is_protected(r);
    fragment(r, 0, 1, 8, false);
    for (uint32_t id = 0; id < 200; id++) {
        struct rig_packet k = coming(id);
        rig_in_packet(r, 0x1001, &k);
    }
    assert_int_equal(r->p->worker->orphans.count, 64);
    assert_int_equal(r->p->worker->orphans_displaced, 200 - 63);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_POLICY], 200 - 63);
    assert_int_equal(sadb_by_id(r->p, 1)->in.drops, 200 - 63);
    fragment(r, 53, 1, 0, true);
    assert_int_equal(r->sent_count, 2);
    for (uint32_t id = 2; id < 64; id++) // who has half of them and no more goes by age
        fragment(r, 0, id, 8, false);
    assert_int_equal(r->p->worker->orphans.count, 64);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 30);
    rig_pass(r, 1000);
    assert_int_equal(r->p->worker->orphans_late, 64);
    assert_int_equal(r->p->worker->orphans.count, 0);
}

// He goes on all the while: his are always the newer ones, and give way all the same.
static void test_whoever_goes_on_crowding_gives_way_to_others(void **state)
{
    struct rig *r = *state;
    uint32_t theirs = 0;
    a_port_is_protected(r);
    for (uint32_t id = 0; id < 20; id++) {
        fragment(r, 0, id, 8, false);
        for (int i = 0; i < 100; i++) {
            struct rig_packet k = coming(theirs++);
            rig_in_packet(r, 0x1001, &k);
        }
    }
    assert_int_equal(r->p->worker->orphans.count, 64);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 0);
    for (uint32_t id = 0; id < 20; id++)
        fragment(r, 53, id, 0, true);
    assert_int_equal(r->sent_count, 40);
}

static void test_a_first_fragment_too_short_for_its_ports_is_dropped_where_they_decide(void **state)
{
    struct rig *r = *state;
    uint8_t p[64];
    a_port_is_protected(r);
    rig_build(p, &(struct rig_packet){.src = "10.1.0.1", .dst = "10.3.0.1", .proto = 17, .more = true});
    p[3] = 22;
    assert_int_equal(write(r->tun, p, 22), 22);
    rig_turn(r);
    assert_int_equal(r->past_count + r->sent_count, 0);
}

static void test_fragments_come_in_by_their_first(void **state)
{
    struct rig *r = *state;
    a_port_is_protected(r);
    struct rig_packet k = {
        .src = "10.3.0.1", .dst = "10.1.0.1", .proto = 17, .sport = 53, .id = 7, .more = true};
    struct rig_packet later = k, stranger = k;
    later.offset = 8;
    stranger.sport = 54; // not this SA's: its fragments are not either
    stranger.id = 8;
    later.number = 1;
    rig_in_packet(r, 0x1001, &later);
    assert_int_equal(rig_read(r), NONE);
    rig_in_packet(r, 0x1001, &k);
    assert_int_equal(rig_read(r), 0);
    assert_int_equal(rig_read(r), 1); // it has waited
    later.number = 2;
    rig_in_packet(r, 0x1001, &later);
    assert_int_equal(rig_read(r), 2);
    rig_in_packet(r, 0x1001, &stranger);
    later.id = 8;
    rig_in_packet(r, 0x1001, &later);
    assert_int_equal(rig_read(r), NONE);
    rig_pass(r, 1000);
    assert_int_equal(rig_read(r), NONE);
    later.id = k.id = 9;
    rig_in_packet(r, 0x1001, &later);
    sadb_delete(r->p, 1); // nothing comes out of an SA that is no more
    rig_turn(r);
    rig_in_packet(r, 0x1001, &k);
    assert_int_equal(rig_read(r), NONE);
}

static void test_fragments_crowd_each_other_out_and_nothing_leaks(void **state)
{
    struct rig *r = *state;
    a_port_is_protected(r);
    for (uint32_t id = 0; id < 3000; id++)
        fragment(r, 53, id, 0, true);
    unsigned firsts = r->sent_count;
    assert_true(firsts > 1000); // as far as the rig's memory of what was sent reaches
    r->sent_count = r->seen = 0;
    for (uint32_t id = 0; id < 3000; id += 3)
        fragment(r, 0, id, 8, false);
    assert_int_equal(r->past_count, 0);
    rig_pass(r, 1000);
    assert_true(r->sent_count > 0 && r->sent_count + r->p->worker->drop_out[ESP_STATUS_POLICY] == 1000);
}

// OPAQUE (RFC 4301 section 4.4.1.1): the second way of section 7, an SA for what does not show its ports.
static void an_opaque_one_beside_it(struct rig *r, uint8_t action)
{
    struct policy_spec s = rig_spec(4, "opaque", "10.1.0.0/16", "10.3.0.0/16[17/65535-0]");
    struct msg_CHILD c = rig_child(r, 2);
    a_port_is_protected(r);
    s.action = action;
    s.priority = 2; // after the port's
    rig_must_apply(r, "opaque", &s, 1);
    if (action != POLICY_PROTECT)
        return;
    c.policy_id = 4;
    c.local_ts = s.local;
    c.remote_ts = s.remote;
    rig_must_install_child(r, &c);
}

static bool went_by(struct rig *r, unsigned i, uint8_t id)
{
    static const uint8_t spi[3] = {0, 0, 0x20};
    return r->sent_count > i && !memcmp(r->sent[i].bytes + 28, spi, 3) && r->sent[i].bytes[31] == id;
}

static void test_later_fragments_go_by_an_opaque_policy(void **state)
{
    struct rig *r = *state;
    an_opaque_one_beside_it(r, POLICY_PROTECT);
    fragment(r, 0, 1, 8, false); // at once: it needs no first one
    assert_true(went_by(r, 0, 2));
    fragment(r, 53, 1, 0, true);
    assert_true(went_by(r, 1, 1));
    fragment(r, 0, 1, 16, false);
    assert_true(went_by(r, 2, 2));
    fragment(r, 53, 2, 0, false); // whole
    assert_true(went_by(r, 3, 1));
    fragment(r, 54, 3, 0, false); // and this is no OPAQUE one
    assert_int_equal(r->sent_count, 4);
    assert_int_equal(r->past_count, 1);
}

static void test_an_opaque_policy_may_let_pass_or_discard(void **state)
{
    struct rig *r = *state;
    an_opaque_one_beside_it(r, POLICY_BYPASS);
    fragment(r, 0, 1, 8, false);
    assert_int_equal(r->past_count, 1);
    fragment(r, 53, 1, 0, true);
    assert_int_equal(r->sent_count, 1);
    rig_down(state);
    rig_up(state);
    r = *state;
    an_opaque_one_beside_it(r, POLICY_DISCARD);
    fragment(r, 53, 1, 0, true);
    fragment(r, 0, 1, 8, false);
    assert_int_equal(r->past_count, 0);
    assert_int_equal(r->sent_count, 1);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 1);
}

static void test_what_comes_out_of_an_opaque_sa_must_hide_its_ports(void **state)
{
    struct rig *r = *state;
    an_opaque_one_beside_it(r, POLICY_PROTECT);
    struct rig_packet k = {
        .src = "10.3.0.1", .dst = "10.1.0.1", .proto = 17, .sport = 53, .id = 7, .number = 1, .more = true};
    rig_in_packet(r, 0x1002, &k); // it shows them
    assert_int_equal(rig_read(r), NONE);
    rig_in_packet(r, 0x1001, &k);
    assert_int_equal(rig_read(r), 1);
    k.offset = 8;
    k.number = 2;
    rig_in_packet(r, 0x1002, &k);
    assert_int_equal(rig_read(r), 2);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_what_no_policy_protects_goes_on_past_us),
        WITH(test_where_nothing_goes_past_us_the_sender_is_told_at_a_bounded_rate),
        WITH(test_where_nothing_goes_past_us_an_ipv6_sender_is_told),
        WITH(test_what_belongs_to_one_link_never_goes_past_us),
        WITH(test_past_us_asks_the_spd_again),
        WITH(test_the_answer_for_a_flow_changes_with_the_spd),
        WITH(test_later_fragments_follow_the_first),
        WITH(test_a_later_fragment_without_its_first_is_dropped_where_ports_decide),
        WITH(test_later_fragments_wait_for_their_first),
        WITH(test_few_fragments_wait_and_the_oldest_gives_way),
        WITH(test_whoever_crowds_loses_his_own),
        WITH(test_whoever_goes_on_crowding_gives_way_to_others),
        WITH(test_a_first_fragment_too_short_for_its_ports_is_dropped_where_they_decide),
        WITH(test_fragments_come_in_by_their_first),
        WITH(test_fragments_crowd_each_other_out_and_nothing_leaks),
        WITH(test_later_fragments_go_by_an_opaque_policy),
        WITH(test_an_opaque_policy_may_let_pass_or_discard),
        WITH(test_what_comes_out_of_an_opaque_sa_must_hide_its_ports),
    };
    return cmocka_run_group_tests_name("fragments and what is not protected", tests, NULL, NULL);
}
