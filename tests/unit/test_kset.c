// SPDX-License-Identifier: Apache-2.0
// The set of kernel objects against a kernel in memory: what a policy needs, counting, order, failure at each
// step, repair, and what an earlier run has left.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/path/kset.h"
#include "ctrl/path/kset_objects.h"
#include "espalier/error.h"
#include "tests/unit/kernel_model.h"

#include <arpa/inet.h>
#include <errno.h>

static const struct kset_options options = {.routes = true, .rule_priority = 220, .own_mark = 0xe59};

struct lab {
    struct kernel_model m;
    struct kset *s;
};

static void up(struct lab *l)
{
    model_open(&l->m);
    assert_int_equal(kset_open(&l->s, &l->m.base, &options, NULL), 0);
}

static void down(struct lab *l)
{
    kset_close(l->s, false);
    assert_int_equal(l->m.count, 0);
    model_free(&l->m);
}

// "10.1.0.0/16", protocol and ports; several with one call each
static void selector(struct ts_list *l, const char *prefix, uint8_t proto, uint16_t lo, uint16_t hi)
{
    struct ts *t = &l->t[l->count++];
    char text[64];
    snprintf(text, sizeof(text), "%s", prefix);
    char *slash = strchr(text, '/');
    unsigned bits = (unsigned)atoi(slash + 1);
    *slash = 0;
    *t = (struct ts){.family = strchr(text, ':') ? 6 : 4, .proto = proto, .port_lo = lo, .port_hi = hi};
    assert_int_equal(inet_pton(t->family == 6 ? AF_INET6 : AF_INET, text, t->lo), 1);
    memcpy(t->hi, t->lo, 16);
    for (unsigned i = bits; i < (t->family == 6 ? 128 : 32); i++)
        t->hi[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

struct pol {
    struct ts_list l, r;
    struct kset_spec spec;
};

static void finish(struct pol *p, uint8_t action, uint32_t rank)
{
    p->spec = (struct kset_spec){.action = action,
                                 .rank = rank,
                                 .local = p->l.t,
                                 .remote = p->r.t,
                                 .local_count = p->l.count,
                                 .remote_count = p->r.count};
}

static void pol(struct pol *p, uint8_t action, uint32_t rank, const char *l, const char *r, uint8_t proto,
                uint16_t lo, uint16_t hi)
{
    memset(p, 0, sizeof(*p));
    selector(&p->l, l, 0, 0, 65535);
    selector(&p->r, r, proto, lo, hi);
    finish(p, action, rank);
}

static struct kset_hold *take(struct lab *l, const struct pol *p)
{
    struct kset_hold *h = NULL;
    struct esp_error err = {0};
    if (kset_change(l->s, &p->spec, &h, 1, NULL, 0, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
    return h;
}

static void drop(struct lab *l, struct kset_hold *h)
{
    assert_int_equal(kset_change(l->s, NULL, NULL, 0, &h, 1, NULL), 0);
}

static int says(const struct kernel_model *m, enum kobj_dir dir, const char *src, const char *dst,
                uint8_t proto, uint16_t sport, uint16_t dport)
{
    uint8_t s[16] = {0}, d[16] = {0};
    bool six = strchr(src, ':') != NULL;
    assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, src, s), 1);
    assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, dst, d), 1);
    return model_verdict(m, dir, six ? 6 : 4, s, d, proto, sport, dport);
}

static unsigned count_of(const struct kernel_model *m, uint8_t kind, uint8_t action)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->count; i++)
        n += m->objects[i].kind == kind && (!action || m->objects[i].action == action);
    return n;
}

// ---- what a policy needs

static void test_objects_plain_subnets_blocked_three_ways(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = take(&l, &p);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_FWD, "10.2.0.1", "10.1.0.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.3.0.1", "10.2.0.1", 17, 5, 6), 0);
    assert_int_equal(count_of(&l.m, KOBJ_XFRM, 0), 3);
    assert_int_equal(count_of(&l.m, KOBJ_RULE, KRULE_LOOKUP), 1);
    assert_int_equal(count_of(&l.m, KOBJ_ROUTE, KROUTE_TUN), 1);
    for (unsigned i = 0; i < l.m.count; i++) { // only what comes from there is asked to go through the TUN
        const struct kobj *o = &l.m.objects[i];
        if (o->kind == KOBJ_RULE && o->action == KRULE_LOOKUP)
            assert_true(o->src_len == 16 && o->src[0] == 10 && o->src[1] == 1);
    }
    drop(&l, h);
    down(&l);
}

// Each port of a range and none beside it; and what shows no ports, which is every fragment.
static void test_objects_port_range_blocks_exactly_it_and_fragments(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 17, 7000, 7999);
    struct kset_hold *h = take(&l, &p);
    for (unsigned port = 1; port < 65536; port++) {
        int want = port >= 7000 && port <= 7999 ? KXFRM_BLOCK : 0;
        assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 4000, (uint16_t)port), want);
        assert_int_equal(says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 17, (uint16_t)port, 4000), want);
        assert_int_equal(says(&l.m, KDIR_FWD, "10.2.0.1", "10.1.0.1", 17, (uint16_t)port, 4000), want);
    }
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 0, 0), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 17, 0, 0), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_FWD, "10.2.0.1", "10.1.0.1", 17, 0, 0), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 0, 0), 0);
    // a socket that is not bound to a port yet asks with port 0 on its side alone: another port's is let
    // through
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 0, 53), 0);
    drop(&l, h);
    down(&l);
}

static void test_objects_opaque_ports_block_what_shows_none(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 17, 65535, 0);
    struct kset_hold *h = take(&l, &p);
    const int ways[] = {KDIR_OUT, KDIR_IN, KDIR_FWD};
    for (int i = 0; i < 3; i++) {
        const char *from = i ? "10.2.0.1" : "10.1.0.1", *to = i ? "10.1.0.1" : "10.2.0.1";
        assert_int_equal(says(&l.m, ways[i], from, to, 17, 0, 0), KXFRM_BLOCK);
        assert_int_equal(says(&l.m, ways[i], from, to, 17, 4000, 53), 0);
        assert_int_equal(says(&l.m, ways[i], from, to, 17, 65535, 65535), 0);
        assert_int_equal(says(&l.m, ways[i], from, to, 6, 0, 0), 0);
    }
    drop(&l, h);
    pol(&p, POLICY_BYPASS, 5, "10.1.0.0/16", "10.2.0.0/16", 17, 65535, 0);
    h = take(&l, &p);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 0, 0), KXFRM_ALLOW);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 4000, 53), 0);
    drop(&l, h);
    down(&l);
}

static void test_objects_icmp_type_blocks_that_type_both_ways(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 1, 8 << 8,
        8 << 8 | 255); // echo requests, any code
    struct kset_hold *h = take(&l, &p);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 1, 8, 0), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 1, 8, 0), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 1, 3, 1), 0);
    assert_int_equal(says(&l.m, KDIR_IN, "10.2.0.1", "10.1.0.1", 1, 0, 0),
                     KXFRM_BLOCK); // as a fragment looks
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 8, 0), 0);
    drop(&l, h);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 1, 0, 65535); // all of ICMP and nothing else
    h = take(&l, &p);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 1, 3, 1), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 3, 1), 0);
    drop(&l, h);
    down(&l);
}

static void test_objects_ipv6_protocol_blocks_fragments_with_more_headers(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 17, 53, 53);
    struct kset_hold *h = take(&l, &p);
    assert_int_equal(says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 17, 1, 53), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 17, 1, 54), 0);
    assert_int_equal(says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 60, 0, 0),
                     KXFRM_BLOCK); // destination options
    assert_int_equal(says(&l.m, KDIR_IN, "fd02::1", "fd01::1", 60, 0, 0), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 6, 0, 0), 0);
    drop(&l, h);
    down(&l);
}

// What is forwarded into the TUN is let out to it, by one policy before all others, as long as any asks.
static void test_objects_ipv6_is_let_out_to_the_tun_and_nowhere_else(void **state)
{
    struct kset_options known = options;
    struct lab l;
    struct pol a, b;
    const struct kobj *let = NULL;
    (void)state;
    known.tun_index = 7;
    model_open(&l.m);
    assert_int_equal(kset_open(&l.s, &l.m.base, &known, NULL), 0);
    pol(&a, POLICY_PROTECT, 0, "fd01::/64", "fd02::/64", 0, 0, 65535);
    pol(&b, POLICY_PROTECT, 5, "fd01::/64", "fd03::/64", 17, 53, 53);
    struct kset_hold *ha = take(&l, &a), *hb = take(&l, &b);
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
    drop(&l, ha);
    drop(&l, hb);
    pol(&a, POLICY_PROTECT, 0, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    ha = take(&l, &a);
    for (unsigned i = 0; i < l.m.count; i++)
        assert_true(l.m.objects[i].kind != KOBJ_XFRM || l.m.objects[i].action == KXFRM_BLOCK);
    drop(&l, ha);
    down(&l);
}

static void test_objects_different_protocols_ask_for_nothing(void **state)
{
    struct lab l;
    struct pol p = {0};
    (void)state;
    up(&l);
    selector(&p.l, "10.1.0.0/16", 6, 0, 65535);
    selector(&p.r, "10.2.0.0/16", 17, 0, 65535);
    finish(&p, POLICY_PROTECT, 5);
    struct kset_hold *h = take(&l, &p);
    assert_int_equal(l.m.count, 0);
    drop(&l, h);
    down(&l);
}

// 0.0.0.0/0 for one inside network: that network still reaches itself, by routing and by policy.
static void test_objects_remote_contains_local_leaves_local_network_alive(void **state)
{
    struct lab l;
    struct pol p, narrow;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 9, "10.1.0.0/16", "0.0.0.0/0", 0, 0, 65535);
    struct kset_hold *h = take(&l, &p);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.1.0.9", 17, 5, 6), 0);
    assert_int_equal(says(&l.m, KDIR_IN, "10.1.0.9", "10.1.0.1", 17, 5, 6), 0);
    const char *const others[] = {"198.51.100.7", "10.0.255.255", "10.2.0.0", "0.0.0.1", "255.255.255.255"};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", others[i], 17, 5, 6), KXFRM_BLOCK);
        assert_int_equal(says(&l.m, KDIR_FWD, others[i], "10.1.0.1", 17, 5, 6), KXFRM_BLOCK);
    }
    assert_int_equal(says(&l.m, KDIR_OUT, "10.9.0.1", "198.51.100.7", 17, 5, 6), 0);
    assert_int_equal(count_of(&l.m, KOBJ_ROUTE, KROUTE_THROW), 1);
    // what another policy protects inside it stays protected, whatever its rank
    pol(&narrow, POLICY_PROTECT, 30, "10.1.5.0/24", "10.1.6.0/24", 0, 0, 65535);
    struct kset_hold *h2 = take(&l, &narrow);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.5.1", "10.1.6.1", 17, 5, 6), KXFRM_BLOCK);
    drop(&l, h2);
    drop(&l, h);
    // not where both sides are the same: that would leave nothing protected
    pol(&p, POLICY_PROTECT, 9, "10.0.0.0/8", "10.0.0.0/8", 0, 0, 65535);
    h = take(&l, &p);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 5, 6), KXFRM_BLOCK);
    drop(&l, h);
    down(&l);
}

static void test_objects_bypass_and_discard_by_rank(void **state)
{
    struct lab l;
    struct pol wide, by, dis;
    (void)state;
    up(&l);
    pol(&wide, POLICY_PROTECT, 9, "10.1.0.0/16", "10.0.0.0/8", 0, 0, 65535);
    pol(&by, POLICY_BYPASS, 2, "10.1.0.0/16", "10.7.0.0/16", 0, 0, 65535);
    pol(&dis, POLICY_DISCARD, 1, "10.1.0.0/16", "10.7.7.0/24", 0, 0, 65535);
    struct kset_hold *h[3] = {take(&l, &wide), take(&l, &by), take(&l, &dis)};
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.8.0.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.7.0.1", 17, 5, 6), KXFRM_ALLOW);
    assert_int_equal(says(&l.m, KDIR_IN, "10.7.0.1", "10.1.0.1", 17, 5, 6), KXFRM_ALLOW);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.7.7.1", 17, 5, 6), KXFRM_BLOCK);
    assert_int_equal(count_of(&l.m, KOBJ_ROUTE, KROUTE_TUN), 1); // only what is protected enters the TUN
    for (int i = 0; i < 3; i++)
        drop(&l, h[i]);
    down(&l);
}

static void test_objects_too_many_prefixes_refused_by_name(void **state)
{
    struct lab l;
    struct pol p;
    struct esp_error err = {0};
    struct kset_hold *h;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 9, "fd01::/64", "fd00::/16", 0, 0, 65535);
    p.r.t[0].lo[15] = 1; // fd00::1 ... fd00:...:fffe
    p.r.t[0].hi[15] = 0xfe;
    assert_int_equal(kset_change(l.s, &p.spec, &h, 1, NULL, 0, &err), -E2BIG);
    assert_non_null(strstr(err.field, "fd00::1"));
    assert_int_equal(l.m.asked, 0);
    down(&l);
}

// ---- counting

// Two selectors that are not equal may be one object of the kernel's (P1: ports rounded to a prefix).
static void test_change_shared_object_stays_while_anyone_holds_it(void **state)
{
    struct lab l;
    struct pol a, b;
    (void)state;
    up(&l);
    pol(&a, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/24", 17, 7000, 7999);
    pol(&b, POLICY_PROTECT, 6, "10.1.0.0/16", "10.2.0.0/24", 17, 9000, 9999);
    struct kset_hold *ha = take(&l, &a), *hb = take(&l, &b);
    drop(&l, ha);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 5, 9500), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 0, 0), KXFRM_BLOCK);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 5, 7500), 0);
    assert_true(count_of(&l.m, KOBJ_ROUTE, KROUTE_TUN) >= 1);
    drop(&l, hb);
    down(&l);
}

static void test_change_one_key_two_values_best_rank_holds_and_the_other_returns(void **state)
{
    struct lab l;
    struct pol block, pass;
    (void)state;
    up(&l);
    pol(&block, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    pol(&pass, POLICY_BYPASS, 2, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = take(&l, &block), *hp = take(&l, &pass);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_ALLOW);
    drop(&l, hp);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_BLOCK);
    pass.spec.rank = 5; // as good: the closed one
    hp = take(&l, &pass);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_BLOCK);
    drop(&l, h);
    assert_int_equal(says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_ALLOW);
    drop(&l, hp);
    down(&l);
}

static void test_change_one_local_selector_one_rule_whatever_the_remotes(void **state)
{
    struct lab l;
    struct pol p;
    struct kset_hold *h[50];
    (void)state;
    up(&l);
    for (unsigned i = 0; i < 50; i++) {
        char remote[32];
        snprintf(remote, sizeof(remote), "10.%u.0.0/16", 100 + i);
        pol(&p, POLICY_PROTECT, i, "10.1.0.0/16", remote, 0, 0, 65535);
        h[i] = take(&l, &p);
    }
    assert_int_equal(count_of(&l.m, KOBJ_RULE, KRULE_LOOKUP), 1);
    assert_int_equal(count_of(&l.m, KOBJ_ROUTE, KROUTE_TUN), 50);
    for (unsigned i = 0; i < 50; i++)
        drop(&l, h[i]);
    down(&l);
}

// ---- order and failure

// At no moment of an edit is a packet of the part that stays let through.
static void test_change_edit_new_before_old(void **state)
{
    struct lab l;
    struct pol old, new;
    struct kset_hold *ho, *hn;
    (void)state;
    up(&l);
    pol(&old, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    pol(&new, POLICY_PROTECT, 6, "10.1.0.0/16", "10.2.0.0/15", 0, 0, 65535);
    ho = take(&l, &old);
    struct kernel_model replay;
    model_copy(&replay, &l.m);
    unsigned from = l.m.step_count;
    assert_int_equal(kset_change(l.s, &new.spec, &hn, 1, &ho, 1, NULL), 0);
    assert_true(l.m.step_count > from);
    for (unsigned i = from; i < l.m.step_count; i++) {
        struct kchange c = {l.m.steps[i].add, &l.m.steps[i].o, 0};
        replay.base.ops->apply(&replay.base, &c, 1, NULL);
        assert_int_equal(says(&replay, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_BLOCK);
        assert_int_equal(says(&replay, KDIR_IN, "10.2.0.1", "10.1.0.1", 6, 1, 1), KXFRM_BLOCK);
        assert_int_equal(says(&replay, KDIR_FWD, "10.2.0.1", "10.1.0.1", 6, 1, 1), KXFRM_BLOCK);
    }
    assert_true(model_same(&replay, &l.m));
    model_free(&replay);
    drop(&l, hn);
    down(&l);
}

// A route never leads into the TUN, and no rule to a table, before the blocks behind it stand; and they go
// last.
static void test_change_blocks_come_first_and_go_last(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 17, 53, 53);
    struct kset_hold *h = take(&l, &p);
    unsigned seen = 0, total = count_of(&l.m, KOBJ_XFRM, 0), end = l.m.step_count;
    for (unsigned i = 0; i < end; i++) {
        seen += l.m.steps[i].o.kind == KOBJ_XFRM;
        if (l.m.steps[i].o.kind != KOBJ_XFRM)
            assert_int_equal(seen, total);
    }
    drop(&l, h);
    for (unsigned i = end, gone = 0; i < l.m.step_count; i++) {
        gone += l.m.steps[i].o.kind == KOBJ_XFRM;
        if (l.m.steps[i].o.kind != KOBJ_XFRM)
            assert_int_equal(gone, 0);
    }
    down(&l);
}

static void edit_with_failure(unsigned at, bool *reached)
{
    struct lab l;
    struct pol keep, old, new[2];
    struct kset_hold *hk, *ho, *hn[2];
    struct kset_spec specs[2];
    struct kernel_model before;
    struct esp_error err = {0};
    up(&l);
    pol(&keep, POLICY_PROTECT, 4, "10.1.0.0/16", "10.2.0.0/16", 17, 5000, 5001);
    pol(&old, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    pol(&new[0], POLICY_BYPASS, 3, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    pol(&new[1], POLICY_PROTECT, 6, "10.1.0.0/16", "10.0.0.0/8", 17, 1000, 1999);
    specs[0] = new[0].spec;
    specs[1] = new[1].spec;
    hk = take(&l, &keep);
    ho = take(&l, &old);
    model_copy(&before, &l.m);
    l.m.asked = 0;
    l.m.fail_at = at;
    int rc = kset_change(l.s, specs, hn, 2, &ho, 1, &err);
    *reached = l.m.asked >= at;
    if (rc < 0) {
        assert_int_equal(rc, -ENOSPC);
        assert_true(strlen(err.field) && strstr(err.text, "10."));
        if (!model_same(&before, &l.m))
            fail_msg("something has changed although the change failed at step %u", at);
    } else {
        drop(&l, hn[0]);
        drop(&l, hn[1]);
        ho = NULL;
    }
    l.m.fail_at = 0;
    if (ho)
        drop(&l, ho);
    drop(&l, hk);
    unsigned failed; // what could not be removed then is by now
    kset_repair(l.s, &failed);
    assert_int_equal(failed, 0);
    model_free(&before);
    down(&l);
}

static void test_change_failure_at_each_step_changes_nothing(void **state)
{
    unsigned steps = 0;
    (void)state;
    for (bool reached = true; reached; steps++)
        edit_with_failure(steps + 1, &reached);
    assert_true(steps > 25);
}

static void test_change_object_that_cannot_be_removed_is_tried_again(void **state)
{
    struct lab l;
    struct pol p;
    unsigned failed;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = take(&l, &p);
    l.m.fail_from = l.m.asked + 1;
    l.m.fail_to = UINT32_MAX;
    drop(&l, h);
    assert_true(l.m.count > 0);
    assert_true(kset_count(l.s).wrong > 0);
    l.m.fail_to = 0;
    assert_true(kset_repair(l.s, &failed) > 0);
    assert_int_equal(failed, 0);
    assert_int_equal(l.m.count, 0);
    down(&l);
}

// ---- repair

static void test_repair_puts_back_what_others_removed(void **state)
{
    struct lab l;
    struct pol p;
    struct kernel_model before;
    unsigned failed;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 17, 53, 53);
    struct kset_hold *h = take(&l, &p);
    model_copy(&before, &l.m);
    for (unsigned i = 0; i < before.count; i++) { // each alone
        struct knotice n = {.kind = KNOTE_OBJECT, .o = before.objects[i]};
        for (unsigned j = 0; j < l.m.count; j++)
            if (kobj_same_key(&l.m.objects[j], &n.o))
                model_remove(&l.m, j);
        assert_true(kset_notice(l.s, &n));
        assert_int_equal(kset_repair(l.s, &failed), 1);
        assert_true(model_same(&before, &l.m));
    }
    l.m.count = 0; // all, and the notices were lost
    assert_true(kset_notice(l.s, &(struct knotice){.kind = KNOTE_LOST}));
    assert_int_equal(kset_repair(l.s, &failed), before.count);
    assert_true(model_same(&before, &l.m));
    for (unsigned j = l.m.count; j-- > 0;)
        if (l.m.objects[j].kind == KOBJ_XFRM)
            model_remove(&l.m, j);
    assert_true(kset_notice(l.s, &(struct knotice){.kind = KNOTE_FLUSHED}));
    kset_repair(l.s, &failed);
    assert_true(model_same(&before, &l.m));
    assert_int_equal(kset_count(l.s).wrong, 0);
    model_free(&before);
    drop(&l, h);
    down(&l);
}

static void test_notice_of_what_is_not_held_is_nothing(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = take(&l, &p);
    struct knotice n = {.kind = KNOTE_OBJECT, .o = l.m.objects[0]};
    n.o.src[3] ^= 1;
    assert_false(kset_notice(l.s, &n));
    drop(&l, h);
    down(&l);
}

// ---- another run

// The next run of a daemon that died: what it asks for again is adopted without a change, the rest stays
// until it is swept, a failed load takes nothing of it away.
static void test_next_run_adopts_what_it_finds_and_sweeps_the_rest(void **state)
{
    struct lab l;
    struct pol a, b, gone;
    struct esp_error err;
    struct kset_hold *h;
    (void)state;
    up(&l);
    pol(&a, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    pol(&gone, POLICY_PROTECT, 6, "10.5.0.0/16", "10.6.0.0/16", 0, 0, 65535);
    take(&l, &a);
    take(&l, &gone);
    struct kernel_model left;
    model_copy(&left, &l.m);
    left.fail_rc = -ENOSPC;
    struct kset *next;
    assert_int_equal(kset_open(&next, &left.base, &options, NULL), 0); // the first one was killed
    assert_true(kset_count(next).found > 0);
    // a load that fails
    pol(&b, POLICY_BYPASS, 1, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    left.fail_at = 3;
    assert_int_equal(kset_change(next, &b.spec, &h, 1, NULL, 0, &err), -ENOSPC);
    assert_true(model_same(&left, &l.m));
    left.fail_at = left.asked = 0;
    // one that is what was there
    assert_int_equal(kset_change(next, &a.spec, &h, 1, NULL, 0, &err), 0);
    assert_int_equal(left.asked, 0);
    assert_int_equal(says(&left, KDIR_OUT, "10.5.0.1", "10.6.0.1", 17, 1, 1), KXFRM_BLOCK);
    assert_true(kset_sweep(next) >= 5);
    assert_int_equal(says(&left, KDIR_OUT, "10.5.0.1", "10.6.0.1", 17, 1, 1), 0);
    assert_int_equal(says(&left, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 1, 1), KXFRM_BLOCK);
    assert_int_equal(kset_count(next).found, 0);
    kset_close(next, false);
    assert_int_equal(left.count, 0);
    model_free(&left);
    kset_close(l.s, false);
    model_free(&l.m);
}

// Left open by an earlier run's bypass, protected now: protected at once, not when it is swept.
static void test_next_run_new_action_holds_at_once(void **state)
{
    struct lab l;
    struct pol old, new;
    struct kset_hold *h;
    struct kset *next;
    struct kernel_model left;
    (void)state;
    up(&l);
    pol(&old, POLICY_BYPASS, 1, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    pol(&new, POLICY_PROTECT, 9, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    take(&l, &old);
    model_copy(&left, &l.m);
    assert_int_equal(kset_open(&next, &left.base, &options, NULL), 0);
    assert_int_equal(kset_change(next, &new.spec, &h, 1, NULL, 0, NULL), 0);
    assert_int_equal(says(&left, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 1, 1), KXFRM_BLOCK);
    kset_close(next, false);
    assert_int_equal(left.count, 0);
    model_free(&left);
    kset_close(l.s, false);
    model_free(&l.m);
}

static void test_close_leaving_keeps_blocks_alone(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 17, 53, 53);
    take(&l, &p);
    unsigned blocks = count_of(&l.m, KOBJ_XFRM, 0);
    kset_close(l.s, true);
    assert_int_equal(l.m.count, blocks);
    model_free(&l.m);
}

// ---- sources

static void machine(struct kernel_model *m, const char *a, uint8_t len, bool preferred)
{
    struct addr *to = &m->addresses[m->address_count];
    addr_parse(a, to);
    m->lens[m->address_count++] = len;
    if (preferred)
        m->preferred[to->family == 6] = *to;
}

static const struct kobj *route_with_source(const struct kernel_model *m)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->objects[i].kind == KOBJ_ROUTE && m->objects[i].from_set)
            return &m->objects[i];
    return NULL;
}

static void test_sources_remote_network_gets_a_protected_one(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    machine(&l.m, "10.10.0.1", 24, true);
    kset_addresses_changed(l.s);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = take(&l, &p);
    assert_null(route_with_source(&l.m));
    machine(&l.m, "10.1.0.7", 24, false);
    kset_addresses_changed(l.s);
    const struct kobj *o = route_with_source(&l.m);
    assert_non_null(o);
    assert_memory_equal(o->from, ((uint8_t[]){10, 1, 0, 7}), 4);
    l.m.address_count = 1;
    kset_addresses_changed(l.s);
    assert_null(route_with_source(&l.m));
    drop(&l, h);
    down(&l);
}

// Full tunnel of an inside network: the gateway's own way to the world is not taken; of a host, it is.
static void test_sources_everywhere_only_where_the_machine_would_take_it(void **state)
{
    struct lab l;
    struct pol p;
    (void)state;
    up(&l);
    machine(&l.m, "10.10.0.1", 24, true);
    machine(&l.m, "10.1.0.7", 24, false);
    kset_addresses_changed(l.s);
    pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 0, 0, 65535);
    struct kset_hold *h = take(&l, &p);
    assert_null(route_with_source(&l.m));
    drop(&l, h);
    pol(&p, POLICY_PROTECT, 5, "10.10.0.1/32", "0.0.0.0/0", 0, 0, 65535);
    h = take(&l, &p);
    assert_non_null(route_with_source(&l.m));
    assert_true(count_of(&l.m, KOBJ_ROUTE, KROUTE_THROW) >=
                2); // its own address, and the network behind the other
    drop(&l, h);
    down(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_plain_subnets_blocked_three_ways),
        cmocka_unit_test(test_objects_port_range_blocks_exactly_it_and_fragments),
        cmocka_unit_test(test_objects_opaque_ports_block_what_shows_none),
        cmocka_unit_test(test_objects_icmp_type_blocks_that_type_both_ways),
        cmocka_unit_test(test_objects_ipv6_protocol_blocks_fragments_with_more_headers),
        cmocka_unit_test(test_objects_ipv6_is_let_out_to_the_tun_and_nowhere_else),
        cmocka_unit_test(test_objects_different_protocols_ask_for_nothing),
        cmocka_unit_test(test_objects_remote_contains_local_leaves_local_network_alive),
        cmocka_unit_test(test_objects_bypass_and_discard_by_rank),
        cmocka_unit_test(test_objects_too_many_prefixes_refused_by_name),
        cmocka_unit_test(test_change_shared_object_stays_while_anyone_holds_it),
        cmocka_unit_test(test_change_one_key_two_values_best_rank_holds_and_the_other_returns),
        cmocka_unit_test(test_change_one_local_selector_one_rule_whatever_the_remotes),
        cmocka_unit_test(test_change_edit_new_before_old),
        cmocka_unit_test(test_change_blocks_come_first_and_go_last),
        cmocka_unit_test(test_change_failure_at_each_step_changes_nothing),
        cmocka_unit_test(test_change_object_that_cannot_be_removed_is_tried_again),
        cmocka_unit_test(test_repair_puts_back_what_others_removed),
        cmocka_unit_test(test_notice_of_what_is_not_held_is_nothing),
        cmocka_unit_test(test_next_run_adopts_what_it_finds_and_sweeps_the_rest),
        cmocka_unit_test(test_next_run_new_action_holds_at_once),
        cmocka_unit_test(test_close_leaving_keeps_blocks_alone),
        cmocka_unit_test(test_sources_remote_network_gets_a_protected_one),
        cmocka_unit_test(test_sources_everywhere_only_where_the_machine_would_take_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
