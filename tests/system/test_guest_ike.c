// SPDX-License-Identifier: Apache-2.0
// espalierd and a Linux kernel's own ESP and AH, which strongSwan sets up in a virtual machine: tunnel and
// transport mode, IPv4 and IPv6, in UDP, through a NAT, with extended sequence numbers, begun and rekeyed by
// either end, with traffic both ways and nothing of it in clear on the link. The guest is started once, in
// the place of the east site, and has another charon in every test.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/guest_lab.h"
#include "tests/system/steps.h"

static struct guest_lab g;
static struct lab *const lab = &g.lab;
static char *const options[] = {"--card", "none", "-o", "block_on_exit=no", NULL};

static int group_up(void **state)
{
    (void)state;
    return guest_lab_up(&g, "espgst", false) ? 0 : -1;
}

static int group_down(void **state)
{
    (void)state;
    guest_lab_down(&g);
    return 0;
}

// ---- both ends of a case

enum { FILE_OCTETS = 200000 };

struct ends_of {
    const char *esp, *ah, *mode;
    bool ipv6, inner6, encap, nat, guest_begins;
    const char *kernel; // what `ip xfrm state` in the guest shows of it
};

static const char *near(const struct ends_of *c)
{
    return c->ipv6 ? "fd10::1" : "10.10.0.1";
}

static const char *far(const struct ends_of *c)
{
    return c->ipv6 ? "fd10::2" : "10.10.0.2";
}

static bool transport(const struct ends_of *c)
{
    return c->mode && strcmp(c->mode, "transport") == 0;
}

static void place_site(struct site *s, const char *outer, const char *inner, const char *net,
                       bool outer_alone)
{
    snprintf(s->outer, sizeof(s->outer), "%s", outer);
    snprintf(s->inner, sizeof(s->inner), "%s", outer_alone ? outer : inner);
    snprintf(s->subnet, sizeof(s->subnet), "%s", outer_alone ? "dynamic" : net);
}

static void place(const struct ends_of *c)
{
    place_site(&lab->west, near(c), c->inner6 ? "fd01::1" : "10.1.0.1",
               c->inner6 ? "fd01::/64" : "10.1.0.0/16", transport(c));
    place_site(&lab->east, far(c), c->inner6 ? "fd02::1" : "10.2.0.1",
               c->inner6 ? "fd02::/64" : "10.2.0.0/16", transport(c));
}

static void charon(const struct ends_of *c)
{
    static const char daemon[] =
        "charon {\n load = random nonce pem openssl kdf drbg gcm aes sha1 sha2 hmac curve25519 "
        "kernel-netlink socket-default vici updown counters\n threads = 16\n install_virtual_ip = no\n"
        " filelog { main { path = /run/charon.log\n default = 1\n flush_line = yes } } }\nswanctl { }\n";
    char conf[3000], said[2000];
    snprintf(conf, sizeof(conf),
             "connections {\n  site {\n    version = 2\n    local_addrs = %s\n    remote_addrs = %s\n"
             "    proposals = aes256gcm16-prfsha384-x25519\n    mobike = no\n    encap = %s\n"
             "    local {\n      auth = psk\n      id = east.example\n    }\n"
             "    remote {\n      auth = psk\n      id = west.example\n    }\n"
             "    children {\n      net {\n        local_ts = %s\n        remote_ts = %s\n"
             "        %s_proposals = %s\n        mode = %s\n        rekey_time = 0\n      }\n    }\n  }\n}\n"
             "secrets {\n  ike-1 {\n    id-1 = west.example\n    id-2 = east.example\n"
             "    secret = \"a shared secret of the lab\"\n  }\n}\n",
             far(c), c->nat ? "%any" : near(c), c->encap ? "yes" : "no", lab->east.subnet, lab->west.subnet,
             c->ah ? "ah" : "esp", c->ah ? c->ah : c->esp, c->mode ? c->mode : "tunnel");
    assert_true(guest_put(&g.guest, "/etc/strongswan.conf", daemon));
    assert_true(guest_put(&g.guest, "/etc/swanctl/swanctl.conf", conf));
    if (guest_run(&g.guest, said, sizeof(said),
                  "rm -f /run/charon.log; (/usr/lib/ipsec/charon >/run/charon.out 2>&1 &); i=0; "
                  "until swanctl --stats >/dev/null 2>&1 || [ $((i += 1)) = 100 ]; do sleep 0.2; done; "
                  "swanctl --load-all --noprompt 2>&1") != 0)
        fail_msg("strongSwan in the guest: %s", said);
}

static void begin(const struct ends_of *c)
{
    struct tunnel_options o = {.esp = c->esp, .ah = c->ah, .encap = c->encap};
    char child[100], pcap[200];
    snprintf(child, sizeof(child), "rekey_time = 0\n        mode = %s", c->mode ? c->mode : "tunnel");
    o.child = child;
    place(c);
    g.west_is = c->nat ? MIDDLE_NAT_ADDRESS : NULL;
    g.middle.control->nat = c->nat ? 20000 : 0;
    charon(c);
    assert_true(espalierd_start(lab, &lab->west, &lab->east, &o, options));
    start_capture(lab, pcap, sizeof(pcap));
    assert_true(unanswered(lab, &lab->west, &lab->east, 1)); // protected or not at all
}

static void show_guest(void)
{
    char said[6000];
    guest_run(&g.guest, said, sizeof(said),
              "ip -s xfrm state; cat /proc/net/xfrm_stat; tail -n 30 /run/charon.log");
    fprintf(stderr, "%s\n", said);
}

// ---- traffic

static void speaks(void)
{
    if (guest_pings(&g, 5))
        return;
    show_guest();
    fail_msg("no answers");
}

static bool west(const char *command)
{
    char out[16384];
    return swanctl(&lab->west, out, sizeof(out), "%s", command) == 0 || complain("%s: %s", command, out);
}

// Rekeyed by either end, traffic behind each.
static void rekeys(void)
{
    assert_true(west("--rekey --child net"));
    speaks();
    assert_true(in_guest(&g, "swanctl --rekey --child net 2>&1"));
    speaks();
    assert_true(west("--rekey --ike site"));
    assert_true(in_guest(&g, "swanctl --rekey --ike site 2>&1"));
    speaks();
    assert_true(logged(&lab->west, "CHILD_SA net{3} established"));
}

static unsigned frames(const char *filter)
{
    char out[64];
    sh_read(out, sizeof(out), "tshark -n -r %s/wire.pcap -Y '%s' 2>/dev/null | wc -l", lab->dir, filter);
    return (unsigned)strtoul(out, NULL, 10);
}

// On the link nothing but what protects and IKE.
static void wire(const struct ends_of *c)
{
    assert_true(capture_stop(&lab->west));
    assert_true(frames(c->ah ? "ah" : "esp") > 200);
    assert_int_equal(frames(c->ah ? "esp" : "ah"), 0);
    assert_int_equal(frames("(icmp || icmpv6.type == 128 || icmpv6.type == 129 || tcp.port == 5001 || "
                            "tcp.port == 5002) && !ah"),
                     0);
}

static void whole(const struct ends_of *c)
{
    char out[8000];
    begin(c);
    if (c->guest_begins ? !in_guest(&g, "swanctl --initiate --child net --timeout 60 2>&1")
                        : !initiate(&lab->west)) {
        show_guest();
        fail_msg("no SA");
    }
    speaks();
    if (!guest_files(&g, FILE_OCTETS)) {
        show_guest();
        fail_msg("no TCP");
    }
    guest_run(&g.guest, out, sizeof(out), "ip -d xfrm state");
    if (!strstr(out, c->kernel))
        fail_msg("the guest's kernel has no %s: %s", c->kernel, out);
    rekeys();
    assert_true(c->guest_begins ? west("--terminate --child net")
                                : in_guest(&g, "swanctl --terminate --child net 2>&1"));
    assert_true(unanswered(lab, &lab->west, &lab->east, 1));
    wire(c);
}

static int over(void **state)
{
    char said[2000];
    (void)state;
    if (lab->west.capture)
        capture_stop(&lab->west);
    stop(&lab->west.daemon, SIGTERM, 20000);
    guest_run(
        &g.guest, said, sizeof(said),
        "killall charon; i=0; while pidof charon >/dev/null && [ $((i += 1)) -lt 100 ]; do sleep 0.2; done; "
        "ip xfrm state flush; ip xfrm policy flush; rm -f /run/charon.pid /run/charon.vici");
    sh("rm -f %s/wire.pcap %s/west/daemon.log %s/west/vici", lab->dir, lab->dir, lab->dir);
    return 0;
}

static void test_tunnel_by_us(void **state)
{
    (void)state;
    whole(&(struct ends_of){.esp = "aes256gcm16", .kernel = "rfc4106(gcm(aes))"});
}

static void test_tunnel_by_the_guest_with_esn(void **state)
{
    (void)state;
    whole(&(struct ends_of){.esp = "aes128gcm16-esn", .guest_begins = true, .kernel = "esn"});
}

static void test_transport_mode_with_esn(void **state)
{
    (void)state;
    whole(&(struct ends_of){.esp = "aes256gcm16-esn", .mode = "transport", .kernel = "mode transport"});
}

static void test_in_udp(void **state)
{
    (void)state;
    whole(&(struct ends_of){.esp = "chacha20poly1305", .encap = true, .kernel = "espinudp"});
}

static void test_transport_mode_through_a_nat(void **state)
{
    (void)state;
    whole(&(struct ends_of){.esp = "aes256gcm16", .mode = "transport", .nat = true, .kernel = "espinudp"});
}

static void test_ipv6_in_ipv6(void **state)
{
    (void)state;
    whole(&(struct ends_of){.esp = "aes256ccm16",
                            .ipv6 = true,
                            .inner6 = true,
                            .guest_begins = true,
                            .kernel = "rfc4309(ccm(aes))"});
}

static void test_transport_mode_over_ipv6(void **state)
{
    (void)state;
    whole(&(struct ends_of){
        .esp = "aes256-sha256", .ipv6 = true, .inner6 = true, .mode = "transport", .kernel = "cbc(aes)"});
}

static void test_authenticated_alone(void **state)
{
    (void)state;
    whole(&(struct ends_of){.esp = "aes256gmac-esn", .guest_begins = true, .kernel = "rfc4543(gcm(aes))"});
}

static void test_ah_tunnel(void **state)
{
    (void)state;
    whole(&(struct ends_of){.ah = "sha256", .kernel = "proto ah"});
}

static void test_ah_transport_mode_over_ipv6_with_esn(void **state)
{
    (void)state;
    whole(&(struct ends_of){.ah = "sha512-esn",
                            .ipv6 = true,
                            .inner6 = true,
                            .mode = "transport",
                            .guest_begins = true,
                            .kernel = "proto ah"});
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_teardown(name, over)
    const struct CMUnitTest tests[] = {
        T(test_tunnel_by_us),
        T(test_tunnel_by_the_guest_with_esn),
        T(test_transport_mode_with_esn),
        T(test_in_udp),
        T(test_transport_mode_through_a_nat),
        T(test_ipv6_in_ipv6),
        T(test_transport_mode_over_ipv6),
        T(test_authenticated_alone),
        T(test_ah_tunnel),
        T(test_ah_transport_mode_over_ipv6_with_esn),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_up, group_down);
}
