// SPDX-License-Identifier: Apache-2.0
// The one table of what `espalier` can do.
#include "ctrl/cli/cli.h"

const struct cli_option_def cli_options[CLI_OPTION_COUNT] = {
#define X(sym, name, arg, help) {name, arg, help},
    CLI_OPTION_LIST(X)
#undef X
};

#define NAMES                                                                                                \
    "NAME is a child's, CONNECTION/CHILD where several connections have one of that name, or a "             \
    "connection's. "
#define O(sym) (1u << CLI_##sym)
enum {
    ASKS = O(URI) | O(JSON),
    SHOWS = ASKS | O(WATCH) | O(INTERVAL) | O(COUNT),
    FOLLOWS = ASKS | O(COUNT),
};

const struct cli_command cli_commands[] = {
    {"sas", "[CONNECTION]", "IKE and CHILD SAs that there are",
     "Each IKE SA with its CHILD SAs below it, their numbers in brackets. ENGINE is what protects the "
     "packets: card, "
     "packet, crypto or software; --long says why. A route-based tunnel's device stands behind its number.",
     SHOWS | O(LONG), 0, 1, cmd_sas},
    {"conns", "[CONNECTION]", "connections that are loaded, also those that are down",
     "Each connection with its children below it, and how many SAs of it are up.", SHOWS | O(LONG) | O(NAMES),
     0, 1, cmd_conns},
    {"certs", "", "certificates, CRLs and public keys that are loaded or cached",
     "KEY is marked with a star where its private key is loaded.", SHOWS | O(LONG) | O(TYPE), 0, 0,
     cmd_certs},
    {"pools", "[POOL]", "address pools and what of them is given out", "", SHOWS | O(LEASES), 0, 1,
     cmd_pools},
    {"counters", "[WORD]", "what is counted: packets, drops by reason, exchanges, fail-overs",
     "Those whose names have WORD in them. With --watch also how many a second.", SHOWS | O(RESET), 0, 1,
     cmd_counters},
    {"stats", "", "the daemon itself: version, uptime, processes, IKE SAs", "", SHOWS, 0, 0, cmd_stats},
    {"check", "[FILE]...", "every fault of a swanctl.conf or settings file, with its line; nothing is loaded",
     "With what it includes and the directories beside it. Without FILE $SWANCTL_DIR/swanctl.conf, or "
     "/etc/swanctl/swanctl.conf.",
     O(JSON), 0, CLI_OPERANDS, cmd_check},
    {"load", "[FILE]", "a whole swanctl.conf, with the credentials beside it",
     "All of it is read and checked first: a fault, each of which is named with its line, changes nothing. "
     "Then certificates, keys, "
     "secrets, authorities, pools and connections are sent, and what the file has no longer is unloaded. The "
     "password of a key is "
     "asked for on the terminal where no section of secrets has it. SAs that were made by what has been "
     "edited are then made anew, each before the former one ends; what cannot be is listed with why, and "
     "goes on unless --apply ends it. Without FILE as `check`.",
     ASKS | O(CLEAR) | O(APPLY) | O(DRY_RUN), 0, 1, cmd_load},
    {"up", "NAME...", "brings a tunnel up",
     NAMES "A connection's brings up each of its children. Ends when the SA is there, or with why it is not.",
     ASKS | O(IKE) | O(TIMEOUT) | O(LEVEL), 0, CLI_OPERANDS, cmd_up},
    {"down", "NAME...", "takes a tunnel down",
     NAMES
     "A connection's takes down its IKE SAs with all that is in them. --purge, without NAME, asks no "
     "daemon: block policies, rules, routes, tables of nf_tables and TUN devices that runs of espalierd "
     "have left go, and what they protected is in clear from then on; refused while a daemon runs there.",
     ASKS | O(IKE) | O(ID) | O(CHILD_ID) | O(FORCE) | O(TIMEOUT) | O(LEVEL) | O(PURGE) | O(RUN_DIR), 0,
     CLI_OPERANDS, cmd_down},
    {"rekey", "NAME...", "gives a tunnel new keys",
     NAMES
     "A connection's rekeys its CHILD SAs and then its IKE SAs, with --reauth these alone, which brings the "
     "others anew; --ike its IKE SAs and nothing else.",
     ASKS | O(IKE) | O(ID) | O(CHILD_ID) | O(REAUTH), 0, CLI_OPERANDS, cmd_rekey},
    {"log", "", "the daemon's log as it is written", "", FOLLOWS | O(LEVEL), 0, 0, cmd_log},
    {"events", "", "SAs that come, go, are rekeyed or move, as it happens", "", FOLLOWS, 0, 0, cmd_events},
    {"card", "[ACTION [ADDRESS]]",
     "what the daemon says of its card, and what can be done with each that PCI has",
     "How many SAs are on it, why the others are not, and what it and fail-over count. ACTION: `list` those "
     "that "
     "libpci finds and what they are bound to; `info`, what one is and where; `bind` to vfio-pci, which the "
     "daemon "
     "has it by, `unbind` from it; `selftest` of one that nobody uses: known answers, beside software, "
     "refusals, "
     "interrupts, counters; `counters` of the card that the daemon has, and of its driver; `reset` one that "
     "nobody "
     "uses. ADDRESS: 0000:01:00.0; it may be left out where there is one card.",
     SHOWS | O(PCI_SYSFS) | O(FORCE), 0, 2, cmd_card},
    {"doctor", "[NAME]...", "what would be searched for for hours, why it matters, and what mends it",
     "The daemon, clock, entropy, rights, ports, policies that are passed over, firewall, rp_filter, "
     "forwarding, own "
     "addresses, routes and MTU to "
     "the peers, route-based tunnels, certificates, tunnels that are to be up, cards. With NAME, a child's "
     "or CONNECTION/CHILD, "
     "it is brought up, and a "
     "refusal of the peer explained. Exit status 1 where something is wrong.",
     ASKS | O(TIMEOUT) | O(PCI_SYSFS), 0, CLI_OPERANDS, cmd_doctor},
    {"fleet", "ACTION [FILE|NODE]", "connections that several gateways share by etcd",
     "ACTION: `load FILE`, the connections of a swanctl.conf become the fleet's, all at once or not at all; "
     "its "
     "secrets, keys, certificates and pools are each node's own and are not sent; `status`, whose each "
     "connection is; `nodes` that have a lease; `drain NODE`, it gives what it has to the others and takes "
     "nothing until --undo. It asks etcd itself, by espalierd.fleet of the settings that --config names.",
     O(JSON) | O(CONFIG) | O(UNDO), 1, 2, cmd_fleet},
    {"completion", "SHELL", "the completion of this command for bash, zsh or fish",
     "source <(espalier completion bash), the same for zsh behind its compinit; espalier completion fish | "
     "source",
     0, 1, 1, cmd_completion},
    {"help", "[COMMAND]", "this text, or that of a command", "", 0, 0, 1, cmd_help},
};
const unsigned cli_command_count = sizeof(cli_commands) / sizeof(cli_commands[0]);
