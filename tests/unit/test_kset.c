// SPDX-License-Identifier: Apache-2.0
// Which kernel objects a policy needs.
#include "tests/unit/kset_rig.h"

#include <errno.h>
#include <string.h>

#include "ctrl/path/kset_objects.h"
#include "espalier/error.h"

// ---- what a policy needs

static void test_objects_plain_subnets_blocked_three_ways(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_FWD, "10.2.0.1", "10.1.0.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.3.0.1", "10.2.0.1", 17, 5, 6), 0);
    assert_int_equal(rig_count_of(&l.m, KOBJ_XFRM, 0), 3);
    assert_int_equal(rig_count_of(&l.m, KOBJ_RULE, KRULE_LOOKUP), 1);
    assert_int_equal(rig_count_of(&l.m, KOBJ_ROUTE, KROUTE_TUN), 1);
    for (unsigned i = 0; i < l.m.count; i++) { // only what comes from there is asked to go through the TUN
        const struct kobj *o = &l.m.objects[i];
        if (o->kind == KOBJ_RULE && o->action == KRULE_LOOKUP)
            assert_true(o->src_len == 16 && o->src[0] == 10 && o->src[1] == 1);
    }
    rig_drop(&l, h);
    rig_down(&l);
}

static const struct kobj *route_now(const struct kset_rig *l)
{
    for (unsigned i = 0; i < l->m.count; i++)
        if (l->m.objects[i].kind == KOBJ_ROUTE)
            return &l->m.objects[i];
    return NULL;
}

// Where the kernel's own ESP protects it, it is blocked as before, and led beside the TUN as long as that is
// so.
static void test_objects_of_the_kernels_esp_are_other_routes_alone(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p), *out;
    unsigned objects = l.m.count;
    struct kset_spec spec = p.spec;
    struct esp_error err = {0};
    spec.out_index = 7;
    assert_int_equal(kset_change(l.s, &spec, &out, 1, NULL, 0, &err), 0);
    assert_int_equal(l.m.count, objects);
    assert_int_equal(route_now(&l)->action, KROUTE_OUT);
    assert_int_equal(route_now(&l)->ifindex, 7);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 5, 6), KXFRM_BLOCK);
    struct kset_hold *before = out;
    spec.out_index = 8; // the way to the peer is another one
    assert_int_equal(kset_change(l.s, &spec, &out, 1, &before, 1, &err), 0);
    assert_int_equal(route_now(&l)->ifindex, 8);
    rig_drop(&l, out);
    assert_int_equal(route_now(&l)->action, KROUTE_TUN);
    assert_int_equal(route_now(&l)->ifindex, 0);
    assert_int_equal(l.m.count, objects);
    rig_drop(&l, h);
    rig_down(&l);
}

// The next path of the same run has none of the SAs, so what it asks for leads into the TUN again.
static void test_objects_routes_beside_the_tun_end_with_who_made_them(void **state)
{
    struct kset_options o = rig_options;
    struct kset_rig l;
    struct pol p;
    struct kset_hold *out;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_take(&l, &p);
    struct kset_spec spec = p.spec;
    spec.out_index = 7;
    assert_int_equal(kset_change(l.s, &spec, &out, 1, NULL, 0, NULL), 0);
    struct kset *dead = l.s;
    o.follows = true;
    assert_int_equal(kset_open(&l.s, &l.m.base, &o, NULL), 0);
    assert_int_equal(route_now(&l)->action, KROUTE_OUT);
    struct kset_hold *h = rig_take(&l, &p);
    assert_int_equal(route_now(&l)->action, KROUTE_TUN);
    kset_guard_no_more(l.s);
    rig_drop(&l, h);
    kset_close(l.s, false);
    assert_int_equal(l.m.count, 0);
    kset_close(dead, true);
    model_free(&l.m);
}

// Each port of a range and none beside it; and what shows no ports, which is every fragment.
static void test_objects_port_range_blocks_exactly_it_and_fragments(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 17, 7000, 7999);
    struct kset_hold *h = rig_take(&l, &p);
    for (unsigned port = 1; port < 65536; port++) {
        int want = port >= 7000 && port <= 7999 ? KXFRM_BLOCK : 0;
        assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 4000, (uint16_t)port), want);
        assert_int_equal(rig_says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 17, (uint16_t)port, 4000), want);
        assert_int_equal(rig_says(&l.m, KDIR_FWD, "10.2.0.1", "10.1.0.1", 17, (uint16_t)port, 4000), want);
    }
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 0, 0), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 17, 0, 0), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_FWD, "10.2.0.1", "10.1.0.1", 17, 0, 0), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 0, 0), 0);
    // a socket that is not bound to a port yet asks with port 0 on its side alone: another port's is let
    // through
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 0, 53), 0);
    rig_drop(&l, h);
    rig_down(&l);
}

static void test_objects_opaque_ports_block_what_shows_none(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 17, 65535, 0);
    struct kset_hold *h = rig_take(&l, &p);
    const int ways[] = {KDIR_OUT, KDIR_IN, KDIR_FWD};
    for (int i = 0; i < 3; i++) {
        const char *from = i ? "10.2.0.1" : "10.1.0.1", *to = i ? "10.1.0.1" : "10.2.0.1";
        assert_int_equal(rig_says(&l.m, ways[i], from, to, 17, 0, 0), KXFRM_BLOCK);
        assert_int_equal(rig_says(&l.m, ways[i], from, to, 17, 4000, 53), 0);
        assert_int_equal(rig_says(&l.m, ways[i], from, to, 17, 65535, 65535), 0);
        assert_int_equal(rig_says(&l.m, ways[i], from, to, 6, 0, 0), 0);
    }
    rig_drop(&l, h);
    rig_pol(&p, POLICY_BYPASS, 5, "10.1.0.0/16", "10.2.0.0/16", 17, 65535, 0);
    h = rig_take(&l, &p);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 0, 0), KXFRM_ALLOW);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 4000, 53), 0);
    rig_drop(&l, h);
    rig_down(&l);
}

static void test_objects_icmp_type_blocks_that_type_both_ways(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 1, 8 << 8,
            8 << 8 | 255); // echo requests, any code
    struct kset_hold *h = rig_take(&l, &p);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 1, 8, 0), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 1, 8, 0), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 1, 3, 1), 0);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 1, 0, 0),
                     KXFRM_BLOCK); // as a fragment looks
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 8, 0), 0);
    rig_drop(&l, h);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 1, 0, 65535); // all of ICMP and nothing else
    h = rig_take(&l, &p);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 1, 3, 1), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 3, 1), 0);
    rig_drop(&l, h);
    rig_down(&l);
}

static void test_objects_ipv6_protocol_blocks_fragments_with_more_headers(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 17, 53, 53);
    struct kset_hold *h = rig_take(&l, &p);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 17, 1, 53), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 17, 1, 54), 0);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 60, 0, 0),
                     KXFRM_BLOCK); // destination options
    assert_int_equal(rig_says(&l.m, KDIR_IN, "fd02::1", "fd01::1", 60, 0, 0), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 6, 0, 0), 0);
    rig_drop(&l, h);
    rig_down(&l);
}

// What is forwarded into the TUN is let out to it, by one policy before all others, as long as any asks.
static void test_objects_ipv6_is_let_out_to_the_tun_and_nowhere_else(void **state)
{
    struct kset_options known = rig_options;
    struct kset_rig l;
    struct pol a, b;
    const struct kobj *let = NULL;
    (void)state;
    known.tun_index = 7;
    model_open(&l.m);
    assert_int_equal(kset_open(&l.s, &l.m.base, &known, NULL), 0);
    rig_pol(&a, POLICY_PROTECT, 0, "fd01::/64", "fd02::/64", 0, 0, 65535);
    rig_pol(&b, POLICY_PROTECT, 5, "fd01::/64", "fd03::/64", 17, 53, 53);
    struct kset_hold *ha = rig_take(&l, &a), *hb = rig_take(&l, &b);
    for (unsigned i = 0; i < l.m.count; i++) {
        const struct kobj *o = &l.m.objects[i];
        if (o->kind == KOBJ_XFRM && o->action == KXFRM_ALLOW) {
            assert_null(let);
            let = o;
        }
    }
    if (!let) {
        fail_msg("no policy lets the TUN through");
        return;
    }
    assert_int_equal(let->ifindex, 7);
    assert_int_equal(let->dir, KDIR_OUT);
    assert_int_equal(let->family, 6);
    for (unsigned i = 0; i < l.m.count; i++)
        if (l.m.objects[i].kind == KOBJ_XFRM && &l.m.objects[i] != let)
            assert_true(l.m.objects[i].priority > let->priority);
    rig_drop(&l, ha);
    rig_drop(&l, hb);
    rig_pol(&a, POLICY_PROTECT, 0, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    ha = rig_take(&l, &a);
    for (unsigned i = 0; i < l.m.count; i++)
        assert_true(l.m.objects[i].kind != KOBJ_XFRM || l.m.objects[i].action == KXFRM_BLOCK);
    rig_drop(&l, ha);
    rig_down(&l);
}

static void test_objects_different_protocols_ask_for_nothing(void **state)
{
    struct kset_rig l;
    struct pol p = {0};
    (void)state;
    rig_up(&l);
    rig_selector(&p.l, "10.1.0.0/16", 6, 0, 65535);
    rig_selector(&p.r, "10.2.0.0/16", 17, 0, 65535);
    pol_finish(&p, POLICY_PROTECT, 5);
    struct kset_hold *h = rig_take(&l, &p);
    assert_int_equal(l.m.count, 0);
    rig_drop(&l, h);
    rig_down(&l);
}

// 0.0.0.0/0 for one inside network: that network still reaches itself, by routing and by policy.
static void test_objects_remote_contains_local_leaves_local_network_alive(void **state)
{
    struct kset_rig l;
    struct pol p, narrow;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 9, "10.1.0.0/16", "0.0.0.0/0", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.1.0.9", 17, 5, 6), 0);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "10.1.0.9", "10.1.0.1", 17, 5, 6), 0);
    const char *const others[] = {"198.51.100.7", "10.0.255.255", "10.2.0.0", "0.0.0.1", "255.255.255.254"};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", others[i], 17, 5, 6), KXFRM_BLOCK);
        assert_int_equal(rig_says(&l.m, KDIR_FWD, others[i], "10.1.0.1", 17, 5, 6), KXFRM_BLOCK);
    }
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.9.0.1", "198.51.100.7", 17, 5, 6), 0);
    assert_int_equal(rig_count_of(&l.m, KOBJ_ROUTE, KROUTE_THROW), 1);
    // what another policy protects inside it stays protected, whatever its rank
    rig_pol(&narrow, POLICY_PROTECT, 30, "10.1.5.0/24", "10.1.6.0/24", 0, 0, 65535);
    struct kset_hold *h2 = rig_take(&l, &narrow);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.5.1", "10.1.6.1", 17, 5, 6), KXFRM_BLOCK);
    rig_drop(&l, h2);
    rig_drop(&l, h);
    // not where both sides are the same: that would leave nothing protected
    rig_pol(&p, POLICY_PROTECT, 9, "10.0.0.0/8", "10.0.0.0/8", 0, 0, 65535);
    h = rig_take(&l, &p);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 5, 6), KXFRM_BLOCK);
    rig_drop(&l, h);
    rig_down(&l);
}

static void pass_icmp(struct pol *p, unsigned l_lo, unsigned l_hi, unsigned r_lo, unsigned r_hi)
{
    memset(p, 0, sizeof(*p));
    pol_net(&p->l, 4, (uint8_t[16]){10, 1}, 16, 1, (uint16_t)l_lo, (uint16_t)l_hi);
    pol_net(&p->r, 4, (uint8_t[16]){10, 2}, 16, 1, (uint16_t)r_lo, (uint16_t)r_hi);
    pol_finish(p, POLICY_BYPASS, 1);
}

static void lets_exactly(struct kset_rig *l, unsigned lo, unsigned hi)
{
    for (unsigned at = 0; at < 65536; at += at % 256 < 3 || at % 256 > 252 ? 1 : 25) {
        bool named = at >= lo && at <= hi;
        int want = named ? KXFRM_ALLOW : KXFRM_BLOCK;
        assert_int_equal(rig_says(&l->m, KDIR_IN, "10.2.0.1", "10.1.0.1", 1, (uint16_t)(at >> 8), at & 255),
                         want);
        assert_int_equal(rig_says(&l->m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 1, (uint16_t)(at >> 8), at & 255),
                         want);
    }
}

// What blocks may be wider than what it is for; what lets pass never is.
static void test_objects_what_lets_icmp_pass_is_exactly_its_types_and_codes(void **state)
{
    static const unsigned ranges[][2] = {{0x0304, 0x0800}, {0x0304, 0x03ff}, {0x0300, 0x0800},
                                         {0x0305, 0x0305}, {0x0304, 0x0402}, {0x0300, 0x08ff},
                                         {0x00ff, 0xff00}};
    struct kset_rig l;
    struct pol all, pass;
    (void)state;
    rig_up(&l);
    rig_pol(&all, POLICY_PROTECT, 9, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_take(&l, &all);
    for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        for (int side = 0; side < 3; side++) { // types of the local side, of the remote one, of both
            pass_icmp(&pass, side == 1 ? 0 : ranges[i][0], side == 1 ? 65535 : ranges[i][1],
                      side == 0 ? 0 : ranges[i][0], side == 0 ? 65535 : ranges[i][1]);
            struct kset_hold *h = rig_take(&l, &pass);
            lets_exactly(&l, ranges[i][0], ranges[i][1]);
            rig_drop(&l, h);
        }
    }
    pass_icmp(&pass, 0x0300, 0x03ff, 0x0310, 0x0500); // no packet has two types
    struct kset_hold *h = rig_take(&l, &pass);
    lets_exactly(&l, 0x0310, 0x03ff);
    rig_drop(&l, h);
    pass_icmp(&pass, 0x0300, 0x03ff, 0x0800, 0x08ff);
    rig_take(&l, &pass);
    lets_exactly(&l, 1, 0);
    rig_down(&l);
}

// Of a protocol whose ports or types the kernel does not look at nothing passes where some are named.
static void test_objects_what_lets_pass_is_no_wider_than_its_types_of_mobility_headers(void **state)
{
    struct kset_rig l;
    struct pol all, pass;
    (void)state;
    rig_up(&l);
    rig_pol(&all, POLICY_PROTECT, 9, "fd01::/64", "fd02::/64", 0, 0, 65535);
    rig_pol(&pass, POLICY_BYPASS, 1, "fd01::/64", "fd02::/64", 135, 0x0100, 0x01ff);
    rig_take(&l, &all);
    struct kset_hold *h = rig_take(&l, &pass);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "fd02::1", "fd01::1", 135, 5, 0), KXFRM_BLOCK);
    rig_drop(&l, h);
    rig_pol(&pass, POLICY_BYPASS, 1, "fd01::/64", "fd02::/64", 135, 0, 65535);
    rig_take(&l, &pass);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "fd02::1", "fd01::1", 135, 5, 0), KXFRM_ALLOW);
    rig_down(&l);
}

static int said(const struct kset_rig *l, enum kobj_dir dir, const char *src, const char *dst, uint8_t proto,
                uint16_t type)
{
    return rig_says(&l->m, dir, src, dst, proto, type, 0);
}

// What is of one link is no part of a selector that contains more; a link-local neighbour gets nothing in but
// neighbour discovery (RFC 4861: types 133 to 137).
static void test_objects_of_one_link_are_no_part_of_a_wider_remote(void **state)
{
    struct kset_rig l;
    struct pol four, six, drop;
    (void)state;
    rig_up(&l);
    rig_pol(&four, POLICY_PROTECT, 9, "10.1.0.0/16", "0.0.0.0/0", 0, 0, 65535);
    rig_pol(&six, POLICY_PROTECT, 9, "fd01::/64", "::/0", 0, 0, 65535);
    rig_pol(&drop, POLICY_DISCARD, 5, "10.1.0.0/16", "224.0.0.0/8", 17, 0, 65535);
    struct kset_hold *h4 = rig_take(&l, &four), *h6 = rig_take(&l, &six);
    assert_int_equal(said(&l, KDIR_OUT, "10.1.0.1", "224.0.0.5", 89, 0), KXFRM_ALLOW);
    assert_int_equal(said(&l, KDIR_OUT, "10.1.0.1", "255.255.255.255", 17, 0), KXFRM_ALLOW);
    assert_int_equal(said(&l, KDIR_OUT, "10.1.0.1", "224.0.1.1", 17, 0), KXFRM_BLOCK);
    assert_int_equal(said(&l, KDIR_OUT, "10.1.0.1", "255.255.255.254", 17, 0), KXFRM_BLOCK);
    assert_int_equal(said(&l, KDIR_OUT, "fd01::1", "ff02::1:ff00:5", 58, 135), KXFRM_ALLOW);
    assert_int_equal(said(&l, KDIR_OUT, "fd01::1", "fe80::5", 58, 136), KXFRM_ALLOW);
    assert_int_equal(said(&l, KDIR_OUT, "fd01::1", "ff05::2", 17, 0), KXFRM_BLOCK);
    assert_int_equal(said(&l, KDIR_OUT, "fd01::1", "2001:db8::1", 58, 135), KXFRM_BLOCK);
    for (uint16_t type = 128; type < 144; type++)
        assert_int_equal(said(&l, KDIR_IN, "fe80::5", "fd01::1", 58, type),
                         type >= 133 && type <= 137 ? KXFRM_ALLOW : KXFRM_BLOCK);
    assert_int_equal(said(&l, KDIR_IN, "fe80::5", "fd01::1", 58, 128), KXFRM_BLOCK);
    assert_int_equal(said(&l, KDIR_IN, "fe80::5", "fd01::1", 17, 135), KXFRM_BLOCK);
    assert_int_equal(said(&l, KDIR_IN, "2001:db8::1", "fd01::1", 58, 135), KXFRM_BLOCK);
    assert_int_equal(said(&l, KDIR_FWD, "fe80::5", "fd01::1", 58, 135), KXFRM_BLOCK);
    struct kset_hold *d = rig_take(&l, &drop); // one that goes first
    assert_int_equal(said(&l, KDIR_OUT, "10.1.0.1", "224.0.0.5", 17, 0), KXFRM_BLOCK);
    assert_int_equal(said(&l, KDIR_OUT, "10.1.0.1", "224.0.0.5", 89, 0), KXFRM_ALLOW);
    rig_drop(&l, d);
    rig_drop(&l, h4);
    rig_drop(&l, h6);
    rig_pol(&four, POLICY_PROTECT, 9, "10.1.0.0/16", "224.0.0.0/24", 0, 0, 65535); // by name
    rig_take(&l, &four);
    assert_int_equal(said(&l, KDIR_OUT, "10.1.0.1", "224.0.0.5", 89, 0), KXFRM_BLOCK);
    rig_down(&l);
}

static void test_objects_bypass_and_discard_by_rank(void **state)
{
    struct kset_rig l;
    struct pol wide, by, dis;
    (void)state;
    rig_up(&l);
    rig_pol(&wide, POLICY_PROTECT, 9, "10.1.0.0/16", "10.0.0.0/8", 0, 0, 65535);
    rig_pol(&by, POLICY_BYPASS, 2, "10.1.0.0/16", "10.7.0.0/16", 0, 0, 65535);
    rig_pol(&dis, POLICY_DISCARD, 1, "10.1.0.0/16", "10.7.7.0/24", 0, 0, 65535);
    struct kset_hold *h[3] = {rig_take(&l, &wide), rig_take(&l, &by), rig_take(&l, &dis)};
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.8.0.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.7.0.1", 17, 5, 6), KXFRM_ALLOW);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "10.7.0.1", "10.1.0.1", 17, 5, 6), KXFRM_ALLOW);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.7.7.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(rig_count_of(&l.m, KOBJ_ROUTE, KROUTE_TUN), 1); // only what is protected enters the TUN
    for (int i = 0; i < 3; i++)
        rig_drop(&l, h[i]);
    rig_down(&l);
}

static void test_objects_too_many_prefixes_refused_by_name(void **state)
{
    struct kset_rig l;
    struct pol p;
    struct esp_error err = {0};
    struct kset_hold *h;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 9, "fd01::/64", "fd00::/16", 0, 0, 65535);
    p.r.t[0].lo[15] = 1; // fd00::1 ... fd00:...:fffe
    p.r.t[0].hi[15] = 0xfe;
    assert_int_equal(kset_change(l.s, &p.spec, &h, 1, NULL, 0, &err), -E2BIG);
    assert_non_null(strstr(err.field, "fd00::1"));
    assert_int_equal(l.m.asked, 0);
    rig_down(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_plain_subnets_blocked_three_ways),
        cmocka_unit_test(test_objects_of_the_kernels_esp_are_other_routes_alone),
        cmocka_unit_test(test_objects_routes_beside_the_tun_end_with_who_made_them),
        cmocka_unit_test(test_objects_port_range_blocks_exactly_it_and_fragments),
        cmocka_unit_test(test_objects_opaque_ports_block_what_shows_none),
        cmocka_unit_test(test_objects_icmp_type_blocks_that_type_both_ways),
        cmocka_unit_test(test_objects_ipv6_protocol_blocks_fragments_with_more_headers),
        cmocka_unit_test(test_objects_ipv6_is_let_out_to_the_tun_and_nowhere_else),
        cmocka_unit_test(test_objects_different_protocols_ask_for_nothing),
        cmocka_unit_test(test_objects_remote_contains_local_leaves_local_network_alive),
        cmocka_unit_test(test_objects_of_one_link_are_no_part_of_a_wider_remote),
        cmocka_unit_test(test_objects_what_lets_icmp_pass_is_exactly_its_types_and_codes),
        cmocka_unit_test(test_objects_what_lets_pass_is_no_wider_than_its_types_of_mobility_headers),
        cmocka_unit_test(test_objects_bypass_and_discard_by_rank),
        cmocka_unit_test(test_objects_too_many_prefixes_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
