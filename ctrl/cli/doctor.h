// SPDX-License-Identifier: Apache-2.0
// `espalier doctor`: what would be searched for for hours, each with why it matters and what mends it.
#ifndef CTRL_CLI_DOCTOR_H
#define CTRL_CLI_DOCTOR_H

#include <sys/socket.h>
#include <sys/types.h>

#include <jansson.h>

#include "ctrl/cli/cli.h"

enum { DOCTOR_PIDS = 16 };
struct doctor {
    struct cli *cli;
    bool daemon;             // it answers
    pid_t pids[DOCTOR_PIDS]; // its processes
    unsigned pid_count;
    json_t *conns, *sas; // what it says of them, NULL where it does not
    const char *check;   // that is under way
    json_t *findings;    // of {check, weight, what, why, mend}
    unsigned wrong;
};

enum weight { NOTE, WRONG };
// mend: a command, or what to do.
__attribute__((format(printf, 5, 6))) void doctor_find(struct doctor *d, enum weight w, const char *why,
                                                       const char *mend, const char *fmt, ...);

// ---- the checks
struct doctor_time {
    int64_t now; // seconds since 1970
    bool synchronised, seeded;
};
void doctor_judge_clock(struct doctor *d, const struct doctor_time *t);
void doctor_judge_entropy(struct doctor *d, const struct doctor_time *t);
// doctor_net.c
void doctor_rights(struct doctor *d);
void doctor_ports(struct doctor *d);
void doctor_policy(struct doctor *d);
void doctor_firewall(struct doctor *d); // doctor_firewall.c
void doctor_rp_filter(struct doctor *d);
void doctor_forwarding(struct doctor *d);
void doctor_addresses(struct doctor *d);
void doctor_ways(struct doctor *d); // to the peers: routes and MTU
void doctor_vtis(struct doctor *d); // doctor_vti.c: route-based tunnels
// What the network checks share: a switch in /proc/sys/net/FAMILY/conf/IFACE, -1: there is none; rp_filter;
// each address of the configuration, of which a name or a range is none.
long doctor_sysctl(const char *family, const char *iface, const char *name);
bool doctor_is_strict(const char *iface);
void doctor_each_address(struct doctor *d, const char *key,
                         void (*look)(struct doctor *d, const char *conn, const char *address,
                                      struct sockaddr_storage *ss, socklen_t len));
// doctor_daemon.c
void doctor_learn(struct doctor *d); // what the checks below and some above want to know of the daemon
void doctor_certificates(struct doctor *d);
void doctor_tunnels(struct doctor *d);
void doctor_card(struct doctor *d);
void doctor_peer(struct doctor *d); // tries what is named on the command line

#endif
