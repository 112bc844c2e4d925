// SPDX-License-Identifier: Apache-2.0
// What the kernel is asked to keep for programs of this machine itself: sources, and the hook of IPv6.
#include "tests/unit/kset_rig.h"

#include <arpa/inet.h>
#include <string.h>

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
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    machine(&l.m, "10.10.0.1", 24, true);
    kset_addresses_changed(l.s);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p);
    assert_null(route_with_source(&l.m));
    machine(&l.m, "10.1.0.7", 24, false);
    kset_addresses_changed(l.s);
    const struct kobj *o = route_with_source(&l.m);
    assert_non_null(o);
    assert_memory_equal(o->from, ((uint8_t[]){10, 1, 0, 7}), 4);
    l.m.address_count = 1;
    kset_addresses_changed(l.s);
    assert_null(route_with_source(&l.m));
    rig_drop(&l, h);
    rig_down(&l);
}

// Full tunnel of an inside network: the gateway's own way to the world is not taken; of a host, it is.
static void test_sources_everywhere_only_where_the_machine_would_take_it(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    machine(&l.m, "10.10.0.1", 24, true);
    machine(&l.m, "10.1.0.7", 24, false);
    kset_addresses_changed(l.s);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p);
    assert_null(route_with_source(&l.m));
    rig_drop(&l, h);
    rig_pol(&p, POLICY_PROTECT, 5, "10.10.0.1/32", "0.0.0.0/0", 0, 0, 65535);
    h = rig_take(&l, &p);
    assert_non_null(route_with_source(&l.m));
    assert_true(rig_count_of(&l.m, KOBJ_ROUTE, KROUTE_THROW) >=
                2); // its own address, and the network behind the other
    rig_drop(&l, h);
    rig_down(&l);
}

// A virtual address is there for the policy's packets alone: towards everywhere too, and before any other.
static void test_sources_virtual_address_comes_first(void **state)
{
    struct kset_rig l;
    struct pol p;
    struct addr vip;
    (void)state;
    rig_up(&l);
    machine(&l.m, "10.10.0.1", 24, true);
    kset_addresses_changed(l.s);
    rig_pol(&p, POLICY_PROTECT, 5, "10.3.0.1/32", "0.0.0.0/0", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p);
    assert_null(route_with_source(&l.m));
    addr_parse("10.3.0.1", &vip);
    kset_virtual(l.s, &vip, 1);
    const struct kobj *o = route_with_source(&l.m);
    assert_non_null(o);
    assert_memory_equal(o->from, vip.a, 4);
    kset_virtual(l.s, NULL, 0);
    assert_null(route_with_source(&l.m));
    rig_drop(&l, h);
    rig_down(&l);
}

// ---- IPv6 of this machine's own programs

static struct kset_options with_hooks(void)
{
    struct kset_options o = rig_options;
    o.tun_index = 7;
    o.hooks = o.hooks4 = true;
    return o;
}

static const struct kobj *hook_of(const struct kernel_model *m, uint8_t family)
{
    const struct kobj key = {.kind = KOBJ_HOOK, .family = family};
    return model_find(m, &key);
}

static const struct kobj *the_hook(const struct kernel_model *m)
{
    return hook_of(m, 6);
}

static const struct kobj *let_in(const struct kernel_model *m, uint8_t family)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->objects[i].kind == KOBJ_XFRM && m->objects[i].mark_mask && m->objects[i].family == family)
            return &m->objects[i];
    return NULL;
}

static void test_own_ipv6_is_held_for_the_hook_and_ipv4_blocked(void **state)
{
    const struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol six, four;
    (void)state;
    rig_up_with(&l, &o);
    rig_pol(&six, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 17, 53, 53);
    rig_pol(&four, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h6 = rig_take(&l, &six), *h4 = rig_take(&l, &four);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 17, 1, 53), KXFRM_HOLD);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 17, 0, 0), KXFRM_HOLD); // a fragment
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 44, 0, 0), KXFRM_HOLD);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "fd02::1", "fd01::1", 17, 53, 1), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_FWD, "fd02::1", "fd01::1", 17, 53, 1), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 1, 53), KXFRM_BLOCK);
    const struct kobj *hook = the_hook(&l.m), *in = let_in(&l.m, 6);
    assert_true(hook && in);
    assert_int_equal(hook->ifindex, 7);
    assert_int_equal(in->dir, KDIR_IN);
    assert_int_equal(in->action, KXFRM_ALLOW);
    assert_int_equal(in->mark, KERNEL_MARK_FROM_TUN);
    assert_int_equal(in->mark_mask, KERNEL_MARK_MASK);
    assert_non_null(hook_of(&l.m, 4));
    in = let_in(&l.m, 4);
    assert_true(in && in->dir == KDIR_IN && in->action == KXFRM_ALLOW);
    rig_drop(&l, h6);
    assert_null(the_hook(&l.m)); // nobody asks for it any more
    assert_null(let_in(&l.m, 6));
    rig_drop(&l, h4);
    assert_null(hook_of(&l.m, 4));
    assert_null(let_in(&l.m, 4));
    rig_down(&l);
}

// What is let pass or dropped brings nothing that anybody could quote.
static void test_own_hook_is_asked_for_by_what_is_protected_alone(void **state)
{
    const struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol p, q;
    (void)state;
    rig_up_with(&l, &o);
    rig_pol(&p, POLICY_BYPASS, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&q, POLICY_DISCARD, 5, "10.1.0.0/16", "10.3.0.0/16", 0, 0, 65535);
    rig_take(&l, &p);
    rig_take(&l, &q);
    assert_null(hook_of(&l.m, 4));
    rig_down(&l);
}

// Without hooks: nobody can tell what an error is about, so none leaves for what is protected.
static void test_own_errors_are_blocked_where_there_are_no_hooks(void **state)
{
    struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol p, q;
    (void)state;
    o.hooks = o.hooks4 = false;
    rig_up_with(&l, &o);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 0, 0, 65535);
    rig_pol(&q, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 17, 53, 53);
    rig_take(&l, &p);
    rig_take(&l, &q);
    for (unsigned type = 0; type < 20; type++) {
        bool error = (type >= 3 && type <= 5) || type == 11 || type == 12;
        assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.10.0.1", "10.2.0.1", 1, (uint16_t)type, 0),
                         error ? KXFRM_BLOCK : 0);
    }
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.10.0.1", "10.1.0.5", 1, 3, 0), 0); // its own network
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd10::1", "fd02::1", 58, 1, 0), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd10::1", "fd02::1", 58, 127, 0), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd10::1", "fd02::1", 58, 129, 0), 0);
    rig_down(&l);
}

static const struct kobj *group_hook(const struct kernel_model *m, enum kobj_dir dir, uint8_t group,
                                     uint8_t len)
{
    const struct kobj key = {.kind = KOBJ_HOOK,
                             .family = 4,
                             .dir = (uint8_t)dir,
                             .src_len = 16,
                             .src = {10, 1},
                             .dst_len = len,
                             .dst = {group}};
    return model_find(m, &key);
}

static int hook_of_groups(const struct kernel_model *m, enum kobj_dir dir, uint8_t group, uint8_t len)
{
    return group_hook(m, dir, group, len) != NULL;
}

static uint32_t priority_of_groups(const struct kernel_model *m, enum kobj_dir dir)
{
    const struct kobj *o = group_hook(m, dir, 224, 4);
    assert_non_null(o);
    return o ? o->priority : 0;
}

// What the kernel forwards to groups it does not show to XFRM. What drops it stays when the daemon ends.
static void test_own_groups_within_a_remote_selector_have_a_hook(void **state)
{
    const struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol all, some, pass, ports, none;
    (void)state;
    rig_up_with(&l, &o);
    rig_pol(&all, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 0, 0, 65535);
    rig_pol(&some, POLICY_DISCARD, 5, "10.1.0.0/16", "239.0.0.0/8", 0, 0, 65535);
    rig_pol(&pass, POLICY_BYPASS, 5, "10.1.0.0/16", "239.0.0.0/8", 0, 0, 65535);
    rig_pol(&ports, POLICY_BYPASS, 5, "10.1.0.0/16", "238.0.0.0/8", 17, 53, 53);
    rig_pol(&none, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_take(&l, &none);
    assert_int_equal(rig_count_of(&l.m, KOBJ_HOOK, KHOOK_GROUPS), 0);
    struct kset_hold *h = rig_take(&l, &some);
    assert_true(hook_of_groups(&l.m, KDIR_FWD, 239, 8));
    rig_drop(&l, h);
    rig_take(&l, &all);
    assert_true(hook_of_groups(&l.m, KDIR_FWD, 224, 4));
    rig_take(&l, &pass);
    assert_true(hook_of_groups(&l.m, KDIR_OUT, 239, 8));
    rig_take(&l, &ports); // no port is looked at
    assert_int_equal(rig_count_of(&l.m, KOBJ_HOOK, KHOOK_GROUPS), 2);
    kset_close(l.s, true);
    assert_true(hook_of_groups(&l.m, KDIR_FWD, 224, 4));
    model_free(&l.m);
}

// Of two that name the same the first one decides, and of equals what drops.
static void test_own_groups_are_asked_in_the_order_of_the_policies(void **state)
{
    const struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol all, pass;
    uint32_t at[3];
    (void)state;
    rig_up_with(&l, &o);
    rig_pol(&all, POLICY_PROTECT, 7, "10.1.0.0/16", "0.0.0.0/0", 0, 0, 65535);
    rig_take(&l, &all);
    for (uint32_t i = 0; i < 3; i++) {
        rig_pol(&pass, POLICY_BYPASS, 6 + i, "10.1.0.0/16", "224.0.0.0/4", 0, 0, 65535);
        struct kset_hold *h = rig_take(&l, &pass);
        at[i] = priority_of_groups(&l.m, KDIR_OUT);
        rig_drop(&l, h);
    }
    uint32_t drops = priority_of_groups(&l.m, KDIR_FWD);
    assert_true(at[0] < drops);
    assert_true(drops < at[1]);
    assert_true(at[1] < at[2] && at[2] <= INT32_MAX);
    rig_pol(&all, POLICY_DISCARD, 2, "10.1.0.0/16", "224.0.0.0/4", 0, 0, 65535);
    rig_take(&l, &all); // the same object by a better rank
    assert_true(priority_of_groups(&l.m, KDIR_FWD) < at[0]);
    kset_close(l.s, false);
    model_free(&l.m);
}

// ---- answers

static unsigned count_asked(const struct kernel_model *m)
{
    return rig_count_of(m, KOBJ_HOOK, KHOOK_ASKED);
}

// Who has asked is kept where an answer may leave past the TUN, and nowhere else.
static void test_own_askers_are_kept_where_an_answer_can_go_astray(void **state)
{
    static const struct {
        const char *remote;
        uint8_t proto;
        unsigned asked;
    } all[] = {{"0.0.0.0/0", 0, 1},   {"0.0.0.0/1", 17, 1},  {"0.0.0.0/0", 6, 0},
               {"10.2.0.0/16", 0, 0}, {"10.0.0.0/8", 17, 1}, {"172.16.0.0/12", 0, 0}};
    struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol p;
    (void)state;
    for (int hooks = 1; hooks >= 0; hooks--) {
        o.hooks4 = hooks;
        rig_up_with(&l, &o);
        machine(&l.m, "192.0.2.1", 24, true);
        machine(&l.m, "10.1.0.7", 24, false);
        machine(&l.m, "10.9.0.1", 24, false); // a network that no policy protects
        kset_addresses_changed(l.s);
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
            rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", all[i].remote, all[i].proto, 0, 65535);
            struct kset_hold *h = rig_take(&l, &p);
            if (count_asked(&l.m) != (hooks ? all[i].asked : 0))
                fail_msg("%s, protocol %u: %u", all[i].remote, all[i].proto, count_asked(&l.m));
            rig_drop(&l, h);
        }
        rig_down(&l);
    }
}

static const struct kobj *rule_by_mark(const struct kernel_model *m)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->objects[i].kind == KOBJ_RULE && m->objects[i].mark == KERNEL_MARK_FROM_TUN)
            return &m->objects[i];
    return NULL;
}

static const struct kobj *in_table(const struct kernel_model *m, uint32_t table, enum kobj_action action)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->objects[i].kind == KOBJ_ROUTE && m->objects[i].table == table &&
            m->objects[i].action == action)
            return &m->objects[i];
    return NULL;
}

// Full tunnel of an inside network: the gateway's own way to the world is not taken, but what the kernel
// says about packets of the tunnel takes it, by the address inside, also to the network outside.
static void test_own_errors_about_what_the_tun_brought_have_a_protected_source(void **state)
{
    struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up_with(&l, &o);
    machine(&l.m, "10.10.0.1", 24, true);
    machine(&l.m, "10.1.0.7", 24, false);
    kset_addresses_changed(l.s);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p);
    const struct kobj *by = rule_by_mark(&l.m);
    if (!by) {
        fail_msg("no rule by the mark");
        return;
    }
    assert_int_equal(by->mark_mask, KERNEL_MARK_MASK);
    assert_int_equal(by->src_len, 32);
    const struct kobj *to = in_table(&l.m, by->table, KROUTE_TUN),
                      *own = in_table(&l.m, by->table, KROUTE_THROW);
    assert_true(to && own);
    assert_memory_equal(to->from, ((uint8_t[]){10, 1, 0, 7}), 4);
    assert_int_equal(own->dst_len, 16);
    assert_memory_equal(own->dst, ((uint8_t[]){10, 1, 0, 0}), 4);
    rig_drop(&l, h);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 17, 0, 65535); // an error is not UDP
    h = rig_take(&l, &p);
    assert_null(rule_by_mark(&l.m));
    rig_drop(&l, h);
    rig_down(&l);
}

// What lets an error of ours come as far as the hook, of the types that RFC 4443 has for errors.
static unsigned let_errors(const struct kernel_model *m, const char *from)
{
    struct addr a;
    unsigned n = 0;
    addr_parse(from, &a);
    for (unsigned i = 0; i < m->count; i++) {
        const struct kobj *o = &m->objects[i];
        if (o->kind != KOBJ_XFRM || o->dir != KDIR_OUT || !o->mark_mask)
            continue;
        assert_int_equal(o->action, KXFRM_ALLOW);
        assert_int_equal(o->proto, 58);
        assert_int_equal(o->sport, 0);
        assert_int_equal(o->sport2, 0xff80);
        assert_int_equal(o->mark, KERNEL_MARK_FROM_TUN);
        assert_int_equal(o->mark_mask, KERNEL_MARK_MASK);
        assert_int_equal(o->src_len, 128);
        n += !memcmp(o->src, a.a, 16);
    }
    return n;
}

static void test_own_errors_by_ipv6_come_to_the_hook_from_a_protected_address_alone(void **state)
{
    struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up_with(&l, &o);
    machine(&l.m, "fd10::1", 64, true);
    machine(&l.m, "fd01::7", 64, false);
    kset_addresses_changed(l.s);
    rig_pol(&p, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p);
    assert_int_equal(let_errors(&l.m, "fd01::7"), 1);
    assert_int_equal(let_errors(&l.m, "fd10::1"), 0);
    l.m.address_count = 1;
    kset_addresses_changed(l.s);
    assert_int_equal(let_errors(&l.m, "fd01::7"), 0);
    l.m.address_count = 2;
    kset_addresses_changed(l.s);
    assert_int_equal(let_errors(&l.m, "fd01::7"), 1);
    rig_drop(&l, h);
    assert_int_equal(let_errors(&l.m, "fd01::7"), 0);
    rig_pol(&p, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 17, 0, 65535); // an error is not UDP
    h = rig_take(&l, &p);
    assert_int_equal(let_errors(&l.m, "fd01::7"), 0);
    rig_drop(&l, h);
    rig_down(&l);
    o.hooks = false; // nobody would hold them back
    rig_up_with(&l, &o);
    machine(&l.m, "fd01::7", 64, false);
    kset_addresses_changed(l.s);
    rig_pol(&p, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 0, 0, 65535);
    h = rig_take(&l, &p);
    assert_int_equal(let_errors(&l.m, "fd01::7"), 0);
    rig_drop(&l, h);
    rig_down(&l);
}

// What is discarded stays an error, and goes before what is held where they are equal.
static void test_own_ipv6_that_is_discarded_is_blocked(void **state)
{
    const struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol p, q;
    (void)state;
    rig_up_with(&l, &o);
    rig_pol(&p, POLICY_DISCARD, 5, "fd01::/64", "fd02::/64", 0, 0, 65535);
    rig_pol(&q, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 0, 0, 65535);
    struct kset_hold *hp = rig_take(&l, &p), *hq = rig_take(&l, &q);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 17, 1, 53), KXFRM_BLOCK);
    rig_drop(&l, hp);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 17, 1, 53), KXFRM_HOLD);
    rig_drop(&l, hq);
    rig_down(&l);
}

static void test_own_hook_is_put_back_and_follows_the_tun(void **state)
{
    struct kset_options o = with_hooks();
    const struct knotice lost = {.kind = KNOTE_OBJECT, .o = {.kind = KOBJ_HOOK, .family = 6}};
    struct kset_rig l;
    struct pol p;
    unsigned failed;
    (void)state;
    rig_up_with(&l, &o);
    rig_pol(&p, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 0, 0, 65535);
    rig_take(&l, &p);
    model_remove(&l.m, (unsigned)(the_hook(&l.m) - l.m.objects));
    assert_true(kset_notice(l.s, &lost));
    assert_int_equal(kset_repair(l.s, &failed), 1);
    assert_int_equal(failed, 0);
    assert_non_null(the_hook(&l.m));
    struct kset *dead = l.s; // another run, with another TUN, finds it
    o.tun_index = 8;
    assert_int_equal(kset_open(&l.s, &l.m.base, &o, NULL), 0);
    struct kset_hold *h = rig_take(&l, &p);
    assert_int_equal(the_hook(&l.m)->ifindex, 8);
    assert_int_equal(kset_sweep(l.s), 1); // what let packets out to the TUN that was
    assert_int_equal(the_hook(&l.m)->ifindex, 8);
    rig_drop(&l, h);
    kset_close(l.s, false);
    assert_int_equal(l.m.count, 0);
    kset_close(dead, true);
    model_free(&l.m);
}

// An orderly end leaves what drops, and nothing that lets in.
static void test_own_hook_goes_at_an_orderly_end_and_what_trusts_it(void **state)
{
    const struct kset_options o = with_hooks();
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up_with(&l, &o);
    rig_pol(&p, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 0, 0, 65535);
    rig_take(&l, &p);
    kset_close(l.s, true);
    assert_null(the_hook(&l.m));
    assert_null(let_in(&l.m, 6));
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "fd01::1", "fd02::1", 17, 1, 53), KXFRM_HOLD);
    assert_int_equal(rig_says(&l.m, KDIR_IN, "fd02::1", "fd01::1", 17, 1, 53), KXFRM_BLOCK);
    for (unsigned i = 0; i < l.m.count; i++) // another interface may get the TUN's number
        assert_int_equal(l.m.objects[i].ifindex, 0);
    model_free(&l.m);
}

// Linux asks no rule that names a source about a packet without one: what has one is led past, by halves.
static void test_own_ipv6_without_a_source_is_asked_about_alone(void **state)
{
    struct kset_rig l;
    struct pol p;
    unsigned past = 0;
    const struct kobj *by = NULL;
    (void)state;
    model_open(&l.m);
    machine(&l.m, "fd01::1", 64, false);
    assert_int_equal(kset_open(&l.s, &l.m.base, &rig_options, NULL), 0);
    rig_pol(&p, POLICY_PROTECT, 5, "fd01::/64", "fd02::/64", 17, 53, 53);
    struct kset_hold *h = rig_take(&l, &p);
    assert_non_null(route_with_source(&l.m));
    for (unsigned i = 0; i < l.m.count; i++) {
        const struct kobj *o = &l.m.objects[i];
        if (o->kind == KOBJ_RULE && o->action == KRULE_LOOKUP && o->table == route_with_source(&l.m)->table)
            by = o;
    }
    if (!by) {
        fail_msg("no rule leads there");
        return;
    }
    assert_int_equal(by->src_len, 0);
    assert_int_equal(by->dport, 53);
    for (unsigned i = 0; i < l.m.count; i++) {
        const struct kobj *o = &l.m.objects[i];
        bool half = o->kind == KOBJ_RULE && o->src_len == 1 && o->action == KRULE_GOTO;
        if (half && o->priority < by->priority && o->target > by->priority)
            past |= o->src[0] & 0x80 ? 2 : 1;
        if (o->kind == KOBJ_RULE && o->action == KRULE_LOOKUP && o != by)
            assert_true(o->priority > by->priority);
    }
    assert_int_equal(past, 3);
    rig_drop(&l, h);
    rig_down(&l);
}

// ---- neighbours

static int discovers(const struct kset_rig *l, enum kobj_dir dir, const char *src, const char *dst)
{
    int solicits = rig_says(&l->m, dir, src, dst, 58, 135, 0),
        answers = rig_says(&l->m, dir, src, dst, 58, 136, 0);
    assert_int_equal(solicits, answers);
    return answers;
}

// A host that protects all that it says, or what it says to another one on its link: it and its neighbours
// find one another (RFC 4861). What says so and is forwarded has another source, and stays where it is.
static void test_neighbours_are_found_behind_a_policy_that_contains_them(void **state)
{
    const char *const remote[] = {"::/0", "2001:db8:9::2/128"};
    struct kset_options o = rig_options;
    struct pol p, all;
    (void)state;
    for (int routes = 0; routes < 2; routes++) {
        for (int i = 0; i < 2; i++) {
            struct kset_rig l;
            o.routes = routes;
            rig_up_with(&l, &o);
            machine(&l.m, "2001:db8:1::1", 64, true);
            machine(&l.m, "2001:db8:9::1", 64, false);
            machine(&l.m, "10.10.0.1", 24, true);
            kset_addresses_changed(l.s);
            rig_pol(&p, POLICY_PROTECT, 5, "2001:db8:1::/64", remote[i], 0, 0, 65535);
            struct kset_hold *h = rig_take(&l, &p);
            assert_int_equal(discovers(&l, KDIR_OUT, "2001:db8:1::1", "2001:db8:9::2"), KXFRM_ALLOW);
            assert_int_equal(discovers(&l, KDIR_IN, "2001:db8:9::2", "2001:db8:1::1"), KXFRM_ALLOW);
            assert_int_equal(discovers(&l, KDIR_FWD, "2001:db8:9::2", "2001:db8:1::1"), KXFRM_BLOCK);
            assert_int_equal(discovers(&l, KDIR_FWD, "2001:db8:9::2", "2001:db8:1::5"), KXFRM_BLOCK);
            assert_int_equal(rig_says(&l.m, KDIR_OUT, "2001:db8:1::1", "2001:db8:9::2", 58, 134, 0),
                             KXFRM_BLOCK);
            assert_int_equal(rig_says(&l.m, KDIR_OUT, "2001:db8:1::1", "2001:db8:9::2", 58, 137, 0),
                             KXFRM_BLOCK);
            assert_int_equal(rig_says(&l.m, KDIR_OUT, "2001:db8:1::1", "2001:db8:9::2", 17, 135, 0),
                             KXFRM_BLOCK);
            assert_int_equal(rig_says(&l.m, KDIR_IN, "2001:db8:9::2", "2001:db8:1::1", 58, 128, 0),
                             KXFRM_BLOCK);
            assert_int_equal(rig_says(&l.m, KDIR_IN, "2001:db8:9::2", "2001:db8:1::1", 17, 136, 0),
                             KXFRM_BLOCK);
            assert_int_equal(discovers(&l, KDIR_OUT, "2001:db8:1::5", "2001:db8:9::2"), KXFRM_BLOCK);
            rig_pol(&all, POLICY_DISCARD, 4, "::/0", "::/0", 0, 0, 65535); // one that goes first
            struct kset_hold *d = rig_take(&l, &all);
            assert_int_equal(discovers(&l, KDIR_OUT, "2001:db8:1::1", "2001:db8:9::2"), KXFRM_BLOCK);
            assert_int_equal(discovers(&l, KDIR_IN, "2001:db8:9::2", "2001:db8:1::1"), KXFRM_BLOCK);
            rig_drop(&l, d);
            l.m.address_count = 0; // the machine has moved
            kset_addresses_changed(l.s);
            assert_int_equal(discovers(&l, KDIR_OUT, "2001:db8:1::1", "2001:db8:9::2"), KXFRM_BLOCK);
            rig_drop(&l, h);
            rig_down(&l);
        }
    }
}

// A network elsewhere has no neighbours of this machine's; of ICMPv6 types by name just those are meant.
static void test_neighbours_are_none_elsewhere_and_where_they_are_named(void **state)
{
    struct kset_rig l;
    struct pol p;
    struct kset_hold *h;
    (void)state;
    rig_up(&l);
    machine(&l.m, "2001:db8:1::1", 64, true);
    kset_addresses_changed(l.s);
    rig_pol(&p, POLICY_PROTECT, 5, "2001:db8:1::/64", "2001:db8:2::/64", 0, 0, 65535);
    h = rig_take(&l, &p);
    assert_int_equal(discovers(&l, KDIR_OUT, "2001:db8:1::1", "2001:db8:2::2"), KXFRM_BLOCK);
    assert_int_equal(discovers(&l, KDIR_IN, "2001:db8:2::2", "2001:db8:1::1"), KXFRM_BLOCK);
    rig_drop(&l, h);
    rig_pol(&p, POLICY_PROTECT, 5, "2001:db8:1::/64", "::/0", 58, 0x8700, 0x88ff);
    h = rig_take(&l, &p);
    assert_int_equal(discovers(&l, KDIR_OUT, "2001:db8:1::1", "2001:db8:1:1::2"), KXFRM_BLOCK);
    assert_int_equal(discovers(&l, KDIR_IN, "fe80::2", "2001:db8:1::1"), KXFRM_BLOCK);
    rig_drop(&l, h);
    rig_pol(&p, POLICY_PROTECT, 5, "2001:db8:1::/64", "::/0", 58, 0x8000,
            0xffff); // and what else is no error
    h = rig_take(&l, &p);
    assert_int_equal(discovers(&l, KDIR_OUT, "2001:db8:1::1", "2001:db8:1:1::2"), KXFRM_ALLOW);
    assert_int_equal(discovers(&l, KDIR_IN, "fe80::2", "2001:db8:1::1"), KXFRM_ALLOW);
    rig_drop(&l, h);
    rig_pol(&p, POLICY_PROTECT, 5, "::/0", "::/0", 0, 0, 65535); // a link-local address is this machine's own
    h = rig_take(&l, &p);
    assert_int_equal(discovers(&l, KDIR_OUT, "fe80::1", "2001:db8:1::2"), KXFRM_ALLOW);
    assert_int_equal(discovers(&l, KDIR_IN, "2001:db8:1::2", "ff02::1:ff00:1"), KXFRM_ALLOW);
    assert_int_equal(discovers(&l, KDIR_OUT, "2001:db8:1::5", "2001:db8:1::2"), KXFRM_BLOCK);
    rig_drop(&l, h);
    rig_down(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources_remote_network_gets_a_protected_one),
        cmocka_unit_test(test_sources_virtual_address_comes_first),
        cmocka_unit_test(test_sources_everywhere_only_where_the_machine_would_take_it),
        cmocka_unit_test(test_own_ipv6_is_held_for_the_hook_and_ipv4_blocked),
        cmocka_unit_test(test_own_hook_is_asked_for_by_what_is_protected_alone),
        cmocka_unit_test(test_own_errors_about_what_the_tun_brought_have_a_protected_source),
        cmocka_unit_test(test_own_errors_are_blocked_where_there_are_no_hooks),
        cmocka_unit_test(test_own_groups_within_a_remote_selector_have_a_hook),
        cmocka_unit_test(test_own_groups_are_asked_in_the_order_of_the_policies),
        cmocka_unit_test(test_own_askers_are_kept_where_an_answer_can_go_astray),
        cmocka_unit_test(test_own_errors_by_ipv6_come_to_the_hook_from_a_protected_address_alone),
        cmocka_unit_test(test_own_ipv6_that_is_discarded_is_blocked),
        cmocka_unit_test(test_own_hook_is_put_back_and_follows_the_tun),
        cmocka_unit_test(test_own_hook_goes_at_an_orderly_end_and_what_trusts_it),
        cmocka_unit_test(test_own_ipv6_without_a_source_is_asked_about_alone),
        cmocka_unit_test(test_neighbours_are_found_behind_a_policy_that_contains_them),
        cmocka_unit_test(test_neighbours_are_none_elsewhere_and_where_they_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
