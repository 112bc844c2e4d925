// SPDX-License-Identifier: Apache-2.0
// What espalier-sim replay reads and writes: refusals with their exit codes, captures of every form and
// state, and outputs that are whole or not there.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "espalier/version.h"
#include "tests/rtl/replay_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_refusals_have_their_exit_code_and_leave_no_output),
        cmocka_unit_test(test_replay_cut_capture_is_processed_up_to_the_cut),
        cmocka_unit_test(test_replay_pcapng_gives_the_same_packets_as_pcap),
        cmocka_unit_test(test_replay_full_disk_is_a_failure_and_leaves_no_half_output),
        cmocka_unit_test(test_replay_ended_by_a_signal_leaves_nothing_behind),
        cmocka_unit_test(test_replay_outputs_follow_links_and_leave_devices_alone),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
