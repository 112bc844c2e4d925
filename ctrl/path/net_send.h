// SPDX-License-Identifier: Apache-2.0
// How outer packets leave. ESP in UDP goes by the UDP socket, its outer headers written by the kernel from
// what path's say: packets to one place, of one size but for the last, in one call that the kernel (or the
// network card) cuts (UDP_SEGMENT). Everything else goes as it is by the raw socket. Packets leave in their
// order.
#ifndef CTRL_PATH_NET_SEND_H
#define CTRL_PATH_NET_SEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct net_calls { // the kernel's
    int (*sendmmsg)(int fd, struct mmsghdr *m, unsigned n, int flags);
    int (*setsockopt)(int fd, int level, int name, const void *value, socklen_t len);
    int (*getsockopt)(int fd, int level, int name, void *value, socklen_t *len);
};
extern const struct net_calls net_linux;

#define NET_SEND_MAX     64 // packets of one call
#define NET_SEND_SEGMENT 64 // as many as every kernel that cuts takes

struct net_sender {
    const struct net_calls *calls;
    struct net_send_family { // [0] IPv4, [1] IPv6
        int raw, udp;        // -1: there is none
        bool six;
        bool cuts; // the kernel does
        int df;    // what the UDP socket was last told, -1: nothing
    } family[2];
    uint16_t port;        // that the UDP sockets are bound to
    unsigned alone;       // of the packets that come next: those that were refused together
    uint64_t calls_made;  // sendmmsg
    uint64_t cut_packets; // that left together with others
    uint64_t cut_refused; // that the kernel did not take together
};
void net_sender_open(struct net_sender *s);
// As sendmmsg, m as path_net's `send` takes it: the number that left, or -1 and errno, which is that of the
// first alone.
int net_send(struct net_sender *s, struct mmsghdr *m, unsigned n);

#endif
