// SPDX-License-Identifier: Apache-2.0
// What the card tests know of ESP: SAs made from a slot number, inner packets, and a check of an outer packet
// by OpenSSL (RFC 4303 tunnel mode, RFC 4106, RFC 3948 on odd slots).
#ifndef ESPALIER_TESTS_TOP_ESP_H
#define ESPALIER_TESTS_TOP_ESP_H

#include <stddef.h>
#include <stdint.h>

#include "hw/regs/gen/espalier_card.h"

// The blob of this slot's SA, the same for both directions: AES-128 for slots that are multiples of 4, else
// AES-256; UDP on odd slots; ESN on slots whose bit 1 is set; window 1024; lease from 1 to 2^24.
struct espc_sa_blob esp_blob(uint32_t slot);
// An inner IPv4 packet of `len` >= 20 bytes, random from its header on; shorter ones are random altogether.
void esp_inner(uint8_t *packet, size_t len);
// Fails the test unless `outer` is the ESP packet of `inner` with this sequence number under this slot's SA.
void esp_check(const uint8_t *outer, size_t outer_len, uint64_t seq, uint32_t slot, const uint8_t *inner,
               size_t len);

#endif
