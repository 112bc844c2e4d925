// SPDX-License-Identifier: Apache-2.0
// `espalier`, the operator's command: one invocation. Its table of commands and options (commands.c) is what
// the command line, --help, the completion and the manual page are held to.
#ifndef CTRL_CLI_CLI_H
#define CTRL_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctrl/cli/talk.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_MISSING = 3 };

#define CLI_TYPES "x509, x509ca, x509_crl, pubkey or ocsp_response" // of certificates

// X(symbol, name, argument, help)
// clang-format off
#define CLI_OPTION_LIST(X)                                                                                     \
    X(URI, "--uri", "URI", "where the daemon listens (unix:///var/run/charon.vici); tcp://ADDRESS:PORT too")   \
    X(JSON, "--json", "", "one JSON document; a document a line where there is no end to it")                  \
    X(WATCH, "--watch", "", "again and again, until it is interrupted")                                        \
    X(INTERVAL, "--interval", "SECONDS", "between two looks of --watch (2)")                                   \
    X(COUNT, "--count", "N", "ends after so many looks, lines or events")                                      \
    X(LONG, "--long", "", "everything that the daemon says of each, not the table")                            \
    X(NAMES, "--names", "", "the names alone, of connections and children, one a line")                        \
    X(IKE, "--ike", "NAME", "the IKE SA of that connection itself")                                            \
    X(ID, "--id", "N", "the IKE SA of that number, as `sas` shows it in brackets")                             \
    X(CHILD_ID, "--child-id", "N", "the CHILD SA of that number")                                              \
    X(FORCE, "--force", "", "without waiting for the peer's answer; of card bind: although it is in use")          \
    X(REAUTH, "--reauth", "", "with authentication anew, of an IKE SA")                                        \
    X(TIMEOUT, "--timeout", "SECONDS", "longest time to wait for the end of it (without limit)")    \
    X(LEVEL, "--level", "N", "how much of the log: -1 nothing, 0 audit, 1 control (1), 2, 3, 4 more")          \
    X(LEASES, "--leases", "", "with each address that is or was given out")                                    \
    X(TYPE, "--type", "TYPE", CLI_TYPES " alone")                         \
    X(CLEAR, "--clear", "", "the credentials that the daemon has go first, also those of other files")          \
    X(APPLY, "--apply", "", "end the SAs, too, that cannot be made anew before they end")                      \
    X(DRY_RUN, "--dry-run", "", "show what would be changed, and change nothing")                              \
    X(RESET, "--reset", "", "set to zero after they are shown")                                                \
    X(PCI_SYSFS, "--pci-sysfs", "DIR", "where PCI devices are looked for (/sys/bus/pci), as of espalierd")       \
    X(PURGE, "--purge", "", "remove what runs of espalierd have left in the kernel; none may be running")          \
    X(RUN_DIR, "--run-dir", "DIR", "whose, as of espalierd (/run/espalier)")                                   \
    X(CONFIG, "--config", "FILE", "espalierd's settings, which name etcd (/etc/espalier/espalierd.conf)")                                                             \
    X(UNDO, "--undo", "", "of fleet drain: the node takes connections again")                                  \
    X(HELP, "--help", "", "this text")                                                                         \
    X(VERSION, "--version", "", "the version")
// clang-format on
enum cli_option {
#define X(sym, name, arg, help) CLI_##sym,
    CLI_OPTION_LIST(X)
#undef X
        CLI_OPTION_COUNT
};
struct cli_option_def {
    const char *name, *arg, *help;
};
extern const struct cli_option_def cli_options[CLI_OPTION_COUNT];

#define CLI_DEFAULT_CONFIG "/etc/espalier/espalierd.conf"
#define CLI_DEFAULT_URI    "unix:///var/run/charon.vici"
enum { CLI_OPERANDS = 64, CLI_EVENTS = 8 };

struct cli {
    const struct cli_command *command;
    uint32_t given; // 1 << option
    const char *value[CLI_OPTION_COUNT];
    const char *operand[CLI_OPERANDS];
    unsigned operands;
    FILE *out, *err;
    bool colour;    // of `out`
    unsigned width; // columns of `out`; UINT_MAX where it is no terminal: a table is as wide as it has to be
    bool terminal;  // `out` is one
    struct talk *talk;
    unsigned talks;                 // connections that there have been
    const char *events[CLI_EVENTS]; // that were registered for, and are again on another connection
    unsigned event_count;
};

struct cli_command {
    const char *name, *operands, *summary, *more;
    uint32_t options;            // that it takes, 1 << option
    unsigned least, most;        // operands
    int (*run)(struct cli *cli); // its exit status
};
extern const struct cli_command cli_commands[];
extern const unsigned cli_command_count;

// The whole command; argv[0] is not looked at. width: of a terminal.
int cli_main(FILE *out, FILE *err, bool terminal, unsigned width, int argc, char *const *argv);

// ---- what the commands use
bool cli_given(const struct cli *cli, enum cli_option o);
// The number that an option has, or `absent`; it was checked when the line was read.
uint64_t cli_number(const struct cli *cli, enum cli_option o, uint64_t absent);
// The message on standard error, and with --json as the document; the exit status that belongs to it.
int cli_fail(struct cli *cli, int r, const struct esp_error *err);
// A connection, as --uri says, that is closed at the end. 0, or an exit status after it was said why not.
int cli_connect(struct cli *cli);

// show.c: one look, or with --watch one behind the other; a daemon that goes is waited for. The first look
// that fails ends it.
int cli_show(struct cli *cli, int (*look)(struct cli *cli, void *ctx), void *ctx);
// Asks for the event, then does as talk_ask with up to two keys (NULL: none), whose answer says nothing more.
int cli_list(struct cli *cli, const char *command, talk_event_fn *each, void *ctx, const char *key,
             const char *value, const char *flag, struct esp_error *err);
int cli_register(struct cli *cli, const char *event); // an exit status
// All that is in it, a line each, indented.
void cli_put_tree(struct cli *cli, const struct vici_node *section, unsigned depth);

// What came from elsewhere (a peer, the daemon, the command line), made printable.
void cli_put_clean(struct cli *cli, const char *text);
// What is asked for by NAME is not there; an exit status.
int cli_absent(struct cli *cli, const char *why);

// help.c
const struct cli_command *cli_find(const char *name);
void cli_usage(FILE *f);
void cli_help(FILE *f, const struct cli_command *c); // NULL: of all
void cli_complete_bash(FILE *f);
// complete.c
void cli_complete_zsh(FILE *f);
void cli_complete_fish(FILE *f);
bool cli_takes_names(const struct cli_command *c); // of connections and children

// ---- the commands
int cmd_sas(struct cli *cli);
int cmd_conns(struct cli *cli);
int cmd_certs(struct cli *cli);
int cmd_pools(struct cli *cli);
int cmd_counters(struct cli *cli);
int cmd_stats(struct cli *cli);
int cmd_up(struct cli *cli);
int cmd_down(struct cli *cli);
int cmd_purge(struct cli *cli); // down --purge
int cmd_rekey(struct cli *cli);
int cmd_load(struct cli *cli);
int cmd_check(struct cli *cli);
int cmd_card(struct cli *cli);
int cmd_doctor(struct cli *cli);
int cmd_fleet(struct cli *cli);
int cmd_log(struct cli *cli);
int cmd_events(struct cli *cli);
int cmd_completion(struct cli *cli);
int cmd_help(struct cli *cli);

#endif
