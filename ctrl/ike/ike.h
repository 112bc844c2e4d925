// SPDX-License-Identifier: Apache-2.0
// The ike room from inside: what all of its SAs share, and its counters. One epoll loop, no locks; every
// exchange is one task with a start and a response (task.h), every answer of `keys` or `path` comes back
// through pending.c, what happens is told upwards by events.h, and an SA that is over is only freed when the
// loop comes round again, so that no function finds it gone under its hands.
#ifndef CTRL_IKE_IKE_H
#define CTRL_IKE_IKE_H

#include "ctrl/ike/events.h"
#include "ctrl/ike/fragments.h"
#include "ctrl/ike/path_again.h"
#include "ctrl/ike/room.h"
#include "ctrl/ipc/messages.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/log_limit.h"
#include "ctrl/lib/settings.h"
#include "ctrl/lib/table.h"

enum { ANSWER_SLOTS = 1024, MAX_MESSAGE = 65535, BUILT_MESSAGE_MAX = 60000 };

// X(symbol, description)
// clang-format off
#define COUNTER_LIST(X) \
    X(ike_init_in_req, "IKE_SA_INIT requests received") \
    X(ike_init_out_req, "IKE_SA_INIT requests sent") \
    X(ike_auth_in_req, "IKE_AUTH requests received") \
    X(ike_auth_out_req, "IKE_AUTH requests sent") \
    X(create_child_in_req, "CREATE_CHILD_SA requests received") \
    X(create_child_out_req, "CREATE_CHILD_SA requests sent") \
    X(child_rekeyed, "CHILD SAs that were rekeyed") \
    X(ike_rekeyed, "IKE SAs that were rekeyed") \
    X(info_in_req, "INFORMATIONAL requests received") \
    X(info_out_req, "INFORMATIONAL requests sent") \
    X(retransmits, "requests sent again") \
    X(repeats, "requests received again and answered from the cache") \
    X(established, "IKE SAs established") \
    X(failed, "IKE SAs that never came up") \
    X(resumed, "of those established: by a ticket, without a key exchange") \
    X(tickets_refused, "tickets that were answered by TICKET_NACK") \
    X(auth_failed, "authentications that failed, either end") \
    X(dropped_malformed, "datagrams dropped as malformed") \
    X(dropped_unknown, "datagrams for no SA of ours") \
    X(unknown_spi, "ESP and AH with an SPI that there is not, as far as path told of them") \
    X(dropped_state, "messages in the wrong state or with a wrong message ID") \
    X(dropped_integrity, "messages whose integrity check failed") \
    X(fragments_in, "IKE fragments received") \
    X(fragments_dropped, "IKE fragments dropped: malformed, repeated, of another division, or of a message too large") \
    X(fragments_evicted, "messages of which fragments were missing when memory for others was needed") \
    X(fragments_overdue, "messages that were given up because fragments of them did not come in time") \
    X(fragmented_in, "messages received in fragments") \
    X(fragmented_out, "messages sent in fragments") \
    X(dropped_limit, "requests dropped by a limit") \
    X(cookies_sent, "COOKIE answers sent") \
    X(child_installed, "CHILD SAs installed") \
    X(child_failed, "CHILD SAs that never came up") \
    X(dpd_sent, "liveness checks sent") \
    X(log_left_out, "log lines about strangers' datagrams left out") \
    X(alerts_left_out, "alerts that were too many in a second") \
    X(log_dropped, "log lines that ctl did not read")
// clang-format on
enum counter {
#define X(name, text) CNT_##name,
    COUNTER_LIST(X)
#undef X
        CNT_COUNT
};

struct conn;
struct cr_algs;
struct creds;
struct conn_class;
struct conn_group;
struct ike_sa;
struct job;
struct pools;
struct tls_room;
struct task_ops;

struct conn_refs { // in order of loading
    struct conn_ref *first, *last;
};
// What one call fills and reads, too large for the stack: no later call finds anything in it.
struct ike_scratch {
    char label[NAME_MAX_LEN + 16];      // of sa_label
    uint8_t message[BUILT_MESSAGE_MAX]; // that is being built: as it goes out, or what is to be sealed
};
struct by_second {
    uint64_t second;
    unsigned count;
};
struct ike {
    struct settings set;
    struct loop *loop;
    struct net net;
    const struct ike_events *events;
    const struct task_ops *const *exchanges; // by enum task_kind
    struct ipc_chan *chan[ROOM_COUNT];
    const struct fence_page *fence; // NULL: what is the fleet's is closed
    struct cr_algs *algs;
    struct creds *creds;
    struct pools *pools;
    struct tickets *tickets;     // NULL: there were none yet (resume_ticket.h)
    struct resume_wait *resumes; // whose ticket keys is asked about
    struct tls_room *tls;        // NULL: no EAP-TLS was asked for yet
    unsigned pubkey_conns;       // loaded ones whose peer has a certificate or public key
    unsigned eap_conns;          // loaded ones whose peer authenticates by EAP
    unsigned round_conns;        // loaded ones with several rounds of authentication
    unsigned ppk_conns;          // loaded ones with a postquantum preshared key
    struct conn *conns, *last_conn;
    struct conn_class *classes;
    unsigned class_proposals; // in all of these
    struct conn_group *groups;
    struct hash shared;        // proposals of connections (shared.h)
    struct hash claims;        // connections that take any peer, by its identity, but for ...
    struct conn_refs patterns; // ... those whose identity is a pattern: of conns.c
    uint64_t conn_order;
    uint64_t requests; // IKE_SA_INITs that were matched against the connections
    struct ike_sa *sas, *dead;
    struct table by_id, by_spi, by_peer, by_ends, children, spis, pending,
        half_open, // peer addresses
        conn_names, counts, conn_addrs, sa_conns, by_host, revives, tasks, fetches,
        strays; // connections that are loaded no more, with an IKE SA (edition.c)
    struct job *jobs;
    unsigned sa_count, half_open_count;
    uint32_t next_id, next_child, next_req, next_reqid, next_job, next_ke, next_policy, next_task,
        next_resume;
    struct timer reaper, shutdown, missed; // missed: what there was no memory to bring up
    struct timer renewal;                  // policies that could not be written out anew
    struct timer unjudged;                 // or to hold against a CRL
    struct timer starving;                 // ends the IKE SAs that it wanted in (without_memory, ends_soon)
    unsigned starving_count;
    struct ike_sa *starving_at; // the next one to look at, while it does
    bool stopping;
    struct fragment_pool fragments[2]; // of peers, and of those that have not said who they are
    uint8_t secrets[2][16];            // cookies: the current one and the one before
    uint8_t secret_version;
    uint64_t secret_at, peer_salt, conn_salt;
    bool follows;               // in the place of one that died
    bool partial;               // in the place of one that died, and without all that this had
    bool keyless;               // keys has died (pending.h)
    struct path_again again;    // since path has died
    struct log_limit log_limit; // what strangers may write
    struct {
        uint64_t since;
        unsigned raised;
    } alerts;          // in this second (report.h)
    uint64_t error_at; // unauthenticated error answers: at most a few a second
    unsigned error_count;
    struct by_second answers[ANSWER_SLOTS]; // to strangers, by their address
    struct by_second choices[ANSWER_SLOTS]; // likewise, that cost much: of those who are there (2.6)
    struct {
        uint64_t window;
        unsigned count;
    } failed_proofs[ANSWER_SLOTS]; // likewise
    uint64_t counters[CNT_COUNT];
    uint64_t handshakes_us, handshakes[HANDSHAKE_COUNT + 1]; // of those established; see HANDSHAKE_LIST
    struct ike_scratch scratch;
};

#define COUNT(ike, name) ((ike)->counters[CNT_##name]++)

#endif
