// SPDX-License-Identifier: Apache-2.0
// Parses the command line; every refusal names the option, the value and what was expected.
#include "sim/card/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static int refuse(struct card_options *o, int status,
                                                        const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(o->error, sizeof o->error, format, ap);
    va_end(ap);
    return status;
}

static bool parse_number(const char *text, uint64_t *out, const char **end)
{
    char *stop;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *out = strtoull(text, &stop, 0);
    *end = stop;
    return errno == 0;
}

static int parse_lanes(struct card_options *o, const char *text)
{
    if (strcmp(text, "1") == 0 || strcmp(text, "4") == 0) {
        o->lanes = (unsigned)(text[0] - '0');
        return EXIT_DONE;
    }
    if (strcmp(text, "2") == 0)
        return refuse(o, EXIT_MISSING, "--lanes 2: no such model in this build (built: 1 and 4)");
    return refuse(o, EXIT_USAGE, "--lanes %s: expected 1, 2 or 4", text);
}

static int parse_sas(struct card_options *o, const char *text)
{
    uint64_t n;
    const char *end;
    if (!parse_number(text, &n, &end) || *end || n < 1 || n > 1u << 20)
        return refuse(o, EXIT_USAGE, "--sas %s: expected a number of SA slots, at least 1", text);
    o->sa_slots = (unsigned)n;
    return EXIT_DONE;
}

static bool has_argument(const char *text, const char *kind)
{
    size_t n = strlen(kind);
    return strncmp(text, kind, n) == 0 && text[n] != 0;
}

static int parse_wire(struct card_options *o, const char *text)
{
    bool pcap = has_argument(text, "pcap:");
    const char *comma = pcap ? strchr(text, ',') : NULL;
    if (!has_argument(text, "tap:") && !has_argument(text, "packet:") && strcmp(text, "loop") != 0 &&
        !(comma && comma > text + strlen("pcap:") && comma[1]))
        return refuse(o, EXIT_USAGE, "--wire %s: expected tap:NAME, packet:IFNAME, pcap:IN,OUT or loop",
                      text);
    return refuse(o, EXIT_MISSING,
                  "--wire %s: this card has no wire port (results come back to the host only)", text);
}

static int parse_window(struct card_options *o, const char *text)
{
    const char *end;
    if (!parse_number(text, &o->from, &end) || *end != ':' || !parse_number(end + 1, &o->to, &end) || *end ||
        o->to <= o->from)
        return refuse(o, EXIT_USAGE, "--window %s: expected FROM:TO in cycles, FROM below TO", text);
    return EXIT_DONE;
}

static int check(struct card_options *o, int argc, char **argv)
{
    if (optind < argc)
        return refuse(o, EXIT_USAGE, "%s: no such argument", argv[optind]);
    if (!o->dir || !o->dir[0])
        return refuse(o, EXIT_USAGE, "--dir DIR is needed");
    if (o->to && !o->fst)
        return refuse(o, EXIT_USAGE, "--window needs --fst FILE");
    return EXIT_DONE;
}

int card_options_parse(struct card_options *o, int argc, char **argv, int *help)
{
    enum { DIR = 256, LANES, SAS, WIRE, JSON, FST, WINDOW };
    static const struct option longs[] = {{"dir", required_argument, NULL, DIR},
                                          {"lanes", required_argument, NULL, LANES},
                                          {"sas", required_argument, NULL, SAS},
                                          {"wire", required_argument, NULL, WIRE},
                                          {"json", required_argument, NULL, JSON},
                                          {"fst", required_argument, NULL, FST},
                                          {"help", no_argument, NULL, 'h'},
                                          {"window", required_argument, NULL, WINDOW},
                                          {NULL, 0, NULL, 0}};
    int c, rc = EXIT_DONE;
    *o = (struct card_options){.lanes = 1};
    *help = 0;
    opterr = 0;
    optind = 0;
    while (rc == EXIT_DONE && (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        switch (c) {
        case DIR: o->dir = optarg; break;
        case LANES: rc = parse_lanes(o, optarg); break;
        case SAS: rc = parse_sas(o, optarg); break;
        case WIRE: rc = parse_wire(o, optarg); break;
        case JSON: o->json = optarg; break;
        case FST: o->fst = optarg; break;
        case WINDOW: rc = parse_window(o, optarg); break;
        case 'h': *help = 1; return EXIT_DONE;
        case ':': rc = refuse(o, EXIT_USAGE, "%s: needs a value", argv[optind - 1]); break;
        default: rc = refuse(o, EXIT_USAGE, "%s: no such option", argv[optind - 1]); break;
        }
    }
    return rc ? rc : check(o, argc, argv);
}
