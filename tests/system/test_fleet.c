// SPDX-License-Identifier: Apache-2.0
// Three gateways that share their connections by a real etcd, and a peer that has a tunnel to whichever has
// each: a gateway killed, etcd away for less and for more than a lease, a gateway frozen while it sends and
// woken when others have what it had. What each costs is printed; on the link nothing is ever in clear, no
// sequence number of an SA comes twice, and who was frozen sends nothing more of what is not its own.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/steps.h"

enum { NODES = 3, CONNS = 4, TTL = 5 };
#define ETCD "https://10.10.0.2:2379"

// The peer is west; east is the link that all are on, and where etcd runs.
static struct lab lab;
static struct site node[NODES];
static pid_t etcd;
static char pcap[200], settings[200];

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

// ---- the laboratory

static bool plug_in(struct site *s, int n)
{
    return sh("ip link add outer netns %d type veth peer name port%d netns %d", s->keeper, n,
              lab.east.keeper) == 0 &&
           sh("nsenter --net=%s ip link set port%d master br0 up", lab.east.ns, n) == 0 &&
           sh("nsenter --net=%s sh -c 'ip addr add %s/24 dev outer && ip link set outer gso_max_segs 1 up && "
              "ip route add 10.1.0.0/16 via 10.10.0.1; echo 1 >/proc/sys/net/ipv4/ip_forward; "
              "for i in $(seq %d); do ip addr add 10.100.$i.1/32 dev lo; done; "
              "echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter'",
              s->ns, s->outer, CONNS) == 0;
}

static bool etcd_answers(void *ctx)
{
    (void)ctx;
    return sh("cd %s && nsenter --net=%s curl -s -m 1 -f --cacert ca.pem --cert node.pem --key node.key " ETCD
              "/health | grep -q true",
              lab.dir, lab.east.ns) == 0;
}

// An authority, etcd's certificate and that of all nodes; and another authority. The keys are root's alone.
static bool certify(void)
{
    return sh("cd %s && umask 077 && printf 'subjectAltName=IP:10.10.0.2\\n' >san && for a in ca other; do "
              "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$a -days 2 "
              "-keyout "
              "$a.key -out $a.pem || exit 1; done; for n in etcd node; do openssl req -newkey ec -pkeyopt "
              "ec_paramgen_curve:P-256 -nodes -subj /CN=$n -keyout $n.key -out $n.csr && openssl x509 -req "
              "-in "
              "$n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out $n.pem || exit 1; "
              "done",
              lab.dir) == 0;
}

static void etcd_up(void)
{
    char dir[200], log[200], ca[200], cert[200], key[200];
    snprintf(ca, sizeof(ca), "%s/ca.pem", lab.dir);
    snprintf(cert, sizeof(cert), "%s/etcd.pem", lab.dir);
    snprintf(key, sizeof(key), "%s/etcd.key", lab.dir);
    snprintf(dir, sizeof(dir), "%s/etcd", lab.dir);
    snprintf(log, sizeof(log), "%s/etcd.log", lab.dir);
    char *const argv[] = {"etcd",
                          "--data-dir",
                          dir,
                          "--listen-client-urls",
                          ETCD,
                          "--advertise-client-urls",
                          ETCD,
                          "--listen-peer-urls",
                          "http://127.0.0.1:2380",
                          "--initial-advertise-peer-urls",
                          "http://127.0.0.1:2380",
                          "--initial-cluster",
                          "default=http://127.0.0.1:2380",
                          "--client-cert-auth",
                          "--trusted-ca-file",
                          ca,
                          "--cert-file",
                          cert,
                          "--key-file",
                          key,
                          "--heartbeat-interval",
                          "50",
                          "--election-timeout",
                          "500",
                          NULL};
    etcd = spawn(log, lab.east.ns, argv);
    if (!wait_for(etcd_answers, NULL, PATIENCE_MS))
        fail_msg("etcd does not answer");
}

static int set_up(void **state)
{
    (void)state;
    if (sh("command -v etcd >/dev/null") != 0)
        return 0;
    if (!lab_up(&lab, "espfleet") ||
        sh("nsenter --net=%s sh -c 'ip link add br0 type bridge && ip addr del 10.10.0.2/24 dev outer && ip "
           "link set "
           "outer master br0 && ip addr add 10.10.0.2/24 dev br0 && ip link set br0 up && sysctl -qw "
           "net.bridge.bridge-nf-call-iptables=0 2>/dev/null; true'",
           lab.east.ns))
        return -1;
    if (!certify())
        return -1;
    for (int i = 0; i < NODES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "node%d", i + 1);
        if (!site_more(&lab, &node[i], name, 11 + i) || !plug_in(&node[i], 11 + i))
            return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++) {
        stop(&node[i].daemon, SIGTERM, 4000);
        stop(&node[i].keeper, SIGKILL, 1000);
    }
    stop(&etcd, SIGKILL, 1000);
    if (lab.dir[0])
        lab_down(&lab);
    return 0;
}

// ---- daemons

static const char secret[] = "secrets {\n  ike-1 {\n    secret = \"a shared secret of the lab\"\n  }\n}\n";

static void write_conns(const char *path, bool peer)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("connections {\n", f);
    for (int i = 1; i <= CONNS; i++) {
        char theirs[32];
        snprintf(theirs, sizeof(theirs), "10.100.%d.0/24", i);
        fprintf(f,
                "  c%d {\n    local_addrs = %%any\n    remote_addrs = %s\n    proposals = "
                "aes256gcm16-prfsha384-x25519\n    keyingtries = 0\n    mobike = no\n"
                "    local {\n      auth = psk\n      id = %s%d\n    }\n"
                "    remote {\n      auth = psk\n      id = %s%d\n    }\n"
                "    children {\n      net {\n        local_ts = %s\n        remote_ts = %s\n"
                "        esp_proposals = aes256gcm16\n        rekey_time = 0\n        start_action = %s\n"
                "      }\n    }\n  }\n",
                i, peer ? "%any" : "10.10.0.1", peer ? "peer" : "fleet", i, peer ? "fleet" : "peer", i,
                peer ? "10.1.0.0/16" : theirs, peer ? theirs : "10.1.0.0/16", peer ? "none" : "start");
    }
    fprintf(f, "}\n%s", peer ? secret : "");
    assert_int_equal(fclose(f), 0);
}

static void swanctl_dir(const struct site *s, char *path, size_t size)
{
    assert_int_equal(sh("mkdir -p %s/swanctl/conf.d %s/run", s->dir, s->dir), 0);
    snprintf(path, size, "%s/swanctl/swanctl.conf", s->dir);
}

static void peer_up(void)
{
    static char *const no_card[] = {"--card", "none", NULL};
    char path[200];
    swanctl_dir(&lab.west, path, sizeof(path));
    write_conns(path, true);
    assert_true(espalierd_start(&lab, &lab.west, NULL, NULL, no_card));
}

static void write_settings(const char *path, const char *name, const char *ca, const char *cert)
{
    char text[1000];
    snprintf(text, sizeof(text),
             "espalierd {\n  fleet {\n    endpoints = " ETCD
             "\n    node = %s\n    ttl = %d\n    cacert = %s/%s.pem\n",
             name, TTL, lab.dir, ca);
    if (cert)
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "    cert = %s/%s.pem\n    key = %s/%s.key\n", lab.dir, cert, lab.dir, cert);
    strcat(text, "  }\n}\n");
    write_text(path, text);
}

static void node_up(struct site *s)
{
    char path[200], config[200];
    char *const more[] = {"--card", "none", "--config", config, NULL};
    swanctl_dir(s, path, sizeof(path));
    write_text(path, secret);
    snprintf(config, sizeof(config), "%s/espalierd.conf", s->dir);
    write_settings(config, s->name, "ca", "node");
    assert_true(espalierd_start(&lab, s, NULL, NULL, more));
}

static int fleet(char *out, size_t size, const char *args)
{
    return sh_read(out, size, "nsenter --net=%s %s/espalier fleet %s --config %s 2>&1", lab.east.ns,
                   bin_dir(), args, settings);
}

// ---- who has what

// The number of the node that has a connection, from 0 on; -1: nobody.
static int owner_of(int conn)
{
    char out[4096], name[16], *at;
    if (fleet(out, sizeof(out), "status") != 0)
        return -1;
    snprintf(name, sizeof(name), "c%d ", conn);
    at = strstr(out, name);
    at = at ? strstr(at, "node") : NULL;
    char *end = at ? strchr(at, '\n') : NULL;
    return at && end ? (int)strtol(at + 4, NULL, 10) - 1 : -1;
}

static bool answers(int conn)
{
    return sh("nsenter --net=%s ping -q -c 1 -W 1 -I 10.1.0.1 10.100.%d.1", lab.west.ns, conn) == 0;
}

static bool all_answer(void *ctx)
{
    (void)ctx;
    for (int i = 1; i <= CONNS; i++)
        if (!answers(i))
            return false;
    return true;
}

static bool none_answers(void *ctx)
{
    (void)ctx;
    for (int i = 1; i <= CONNS; i++)
        if (sh("nsenter --net=%s ping -q -c 1 -W 0.2 -I 10.1.0.1 10.100.%d.1", lab.west.ns, i) == 0)
            return false;
    return true;
}

static double seconds_until(bool (*what)(void *), const char *name)
{
    uint64_t from = mono_us();
    if (!wait_for(what, NULL, PATIENCE_MS))
        fail_msg("after %d s: %s", PATIENCE_MS / 1000, name);
    return (double)(mono_us() - from) / 1e6;
}

static void row(const char *event, double s)
{
    print_message("  %-58s %6.2f s\n", event, s);
}

// ---- the link

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void look_begins(void)
{
    snprintf(pcap, sizeof(pcap), "%s/link.pcap", lab.dir);
    assert_true(capture_start(&lab, &lab.west, pcap));
}

static void nothing_in_clear_or_twice(void)
{
    struct wire w;
    assert_true(capture_stop(&lab.west));
    assert_true(wire_check(pcap, &w));
    assert_true(w.esp > 0);
    assert_int_equal(w.plaintext, 0);
    assert_int_equal(w.repeated, 0);
    print_message("  %-58s %llu ESP, 0 in clear, 0 twice\n", "    on the link", (unsigned long long)w.esp);
}

// Packets from that address in the capture, of IKE or ESP, from then on.
static long sent_since(const char *addr, uint64_t from)
{
    char out[64];
    assert_int_equal(
        sh_read(out, sizeof(out),
                "tshark -r %s -Y 'ip.src == %s && (esp || udp.port == 500 || udp.port == 4500) && "
                "frame.time_epoch >= %llu.%06llu' 2>/dev/null | wc -l",
                pcap, addr, (unsigned long long)(from / 1000000), (unsigned long long)(from % 1000000)),
        0);
    return strtol(out, NULL, 10);
}

// ---- the story

static void test_connections_are_spread_and_come_up(void **state)
{
    char out[4096], path[200], command[300];
    (void)state;
    if (sh("command -v etcd >/dev/null") != 0) {
        print_message("skip: etcd is not installed (apt-get install etcd-server)\n");
        skip();
    }
    etcd_up();
    peer_up();
    look_begins();
    for (int i = 0; i < NODES; i++)
        node_up(&node[i]);
    snprintf(settings, sizeof(settings), "%s/espalierd.conf", node[0].dir);
    snprintf(path, sizeof(path), "%s/fleet.conf", lab.dir);
    write_conns(path, false);
    snprintf(command, sizeof(command), "load %s", path);
    if (fleet(out, sizeof(out), command) != 0)
        fail_msg("espalier fleet load: %s", out);
    print_message(
        "\n  event                                                         until all tunnels carry\n");
    row("loaded, three nodes", seconds_until(all_answer, "not all tunnels carry"));
    for (int i = 1; i <= CONNS; i++)
        assert_true(owner_of(i) >= 0);
    assert_int_equal(fleet(out, sizeof(out), "nodes"), 0);
    for (int i = 0; i < NODES; i++)
        assert_non_null(strstr(out, node[i].name));
    nothing_in_clear_or_twice();
}

static void needs_etcd(void)
{
    if (!etcd)
        skip();
}

static void refused(const char *ca, const char *cert, const char *why)
{
    char out[1024], path[200], good[200];
    snprintf(path, sizeof(path), "%s/bad.conf", lab.dir);
    write_settings(path, "nobody", ca, cert);
    snprintf(good, sizeof(good), "%s", settings);
    snprintf(settings, sizeof(settings), "%s", path);
    int rc = fleet(out, sizeof(out), "status");
    snprintf(settings, sizeof(settings), "%s", good);
    assert_int_not_equal(rc, 0);
    if (!strstr(out, why))
        fail_msg("what is said is not of %s: %s", why, out);
}

static void test_tls_of_others_is_refused_by_name(void **state)
{
    (void)state;
    needs_etcd();
    refused("other", "node", "TLS");
    refused("ca", NULL, "TLS");
    refused("ca", "other", "TLS"); // not of the authority that etcd believes
    refused("missing", "node", "missing.pem");
}

// A client of VICI neither takes the fleet's away nor replaces them.
static void test_a_client_leaves_the_fleets_alone(void **state)
{
    char out[4096];
    (void)state;
    needs_etcd();
    int i = owner_of(1);
    assert_true(i >= 0);
    assert_int_equal(swanctl(&node[i], out, sizeof(out), "--load-all --noprompt"), 0);
    assert_int_equal(swanctl(&node[i], out, sizeof(out), "--list-conns"), 0);
    assert_non_null(strstr(out, "c1:"));
    assert_true(answers(1));
    int other = (i + 1) % NODES;
    assert_int_not_equal(swanctl(&node[other], out, sizeof(out), "--initiate --ike c1 --timeout 5"), 0);
    assert_non_null(strstr(out, "the fleet's, and not this node's"));
}

// Who writes to etcd does not decide that: not what stands for the whole network, either.
static void test_what_does_not_encrypt_is_not_loaded(void **state)
{
    char out[4096], path[200], command[300];
    (void)state;
    needs_etcd();
    snprintf(path, sizeof(path), "%s/pass.conf", lab.dir);
    write_text(path,
               "connections {\n  c9 {\n    children {\n      all {\n        mode = pass\n        local_ts = "
               "0.0.0.0/0\n        remote_ts = 0.0.0.0/0\n      }\n    }\n  }\n}\n");
    snprintf(command, sizeof(command), "load %s", path);
    assert_int_not_equal(fleet(out, sizeof(out), command), 0);
    if (!strstr(out, "child all lets traffic leave unencrypted (mode = pass)"))
        fail_msg("it is not said: %s", out);
    assert_int_equal(fleet(out, sizeof(out), "status"), 0);
    assert_null(strstr(out, "c9"));
    assert_non_null(strstr(out, "c1"));
}

static int gone;

// The rooms of a supervisor that is killed go on for a moment: what still answers by them is not back yet.
static bool all_answer_by_others(void *ctx)
{
    int now = owner_of(1);
    return now >= 0 && now != gone && all_answer(ctx);
}

static void test_a_node_that_is_killed_is_replaced(void **state)
{
    (void)state;
    needs_etcd();
    gone = owner_of(1);
    assert_true(gone >= 0);
    look_begins();
    assert_true(daemon_kill(&node[gone]));
    row("a node killed", seconds_until(all_answer_by_others, "not all tunnels carry again"));
    nothing_in_clear_or_twice();
    node_up(&node[gone]);
}

// The lease lives on: whoever comes again goes on with it, and nothing else moves.
static void test_a_room_that_dies_changes_nothing(void **state)
{
    static const char *const rooms[] = {"fleet", "ctl"};
    (void)state;
    needs_etcd();
    int i = owner_of(1);
    assert_true(i >= 0);
    for (size_t r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++) {
        pid_t pid = room_pid(&node[i], rooms[r]);
        assert_true(pid > 0);
        assert_int_equal(kill(pid, SIGKILL), 0);
    }
    sleep(TTL + 1); // nothing is to happen
    assert_true(all_answer(NULL));
    assert_int_equal(owner_of(1), i);
    assert_true(logged(&node[i], "goes on with session"));
}

static void test_a_drained_node_gives_its_connections_away(void **state)
{
    char out[1024], command[64];
    (void)state;
    needs_etcd();
    int from = owner_of(2);
    assert_true(from >= 0);
    look_begins();
    snprintf(command, sizeof(command), "drain %s", node[from].name);
    assert_int_equal(fleet(out, sizeof(out), command), 0);
    uint64_t end = mono_us() + PATIENCE_MS * 1000ull;
    while ((owner_of(2) == from || owner_of(2) < 0) && mono_us() < end)
        usleep(50000);
    row("a node drained", seconds_until(all_answer, "not all tunnels carry again"));
    for (int i = 1; i <= CONNS; i++)
        assert_int_not_equal(owner_of(i), from);
    nothing_in_clear_or_twice();
    strcat(command, " --undo");
    assert_int_equal(fleet(out, sizeof(out), command), 0);
}

// Whoever has it closes it and may take it again at once; another one waits for as long as that could not
// know.
static void test_a_key_that_somebody_deletes_moves_nothing_by_force(void **state)
{
    (void)state;
    needs_etcd();
    int had = owner_of(3);
    assert_true(had >= 0);
    look_begins();
    assert_int_equal(
        sh("cd %s && nsenter --net=%s curl -s -f --cacert ca.pem --cert node.pem --key node.key " ETCD
           "/v3/kv/deleterange -d \"{\\\"key\\\":\\\"$(printf /espalier/owners/c3 | base64 -w0)\\\"}\" "
           "| grep -q '\"deleted\":\"1\"'",
           lab.dir, lab.east.ns),
        0);
    row("the key of one deleted by hand", seconds_until(all_answer, "not all tunnels carry again"));
    assert_true(logged(&node[had], "connection c3 is taken from this node"));
    assert_int_equal(owner_of(3), had);
    nothing_in_clear_or_twice();
}

// How long it was away. A keepalive is sent each third of the lease, and a fifth of that is not used.
static double etcd_killed_and_back(void)
{
    uint64_t from = mono_us();
    stop(&etcd, SIGKILL, 1000);
    etcd_up();
    return (double)(mono_us() - from) / 1e6;
}

static void test_etcd_away_within_the_lease_changes_nothing(void **state)
{
    int before[CONNS + 1] = {0};
    double away = TTL;
    (void)state;
    needs_etcd();
    for (int i = 0; i < 4 && away > TTL * 0.8 - TTL / 3.0 - 0.5;
         i++) { // on a busy machine it starts too slowly
        assert_true(wait_for(all_answer, NULL, PATIENCE_MS));
        for (int k = 1; k <= CONNS; k++)
            before[k] = owner_of(k);
        away = etcd_killed_and_back();
    }
    row("etcd killed and back, away for", away);
    sleep(TTL); // nothing is to happen
    assert_true(all_answer(NULL));
    for (int i = 1; i <= CONNS; i++)
        assert_int_equal(owner_of(i), before[i]);
}

static void test_etcd_away_for_longer_closes_everything(void **state)
{
    (void)state;
    needs_etcd();
    look_begins();
    stop(&etcd, SIGKILL, 1000);
    double closed = seconds_until(none_answers, "something carries without a lease");
    assert_true(closed < TTL + 2);
    row("etcd away: closed after", closed);
    for (int i = 0; i < NODES; i++)
        assert_true(logged(&node[i], "the lease is over by this node's clock"));
    etcd_up();
    row("etcd back", seconds_until(all_answer, "not all tunnels carry again"));
    nothing_in_clear_or_twice();
}

static void signal_all(const struct site *s, int sig)
{
    assert_int_equal(sh("kill -%d $(cat /proc/%d/task/%d/children) %d", sig, (int)s->daemon, (int)s->daemon,
                        (int)s->daemon),
                     0);
}

// What it sends goes to its TUN all the while: it is there to be taken when it wakes.
static void test_a_node_that_freezes_and_wakes_sends_nothing_more(void **state)
{
    (void)state;
    needs_etcd();
    int frozen = owner_of(1);
    char *const stream[] = {"ping", "-q", "-i", "0.01", "-I", "10.100.1.1", "10.1.0.1", NULL};
    assert_true(frozen >= 0);
    look_begins();
    pid_t ping = spawn("/dev/null", node[frozen].ns, stream);
    sleep(1); // so that there is something that it did send
    signal_all(&node[frozen], SIGSTOP);
    row("a node frozen", seconds_until(all_answer, "not all tunnels carry again"));
    assert_int_not_equal(owner_of(1), frozen);
    uint64_t woken = now_us();
    signal_all(&node[frozen], SIGCONT);
    sleep(3); // nothing is to come
    assert_true(logged(&node[frozen], "are closed here"));
    stop(&ping, SIGKILL, 1000);
    nothing_in_clear_or_twice();
    assert_true(sent_since(node[frozen].outer, woken - 20 * 1000000) > 20); // it did while it was its own
    long late = sent_since(node[frozen].outer, woken);
    print_message("  %-58s %ld\n", "    packets of it after it woke", late);
    assert_int_equal(late, 0);
    assert_true(all_answer(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_spread_and_come_up),
        cmocka_unit_test(test_tls_of_others_is_refused_by_name),
        cmocka_unit_test(test_a_client_leaves_the_fleets_alone),
        cmocka_unit_test(test_what_does_not_encrypt_is_not_loaded),
        cmocka_unit_test(test_a_node_that_is_killed_is_replaced),
        cmocka_unit_test(test_a_room_that_dies_changes_nothing),
        cmocka_unit_test(test_a_drained_node_gives_its_connections_away),
        cmocka_unit_test(test_a_key_that_somebody_deletes_moves_nothing_by_force),
        cmocka_unit_test(test_etcd_away_within_the_lease_changes_nothing),
        cmocka_unit_test(test_etcd_away_for_longer_closes_everything),
        cmocka_unit_test(test_a_node_that_freezes_and_wakes_sends_nothing_more),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
