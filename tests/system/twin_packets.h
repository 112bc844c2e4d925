// SPDX-License-Identifier: Apache-2.0
// SAs and packets for card_model_twin.c: everything about an SA but its state follows from its SPI, so that
// what one SA seals another may open; and what a network, or a peer that knows the key, may send.
#ifndef TESTS_SYSTEM_TWIN_PACKETS_H
#define TESTS_SYSTEM_TWIN_PACKETS_H

#include <stdint.h>

#include "hw/regs/gen/espalier_card.h"

enum { TWIN_SPIS = 8, TWIN_PACKET_MAX = 9216 };

// Of the SPIs, those of even index are for even slots: two queues of packets then share no SA.
uint32_t twin_spi(unsigned index);
struct espc_sa_blob twin_blob(uint64_t *r, unsigned spi, unsigned dir);
struct espc_sa_blob twin_ends(uint64_t *r, unsigned dir); // for ENDPOINT
void twin_spoil_blob(uint64_t *r, struct espc_sa_blob *b);
uint32_t twin_inner(uint64_t *r, uint8_t *p);                      // its length
void twin_spoil_packet(uint64_t *r, uint8_t *p, uint32_t *length); // on the way
// An outer packet that verifies, with a sequence number near `near` and whatever inside.
uint32_t twin_forge(uint64_t *r, unsigned spi, uint64_t near, uint8_t *p);

#endif
