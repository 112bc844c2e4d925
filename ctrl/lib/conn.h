// SPDX-License-Identifier: Apache-2.0
// A connection as swanctl.conf describes it, after validation by ctl: what ike and path work from. It travels
// between the processes by conn_write/conn_read (one written format).
#ifndef CTRL_CONN_H
#define CTRL_CONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctrl/lib/auth_side.h"
#include "ctrl/lib/settings.h"
#include "ctrl/lib/slice.h"
#include "ctrl/lib/transforms.h"

struct addr {       // family 0: none
    uint8_t family; // 4 or 6
    uint8_t a[16];  // network order; IPv4 in the first 4
};
bool addr_eq(const struct addr *x, const struct addr *y);
bool addr_parse(const char *text, struct addr *out);
const char *addr_print(const struct addr *a, char *buf, unsigned size); // returns buf
void addr_from_sockaddr(const struct sockaddr_storage *ss, struct addr *a, uint16_t *port);
void addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss);

struct ts {                    // traffic selector (RFC 7296 section 3.13.1)
    uint8_t family;            // 4, 6; 0: dynamic (the endpoint's own address), proto and ports still hold
    uint8_t proto;             // 0: any
    uint16_t port_lo, port_hi; // 0 ... 65535: any; 65535 and 0: OPAQUE, of packets that do not show theirs
    uint8_t lo[16], hi[16];
};
#define TS_MAX 64
struct ts_list {
    uint8_t count;
    struct ts t[TS_MAX];
};
bool ts_eq(const struct ts *a, const struct ts *b);
bool ts_lists_eq(const struct ts_list *a, const struct ts_list *b); // in the same order
bool ts_any_port(const struct ts *t);
bool ts_opaque(const struct ts *t);
bool ts_contains(const struct ts *outer, const struct ts *inner);
bool ts_intersect(const struct ts *a, const struct ts *b, struct ts *out); // false: empty
bool ts_match(const struct ts *t, uint8_t family, const uint8_t *addr, uint8_t proto, uint16_t port);
// "10.1.0.0/16", "10.1.0.1/32[tcp/80]", "10.1.0.1..10.1.0.9"; charon's style. Returns buf.
const char *ts_print(const struct ts *t, char *buf, unsigned size);
// Splits a range into prefixes; calls f(ctx, address, prefix length) for each.
void ts_prefixes(const struct ts *t, void (*f)(void *ctx, const uint8_t *addr, unsigned len), void *ctx);

enum conn_action { ACTION_NONE, ACTION_TRAP, ACTION_START, ACTION_TRAP_START }; // bits: the last has both
enum dpd_action { DPD_NONE, DPD_TRAP, DPD_START };                              // clear, trap, restart
// Whether its packets ask for an SA, as an operator said last; a reload says nothing of that, unless it
// brings another start_action.
enum trap_by_hand { TRAP_AS_CONFIGURED, TRAP_INSTALLED, TRAP_UNINSTALLED };
enum sa_mode { MODE_TUNNEL = 1, MODE_TRANSPORT };
enum policy_action {
    POLICY_PROTECT = 1,
    POLICY_BYPASS,
    POLICY_DISCARD
}; // swanctl: tunnel|transport, pass, drop
enum fragmentation_mode { FRAGMENTATION_NO, FRAGMENTATION_ACCEPT, FRAGMENTATION_YES };
enum childless_mode { CHILDLESS_ALLOW, CHILDLESS_NEVER, CHILDLESS_PREFER, CHILDLESS_FORCE };
enum send_cert { SEND_CERT_NEVER, SEND_CERT_IFASKED, SEND_CERT_ALWAYS };
enum unique_mode { UNIQUE_NO, UNIQUE_NEVER, UNIQUE_KEEP, UNIQUE_REPLACE };

// Capacities; ctrl/config/README.md lists them. What exceeds one is refused by name.
#define NAME_MAX_LEN    256 // with the zero; VICI's own limit
#define ADDRS_MAX       32
#define PROPOSALS_MAX   24
#define CHILDREN_MAX    255
#define POOLS_MAX       8
#define VIPS_MAX        4
#define ROUTE_METRICS   63  // of routes into tunnels; behind these come as many of last resort
#define PROBE_DELAY     1   // s
#define TFC_DUMMIES_MAX 100 // a second, of one SA

struct tunnel_route {       // into a TUN of its own, which path keeps
    uint8_t metric;         // while it carries; 0: none of that
    uint32_t probe_delay;   // seconds
    struct addr probe;      // behind the peer: it answers pings through the tunnel, or that does not carry
    struct addr probe_from; // ours, which path has and no interface; family 0: one of the machine's
};
bool tunnel_routes_eq(const struct tunnel_route *a,
                      const struct tunnel_route *b);                     // NULL: one without a metric
void tunnel_route_write(struct writer *w, const struct tunnel_route *t); // likewise
bool tunnel_route_read(struct reader *r, struct tunnel_route *t);        // false: there is none

struct child_config { // in an order that leaves no holes
    const char *name; // its connection has it (conn_set_text)
    uint8_t proposal_count;
    uint8_t action, mode;               // enum policy_action, enum sa_mode
    uint8_t start_action, close_action; // enum conn_action
    uint8_t dpd_action;                 // enum dpd_action
    uint8_t hw_offload;                 // enum offload_mode
    uint8_t copy_df;                    // bool
    // ESP and AH. No TR_KE: rekeyed without a key exchange; several: our order; with TRID_KE_NONE: or without
    // one.
    struct proposal *proposals;                    // likewise
    struct ts_list *local_ts, *remote_ts;          // allocated, as long as they are, or with ts_room
    uint8_t copy_ecn, copy_dscp_out, copy_dscp_in; // bool
    uint8_t trap_by_hand;                          // enum; no part of what is configured
    uint8_t tfc_dummies;                           // a second, while an SA sends nothing else; 0: none
    uint16_t
        tfc_padding; // octets that packets inside are padded to, as far as the path's MTU allows; 0: none
    uint32_t replay_window; // UINT32_MAX: the default of settings
    // 0: off. An SA is replaced at rekey_ less a random part of rand_ and ends at life_.
    uint32_t rekey_time, life_time, rand_time, inactivity; // seconds
    uint32_t reqid;
    uint32_t priority;
    uint32_t if_id; // of a TUN of its own; 0: none
    uint64_t rekey_bytes, life_bytes, rand_bytes;
    uint64_t rekey_packets, life_packets, rand_packets;
    struct tunnel_route *route; // allocated; NULL: routes into that are the operator's
};
struct conn_text { // what a connection holds of texts
    struct conn_text *next;
    char text[];
};
struct conn_config {
    struct conn_text *texts; // conn_set_text: names and identities are in there, or empty, and never NULL
    const char *name;        // once it has been read
    uint8_t local_count, remote_count;
    struct addr *local_addrs, *remote_addrs; // none: %any. Allocated, as many as there are: conn_add_addr
    uint16_t local_port, remote_port; // 0: the default; local: 500 stands for --port, 4500 for --port-nat-t
    uint8_t proposal_count;
    struct proposal *proposals; // IKE; allocated: proposals_octets, or with conn_room PROPOSALS_MAX
    struct auth_side local, remote;
    // The second round of that end and those behind it (RFC 4739); NULL: there is none.
    struct auth_round *local_more, *remote_more;
    uint8_t encap, mobike, send_certreq; // bool
    uint8_t send_cert;                   // enum send_cert
    uint8_t fragmentation;               // enum fragmentation_mode
    uint8_t unique;                      // enum unique_mode
    uint8_t childless;                   // enum childless_mode
    uint8_t ppk_required;                // bool: no IKE SA without it
    const char *ppk_id;                  // charon's syntax; empty: no postquantum preshared key (RFC 8784)
    uint32_t dpd_delay;                  // seconds, 0: off
    uint32_t keyingtries;                // 0: for ever
    // Seconds, 0: off. The IKE SA is rekeyed or made anew at either time less a random part of rand_time, and
    // closed over_time after the one that comes first.
    uint32_t rekey_time, reauth_time, over_time, rand_time;
    uint32_t fence; // of a fleet's: the session that this node has it in, or FENCE_CLOSED (ctrl/lib/fence.h)
    uint8_t vip_count;
    struct addr *vips; // virtual addresses to ask for; all zero: any of the family. Allocated: conn_add_vip
    uint8_t pool_count;
    char (*pools)[NAME_MAX_LEN]; // where a peer's virtual address comes from; allocated: conn_add_pool
    uint8_t child_count;
    struct child_config *children; // allocated; conn_clear frees them
};

void conn_clear(struct conn_config *c); // frees what it holds and zeroes it
// Room for PROPOSALS_MAX proposals, in which there may be some; NULL: no memory.
struct proposal *conn_room(struct proposal **proposals);
// Of so many, which are allocated up to the last one's last transform: a single one is copied by
// proposal_copy.
size_t proposals_octets(const struct proposal *p, unsigned count);
void proposal_copy(struct proposal *to, const struct proposal *from);
// The connection has a copy of the text from then on, for as long as it is there; what *at was stays too.
// False: no memory.
bool conn_set_text(struct conn_config *c, const char **at, const char *text);
// Behind the others, which move; NULL: there are ADDRS_MAX, or no memory.
struct addr *conn_add_addr(struct conn_config *c, bool local, const struct addr *a);
// Likewise; NULL: there are VIPS_MAX, or no memory.
struct addr *conn_add_vip(struct conn_config *c, const struct addr *a);
// Likewise; NULL: there are POOLS_MAX, or no memory.
char *conn_add_pool(struct conn_config *c, const char *name);
struct ts_list *ts_room(struct ts_list **l);                   // likewise for TS_MAX selectors
struct tunnel_route *conn_child_route(struct child_config *c); // its own, with a pace; NULL: no memory
// A zeroed child behind the others; NULL: there are CHILDREN_MAX, or no memory. Moves those before it.
struct child_config *conn_add_child(struct conn_config *c);
// conn_rounds.c. That end's next round, zeroed; NULL: there are ROUNDS_MAX, or no memory.
struct auth_side *conn_add_round(struct conn_config *c, bool local);
unsigned conn_rounds(const struct conn_config *c, bool local); // how many, one at least
// From 0 on; where it has not so many, its last one.
const struct auth_side *conn_round(const struct conn_config *c, bool local, unsigned n);
bool conn_round_by(const struct conn_config *c, bool local, enum auth_method how); // one of them is
const char *
conn_rounds_fault(const struct conn_config *c); // what of them does not go together; NULL: nothing
void conn_write(struct writer *w, const struct conn_config *c);
// In its name and all that is configured.
bool conn_child_eq(const struct child_config *a, const struct child_config *b);
enum { CONN_NAME_AT = 4 };                         // in what conn_write has written: its name, with its zero
size_t conn_names_at(const struct conn_config *c); // likewise its children's, one behind the other
void conn_peer_write(struct writer *w, const struct conn_config *c); // what says whom it is to
// False: malformed, or no memory; *c is empty then. Bounds and enumerations are checked. *c is overwritten.
bool conn_read(struct reader *r, struct conn_config *c);
// One that is kept for long has only its own selectors behind it (ts_list_dup): it is not assigned, it is
// copied.
void ts_list_copy(struct ts_list *to, const struct ts_list *from);
size_t ts_list_octets(const struct ts_list *l);       // that such a one has
struct ts_list *ts_list_dup(const struct ts_list *l); // NULL: no memory
void ts_list_write(struct writer *w, const struct ts_list *l);
bool ts_list_read(struct reader *r, struct ts_list *l);

#endif
