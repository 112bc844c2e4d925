// SPDX-License-Identifier: Apache-2.0
// espalier-sim replay end to end. Random captures go through the software engine and the card's pipeline at
// 1, 2 and 4 lanes; an independent model (replay_oracle.py, python3-cryptography) says what must come out,
// byte for byte and counter for counter. Also its statistics and waves.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tests/rtl/replay_rig.h"

static struct wave wave(const char *window)
{
    must_exit(run(ESPALIER_SIM " replay --sad %s/sad --in %s/in.pcap --out %s/out.pcap --fst %s/wave.fst %s",
                  folder, folder, folder, folder, window),
              0);
    return wave_head();
}

static void compare(unsigned seed, const char *engine)
{
    char what[200];
    json_t *got = load("stats.json"), *expected = load("expect.json");

    snprintf(what, sizeof(what), "seed %u, %s (" ORACLE " DIR %u 700)", seed, engine, seed);
    must_be_same_file("out.pcap", "expect.pcap", what);
    must_be_same_member(got, expected, "packets", what);
    must_be_same_member(got, expected, "drops", what);
    must_be_same_member(got, expected, "sas", what);
    json_decref(got);
    json_decref(expected);
}

static void against_model(const char *engine, const char *more, unsigned from, unsigned to)
{
    if (run("/usr/bin/python3 -c 'import cryptography'") != 0) {
        print_message("skip: python3-cryptography is not there\n");
        skip();
    }
    for (unsigned seed = from; seed < to; seed++) {
        must_exit(run(ORACLE " %s %u 700%s%s", folder, seed, strstr(engine, "soft") ? " soft" : "", more), 0);
        replay(engine);
        compare(seed, engine);
    }
}

static void test_replay_software_equals_independent_model(void **state)
{
    (void)state;
    against_model("--engine soft", "", 100, 120);
}

static void test_replay_card_1_lane_equals_independent_model(void **state)
{
    (void)state;
    against_model("--engine card", "", 200, 212);
}

static void test_replay_card_2_lanes_equals_independent_model(void **state)
{
    (void)state;
    against_model("--lanes 2", "", 500, 508);
}

static void test_replay_card_4_lanes_equals_independent_model(void **state)
{
    (void)state;
    against_model("--lanes 4", "", 300, 308);
}

static void test_replay_transport_mode_equals_independent_model(void **state)
{
    (void)state;
    against_model("--lanes 1", " transport", 600, 604);
    against_model("--lanes 2", " transport", 604, 608);
    against_model("--lanes 4", " transport", 608, 612);
}

// Damage that the model does not follow: the engines must still agree on every octet and every counter.
static void test_replay_damaged_packets_card_equals_software(void **state)
{
    (void)state;
    if (run("/usr/bin/python3 -c 'import cryptography'") != 0) {
        print_message("skip: python3-cryptography is not there\n");
        skip();
    }
    for (unsigned seed = 400; seed < 408; seed++) {
        char what[80];
        json_t *soft, *card;
        must_exit(run(ORACLE " %s %u 500 damage", folder, seed), 0);
        replay("--engine soft");
        must_exit(run("mv %s/out.pcap %s/expect.pcap && mv %s/stats.json %s/expect.json", folder, folder,
                      folder, folder),
                  0);
        replay(seed & 1 ? "--lanes 4" : "--lanes 1");
        snprintf(what, sizeof(what), "seed %u, damaged, %u lanes", seed, seed & 1 ? 4 : 1);
        must_be_same_file("out.pcap", "expect.pcap", what);
        soft = load("expect.json");
        card = load("stats.json");
        must_be_same_member(card, soft, "packets", what);
        must_be_same_member(card, soft, "drops", what);
        must_be_same_member(card, soft, "sas", what);
        json_decref(soft);
        json_decref(card);
    }
}

static void test_replay_card_refuses_algorithms_that_only_software_has(void **state)
{
    static const struct {
        const char *name, *why;
        unsigned octets;
    } cases[] = {
        {"rfc4106(gcm(aes))", "the card has no AES-GCM with a 192-bit key: --engine soft has it", 28},
        {"rfc7539esp(chacha20,poly1305)", "the card has no ChaCha20-Poly1305: --engine soft has it", 36},
    };

    (void)state;
    write_capture(1);
    for (int i = 0; i < 2; i++) {
        char more[300];
        snprintf(
            more, sizeof(more),
            "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0x101 mode tunnel aead '%s' 0x%0*d 128\n",
            cases[i].name, 2 * (int)cases[i].octets, 0);
        write_sad(more);
        must_exit(run(ESPALIER_SIM " replay --sad %s/sad --in %s/in.pcap --out %s/none.pcap", folder, folder,
                      folder),
                  2);
        must_say("line 3, spi 0x00000101: ");
        must_say(cases[i].why);
        replay("--engine soft");
    }
}

// ---- IPv6 and transport mode
static void test_replay_every_mix_of_families_and_modes_is_opened_by_scapy(void **state)
{
    (void)state;
    must_exit(run("/usr/bin/python3 tests/rtl/replay_families.py make %s", folder), 0);
    must_exit(run(ESPALIER_SIM " replay --engine soft --ipv6 --sad %s/sad --in %s/in.pcap --out %s/out.pcap",
                  folder, folder, folder),
              0);
    must_say("soft: 37 packets: 18 encrypted, 18 decrypted, 1 passed in the clear, 0 dropped");
    must_exit(run("/usr/bin/python3 tests/rtl/replay_families.py check %s", folder), 0);
    must_say("6 mixes right");
    must_exit(run(ESPALIER_SIM " explain --ipv6 --sad %s/sad --in %s/in.pcap --small %s/small.pcap", folder,
                  folder, folder),
              0);
    must_say("The card does not take this SA file");
    must_say("37 packets: 0 dropped by software.");
}

static void
test_replay_refuses_ipv6_and_transport_mode_in_udp_by_name_where_they_are_not_offered(void **state)
{
    static const struct {
        const char *ends, *mode, *options, *why;
    } cases[] = {
        {"src ::1 dst ::2", "tunnel", "--engine soft",
         "sad:1: the state has IPv6 ends: they are taken with --ipv6"},
        {"src ::1 dst ::2", "tunnel", "--engine card --ipv6",
         "spi 0x00000100: the card has no IPv6: --engine soft has it"},
        {"src 1.1.1.1 dst 2.2.2.2", "tunnel sel src fd00::/8", "--engine card",
         "the card has no IPv6: --engine soft"},
        {"src 1.1.1.1 dst 2.2.2.2", "transport encap espinudp 4500 4500 0.0.0.0", "--engine card",
         "the card has no transport mode in UDP: --engine soft has it"},
        {"src 1.1.1.1 dst 2.2.2.2", "tunnel tfcpad 400", "--engine card",
         "the card has no traffic flow padding: --engine soft has it"},
    };

    (void)state;
    write_capture(1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        must_exit(run("echo \"xfrm state add %s proto esp spi 0x100 mode %s aead 'rfc4106(gcm(aes))' 0x%040d "
                      "128\" > %s/sad",
                      cases[i].ends, cases[i].mode, 0, folder),
                  0);
        must_exit(run(ESPALIER_SIM " replay %s --sad %s/sad --in %s/in.pcap --out %s/none.pcap",
                      cases[i].options, folder, folder, folder),
                  2);
        must_say(cases[i].why);
    }
}

static void test_replay_statistics_have_the_members_of_the_interface(void **state)
{
    static const char *const members[] = {"engine", "lanes",  "packets",           "drops",
                                          "sas",    "cycles", "cycles_per_packet", "bytes_per_cycle",
                                          "latency"};
    static const char *const packets[] = {"in", "out", "encrypted", "decrypted", "bypassed", "dropped"};
    static const char *const sa[] = {"spi", "dst", "use", "packets", "bytes", "last_seq"};

    (void)state;
    write_capture(3);
    write_sad("");
    for (int soft = 0; soft <= 1; soft++) {
        replay(soft ? "--engine soft" : "--engine card");
        json_t *j = load("stats.json"), *one = json_array_get(json_object_get(j, "sas"), 0);
        assert_int_equal(json_object_size(j), 9);
        for (size_t i = 0; i < 9; i++)
            assert_non_null(json_object_get(j, members[i]));
        assert_int_equal(json_object_size(json_object_get(j, "packets")), 6);
        for (size_t i = 0; i < 6; i++)
            assert_non_null(json_object_get(json_object_get(j, "packets"), packets[i]));
        assert_int_equal(json_object_size(one), 6);
        for (size_t i = 0; i < 6; i++)
            assert_non_null(json_object_get(one, sa[i]));
        json_decref(j);
    }
}

static void test_replay_statistics_give_cycles_for_the_card_only(void **state)
{
    json_t *j;

    (void)state;
    write_capture(1000);
    write_sad("");
    replay("--engine card --sas 16");
    j = load("stats.json");
    assert_string_equal(json_string_value(json_object_get(j, "engine")), "card");
    assert_int_equal(json_integer_value(json_object_get(j, "lanes")), 1);
    double cycles = json_real_value(json_object_get(j, "cycles_per_packet"));
    if (cycles < 6.9 || cycles > 7.1) // 100 octets of outer packet in beats of 16
        fail_msg("%.3f cycles for each 46-octet packet, expected 7", cycles);
    json_t *latency = json_object_get(j, "latency");
    assert_true(json_integer_value(json_object_get(latency, "min")) > 0);
    assert_true(json_integer_value(json_object_get(latency, "median")) <=
                json_integer_value(json_object_get(latency, "max")));
    json_decref(j);
    replay("--engine soft");
    j = load("stats.json");
    assert_true(json_is_null(json_object_get(j, "cycles")) && json_is_null(json_object_get(j, "latency")));
    json_decref(j);
}

static void must_take_cycles(unsigned size, unsigned lanes, unsigned sas, const char *way)
{
    json_t *j = load("stats.json");
    unsigned outer = ((size + 2 + 3) & ~3u) + 20 + 16 + 16;
    unsigned beats = (outer + 16 * lanes - 1) / (16 * lanes);
    double expected = beats;
    double got = json_number_value(json_object_get(j, "cycles_per_packet"));
    double slack =
        way[0] == 'd' ? outer / 16.0 / 600 : 0.05; // the last packet's beats are fewer: no outer header

    if (got > expected + 0.05 || got < expected - slack - 0.05)
        fail_msg("%s, %u octets, %u lanes, %u SAs: %.3f cycles a packet, expected %.0f", way, size, lanes,
                 sas, got, expected);
    json_decref(j);
}

static void test_replay_cycles_are_the_egress_beats_at_every_size(void **state)
{
    static const unsigned sizes[] = {46, 64, 128, 256, 576, 1500};

    (void)state;
    for (unsigned lanes = 1; lanes <= 4; lanes *= 2)
        for (unsigned sas = 1; sas <= 257; sas += 256) {
            char engine[24];
            snprintf(engine, sizeof(engine), "--lanes %u", lanes);
            write_sas(sas);
            for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                write_traffic(600, sizes[i], sas);
                replay(engine);
                must_take_cycles(sizes[i], lanes, sas, "encapsulation");
                must_exit(run("mv %s/out.pcap %s/in.pcap", folder, folder), 0);
                replay(engine);
                must_take_cycles(sizes[i], lanes, sas, "decapsulation");
            }
        }
}

static void test_replay_wave_window_holds_less_than_the_whole(void **state)
{
    (void)state;
    write_capture(4);
    write_sad("");
    off_t whole = wave("").size, window = wave("--window 100:120").size;
    assert_true(window > 500);
    assert_true(window < whole);
    must_exit(run(ESPALIER_SIM
                  " replay --sad %s/sad --in %s/in.pcap --out %s/out.pcap --fst /nonexistent/w.fst",
                  folder, folder, folder),
              2);
}

// 250 MHz, the card's nominal clock: cycle n begins at n * 4 ns.
static void test_replay_wave_has_the_time_of_the_nominal_clock(void **state)
{
    (void)state;
    write_capture(4);
    write_sad("");
    struct wave w = wave("--window 100:120");
    assert_int_equal(w.unit, -9);
    assert_int_equal(w.start, 400);
    assert_int_equal(w.end, 120 * 4 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_software_equals_independent_model),
        cmocka_unit_test(test_replay_card_1_lane_equals_independent_model),
        cmocka_unit_test(test_replay_card_2_lanes_equals_independent_model),
        cmocka_unit_test(test_replay_card_4_lanes_equals_independent_model),
        cmocka_unit_test(test_replay_transport_mode_equals_independent_model),
        cmocka_unit_test(test_replay_damaged_packets_card_equals_software),
        cmocka_unit_test(test_replay_card_refuses_algorithms_that_only_software_has),
        cmocka_unit_test(test_replay_every_mix_of_families_and_modes_is_opened_by_scapy),
        cmocka_unit_test(
            test_replay_refuses_ipv6_and_transport_mode_in_udp_by_name_where_they_are_not_offered),
        cmocka_unit_test(test_replay_statistics_have_the_members_of_the_interface),
        cmocka_unit_test(test_replay_statistics_give_cycles_for_the_card_only),
        cmocka_unit_test(test_replay_cycles_are_the_egress_beats_at_every_size),
        cmocka_unit_test(test_replay_wave_window_holds_less_than_the_whole),
        cmocka_unit_test(test_replay_wave_has_the_time_of_the_nominal_clock),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
