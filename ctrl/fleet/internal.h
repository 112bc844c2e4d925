// SPDX-License-Identifier: Apache-2.0
// What the files of the fleet room share: session.c has the lease, items.c nodes and connections, state.c
// what etcd says of them, owners.c what follows from both, room.c the channels.
#ifndef CTRL_FLEET_INTERNAL_H
#define CTRL_FLEET_INTERNAL_H

#include "ctrl/fleet/fleet.h"
#include "ctrl/lib/conn.h"
#include "ctrl/lib/hash.h"

enum {
    FLEET_ASKED = 32, // of ctl, and claims, at once
    FLEET_KEY_LEN = FLEET_PREFIX_LEN + NAME_MAX_LEN + 80,
    FLEET_NODES = 1000,
    FLEET_RANK_MS = 1000, // between the first that may claim a connection and the next
    FLEET_AGAIN_MS = 1000,
    FLEET_REFUSED_MS = 30000, // before ctl is asked for what it has refused again
    FLEET_SURE_MS = 1000,     // after a claim etcd's members agree on it
    FLEET_TTL_MOST = 600,     // s: longer than that no answer of etcd's keeps a node open
};

struct peer { // a node, this one among them
    struct peer *next;
    char name[FLEET_NODE_LEN];
    bool present, draining;
    uint64_t session; // while it is present
    uint32_t ttl;     // of its lease, s
    bool settled;     // it has been present for a lease
    bool seen;        // by the reading under way
};

struct item {              // a connection of the fleet
    struct hash_node node; // first: by name
    struct fleet *fleet;
    struct item *next, **at;
    char name[NAME_MAX_LEN];
    uint8_t *message; // as is desired; what ctl has may be older
    size_t len;
    uint64_t version; // of the message, counted here
    uint8_t *last;    // the one before, where ctl has taken that and not this; else NULL
    size_t last_len;
    bool wanted, seen, owner_seen, leased; // leased: its key is with this node's lease, etcd has said
    char owner[FLEET_NODE_LEN];            // "": nobody
    uint64_t owner_revision, owner_as_of;  // of its key; up to which etcd's changes of it are known
    bool ours;                             // etcd has said so, in this session
    uint64_t ours_at;                      // when
    // Whose it was whose key somebody has deleted, in which session: it may not know yet, until then. "": it
    // may be anybody's who has been there for long.
    char former[FLEET_NODE_LEN];
    uint64_t former_session, held_until;
    uint64_t given; // the revision of its being given away
    // what ctl has said yes to (fence FENCE_NONE: it has nothing), and what it is asked
    uint32_t told_fence, asked_fence;
    uint64_t told_version, asked_version;
    uint32_t req;     // 0: it is not asked
    bool sure;        // told_fence is what ctl has: this process has heard so
    uint64_t refused; // the version that ctl refused
    uint64_t refused_until;
    uint64_t ask_at; // not before that, after a refusal
    uint64_t claim_at;
    bool asking_etcd;       // to claim or to release it
    uint64_t asked_session; // in which
};

enum fleet_phase { FLEET_AWAY, FLEET_JOINING, FLEET_IN }; // of the session

struct reading { // of what etcd has
    bool on, again, whole;
    unsigned part;
    uint64_t revision;
    char after[FLEET_KEY_LEN];
    char generation[64], key[FLEET_KEY_LEN];
    uint64_t expected, got, left;
    bool there; // `current` is
};

struct fleet {
    struct loop *loop;
    struct fleet_config cfg;
    struct etcd *etcd;
    struct fence_page *page;
    struct ipc_chan *chan[ROOM_COUNT];
    // session
    enum fleet_phase phase;
    uint64_t session, lease;
    uint64_t lapsed;   // the lease before, that is over here; 0: none
    uint64_t sent;     // when what extends it was sent
    bool keeping;      // a keepalive is on its way, or the question behind it
    uint64_t kept;     // ... of this session
    uint32_t extends;  // s, what it has brought
    uint64_t asked_at; // when what the lease has was asked for
    uint64_t in_since; // when the session began
    bool settled;      // etcd has been told that that was a lease ago
    bool silent;       // etcd's silence has been said
    bool taken;        // likewise that another one has the name
    struct timer begin, keep, deadline;
    // state
    struct reading read;
    char incomplete[64]; // the generation that was read in vain
    uint32_t read_wait;  // ms, before it is read again
    struct timer read_again, watch_again;
    bool watching, known; // known: everything has been read once, and is being watched
    bool foreign;         // of another schema
    uint64_t revision;
    struct peer *peers;
    unsigned peer_count;
    struct item *items;
    struct hash names;
    unsigned count;
    size_t octets, octets_most; // of what is desired; FLEET_OCTETS_MOST
    uint64_t versions;
    // owners
    struct timer turn;
    unsigned asked, claims;
    uint32_t last_req;
    uint32_t list_req; // what ctl has is being asked; 0: no
    bool listed;       // ... and known, of this ctl
    bool desired;      // a generation has been read whole
    bool ending;
    struct timer end;
};

// session.c
void session_start(struct fleet *f);
void session_stop(struct fleet *f);
void session_lost(struct fleet *f, const char *why);
bool session_open(const struct fleet *f); // by the local clock
void session_revoke(struct fleet *f);     // then loop_stop

// state.c
void state_read(struct fleet *f);
void state_init(struct fleet *f);
void state_free(struct fleet *f);
struct peer *state_peer(struct fleet *f, const char *name, bool make);
struct item *state_item(struct fleet *f, const char *name, bool make);
void state_forget(struct fleet *f, struct item *i);
// Its key has gone, as of that revision.
void state_no_owner(struct item *i, uint64_t as_of);
bool state_draining(struct fleet *f); // this node
const char *fleet_key(const struct fleet *f, char buf[FLEET_KEY_LEN], const char *part, const char *name);

// items.c
struct peer *state_peer(struct fleet *f, const char *name, bool make);
void state_forget_gone_peers(struct fleet *f);
struct item *state_item(struct fleet *f, const char *name, bool make);
void state_forget(struct fleet *f, struct item *i);
bool state_draining(struct fleet *f); // this node
const char *fleet_key(const struct fleet *f, char buf[FLEET_KEY_LEN], const char *part, const char *name);

// owners.c
void owners_kick(struct fleet *f, uint64_t ms); // looks at everything, not before that
void owners_has(struct fleet *f, const struct msg_FLEET_HAS *m);
void owners_more(struct fleet *f, const struct msg_LIST_MORE *m);
void owners_answer(struct fleet *f, const struct msg_RESULT *m);
void owners_without_ctl(struct fleet *f);
// Whether ctl may have anything open in this session that is not ours.
bool owners_open_of_others(const struct fleet *f);
void owners_init(struct fleet *f);

uint64_t fleet_jitter(const struct fleet *f, uint64_t most);

#endif
