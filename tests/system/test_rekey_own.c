// SPDX-License-Identifier: Apache-2.0
// What an espalierd does to its own tunnels, under numbered traffic both ways: reauthentication by either end
// and by both at once, files loaded again as they were and edited, and a card that goes and comes back. Not
// one packet is lost, repeated or in clear. East is an espalierd too, unless ESPALIER_REKEY_EAST says
// otherwise. ESPALIER_ROUNDS: how often each (3); ESPALIER_SEED.
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

enum { RATE = 2000, CARD_RATE = 400 }; // packets a second: the simulated card has a simulation's pace

static struct rig rig;
static struct flow_report flow;
static struct vici_sas before[2], after[2];
static unsigned rounds = 3, seed;
static char *const settings[] = {"-o", "delete_rekeyed_delay=1", NULL};

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
        o.side[i].charon_settings = "delete_rekeyed_delay = 1\n make_before_break = yes\n";
    }
    return o;
}

static void start(const struct rig_options *o, unsigned rate)
{
    assert_true(rig_up(&rig, "espown", o));
    assert_true(rig_at_rest(&rig, before));
    assert_true(rig_flow_start(&rig, rate, 900));
    usleep(300000);
}

static void finish(const char *what)
{
    bool rest = rig_at_rest(&rig, after);
    usleep(300000);
    assert_true(rig_flow_stop(&rig, &flow));
    flow_print(what, &flow);
    assert_true(rest);
    assert_true(flow_is_clean(&flow));
}

static bool same_ike_sa(void)
{
    return before[WEST].sa[0].spi_i == after[WEST].sa[0].spi_i;
}

static bool same_child(void)
{
    const struct vici_child *a = installed(&before[WEST], "net"), *b = installed(&after[WEST], "net");
    return a && b && a->spi_in == b->spi_in && a->spi_out == b->spi_out;
}

// ---- reauthentication

static void test_reauthentication_by_each_side(void **state)
{
    (void)state;
    struct rig_options o = options();
    start(&o, RATE);
    for (unsigned i = 0; i < 2 * rounds; i++) {
        assert_true(rig_rekey(&rig, (int)(i % 2), REAUTHENTICATE, 0));
        assert_true(rig_at_rest(&rig, after));
    }
    finish("own reauthentication");
    assert_true(flow.init >= 2 * rounds && flow.auth >= 2 * rounds);
    assert_false(same_ike_sa());
}

static bool is_another(void *ctx)
{
    const uint64_t *was = ctx;
    return rig_sas(&rig, WEST, &after[WEST]) && after[WEST].count == 1 && after[WEST].sa[0].spi_i != *was;
}

// Both ends' clocks may strike at once: one IKE SA remains.
static void test_reauthentication_by_both_at_once(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.between = true;
    o.middle = (struct middle_control){.delay_us = 10000, .seed = seed};
    start(&o, RATE);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t was;
        assert_true(rig_at_rest(&rig, after));
        was = after[WEST].sa[0].spi_i;
        assert_true(rig_both(&rig, REAUTHENTICATE, REAUTHENTICATE, 0));
        assert_true(wait_for(is_another, &was, PATIENCE_MS));
    }
    finish("both reauthenticate");
    assert_true(flow.auth >= 2 * rounds);
}

// ---- loading

static void test_file_loaded_again_changes_nothing(void **state)
{
    (void)state;
    struct rig_options o = options();
    start(&o, RATE);
    for (unsigned i = 0; i < 2 * rounds; i++)
        assert_true(rig_load(&rig, (int)(i % 2), &rig.o.side[i % 2]));
    finish("the same file again");
    assert_int_equal(flow.init + flow.auth + flow.create_child + flow.informational, 0);
    assert_true(same_ike_sa() && same_child());
}

// What the policy does not name is the next SA's matter: the SA that is there goes on.
static void test_edit_beside_the_selectors_is_for_the_next_sa(void **state)
{
    (void)state;
    struct rig_options o = options();
    start(&o, RATE);
    for (unsigned i = 0; i < rounds; i++) {
        for (int side = 0; side < 2; side++) {
            struct tunnel_options edited = rig.o.side[side];
            edited.esp = i % 2 ? "aes256gcm16" : "aes128gcm16";
            edited.conn = i % 2 ? "rekey_time = 0" : "rekey_time = 7h";
            assert_true(rig_load(&rig, side, &edited));
        }
        assert_true(rig_rekey(&rig, (int)(i % 2), REKEY_CHILD, 0));
    }
    finish("edited proposals");
    assert_int_equal(flow.init + flow.auth, 0);
    assert_true(same_ike_sa());
    assert_true(flow.spis[WEST] == rounds + 1 && flow.spis[EAST] == rounds + 1);
}

static void espalier_load(char *out, size_t size)
{
    const char *dir = rig.lab.west.dir;
    int r = sh_read(out, size, "build/bin/espalier load --uri unix://%s/vici %s/swanctl/swanctl.conf 2>&1",
                    dir, dir);
    if (r != 0)
        fail_msg("espalier load: %s", out);
}

static bool as_loaded(void *ctx)
{
    char *out = ctx;
    espalier_load(out, 4096);
    return strstr(out, "made") == NULL;
}

// `espalier load` brings what is edited to what is up: CHILD SAs on their IKE SA, and where the connection
// itself is another an IKE SA in the place of that.
static void test_espalier_load_makes_anew_what_was_edited_and_loses_nothing(void **state)
{
    static char out[4096];
    (void)state;
    struct rig_options o = options();
    o.children = 2;
    start(&o, RATE);
    for (unsigned i = 0; i < 2 * rounds; i++) {
        for (int side = EAST; side >= WEST; side--) {
            struct tunnel_options edited = rig.o.side[side];
            edited.esp = i % 2 ? "aes256gcm16" : "aes128gcm16";
            edited.conn = i % 4 < 2 ? "rekey_time = 0" : "rekey_time = 7h";
            assert_true(rig_load(&rig, side, &edited));
        }
        espalier_load(out, sizeof(out));
        assert_non_null(strstr(out, i % 4 == 2 || (i && i % 4 == 0) ? "IKE_SA site[" : "CHILD_SA site/net"));
        assert_true(wait_for(as_loaded, out, PATIENCE_MS));
        assert_true(rig_at_rest(&rig, after));
    }
    finish("espalier load");
    assert_false(same_ike_sa());
    assert_true(flow.create_child >= 2 * rounds);
}

// Other selectors are another policy: the old one and its SA go on with what they hold.
static void test_widened_selectors_lose_nothing(void **state)
{
    (void)state;
    static char narrow[2][160];
    struct rig_options o = options();
    for (int i = 0; i < 2; i++) {
        snprintf(narrow[i], sizeof(narrow[i]),
                 "rekey_time = 0\n local_ts = 10.%d.0.0/17\n remote_ts = 10.%d.0.0/17", i + 1, 2 - i);
        o.side[i].child = narrow[i];
    }
    start(&o, RATE);
    for (int side = 0; side < 2; side++) {
        struct tunnel_options edited = rig.o.side[side];
        edited.child = "rekey_time = 0"; // and the whole subnets
        assert_true(rig_load(&rig, side, &edited));
    }
    finish("wider selectors");
    assert_true(same_ike_sa() && same_child());
}

static bool unload(int side)
{
    char why[256] = "";
    return (vici_ask(rig.vici[side], "unload-conn", "name", "site", NULL) &&
            vici_answer(rig.vici[side], why, sizeof(why))) ||
           complain("unload-conn: %s", why);
}

// The SA goes on under what is loaded again, and so do its successors.
static void test_unloaded_and_loaded_again_loses_nothing(void **state)
{
    (void)state;
    struct rig_options o = options();
    start(&o, RATE);
    for (unsigned i = 0; i < 2 * rounds; i++) {
        int side = (int)(i % 2);
        assert_true(unload(side) && rig_load(&rig, side, &rig.o.side[side]));
        assert_true(rig_rekey(&rig, i / 2 % 2 ? side : !side, REKEY_CHILD, 0));
        assert_true(rig_at_rest(&rig, after));
    }
    finish("unloaded and loaded again");
    assert_int_equal(flow.init + flow.auth, 0);
    assert_true(same_ike_sa());
}

static void test_edited_forth_and_back_loses_nothing(void **state)
{
    (void)state;
    struct rig_options o = options();
    start(&o, RATE);
    for (unsigned i = 0; i < 2 * rounds; i++) {
        int side = (int)(i % 2);
        struct tunnel_options good = rig.o.side[side], edited = good;
        char wide[100];
        snprintf(wide, sizeof(wide), "rekey_time = 0\n local_ts = 10.%d.0.0/16\n remote_ts = 10.0.0.0/14",
                 side + 1);
        edited.child = wide;
        assert_true(rig_load(&rig, side, &edited) && rig_load(&rig, side, &good));
        assert_true(rig_rekey(&rig, i / 2 % 2 ? side : !side, REKEY_CHILD, 0));
        assert_true(rig_at_rest(&rig, after));
    }
    finish("edited forth and back");
    assert_true(same_ike_sa());
}

static void test_renamed_loses_nothing(void **state)
{
    (void)state;
    struct rig_options o = options();
    start(&o, RATE);
    for (unsigned i = 0; i < 4 * rounds; i++) {
        int side = (int)(i % 2);
        struct tunnel_options edited = rig.o.side[side];
        if (i / 2 % 2)
            edited.name = edited.name ? NULL : "other";
        else
            edited.child_name = edited.child_name ? NULL : "many";
        assert_true(rig_load(&rig, side, &edited));
        assert_true(rig_rekey(&rig, i / 4 % 2 ? side : !side, REKEY_CHILD, 0));
        assert_true(rig_at_rest(&rig, after));
    }
    finish("renamed");
    assert_int_equal(flow.init + flow.auth, 0);
    assert_true(same_ike_sa());
}

static bool two_everywhere(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 2; i++)
        if (!rig_sas(&rig, i, &after[i]) || after[i].children_count != 2 ||
            strcmp(after[i].child[0].state, "INSTALLED") || strcmp(after[i].child[1].state, "INSTALLED"))
            return false;
    return true;
}

// What has the new name goes on by the IKE SA that the old one had, whose place nobody has to empty.
static void test_renamed_and_started_loses_nothing(void **state)
{
    (void)state;
    struct rig_options o = options();
    o.side[WEST].start_action = "start";
    start(&o, RATE);
    for (unsigned i = 0; i < rounds; i++) {
        struct tunnel_options edited = rig.o.side[WEST];
        edited.name = i % 2 ? NULL : "other";
        if (i >= rounds / 2) // and edited
            edited.start_action = i % 2 ? "start" : "none";
        assert_true(rig_load(&rig, WEST, &edited));
        usleep(1500000);
        assert_true(rig_at_rest(&rig, after));
    }
    finish("renamed and started");
    assert_int_equal(flow.init + flow.auth + flow.create_child, 0);
    assert_true(same_ike_sa());
}

static unsigned oldest(const struct vici_sas *l)
{
    unsigned id = UINT32_MAX;
    for (unsigned i = 0; i < l->count; i++)
        id = l->sa[i].id < id ? l->sa[i].id : id;
    return id;
}

// The peer is to be found elsewhere too, which is another peer for all that can be said: what is there goes
// on until there is something by the new file, by the same name or by another one.
static void test_another_remote_side_loses_nothing(void **state)
{
    (void)state;
    char out[4096];
    struct rig_options o = options();
    start(&o, RATE);
    for (unsigned i = 0; i < 2 * rounds; i++) {
        struct tunnel_options edited = rig.o.side[WEST];
        edited.start_action = "start";
        edited.peer_addr = i % 2 ? NULL : "10.10.0.2,10.10.0.77";
        edited.name = i / 2 % 2 ? "other" : NULL;
        assert_true(rig_load(&rig, WEST, &edited));
        assert_true(wait_for(two_everywhere, NULL, PATIENCE_MS));
        usleep(300000);
        // By hand, where it has not ended by itself: swanctl may take as long as that on a busy machine.
        (void)swanctl(&rig.lab.west, out, sizeof(out), "--terminate --ike-id %u", oldest(&after[WEST]));
        assert_true(rig_at_rest(&rig, after));
    }
    finish("another remote side");
    assert_int_equal(flow.init, 2 * rounds);
}

// ---- the card

static bool has_moved(void *ctx)
{
    const struct vici_child *was = installed(ctx, "net"), *now;
    if (!rig_sas(&rig, WEST, &after[WEST]))
        return false;
    now = installed(&after[WEST], "net");
    return was && now && now->spi_in != was->spi_in && now->spi_out != was->spi_out;
}

static bool runs_on(void *ctx)
{
    char out[16384];
    swanctl(&rig.lab.west, out, sizeof(out), "--list-sas --raw");
    return strstr(out, ctx) != NULL;
}

// What left a card that failed is rekeyed at once; what is made when it is back is on the card again.
static void test_sas_that_left_the_card_are_rekeyed_at_once(void **state)
{
    (void)state;
    static struct vici_sas was[2];
    struct rig_options o = options();
    uint64_t longest = 0;
    o.card = true;
    o.side[WEST].hw_offload = "auto";
    start(&o, CARD_RATE);
    for (unsigned i = 0; i < rounds; i++) {
        assert_true(wait_for(runs_on, "offload=card", PATIENCE_MS));
        assert_true(rig_at_rest(&rig, was));
        uint64_t from = mono_us(), took;
        rig_card_kill(&rig);
        assert_true(wait_for(has_moved, &was[WEST], 5000));
        took = mono_us() - from;
        longest = took > longest ? took : longest;
        assert_true(rig_at_rest(&rig, was));
        assert_true(runs_on("offload=software"));
        assert_true(rig_card_up(&rig));
        assert_true(rig_rekey(&rig, (int)(i % 2), REKEY_CHILD, 0));
    }
    finish("the card goes");
    print_message("  rekeyed %.1f ms after the card was killed, at most\n", (double)longest / 1e3);
    assert_true(flow.create_child >= 2 * rounds);
    assert_int_equal(flow.init + flow.auth, 0);
    assert_true(same_ike_sa());
}

#define T(name) cmocka_unit_test_teardown(name, tear_down)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        T(test_reauthentication_by_each_side),
        T(test_reauthentication_by_both_at_once),
        T(test_file_loaded_again_changes_nothing),
        T(test_edit_beside_the_selectors_is_for_the_next_sa),
        T(test_espalier_load_makes_anew_what_was_edited_and_loses_nothing),
        T(test_widened_selectors_lose_nothing),
        T(test_unloaded_and_loaded_again_loses_nothing),
        T(test_edited_forth_and_back_loses_nothing),
        T(test_renamed_loses_nothing),
        T(test_renamed_and_started_loses_nothing),
        T(test_another_remote_side_loses_nothing),
        T(test_sas_that_left_the_card_are_rekeyed_at_once),
    };
    const char *n = getenv("ESPALIER_ROUNDS"), *s = getenv("ESPALIER_SEED");
    rounds = n ? (unsigned)strtoul(n, NULL, 10) : rounds;
    seed = s ? (unsigned)strtoul(s, NULL, 10) : (unsigned)time(NULL);
    srand(seed);
    setenv("ESPALIER_REKEY_WEST", "espalierd", 1);
    setenv("ESPALIER_REKEY_EAST", "espalierd", 0);
    if (rig_is_charon(EAST) && !have_strongswan()) {
        fprintf(stderr, "missing: charon with kernel-libipsec (Debian packages strongswan-charon, "
                        "libcharon-extra-plugins)\n");
        return 3;
    }
    print_message("east %s, ESPALIER_ROUNDS=%u ESPALIER_SEED=%u\n",
                  rig_is_charon(EAST) ? "charon" : "espalierd", rounds, seed);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("what espalierd does to its own tunnels", tests, NULL, NULL);
}
