// SPDX-License-Identifier: Apache-2.0
// Opens everything that needs rights, before the other processes exist: the IKE and ESP sockets and the TUN
// device.
#ifndef CTRL_SUPER_SOCKETS_H
#define CTRL_SUPER_SOCKETS_H

#include "ctrl/lib/child.h"
#include "ctrl/lib/settings.h"
#include "espalier/error.h"

struct socket_set {
    int ike, ike_nat_t, esp_nat_t, esp, send, tun;    // -1: not open
    int ike6, ike6_nat_t, esp6_nat_t, esp6, send6;    // IPv6
    int ah, ah6;                                      // raw, AH
    struct worker_fds more[SETTINGS_MAX_WORKERS - 1]; // of further workers, -1: not open
    int esp6_sizes, ah6_sizes, ah4_sizes;             // nobody's: see sockets.c
    int metrics;                                      // listens
    char metrics_path[108];                           // its file, where it is one
    int run_lock; // the run directory's, -1: none; the caller's to set and to close
    // Of ctl, which may die and come again: where it serves, and what it keeps (ctrl/ctl/kept.h)
    int vici, kept;
    int configured; // likewise, for ike (ctrl/ctl/configured.h)
    int secrets;    // of keys (ctrl/keys/secrets_file.h)
    int fence,
        fence_read;     // of fleet, which writes it, and of those that look (ctrl/lib/fence.h); -1: no fleet
    int fleet_tls;      // of fleet (ctrl/fleet/tls_file.h)
    uint64_t conn_salt; // what is one in all lives of ike
    char vici_uri[sizeof(((struct settings *)0)->vici_uri)]; // "": there is no file of it any more
};

// 0, or a negative errno with the right, device or port that is missing named in *err. On failure nothing
// stays open.
int sockets_open(struct socket_set *s, const struct settings *settings, struct esp_error *err);
void sockets_close(struct socket_set *s);

// vici_socket.c: what ctl gets, after sockets_open and as it; the caller closes *s in any case.
int sockets_open_ctl(struct socket_set *s, const struct settings *settings, struct esp_error *err);
// Where a ctl that was broken into has shut down what VICI is served at: another. 0 or -errno.
int sockets_renew_vici(struct socket_set *s, const struct settings *settings, struct esp_error *err);
void sockets_end_vici(struct socket_set *s); // its file goes, and whoever asks from now on is refused

// fleet_files.c: what the fleet's room is given, as above. Nothing where there is no fleet.
int sockets_open_fleet(struct socket_set *s, const struct settings *settings, struct esp_error *err);

// metrics_socket.c: where the room of that name listens, in *s; as sockets_open. group: whose a socket in the
// file system is, by name or number; "": the daemon's own.
int metrics_socket_open(struct socket_set *s, const char *text, const char *group, struct esp_error *err);

// The socket of a reuseport group (0: IKE, from 1 on: ESP, of as many workers) that the classic BPF program
// below picks; in C for tests. ESP goes to the worker that the SPI's last eight bits say (as in
// ctrl/path/hand.c); what is not one SA's, to the first.
#define DEMUX_IKE 0
#define DEMUX_ESP 1
int sockets_attach_demux(int fd, unsigned workers); // 0 or -errno; fd: the group's first socket

void sockets_room(int fd); // as much as we may have

// Drops what was not sent to one of the --listen addresses of this family. 0 or -errno.
int sockets_attach_listen(int fd, const struct settings *settings, int family);

#endif
