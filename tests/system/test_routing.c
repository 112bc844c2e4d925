// SPDX-License-Identifier: Apache-2.0
// A routing daemon, Debian's bird2, on both ends of two route-based tunnels between two daemons: BGP goes
// through each tunnel, and what it learns leads by the first one, by the second where that is silent, and
// back. The configuration is that of the manual's page (ctrl/manual/cloud.md), and the same from the other
// end. Nothing of the networks behind is on the link in clear, whichever way they go.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"
#include "tests/unit/manual_pages.h"

enum { TURN_MS = 30000, RATE_US = 2000 };
#define PATHS "PATH=$PATH:/usr/sbin:/sbin "

static struct lab lab;
static struct site hosts[2]; // behind west and east
static pid_t birds[2];
static char *const no_card[] = {"--card", "none", NULL};

static int tear_down(void **state)
{
    (void)state;
    stop(&birds[0], SIGTERM, 4000);
    stop(&birds[1], SIGTERM, 4000);
    stop(&hosts[0].keeper, SIGKILL, 1000);
    stop(&hosts[1].keeper, SIGKILL, 1000);
    lab_down(&lab);
    return 0;
}

// ---- the two tunnels

static void daemons(void)
{
    struct site *both[] = {&lab.east, &lab.west};
    static char two[2000];
    for (int i = 0; i < 2; i++) {
        const struct tunnel_options o = {.conn = "if_id_in = 1\n    if_id_out = 1", .sections = two};
        int own = i ? 1 : 2;
        snprintf(two, sizeof(two),
                 "connections {\n  two {\n    local_addrs = 10.10.0.1%d\n    remote_addrs = 10.10.0.1%d\n"
                 "    if_id_in = 2\n    if_id_out = 2\n    local {\n      auth = psk\n      id = %s\n    }\n"
                 "    remote {\n      auth = psk\n      id = %s\n    }\n    children {\n      net2 {\n"
                 "        local_ts = 0.0.0.0/0\n        remote_ts = 0.0.0.0/0\n        rekey_time = 0\n"
                 "      }\n    }\n  }\n}\n",
                 own, 3 - own, both[i]->id, both[!i]->id);
        assert_true(espalierd_start(&lab, both[i], both[!i], &o, no_card));
    }
}

static void addresses(void)
{
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++)
        assert_int_equal(sh("nsenter --net=%s sh -c 'ip addr add 169.254.5.%d/30 dev ipsec1; ip addr add "
                            "169.254.6.%d/30 dev ipsec2'",
                            both[i]->ns, i + 1, i + 1),
                         0);
}

static int set_up(void **state)
{
    struct site *both[] = {&lab.west, &lab.east};
    (void)state;
    memset(hosts, 0, sizeof(hosts));
    if (!lab_up(&lab, "espbgp") || !host_up(&lab.west, &hosts[0], 1) || !host_up(&lab.east, &hosts[1], 2))
        return -1;
    for (int i = 0; i < 2; i++) {
        snprintf(both[i]->subnet, sizeof(both[i]->subnet), "0.0.0.0/0");
        snprintf(hosts[i].inner, sizeof(hosts[i].inner), "10.%d.9.5", i + 1);
        if (sh("nsenter --net=%s sh -c 'ip addr add 10.10.0.1%d/24 dev outer; echo 1 "
               ">/proc/sys/net/ipv6/conf/all/disable_ipv6; ip route del 10.%d.0.0/16; ip route add blackhole "
               "10.%d.0.0/16 metric 1000'",
               both[i]->ns, i + 1, 2 - i, 2 - i))
            return -1;
    }
    return 0;
}

// ---- bird

static void write_conf(void)
{
    struct page p;
    char file[64], path[200];
    const char *text = NULL;
    assert_true(page_read(&p, "cloud"));
    for (size_t i = 0; i < p.count; i++)
        if (block_label(&p.blocks[i], "file", file, sizeof(file)) && strcmp(file, "/etc/bird/bird.conf") == 0)
            text = p.blocks[i].text;
    assert_non_null(text);
    snprintf(path, sizeof(path), "%s/bird.conf", lab.west.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    page_free(&p);
    assert_int_equal(sh("sed -e 's/65001/X/; s/65002/65001/; s/X/65002/; s/10[.]1[.]0[.]0/Y/; "
                        "s/10[.]2[.]0[.]0/10.1.0.0/; s/Y/10.2.0.0/; s/\\(169[.]254[.][56]\\)[.]2/\\1.1/; "
                        "s/id 10[.]10[.]0[.]1/id 10.10.0.2/' %s >%s/bird.conf",
                        path, lab.east.dir),
                     0);
}

static void bird(int i)
{
    struct site *s = i ? &lab.east : &lab.west;
    char log[200], cmd[700];
    snprintf(log, sizeof(log), "%s/bird.log", s->dir);
    snprintf(cmd, sizeof(cmd), PATHS "exec bird -f -c %s/bird.conf -s %s/bird.ctl", s->dir, s->dir);
    char *argv[] = {"sh", "-c", cmd, NULL};
    birds[i] = spawn(log, s->ns, argv);
}

// ----

static uint64_t packets_out(const char *child)
{
    char out[16384], *at;
    swanctl(&lab.west, out, sizeof(out), "--list-sas --raw");
    at = strstr(out, child);
    return at ? number_after(at, "packets-out", 0) : 0;
}

static void up(const char *child)
{
    char out[16384];
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--initiate --child %s --timeout 20", child), 0);
}

static void test_bgp_chooses_among_two_tunnels(void **state)
{
    char pcap[200], out[16384];
    struct probe p;
    struct probe_result r;
    (void)state;
    start_capture(&lab, pcap, sizeof(pcap));
    daemons();
    addresses();
    write_conf();
    bird(0);
    bird(1);
    assert_false(answered(&hosts[0], &hosts[1], 1)); // neither is up
    up("net2");
    await_way(&lab, " dev ipsec2 ", TURN_MS);
    up("net");
    await_way(&lab, " dev ipsec1 ", TURN_MS); // which is preferred
    assert_true(probe_start(&lab, &p, &hosts[0], &hosts[1], RATE_US));
    assert_true(probe_hears(500));
    uint64_t first = packets_out("name=net ");
    assert_true(first >= 500);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--terminate --ike site --timeout 5"), 0);
    await_way(&lab, " dev ipsec2 ", TURN_MS);
    uint64_t second = packets_out("name=net2 ");
    assert_true(probe_hears(1000));
    assert_true(packets_out("name=net2 ") > second);
    up("net");
    await_way(&lab, " dev ipsec1 ", TURN_MS);
    uint64_t again = packets_out("name=net ");
    assert_true(probe_hears(1500));
    assert_true(packets_out("name=net ") > again);
    assert_true(probe_stop(&p, &r));
    print_message("  the first tunnel's SA goes: %llu ms without an arrival, %llu of %llu lost\n",
                  (unsigned long long)(r.max_gap_us / 1000), (unsigned long long)(r.sent - r.received),
                  (unsigned long long)r.sent);
    assert_int_equal(r.repeated, 0);
    assert_int_equal(sh("nsenter --net=%s ip route show 10.2.0.0/16 | grep -q 'proto bird'", lab.west.ns), 0);
    assert_true(stop(&birds[0], SIGTERM, 4000)); // what it has set goes with it, and the blackhole holds
    assert_false(answered(&hosts[0], &hosts[1], 1));
    only_esp(&lab, pcap, 1000);
}

int main(void)
{
    if (sh(PATHS "command -v bird >/dev/null")) {
        fprintf(stderr, "missing: bird (Debian package bird2)\n");
        return 3;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bgp_chooses_among_two_tunnels, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
