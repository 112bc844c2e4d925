// SPDX-License-Identifier: Apache-2.0
// CHILD SAs: what each one is, the states it goes through, and what moves it from one to the next.
#ifndef CTRL_IKE_CHILDSA_H
#define CTRL_IKE_CHILDSA_H

#include "ctrl/ike/kex.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/selectors.h"
#include "ctrl/ike/suite.h"
#include "ctrl/lib/conn.h"
#include "ctrl/lib/loop.h"
#include "ctrl/lib/table.h"

struct ike_sa;

// A line about that one, which its fields name (LOGF_CHILD).
#define LOGF_SA(sub, level, c, ...) LOGF_CHILD(sub, level, (c)->cfg->name, (c)->id, __VA_ARGS__)

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
    struct table_one by_id, by_spi; // by_spi: spi_in
    struct ike_sa *sa;
    struct conn *conn; // the edition of the connection that cfg is of: the IKE SA may have taken a later one
    const struct child_config *cfg;
    enum child_state state;
    uint32_t id, reqid, spi_in, spi_out, job; // job: a TERMINATE that waits for it
    uint32_t policy_id;                       // that path has it under, 0: not yet
    const struct suite *suite;                // suite_keep
    // Room for any, until it is installed: then only for these; our own, which thousands have, are there once
    // then (own_shared).
    struct ts_list *local_ts, *remote_ts;
    uint64_t installed_at, rekey_at, life_at; // 0: never
    uint64_t out_at;                          // it sends from then on whatever out_after says; 0: it does not
    struct timer timer;
    uint8_t number;     // of the peer's proposal that was chosen
    bool own_shared;    // local_ts is of ike.shared
    bool no_tfc;        // the peer takes no TFC padding
    bool announced;     // ctl has been told that it is up
    bool counted;       // among those of its child that are up
    bool replaced;      // nobody misses it
    bool moved;         // its ends, while it was being installed
    bool refused;       // on the IKE SA that is to replace this one's: it has no successor there
    bool undeleted;     // it is to be deleted, and there was no memory to ask for that yet
    bool outdated;      // what is loaded by now is being made in its place, by an operator's wish
    bool unwanted;      // it is to go for good, whatever comes in its place too
    bool lost;          // path has died, and with it its keys: it is made anew (path_again.h)
    bool guarded;       // ... and until then no policy that path has been given says all that it protected
    uint8_t refusals;   // of that
    uint8_t path_life;  // of ike.again: which path it was given to
    uint32_t successor; // what replaced it, 0: nothing
    uint32_t loser;     // it is deleted behind that one, which the peer made in its place too; 0: none
    uint32_t out_after; // the peer takes it up first: our packets go on in that one for now; 0: they do not
};

struct child_sa *child_new(struct ike_sa *sa, struct conn *conn,
                           const struct child_config *cfg); // cfg: of conn
void child_destroy(struct child_sa *c);                     // tells path where it knows of it
struct child_sa *child_by_id(struct ike *ike, uint32_t id);
struct child_sa *child_by_spi_out(struct ike_sa *sa, uint32_t spi);
// Of the IKE SA's SK_d, the nonces and, where its suite has them, the key exchanges, which are used up.
void child_install(struct child_sa *c, struct task *t, bool initiator, struct kex *k, reply_fn fn);
void child_installed(struct child_sa *c, uint32_t old); // old: the one whose place it takes, 0: none
bool child_is_up(const struct child_sa *c);             // it carries traffic and has no successor
bool child_is_to_go(const struct child_sa *c);          // its DELETE is wanted: it needs no successor
void child_use_outbound(struct child_sa *c);            // our packets go into it from now on
void child_send_no_more(struct child_sa *c);            // ... and never again
void child_step_aside(struct child_sa *c, struct child_sa *other); // other sends in its place
// c took old's place by our request; old NULL: it is gone. race: what the peer's own request made of old
// meanwhile.
void child_rekeyed(struct child_sa *c, struct child_sa *old, const struct nonce *lowest,
                   const struct rekey_race *race);
void child_rekeyed_by_peer(struct child_sa *old, struct child_sa *c); // c NULL: gone again
void child_retry_rekey(struct child_sa *old);                         // in a while
void child_closed(struct child_sa *c);                                // both ends know
void child_moved(struct child_sa *c);                                 // with its IKE SA's path
uint8_t child_protocol(const struct child_sa *c);                     // PROTO_ESP or PROTO_AH
void child_log_suite(const struct suite *s);
// What is wanted of the peer's selectors; false: nothing.
bool child_narrow(struct ike_sa *sa, const struct child_config *cfg, const struct ts_list *their_local,
                  const struct ts_list *their_remote, struct ts_list *local, struct ts_list *remote);
void child_wanted_ts(const struct ike_sa *sa, const struct child_config *cfg, struct ts_list *local,
                     struct ts_list *remote);

#endif
