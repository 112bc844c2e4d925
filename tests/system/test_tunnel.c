// SPDX-License-Identifier: Apache-2.0
// Tunnels in software with real daemons: against stock strongSwan where it is installed, and between two
// espalierd. Runs as root, or rootless inside unshare -Urnm (`make check-rootless` gives the argument
// rootless: no strongSwan there).
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "esptun") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static char *const no_card[] = {"--card", "none", NULL};

static bool both_espalierd(const struct tunnel_options *o)
{
    return espalierd_start(&lab, &lab.east, &lab.west, o, no_card) &&
           espalierd_start(&lab, &lab.west, &lab.east, o, no_card);
}

static bool up(struct site *s)
{
    char out[16384];
    if (swanctl(s, out, sizeof(out), "--initiate --child net --timeout 20"))
        return complain("%s", out);
    return true;
}

static bool down(struct site *s)
{
    char out[16384];
    if (swanctl(s, out, sizeof(out), "--terminate --ike site --timeout 10"))
        return complain("%s", out);
    return true;
}

static bool no_sas(struct site *s)
{
    char out[8192];
    for (int i = 0; i < PATIENCE_MS / 20; i++) {
        swanctl(s, out, sizeof(out), "--list-sas");
        if (!strstr(out, "site:"))
            return true;
        usleep(20000);
    }
    return complain("%s still has: %s", s->name, out);
}

static void check_wire(const char *pcap, uint64_t least_esp)
{
    struct wire w;
    assert_true(capture_stop(&lab.west));
    assert_true(wire_check(pcap, &w));
    assert_true(w.esp >= least_esp);
    assert_int_equal(w.repeated, 0);
    assert_int_equal(w.plaintext, 0);
}

static void test_strongswan_each_side_initiates_ping_and_files_pass(void **state)
{
    (void)state;
    char pcap[200];
    struct tunnel_options o = {0};
    needs_strongswan();
    snprintf(pcap, sizeof(pcap), "%.90s/wire.pcap", lab.dir);
    assert_true(capture_start(&lab, &lab.west, pcap));
    assert_true(charon_start(&lab, &lab.east, &lab.west, &o));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    struct site *first[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        assert_true(up(first[i]));
        assert_true(ping(&lab, &lab.west, &lab.east, 5));
        assert_true(ping(&lab, &lab.east, &lab.west, 5));
        assert_true(transfer(&lab, &lab.west, &lab.east, 1 << 20, 30000, NULL, NULL));
        assert_true(transfer(&lab, &lab.east, &lab.west, 1 << 20, 30000, NULL, NULL));
        assert_true(down(first[i]));
        assert_true(no_sas(&lab.west) && no_sas(&lab.east));
    }
    check_wire(pcap, 2000);
}

static void test_strongswan_proposals_of_both_sides(void **state)
{
    (void)state;
    static const char *const ike[] = {"aes128gcm16-prfsha256-ecp256", "aes256-sha256-modp2048",
                                      "chacha20poly1305-prfsha512-ecp384"};
    static const char *const esp[] = {"aes128gcm16", "chacha20poly1305", "aes256gcm16"};
    needs_strongswan();
    for (int i = 0; i < 3; i++) {
        struct tunnel_options o = {.ike = ike[i], .esp = esp[i]};
        if (i) {
            lab_down(&lab);
            assert_true(lab_up(&lab, "esptun"));
        }
        assert_true(charon_start(&lab, &lab.east, &lab.west, &o));
        assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
        assert_true(up(i == 1 ? &lab.east : &lab.west));
        assert_true(ping(&lab, &lab.west, &lab.east, 3));
    }
}

static void test_two_espalierd_by_udp_ping_and_file_pass(void **state)
{
    (void)state;
    char pcap[200];
    struct tunnel_options o = {.encap = true};
    snprintf(pcap, sizeof(pcap), "%.90s/wire.pcap", lab.dir);
    assert_true(capture_start(&lab, &lab.west, pcap));
    assert_true(both_espalierd(&o));
    assert_true(up(&lab.west));
    assert_true(ping(&lab, &lab.west, &lab.east, 5) && ping(&lab, &lab.east, &lab.west, 5));
    assert_true(transfer(&lab, &lab.west, &lab.east, 2 << 20, 30000, NULL, NULL));
    assert_true(down(&lab.east));
    assert_true(no_sas(&lab.west) && no_sas(&lab.east));
    check_wire(pcap, 1500);
}

static void test_two_espalierd_by_plain_esp(void **state)
{
    (void)state;
    struct tunnel_options o = {.esp = "aes128gcm16"};
    assert_true(both_espalierd(&o));
    assert_true(up(&lab.east));
    assert_true(ping(&lab, &lab.west, &lab.east, 5));
    assert_true(transfer(&lab, &lab.east, &lab.west, 1 << 20, 30000, NULL, NULL));
}

static int long_ping(struct site *from, const struct site *to, const char *df, char *out, size_t size)
{
    return sh_read(out, size, "nsenter --net=%s ping -c 3 -i 0.2 -W 5 -s 1372 -M %s -I %s %s 2>&1", from->ns,
                   df, from->inner, to->inner);
}

// By PPPoE and the like: what does not fit is told or cut, and TCP finds its way.
static void by_a_narrow_path(const struct tunnel_options *o, const char *longest)
{
    char out[4096];
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++)
        assert_int_equal(sh("nsenter --net=%s ip link set outer mtu 1300", both[i]->ns), 0);
    assert_true(both_espalierd(o));
    assert_true(up(&lab.west));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(long_ping(both[i], both[!i], "dont", out, sizeof(out)), 0);
        assert_non_null(strstr(out, " 3 received"));
        assert_int_equal(long_ping(both[i], both[!i], "do", out, sizeof(out)), 1);
        if (!strstr(out, longest))
            fail_msg("no \"%s\" in: %s", longest, out);
        assert_true(transfer(&lab, both[i], both[!i], 1 << 20, 30000, NULL, NULL));
    }
}

static void test_a_narrow_path_by_udp_is_told_and_crossed(void **state)
{
    const struct tunnel_options o = {.encap = true, .esp = "aes256gcm16"};
    (void)state;
    by_a_narrow_path(&o, "mtu = 1238");
}

static void test_a_narrow_path_by_plain_esp_is_told_and_crossed(void **state)
{
    const struct tunnel_options o = {.esp = "aes256gcm16"};
    (void)state;
    by_a_narrow_path(&o, "mtu = 1246");
}

static void test_wrong_psk_is_refused_and_nothing_passes(void **state)
{
    (void)state;
    char pcap[200], out[16384];
    struct tunnel_options o = {.encap = true}, other = {.encap = true, .psk = "another secret"};
    snprintf(pcap, sizeof(pcap), "%.90s/wire.pcap", lab.dir);
    assert_true(capture_start(&lab, &lab.west, pcap));
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &other, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    assert_int_not_equal(swanctl(&lab.west, out, sizeof(out), "--initiate --child net --timeout 20"), 0);
    assert_non_null(strstr(out, "AUTHENTICATION_FAILED"));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    check_wire(pcap, 0);
}

// RFC 4301 section 5.2 and our own rule: protected means encrypted or not at all, whatever state the daemon
// is in.
static void test_nothing_in_clear_without_sa_after_kill_and_after_exit(void **state)
{
    (void)state;
    char pcap[200];
    struct tunnel_options o = {.encap = true};
    snprintf(pcap, sizeof(pcap), "%.90s/wire.pcap", lab.dir);
    assert_true(
        ping(&lab, &lab.west, &lab.east, 1)); // in clear, before anyone protects anything: the link works
    assert_true(both_espalierd(&o));
    assert_true(capture_start(&lab, &lab.west, pcap));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1)); // policy, but no SA
    assert_true(up(&lab.west));
    assert_true(ping(&lab, &lab.west, &lab.east, 2));
    assert_true(daemon_kill(&lab.west));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    assert_true(stop(&lab.east.daemon, SIGTERM, PATIENCE_MS));
    assert_true(unanswered(&lab, &lab.east, &lab.west, 1));
    check_wire(pcap, 4);
}

// How many of some datagrams that east sends in clear reach a program at west. The link is recorded, so that
// those that do not come are known to have been on it; `dropped` waits for what is not to come.
static uint64_t come_in_clear(bool dropped)
{
    char pcap[200];
    struct probe p = {0};
    struct probe_result r;
    struct wire w;
    snprintf(pcap, sizeof(pcap), "%.90s/clear.pcap", lab.dir);
    assert_true(capture_start(&lab, &lab.west, pcap));
    assert_true(probe_start(&lab, &p, &lab.east, &lab.west, 2000));
    assert_true(probe_sends(10) && (dropped || probe_hears(10)));
    assert_true(probe_stop(&p, &r));
    assert_true(capture_stop(&lab.west));
    assert_true(wire_check(pcap, &w));
    assert_true(w.plaintext >= 10);
    return r.received;
}

static void test_cleartext_from_outside_is_dropped(void **state)
{
    (void)state;
    struct tunnel_options o = {.encap = true};
    assert_true(come_in_clear(false) >= 10); // before anything is protected
    assert_true(
        espalierd_start(&lab, &lab.west, &lab.east, &o, no_card)); // east protects nothing and sends in clear
    assert_int_equal(come_in_clear(true), 0);
    // what no policy names is nobody's business
    assert_int_equal(sh("nsenter --net=%s ping -q -c 2 -i 0.1 -W 2 %s", lab.east.ns, lab.west.outer), 0);
}

static void test_sigterm_deletes_at_the_peer_within_two_seconds(void **state)
{
    (void)state;
    struct tunnel_options o = {.encap = true};
    assert_true(both_espalierd(&o));
    assert_true(up(&lab.west));
    uint64_t from = mono_us();
    assert_true(stop(&lab.west.daemon, SIGTERM, 4000));
    assert_true(mono_us() - from < 2000000);
    assert_true(no_sas(&lab.east));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_strongswan_each_side_initiates_ping_and_files_pass, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_strongswan_proposals_of_both_sides, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_espalierd_by_udp_ping_and_file_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_espalierd_by_plain_esp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_narrow_path_by_udp_is_told_and_crossed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_narrow_path_by_plain_esp_is_told_and_crossed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_psk_is_refused_and_nothing_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_in_clear_without_sa_after_kill_and_after_exit, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_cleartext_from_outside_is_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sigterm_deletes_at_the_peer_within_two_seconds, set_up,
                                        tear_down),
    };
    if (argc > 1 && !strcmp(argv[1], "rootless"))
        cmocka_set_skip_filter("test_strongswan_*");
    else if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("tunnels in software", tests, NULL, NULL);
}
