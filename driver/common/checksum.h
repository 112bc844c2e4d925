// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071, RFC 1624). Sums are kept unfolded in the machine's byte order, in which a
// one's complement sum is the same but for the order of its octets; parts must start at even offsets.
#ifndef ESPALIER_COMMON_CHECKSUM_H
#define ESPALIER_COMMON_CHECKSUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t sum_octets(uint64_t sum, const uint8_t *p, size_t n)
{
    uint32_t word;
    uint16_t half;

    for (; n >= 4; p += 4, n -= 4) {
        memcpy(&word, p, 4);
        sum += word;
    }
    if (n >= 2) {
        memcpy(&half, p, 2);
        sum += half;
        p += 2, n -= 2;
    }
    if (n) {
        uint8_t last[2] = {*p, 0};
        memcpy(&half, last, 2);
        sum += half;
    }
    return sum;
}

static inline uint64_t sum_number(uint64_t sum, uint16_t host)
{
    return sum + htons(host);
}

// The checksum as a number in host order: 0 over what holds a right checksum.
static inline uint16_t sum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~ntohs((uint16_t)sum);
}

#endif
