// SPDX-License-Identifier: Apache-2.0
// The set of kernel objects as it changes: counting, order, failure at each step, repair, and what an earlier
// run has left.
#include "tests/unit/kset_rig.h"
#include "tests/unit/no_memory.h"

#include <errno.h>
#include <string.h>

#include "ctrl/path/kset_values.h"
#include "espalier/error.h"

// ---- counting

// Two selectors that are not equal may be one object of the kernel's (P1: ports rounded to a prefix).
static void test_change_shared_object_stays_while_anyone_holds_it(void **state)
{
    struct kset_rig l;
    struct pol a, b;
    (void)state;
    rig_up(&l);
    rig_pol(&a, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/24", 17, 7000, 7999);
    rig_pol(&b, POLICY_PROTECT, 6, "10.1.0.0/16", "10.2.0.0/24", 17, 9000, 9999);
    struct kset_hold *ha = rig_take(&l, &a), *hb = rig_take(&l, &b);
    rig_drop(&l, ha);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 5, 9500), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 0, 0), KXFRM_BLOCK);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 5, 7500), 0);
    assert_true(rig_count_of(&l.m, KOBJ_ROUTE, KROUTE_TUN) >= 1);
    rig_drop(&l, hb);
    rig_down(&l);
}

static void test_change_one_key_two_values_best_rank_holds_and_the_other_returns(void **state)
{
    struct kset_rig l;
    struct pol block, pass;
    (void)state;
    rig_up(&l);
    rig_pol(&block, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&pass, POLICY_BYPASS, 2, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &block), *hp = rig_take(&l, &pass);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_ALLOW);
    rig_drop(&l, hp);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_BLOCK);
    pass.spec.rank = 5; // as good: the closed one
    hp = rig_take(&l, &pass);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_BLOCK);
    rig_drop(&l, h);
    assert_int_equal(rig_says(&l.m, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_ALLOW);
    rig_drop(&l, hp);
    rig_down(&l);
}

static void test_change_one_local_selector_one_rule_whatever_the_remotes(void **state)
{
    struct kset_rig l;
    struct pol p;
    struct kset_hold *h[50];
    (void)state;
    rig_up(&l);
    for (unsigned i = 0; i < 50; i++) {
        char remote[32];
        snprintf(remote, sizeof(remote), "10.%u.0.0/16", 100 + i);
        rig_pol(&p, POLICY_PROTECT, i, "10.1.0.0/16", remote, 0, 0, 65535);
        h[i] = rig_take(&l, &p);
    }
    assert_int_equal(rig_count_of(&l.m, KOBJ_RULE, KRULE_LOOKUP), 1);
    assert_int_equal(rig_count_of(&l.m, KOBJ_ROUTE, KROUTE_TUN), 50);
    for (unsigned i = 0; i < 50; i++)
        rig_drop(&l, h[i]);
    rig_down(&l);
}

// ---- order and failure

// At no moment of an edit is a packet of the part that stays let through.
static void test_change_edit_new_before_old(void **state)
{
    struct kset_rig l;
    struct pol old, new;
    struct kset_hold *ho, *hn;
    (void)state;
    rig_up(&l);
    rig_pol(&old, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&new, POLICY_PROTECT, 6, "10.1.0.0/16", "10.2.0.0/15", 0, 0, 65535);
    ho = rig_take(&l, &old);
    struct kernel_model replay;
    model_copy(&replay, &l.m);
    unsigned from = l.m.step_count;
    assert_int_equal(kset_change(l.s, &new.spec, &hn, 1, &ho, 1, NULL), 0);
    assert_true(l.m.step_count > from);
    for (unsigned i = from; i < l.m.step_count; i++) {
        struct kchange c = {l.m.steps[i].add, &l.m.steps[i].o, 0};
        replay.base.ops->apply(&replay.base, &c, 1, NULL);
        assert_int_equal(rig_says(&replay, KDIR_OUT, "10.1.0.1", "10.2.0.1", 6, 1, 1), KXFRM_BLOCK);
        assert_int_equal(rig_says(&replay, KDIR_IN, "10.2.0.1", "10.1.0.1", 6, 1, 1), KXFRM_BLOCK);
        assert_int_equal(rig_says(&replay, KDIR_FWD, "10.2.0.1", "10.1.0.1", 6, 1, 1), KXFRM_BLOCK);
    }
    assert_true(model_same(&replay, &l.m));
    model_free(&replay);
    rig_drop(&l, hn);
    rig_down(&l);
}

// A route never leads into the TUN, and no rule to a table, before the blocks behind it stand; and they go
// last.
static void test_change_blocks_come_first_and_go_last(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 17, 53, 53);
    struct kset_hold *h = rig_take(&l, &p);
    unsigned seen = 0, total = rig_count_of(&l.m, KOBJ_XFRM, 0), end = l.m.step_count;
    for (unsigned i = 0; i < end; i++) {
        seen += l.m.steps[i].o.kind == KOBJ_XFRM;
        if (l.m.steps[i].o.kind != KOBJ_XFRM)
            assert_int_equal(seen, total);
    }
    rig_drop(&l, h);
    for (unsigned i = end, gone = 0; i < l.m.step_count; i++) {
        gone += l.m.steps[i].o.kind == KOBJ_XFRM;
        if (l.m.steps[i].o.kind != KOBJ_XFRM)
            assert_int_equal(gone, 0);
    }
    rig_down(&l);
}

static void edit_with_failure(unsigned at, bool *reached)
{
    struct kset_rig l;
    struct pol keep, old, new[2];
    struct kset_hold *hk, *ho, *hn[2];
    struct kset_spec specs[2];
    struct kernel_model before;
    struct esp_error err = {0};
    rig_up(&l);
    rig_pol(&keep, POLICY_PROTECT, 4, "10.1.0.0/16", "10.2.0.0/16", 17, 5000, 5001);
    rig_pol(&old, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&new[0], POLICY_BYPASS, 3, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&new[1], POLICY_PROTECT, 6, "10.1.0.0/16", "10.0.0.0/8", 17, 1000, 1999);
    specs[0] = new[0].spec;
    specs[1] = new[1].spec;
    hk = rig_take(&l, &keep);
    ho = rig_take(&l, &old);
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
        rig_drop(&l, hn[0]);
        rig_drop(&l, hn[1]);
        ho = NULL;
    }
    l.m.fail_at = 0;
    if (ho)
        rig_drop(&l, ho);
    rig_drop(&l, hk);
    unsigned failed; // what could not be removed then is by now
    kset_repair(l.s, &failed);
    assert_int_equal(failed, 0);
    model_free(&before);
    rig_down(&l);
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
    struct kset_rig l;
    struct pol p;
    unsigned failed;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p);
    l.m.fail_from = l.m.asked + 1;
    l.m.fail_to = UINT32_MAX;
    rig_drop(&l, h);
    assert_true(l.m.count > 0);
    assert_true(kset_count(l.s).wrong > 0);
    l.m.fail_to = 0;
    assert_true(kset_repair(l.s, &failed) > 0);
    assert_int_equal(failed, 0);
    assert_int_equal(l.m.count, 0);
    rig_down(&l);
}

// ---- repair

static void remove_all(struct kset_rig *l, enum kobj_kind kind)
{
    for (unsigned j = l->m.count; j-- > 0;)
        if (l->m.objects[j].kind == kind)
            model_remove(&l->m, j);
}

static void test_repair_puts_back_what_others_removed(void **state)
{
    struct kset_rig l;
    struct pol p;
    struct kernel_model before;
    unsigned failed;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 17, 53, 53);
    struct kset_hold *h = rig_take(&l, &p);
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
    remove_all(&l, KOBJ_XFRM);
    assert_true(kset_notice(l.s, &(struct knotice){.kind = KNOTE_FLUSHED}));
    kset_repair(l.s, &failed);
    assert_true(model_same(&before, &l.m));
    assert_int_equal(kset_count(l.s).wrong, 0);
    model_free(&before);
    rig_drop(&l, h);
    rig_down(&l);
}

// The TUN's routes cannot be put back before it is up; what blocks behind them is, at once.
static void test_repair_while_the_tun_is_down_puts_back_all_but_its_routes(void **state)
{
    struct kset_rig l;
    struct pol p;
    struct kernel_model before;
    unsigned failed;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 17, 53, 53);
    struct kset_hold *h = rig_take(&l, &p);
    model_copy(&before, &l.m);
    remove_all(&l, KOBJ_ROUTE);
    kset_notice(l.s, &(struct knotice){.kind = KNOTE_TUN_DOWN});
    unsigned asked = l.m.asked;
    assert_int_equal(kset_repair(l.s, &failed), 0);
    assert_int_equal(failed, 0);
    assert_int_equal(l.m.asked, asked); // the kernel is not asked for what it must refuse
    remove_all(&l, KOBJ_XFRM);
    assert_true(kset_notice(l.s, &(struct knotice){.kind = KNOTE_FLUSHED}));
    assert_true(kset_repair(l.s, &failed) > 0);
    assert_int_equal(failed, 0);
    assert_int_equal(rig_count_of(&l.m, KOBJ_XFRM, 0), rig_count_of(&before, KOBJ_XFRM, 0));
    assert_int_equal(rig_count_of(&l.m, KOBJ_ROUTE, 0), 0);
    assert_true(kset_notice(l.s, &(struct knotice){.kind = KNOTE_TUN_UP}));
    assert_true(kset_repair(l.s, &failed) > 0);
    assert_true(model_same(&before, &l.m));
    model_free(&before);
    rig_drop(&l, h);
    rig_down(&l);
}

static void test_notice_of_what_is_not_held_is_nothing(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    struct kset_hold *h = rig_take(&l, &p);
    struct knotice n = {.kind = KNOTE_OBJECT, .o = l.m.objects[0]};
    n.o.src[3] ^= 1;
    assert_false(kset_notice(l.s, &n));
    rig_drop(&l, h);
    rig_down(&l);
}

// ---- another run

// The next run of a daemon that died: what it asks for again is adopted without a change, the rest stays
// until it is swept, a failed load takes nothing of it away.
static void test_next_run_adopts_what_it_finds_and_sweeps_the_rest(void **state)
{
    struct kset_rig l;
    struct pol a, b, gone;
    struct esp_error err;
    struct kset_hold *h;
    (void)state;
    rig_up(&l);
    rig_pol(&a, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&gone, POLICY_PROTECT, 6, "10.5.0.0/16", "10.6.0.0/16", 0, 0, 65535);
    rig_take(&l, &a);
    rig_take(&l, &gone);
    struct kernel_model left;
    model_copy(&left, &l.m);
    left.fail_rc = -ENOSPC;
    struct kset *next;
    assert_int_equal(kset_open(&next, &left.base, &rig_options, NULL), 0); // the first one was killed
    assert_true(kset_count(next).found > 0);
    // a load that fails
    rig_pol(&b, POLICY_BYPASS, 1, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    left.fail_at = 3;
    assert_int_equal(kset_change(next, &b.spec, &h, 1, NULL, 0, &err), -ENOSPC);
    assert_true(model_same(&left, &l.m));
    left.fail_at = left.asked = 0;
    // one that is what was there
    assert_int_equal(kset_change(next, &a.spec, &h, 1, NULL, 0, &err), 0);
    assert_int_equal(left.asked, 0);
    assert_int_equal(rig_says(&left, KDIR_OUT, "10.5.0.1", "10.6.0.1", 17, 1, 1), KXFRM_BLOCK);
    assert_true(kset_sweep(next) >= 5);
    assert_int_equal(rig_says(&left, KDIR_OUT, "10.5.0.1", "10.6.0.1", 17, 1, 1), 0);
    assert_int_equal(rig_says(&left, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 1, 1), KXFRM_BLOCK);
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
    struct kset_rig l;
    struct pol old, new;
    struct kset_hold *h;
    struct kset *next;
    struct kernel_model left;
    (void)state;
    rig_up(&l);
    rig_pol(&old, POLICY_BYPASS, 1, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&new, POLICY_PROTECT, 9, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_take(&l, &old);
    model_copy(&left, &l.m);
    assert_int_equal(kset_open(&next, &left.base, &rig_options, NULL), 0);
    assert_int_equal(kset_change(next, &new.spec, &h, 1, NULL, 0, NULL), 0);
    assert_int_equal(rig_says(&left, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 1, 1), KXFRM_BLOCK);
    kset_close(next, false);
    assert_int_equal(left.count, 0);
    model_free(&left);
    kset_close(l.s, false);
    model_free(&l.m);
}

// An earlier run's bypass that this run's first load asks for and its second takes away: what it let by is
// protected from then on, not when the rest is swept.
static void test_next_run_bypass_adopted_and_dropped_is_gone_at_once(void **state)
{
    struct kset_rig l;
    struct pol pass, net;
    struct kset_hold *first[2], *second;
    struct kset *next;
    struct kernel_model left;
    (void)state;
    rig_up(&l);
    rig_pol(&pass, POLICY_BYPASS, 1, "10.1.0.0/16", "10.2.0.0/16", 17, 7100, 7199);
    rig_pol(&net, POLICY_PROTECT, 9, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_take(&l, &pass);
    rig_take(&l, &net);
    model_copy(&left, &l.m);
    assert_int_equal(kset_open(&next, &left.base, &rig_options, NULL), 0);
    const struct kset_spec both[] = {pass.spec, net.spec};
    assert_int_equal(kset_change(next, both, first, 2, NULL, 0, NULL), 0);
    assert_int_equal(rig_says(&left, KDIR_FWD, "10.2.0.1", "10.1.0.1", 17, 7100, 7100), KXFRM_ALLOW);
    assert_int_equal(kset_change(next, &net.spec, &second, 1, first, 2, NULL), 0);
    assert_int_equal(rig_says(&left, KDIR_FWD, "10.2.0.1", "10.1.0.1", 17, 7100, 7100), KXFRM_BLOCK);
    assert_int_equal(rig_says(&left, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, 7100, 7100), KXFRM_BLOCK);
    kset_close(next, false);
    assert_int_equal(left.count, 0);
    model_free(&left);
    kset_close(l.s, false);
    model_free(&l.m);
}

// An earlier run's bypass that no file names any more: where it lets by what this run protects, it goes with
// that load and not when the rest is swept; where it does not, it stays until then.
static void test_next_run_bypass_of_nobody_ends_where_something_wider_is_protected(void **state)
{
    static const char *const in[] = {"10.2.7.1", "10.1.3.1"}, *const beside[] = {"10.2.8.1", "10.1.3.1"};
    struct kset_rig l;
    struct pol pass, other, net;
    struct kset_hold *h;
    struct kset *next;
    struct kernel_model left;
    (void)state;
    rig_up(&l);
    rig_pol(&pass, POLICY_BYPASS, 1, "10.1.3.0/24", "10.2.7.0/24", 17, 7100, 7100);
    rig_pol(&other, POLICY_BYPASS, 1, "10.1.3.0/24", "10.2.8.0/24", 17, 7100, 7100);
    rig_pol(&net, POLICY_PROTECT, 9, "10.1.0.0/16", "10.2.0.0/21", 0, 0, 65535);
    rig_take(&l, &pass);
    rig_take(&l, &other);
    model_copy(&left, &l.m);
    assert_int_equal(kset_open(&next, &left.base, &rig_options, NULL), 0);
    unsigned found = kset_count(next).found;
    assert_int_equal(kset_change(next, &net.spec, &h, 1, NULL, 0, NULL), 0);
    assert_int_equal(rig_says(&left, KDIR_OUT, in[1], in[0], 17, 7100, 7100), KXFRM_BLOCK);
    assert_int_equal(rig_says(&left, KDIR_FWD, in[0], in[1], 17, 7100, 7100), KXFRM_BLOCK);
    assert_int_equal(rig_says(&left, KDIR_IN, in[0], in[1], 17, 7100, 7100), KXFRM_BLOCK);
    assert_int_equal(rig_says(&left, KDIR_OUT, beside[1], beside[0], 17, 7100, 7100), KXFRM_ALLOW);
    assert_int_equal(rig_says(&left, KDIR_FWD, beside[0], beside[1], 17, 7100, 7100), KXFRM_ALLOW);
    assert_int_equal(kset_count(next).found, found / 2);
    kset_sweep(next);
    assert_int_equal(rig_says(&left, KDIR_OUT, beside[1], beside[0], 17, 7100, 7100), 0);
    assert_int_equal(rig_says(&left, KDIR_OUT, in[1], in[0], 17, 7100, 7100), KXFRM_BLOCK);
    kset_close(next, false);
    assert_int_equal(left.count, 0);
    model_free(&left);
    kset_close(l.s, false);
    model_free(&l.m);
}

// One that stands behind the new policy anyway lets nothing of it by; it may still be loaded again.
static void test_next_run_bypass_behind_what_is_protected_stays(void **state)
{
    struct kset_rig l;
    struct pol pass, net;
    struct kset_hold *h;
    struct kset *next;
    struct kernel_model left;
    (void)state;
    rig_up(&l);
    rig_pol(&pass, POLICY_BYPASS, 9, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&net, POLICY_PROTECT, 1, "10.1.3.0/24", "10.2.7.0/24", 0, 0, 65535);
    rig_take(&l, &pass);
    model_copy(&left, &l.m);
    assert_int_equal(kset_open(&next, &left.base, &rig_options, NULL), 0);
    assert_int_equal(kset_change(next, &net.spec, &h, 1, NULL, 0, NULL), 0);
    assert_int_equal(rig_says(&left, KDIR_OUT, "10.1.3.1", "10.2.7.1", 17, 1, 1), KXFRM_BLOCK);
    assert_int_equal(rig_says(&left, KDIR_OUT, "10.1.4.1", "10.2.7.1", 17, 1, 1), KXFRM_ALLOW);
    kset_sweep(next);
    kset_close(next, false);
    assert_int_equal(left.count, 0);
    model_free(&left);
    kset_close(l.s, false);
    model_free(&l.m);
}

static void test_close_leaving_keeps_blocks_alone(void **state)
{
    struct kset_rig l;
    struct pol p;
    (void)state;
    rig_up(&l);
    rig_pol(&p, POLICY_PROTECT, 5, "10.1.0.0/16", "0.0.0.0/0", 17, 53, 53);
    rig_take(&l, &p);
    unsigned blocks = rig_count_of(&l.m, KOBJ_XFRM, 0);
    kset_close(l.s, true);
    assert_int_equal(l.m.count, blocks);
    model_free(&l.m);
}

// What it had no memory to find would go with a policy that asks for the same object, or let something by
// that is protected.
static void test_next_run_knows_all_that_is_left_or_does_not_begin(void **state)
{
    (void)state;
    struct kset_rig l;
    struct pol pass, net;
    struct kset *next;
    struct kernel_model left;
    unsigned n = 1, found, refused = 0;
    rig_up(&l);
    rig_pol(&pass, POLICY_BYPASS, 1, "10.1.0.0/16", "10.2.0.0/16", 17, 7100, 7199);
    rig_pol(&net, POLICY_PROTECT, 9, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_take(&l, &pass);
    rig_take(&l, &net);
    model_copy(&left, &l.m);
    assert_int_equal(kset_open(&next, &left.base, &rig_options, NULL), 0);
    found = kset_count(next).found;
    kset_close(next, true);
    for (bool failed = true; failed && n < 1000; n++) {
        struct esp_error err = {0};
        no_memory_at(n);
        int rc = kset_open(&next, &left.base, &rig_options, &err);
        failed = no_memory_end();
        refused += rc == -ENOMEM;
        assert_true(rc == 0 || (rc == -ENOMEM && err.text[0]));
        if (rc == 0) {
            assert_int_equal(kset_count(next).found, found);
            kset_close(next, true);
        }
        assert_true(model_same(&left, &l.m));
    }
    assert_true(n < 1000 && refused >= found);
    model_free(&left);
    kset_close(l.s, false);
    model_free(&l.m);
}

// ---- a later life of the same run

struct two_lives {
    struct kset_rig first;
    struct kernel_model left;
    struct kset *next;
};

// The first one is killed with both in force.
static void live_again(struct two_lives *l, const struct pol *a, const struct pol *b)
{
    struct kset_options o = rig_options;
    o.follows = true;
    rig_up(&l->first);
    rig_take(&l->first, a);
    rig_take(&l->first, b);
    model_copy(&l->left, &l->first.m);
    assert_int_equal(kset_open(&l->next, &l->left.base, &o, NULL), 0);
}

static struct kset_hold *take_again(struct two_lives *l, const struct pol *p)
{
    struct kset_hold *h;
    assert_int_equal(kset_change(l->next, &p->spec, &h, 1, NULL, 0, NULL), 0);
    return h;
}

static void drop_again(struct two_lives *l, struct kset_hold *h)
{
    assert_int_equal(kset_change(l->next, NULL, NULL, 0, &h, 1, NULL), 0);
}

static int says_again(const struct two_lives *l, uint16_t port)
{
    int out = rig_says(&l->left, KDIR_OUT, "10.1.0.1", "10.2.0.1", 17, port, port);
    assert_int_equal(rig_says(&l->left, KDIR_FWD, "10.2.0.1", "10.1.0.1", 17, port, port), out);
    assert_int_equal(rig_says(&l->left, KDIR_IN, "10.2.0.1", "10.1.0.1", 17, port, port), out);
    return out;
}

static void end_again(struct two_lives *l)
{
    kset_close(l->next, false);
    assert_int_equal(l->left.count, 0);
    model_free(&l->left);
    kset_close(l->first.s, false);
    model_free(&l->first.m);
}

// Of two policies with one object the second is not here yet when the first is unloaded.
static void test_next_life_what_was_blocked_blocks_on_until_all_are_there(void **state)
{
    (void)state;
    struct two_lives l;
    struct pol x, y;
    rig_pol(&x, POLICY_PROTECT, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&y, POLICY_DISCARD, 6, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    live_again(&l, &x, &y);
    drop_again(&l, take_again(&l, &y));
    assert_int_equal(says_again(&l, 7), KXFRM_BLOCK);
    struct kset_hold *h = take_again(&l, &x);
    kset_guard_no_more(l.next);
    assert_int_equal(says_again(&l, 7), KXFRM_BLOCK);
    drop_again(&l, h); // as in a first life
    assert_int_equal(says_again(&l, 7), 0);
    end_again(&l);
}

// One bypass has hidden a block of a policy that is not here yet: taken away it leaves one.
static void test_next_life_bypass_that_goes_leaves_a_block_until_all_are_there(void **state)
{
    (void)state;
    for (int asked = 0; asked < 2; asked++) {
        struct two_lives l;
        struct pol pass, net;
        rig_pol(&pass, POLICY_BYPASS, 1, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
        rig_pol(&net, POLICY_PROTECT, 9, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
        live_again(&l, &pass, &net);
        assert_int_equal(says_again(&l, 7), KXFRM_ALLOW); // until somebody wants something else
        if (asked)
            drop_again(&l, take_again(&l, &pass));
        else
            kset_close_lets(l.next);
        assert_int_equal(says_again(&l, 7), KXFRM_BLOCK);
        struct kset_hold *h = take_again(&l, &pass); // it is loaded again
        assert_int_equal(says_again(&l, 7), KXFRM_ALLOW);
        drop_again(&l, h);
        take_again(&l, &net);
        kset_guard_no_more(l.next);
        kset_sweep(l.next);
        assert_int_equal(says_again(&l, 7), KXFRM_BLOCK);
        end_again(&l);
    }
}

// What was closed and is asked for only when all are there ends with its last hold, though nobody sweeps.
static void test_next_life_bypass_loaded_when_all_are_there_leaves_no_block(void **state)
{
    (void)state;
    struct two_lives l;
    struct pol pass, other;
    rig_pol(&pass, POLICY_BYPASS, 1, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    rig_pol(&other, POLICY_PROTECT, 9, "10.3.0.0/16", "10.4.0.0/16", 0, 0, 65535);
    live_again(&l, &pass, &other);
    kset_close_lets(l.next);
    take_again(&l, &other);
    kset_guard_no_more(l.next);
    struct kset_hold *h = take_again(&l, &pass);
    assert_int_equal(says_again(&l, 7), KXFRM_ALLOW);
    drop_again(&l, h);
    assert_int_equal(says_again(&l, 7), 0);
    end_again(&l);
}

// Neighbour discovery is nobody's to block.
static void test_next_life_what_is_of_one_link_is_let_by_all_the_time(void **state)
{
    (void)state;
    struct two_lives l;
    struct pol x, y;
    rig_pol(&x, POLICY_PROTECT, 5, "2001:db8:1::/48", "::/0", 0, 0, 65535);
    rig_pol(&y, POLICY_PROTECT, 6, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    live_again(&l, &x, &y);
    kset_close_lets(l.next);
    assert_int_equal(rig_says(&l.left, KDIR_OUT, "2001:db8:1::1", "ff02::1:ff00:1", 58, 135, 0), KXFRM_ALLOW);
    drop_again(&l, take_again(&l, &x));
    assert_int_equal(rig_says(&l.left, KDIR_OUT, "2001:db8:1::1", "ff02::1:ff00:1", 58, 135, 0), KXFRM_ALLOW);
    kset_guard_no_more(l.next);
    kset_sweep(l.next);
    end_again(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_change_shared_object_stays_while_anyone_holds_it),
        cmocka_unit_test(test_change_one_key_two_values_best_rank_holds_and_the_other_returns),
        cmocka_unit_test(test_change_one_local_selector_one_rule_whatever_the_remotes),
        cmocka_unit_test(test_change_edit_new_before_old),
        cmocka_unit_test(test_change_blocks_come_first_and_go_last),
        cmocka_unit_test(test_change_failure_at_each_step_changes_nothing),
        cmocka_unit_test(test_change_object_that_cannot_be_removed_is_tried_again),
        cmocka_unit_test(test_repair_puts_back_what_others_removed),
        cmocka_unit_test(test_repair_while_the_tun_is_down_puts_back_all_but_its_routes),
        cmocka_unit_test(test_notice_of_what_is_not_held_is_nothing),
        cmocka_unit_test(test_next_run_adopts_what_it_finds_and_sweeps_the_rest),
        cmocka_unit_test(test_next_run_knows_all_that_is_left_or_does_not_begin),
        cmocka_unit_test(test_next_life_what_was_blocked_blocks_on_until_all_are_there),
        cmocka_unit_test(test_next_life_bypass_that_goes_leaves_a_block_until_all_are_there),
        cmocka_unit_test(test_next_life_bypass_loaded_when_all_are_there_leaves_no_block),
        cmocka_unit_test(test_next_life_what_is_of_one_link_is_let_by_all_the_time),
        cmocka_unit_test(test_next_run_new_action_holds_at_once),
        cmocka_unit_test(test_next_run_bypass_adopted_and_dropped_is_gone_at_once),
        cmocka_unit_test(test_next_run_bypass_of_nobody_ends_where_something_wider_is_protected),
        cmocka_unit_test(test_next_run_bypass_behind_what_is_protected_stays),
        cmocka_unit_test(test_close_leaving_keeps_blocks_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
