// SPDX-License-Identifier: Apache-2.0
// The kernel's objects over a run of path, against a kernel in memory that says nothing by itself: what it
// did not do is tried again; what an earlier run left stays until ctl says that the configuration is taken.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/netlink.h"
#include "ctrl/path/path.h"
#include "tests/unit/kset_rig.h"

enum { SECOND = 1000 };

static struct kernel_model kernel;
static struct settings settings;
static struct child_env env;
static struct path path;
static uint64_t now_ms;
static char said[4000];

int netlink_kernel_open(struct kernel **out, const struct netlink_options *o, struct esp_error *err)
{
    (void)o;
    (void)err;
    *out = &kernel.base;
    return 0;
}

static const struct policy *later;

const struct policy *spd_later(const struct path *p)
{
    (void)p;
    return later;
}

void vti_addresses(struct path *p)
{
    (void)p;
}

void kernel_esp_again(struct path *p)
{
    (void)p;
}

void kernel_esp_beside(struct path *p, struct policy *pol)
{
    (void)p, (void)pol;
}

unsigned vti_sweep(struct path *p)
{
    (void)p;
    return 0;
}

static uint64_t virtual_now(void *ctx)
{
    (void)ctx;
    return now_ms * 1000;
}

static void note(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                 const char *text)
{
    (void)ctx, (void)s, (void)level, (void)ike_name, (void)ike_id;
    size_t n = strlen(said);
    snprintf(said + n, sizeof(said) - n, "%s\n", text);
}

static void pass(uint64_t ms)
{
    now_ms += ms;
    for (int i = 0; i < 10; i++)
        loop_once(path.loop, 0);
}

static struct knotice news;
static struct kernel_ops ops;

static void give_news(struct kernel *k, void (*each)(void *ctx, const struct knotice *n), void *ctx)
{
    (void)k;
    each(ctx, &news);
}

static bool follows; // another path, that died

static void start(void)
{
    struct esp_error err = {0};
    memset(&path, 0, sizeof(path));
    path.lacks = follows;
    path.env = &env;
    path.set = settings;
    path.loop = loop_new();
    loop_set_clock(path.loop, (struct clock){virtual_now, NULL});
    if (kernel_watch_open(&path, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
}

static void end(void)
{
    kernel_watch_close(&path);
    loop_free(path.loop);
}

static int set_up(void **state)
{
    (void)state;
    settings_default(&settings);
    env = (struct child_env){.settings = &settings};
    model_open(&kernel);
    ops = *kernel.base.ops;
    ops.notices = give_news;
    kernel.base.ops = &ops;
    kernel.base.fd = -1;
    now_ms = 1000;
    said[0] = 0;
    follows = false;
    start();
    log_set_sink(note, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    end();
    log_set_sink(NULL, NULL);
    model_free(&kernel);
    return 0;
}

struct one {
    struct pol p;
    _Alignas(struct policy) uint8_t room[sizeof(struct policy) + 2 * sizeof(struct ts)]; // it ends with them
};

static struct policy *policy_of(struct one *o)
{
    return (struct policy *)(void *)o->room;
}

static void fill(struct one *o, uint8_t action)
{
    struct policy *pol = policy_of(o);
    *pol = (struct policy){.action = action, .local_count = 1, .remote_count = 1};
    pol->ts[0] = o->p.l.t[0];
    pol->ts[1] = o->p.r.t[0];
}

static void put(struct one *o, uint8_t action, const char *l, const char *r)
{
    struct policy *pol = policy_of(o), *list[] = {pol};
    struct esp_error err = {0};
    rig_pol(&o->p, action, 5, l, r, 0, 0, 65535);
    fill(o, action);
    if (policy_kernel(&path, (struct policies){0}, (struct policies){list, 1}, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
}

static void take_away(struct one *o)
{
    struct policy *list[] = {policy_of(o)};
    struct esp_error err;
    assert_int_equal(policy_kernel(&path, (struct policies){list, 1}, (struct policies){0}, &err), 0);
}

static void fails(unsigned from, unsigned times, int rc)
{
    kernel.fail_from = kernel.asked + from;
    kernel.fail_to = kernel.fail_from + times;
    kernel.fail_rc = rc;
}

static int out_says(const char *src, const char *dst)
{
    return rig_says(&kernel, KDIR_OUT, src, dst, 17, 1, 1);
}

// ---- what the kernel did not do

static void test_removal_that_fails_is_tried_again_though_nobody_says_anything(void **state)
{
    static struct one o;
    (void)state;
    put(&o, POLICY_BYPASS, "10.1.0.0/16", "10.2.0.0/16");
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_ALLOW);
    fails(1, 100, -ENOBUFS);
    take_away(&o);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_ALLOW); // it was refused
    fails(0, 0, 0);
    pass(50);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), 0);
    assert_int_equal(kset_count(path.kset).wrong, 0);
}

static void test_removal_that_fails_for_long_is_tried_each_second(void **state)
{
    static struct one o;
    (void)state;
    put(&o, POLICY_BYPASS, "10.1.0.0/16", "10.2.0.0/16");
    fails(1, 100000, -ENOBUFS);
    take_away(&o);
    pass(50);
    pass(SECOND);
    pass(SECOND);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_ALLOW);
    fails(0, 0, 0);
    pass(SECOND);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), 0);
}

// The kernel did what path gave up: it does not stay because nobody knows of it.
static void test_addition_that_nobody_answered_does_not_stay(void **state)
{
    static struct one o, other;
    struct policy *list[] = {policy_of(&o)};
    struct esp_error err = {0};
    (void)state;
    put(&other, POLICY_PROTECT, "10.5.0.0/16", "10.6.0.0/16");
    kernel_watch_sweep(&path, &(struct msg_SWEEP){0});
    unsigned before = kernel.count;
    rig_pol(&o.p, POLICY_BYPASS, 5, "10.1.0.0/16", "10.2.0.0/16", 0, 0, 65535);
    fill(&o, POLICY_BYPASS);
    kernel.fail_does = true;
    fails(1, 1, -EAGAIN);
    assert_true(policy_kernel(&path, (struct policies){0}, (struct policies){list, 1}, &err) < 0);
    pass(50);
    assert_int_equal(kernel.count, before);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), 0);
    assert_int_equal(out_says("10.5.0.1", "10.6.0.1"), KXFRM_BLOCK);
    take_away(&other);
}

static void test_look_at_everything_that_fails_is_tried_again(void **state)
{
    static struct one o;
    (void)state;
    put(&o, POLICY_PROTECT, "10.1.0.0/16", "10.2.0.0/16");
    kernel.count = 0; // somebody; and the notices of it were lost
    kernel.dump_rc = -EAGAIN;
    kset_notice(path.kset, &(struct knotice){.kind = KNOTE_LOST});
    kernel_watch_changed(&path);
    pass(50);
    kernel.dump_rc = 0;
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), 0);
    pass(SECOND);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_BLOCK);
    take_away(&o);
}

static void test_tun_that_is_gone_ends_path(void **state)
{
    (void)state;
    news = (struct knotice){.kind = KNOTE_TUN_DOWN};
    path.watch.fd.ready(&path.watch.fd, 0);
    assert_int_equal(path.status, 0);
    news = (struct knotice){.kind = KNOTE_TUN_GONE}; // moved to another namespace: nothing else would say so
    path.watch.fd.ready(&path.watch.fd, 0);
    assert_int_equal(path.status, PATH_MISSING);
    assert_non_null(strstr(said, "is gone; what is protected stays blocked"));
    assert_int_equal(loop_run(path.loop), 0); // it has been stopped
}

// ---- notices that were lost

static int tun; // what tun_state says

static int tun_state(struct kernel *k)
{
    (void)k;
    return tun;
}

static void lose(int state)
{
    ops.tun_state = tun_state;
    tun = state;
    news = (struct knotice){.kind = KNOTE_LOST};
    path.watch.fd.ready(&path.watch.fd, 0);
    pass(50);
}

static void test_tun_is_looked_at_when_notices_were_lost(void **state)
{
    (void)state;
    lose(0); // that it was set down
    assert_true(path.watch.tun_down);
    assert_non_null(strstr(said, "was set down: what goes through it stays blocked"));
    said[0] = 0;
    lose(0);
    assert_string_equal(said, "");
    lose(1); // that it was set up: its routes must not be waited with for ever
    assert_false(path.watch.tun_down);
    tun = 0;
    pass(10 * SECOND); // nothing more is asked without a notice
    assert_false(path.watch.tun_down);
}

static void test_tun_that_cannot_be_looked_at_is_looked_at_again(void **state)
{
    (void)state;
    lose(-ENOBUFS);
    assert_false(path.watch.tun_down);
    tun = 0;
    pass(SECOND);
    assert_true(path.watch.tun_down);
}

static void test_tun_that_has_gone_unnoticed_ends_path(void **state)
{
    (void)state;
    lose(-ENODEV);
    assert_int_equal(path.status, PATH_MISSING);
    assert_non_null(strstr(said, "is gone; what is protected stays blocked"));
}

// ---- addresses that go on moving

static int (*kernel_addresses)(struct kernel *k, void (*each)(void *ctx, const struct addr *a, uint8_t len),
                               void *ctx);
static unsigned reads; // of all addresses
static uint64_t cost;  // ms that each takes

static int slow_addresses(struct kernel *k, void (*each)(void *ctx, const struct addr *a, uint8_t len),
                          void *ctx)
{
    reads++;
    now_ms += cost;
    return kernel_addresses(k, each, ctx);
}

static void test_addresses_that_go_on_moving_take_a_tenth_of_the_time(void **state)
{
    (void)state;
    kernel_addresses = ops.addresses;
    ops.addresses = slow_addresses;
    news = (struct knotice){.kind = KNOTE_ADDRESSES};
    for (cost = 0; cost <= 3; cost += 3) {
        reads = 0;
        for (uint64_t end_ms = now_ms + SECOND; now_ms < end_ms;) {
            path.watch.fd.ready(&path.watch.fd, 0);
            pass(1);
        }
        if (cost == 0)
            assert_in_range(reads, 90, 110); // each 10 ms
        else
            assert_in_range(reads, 25, 34); // 3 ms in each 33
    }
    pass(SECOND);
    reads = 0; // the next one after a while is answered as soon as the first
    path.watch.fd.ready(&path.watch.fd, 0);
    pass(10);
    assert_int_equal(reads, 1);
}

// block_on_exit = no is for an orderly end: one that the supervisor calls so, and in which path has not
// failed.
static void test_what_blocks_goes_at_an_orderly_end_alone(void **state)
{
    (void)state;
    static struct one o;
    enum { ORDERLY, TUN_GONE, ANOTHER_FAILED, CASES };
    for (int how = ORDERLY; how < CASES; how++) {
        put(&o, POLICY_PROTECT, "10.1.0.0/16", "10.2.0.0/16");
        path.set.block_on_exit = false;
        news = (struct knotice){.kind = KNOTE_TUN_GONE};
        path.orderly = how != ANOTHER_FAILED;
        if (how == TUN_GONE)
            path.watch.fd.ready(&path.watch.fd, 0);
        end();
        int says = out_says("10.1.0.1", "10.2.0.1");
        start(); // for tear_down
        assert_int_equal(says, how == ORDERLY ? 0 : KXFRM_BLOCK);
    }
}

// ---- an earlier run

static void leave_behind(void)
{
    static struct one x, y;
    put(&x, POLICY_PROTECT, "10.1.0.0/16", "10.2.0.0/16");
    put(&y, POLICY_PROTECT, "10.1.0.0/16", "10.3.0.0/16");
    end();
    start();
}

static void sweep(const char *held, unsigned awaited)
{
    struct msg_SWEEP m = {.awaited = awaited};
    snprintf(m.held, sizeof(m.held), "%s", held);
    kernel_watch_sweep(&path, &m);
    pass(60 * SECOND);
}

static void test_what_an_earlier_run_left_stays_until_ctl_says_otherwise(void **state)
{
    static struct one y;
    (void)state;
    leave_behind();
    put(&y, POLICY_PROTECT, "10.1.0.0/16", "10.3.0.0/16");
    pass(60 * SECOND);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_BLOCK);
    sweep("x", 1);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_BLOCK);
    assert_non_null(strstr(said, "stays blocked, until connection 'x' is loaded or taken out"));
    said[0] = 0;
    sweep("x", 1);
    assert_string_equal(said, ""); // once
    sweep("", 0);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), 0);
    assert_int_equal(out_says("10.1.0.1", "10.3.0.1"), KXFRM_BLOCK);
    assert_non_null(strstr(said, "not configured any more, removed"));
    take_away(&y);
}

static void test_sweep_that_the_kernel_refuses_is_tried_again(void **state)
{
    (void)state;
    leave_behind();
    fails(1, 100, -ENOBUFS);
    kernel_watch_sweep(&path, &(struct msg_SWEEP){0});
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_BLOCK);
    fails(0, 0, 0);
    pass(50);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), 0);
}

// A pool that was refused, an uplink that is not there yet: the earlier run's blocks alone stand there.
static void test_sweep_waits_until_all_is_known_that_is_loaded(void **state)
{
    (void)state;
    static struct policy_whole roads = {.conn = "roads", .child = "net"};
    static const struct policy unknown = {.whole = &roads};
    leave_behind();
    later = &unknown;
    sweep("", 0);
    assert_non_null(strstr(said, "until all addresses of connection 'roads' are known"));
    said[0] = 0;
    pass(60 * SECOND);
    assert_string_equal(said, ""); // once
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_BLOCK);
    later = NULL;
    pass(SECOND);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), 0);
    assert_non_null(strstr(said, "not configured any more, removed"));
}

// What ctl has said counts once ike has said that nothing is missing.
static void test_next_life_sweeps_when_all_policies_are_there(void **state)
{
    static struct one y;
    (void)state;
    follows = true;
    leave_behind();
    put(&y, POLICY_PROTECT, "10.1.0.0/16", "10.3.0.0/16");
    sweep("", 0);
    take_away(&y); // it is unloaded, and another one may be about the same
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_BLOCK);
    assert_int_equal(out_says("10.1.0.1", "10.3.0.1"), KXFRM_BLOCK);
    path.lacks = false;
    kernel_watch_whole(&path);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), 0);
    assert_int_equal(out_says("10.1.0.1", "10.3.0.1"), 0);
}

static void test_next_life_closes_what_was_let_by_when_something_else_is_loaded(void **state)
{
    static struct one x, y;
    (void)state;
    put(&x, POLICY_BYPASS, "10.1.0.0/16", "10.2.0.0/16");
    put(&y, POLICY_BYPASS, "10.1.0.0/16", "10.3.0.0/16");
    end();
    follows = true;
    start();
    put(&x, POLICY_BYPASS, "10.1.0.0/16", "10.2.0.0/16");
    assert_int_equal(out_says("10.1.0.1", "10.3.0.1"), KXFRM_ALLOW);
    kernel_watch_edited(&path);
    assert_int_equal(out_says("10.1.0.1", "10.2.0.1"), KXFRM_ALLOW);
    assert_int_equal(out_says("10.1.0.1", "10.3.0.1"), KXFRM_BLOCK);
    path.lacks = false;
    kernel_watch_whole(&path);
    take_away(&x);
}

static void test_nothing_is_said_where_an_earlier_run_left_nothing(void **state)
{
    (void)state;
    sweep("x", 1);
    sweep("", 0);
    assert_string_equal(said, "");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_removal_that_fails_is_tried_again_though_nobody_says_anything),
        T(test_removal_that_fails_for_long_is_tried_each_second),
        T(test_addition_that_nobody_answered_does_not_stay),
        T(test_look_at_everything_that_fails_is_tried_again),
        T(test_tun_that_is_gone_ends_path),
        T(test_tun_is_looked_at_when_notices_were_lost),
        T(test_tun_that_cannot_be_looked_at_is_looked_at_again),
        T(test_tun_that_has_gone_unnoticed_ends_path),
        T(test_addresses_that_go_on_moving_take_a_tenth_of_the_time),
        T(test_what_blocks_goes_at_an_orderly_end_alone),
        T(test_what_an_earlier_run_left_stays_until_ctl_says_otherwise),
        T(test_sweep_that_the_kernel_refuses_is_tried_again),
        T(test_sweep_waits_until_all_is_known_that_is_loaded),
        T(test_next_life_sweeps_when_all_policies_are_there),
        T(test_next_life_closes_what_was_let_by_when_something_else_is_loaded),
        T(test_nothing_is_said_where_an_earlier_run_left_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
