// SPDX-License-Identifier: Apache-2.0
// Big TCP and UDP packets, for the tests of cutting and putting together: as a sender's kernel gives them
// away, with a checksum that is not complete.
#ifndef TESTS_SEGMENTS_H
#define TESTS_SEGMENTS_H

#include "ctrl/path/gso.h"

struct big_packet {
    bool six, udp;
    uint8_t flags;     // of TCP
    uint32_t options;  // of TCP: octets, a multiple of four
    uint32_t payload;  // octets
    uint16_t gso_size; // 0: it is not to be cut
    uint32_t seed;     // of its contents
};
uint32_t big_build(const struct big_packet *k, uint8_t *p, struct virtio_net_hdr *h); // its octets

#endif
