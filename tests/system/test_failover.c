// SPDX-License-Identifier: Apache-2.0
// The card goes at a random moment, in every way that it can go, under traffic both ways: the files arrive
// whole, every numbered packet arrives, no (SPI, sequence) is seen twice on the wire and nothing in clear.
// ESPALIER_ROUNDS: rounds of each way (3); ESPALIER_SEED: the moments (printed; the time of day).
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/harness.h"

static struct lab lab;
static unsigned rounds = 3, seed;
static char pcap[200];
static char lease[40] = "lease_min=4096"; // packets

static int tear_down(void **state)
{
    (void)state;
    if (lab.card > 0)
        kill(lab.card, SIGCONT);
    lab_down(&lab);
    memset(&lab, 0, sizeof(lab));
    return 0;
}

static bool has_card(void *ctx)
{
    char out[16384];
    (void)ctx;
    swanctl(&lab.west, out, sizeof(out), "--counters --all --raw");
    return number_after(out, "card_present", 0) == 1;
}

static uint64_t stat(const char *name)
{
    char out[16384];
    swanctl(&lab.west, out, sizeof(out), "--counters --all --raw");
    return number_after(out, name, 0);
}

// What was run again in software is no replay, and nothing is lost without a reason.
static bool no_drops(void)
{
    char out[16384];
    swanctl(&lab.west, out, sizeof(out), "--counters --all --raw");
    for (const char *at = strstr(out, "drop_"); at; at = strstr(at + 1, "drop_")) {
        bool ours = !strncmp(at, "drop_in_", 8) || !strncmp(at, "drop_out_", 9);
        if (ours && strncmp(at, "drop_out_POLICY", 15) != 0)
            return complain("west has dropped packets: %.60s", at);
    }
    return true;
}

static bool failed_over(void *ctx)
{
    (void)ctx;
    return stat("failovers") == 1;
}

static bool initiate(void)
{
    char out[16384];
    return swanctl(&lab.west, out, sizeof(out), "--initiate --child net --timeout 20") == 0 ||
           complain("%s", out);
}

// Datagrams that a kernel dropped because a socket was full: the only loss that is not ours.
static uint64_t overflows(void)
{
    char out[64] = "";
    uint64_t n = 0;
    const struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        sh_read(out, sizeof(out), "ip netns exec %s awk '/^Udp:/ && ++n == 2 {print $6}' /proc/net/snmp",
                both[i]->ns);
        n += strtoull(out, NULL, 10);
    }
    return n;
}

static void start(void)
{
    static char *const no_card[] = {"--card", "none", NULL};
    char *with_card[] = {"--card", "auto", "--pci-sysfs", lab.card_dir, "-o", lease, NULL};
    struct tunnel_options o = {.encap = true, .hw_offload = "auto"}, plain = {.encap = true};
    assert_true(lab_up(&lab, "espfail"));
    snprintf(pcap, sizeof(pcap), "%.90s/wire.pcap", lab.dir);
    assert_true(card_start(&lab, ""));
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, with_card));
    assert_true(wait_for(has_card, NULL, PATIENCE_MS));
    assert_true(capture_start(&lab, &lab.west, pcap));
}

static void check_wire(uint64_t least)
{
    struct wire w;
    assert_true(capture_stop(&lab.west));
    assert_true(wire_check(pcap, &w));
    assert_true(w.esp >= least);
    assert_int_equal(w.repeated, 0);
    assert_int_equal(w.plaintext, 0);
}

static bool control(const char *command)
{
    return sh("%s/espalier-card ctl --dir %s %s", bin_dir(), lab.card_dir, command) == 0;
}

// The end of the card, a command to its control socket or a signal, after a random time, from a process of
// its own.
static pid_t doom(const char *fault, int sig, unsigned least_ms, unsigned spread_ms)
{
    unsigned ms = least_ms + (unsigned)rand() % spread_ms;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        usleep(ms * 1000);
        if (sig)
            _exit(kill(lab.card, sig) != 0);
        _exit(!control(fault));
    }
    return pid;
}

static bool done(pid_t pid)
{
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool both_ways(size_t bytes)
{
    pid_t back = fork();
    if (back == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(!transfer(&lab, &lab.east, &lab.west, bytes, 60000, NULL, NULL));
    }
    bool there = transfer(&lab, &lab.west, &lab.east, bytes, 60000, NULL, NULL);
    return done(back) && there;
}

static void goes(const char *fault, int sig)
{
    struct probe probe;
    struct probe_result r;
    char sas[16384];
    for (unsigned i = 0; i < rounds; i++) {
        start();
        assert_true(initiate());
        uint64_t lost = overflows();
        assert_true(probe_start(&lab, &probe, &lab.west, &lab.east, 3000));
        pid_t doomed = doom(fault, sig, 100, 900);
        assert_true(both_ways(256 << 10));
        assert_true(done(doomed));
        assert_true(wait_for(failed_over, NULL, 3000));
        assert_true(both_ways(64 << 10));
        assert_true(probe_stop(&probe, &r));
        lost = overflows() - lost;
        if (r.received + lost < r.sent)
            fail_msg("round %u: of %llu numbered packets %llu came (overflows: %llu)", i,
                     (unsigned long long)r.sent, (unsigned long long)r.received, (unsigned long long)lost);
        assert_int_equal(r.repeated, 0);
        assert_int_equal(stat("failover_sas_moved"), 2);
        assert_true(no_drops());
        swanctl(&lab.west, sas, sizeof(sas), "--list-sas --raw");
        assert_non_null(strstr(sas, "offload=software"));
        print_message("  gap %.1f ms, detection %.1f ms, software after %.1f ms, %llu run again, lost in "
                      "sockets %llu\n",
                      (double)r.max_gap_us / 1e3,
                      (double)stat("failover_last_completion_to_detection_us") / 1e3,
                      (double)stat("failover_detection_to_first_packet_us") / 1e3,
                      (unsigned long long)stat("failover_packets_rerun"), (unsigned long long)lost);
        check_wire(500);
        if (i + 1 < rounds)
            tear_down(NULL);
    }
}

static void test_killed(void **state)
{
    (void)state;
    goes(NULL, SIGKILL);
}

static void test_ended_in_order(void **state)
{
    (void)state;
    goes(NULL, SIGTERM);
}

static void test_pulled(void **state)
{
    (void)state;
    goes("fault dead", 0);
}

static void test_hung(void **state)
{
    (void)state;
    goes("fault hang", 0);
}

static void test_reset_by_someone_else(void **state)
{
    (void)state;
    goes("reset", 0);
}

static void test_nonsense(void **state)
{
    static const char *const modes[] = {"fault bad-cookie", "fault bad-length", "fault bad-head",
                                        "fault bad-status", "fault bad-epoch"};
    unsigned all = rounds;
    (void)state;
    rounds = 1;
    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        goes(modes[i], 0);
        if (i + 1 < sizeof(modes) / sizeof(modes[0]))
            tear_down(NULL);
    }
    rounds = all;
}

static void test_killed_during_installation(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * rounds; i++) {
        start();
        pid_t doomed = doom(NULL, SIGKILL, 1, 60);
        assert_true(initiate());
        assert_true(done(doomed));
        assert_true(both_ways(64 << 10));
        check_wire(50);
        if (i + 1 < 2 * rounds)
            tear_down(NULL);
    }
}

// A stopped process cannot be shown silent: it may wake and go on. Its outbound SAs end, and new ones protect
// again.
static void test_stopped_and_continued(void **state)
{
    struct probe probe;
    struct probe_result r;
    (void)state;
    for (unsigned i = 0; i < rounds; i++) {
        start();
        assert_true(initiate());
        assert_true(probe_start(&lab, &probe, &lab.west, &lab.east, 2000));
        pid_t doomed = doom(NULL, SIGSTOP, 200, 400);
        assert_true(done(doomed));
        assert_true(wait_for(failed_over, NULL, 8000));
        usleep(300000); // SAs end at both sides, traffic goes on knocking
        kill(lab.card, SIGCONT);
        assert_true(initiate());
        assert_true(both_ways(64 << 10));
        assert_true(probe_stop(&probe, &r));
        assert_int_equal(r.repeated, 0);
        check_wire(100);
        if (i + 1 < rounds)
            tear_down(NULL);
    }
}

// The card runs into the end of its lease again and again.
static void test_killed_with_tiny_leases(void **state)
{
    (void)state;
    snprintf(lease, sizeof(lease), "lease_min=64");
    goes(NULL, SIGKILL);
    snprintf(lease, sizeof(lease), "lease_min=4096");
}

// Nobody is told that work is done: slow, and no reason to give the card up.
static void test_interrupts_lost(void **state)
{
    (void)state;
    start();
    assert_true(initiate());
    assert_true(both_ways(32 << 10));
    assert_true(control("fault drop-irq"));
    assert_true(both_ways(32 << 10));
    assert_int_equal(stat("failovers"), 0);
    check_wire(50);
}

static void test_stopped_before_it_is_opened(void **state)
{
    (void)state;
    static char *const no_card[] = {"--card", "none", NULL};
    char *with_card[] = {"--card", "auto", "--pci-sysfs", lab.card_dir, NULL};
    struct tunnel_options o = {.encap = true, .hw_offload = "auto"}, plain = {.encap = true};
    assert_true(lab_up(&lab, "espfail"));
    assert_true(card_start(&lab, ""));
    kill(lab.card, SIGSTOP);
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, with_card));
    assert_true(initiate());
    assert_true(both_ways(256 << 10));
    assert_int_equal(stat("card_present"), 0);
}

static bool back_on_card(void *ctx)
{
    char sas[16384];
    (void)ctx;
    swanctl(&lab.west, sas, sizeof(sas), "--list-sas --raw");
    return strstr(sas, "offload=card") != NULL;
}

// The card is killed and comes back: the SA (by then perhaps another one, since numbers were skipped) goes to
// it under traffic both ways, and nothing is lost on the way.
static void test_comes_back(void **state)
{
    struct probe probe;
    struct probe_result r;
    (void)state;
    start();
    assert_true(initiate());
    assert_true(back_on_card(NULL));
    assert_true(both_ways(64 << 10));
    kill(lab.card, SIGKILL);
    waitpid(lab.card, NULL, 0);
    assert_true(wait_for(failed_over, NULL, 3000));
    assert_true(both_ways(64 << 10));
    sleep(7);
    assert_false(back_on_card(NULL));
    assert_true(card_start(&lab, ""));
    uint64_t lost = overflows();
    assert_true(probe_start(&lab, &probe, &lab.west, &lab.east, 1000));
    assert_true(wait_for(back_on_card, NULL, 30000));
    assert_true(both_ways(64 << 10));
    assert_true(probe_stop(&probe, &r));
    lost = overflows() - lost;
    if (r.received + lost < r.sent)
        fail_msg("of %llu numbered packets %llu came (overflows: %llu)", (unsigned long long)r.sent,
                 (unsigned long long)r.received, (unsigned long long)lost);
    assert_int_equal(r.repeated, 0);
    assert_true(no_drops());
    assert_int_equal(stat("failovers"), 1);
    print_message("  gap on the way back %.1f ms\n", (double)r.max_gap_us / 1e3);
    check_wire(500);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_killed, tear_down),
        cmocka_unit_test_teardown(test_ended_in_order, tear_down),
        cmocka_unit_test_teardown(test_pulled, tear_down),
        cmocka_unit_test_teardown(test_hung, tear_down),
        cmocka_unit_test_teardown(test_reset_by_someone_else, tear_down),
        cmocka_unit_test_teardown(test_killed_with_tiny_leases, tear_down),
        cmocka_unit_test_teardown(test_nonsense, tear_down),
        cmocka_unit_test_teardown(test_interrupts_lost, tear_down),
        cmocka_unit_test_teardown(test_stopped_before_it_is_opened, tear_down),
        cmocka_unit_test_teardown(test_killed_during_installation, tear_down),
        cmocka_unit_test_teardown(test_stopped_and_continued, tear_down),
        cmocka_unit_test_teardown(test_comes_back, tear_down),
    };
    const char *n = getenv("ESPALIER_ROUNDS"), *s = getenv("ESPALIER_SEED");
    rounds = n ? (unsigned)strtoul(n, NULL, 10) : rounds;
    seed = s ? (unsigned)strtoul(s, NULL, 10) : (unsigned)time(NULL);
    srand(seed);
    print_message("ESPALIER_SEED=%u ESPALIER_ROUNDS=%u\n", seed, rounds);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("the card goes", tests, NULL, NULL);
}
