// SPDX-License-Identifier: Apache-2.0
// Road warriors: virtual addresses out of pools, with stock strongSwan as the client and as the gateway. Who
// has which address, what swanctl shows of it, packets both ways by these addresses, leases over a restart,
// a pool that is exhausted; and nothing in clear on the wire.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;
static char out[16384];
static char *const no_card[] = {"--card", "none", NULL};
static const struct tunnel_options plain = {.charon_settings = "install_virtual_ip = yes\n"};

static int set_up(void **state)
{
    (void)state;
    if (!lab_up(&lab, "esppool") || !lab_ipv6(&lab))
        return -1;
    return sh("nsenter --net=%s ip addr add fd02::1/128 dev lo nodad", lab.east.ns) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static bool load_text(struct site *s, const char *text)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/swanctl/swanctl.conf", s->dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return complain("cannot write %s", path);
    fputs(text, f);
    fclose(f);
    if (swanctl(s, out, sizeof(out), "--load-all --noprompt"))
        return complain("%s", out);
    return true;
}

#define SECRETS "secrets { ike-1 { secret = \"a secret of road warriors\"\n } }\n"
#define IKE     "version = 2\n mobike = no\n proposals = aes256gcm16-prfsha384-x25519\n"
#define ESP     "esp_proposals = aes256gcm16\n rekey_time = 0\n"

// east: 10.2.0.1 and fd02::1 behind it
static bool gateway(const char *addrs4, const char *more)
{
    char text[3000];
    snprintf(text, sizeof(text),
             "connections { rw { " IKE
             " local_addrs = 10.10.0.2\n remote_addrs = %%any\n pools = v4, v6\n unique = no\n"
             " local { auth = psk\n id = east.example\n }\n remote { auth = psk\n id = %%any\n }\n"
             " children { net { local_ts = 10.2.0.0/16, fd02::/64\n " ESP " } } } }\n" SECRETS
             "pools { v4 { addrs = %s\n dns = 10.2.0.53, 10.2.0.54\n split_include = 10.2.0.0/16\n }\n"
             " v6 { addrs = fd03::/64\n dns = fd02::53\n } }\n%s",
             addrs4, more);
    return load_text(&lab.east, text);
}

// As many road warriors on one machine as there are names.
static bool warriors(const char *const *names, const char *vips)
{
    char text[4000] = "connections {\n";
    for (int i = 0; names[i]; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "%s { " IKE
                 " local_addrs = 10.10.0.1\n remote_addrs = 10.10.0.2\n vips = %s\n unique = never\n"
                 " local { auth = psk\n id = %s.example\n }\n remote { auth = psk\n id = east.example\n }\n"
                 " children { %s { remote_ts = 10.2.0.0/16, fd02::/64\n " ESP " } } }\n",
                 names[i], vips, names[i], names[i]);
    strcat(text, "}\n" SECRETS);
    return load_text(&lab.west, text);
}

struct expected {
    struct site *s;
    const char *command, *what;
};

static bool is_shown(void *ctx)
{
    const struct expected *e = ctx;
    swanctl(e->s, out, sizeof(out), "%s", e->command);
    return strstr(out, e->what) != NULL;
}

static void shows(struct site *s, const char *command, const char *what)
{
    if (!wait_for(is_shown, &(struct expected){s, command, what}, PATIENCE_MS))
        fail_msg("%s: expected \"%s\" in\n%s", command, what, out);
}

static void shows_not(struct site *s, const char *command, const char *what)
{
    swanctl(s, out, sizeof(out), "%s", command);
    if (strstr(out, what))
        fail_msg("%s: \"%s\" is in\n%s", command, what, out);
}

static bool up(const char *child)
{
    return swanctl(&lab.west, out, sizeof(out), "--initiate --child %s --timeout 20", child) == 0 ||
           complain("%s", out);
}

static void down(const char *name)
{
    swanctl(&lab.west, out, sizeof(out), "--terminate --ike %s --timeout 20", name);
}

static void carries(const char *from, const char *to)
{
    if (sh("nsenter --net=%s ping -c 5 -i 0.2 -W 2 -I %s %s", lab.west.ns, from, to))
        fail_msg("no ping from %s to %s", from, to);
    if (sh("nsenter --net=%s ping -c 5 -i 0.2 -W 2 -I %s %s", lab.east.ns, to, from))
        fail_msg("no ping from %s to %s", to, from);
}

static const char *const one[] = {"rw1", NULL}, *const two[] = {"rw1", "rw2", NULL},
                         *const three[] = {"rw1", "rw2", "rw3", NULL};

static void test_strongswan_road_warriors_get_addresses_and_use_them(void **state)
{
    char pcap[200];
    (void)state;
    needs_strongswan();
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(gateway("10.3.0.0/24", ""));
    assert_true(charon_start(&lab, &lab.west, &lab.east, &plain));
    assert_true(warriors(two, "0.0.0.0, ::"));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(up("rw1") && up("rw2"));
    shows(&lab.east, "--list-sas", "[10.3.0.1 fd03::1]");
    shows(&lab.east, "--list-sas", "[10.3.0.2 fd03::2]");
    shows(&lab.west, "--list-sas", "[10.3.0.1 fd03::1]");
    shows(&lab.east, "--list-pools", "2 / 0 / 254");
    shows(&lab.east, "--list-pools --leases", "10.3.0.2                       online   'rw2.example'");
    carries("10.3.0.1", "10.2.0.1");
    carries("10.3.0.2", "10.2.0.1");
    down("rw1");
    shows(&lab.east, "--list-pools --leases", "10.3.0.1                       offline  'rw1.example'");
    assert_true(up("rw1"));
    shows(&lab.east, "--list-sas", "[10.3.0.1 fd03::1]"); // its own again
    carries("10.3.0.1", "10.2.0.1");
    only_esp(&lab, pcap, 60);
}

static void test_rekeying_keeps_the_addresses(void **state)
{
    (void)state;
    needs_strongswan();
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(gateway("10.3.0.0/24", ""));
    assert_true(charon_start(&lab, &lab.west, &lab.east, &plain));
    assert_true(warriors(one, "0.0.0.0"));
    assert_true(up("rw1"));
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--rekey --ike rw"), 0);
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--rekey --child net"), 0);
    carries("10.3.0.1", "10.2.0.1");
    shows(&lab.east, "--list-sas", "[10.3.0.1]");
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --ike rw1 --reauth"), 0);
    usleep(1500000);
    shows(&lab.east, "--list-sas", "[10.3.0.1]");
    shows(&lab.east, "--list-pools", "1 / 0 / 254");
    down("rw1");
    shows(&lab.east, "--list-pools", "0 / 1 / 254");
}

static bool both_are_kept(void *ctx)
{
    (void)ctx;
    sh_read(out, sizeof(out), "grep -c 10.3.0 %s/run/leases", lab.east.dir);
    return strtoul(out, NULL, 10) >= 2;
}

static void test_leases_outlive_a_restart(void **state)
{
    (void)state;
    needs_strongswan();
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(gateway("10.3.0.0/24", ""));
    assert_true(charon_start(&lab, &lab.west, &lab.east, &plain));
    assert_true(warriors(three, "0.0.0.0"));
    assert_true(up("rw1") && up("rw2"));
    assert_true(
        wait_for(both_are_kept, NULL, PATIENCE_MS)); // by another process than the one that has answered
    assert_true(daemon_kill(&lab.east));
    sh("rm -f %s/vici", lab.east.dir);
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(gateway("10.3.0.0/24", ""));
    shows(&lab.east, "--list-pools --leases", "10.3.0.2                       offline  'rw2.example'");
    swanctl(&lab.west, out, sizeof(out), "--terminate --ike rw1 --force");
    swanctl(&lab.west, out, sizeof(out), "--terminate --ike rw2 --force");
    assert_true(up("rw3"));
    assert_true(up("rw2"));
    shows(&lab.east, "--list-pools --leases", "10.3.0.3                       online   'rw3.example'");
    shows(&lab.east, "--list-pools --leases", "10.3.0.2                       online   'rw2.example'");
    carries("10.3.0.2", "10.2.0.1");
}

static void test_exhausted_pool_is_said_to_the_client(void **state)
{
    (void)state;
    needs_strongswan();
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(gateway("10.3.0.7-10.3.0.8", ""));
    assert_true(charon_start(&lab, &lab.west, &lab.east, &plain));
    assert_true(warriors(three, "0.0.0.0"));
    assert_true(up("rw1") && up("rw2"));
    assert_false(up("rw3"));
    if (!strstr(out, "INTERNAL_ADDRESS_FAILURE"))
        fail_msg("expected INTERNAL_ADDRESS_FAILURE in\n%s", out);
    shows(&lab.east, "--list-pools", "2 / 0 / 2");
    down("rw3"); // its IKE SA, which has no CHILD SA
    down("rw1");
    assert_true(up("rw3")); // what was free longest
    shows(&lab.east, "--list-pools --leases", "10.3.0.7                       online   'rw3.example'");
}

static void test_client_without_a_wish_gets_no_tunnel(void **state)
{
    (void)state;
    needs_strongswan();
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(gateway("10.3.0.0/24", ""));
    assert_true(charon_start(&lab, &lab.west, &lab.east, &plain));
    assert_true(warriors(one, ""));
    assert_false(up("rw1"));
    if (!strstr(out, "FAILED_CP_REQUIRED"))
        fail_msg("expected FAILED_CP_REQUIRED in\n%s", out);
    shows_not(&lab.east, "--list-sas", "INSTALLED");
}

// --- espalierd as the road warrior ---

// With no way from 10.1.0.1 to what is behind east but the tunnel, and one that would lead there in clear.
static void as_road_warrior(bool charon)
{
    char pcap[200];
    assert_true(charon ? charon_start(&lab, &lab.east, &lab.west, &plain)
                       : espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(gateway("10.3.0.0/24", ""));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
    assert_true(warriors(one, "0.0.0.0, ::"));
    start_capture(&lab, pcap, sizeof(pcap));
    assert_true(up("rw1"));
    shows(&lab.west, "--list-sas", "[10.3.0.1 fd03::1]");
    shows(&lab.west, "--list-sas --raw", "dns-servers=[10.2.0.53 10.2.0.54 fd02::53]");
    shows(&lab.east, "--list-sas", "[10.3.0.1 fd03::1]");
    carries("10.3.0.1", "10.2.0.1");
    carries("fd03::1", "fd02::1");
    // A program that has not chosen a source gets the virtual one.
    sh_read(out, sizeof(out), "nsenter --net=%s ip route get 10.2.0.1", lab.west.ns);
    if (!strstr(out, "src 10.3.0.1"))
        fail_msg("expected the virtual address as source in %s", out);
    sh_read(out, sizeof(out), "nsenter --net=%s ip -6 route get fd02::1", lab.west.ns);
    if (!strstr(out, "src fd03::1"))
        fail_msg("expected the virtual address as source in %s", out);
    assert_int_equal(sh("nsenter --net=%s ping -c 3 -i 0.2 -W 2 10.2.0.1", lab.west.ns), 0);
    assert_int_equal(sh("nsenter --net=%s ping -c 3 -i 0.2 -W 2 fd02::1", lab.west.ns), 0);
    only_esp(&lab, pcap, 50);
}

static bool has_address(const char *a)
{
    sh_read(out, sizeof(out), "nsenter --net=%s ip -o addr show", lab.west.ns);
    return strstr(out, a) != NULL;
}

static bool no_address(void *ctx)
{
    (void)ctx;
    return !has_address("10.3.0.1/32") && !has_address("fd03::1/128");
}

static void test_road_warrior_of_strongswan(void **state)
{
    (void)state;
    needs_strongswan();
    as_road_warrior(true);
    assert_true(has_address("10.3.0.1/32") && has_address("fd03::1/128"));
    down("rw1");
    assert_true(wait_for(no_address, NULL, PATIENCE_MS));
}

static void test_road_warrior_of_its_like(void **state)
{
    (void)state;
    as_road_warrior(false);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --ike rw1"), 0);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --child rw1"), 0);
    carries("10.3.0.1", "10.2.0.1");
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --ike rw1 --reauth"), 0);
    usleep(2500000);
    carries("10.3.0.1", "10.2.0.1"); // the same address
    shows(&lab.west, "--list-sas", "[10.3.0.1 fd03::1]");
    shows(&lab.east, "--list-pools", "1 / 0 / 254");
    down("rw1");
    assert_true(wait_for(no_address, NULL, PATIENCE_MS));
}

// Whoever sends from the virtual address without a stop sees it come, go, and its daemon killed: nothing of
// that is on the wire in clear. The sender takes the address though it is not there (IP_FREEBIND).
static void test_nothing_in_clear_while_the_address_comes_and_goes(void **state)
{
    char pcap[200], result[200];
    pid_t tx;
    (void)state;
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(gateway("10.3.0.0/24", ""));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
    assert_true(warriors(one, "10.3.0.1"));
    start_capture(&lab, pcap, sizeof(pcap));
    snprintf(result, sizeof(result), "%.90s/sender.log", lab.dir);
    char *argv[] = {"python3", "-c",
                    "import socket,time\n"
                    "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                    "s.setsockopt(0,15,1)\n"
                    "s.bind(('10.3.0.1',0))\n"
                    "while True:\n"
                    " try: s.sendto(b'x'*32,('10.2.0.1',9))\n"
                    " except OSError: pass\n"
                    " time.sleep(0.002)\n",
                    NULL};
    tx = spawn(result, lab.west.ns, argv);
    for (int i = 0; i < 3; i++) {
        assert_true(up("rw1"));
        carries("10.3.0.1", "10.2.0.1");
        down("rw1");
        assert_true(wait_for(no_address, NULL, PATIENCE_MS));
    }
    assert_true(up("rw1"));
    assert_true(daemon_kill(&lab.west));
    assert_true(wait_for(no_address, NULL, PATIENCE_MS)); // it goes with the TUN
    stop(&tx, SIGKILL, 1000);
    only_esp(&lab, pcap, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_strongswan_road_warriors_get_addresses_and_use_them),
        TEST(test_rekeying_keeps_the_addresses),
        TEST(test_leases_outlive_a_restart),
        TEST(test_exhausted_pool_is_said_to_the_client),
        TEST(test_client_without_a_wish_gets_no_tunnel),
        TEST(test_road_warrior_of_strongswan),
        TEST(test_road_warrior_of_its_like),
        TEST(test_nothing_in_clear_while_the_address_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
