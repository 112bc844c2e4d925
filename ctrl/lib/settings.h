// SPDX-License-Identifier: Apache-2.0
// What the daemon was told by its options and its strongswan.conf file; read-only in the children.
#ifndef CTRL_SETTINGS_H
#define CTRL_SETTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum offload_mode { OFFLOAD_DEFAULT, OFFLOAD_NO, OFFLOAD_AUTO, OFFLOAD_YES, OFFLOAD_CRYPTO, OFFLOAD_PACKET };

#define SETTINGS_MAX_LISTEN  8
#define SETTINGS_MAX_WORKERS 15
struct settings {
    // options
    char vici_uri[128]; // unix:///var/run/charon.vici
    bool vici_insecure;
    char run_dir[108];         // /run/espalier
    char card[32];             // auto | none | BDF
    char pci_sysfs[200];       // /sys/bus/pci
    uint16_t port, port_nat_t; // 500, 4500
    struct sockaddr_storage listen[SETTINGS_MAX_LISTEN];
    unsigned listen_count; // 0: any address
    char tun[16];          // espalier0
    char debug_keys[200];  // directory, empty: off
    // strongswan.conf, section charon (defaults are charon's)
    uint32_t retransmit_tries;        // 5
    double retransmit_timeout;        // 4.0 s
    double retransmit_base;           // 1.8
    uint32_t retransmit_limit;        // 0: none, s
    uint32_t retransmit_jitter;       // percent, 0
    uint32_t half_open_timeout;       // 30 s
    uint32_t cookie_threshold;        // 30, 0: off
    uint32_t cookie_threshold_ip;     // 3
    uint32_t block_threshold;         // 5 per peer address, 0: off
    uint32_t fragment_size;           // 1280
    uint32_t keep_alive;              // 20 s, 0: off
    uint32_t replay_window;           // default of children: 1024 (charon: 32)
    uint32_t retry_initiate_interval; // 0: off
    uint32_t ikesa_limit;             // 0: none
    uint32_t delete_rekeyed_delay;    // 5 s
    bool follow_redirects;            // yes
    bool install_routes;              // yes
    bool install_virtual_ip;
    char interfaces_use[200], interfaces_ignore[200]; // names between commas; empty: all are used
    // section espalierd
    bool ppk_intermediate;             // no: PPKs by RFC 8784 alone, not by RFC 9867
    bool session_resumption;           // no: no tickets (RFC 5723), in either role
    uint32_t ticket_lifetime;          // 3600 s
    enum offload_mode offload_default; // no
    uint32_t routing_table;            // 220
    uint32_t routing_priority;         // 220
    uint32_t mtu;                      // of the TUN, 1400
    bool mss_clamp;                    // yes: TCP through a tunnel announces no longer segments than fit
    bool block_on_exit;                // yes: block policies of protected selectors stay when the daemon goes
    char pool_leases[200];             // file of the address pools' leases; empty: `leases` in run_dir
    bool kernel_esp;        // no: what Linux's own ESP can protect, it does (ctrl/path/kernel_esp.h)
    uint32_t lease_min;     // smallest sequence lease given to a card, 4096
    char metrics[128];      // where they are served (ctrl/lib/metrics_at.h); empty: nowhere
    char metrics_group[64]; // that may connect to a metrics socket of unix://, by name or number; empty: the
                            // daemon's own
    uint32_t uid_base;      // UID_BASE; of the processes' own users; 0: they have none
    bool seccomp;           // yes: each process has the system calls of its job alone
    bool landlock;          // yes: each process opens the files of its job alone, where the kernel has that
    bool metrics_per_sa;    // no: of connections and their children alone
    char fleet_endpoints[1024]; // of etcd, URLs between commas; empty: there is no fleet
    char fleet_prefix[128];     // /espalier/
    char fleet_node[64];        // its name; empty: the machine's
    char fleet_cacert[200], fleet_cert[200],
        fleet_key[200];     // files, PEM; empty: the system's authorities, none
    uint32_t fleet_ttl;     // of the lease, 10 s
    bool fleet_allow_clear; // no: its connections encrypt (ctrl/config/in_clear.h) or are not taken
    uint32_t workers;       // 1: packets are carried by path's control; else by so many threads beside it
};

// A number that nobody else gives away: above what containers are given, below what signed numbers hold.
#define UID_BASE 1880000000u

void settings_default(struct settings *s);
// Whether IKE is spoken on the interface: interfaces_use names it, or is empty and interfaces_ignore does
// not.
bool settings_use_interface(const struct settings *s, const char *name);
bool settings_use_index(const struct settings *s, unsigned index); // of an interface

#endif
