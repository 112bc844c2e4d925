// SPDX-License-Identifier: Apache-2.0
// Two gateways, a link whose far end is watched, a host behind one of them; what is done to that one, and
// what is sent both ways afterwards.
#ifndef TESTS_SYSTEM_POLICY_LAB_H
#define TESTS_SYSTEM_POLICY_LAB_H

#include "tests/system/harness.h"
#include "tests/system/policy_naive.h"

enum { LOG_LINES = 400 };
struct test {
    struct lab lab;
    uint64_t seed, begun;
    struct rng rng;
    struct naive naive;
    unsigned steps, probes, seen, delivered, errors, log_count, sets;
    unsigned
        renamed; // a bit for each connection that has its other name in the file, its children theirs too
    int link, tunnel; // what comes to east, and what comes out of its SAs
    int link_tx;      // from east
    int lan, lan_tx;  // the host behind west
    int tables;       // asks west's kernel for the tables of nf_tables
    uint8_t lan_mac[6], wan_mac[6];
    uint16_t next_id;
    char log[LOG_LINES][100];
};

__attribute__((format(printf, 2, 3))) void note(struct test *t, const char *fmt, ...);

bool lab_prepare(struct test *t); // with nothing loaded yet
bool lab_start_west(struct test *t);
int lab_load(struct test *t, const struct file *file, const char *more);
enum { EAST_CHILDREN = 3 };
extern const char *const east_children[EAST_CHILDREN];
int in_west(struct test *t, const char *commands);
int in_east(struct test *t, const char *commands);

// SAs bring what they protect; what is in clear comes; but for what is of the outer addresses; nothing can.
enum way { WAY_UP, WAY_CLEAR, WAY_AWAY, WAY_DOWN };
bool probe_out(struct test *t, enum way way);
bool probe_in(struct test *t);
bool probe_errors(struct test *t); // what west says about what an SA has brought
bool probes_open(struct test *t);  // its sockets
int socket_in(const struct site *s, int family, int type, int proto);

// The kernel of west comes to have what the policies need and nothing else; what may be may.
bool set_settles(struct test *t, bool tun_down); // down: but for the ways into it
bool set_open(struct test *t);

bool step(struct test *t);

#endif
