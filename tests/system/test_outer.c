// SPDX-License-Identifier: Apache-2.0
// What the packets outside show of those inside, through real daemons, by tshark's account: with TFC padding
// (RFC 4303 section 2.7) one length, and with dummies (section 2.6)
// no silence.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espout") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static bool answers(const struct site *from, const struct site *to, unsigned octets)
{
    char out[4096];
    return sh_read(out, sizeof(out), "nsenter --net=%s ping -c 1 -W 5 -s %u -I %s %s 2>&1", from->ns, octets,
                   from->inner, to->inner) == 0 &&
           strstr(out, " 1 received");
}

// The lengths that a site's ESP packets have, how many different ones there are; *first: one of them.
static unsigned lengths(const char *pcap, const struct site *from, unsigned *first)
{
    char out[4096];
    unsigned n = 0;
    sh_read(
        out, sizeof(out),
        "tshark -n -r %s -Y 'esp && ip.src == %s' -T fields -E occurrence=f -e ip.len 2>/dev/null | sort -u",
        pcap, from->outer);
    *first = (unsigned)strtoul(out, NULL, 10);
    for (const char *p = out; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

#define DUMMIES        "\n        tfc_dummies = 20"
#define CHILD(padding) "rekey_time = 0\n        tfc_padding = " padding
enum { TUN_MTU = 1400, AROUND = 20 + 8 + 8 + 2 + 16 }; // AES-GCM-16

static void padded(const struct tunnel_options *o, bool charon, unsigned expected)
{
    static const unsigned octets[] = {0, 1, 8, 100, 523, 1000, 1371, 1372};
    struct tunnel_options theirs = *o;
    char pcap[200], out[16384];
    unsigned length;
    theirs.child = CHILD("mtu"); // charon has no tfc_dummies
    assert_true(charon ? charon_start(&lab, &lab.east, &lab.west, &theirs)
                       : espalierd_start(&lab, &lab.east, &lab.west, o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, o, no_card));
    start_capture(&lab, pcap, sizeof(pcap));
    for (int turn = 0; turn < 2; turn++) {
        if (turn ? swanctl(&lab.west, out, sizeof(out), "--rekey --child net")
                 : !initiate(charon ? &lab.east : &lab.west))
            fail_msg("%s", turn ? out : "no tunnel");
        for (unsigned i = 0; i < sizeof(octets) / sizeof(octets[0]); i++)
            if (!answers(&lab.west, &lab.east, octets[i]) || !answers(&lab.east, &lab.west, octets[i]))
                fail_msg("%u octets do not come", octets[i]);
    }
    only_esp(&lab, pcap, 60);
    assert_int_equal(lengths(pcap, &lab.west, &length), 1);
    assert_int_equal(length, expected);
    if (charon) {
        print_message("charon's packets have %u lengths\n", lengths(pcap, &lab.east, &length));
    } else {
        assert_int_equal(lengths(pcap, &lab.east, &length), 1);
        assert_int_equal(length, expected);
    }
    assert_true(stop(&lab.west.daemon, SIGTERM, PATIENCE_MS) && stop(&lab.east.daemon, SIGTERM, PATIENCE_MS));
}

static void test_padded_packets_have_one_length_and_come_through(void **state)
{
    (void)state;
    padded(&(struct tunnel_options){.child = CHILD("mtu")}, false, AROUND + TUN_MTU + 2);
    padded(&(struct tunnel_options){.child = CHILD("1400"), .encap = true}, false, AROUND + TUN_MTU + 2 + 8);
}

static void test_strongswan_takes_padded_packets_and_dummies(void **state)
{
    (void)state;
    needs_strongswan(); // its kernel-libipsec speaks ESP in UDP alone
    padded(&(struct tunnel_options){.child = CHILD("mtu") DUMMIES, .encap = true}, true,
           AROUND + TUN_MTU + 2 + 8);
}

// A path that takes less: what is padded is no longer than that.
static void test_padding_goes_by_the_paths_mtu(void **state)
{
    struct tunnel_options o = {.child = CHILD("mtu")};
    char pcap[200];
    unsigned length;
    (void)state;
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++)
        assert_int_equal(sh("nsenter --net=%s ip link set outer mtu 1000", both[i]->ns), 0);
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(initiate(&lab.west));
    for (unsigned octets = 0; octets < 900; octets += 101)
        assert_true(answers(&lab.west, &lab.east, octets));
    only_esp(&lab, pcap, 18);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lengths(pcap, both[i], &length), 1);
        assert_int_equal(length, 1000);
    }
}

// How many of a site's ESP packets are so inside, as tshark opens them with the keys that it was told: a next
// header that it knows, and otherwise all octets with the padding, its length and the next header.
static unsigned opened(const char *pcap, const struct site *from, const char *expression)
{
    char out[64];
    sh_read(
        out, sizeof(out),
        "XDG_CONFIG_HOME=%s tshark -n -r %s -o esp.enable_encryption_decode:TRUE -Y 'esp && ip.src == %s' "
        "-T fields -E separator=, -e esp.protocol -e esp.decrypted_data 2>/dev/null | grep -c -E '%s'",
        lab.west.dir, pcap, from->outer, expression);
    return (unsigned)strtoul(out, NULL, 10);
}

#define DUMMY "^,(00)+0102023b$"

static bool shows_dummies(void *ctx)
{
    char out[16384];
    return swanctl(ctx, out, sizeof(out), "--list-sas --raw") == 0 && strstr(out, "dummies-out=") &&
           strstr(out, "packets-out=1 ");
}

static bool is_down(void *ctx)
{
    char out[16384];
    return swanctl(ctx, out, sizeof(out), "--list-sas --raw") == 0 && !strstr(out, "state=INSTALLED");
}

// The SA goes when it has been idle for three seconds, whatever it has sent meanwhile to look busy.
static void test_dummies_fill_the_silence_and_are_no_use(void **state)
{
    enum { RATE = 20, IDLE_S = 3 };
    struct tunnel_options o = {.child = CHILD("mtu") DUMMIES "\n        inactivity = 3s"},
                          plain = {.child = "rekey_time = 0"};
    char pcap[200], keys[200], out[16384];
    char *const extra[] = {"--card", "none", "--debug-keys", keys, NULL};
    unsigned length, dummies;
    (void)state;
    snprintf(keys, sizeof(keys), "%s/wireshark", lab.west.dir);
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, extra));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(initiate(&lab.west));
    assert_true(answers(&lab.west, &lab.east, 100));
    assert_true(wait_for(shows_dummies, &lab.west, PATIENCE_MS));
    assert_true(wait_for(is_down, &lab.west, PATIENCE_MS));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--counters --all --raw"), 0);
    uint64_t sent = number_after(out, "dummies_sent", 0);
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--counters --all --raw"), 0);
    assert_int_equal(number_after(out, "drop_in_DUMMY", 0), sent);
    assert_int_equal(number_after(out, "dummies_sent", 0), 0);
    only_esp(&lab, pcap, 2);
    assert_int_equal(lengths(pcap, &lab.west, &length), 1);
    assert_int_equal(length, AROUND + TUN_MTU + 2);
    dummies = opened(pcap, &lab.west, DUMMY);
    print_message("%u dummies in %d s of silence\n", dummies, IDLE_S);
    assert_int_equal(dummies, sent);
    assert_true(dummies > IDLE_S * RATE / 2); // a busy machine comes late, and does not make up for that
    assert_int_equal(opened(pcap, &lab.west, "^0x04,45"), 1);
    assert_int_equal(opened(pcap, &lab.east, DUMMY), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_padded_packets_have_one_length_and_come_through),
        T(test_strongswan_takes_padded_packets_and_dummies),
        T(test_padding_goes_by_the_paths_mtu),
        T(test_dummies_fill_the_silence_and_are_no_use),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("outer packets", tests, NULL, NULL);
}
