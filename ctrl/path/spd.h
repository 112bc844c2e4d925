// SPDX-License-Identifier: Apache-2.0
// The security policy database (RFC 4301 section 4.4.1): ordered policies, what each does with a packet, and
// the child SAs that serve it. A policy is in force while a loaded connection or a living SA needs it.
//
// Order (lower rank first): swanctl's explicit `priority`; then those without one, bypass and discard before
// protect; of these the more specific selectors; then the order of loading.
//
// An SA that serves less than its whole policy, or a policy with dynamic selectors, is an instance of its
// own: the SA's selectors, just before its policy in rank; where one end is a virtual address, before all
// policies that are equal but for the order of loading. So one look-up leads to an SA that may take the
// packet.
//
// What is unloaded and loaded again, or renamed, is one policy with two numbers: the loaded one takes over
// the SAs of an equal one for the same peer that is loaded no more (spd_heir.c), which then is a number that
// SAs and ike know it by, and leaves with the last of its SAs. Of one for another peer it takes the place as
// soon as it has an SA itself.
#ifndef CTRL_PATH_SPD_H
#define CTRL_PATH_SPD_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/policy_wire.h"
#include "ctrl/path/classifier.h"
#include "ctrl/path/vti.h"

struct path;
struct worker;
struct child;
struct kset_hold;
struct traffic;
struct vti_way;

// The upper half of a rank: an explicit priority, or these and how little specific the policy is (16 bits).
#define SPD_RANK_COMPUTED (1u << 31)
#define SPD_RANK_PROTECT  (1u << 30)

struct policy_link { // all zero: in no list
    struct policy_link *next, **at;
};

// What is no instance has more: a hundred thousand road warriors have an instance each.
struct policy_whole {
    struct hash_node conn_node;
    struct hash_node twin_node;    // by peer, action, mode and selectors
    struct policy_link *instances; // of it, by `among`
    uint64_t peer;                 // equal ones are for the same peer; 0: of nobody knows whom
    _Atomic uint64_t acquired_at;  // by whichever worker
    struct traffic *traffic;       // what its SAs carry; NULL: there were none
    struct vti_way *way;           // routes into its TUN (vti_ways.c); NULL: they are the operator's
    struct policy *pol;            // whose it is
    const char *conn, *child;      // behind it
};

struct policy {
    struct hash_node node;      // by id; an instance: by policy and selectors
    struct policy *of;          // an instance: of which policy, otherwise NULL
    struct policy_whole *whole; // an instance: NULL
    struct policy *into;  // its heir, which packets meet and which has its SAs; NULL: it stands for itself
    struct child *sas;    // those that take packets, the newest first
    uint8_t action, mode; // enum policy_action, enum sa_mode
    bool trap;
    bool loaded;     // its connection is; an instance never is
    bool given : 1;  // see policy_wire.h
    bool later : 1;  // likewise
    bool dynamic;    // some selectors are not known before an SA is
    bool classified; // the classifier has it
    uint8_t vti;     // whose packets it is about, see vti.h; 0: all others'
    uint32_t id;
    uint32_t sa_count;              // SAs that serve it, those of its instances among them
    uint64_t rank;                  // a total order
    struct policy_link *heirs_of;   // those whose heir it is, by `heir`
    struct policy_link among, heir; // in those lists of `of` and of `into`
    struct kset_hold *hold; // its objects in the kernel; NULL: of an instance whose policy's hold for it
    uint32_t local_count, remote_count;
    struct ts ts[]; // local ones, then remote ones
};
static inline struct policy *policy_of_instance(const struct policy_link *l) // in a list of instances
{
    return (struct policy *)(void *)((char *)l - offsetof(struct policy, among));
}
static inline struct policy *policy_of_heir(const struct policy_link *l) // in one of those that have an heir
{
    return (struct policy *)(void *)((char *)l - offsetof(struct policy, heir));
}
static inline struct policy_link *policy_instances(const struct policy *pol)
{
    return pol->whole ? pol->whole->instances : NULL;
}
// An instance's are those of its policy, which outlives it.
static inline const char *policy_conn(const struct policy *pol)
{
    return pol->of ? pol->of->whole->conn : pol->whole->conn;
}
static inline const char *policy_child(const struct policy *pol)
{
    return pol->of ? pol->of->whole->child : pol->whole->child;
}
static inline uint64_t policy_peer(const struct policy *pol)
{
    return pol->whole ? pol->whole->peer : 0;
}
static inline struct selectors policy_local(const struct policy *pol)
{
    return (struct selectors){pol->ts, pol->local_count};
}
static inline struct selectors policy_remote(const struct policy *pol)
{
    return (struct selectors){pol->ts + pol->local_count, pol->remote_count};
}
// The one that stands for it.
static inline struct policy *policy_now(struct policy *pol)
{
    return pol->into ? pol->into : pol;
}
// The policy itself, or what an instance is one of.
static inline struct policy *policy_base(struct policy *pol)
{
    return policy_now(pol->of ? pol->of : pol);
}

struct spd { // all zero: empty
    struct hash by_id, by_conn, instances, twins;
    struct classifier classes; // of the TUN that all share; each other one has its own
    struct vtis vtis;
    uint64_t generation;    // of what look-ups answer
    uint32_t order;         // of loading
    struct policy **sorted; // by rank, for a list's next page: while the generation is that of `sorted_at`
    size_t sorted_count;
    uint64_t sorted_at;
};

static inline const struct classifier *spd_classes(const struct spd *s, uint8_t vti)
{
    return vti ? &s->vtis.at[vti]->classes : &s->classes;
}

// ike's messages; each is answered.
void policy_apply(struct path *p, const struct msg_POLICY_APPLY *m);
void policy_clear(struct path *p, const struct msg_POLICY_CLEAR *m);
void policy_list(struct path *p, const struct msg_POLICY_LIST *m);
void selectors_copy(struct ts_list *to, struct selectors from);
// Those of a connection, loaded or not; NULL: no more.
struct policy *spd_first_of_conn(const struct spd *s, const char *conn);
struct policy *spd_next_of_conn(const struct policy *pol);
// At exit, before the kernel's objects are let go of.
void policy_drop_all(struct path *p);

// An SA comes to serve the policy that it names, which must be there, protect, and hold it. 0, or a negative
// errno and nothing has changed.
int spd_attach(struct path *p, struct child *c, const struct msg_CHILD *m, struct esp_error *err);
void spd_serve(struct path *p, struct child *c);      // from now on it takes packets
void spd_retire(struct path *p, struct child *c);     // from now on it does not
void spd_release(struct path *p, struct child *c);    // it is gone
const struct policy *spd_later(const struct path *p); // a loaded one that is not about all yet; or NULL
void spd_leave_closed(struct path *p); // the daemon ends: what SAs alone keep closed is left to the next run
                                       // where path_leaves_closed

// spd.c, for spd_heir.c
struct classifier *spd_classes_of(struct spd *s, const struct policy *pol);
int spd_classify(struct spd *s, struct policy *pol, struct esp_error *err);
void spd_unclassify(struct spd *s, struct policy *pol);
uint64_t spd_instance_rank(const struct policy *of, uint64_t rank);
void spd_drop_unneeded(struct path *p, struct policy *pol);
struct policy *spd_instance(const struct spd *s, const struct policy *of, struct selectors local,
                            struct selectors remote); // NULL: there is none

// spd_heir.c
void policy_link(struct policy_link **list, struct policy_link *l);
void policy_unlink(struct policy_link *l);
void heir_list(struct spd *s,
               struct policy *pol); // a policy that is in the data base may become one, or have one
void heir_forget(struct spd *s, struct policy *pol);
// The connection's policies have changed: what is loaded takes over what equals it and is not.
void heir_settle(struct path *p, const char *conn);
// An SA is in place: where its policy is for another peer than an equal one that is not loaded, that gives
// way.
void heir_serves(struct path *p, const struct child *c);
bool policy_sends(const struct policy *pol);                      // it has an SA, or an instance of it has
bool heir_silent(const struct policy *pol);                       // it has: its SAs send nothing
bool heir_equals(const struct policy *a, const struct policy *b); // but for the peer, which both know
// Two children of one connection that have the same selectors: packets meet the first one's policy, and the
// SAs of either serve, where they encrypt (child_conceals).
bool heir_is_sibling(const struct policy *a, const struct policy *b);
struct policy *heir_sibling_with_sas(const struct spd *s, const struct policy *pol); // NULL: there is none
// An instance of a policy that has an heir, which has an equal one.
void heir_of_instance(const struct spd *s, struct policy *pol);

// policy_kernel.c: what the kernel holds for policies, changed by difference: new before old. 0, or a
// negative errno and nothing has changed.
struct policies {
    struct policy **p;
    unsigned count;
};
int policy_kernel(struct path *p, struct policies drop, struct policies take, struct esp_error *err);

#endif
