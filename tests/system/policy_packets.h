// SPDX-License-Identifier: Apache-2.0
// Packets that are found again: what they carry says which they are, in each of their pieces and wherever
// they are quoted.
#ifndef TESTS_SYSTEM_POLICY_PACKETS_H
#define TESTS_SYSTEM_POLICY_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MARKED_MAX = 128, MARK_LEN = 8 };
enum piece { PIECE_ALL, PIECE_FIRST, PIECE_SECOND };
struct packet_kind {
    const char *src, *dst; // of one family
    int proto;             // 17, 6 (a SYN), 1 (an echo request, of either family)
    uint16_t sport, dport, id;
};
size_t packet_build(uint8_t *to, const struct packet_kind *k, enum piece piece); // from the IP header on
void packet_last_hop(uint8_t *p);                                                // its time to live is 1
void packet_mark(uint8_t *to, size_t size, uint16_t id);                         // what it carries
// Of a packet from the IP header on, or of whatever quotes one; 0: none. A SYN, which carries nothing when a
// socket sends it, has its source port for a number.
uint16_t packet_id(const uint8_t *p, size_t n);

#endif
