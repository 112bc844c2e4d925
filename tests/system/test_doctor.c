// SPDX-License-Identifier: Apache-2.0
// espalier doctor in namespaces that are ill in one way each, and in a healthy one, where it finds nothing of
// it.
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/system/harness.h"

static struct lab lab;
static char out[65536], extra[200];
static char *const no_card[] = {"--card", "none", NULL};
static const struct tunnel_options plain = {0};

static int set_up(void **state)
{
    (void)state;
    extra[0] = 0;
    return lab_up(&lab, "espdoc") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static void start(const struct tunnel_options *o)
{
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, o, no_card));
    assert_int_equal(sh("nsenter --net=%s sysctl -qw net.ipv4.ip_forward=1", lab.west.ns), 0);
}

// In the west; the findings, and the exit status in *status.
static json_t *doctor(int *status)
{
    *status = sh_read(out, sizeof(out),
                      "nsenter --net=%s %s/espalier doctor --json --uri unix://%s/vici %s 2>/dev/null",
                      lab.west.ns, bin_dir(), lab.west.dir, extra);
    json_t *doc = json_loads(out, 0, NULL);
    if (!doc)
        fail_msg("no JSON:\n%s", out);
    return doc;
}

static bool among(const json_t *findings, const char *check, const char *weight, const char *text)
{
    size_t i;
    json_t *f;
    json_array_foreach(findings, i, f)
    {
        if (strcmp(json_string_value(json_object_get(f, "check")), check) == 0 &&
            strcmp(json_string_value(json_object_get(f, "weight")), weight) == 0 &&
            strstr(json_string_value(json_object_get(f, "what")), text) &&
            json_string_value(json_object_get(f, "why"))[0] &&
            json_string_value(json_object_get(f, "mend"))[0])
            return true;
    }
    return false;
}

static void finds(const char *check, const char *weight, const char *text)
{
    int status;
    json_t *doc = doctor(&status);
    if (!among(json_object_get(doc, "findings"), check, weight, text))
        fail_msg("expected of %s, %s: \"%s\" in:\n%s", check, weight, text, out);
    bool wrong = json_integer_value(json_object_get(doc, "wrong")) > 0;
    assert_int_equal(status, wrong);
    if (strcmp(weight, "wrong") == 0)
        assert_true(wrong);
    json_decref(doc);
}

static void is_fine(const char *check)
{
    int status;
    size_t i;
    json_t *doc = doctor(&status), *f;
    bool fine = false;
    json_array_foreach(json_object_get(doc, "fine"), i, f) fine =
        fine || strcmp(json_string_value(f), check) == 0;
    if (!fine)
        fail_msg("expected %s to be fine in:\n%s", check, out);
    json_decref(doc);
}

static void west(const char *command)
{
    assert_int_equal(sh("nsenter --net=%s %s", lab.west.ns, command), 0);
}

static void test_healthy_gateway_has_nothing_wrong(void **state)
{
    static const char *const checks[] = {"daemon",      "entropy",    "rights",       "ports",    "policy",
                                         "rp-filter",   "forwarding", "addresses",    "firewall", "way",
                                         "route-based", "tunnels",    "certificates", "peer"};
    int status;
    (void)state;
    start(&plain);
    snprintf(extra, sizeof(extra), "site/net");
    json_decref(doctor(&status));
    if (status != 0)
        fail_msg("status %d:\n%s", status, out);
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        is_fine(checks[i]);
    status = sh_read(out, sizeof(out), "nsenter --net=%s %s/espalier doctor --uri unix://%s/vici",
                     lab.west.ns, bin_dir(), lab.west.dir);
    assert_int_equal(status, 0);
    assert_non_null(strstr(out, "fine   daemon, "));
    assert_null(strstr(out, "wrong"));
}

// ---- before the daemon is there

static void test_no_daemon_and_a_right_that_is_missing(void **state)
{
    (void)state;
    finds("daemon", "wrong", "no daemon listens there");
    is_fine("rights");
    int rc = sh_read(
        out, sizeof(out),
        "nsenter --net=%s setpriv --bounding-set -net_admin %s/espalier doctor --json --uri unix://%s/vici",
        lab.west.ns, bin_dir(), lab.west.dir);
    assert_int_equal(rc, 1);
    assert_non_null(strstr(out, "CAP_NET_ADMIN or CAP_NET_RAW is missing here"));
}

static pid_t hold_port(uint16_t port)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
        int fd = enter_ns(lab.west.ns) ? socket(AF_INET, SOCK_DGRAM, 0) : -1;
        if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void test_port_that_another_program_holds(void **state)
{
    char text[80];
    (void)state;
    is_fine("ports");
    pid_t pid = hold_port(4500);
    snprintf(text, sizeof(text), "UDP port 4500 is held by system_doctor (process %d)", (int)pid);
    finds("ports", "wrong", text);
    assert_true(stop(&pid, SIGTERM, PATIENCE_MS));
    is_fine("ports");
}

// ---- the kernel's switches

static void test_switches_that_void_policies_or_drop_packets(void **state)
{
    (void)state;
    start(&plain);
    west("sysctl -qw net.ipv4.conf.outer.disable_policy=1");
    finds("policy", "wrong", "net.ipv4.conf.outer.disable_policy is 1");
    west("sysctl -qw net.ipv4.conf.outer.disable_policy=0 net.ipv4.conf.all.disable_xfrm=1");
    finds("policy", "wrong", "net.ipv4.conf.all.disable_xfrm is 1");
    west("sysctl -qw net.ipv4.conf.all.disable_xfrm=0");
    is_fine("policy");
    west("sysctl -qw net.ipv4.conf.all.rp_filter=1");
    finds("rp-filter", "wrong", "net.ipv4.conf.all.rp_filter is 1, strict, for espalier0");
    west("sysctl -qw net.ipv4.conf.all.rp_filter=2");
    is_fine("rp-filter");
    west("sysctl -qw net.ipv4.ip_forward=0");
    finds("forwarding", "note", "net.ipv4.ip_forward is 0, and 10.1.0.0/16");
}

static void test_route_based_tunnels(void **state)
{
    const struct tunnel_options o = {.conn = "if_id_in = 5\n    if_id_out = 5"};
    (void)state;
    start(&o);
    finds("route-based", "note", "no route leads into ipsec5");
    west("ip link set ipsec5 down");
    finds("route-based", "wrong", "ipsec5 is down");
    west("ip link set ipsec5 up");
    west("ip route add 10.10.0.2/32 dev ipsec5");
    is_fine("route-based");
    is_fine("way");
    is_fine("rp-filter");
    west("sysctl -qw net.ipv4.conf.ipsec5.rp_filter=1");
    finds("rp-filter", "wrong", "net.ipv4.conf.ipsec5.rp_filter is 1, strict, for ipsec5");
    west("sysctl -qw net.ipv4.conf.ipsec5.rp_filter=0 net.ipv4.conf.outer.rp_filter=1");
    finds("route-based", "wrong",
          "rp_filter is 1, strict, for outer, and 10.10.0.2, the peer of site, is routed into ipsec5");
    west("sysctl -qw net.ipv4.conf.outer.rp_filter=0");
    west("ip rule add pref 100 to 10.10.0.2 lookup main");
    finds("route-based", "wrong",
          "the daemon's own packets to 10.10.0.2, the peer of site, are led into ipsec5");
    west("ip rule del pref 100");
    is_fine("route-based");
    west("ip route del 10.10.0.0/24 dev outer");
    finds("way", "wrong", "there is no route to 10.10.0.2, the peer of site"); // but a tunnel's
}

// ---- the firewall

static bool have_nft(void)
{
    return sh("PATH=$PATH:/usr/sbin:/sbin command -v nft >/dev/null") == 0;
}

static void nft(const char *rules)
{
    assert_int_equal(sh("nsenter --net=%s nft flush ruleset", lab.west.ns), 0);
    assert_int_equal(sh("nsenter --net=%s nft 'table inet filter {\n%s\n}'", lab.west.ns, rules), 0);
}
#define INPUT                                                                                                \
    "chain input { type filter hook input priority 0; policy drop; ct state established,related accept; "

static void test_firewall_that_drops_ike_or_esp(void **state)
{
    (void)state;
    if (!have_nft())
        skip();
    is_fine("firewall");
    nft(INPUT "}");
    finds("firewall", "note",
          "the firewall's chain inet filter input drops what no rule takes on its way in, and none names UDP "
          "500, "
          "UDP 4500, ESP");
    nft(INPUT "udp dport 500 accept; meta l4proto esp accept; }");
    finds("firewall", "note", "and none names UDP 4500");
    nft(INPUT "tcp dport { 500, 4500 } accept; udp sport 500 accept; udp dport 400-600 accept; ip protocol "
              "esp accept; }");
    finds("firewall", "note", "and none names UDP 4500");
    nft(INPUT "udp dport { 500, 4500 } accept; meta l4proto esp accept; }");
    is_fine("firewall");
    nft("set ports { type inet_service; flags interval; elements = { 22, 400-600, 4500 }\n }\n" INPUT
        "udp dport @ports accept; meta l4proto esp accept; }");
    is_fine("firewall");
    nft("chain vpn { udp dport 500 accept; udp dport 4500 accept; meta l4proto esp accept; }\n" INPUT
        "jump vpn; }");
    is_fine("firewall");
    nft("chain input { type filter hook input priority 0; udp dport 4500 drop; udp dport 4500 accept; }");
    finds("firewall", "wrong", "the firewall's chain inet filter input drops UDP 4500 on its way in");
    nft("chain input { type filter hook input priority 0; udp dport 500 accept; meta l4proto esp accept; "
        "reject; }");
    finds("firewall", "note", "and none names UDP 4500");
    nft("chain output { type filter hook output priority 0; policy drop; udp dport { 500, 4500 } accept; }");
    finds("firewall", "note", "on its way out, and none names ESP");
}

static void test_firewall_of_iptables(void **state)
{
    (void)state;
    if (sh("PATH=$PATH:/usr/sbin:/sbin command -v iptables-nft >/dev/null") != 0)
        skip();
    west("iptables-nft -P INPUT DROP");
    west("iptables-nft -A INPUT -p udp -m multiport --dports 500,4500 -j ACCEPT");
    finds("firewall", "note",
          "the firewall's chain ip filter INPUT drops what no rule takes on its way in, and none names ESP");
    west("iptables-nft -A INPUT -p esp -j ACCEPT");
    is_fine("firewall");
    west("iptables-nft -I INPUT -p udp --dport 500 -j REJECT");
    finds("firewall", "wrong", "the firewall's chain ip filter INPUT drops UDP 500 on its way in");
}

static void test_firewall_of_old_iptables(void **state)
{
    (void)state;
    if (sh("PATH=$PATH:/usr/sbin:/sbin; command -v iptables-legacy >/dev/null && nsenter --net=%s "
           "iptables-legacy -S "
           ">/dev/null 2>&1",
           lab.west.ns) != 0)
        skip();
    is_fine("firewall");
    west("iptables-legacy -P INPUT DROP");
    finds("firewall", "note", "iptables-legacy drops what no rule of INPUT takes");
}

// ---- addresses and ways

static void load(const char *text)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/swanctl/swanctl.conf", lab.west.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(sh("%s/espalier load %s --uri unix://%s/vici", bin_dir(), path, lab.west.dir), 0);
}

#define CONN(name, lines, child)                                                                             \
    "connections { " name " {\n" lines "\n local { auth = psk\n }\n remote { auth = psk\n }\n children { "   \
    "kid { remote_ts = 10.77.0.0/16\n" child "\n } } } }\n"

static void test_addresses_routes_and_mtu(void **state)
{
    (void)state;
    start(&plain);
    load(CONN("a", "local_addrs = 10.10.0.99\nremote_addrs = 10.10.0.2", ""));
    finds("addresses", "wrong", "local_addrs of a: 10.10.0.99 is no address of this machine");
    is_fine("way");
    load(CONN("b", "remote_addrs = 203.0.113.1", ""));
    finds("way", "wrong", "there is no route to 203.0.113.1, the peer of b");
    is_fine("addresses");
    load(CONN("c", "remote_addrs = 10.10.0.2", ""));
    is_fine("way");
    west("ip link set dev outer mtu 1200");
    finds("way", "wrong", "the way to 10.10.0.2 of c takes packets of 1200 octets");
    west("ip link set dev outer mtu 1380");
    finds("way", "note", "the way to 10.10.0.2 of c takes packets of 1380 octets");
}

// ---- what the daemon says

static void test_tunnel_that_is_to_be_up_and_is_not(void **state)
{
    (void)state;
    start(&plain);
    assert_true(stop(&lab.east.daemon, SIGKILL, PATIENCE_MS));
    load(CONN("a", "remote_addrs = 10.10.0.2", "start_action = start"));
    finds("tunnels", "wrong", "a/kid is to be up (start_action = start), and is not");
    load(CONN("a", "remote_addrs = 10.10.0.2", "start_action = trap"));
    is_fine("tunnels");
}

static void make_cert(const char *end)
{
    assert_int_equal(
        sh("cd %s/swanctl && mkdir -p x509 private && openssl req -newkey rsa:2048 -nodes -subj "
           "/CN=own.example -keyout "
           "private/a.pem -out a.csr && openssl x509 -req -in a.csr -key private/a.pem %s -out x509/a.pem",
           lab.west.dir, end),
        0);
}

static void test_certificate_that_has_expired_or_will_soon(void **state)
{
    (void)state;
    start(&plain);
    make_cert("$(if openssl x509 -help 2>&1 | grep -q not_after; then echo -not_before 20200101000000Z "
              "-not_after 20200102000000Z; else echo -days -1; fi)");
    load("connections { }\n");
    finds("certificates", "wrong", "the certificate of CN=own.example has expired");
}

static void test_certificate_that_ends_soon(void **state)
{
    (void)state;
    start(&plain);
    make_cert("-days 5");
    load("connections { }\n");
    finds("certificates", "note", "the certificate of CN=own.example expires in ");
}

// ---- a card

static void test_card_that_is_there_and_not_bound(void **state)
{
    (void)state;
    char dir[200];
    snprintf(dir, sizeof(dir), "%s/pci/devices/0000:02:00.0", lab.dir);
    assert_int_equal(
        sh("mkdir -p %s %s/pci/drivers/vfio-pci %s/pci/groups/7 && cd %s && echo 0x1234 >vendor && echo "
           "0xe5b0 >device "
           "&& echo 0x100000 >class && echo 0 >irq && : >resource && head -c 64 /dev/zero >config",
           dir, lab.dir, lab.dir, dir),
        0);
    snprintf(extra, sizeof(extra), "--pci-sysfs %s/pci", lab.dir);
    finds("card", "wrong", "the card 0000:02:00.0 is in no IOMMU group");
    assert_int_equal(sh("ln -s ../../groups/7 %s/iommu_group", dir), 0);
    finds("card", "wrong",
          "the card 0000:02:00.0 is there and bound to no driver, where the daemon wants vfio-pci");
    assert_int_equal(
        sh_read(out, sizeof(out), "%s/espalier card list --pci-sysfs %s/pci", bin_dir(), lab.dir), 0);
    assert_non_null(strstr(out, "0000:02:00.0"));
    assert_non_null(strstr(out, "bound to no driver"));
    assert_int_equal(sh("ln -s ../../drivers/vfio-pci %s/driver", dir), 0);
    is_fine("card");
    start(&plain); // with --card none
    finds("card", "note", "the card 0000:02:00.0 is ready, and the daemon does not use it");
    assert_int_equal(
        sh_read(out, sizeof(out), "%s/espalier card --uri unix://%s/vici", bin_dir(), lab.west.dir), 0);
    assert_non_null(strstr(out, "the daemon uses no card; 0 of 0 CHILD SAs on it\n"));
    assert_non_null(strstr(out, "failovers"));
    assert_int_equal(
        sh_read(out, sizeof(out), "%s/espalier card list --pci-sysfs %s 2>&1", bin_dir(), lab.dir), 3);
    snprintf(extra, sizeof(extra), "--pci-sysfs %s", lab.west.dir);
    is_fine("card"); // no PCI at all
}

// ---- a peer's refusal

static void refused_with(const struct tunnel_options *o, const char *child, const char *text)
{
    assert_true(site_load(&lab.west, &lab.east, o));
    snprintf(extra, sizeof(extra), "--timeout 20 %s", child);
    finds("peer", "wrong", text);
}

static void test_refusal_of_the_peer_is_explained(void **state)
{
    const struct tunnel_options psk = {.psk = "another"}, esp = {.esp = "aes128-sha256"},
                                ike = {.ike = "aes128-sha256-modp2048"},
                                selectors = {.child = "remote_ts = 10.99.0.0/16\n"};
    (void)state;
    start(&plain);
    refused_with(&psk, "net", "net: the peer does not believe that we are who we say (");
    refused_with(&ike, "site/net", "site/net: the peer accepts none of our proposals");
    refused_with(&esp, "net", "net: the peer accepts none of our proposals");
    refused_with(&selectors, "net", "net: the peer does not take our traffic selectors");
    snprintf(extra, sizeof(extra), "nonesuch");
    finds("peer", "wrong", "nonesuch: CHILD_SA config 'nonesuch' not found");
    assert_true(site_load(&lab.west, &lab.east, &plain));
    assert_true(stop(&lab.east.daemon, SIGKILL, PATIENCE_MS));
    snprintf(extra, sizeof(extra), "--timeout 8 net");
    finds("peer", "wrong", "net: the peer has not answered in time");
}

int main(void)
{
    if (!have_swanctl()) {
        fprintf(stderr, "missing: swanctl (Debian package strongswan-swanctl)\n");
        return 3;
    }
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_healthy_gateway_has_nothing_wrong),
        T(test_no_daemon_and_a_right_that_is_missing),
        T(test_port_that_another_program_holds),
        T(test_firewall_that_drops_ike_or_esp),
        T(test_firewall_of_iptables),
        T(test_firewall_of_old_iptables),
        T(test_switches_that_void_policies_or_drop_packets),
        T(test_route_based_tunnels),
        T(test_addresses_routes_and_mtu),
        T(test_tunnel_that_is_to_be_up_and_is_not),
        T(test_certificate_that_has_expired_or_will_soon),
        T(test_certificate_that_ends_soon),
        T(test_card_that_is_there_and_not_bound),
        T(test_refusal_of_the_peer_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
