// SPDX-License-Identifier: Apache-2.0
// How datagrams come in: many a call (recvmmsg), and of UDP many in one, which the kernel or the network card
// has put together (UDP_GRO, where the supervisor has asked for it): they are of one sender, of one size but
// for the last.
#ifndef CTRL_PATH_NET_RECEIVE_H
#define CTRL_PATH_NET_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "ctrl/lib/conn.h"

#define NET_RECEIVE_MAX 16    // of one call
#define NET_TOGETHER    65536 // octets that come together at most

struct arrival { // what the kernel tells of a datagram whose outer headers it has taken off
    struct addr from, to;
    uint16_t from_port;
    uint8_t tos, ttl;
    unsigned index; // of the interface that it came by, 0: not told
    bool cut;       // longer than the room for it
    bool ah;        // it is AH, not ESP
};
struct datagram {
    uint8_t *p; // room for it
    uint32_t cap;
    uint8_t *more; // where what p has no room for goes on; NULL: nowhere
    uint32_t more_cap;
    uint32_t len;     // the whole length, although cut
    uint32_t segment; // length of each of those that were put together but the last; 0: it is one
    struct arrival a;
};

struct net_receive_calls { // the kernel's
    int (*recvmmsg)(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout);
    ssize_t (*recvmsg)(int fd, struct msghdr *m, int flags);
};
extern const struct net_receive_calls net_receive_linux;

struct net_receiver {
    const struct net_receive_calls *calls;
    bool one_by_one;     // there is no recvmmsg
    uint64_t calls_made; // of either
};
// Up to n, at most NET_RECEIVE_MAX: their number, or a negative errno where there is none.
int net_receive(struct net_receiver *r, int fd, struct datagram *d, unsigned n);

#endif
