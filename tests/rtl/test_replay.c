// SPDX-License-Identifier: Apache-2.0
// espalier-sim end to end. Random captures go through the software engine and the card's pipeline at 1, 2 and
// 4 lanes; an independent model (replay_oracle.py, python3-cryptography) says what must come out, byte for
// byte and counter for counter. Also the vector commands, refusals, waves and statistics.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <jansson.h>
#include <cmocka.h>

#include "espalier/version.h"

#ifndef ESPALIER_SIM
#define ESPALIER_SIM "build/bin/espalier-sim"
#endif
#define ORACLE  "/usr/bin/python3 tests/rtl/replay_oracle.py"
#define VECTORS "tests/rtl/replay_vectors"
#define SHARED  "tests/vectors"
#define CAVP    "/usr/lib/python3/dist-packages/cryptography_vectors/vectors/ciphers/AES/GCM"
#define CAVP_11 "/usr/lib/python3/dist-packages/cryptography_vectors/ciphers/AES/GCM"

static char folder[] = "/tmp/espalier-replay-XXXXXX";
static char output[4096]; // stdout and stderr of the last command

__attribute__((format(printf, 1, 2))) static int run(const char *fmt, ...)
{
    char command[1024], whole[1100];
    size_t n;
    va_list ap;
    FILE *p;

    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    snprintf(whole, sizeof(whole), "( %s ) 2>&1", command);
    p = popen(whole, "r");
    assert_non_null(p);
    n = fread(output, 1, sizeof(output) - 1, p);
    output[n] = 0;
    while (fgetc(p) != EOF)
        ;
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void must_exit(int code, int expected)
{
    if (code != expected)
        fail_msg("exit %d, expected %d; output:\n%s", code, expected, output);
}

static void must_say(const char *text)
{
    if (!strstr(output, text))
        fail_msg("got:\n%sexpected: %s", output, text);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return run("rm -rf %s", folder);
}

static char *slurp(const char *name, size_t *len)
{
    char path[128], *data;
    struct stat st = {0};
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) != 0)
        fail_msg("%s is not there", path);
    data = malloc((size_t)st.st_size + 1);
    *len = fread(data, 1, (size_t)st.st_size, f);
    fclose(f);
    return data;
}

static void must_be_same_file(const char *got, const char *expected, const char *what)
{
    size_t n, m, i;
    char *a = slurp(got, &n), *b = slurp(expected, &m);

    for (i = 0; i < n && i < m && a[i] == b[i]; i++)
        ;
    if (n != m || i != n)
        fail_msg("%s: %s has %zu octets, %s %zu; the first difference is at octet %zu", what, got, n,
                 expected, m, i);
    free(a);
    free(b);
}

static json_t *load(const char *name)
{
    char path[128];
    json_error_t err;
    json_t *j;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    j = json_load_file(path, 0, &err);
    if (!j)
        fail_msg("%s: line %d: %s", path, err.line, err.text);
    return j;
}

static void must_be_same_member(json_t *got, json_t *expected, const char *name, const char *what)
{
    json_t *a = json_object_get(got, name), *b = json_object_get(expected, name);

    if (!json_equal(a, b))
        fail_msg("%s: %s\ngot:      %s\nexpected: %s", what, name, json_dumps(a, JSON_COMPACT),
                 json_dumps(b, JSON_COMPACT));
}

// ---- captures and SA files of one kind
// Raw IP packets of one size from 10.0.0.1, to 10.1.0.0, 10.1.0.1 ... (as many destinations as there are
// SAs).
static void write_traffic(unsigned packets, unsigned size, unsigned sas)
{
    static const uint8_t header[24] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, [18] = 4, [20] = 101};
    uint8_t record[16 + 9600] = {
        [8] = (uint8_t)size, [9] = (uint8_t)(size >> 8), [12] = (uint8_t)size, [13] = (uint8_t)(size >> 8)};
    uint8_t *ip = record + 16;
    char path[128];
    FILE *f;

    memcpy(ip, "\x45\0\0\0\0\0\x40\0\x40\x11\0\0\x0a\0\0\1\x0a\1", 18);
    ip[2] = (uint8_t)(size >> 8);
    ip[3] = (uint8_t)size;
    snprintf(path, sizeof(path), "%s/in.pcap", folder);
    f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(header, 1, sizeof(header), f);
    for (unsigned i = 0; i < packets; i++) {
        ip[18] = (uint8_t)(i % sas >> 8);
        ip[19] = (uint8_t)(i % sas);
        fwrite(record, 1, 16 + size, f);
    }
    fclose(f);
}

static void write_capture(unsigned packets)
{
    write_traffic(packets, 46, 1);
}

static void write_sas(unsigned sas)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/sad", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    for (unsigned i = 0; i < sas; i++)
        fprintf(
            f,
            "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi %u reqid %u mode tunnel replay-window 64 "
            "aead 'rfc4106(gcm(aes))' 0x%032xcafebabe 128\n"
            "xfrm policy add dst 10.1.%u.%u dir out tmpl src 1.1.1.1 dst 2.2.2.2 proto esp mode tunnel reqid "
            "%u\n",
            1000 + i, i + 1, i + 1, i >> 8, i & 255, i + 1);
    fclose(f);
}

static void write_sad(const char *more)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/sad", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0x100 mode tunnel replay-window 32 "
            "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0fcafebabe 128\n"
            "xfrm policy add src 10.0.0.0/8 dst 10.1.0.0 dir out tmpl src 1.1.1.1 dst 2.2.2.2 proto esp mode "
            "tunnel\n"
            "%s",
            more);
    fclose(f);
}

// The start, end and time unit of a wave file: the head of its first block (GTKWave's FST format).
struct wave {
    off_t size;
    uint64_t start, end;
    int8_t unit; // power of ten seconds
};

static struct wave wave_head(void)
{
    char path[128];
    uint8_t head[74];
    struct wave w = {0};
    struct stat st = {0};
    FILE *f;

    snprintf(path, sizeof(path), "%s/wave.fst", folder);
    assert_int_equal(stat(path, &st), 0);
    f = fopen(path, "rb");
    assert_int_equal(fread(head, 1, sizeof(head), f), sizeof(head));
    fclose(f);
    assert_int_equal(head[0], 0); // a header block
    w.size = st.st_size;
    for (int i = 0; i < 8; i++) {
        w.start = w.start << 8 | head[9 + i];
        w.end = w.end << 8 | head[17 + i];
    }
    w.unit = (int8_t)head[73];
    return w;
}

static struct wave wave(const char *window)
{
    must_exit(run(ESPALIER_SIM " replay --sad %s/sad --in %s/in.pcap --out %s/out.pcap --fst %s/wave.fst %s",
                  folder, folder, folder, folder, window),
              0);
    return wave_head();
}

// ---- replay against the model
static void replay(const char *engine)
{
    must_exit(run(ESPALIER_SIM
                  " replay --sad %s/sad --in %s/in.pcap --out %s/out.pcap --json %s/stats.json %s",
                  folder, folder, folder, folder, engine),
              0);
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

static void against_model(const char *engine, unsigned from, unsigned to)
{
    if (run("/usr/bin/python3 -c 'import cryptography'") != 0) {
        print_message("skip: python3-cryptography is not there\n");
        skip();
    }
    for (unsigned seed = from; seed < to; seed++) {
        must_exit(run(ORACLE " %s %u 700%s", folder, seed, strstr(engine, "soft") ? " soft" : ""), 0);
        replay(engine);
        compare(seed, engine);
    }
}

static void test_replay_software_equals_independent_model(void **state)
{
    (void)state;
    against_model("--engine soft", 100, 120);
}

static void test_replay_card_1_lane_equals_independent_model(void **state)
{
    (void)state;
    against_model("--engine card", 200, 212);
}

static void test_replay_card_2_lanes_equals_independent_model(void **state)
{
    (void)state;
    against_model("--lanes 2", 500, 508);
}

static void test_replay_card_4_lanes_equals_independent_model(void **state)
{
    (void)state;
    against_model("--lanes 4", 300, 308);
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

#define EXAMPLES "sim/workbench/examples"

static void replay_example(const char *engine)
{
    must_exit(run(ESPALIER_SIM " replay --engine %s --sad " EXAMPLES "/example.sad --in " EXAMPLES
                               "/example.pcap --out %s/%s.pcap --json %s/stats.json",
                  engine, folder, engine, folder),
              0);
}

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

static void test_replay_refuses_ipv6_and_transport_mode_by_name_where_they_are_not_offered(void **state)
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
        {"src 1.1.1.1 dst 2.2.2.2", "transport", "--engine card",
         "the card has no transport mode: --engine soft has it"},
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

// ---- vectors
static void test_vectors_cavp_all_6300_that_fit_pass(void **state)
{
    const char *dir = access(CAVP, R_OK) == 0 ? CAVP : CAVP_11;

    (void)state;
    if (access(dir, R_OK) != 0) {
        print_message("skip: python3-cryptography-vectors is not there\n");
        skip();
    }
    must_exit(run(ESPALIER_SIM " vectors %s/gcmEncryptExtIV*.rsp %s/gcmDecrypt*.rsp", dir, dir), 0);
    must_say("\n6300 passed, 0 failed, 40950 skipped\n");
    must_say("2100 of those that passed are AES-192 or ChaCha20-Poly1305: software only");
}

static void test_vectors_wycheproof_schema_counts_each_kind(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " vectors " VECTORS "/aead.json"), 0);
    must_say("\n7 passed, 0 failed, 4 skipped\n");
    must_say("IV of other than 96 bits");
    must_say("more than 16 octets of additional data");
    must_say("tag of fewer than 4 octets");
}

static void test_vectors_excerpts_of_wycheproof_and_cavp_pass(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " vectors " SHARED "/wycheproof/aes_gcm.json"), 0);
    must_say("\n30 passed, 0 failed, 9 skipped\n");
    must_exit(run(ESPALIER_SIM " vectors " SHARED "/wycheproof/chacha20_poly1305.json"), 0);
    must_say("28 of those that passed are AES-192 or ChaCha20-Poly1305: software only");
    must_say("\n28 passed, 0 failed, 3 skipped\n");
    must_exit(run(ESPALIER_SIM " vectors " SHARED "/cavp/*.rsp"), 0);
    must_say("180 passed, 0 failed, 0 skipped\n");
}

static void test_vectors_of_a_file_without_any_are_refused(void **state)
{
    (void)state;
    must_exit(run("echo '{\"algorithm\": \"AES-GCM\", \"testGroups\": []}' > %s/e.json; " ESPALIER_SIM
                  " vectors %s/e.json",
                  folder, folder),
              2);
    must_say("e.json: no vector found");
    must_exit(run("echo '[]' > %s/e.json; " ESPALIER_SIM " esp-vectors %s/e.json", folder, folder), 2);
    must_say("e.json: no vector found");
}

static void test_vectors_wrong_expectation_fails(void **state)
{
    (void)state;
    must_exit(run("sed 's/0388dace60b6a392f328c2b971b2fe78/0388dace60b6a392f328c2b971b2fe79/' " VECTORS
                  "/aead.json > %s/wrong.json",
                  folder),
              0);
    must_exit(run(ESPALIER_SIM " vectors %s/wrong.json", folder), 1);
    must_say("vector 1: RTL");
    must_say("\n5 passed, 2 failed, 4 skipped\n");
    must_exit(run(ESPALIER_SIM " vectors %s/none.rsp", folder), 2);
    must_exit(run("echo 'PLAINTEXT = 00' > %s/cbc.rsp; " ESPALIER_SIM " vectors %s/cbc.rsp", folder, folder),
              2);
    must_say("line 1: expected a field of a GCM response file, found \"PLAINTEXT\"");
}

static void test_esp_vectors_own_pass_both_ways(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " esp-vectors " VECTORS "/esp.json"), 0);
    must_say("2 through core and OpenSSL; 6 decapsulations and 4 encapsulations");
    must_say("\n3 passed, 0 failed, 0 skipped\n");
    must_exit(
        run("sed 's/\"inner\": \"4500/\"inner\": \"4501/' " VECTORS "/esp.json > %s/wrong.json", folder), 0);
    must_exit(run(ESPALIER_SIM " esp-vectors %s/wrong.json", folder), 1);
    must_say("another inner packet");
}

static void test_esp_vectors_of_others_pass(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " esp-vectors " SHARED "/esp.json"), 0);
    must_say("2 of those that passed are AES-192 or ChaCha20-Poly1305: software only");
    must_say("\n25 passed, 0 failed, 5 skipped\n");
}

static void test_ike_vectors_recorded_exchanges_pass(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " ike-vectors " SHARED "/ikev2/*.json"), 0);
    must_say("skipped      2: AUTH by ECPublicKey/sha256: only shared secrets are checked");
    must_say("\n70 passed, 0 failed, 2 skipped\n");
}

// What is changed in the record of one exchange, and what is then wrong with it.
static void test_ike_vectors_changed_exchanges_fail_where_they_were_changed(void **state)
{
    static const struct {
        const char *python, *says;
        int code;
    } cases[] = {
        {"j['ike_sas'][0]['sk_pr']='00'+j['ike_sas'][0]['sk_pr'][2:]", "IKE SA 0: another SK_pr", 1},
        {"j['ike_sas'][0]['gir']='00'+j['ike_sas'][0]['gir'][2:]", "IKE SA 0: another SK_d", 1},
        {"j['child_sas'][0]['encr_r']='00'+j['child_sas'][0]['encr_r'][2:]", "CHILD SA 0: another key", 1},
        {"j['messages'][2]['plaintext']='00'+j['messages'][2]['plaintext'][2:]",
         "message 2: other payloads inside", 1},
        {"j['messages'][3]['msg']=j['messages'][3]['msg'][:-2]+'00'", "message 3: cannot be opened", 1},
        {"j['messages'][0]['msg']=j['messages'][0]['msg'][:-2]", "message 0: its header is refused", 1},
        {"j['auth'][0]['verified']='psk:another'", "AUTH in message 2: another AUTH", 1},
        {"j['messages'][1]['msg']='xyz'", "message 1: \"msg\" is missing or malformed", 2},
        {"j['ike_sas'][0]['spi_i']='00'", "IKE SA 0: \"spi_i\" is missing or malformed", 2},
        {"j['algs']['1'][1]=999", "algorithm 1: \"algs\" is missing or malformed", 2},
        {"del j['ike_sas']", "no \"ike_sas\", expected a recorded IKEv2 exchange", 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        must_exit(run("/usr/bin/python3 -c \"import json; j=json.load(open('" SHARED
                      "/ikev2/psk-gcm256-ecp256.json')); %s; json.dump(j, open('%s/ike.json', 'w'))\"",
                      cases[i].python, folder),
                  0);
        must_exit(run(ESPALIER_SIM " ike-vectors %s/ike.json", folder), cases[i].code);
        must_say(cases[i].says);
    }
    must_exit(run("echo '{' > %s/ike.json; " ESPALIER_SIM " ike-vectors %s/ike.json", folder, folder), 2);
    must_say("ike.json: line ");
}

// ---- command line
static void test_replay_refusals_have_their_exit_code_and_leave_no_output(void **state)
{
    char out[128];

    (void)state;
    write_capture(1);
    write_sad("xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 1 mode tunnel bogus\n");
    must_exit(
        run(ESPALIER_SIM " replay --sad %s/sad --in %s/in.pcap --out %s/none.pcap", folder, folder, folder),
        2);
    must_say("sad:3: \"bogus\": not honoured in xfrm state");
    write_sad("xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 1 mode tunnel "
              "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0fcafebabe 128\n");
    must_exit(run(ESPALIER_SIM " replay --sad %s/sad --in %s/in.pcap --out %s/none.pcap --sas 1", folder,
                  folder, folder),
              2);
    must_say("2 states, but the engine has 1 slots");
    must_exit(run(ESPALIER_SIM " replay --sad %s/sad --in %s/sad --out %s/none.pcap", folder, folder, folder),
              2);
    must_say("is no capture file: unknown file format");
    snprintf(out, sizeof(out), "%s/none.pcap", folder);
    assert_int_equal(access(out, F_OK), -1);
    must_exit(run(ESPALIER_SIM " replay --sad %s/sad --in %s/in.pcap", folder, folder), 2);
    must_exit(run(ESPALIER_SIM " replay --sad /tmp --in %s/in.pcap --out %s/none.pcap", folder, folder), 2);
    must_say("/tmp: cannot be read: Is a directory");
    must_exit(run(ESPALIER_SIM " replay --sad a --in b --out c --lanes 3"), 2);
    must_say("--lanes: expected 1, 2 or 4, found \"3\"");
    must_exit(run(ESPALIER_SIM " replay --sad a --in b --out c --lanes 0"), 2);
    must_exit(run(ESPALIER_SIM " replay --sad a --in b --out c --sas 1025"), 2);
    must_say("--sas: expected 1 ... 1024, found \"1025\"");
    must_exit(run(ESPALIER_SIM " replay --sad a --in b --out c --engine fpga"), 2);
    must_say("--engine: expected card or soft, found \"fpga\"");
    must_exit(run(ESPALIER_SIM " replay --sad a --in b --out c --window 1:2"), 2);
    must_exit(run(ESPALIER_SIM " replay --sad a --in b --out c --fst f --window 2:1"), 2);
    must_exit(run(ESPALIER_SIM " ike-vectors"), 2);
    must_say("name at least one file for \"ike-vectors\"");
    must_exit(run(ESPALIER_SIM " bogus"), 2);
    must_exit(run(ESPALIER_SIM), 2);
    must_exit(run(ESPALIER_SIM " --help"), 0);
    must_exit(run(ESPALIER_SIM " --version"), 0);
    must_say("espalier-sim " ESPALIER_VERSION "\n");
}

// The whole packets before the cut come out, as they do of tcpdump and tshark; the exit code tells.
static void test_replay_cut_capture_is_processed_up_to_the_cut(void **state)
{
    static const unsigned cuts[] = {1, 30, 46 + 7}; // octets off a file of 50 packets of 16 + 46
    char *whole, *part;
    size_t n, m;

    (void)state;
    write_capture(49);
    write_sad("");
    replay("--engine soft");
    whole = slurp("out.pcap", &n);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        write_capture(50);
        must_exit(run("truncate -s -%u %s/in.pcap; rm -f %s/out.pcap %s/stats.json", cuts[i], folder, folder,
                      folder),
                  0);
        must_exit(
            run(ESPALIER_SIM
                " replay --engine soft --sad %s/sad --in %s/in.pcap --out %s/out.pcap --json %s/stats.json",
                folder, folder, folder, folder),
            1);
        must_say("in.pcap: packet 50: truncated dump file");
        must_say("(the packets before it were processed)");
        part = slurp("out.pcap", &m);
        assert_int_equal(n, m);
        assert_memory_equal(part, whole, n);
        free(part);
        json_t *j = load("stats.json");
        assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "packets"), "encrypted")), 49);
        json_decref(j);
    }
    free(whole);
}

// What Wireshark writes by default; editcap is Wireshark's own converter.
static void test_replay_pcapng_gives_the_same_packets_as_pcap(void **state)
{
    (void)state;
    if (run("command -v editcap") != 0) {
        print_message("skip: editcap is not there\n");
        skip();
    }
    must_exit(run("editcap -F pcapng " EXAMPLES "/example.pcap %s/in.pcapng", folder), 0);
    must_exit(run("editcap -F nsecpcap " EXAMPLES "/example.pcap %s/in.ns", folder), 0);
    for (int i = 0; i < 2; i++)
        must_exit(run(ESPALIER_SIM " replay --engine soft --sad " EXAMPLES
                                   "/example.sad --in %s/in.%s --out %s/%s.pcap",
                      folder, i ? "ns" : "pcapng", folder, i ? "ns" : "ng"),
                  0);
    must_be_same_file("ng.pcap", "ns.pcap", "pcapng and classic pcap in nanoseconds");
    must_exit(run("/usr/bin/python3 tests/rtl/replay_example_check.py %s/ng.pcap", folder), 0);
}

static void test_replay_full_disk_is_a_failure_and_leaves_no_half_output(void **state)
{
    (void)state;
    write_sad("");
    write_capture(2);
    must_exit(run(ESPALIER_SIM " replay --engine soft --sad %s/sad --in %s/in.pcap --out /dev/full", folder,
                  folder),
              1);
    must_say("/dev/full: cannot be written: No space left on device");
    must_exit(run("rm -f %s/out.pcap; " ESPALIER_SIM
                  " replay --engine soft --sad %s/sad --in %s/in.pcap --out %s/out.pcap --json /dev/full",
                  folder, folder, folder, folder),
              1);
    must_say("/dev/full: cannot be written: No space left on device");
    must_exit(run("ls %s | grep out[.]pcap", folder), 1);
}

// A fifo as input keeps the run open until the signal comes.
static void test_replay_ended_by_a_signal_leaves_nothing_behind(void **state)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"INT", 2}, {"TERM", 15}, {"HUP", 1}};

    (void)state;
    write_sad("");
    write_capture(1);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        must_exit(run("mkdir %s/d && mkfifo %s/d/fifo", folder, folder), 0);
        must_exit(run("exec 9<>%s/d/fifo; cat %s/in.pcap >&9; (sleep 1; ls %s/d) & "
                      "timeout --preserve-status -s %s 2 " ESPALIER_SIM
                      " replay --engine soft --sad %s/sad --in %s/d/fifo --out %s/d/out.pcap; code=$?; "
                      "ls %s/d; exit $code",
                      folder, folder, folder, signals[i].name, folder, folder, folder, folder),
                  128 + signals[i].number);
        must_say("fifo\nout.pcap."); // it was there
        assert_string_equal(output + strlen(output) - 5, "fifo\n");
        assert_null(strstr(strstr(output, "out.pcap.") + 1, "out.pcap"));
        must_exit(run("rm -r %s/d", folder), 0);
    }
}

static void test_replay_outputs_follow_links_and_leave_devices_alone(void **state)
{
    (void)state;
    write_sad("");
    write_capture(1);
    must_exit(
        run("cd %s && ln -s real.pcap out.link && ln -s real.json json.link && touch real.pcap real.json",
            folder),
        0);
    must_exit(run(ESPALIER_SIM
                  " replay --engine soft --sad %s/sad --in %s/in.pcap --out %s/out.link --json %s/json.link",
                  folder, folder, folder, folder),
              0);
    must_exit(
        run("cd %s && test -L out.link && test -L json.link && test -s real.pcap && grep -q soft real.json",
            folder),
        0);
    must_exit(run(ESPALIER_SIM " replay --engine soft --sad %s/sad --in %s/in.pcap --out /dev/null --json "
                               "/dev/stdout > %s/std.json",
                  folder, folder, folder),
              0);
    must_exit(run("test -c /dev/null && test -L /dev/stdout && grep -q soft %s/std.json", folder), 0);
    must_exit(run("cd %s && ls | grep 'real[.][a-z]*[.]'", folder), 1); // no temporary file is left
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
        cmocka_unit_test(test_replay_damaged_packets_card_equals_software),
        cmocka_unit_test(test_replay_card_refuses_algorithms_that_only_software_has),
        cmocka_unit_test(test_replay_summary_tells_ends_reasons_and_cycles),
        cmocka_unit_test(test_replay_summary_gives_the_ideal_of_the_outer_packets),
        cmocka_unit_test(test_replay_summary_counts_cycles_that_dropped_packets_took),
        cmocka_unit_test(test_replay_says_loudly_when_nothing_was_protected),
        cmocka_unit_test(test_replay_summary_leaves_standard_output_to_an_output_there),
        cmocka_unit_test(test_replay_shows_progress_on_a_terminal_only),
        cmocka_unit_test(test_replay_every_mix_of_families_and_modes_is_opened_by_scapy),
        cmocka_unit_test(test_replay_refuses_ipv6_and_transport_mode_by_name_where_they_are_not_offered),
        cmocka_unit_test(test_explain_says_why_each_packet_of_the_example_is_dropped),
        cmocka_unit_test(test_explain_finds_where_card_and_software_disagree),
        cmocka_unit_test(test_explain_without_the_card_goes_by_software),
        cmocka_unit_test(test_example_is_what_its_script_makes),
        cmocka_unit_test(test_example_runs_as_it_is_on_both_engines_and_scapy_opens_the_result),
        cmocka_unit_test(test_example_is_opened_by_tshark),
        cmocka_unit_test(test_vectors_cavp_all_6300_that_fit_pass),
        cmocka_unit_test(test_vectors_wycheproof_schema_counts_each_kind),
        cmocka_unit_test(test_vectors_excerpts_of_wycheproof_and_cavp_pass),
        cmocka_unit_test(test_vectors_of_a_file_without_any_are_refused),
        cmocka_unit_test(test_vectors_wrong_expectation_fails),
        cmocka_unit_test(test_esp_vectors_own_pass_both_ways),
        cmocka_unit_test(test_esp_vectors_of_others_pass),
        cmocka_unit_test(test_ike_vectors_recorded_exchanges_pass),
        cmocka_unit_test(test_ike_vectors_changed_exchanges_fail_where_they_were_changed),
        cmocka_unit_test(test_replay_refusals_have_their_exit_code_and_leave_no_output),
        cmocka_unit_test(test_replay_cut_capture_is_processed_up_to_the_cut),
        cmocka_unit_test(test_replay_pcapng_gives_the_same_packets_as_pcap),
        cmocka_unit_test(test_replay_full_disk_is_a_failure_and_leaves_no_half_output),
        cmocka_unit_test(test_replay_ended_by_a_signal_leaves_nothing_behind),
        cmocka_unit_test(test_replay_outputs_follow_links_and_leave_devices_alone),
        cmocka_unit_test(test_replay_statistics_have_the_members_of_the_interface),
        cmocka_unit_test(test_replay_statistics_give_cycles_for_the_card_only),
        cmocka_unit_test(test_replay_cycles_are_the_egress_beats_at_every_size),
        cmocka_unit_test(test_replay_wave_window_holds_less_than_the_whole),
        cmocka_unit_test(test_replay_wave_has_the_time_of_the_nominal_clock),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
