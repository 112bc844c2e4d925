// SPDX-License-Identifier: Apache-2.0
// The command line; each refusal names the option, the value and what was expected.
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/proposal_text.h"
#include "espalier/version.h"
#include "tests/load/credentials.h"
#include "tests/load/load.h"

enum { COUNT_MAX = 10000000, WINDOW_DEFAULT = 32 };
enum { // long options
    OPT_PEER = 256,
    OPT_PORT,
    OPT_LOCAL_PORT,
    OPT_SOURCE,
    OPT_KIND,
    OPT_COUNT,
    OPT_FIRST,
    OPT_RATE,
    OPT_WINDOW,
    OPT_TIMEOUT,
    OPT_TRIES,
    OPT_SETTLE,
    OPT_PSK,
    OPT_CERT,
    OPT_KEY,
    OPT_ID,
    OPT_PROPOSAL,
    OPT_ESP,
    OPT_LOCAL_TS,
    OPT_REMOTE_TS,
    OPT_END,
    OPT_INITIAL,
    OPT_PID,
    OPT_JSON,
    OPT_HELP,
    OPT_VERSION
};
static const struct option OPTIONS[] = {{"peer", required_argument, NULL, OPT_PEER},
                                        {"port", required_argument, NULL, OPT_PORT},
                                        {"local-port", required_argument, NULL, OPT_LOCAL_PORT},
                                        {"source", required_argument, NULL, OPT_SOURCE},
                                        {"kind", required_argument, NULL, OPT_KIND},
                                        {"count", required_argument, NULL, OPT_COUNT},
                                        {"first", required_argument, NULL, OPT_FIRST},
                                        {"rate", required_argument, NULL, OPT_RATE},
                                        {"window", required_argument, NULL, OPT_WINDOW},
                                        {"timeout", required_argument, NULL, OPT_TIMEOUT},
                                        {"tries", required_argument, NULL, OPT_TRIES},
                                        {"settle", required_argument, NULL, OPT_SETTLE},
                                        {"psk", required_argument, NULL, OPT_PSK},
                                        {"cert", required_argument, NULL, OPT_CERT},
                                        {"key", required_argument, NULL, OPT_KEY},
                                        {"id", required_argument, NULL, OPT_ID},
                                        {"proposal", required_argument, NULL, OPT_PROPOSAL},
                                        {"esp-proposal", required_argument, NULL, OPT_ESP},
                                        {"local-ts", required_argument, NULL, OPT_LOCAL_TS},
                                        {"remote-ts", required_argument, NULL, OPT_REMOTE_TS},
                                        {"delete", no_argument, NULL, OPT_END},
                                        {"initial-contact", no_argument, NULL, OPT_INITIAL},
                                        {"pid", required_argument, NULL, OPT_PID},
                                        {"json", required_argument, NULL, OPT_JSON},
                                        {"help", no_argument, NULL, OPT_HELP},
                                        {"version", no_argument, NULL, OPT_VERSION},
                                        {NULL, 0, NULL, 0}};

static const char HELP[] =
    "espalier-load --peer ADDR (--psk SECRET | --cert FILE --key FILE) [options]\n"
    "IKEv2 clients, or what strangers send, toward any responder. It may load a machine and a network: aim "
    "it\n"
    "at your own.\n"
    "  --peer ADDR          the responder, IPv4 or IPv6\n"
    "  --port N             its port (500)\n"
    "  --local-port N       ours (0: any)\n"
    "  --source ADDR[+N]    clients send from N addresses from ADDR on, in turn; they must be local ones\n"
    "                       (ip route add local PREFIX dev lo). Without it: what the kernel takes\n"
    "  --kind KIND          handshakes (IKE_SA_INIT, IKE_AUTH and a CHILD SA; the default), half-open\n"
    "                       (IKE_SA_INIT with its cookie, and no more), requests (IKE_SA_INIT without a "
    "cookie),\n"
    "                       junk (300 octets at random), unknown-spi (messages of SAs that nobody has)\n"
    "  --count N            clients or datagrams (1)\n"
    "  --first N            number of the first client (0), for --id and --local-ts\n"
    "  --rate R             so many begin a second (0: as fast as --window allows)\n"
    "  --window N           so many wait for an answer at most (32)\n"
    "  --timeout MS         after that a request is sent again (1000), --tries N times in all (5)\n"
    "  --settle MS          time for the responder to come to rest before its figures are taken (200)\n"
    "  --psk SECRET         a shared secret of all clients\n"
    "  --cert FILE --key FILE  a certificate and its key of all clients, PEM\n"
    "  --id TEXT            who they are; %u stands for the client's number (client-%u.load.test)\n"
    "  --proposal TEXT      of IKE (aes256gcm16-prfsha256-x25519)\n"
    "  --esp-proposal TEXT  of the CHILD SA (aes256gcm16)\n"
    "  --local-ts ADDR      selector of the first client, the next has the next address (10.0.0.0)\n"
    "  --remote-ts TS       what lies behind the responder (0.0.0.0/0)\n"
    "  --delete             the clients end their SAs when the figures are taken\n"
    "  --initial-contact    they say that they know of no SA of before (RFC 7296 2.4)\n"
    "  --pid N              a process of the responder, with all below it: its CPU time and memory; up to "
    "16\n"
    "  --json FILE          the figures; - is stdout instead of the table\n"
    "Exit status: 0 all done, 1 some failed, 2 bad usage, 3 something is missing on this machine.\n";

static const char *const WORDS[] = {
#define X(sym, word, clients) word,
    LOAD_KINDS(X)
#undef X
};
static const bool CLIENTS[] = {
#define X(sym, word, clients) clients,
    LOAD_KINDS(X)
#undef X
};
enum { KINDS = sizeof(WORDS) / sizeof(WORDS[0]) };

const char *load_kind_word(enum load_kind kind)
{
    return WORDS[kind];
}

bool load_kind_has_clients(enum load_kind kind)
{
    return CLIENTS[kind];
}

static int refuse_option(struct load_options *o, const char *name, const char *value, const char *expected)
{
    esp_fail(&o->error, -EINVAL, name, "%.60s: expected %s", value, expected);
    return LOAD_USAGE;
}

static int number(struct load_options *o, const char *name, const char *text, uint32_t min, uint32_t max,
                  uint32_t *out)
{
    unsigned long v;
    char range[64], *end;

    errno = 0;
    v = strtoul(text, &end, 10);
    snprintf(range, sizeof(range), "a number from %u to %u", min, max);
    if (!isdigit((unsigned char)*text) || *end || errno || v < min || v > max)
        return refuse_option(o, name, text, range);
    *out = (uint32_t)v;
    return LOAD_DONE;
}

static int rate(struct load_options *o, const char *text)
{
    char *end;

    o->rate = strtod(text, &end);
    if (end == text || *end || !(o->rate >= 0 && o->rate <= 1e7))
        return refuse_option(o, "--rate", text, "a number a second, 0 to 10000000");
    return LOAD_DONE;
}

static int kind(struct load_options *o, const char *text)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (strcmp(text, WORDS[i]) == 0) {
            o->kind = (enum load_kind)i;
            return LOAD_DONE;
        }
    return refuse_option(o, "--kind", text, "handshakes, half-open, requests, junk or unknown-spi");
}

static int source(struct load_options *o, const char *text)
{
    char address[64];
    const char *plus = strchr(text, '+');

    snprintf(address, sizeof(address), "%.*s", plus ? (int)(plus - text) : 63, text);
    if (!addr_parse(address, &o->source))
        return refuse_option(o, "--source", text, "ADDR or ADDR+N");
    return plus ? number(o, "--source", plus + 1, 1, 1 << 24, &o->sources) : LOAD_DONE;
}

static int address(struct load_options *o, const char *name, const char *text, struct addr *out)
{
    return addr_parse(text, out) ? LOAD_DONE : refuse_option(o, name, text, "an IPv4 or IPv6 address");
}

static int selector(struct load_options *o, const char *name, const char *text, struct ts *out)
{
    struct esp_error why;

    if (ts_text_parse(text, out, &why) != 0)
        return refuse_option(o, name, text, why.text);
    return out->family ? LOAD_DONE : refuse_option(o, name, text, "an address, a prefix or a range");
}

static int proposal(struct load_options *o, const char *name, const char *text, uint8_t protocol,
                    struct proposal *out)
{
    struct esp_error why;
    uint8_t count = 0;

    memset(out, 0, sizeof(*out));
    return proposal_text_add(out, &count, protocol, text, &why) == 0 ? LOAD_DONE
                                                                     : refuse_option(o, name, text, why.text);
}

static int port(struct load_options *o, const char *name, const char *text, uint32_t min, uint16_t *out)
{
    uint32_t n = 0;
    int ret = number(o, name, text, min, UINT16_MAX, &n);

    *out = (uint16_t)n;
    return ret;
}

static int pid(struct load_options *o, const char *text)
{
    uint32_t n = 0;
    int ret = number(o, "--pid", text, 1, 1 << 22, &n);

    if (ret == LOAD_DONE && o->pid_count == PIDS_MAX)
        return refuse_option(o, "--pid", text, "at most 16 of them");
    if (ret == LOAD_DONE)
        o->pids[o->pid_count++] = (int)n;
    return ret;
}

static int one_number(struct load_options *o, int which, const char *text)
{
    switch (which) {
    case OPT_COUNT: return number(o, "--count", text, 1, COUNT_MAX, &o->count);
    case OPT_FIRST: return number(o, "--first", text, 0, COUNT_MAX, &o->first);
    case OPT_WINDOW: return number(o, "--window", text, 1, COUNT_MAX, &o->window);
    case OPT_TIMEOUT: return number(o, "--timeout", text, 1, 3600000, &o->timeout_ms);
    case OPT_TRIES: return number(o, "--tries", text, 1, 100, &o->tries);
    case OPT_SETTLE: return number(o, "--settle", text, 0, 3600000, &o->settle_ms);
    default: return LOAD_USAGE; // getopt has said which
    }
}

static int one(struct load_options *o, int which, const char *text)
{
    switch (which) {
    case OPT_PEER: return address(o, "--peer", text, &o->peer);
    case OPT_PORT: return port(o, "--port", text, 1, &o->peer_port);
    case OPT_LOCAL_PORT: return port(o, "--local-port", text, 0, &o->local_port);
    case OPT_SOURCE: return source(o, text);
    case OPT_KIND: return kind(o, text);
    case OPT_RATE: return rate(o, text);
    case OPT_PSK: o->psk = text; return LOAD_DONE;
    case OPT_CERT: o->cert = text; return LOAD_DONE;
    case OPT_KEY: o->key = text; return LOAD_DONE;
    case OPT_ID:
        o->id = text;
        return strlen(text) < ID_TEMPLATE_MAX ? LOAD_DONE : refuse_option(o, "--id", text, "fewer letters");
    case OPT_PROPOSAL: return proposal(o, "--proposal", text, PROTO_IKE, &o->ike);
    case OPT_ESP: return proposal(o, "--esp-proposal", text, PROTO_ESP, &o->esp);
    case OPT_LOCAL_TS: return selector(o, "--local-ts", text, &o->local_ts);
    case OPT_REMOTE_TS: return selector(o, "--remote-ts", text, &o->remote_ts);
    case OPT_END: o->end = true; return LOAD_DONE;
    case OPT_INITIAL: o->initial_contact = true; return LOAD_DONE;
    case OPT_PID: return pid(o, text);
    case OPT_JSON: o->json = text; return LOAD_DONE;
    default: return one_number(o, which, text);
    }
}

// What belongs together.
static int whole(struct load_options *o)
{
    bool clients = load_kind_has_clients(o->kind) && o->kind != LOAD_HALF_OPEN;

    if (!o->peer.family)
        return refuse_option(o, "--peer", "missing", "the responder's address");
    if (o->source.family && o->source.family != o->peer.family)
        return refuse_option(o, "--source", "another family", "that of --peer");
    if (!o->cert != !o->key)
        return refuse_option(o, o->cert ? "--key" : "--cert", "missing", "both --cert and --key");
    if (clients && !o->psk == !o->cert)
        return refuse_option(o, "--psk", o->psk ? "with --cert" : "missing", "one of --psk and --cert");
    if (o->local_ts.family != o->remote_ts.family)
        return refuse_option(o, "--local-ts", "another family", "that of --remote-ts");
    if (o->cert && credentials_load(o->cert, o->key, &o->credentials, &o->error) != 0)
        return LOAD_USAGE;
    return LOAD_DONE;
}

int load_options_parse(struct load_options *o, int argc, char **argv, bool *help)
{
    int which, ret = LOAD_DONE;

    *help = false;
    *o = (struct load_options){.peer_port = 500,
                               .sources = 1,
                               .count = 1,
                               .window = WINDOW_DEFAULT,
                               .timeout_ms = 1000,
                               .tries = 5,
                               .settle_ms = 200,
                               .id = "client-%u.load.test"};
    one(o, OPT_PROPOSAL, "aes256gcm16-prfsha256-x25519");
    one(o, OPT_ESP, "aes256gcm16");
    one(o, OPT_LOCAL_TS, "10.0.0.0");
    one(o, OPT_REMOTE_TS, "0.0.0.0/0");
    while (ret == LOAD_DONE && (which = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (which == OPT_HELP || which == OPT_VERSION) {
            *help = true;
            if (which == OPT_HELP)
                fputs(HELP, stdout);
            else
                puts("espalier-load " ESPALIER_VERSION);
            return LOAD_DONE;
        }
        ret = one(o, which, optarg);
    }
    if (ret == LOAD_DONE && optind < argc)
        ret = refuse_option(o, argv[optind], "not an option", "what --help lists");
    return ret == LOAD_DONE ? whole(o) : ret;
}
