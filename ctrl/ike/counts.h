// SPDX-License-Identifier: Apache-2.0
// What is counted of a connection and its children, by their names, from its first SA on: it goes on over
// rekeyings and reloads, as long as a connection of that name is loaded or an SA of it is there. What is told
// of it costs the same however many SAs there are.
#ifndef CTRL_IKE_COUNTS_H
#define CTRL_IKE_COUNTS_H

#include "ctrl/ike/ike.h"
#include "ctrl/lib/conn.h"

struct child_counts {
    struct child_counts *next;
    uint32_t up;
    uint64_t installed, rekeyed, failed[CHILD_FAILURE_COUNT];
    char name[];
};
struct conn_counts {
    struct table_node by_name;
    struct table *home;
    unsigned refs; // connections of that name
    uint32_t up;
    uint64_t established, rekeyed, failed[IKE_FAILURE_COUNT];
    struct child_counts *children;
    char name[];
};

// Thousands of connections are loaded and have no SA: nothing is kept of one before its name's first. A
// connection that is loaded has those of its name, where there are any, with its children in them; and with
// an IKE SA of it they are there. False: no memory.
struct ike_sa;
struct conn;
bool counts_follow(struct ike *ike, struct conn *c);
bool counts_begin(struct ike *ike, struct conn *c);
void counts_put(struct conn_counts *k); // may be NULL

struct child_sa;
void counts_notify(struct ike_sa *sa, uint16_t notify);       // an error that either end says: why it fails
void counts_child_notify(struct ike_sa *sa, uint16_t notify); // of a CHILD SA, before counts_child_failed
void counts_settle(struct ike *ike,
                   struct conn *c); // it is loaded: what a connection of its name had and no SA is of goes
// What happened; `up` may be said of the same SA more than once.
void counts_sa_up(struct ike_sa *sa, bool up);
void counts_sa_established(struct ike_sa *sa);
void counts_sa_rekeyed(const struct ike_sa *sa);
void counts_sa_failed(struct ike_sa *sa);            // for sa->failure; once
void counts_attempt_failed(const struct ike_sa *sa); // and it tries again
// Its connection is of another name now: its CHILD SAs are counted there.
void counts_children_follow(const struct ike_sa *sa, struct conn_counts *from);
void counts_child_lost(struct child_sa *c); // it is up no more, and ctl is not told so
void counts_child_up(struct child_sa *c, bool up);
void counts_child_installed(const struct child_sa *c);
void counts_child_rekeyed(const struct child_sa *c);
void counts_child_failed(struct ike_sa *sa, const char *child); // for sa->child_failure, which begins anew

void counts_list(struct ike *ike, const struct msg_COUNTS_LIST *m); // ctl asks; it is answered
// u64s as IKE_STATS_IS has them.
enum { HANDSHAKES_OCTETS = 8 * (HANDSHAKE_COUNT + 2) };
struct slice counts_handshakes(const struct ike *ike, uint8_t buf[HANDSHAKES_OCTETS]);

#endif
