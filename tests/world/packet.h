// SPDX-License-Identifier: Apache-2.0
// Packets of both families as the world sees them (packet.c).
#ifndef TESTS_WORLD_PACKET_H
#define TESTS_WORLD_PACKET_H

#include <stdbool.h>
#include <stdint.h>

struct view {
    uint8_t family, proto;    // 4 or 6; behind the fragment header
    bool fragment, piece;     // one of several; not the first of them, which shows no ports
    uint8_t from[16], to[16]; // network order, IPv4 in the first four
    uint32_t src, dst;        // the numbers of the addresses; 0: not of the world
    uint32_t at;              // where what the protocol says begins
    uint16_t sport, dport;    // of ICMP type and code; 0: not shown
};
bool view_of(struct view *v, const uint8_t *p, uint32_t len); // false: no packet

void put_address(uint8_t a[16], uint8_t family, uint32_t n);
uint32_t number_of(const uint8_t *a, uint8_t family); // 0: not of the world
// Returns its length.
uint32_t put_header(uint8_t *p, uint8_t family, uint32_t src, uint32_t dst, uint8_t proto, uint32_t payload);
void put_checksum(uint8_t *p); // of an IPv4 header

#endif
