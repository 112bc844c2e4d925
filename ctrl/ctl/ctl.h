// SPDX-License-Identifier: Apache-2.0
// The ctl process from the inside: what its files share. It holds the configuration as VICI clients gave it,
// passes secrets straight on to `keys`, and turns commands into messages to the other rooms and their answers
// into replies.
#ifndef CTRL_CTL_CTL_H
#define CTRL_CTL_CTL_H

#include "ctrl/config/conn_load.h"
#include "ctrl/ctl/feed.h"
#include "ctrl/ctl/kept.h"
#include "ctrl/ctl/server.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/child.h"
#include "ctrl/lib/conn.h"
#include "ctrl/lib/hash.h"

enum {
    CTL_MAX_PENDING = 1024, // questions to other rooms that wait for their answers
    CTL_MAX_CONNS = 10000,
    CTL_MAX_REFUSED = 1024, // names of connections that were refused, and may stand in the kernel
    CTL_MAX_NAMED = KEPT_COUNTERS,
    CTL_ANSWER_MS = 10000, // for answers that take no network
    CTL_SWEEP_MS = 10000,  // from the last load or unload
    CTL_LEASES_MS = 1000,  // between attempts to read the leases, while they cannot be
    CTL_ALONE_MS = 2000,   // in which the daemon ends, when it does
};

struct ctl;

// A question to another room. `message` gets what comes before the RESULT (it may be NULL), `done` the
// RESULT; then it is freed. When the room does not answer in time, or is gone, done is called with ok =
// false.
struct pending {
    struct ctl *ctl;
    struct pending *next;
    uint32_t req;
    struct command *cmd; // the command that it serves, or NULL
    uint32_t fleet_req;  // or the question of the fleet's room; 0: none
    void *data;
    void (*free_data)(void *data); // called with data, where both are set, when the question ends
    int control_level;             // log lines up to this level go to cmd as control-log events; -1: none
    struct timer deadline;
    enum room room; // that was asked
    // It waits for an ike or a keys that has died, and is asked then; NULL: it fails when that dies.
    void (*ask_again)(struct pending *p);
    bool once;        // not twice: where it had been asked before, it fails too
    bool held;        // ... so it does
    uint8_t *changes; // what ike keeps when it says yes (configured.h), and nobody else; NULL: nothing
    size_t changes_len;
    uint64_t number; // of what it is about (replay.c)
    bool untold;     // of a pool: its leases are still to be told
    uint64_t more;   // done: the answer was a page, and this is where the next one begins; 0: it was the last
    void (*message)(struct pending *p, enum msg_type t, const union msg *m);
    void (*done)(struct pending *p, bool ok, const char *text);
};

struct conn_entry;
struct child_entry {
    struct hash_node node; // first: by its own name
    struct conn_entry *of;
    const char *name;
};
struct conn_entry {        // a loaded connection as it went to `ike`: a tenth of what it is when read
    struct hash_node node; // first: by name
    struct conn_entry *next, *prev;
    uint64_t number; // grows along the list
    uint32_t wire_len;
    uint16_t child_count;
    bool fleet : 1;                // it is the fleet's
    bool missing : 1;              // ike has it not: it has refused it, and is given it again (replay.h)
    bool by_hand : 1;              // a child of it is trapped, or not, by hand (cmd_install.c)
    struct child_entry children[]; // and conn_write's octets, in which all names are
};
static inline const uint8_t *conn_entry_wire(const struct conn_entry *e)
{
    return (const uint8_t *)(e->children + e->child_count);
}
static inline const char *conn_entry_name(const struct conn_entry *e)
{
    return (const char *)conn_entry_wire(e) + CONN_NAME_AT;
}

struct counter {
    struct counter *next;
    char name[KEPT_NAME_LEN];
    uint64_t baseline, value;
};

struct sweep {
    struct timer after;
    struct hash awaited; // names of connections that an earlier run had, or that were refused
    unsigned refused;    // of them, in this run
    unsigned under_way;  // loads
    unsigned last;       // id of the last client that began to load
    const char *blind;   // why not all of these names are known: not in this run; or NULL
};

struct replay {                    // replay.h
    bool active;                   // ike has not been given everything once
    bool passing;                  // what it is to be given is on its way
    bool busy;                     // inside of what sends it
    uint32_t pid;                  // of the ike that is given everything
    unsigned asked;                // what it has not answered
    unsigned passes;               // that are over; in the first it is given all, then what is missing
    uint64_t record;               // of configured.h: up to which it has been told,
    bool records_told;             // ... all of them,
    const struct conn_entry *told; // and this connection, with those before it; NULL: none
    bool told_missing;             // ike has been told that it lacks some connections
    struct timer again;
};
struct recover { // recover.h
    void (*done)(struct ctl *c, const char *fault);
    struct timer again;
    const char *fault;
    char pool[NAME_MAX_LEN]; // that ike is telling of
};

struct ctl {
    struct loop *loop;
    struct ctl_kept *kept;
    struct recover recover;
    struct replay replay;
    struct configured *configured; // what ike alone holds
    int listener;                  // where VICI is served, until it is; -1
    bool serving;
    bool follows; // another one that died
    struct server *server;
    struct settings settings;
    struct ipc_chan *chan[ROOM_COUNT];
    pid_t pid[ROOM_COUNT];
    struct pending *pending;
    unsigned pending_count;
    struct conn_entry *conns, *last_conn; // in the order in which they were loaded
    struct hash conn_names, child_names;
    unsigned conn_count;
    uint64_t conn_number;
    struct sweep sweep;
    struct names *names;      // of what may stand in the kernel, for the next run
    struct leases *leases;    // NULL: not asked for yet, or could not be read
    uint64_t leases_asked_ms; // when they could not, last: peers ask
    struct counter *counters;
    struct feed feed; // what metrics asks for
    // the message whose IKE_INFO and CHILD_INFO come next
    enum msg_type updown;
    bool up;
    struct msg_IKE_INFO updown_ike;
    struct msg_CHILD_INFO rekey_child; // the old one
    struct msg_IKE_MOVES moves;
    struct msg_ALERT alert;
    bool rekey_seen;          // of IKE_REKEY and CHILD_REKEY: the old one has come
    struct msg_LISTEN listen; // as the other rooms have been told
    int status;
    bool stopping;
    bool died[ROOM_COUNT];            // of ike, keys and path: and another one comes
    bool deaf[ROOM_COUNT];            // its channel takes nothing more, and has not told of its end yet
    const char *lost;                 // what it cannot have back; NULL: nothing
    struct timer alone;               // since then
    uint8_t conn_wire[CONN_WIRE_MAX]; // the connection that is being loaded, and no longer
};

// ---- ctl.c
struct ctl *ctl_new(struct loop *l, const struct settings *settings);
void ctl_free(struct ctl *c);
int ctl_connect(struct ctl *c, enum room room, int fd);
// In place of what it has known so far; takes k over.
void ctl_keep(struct ctl *c, struct ctl_kept *k);
// Likewise, of what ike was given by the last one: takes the descriptor over. 0 or -errno.
int ctl_configure(struct ctl *c, int fd);
// A new question; NULL when there are too many (cmd has then been answered). Put p->req into the message and
// call ctl_send.
struct pending *ctl_ask(struct ctl *c, struct command *cmd, uint64_t timeout_ms); // 0: no time-out
void ctl_send(struct pending *p, enum room room, enum msg_type t, const void *m);
void ctl_drop(struct pending *p, const char *text); // ends it with a failure, unsent
void ctl_ask_held(struct ctl *c,
                  enum room room); // it is there again: what waits for it is asked, in its order
// The other rooms hear whether anybody takes what they log and tell, where that has changed.
void ctl_listen(struct ctl *c);
// The usual end of a command: success, or the text as its error.
void ctl_done_simple(struct pending *p, bool ok, const char *text);

// ---- pages.c
// A list that rooms answer in pages and a client reads at its own pace: no more than a page and what the
// client's queue holds is ever here. Begins a command's data, and lives as long.
struct pages {
    struct ctl *ctl;
    struct command *cmd;
    uint64_t from;
    void (*ask)(struct pages *l);                                          // for the page at `from`
    void (*message)(struct pages *l, enum msg_type t, const union msg *m); // of a page
    void (*end)(struct pages *l); // answers the command; NULL: with an empty reply
    const char *room;             // that refusals name
};
void pages_begin(struct pages *l);
// A question whose answer is this page; ends with pages_next unless `done` is set to something else, which
// calls it.
struct pending *pages_ask(struct pages *l);
void pages_done(struct pending *p, bool ok, const char *text);
void pages_next(struct pages *l, uint64_t more);

// ---- commands.c
bool ctl_command(void *ctx, struct command *cmd);

// X(command, handler)
#define COMMAND_LIST(X)                                                                                      \
    X("version", cmd_version)                                                                                \
    X("stats", cmd_stats)                                                                                    \
    X("reload-settings", cmd_reload_settings)                                                                \
    X("initiate", cmd_initiate)                                                                              \
    X("terminate", cmd_terminate)                                                                            \
    X("redirect", cmd_redirect)                                                                              \
    X("rekey", cmd_rekey)                                                                                    \
    X("install", cmd_install)                                                                                \
    X("uninstall", cmd_uninstall)                                                                            \
    X("list-sas", cmd_list_sas)                                                                              \
    X("list-policies", cmd_list_policies)                                                                    \
    X("list-conns", cmd_list_conns)                                                                          \
    X("list-certs", cmd_list_certs)                                                                          \
    X("get-algorithms", cmd_get_algorithms)                                                                  \
    X("get-counters", cmd_get_counters)                                                                      \
    X("reset-counters", cmd_reset_counters)                                                                  \
    X("load-conn", cmd_load_conn)                                                                            \
    X("compare-conn", cmd_compare_conn)                                                                      \
    X("unload-conn", cmd_unload_conn)                                                                        \
    X("get-conns", cmd_get_conns)                                                                            \
    X("load-cert", cmd_load_cert)                                                                            \
    X("load-key", cmd_load_key)                                                                              \
    X("unload-key", cmd_unload_key)                                                                          \
    X("get-keys", cmd_get_keys)                                                                              \
    X("load-token", cmd_load_token)                                                                          \
    X("load-shared", cmd_load_shared)                                                                        \
    X("unload-shared", cmd_unload_shared)                                                                    \
    X("get-shared", cmd_get_shared)                                                                          \
    X("clear-creds", cmd_clear_creds)                                                                        \
    X("flush-certs", cmd_flush_certs)                                                                        \
    X("load-authority", cmd_load_authority)                                                                  \
    X("unload-authority", cmd_unload_authority)                                                              \
    X("get-authorities", cmd_get_authorities)                                                                \
    X("list-authorities", cmd_list_authorities)                                                              \
    X("load-pool", cmd_load_pool)                                                                            \
    X("unload-pool", cmd_unload_pool)                                                                        \
    X("get-pools", cmd_get_pools)
#define X(name, run) void run(struct ctl *c, struct command *cmd);
COMMAND_LIST(X)
#undef X

// ---- cmd_counters.c: the command asks for those of connections
void ctl_count_conns(struct ctl *c, struct command *cmd);

// ---- cmd_info.c: the section of those that are of no connection, as they were told last
void ctl_put_counters(const struct ctl *c, struct vici_out *o);

// ---- cmd_conns.c
const char *ctl_mode_name(uint8_t action, uint8_t mode); // as charon lists it: TUNNEL, TRANSPORT, PASS, DROP
const struct conn_entry *ctl_find_conn(const struct ctl *c, const char *name);
// Of the connection that holds the child; `conn` may be empty. NULL: none.
const struct conn_entry *ctl_find_child(const struct ctl *c, const char *conn, const char *child);
// The connection that the command's one section is, as it would be loaded, and in *w as it goes to ike;
// free() it. loads: what is refused counts as that. NULL: the command has been answered.
struct conn_entry *ctl_conn_of(struct ctl *c, struct command *cmd, bool loads, struct writer *w);
bool ctl_under_way(const struct ctl *c, const char *name); // ike has not answered a load or unload of it
// wire: as conn_write has written it. free() it; NULL: no memory.
struct conn_entry *ctl_new_conn(const struct conn_config *cfg, struct slice wire);
// Gives ike, in the place of that name's, what has been made of it: takes e, and answers cmd.
void ctl_load_conn(struct ctl *c, struct command *cmd, struct conn_entry *e);
bool ctl_conn_is(struct ctl *c, const struct msg_CONN_IS *m); // ike has it; false: malformed, or no memory
bool ctl_read_conn(const struct conn_entry *e, struct conn_config *out); // conn_clear it; false: no memory
// Whether ike has it, of what it is to have; true: that is new.
bool ctl_conn_is_missing(struct ctl *c, const char *name, bool missing);
void ctl_free_conns(struct ctl *c);
void ctl_load_fleet_conn(struct ctl *c, const struct vici_node *section, uint32_t fence, uint32_t req);
void ctl_unload_fleet_conn(struct ctl *c, const char *name, uint32_t req);
// ---- cmd_fleet.c
void ctl_fleet_conn(struct ctl *c, const struct msg_FLEET_CONN *m);
void ctl_fleet_unload(struct ctl *c, const struct msg_FLEET_UNLOAD *m);
void ctl_fleet_list(struct ctl *c, const struct msg_FLEET_LIST *m);
// As it is loaded with that; FENCE_NONE: as it is. 0, or -EPERM: the fleet may not have such a one here.
int ctl_fence_conn(const struct ctl *c, struct conn_config *cfg, uint32_t fence, struct esp_error *err);
void ctl_fleet_loaded(struct ctl *c, uint32_t req, const struct conn_entry *e, bool ok, const char *text);
// ---- cmd_install.c
// What has been said by hand of the connection's children is said of those that are to be loaded in their
// place, where their start_action is the same. False: no memory.
bool ctl_keep_by_hand(const struct ctl *c, struct conn_config *cfg);
// ---- sweep.c
void ctl_sweep_load(struct ctl *c, const struct command *cmd); // a client new to it begins with the whole
// The names that an earlier run left at `path`. 0, or -errno: they could not be read now.
int ctl_sweep_open(struct ctl *c, const char *path);
void ctl_sweep_clients(struct ctl *c);                         // clients may have come or gone
void ctl_sweep_begins(struct ctl *c, const char *name);        // a load is under way,
void ctl_sweep_ends(struct ctl *c, const struct command *cmd); // ... or was; cmd: NULL if answered before
void ctl_sweep_refused(struct ctl *c, const char *name);
void ctl_sweep_taken(struct ctl *c, const char *name); // loaded, or about to be again
void ctl_sweep_unloaded(struct ctl *c, const char *name);
bool ctl_sweep_given_up(struct ctl *c, const char *name);    // unloaded, and never loaded: was it awaited?
bool ctl_sweep_knows(const struct ctl *c, const char *name); // it is awaited
bool ctl_sweep_awaits(const struct ctl *c); // one that was loaded before, or not all of these are known
void ctl_sweep_names(const struct ctl *c, void (*each)(void *ctx, const char *name), void *ctx);
void ctl_sweep_cut(void *ctl); // a client that loaded was disconnected
// Path may be another one, that has not been told: it sweeps too, where the one before was to.
void ctl_sweep_again(struct ctl *c);
void ctl_sweep_free(struct ctl *c);
// ---- cmd_control.c
void ctl_start_child(struct ctl *c, const char *conn, const char *child); // start_action = start
void ctl_control_log(struct ctl *c, const struct msg_LOG *m);
void ctl_log_event(struct ctl *c, const struct msg_LOG *m);
bool ctl_takes_logs(const struct ctl *c);
// ---- cmd_sas.c, as list-sas has them
void ctl_put_ike(struct vici_out *o, const struct msg_IKE_INFO *i);
// In a section of its own, and what is in that; path: what path knows of it, or NULL.
void ctl_put_child(struct vici_out *o, const struct msg_CHILD_INFO *i, const struct msg_PATH_SA *path);
void ctl_put_child_keys(struct vici_out *o, const struct msg_CHILD_INFO *i, const struct msg_PATH_SA *path);
// ---- sa_events.c
void ctl_updown(struct ctl *c, enum msg_type t, const union msg *m);
// ---- cmd_pools.c
void ctl_lease(struct ctl *c, const struct msg_LEASE *m); // to be kept over a restart
// Those that were kept, to ike, which answers by that number. False: they could not be read, or no memory.
bool ctl_tell_leases(struct ctl *c, const char *pool, uint32_t req);
// ---- cmd_info.c
void ctl_free_counters(struct ctl *c);
void ctl_kept_counters(struct ctl *c); // from what the last one kept

#endif
