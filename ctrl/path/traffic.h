// SPDX-License-Identifier: Apache-2.0
// What the SAs of a child of a connection have carried, by the two names: it begins with the first of them,
// as thousands of policies have none, goes on over rekeyings, fail-over and reloads, and only goes with the
// last policy and the last SA.
#ifndef CTRL_PATH_TRAFFIC_H
#define CTRL_PATH_TRAFFIC_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/hash.h"

struct path;
struct child;
struct traffic_counts {
    uint64_t packets_in, bytes_in, packets_out, bytes_out, dropped;
};
// Packets are counted in their SA alone, by the worker that has it: what there is in all is the sum of those
// that are there and of what the others had come to.
struct traffic {
    struct traffic_counts past; // of SAs that are gone
    struct child *children;     // that count here
    struct hash_node node;
    uint32_t refs; // policies and SAs
    uint32_t told; // in the list of that number (path.traffic_lists): ctl's own begin anew with each ctl
    char names[];  // the connection's, then the child's, each with its zero
};

// What cards have counted, by their own names: a card counts from zero where it is reset or another one takes
// its place, and what it had counted until then, as far as it has been seen, is kept.
enum { CARD_TOTALS = 80, CARD_TOTAL_NAME = 40 };
struct card_totals { // all zero: empty
    unsigned count;
    unsigned left_out; // of what was taken last there was no room for so many
    struct {
        char name[CARD_TOTAL_NAME];
        uint64_t before, now;
    } t[CARD_TOTALS];
};
void card_totals_take(struct card_totals *c, const char *text, size_t len); // "name value\n" lines
void card_totals_keep(struct card_totals *c);                               // it counts from zero from now on

struct traffic *traffic_get(struct path *p, const char *conn, const char *child);  // NULL: no memory
struct traffic *traffic_find(struct path *p, const char *conn, const char *child); // NULL: there was no SA
struct traffic *traffic_ref(struct traffic *t);
void traffic_put(struct path *p, struct traffic *t);   // may be NULL
void traffic_join(struct traffic *t, struct child *c); // it counts there from now on
void traffic_leave(struct path *p, struct child *c);   // it is gone, if it did
struct traffic_counts traffic_sum(const struct traffic *t);
void traffic_list(struct path *p, const struct msg_TRAFFIC_LIST *m); // ctl asks; it is answered

#endif
