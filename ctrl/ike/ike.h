// SPDX-License-Identifier: Apache-2.0
// The ike room from inside: its state, and what its files offer each other. One epoll loop, no locks; every
// exchange is one task with a start and a response, every answer of `keys` or `path` comes back through
// pending.c, and an SA that is over is only freed when the loop comes round again, so that no function finds
// it gone under its hands.
#ifndef CTRL_IKE_IKE_H
#define CTRL_IKE_IKE_H

#include <stdlib.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/kex.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/selectors.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/log_limit.h"
#include "ctrl/lib/policy_wire.h"
#include "ctrl/lib/table.h"

enum {
    ANSWER_SLOTS = 1024,
    MAX_MESSAGE = 65535,
    MAX_INIT_REQUEST = 8192,
    MAX_RESTARTS = 5,
    COOKIE_MAX = 64,
    IKE_PORT = 500,
    NAT_T_PORT = 4500
};

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
    X(auth_failed, "authentications that failed, either end") \
    X(dropped_malformed, "datagrams dropped as malformed") \
    X(dropped_unknown, "datagrams for no SA of ours") \
    X(dropped_state, "messages in the wrong state or with a wrong message ID") \
    X(dropped_integrity, "messages whose integrity check failed") \
    X(dropped_limit, "requests dropped by a limit") \
    X(cookies_sent, "COOKIE answers sent") \
    X(child_installed, "CHILD SAs installed") \
    X(child_failed, "CHILD SAs that never came up") \
    X(dpd_sent, "liveness checks sent") \
    X(log_left_out, "log lines about strangers' datagrams left out") \
    X(log_dropped, "log lines that ctl did not read")
// clang-format on
enum counter {
#define X(name, text) CNT_##name,
    COUNTER_LIST(X)
#undef X
        CNT_COUNT
};

struct child_numbers {
    uint32_t reqid, policy_id; // 0: none yet
    bool trapped;              // by dpd_action or close_action
};
struct conn { // a loaded connection; SAs keep theirs when it is replaced or unloaded
    struct conn *next;
    unsigned refs;
    uint8_t *blob; // as it was loaded, to see whether a reload changes anything
    size_t blob_len;
    struct child_numbers *numbers; // of each child, in the configuration's order
    struct identity local_id, remote_id;
    struct table_node by_name;
    struct conn_class *class;
    uint8_t *policies, *pending; // as path has them; as it has been asked to
    size_t policies_len, pending_len;
    bool stale; // the addresses have changed since it was asked
    struct conn_config cfg;
};

// SA_REKEYED: it has no CHILD SAs and begins nothing: replaced, and waiting for the DELETE of whoever
// replaced it.
enum sa_state { SA_CONNECTING, SA_REFUSED, SA_ESTABLISHED, SA_REKEYED, SA_DELETING, SA_DEAD };
// REKEYING: our request for its successor is on its way. REKEYED: it has one, and whoever made it deletes
// this one. DELETING: our DELETE is on its way. DELETED: both ends are done; what is still on the wire is let
// in for a while.
enum child_state {
    CHILD_CREATED,
    CHILD_INSTALLING,
    CHILD_INSTALLED,
    CHILD_REKEYING,
    CHILD_REKEYED,
    CHILD_DELETING,
    CHILD_DELETED
};

struct child_sa {
    struct child_sa *next;
    struct table_node by_id, by_spi; // by_spi: spi_in
    struct ike_sa *sa;
    const struct child_config *cfg;
    enum child_state state;
    uint32_t id, reqid, spi_in, spi_out, job; // job: a TERMINATE that waits for it
    struct suite suite;
    struct ts_list local_ts, remote_ts;
    uint64_t installed_at, rekey_at, life_at; // 0: never
    uint64_t out_at;                          // it sends from then on whatever out_after says; 0: it does not
    struct timer timer;
    uint8_t number;     // of the peer's proposal that was chosen
    bool announced;     // ctl has been told that it is up
    bool replaced;      // nobody misses it
    uint32_t successor; // what replaced it, 0: nothing
    uint32_t out_after; // the peer takes it up first: our packets go on in that one for now; 0: they do not
};
struct rekey_race { // simultaneous rekeying (RFC 7296 2.8.1, 2.8.2): what the peer's request made, 0: nothing
    uint32_t child_id, ike_id;
    struct nonce lowest;
};
struct child_kex { // of a CHILD SA with a key exchange of its own
    uint32_t ke_id;
    struct slice peer_public;
};
struct child_wish { // what a peer asks for; no offers: no CHILD SA
    struct offers offers;
    struct ts_list local, remote; // as we call the ends
    bool transport;
};

struct inmsg { // one decrypted (or plain) message; heap, one owner
    struct ike_header h;
    struct net_path path;
    struct payloads pl;
    size_t len;
    uint8_t data[];
};

// One exchange, in the role of whoever began it or of whoever answers; task.c. An SA has at most one of each
// at work.
struct task;
struct task_ops {
    const char *name;
    void (*start)(struct task *t); // as initiator: ends in exchange_send, now or when keys has answered
    bool (*response)(struct task *t, struct inmsg *m); // true: it keeps m. Ends in exchange_done
    void (*request)(struct task *t);                   // as responder, of t->msg: ends in exchange_reply
    void (*undo)(struct task *t); // it goes: what it holds is released, what is half made is taken back
};
struct task {
    struct table_node by_number; // what keys and path answer finds it by this
    struct task *next;           // that waits behind it
    const struct task_ops *ops;
    struct ike_sa *sa;
    uint32_t number, child_id; // the CHILD SA that it is about, 0: none
    struct inmsg *msg;         // as responder: the request
    void *data;                // the exchange's own
};

struct handshake {  // until the SA is established
    uint32_t ke_id; // 0: used up
    uint16_t group;
    uint8_t nonce[NONCE_LEN], cookie[COOKIE_MAX];
    uint8_t cookie_len, number; // number: of the peer's proposal that was chosen
    unsigned restarts;
    bool peer_natd, initial_contact;
    const struct child_config *child; // what the initiator wants
    struct child_sa *pending;         // what IKE_AUTH creates
    uint8_t *own_init, *peer_init;    // whole IKE_SA_INIT messages, for AUTH
    size_t own_init_len, peer_init_len;
    struct slice peer_nonce, peer_ke; // inside peer_init
    uint8_t *early;                   // the IKE_AUTH request that waits for its keys
    size_t early_len;
    struct net_path early_path;
    struct inmsg *answer; // the IKE_AUTH response that is being checked
    uint64_t began_us;    // by the real clock: only shown
};

struct ike_sa {
    struct ike *ike;
    struct table_node by_id, by_spi;
    struct table_node by_peer; // as responder: initiator SPI and address mixed
    struct table_node by_ends; // established: both identities mixed
    struct table_node by_conn; // the connection's name mixed
    struct table_node by_host; // established: the peer's address mixed
    struct ike_sa *next, *prev;
    struct conn *conn;
    enum sa_state state;
    bool initiator, half_open, nat_local, nat_remote;
    uint32_t id, job;
    uint64_t spi_i, spi_r;
    struct net_path path;
    struct identity local_id, remote_id;
    struct suite suite;
    struct cr_sk *sk_in, *sk_out;
    struct handshake *hs;
    struct child_sa *children;
    // requests of ours: one at a time, and those that wait
    struct task *active, *queue;
    uint32_t out_mid;
    uint8_t *request;
    size_t request_len;
    unsigned tries;
    struct timer retransmit;
    // requests of the peer: one at a time, with its last answer
    struct task *passive;
    struct net_path in_path; // where the last one came from: the answer goes there
    uint32_t in_mid;
    uint8_t in_hash[32]; // of the last one as it came: only its like is answered from the cache
    uint8_t *reply;
    size_t reply_len;
    struct timer life, liveness, keepalive, aging; // life: half-open, childless or replaced for too long
    uint64_t last_in, last_out, established_at;
    uint64_t rekey_at, reauth_at, over_at; // 0: never
    bool replaced;                         // by a rekeying: it goes without a word to ctl
    bool successor;                        // of one that is being rekeyed: not in force yet
    uint32_t waits_for;                    // likewise, and the peer has it already: the old one's number
    uint32_t handshake_us, attempt;
    uint32_t replaces; // the IKE SA that goes when this one's CHILD SAs are up
    bool wanted_new;   // one that replaces it is on its way
    uint64_t began_at;
    char why[200]; // what went wrong last, for whoever waits
};

enum job_kind { JOB_INITIATE, JOB_TERMINATE, JOB_LOAD };
struct job { // a request of ctl that takes time
    struct job *next;
    struct ike *ike;
    enum job_kind kind;
    uint32_t id, req, sa_id, remaining, matched;
    bool failed;
    struct conn *conn; // JOB_LOAD: what takes its place when path has said yes; counted
    char child[NAME_MAX_LEN], why[200];
    struct timer timer;
};

typedef void (*reply_fn)(struct task *t, enum msg_type type, const union msg *m);
typedef void (*room_fn)(struct ike *ike, uint32_t arg, enum msg_type t, const union msg *m);

struct ike {
    struct settings set;
    struct loop *loop;
    struct net net;
    struct ipc_chan *chan[ROOM_COUNT];
    struct conn *conns;
    struct conn_class *classes;
    struct conn_group *groups;
    uint64_t requests; // IKE_SA_INITs that were matched against the connections
    struct ike_sa *sas, *dead;
    struct table by_id, by_spi, by_peer, by_ends, children, spis, pending,
        half_open, // peer addresses
        conn_names, conn_addrs, sa_conns, by_host, revives, tasks;
    struct job *jobs;
    unsigned sa_count, half_open_count;
    uint32_t next_id, next_child, next_req, next_reqid, next_job, next_ke, next_policy, next_task;
    struct timer reaper, shutdown;
    bool stopping;
    uint8_t secrets[2][32]; // cookies: the current one and the one before
    uint8_t secret_version;
    uint64_t secret_at, peer_salt;
    struct log_limit log_limit; // what strangers may write
    uint64_t error_at;          // unauthenticated error answers: at most a few a second
    unsigned error_count;
    struct {
        uint64_t second;
        unsigned count;
    } answers[ANSWER_SLOTS]; // to strangers, by their address
    uint64_t counters[CNT_COUNT];
};

#define COUNT(ike, name) ((ike)->counters[CNT_##name]++)

// --- pending.c: questions to keys and path. A number is returned, 0: no memory.
uint32_t ask_new(struct task *t, reply_fn fn);
uint32_t ask_new_child(struct task *t, uint32_t child_id, reply_fn fn); // one that is being installed
uint32_t ask_new_room(struct ike *ike, uint32_t arg, room_fn fn);       // about no SA
void ask(struct ike *ike, enum room to, uint32_t req, enum msg_type t,
         const void *m); // a failure is answered at once
void ask_answer(struct ike *ike, uint32_t req, enum msg_type t, const union msg *m);
void ask_fail_all(struct ike *ike, const char *why);
const char *answer_text(enum msg_type t, const union msg *m);
bool answer_ok(enum msg_type t, const union msg *m); // a RESULT that says so

// --- conns.c
void conn_unref(struct conn *c);
struct conn *conn_find(struct ike *ike, const char *name);
const struct child_config *conn_child(const struct conn *c, const char *name);
int conn_add(struct ike *ike, struct conn *c); // into the list and the indexes
void conn_remove(struct ike *ike, struct conn *c);
// The first one for these addresses whose proposals fit; connections with equal ones are asked about once.
struct conn *conn_for_offers(struct ike *ike, const struct net_path *path,
                             bool (*fits)(void *ctx, const struct proposal *p, unsigned count), void *ctx);
// The best one for these identities (local may be NULL: not named by the peer) that allows the suite.
struct conn *conn_for_ids(struct ike *ike, const struct net_path *path, const struct suite *s,
                          const struct identity *local, const struct identity *remote);
// Of the connection that is loaded under that name now, where it still has the child.
bool conn_same_child(const struct conn *a, const struct child_config *x, const struct conn *b,
                     const struct child_config *y); // of one name and policy
struct child_numbers *conn_numbers(struct ike *ike, struct conn *c, const struct child_config *child);
uint32_t conn_reqid(struct ike *ike, struct conn *c, const struct child_config *child);

// --- load.c
void conn_load(struct ike *ike, const struct msg_CONN_LOAD *m);
void conn_unload(struct ike *ike, const struct msg_CONN_UNLOAD *m);
void conn_renew(struct ike *ike, struct conn *c); // its policies, where addresses or traps have changed
void conn_trap(struct ike *ike, struct conn *c, const struct child_config *child);
void conn_addrs_changed(struct ike *ike);
bool conn_only_policies(const struct conn_config *cfg); // pass and drop: no peer speaks by it

// --- child_payloads.c
void child_put_request(struct pb *b, struct child_sa *c, bool with_ke,
                       const struct kex *k); // k NULL: IKE_AUTH
// The CHILD SA's half of a response; false: `why` says what is wrong with it.
bool child_take_answer(struct child_sa *c, const struct payloads *pl, bool with_ke, char *why, size_t size);
int child_wish_read(const struct payloads *pl, struct child_wish *w, struct refusal *r);
// A CHILD SA for the configured child that gives the peer all it asks for, otherwise for the first that gives
// it something; only: no other child than that. NULL: notify says why.
struct child_sa *child_choose(struct ike_sa *sa, const struct child_wish *w, const struct child_config *only,
                              bool with_ke, uint16_t *notify);
void child_put_answer(struct pb *b, const struct child_sa *c, const struct kex *k);

// --- create_child.c
bool create_child_begin(struct ike_sa *sa,
                        const struct child_config *cfg); // one of sa->conn; false: no memory
void create_child_lost(struct ike_sa *sa);               // it ends before they were made
bool create_child_on_its_way(const struct ike_sa *sa, const char *child);
struct rekey_race *create_child_race(const struct ike_sa *sa, uint32_t old); // NULL: we are not rekeying it

// --- rekey_ike.c
void rekey_ike(struct ike_sa *sa);
// The peer asks something on sa: of two that both ends' rekeying made it is the one that stays.
void rekey_ike_used(struct ike_sa *sa);
void rekey_ike_concede(
    struct ike_sa *sa); // the peer ends it: what its own rekeying made takes over, if it did

// --- lifetime.c
void lifetime_child(struct child_sa *c); // its times run from now on
void lifetime_child_arm(struct child_sa *c);
uint64_t lifetime_volume(uint64_t limit, uint64_t spread); // less a random part of spread
void lifetime_rekey(struct child_sa *c);                   // at once
void lifetime_expired(struct child_sa *c, const char *what);
void lifetime_ike(struct ike_sa *sa);
void lifetime_ike_retry(struct ike_sa *sa, uint64_t ms); // of its rekeying

// --- revive.c: what brings CHILD SAs up and back
enum revive_why { REVIVE_START, REVIVE_ACQUIRE, REVIVE_CLOSED, REVIVE_DEAD, REVIVE_LIMIT, REVIVE_REPLACE };
void revive_loaded(struct ike *ike, struct conn *c); // start_action
void revive_acquire(struct ike *ike, struct conn *c, const struct child_config *child);
void revive_lost(struct ike *ike, const struct conn *was, const char *child, enum revive_why why);
void revive_limit(struct child_sa *c);                    // it ends now
void revive_replace(struct child_sa *c, uint64_t within); // ms: another one takes its place, then it ends
void revive_reauthenticate(struct ike_sa *sa);            // a new IKE SA from scratch, then this one ends
void revive_failed(struct ike_sa *sa, const char *child);
void revive_up(struct ike_sa *sa, const char *child);
void revive_later(struct ike_sa *sa, const char *child); // in a moment, without counting as a failure
void revive_step(struct ike_sa *sa,
                 bool failed); // one that replaces another has made, or not made, a CHILD SA
void revive_forget(struct ike *ike, const char *conn, const char *child); // the operator has the last word
void revive_watch(struct ike_sa *sa); // one that has lost its last CHILD SA
void revive_free(struct ike *ike);

// --- sa.c
struct ike_sa *sa_new(struct ike *ike, struct conn *conn, bool initiator, const struct net_path *path);
void sa_destroy(struct ike_sa *sa); // CHILD SAs leave path with it
void sa_refused(struct ike_sa *sa); // keeps nothing but the refusal, for a peer that did not hear it
void sa_delete(struct ike_sa *sa);  // tells the peer first where there is one
void sa_set_half_open(struct ike_sa *sa, bool on);
unsigned half_open_from(struct ike *ike, const struct addr *a);
uint64_t peer_key(const struct ike *ike, uint64_t spi_i, const struct addr *a); // salted
struct ike_sa *sa_by_id(struct ike *ike, uint32_t id);
struct ike_sa *sa_by_spi(struct ike *ike, uint64_t own);
struct ike_sa *sa_by_peer(struct ike *ike, uint64_t spi_i, const struct net_path *path);
bool sa_add_peer(struct ike_sa *sa);
uint64_t sa_own_spi(const struct ike_sa *sa);
void sa_established(struct ike_sa *sa);
void sa_up(struct ike_sa *sa);                           // in force: found by its ends, watched, ageing
void sa_stop_work(struct ike_sa *sa);                    // none of that any more
void sa_unique(struct ike_sa *sa, bool initial_contact); // replaces older SAs between the same identities
bool sa_first_to_peer(const struct ike_sa *sa);
// What another IKE SA between the same two ends, with the peer at the same address, has for a child; or NULL.
struct child_sa *sa_served_already(const struct ike_sa *sa, const struct child_config *cfg);
void sa_set_conn(struct ike_sa *sa, struct conn *c);
struct ike_sa *sa_of_conn(struct ike *ike, const char *name,
                          struct ike_sa *after); // NULL: the first, or no more
// An authenticated message came from there (2.23).
void sa_moved(struct ike_sa *sa, const struct net_path *path);
void handshake_free(struct ike_sa *sa);
const char *sa_label(const struct ike_sa *sa); // "name[3]"; valid until the next call
int sa_why(struct ike_sa *sa, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sa_alive(struct ike_sa *sa); // the peer proved to be there

// --- childsa.c
struct child_sa *child_new(struct ike_sa *sa, const struct child_config *cfg);
void child_destroy(struct child_sa *c); // tells path where it knows of it
struct child_sa *child_by_id(struct ike *ike, uint32_t id);
struct child_sa *child_by_spi_out(struct ike_sa *sa, uint32_t spi);
// ke NULL: of the IKE SA's SK_d and the nonces alone.
void child_install(struct child_sa *c, struct task *t, bool initiator, struct slice ni, struct slice nr,
                   const struct child_kex *ke, reply_fn fn);
void child_installed(struct child_sa *c, uint32_t old); // old: the one whose place it takes, 0: none
bool child_is_up(const struct child_sa *c);             // it carries traffic and has no successor
void child_use_outbound(struct child_sa *c);            // our packets go into it from now on
// c took old's place by our request; old NULL: it is gone. race: what the peer's own request made of old
// meanwhile.
void child_rekeyed(struct child_sa *c, struct child_sa *old, const struct nonce *lowest,
                   const struct rekey_race *race);
void child_rekeyed_by_peer(struct child_sa *old, struct child_sa *c); // c NULL: gone again
void child_retry_rekey(struct child_sa *old);                         // in a while
void child_closed(struct child_sa *c);                                // both ends know
void child_moved(struct child_sa *c);                                 // with its IKE SA's path
void child_log_suite(const struct suite *s);
// What is wanted of the peer's selectors; false: nothing.
bool child_narrow(struct ike_sa *sa, const struct child_config *cfg, const struct ts_list *their_local,
                  const struct ts_list *their_remote, struct ts_list *local, struct ts_list *remote);
void child_wanted_ts(const struct ike_sa *sa, const struct child_config *cfg, struct ts_list *local,
                     struct ts_list *remote);

// --- task.c
struct task *task_new(struct ike_sa *sa, const struct task_ops *ops, uint32_t child_id); // NULL: no memory
void task_free(struct task *t);
struct task *task_by_number(struct ike *ike, uint32_t number); // NULL: it is gone, or its SA is
void task_drop_all(struct ike_sa *sa);
bool task_is_asked(const struct ike_sa *sa, const struct task_ops *ops,
                   uint32_t child_id);                        // at work, or waits
void task_move_queue(struct ike_sa *from, struct ike_sa *to); // what has not begun

// --- exchange.c
int seal(struct ike_sa *sa, uint8_t exchange, bool response, uint32_t mid, const struct pb *b, uint8_t **out,
         size_t *len);
void exchange_queue(struct ike_sa *sa, const struct task_ops *ops, uint32_t child_id);
void exchange_queue_task(struct ike_sa *sa, struct task *t);
void exchange_first(struct ike_sa *sa, const struct task_ops *ops, uint32_t child_id); // before all others
void exchange_next(struct ike_sa *sa);
void exchange_send(struct ike_sa *sa, uint8_t *msg,
                   size_t len); // takes msg: a whole request, retransmitted until answered
void exchange_send_inner(struct ike_sa *sa, uint8_t exchange, const struct pb *b);
void exchange_done(struct ike_sa *sa);         // the active task is over
void exchange_drop_request(struct ike_sa *sa); // unanswered, as if it had been lost
bool exchange_reply(struct ike_sa *sa, uint8_t exchange,
                    const struct pb *b); // the passive task is over; false: it could not be said
void exchange_reply_notify(struct ike_sa *sa, uint8_t exchange, uint16_t type, struct slice data);
void exchange_clear(struct ike_sa *sa);
void exchange_datagram(struct ike *ike, const struct net_path *path, struct slice d);
void exchange_protected(struct ike_sa *sa, const struct ike_header *h, const struct net_path *path,
                        struct slice d);
bool may_complain(struct ike *ike,
                  const struct addr *a); // error answers to strangers: two a second to each, ten to all
void send_once(struct ike_sa *sa, uint8_t exchange, const struct pb *b); // a request nobody waits for

// --- init.c, init_respond.c, auth.c, auth_respond.c, info.c: one exchange each
const struct task_ops *create_child_responder(const struct inmsg *m);
extern const struct task_ops task_create_child, task_create_child_respond, task_rekey_child, task_rekey_ike,
    task_rekey_ike_respond;
extern const struct task_ops task_init, task_auth, task_auth_respond, task_info, task_delete_ike,
    task_delete_child, task_liveness;
void init_restart(struct ike_sa *sa); // all over again, with nothing of the attempt before
void init_nat_hash(uint64_t spi_i, uint64_t spi_r, const struct addr *a, uint16_t port, uint8_t out[20]);
void init_put_nat(struct pb *b, const struct ike_sa *sa);
void init_read_nat(struct ike_sa *sa, const struct payloads *pl, uint64_t spi_r);
void init_ask_keys(struct task *t, reply_fn fn);
bool init_take_keys(struct ike_sa *sa, enum msg_type t, const union msg *m);
void init_request(struct ike *ike, const struct net_path *path, const struct ike_header *h, struct slice d);
void init_early(struct ike_sa *sa, const struct net_path *path, struct slice d);
void auth_check(struct task *t, const struct auth *auth, struct slice peer_id, reply_fn fn);
void auth_make(struct task *t, reply_fn fn);
void auth_log_proven(const struct msg_AUTH_PROVEN *m);
struct slice auth_id_body(const struct identity *id, uint8_t *buf, size_t size);

// --- cookie.c
bool cookie_needed(struct ike *ike, const struct net_path *path);
bool cookie_make(struct ike *ike, uint8_t version, struct slice ni, const struct addr *a, uint64_t spi_i,
                 uint8_t out[33]);
bool cookie_check(struct ike *ike, struct slice cookie, struct slice ni, const struct addr *a,
                  uint64_t spi_i);
uint8_t cookie_version(struct ike *ike); // rotates the secrets when it is time

bool may_answer(struct ike *ike, const struct addr *a,
                unsigned limit); // a second; who did not prove to be anyone

// --- control.c: what ctl asks for
void control_message(struct ike *ike, enum msg_type t, const union msg *m);
int control_path(struct ike *ike, const struct conn_config *c, struct net_path *p, struct esp_error *err);
// On the IKE SA that there is, otherwise on a new one.
int control_initiate(struct ike *ike, struct conn *c, const struct child_config *child,
                     struct esp_error *err);
// A new IKE SA, whatever there is already.
int control_initiate_new(struct ike *ike, struct conn *c, const struct child_config *child,
                         struct esp_error *err);
void control_acquire(struct ike *ike, const struct msg_ACQUIRE *m);
void control_child_up(struct ike_sa *sa, const char *child);
void control_child_later(struct ike_sa *sa,
                         const struct child_config *cfg); // the peer is busy: it is tried again
void control_child_failed(struct ike_sa *sa, const char *child, const char *why);
void control_sa_over(struct ike_sa *sa);
void control_sa_rekeyed(struct ike_sa *old,
                        struct ike_sa *next); // who waits for the old one waits for the next
void control_job_step(struct ike *ike, uint32_t job, bool ok, const char *why);
struct job *control_job(struct ike *ike, uint32_t id);
struct job *control_job_new(struct ike *ike, enum job_kind kind, uint32_t req);
void control_shutdown(struct ike *ike);
void control_free(struct ike *ike);

// --- report.c: what ctl shows
void report_sas(struct ike *ike, const struct msg_IKE_LIST *m);
void report_stats(struct ike *ike, uint32_t req);
void report_updown(struct ike_sa *sa, bool up);
void report_child_updown(struct child_sa *c, bool up);
void report_ike_rekey(const struct ike_sa *old, const struct ike_sa *next);
void report_child_rekey(const struct child_sa *old, const struct child_sa *next);

// --- debugkeys.c
void debug_keys_ike(struct ike_sa *sa, const struct msg_IKE_KEYS *m);

#endif
