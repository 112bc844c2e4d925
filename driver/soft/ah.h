// SPDX-License-Identifier: Apache-2.0
// AH (RFC 4302) of one SA: the header, and the ICV over the whole packet with what changes on the way taken
// as zero. HMAC-SHA and AES-GMAC (RFC 4543 section 4: its IV stands in front of the ICV).
#ifndef ESPALIER_SOFT_AH_H
#define ESPALIER_SOFT_AH_H

#include "driver/soft/ip.h"
#include "driver/soft/mac.h"

enum { AH_FIXED = 12 }; // octets in front of IV and ICV

struct ah {
    struct mac mac;
    uint8_t iv, icv; // octets
    bool esn;
};

int ah_init(struct ah *a, const struct esp_sa_params *p, struct esp_error *err);
void ah_free(struct ah *a); // zeroises the key
// Octets of the header: a multiple of 4, in IPv6 of 8 (RFC 4302 section 3.3.3.2.1).
uint32_t ah_octets(const struct ah *a, bool v6);

// ip: a whole packet with its final IP header, at `front` room for the header and behind it the payload,
// `total` octets in all. OK; BAD_IP where its extension headers cannot be judged, ABORTED: OpenSSL fails.
enum esp_status ah_seal(struct ah *a, uint8_t *ip, uint32_t front, uint32_t total, uint32_t spi, uint8_t next,
                        uint64_t seq);
// ip: a packet that has come, with the header at `front`. OK, ICV_FAIL, BAD_IP; TRUNCATED: its length is not
// this SA's.
enum esp_status ah_check(struct ah *a, const uint8_t *ip, uint32_t front, uint32_t total, uint64_t seq);

#endif
