// SPDX-License-Identifier: Apache-2.0
// AH between two espalierd: tunnel and transport mode, IPv4 and IPv6 outside, HMAC and GMAC, ESN, rekeyed and
// closed by either end; all that passes the link is AH, by tshark's account; nothing passes without it;
// refused through a NAT. (strongSwan's kernel-libipsec has no AH: what the packets are is held against scapy
// in test_soft_ah.)
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
    return lab_up(&lab, "espah") && lab_ipv6(&lab) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static void start_both(const struct tunnel_options *o)
{
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, o, no_card));
}

static bool up(struct site *s)
{
    char out[16384];
    return swanctl(s, out, sizeof(out), "--initiate --child net --timeout 20") ? complain("%s", out) : true;
}

static unsigned frames(const char *pcap, const char *filter)
{
    char out[64];
    sh_read(out, sizeof(out), "tshark -n -r %s -Y '%s' 2>/dev/null | wc -l", pcap, filter);
    return (unsigned)strtoul(out, NULL, 10);
}

static void shows(struct site *s, const char *want)
{
    char out[16384];
    assert_int_equal(swanctl(s, out, sizeof(out), "--list-sas"), 0);
    if (!strstr(out, want))
        fail_msg("%s: %s expected, it shows: %s", s->name, want, out);
}

// Traffic both ways through an SA that one end has made and both rekey; the wire.
static void traffic(const struct tunnel_options *o, const char *shown)
{
    char pcap[200], out[16384];
    start_both(o);
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1)); // protected or not at all
    assert_true(up(&lab.west));
    shows(&lab.west, shown);
    shows(&lab.east, shown);
    assert_true(ping(&lab, &lab.west, &lab.east, 5) && ping(&lab, &lab.east, &lab.west, 5));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --child net"), 0);
    assert_true(ping(&lab, &lab.west, &lab.east, 5));
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--rekey --child net"), 0);
    assert_true(ping(&lab, &lab.east, &lab.west, 5) && ping(&lab, &lab.west, &lab.east, 5));
    shows(&lab.west, shown);
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--terminate --child net"), 0);
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--list-sas"), 0);
    assert_null(strstr(out, "INSTALLED")); // what was rekeyed lingers for a few seconds
    assert_true(capture_stop(&lab.west));
    assert_true(frames(pcap, "ah") >= 40);
    assert_int_equal(frames(pcap, "(icmp || icmpv6.type == 128 || icmpv6.type == 129) && !ah"), 0);
    assert_int_equal(frames(pcap, "esp"), 0);
    assert_true(stop(&lab.west.daemon, SIGTERM, 10000));
    assert_true(stop(&lab.east.daemon, SIGTERM, 10000));
}

static void test_tunnels_over_ipv4(void **state)
{
    (void)state;
    traffic(&(struct tunnel_options){.ah = "sha256"}, "AH:HMAC_SHA2_256_128");
    traffic(&(struct tunnel_options){.ah = "aes256gmac-x25519"}, "AH:AES_256_GMAC");
}

static void over_ipv6(void)
{
    snprintf(lab.west.outer, sizeof(lab.west.outer), "fd10::1");
    snprintf(lab.east.outer, sizeof(lab.east.outer), "fd10::2");
}

static void test_tunnel_over_ipv6_with_esn(void **state)
{
    (void)state;
    over_ipv6();
    traffic(&(struct tunnel_options){.ah = "sha512-esn"}, "AH:HMAC_SHA2_512_256");
}

static void transport(void)
{
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        snprintf(both[i]->inner, sizeof(both[i]->inner), "%s", both[i]->outer);
        snprintf(both[i]->subnet, sizeof(both[i]->subnet), "dynamic");
    }
    traffic(&(struct tunnel_options){.ah = "sha384", .child = "rekey_time = 0\n        mode = transport"},
            "AH:HMAC_SHA2_384_192");
}

static void test_transport_mode(void **state)
{
    (void)state;
    transport();
}

static void test_transport_mode_over_ipv6(void **state)
{
    (void)state;
    over_ipv6();
    transport();
}

static void test_ah_behind_a_nat_is_refused(void **state)
{
    char out[16384];
    (void)state;
    start_both(&(struct tunnel_options){.ah = "sha256", .encap = true});
    assert_int_not_equal(swanctl(&lab.west, out, sizeof(out), "--initiate --child net --timeout 20"), 0);
    assert_true(logged(&lab.east, "AH does not go through a NAT"));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_tunnels_over_ipv4),        T(test_tunnel_over_ipv6_with_esn),  T(test_transport_mode),
        T(test_transport_mode_over_ipv6), T(test_ah_behind_a_nat_is_refused),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
