// SPDX-License-Identifier: Apache-2.0
// One UDP socket for all clients: each has a source address of its own, if addresses were given.
#ifndef TESTS_LOAD_SOCKET_H
#define TESTS_LOAD_SOCKET_H

#include "tests/load/load.h"

struct load_socket {
    int fd;
    uint16_t port;
    struct sockaddr_storage peer;
    socklen_t peer_len;
    struct addr own; // where no sources were given: the address that the kernel takes
};
int load_socket_open(struct load_socket *s, const struct load_options *o, struct esp_error *err);
void load_socket_close(struct load_socket *s);
// The address of client n.
struct addr load_source(const struct load_socket *s, const struct load_options *o, uint32_t n);
// -EAGAIN: the socket is full.
int load_send(struct load_socket *s, const struct load_options *o, uint32_t n, const void *data, size_t len);
// Octets of the next datagram of the peer; 0: none is there.
size_t load_receive(struct load_socket *s, void *buf, size_t cap);
// Waits until a datagram is there, or so long.
void load_wait(struct load_socket *s, uint64_t ns);
void load_sleep(uint64_t ns);

#endif
