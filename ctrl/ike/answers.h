// SPDX-License-Identifier: Apache-2.0
// How datagrams leave: from the address that their path says, and answers to strangers, of which very many
// may come, together, with one call.
//
//   answers_begin(&a, fd);
//   ... answers_put(&a, &path, datagram) ...
//   answers_send(&a, lost, ctx);
#ifndef CTRL_IKE_ANSWERS_H
#define CTRL_IKE_ANSWERS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "ctrl/ike/room.h"

enum { NON_ESP_MARKER = 4, ANSWERS_MOST = 64, ANSWER_MOST = 128 };
struct envelope { // what a datagram goes out with
    struct sockaddr_storage to;
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};
// Without data yet; e has to be there for as long as the message.
struct msghdr envelope_for(struct envelope *e, const struct net_path *path);

struct answers {
    int fd; // the socket that they leave by
    unsigned count;
    struct mmsghdr msg[ANSWERS_MOST];
    struct envelope envelope[ANSWERS_MOST];
    struct iovec iov[ANSWERS_MOST];
    uint8_t data[ANSWERS_MOST][ANSWER_MOST];
};
// Once, before the first: who died in the midst of sending them has left the socket, which outlives us, so
// that nothing that has to be cut leaves by it.
void answers_socket(int fd);
void answers_begin(struct answers *a, int fd);
// With the non-ESP marker where the path is behind a NAT. False: there is no room for it, or it is too long:
// it has to go by itself.
bool answers_put(struct answers *a, const struct net_path *path, struct slice d);
// One that cannot leave is told of, and keeps none of the others back.
void answers_send(struct answers *a, void (*lost)(void *ctx, const struct sockaddr_storage *to, int error),
                  void *ctx);

#endif
