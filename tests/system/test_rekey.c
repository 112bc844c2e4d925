// SPDX-License-Identifier: Apache-2.0
// Rekeying as its users meet it: 2,000 numbered packets a second each way while SAs are replaced, by either
// end or both, and not one of them lost, repeated or in clear; afterwards one IKE SA and one CHILD SA per
// child, the same at both ends. Argument: `short` (what `make check` runs), `long`, or a test's name.
// ESPALIER_ROUNDS: rekeys of each kind and side. Who stands where: see rekey_lab.h.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/rekey_lab.h"

enum { RATE = 2000, LOSSY_ROUNDS = 20 };

static struct rig rig;
static struct flow_report flow;
static struct vici_sas before[2], after[2];
static unsigned rounds = 5, seed;

// what was rekeyed is kept for 5 s unless told otherwise
static char *const settings[] = {"-o", "delete_rekeyed_delay=1", NULL};
#define CHARON_SETTINGS "delete_rekeyed_delay = 1\n make_before_break = yes\n"

static int tear_down(void **state)
{
    (void)state;
    rig_down(&rig);
    return 0;
}

static struct rig_options options(void)
{
    struct rig_options o = {.settings = settings};
    for (int i = 0; i < 2; i++) {
        o.side[i].conn = "rekey_time = 0";
        o.side[i].charon_settings = CHARON_SETTINGS;
    }
    return o;
}

static void start(const struct rig_options *o)
{
    assert_true(rig_up(&rig, "esprekey", o));
    assert_true(rig_at_rest(&rig, before));
    assert_true(rig_flow_start(&rig, RATE, 900));
    usleep(300000);
}

// The rekeys were rekeys: no IKE_SA_INIT, no IKE_AUTH, but CREATE_CHILD_SA.
static void finish_by(bool (*judge)(struct rig *r, struct vici_sas at[2]), const char *what,
                      uint64_t least_create_child)
{
    bool rest = judge(&rig, after);
    usleep(300000);
    assert_true(rig_flow_stop(&rig, &flow));
    flow_print(what, &flow);
    assert_true(rest);
    assert_true(flow_is_clean(&flow));
    assert_int_equal(flow.init + flow.auth, 0);
    assert_true(flow.create_child >= least_create_child);
}

static void finish(const char *what, uint64_t least_create_child)
{
    finish_by(rig_at_rest, what, least_create_child);
}

// Of an espalierd: charon by kernel-libipsec has no policy where it has no SA.
static void nothing_in_clear(void)
{
    for (int i = 0; i < 2; i++)
        assert_true(rig_is_charon(i) || !flow.clear[i]);
}

static void pause_all(bool on)
{
    for (unsigned i = 0; i < rig.streams; i++)
        stream_pause(&rig.stream[i], on);
}

static bool all_go_on(void *ctx)
{
    const uint64_t *came = ctx;
    for (unsigned i = 0; i < rig.streams; i++)
        if (stream_came(&rig.stream[i]) <= came[i])
            return false;
    return true;
}

// Something has come by each SA before the next one takes its place, however late the sender is.
static void each_side_rekeys(enum rekey what, unsigned times)
{
    uint64_t came[sizeof(rig.stream) / sizeof(rig.stream[0])];
    for (unsigned i = 0; i < 2 * times; i++) {
        assert_true(rig_rekey(&rig, (int)(i % 2), what, 0));
        for (unsigned s = 0; s < rig.streams; s++)
            came[s] = stream_came(&rig.stream[s]);
        assert_true(wait_for(all_go_on, came, PATIENCE_MS));
    }
}

static bool same_ike_sa(void)
{
    return before[WEST].sa[0].spi_i == after[WEST].sa[0].spi_i;
}

static bool same_child(const char *name)
{
    const struct vici_child *a = installed(&before[WEST], name), *b = installed(&after[WEST], name);
    return a && b && a->spi_in == b->spi_in && a->spi_out == b->spi_out;
}

// ---- one end at a time

static void test_child_rekeyed_by_each_side_without_new_key_exchange(void **state)
{
    (void)state;
    struct rig_options o = options();
    start(&o);
    each_side_rekeys(REKEY_CHILD, rounds);
    finish("CHILD rekeys", 2 * rounds);
    assert_true(same_ike_sa());
    assert_true(flow.spis[WEST] > 2 * rounds && flow.spis[EAST] > 2 * rounds);
}

static void test_child_rekeyed_by_each_side_with_new_key_exchange(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.side[WEST].esp = o.side[EAST].esp = "aes256gcm16-x25519";
    start(&o);
    each_side_rekeys(REKEY_CHILD, rounds);
    finish("CHILD rekeys with X25519", 2 * rounds);
    assert_true(same_ike_sa());
}

// Each begins with a group that the other does not take: INVALID_KE_PAYLOAD names the one that both have.
static void test_child_rekey_that_guesses_the_group_wrong_is_tried_again(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.side[WEST].esp = "aes256gcm16-x25519-ecp256";
    o.side[EAST].esp = "aes256gcm16-ecp384-ecp256";
    start(&o);
    each_side_rekeys(REKEY_CHILD, rounds);
    finish("CHILD rekeys, wrong guess", 2 * rounds + 1); // the right one is remembered
    assert_true(same_ike_sa());
}

static void test_ike_sa_rekeyed_by_each_side(void **state)
{
    (void)state;
    struct rig_options o = options();
    start(&o);
    each_side_rekeys(REKEY_IKE, rounds);
    finish("IKE rekeys", 2 * rounds);
    assert_false(same_ike_sa());
    assert_true(same_child("net"));
}

static void test_stock_swanctl_rekeys_child_and_ike(void **state)
{
    (void)state;
    struct rig_options o = options();
    static const char *const asks[] = {"--rekey --child net", "--rekey --ike site"};
    char out[4096];
    start(&o);
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < 2; i++) {
            if (swanctl(rig_site(&rig, side), out, sizeof(out), "%s", asks[i]))
                fail_msg("swanctl %s: %s", asks[i], out);
            assert_true(rig_at_rest(&rig, after));
        }
    }
    finish("swanctl --rekey", 4);
    assert_false(same_ike_sa());
    assert_false(same_child("net"));
}

// Both clocks run; whoever is first rekeys, often both.
static void test_rekeyed_by_its_own_clock(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.side[WEST].child = "rekey_time = 3s\n life_time = 10s\n rand_time = 1s";
    o.side[EAST].child = "rekey_time = 3s\n life_time = 10s\n rand_time = 1s";
    start(&o);
    sleep(2 * rounds + 2);
    finish_by(rig_in_service, "by the clock", rounds / 2);
    assert_true(same_ike_sa());
}

static void test_ike_sa_rekeyed_by_its_own_clock(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.side[WEST].conn = o.side[EAST].conn = "rekey_time = 2s\n over_time = 10s\n rand_time = 1s";
    start(&o);
    sleep(rounds + 2);
    finish_by(rig_in_service, "IKE by the clock", rounds / 3);
    assert_false(same_ike_sa());
    assert_true(same_child("net"));
}

static void test_rekeyed_by_packets_and_by_bytes(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.side[WEST].child = "rekey_time = 0\n rekey_packets = 3000\n life_packets = 20000\n rand_packets = 0";
    o.side[EAST].child = "rekey_time = 0\n rekey_bytes = 4000000\n life_bytes = 20000000\n rand_bytes = 0";
    start(&o);
    sleep(rounds + 2);
    pause_all(true); // no further rekeys
    finish("by packets and bytes", rounds / 2);
}

// ---- both at once: a way of 20 ms makes sure that the messages cross

static struct rig_options crossing(void)
{
    struct rig_options o = options();
    o.between = true;
    o.middle = (struct middle_control){.delay_us = 10000, .seed = seed};
    return o;
}

static bool has_changed(void *ctx)
{
    const struct vici_sas *was = ctx;
    const struct vici_child *a = installed(was, "net"), *b;
    if (!rig_sas(&rig, WEST, &after[WEST]))
        return false;
    b = installed(&after[WEST], "net");
    return after[WEST].count != 1 || after[WEST].sa[0].spi_i != was->sa[0].spi_i || !a || !b ||
           a->spi_in != b->spi_in;
}

// Where a CHILD meets an IKE rekey both may be put off (RFC 7296 2.25): then nothing changes soon.
static void collide(enum rekey west, enum rekey east)
{
    static struct vici_sas was[2];
    for (unsigned i = 0; i < rounds; i++) {
        assert_true(rig_at_rest(&rig, was));
        assert_true(rig_both(&rig, west, east, 0));
        bool changed = wait_for(has_changed, &was[WEST], west == east ? 3000 : 500);
        assert_true(changed || west != east);
    }
    assert_true(rig_at_rest(&rig, was));
}

static void test_both_rekey_the_child_at_once(void **state)
{
    (void)state;
    struct rig_options o = crossing();
    start(&o);
    collide(REKEY_CHILD, REKEY_CHILD);
    finish("crossing CHILD rekeys", 2 * rounds);
    assert_true(same_ike_sa());
    assert_false(same_child("net"));
}

static void test_both_rekey_the_ike_sa_at_once(void **state)
{
    (void)state;
    struct rig_options o = crossing();
    start(&o);
    collide(REKEY_IKE, REKEY_IKE);
    finish("crossing IKE rekeys", 2 * rounds);
    assert_false(same_ike_sa());
    assert_true(same_child("net"));
}

static void test_child_rekey_meets_ike_rekey(void **state)
{
    (void)state;
    struct rig_options o = crossing();
    start(&o);
    collide(REKEY_CHILD, REKEY_IKE);
    collide(REKEY_IKE, REKEY_CHILD);
    finish("CHILD and IKE rekeys crossing", 2 * rounds);
}

// strongSwan finds no CHILD SA of that name while it moves them to another IKE SA, and says so.
static void answered_or_moving(int side)
{
    char why[256];
    if (!vici_answer(rig.vici[side], why, sizeof(why)) &&
        !(rig_is_charon(side) && strcmp(why, "no matching SAs to rekey found") == 0))
        fail_msg("%s: rekey: %s", rig_site(&rig, side)->name, why);
}

// At any offset: the second begins somewhere within the first's exchanges.
static void test_rekeys_begin_at_random_moments_of_each_other(void **state)
{
    (void)state;
    struct rig_options o = crossing();
    start(&o);
    for (unsigned i = 0; i < 3 * rounds; i++) {
        int first = rand() % 2;
        assert_true(rig_ask(&rig, first, rand() % 3 ? REKEY_CHILD : REKEY_IKE, 0));
        usleep((useconds_t)(rand() % 60000));
        assert_true(rig_ask(&rig, !first, rand() % 3 ? REKEY_CHILD : REKEY_IKE, 0));
        answered_or_moving(WEST);
        answered_or_moving(EAST);
        if (rand() % 2)
            assert_true(rig_at_rest(&rig, NULL));
    }
    finish("rekeys at random moments", rounds);
}

// ---- a worse world

static void test_rekeys_while_ike_datagrams_are_lost(void **state)
{
    (void)state;
    static char *const patient[] = {"-o", "retransmit_timeout=0.2", "-o", "retransmit_base=1.2",
                                    "-o", "retransmit_tries=12",    NULL};
    struct rig_options o = options();
    o.settings = patient;
    o.between = true;
    o.middle = (struct middle_control){.delay_us = 2000, .seed = seed};
    for (int i = 0; i < 2; i++)
        o.side[i].charon_settings =
            CHARON_SETTINGS "retransmit_timeout = 0.2\n retransmit_base = 1.2\n retransmit_tries = 12\n";
    unsigned all = rounds;
    rounds = rounds < LOSSY_ROUNDS ? rounds : LOSSY_ROUNDS; // a round takes ten seconds
    start(&o);
    rig.middle.control->ike_loss = 300;
    each_side_rekeys(REKEY_CHILD, rounds);
    each_side_rekeys(REKEY_IKE, rounds);
    collide(REKEY_CHILD, REKEY_CHILD);
    rig.middle.control->ike_loss = 0;
    finish("3 of 10 IKE datagrams lost", 6 * rounds);
    assert_true(rig.middle.control->ike_dropped > rounds);
    rounds = all;
}

static void test_rekeys_through_a_nat(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.between = true;
    o.middle = (struct middle_control){.delay_us = 2000, .seed = seed, .nat = 30000};
    o.side[EAST].peer_addr = MIDDLE_NAT_ADDRESS;
    start(&o);
    each_side_rekeys(REKEY_CHILD, rounds);
    each_side_rekeys(REKEY_IKE, rounds);
    collide(REKEY_CHILD, REKEY_IKE);
    finish("through a NAT", 5 * rounds);
}

static void test_several_children_of_one_ike_sa(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.children = 3;
    start(&o);
    for (unsigned i = 0; i < rounds; i++)
        for (unsigned n = 0; n < o.children; n++)
            assert_true(rig_rekey(&rig, (int)((i + n) % 2), REKEY_CHILD, n));
    each_side_rekeys(REKEY_IKE, 1);
    for (unsigned n = 0; n < o.children; n++)
        assert_true(rig_both(&rig, REKEY_CHILD, REKEY_CHILD, n));
    finish("three children", 3 * rounds + 2);
}

// Make before break: another IKE_SA_INIT and IKE_AUTH, and still nothing lost.
static void reauthenticate(int side)
{
    struct rig_options o = options();
    start(&o);
    for (unsigned i = 0; i < rounds; i++) {
        assert_true(rig_rekey(&rig, side, REAUTHENTICATE, 0));
        assert_true(rig_at_rest(&rig, after));
    }
    usleep(300000);
    assert_true(rig_flow_stop(&rig, &flow));
    flow_print("reauthentication", &flow);
    assert_true(flow_is_clean(&flow));
    assert_true(flow.init >= rounds && flow.auth >= rounds);
    assert_false(same_ike_sa());
}

static void test_reauthentication_by_east(void **state)
{
    (void)state;
    reauthenticate(EAST);
}

static void test_reauthentication_by_west(void **state)
{
    (void)state;
    reauthenticate(WEST);
}

// ---- silence

static bool nothing_left(void *ctx)
{
    (void)ctx;
    return rig_sas(&rig, WEST, &after[WEST]) && after[WEST].children_count == 0 &&
           rig_sas(&rig, EAST, &after[EAST]) && after[EAST].children_count == 0;
}

static bool came_back(void *ctx)
{
    return stream_came(&rig.stream[0]) > *(uint64_t *)ctx;
}

// An idle child ends after its time and not before; the next packet brings the tunnel back.
static void test_idle_child_ends_and_a_packet_brings_it_back(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.side[WEST].start_action = "trap";
    o.side[WEST].child = "rekey_time = 0\n inactivity = 2s";
    start(&o);
    sleep(4); // under traffic it stays
    assert_true(rig_at_rest(&rig, after));
    assert_true(same_child("net"));
    uint64_t came, from = mono_us();
    pause_all(true);
    assert_true(wait_for(nothing_left, NULL, PATIENCE_MS));
    uint64_t took = mono_us() - from;
    came = stream_came(&rig.stream[0]);
    print_message("  ended after %.2f s of silence\n", (double)took / 1e6);
    assert_true(took >= (rig_is_charon(WEST) ? 1000000 : 1900000) &&
                took < 5000000); // charon counts whole seconds
    pause_all(false);
    if (!rig_is_charon(WEST)) // kernel-libipsec has no traps
        assert_true(wait_for(came_back, &came, PATIENCE_MS));
    pause_all(true);
    assert_true(rig_flow_stop(&rig, &flow));
    nothing_in_clear();
    assert_int_equal(flow.repeated, 0);
}

// A hard limit without a soft one before it ends the SA: nothing goes out any more but encrypted by another
// one.
static void test_hard_limit_ends_the_sa_and_nothing_leaves_in_clear(void **state)
{
    (void)state;
    struct rig_options o = options();
    if (rig_is_charon(WEST)) {
        print_message("skip: charon's kernel-libipsec counts no packets\n");
        skip();
    }
    o.side[WEST].child = "rekey_time = 0\n rekey_packets = 0\n life_packets = 2000";
    start(&o);
    assert_true(wait_for(nothing_left, NULL, PATIENCE_MS));
    assert_true(rig_flow_stop(&rig, &flow));
    flow_print("hard limit", &flow);
    nothing_in_clear();
    assert_int_equal(flow.repeated + flow.wire_repeated, 0);
    assert_true(flow.sent - flow.lost >= 1000);
}

// ---- a day in an hour: all times are a 24th of what swanctl.conf(5) says by default; ESPALIER_SECONDS: less
// than an hour

static void test_day_in_an_hour(void **state)
{
    (void)state;
    const char *n = getenv("ESPALIER_SECONDS");
    unsigned seconds = n ? (unsigned)strtoul(n, NULL, 10) : 3600;
    struct rig_options o = options();
    for (int i = 0; i < 2; i++) {
        o.side[i].conn = "rekey_time = 600s\n over_time = 60s";
        o.side[i].child = "rekey_time = 150s\n life_time = 165s";
    }
    o.snaplen = 128;
    assert_true(rig_up(&rig, "espday", &o));
    assert_true(rig_at_rest(&rig, before));
    assert_true(rig_flow_start(&rig, 250, seconds + 60));
    for (uint64_t end = mono_us() + seconds * 1000000ull; mono_us() < end;) {
        sleep(30);
        assert_true(rig_at_rest(&rig, NULL));
    }
    finish("a day in an hour", seconds / 150 - 1);
    assert_true(flow.spis[WEST] > seconds / 150 - 1);
}

#define T(name) cmocka_unit_test_teardown(name, tear_down)
static const struct CMUnitTest brief[] = {
    T(test_child_rekeyed_by_each_side_without_new_key_exchange),
    T(test_child_rekey_that_guesses_the_group_wrong_is_tried_again),
    T(test_ike_sa_rekeyed_by_each_side),
    T(test_both_rekey_the_child_at_once),
    T(test_both_rekey_the_ike_sa_at_once),
    T(test_several_children_of_one_ike_sa),
};
static const struct CMUnitTest all[] = {
    T(test_child_rekeyed_by_each_side_without_new_key_exchange),
    T(test_child_rekeyed_by_each_side_with_new_key_exchange),
    T(test_child_rekey_that_guesses_the_group_wrong_is_tried_again),
    T(test_ike_sa_rekeyed_by_each_side),
    T(test_stock_swanctl_rekeys_child_and_ike),
    T(test_rekeyed_by_its_own_clock),
    T(test_ike_sa_rekeyed_by_its_own_clock),
    T(test_rekeyed_by_packets_and_by_bytes),
    T(test_both_rekey_the_child_at_once),
    T(test_both_rekey_the_ike_sa_at_once),
    T(test_child_rekey_meets_ike_rekey),
    T(test_rekeys_begin_at_random_moments_of_each_other),
    T(test_rekeys_while_ike_datagrams_are_lost),
    T(test_rekeys_through_a_nat),
    T(test_several_children_of_one_ike_sa),
    T(test_reauthentication_by_east),
    T(test_reauthentication_by_west),
    T(test_idle_child_ends_and_a_packet_brings_it_back),
    T(test_hard_limit_ends_the_sa_and_nothing_leaves_in_clear),
};
static const struct CMUnitTest day[] = {T(test_day_in_an_hour)};

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : getenv("ESPALIER_REKEY") ? getenv("ESPALIER_REKEY") : "short";
    const char *n = getenv("ESPALIER_ROUNDS"), *s = getenv("ESPALIER_SEED");
    bool is_long = strcmp(which, "long") == 0, is_short = strcmp(which, "short") == 0;
    if ((rig_is_charon(WEST) || rig_is_charon(EAST)) && !have_strongswan()) {
        fprintf(stderr, "missing: charon with kernel-libipsec (Debian packages strongswan-charon, "
                        "libcharon-extra-plugins)\n");
        return 3;
    }
    rounds = n ? (unsigned)strtoul(n, NULL, 10) : is_long ? 100 : 5;
    seed = s ? (unsigned)strtoul(s, NULL, 10) : (unsigned)time(NULL);
    srand(seed);
    print_message("west %s, east %s, ESPALIER_ROUNDS=%u ESPALIER_SEED=%u\n",
                  rig_is_charon(WEST) ? "charon" : "espalierd", rig_is_charon(EAST) ? "charon" : "espalierd",
                  rounds, seed);
    if (is_short)
        return cmocka_run_group_tests_name("rekeying", brief, NULL, NULL);
    if (strcmp(which, "day") == 0)
        return cmocka_run_group_tests_name("rekeying for a day", day, NULL, NULL);
    if (!is_long)
        cmocka_set_test_filter(which);
    int failed = cmocka_run_group_tests_name("rekeying", all, NULL, NULL);
    if (!rig_is_charon(WEST) || !rig_is_charon(EAST))
        return failed;
    // What two charon do is there to be compared with, not to be judged.
    print_message("charon on both sides: %d scenarios did not hold\n", failed);
    return 0;
}
