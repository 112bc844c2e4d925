// SPDX-License-Identifier: Apache-2.0
// `make demo`: the whole of Espalier once. West is espalierd, east is stock strongSwan (or a second espalierd
// where it cannot be had). First in software, each side as initiator; then through the simulated card; then
// the card is killed in the middle of a transfer. Ends with a table; exit status 0 only if every step held.
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/harness.h"

static bool colour;
static int failures;
static uint64_t started;

__attribute__((format(printf, 2, 3))) static bool step(bool ok, const char *fmt, ...)
{
    va_list ap;
    printf("  %s%s%s  ", colour ? (ok ? "\033[32m" : "\033[31m") : "", ok ? "ok    " : "FAILED",
           colour ? "\033[0m" : "");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("  (%.1f s)\n", (double)(mono_us() - started) / 1e6);
    fflush(stdout);
    failures += !ok;
    return ok;
}

static void title(const char *text)
{
    printf("\n%s%s%s\n", colour ? "\033[1m" : "", text, colour ? "\033[0m" : "");
    fflush(stdout);
}

struct figures {
    double handshake_ms[3]; // west initiates, east initiates, with the card
    char stats[16384], last_stats[16384], card[16384], card_before[16384], sas[16384], east_sas[8192];
    uint64_t card_enc_packets, card_dec_packets;
    struct wire wire;
    struct probe_result probe;
};
static struct figures fig;

static const char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n && text[n - 1] == '\n')
        text[--n] = 0;
    const char *nl = strrchr(text, '\n');
    return nl ? nl + 1 : text;
}

static bool initiate(struct site *s, double *ms)
{
    char out[16384];
    uint64_t from = mono_us();
    int rc = swanctl(s, out, sizeof(out), "--initiate --child net --timeout 20");
    *ms = (double)(mono_us() - from) / 1e3;
    return step(rc == 0, "%s initiates: %s, %.1f ms", s->name, last_line(out), *ms);
}

static bool terminate(struct site *s)
{
    char out[8192];
    int rc = swanctl(s, out, sizeof(out), "--terminate --ike site --timeout 10");
    return step(rc == 0, "%s terminates: %s", s->name, last_line(out));
}

static bool traffic(struct lab *l, const char *how, size_t bytes)
{
    bool ok =
        step(ping(l, &l->west, &l->east, 5) && ping(l, &l->east, &l->west, 5), "ping both ways, %s", how);
    ok &= step(transfer(l, &l->west, &l->east, bytes, 60000, NULL, NULL),
               "file of %zu KiB west -> east, compared", bytes >> 10);
    return step(transfer(l, &l->east, &l->west, bytes, 60000, NULL, NULL),
                "file of %zu KiB east -> west, compared", bytes >> 10) &&
           ok;
}

// The values of one key in the raw listing, in order: "packets-out=12".
static uint64_t raw_number(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at && at[strlen(key)] == '=' ? strtoull(at + strlen(key) + 1, NULL, 10) : UINT64_MAX;
}

static bool raw_text(const char *text, const char *key, char *out, size_t size)
{
    const char *at = strstr(text, key);
    if (!at || at[strlen(key)] != '=')
        return false;
    at += strlen(key) + 1;
    size_t n = strcspn(at, " }]");
    snprintf(out, size, "%.*s", (int)n, at);
    return true;
}

static bool same(const char *a, const char *a_key, const char *b, const char *b_key)
{
    char x[64], y[64];
    return raw_text(a, a_key, x, sizeof(x)) && raw_text(b, b_key, y, sizeof(y)) && !strcmp(x, y);
}

// Datagrams that the kernel dropped because the daemon did not read them fast enough: lost as on any full
// link, seen by neither daemon, and so counted as sent and not as received.
static uint64_t overflows(struct site *s)
{
    char out[64] = "";
    sh_read(out, sizeof(out), "nsenter --net=%s awk '/^Udp:/ && ++n == 2 {print $6}' /proc/net/snmp", s->ns);
    return strtoull(out, NULL, 10);
}

static bool both_agree(struct lab *l, uint64_t west_lost, uint64_t east_lost)
{
    bool spis, algs, counts = false;
    uint64_t wo = 0, wi = 0, eo = 0, ei = 0, lost_w = 0, lost_e = 0;
    for (int i = 0; i < 20 && !counts; i++) { // until traffic has stopped
        usleep(200000);
        swanctl(&l->west, fig.sas, sizeof(fig.sas), "--list-sas --raw");
        swanctl(&l->east, fig.east_sas, sizeof(fig.east_sas), "--list-sas --raw");
        wo = raw_number(fig.sas, "packets-out"), wi = raw_number(fig.sas, "packets-in");
        eo = raw_number(fig.east_sas, "packets-out"), ei = raw_number(fig.east_sas, "packets-in");
        lost_w = overflows(&l->west) - west_lost, lost_e = overflows(&l->east) - east_lost;
        counts = wo && eo && wo == ei + lost_e && eo == wi + lost_w;
    }
    spis =
        same(fig.sas, "spi-in", fig.east_sas, "spi-out") && same(fig.sas, "spi-out", fig.east_sas, "spi-in");
    algs = same(fig.sas, "encr-alg", fig.east_sas, "encr-alg") &&
           same(fig.sas, "encr-keysize", fig.east_sas, "encr-keysize");
    return step(spis && algs && counts,
                "east's list-sas agrees with west's: SPIs %s, algorithms %s, packets %s "
                "(west %" PRIu64 " out %" PRIu64 " in, east %" PRIu64 " out %" PRIu64
                " in; overflows of their sockets: west %" PRIu64 ", east %" PRIu64 ")",
                spis ? "yes" : "NO", algs ? "yes" : "NO", counts ? "yes" : "NO", wo, wi, eo, ei, lost_w,
                lost_e);
}

static bool offload_is(struct lab *l, const char *want)
{
    char now[64] = "?";
    swanctl(&l->west, fig.sas, sizeof(fig.sas), "--list-sas --raw");
    raw_text(fig.sas, "offload", now, sizeof(now));
    return step(!strcmp(now, want), "west's list-sas says offload=%s", now);
}

static bool card_counters(struct lab *l, char *buf, size_t size)
{
    return sh_read(buf, size, "%s/espalier-card ctl --dir %s counters", bin_dir(), l->card_dir) == 0;
}

// Since espalierd has it: the driver's own test of a card is not traffic.
static uint64_t card_count(const char *name)
{
    return number_after(fig.card, name, 0) - number_after(fig.card_before, name, 0);
}

static bool espalierd_has_card(void *ctx)
{
    struct lab *l = ctx;
    char out[16384];
    swanctl(&l->west, out, sizeof(out), "--counters --all --raw");
    return number_after(out, "card_present", 0) == 1;
}

static void kill_card(void *ctx)
{
    struct lab *l = ctx;
    card_counters(l, fig.card, sizeof(fig.card));
    swanctl(&l->west, fig.last_stats, sizeof(fig.last_stats), "--counters --all --raw");
    kill(l->card, SIGKILL);
    waitpid(l->card, NULL, 0);
    l->card = 0;
    printf("          card killed (kill -9)\n");
    fflush(stdout);
}

static bool software_part(struct lab *l)
{
    title("(a) software: espalierd and its peer, each side as initiator");
    if (!initiate(&l->west, &fig.handshake_ms[0]) || !traffic(l, "software engine", 2 << 20) ||
        !offload_is(l, "software"))
        return false;
    both_agree(l, 0, 0);
    terminate(&l->west);
    if (!initiate(&l->east, &fig.handshake_ms[1]) || !traffic(l, "software engine", 256 << 10))
        return false;
    return terminate(&l->east);
}

static bool card_part(struct lab *l)
{
    char before[16384];
    title("(c) the card: every ESP packet of west goes through the RTL");
    if (!step(card_start(l, ""), "espalier-card is on the bus at %s", l->card_dir) ||
        !step(wait_for(espalierd_has_card, l, 10000), "espalierd has found it"))
        return false;
    card_counters(l, fig.card_before, sizeof(fig.card_before));
    swanctl(&l->west, before, sizeof(before), "--counters --all --raw");
    uint64_t soft_out = number_after(before, "software_packets_out", 0);
    uint64_t west_lost = overflows(&l->west), east_lost = overflows(&l->east);
    if (!initiate(&l->west, &fig.handshake_ms[2]) || !offload_is(l, "card") ||
        !traffic(l, "through the card", 256 << 10))
        return false;
    both_agree(l, west_lost, east_lost);
    swanctl(&l->west, fig.stats, sizeof(fig.stats), "--counters --all --raw");
    card_counters(l, fig.card, sizeof(fig.card));
    uint64_t by_card = number_after(fig.stats, "card_packets_out", 0), rtl = card_count("ENC_PACKETS");
    step(number_after(fig.stats, "software_packets_out", 0) == soft_out && by_card == rtl && rtl > 0,
         "all %llu packets of the SA were sealed by the RTL (its own counter: %llu)",
         (unsigned long long)by_card, (unsigned long long)rtl);
    return true;
}

static bool failover_part(struct lab *l)
{
    struct probe probe;
    title("(d) the card goes: kill -9 in the middle of a transfer");
    probe_start(l, &probe, &l->west, &l->east, 5000);
    sleep(1); // the numbered stream and the capture cover what comes before and after
    bool ok = transfer(l, &l->west, &l->east, 1 << 20, 90000, kill_card, l);
    step(ok, "the transfer goes on in software to its last byte");
    sleep(2);
    probe_stop(&probe, &fig.probe);
    step(fig.probe.received + 2 >= fig.probe.sent && fig.probe.repeated == 0,
         "numbered stream: %llu sent, %llu came, %llu twice", (unsigned long long)fig.probe.sent,
         (unsigned long long)fig.probe.received, (unsigned long long)fig.probe.repeated);
    step(ping(l, &l->east, &l->west, 5), "ping still comes through");
    offload_is(l, "software");
    swanctl(&l->west, fig.stats, sizeof(fig.stats), "--counters --all --raw");
    return step(number_after(fig.stats, "failovers", 0) == 1,
                "one fail-over: %llu SAs moved, %llu packets run again",
                (unsigned long long)number_after(fig.stats, "failover_sas_moved", 0),
                (unsigned long long)number_after(fig.stats, "failover_packets_rerun", 0));
}

// tshark with the tables of --debug-keys must find the inner packets.
static bool decrypts(struct lab *l, const char *pcap)
{
    char out[256] = "", keys[160];
    snprintf(keys, sizeof(keys), "%.90s/keys", l->dir);
    sh_read(out, sizeof(out),
            "HOME=%s XDG_CONFIG_HOME=%s/xdg sh -c 'mkdir -p %s/xdg/wireshark && cp %s/* %s/xdg/wireshark/ && "
            "tshark -r %s "
            "-o esp.enable_encryption_decode:TRUE -o esp.enable_authentication_check:TRUE -Y \"esp && "
            "icmp.type == 8 && ip.dst == 10.2.0.1\" | wc -l'",
            l->dir, l->dir, l->dir, keys, l->dir, pcap);
    long inner = strtol(out, NULL, 10);
    char ike[64] = ""; // the authentication payload is visible only inside a decrypted IKE_AUTH
    sh_read(ike, sizeof(ike),
            "HOME=%s XDG_CONFIG_HOME=%s/xdg tshark -r %s -Y 'isakmp.exchangetype == 35 && "
            "isakmp.auth.method' | wc -l",
            l->dir, l->dir, pcap);
    return step(
        inner >= 10 && strtol(ike, NULL, 10) >= 2,
        "tshark with the --debug-keys tables finds %ld inner pings and %ld decrypted IKE_AUTH messages",
        inner, strtol(ike, NULL, 10));
}

static void print_drops(const char *counters)
{
    bool any = false;
    for (const char *at = strstr(counters, "drop_"); at; at = strstr(at + 1, "drop_")) {
        bool in = !strncmp(at, "drop_in_", 8), out = !strncmp(at, "drop_out_", 9);
        size_t n = strcspn(at, " =}");
        unsigned long long value = at[n] == '=' ? strtoull(at + n + 1, NULL, 10) : 0;
        if (!(in || out) || !value)
            continue;
        printf("%s%.*s %s %llu", any ? ", " : "", (int)n - (in ? 8 : 9), at + (in ? 8 : 9), in ? "in" : "out",
               value);
        any = true;
    }
    printf("%s\n", any ? "" : "none");
}

static void table(const struct lab *l)
{
    const char *s = fig.stats;
    uint64_t enc = card_count("ENC_PACKETS"), dec = card_count("DEC_PACKETS"),
             busy = card_count("CYCLES_BUSY");
    title("Result");
    printf("  peer                             %s\n",
           l->east.charon ? "strongSwan" : "a second espalierd (strongSwan is not installed)");
    printf("  handshake, swanctl --initiate    %.1f ms (west, software), %.1f ms (east), %.1f ms (west, SAs "
           "on the card)\n",
           fig.handshake_ms[0], fig.handshake_ms[1], fig.handshake_ms[2]);
    printf("  %-10s %12s %14s %12s %14s\n", "engine", "packets out", "bytes out", "packets in", "bytes in");
    for (int i = 0; i < 2; i++) {
        const char *e = i ? "software" : "card";
        char key[4][40];
        const char *what[] = {"packets_out", "bytes_out", "packets_in", "bytes_in"};
        for (int k = 0; k < 4; k++)
            snprintf(key[k], sizeof(key[k]), "%s_%s", e, what[k]);
        printf("  %-10s %12llu %14llu %12llu %14llu\n", e, (unsigned long long)number_after(s, key[0], 0),
               (unsigned long long)number_after(s, key[1], 0), (unsigned long long)number_after(s, key[2], 0),
               (unsigned long long)number_after(s, key[3], 0));
    }
    printf("  cycles per packet on the card    %.1f (busy cycles %llu / %llu packets, both directions, LANES "
           "%llu)\n",
           enc + dec ? (double)busy / (double)(enc + dec) : 0.0, (unsigned long long)busy,
           (unsigned long long)(enc + dec), (unsigned long long)number_after(fig.card, "lanes", 1));
    printf("  drops by reason                  ");
    print_drops(s);
    printf("  gap at fail-over                 %.1f ms on the numbered stream; %.1f ms from detection to the "
           "first packet in software\n",
           (double)fig.probe.max_gap_us / 1e3,
           (double)number_after(s, "failover_detection_to_first_packet_us", 0) / 1e3);
    printf("  ESP packets on the wire          %llu on %llu SPIs\n", (unsigned long long)fig.wire.esp,
           (unsigned long long)fig.wire.spis);
    printf("  repeated sequences               %llu\n", (unsigned long long)fig.wire.repeated);
    printf("  plaintext packets                %llu\n", (unsigned long long)fig.wire.plaintext);
}

#define EXAMPLE                                                                                              \
    "espalier-sim replay --sad sim/workbench/examples/example.sad --in sim/workbench/examples/example.pcap " \
    "--out out.pcap"
static void try_next(void)
{
    char here[512] = "";
    const char *bin = bin_dir();
    size_t n = getcwd(here, sizeof(here)) ? strlen(here) : 0;
    if (n && !strncmp(bin, here, n) && bin[n] == '/')
        bin += n + 1;
    printf("\nTry next:\n"
           "  the shipped packets through the RTL:\n"
           "    %s/" EXAMPLE "\n"
           "  the same with its waves, for gtkwave waves.fst:\n"
           "    %s/" EXAMPLE " --fst waves.fst --window 1000:4000\n"
           "  a tunnel of your own, as root: the child NAME of your /etc/swanctl/swanctl.conf:\n"
           "    %s/espalierd --card none & until swanctl --stats >/dev/null 2>&1; do sleep 1; done; swanctl "
           "--load-all && swanctl --initiate --child NAME\n",
           bin, bin, bin);
}

int main(int argc, char **argv)
{
    static struct lab lab;
    struct lab *l = &lab;
    char pcap[160], keys[160];
    char *options[] = {"--card", "auto", "--pci-sysfs", l->card_dir, "--debug-keys", keys, NULL};
    struct tunnel_options o = {.hw_offload = "auto"};
    if (argc == 2 && !strcmp(argv[1], "try-next")) { // build/tests/system_try_next runs what it says
        try_next();
        return 0;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    colour = isatty(1);
    started = mono_us();
    title("Espalier: two sites in network namespaces of their own");
    if (!step(lab_up(l, "espdemo"), "namespaces and the link between them"))
        return 1;
    snprintf(pcap, sizeof(pcap), "%.90s/wire.pcap", l->dir);
    snprintf(keys, sizeof(keys), "%.90s/keys", l->dir);
    mkdir(keys, 0700);
    bool go = step(capture_start(l, &l->west, pcap), "capture of the wire");
    if (have_strongswan()) {
        go = go && step(charon_start(l, &l->east, &l->west, &o), "east: strongSwan");
    } else {
        struct tunnel_options encap = o;
        encap.encap = true;
        char *none[] = {"--card", "none", NULL};
        go = go && step(espalierd_start(l, &l->east, &l->west, &encap, none),
                        "east: a second espalierd, because strongSwan cannot be had here");
        o.encap = true;
    }
    go =
        go && step(espalierd_start(l, &l->west, &l->east, &o, options), "west: espalierd, hw_offload = auto");
    go = go && software_part(l) && card_part(l);
    go = go && failover_part(l);
    title("The wire");
    capture_stop(&l->west);
    step(go, "all steps were run");
    bool clean = wire_check(pcap, &fig.wire) && fig.wire.esp > 0 && !fig.wire.repeated && !fig.wire.plaintext;
    step(clean, "%llu ESP packets: repeated sequences %llu, plaintext packets %llu",
         (unsigned long long)fig.wire.esp, (unsigned long long)fig.wire.repeated,
         (unsigned long long)fig.wire.plaintext);
    step(fig.wire.max_jump > 256,
         "after the kill software went on at the lease's end: %" PRIu64 " sequence numbers left out",
         fig.wire.max_jump ? fig.wire.max_jump - 1 : 0);
    decrypts(l, pcap);
    table(l);
    if (failures)
        setenv("ESPALIER_LAB_LOGS", "1", 1); // what the daemons said
    lab_down(l);
    printf("\n%s\n", failures ? "demo: FAILED" : "demo: every step held");
    if (!failures)
        try_next();
    return failures != 0;
}
