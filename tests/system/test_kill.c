// SPDX-License-Identifier: Apache-2.0
// Each of espalierd's processes killed with -9 while numbered packets run both ways: what is lost, and for
// how long. The table that it prints is SECURITY.md's. In every case nothing is seen in clear, no
// (SPI, sequence) twice, and what comes again is the same tunnel.
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

#include "tests/system/death.h"
#include "tests/system/rekey_lab.h"
#include "tests/unit/busy.h"

enum { RATE = 500, FULL_RATE = 2000, CARD_RATE = 200, TEXT = 65536 };

static struct rig rig;
static struct flow_report flow;
static char *const settings[] = {"-o", "delete_rekeyed_delay=1", "-o", "metrics=127.0.0.1:9909", NULL};

// ---- the table

static struct row {
    char what[32], back[24], lost[80];
    uint64_t packets, of, gap_us;
} table[16];
static unsigned rows;

__attribute__((format(printf, 3, 4))) static void row(const char *what, const char *lost, const char *back,
                                                      ...)
{
    struct row *r = &table[rows++];
    va_list ap;
    va_start(ap, back);
    vsnprintf(r->back, sizeof(r->back), back, ap);
    va_end(ap);
    snprintf(r->what, sizeof(r->what), "%s", what);
    snprintf(r->lost, sizeof(r->lost), "%s", lost);
    r->packets = flow.lost;
    r->of = flow.sent;
    r->gap_us = flow.max_gap_us;
}

static int print_table(void **state)
{
    (void)state;
    print_message("\n  killed                   back after    packets lost of      longest gap  what else\n");
    for (const struct row *r = table; r < table + rows; r++)
        print_message("  %-24s %-12s %8llu %9llu %10.1f ms  %s\n", r->what, r->back,
                      (unsigned long long)r->packets, (unsigned long long)r->of, (double)r->gap_us / 1e3,
                      r->lost);
    return 0;
}

// ---- the laboratory

static int tear_down(void **state)
{
    (void)state;
    rig_down(&rig);
    return 0;
}

// Beside the tunnel two connections, a pool and a secret, whose lists are looked at.
#define OTHERS(dpd)                                                                                          \
    "connections { first { remote_addrs = 10.10.0.77\n dpd_delay = " dpd "\n local { auth = psk\n id = a }"  \
    "\n remote { auth = psk\n id = b }\n children { first { local_ts = 10.1.0.0/16\n remote_ts = "           \
    "10.77.0.0/16\n start_action = trap } } }\n"                                                             \
    "second { pools = roads\n local { auth = psk\n id = c }\n remote { auth = psk\n id = d }\n children { "  \
    "second { local_ts = 10.1.0.0/16\n } } } }\n"                                                            \
    "pools { roads { addrs = 10.3.0.0/24 } }\n"                                                              \
    "secrets { ike-other { secret = \"another shared secret of the lab\" } }\n"

static struct rig_options options(void)
{
    struct rig_options o = {.settings = settings};
    for (int i = 0; i < 2; i++) {
        o.side[i].conn = "rekey_time = 0";
        o.side[i].encap = true;
    }
    o.side[WEST].start_action = "trap";
    return o;
}

static void start(const struct rig_options *o, unsigned rate)
{
    assert_true(rig_up(&rig, "espkill", o));
    assert_true(rig_at_rest(&rig, NULL));
    assert_true(rig_flow_start(&rig, rate, 120));
    usleep(300000);
}

// Whatever was lost: nothing in clear, nothing twice, nothing wrong.
static void finish(const char *what)
{
    assert_true(rig_flow_stop(&rig, &flow));
    flow_print(what, &flow);
    assert_int_equal(flow.clear[WEST] + flow.clear[EAST], 0);
    assert_int_equal(flow.wire_repeated + flow.repeated + flow.wrong, 0);
}

static void ask(char *out, const char *command)
{
    int rc = swanctl(&rig.lab.west, out, TEXT, "%s", command);
    if (rc)
        fail_msg("swanctl %s: %d: %s", command, rc, out);
}

static unsigned logged(const char *text)
{
    char out[32] = "";
    sh_read(out, sizeof(out), "grep -c '%s' %s/daemon.log", text, rig.lab.west.dir);
    return (unsigned)strtoul(out, NULL, 10);
}

// ---- those that come again

static const char *const lists[] = {"--list-conns --raw", "--list-pols --raw", "--list-pools --raw --leases",
                                    "--list-certs --raw", "--list-authorities --raw"};
enum { LISTS = sizeof(lists) / sizeof(lists[0]) };
struct picture { // of what an operator sees
    char text[LISTS][TEXT];
    struct vici_sas sas;
    uint64_t ike_auth;
};

static void see(struct picture *p)
{
    char path[200], out[TEXT];
    for (unsigned i = 0; i < LISTS; i++)
        ask(p->text[i], lists[i]);
    close(rig.vici[WEST]);
    snprintf(path, sizeof(path), "%.150s/vici", rig.lab.west.dir);
    rig.vici[WEST] = vici_open(path);
    assert_true(rig.vici[WEST] >= 0 && rig_sas(&rig, WEST, &p->sas));
    ask(out, "--counters --raw --all");
    p->ike_auth = number_after(out, "ike_auth_out_req", 999);
}

static void same(const struct picture *a, const struct picture *b)
{
    for (unsigned i = 0; i < LISTS; i++)
        if (strcmp(a->text[i], b->text[i]) != 0)
            fail_msg("swanctl %s was:\n%s\nand is:\n%s", lists[i], a->text[i], b->text[i]);
    assert_int_equal(a->sas.count, b->sas.count);
    assert_int_equal(a->sas.count, 1);
    assert_true(a->sas.sa[0].spi_i == b->sas.sa[0].spi_i && a->sas.sa[0].spi_r == b->sas.sa[0].spi_r);
    assert_int_equal(a->sas.children_count, b->sas.children_count);
    assert_int_equal(a->sas.child[0].spi_in, b->sas.child[0].spi_in);
    assert_int_equal(a->sas.child[0].spi_out, b->sas.child[0].spi_out);
    assert_int_equal(a->ike_auth, b->ike_auth);
}

static const char *const rooms[] = {"ctl", "ike", "keys", "path", "fetch", "metrics"};
enum { ROOMS = sizeof(rooms) / sizeof(rooms[0]) };

static void all_pids(pid_t pid[ROOMS])
{
    for (unsigned i = 0; i < ROOMS; i++)
        assert_true((pid[i] = room_pid(&rig.lab.west, rooms[i])) > 0);
}

struct since {
    unsigned count;
    char text[64];
};

static bool logged_more(void *ctx)
{
    const struct since *s = ctx;
    return logged(s->text) > s->count;
}

// From the kill until it serves, in ms; nobody else has died, but ike with keys.
static double comes_again(const char *name)
{
    bool keys = strcmp(name, "keys") == 0;
    pid_t before[ROOMS], after[ROOMS];
    struct since since;
    all_pids(before);
    snprintf(since.text, sizeof(since.text), "%.20s serves again",
             keys ? "ike" : name); // which comes behind it
    since.count = logged(since.text);
    uint64_t from = mono_us();
    assert_int_equal(kill(room_pid(&rig.lab.west, name), SIGKILL), 0);
    assert_true(wait_for(logged_more, &since, PATIENCE_MS));
    double ms = (double)(mono_us() - from) / 1e3;
    all_pids(after);
    for (unsigned i = 0; i < ROOMS; i++)
        assert_true((before[i] != after[i]) ==
                    (strcmp(rooms[i], name) == 0 || (keys && strcmp(rooms[i], "ike") == 0)));
    return ms;
}

static void test_ctl_dies_and_nobody_else_hears_of_it(void **state)
{
    (void)state;
    static struct picture before, after;
    struct rig_options o = options();
    char out[TEXT];
    double ms = 0;
    o.side[WEST].sections = OTHERS("0");
    start(&o, FULL_RATE);
    o.side[WEST].sections = OTHERS("30s"); // behind the others for ike now, where it was for who lists them
    assert_true(rig_load(&rig, WEST, &o.side[WEST]));
    ask(out, "--counters --reset --all");
    see(&before);
    assert_int_equal(before.ike_auth, 0);
    assert_non_null(strstr(before.text[0], "second {"));
    for (unsigned i = 0; i < 3; i++) {
        double now = comes_again("ctl");
        ms = i ? ms : now;
        see(&after);
        same(&before, &after);
    }
    assert_true(rig_rekey(&rig, WEST, REKEY_CHILD, 0)); // who asks is heard
    assert_true(rig_load(&rig, WEST, &o.side[WEST]));   // nothing is different
    see(&after);
    assert_string_equal(before.text[0], after.text[0]);
    assert_true(rig_at_rest(&rig, NULL));
    finish("ctl killed, three times");
    assert_true(flow_is_clean(&flow));
    row("ctl", "VICI clients are cut; who comes meanwhile waits", "%.0f ms", ms);
}

// Who comes while ctl is dead is heard by the next one, as the socket is the same.
static void test_who_asks_while_ctl_is_dead_waits(void **state)
{
    (void)state;
    struct rig_options o = options();
    char out[TEXT];
    start(&o, RATE);
    for (unsigned i = 0; i < 3; i++) {
        pid_t was = room_pid(&rig.lab.west, "ctl");
        assert_true(was > 0 && kill(was, SIGKILL) == 0);
        ask(out, "--stats --raw");
        assert_true(room_pid(&rig.lab.west, "ctl") != was);
    }
    finish("ctl killed, and asked at once");
    assert_true(flow_is_clean(&flow));
}

static void test_fetch_and_metrics_die_and_nobody_else_hears_of_it(void **state)
{
    (void)state;
    struct rig_options o = options();
    start(&o, FULL_RATE);
    double fetch = comes_again("fetch"), metrics = comes_again("metrics");
    assert_int_equal(
        sh("nsenter --net=%s curl -sS -f -m 5 -o /dev/null http://127.0.0.1:9909/metrics", rig.lab.west.ns),
        0);
    finish("fetch and metrics killed");
    assert_true(flow_is_clean(&flow));
    row("fetch", "what it was asked for has no answer", "%.0f ms", fetch);
    row("metrics", "who asks meanwhile waits", "%.0f ms", metrics);
}

// The first killed before the second is back.
static void test_two_that_come_again_die_together(void **state)
{
    (void)state;
    struct rig_options o = options();
    char out[TEXT];
    start(&o, RATE);
    for (unsigned i = 1; i <= 2; i++) {
        static const char *const names[] = {"fetch", "metrics"};
        pid_t ctl = room_pid(&rig.lab.west, "ctl"), other = room_pid(&rig.lab.west, names[i - 1]);
        struct since since = {.count = 0};
        snprintf(since.text, sizeof(since.text), "%s serves again", names[i - 1]);
        assert_true(ctl > 0 && other > 0 && kill(ctl, SIGKILL) == 0 && kill(other, SIGKILL) == 0);
        assert_true(wait_for(logged_more, &since, PATIENCE_MS));
        ask(out, "--stats --raw");
        assert_int_equal(number_after(out, names[i - 1], 0), (uint64_t)room_pid(&rig.lab.west, names[i - 1]));
    }
    assert_int_equal(
        sh("nsenter --net=%s curl -sS -f -m 5 -o /dev/null http://127.0.0.1:9909/metrics", rig.lab.west.ns),
        0);
    finish("two killed at once");
    assert_true(flow_is_clean(&flow));
}

// ---- ike, which comes again with what ctl has, and makes its IKE SAs anew

struct anew {
    uint64_t spi_i, spi_r; // of the one that is gone
};

static bool is_anew(void *ctx)
{
    const struct anew *a = ctx;
    struct vici_sas sas;
    return rig_sas(&rig, WEST, &sas) && sas.count == 1 && sas.children_count == 1 &&
           strcmp(sas.sa[0].state, "ESTABLISHED") == 0 &&
           (sas.sa[0].spi_i != a->spi_i || sas.sa[0].spi_r != a->spi_r);
}

static void same_lists(const struct picture *a, const struct picture *b)
{
    for (unsigned i = 0; i < LISTS; i++)
        if (strcmp(a->text[i], b->text[i]) != 0)
            fail_msg("swanctl %s was:\n%s\nand is:\n%s", lists[i], a->text[i], b->text[i]);
}

// From the kill until its IKE SA is there, in ms.
static double makes_ike_sas_anew(const char *name)
{
    struct vici_sas sas;
    struct since over = {.text = "it has a successor"};
    assert_true(rig_sas(&rig, WEST, &sas) && sas.count == 1);
    struct anew a = {sas.sa[0].spi_i, sas.sa[0].spi_r};
    over.count = logged(over.text);
    uint64_t from = mono_us();
    comes_again(name);
    assert_true(wait_for(is_anew, &a, PATIENCE_MS));
    double ms = (double)(mono_us() - from) / 1e3;
    assert_true(wait_for(logged_more, &over, PATIENCE_MS));
    return ms;
}

static void test_ike_dies_and_packets_go_on(void **state)
{
    (void)state;
    static struct picture before, after;
    struct rig_options o = options();
    double ms = 0;
    o.side[WEST].sections = OTHERS("30s");
    start(&o, RATE);
    see(&before);
    for (unsigned i = 0; i < 3; i++) {
        ms = makes_ike_sas_anew("ike");
        see(&after);
        same_lists(&before, &after);
    }
    assert_true(rig_rekey(&rig, WEST, REKEY_CHILD, 0));
    assert_true(rig_at_rest(&rig, NULL)); // the peer has let go of those before
    finish("ike killed, three times");
    row("ike, three times", "IKE SAs are made anew, packets go on", "%.0f ms", ms);
}

// While the peer answers nothing there is no successor.
static void test_what_goes_on_without_its_ike_is_listed_and_ended_by_its_number(void **state)
{
    (void)state;
    struct rig_options o = options();
    struct vici_sas sas;
    char out[TEXT], end[64];
    start(&o, RATE);
    assert_true(rig_sas(&rig, WEST, &sas) && sas.children_count == 1 && !sas.survivors);
    pid_t peer = room_pid(&rig.lab.east, "ike");
    assert_true(peer > 0 && kill(peer, SIGSTOP) == 0);
    comes_again("ike");
    ask(out, "--list-sas");
    print_message("%s", out);
    assert_non_null(strstr(out, "LOST, IKEv2"));
    assert_non_null(strstr(out, "SURVIVES, TUNNEL"));
    sh_read(out, sizeof(out), "build/bin/espalier sas --uri unix://%s/vici 2>&1", rig.lab.west.dir);
    print_message("%s", out);
    assert_non_null(strstr(out, "LOST"));
    assert_non_null(strstr(out, "SURVIVES"));
    snprintf(end, sizeof(end), "--terminate --child-id %u", sas.child[0].id);
    ask(out, end);
    assert_true(rig_sas(&rig, WEST, &sas) && !sas.survivors);
    assert_int_equal(kill(peer, SIGCONT), 0);
    assert_true(rig_at_rest(&rig, NULL));
    finish("ike killed, and the CHILD SA ended that it had left");
}

static void card_goes_on(const char *name)
{
    struct rig_options o = options();
    char out[TEXT], what[40];
    o.card = true;
    o.side[WEST].hw_offload = "auto";
    start(&o, CARD_RATE);
    double ms = makes_ike_sas_anew(name);
    assert_true(rig_at_rest(&rig, NULL));
    ask(out, "--list-sas --raw");
    assert_non_null(strstr(out, "offload=card"));
    snprintf(what, sizeof(what), "%s killed, with the card", name);
    finish(what);
    snprintf(what, sizeof(what), "%s, with the card", name);
    row(what, "IKE SAs are made anew, packets go on", "%.0f ms", ms);
}

static void test_ike_dies_and_the_card_goes_on(void **state)
{
    (void)state;
    card_goes_on("ike");
}

static void test_keys_dies_and_the_card_goes_on(void **state)
{
    (void)state;
    card_goes_on("keys");
}

// ---- keys, which comes again with what the supervisor holds for it, and ike behind it

// How many descriptors of it are open there; mapped: how often it is mapped.
static unsigned holds_secrets(pid_t pid, bool mapped)
{
    char out[32] = "";
    sh_read(out, sizeof(out),
            mapped ? "grep -c espalier-secrets /proc/%d/maps"
                   : "ls -l /proc/%d/fd | grep -c espalier-secrets",
            (int)pid);
    return (unsigned)strtoul(out, NULL, 10);
}

static void only_keys_reads_the_secrets(void)
{
    for (unsigned i = 0; i < ROOMS; i++) {
        bool keys = strcmp(rooms[i], "keys") == 0;
        pid_t pid = room_pid(&rig.lab.west, rooms[i]);
        assert_int_equal(holds_secrets(pid, false), keys);
        assert_int_equal(holds_secrets(pid, true) > 0, keys);
    }
    assert_int_equal(holds_secrets(rig.lab.west.daemon, false), 1);
    assert_int_equal(holds_secrets(rig.lab.west.daemon, true), 0);
}

static void test_keys_dies_and_packets_go_on(void **state)
{
    (void)state;
    static struct picture before, after;
    struct rig_options o = options();
    double ms = 0;
    o.side[WEST].sections = OTHERS("30s");
    start(&o, RATE);
    see(&before);
    only_keys_reads_the_secrets();
    for (unsigned i = 0; i < 3; i++) {
        ms = makes_ike_sas_anew("keys");
        see(&after);
        same_lists(&before, &after);
        only_keys_reads_the_secrets();
    }
    assert_true(rig_rekey(&rig, WEST, REKEY_CHILD, 0));
    assert_true(rig_load(&rig, WEST, &o.side[WEST]));
    assert_true(rig_at_rest(&rig, NULL)); // the peer has let go of those before
    finish("keys killed, three times");
    row("keys, three times", "IKE SAs are made anew, packets go on", "%.0f ms", ms);
}

static void dies_with_ctl_and_the_daemon_ends(const char *name)
{
    struct rig_options o = options();
    struct death d;
    start(&o, RATE);
    pid_t ctl = room_pid(&rig.lab.west, "ctl"), other = room_pid(&rig.lab.west, name);
    assert_true(ctl > 0 && kill(ctl, SIGSTOP) == 0); // it gives the next ike nothing
    assert_true(other > 0 && kill(other, SIGKILL) == 0);
    assert_true(death_takes_all(&rig.lab.west, "ctl", &d));
    assert_true(WIFEXITED(d.status) && WEXITSTATUS(d.status) == 1);
    assert_true(death_blocks(&rig.lab.west) > 0);
    assert_true(rig_start_again(&rig, WEST));
    assert_true(rig_at_rest(&rig, NULL));
    finish("it and ctl killed");
}

// Of the two one has what the other needs.
static void test_ike_and_ctl_die_together_and_the_daemon_ends(void **state)
{
    (void)state;
    dies_with_ctl_and_the_daemon_ends("ike");
}

static void test_keys_and_ctl_die_together_and_the_daemon_ends(void **state)
{
    (void)state;
    dies_with_ctl_and_the_daemon_ends("keys");
}

// A hundred, or as many as the environment says (`make check-kill`: a thousand).
enum { PEERS = 100, PEERS_MAX = 2000 };

static unsigned peer_count(void)
{
    const char *text = getenv("ESPALIER_KILLED_PEERS");
    unsigned n = text ? (unsigned)strtoul(text, NULL, 10) : PEERS;
    assert_in_range(n, 1, PEERS_MAX);
    return n;
}

static const char *peers(int side)
{
    static char text[2][PEERS_MAX * 400];
    const char own = side == WEST ? 'w' : 'e', other = side == WEST ? 'e' : 'w';
    size_t n = 0;
    n += (size_t)snprintf(text[side], sizeof(text[side]), "connections {\n");
    for (unsigned i = 0; i < peer_count(); i++)
        n += (size_t)snprintf(
            text[side] + n, sizeof(text[side]) - n,
            "p%u { remote_addrs = %s\n rekey_time = 0\n local { auth = psk\n id = %c%u }\n remote { auth = "
            "psk\n id = %c%u }\n children { p%u { local_ts = 10.%u.%u.0/24\n remote_ts = 10.%u.%u.0/24\n "
            "start_action = %s } } }\n",
            i, side == WEST ? "10.10.0.2" : "10.10.0.1", own, i, other, i, i,
            (side == WEST ? 81 : 82) + 2 * (i / 256), i % 256, (side == WEST ? 82 : 81) + 2 * (i / 256),
            i % 256, side == WEST ? "start" : "none");
    snprintf(text[side] + n, sizeof(text[side]) - n,
             "}\nsecrets { ike-all { secret = \"a shared secret of all the others\" } }\n");
    return text[side];
}

static bool all_are_up(void *ctx)
{
    char out[32] = "";
    (void)ctx;
    sh_read(out, sizeof(out), "swanctl --list-sas --uri unix://%s/vici 2>&1 | grep -c ', ESTABLISHED, '",
            rig.lab.west.dir);
    return strtoul(out, NULL, 10) == peer_count() + 1;
}

static int many_peers_patience(void)
{
    return 3 * PATIENCE_MS * (1 + (int)peer_count() / 500);
}

static void has_many_peers(void)
{
    static char *const one_address[] = {"-o", "block_threshold=0",      "-o", "cookie_threshold_ip=0",
                                        "-o", "metrics=127.0.0.1:9909", NULL};
    struct rig_options o = options();
    o.settings = one_address; // that all peers have
    start(&o, RATE);
    for (int i = EAST; i >= WEST; i--) {
        o.side[i].sections = peers(i);
        assert_true(rig_load(&rig, i, &o.side[i]));
    }
    assert_true(wait_for(all_are_up, NULL, many_peers_patience()));
}

static void dies_with_many_peers(const char *name)
{
    char what[48];
    has_many_peers();
    uint64_t from = mono_us();
    comes_again(name);
    assert_true(wait_for(all_are_up, NULL, many_peers_patience()));
    double ms = (double)(mono_us() - from) / 1e3;
    snprintf(what, sizeof(what), "%s killed, with %u peers", name, peer_count() + 1);
    finish(what);
    snprintf(what, sizeof(what), "%s, with %u peers", name, peer_count() + 1);
    row(what, "all IKE SAs are there again", "%.0f ms", ms);
    if (peer_count() == 1000) // what is promised for so many
        assert_true(ms < 5000);
}

static void test_ike_dies_with_many_peers(void **state)
{
    (void)state;
    dies_with_many_peers("ike");
}

static void test_keys_dies_with_many_peers(void **state)
{
    (void)state;
    dies_with_many_peers("keys");
}

// ---- path, which ike gives its policies, and whose CHILD SAs it makes anew on the IKE SAs that live on

struct replaced {
    struct vici_sas before;
};

static bool is_replaced(void *ctx)
{
    const struct replaced *r = ctx;
    struct vici_sas now;
    if (!rig_sas(&rig, WEST, &now) || now.count != 1 || now.children_count != 1)
        return false;
    assert_true(now.sa[0].spi_i == r->before.sa[0].spi_i && now.sa[0].spi_r == r->before.sa[0].spi_r);
    return strcmp(now.child[0].state, "INSTALLED") == 0 && now.child[0].spi_in != r->before.child[0].spi_in &&
           now.child[0].spi_out != r->before.child[0].spi_out;
}

static bool packets_came(void *ctx)
{
    const uint64_t *came = ctx;
    return stream_came(&rig.stream[0]) > came[0] + 5 && stream_came(&rig.stream[1]) > came[1] + 5;
}

// What is promised of a second, but for what processes waited for a processor meanwhile.
static void took_no_second(double ms, const struct busy *b)
{
    assert_true(ms - (double)busy_waited_us(b) / 1e3 < 1000);
}

// From the kill until packets come again, both ways, in ms.
static double makes_child_sas_anew(void)
{
    struct replaced r;
    struct busy b;
    uint64_t came[2], from = mono_us();
    busy_from(&b);
    assert_true(rig_sas(&rig, WEST, &r.before) && r.before.children_count == 1);
    comes_again("path");
    for (unsigned i = 0; i < 2; i++)
        came[i] = stream_came(&rig.stream[i]);
    assert_true(wait_for(packets_came, came, PATIENCE_MS));
    double ms = (double)(mono_us() - from) / 1e3;
    took_no_second(ms, &b);
    assert_true(wait_for(is_replaced, &r, PATIENCE_MS));
    assert_true(rig_at_rest(&rig, NULL)); // the peer has let go of the one that is gone
    return ms;
}

static void test_path_dies_and_its_sas_are_made_anew(void **state)
{
    (void)state;
    static struct picture before, after;
    struct rig_options o = options();
    double ms = 0;
    o.side[WEST].sections = OTHERS("30s");
    start(&o, RATE);
    unsigned blocks = death_blocks(&rig.lab.west);
    see(&before);
    for (unsigned i = 0; i < 3; i++) {
        double now = makes_child_sas_anew();
        ms = i ? ms : now;
        see(&after);
        same_lists(&before, &after);
        assert_int_equal(after.ike_auth, before.ike_auth); // no IKE SA is made anew
        assert_int_equal(death_blocks(&rig.lab.west), blocks);
    }
    assert_true(rig_rekey(&rig, WEST, REKEY_CHILD, 0));
    assert_true(rig_load(&rig, WEST, &o.side[WEST]));
    assert_true(rig_at_rest(&rig, NULL));
    finish("path killed, three times");
    row("path, three times", "CHILD SAs are made anew on their IKE SAs", "%.0f ms", ms);
}

static void test_path_dies_and_the_card_is_used_again(void **state)
{
    (void)state;
    struct rig_options o = options();
    char out[TEXT];
    o.card = true;
    o.side[WEST].hw_offload = "auto";
    start(&o, CARD_RATE);
    double ms = makes_child_sas_anew();
    ask(out, "--list-sas --raw");
    assert_non_null(strstr(out, "offload=card"));
    finish("path killed, with the card");
    row("path, with the card", "CHILD SAs are made anew on their IKE SAs", "%.0f ms", ms);
}

static bool all_are_installed(void *ctx)
{
    char out[32] = "";
    (void)ctx;
    sh_read(out, sizeof(out), "swanctl --list-sas --uri unix://%s/vici 2>&1 | grep -c ', INSTALLED, '",
            rig.lab.west.dir);
    return strtoul(out, NULL, 10) == peer_count() + 1;
}

static void test_path_dies_with_many_peers(void **state)
{
    (void)state;
    char what[48];
    struct busy b;
    has_many_peers();
    assert_true(wait_for(all_are_installed, NULL, PATIENCE_MS));
    busy_from(&b);
    uint64_t from = mono_us();
    comes_again("path");
    assert_true(wait_for(all_are_installed, NULL, many_peers_patience()));
    double ms = (double)(mono_us() - from) / 1e3;
    snprintf(what, sizeof(what), "path killed, with %u peers", peer_count() + 1);
    finish(what);
    snprintf(what, sizeof(what), "path, with %u peers", peer_count() + 1);
    row(what, "all CHILD SAs are there again", "%.0f ms", ms);
    if (peer_count() == PEERS) // what is promised for so many
        took_no_second(ms, &b);
}

// As soon as it is there; what is protected stays blocked, while it is and when all have gone.
static void test_path_that_dies_again_and_again_ends_the_daemon(void **state)
{
    (void)state;
    struct rig_options o = options();
    struct death d;
    start(&o, RATE);
    for (unsigned i = 0; i < 6; i++)
        comes_again("path");
    assert_true(death_takes_all(&rig.lab.west, "path", &d));
    assert_true(WIFEXITED(d.status) && WEXITSTATUS(d.status) == 1);
    assert_true(logged("path has died 7 times in a row") == 1);
    assert_true(death_blocks(&rig.lab.west) > 0);
    assert_true(rig_start_again(&rig, WEST));
    assert_true(rig_at_rest(&rig, NULL));
    finish("path killed again and again");
}

// ---- a load that ctl dies in

enum { MANY = 300, LOADS = 4 };

static void write_many(const char *path, unsigned load)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("connections {\n", f);
    for (unsigned i = 0; i < MANY; i++)
        fprintf(f,
                "load%u-%u { remote_addrs = 10.10.9.9\n local { auth = psk\n id = a%u }\n remote { auth = "
                "psk\n id = b%u }\n children { m%u { local_ts = 10.1.0.0/16\n remote_ts = 10.%u.%u.0/24\n "
                "start_action = trap } } }\n",
                load, i, i, i, i, 80 + 2 * load + i / 256, i % 256);
    fputs("}\n", f);
    assert_int_equal(fclose(f), 0);
}

// What ctl says is loaded and what path guards are the same connections.
static unsigned loaded(unsigned load)
{
    static char conns[1 << 20], pols[1 << 20];
    char name[32];
    unsigned n = 0;
    assert_int_equal(swanctl(&rig.lab.west, conns, sizeof(conns), "--list-conns"), 0);
    assert_int_equal(swanctl(&rig.lab.west, pols, sizeof(pols), "--list-pols"), 0);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "load%u-%u:", load, i);
        bool there = strstr(conns, name) != NULL;
        snprintf(name, sizeof(name), "load%u-%u/m%u,", load, i, i);
        if (there != (strstr(pols, name) != NULL))
            fail_msg("load%u-%u is%s loaded for ctl, and is%s for path", load, i, there ? "" : " not",
                     there ? " not" : "");
        n += there;
    }
    return n;
}

// Of MANY as soon as the first is there, or the fourth, and so on.
static unsigned cut(unsigned load, const char *file)
{
    char uri[200], log[200];
    struct since since = {.text = "ctl serves again"}, begun = {.count = 3 * load};
    int status = 0;
    snprintf(uri, sizeof(uri), "unix://%.150s/vici", rig.lab.west.dir);
    snprintf(log, sizeof(log), "%.90s/load.txt", rig.lab.dir);
    char *argv[] = {
        "/usr/sbin/swanctl", "--load-conns", "--file", (char *)(uintptr_t)file, "--uri", uri, NULL};
    since.count = logged(since.text);
    snprintf(begun.text, sizeof(begun.text), "added connection .load%u", load);
    write_many(file, load);
    pid_t loader = spawn(log, rig.lab.west.ns, argv);
    assert_true(wait_for(logged_more, &begun, PATIENCE_MS));
    assert_int_equal(kill(room_pid(&rig.lab.west, "ctl"), SIGKILL), 0);
    assert_true(wait_for(logged_more, &since, PATIENCE_MS));
    kill(loader, SIGKILL); // swanctl 5.9.8 waits for ever for an answer whose giver has gone
    assert_int_equal(waitpid(loader, &status, 0), loader);
    return loaded(load);
}

static void test_load_that_ctl_dies_in_is_whole_or_not_there(void **state)
{
    (void)state;
    struct rig_options o = options();
    char file[200], out[TEXT];
    unsigned cuts = 0;
    start(&o, RATE);
    snprintf(file, sizeof(file), "%.150s/many.conf", rig.lab.dir);
    for (unsigned i = 0; i < LOADS; i++) {
        unsigned n = cut(i, file);
        print_message("  %u of %u loaded\n", n, MANY);
        cuts += n > 0 && n < MANY;
    }
    assert_true(cuts > 0);
    assert_int_equal(swanctl(&rig.lab.west, out, sizeof(out), "--load-conns --file %s", file), 0);
    assert_int_equal(loaded(LOADS - 1), MANY);
    finish("ctl killed while it loads");
    assert_true(flow_is_clean(&flow));
}

// ---- those that the daemon ends with

static bool goes_on(void *ctx)
{
    return stream_came(&rig.stream[0]) > *(uint64_t *)ctx;
}

static void end_is_named(const char *name)
{
    assert_true(logged("ended with status 1") > 0);
    assert_int_equal(sh("grep -q '%s died of signal 9' %s/daemon.log", name, rig.lab.west.dir), 0);
}

// While it lay dead: blocked, as before.
static void lies_dead(const char *name)
{
    struct vici_sas east;
    usleep(500000);
    assert_true(death_blocks(&rig.lab.west) > 0);
    assert_true(unanswered(&rig.lab, &rig.lab.west, &rig.lab.east, 1));
    assert_true(rig_sas(&rig, EAST, &east));
    // who can still say goodbye does: the peer need not find out by DPD
    assert_int_equal(east.count, strcmp(name, "supervisor") == 0);
}

// From the start anew until the first packet, in ms.
static double is_started_again(void)
{
    uint64_t came = stream_came(&rig.stream[0]), from = mono_us();
    assert_true(rig_start_again(&rig, WEST));
    assert_true(wait_for(goes_on, &came, PATIENCE_MS));
    double ms = (double)(mono_us() - from) / 1e3;
    assert_true(rig_at_rest(&rig, NULL)); // one IKE SA at both ends: the one that lay dead is ended
    return ms;
}

static void dies(const char *name, bool card)
{
    struct rig_options o = options();
    struct death d;
    char out[TEXT], what[32];
    o.card = card;
    o.side[WEST].hw_offload = card ? "auto" : NULL;
    start(&o, card ? CARD_RATE : RATE);
    uint64_t from = mono_us();
    assert_true(death_takes_all(&rig.lab.west, name, &d));
    double gone = (double)(mono_us() - from) / 1e3;
    assert_true(gone < 2500);
    if (strcmp(name, "supervisor") == 0) {
        assert_true(WIFSIGNALED(d.status) && WTERMSIG(d.status) == SIGKILL);
    } else {
        assert_true(WIFEXITED(d.status) && WEXITSTATUS(d.status) == 1);
        end_is_named(name);
    }
    lies_dead(name);
    double again = is_started_again();
    ask(out, "--list-sas --raw");
    assert_non_null(strstr(out, card ? "offload=card" : "offload=software"));
    snprintf(what, sizeof(what), "%s%s", name, card ? ", with the card" : "");
    finish(what);
    snprintf(out, sizeof(out), "all: closed, all gone after %.0f ms, up %.0f ms after a start anew", gone,
             again);
    row(what, out, "no");
}

static void test_supervisor_dies(void **state)
{
    (void)state;
    dies("supervisor", false);
}

static void test_supervisor_dies_with_the_card(void **state)
{
    (void)state;
    dies("supervisor", true);
}

#define T(name) cmocka_unit_test_teardown(name, tear_down)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        T(test_ctl_dies_and_nobody_else_hears_of_it),
        T(test_who_asks_while_ctl_is_dead_waits),
        T(test_fetch_and_metrics_die_and_nobody_else_hears_of_it),
        T(test_two_that_come_again_die_together),
        T(test_load_that_ctl_dies_in_is_whole_or_not_there),
        T(test_ike_dies_and_packets_go_on),
        T(test_what_goes_on_without_its_ike_is_listed_and_ended_by_its_number),
        T(test_ike_dies_and_the_card_goes_on),
        T(test_ike_and_ctl_die_together_and_the_daemon_ends),
        T(test_ike_dies_with_many_peers),
        T(test_keys_dies_and_packets_go_on),
        T(test_keys_dies_and_the_card_goes_on),
        T(test_keys_and_ctl_die_together_and_the_daemon_ends),
        T(test_keys_dies_with_many_peers),
        T(test_path_dies_and_its_sas_are_made_anew),
        T(test_path_dies_and_the_card_is_used_again),
        T(test_path_dies_with_many_peers),
        T(test_path_that_dies_again_and_again_ends_the_daemon),
        T(test_supervisor_dies),
        T(test_supervisor_dies_with_the_card),
    };
    setenv("ESPALIER_REKEY_WEST", "espalierd", 1);
    setenv("ESPALIER_REKEY_EAST", "espalierd", 1);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("a process is killed", tests, NULL, print_table);
}
