// SPDX-License-Identifier: Apache-2.0
// What espalier-sim says to a person: the summary of replay, explain, and the example that is shipped.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/rtl/replay_rig.h"

// ---- the summary
static void test_replay_summary_tells_ends_reasons_and_cycles(void **state)
{
    (void)state;
    replay_example("card");
    must_say("card: 30 packets: 12 encrypted, 9 decrypted, 4 passed in the clear, 5 dropped\n");
    must_say("       2 POLICY          A policy or a state's selector does not allow the packet.\n");
    must_say("       1 REPLAY_SEEN     Sequence number already received (RFC 4303 section 3.4.3).\n");
    must_say("1 lane of 16 octets: ");
    must_say("  encapsulation       12 packets, ");
    must_say("  decapsulation       12 packets, ");
    replay_example("soft");
    must_say("soft: 30 packets: 12 encrypted");
    assert_null(strstr(output, "cycles"));
}

static unsigned long figure(const char *line, const char *behind)
{
    const char *at = strstr(output, line);

    at = at ? strstr(at, behind) : NULL;
    if (!at) {
        fail_msg("no \"%s\" behind \"%s\" in:\n%s", behind, line, output);
        return 0;
    }
    return strtoul(at + strlen(behind), NULL, 10);
}

// 600 packets of 46 octets leave as 100 octets each: 7 beats of 16; they come back at the other port.
static void test_replay_summary_gives_the_ideal_of_the_outer_packets(void **state)
{
    (void)state;
    write_capture(600);
    write_sad("");
    replay("--lanes 1");
    assert_int_equal(figure("encapsulation", "ideal"), 600 * 7);
    assert_in_range(figure("encapsulation", "packets,"), 600 * 7, 600 * 7 + 30);
    must_exit(run("mv %s/out.pcap %s/in.pcap", folder, folder), 0);
    replay("--lanes 4");
    assert_int_equal(figure("decapsulation", "ideal"), 600 * 2);
    assert_in_range(figure("decapsulation", "packets,"), 600 * 2, 600 * 2 + 30);
}

// Large packets that an SA's hard limit drops go in and nothing comes out: the summary says where the cycles
// went.
static void test_replay_summary_counts_cycles_that_dropped_packets_took(void **state)
{
    (void)state;
    write_traffic(200, 1600, 1);
    must_exit(run("printf \"xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0x100 mode tunnel aead "
                  "'rfc4106(gcm(aes))' 0x%040d 128 limit packet-hard 1\n"
                  "xfrm policy add dir out tmpl dst 2.2.2.2 proto esp mode tunnel\n\" > %s/sad",
                  0, folder),
              0);
    replay("--lanes 1");
    must_say("     199 HARD_LIMIT");
    assert_int_equal(figure("encapsulation", "ideal"), 104); // ceil((20 + 8 + 8 + 1600 + 2 + 2 + 16) / 16)
    assert_true(strstr(output, " for dropped packets") != NULL);
}

static void test_replay_says_loudly_when_nothing_was_protected(void **state)
{
    (void)state;
    write_capture(1000);
    must_exit(run("echo 'xfrm policy add dir in' > %s/sad", folder), 0);
    replay("--engine soft");
    must_say("espalier-sim: WARNING: nothing was protected: 1000 packets passed in the clear. The SA file "
             "has no policy "
             "with dir out");
    must_exit(run("echo 'xfrm policy add dir out src 192.0.2.0/24 action block' > %s/sad", folder), 0);
    replay("--engine soft");
    must_say("WARNING: nothing was protected: 1000 packets passed in the clear. No packet fits a policy with "
             "dir out");
    write_sad("");
    replay("--engine soft");
    assert_null(strstr(output, "WARNING"));
}

static void test_replay_summary_leaves_standard_output_to_an_output_there(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM
                  " replay --engine soft --sad " EXAMPLES "/example.sad --in " EXAMPLES
                  "/example.pcap --out %s/out.pcap --json /dev/stdout 2>/dev/null > %s/std.json && "
                  "/usr/bin/python3 -m json.tool %s/std.json",
                  folder, folder, folder),
              0);
    must_exit(run(ESPALIER_SIM " replay --engine soft --sad " EXAMPLES "/example.sad --in " EXAMPLES
                               "/example.pcap --out /dev/stdout 2>/dev/null | cat > %s/piped.pcap",
                  folder),
              0);
    must_be_same_file("piped.pcap", "out.pcap", "standard output");
}

// script(1) gives the program a terminal; a fifo that is filled slowly makes the run long.
static void replay_slowly(const char *before, const char *after)
{
    must_exit(run("rm -f %s/slow; mkfifo %s/slow; (head -c 20000 %s/in.pcap; sleep 1.3; tail -c +20001 "
                  "%s/in.pcap) > %s/slow & "
                  "%s" ESPALIER_SIM " replay --engine soft --sad %s/sad --in %s/slow --out /dev/null%s",
                  folder, folder, folder, folder, folder, before, folder, folder, after),
              0);
}

static void test_replay_shows_progress_on_a_terminal_only(void **state)
{
    (void)state;
    write_capture(2000);
    write_sad("");
    replay_slowly("script -qec '", "' /dev/null");
    must_say("\rslow: ");
    must_say(" packets, 1 s\033[K");
    must_say("soft: 2000 packets");
    replay_slowly("", "");
    assert_null(strstr(output, "slow: "));
}

// ---- explain
static int explain(const char *files, const char *more)
{
    return run(ESPALIER_SIM " explain %s --small %s/small.pcap %s", files, folder, more);
}

static void test_explain_says_why_each_packet_of_the_example_is_dropped(void **state)
{
    char fst[80];

    (void)state;
    snprintf(fst, sizeof(fst), "--packet 29 --fst %s/wave.fst", folder);
    must_exit(explain("--sad " EXAMPLES "/example.sad --in " EXAMPLES "/example.pcap", fst), 0);
    must_say("packet 26, 10.1.0.5 > 10.2.0.9, TCP 40001 > 23, 54 octets: dropped, POLICY: the policy of line "
             "16 blocks "
             "it\n");
    must_say("packet 27, 10.1.0.5 > 10.4.0.1, ICMP, 42 octets: dropped, NO_SA: the policy of line 24 "
             "protects it, but no "
             "state fits its template\n");
    must_say("packet 28, 198.51.100.1 > 192.0.2.1, ESP, SPI 0xa0000001, sequence number 6, 138 octets: "
             "dropped, ICV_FAIL: "
             "the integrity check value is wrong");
    must_say("sequence number 3 was received before, in packet 9\n");
    must_say("POLICY: 10.2.0.66 > 10.1.0.5, ICMP came out, which the policy of line 28 does not let out of "
             "this state\n");
    must_say("30 packets: 5 dropped by card and software alike, 0 on which they disagree.\n");
    must_say("the smallest capture, 2 packets that still show packet 29: 9 29\n");
    struct wave w = wave_head();
    if (w.start < 4 || w.end - w.start > 4 * 120)
        fail_msg("the wave goes from %llu to %llu ns", (unsigned long long)w.start,
                 (unsigned long long)w.end);
    must_exit(run(ESPALIER_SIM " replay --sad " EXAMPLES "/example.sad --in %s/small.pcap --out %s/out.pcap",
                  folder, folder),
              0);
    must_say("2 packets: 0 encrypted, 1 decrypted, 0 passed in the clear, 1 dropped\n");
    must_say("1 REPLAY_SEEN");
}

// The card takes packets up to 9216 octets, the software engine longer ones.
static void test_explain_finds_where_card_and_software_disagree(void **state)
{
    char files[200];

    (void)state;
    write_traffic(3, 9400, 1);
    write_sad("");
    snprintf(files, sizeof(files), "--sad %s/sad --in %s/in.pcap", folder, folder);
    must_exit(explain(files, "--lanes 4"), 1);
    must_say("packet 1, 10.0.0.1 > 10.1.0.0, UDP 0 > 0, 9400 octets: WRONG: TOO_LONG by the card, encrypted "
             "by software\n");
    must_say("3 packets: 0 dropped by card and software alike, 3 on which they disagree.\n");
    must_say("the smallest capture, 1 packet that still shows packet 1: 1\n");
    write_capture(3);
    must_exit(explain(files, ""), 0);
    must_say("3 packets: 0 dropped by card and software alike, 0 on which they disagree.\n");
    assert_null(strstr(output, "smallest"));
    must_exit(explain(files, "--packet 4"), 2);
    must_say("--packet: the capture has 3 packets, 4 was asked for");
    must_exit(explain(files, "--packet 0"), 2);
    must_exit(explain(files, "--lanes 5"), 2);
    must_exit(run("truncate -s -3 %s/in.pcap", folder), 0);
    must_exit(explain(files, ""), 1);
    must_say("packet 3: truncated dump file");
}

static void test_explain_without_the_card_goes_by_software(void **state)
{
    char files[200];

    (void)state;
    write_capture(2);
    must_exit(run("printf \"xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0x100 mode tunnel aead "
                  "'rfc7539esp(chacha20,poly1305)' 0x%072d 128 limit packet-hard 1\n"
                  "xfrm policy add dir out tmpl dst 2.2.2.2 proto esp mode tunnel\n\" > %s/sad",
                  0, folder),
              0);
    snprintf(files, sizeof(files), "--sad %s/sad --in %s/in.pcap", folder, folder);
    must_exit(explain(files, "--fst /nonexistent/w.fst"), 0);
    must_say(
        "The card does not take this SA file (line 1, spi 0x00000100: the card has no ChaCha20-Poly1305");
    must_say(
        "packet 2, 10.0.0.1 > 10.1.0.0, UDP 0 > 0, 46 octets: dropped, HARD_LIMIT: a hard limit is reached "
        "(packet-hard 1): 1 went through before it\n");
    must_say("2 packets: 1 dropped by software.\n");
    must_say("the smallest capture, 2 packets that still show packet 2: 1 2\n");
    must_say("No waves: the card does not take this SA file.");
}

// ---- the shipped example
static void test_example_is_what_its_script_makes(void **state)
{
    (void)state;
    must_exit(run("/usr/bin/python3 " EXAMPLES "/make_example.py %s", folder), 0);
    must_exit(run("cmp %s/example.sad " EXAMPLES "/example.sad && cmp %s/example.pcap " EXAMPLES
                  "/example.pcap",
                  folder, folder),
              0);
}

static void test_example_runs_as_it_is_on_both_engines_and_scapy_opens_the_result(void **state)
{
    static const char *const engines[] = {"card", "soft"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        replay_example(engines[i]);
        json_t *got = load("stats.json");
        json_t *packets = json_pack("{s:i,s:i,s:i,s:i,s:i,s:i}", "in", 30, "out", 25, "encrypted", 12,
                                    "decrypted", 9, "bypassed", 4, "dropped", 5);
        json_t *drops =
            json_pack("{s:i,s:i,s:i,s:i}", "POLICY", 2, "NO_SA", 1, "ICV_FAIL", 1, "REPLAY_SEEN", 1);
        assert_true(json_equal(json_object_get(got, "packets"), packets));
        assert_true(json_equal(json_object_get(got, "drops"), drops));
        json_decref(got);
        json_decref(packets);
        json_decref(drops);
        must_exit(run("/usr/bin/python3 tests/rtl/replay_example_check.py %s/%s.pcap", folder, engines[i]),
                  0);
    }
    must_be_same_file("card.pcap", "soft.pcap", "the example's packets");
}

static void test_example_is_opened_by_tshark(void **state)
{
    (void)state;
    if (run("command -v tshark") != 0) {
        print_message("skip: tshark is not there\n");
        skip();
    }
    replay_example("card");
    must_exit(
        run("HOME=%s tshark -r %s/card.pcap -o esp.enable_encryption_decode:TRUE "
            "-o 'uat:esp_sa:\"IPv4\",\"192.0.2.1\",\"198.51.100.1\",\"0xb0000001\","
            "\"AES-GCM with 16 octet ICV [RFC4106]\","
            "\"0x101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2fb0b1b2b3\",\"NULL\",\"\"' "
            "-Y 'esp && icmp' -T fields -e esp.sequence -e ip.src -e icmp.seq -e data.len 2>/dev/null",
            folder, folder),
        0);
    assert_string_equal(output, "1\t192.0.2.1,10.1.0.5\t1\t\n2\t192.0.2.1,10.1.0.5\t2\t8\n"
                                "3\t192.0.2.1,10.1.0.5\t3\t56\n4\t192.0.2.1,10.1.0.5\t4\t200\n"
                                "5\t192.0.2.1,10.1.0.5\t5\t700\n6\t192.0.2.1,10.1.0.5\t6\t1372\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_summary_tells_ends_reasons_and_cycles),
        cmocka_unit_test(test_replay_summary_gives_the_ideal_of_the_outer_packets),
        cmocka_unit_test(test_replay_summary_counts_cycles_that_dropped_packets_took),
        cmocka_unit_test(test_replay_says_loudly_when_nothing_was_protected),
        cmocka_unit_test(test_replay_summary_leaves_standard_output_to_an_output_there),
        cmocka_unit_test(test_replay_shows_progress_on_a_terminal_only),
        cmocka_unit_test(test_explain_says_why_each_packet_of_the_example_is_dropped),
        cmocka_unit_test(test_explain_finds_where_card_and_software_disagree),
        cmocka_unit_test(test_explain_without_the_card_goes_by_software),
        cmocka_unit_test(test_example_is_what_its_script_makes),
        cmocka_unit_test(test_example_runs_as_it_is_on_both_engines_and_scapy_opens_the_result),
        cmocka_unit_test(test_example_is_opened_by_tshark),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
