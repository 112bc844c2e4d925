// SPDX-License-Identifier: Apache-2.0
// espalier-sim, the hardware engineer's workbench: command line and exit codes. 0 done, 1 a check or an
// operation failed, 2 usage or bad input, 3 a missing right, device or port.
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "espalier/version.h"
#include "sim/pair/pair.h"
#include "sim/workbench/engine.h"
#include "sim/workbench/explain.h"
#include "sim/workbench/replay.h"
#include "sim/workbench/util.h"
#include "sim/workbench/vectors.h"

static const char usage_text[] =
    "usage: espalier-sim replay --sad FILE --in IN.pcap --out OUT.pcap [--engine card|soft] [--lanes N] "
    "[--sas N]\n"
    "                           [--json STATS] [--fst FILE [--window FROM:TO]] [--ipv6]\n"
    "       espalier-sim explain --sad FILE --in CAPTURE [--lanes N] [--packet N] [--small OUT.pcap] [--fst "
    "FILE] [--ipv6]\n"
    "       espalier-sim vectors FILE...       CAVP .rsp and Wycheproof JSON through the AES-GCM core and "
    "OpenSSL\n"
    "       espalier-sim esp-vectors FILE...   ESP packets through the card's pipeline and the software "
    "engine\n"
    "       espalier-sim ike-vectors FILE...   recorded IKEv2 exchanges through the daemon's message and key "
    "code\n"
    "       espalier-sim pair [--card] [--json] [--junit FILE] [--keep]   two gateways, a tunnel, a verdict "
    "(pair --help)\n"
    "       espalier-sim --help | --version\n"
    "\n"
    "replay: FILE holds `xfrm state add ...` and `xfrm policy add ...` lines as `ip -batch` takes them.\n"
    "  --engine card   the RTL's ESP pipeline (default);  soft: the software engine of libespalier\n"
    "  --lanes N       1 (default), 2 or 4 lanes of 16 octets a cycle\n"
    "  --sas N         SA slots in each direction, 1 ... 1024 (default 1024)\n"
    "  --json STATS    writes counters, cycles and latency (first beat in to first beat out)\n"
    "  --fst FILE      traces signals; --window FROM:TO only those clock cycles (cycle n is at n * 4 ns)\n"
    "  --ipv6          takes states between IPv6 ends (the software engine only)\n"
    "  A summary goes to standard output, or to standard error where STATS or OUT.pcap is standard "
    "output.\n"
    "\n"
    "explain: why packets are dropped, and on which the card and the software engine disagree (exit 1).\n"
    "  --packet N      shrinks the capture for this packet (default: the first that is wrong, else dropped)\n"
    "  --small FILE    the smallest capture that still shows it (default: explain.pcap)\n"
    "  --fst FILE      the waves of that packet alone\n";

static int usage(const char *what, const char *word)
{
    fprintf(stderr, "espalier-sim: %s%s%s%s\n", what, word ? " \"" : "", word ? word : "", word ? "\"" : "");
    fputs(usage_text, stderr);
    return WB_USAGE;
}

enum {
    OPT_SAD = 256,
    OPT_IN,
    OPT_OUT,
    OPT_ENGINE,
    OPT_LANES,
    OPT_SAS,
    OPT_JSON,
    OPT_FST,
    OPT_WINDOW,
    OPT_IPV6,
    OPT_PACKET,
    OPT_SMALL,
    OPT_HELP
};

static const struct option replay_long[] = {
    {"sad", required_argument, NULL, OPT_SAD},       {"in", required_argument, NULL, OPT_IN},
    {"out", required_argument, NULL, OPT_OUT},       {"engine", required_argument, NULL, OPT_ENGINE},
    {"lanes", required_argument, NULL, OPT_LANES},   {"sas", required_argument, NULL, OPT_SAS},
    {"json", required_argument, NULL, OPT_JSON},     {"fst", required_argument, NULL, OPT_FST},
    {"window", required_argument, NULL, OPT_WINDOW}, {"ipv6", no_argument, NULL, OPT_IPV6},
    {"help", no_argument, NULL, OPT_HELP},           {NULL, 0, NULL, 0},
};

static bool number(const char *s, uint64_t max, uint64_t *out)
{
    char *end;

    if (*s < '0' || *s > '9')
        return false;
    errno = 0;
    *out = strtoull(s, &end, 10);
    return errno == 0 && *end == 0 && *out <= max;
}

static int set_lanes(unsigned *lanes, const char *word)
{
    uint64_t n;

    if (!number(word, 4, &n) || (n != 1 && n != 2 && n != 4))
        return usage("--lanes: expected 1, 2 or 4, found", word);
    *lanes = (unsigned)n;
    return WB_DONE;
}

static int set_sas(struct replay_options *o, const char *word)
{
    uint64_t n;

    if (!number(word, WB_MAX_SAS, &n) || n == 0)
        return usage("--sas: expected 1 ... 1024, found", word);
    o->sas = (unsigned)n;
    return WB_DONE;
}

static int set_window(struct replay_options *o, const char *word)
{
    char from[24];
    const char *colon = strchr(word, ':');
    size_t len = colon ? (size_t)(colon - word) : sizeof(from);

    if (len < sizeof(from)) {
        memcpy(from, word, len);
        from[len] = 0;
        if (number(from, UINT64_MAX, &o->fst_from) && number(colon + 1, UINT64_MAX, &o->fst_to) &&
            o->fst_from <= o->fst_to)
            return WB_DONE;
    }
    return usage("--window: expected FROM:TO in clock cycles, found", word);
}

static int set_engine(struct replay_options *o, const char *word)
{
    if (strcmp(word, "card") != 0 && strcmp(word, "soft") != 0)
        return usage("--engine: expected card or soft, found", word);
    o->soft = *word == 's';
    return WB_DONE;
}

static int replay_option(struct replay_options *o, int opt, const char *word)
{
    switch (opt) {
    case OPT_SAD: o->sad = word; return WB_DONE;
    case OPT_IN: o->in = word; return WB_DONE;
    case OPT_OUT: o->out = word; return WB_DONE;
    case OPT_JSON: o->json = word; return WB_DONE;
    case OPT_FST: o->fst = word; return WB_DONE;
    case OPT_IPV6: o->ipv6 = true; return WB_DONE;
    case OPT_ENGINE: return set_engine(o, word);
    case OPT_LANES: return set_lanes(&o->lanes, word);
    case OPT_SAS: return set_sas(o, word);
    case OPT_WINDOW: return set_window(o, word);
    default: return usage("unknown option or missing value", NULL);
    }
}

static int replay_main(int argc, char **argv)
{
    struct replay_options o = {.lanes = 1, .sas = WB_MAX_SAS, .fst_to = UINT64_MAX};
    struct esp_error err = {0};
    bool windowed = false;
    int opt, ret;

    while ((opt = getopt_long(argc, argv, "", replay_long, NULL)) != -1) {
        if (opt == OPT_HELP) {
            fputs(usage_text, stdout);
            return WB_DONE;
        }
        windowed = windowed || opt == OPT_WINDOW;
        ret = replay_option(&o, opt, optarg);
        if (ret != WB_DONE)
            return ret;
    }
    if (optind < argc)
        return usage("replay takes no such argument:", argv[optind]);
    if (!o.sad || !o.in || !o.out)
        return usage("replay needs --sad, --in and --out", NULL);
    if (windowed && !o.fst)
        return usage("--window has a meaning with --fst only", NULL);
    if (o.fst && o.soft)
        return usage("--fst: the software engine has no signals", NULL);
    ret = wb_replay(&o, &err);
    return ret ? wb_report(&err) : WB_DONE;
}

static const struct option explain_long[] = {
    {"sad", required_argument, NULL, OPT_SAD},
    {"in", required_argument, NULL, OPT_IN},
    {"lanes", required_argument, NULL, OPT_LANES},
    {"fst", required_argument, NULL, OPT_FST},
    {"packet", required_argument, NULL, OPT_PACKET},
    {"small", required_argument, NULL, OPT_SMALL},
    {"ipv6", no_argument, NULL, OPT_IPV6},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int set_packet(struct explain_options *o, const char *word)
{
    uint64_t n;

    if (!number(word, ULONG_MAX, &n) || n == 0)
        return usage("--packet: expected a packet's number, from 1, found", word);
    o->packet = (unsigned long)n;
    return WB_DONE;
}

static int explain_option(struct explain_options *o, int opt, const char *word)
{
    switch (opt) {
    case OPT_SAD: o->sad = word; return WB_DONE;
    case OPT_IN: o->in = word; return WB_DONE;
    case OPT_FST: o->fst = word; return WB_DONE;
    case OPT_SMALL: o->small = word; return WB_DONE;
    case OPT_IPV6: o->ipv6 = true; return WB_DONE;
    case OPT_LANES: return set_lanes(&o->lanes, word);
    case OPT_PACKET: return set_packet(o, word);
    default: return usage("unknown option or missing value", NULL);
    }
}

static int explain_main(int argc, char **argv)
{
    struct explain_options o = {.lanes = 1, .small = "explain.pcap"};
    struct esp_error err = {0};
    unsigned long wrong = 0;
    int opt, ret;

    while ((opt = getopt_long(argc, argv, "", explain_long, NULL)) != -1) {
        if (opt == OPT_HELP) {
            fputs(usage_text, stdout);
            return WB_DONE;
        }
        ret = explain_option(&o, opt, optarg);
        if (ret != WB_DONE)
            return ret;
    }
    if (optind < argc)
        return usage("explain takes no such argument:", argv[optind]);
    if (!o.sad || !o.in)
        return usage("explain needs --sad and --in", NULL);
    ret = wb_explain(&o, &wrong, &err);
    return ret ? wb_report(&err) : wrong ? WB_FAILED : WB_DONE;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage("a command is missing", NULL);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        fputs(usage_text, stdout);
        return WB_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("espalier-sim " ESPALIER_VERSION);
        return WB_DONE;
    }
    if (strcmp(argv[1], "replay") == 0)
        return replay_main(argc - 1, argv + 1);
    if (strcmp(argv[1], "explain") == 0)
        return explain_main(argc - 1, argv + 1);
    if (strcmp(argv[1], "pair") == 0)
        return pair_main(argc - 1, argv + 1);
    if (strcmp(argv[1], "vectors") != 0 && strcmp(argv[1], "esp-vectors") != 0 &&
        strcmp(argv[1], "ike-vectors") != 0)
        return usage("unknown command", argv[1]);
    if (argc < 3)
        return usage("name at least one file for", argv[1]);
    switch (argv[1][0]) {
    case 'v': return wb_vectors(argc - 2, argv + 2);
    case 'e': return wb_esp_vectors(argc - 2, argv + 2);
    default: return wb_ike_vectors(argc - 2, argv + 2);
    }
}
