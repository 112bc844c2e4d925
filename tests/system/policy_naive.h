// SPDX-License-Identifier: Apache-2.0
// A naive second reading of what policies ask for, from the files and from what is held up by CHILD SAs
// alone: what may be in a file, what operators and peers do to it, and what has to become of a packet.
// Nothing of the daemon is in it.
#ifndef TESTS_SYSTEM_POLICY_NAIVE_H
#define TESTS_SYSTEM_POLICY_NAIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/world/rng.h"

enum { CONNS = 3, CONN_CHILDREN = 2, HELD_MAX = 256, NAIVE_ICMP = 1 };
enum mode { TUNNEL, PASS, DROP, TRANSPORT };
// The outer addresses of west and of east, which selectors that a file leaves out are.
#define WEST_OUTER "10.10.0.1"
#define EAST_OUTER "10.10.0.2"
enum cut { WHOLE, LATER, SPLIT }; // LATER: the second half alone

struct child {
    bool there;
    enum mode mode;
    int local, remote, kind;
    bool trap;
};
struct file { // a swanctl.conf
    struct child child[CONNS][CONN_CHILDREN];
    bool own_left_out[CONNS]; // local_addrs is, as swanctl's default has it
};
struct held_up { // a CHILD SA keeps the policy that it was made for
    int conn, child;
    struct child was;
    bool maybe;      // perhaps: by traffic, where the child is a trap, or until a newer one is up
    bool other_name; // it was asked for by the child's other name, and may be called so for good
};
struct naive {
    struct file loaded;
    struct held_up held[HELD_MAX];
    unsigned held_count;
};

struct probe_kind {
    const char *near, *far; // of west and of east
    bool behind;            // near is a host behind west
    int proto;              // 17, 6, NAIVE_ICMP of either family
    enum cut cut;
    uint16_t port; // of east
};
enum expected { MUST_PASS, NEVER_CLEAR, EITHER };

bool protects(const struct child *c);
bool local_left_out(const struct child *c); // local_ts is: the outer address of west; remote_ts: of east
bool remote_left_out(const struct child *c);
bool six(const struct child *c);
const char *local_text(const struct child *c);
const char *remote_text(const struct child *c);
const char *local_kind(const struct child *c); // "[udp]"
const char *remote_kind(const struct child *c);
struct child_kind {
    const char *proto; // "" or as `ip` calls it
    bool ports;        // not all of the far side's
    unsigned lo, hi;
};
struct child_kind child_kind(const struct child *c);
bool same_child(const struct child *a, const struct child *b);

bool local_is_wests(const struct child *c);              // west itself has an address in it
bool naive_of_the_ends(const struct probe_kind *p);      // from or to an outer address
struct probe_kind naive_probe(struct rng *r, bool ends); // ends: of these too
struct probe_kind naive_error_probe(struct rng *r);
enum expected naive_expect(const struct naive *n, const struct probe_kind *p);
bool naive_tunnelled(const struct naive *n,
                     const struct probe_kind *p); // a tunnel of the file names it, nothing else
bool naive_delivered(const struct naive *n, const struct probe_kind *p); // what protects it has an SA

// ends: the outer addresses are among the selectors, and left out.
void naive_edit(struct rng *r, struct file *next, bool ends, void (*say)(void *ctx, const char *text),
                void *ctx);
void naive_loaded(struct naive *n, const struct file *next);
void naive_up(struct naive *n, int conn, int child);
void naive_up_renamed(struct naive *n, int conn, int child); // by its other name
void naive_unsure(struct naive *n, int conn, int child);     // one SA of several is gone
void naive_down(struct naive *n, int conn, int child);       // -1: all

#endif
