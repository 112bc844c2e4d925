// SPDX-License-Identifier: Apache-2.0
// Two espalierd whose `path` carries packets in several threads (espalierd.workers), under numbered traffic
// both ways: their SAs are rekeyed, by UDP and by raw ESP, a card goes, and `path` itself is killed. Not one
// packet is lost but by that death, none is repeated, twice on the wire or in clear. East is charon where
// ESPALIER_REKEY_EAST says so, which takes nothing that is 32 numbers late. ESPALIER_WORKERS (2);
// ESPALIER_ROUNDS: how often each child is rekeyed (3); ESPALIER_SECONDS: at least so long; ESPALIER_RATE:
// packets a second each way.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/death.h"
#include "tests/system/rekey_lab.h"

enum { RATE = 2000, CARD_RATE = 400, TEXT = 32768 };

static struct rig rig;
static struct flow_report flow;
static unsigned workers, rounds = 3, seconds, rate = RATE;

static int tear_down(void **state)
{
    (void)state;
    rig_down(&rig);
    return 0;
}

static struct rig_options options(bool encap)
{
    static char *const settings[] = {"-o", "delete_rekeyed_delay=1", NULL};
    struct rig_options o = {.settings = settings, .children = RIG_CHILDREN, .snaplen = 128};
    for (int i = 0; i < 2; i++) {
        o.side[i].conn = "rekey_time = 0";
        o.side[i].encap = encap;
        o.side[i].charon_settings = "delete_rekeyed_delay = 1\n";
    }
    return o;
}

static uint64_t counter(int side, const char *name)
{
    char out[TEXT];
    swanctl(rig_site(&rig, side), out, sizeof(out), "--counters --all --raw");
    return number_after(out, name, 0);
}

// The threads of its own that `path` has, by their name.
static unsigned threads(int side)
{
    char out[32] = "";
    sh_read(out, sizeof(out), "cat /proc/%d/task/*/comm | grep -c '^worker [0-9]'",
            (int)room_pid(rig_site(&rig, side), "path"));
    return (unsigned)strtoul(out, NULL, 10);
}

static unsigned queues(int side)
{
    char out[32] = "";
    sh_read(out, sizeof(out),
            "nsenter --net=%s ip -d link show espalier0 | sed -n 's/.* numqueues \\([0-9]*\\).*/\\1/p'",
            rig_site(&rig, side)->ns);
    return (unsigned)strtoul(out, NULL, 10);
}

static void start(const struct rig_options *o, unsigned per_second)
{
    assert_true(rig_up(&rig, "espwork", o));
    assert_true(rig_at_rest(&rig, NULL));
    assert_true(rig_flow_start(&rig, per_second, 300 + seconds));
    usleep(300000);
}

static void expect_workers(int side)
{
    assert_int_equal(threads(side), workers);
    assert_int_equal(queues(side), workers);
}

static void finish(const char *what)
{
    assert_true(rig_at_rest(&rig, NULL));
    usleep(300000);
    for (int i = 0; i < 2; i++) {
        if (rig_is_charon(i))
            continue;
        print_message("  %s: %llu handed over, %llu of them dropped; %llu left of the window\n",
                      rig_site(&rig, i)->name, (unsigned long long)counter(i, "handed_over"),
                      (unsigned long long)counter(i, "hand_full"),
                      (unsigned long long)counter(i, "drop_in_REPLAY_OLD"));
        assert_int_equal(counter(i, "drop_in_REPLAY_OLD"), 0);
    }
    assert_true(rig_flow_stop(&rig, &flow));
    flow_print(what, &flow);
    assert_true(flow_is_clean(&flow));
}

static void rekey_all(void)
{
    uint64_t end = mono_us() + seconds * 1000000ull;
    for (unsigned i = 0; i < rounds || mono_us() < end; i++)
        for (unsigned child = 0; child < RIG_CHILDREN; child++)
            assert_true(rig_rekey(&rig, (int)(i % 2), REKEY_CHILD, child));
}

// ----

static void test_udp_comes_to_the_worker_that_has_the_sa(void **state)
{
    (void)state;
    struct rig_options o = options(true);
    start(&o, rate);
    expect_workers(WEST);
    rekey_all();
    finish("in UDP, rekeyed");
    assert_true(flow.create_child >= rounds * RIG_CHILDREN);
}

static void test_raw_esp_is_handed_to_the_worker_that_has_the_sa(void **state)
{
    (void)state;
    struct rig_options o = options(false);
    start(&o, rate);
    expect_workers(WEST);
    rekey_all();
    assert_true(counter(WEST, "handed_over") > 0);
    finish("raw ESP, rekeyed");
    assert_true(flow.create_child >= rounds * RIG_CHILDREN);
}

static bool runs_on(void *ctx)
{
    char out[TEXT];
    swanctl(&rig.lab.west, out, sizeof(out), "--list-sas --raw");
    return strstr(out, ctx) != NULL;
}

static bool nothing_on_card(void *ctx)
{
    (void)ctx;
    return counter(WEST, "card_present") == 0 && !runs_on("offload=card");
}

// The card's SAs are control's; those that follow them in software, the workers'.
static void test_card_goes_under_load_and_workers_go_on(void **state)
{
    (void)state;
    struct rig_options o = options(true);
    o.card = true;
    o.side[WEST].hw_offload = "auto";
    start(&o, rate < CARD_RATE ? rate : CARD_RATE);
    for (unsigned i = 0; i < rounds; i++) {
        assert_true(wait_for(runs_on, "offload=card", PATIENCE_MS));
        rig_card_kill(&rig);
        assert_true(wait_for(nothing_on_card, NULL, PATIENCE_MS));
        assert_true(rig_at_rest(&rig, NULL)); // rekeyed at once
        assert_true(rig_card_up(&rig));
        for (unsigned child = 0; child < RIG_CHILDREN; child++)
            assert_true(rig_rekey(&rig, (int)(i % 2), REKEY_CHILD, child));
    }
    assert_int_equal(counter(WEST, "failovers"), rounds);
    finish("the card goes");
}

static bool goes_on(void *ctx)
{
    return stream_came(&rig.stream[0]) > *(uint64_t *)ctx;
}

static void test_path_dies_and_nothing_is_in_clear(void **state)
{
    (void)state;
    struct rig_options o = options(true);
    o.side[WEST].start_action = "trap";
    start(&o, rate);
    pid_t was = room_pid(&rig.lab.west, "path");
    assert_true(was > 0 && kill(was, SIGKILL) == 0);
    usleep(50000); // it is started again after 100 ms
    uint64_t came = stream_came(&rig.stream[0]);
    assert_true(death_blocks(&rig.lab.west) > 0);
    assert_true(wait_for(goes_on, &came, PATIENCE_MS));
    assert_true(room_pid(&rig.lab.west, "path") != was && death_blocks(&rig.lab.west) > 0);
    expect_workers(WEST);
    assert_true(rig_flow_stop(&rig, &flow));
    flow_print("path dies", &flow);
    assert_true(flow.lost > 0);
    assert_int_equal(flow.clear[WEST] + flow.clear[EAST], 0);
    assert_int_equal(flow.wire_repeated + flow.repeated + flow.wrong, 0);
}

static unsigned number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

#define T(name) cmocka_unit_test_teardown(name, tear_down)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        T(test_udp_comes_to_the_worker_that_has_the_sa),
        T(test_raw_esp_is_handed_to_the_worker_that_has_the_sa),
        T(test_card_goes_under_load_and_workers_go_on),
        T(test_path_dies_and_nothing_is_in_clear),
    };
    setenv("ESPALIER_WORKERS", "2", 0); // the harness passes it on
    workers = number("ESPALIER_WORKERS", 0);
    rounds = number("ESPALIER_ROUNDS", rounds);
    seconds = number("ESPALIER_SECONDS", seconds);
    rate = number("ESPALIER_RATE", rate);
    setenv("ESPALIER_REKEY_WEST", "espalierd", 1);
    setenv("ESPALIER_REKEY_EAST", "espalierd", 0);
    if (rig_is_charon(EAST) && !have_strongswan()) {
        fprintf(stderr, "missing: charon with kernel-libipsec (Debian packages strongswan-charon, "
                        "libcharon-extra-plugins)\n");
        return 3;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("several workers", tests, NULL, NULL);
}
