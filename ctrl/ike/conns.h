// SPDX-License-Identifier: Apache-2.0
// Loaded connections: their list, their indexes, and choosing one for a peer.
#ifndef CTRL_IKE_CONNS_H
#define CTRL_IKE_CONNS_H

#include "ctrl/ike/identity.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/room.h"
#include "ctrl/lib/conn.h"
#include "ctrl/lib/table.h"
#include "espalier/error.h"

enum { IKE_PORT = 500 };

struct child_numbers {
    uint32_t reqid, policy_id; // 0: none yet
    bool trapped;              // by dpd_action or close_action
    uint8_t missed;            // there was no memory to bring it up: why that was wanted (revive.c); 0: no
};
struct conn { // a loaded connection; SAs keep theirs when it is replaced or unloaded
    struct conn *next, *prev;
    unsigned refs,
        shared; // shared: of its lists of proposals, its own one and its children's, the first so many
    uint8_t digest[32];            // SHA-256 of it as it was loaded, to see whether a reload changes anything
    struct conn_counts *counts;    // those of its name (counts.h)
    struct child_numbers *numbers; // of each child, in the configuration's order
    struct identity *local_id, *remote_id; // as long as they are
    struct table_node by_name;             // of a stray: by ike_part
    struct table *stray;                   // where that is; NULL: it is none (edition.c)
    struct hash_node by_claim;             // by its peer's identity; of one that takes any peer
    uint64_t order, group_order;           // of loading; of its group's first
    uint64_t number;                       // its place in ctl's list, which is ctl's business alone
    struct conn_class *class;
    uint8_t *policies, *pending; // as path has them; as it has been asked to
    size_t policies_len, pending_len;
    uint32_t *pending_ids; // those policies' ids, of each child
    struct conn_ref *in;   // its places in the lists of those that are found alike
    struct spare *spare;   // memory for its place in the indexes
    struct addr *vips;     // that it was given last; room for VIPS_MAX where it asks for any, else NULL
    unsigned vip_count;
    uint64_t peer;        // whom it is to: equal ones mean the same
    uint64_t ike_part;    // likewise of all but its name and its children
    struct addr *sources; // our address toward each remote one, as last known; NULL: no selector follows it
    bool stale;           // the addresses have changed since it was asked
    bool leaving;         // path has been asked to take its policies away
    bool unrenewed;       // its policies are to be written out anew: it could not be done
    bool unapplied;       // another path has not taken them yet
    uint8_t renewals;     // that failed, in a row
    bool resumes_alone;   // its gateway takes AUTH of resumption as libreswan makes it (resume.h)
    struct conn_config cfg;
};

struct ike;
void conn_unref(struct conn *c);
struct conn *conn_find(struct ike *ike, const char *name);
const struct child_config *conn_child(const struct conn *c, const char *name);
// What its proposals share with others' they have there from then on, before it is reserved for or added. 0
// or -ENOMEM.
int conn_share(struct ike *ike, struct conn *c);
int conn_reserve(struct ike *ike, struct conn *c); // what conn_add needs, which then does not fail
// Into the list and the indexes; found by its name before one that is there already.
int conn_add(struct ike *ike, struct conn *c);
void conn_remove(struct ike *ike, struct conn *c);
// The first one for these addresses whose proposals fit; connections with equal ones are asked about once.
struct conn *conn_for_offers(struct ike *ike, const struct net_path *path,
                             bool (*fits)(void *ctx, const struct proposal *p, unsigned count), void *ctx);
// What a peer says in IKE_AUTH, for which a connection is looked for.
struct conn_claim {
    const struct net_path *path;
    const struct suite *suite;
    const struct identity *local, *remote; // local NULL: it does not say
    uint8_t auth;                          // enum auth_method: how it proves itself; AUTH_NONE: any
    bool eap_only;                         // it takes EAP as our proof too (RFC 5998)
    bool rounds, another;          // it takes several rounds of authentication (RFC 4739); it has another
    struct conn *const *not_these; // only compared
    unsigned not_count;
};
// The best one for it; NULL: none.
struct conn *conn_for_claim(struct ike *ike, const struct conn_claim *claim);
// Each loaded one that is as that in all but its name and its children, once or more.
void conn_each_alike(struct ike *ike, const struct conn *as, void (*fn)(void *ctx, struct conn *c),
                     void *ctx);
bool conn_is_closed(const struct ike *ike, const struct conn *c);    // to this node, of a fleet
bool conn_is_for(const struct conn *c, const struct net_path *path); // both of its addresses
// Of the connection that is loaded under that name now, where it still has the child.
bool conn_same_child(const struct conn *a, const struct child_config *x, const struct conn *b,
                     const struct child_config *y);             // of one name and policy
bool conn_same_ike(const struct conn *a, const struct conn *b); // all but their children is alike
struct child_numbers *conn_numbers(struct ike *ike, struct conn *c, const struct child_config *child);
uint32_t conn_reqid(struct ike *ike, struct conn *c, const struct child_config *child);
bool conn_eap_only(const struct conn_config *cfg);      // EAP at both ends
bool conn_names_a_peer(const struct conn_config *cfg);  // other than %any: IKE SAs may be begun by it
bool conn_only_policies(const struct conn_config *cfg); // pass and drop: no peer speaks by it
bool conn_can_send(const struct ike *ike, const struct addr *from, const struct addr *to); // just now
// Where an IKE SA of it begins: the peer's address, our own, and both ports.
// With that peer.
int conn_path_to(struct ike *ike, const struct conn_config *c, const struct addr *remote, struct net_path *p,
                 struct esp_error *err);
int conn_path(struct ike *ike, const struct conn_config *c, struct net_path *p, struct esp_error *err);

#endif
