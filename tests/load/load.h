// SPDX-License-Identifier: Apache-2.0
// espalier-load: thousands of IKEv2 clients, or a flood of what a stranger can send, toward any responder.
// Messages and keys are made by the daemon's own code; what it does with them is written here.
#ifndef TESTS_LOAD_H
#define TESTS_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <netinet/in.h>

#include "ctrl/lib/conn.h"
#include "espalier/error.h"

enum { LOAD_DONE, LOAD_FAILED, LOAD_USAGE, LOAD_MISSING }; // exit codes
enum { PIDS_MAX = 16, CLIENT_PROPOSALS_MAX = 4, ID_TEMPLATE_MAX = 256 };

// X(symbol, word of --kind, clients with a state)
#define LOAD_KINDS(X)                                                                                        \
    X(HANDSHAKES, "handshakes", true)                                                                        \
    X(HALF_OPEN, "half-open", true)                                                                          \
    X(REQUESTS, "requests", false)                                                                           \
    X(JUNK, "junk", false)                                                                                   \
    X(UNKNOWN_SPI, "unknown-spi", false)
enum load_kind {
#define X(sym, word, clients) LOAD_##sym,
    LOAD_KINDS(X)
#undef X
};
const char *load_kind_word(enum load_kind kind);
bool load_kind_has_clients(enum load_kind kind);

struct credentials; // credentials.h
struct load_options {
    enum load_kind kind;
    struct addr peer, source; // source family 0: the kernel chooses
    uint16_t peer_port, local_port;
    uint32_t sources; // addresses from `source` on that take turns
    uint32_t count, first, window;
    double rate; // a second; 0: as fast as the window allows
    uint32_t timeout_ms, tries, settle_ms;
    const char *psk, *cert, *key, *id, *json;
    struct proposal ike, esp;
    struct ts local_ts, remote_ts;
    bool end; // DELETE behind it
    bool initial_contact;
    unsigned pid_count;
    int pids[PIDS_MAX];
    struct credentials *credentials;
    struct cr_algs *algs;
    struct esp_error error;
};
// LOAD_DONE with *help set: only help or the version was asked for. Otherwise an exit code and o->error.
int load_options_parse(struct load_options *o, int argc, char **argv, bool *help);

uint64_t load_now_ns(void);

// What came of it.
struct load_result {
    uint32_t begun, done, failed, ended_by_peer, peer_requests;
    uint64_t sent, received, retransmitted, cookies, refused, unopened, send_errors;
    uint64_t elapsed_ns;
    uint64_t *latency_ns; // of those that are done, sorted
    char why[160];        // of the first that failed
};

#endif
