// SPDX-License-Identifier: Apache-2.0
// The life of an IKE SA: what it is, making and finding it, establishing it, and its end.
#ifndef CTRL_IKE_SA_H
#define CTRL_IKE_SA_H

#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/kex.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/redirect.h"
#include "ctrl/ike/task.h"
#include "ctrl/crypto/crypto.h"

enum { COOKIE_MAX = 64, NAT_T_PORT = 4500 };

// SA_REKEYED: it has no CHILD SAs and begins nothing: replaced, and waiting for the DELETE of whoever
// replaced it.
enum sa_state { SA_CONNECTING, SA_REFUSED, SA_ESTABLISHED, SA_REKEYED, SA_DELETING, SA_DEAD };

struct early { // a datagram that nobody can open yet
    struct early *next;
    struct net_path path;
    size_t len;
    uint8_t data[];
};
// What a stranger's IKE_SA_INIT request needs nothing of: with the responder there from IKE_AUTH on
// (sa_room).
struct handshake_later {
    uint8_t *cookie; // as the initiator: that the peer wants back; NULL: none
    uint8_t cookie_len;
    uint8_t refused_count;
    unsigned restarts;
    const struct child_config *child; // what the initiator wants
    bool unwanted;                    // it has been closed meanwhile: it goes as soon as it is there
    struct child_sa *pending;         // what IKE_AUTH creates
    struct inmsg *answer;             // the IKE_AUTH response that is being checked
    struct eap_session *eap;          // as the server; NULL: no EAP
    struct eap_client *eap_client;    // likewise
    struct eap_tls *eap_tls;          // of either, with EAP-TLS
    struct rounds *rounds;            // at the second one; NULL: at the first
    struct ppk_int *ppk_int;          // the PPK of the last IKE_INTERMEDIATE
    void (*ppk_next)(struct task *t, bool good, const char *why); // when keys has answered
    struct own_auth *own;                                         // how we prove ourselves
    struct session *resumption;   // it goes on from there (RFC 5723); NULL: it begins in full
    struct ticket_answer *ticket; // that the peer asked for
    struct proof_state *proof;    // how the peer does, as long as that takes
    struct conn *refused[4];      // connections whose rules its certificates did not meet, only compared
};

struct handshake { // until the SA is established
    struct kex kex;
    uint8_t *own_init, *peer_init; // whole IKE_SA_INIT messages, for AUTH
    uint32_t own_init_len, peer_init_len;
    struct early *early;   // the IKE_AUTH request that waits for its keys: its datagrams
    uint32_t early_len;    // of all of them
    uint32_t peer_schemes; // what it signs with (enum cr_scheme_bit), where peer_signs
    uint64_t began_us;     // by the real clock: only shown
    uint8_t number;        // of the peer's proposal that was chosen
    uint8_t intermediates; // of these exchanges, that are done
    bool peer_natd, initial_contact;
    bool peer_signs;        // it sent SIGNATURE_HASH_ALGORITHMS
    bool peer_asks_cert;    // by a CERTREQ ...
    bool peer_asks_address; // by a CFG_REQUEST
    bool peer_childless;    // it takes an IKE SA without a CHILD SA
    bool eap_over;          // it made a key, which both AUTHs are made with
    bool eap_only;          // of the initiator: that is proof enough for it (RFC 5998)
    bool peer_rounds;       // it takes several rounds of authentication (RFC 4739)
    bool peer_another;      // as initiator it has another one
    bool use_ppk;           // both ends said USE_PPK
    bool use_ppk_int;       // both ends said USE_PPK_INT: it goes into the last IKE_INTERMEDIATE (RFC 9867)
    bool ppk_needed;        // a PPK: there is no way without it
    struct peer_cas *peer_cas;     // ... and of whom; NULL: of anybody
    struct handshake_later *later; // never NULL
};

struct vip { // a virtual address
    struct addr a;
    struct lease *lease; // of a peer's
    bool put;            // of our own: path has been told,
    uint8_t path_life;   // ... that one (ike.again),
    bool waits;          // ... or is, once the next one is there
};

struct vips {
    struct vip remote[VIPS_MAX]; // ours to give: the peer's
    struct vip local[VIPS_MAX];  // the peer's to give: ours
    struct addr dns[VIPS_MAX];   // that came with them
};

// Which NATs there are, of one way. Whether we pretend is the IKE SA's own: that it began by another
// connection than it ended up with, or that its connection is another now, changes nothing about it.
struct nats {
    bool local, remote; // before us (or we pretend it), before the peer
    bool pretends;      // we say that there is one before us, whatever is: encap = yes when the SA began
    bool behind;        // there is one
};

// What it has from IKE_AUTH on: a stranger's request takes none of it (sa_room).
struct ike_sa_later {
    struct ike_sa *sa;
    struct table_node by_ends; // established: both identities mixed
    struct table_node by_host; // established: the peer's address mixed
    struct mobike mobike;
    struct redirection redirection;
    struct session *session; // as the client: the gateway's ticket; NULL: none
    struct net_path in_path; // where the last request came from: the answer goes there
    uint8_t in_hash[32];     // of that as it came: only its like is answered from the cache
    struct timer retransmit; // of a request of ours
    unsigned tries;
    unsigned hurried;           // tries + 1 when the request went out once more between two repetitions
    struct fragments *parts[2]; // of the peer's request, of its response: what has come of it; or NULL
    struct timer watch, aging;
    struct pki_standing
        *standing[ROUNDS_MAX]; // what proved the peer in each round and may be revoked; NULL: nothing can
    uint32_t heir;      // of one that was replaced: what waits for its end or for the peer's first request
    uint32_t waits_for; // likewise, and the peer has it already: the old one's number
    uint32_t handshake_us;
    uint8_t reauths;      // how often it was to be reauthenticated, and was not yet
    uint64_t liveness_at; // of watch, which sends keepalives too; 0: the peer is not asked
    uint64_t line_at;     // when the first of its line was up, before any rekeying
    uint64_t hinted_at;   // somebody said in clear that the peer has forgotten its SAs; 0: nobody
    uint64_t rekey_at, reauth_at, over_at; // 0: never
    uint64_t proof_over_at; // of over_at, what the end of the peer's proof makes of it; 0: nothing
    int64_t proven_until; // seconds since 1970: the peer's certificates, or what is known of them; 0: no end
};

// A hundred thousand of them may be there: what is there for long lies close together, and what few have is
// pointed to.
struct ike_sa {
    struct ike *ike;
    struct table_one by_id, by_spi;
    struct table_node by_peer; // as responder: initiator SPI and address mixed
    struct table_node by_conn; // the connection's name mixed
    struct ike_sa *next, *prev;
    struct conn *conn;
    uint32_t fence; // of the fleet's, the session that it was made in, for good: it sends nothing in another
    uint8_t state;  // enum sa_state
    bool initiator, half_open;
    bool client;        // it began here, or what it was rekeyed from did
    bool redirects;     // its client follows redirections
    bool fragmentation; // both ends can put fragments of messages together (RFC 7383)
    bool ppk;     // a postquantum preshared key is in its keys; of the initiator at first: if the peer has it
    bool counted; // among those of its connection that are up
    bool failed;  // ... that did not come up, for:
    uint8_t failure;       // enum ike_failure
    uint8_t child_failure; // enum child_failure, of the CHILD SA that is being made
    bool lost;             // its peer fell silent: by its ticket it may be resumed
    bool vips_renewed;     // the policies were written out with them
    bool in_fragmented;    // how the peer's last request came
    bool line_ours;        // whether the first of its line was initiated here
    bool alone;            // it has had no CHILD SA yet, and was made so
    bool replaced;         // by a rekeying: it goes without a word to ctl
    bool successor;        // of one that is being rekeyed: not in force yet
    bool untried;          // the peer may not have its keys yet: nothing is begun on it
    bool wanted_new;       // one that replaces it is on its way
    bool own_shared;       // local_id is of ike.shared
    bool gave_way;         // to another one, or is about to
    bool retired;          // one that replaced it is there: it goes when over_at comes
    bool crossed; // begun here, when the peer began another one: it goes, and nobody asked for its end
    // It ends as soon as whoever is at work on it is done: there is no memory for an exchange, or one could
    // not be built, which was told.
    bool without_memory, ends_soon;
    uint8_t remote_vip_count, local_vip_count, dns_count; // of vips
    struct nats nat;
    uint32_t id, job;
    uint32_t out_mid, in_mid;
    uint32_t request_len, reply_len;
    uint32_t attempt;
    uint32_t replaces; // the IKE SA that goes when this one's CHILD SAs are up
    uint64_t spi_i, spi_r;
    struct net_path path;
    // Both are empty at first, have room for any from sa_room on, and once it is up only for these; our own,
    // which thousands have, is there once then (own_shared).
    struct identity *local_id, *remote_id;
    const struct suite *suite; // suite_keep
    struct cr_sk *sk_in, *sk_out;
    struct handshake *hs;
    struct ike_sa_later *later; // never NULL
    struct child_sa *children;
    struct vips *vips; // NULL: none
    // requests of ours: one at a time, and those that wait
    struct task *active, *queue;
    uint8_t *request;
    // requests of the peer: one at a time, with its last answer
    struct task *passive, *parked; // parked: answered, and go on with an IKE_FOLLOWUP_KE
    uint8_t *reply;                // its datagrams one behind the other, as those of request
    struct timer life;             // half-open, childless or replaced for too long
    uint64_t last_in, last_out, established_at;
    uint64_t began_at;
    char *why; // what went wrong last, for whoever waits: sa_reason
};

struct ike_sa *sa_new(struct ike *ike, struct conn *conn, bool initiator, const struct net_path *path);
// For what IKE_AUTH brings and what is to be kept from then on: names, both `later`s. Until then what is
// there of them is empty and cannot be written. False: no memory.
bool sa_room(struct ike_sa *sa);
// The handshake begins again, and what is left of the one before is what it is for; false: no memory, and it
// is as it was.
bool handshake_anew(struct ike_sa *sa);
void sa_destroy(struct ike_sa *sa); // CHILD SAs leave path with it
// An exchange of it could not begin, or would wait for an answer for ever: it ends, when whoever is at work
// on it is done.
void sa_out_of_memory(struct ike_sa *sa);
void sa_end_soon(struct ike_sa *sa); // likewise, for a reason that was told
void sa_refused(struct ike_sa *sa);  // keeps nothing but the refusal, for a peer that did not hear it
void sa_delete(struct ike_sa *sa);   // tells the peer first where there is one
struct ike_sa *sa_by_id(struct ike *ike, uint32_t id);
struct ike_sa *sa_by_spi(struct ike *ike, uint64_t own);
struct ike_sa *sa_by_peer(struct ike *ike, uint64_t spi_i, const struct net_path *path);
bool sa_add_peer(struct ike_sa *sa);
uint64_t sa_own_spi(const struct ike_sa *sa);
void sa_established(struct ike_sa *sa);
void sa_up(struct ike_sa *sa);        // in force: found by its ends, watched, ageing
void sa_stop_work(struct ike_sa *sa); // none of that any more
// The next established one between the same two identities but sa itself; after NULL: the first.
struct ike_sa *sa_twin(const struct ike_sa *sa, struct ike_sa *after);
// The same of those in that state; of one that is ending: its DELETE is not answered.
bool sa_is_between(const struct identity *local, const struct identity *remote,
                   const struct ike_sa *but); // another one, established, has these names
struct ike_sa *sa_twin_in(enum sa_state state, const struct ike_sa *sa, struct ike_sa *after);
// The next established one with that address of the peer; likewise.
struct ike_sa *sa_at_host(struct ike *ike, const struct addr *remote, struct ike_sa *after);
void sa_set_conn(struct ike_sa *sa, struct conn *c);
struct ike_sa *sa_of_conn(struct ike *ike, const char *name,
                          struct ike_sa *after); // NULL: the first, or no more
// An authenticated message came from there (2.23).
bool sa_moved(struct ike_sa *sa, const struct net_path *path); // true: the peer has another address now
// It is there from now on, with its CHILD SAs.
void sa_set_path(struct ike_sa *sa, const struct net_path *path);
void sa_alert(const struct ike_sa *sa, uint8_t what); // enum ike_alert (events.h)
void sa_watch(struct ike_sa *sa); // keepalives are sent where we are behind a NAT, and not elsewhere
void early_free(struct early *e); // and those behind it
void handshake_free(struct ike_sa *sa);
const char *sa_label(const struct ike_sa *sa);  // "name[3]"; valid until the next call
const char *sa_reason(const struct ike_sa *sa); // empty: nothing
int sa_why(struct ike_sa *sa, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sa_alive(struct ike_sa *sa); // the peer proved to be there

#endif
