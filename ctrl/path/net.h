// SPDX-License-Identifier: Apache-2.0
// What brings packets to path and takes them away: the TUN, UDP 4500 and the raw sockets, or what a test puts
// in their place. Each call takes or gives one packet (send and receive: several) and never blocks; what it
// returns is a number of octets or a negative errno.
#ifndef CTRL_PATH_NET_H
#define CTRL_PATH_NET_H

#include <linux/virtio_net.h>
#include <sys/socket.h>

#include "ctrl/lib/child.h"
#include "ctrl/lib/conn.h"
#include "ctrl/path/net_receive.h"
#include "ctrl/path/net_send.h"

enum path_socket { PATH_UDP, PATH_UDP6, PATH_ESP, PATH_ESP6, PATH_AH, PATH_AH6, PATH_SOCKETS };

struct path_tun { // one queue of it
    void *ctx;
    int fd; // -1: it has none
    int (*read)(const struct path_tun *t, uint8_t *p, uint32_t cap);
    int (*write)(const struct path_tun *t, const uint8_t *p, uint32_t len);
    // A TUN with IFF_VNET_HDR, otherwise NULL: one packet of up to 64 KiB, which what is in *h is left to do
    // of (see gso.h); what `first` has no room for goes on in `rest`.
    int (*read_big)(const struct path_tun *t, struct virtio_net_hdr *h, uint8_t *first, uint32_t cap,
                    uint8_t *rest, uint32_t rest_cap);
    int (*write_big)(const struct path_tun *t, const struct virtio_net_hdr *h, const uint8_t *p,
                     uint32_t len);
    bool udp_big; // it takes UDP too that is to be cut
};

struct path_net {
    void *ctx;
    struct path_tun tun;
    // A queue of the TUN of that name, which is made where there is none and can have several, as many as a
    // later run may want. 0 or a negative errno. NULL: there is no other TUN than `tun`. See vti.c.
    int (*vti_open)(void *ctx, const char *name, struct path_tun *out);
    // It outlives its queues, or goes with the last. 0 or a negative errno
    int (*vti_keep)(const struct path_tun *t, bool on);
    // Up to n that have come by that socket: their number, or a negative errno where there is none. Of
    // PATH_ESP and PATH_AH they have their IP header, of the others neither that nor UDP's.
    int (*receive)(void *ctx, enum path_socket from, struct datagram *d, unsigned n);
    // Whole outer packets, as sendmmsg takes them: the number that left, or -1 with errno.
    int (*send)(void *ctx, struct mmsghdr *m, unsigned n);
    // What the path between two addresses takes, as the kernel knows it, or a negative errno. NULL: nobody
    // knows.
    int (*path_mtu)(void *ctx, const struct addr *from, const struct addr *to);
    // How many had come that their socket did not take, since it was opened: its queue had no room for them
    // (or, of UDP, their checksum was wrong: the kernel counts both as one). NULL: nobody counts.
    uint64_t (*lost)(void *ctx, enum path_socket from);
    // One packet that no policy protects, to be routed as if we were not there. NULL: there is no way.
    int (*past)(void *ctx, const uint8_t *p, uint32_t len);
};

// The descriptors that the supervisor has opened, and what is kept beside them.
struct path_sockets {
    const struct child_env *env;
    struct net_sender sender;
    struct net_receiver receiver;
};
struct path_net path_net_sockets(struct path_sockets *s,
                                 const struct child_env *env); // both stay where they are

#endif
