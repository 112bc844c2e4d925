// SPDX-License-Identifier: Apache-2.0
// Two IKE daemons (ike and keys of each, with a path and a ctl made here) in one process and one loop, over a
// network that a test holds in its hands, under a virtual clock.
#ifndef TESTS_UNIT_IKE_PAIR_H
#define TESTS_UNIT_IKE_PAIR_H

#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/rekey_ike.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/seal.h"
#include "ctrl/ike/selectors.h"
#include "ctrl/ike/task.h"
#include "ctrl/keys/keys.h"
#include "ctrl/lib/policy_wire.h"
#include "ctrl/lib/pool.h"

enum { PAIR_SAS = 16, PAIR_LOG = 64 };

struct path_sa { // what the fake path was told
    struct msg_CHILD child;
    uint8_t key_out[128], key_in[128];
    size_t key_len;
    bool deleted, expected; // expected: packets by it were to wait for it
};

struct pair;
struct side {
    struct pair *pair;
    int index;
    struct ike *ike;
    struct keys *keys;
    struct ipc_chan *ctl_ike, *ctl_keys, *path_ike, *path_keys; // the test's ends
    struct ipc_chan *super_ike, *super_keys;                    // NULL until a path dies
    unsigned opens; // how often ike has said that all policies are there (PATH_OPEN),
    bool whole;     // ... the last time: without one that is missing
    bool edit;      // the last that were applied were other ones than before
    struct path_sa sas[PAIR_SAS];
    struct policy_spec *policy; // the last that were applied
    uint64_t policy_peer;
    unsigned policy_count;
    unsigned sa_count, policies, results, ike_up, ike_down, child_up, child_down;
    struct addr virtual_ip[PAIR_SAS];      // that are put, in their order
    unsigned virtual_count, virtual_after; // after: policies applied before the first of them
    bool refuse_virtual;
    bool refuse_policies, refuse_install, refuse_next, hold_install,
        last_ok; // refuse_next: one CHILD SA. hold_install: the next one waits for pair_release
    uint8_t held[8192];
    size_t held_len;
    uint32_t last_req;
    char last_text[1024];
    struct msg_IKE_INFO ike_info;
    void (*on_ctl)(struct side *s, enum msg_type t,
                   const union msg *m); // each of ike's messages to ctl; may be NULL
    struct msg_CHILD_ENDPOINT endpoint; // the last one
    uint32_t expected;                  // the last SPI that packets were to wait for
    unsigned endpoints, ike_infos, child_infos;
    unsigned survivors; // that path has of a dead ike; it says goodbye to all of them
    bool no_way;        // to anybody
    bool hold_policies; // and answer in policies_held
    unsigned held_count;
    uint32_t policies_held[32];
    struct addr source; // what the system would send from; family 0: the side's address
    unsigned asked_routes;
};

struct datagram {
    struct datagram *next;
    int to;
    struct net_path path; // as the receiver sees it
    size_t len;
    uint8_t data[];
};

struct pair {
    struct loop *loop;
    struct settings set;
    struct side s[2]; // 0: 10.0.0.1, 1: 10.0.0.2
    struct datagram *queue;
    unsigned sent, activity;
    struct datagram *late; // arrive when pair_wait goes on
    // Called for each datagram: how many copies arrive (0: lost; -1: one, later). NULL: 1.
    int (*filter)(struct pair *p, unsigned number, struct datagram *d);
    void *ctx;
    bool nat;                // side 0 is behind a NAT: that address, ports + nat_shift
    const char *nat_address; // 192.0.2.1
    uint16_t nat_shift;      // 10000
};

extern uint64_t pair_clock;

struct pair *pair_new(void (*tune)(struct settings *s));
void pair_free(struct pair *p);
void pair_default_conn(struct conn_config *c, int side);
void pair_proposal(struct proposal *p, uint8_t protocol,
                   const char *keywords);                              // "aes256gcm16 prfsha256 x25519"
void pair_identity(struct identity **id, const char *text);            // in place of another one
void pair_load(struct pair *p, int side, const struct conn_config *c); // fails the test where it is refused
void pair_psk(struct pair *p, int side, const char *secret, const char *owner1, const char *owner2);
uint32_t pair_initiate(struct pair *p, int side, const char *child); // the request number
void pair_terminate(struct pair *p, int side, const char *child, bool force);
// attrs: what goes with its addresses, as Configuration attributes. Whether it was taken.
bool pair_load_pool(struct pair *p, int side, const char *name, const char *addrs, struct slice attrs);
void pair_release(struct side *s); // path takes up what it held
// Its path dies, with all that it had; and another one is there, whose channels both rooms are given.
void pair_path_dies(struct pair *p, int side);
void pair_path_comes(struct pair *p, int side);
void pair_run(struct pair *p);               // until nothing moves any more
void pair_wait(struct pair *p, uint64_t ms); // runs all timers up to then
void pair_forget_deleted(struct side *s);    // SAs that the path has no more leave room for others
void pair_inject(struct pair *p, int to, const struct net_path *path, const void *data, size_t len);
// Both ends loaded with the default connection, tuned, and one secret for everybody; and up, by side 0.
typedef void (*pair_tune)(struct conn_config *c, int side);
// A copy of another one: with selectors of its own from now on.
void pair_own_selectors(struct child_config *k);
void pair_two_children(struct conn_config *c, int side); // a tune: `d` of other subnets beside `c`
struct pair *pair_loaded(uint8_t unique, pair_tune tune);
struct pair *pair_established(uint8_t unique, pair_tune tune);
void pair_assert_one(struct pair *p); // an IKE SA and a CHILD SA, the same at both ends
int pair_lose_all(struct pair *p, unsigned number, struct datagram *d); // a filter
void pair_simple(struct pair *p);                       // default connections and one secret at both ends
struct path_sa *pair_sa(struct side *s, unsigned live); // the n-th that is not deleted, or NULL
unsigned pair_live(struct side *s);
bool pair_agree(struct pair *p); // both paths hold matching SAs: SPIs, keys, selectors
void pair_result(struct pair *p, int side, uint32_t req, bool ok); // asserts how a request ended

#endif
