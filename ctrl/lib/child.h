// SPDX-License-Identifier: Apache-2.0
// The processes of the daemon and what the supervisor hands each of them.
#ifndef CTRL_CHILD_H
#define CTRL_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "ctrl/lib/settings.h"

// X(symbol, name)
#define ROOM_LIST(X)                                                                                         \
    X(SUPER, "supervisor")                                                                                   \
    X(CTL, "ctl")                                                                                            \
    X(IKE, "ike") X(KEYS, "keys") X(PATH, "path") X(FETCH, "fetch") X(METRICS, "metrics") X(FLEET, "fleet")
enum room {
#define X(sym, name) ROOM_##sym,
    ROOM_LIST(X)
#undef X
        ROOM_COUNT
};

// Whose end is not the daemon's: it is started again, and its neighbours are given a new channel to it
// (CHANNEL). Those must do without it meanwhile. ctl asks for what it had (ctrl/ctl/recover.h), and gives ike
// what that had (ctrl/ctl/replay.h): of these two one must live. keys has its own of the one before
// (ctrl/keys/secrets_file.h), but not the secrets of IKE SAs: ike goes with it, and comes behind it. path is
// given its policies by ike, which makes each CHILD SA anew (ctrl/ike/path_again.h).
static inline bool room_comes_again(enum room r)
{
    return r != ROOM_SUPER && r < ROOM_COUNT;
}
// Whether there is one at all.
static inline bool room_is_wanted(enum room r, const struct settings *s)
{
    return (r != ROOM_METRICS || s->metrics[0]) && (r != ROOM_FLEET || s->fleet_endpoints[0]);
}

#define ESPALIER_SO_MARK                                                                                     \
    0xe59 // on every socket of ours: the routing rule sends everything else through the tunnel table
#define ESPALIER_VTI_GROUP 0xe59u // of interfaces: all TUNs of route-based tunnels, of whichever daemon

// Of path, where several carry packets: what each but the first has of its own.
struct worker_fds {
    int tun, esp_nat_t, esp6_nat_t; // as tun, sock_esp_nat_t and sock_esp6_nat_t; -1: none
};

struct child_env {
    const struct settings *settings;
    int chan[ROOM_COUNT];  // SOCK_SEQPACKET to each other room, -1: none
    pid_t pid[ROOM_COUNT]; // of the rooms that were started earlier (ctl is last), 0: not known
    // ike: IKE sockets. Both deliver only IKE: on sock_nat_t a datagram starts with the non-ESP marker (RFC
    // 3948 section 2.2)
    int sock_ike, sock_ike_nat_t;
    int sock_ike6, sock_ike6_nat_t; // IPv6; -1: this machine has none
    // path
    int tun;            // IFF_TUN | IFF_NO_PI, up or down
    int sock_esp_nat_t; // UDP 4500, receives only what is not IKE (ESP in UDP, keepalives) and sends ESP in
                        // UDP; IP_RECVTOS/TTL, IP_PKTINFO set
    int sock_esp;       // raw, IPPROTO_ESP: delivers with the IP header; -1 where not permitted
    int sock_send;      // raw, IPPROTO_RAW with IP_HDRINCL: takes whole outer packets
    // The same of IPv6, -1: this machine has none. sock_esp6 delivers without the IP header, IPV6_RECVPKTINFO
    // set
    int sock_esp6_nat_t, sock_esp6, sock_send6;
    struct worker_fds more[SETTINGS_MAX_WORKERS - 1]; // as many as settings say, less one
    int sock_ah, sock_ah6; // as sock_esp and sock_esp6, IPPROTO_AH; -1: where those are
    int sock_metrics;      // metrics: listens
    int sock_vici, kept;   // ctl: listens; what outlives it (ctrl/ctl/kept.h)
    int configured;        // ctl: likewise, for ike (ctrl/ctl/configured.h)
    int secrets;           // keys: what outlives it (ctrl/keys/secrets_file.h)
    int fence;             // fleet: to be written; ike, path: to be read (ctrl/lib/fence.h)
    int fleet_tls;         // fleet: what it shows etcd, and whom it believes (ctrl/fleet/tls_file.h)
    uint32_t life;         // ike, path: how often it has been started before
    uint64_t conn_salt;    // ike: of the names that it has for peers toward path, in each of its lives
    int run_lock;          // held for as long as it runs; -1: none
    int log_page;          // ctrl/lib/log_page.h; -1: none
};
// Each runs its loop until its supervisor channel closes or says SHUTDOWN; returns the exit status.
int ctl_main(const struct child_env *env);
int ike_main(const struct child_env *env);
int keys_main(const struct child_env *env);
int path_main(const struct child_env *env);
int fetch_main(const struct child_env *env);
int metrics_main(const struct child_env *env);
int fleet_main(const struct child_env *env);

#endif
